"""Migration of a process's pages while its threads use them (system S2)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Frame, Noted, Page, Pte
from shootdown.hardware.pcid import Pcid
from shootdown.hardware.walker import Region
from shootdown.lang import WRITE_ONCE, Thread, atomic_inc, path, wait_until
from shootdown.lang.large import Span
from shootdown.linux.arch.x86.tlbflush import TlbState
from shootdown.linux.mm import migrate
from shootdown.linux.mm.file_types import FileFolio, Mapping
from shootdown.linux.mm.memory import alloc_page, finish_fault
from shootdown.linux.mm.migrate import migrate_pages_batch
from shootdown.linux.mm_types import Mm, Pages, page_folio
from shootdown.linux.pgtable import pte_lockptr, ptep_get
from shootdown.linux.user import read_page, write_page
from shootdown.workloads.externs import compute, random, spend
from shootdown.workloads.reclaim import SIZE, ReclaimMm
from shootdown.workloads.user import enter, system_call
from shootdown.workloads.x86 import X86


@path
def copy_page() -> None:
    """The contents of a page."""
    spend("copy_page", 1)


MIGRATION = replace(X86, instead={**X86.instead, migrate.folio_mc_copy: copy_page})


@path(show="page fault")
def first_fault(mm: Mm, mapping: Mapping, page: Page) -> None:
    """A write fault on memory that was never touched: a zeroed page, which knows its place."""
    spend("page_fault", 1)
    folio = cast(FileFolio, alloc_page())
    WRITE_ONCE(folio.mapping, mapping)
    WRITE_ONCE(folio.index_page, page)
    spend("clear_page", 1)
    finish_fault(
        mm, page, folio,
        Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio),
    )  # fmt: skip


@path(show="migration_entry_wait()")
def migration_fault(mm: Mm, page: Page) -> None:
    """A fault on a page that is being migrated: wait, and try again."""
    spend("page_fault", 1)
    wait_until(mm.pte[page].noted != Noted.MIGRATION)


@path(show="populate")
def populate(mm: Mm, mapping: Mapping, pages: Pages) -> None:
    """The process writes to all of its memory once."""
    enter(mm)
    mapping.i_mmap.add(mm)
    for page in pages:
        if write_page(mm, page) is None:
            first_fault(mm, mapping, page)
            write_page(mm, page)


@path(show="user thread")
def toucher(mm: Mm, pages: Pages, write: int, ns: int) -> None:
    """Reads and writes of pages at random, for ever."""
    enter(mm)
    while True:
        page = pages[random(len(pages))]
        if random(100) < write:
            while write_page(mm, page) is None:
                migration_fault(mm, page)
        else:
            while read_page(mm, page) is None:
                migration_fault(mm, page)
        compute(ns)


@path(show="migrate_pages()")
def migrate_range(mm: Mm, pages: Pages, most: int, *, batch: bool) -> None:
    """migrate_pages(2): ``queue_pages_range()`` looks at every PTE and takes the folios, and they
    are migrated so many at a time (NR_MAX_BATCHED_MIGRATION)."""
    system_call()
    for turn in range((len(pages) + most - 1) // most):
        taken: set[Frame] = set()
        for offset in range(most):
            if turn * most + offset < len(pages):
                page = pages[turn * most + offset]
                with pte_lockptr(mm, page):
                    pte = ptep_get(mm, page)
                    if pte.present:
                        atomic_inc(page_folio(pte.frame).refcount)
                        taken.add(pte.frame)
        migrate_pages_batch(taken, batch=batch)


@path(show="migratepages")
def migrater(mm: Mm, pages: Pages, most: int, rounds: int, *, batch: bool) -> None:
    """The command moves all pages to another node, and back."""
    for _ in range(rounds):
        migrate_range(mm, pages, most, batch=batch)


@workload("migration")
def migration(
    cpus: int = 4,
    threads: int = 2,
    pages: int = 4096,
    rounds: int = 2,
    most: int = 512,
    batched: int = 1,
    write: int = 50,
    ns: int = 100,
) -> Plan:
    """migrate_pages(2) of a process's memory while its threads use it.

    ``threads`` read and write (``write`` percent) ``pages`` pages at random; a command on another
    CPU moves all of them ``rounds`` times, ``most`` at a time, flushed together (``batched``) or
    one by one.
    """
    tables = (pages + 511) // 512
    mm, mapping, span = ReclaimMm(0), Mapping(0), Span(Page, 0, pages)
    return Plan(
        machine=MIGRATION,
        sizes={
            TlbState: cpus, Page: 512 * tables, Frame: pages + 1024, ReclaimMm: 1, Pcid: 6,
            Mapping: 1, Region: tables,
        },
        start=Thread(populate, mm, mapping, span, on=TlbState(0)),
        threads=[
            Thread(
                migrater, mm, span, most, rounds, batch=bool(batched), on=TlbState(cpus - 1)
            ),
            *[
                Thread(toucher, mm, span, write, ns, on=TlbState(c), daemon=True)
                for c in range(threads)
            ],
        ],
        options=SIZE,
        work={"pages": pages * rounds},
    )  # fmt: skip
