"""mm/mremap.c: pages move to another address. They are not given up, so no gather holds them back:
whoever finds them at the new address may free them."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import note, path
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.memory import zap_pte_range
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.rmap_batch import flush_tlb_batched_pending
from shootdown.linux.mm_types import Mm
from shootdown.linux.options import PTL
from shootdown.linux.options_rights import MREMAP_FLUSH
from shootdown.linux.pgtable import (
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
)
from shootdown.linux.user import return_to_user


@path
def move_pte(mm: Mm, old: Page, new: Page) -> bool:
    """Move one entry, with both PTLs held, and flush; whether a flush is still owed."""
    flush_tlb_batched_pending(mm)
    found = ptep_get(mm, old)
    if not pte_present(found):
        note("nothing to move")
        return False
    pte = ptep_get_and_clear(mm, old)
    mm.in_hand += 1
    force_flush = MREMAP_FLUSH == "locked" or MREMAP_FLUSH == "between"
    if MREMAP_FLUSH == "dirty":
        force_flush = pte.dirty
    if MREMAP_FLUSH == "dirty-before":
        force_flush = found.dirty
    set_pte_at(mm, new, pte)
    mm.in_hand -= 1
    if force_flush and MREMAP_FLUSH != "between":
        flush_tlb_mm_range(mm, {old})
    return MREMAP_FLUSH == "between"


@path(show="move_ptes()")
def move_ptes(mm: Mm, old: Page, new: Page) -> None:
    """One page. The PTL of the old place keeps folio_mkclean() out, that of the new place
    truncation; as long as a CPU can use the old translation, both are needed (eb66ae030829)."""
    with pte_lockptr(mm, old):
        owed = False
        if PTL == "split":
            with pte_lockptr(mm, new):
                owed = move_pte(mm, old, new)
        else:
            owed = move_pte(mm, old, new)
        if owed:
            flush_tlb_mm_range(mm, {old})


@path(show="mremap()")
def mremap(mm: Mm, old: Page, new: Page, *, file: bool = True, dontunmap: bool = False) -> None:
    """``move_vma()`` under the mmap lock, which does not keep out those who come through the rmap.

    The old range is unmapped afterwards. Its PTEs are empty by then, but this is also what makes
    mremap() flush if truncation has emptied one before and not flushed yet: the gathers are nested.
    With MREMAP_DONTUNMAP nothing does. Left out: the VMAs, and the rmap locks that are taken if a
    walk could visit the new one first.
    """
    with mm.mmap_lock.write():
        move_ptes(mm, old, new)
        if MREMAP_FLUSH != "locked" and MREMAP_FLUSH != "between":
            flush_tlb_mm_range(mm, {old})
        if not dontunmap:
            tlb = MmuGather()
            tlb_gather_mmu(mm)
            zap_pte_range(mm, (old,), tlb, file=file)
            tlb_finish_mmu(mm, tlb, (old,))
    return_to_user(mm, (old,))
