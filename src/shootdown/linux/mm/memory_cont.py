"""mm/memory.c on arm64, where PTEs may be contiguous: zapping and copying them, one by one or many
at once.

The callers of 2023 go PTE by PTE (option ``clear_full`` says what the architecture makes of it).
Since 6.9 they take as many PTEs at once as map the same folio (10ebac4f95e7, f8d937761d65); the
series before that took those of a contpte block (option ``cont_batch``).

A search is about one block that maps one folio, and its folio is not counted. ``anon``: memory of
real size, of anonymous folios that are counted and freed.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import WRITE_ONCE, Option, atomic, atomic_add, atomic_dec, atomic_inc, path
from shootdown.linux.arch.arm64.contpte import (
    get_and_clear_full_ptes,
    ptep_get,
    ptep_get_and_clear,
    ptep_get_and_clear_full,
    ptep_get_no_access_dirty,
    set_pte_at,
    set_ptes,
    wrprotect_ptes,
)
from shootdown.linux.arch.arm64.options import CLEAR_FULL, CONT_PTES
from shootdown.linux.arch.arm64.pgtable import Arm64Mm, pte_same_prot, pte_valid_cont
from shootdown.linux.arch.arm64.tlbflush import flush_tlb_mm, flush_tlb_range
from shootdown.linux.mm.mmu_gather import MmuGather, folio_put
from shootdown.linux.mm_types import Folio

Pages = tuple[Page, ...]
MARKER = Pte(writable=True)  # stands for some value that is neither valid nor none
PTRS_PER_PTE = 512
GATHER_PAGES = 9698
"""How many entries a gather has: 8 and then 19 batches of 510 (MAX_GATHER_BATCH_COUNT)."""

CONT_BATCH = Option(
    "cont_batch",
    "folio",
    choices=("folio", "block"),
    doc="how many PTEs are zapped at once: those that map one folio, whose references are then "
    "dropped at once (10ebac4f95e7, 6.9); or those of one contpte block, page by page from there "
    "(as posted in December 2023).",
    tacit=True,
)


class LargeFolio(Folio):
    """A folio of several pages. ``pages``: how many. ``nr_mapped``: how many of them are mapped
    (``_nr_pages_mapped``; ``mapcount`` stands for those of the pages). ``gathered``: how many
    references the entry of a gather stands for (``encoded_nr_pages()``)."""

    pages: int = 1
    nr_mapped: int = 0
    gathered: int = 0


# ------------------------------------------------------------------ what follows each PTE


@path
def account(mm: Arm64Mm, pte: Pte) -> None:
    """What zap_present_folio_ptes() does with A and D of what it took."""
    folio = Folio(pte.frame.index)
    if pte.dirty:
        WRITE_ONCE(folio.dirty, True)
    if pte.accessed:
        WRITE_ONCE(folio.referenced, True)
    mm.carries_dirty = False
    mm.carries_young = False


@path(show="folio_remove_rmap_ptes()", role="counter")
def folio_remove_rmap_ptes(folio: LargeFolio, number: int) -> None:
    """``__folio_remove_rmap()``: the count of each page, and if the folio has several, how many of
    them are mapped."""
    large = folio.pages > 1
    for _ in range(number):
        atomic_dec(folio.mapcount)
        if large:
            atomic_dec(folio.nr_mapped)


@path(show="__tlb_remove_folio_pages()")
def tlb_remove_pages(tlb: MmuGather, folio: LargeFolio, number: int) -> None:
    """One entry of the gather for all of them; or one for each page."""
    if CLEAR_FULL == "batch" and CONT_BATCH == "folio":
        tlb.folios.add(folio)
        folio.gathered += number
    else:
        for _ in range(number):
            tlb.folios.add(folio)


@atomic(show="folio_put_refs()")
def folio_put_refs(folio: LargeFolio, number: int) -> None:
    """Drop several references; with the last one the folio is free."""
    folio.refcount -= number
    if folio.refcount == 0:
        folio.allocated = False


@path(show="tlb_batch_pages_flush()")
def tlb_free_folios(tlb: MmuGather) -> None:
    """``free_pages_and_swap_cache()`` for all entries."""
    for frame in tlb.folios:
        folio = LargeFolio(frame.index)
        if CLEAR_FULL == "batch" and CONT_BATCH == "folio":
            folio_put_refs(folio, folio.gathered)
            folio.gathered = 0
        else:
            folio_put(folio)
    tlb.folios = set()


# ------------------------------------------------------------------ zap


@path
def consecutive(page: Page, number: int) -> Pages:
    """Some pages from here."""
    found: set[Page] = set()
    for offset in range(number):
        found.add(Page(page.index + offset))
    return tuple(found)


@path
def pte_batch_hint(page: Page, pte: Pte) -> int:
    """How many PTEs from here to the end of the contpte block; 1 outside of one."""
    return 16 - page.index % 16 if pte_valid_cont(pte) else 1


@path
def folio_pte_batch(mm: Arm64Mm, page: Page, pte: Pte, most: int) -> int:
    """How many PTEs from here map the same folio, with the same rights."""
    number = pte_batch_hint(page, pte)
    if CONT_BATCH == "folio" and LargeFolio(pte.frame.index).pages > 1:
        same = True
        while same and number < most:
            next_page = Page(page.index + number)
            found = ptep_get(mm, next_page)
            same = pte_same_prot(found, pte)
            if same:
                number = number + pte_batch_hint(next_page, found)
    return min(number, most)


@path
def zap_present_folio_ptes(mm: Arm64Mm, pages: Pages, tlb: MmuGather) -> None:
    """PTEs that map consecutive pages of one folio."""
    pte = get_and_clear_full_ptes(mm, pages)
    zapped(LargeFolio(pte.frame.index), pages, tlb)


@path
def zapped(folio: LargeFolio, pages: Pages, tlb: MmuGather) -> None:
    """The PTEs of an anonymous folio are gone."""
    tlb.pages.add(pages[0])
    tlb.pages.add(pages[len(pages) - 1])
    folio_remove_rmap_ptes(folio, len(pages))
    tlb_remove_pages(tlb, folio, len(pages))


@path
def zap_batches(mm: Arm64Mm, pages: Pages, tlb: MmuGather) -> None:
    """The loop of zap_pte_range() since 6.9."""
    at = pages[0].index
    end = at + len(pages)
    while at < end:
        page = Page(at)
        pte = ptep_get(mm, page)
        number = 1
        if pte.present:
            number = folio_pte_batch(mm, page, pte, end - at)
            zap_present_folio_ptes(mm, consecutive(page, number), tlb)
        at = at + number


@path
def zap_ptes(
    mm: Arm64Mm,
    pages: Pages,
    tlb: MmuGather,
    *,
    monotone: bool = True,
    report: bool = True,
    marker: bool = False,
    anon: bool = False,
    full: bool = True,
) -> None:
    """zap_pte_range(): look at a PTE, take it, account for it. With option 2 it takes as many as
    map the folio in one call. ``monotone``: check that D, once reported, goes on being reported.
    ``report`` is false where option 3 has the getter that does not report. ``marker``: something is
    left behind, not valid and not none (``zap_install_uffd_wp_if_needed()``). ``anon``: see above;
    what is to be flushed and freed is then in ``tlb``. ``full``: the process exits."""
    with mm.ptl:
        if CLEAR_FULL == "batch" and CONT_PTES != "all":
            zap_batches(mm, pages, tlb)
        elif CLEAR_FULL == "batch":
            if ptep_get(mm, pages[0]).present:
                account(mm, get_and_clear_full_ptes(mm, pages))
        else:
            dirty = False
            for page in pages:
                pte = ptep_get(mm, page) if report else ptep_get_no_access_dirty(mm, page)
                if pte.present:
                    if monotone and report:
                        assert pte.dirty or not dirty or not pte.contiguous, (
                            "INV-S3-3: a block was reported dirty, and is reported clean"
                        )
                    if full:
                        old = ptep_get_and_clear_full(mm, page)
                    else:
                        old = ptep_get_and_clear(mm, page)
                    if anon:
                        zapped(LargeFolio(old.frame.index), (page,), tlb)
                    else:
                        account(mm, old)
                    if marker:
                        set_pte_at(mm, page, MARKER)
                    dirty = dirty or pte.dirty or old.dirty


# ------------------------------------------------------------------ at the size of real processes


@path(show="tlb_flush()")
def tlb_flush(tlb: MmuGather, *, fullmm: bool, tables: bool) -> None:
    """arch/arm64/include/asm/tlb.h: if the process exits, its ASID is not used again before a flush
    of everything, so only freed page tables matter."""
    if fullmm:
        if tables:
            flush_tlb_mm()
    else:
        flush_tlb_range(tlb.pages)
    tlb.pages = set()


@path(show="unmap_page_range()")
def unmap_page_range(mm: Arm64Mm, pages: Pages, tlb: MmuGather, *, fullmm: bool) -> None:
    """Table by table; flush and free whenever the gather has no room for another table."""
    first = pages[0].index
    end = first + len(pages)
    for table in range(first // PTRS_PER_PTE, (end + PTRS_PER_PTE - 1) // PTRS_PER_PTE):
        low = max(first, table * PTRS_PER_PTE)
        high = min(end, table * PTRS_PER_PTE + PTRS_PER_PTE)
        part = consecutive(Page(low), high - low)
        zap_ptes(mm, part, tlb, monotone=False, anon=True, full=fullmm)
        if len(tlb.folios) > GATHER_PAGES - PTRS_PER_PTE:
            tlb_flush(tlb, fullmm=fullmm, tables=False)
            tlb_free_folios(tlb)


@path(show="munmap()")
def munmap(mm: Arm64Mm, pages: Pages) -> None:
    """A VMA goes, with its page tables."""
    with mm.mmap_lock.write():
        tlb = MmuGather()
        unmap_page_range(mm, pages, tlb, fullmm=False)
        tlb_flush(tlb, fullmm=False, tables=True)
        tlb_free_folios(tlb)


@path(show="exit_mmap()")
def exit_everything(mm: Arm64Mm, pages: Pages) -> None:
    """The process exits: nobody runs it any more."""
    with mm.mmap_lock.write():
        tlb = MmuGather()
        unmap_page_range(mm, pages, tlb, fullmm=True)
        tlb_flush(tlb, fullmm=True, tables=True)
        tlb_free_folios(tlb)


@path(show="madvise(MADV_DONTNEED)")
def dontneed(mm: Arm64Mm, pages: Pages) -> None:
    """Pages are given back, and the process goes on."""
    with mm.mmap_lock.read():
        tlb = MmuGather()
        unmap_page_range(mm, pages, tlb, fullmm=False)
        tlb_flush(tlb, fullmm=False, tables=False)
        tlb_free_folios(tlb)


# ------------------------------------------------------------------ fork


@path
def copy_present_ptes(src: Arm64Mm, dst: Arm64Mm, pages: Pages, pte: Pte) -> None:
    """Both processes have the pages now, read-only."""
    folio = LargeFolio(pte.frame.index)
    number = len(pages)
    if CLEAR_FULL == "batch" and CONT_BATCH == "folio":
        atomic_add(folio.refcount, number)
    else:
        for _ in range(number):
            atomic_inc(folio.refcount)
    for _ in range(number):
        atomic_inc(folio.mapcount)
    wrprotect_ptes(src, pages)
    copy = Pte(present=True, accessed=True, frame=pte.frame)
    set_ptes(dst, pages, copy)


@path(show="copy_pte_range()")
def copy_ptes(src: Arm64Mm, dst: Arm64Mm, pages: Pages) -> None:
    """One page table: as many PTEs at once as zapping takes."""
    at = pages[0].index
    end = at + len(pages)
    with dst.ptl:
        with src.ptl:
            while at < end:
                page = Page(at)
                pte = ptep_get(src, page)
                number = 1
                if pte.present:
                    if CLEAR_FULL == "batch":
                        number = folio_pte_batch(src, page, pte, end - at)
                    copy_present_ptes(src, dst, consecutive(page, number), pte)
                at = at + number


@path(show="dup_mmap()")
def dup_mmap(src: Arm64Mm, dst: Arm64Mm, pages: Pages) -> None:
    """fork(): copy all page tables, then flush, since the parent may write no more."""
    with src.mmap_lock.write():
        first = pages[0].index
        end = first + len(pages)
        for table in range(first // PTRS_PER_PTE, (end + PTRS_PER_PTE - 1) // PTRS_PER_PTE):
            low = max(first, table * PTRS_PER_PTE)
            high = min(end, table * PTRS_PER_PTE + PTRS_PER_PTE)
            copy_ptes(src, dst, consecutive(Page(low), high - low))
        flush_tlb_mm()
