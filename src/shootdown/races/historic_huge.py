"""Historic races of huge pages: HUGETLB-FREE-FIRST, THP-DONTNEED-NUMA.

A huge page is a page here: what goes wrong has nothing to do with its size.
"""

from __future__ import annotations

from collections.abc import Mapping

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.mm.huge_memory import change_huge_pmd, load_huge, madvise_dontneed_huge
from shootdown.linux.mm.hugetlb_unmap import unmap_hugepage_range_2006
from shootdown.linux.mm_types import Mm
from shootdown.linux.user import load
from shootdown.races import s0_properties as s0
from shootdown.races.s4 import verdict

Options = Mapping[str, str]
MM = Mm(0)


def free_first(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """munmap() of huge pages, while another thread uses one."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 2, pages: int = 1) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(unmap_hugepage_range_2006, MM, given, on=Cpu(0)),
                *[Thread(load, MM, Page(0), on=Cpu(c)) for c in range(1, cpus)],
            ],
            hardware=x86,
            goals=[s0.freed, s0.window],
            options=options,
        )

    return build


def protect_numa(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """NUMA balancing marks a huge page, MADV_DONTNEED gives it up, and its thread reads it."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(madvise_dontneed_huge, MM, Page(0), on=Cpu(0)),
                Thread(change_huge_pmd, MM, Page(0), on=Cpu(1)),
                *[Thread(load_huge, MM, Page(0), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            goals=[s0.freed, s0.window],
            options=options,
        )

    return build


HISTORIC = (
    free_first(
        "HUGETLB-FREE-FIRST",
        "unmap_hugepage_range() frees pages before any flush (2006)",
        {"hugetlb_put": "first"},
        "INV-S0-1",
    ),
    free_first(
        "HUGETLB-FREE-FIRST.fixed",
        "pages are collected, flushed, then freed (fe1668ae5bf0)",
        {},
    ),
    protect_numa(
        "THP-DONTNEED-NUMA",
        "a huge entry is empty for a moment, and MADV_DONTNEED passes it over (2017)",
        {"huge_protect": "clear"},
        "INV-S0-3",
    ),
    protect_numa(
        "THP-DONTNEED-NUMA.fixed",
        "the entry is never empty (pmdp_invalidate(), ced108037c2a)",
        {},
    ),
)
