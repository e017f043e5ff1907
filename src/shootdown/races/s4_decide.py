"""System S4: what others conclude from a PTE while a device is still to be told (INV-S4-3).

A call that finds a PTE empty, or read-only, has nothing to do and returns; a device must not be
able to use then what the call promised to take away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.fs.proc.task_mmu import clear_refs_write
from shootdown.linux.mm.ksm import try_to_merge_one_page
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.memory_wp import do_wp_page
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.mprotect import change_prot_numa, mprotect
from shootdown.linux.mm.userfaultfd import mwriteprotect_range
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s4_properties as s4
from shootdown.races.s4 import IOMMU, MM, VARIANTS, counting, verdict, victims

Options = Mapping[str, str]
PAGE = (Page(0),)
ALONE: Options = {"nested": "none"}
"""Nobody asks whether other gathers are open, as before 4.13: the kernel of BAD-S0-3."""


def variant_of(name: str) -> str:
    """The variant whose name this one begins with."""
    return next(v for v in sorted(VARIANTS, key=len, reverse=True) if name.startswith(v + "."))


# ------------------------------------------------------------------ two MADV_DONTNEED at once


def parallel(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    calls: int = 2,
    full: bool = False,
    once: bool = False,
) -> Scenario:
    """Threads give up the same page, which a device uses. ``full``: the gather has room for one
    page, so that it is freed before range_end."""
    notify = VARIANTS[variant_of(name)]
    checked: list[Any] = [s4.no_dma_after_free, s4.no_right_left]

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = calls, devices: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, Mm: 1, Device: devices},
            start=s4.mapped_anon,
            threads=[
                Thread(madvise_dontneed, MM, PAGE, full_after_one=full, on=Cpu(c))
                for c in range(cpus)
            ],
            hardware=counting(IOMMU) if once else IOMMU,
            invariants=[*checked, s4.told_once] if once else checked,
            goals=[s4.window, s4.freed, s4.returned],
            options={"notify": notify, **(options or {})},
        )

    return build


PARALLEL = (
    parallel("N.a.dontneed", "told before the PTL is dropped: no count is needed", options=ALONE),
    parallel(
        "N.b.dontneed",
        "told after the PTL is dropped: the other call has returned",
        violates="INV-S4-3",
        options=ALONE,
    ),
    parallel(
        "N.c.dontneed",
        "each call tells in its range_end, whatever it found: no count is needed",
        options=ALONE,
    ),
    parallel(
        "N.c.full",
        "told in range_end, and a full gather frees before",
        violates="INV-S4-1",
        calls=1,
        full=True,
    ),
    parallel("N.conly_end.dontneed", "both, as it was until 6.5", options=ALONE),
    parallel("N.conly_end.full", "the gather tells before it frees", calls=1, full=True),
    parallel(
        "N.conly_end.twice",
        "range_end tells, and so does the gather",
        violates="INV-S4-6",
        calls=1,
        once=True,
    ),
    parallel(
        "N.arch.unasked",
        "told by the flush, and the flush is put off: the other call has returned",
        violates="INV-S4-3",
        aliases=("BAD-S4-4",),
        options=ALONE,
    ),
    parallel("N.arch.dontneed", "the same, and nested gathers flush everything"),
    parallel("N.arch.full", "the flush tells before the gather frees", calls=1, full=True),
    parallel("N.arch.once", "one call, one flush, told once", calls=1, once=True),
)


# ------------------------------------------------------------------ reclaim, and a call


def reclaim(
    name: str,
    title: str,
    *,
    call: Any = madvise_dontneed,
    options: Options | None = None,
    violates: str | None = None,
) -> Scenario:
    """Reclaim unmaps a file page that a device uses; a call for the same range finds it empty."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, **verdict(violates))
    def build(devices: int = 1) -> Setup:
        file: dict[str, Any] = {} if call is mprotect else {"file": True}
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 1, Mm: 1, Device: devices},
            start=s4.mapped_file,
            threads=[
                Thread(shrink_folios, victims(1), on=Cpu(0)),
                Thread(call, MM, PAGE, on=Cpu(1), **file),
            ],
            hardware=IOMMU,
            invariants=[s4.no_dma_after_free, s4.no_right_left],
            goals=[s4.window, s4.freed, s4.returned],
            options={"notify": notify, "tlb_batched": "counted", **(options or {})},
        )

    return build


RECLAIM = (
    reclaim("N.a.reclaim", "reclaim tells under the PTL"),
    reclaim("N.b.reclaim", "reclaim tells after the PTL: the call is back", violates="INV-S4-3"),
    reclaim("N.b.reclaim-mprotect", "the same with mprotect()", call=mprotect, violates="INV-S4-3"),
    reclaim("N.c.reclaim", "reclaim tells in range_end, and so does the call, for itself"),
    reclaim("N.c.reclaim-mprotect", "the same with mprotect()", call=mprotect),
    reclaim("N.arch.reclaim", "reclaim tells when it queues the flush, under the PTL"),
    reclaim("N.arch.reclaim-mprotect", "the same with mprotect()", call=mprotect),
)


# ------------------------------------------------------------------ write protection, and a copy


def protect(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
    protector: Any = mwriteprotect_range,
    merge: bool = False,
) -> Scenario:
    """userfaultfd (or another ``protector``) write-protects a page that a device writes to; a write
    fault of another thread finds it read-only and copies it; or KSM finds it so and puts an equal
    one there (``merge``)."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, **verdict(violates))
    def build(devices: int = 1) -> Setup:
        if merge:
            decider = Thread(try_to_merge_one_page, MM, Page(0), Folio(0), Folio(1), on=Cpu(1))
        else:
            uffd = protector is mwriteprotect_range
            decider = Thread(do_wp_page, MM, Page(0), Folio(1), uffd=uffd, on=Cpu(1))
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 2, Mm: 1, Device: devices},
            start=s4.mapped_for_copy,
            threads=[
                Thread(protector, MM, PAGE, on=Cpu(0)),
                decider,
                *[Thread(s4.writes, Device(d), Page(0), on=Device(d)) for d in range(devices)],
            ],
            hardware=IOMMU,
            invariants=[s4.no_lost_dma],
            goals=[s4.replaced, s4.written],
            options={"notify": notify, **(options or {})},
        )

    return build


PROTECT = (
    protect("N.a.protect", "told when the page is protected, under the PTL"),
    protect(
        "N.conly_end.protect",
        "a protected page is told about in range_end: copied before that",
        violates="INV-S4-3",
    ),
    protect("N.arch.protect", "the flush for the CPUs that the fault does first tells devices"),
    protect(
        "N.arch.protect-unasked",
        "the fault does not ask for pending flushes",
        violates="INV-S4-3",
        options={"uffd_wp": "none"},
    ),
    protect("N.conly_end.merge", "KSM tells in a range_end of its own, then compares", merge=True),
    protect("N.arch.merge", "KSM flushes if a flush is pending", merge=True),
    protect(
        "N.conly_end.mprotect",
        "mprotect() keeps page faults out until devices were told",
        protector=mprotect,
    ),
    protect("N.arch.mprotect", "mprotect() flushes before page faults go on", protector=mprotect),
    protect(
        "N.conly_end.softdirty",
        "clear_refs keeps page faults out until devices were told",
        protector=clear_refs_write,
    ),
    protect(
        "N.arch.softdirty",
        "clear_refs flushes before page faults go on",
        protector=clear_refs_write,
    ),
    protect(
        "N.conly_end.softdirty-read",
        "clear_refs lets page faults in, and one copies (before 29a951dfb3c3)",
        violates="INV-S4-3",
        protector=clear_refs_write,
        options={"clear_refs": "read-locked"},
    ),
)


# ------------------------------------------------------------------ NUMA hints, and migration


def numa(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
) -> Scenario:
    """NUMA balancing makes a page PROT_NONE that a device writes to, and tells late; migration
    finds it so, and copies it."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, **verdict(violates))
    def build(devices: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 2, Mm: 1, Device: devices},
            start=s4.mapped_for_migration,
            threads=[
                Thread(migrate_pages, ((MM, Page(0)),), Folio(0), Folio(1), on=Cpu(0)),
                Thread(change_prot_numa, MM, PAGE, on=Cpu(1)),
                *[Thread(s4.writes, Device(d), Page(0), on=Device(d)) for d in range(devices)],
            ],
            hardware=IOMMU,
            invariants=[s4.no_dma_after_free, s4.no_lost_dma],
            goals=[s4.window, s4.replaced, s4.written],
            options={"notify": notify, "tlb_batched": "counted", **(options or {})},
        )

    return build


NUMA = (
    numa("N.conly_end.numa", "migration tells in a range_end of its own, before it copies"),
    numa("N.arch.numa", "migration flushes, and so tells, if a flush is pending"),
    numa(
        "N.arch.numa-unasked",
        "migration takes a PROT_NONE entry for flushed",
        violates="INV-S4-3",
        options={"accessible": "present"},
    ),
)
