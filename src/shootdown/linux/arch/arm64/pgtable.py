"""arch/arm64/include/asm/pgtable.h: one PTE at a time, blind to contiguous blocks.

What the kernel tells apart with PTE_WRITE (DBM), PTE_RDONLY and the software bit PTE_DIRTY is
``writable`` and ``dirty`` here: see ``hardware.arm64_walker``.
"""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.lang import READ_ONCE, WRITE_ONCE, Array, atomic, ghost, path, replace, xchg
from shootdown.linux.mm_types import Mm


class Arm64Mm(Mm):
    """An address space whose page table is one contpte block, which maps one large folio.

    All the rest belongs to the properties (ghost). ``dirtied``, ``touched``: some PTE's D or A was
    set since the start. ``carries_dirty``, ``carries_young``: a path has such a flag in a local
    variable. ``gone``: the folios that a call which has returned took away. ``readonly``: one has
    taken the right to write away.
    """

    dirtied: bool = ghost(False)
    touched: bool = ghost(False)
    carries_dirty: bool = ghost(False)
    carries_young: bool = ghost(False)
    gone: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    readonly: Array[Page, bool] = ghost(False)  # type: ignore[arg-type]


@path
def pte_valid_cont(pte: Pte) -> bool:
    """Valid, and part of a contpte block."""
    return pte.present and pte.contiguous


@path
def pte_mkdirty(pte: Pte) -> Pte:
    """PTE_DIRTY; and if the PTE is writable, not PTE_RDONLY."""
    return replace(pte, dirty=True)


@path
def pte_mkyoung(pte: Pte) -> Pte:
    """PTE_AF."""
    return replace(pte, accessed=True)


@path
def pte_with_flags(pte: Pte, other: Pte) -> Pte:
    """The first PTE with A and D of both."""
    return replace(pte, accessed=pte.accessed or other.accessed, dirty=pte.dirty or other.dirty)


@path
def pte_same_prot(pte: Pte, other: Pte) -> bool:
    """Equal, apart from A, D and the place within the folio."""
    return replace(pte, accessed=False, dirty=False) == replace(other, accessed=False, dirty=False)


@path(show="__ptep_get()")
def __ptep_get(mm: Arm64Mm, page: Page) -> Pte:
    """Read one PTE."""
    return READ_ONCE(mm.pte[page])


@path(show="__set_pte()")
def __set_pte(mm: Arm64Mm, page: Page, pte: Pte) -> None:
    """Write one PTE."""
    WRITE_ONCE(mm.pte[page], pte)


@path(show="__ptep_get_and_clear()")
def __ptep_get_and_clear(mm: Arm64Mm, page: Page) -> Pte:
    """Empty one PTE and give what it was, with the last A and D. Who has them in hand must not
    lose them."""
    pte = xchg(mm.pte[page], Pte())
    if pte.dirty:
        mm.carries_dirty = True
    if pte.accessed:
        mm.carries_young = True
    return pte


@atomic(show="__ptep_set_wrprotect()")
def __ptep_set_wrprotect(mm: Arm64Mm, page: Page) -> None:
    """Take the right to write away; what hardware knew of dirtiness becomes the software flag. A
    loop of compare-and-exchange in the kernel, so: one atomic update."""
    mm.pte[page] = replace(mm.pte[page], writable=False)


@atomic(show="__clear_young_dirty_pte()")
def __clear_young_dirty_pte(mm: Arm64Mm, page: Page) -> None:
    """Take A and D away: an atomic update as well."""
    mm.pte[page] = replace(mm.pte[page], accessed=False, dirty=False)


@atomic(show="__ptep_set_access_flags()")
def __ptep_set_access_flags(mm: Arm64Mm, page: Page, entry: Pte) -> None:
    """arch/arm64/mm/fault.c: add A, D and the right to write, never take them away. A loop of
    compare-and-exchange (6d332747fa5f), so: one atomic update."""
    pte = mm.pte[page]
    mm.pte[page] = replace(
        pte,
        accessed=pte.accessed or entry.accessed,
        dirty=pte.dirty or entry.dirty,
        writable=pte.writable or entry.writable,
    )
