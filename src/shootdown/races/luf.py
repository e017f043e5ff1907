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
from shootdown.linux.mm.filemap import generic_perform_write
from shootdown.linux.mm.luf_batch import File, LufKey, LufMm
from shootdown.linux.mm.luf_tables import free_empty_table
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.mmap import mmap_fixed, munmap
from shootdown.linux.mm.page_alloc import Zone, alloc_page
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio
from shootdown.linux.user_contents import reads, writes, writes_or_copies, writes_or_faults
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
VARIANTS: dict[str, Options] = {
    "V10": V10,
    "V10only": {**V10, "tlb_batched": "none"},
    "V11": V12,
    "ptl": {**V12, "luf_fault": "ptl"},
    "V1only": {**V12, "luf_vma": "none"},
    "V3only": {**V12, "tlb_batched": "none"},
    "noV1": {**V12, "tlb_batched": "none", "luf_vma": "none"},
    "noV2": {**V12, "luf_fault": "none"},
    "noV4": {**V12, "luf_file": "none"},
    "initfree": {**V12, "init_on_free": "write"},
    "refuse": {**V12, "init_on_free": "refuse"},
    "keyalias": {**V12, "luf_key": "overwrite"},
    "noirq": {**V12, "luf_takeoff": "unchecked"},
    "irqflush": {**V12, "luf_takeoff": "flush"},
    "clean": {**V12, "luf_if": "clean"},
    "settled": {**V12, "luf_if": "settled"},
    "both": {**V12, "luf_if": "both"},
}
"""Which LUF each variant is. v11 and v12 have the same give-up points."""

MM = LufMm(0)
PAGE = (Page(0),)
MAPPED = ((MM, Page(0)),)
RECLAIM = ((Folio(0), MAPPED),)


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
) -> Scenario:
    """Reclaim frees a page that was mapped read-only; one CPU allocates a page, another one does so
    with interrupts off. INV-S2-5, INV-S2-7, INV-S2-9, INV-S2-10."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, LufMm: 1, LufKey: 1, Zone: 1},
            start=luf.read_only,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                Thread(alloc_page, Zone(0), on=Cpu(1)),
                *[Thread(alloc_page, Zone(0), irqs_off=True, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[luf.done_is_done, luf.not_used_after_takeoff],
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
    def build(cpus: int = 3) -> Setup:
        file: dict[str, Any] = {"file": True} if caller is munmap else {}
        before = [Thread(free_empty_table, MM, PAGE, on=Cpu(0), name="khugepaged")]
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, LufMm: 1, LufKey: 1},
            start=luf.read_only,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                Thread(caller, MM, PAGE, on=Cpu(1), **file),
                Thread(reads, MM, Page(0), on=Cpu(2)),
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


# ------------------------------------------------------------------ page faults


def fault(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    swap: bool = False,
    third: bool = False,
    copy: bool = False,
) -> Scenario:
    """A read-only page is migrated (``swap``: reclaimed, and comes back in another frame). One
    thread writes to it, with a page fault; another one reads it. ``third``: one more thread writes,
    if it can do so without a fault. ``copy``: others have the page too, and a write copies it.
    INV-S2-8."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        again = (Folio(2),) if copy else (Folio(1),) if swap else ()
        writer = writes_or_copies if copy else writes_or_faults
        move = (
            Thread(shrink_folios, RECLAIM, on=Cpu(0))
            if swap
            else Thread(migrate_pages, MAPPED, Folio(0), Folio(1), on=Cpu(0))
        )
        return Setup(
            sizes={Cpu: 4 if third else 3, Page: 1, Frame: 2 + copy, LufMm: 1, LufKey: 1},
            start=luf.read_only_moves if swap else luf.read_only_anon,
            threads=[
                move,
                Thread(writer, MM, Page(0), *again, on=Cpu(1)),
                Thread(reads, MM, Page(0), on=Cpu(2)),
                *([Thread(writes, MM, Page(0), on=Cpu(3))] if third else []),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached, luf.changed, luf.copied if copy else luf.moved],
            options=VARIANTS[variant],
        )

    return build


FAULT = (
    fault(
        "LUF.noV2",
        "noV2",
        "a write fault makes the new frame writable; a reader has the old one",
        violates="INV-S2-8",
        aliases=("BAD-S2-4",),
    ),
    fault(
        "LUF.noV2.empty",
        "noV2",
        "the same with an empty PTE, also of a private mapping",
        violates="INV-S2-8",
        swap=True,
    ),
    fault("LUF.noV2.copy", "noV2", "a copy on write needs no V2: it flushes anyway", copy=True),
    fault("LUF.V11.fault", "V11", "the page fault flushes before it returns"),
    fault(
        "LUF.V11.third",
        "V11",
        "another thread writes between the PTE and the flush of the page fault",
        violates="INV-S2-8",
        third=True,
    ),
    fault("LUF.V11.ptl", "ptl", "the page fault flushes before it sets the PTE", third=True),
    fault("LUF.V10.fault", "V10", "v10: do_wp_page() flushes under the PTL", third=True),
    fault(
        "LUF.V10.swap",
        "V10",
        "v10: the PTE was empty, so do_wp_page() is not called",
        violates="INV-S2-8",
        swap=True,
    ),
    fault("LUF.V11.swap", "V11", "v12: every write fault flushes", swap=True),
    fault("LUF.V11.swap-ptl", "ptl", "the same under the PTL", swap=True, third=True),
)


# ------------------------------------------------------------------ write(2)


def writing(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """A file page that is mapped read-only is reclaimed; somebody writes to the file; a thread of
    the process reads the page. INV-S2-8."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 3, Page: 1, Frame: 2, LufMm: 1, LufKey: 1, File: 1},
            start=luf.read_only_file,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                Thread(generic_perform_write, File(0), Folio(1), MAPPED, on=Cpu(1)),
                Thread(reads, MM, Page(0), on=Cpu(2)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached, luf.changed],
            options={**VARIANTS[variant], "luf_pages": "file"},
        )

    return build


WRITE = (
    writing(
        "LUF.noV4",
        "noV4",
        "write() to the file: the reader never sees it, and never faults",
        violates="INV-S2-8",
        aliases=("BAD-S2-5",),
    ),
    writing("LUF.V10", "V10", "v10 does not know write()", violates="INV-S2-8"),
    writing("LUF.V11.write", "V11", "write() flushes what LUF owes for the file"),
)
