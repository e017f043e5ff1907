"""How much memory a workload has: pages in page tables of 512, VMAs, frames."""

from __future__ import annotations

from collections.abc import Mapping

from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.hardware.walker import Region
from shootdown.lang.large import Span
from shootdown.lang.types import Object
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm_types import Vma

TABLE = 512
"""Entries of a page table."""
ASIDS = 6
"""``TLB_NR_DYN_ASIDS``: how many address spaces a CPU keeps apart."""


def tables(pages: int) -> int:
    """How many page tables these pages need."""
    return -(-pages // TABLE)


class Places:
    """Mappings of one address space: ``count`` areas of ``pages`` pages, each a VMA of its own.

    Each area begins at a page table of its own, ``offset`` pages behind its start; or they are
    ``packed``, so that several lie in one page table (rounded up to a power of 2).
    """

    def __init__(self, count: int, pages: int, *, packed: bool = False, offset: int = 0) -> None:
        self.count = count
        self.pages = pages
        self.offset = offset
        self.size = tables(offset + pages) * TABLE
        if packed and pages <= TABLE // 2:
            self.size = 1 << (pages - 1).bit_length()
        self.total = tables(count * self.size) * TABLE

    def area(self, number: int, pages: int | None = None) -> Span:
        """The pages of an area, or the first of them."""
        return Span(Page, number * self.size + self.offset, self.pages if pages is None else pages)

    def sizes(
        self, *, cpus: int, spare: int = 64, mms: int = 1, frames: int | None = None
    ) -> Mapping[type[Object], int]:
        """Populations: as many frames as there are pages in all areas (or ``frames``), and
        ``spare`` ones, in blocks of 512."""
        needed = self.count * self.pages if frames is None else frames
        return {
            TlbState: cpus,
            Page: self.total,
            Region: self.total // TABLE,
            Vma: self.total // self.size,
            Frame: tables(needed + spare) * TABLE,
            ContextMm: mms,
            Pcid: ASIDS,
        }
