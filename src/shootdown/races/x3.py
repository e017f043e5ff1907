"""System X3: paths that take rights from PTEs and free nothing.

mremap(), migration to a device, and the rule that they share. ``docs/x3.md`` explains the results;
the historic races are in ``historic_*.py``.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.migrate import migrate_pages, migrate_vma_collect_pmd
from shootdown.linux.mm.mremap import mremap
from shootdown.linux.mm.truncate import truncate_pagecache
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.x3_properties import verdict

MM = Mm(0)
OLD, NEW = Page(0), Page(1)


def move(
    name: str,
    title: str,
    flush: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    split: bool = True,
    rule: bool = True,
    dirty: bool = False,
    dontunmap: bool = False,
) -> Scenario:
    """mremap() moves a file page, truncation comes from the file and frees it, a third CPU uses
    the old address: it reads, or it writes if the page is ``dirty`` (else a store walks again and
    faults). INV-UAF and INV-RET; ``rule``: INV-X3, on which they rest."""
    user = x3.writer if dirty else x3.reader

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 2, Frame: 1, Mm: 1},
            start=x3.file_page_dirty if dirty else x3.file_page,
            threads=[
                Thread(mremap, MM, OLD, NEW, on=Cpu(1), dontunmap=dontunmap),
                Thread(truncate_pagecache, MM, (OLD, NEW), Folio(0), on=Cpu(0)),
                *[Thread(user, MM, OLD, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted, *([x3.flushed_before_unlock] if rule else [])],
            goals=[x3.window, x3.moved, x3.freed, x3.returned],
            options={"mremap_flush": flush, "ptl": "split" if split else "one", "uaf": "use"},
        )

    return build


MREMAP = (
    move("X3.mremap", "flush before either PTL is dropped", "locked"),
    move("X3.mremap.one", "the same with one page table", "locked", split=False),
    move("X3.mremap.dirty", "the same, and the page is dirty", "locked", dirty=True),
    move(
        "X3.mremap-dontunmap",
        "truncation owes a flush, MREMAP_DONTUNMAP does not see that",
        "locked",
        violates="INV-RET",
        dontunmap=True,
    ),
    move("X3.mremap-late", "flush after both are dropped", "late", violates="INV-X3"),
    move(
        "X3.mremap-late.uaf",
        "the same: a store reaches a frame that truncation has freed",
        "late",
        violates="INV-UAF",
        dirty=True,
        rule=False,
    ),
    move("X3.mremap-between", "flush after the new one is dropped", "between", violates="INV-X3"),
    move(
        "X3.mremap-between.truncate",
        "the same: truncation visits the old place first, and waits there",
        "between",
        rule=False,
    ),
    move("X3.mremap-dirty", "flush in time only what is dirty", "dirty", violates="INV-X3"),
    move(
        "MREMAP-PTL",
        "mremap flushes after it has dropped the PTLs (CVE-2018-18281)",
        "dirty",
        violates="INV-UAF",
        aliases=("BAD-X3-1",),
        split=False,
        rule=False,
    ),
    move(
        "MREMAP-PTL.fixed",
        "mremap flushes what is present with the PTLs held (eb66ae030829)",
        "locked",
        split=False,
    ),
)


# ------------------------------------------------------------------ against migration


def move_migrate(name: str, title: str, flush: str, *, violates: str | None = None) -> Scenario:
    """mremap() moves a page while migration replaces its frame: it visits the old place, then the
    new one, passes over an empty PTE without the PTL, and flushes each PTE that it takes out
    (before 6.3). A third CPU writes through the old address. INV-STABLE: no store is missed."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        where = ((MM, OLD), (MM, NEW))
        return Setup(
            sizes={Cpu: cpus, Page: 2, Frame: 2, Mm: 1},
            start=x3.anon_page_isolated,
            threads=[
                Thread(mremap, MM, OLD, NEW, on=Cpu(1), file=False),
                Thread(
                    migrate_pages, where, Folio(0), Folio(1), on=Cpu(0), batch=False, sync=False
                ),
                *[Thread(x3.writer, MM, OLD, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted, x3.no_store_is_missed],
            goals=[x3.window, x3.moved, x3.replaced, x3.returned],
            options={"mremap_flush": flush, "ptl": "split", "uaf": "use"},
        )

    return build


MREMAP_MIGRATE = (
    move_migrate("X3.mremap.migrate", "mremap and migration", "locked"),
    move_migrate(
        "X3.mremap-between.migrate",
        "flush after the new PTL is dropped: migration does not wait for the old one",
        "between",
        violates="INV-STABLE",
    ),
)


# ------------------------------------------------------------------ migration to a device


def collect(name: str, title: str, flush: str, *, violates: str | None, rule: bool) -> Scenario:
    """A page is taken out for a device; the process gives it up and returns; a third CPU reads it.
    INV-RET; ``rule``: INV-X3."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, Mm: 1},
            start=x3.file_page,
            threads=[
                Thread(migrate_vma_collect_pmd, MM, OLD, on=Cpu(0)),
                Thread(madvise_dontneed, MM, (OLD,), on=Cpu(1), file=True),
                *[Thread(x3.reader, MM, OLD, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted, *([x3.flushed_before_unlock] if rule else [])],
            goals=[x3.window, x3.returned],
            options={"collect_flush": flush, "uaf": "use"},
        )

    return build


DEVICE = (
    collect(
        "MIGRATE-DEVICE-PTL",
        "migrate_vma_collect_pmd() flushes after the PTL is dropped",
        "late",
        violates="INV-RET",
        rule=False,
    ),
    collect(
        "MIGRATE-DEVICE-PTL.fixed",
        "migrate_vma_collect_pmd() flushes with the PTL held (60bae7370896)",
        "locked",
        violates=None,
        rule=True,
    ),
    collect(
        "X3.collect-late",
        "migrate_vma_collect_pmd() flushes after the PTL is dropped: the rule",
        "late",
        violates="INV-X3",
        rule=True,
    ),
)
