"""Where the scenarios of system S3 start: one block, and who uses it.

The first PE runs the kernel, and loads nothing into its TLB; the others use the page table.
"""

from __future__ import annotations

from shootdown.errors import UsageError
from shootdown.hardware.arm64_walker import Walker
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.lang import atomic
from shootdown.linux.arch.arm64.pgtable import Arm64Mm


def pages_of_block(pages: int) -> int:
    """The size of a block, if it is one. Hardware has powers of two; no path asks for that, so that
    a block of three, which has a first, a middle and a last page, stands for all that are larger.
    """
    if pages < 2:
        raise UsageError(
            f"a contpte block has at least 2 pages: write --bound pages=2, not {pages}"
        )
    return pages


@atomic
def walkers(mm: Arm64Mm) -> None:
    """Every PE but the first, which runs the kernel, uses the page table."""
    for walker in Walker:
        if walker.index > 0:
            walker.walks = mm


@atomic
def block() -> None:
    """A contpte block: writable, accessed, clean."""
    mm = Arm64Mm(0)
    walkers(mm)
    for page in Page:
        mm.pte[page] = Pte(
            present=True, contiguous=True, writable=True, accessed=True, frame=Frame(0)
        )


@atomic
def old_block() -> None:
    """A contpte block that was not accessed yet."""
    mm = Arm64Mm(0)
    walkers(mm)
    for page in Page:
        mm.pte[page] = Pte(present=True, contiguous=True, writable=True, frame=Frame(0))


@atomic
def almost_block() -> None:
    """Single PTEs, accessed, all read-only but the last one."""
    mm = Arm64Mm(0)
    walkers(mm)
    for page in Page:
        mm.pte[page] = Pte(
            present=True, writable=page.index == len(Page) - 1, accessed=True, frame=Frame(0)
        )


@atomic
def read_block() -> None:
    """A contpte block that was read; the TLBs do not matter."""
    mm = Arm64Mm(0)
    for page in Page:
        mm.pte[page] = Pte(
            present=True, contiguous=True, writable=True, accessed=True, frame=Frame(0)
        )


@atomic
def dirty_block() -> None:
    """A contpte block that was written, long ago, and was not used since; a third PE uses it."""
    mm = Arm64Mm(0)
    for page in Page:
        mm.pte[page] = Pte(
            present=True,
            contiguous=True,
            writable=True,
            dirty=page == Page(0),
            frame=Frame(0),
        )
    for walker in Walker:
        if walker.index > 1:
            walker.walks = mm


@atomic
def device_block() -> None:
    """A contpte block that was read; a third PE, a device, uses it."""
    read_block()
    for walker in Walker:
        if walker.index > 1:
            walker.walks = Arm64Mm(0)


@atomic
def shared_with_device() -> None:
    """A contpte block that was read; a CPU and a device use it."""
    block()


@atomic
def shared_unread() -> None:
    """The same, but nobody has read it."""
    old_block()
