"""System S0 on a 32-bit kernel with PAE: a page-table entry is two words, and a reader takes no
lock, or is the page walker, which reads both at once.

INV-S0-5: a present value that ``ptep_get_lockless()`` returns is one that the entry had, at some
instant during the call. INV-TORN: what a CPU translates with is an entry as it was meant. What
holds on other machines holds here, too: INV-S0-1 and INV-S0-3 are looked at in each state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.lang.decorators import Function
from shootdown.linux.mm.gup import gup_fast_pte_range
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.memory import do_anonymous_page, do_read_fault
from shootdown.linux.mm.mmap import unmap_mapping_range
from shootdown.linux.mm.page_writeback import write_folio
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.user import load
from shootdown.races import s0_properties as s0
from shootdown.races.s0 import MM, VARIANTS, Options, counting, first, hardware, on, store_twice
from shootdown.races.s0_questions import fault_after_reclaim


def translations(options: Options) -> list[Any]:
    """What no CPU may have in its TLB in any scenario of PAE, and INV-S0-6."""
    return [s0.whole_entries, s0.nothing_freed, s0.nothing_revoked, *counting(options)]


def of_pae(
    name: str,
    title: str,
    options: Options,
    violates: str | None,
    both: Callable[[int], list[Thread]],
    look: Function[..., Any],
    *,
    start: Function[..., Any],
    more_frames: int = 0,
    invariants: Sequence[Any] = (),
    goals: Sequence[Any] = (s0.changed_under_reader, s0.window),
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """A scenario of PAE: threads on the first two CPUs, which ``both`` makes for so many pages, and
    on each other CPU one that looks at the first page meanwhile. There are as many frames as pages,
    and ``more_frames``."""

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages + more_frames, Mm: 1},
            start=start,
            threads=[
                *both(pages),
                *[Thread(look, MM, Page(0), **on(c, options)) for c in range(2, cpus)],
            ],
            invariants=[*invariants, *translations(options)],
            goals=list(goals),
            **hardware({"pte": "pae", **options}),
        )

    return build


# ------------------------------------------------------------------ another frame


def lockless(
    name: str,
    options: Options,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    low_differs: bool = False,
    one: bool = False,
) -> Scenario:
    """PAE: one thread gives up a page, another one faults a new frame in, a third one reads the
    entry without a lock. The frames are a multiple of 4 GiB apart unless ``low_differs``.

    INV-S0-5 (a present value that is read was really there); INV-S0-4 if there is to be ``one``
    translation at a time.
    """
    return of_pae(
        name,
        title,
        options,
        violates,
        lambda pages: [
            Thread(madvise_dontneed, MM, first(pages), **on(0, options)),
            Thread(do_anonymous_page, MM, Page(0), **on(1, options)),
        ],
        gup_fast_pte_range,
        start=s0.mapped_pae_low_differs if low_differs else s0.mapped_pae,
        more_frames=1,
        invariants=[s0.one_translation] if one else [],
        aliases=aliases,
    )


PV: Options = VARIANTS["V10"]

LOCKLESS = (
    lockless(
        "S0.V0.pae", VARIANTS["V0"], "each PTE is flushed: that waits for the reader", one=True
    ),
    lockless(
        "S0.V6.pae",
        VARIANTS["V6"],
        "the reader mixes two entries with equal low halves",
        violates="INV-S0-5",
        aliases=("BAD-S0-6",),
    ),
    lockless("S0.V6.pae-low", VARIANTS["V6"], "the low halves differ", low_differs=True),
    lockless(
        "S0.V6.pae-whole",
        {**VARIANTS["V6"], "pae_clear": "whole"},
        "both halves are removed at once (4.19): the reader mixes entries all the same",
        violates="INV-S0-5",
    ),
    lockless("S0.V8.pae", VARIANTS["V8"], "the flush under the PTL waits for the reader", one=True),
    lockless("S0.V9.pae", VARIANTS["V9"], "the page fault's flush waits for the reader", one=True),
    lockless(
        "S0.V9.pae-pv",
        {**VARIANTS["V9"], **PV},
        "the page fault's flush leaves a preempted reader out",
        violates="INV-S0-5",
    ),
    lockless(
        "S0.V10.pae",
        {**VARIANTS["V8"], **PV},
        "the flush leaves a preempted reader out, and waits for nobody",
        violates="INV-S0-5",
    ),
)


# ------------------------------------------------------------------ the same frame again


def same_frame(
    name: str, title: str, options: Options, violates: str | None = None, *, truncate: bool = False
) -> Scenario:
    """PAE: a file page is given up and faulted in again, within one lockless read. The entry has
    the same value before and after, so its low half has, whatever the frame's number. ``truncate``:
    it is not user space that gives it up but a hole that is punched into the file."""

    def both(pages: int) -> list[Thread]:
        zap = (
            Thread(unmap_mapping_range, MM, first(pages), on=Cpu(0))
            if truncate
            else Thread(madvise_dontneed, MM, first(pages), file=True, on=Cpu(0))
        )
        return [zap, Thread(do_read_fault, MM, Page(0), Folio(0), on=Cpu(1))]

    return of_pae(
        name, title, options, violates, both, gup_fast_pte_range, start=s0.mapped_pae_file
    )


SAME_FRAME = (
    same_frame(
        "S0.V6.pae-same",
        "the same file page comes back: no two frames with equal low halves are needed",
        VARIANTS["V6"],
        "INV-S0-5",
    ),
    same_frame("S0.V8.pae-same", "the same, flushed under the PTL", VARIANTS["V8"]),
    same_frame("S0.V9.pae-same", "the same, flushed by the page fault", VARIANTS["V9"]),
    same_frame(
        "S0.V8.pae-truncate",
        "truncation does not ask for the flush under the PTL",
        VARIANTS["V8"],
        "INV-S0-5",
        truncate=True,
    ),
    same_frame(
        "S0.V9.pae-truncate", "the page fault flushes all the same", VARIANTS["V9"], truncate=True
    ),
)


# ------------------------------------------------------------------ reclaim


def reclaimed(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """PAE: reclaim unmaps a file page in a batch, and it is faulted in again, in another frame with
    the same low half, within one lockless read. INV-S0-5."""

    def both(pages: int) -> list[Thread]:
        victims = tuple((Folio(page.index), ((MM, page),)) for page in first(pages))
        return [
            Thread(shrink_folios, victims, on=Cpu(0)),
            Thread(fault_after_reclaim, MM, Page(0), Folio(0), Folio(pages), on=Cpu(1)),
        ]

    return of_pae(
        name,
        title,
        {"tlb_batched": "counted", **options},
        violates,
        both,
        gup_fast_pte_range,
        start=s0.mapped_pae_reclaim,
        more_frames=1,
        invariants=[] if violates else [s0.one_translation],
    )


RECLAIMED = (
    reclaimed(
        "S0.V9.pae-reclaim",
        "the page fault does not see the batch of reclaim, and does not wait for the reader",
        VARIANTS["V9"],
        "INV-S0-5",
    ),
    reclaimed(
        "S0.V9.pae-reclaim-batched",
        "the page fault asks for batches, too",
        {"fault_flush": "batched"},
    ),
)


# ------------------------------------------------------------------ the page walker


def walking(
    name: str,
    title: str,
    options: Options,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """PAE: one thread gives up a page, another one faults a new frame in, user space reads it on a
    third CPU. INV-TORN (no walker reads halves of two entries), INV-S0-1 and INV-S0-3."""
    return of_pae(
        name,
        title,
        options,
        violates,
        lambda pages: [
            Thread(madvise_dontneed, MM, first(pages), on=Cpu(0)),
            Thread(do_anonymous_page, MM, Page(0), on=Cpu(1)),
        ],
        load,
        start=s0.mapped_pae_foreign,
        more_frames=2,
        goals=[s0.window, s0.replaced, s0.freed],
        aliases=aliases,
    )


WALKING = (
    walking(
        "S0.V6.pae-walk",
        "made high half first, removed low half first: no walker reads a mixture",
        {},
        aliases=("PAE-CLEAR.fixed",),
    ),
    walking("S0.V6.pae-walk-whole", "removed in one piece (4.19)", {"pae_clear": "whole"}),
    walking(
        "S0.V6.pae-set-low",
        "made low half first: for a moment another process's frame is mapped",
        {"pae_set": "low-first"},
        "INV-TORN",
    ),
    walking(
        "S0.V6.pae-clear-high",
        "removed high half first: what was above 4 GiB is below it (until 2.6.17)",
        {"pae_clear": "high-first"},
        "INV-TORN",
        aliases=("PAE-CLEAR",),
    ),
)


def written(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """PAE: a file page is given up and written back while another CPU writes to it twice, the first
    time through a PTE without D. INV-S0-2, and where that holds INV-S0-7, as ``S0.V3.clean``."""
    return of_pae(
        name,
        title,
        options,
        violates,
        lambda pages: [
            Thread(madvise_dontneed, MM, first(pages), file=True, on=Cpu(0)),
            Thread(write_folio, MM, Page(0), Folio(0), on=Cpu(1)),
        ],
        store_twice,
        start=s0.mapped_pae_shared,
        invariants=[s0.no_lost_dirty, *([] if violates else [s0.rmap_finds_writers])],
        goals=[s0.window, s0.cleaned],
    )


WRITTEN = (
    written("S0.V3.pae", "D is in the low half, and the exchange takes it", {}),
    written(
        "S0.V3.pae-store",
        "the low half is read, then overwritten: a D in between is lost",
        {"pae_clear": "load-store"},
        "INV-S0-2",
    ),
)
