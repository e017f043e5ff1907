"""Historic races around pages of files and devices: MUNMAP-PFNMAP, MREMAP-MKCLEAN."""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, path, scenario
from shootdown.linux.mm.mmap import munmap, revoke_device_page
from shootdown.linux.mm.mremap import mremap
from shootdown.linux.mm.page_writeback import write_folio
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.x3_properties import verdict

MM = Mm(0)
OLD, NEW = Page(0), Page(1)


def pfnmap(
    name: str,
    title: str,
    flush: str,
    violates: str | None = None,
) -> Scenario:
    """munmap() of a page that a driver has mapped without counting; the driver takes the page back
    and finds nobody who maps it; a third CPU still writes to it. INV-UAF."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, Mm: 1},
            start=x3.file_page_dirty,
            threads=[
                Thread(munmap, MM, (OLD,), on=Cpu(1), file=True, pfnmap=True),
                Thread(revoke_device_page, MM, (OLD,), Folio(0), on=Cpu(0)),
                *[Thread(x3.writer, MM, OLD, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted],
            goals=[x3.window, x3.freed, x3.returned],
            options={"pfnmap_flush": flush, "uaf": "use"},
        )

    return build


PFNMAP = (
    pfnmap(
        "MUNMAP-PFNMAP",
        "a driver's page is freed before munmap has flushed (CVE-2022-39188)",
        "late",
        "INV-UAF",
    ),
    pfnmap(
        "MUNMAP-PFNMAP.fixed",
        "munmap flushes before the file forgets the VMA (b67fbebd4cf9)",
        "end-vma",
    ),
)


@path(show="user")
def write_twice(mm: Mm, page: Page) -> None:
    """The second store finds the dirty flag set by the first, in the TLB if nowhere else."""
    x3.write_kept(mm, page)
    x3.write_kept(mm, page)


def mkclean(name: str, title: str, flush: str, violates: str | None = None) -> Scenario:
    """mremap() moves a page of a file, writeback cleans it where it finds it, a third CPU writes
    through the old address. INV-S0-2: what was written is known to be dirty."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 2, Frame: 1, Mm: 1},
            start=x3.file_page_written,
            threads=[
                Thread(mremap, MM, OLD, NEW, on=Cpu(1)),
                Thread(write_folio, MM, OLD, Folio(0), on=Cpu(0), moves=True),
                *[Thread(write_twice, MM, OLD, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.no_lost_dirty, s0.counted],
            goals=[x3.window, x3.moved, x3.cleaned, x3.returned],
            options={"mremap_flush": flush},
        )

    return build


MKCLEAN = (
    mkclean(
        "MREMAP-MKCLEAN",
        "mremap flushes late: writeback cleans the new place only",
        "late",
        "INV-S0-2",
    ),
    mkclean(
        "MREMAP-MKCLEAN.before",
        "the dirty flag is looked at before the PTE is taken out (5d1904204c99)",
        "dirty-before",
        "INV-S0-2",
    ),
    mkclean(
        "MREMAP-MKCLEAN.fixed", "the flag of what was taken out counts (a2ce2666aa8a)", "dirty"
    ),
    mkclean("MREMAP-MKCLEAN.today", "whatever is present is flushed (eb66ae030829)", "locked"),
)
