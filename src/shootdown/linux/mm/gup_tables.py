"""mm/gup.c, the walk: get_user_pages_fast() finds a page without any lock.

It has interrupts off from before the first table until after the last (G1..G6). ``gup.py`` has what
a read of an entry is on a machine where that takes two accesses.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.walker import Pmd, Region, Space, Table, region_of
from shootdown.lang import READ_ONCE, atomic, atomic_dec, choose, mark, note, on_write, path, this
from shootdown.linux.kernel.rcu import local_irq_restore, local_irq_save
from shootdown.linux.mm.pgtable_generic import pmd_index
from shootdown.linux.mm_tables import LocklessCpu, PageTable, PinnedFolio, UserMm, put_folio
from shootdown.linux.options_tables import GUP_RECHECK, WRITE_PROTECT_SEQ

# ------------------------------------------------------------------ what was mapped meanwhile


@on_write(Table.pte)
def entry_seen(table: Table, page: Page, old: Pte, new: Pte) -> None:
    """(Ghost) A page is mapped where somebody looks."""
    for cpu in LocklessCpu:
        mm = cpu.gup_mm
        if mm is not None and cpu.gup_page == page and new.present:
            pmd = mm.pmd[region_of(page)]
            if pmd.present and not pmd.large and pmd.table == table:
                cpu.seen.add(new.frame)


@on_write(Space.pmd)
def directory_seen(space: Space, region: Region, old: Pmd, new: Pmd) -> None:
    """(Ghost) A table, with what it maps, is put where somebody looks."""
    for cpu in LocklessCpu:
        if cpu.gup_mm == space and region_of(cpu.gup_page) == region and new.present:
            if new.large:
                cpu.seen.add(new.frame)
            else:
                pte = new.table.pte[cpu.gup_page]
                if pte.present:
                    cpu.seen.add(pte.frame)


# ------------------------------------------------------------------ the walk


@atomic(show="pmdp_get_lockless()")
def pmdp_get_lockless(mm: UserMm, page: Page) -> Pmd:
    """G2. (Ghost) From here on pages that are mapped there count as seen, the first of them what is
    mapped now; and the table that is found is walked."""
    cpu = this(LocklessCpu)
    cpu.gup_mm = mm
    cpu.gup_page = page
    pmd = mm.pmd[region_of(page)]
    if pmd.present and not pmd.large:
        cpu.walking = cast(PageTable, pmd.table)
        pte = pmd.table.pte[page]
        if pte.present:
            cpu.seen = {pte.frame}
    return pmd


@atomic(show="ptep_get_lockless()")
def ptep_get_lockless(table: PageTable, page: Page) -> Pte:
    """G3. Read an entry of a table that may be in the tree no more. If it is not even a table any
    more the entry is whatever its new owner has put there."""
    if table.given_away:
        mark("{} is somebody else's memory", table)
        return Pte(present=True, writable=True, accessed=True, frame=choose(Frame))
    return table.pte[page]


@atomic(show="try_grab_folio_fast()")
def try_grab_folio_fast(folio: PinnedFolio, pin: bool) -> bool:
    """G4. Take a reference, unless there is none: then the page is on its way to the allocator. A
    pin is a reference and says that it is for DMA."""
    if folio.refcount == 0:
        return False
    folio.refcount += 1
    if pin:
        folio.pincount += 1
    return True


@path(show="gup_put_folio()")
def gup_put_folio(folio: PinnedFolio, *, pin: bool) -> None:
    """Give it back."""
    if pin:
        atomic_dec(folio.pincount)
    put_folio(folio)


@path
def unchanged(mm: UserMm, table: PageTable, page: Page, pmd: Pmd, pte: Pte, *, leaf: bool) -> bool:
    """G5. Is the way that led to the page still the way? ``leaf``: only the last step is looked at,
    as gup_fast_pmd_leaf() does."""
    if GUP_RECHECK == "pmd-pte" and not leaf:
        if READ_ONCE(mm.pmd[pmd_index(page)]) != pmd:
            return False
    if GUP_RECHECK != "none":
        return ptep_get_lockless(table, page) == pte
    return True


@path(show="gup_fast_pte_range()")
def gup_fast_entry(
    mm: UserMm, page: Page, *, garbage: bool, leaf: bool, pin: bool
) -> PinnedFolio | None:
    """G2..G5. ``garbage``: go on when the table is no table any more, to see where that leads."""
    pmd = pmdp_get_lockless(mm, page)
    if not pmd.present or pmd.large:
        note("no table")
        return None
    table = cast(PageTable, pmd.table)
    pte = ptep_get_lockless(table, page)
    assert garbage or not table.given_away, (
        "INV-X2-1: a page table was freed and used again while gup-fast was in it"
    )
    if not pte.present or (pin and not pte.writable):
        note("none")
        return None
    folio = cast(PinnedFolio, pte.frame)
    if not try_grab_folio_fast(folio, pin):
        note("being freed")
        return None
    if not unchanged(mm, table, page, pmd, pte, leaf=leaf):
        note("changed: give the reference back")
        gup_put_folio(folio, pin=pin)
        return None
    return folio


@path(show="get_user_pages_fast()")
def gup_fast(
    mm: UserMm, page: Page, *, garbage: bool = False, leaf: bool = False, pin: bool = False
) -> None:
    """G1..G6. A page that is found is the caller's to keep, and one that was mapped there. The slow
    way that is taken otherwise needs the mmap lock and is left out. ``pin``: pin_user_pages_fast()
    for writing, which must not come between a fork and its write protection."""
    cpu = this(LocklessCpu)
    watch_fork = pin and WRITE_PROTECT_SEQ == "checked"
    sequence = READ_ONCE(mm.write_protect_seq) if watch_fork else 0
    if sequence == 1:
        note("a fork is under way: take the slow way")
        return
    local_irq_save()
    folio = gup_fast_entry(mm, page, garbage=garbage, leaf=leaf, pin=pin)
    if folio is not None:
        if folio not in cpu.seen:
            mark("not the page that was mapped there")
        assert folio in cpu.seen, (
            "INV-X2-2: gup-fast has a reference to a page that was not mapped there"
        )
    cpu.gup_mm = None
    cpu.seen = set()
    local_irq_restore()
    if folio is not None:
        if watch_fork and READ_ONCE(mm.write_protect_seq) != sequence:
            note("a fork came by: give the pin back")
            gup_put_folio(folio, pin=pin)
        else:
            folio.pinned = True
            assert not folio.replaced, "INV-PIN: gup-fast has a page that the process uses no more"
