"""Historic races of page migration with somebody who has not flushed yet: NUMA-MIGRATE, and
PENDING-BOOL, the mistake in its repair.

INV-STABLE: the page is replaced by a copy that lacks a store.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.mprotect import change_prot_numa
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.x3_properties import verdict

MM = Mm(0)


def numa(
    name: str,
    title: str,
    options: dict[str, str],
    violates: str | None = None,
    *,
    changers: int = 1,
) -> Scenario:
    """NUMA balancing makes pages PROT_NONE and flushes later; migration finds the first, which
    nobody seems able to use, and copies it; another CPU writes to it. Several ``changers`` work on
    a page each. Migration flushes each PTE, as before 6.3."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = changers + 2) -> Setup:
        where: tuple[Any, ...] = ((MM, Page(0)),)
        return Setup(
            sizes={Cpu: cpus, Page: changers, Frame: 2, Mm: 1},
            start=x3.anon_page_isolated,
            threads=[
                Thread(migrate_pages, where, Folio(0), Folio(1), on=Cpu(0), batch=False),
                *[Thread(change_prot_numa, MM, (Page(c),), on=Cpu(c + 1)) for c in range(changers)],
                *[Thread(x3.writer, MM, Page(0), on=Cpu(c)) for c in range(changers + 1, cpus)],
            ],
            hardware=x86,
            invariants=[x3.no_store_is_missed, *([] if "pending" in options else [s0.counted])],
            goals=[x3.window, x3.replaced],
            options={"uaf": "use", **options},
        )

    return build


NUMA = (
    numa(
        "NUMA-MIGRATE",
        "migration takes a PROT_NONE entry for flushed",
        {"accessible": "present"},
        "INV-STABLE",
    ),
    numa(
        "NUMA-MIGRATE.fixed",
        "a PROT_NONE entry may be cached while a flush is pending (20841405940e)",
        {"pending": "flag"},
    ),
    numa(
        "PENDING-BOOL",
        "tlb_flush_pending is a flag: the first who has flushed clears it",
        {"pending": "flag"},
        "INV-STABLE",
        changers=2,
    ),
    numa(
        "PENDING-BOOL.fixed",
        "tlb_flush_pending is a count (16af97dc5a89)",
        {},
        changers=2,
    ),
)
