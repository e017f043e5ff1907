"""Reclaim, migration and MADV_PAGEOUT at full size: counts that can be derived by hand."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.workloads.library import find_workload
from shootdown.workloads.reclaim import VARIANTS

pytestmark = pytest.mark.slow  # each compiles the whole of reclaim
SKYLAKE = Profile.load("skylake-2s")


def run(workload: str, options: dict[str, Any] | None = None, **parameters: int) -> Priced:
    return Run(find_workload(workload, None).plan(parameters), SKYLAKE, options=options).run()


# ------------------------------------------------------------------ MADV_PAGEOUT


@pytest.mark.parametrize(("cpus", "pages", "flushes"), [(4, 1, 1), (4, 40, 2)])
def test_pageout_flushes_each_31_folios_and_once_more_at_the_next_call(
    cpus: int, pages: int, flushes: int
) -> None:
    """As a kernel does: n (ceil(f / 31) + 1) - 1 interrupts for each other CPU."""
    found = run("pageout", {"free_batch": "31"}, cpus=cpus, pages=pages, rounds=50)
    assert found.calls["try_to_unmap_one"] == 50 * pages
    assert found.calls["flush_tlb_multi_batch"] == 50 * flushes
    assert found.counts["csd_queue_cpu"] == (cpus - 1) * (50 * (flushes + 1) - 1)


# ------------------------------------------------------------------ migration


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("most", [64, 512])
def test_migration_interrupts_each_cpu_once_in_a_batch(threads: int, most: int) -> None:
    found = run("migration", cpus=4, threads=threads, pages=1024, rounds=2, most=most)
    assert found.calls["try_to_migrate_one"] == 2048
    assert found.counts["csd_queue_cpu"] == 2048 // most * threads


def test_migration_without_batches_interrupts_for_each_page() -> None:
    found = run("migration", cpus=4, threads=3, pages=1024, rounds=1, batched=0)
    assert found.counts["csd_queue_cpu"] == 1024 * 3
    assert found.calls["try_to_unmap_flush"] == 2
    assert found.calls["flush_tlb_multi_batch"] == 0


# ------------------------------------------------------------------ reclaim


def small(variant: str, floor: int, **more: int) -> Priced:
    """One thread reads a file once, and reclaims itself; another one of the process spins."""
    return run(
        "reclaim", VARIANTS[variant], cpus=3, processes=1, threads=1, spinners=1, memory=256,
        file=1024, rounds=1, low=0, floor=floor, pagevec=1, heap_each=0, **more,
    )  # fmt: skip


def lists_of_32(floor: int) -> int:
    """How often 32 pages are reclaimed: before each of 1024 allocations, to have ``floor`` free."""
    return -(-(1023 - (256 - floor)) // 32)


def takeoff_flushes(floor: int) -> int:
    """How often LUF flushes: when a page is taken that was unmapped after the last flush. Pages
    that owe a flush go to the end of the free list."""
    free, flushed, lists = deque([0] * 256), 0, 0
    flushes = 0
    for _ in range(1024):
        while len(free) < floor:
            lists += 1
            free.extend([lists] * 32)
        if free.popleft() > flushed:
            flushed = lists
            flushes += 1
    return flushes


def test_reclaim_interrupts_once_for_each_list() -> None:
    found = small("batch", 32)
    assert found.calls["shrink_isolated"] == lists_of_32(32) == 25
    assert found.calls["try_to_unmap_one"] == 25 * 32
    assert found.counts["csd_queue_cpu"] == 25
    assert found.calls["flush_tlb_local"] == 2 * 25


def test_reclaim_without_batches_interrupts_for_each_page() -> None:
    found = small("none", 32)
    assert found.counts["csd_queue_cpu"] == 25 * 32
    assert found.counts["invlpg"] == 2 * 25 * 32


@pytest.mark.parametrize("floor", [32, 128])
def test_luf_flushes_when_the_free_list_comes_round(floor: int) -> None:
    """With a free list as short as a list of reclaim LUF saves nothing; with one four times as long
    it saves three flushes of four."""
    found = small("luf", floor)
    assert found.counts["csd_queue_cpu"] == takeoff_flushes(floor)
    assert found.calls["shrink_isolated"] == lists_of_32(floor)


def test_writable_pages_are_flushed_at_once() -> None:
    """One page in 64 is mapped writable, so every second list owes a flush before it is freed."""
    found = small("luf", 128, writable_each=64)
    assert found.calls["arch_tlbbatch_flush"] >= lists_of_32(128) // 2
