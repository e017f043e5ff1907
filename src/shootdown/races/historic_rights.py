"""Historic races about write protection that was not flushed yet when somebody relied on it:
UFFD-WP, CLEARREFS-LOCK, SOFTDIRTY-NOFLUSH, KSM-4CPU.

Each as it was, and as it was repaired. INV-STABLE: a page is replaced by a copy that lacks a store.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.fs.proc.task_mmu import clear_refs_write
from shootdown.linux.mm.ksm import try_to_merge_one_page
from shootdown.linux.mm.madvise import madvise_free
from shootdown.linux.mm.userfaultfd import mwriteprotect_range
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.x3_properties import verdict

MM = Mm(0)
PAGE = Page(0)
UAF_USE = {"uaf": "use"}


def protect(
    name: str,
    title: str,
    protector: Any,
    options: dict[str, str],
    violates: str | None = None,
    *,
    uffd: bool = False,
) -> Scenario:
    """Somebody makes a page read-only and flushes later, a write fault copies the page meanwhile,
    a third CPU writes to the page through the old translation."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 2, Mm: 1},
            start=x3.anon_page_shared,
            threads=[
                Thread(protector, MM, (PAGE,), on=Cpu(0)),
                Thread(x3.writer_cow, MM, PAGE, Folio(1), on=Cpu(1), uffd=uffd),
                *[Thread(x3.writer, MM, PAGE, on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted, x3.no_store_is_missed],
            goals=[x3.window, x3.replaced],
            options={**UAF_USE, **options},
        )

    return build


COW = (
    protect(
        "UFFD-WP",
        "userfaultfd write protection: a fault copies before the flush",
        mwriteprotect_range,
        {"uffd_wp": "none"},
        "INV-STABLE",
        uffd=True,
    ),
    protect(
        "UFFD-WP.fixed",
        "the fault flushes first if a flush is pending (6ce64428d62)",
        mwriteprotect_range,
        {},
        uffd=True,
    ),
    protect(
        "CLEARREFS-LOCK",
        "clear_refs protects pages under the mmap lock for reading",
        clear_refs_write,
        {"clear_refs": "read-locked"},
        "INV-STABLE",
    ),
    protect(
        "CLEARREFS-LOCK.fixed",
        "clear_refs keeps page faults out (29a951dfb3c3)",
        clear_refs_write,
        {},
    ),
)


def soft_dirty(name: str, title: str, clear_refs: str, violates: str | None = None) -> Scenario:
    """clear_refs makes a page read-only and returns; a store must fault from then on, or the
    soft-dirty bit misses it. INV-RET."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 2) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, Mm: 1},
            start=x3.anon_page,
            threads=[
                Thread(clear_refs_write, MM, (PAGE,), on=Cpu(0)),
                *[Thread(x3.writer, MM, PAGE, on=Cpu(c)) for c in range(1, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted],
            goals=[x3.window, x3.returned],
            options={"clear_refs": clear_refs},
        )

    return build


SOFTDIRTY = (
    soft_dirty(
        "SOFTDIRTY-NOFLUSH",
        "clear_refs with a gather that nothing is put in",
        "gather",
        "INV-RET",
    ),
    soft_dirty(
        "SOFTDIRTY-NOFLUSH.fixed", "clear_refs flushes by hand (912efa17e512)", "read-locked"
    ),
)


def ksm(
    name: str,
    title: str,
    options: dict[str, str],
    violates: str | None = None,
) -> Scenario:
    """MADV_FREE takes the dirty flag, clear_refs the right to write, both flush later; KSM finds
    the page clean and read-only, compares and replaces it; a fourth CPU writes to it. All of them
    hold the mmap lock for reading at most."""

    @scenario(name, title=title, **verdict(violates))
    def build(cpus: int = 4) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 2, Mm: 1},
            start=x3.anon_page,
            threads=[
                Thread(try_to_merge_one_page, MM, PAGE, Folio(0), Folio(1), on=Cpu(0)),
                Thread(madvise_free, MM, (PAGE,), on=Cpu(1)),
                Thread(clear_refs_write, MM, (PAGE,), on=Cpu(2)),
                *[Thread(x3.writer, MM, PAGE, on=Cpu(c)) for c in range(3, cpus)],
            ],
            hardware=x86,
            invariants=[s0.counted, x3.no_store_is_missed],
            goals=[x3.window, x3.replaced],
            options={**UAF_USE, **options},
        )

    return build


KSM = (
    ksm(
        "KSM-4CPU",
        "KSM finds a page protected whose flushes are still to come",
        {"clear_refs": "uncounted", "ksm_protect": "pte"},
        "INV-STABLE",
    ),
    ksm(
        "KSM-4CPU.counted",
        "clear_refs is counted, but KSM does not look at the count",
        {"clear_refs": "read-locked", "ksm_protect": "pte"},
        "INV-STABLE",
    ),
    ksm(
        "KSM-4CPU.looked",
        "KSM looks at the count: that of MADV_FREE is enough on x86",
        {"clear_refs": "uncounted"},
    ),
    ksm(
        "KSM-4CPU.fixed",
        "clear_refs is counted, and KSM flushes if a flush is pending (b3a81d0841a9)",
        {"clear_refs": "read-locked"},
    ),
)
