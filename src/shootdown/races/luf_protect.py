"""System S2b: write protection that is flushed late, while LUF takes read-only PTEs (Q-S2-3)."""

from __future__ import annotations

from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.kernel.fork import dup_mmap
from shootdown.linux.mm.luf_batch import LufKey, LufMm
from shootdown.linux.mm.madvise import madvise_free
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.userfaultfd import mwriteprotect_range
from shootdown.linux.mm_types import Folio
from shootdown.linux.user_contents import writes
from shootdown.races import luf_properties as luf
from shootdown.races.luf import MAPPED, MM, PAGE, VARIANTS, verdict


def protect(
    name: str,
    variant: str,
    title: str,
    protector: Any,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    first: Any = None,
) -> Scenario:
    """A page that was written is made read-only, and the flush comes later; migration moves it
    meanwhile; its owner writes to it. INV-S2-6. ``first``: instead of the owner, somebody else who
    flushes late."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 3, Page: 1, Frame: 2, LufMm: 1, LufKey: 1},
            start=luf.written,
            threads=[
                Thread(migrate_pages, MAPPED, Folio(0), Folio(1), on=Cpu(0)),
                Thread(protector, MM, PAGE, on=Cpu(1)),
                Thread(writes, MM, Page(0), on=Cpu(2))
                if first is None
                else Thread(first, MM, PAGE, on=Cpu(2)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.protected, luf.moved],
            options=VARIANTS[variant],
        )

    return build


PROTECT = (
    protect(
        "LUF.wpdefer",
        "V11",
        "write-protected, not flushed yet: the PTE is read-only, the TLB is not",
        mwriteprotect_range,
        violates="INV-S2-6",
        aliases=("BAD-S2-6",),
    ),
    protect(
        "LUF.wpdefer.clean",
        "clean",
        "with the dirty flag looked at: who can write has set it",
        mwriteprotect_range,
    ),
    protect(
        "LUF.wpdefer.free",
        "clean",
        "but MADV_FREE clears it, and flushes late too",
        mwriteprotect_range,
        violates="INV-S2-6",
        first=madvise_free,
    ),
    protect(
        "LUF.wpdefer.settled",
        "settled",
        "not while tlb_flush_pending says that a flush is owed",
        mwriteprotect_range,
    ),
    protect(
        "LUF.wpdefer.settled-free",
        "settled",
        "the same with MADV_FREE",
        mwriteprotect_range,
        first=madvise_free,
    ),
    protect(
        "LUF.wpdefer.fork",
        "settled",
        "but fork() does not count in tlb_flush_pending",
        dup_mmap,
        violates="INV-S2-6",
    ),
    protect(
        "LUF.wpdefer.both",
        "both",
        "clean, and no flush is owed: fork() and MADV_FREE together",
        dup_mmap,
        first=madvise_free,
    ),
)
