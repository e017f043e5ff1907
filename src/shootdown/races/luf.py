"""System S2b: LUF, lazy unmap flush. A frame may be free while CPUs can still read it.

The paths are those of reclaim, migration and the allocator with LUF's options; which version of
LUF, or which mistake, each variant is, says :data:`VARIANTS`. ``docs/luf.md`` explains the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.mm.luf_batch import LufKey, LufMm
from shootdown.linux.mm.luf_tables import free_empty_table
from shootdown.linux.mm.mmap import mmap_fixed, munmap
from shootdown.linux.mm.page_alloc import Zone, alloc_page
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio
from shootdown.linux.user_contents import reads
from shootdown.races import luf_properties as luf

Options = Mapping[str, str]

V12: Options = {
    "tlb_batched": "counted",
    "luf_if": "readonly",
    "luf_fault": "end",
    "luf_vma": "end",
    "luf_file": "flush",
}
V10: Options = {
    "tlb_batched": "counted",
    "luf_if": "readonly",
    "luf_fault": "wp",
    "luf_vma": "mmap",
}
NEVER: Options = {
    "tlb_batched": "none",
    "luf_fault": "none",
    "luf_vma": "none",
    "luf_file": "none",
}
"""No give-up point: V1, V2, V3 and V4 of the reference are left out."""
VARIANTS: dict[str, Options] = {
    "V10": V10,
    "V10only": {**V10, "tlb_batched": "none"},
    "V11": V12,
    "ptl": {**V12, "luf_fault": "ptl"},
    "V1only": {**V12, "luf_vma": "none"},
    "V3only": {**V12, "tlb_batched": "none"},
    "noV1": {**V12, "tlb_batched": "none", "luf_vma": "none"},
    "none": {**V12, **NEVER},
    "noV2": {**V12, "luf_fault": "none"},
    "noV4": {**V12, "luf_file": "none"},
    "initfree": {**V12, "init_on_free": "write"},
    "refuse": {**V12, "init_on_free": "refuse"},
    "keyalias": {**V12, "luf_key": "overwrite"},
    "narrow": {**V12, "luf_ugen": "narrow"},
    "noirq": {**V12, "luf_takeoff": "unchecked"},
    "irqflush": {**V12, "luf_takeoff": "flush"},
    "clean": {**V12, "luf_if": "clean"},
    "settled": {**V12, "luf_if": "settled"},
    "both": {**V12, "luf_if": "both"},
}
"""Which LUF each variant is. ``V11`` is v12: the reference has one name for both."""

MM = LufMm(0)
PAGE = (Page(0),)
MAPPED = ((MM, Page(0)),)
RECLAIM = ((Folio(0), MAPPED),)


def victims(pages: int) -> tuple[Any, ...]:
    """Folios to reclaim, each mapped at the page of its number."""
    return tuple((Folio(p), ((MM, Page(p)),)) for p in range(pages))


def verdict(violates: str | None) -> dict[str, Any]:
    """What is expected."""
    return {"expect": "VIOLATED" if violates else "HOLDS", "violates": violates}


# ------------------------------------------------------------------ the allocator


def takeoff(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    goals: tuple[Any, ...] = (luf.free_and_cached, luf.taken),
    start: Any = luf.all_read_only,
    checked: tuple[Any, ...] = (luf.done_is_done, luf.not_used_after_takeoff),
) -> Scenario:
    """Reclaim frees a page that was mapped read-only; one CPU allocates a page, another one does so
    with interrupts off. INV-S2-5, INV-S2-7, INV-S2-9, INV-S2-10."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, LufMm: 1, LufKey: 1, Zone: 1},
            start=start,
            threads=[
                Thread(shrink_folios, victims(pages), on=Cpu(0)),
                Thread(alloc_page, Zone(0), on=Cpu(1)),
                *[Thread(alloc_page, Zone(0), irqs_off=True, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=list(checked),
            goals=list(goals),
            options=VARIANTS[variant],
        )

    return build


TAKEOFF = (
    takeoff("LUF.V11", "V11", "the frame is flushed when it is allocated", aliases=("LUF.V12",)),
    takeoff(
        "LUF.initfree",
        "initfree",
        "a frame is written to when it is freed",
        violates="INV-S2-7",
        aliases=("BAD-S2-7",),
    ),
    takeoff("LUF.initfree.refuse", "refuse", "then LUF is not applied (v12)", goals=(luf.taken,)),
    takeoff(
        "LUF.noirq",
        "noirq",
        "an allocation that cannot flush takes a page that owes a flush",
        violates="INV-S2-10",
        aliases=("BAD-S2-8",),
    ),
    takeoff(
        "LUF.wrap",
        "narrow",
        "a CPU that has not flushed for half of the numbers counts as having flushed",
        violates="INV-S2-5",
        start=luf.many_requests,
        checked=(luf.not_used_after_takeoff,),
    ),
    takeoff(
        "LUF.wrap.recent",
        "narrow",
        "the same numbers, and no CPU is that far behind",
        start=luf.many_requests_flushed,
    ),
    takeoff("LUF.wrap.wide", "V11", "a long does not come round", start=luf.many_requests),
)


# ------------------------------------------------------------------ two unmaps, one key


def keys(name: str, variant: str, title: str, *, violates: str | None = None) -> Scenario:
    """Two processes on a CPU each; reclaim unmaps a page of each, in two rounds of which the second
    may use the key of the first again; somebody allocates. INV-S2-5, INV-S2-9."""

    @scenario(name, title=title, **verdict(violates))
    def build(keys: int = 1) -> Setup:
        other = LufMm(1)
        second = ((Folio(1), ((other, Page(1)),)),)
        return Setup(
            sizes={Cpu: 3, Page: 2, Frame: 2, LufMm: 2, LufKey: keys, Zone: 1},
            start=luf.read_only_twice,
            threads=[
                Thread(luf.reclaim_twice, RECLAIM, second, on=Cpu(0), name="CPU0"),
                Thread(alloc_page, Zone(0), on=Cpu(1)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done, luf.not_used_after_takeoff],
            goals=[luf.free_and_cached, luf.taken],
            options=VARIANTS[variant],
        )

    return build


KEYS = (
    keys(
        "LUF.keyalias",
        "keyalias",
        "a key is used again, and forgets what its last user asked for",
        violates="INV-S2-5",
    ),
    keys("LUF.keyalias.fold", "V11", "a key is used again, and keeps it (v12)"),
)


# ------------------------------------------------------------------ munmap


def unmapping(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    table: str = "",
    caller: Any = munmap,
) -> Scenario:
    """Reclaim frees a page that was mapped read-only; munmap() of that page returns (or another
    ``caller``); another thread reads it. INV-S2-11. ``table``: somebody frees the page table
    before, and flushes so much."""
    freed = {"page_table": "freed", "retract_flush": table} if table else {}

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        file: dict[str, Any] = {"file": True} if caller is munmap else {}
        before = [Thread(free_empty_table, MM, given, on=Cpu(0), name="khugepaged")]
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, LufMm: 1, LufKey: 1},
            start=luf.all_read_only,
            threads=[
                Thread(shrink_folios, victims(pages), on=Cpu(0)),
                Thread(caller, MM, given, on=Cpu(1), **file),
                *[Thread(reads, MM, Page(0), on=Cpu(c)) for c in range(2, cpus)],
                *(before if table else []),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached, luf.gone, *([luf.no_table] if table else [])],
            options={**VARIANTS[variant], **freed},
        )

    return build


MUNMAP = (
    unmapping(
        "LUF.noV1",
        "noV1",
        "munmap finds an empty PTE and returns without a flush",
        violates="INV-S2-11",
        aliases=("BAD-S2-3",),
    ),
    unmapping(
        "LUF.V10.mmap",
        "V10only",
        "v10, its flush in mmap() alone: what is unmapped after it is missed",
        violates="INV-S2-11",
        caller=mmap_fixed,
    ),
    unmapping("LUF.V10.munmap", "V10", "flush_tlb_batched_pending() flushes, as without LUF"),
    unmapping("LUF.V11.munmap", "V11", "munmap flushes what LUF owes"),
    unmapping("LUF.V11.munmap-V3", "V3only", "tlb_end_vma() alone is enough"),
    unmapping(
        "LUF.V11.no-table",
        "V1only",
        "no page table: who freed it has flushed",
        table="whole",
    ),
    unmapping(
        "LUF.V11.no-table-V1",
        "V1only",
        "no page table, freed without a flush: nobody asks",
        violates="INV-S2-11",
        table="none",
    ),
    unmapping(
        "LUF.V11.no-table-V3",
        "V11",
        "no page table, freed without a flush: tlb_end_vma() flushes all the same",
        table="none",
    ),
)
