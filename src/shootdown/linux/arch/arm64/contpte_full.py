"""``contpte_ptep_get_and_clear_full()``: posted in 2023 in several forms, never merged.

When a process exits, every PTE is cleared one by one, and unfolding each block first made exit 32
times as expensive. These forms clear one PTE and leave the others contiguous. The difficulty:
hardware keeps A and D in any PTE of the block, so the flag that the first PTE had is not there any
more when the second one is asked.

``keep`` is v2 of the series (option 4 of its discussion), ``gather-posted`` is v1 (option 1) as
posted, ``gather`` is v1 with the store that its comment speaks of, ``gather-atomic`` the same with
an atomic update. ``next`` and ``first`` are Alistair Popple's questions of November 2023,
``next-atomic`` and ``last-atomic`` the answers that Ryan Roberts tried (29 and 30 November).
"""

from __future__ import annotations

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import atomic, note, path, replace
from shootdown.linux.arch.arm64.contpte_block import cont_ptes, contpte_align_down
from shootdown.linux.arch.arm64.options import CLEAR_FULL
from shootdown.linux.arch.arm64.pgtable import (
    Arm64Mm,
    __ptep_get,
    __ptep_get_and_clear,
    __set_pte,
    pte_with_flags,
)


@atomic(show="or A and D in atomically")
def add_flags(mm: Arm64Mm, page: Page, flags: Pte) -> None:
    """``__ptep_set_access_flags_notlbi()``: a loop of compare-and-exchange. The PTL is held, so
    the PTE does not become invalid."""
    pte = mm.pte[page]
    mm.pte[page] = replace(
        pte, accessed=pte.accessed or flags.accessed, dirty=pte.dirty or flags.dirty
    )


@path(show="gather, then copy to all")
def propagate(mm: Arm64Mm, page: Page) -> None:
    """v1: the first call finds A and D and copies them into each PTE; later calls see an empty
    PTE and know that it was done."""
    flags = Pte()
    propagated = False
    first = contpte_align_down(page)
    for number in range(cont_ptes()):
        if not propagated:
            pte = __ptep_get(mm, Page(first + number))
            if not pte.present:
                propagated = True
            flags = pte_with_flags(flags, pte)
    if propagated:
        note("was done already")
    elif flags.accessed or flags.dirty:
        for number in range(cont_ptes()):
            other = Page(first + number)
            if CLEAR_FULL == "gather-atomic":
                add_flags(mm, other, flags)
            else:
                pte = __ptep_get(mm, other)
                if CLEAR_FULL == "gather":
                    __set_pte(mm, other, pte_with_flags(pte, flags))


@path
def stash(mm: Arm64Mm, page: Page, flags: Pte) -> None:
    """Keep A and D of a PTE that was cleared in another one that is still valid: the next one
    (round the end of the block), or the last one. ``first``: in the first, valid or not."""
    size = cont_ptes()
    start = contpte_align_down(page)
    done = not (flags.accessed or flags.dirty)
    for step in range(size):
        other = Page(start + (page.index - start + 1 + step) % size)
        if CLEAR_FULL == "last-atomic":
            other = Page(start + size - 1 - step)
        if CLEAR_FULL == "first":
            other = Page(start + step)
        if not done:
            pte = __ptep_get(mm, other)
            if pte.present or CLEAR_FULL == "first":
                done = True
                if CLEAR_FULL == "next-atomic" or CLEAR_FULL == "last-atomic":
                    add_flags(mm, other, flags)
                else:
                    __set_pte(mm, other, pte_with_flags(pte, flags))


@path(show="contpte_ptep_get_and_clear_full()")
def contpte_ptep_get_and_clear_full(mm: Arm64Mm, page: Page) -> Pte:
    """Clear one PTE of a block that is going away."""
    if CLEAR_FULL in ("gather-posted", "gather", "gather-atomic"):
        propagate(mm, page)
    pte = __ptep_get_and_clear(mm, page)
    if CLEAR_FULL in ("next", "next-atomic", "last-atomic", "first"):
        stash(mm, page, pte)
    if CLEAR_FULL == "last-atomic":
        first = contpte_align_down(page)
        for number in range(cont_ptes()):
            pte = pte_with_flags(pte, __ptep_get(mm, Page(first + number)))
    return pte
