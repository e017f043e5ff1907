"""mm/memory.c: a write fault on a page of the process's own, that reclaim or migration may have
moved; with LUF's give-up point V2."""

from __future__ import annotations

from shootdown.hardware.machine import Noted, Page, Pte
from shootdown.lang import note, path, replace, wait_until
from shootdown.linux.mm.luf import LUF_FAULT, luf_flush_mapping, luf_flush_mm
from shootdown.linux.mm.luf_batch import LUF_PAGES, File
from shootdown.linux.mm.rmap_batch import TlbUbc
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.pgtable import pte_lockptr, ptep_get, set_pte_at


@path
def luf_flush_fault(mm: Mm) -> None:
    """V2: what is written from now on must be seen by every reader of the page; also by those in
    other processes, if the page is shared."""
    ubc = TlbUbc()
    if LUF_PAGES == "file":
        luf_flush_mapping(File(0), ubc)
    luf_flush_mm(mm, ubc)


@path(show="handle_mm_fault(write)")
def handle_write_fault(mm: Mm, page: Page, again: Folio | None = None) -> None:
    """Make the PTE writable. If it is read-only: ``do_wp_page()``, and the page is the process's
    own (``wp_page_reuse()``). If it is empty: ``do_swap_page()`` or ``do_shared_fault()``, with the
    folio ``again`` that has the contents by now. If it is a migration entry: wait.

    v12 flushes at the end, when the PTE has been set and other threads can write through it.
    """
    done = False
    while not done:
        wait_until(mm.pte[page].noted != Noted.MIGRATION)
        with pte_lockptr(mm, page):
            pte = ptep_get(mm, page)
            if pte.noted == Noted.MIGRATION:
                note("migration entry")
            else:
                if LUF_FAULT == "ptl" or (LUF_FAULT == "wp" and pte.present):
                    luf_flush_fault(mm)
                if pte.present:
                    set_pte_at(mm, page, replace(pte, writable=True, accessed=True, dirty=True))
                elif again is not None:
                    new = Pte(present=True, writable=True, accessed=True, dirty=True, frame=again)
                    set_pte_at(mm, page, new)
                done = True
    if LUF_FAULT == "end":
        luf_flush_fault(mm)
