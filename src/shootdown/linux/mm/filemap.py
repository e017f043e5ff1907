"""mm/filemap.c: write(2) to a file that is mapped, with LUF's give-up point V4."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path
from shootdown.linux.mm.luf import LUF_FILE, luf_flush_mapping
from shootdown.linux.mm.luf_batch import File, LufMm, LufPage
from shootdown.linux.mm.rmap_batch import TlbUbc
from shootdown.linux.mm_types import Folio

Readers = tuple[tuple[LufMm, Page], ...]
"""Where the file is mapped."""


@atomic(show="copy_from_user()")
def copy_in(folio: Folio, readers: Readers) -> None:
    """The file has new contents: whoever reads it must find them from here on."""
    cast(LufPage, folio).data = 1
    for mm, page in readers:
        mm.newest[page] = 1


@path
def write_begin(file: File) -> None:
    """V4: ``mapping_write_begin()``, with the folio locked and not yet written to. Filesystems that
    write through iomap do not call it (fs/iomap/buffered-io.c), and v12 has no other place."""
    if LUF_FILE == "flush":
        luf_flush_mapping(file, TlbUbc())


@path(show="write(fd)")
def generic_perform_write(file: File, new: Folio, readers: Readers) -> None:
    """Write to the folio in the page cache, or put ``new`` there, which was read from disk. Reclaim
    holds the lock of a folio from before it unmaps it until it has left the page cache."""
    found = READ_ONCE(file.folio)
    done = False
    if found is not None:
        with found.lock:
            if READ_ONCE(file.folio) == found:
                write_begin(file)
                copy_in(found, readers)
                done = True
    if not done:
        note("not in the page cache: read")
        with new.lock:
            WRITE_ONCE(file.folio, new)
            write_begin(file)
            copy_in(new, readers)
