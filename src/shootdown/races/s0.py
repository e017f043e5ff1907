"""System S0: mmu_gather, zap_pte_range(), the flush under the PTL, tlb_flush_pending.

One set of paths (``shootdown.linux``), eleven variants of it (:data:`VARIANTS`), four situations to
put them in (the functions below; a fifth is in ``s0_lockless.py``), and what is to be expected of
each. ``docs/s0.md`` explains the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.vcpu import runs
from shootdown.hardware.x86 import x86, x86_virtual
from shootdown.lang import Scenario, Setup, Thread, path, scenario
from shootdown.linux.mm.madvise import madvise_dontneed, madvise_free
from shootdown.linux.mm.memory import do_anonymous_page
from shootdown.linux.mm.page_writeback import write_folio
from shootdown.linux.mm.vmscan import shrink_folio_list
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.user import load, read_page, store, write_page
from shootdown.races import s0_properties as s0

Options = Mapping[str, str]

VARIANTS: dict[str, Options] = {
    "V0": {"zap_flush": "each"},
    "V1": {"zap_dirty": "late"},
    "V2": {"zap_dirty": "flush"},
    "V3": {},
    "V4": {"pending": "none", "nested": "none"},
    "V5": {"pending": "none", "nested": "always"},
    "V6": {},
    "V7": {"pending": "leaked"},
    "V8": {"zap_flush": "forced"},
    "V8.alone": {"zap_flush": "forced", "pending": "none", "nested": "none"},
    "V9": {"fault_flush": "pending"},
    "V9.alone": {"fault_flush": "pending", "nested": "none"},
    "V10": {"pv_flush": "skip-preempted"},
}
"""Which kernel each variant of the reference is, as a change to the kernel of today.

V3 and V6 are the same code, looked at for two different reasons. ``V8.alone`` and ``V9.alone`` are
the proposals without the nested check, which is how they were first discussed.
"""

MM = Mm(0)
PAGE = (Page(0),)


def first(pages: int) -> tuple[Page, ...]:
    """The range of a call: all pages."""
    return tuple(Page(p) for p in range(pages))


def hardware(options: Options) -> dict[str, Any]:
    """x86, with virtual CPUs where the variant knows them."""
    virtual = options.get("pv_flush") == "skip-preempted"
    return {"hardware": x86_virtual if virtual else x86, "options": options}


def on(number: int, options: Options) -> dict[str, Any]:
    """Where a thread runs; a virtual CPU runs only while the hypervisor lets it."""
    virtual = options.get("pv_flush") == "skip-preempted"
    return {"on": Cpu(number), "when": runs if virtual else None}


def counting(options: Options) -> list[Any]:
    """INV-S0-6, where there is a count and it is kept."""
    return [s0.counted] if options.get("pending", "counted") == "counted" else []


# ------------------------------------------------------------------ two MADV_DONTNEED at once


def parallel(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    count: bool = False,
    full: bool = False,
) -> Scenario:
    """Two threads give up the same pages while a third one, on its own CPU, reads one.

    INV-S0-1 (no use after free) and INV-S0-3 (none after the return) are asserted on the way;
    ``count`` looks at INV-S0-6 also where it is known not to hold.
    """
    options = VARIANTS[variant]

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 3, pages: int = 2 if full else 1) -> Setup:
        zap = [
            Thread(madvise_dontneed, MM, first(pages), full_after_one=full, **on(c, options))
            for c in range(cpus - 1)
        ]
        user = Thread(load, MM, Page(0), **on(cpus - 1, options))
        goals = [s0.window, s0.freed]
        if options.get("pending") != "none" and cpus > 2:
            goals.append(s0.nested)
        if "pv_flush" in options:
            goals.append(s0.left_out)
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[*zap, user],
            invariants=[s0.counted] if count else counting(options),
            goals=goals,
            **hardware(options),
        )

    return build


PARALLEL = (
    parallel("S0.V0", "V0", "flush each PTE under the PTL: the slow reference"),
    parallel(
        "S0.V4",
        "V4",
        "no count of open gathers: parallel MADV_DONTNEED",
        violates="INV-S0-3",
        aliases=("BAD-S0-3",),
    ),
    parallel("S0.V5", "V5", "always flush the range of the call (4647706ebeee)"),
    parallel("S0.V6", "V6", "flush everything if gathers are nested (99baac21e458)"),
    parallel("S0.V6.full", "V6", "the gather is full after one page", full=True),
    parallel("S0.V7", "V7", "the count leaks: safe, and every flush becomes a full one"),
    parallel(
        "S0.V7.cnt",
        "V7",
        "the count leaks: and is no count any more",
        violates="INV-S0-6",
        count=True,
    ),
    parallel("S0.V8", "V8", "flush under the PTL whenever a PTE was cleared"),
    parallel("S0.V8.alone", "V8.alone", "the same without the nested check"),
    parallel("S0.V9.ret", "V9", "page faults that flush, and the nested check"),
    parallel(
        "S0.V9.alone",
        "V9.alone",
        "the same without the nested check: no PTE is set, so nothing is flushed",
        violates="INV-S0-3",
    ),
    parallel("S0.V10", "V10", "preempted vCPUs are left out and flushed on resume"),
)


# ------------------------------------------------------------------ a dirty page, and writeback


@path(show="user")
def store_twice(mm: Mm, page: Page) -> None:
    """The second write finds the dirty flag set by the first, in the TLB if nowhere else."""
    write_page(mm, page)
    write_page(mm, page)


def dirty(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    clean: bool = False,
) -> Scenario:
    """One thread gives up a dirty file page, writeback cleans it, a third CPU writes to it twice.

    INV-S0-2 (no lost dirty); in the variants that delay the rmap also INV-S0-7, on which they rest.
    ``clean``: the PTE's dirty flag is still to be set by the first write.
    """
    options = VARIANTS[variant]
    checked: list[Any] = [s0.no_lost_dirty, s0.rmap_finds_writers]
    if options.get("zap_dirty"):
        checked = [s0.rmap_finds_writers if violates == "INV-S0-7" else s0.no_lost_dirty]

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        users = [Thread(store_twice, MM, Page(0), **on(c, options)) for c in range(2, cpus)]
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_clean_pte if clean else s0.mapped_file,
            threads=[
                Thread(madvise_dontneed, MM, first(pages), file=True, **on(0, options)),
                Thread(write_folio, MM, Page(0), Folio(0), **on(1, options)),
                *users,
            ],
            invariants=[*checked, *counting(options)],
            goals=[s0.window, s0.cleaned, *([s0.left_out] if "pv_flush" in options else [])],
            **hardware(options),
        )

    return build


DIRTY = (
    dirty("S0.V0.dirty", "V0", "flush each PTE under the PTL, then drop the rmap"),
    dirty(
        "S0.V1",
        "V1",
        "no flush under the PTL: writeback misses the writer",
        violates="INV-S0-2",
        aliases=("BAD-S0-1", "ZAP-MKCLEAN"),
    ),
    dirty("S0.V1.rmap", "V1", "the same, seen by the rmap walk", violates="INV-S0-7"),
    dirty(
        "S0.V2",
        "V2",
        "the rmap is dropped before the flush: writeback does not wait",
        violates="INV-S0-2",
        aliases=("BAD-S0-2", "RMAP-DELAY"),
    ),
    dirty("S0.V2.rmap", "V2", "the same, seen by the rmap walk", violates="INV-S0-7"),
    dirty(
        "S0.V3",
        "V3",
        "flush under the PTL, then drop the rmap (5df397dec7c4)",
        aliases=("RMAP-DELAY.fixed",),
    ),
    dirty("S0.V3.clean", "V3", "the first write sets the dirty flag, or faults", clean=True),
    dirty("S0.V4.dirty", "V4", "dirty pages do not need the count of open gathers"),
    dirty("S0.V5.dirty", "V5", "nor the flush of the whole range"),
    dirty("S0.V7.dirty", "V7", "a leaking count does no harm to dirty pages"),
    dirty("S0.V8.dirty", "V8", "flush under the PTL for every page"),
    dirty("S0.V9.dirty", "V9", "page faults that flush"),
    dirty("S0.V10.dirty", "V10", "preempted vCPUs are left out and flushed on resume"),
)


# ------------------------------------------------------------------ MADV_FREE, and reclaim


def free(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """Two MADV_FREE of one page; a third CPU writes to it; reclaim comes by.

    INV-S0-2 in the form for anonymous memory: what is written after the return is not discarded.
    """
    options = VARIANTS[variant]

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 4, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon_reclaim,
            threads=[
                *[
                    Thread(madvise_free, MM, first(pages), **on(c, options))
                    for c in range(cpus - 2)
                ],
                Thread(store, MM, Page(0), **on(cpus - 2, options)),
                Thread(shrink_folio_list, MM, Page(0), Folio(0), **on(cpus - 1, options)),
            ],
            invariants=counting(options),
            goals=[s0.discarded, s0.kept],
            **hardware(options),
        )

    return build


FREE = (
    free(
        "S0.V4.free",
        "V4",
        "no count of open gathers: a write after MADV_FREE is lost",
        violates="INV-S0-2",
        aliases=("BAD-S0-4",),
    ),
    free("S0.V5.free", "V5", "always flush the range of the call"),
    free("S0.V6.free", "V6", "flush everything if gathers are nested"),
    free("S0.V7.free", "V7", "the count leaks"),
    free(
        "S0.V8.free",
        "V8.alone",
        "flush under the PTL, but MADV_FREE does not: and no nested check",
        violates="INV-S0-2",
    ),
)


# ------------------------------------------------------------------ a fault before the flush


@path(show="user")
def load_or_fault(mm: Mm, page: Page) -> None:
    """Another thread that uses the page, and faults it in if it has to."""
    if read_page(mm, page) is None:
        do_anonymous_page(mm, page)


def refault(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """One thread gives up a page, another one faults a new frame in; a third CPU reads
    it and may do the same.

    INV-S0-4 (one translation at a time); INV-S0-1, INV-S0-3 and INV-S0-6 are looked at as well.
    """
    options = VARIANTS[variant]

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages + 2, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(madvise_dontneed, MM, first(pages), **on(0, options)),
                Thread(do_anonymous_page, MM, Page(0), **on(1, options)),
                *[Thread(load_or_fault, MM, Page(0), **on(c, options)) for c in range(2, cpus)],
            ],
            invariants=[s0.one_translation, *counting(options)],
            goals=[s0.window, s0.replaced],
            **hardware(options),
        )

    return build


REFAULT = (
    refault("S0.V0.one", "V0", "each PTE is flushed before the PTL is dropped"),
    refault("S0.V4.one", "V4", "a flush at the end comes too late", violates="INV-S0-4"),
    refault("S0.V5.one", "V5", "nor does a flush of the whole range help", violates="INV-S0-4"),
    refault(
        "S0.V6.one",
        "V6",
        "old and new frame are in use at the same time",
        violates="INV-S0-4",
        aliases=("BAD-S0-5",),
    ),
    refault("S0.V8.one", "V8", "the flush under the PTL is what it takes"),
    refault("S0.V9", "V9", "a page fault that flushes first does it too", aliases=("S0.V9.one",)),
)
