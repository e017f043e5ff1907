"""User space, and the way back to it."""

from __future__ import annotations

from shootdown.hardware.access import user_load, user_store
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.pae import entry_of, on_its_way
from shootdown.lang import atomic, mark, note, path, this
from shootdown.linux.mm_types import Folio, Mm, Pages


@atomic(show="return to user")
def return_to_user(mm: Mm, pages: Pages) -> None:
    """Z23. From here on the caller may rely on it: what was mapped before is not any more."""
    for page in pages:
        pte = entry_of(mm, page)
        for frame in Frame:
            if not (pte.present and pte.frame == frame) and not on_its_way(mm, page, frame):
                mm.revoked[page].add(frame)


@atomic(show="return to user")
def return_from_free(mm: Mm, pages: Pages) -> None:
    """From here on the caller may rely on it: what is written now is kept."""
    for page in pages:
        mm.freed[page] = True


@atomic(show="load {page}")
def read_page(mm: Mm, page: Page) -> Frame | None:
    """An instruction that reads: the frame it reads from, or ``None``, a page fault."""
    frame = user_load(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    if frame in mm.revoked[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.revoked[page], (
        "INV-S0-3: the call has returned, and the old page is used"
    )
    return frame


@atomic(show="store {page}")
def write_page(mm: Mm, page: Page) -> Frame | None:
    """An instruction that writes: the frame it writes to, or ``None``, a page fault."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    folio = Folio(frame.index)
    folio.newer = True
    if mm.freed[page]:
        folio.precious = True
    if frame in mm.revoked[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.revoked[page], (
        "INV-S0-3: the call has returned, and the old page is used"
    )
    return frame


@path(show="user")
def load(mm: Mm, page: Page) -> None:
    """A thread that reads once."""
    read_page(mm, page)


@path(show="user")
def store(mm: Mm, page: Page) -> None:
    """A thread that writes once."""
    write_page(mm, page)
