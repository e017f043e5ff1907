"""Priced contpte paths: counts that can be derived by hand.

B blocks of 16 PTEs are P = 16 B pages. A Neoverse N1 has no TLBIs of ranges: one for each page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.errors import UsageError
from shootdown.workloads.library import find_workload

UNFOLD = (("clear_full", "unfold"),)
NONE = (("contpte", "off"), ("clear_full", "unfold"))
O1 = (("clear_full", "gather-posted"),)
O2 = ()


@cache
def compiled(
    workload: str, parameters: tuple[tuple[str, int], ...], options: tuple[tuple[str, str], ...]
) -> Run:
    plan = find_workload(f"contpte-{workload}", None).plan(dict(parameters))
    return Run(plan, Profile.load("altra"), 1, dict(options))


def priced(
    workload: str,
    options: tuple[tuple[str, str], ...],
    prices: Mapping[str, int] | None = None,
    **parameters: int,
) -> Priced:
    run = compiled(workload, tuple(parameters.items()), options)
    return run.again(Profile.load("altra").override(**(prices or {}))).run()


def events(result: Priced) -> tuple[int, int]:
    return result.counts["tlbi"], result.counts["dsb"]


@pytest.mark.parametrize(
    ("workload", "options", "tlbis", "dsbs"),
    [
        # the flush at the end: 256 pages one by one; when a process exits, the ASID
        ("munmap", O2, 256, 1),
        ("munmap", NONE, 256, 1),
        # and before it, 16 pages for each of the 16 blocks
        ("munmap", UNFOLD, 256 + 256, 1 + 16),
        # the forms that leave the others contiguous are for exit only (full=1)
        ("munmap", O1, 256 + 256, 1 + 16),
        ("exit", O2, 1, 1),
        ("exit", O1, 1, 1),
        ("exit", UNFOLD, 256 + 1, 16 + 1),
        ("fork", O2, 1, 1),
        ("fork", UNFOLD, 256 + 1, 16 + 1),
    ],
)
def test_a_call_for_everything(
    workload: str, options: tuple[tuple[str, str], ...], tlbis: int, dsbs: int
) -> None:
    assert events(priced(workload, options, pages=256, order=4)) == (tlbis, dsbs)


@pytest.mark.parametrize(
    ("step", "unfolded"),
    [
        (1, 6),  # the first page of each block unfolds it
        (16, 0),  # whole blocks
        (24, 2),  # of three blocks the one in the middle is covered in two parts
        (48, 0),
    ],
)
def test_calls_that_cover_blocks_in_part(step: int, unfolded: int) -> None:
    """96 pages: each is flushed once for its call, and 16 for each block that is unfolded."""
    found = priced("dontneed", O2, pages=96, order=4, step=step)
    assert events(found) == (96 + 16 * unfolded, 96 // step + unfolded)


def test_nothing_is_flushed_where_nothing_is_mapped() -> None:
    plan = find_workload("contpte-dontneed", None).plan({"pages": 64, "order": 4, "step": 16})
    none = replace(plan, start=None)
    found = Run(none, Profile.load("altra"), 1, {}).run()
    assert events(found) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": 10},
        {"pages": 100, "order": 4},
        {"contpte": 101},
        {"pages": 32, "order": 4, "step": 5},
    ],
)
def test_wrong_parameters(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"order is 0 to 9|are not so many at a time"):
        find_workload("contpte-dontneed", None).plan(wrong)


def test_less_than_512_pages_are_flushed_one_by_one() -> None:
    found = priced("munmap", (("cont_batch", "block"),), pages=496, order=4).counts
    assert (found["tlbi aside1is"], found["tlbi vale1is"]) == (0, 496)
    assert found["free_page"] == 31


def test_one_instruction_for_a_range() -> None:
    """FEAT_TLBIRANGE: 16 pages are half of them, 8, in the lowest five bits; 256 are 4 times 32."""
    found = priced("munmap", (*UNFOLD, ("tlbi_range", "yes")), pages=256, order=4)
    assert events(found) == (16 + 1, 16 + 1)


def test_every_folio_is_freed_once() -> None:
    """Half of the 32 blocks are folios of 16 pages, the others 16 folios each."""
    for options in (O2, UNFOLD):
        found = priced("munmap", options, pages=512, order=4, contpte=50)
        assert found.counts["free_page"] == 16 + 16 * 16
        # and only what is contiguous is unfolded; 512 pages are flushed by ASID
        blocks = 16 if options == UNFOLD else 0
        assert events(found) == (16 * blocks + 1, blocks + 1)
        assert found.counts["tlbi aside1is"] == 1


def test_the_gather_is_full() -> None:
    """18 tables of 512 entries, one for each page, leave no room for another one: of 40 tables 36
    are flushed when it is full, and 4 at the end. One entry for each folio: once."""
    assert events(priced("munmap", NONE, pages=40 * 512, order=9)) == (3, 3)
    assert events(priced("munmap", O2, pages=40 * 512, order=9)) == (1, 1)


def test_a_dsb_waits_for_what_its_cpu_has_issued() -> None:
    low, high = (
        priced("exit", UNFOLD, {"tlbi_deliver": price}, pages=256, order=4).ns
        for price in (1000, 1700)
    )
    assert high - low == 700 * 17


def test_what_unfolding_takes() -> None:
    """Each block: the first getter reads all 16 PTEs; 16 exchanges; 16 TLBIs, a DSB and its wait
    (two steps, each with the price of one); 16 stores."""
    prices = {
        "mem_load": 1,
        "mem_store": 3,
        "atomic": 20,
        "tlbi": 7,
        "dsb": 11,
        "tlbi_deliver": 400,
    }
    one, none = (priced("exit", o, prices, pages=256, order=4).ns for o in (UNFOLD, NONE))
    flush = 20 + 16 * 7 + 20 + 11 + 400
    assert one - none == 16 * (16 * 1 + 16 * 20 + flush + 16 * 3)


@pytest.mark.parametrize("dvm", ["serial", "parallel"])
def test_processes_wait_for_each_other_at_the_dvm_node(dvm: str) -> None:
    options = (*UNFOLD, ("dvm", dvm))
    alone = priced("exit", options, processes=1, pages=256, order=4)
    both = priced("exit", options, processes=3, pages=256, order=4)
    assert events(both) == (3 * 257, 3 * 17)
    if dvm == "parallel":
        assert both.ns == alone.ns
    else:
        assert alone.stalls["dvm"] == 0
        assert both.stalls["dvm"] > 0
        assert both.ns >= 3 * 17 * 1000
