"""What must hold in system S3, and what must be reachable in its scenarios.

INV-S3-3 and INV-S3-5 are asserted where they can be seen: in the callers (``s3_callers.py``).
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.arm64_walker import Walker, conflict, matches
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte
from shootdown.hardware.pae import entry_seen
from shootdown.hardware.tlbi import Pe
from shootdown.lang import Word, atomic, ghost, goal, invariant, on_write, seen_by
from shootdown.lang.order import MEMORY
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.linux.mm_types import Folio

# ------------------------------------------------------------------ ghost state


class View(Word):
    """What a reader of one PTE is told."""

    present: bool = False
    writable: bool = False
    accessed: bool = False
    dirty: bool = False
    frame: Frame = Frame(0)

    def show(self) -> str:
        """As ``f0 W A D``."""
        if not self.present:
            return "none"
        flags = (("W", self.writable), ("A", self.accessed), ("D", self.dirty))
        return " ".join([str(self.frame), *(letter for letter, on in flags if on)])


class ReadMm(Arm64Mm):
    """``reading`` (ghost): a lockless reader is under way, at this page; ``views`` (ghost): the
    values that the PTE has had since. ``reader_done`` (ghost): it has its value."""

    reading: Page | None = ghost(None)
    views: set[View] = ghost(set())
    reader_done: bool = ghost(False)


@on_write(AddressSpace.pte)
def flags_set(space: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """Somebody set A or D in a valid PTE."""
    mm = cast(Arm64Mm, space)
    if old.present and new.present and old.frame == new.frame:
        if new.dirty and not old.dirty:
            mm.dirtied = True
        if new.accessed and not old.accessed:
            mm.touched = True


@atomic
def view(mm: Arm64Mm, page: Page) -> View:
    """What ``ptep_get()`` would give at this instant."""
    found = mm.pte[page]
    whole = found.present and found.contiguous
    return View(
        present=found.present,
        writable=found.writable,
        frame=found.frame,
        accessed=found.accessed
        or (whole and any(mm.pte[q].present and mm.pte[q].accessed for q in Page)),
        dirty=found.dirty or (whole and any(mm.pte[q].present and mm.pte[q].dirty for q in Page)),
    )


@on_write(AddressSpace.pte)
def viewed(space: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The block changes under a lockless reader."""
    mm = cast(ReadMm, space)
    for reading in Page:
        if mm.reading == reading:
            mm.views.add(view(mm, reading))


@on_write(AddressSpace.pte)
def viewed_anywhere(space: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The same, if a flag counts wherever in the block it is, even if the reader's own PTE is not
    there any more, or not yet."""
    mm = cast(ReadMm, space)
    if mm.reading is not None and new.present:
        mm.views.add(view(mm, page))


@on_write(Pe.posted)
def flush_after_clear(pe: Pe, target: Cpu, old: set[Page], new: set[Page]) -> None:
    """INV-S3-6, where a TLBI is issued."""
    if new and not old:
        for mm in Arm64Mm:
            assert not (
                any(mm.pte[page].present and mm.pte[page].contiguous for page in Page)
                and any(not mm.pte[page].present for page in new)
            ), "INV-S3-6: a TLBI is issued while the rest of the block is still contiguous"


# ------------------------------------------------------------------ invariants


@atomic
def dirty_on_its_way(mm: Arm64Mm) -> bool:
    """Whether a store that says so is in a store buffer: who asks takes the PTL first, and that
    is not free before."""
    return MEMORY == "tso" and any(
        any(seen_by(cpu, folio.dirty) for folio in Folio)
        or any(
            entry_seen(cpu, mm, page).present and entry_seen(cpu, mm, page).dirty for page in Page
        )
        for cpu in Cpu
    )


@atomic
def young_on_its_way(mm: Arm64Mm) -> bool:
    """The same for A."""
    return MEMORY == "tso" and any(
        any(seen_by(cpu, folio.referenced) for folio in Folio)
        or any(
            entry_seen(cpu, mm, page).present and entry_seen(cpu, mm, page).accessed
            for page in Page
        )
        for cpu in Cpu
    )


@invariant("INV-S3-1")
def no_lost_dirty() -> bool:
    """Hardware had set D in a PTE of the block, and nobody knows any more."""
    return all(
        not mm.dirtied
        or mm.carries_dirty
        or any(mm.pte[page].present and mm.pte[page].dirty for page in Page)
        or any(folio.dirty for folio in Folio)
        or dirty_on_its_way(mm)
        for mm in Arm64Mm
    )


@invariant("INV-S3-2")
def no_lost_young() -> bool:
    """Hardware had set A in a PTE of the block, and nobody knows any more."""
    return all(
        not mm.touched
        or mm.carries_young
        or any(mm.pte[page].present and mm.pte[page].accessed for page in Page)
        or any(folio.referenced for folio in Folio)
        or young_on_its_way(mm)
        for mm in Arm64Mm
    )


@atomic
def fits(one: Pte, other: Pte) -> bool:
    """What one PTE of a block asks of the others, and an empty one of itself."""
    if not one.present:
        return one == Pte()
    return not one.contiguous or (
        other.present
        and other.contiguous
        and other.frame == one.frame
        and other.writable == one.writable
    )


@invariant("INV-S3-4")
def uniform() -> bool:
    """The PTL is free, and a block is contiguous in part, or its PTEs differ, or an empty PTE is
    not zero."""
    return all(
        mm.ptl.locked or fits(mm.pte[one], mm.pte[other])
        for mm in Arm64Mm
        for one in Page
        for other in Page
    )


@invariant("INV-S3-8")
def no_conflict() -> bool:
    """A page entry and a block entry translate the same address."""
    return not any(conflict(walker, page) for walker in Walker for page in Page)


@invariant("INV-ONE")
def one_translation() -> bool:
    """Two folios can be reached through one page at the same time."""
    return not any(
        one.frame != other.frame
        for walker in Walker
        for page in Page
        for one in matches(walker, page)
        for other in matches(walker, page)
    )


# ------------------------------------------------------------------ goals


@goal("the block is half gone")
def half_gone() -> bool:
    """Some PTEs are empty, others still contiguous."""
    return any(
        any(not mm.pte[page].present for page in Page)
        and any(mm.pte[page].present and mm.pte[page].contiguous for page in Page)
        for mm in Arm64Mm
    )


@goal("hardware sets D while the block is half gone")
def dirtied_late() -> bool:
    """The situation that the options are about."""
    return any(
        mm.dirtied
        and any(not mm.pte[page].present for page in Page)
        and any(
            mm.pte[page].present and mm.pte[page].contiguous and mm.pte[page].dirty for page in Page
        )
        for mm in Arm64Mm
    )


@goal("hardware sets A while the block is half gone")
def used_late() -> bool:
    """The same for A."""
    return any(
        any(not mm.pte[page].present for page in Page)
        and any(
            mm.pte[page].present and mm.pte[page].contiguous and mm.pte[page].accessed
            for page in Page
        )
        for mm in Arm64Mm
    )


@goal("a removed translation is still usable")
def window() -> bool:
    """A PTE is empty, and a walker may hold an entry for it."""
    return any(
        not mm.pte[page].present and bool(matches(walker, page))
        for mm in Arm64Mm
        for walker in Walker
        for page in Page
    )


@goal("the folio is known to be dirty")
def accounted() -> bool:
    """D arrived where it belongs."""
    return any(folio.dirty for folio in Folio)


@goal("the first page was given up")
def first_gone() -> bool:
    """Zapped, flushed, freed."""
    return any(bool(mm.gone[Page(0)]) for mm in Arm64Mm)


@goal("the first PTE is empty")
def first_empty() -> bool:
    """The writer is under way."""
    return any(not mm.pte[Page(0)].present for mm in Arm64Mm)


@goal("all pages were given up")
def all_gone() -> bool:
    """Zapped, flushed, freed."""
    return all(bool(mm.gone[page]) for mm in Arm64Mm for page in Page)


@goal("the first PTE is the last one left")
def last_left() -> bool:
    """It was cleared from high to low, or round it."""
    return any(
        mm.pte[Page(0)].present
        and all(page == Page(0) or not mm.pte[page].present for page in Page)
        for mm in Arm64Mm
    )


@goal("the block is empty for a moment")
def all_empty() -> bool:
    """Break: between clearing and repainting, as far as memory goes."""
    return any(all(not mm.pte[page].present for page in Page) for mm in Arm64Mm)


@goal("the block was folded")
def folded() -> bool:
    """All PTEs are contiguous and read-only."""
    return any(
        all(mm.pte[page].contiguous and not mm.pte[page].writable for page in Page)
        for mm in Arm64Mm
    )


@goal("the block was unfolded")
def unfolded() -> bool:
    """One is read-only, the others are not, and none is contiguous."""
    return any(
        all(mm.pte[page].present and not mm.pte[page].contiguous for page in Page)
        and not mm.pte[Page(0)].writable
        for mm in Arm64Mm
    )


@goal("hardware set D")
def dirtied() -> bool:
    """A write got through."""
    return any(mm.dirtied for mm in Arm64Mm)


@goal("a new block is set in part")
def half_set() -> bool:
    """The situation that Alistair Popple asked about."""
    return any(
        mm.pte[Page(0)].present and mm.pte[Page(0)].frame == Frame(1) and not mm.pte[page].present
        for mm in Arm64Mm
        for page in Page
    )


@goal("a page is reached before its own PTE is set")
def reached_early() -> bool:
    """Through the block entry that was loaded from another PTE."""
    return any(
        not mm.pte[page].present and any(entry.frame == Frame(1) for entry in walker.blocks)
        for mm in Arm64Mm
        for walker in Walker
        for page in Page
    )


@goal("the right to write was taken away")
def protected() -> bool:
    """fork() has returned."""
    return any(mm.readonly[Page(0)] for mm in Arm64Mm)
