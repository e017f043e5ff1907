"""System S2a: what reclaim and migration must flush before a folio is written, copied or freed."""

from __future__ import annotations

from typing import Any

from shootdown.hardware.arm64 import arm64
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    Scenario,
    Setup,
    Thread,
    atomic_inc,
    note,
    path,
    scenario,
    set_bit,
    test_and_clear_bit,
)
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.page_writeback import write_folio
from shootdown.linux.mm.rmap import folio_ref_sub, try_to_unmap
from shootdown.linux.mm.rmap_batch import TlbUbc, try_to_unmap_flush
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import s2a_properties as s2a
from shootdown.races import x3_properties as x3
from shootdown.races.s2a import MM, VARIANTS, Options, machine, victims
from shootdown.races.x3_properties import verdict

# ------------------------------------------------------------------ before I/O, and before freeing


def reclaim(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    dirty: bool = True,
    number: int = 1,
    goals: tuple[Any, ...] = (s2a.window, s2a.reclaimed),
    io: bool = True,
) -> Scenario:
    """Reclaim unmaps file pages in a batch, writes dirty ones to disk, and frees them; other CPUs
    write to the last one. INV-S2-1, INV-S2-2 (if ``io``), and that nothing written is lost."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 2, pages: int = number) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s2a.mapped_dirty if dirty else s2a.mapped_clean,
            threads=[
                Thread(shrink_folios, victims(*range(pages)), on=Cpu(0)),
                *[Thread(s2a.writer, MM, Page(pages - 1), on=Cpu(c)) for c in range(1, cpus)],
            ],
            hardware=machine(VARIANTS[variant]),
            invariants=[s2a.owed_is_known, *([s2a.no_writer_during_io] if io else [])],
            goals=[*goals, *([s2a.written] if dirty else [])],
            options=VARIANTS[variant],
        )

    return build


RECLAIM = (
    reclaim("S2a.V4", "V4", "a dirty page is written before the flush", violates="INV-S2-2"),
    reclaim(
        "S2a.V4.lost",
        "V4",
        "the same: a store after the I/O has begun is lost",
        violates="INV-DIRTY",
        io=False,
    ),
    reclaim("S2a.V5", "V5", "freed before the flush", violates="INV-S2-1", dirty=False),
    reclaim(
        "S2a.V5.dirty",
        "V5",
        "a dirty page is saved by the flush before the I/O",
        dirty=True,
    ),
    reclaim(
        "S2a.V6",
        "V6",
        "a CPU that writes through a clean entry without a walk: the store is lost",
        violates="INV-DIRTY",
        dirty=False,
    ),
    reclaim("S2a.V8.dirty", "V8", "flush, write to disk, flush, free"),
    reclaim("S2a.V8.dirty-arm64", "V8.arm64", "arm64: the same, without interrupts"),
    reclaim("S2a.V8.clean", "V8", "a clean page: a store walks again, and faults", dirty=False),
    reclaim("S2a.V8.pages", "V8", "two pages, one flush for both", number=2),
    reclaim(
        "S2a.V8.wrap",
        "V8",
        "the count gets large and starts again from 1",
        number=3,
        dirty=False,
    ),
)


@scenario("S2a.V8.mms", expect="HOLDS", title="one folio, two processes, one flush")
def two_processes(cpus: int = 3, pages: int = 1) -> Setup:
    """Reclaim unmaps one folio from two processes that run on a CPU each, and tells both CPUs in
    one round."""
    mms = tuple(Mm(number) for number in range(cpus - 1))
    where = [tuple((mm, Page(p)) for mm in mms) for p in range(pages)]
    return Setup(
        sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: cpus - 1},
        start=s2a.mapped_by_two,
        threads=[
            Thread(shrink_folios, tuple((Folio(p), where[p]) for p in range(pages)), on=Cpu(0)),
            *[Thread(s2a.writer, mm, Page(0), on=Cpu(mm.index + 1)) for mm in mms],
        ],
        hardware=x86,
        invariants=[s2a.owed_is_known, s2a.no_writer_during_io],
        goals=[s2a.window, s2a.reclaimed, s2a.written],
        options=VARIANTS["V8"],
    )


# ------------------------------------------------------------------ a dirty page that reclaim keeps


def flusher(
    name: str,
    title: str,
    pageout: str,
    *,
    violates: str | None = None,
    lost: bool = False,
) -> Scenario:
    """Reclaim unmaps a file folio, finds it dirty, and leaves it to the flusher, which waits for
    the folio lock and then finds nothing mapped; a third CPU writes. INV-S2-2, or that the store
    is ``lost`` (INV-S0-2)."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s2a.mapped_dirty_known,
            threads=[
                Thread(shrink_folios, victims(*range(pages)), on=Cpu(0)),
                Thread(write_folio, MM, Page(0), Folio(0), on=Cpu(1)),
                *[Thread(s2a.writer, MM, Page(0), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[
                s2a.owed_is_known,
                s0.no_lost_dirty if lost else s2a.no_writer_during_io,
            ],
            goals=[s2a.window, s2a.written],
            options={**VARIANTS["V8"], "pageout": pageout},
        )

    return build


FLUSHER = (
    flusher(
        "S2a.V8.flusher",
        "reclaim keeps a dirty folio unflushed, the flusher thread writes it",
        "keep",
        violates="INV-S2-2",
    ),
    flusher(
        "S2a.V8.flusher.lost",
        "the same: a store after that is lost",
        "keep",
        violates="INV-S0-2",
        lost=True,
    ),
    flusher(
        "S2a.V8.flusher-fixed",
        "reclaim flushes before it unlocks a dirty folio",
        "keep-flushed",
    ),
    flusher("S2a.V8.pageout", "reclaim writes the folio itself", "write"),
)


# ------------------------------------------------------------------ migration, and two reclaimers


def migrate(
    name: str, title: str, options: Options, *, violates: str | None = None, batch: bool = True
) -> Scenario:
    """Migration unmaps a page in a batch, copies it and maps the copy; another CPU writes to it.
    INV-STABLE: the copy lacks no store."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        where = ((MM, Page(0)),)
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 2, Mm: 1},
            start=x3.anon_page_isolated,
            threads=[
                Thread(migrate_pages, where, Folio(0), Folio(1), on=Cpu(0), batch=batch),
                *[Thread(x3.writer, MM, Page(0), on=Cpu(c)) for c in range(1, cpus)],
            ],
            hardware=x86,
            invariants=[x3.no_store_is_missed, s2a.owed_is_known],
            goals=[x3.replaced, *([s2a.window] if batch else [])],
            options={**VARIANTS["V8"], "uaf": "use", **options},
        )

    return build


MIGRATE = (
    migrate(
        "S2a.V4.migrate",
        "migration copies before it flushes the batch",
        {"migrate_flush": "late"},
        violates="INV-STABLE",
    ),
    migrate("S2a.V8.migrate", "migration flushes the batch, then copies (7e12beb8ca2a)", {}),
    migrate("S2a.V0.migrate", "migration flushes each PTE under the PTL", {}, batch=False),
)


@scenario("S2a.V8.two", expect="HOLDS", title="arm64: each reclaimer waits for its own TLBIs only")
def two_reclaimers(cpus: int = 3, pages: int = 2) -> Setup:
    """Two tasks reclaim pages of one process, the second one all but the first; a DSB waits for
    the TLBIs of its own CPU."""
    return Setup(
        sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
        start=s2a.mapped_clean_two,
        threads=[
            Thread(shrink_folios, victims(0), on=Cpu(0)),
            Thread(shrink_folios, victims(*range(1, pages)), on=Cpu(1)),
            *[Thread(s2a.writer, MM, Page(1), on=Cpu(c)) for c in range(2, cpus)],
        ],
        hardware=arm64,
        invariants=[s2a.owed_is_known],
        goals=[s2a.window, s2a.reclaimed],
        options=VARIANTS["V8.arm64"],
    )


# ------------------------------------------------------------------ Q-S2-6: a folio in two parts


class LruFolio(Folio):
    """``lru``: PG_lru. Who clears it has the folio to himself, and a reference."""

    lru: bool = True


@path(show="folio_putback_lru()")
def folio_putback_lru(folio: LruFolio) -> None:
    """Others may isolate the folio again; the reference goes."""
    set_bit(folio.lru)
    folio_ref_sub(folio)


@path(show="kswapd")
def unmap_a_part(mm: Mm, folio: LruFolio, *, early: bool) -> None:
    """Reclaim isolates a folio, unmaps it from one of two processes, and gives up. It is put back
    when the batch was flushed (``move_folios_to_lru()``), or ``early``, before that."""
    if test_and_clear_bit(folio.lru):
        atomic_inc(folio.refcount)
        ubc = TlbUbc()
        with folio.lock:
            try_to_unmap(((mm, Page(mm.index)),), folio, ubc)
        if early:
            folio_putback_lru(folio)
        try_to_unmap_flush(ubc)
        if not early:
            folio_putback_lru(folio)
    else:
        note("isolated by somebody else")


@path(show="direct reclaim")
def reclaim_the_rest(mm: Mm, folio: LruFolio) -> None:
    """Another task isolates the folio, unmaps it from the other process, and frees it."""
    if test_and_clear_bit(folio.lru):
        atomic_inc(folio.refcount)
        shrink_folios(((folio, ((mm, Page(mm.index)),)),))
    else:
        note("isolated by somebody else")


def parts(name: str, title: str, *, early: bool, violates: str | None = None) -> Scenario:
    """arm64: a folio of two processes that run on a CPU each. One task unmaps it from the first
    and gives up; another one unmaps it from the second and frees it. INV-S2-1."""

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 4, Page: 2, LruFolio: 1, Mm: 2},
            start=s2a.mapped_by_two_of_four,
            threads=[
                Thread(unmap_a_part, Mm(0), LruFolio(0), early=early, on=Cpu(0)),
                Thread(reclaim_the_rest, Mm(1), LruFolio(0), on=Cpu(1)),
            ],
            hardware=arm64,
            goals=[s2a.window, s2a.reclaimed],
            options=VARIANTS["V8.arm64"],
        )

    return build


PARTS = (
    parts(
        "S2a.V8.parts",
        "two reclaimers unmap a folio in turn; each waits before he lets go of it",
        early=False,
    ),
    parts(
        "S2a.V8.parts-early",
        "the first lets go before he waits: the other one's DSB is not enough",
        early=True,
        violates="INV-S2-1",
    ),
)
