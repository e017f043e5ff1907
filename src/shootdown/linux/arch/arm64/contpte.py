"""arch/arm64/mm/contpte.c: N PTEs that look single to core mm and contiguous to hardware.

4602e5757bcc and later, with the variants that were posted before it. Callers hold the PTL, except
for the lockless getter.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import note, path, replace
from shootdown.linux.arch.arm64.contpte_block import (
    block_of,
    cont_ptes,
    contpte_align_down,
    covers_in_part,
    part_at_the_end,
    whole_block,
)
from shootdown.linux.arch.arm64.contpte_full import contpte_ptep_get_and_clear_full
from shootdown.linux.arch.arm64.options import (
    ACCESS_FLAGS_NOOP,
    CLEAR_FULL,
    CONT_PTES,
    CONTPTE,
    CONVERT_FLUSH,
    GATHER,
    GET_ASSERT,
    LOCKLESS,
    UNFOLD_PARTIAL,
)
from shootdown.linux.arch.arm64.pgtable import (
    Arm64Mm,
    __clear_young_dirty_pte,
    __ptep_get,
    __ptep_get_and_clear,
    __ptep_set_access_flags,
    __ptep_set_wrprotect,
    __set_pte,
    pte_same_prot,
    pte_valid_cont,
    pte_with_flags,
)
from shootdown.linux.arch.arm64.tlbflush import flush_tlb_range

Pages = tuple[Page, ...]

# ------------------------------------------------------------------ fold and unfold


@path(show="contpte_convert()")
def contpte_convert(mm: Arm64Mm, page: Page, pte: Pte) -> None:
    """C1..C3: take the block out, invalidate (break), put it back with or without the bit (make).
    Whoever walks meanwhile faults, and then waits for the PTL."""
    first = contpte_align_down(page)
    for number in range(cont_ptes()):
        ptent = __ptep_get_and_clear(mm, Page(first + number))
        pte = pte_with_flags(pte, ptent)
    if CONVERT_FLUSH == "always":
        flush_tlb_range(block_of(page))
    for number in range(cont_ptes()):
        __set_pte(mm, Page(first + number), pte)
        mm.carries_dirty = False
        mm.carries_young = False


@path(show="contpte_try_fold()")
def contpte_try_fold(mm: Arm64Mm, last: Page, pte: Pte) -> None:
    """F1..F3: the last PTE of the block was written; make it a block if all PTEs map the same
    folio with the same rights. A and D do not matter: the block has one of each."""
    first = contpte_align_down(last)
    if last.index == first + cont_ptes() - 1 and pte.present and not pte.contiguous:
        fits = True
        for number in range(cont_ptes()):
            if fits:
                fits = pte_same_prot(__ptep_get(mm, Page(first + number)), pte)
        if fits:
            contpte_convert(mm, last, replace(pte, contiguous=True))


@path(show="contpte_try_unfold()")
def contpte_try_unfold(mm: Arm64Mm, page: Page, pte: Pte) -> None:
    """U1: a single PTE is about to change."""
    if pte_valid_cont(pte):
        contpte_convert(mm, page, replace(pte, contiguous=False))


@path
def contpte_try_unfold_partial(mm: Arm64Mm, pages: Pages) -> None:
    """B1: the range covers its first block in part, or its last one. Where they are the same one,
    the second look finds it unfolded."""
    if UNFOLD_PARTIAL == "yes" and covers_in_part(pages):
        contpte_try_unfold(mm, pages[0], __ptep_get(mm, pages[0]))
    if UNFOLD_PARTIAL == "yes" and part_at_the_end(pages):
        last = pages[len(pages) - 1]
        contpte_try_unfold(mm, last, __ptep_get(mm, last))


# ------------------------------------------------------------------ get


@path(show="ptep_get()")
def ptep_get(mm: Arm64Mm, page: Page) -> Pte:
    """G1, G2: with A and D of the whole block. The PTL is held, so nobody but hardware changes
    it."""
    pte = __ptep_get(mm, page)
    if pte_valid_cont(pte):
        flags = Pte()
        first = contpte_align_down(page)
        for number in range(cont_ptes()):
            if not (GATHER == "early" and flags.accessed and flags.dirty):
                found = __ptep_get(mm, Page(first + number))
                if GET_ASSERT == "scan":
                    assert found != Pte(), "INV-S3-3: a getter runs while a full clear is under way"
                flags = pte_with_flags(flags, found)
        pte = pte_with_flags(pte, flags)
    return pte


@path(show="ptep_get_no_access_dirty()")
def ptep_get_no_access_dirty(mm: Arm64Mm, page: Page) -> Pte:
    """Option 3: the getter that is allowed while a full clear is under way; it does not report A
    and D."""
    return replace(__ptep_get(mm, page), accessed=False, dirty=False)


@path(show="ptep_get_lockless()")
def ptep_get_lockless(mm: Arm64Mm, page: Page) -> Pte:
    """L1, L2: read the PTE, then the block; start again if a PTE of it does not fit. The newer
    code stops, and checks no more, once it has found A and D."""
    while True:
        pte = __ptep_get(mm, page)
        if not pte_valid_cont(pte):
            return pte
        fits = True
        flags = Pte()
        first = contpte_align_down(page)
        for number in range(cont_ptes()):
            if fits and not (GATHER == "early" and flags.accessed and flags.dirty):
                found = __ptep_get(mm, Page(first + number))
                if GET_ASSERT == "scan":
                    assert found != Pte(), "INV-S3-3: a getter runs while a full clear is under way"
                if LOCKLESS == "check" and not pte_same_prot(found, pte):
                    fits = False
                flags = pte_with_flags(flags, found)
        if fits:
            return pte_with_flags(pte, flags)
        note("does not fit: again")


# ------------------------------------------------------------------ set


@path(show="set_ptes()")
def set_ptes(mm: Arm64Mm, pages: Pages, pte: Pte) -> None:
    """S1..S3: none of them is present. One by one, and no flush."""
    if CONT_PTES == "all":
        pte = replace(pte, contiguous=len(pages) == cont_ptes())
    for page in pages:
        if CONT_PTES != "all" and CONTPTE == "on":
            pte = replace(pte, contiguous=whole_block(page, pages))
        __set_pte(mm, page, pte)


@path(show="set_pte_at()")
def set_pte_at(mm: Arm64Mm, page: Page, pte: Pte) -> None:
    """One PTE, which is not part of a block now; perhaps it completes one."""
    contpte_try_unfold(mm, page, __ptep_get(mm, page))
    pte = replace(pte, contiguous=False)
    __set_pte(mm, page, pte)
    mm.carries_dirty = False
    mm.carries_young = False
    contpte_try_fold(mm, page, pte)


# ------------------------------------------------------------------ clear


@path(show="ptep_get_and_clear()")
def ptep_get_and_clear(mm: Arm64Mm, page: Page) -> Pte:
    """A single PTE: unfold, then take it."""
    contpte_try_unfold(mm, page, __ptep_get(mm, page))
    return __ptep_get_and_clear(mm, page)


@path(show="get_and_clear_full_ptes()")
def get_and_clear_full_ptes(mm: Arm64Mm, pages: Pages) -> Pte:
    """B1, B2: option 2, which was merged. A block that the range covers stays contiguous until
    its last PTE is gone; the caller flushes after that."""
    contpte_try_unfold_partial(mm, pages)
    pte = Pte()
    for page in pages:
        found = __ptep_get_and_clear(mm, page)
        if not pte.present:
            pte = replace(found, accessed=pte.accessed, dirty=pte.dirty)
        pte = pte_with_flags(pte, found)
    return pte


@path(show="ptep_get_and_clear_full()")
def ptep_get_and_clear_full(mm: Arm64Mm, page: Page) -> Pte:
    """Options 1 and 4, and Alistair Popple's: the process exits, the caller comes by every PTE
    one by one, and only then flushes. ``unfold`` is as if nobody knew."""
    if CLEAR_FULL == "unfold":
        return ptep_get_and_clear(mm, page)
    if not pte_valid_cont(__ptep_get(mm, page)):
        return __ptep_get_and_clear(mm, page)
    return contpte_ptep_get_and_clear_full(mm, page)


# ------------------------------------------------------------------ change


@path(show="wrprotect_ptes()")
def wrprotect_ptes(mm: Arm64Mm, pages: Pages) -> None:
    """fork(): never a part of a block."""
    contpte_try_unfold_partial(mm, pages)
    for page in pages:
        __ptep_set_wrprotect(mm, page)


@path(show="clear_young_dirty_ptes()")
def clear_young_dirty_ptes(mm: Arm64Mm) -> None:
    """MADV_FREE: the whole block, whatever the range: core mm counts A and D by folio."""
    for page in Page:
        __clear_young_dirty_pte(mm, page)


@path
def same_access_flags(pte: Pte, entry: Pte) -> bool:
    """PTE_RDONLY, PTE_AF, PTE_WRITE and PTE_DIRTY are equal."""
    return (
        pte.accessed == entry.accessed
        and pte.dirty == entry.dirty
        and pte.writable == entry.writable
    )


@path(show="ptep_set_access_flags()")
def ptep_set_access_flags(mm: Arm64Mm, page: Page, entry: Pte, *, dirty: bool) -> bool:
    """A1..A3: a fault wants A, D or the right to write. After a write fault (``dirty``), stale
    read-only entries go too. Says whether anything changed."""
    raw = __ptep_get(mm, page)
    if not pte_valid_cont(raw):
        if same_access_flags(raw, entry):
            return False
        __ptep_set_access_flags(mm, page, entry)
        if dirty:
            flush_tlb_range({page})
        return True
    first = contpte_align_down(page)
    if ACCESS_FLAGS_NOOP == "gathered":
        same = same_access_flags(ptep_get(mm, page), entry)
    else:
        same = True
        for number in range(cont_ptes()):
            if same:
                same = same_access_flags(__ptep_get(mm, Page(first + number)), entry)
    if same:
        note("no-op")
        return False
    if raw.writable == entry.writable:
        for number in range(cont_ptes()):
            __ptep_set_access_flags(mm, Page(first + number), entry)
    else:
        contpte_try_unfold(mm, page, raw)
        __ptep_set_access_flags(mm, page, entry)
    if dirty:
        flush_tlb_range(block_of(page))
    return True
