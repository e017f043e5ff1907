"""Which PTEs are a contpte block.

A search is about one block: all pages of the model, and nothing else is in their page table. A
kernel with 4 KiB pages has blocks of 16 PTEs, naturally aligned (option ``cont_ptes``).
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import path
from shootdown.linux.arch.arm64.options import CONT_PTES

Pages = tuple[Page, ...]


@path
def cont_ptes() -> int:
    """``CONT_PTES``: how many there are in a block."""
    return len(Page) if CONT_PTES == "all" else 16


@path
def contpte_align_down(page: Page) -> int:
    """The number of the first page of a page's block."""
    return 0 if CONT_PTES == "all" else page.index - page.index % 16


@path
def block_of(page: Page) -> set[Page]:
    """The pages of a page's block."""
    first = contpte_align_down(page)
    block: set[Page] = set()
    for number in range(cont_ptes()):
        block.add(Page(first + number))
    return block


@path
def covers_in_part(pages: Pages) -> bool:
    """Whether some consecutive pages do not begin a block, or are fewer than one."""
    if CONT_PTES == "all":
        return len(pages) < len(Page)
    return len(pages) < 16 or pages[0].index % 16 > 0


@path
def part_at_the_end(pages: Pages) -> bool:
    """Whether some consecutive pages end within a block."""
    if CONT_PTES == "all":
        return False
    return (pages[0].index + len(pages)) % 16 > 0


@path
def whole_block(page: Page, pages: Pages) -> bool:
    """Whether all of a page's block is among some consecutive pages."""
    first = contpte_align_down(page)
    return Page(first) in pages and Page(first + cont_ptes() - 1) in pages
