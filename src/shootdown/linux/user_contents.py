"""User space that looks at what it reads: instructions that must find the newest contents of their
page, wherever those are."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import user_load, user_store
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.lang import atomic, mark, note, path, this, wait_until
from shootdown.linux.mm.luf_batch import LufMm, LufPage
from shootdown.linux.mm.memory_fault import handle_write_fault
from shootdown.linux.mm.memory_wp import do_wp_page
from shootdown.linux.mm_types import Folio, Mm


@atomic(show="load {page}")
def read_contents(mm: LufMm, page: Page) -> Frame | None:
    """An instruction that reads: the frame that it reads from, or ``None``, a page fault."""
    frame = user_load(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    data = LufPage(frame.index).data
    if frame in mm.revoked[page] or data != mm.newest[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.revoked[page], (
        "INV-S2-11: the call has returned, and the old page is used"
    )
    assert data == mm.newest[page], (
        "INV-S2-8: an older value is read than one that was written before"
    )
    return frame


@atomic(show="store {page}")
def write_contents(mm: LufMm, page: Page) -> Frame | None:
    """An instruction that writes: the frame that it writes to, or ``None``, a page fault."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    LufPage(frame.index).data = 2
    mm.newest[page] = 2
    return frame


@path(show="user")
def reads(mm: Mm, page: Page) -> None:
    """A thread that reads once."""
    read_contents(cast(LufMm, mm), page)


@path(show="user")
def writes(mm: Mm, page: Page) -> None:
    """A thread that writes once, if it can do so without a page fault."""
    write_contents(cast(LufMm, mm), page)


@path(show="user")
def writes_or_copies(mm: Mm, page: Page, copy: Folio) -> None:
    """A thread that writes once to a page that others have too, after it has moved.

    Before that, the reference that the page fault takes would make migration give up.
    """
    wait_until(mm.pte[page].frame != Frame(0))
    if write_contents(cast(LufMm, mm), page) is None:
        do_wp_page(mm, page, copy)
        write_contents(cast(LufMm, mm), page)


@path(show="user")
def writes_or_faults(mm: Mm, page: Page, again: Folio | None = None) -> None:
    """A thread that writes once, with a page fault if need be."""
    if write_contents(cast(LufMm, mm), page) is None:
        handle_write_fault(mm, page, again)
        write_contents(cast(LufMm, mm), page)
