"""``struct address_space`` of files of many pages, and how a folio is found from a page, and back.

With ``rmap=file`` reclaim and migration look here where a folio is mapped. A page of a file has one
number, under which every process has mapped it; so a process's page is its place in the file, too.
The same serves for anonymous memory, whose ``anon_vma`` says who may map it.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.linux.mm.luf_batch import File, LufPage
from shootdown.linux.mm_types import Folio, Mm


class Mapping(File):
    """``i_mmap``: who has mapped the file."""

    i_mmap: set[Mm]


class FilePage(Page):
    """``i_pages``: what the page cache has for a page. ``shared_writable``: it is mapped writable
    when it is mapped."""

    folio: Folio | None = None
    shared_writable: bool = False


class FileFolio(LufPage):
    """A folio that knows its place. ``dst``: the folio that it is being migrated to, which the
    kernel keeps in a second list."""

    mapping: Mapping
    index_page: Page
    dst: Folio = Folio(0)
