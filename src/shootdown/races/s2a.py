"""System S2a: reclaim that unmaps in a batch, and those who decide from empty PTEs.

One path (``linux/mm/vmscan.py``, ``linux/mm/rmap.py``), the variants of the reference as options
of it. ``docs/s2a.md`` explains the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shootdown.hardware.arm64 import arm64
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Hardware, Scenario, Setup, Thread, scenario
from shootdown.linux.mm.luf_tables import free_empty_table
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.mmap import munmap
from shootdown.linux.mm.mprotect import mprotect
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import s2a_properties as s2a
from shootdown.races.x3_properties import verdict

Options = Mapping[str, str]

VARIANTS: dict[str, Options] = {
    "V1": {"tlb_batched": "none"},
    "V2": {"tlb_batched": "flag"},
    "V3": {"tlb_batched": "counted", "ttu_mark": "before-clear"},
    "V4": {"tlb_batched": "counted", "ttu_flush": "late-io"},
    "V5": {"tlb_batched": "counted", "ttu_flush": "late-free"},
    "V6": {"tlb_batched": "counted", "clean_store": "silent"},
    "V7": {"tlb_batched": "counted", "arch": "arm64", "batched_pending": "dsb"},
    "V8": {"tlb_batched": "counted"},
    "V8.arm64": {"tlb_batched": "counted", "arch": "arm64"},
}
"""Which kernel each variant of the reference is; V8 is today's."""

MM = Mm(0)


def machine(options: Options) -> Hardware:
    """The hardware that a variant runs on."""
    return arm64 if options.get("arch") == "arm64" else x86


def victims(*numbers: int) -> tuple[Any, ...]:
    """Folios to reclaim, each mapped at the page of its number."""
    return tuple((Folio(n), ((MM, Page(n)),)) for n in numbers)


# ------------------------------------------------------------------ who decides from an empty PTE


def decide(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    caller: Any = mprotect,
    user: Any = s2a.writer,
    split: bool = False,
    reclaim: tuple[int, ...] = (0,),
    number: int = 1,
    state: bool = False,
    goals: tuple[Any, ...] = (),
) -> Scenario:
    """Reclaim unmaps file pages in a batch; ``caller`` changes the same range and returns; a third
    CPU uses the last page of it. INV-S2-3; ``state`` looks at INV-S2-4 also where it does not hold.

    ``split``: each page has a page table, and a PTL, of its own. ``reclaim``: the pages that
    reclaim takes of the first ``number``; it takes all others, if there are more.
    """
    options = {**VARIANTS[variant], "ptl": "split" if split else "one"}
    counted = options["tlb_batched"] == "counted" and (state or violates is None)

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3, pages: int = number) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        file: dict[str, Any] = {} if caller is mprotect else {"file": True}
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s2a.mapped_dirty,
            threads=[
                Thread(shrink_folios, victims(*reclaim, *range(number, pages)), on=Cpu(0)),
                Thread(caller, MM, given, on=Cpu(1), **file),
                *[Thread(user, MM, given[-1], on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=machine(options),
            invariants=[s0.counted, *([s2a.owed_is_known] if counted or state else [])],
            goals=[s2a.window, s2a.overtaken, *goals],
            options=options,
        )

    return build


DECIDE = (
    decide(
        "S2a.V1",
        "V1",
        "nobody asks for open batches: mprotect finds nothing and returns",
        violates="INV-S2-3",
        aliases=("BAD-S2-1", "BATCH-MPROTECT"),
    ),
    decide(
        "S2a.V1.munmap",
        "V1",
        "the same with munmap",
        violates="INV-S2-3",
        caller=munmap,
        user=s2a.reader,
    ),
    decide(
        "S2a.V1.dontneed",
        "V1",
        "the same with MADV_DONTNEED",
        violates="INV-S2-3",
        caller=madvise_dontneed,
        user=s2a.reader,
    ),
    decide(
        "S2a.V2",
        "V2",
        "a flag: who clears it forgets what was queued meanwhile",
        violates="INV-S2-3",
        aliases=("BAD-S2-2",),
        split=True,
        reclaim=(0, 1),
        number=2,
    ),
    decide(
        "S2a.V2.state",
        "V2",
        "the same, seen by the flag",
        violates="INV-S2-4",
        split=True,
        reclaim=(0, 1),
        number=2,
        state=True,
    ),
    decide("S2a.V2.one", "V2", "a flag is enough for one page table", reclaim=(0,)),
    decide(
        "S2a.V3",
        "V3",
        "counted before the PTE is cleared: the flush comes too early",
        violates="INV-S2-3",
        split=True,
        reclaim=(1,),
        number=2,
    ),
    decide(
        "S2a.V3.state",
        "V3",
        "the same, seen by the count",
        violates="INV-S2-4",
        split=True,
        reclaim=(1,),
        number=2,
        state=True,
    ),
    decide("S2a.V3.one", "V3", "that is no mistake for one page table"),
    decide(
        "S2a.V7",
        "V7",
        "arm64: a DSB does not wait for another CPU's TLBI",
        violates="INV-S2-3",
    ),
    decide("S2a.V7.fixed", "V8.arm64", "arm64: flush_tlb_mm() does (4b634918384c)"),
    decide(
        "S2a.V8.arm64",
        "V8.arm64",
        "the same with two page tables",
        split=True,
        reclaim=(0, 1),
        number=2,
    ),
    decide(
        "S2a.V8",
        "V8",
        "what is pending and what was flushed are counted (5ee2fa2f0636)",
        aliases=("BATCH-MPROTECT.fixed",),
        split=True,
        reclaim=(0, 1),
        number=2,
        goals=(s2a.queued_meanwhile,),
    ),
    decide(
        "S2a.V8.aba",
        "V8",
        "the count wraps during one flush, and looks as before",
        violates="INV-S2-3",
        split=True,
        reclaim=(0, 1, 2),
        number=3,
    ),
    decide("S2a.V8.munmap", "V8", "the same with munmap", caller=munmap, user=s2a.reader),
    decide(
        "S2a.V8.dontneed",
        "V8",
        "the same with MADV_DONTNEED",
        caller=madvise_dontneed,
        user=s2a.reader,
    ),
)


# ------------------------------------------------------------------ Q-S2-1: no table, no question


def no_table(name: str, title: str, flush: str, *, violates: str | None = None) -> Scenario:
    """munmap() finds that the page table is gone, and so does not ask for open batches: somebody
    has freed it, since it was empty. INV-S2-3."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 4, pages: int = 1) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s2a.mapped_dirty,
            threads=[
                Thread(shrink_folios, victims(*range(pages)), on=Cpu(0)),
                Thread(munmap, MM, given, on=Cpu(1), file=True),
                Thread(free_empty_table, MM, given, on=Cpu(2)),
                *[Thread(s2a.reader, MM, Page(0), on=Cpu(c)) for c in range(3, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted],
            goals=[s2a.window, s2a.overtaken, s2a.table_freed],
            options={**VARIANTS["V8"], "page_table": "freed", "retract_flush": flush},
        )

    return build


NO_TABLE = (
    no_table("S2a.V8.no-table", "munmap without a page table: who freed it has flushed", "whole"),
    no_table(
        "S2a.V8.no-table-unflushed",
        "the same, and who freed it has not flushed",
        "none",
        violates="INV-S2-3",
    ),
)
