"""The TLB of the priced arm64 machine: a block entry covers 16 pages."""

from __future__ import annotations

from dataclasses import replace

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.cost.workload import Plan
from shootdown.hardware.arm64_walker import user_load
from shootdown.hardware.machine import Page
from shootdown.lang import Thread, path, this
from shootdown.lang.large import Span
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.linux.mm.memory_cont import dontneed
from shootdown.linux.mm_types import Pages
from shootdown.workloads.arm64 import Core
from shootdown.workloads.contpte import contpte_munmap, run_process


@path
def read_all(pages: Pages, times: int) -> None:
    for _ in range(times):
        for page in pages:
            user_load(this(Core), page)


@path
def reader(mm: Arm64Mm, pages: Pages, times: int) -> None:
    run_process(mm)
    read_all(pages, times)


@path
def gives_back(mm: Arm64Mm, pages: Pages, part: Pages) -> None:
    run_process(mm)
    read_all(pages, 1)
    dontneed(mm, part)
    read_all(pages, 1)


def run(thread: Thread, pages: int, **options: str) -> Priced:
    plan: Plan = contpte_munmap.plan({"pages": pages, "order": 4})
    return Run(replace(plan, threads=[thread]), Profile.load("altra"), 1, options).run()


def test_a_block_entry_covers_its_pages() -> None:
    """A miss is looked for twice, as a page and as a block: of 64 pages 4 walk, the others miss as
    pages and hit as blocks."""
    thread = Thread(reader, Arm64Mm(0), Span(Page, 0, 64), 1, on=Core(0))
    found = run(thread, 64).counts
    assert (found["tlb_miss"], found["tlb_hit"]) == (64 + 4, 60)
    found = run(thread, 64, contpte="off").counts
    assert (found["tlb_miss"], found["tlb_hit"]) == (2 * 64, 0)


def test_its_capacity_is_in_entries() -> None:
    """4096 pages are 256 blocks, which fit into 1280 entries, and 4096 pages do not."""
    thread = Thread(reader, Arm64Mm(0), Span(Page, 0, 4096), 2, on=Core(0))
    ns = [run(thread, 4096, contpte=contpte).counts["tlb_hit"] for contpte in ("on", "off")]
    assert ns[0] == 2 * 4096 - 256
    assert ns[1] < 4096


def test_a_tlbi_for_a_page_drops_the_block() -> None:
    """One page is given back: the block is unfolded, so its other 15 pages are walked one by one;
    the block beside it stays."""
    thread = Thread(
        gives_back, Arm64Mm(0), Span(Page, 0, 32), Span(Page, 5, 1), on=Core(0)
    )  # fmt: skip
    found = run(thread, 32).counts
    # first: 32 misses as pages, 2 as blocks, 30 hits; then 32 and 16, 16 hits
    assert (found["tlb_miss"], found["tlb_hit"]) == (32 + 2 + 32 + 16, 30 + 16)
