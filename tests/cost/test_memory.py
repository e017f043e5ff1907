"""Workloads of memory management: counts that follow from the kernel's limits."""

from __future__ import annotations

from typing import Any

import pytest

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.workloads.library import find_workload

PROFILE = Profile.load("skylake-2s")


def run(name: str, options: dict[str, Any] | None = None, **parameters: int) -> Priced:
    return Run(find_workload(name, None).plan(parameters), PROFILE, options=options).run()


def flushes(priced: Priced) -> int:
    return priced.calls["flush_tlb_mm_range"]


@pytest.mark.parametrize(("pages", "expected"), [(9678, 1), (9679, 2)])
def test_a_full_gather_flushes_before_the_end(pages: int, expected: int) -> None:
    # mm/mmu_gather.c: 8 places and 19 times 510, of which one of each stays free
    priced = run("munmap", pages=pages, rounds=2)
    assert flushes(priced) == priced.counts["csd_queue_cpu"] == 2 * expected


@pytest.mark.slow
def test_moves_are_cut_where_a_page_table_ends() -> None:
    priced = run("mremap", pages=512, rounds=10)
    assert flushes(priced) == 30  # 480, 16 and 16 pages
    assert priced.calls["move_extent"] == 30


@pytest.mark.slow
def test_all_of_a_folio_at_once() -> None:
    pages = 4096
    options = {"folio_pages": "16"}
    batched = run("munmap-big", {**options, "zap_batch": "folio"}, pages=pages)
    single = run("munmap-big", {**options, "zap_batch": "page"}, pages=pages)
    assert batched.calls["folio_remove_rmap_ptes"] == pages // 16
    assert single.calls["folio_remove_rmap_pte"] == pages
    assert batched.calls["folio_put_refs"] == pages // 16
    assert single.calls["folio_put"] == pages
    assert batched.ns < single.ns


def test_only_a_leaked_count_flushes_what_is_empty() -> None:
    assert flushes(run("brk1", processes=2, rounds=50)) == 0
    assert flushes(run("brk1", {"pending": "leaked"}, processes=2, rounds=50)) == 2 * 49
