"""System S2b: LUF, and what a reader must see: the contents of a page change (Q-S2-2, INV-S2-8)."""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.mm.filemap import generic_perform_write
from shootdown.linux.mm.luf_batch import File, LufKey, LufMm
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm.truncate import punch_hole
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio
from shootdown.linux.user_contents import reads, writes, writes_or_copies, writes_or_faults
from shootdown.races import luf_properties as luf
from shootdown.races.luf import MAPPED, MM, RECLAIM, VARIANTS, verdict

# ------------------------------------------------------------------ page faults


def fault(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    swap: bool = False,
    third: bool = False,
    copy: bool = False,
) -> Scenario:
    """A read-only page is migrated (``swap``: reclaimed, and comes back in another frame). One
    thread writes to it, with a page fault; another one reads it. ``third``: one more thread writes,
    if it can do so without a fault. ``copy``: others have the page too, and a write copies it.
    INV-S2-8."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        again = (Folio(2),) if copy else (Folio(1),) if swap else ()
        writer = writes_or_copies if copy else writes_or_faults
        move = (
            Thread(shrink_folios, RECLAIM, on=Cpu(0))
            if swap
            else Thread(migrate_pages, MAPPED, Folio(0), Folio(1), on=Cpu(0))
        )
        return Setup(
            sizes={Cpu: 4 if third else 3, Page: 1, Frame: 2 + copy, LufMm: 1, LufKey: 1},
            start=luf.read_only_moves if swap else luf.read_only_anon,
            threads=[
                move,
                Thread(writer, MM, Page(0), *again, on=Cpu(1)),
                Thread(reads, MM, Page(0), on=Cpu(2)),
                *([Thread(writes, MM, Page(0), on=Cpu(3))] if third else []),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached, luf.changed, luf.copied if copy else luf.moved],
            options=VARIANTS[variant],
        )

    return build


FAULT = (
    fault(
        "LUF.noV2",
        "noV2",
        "a write fault makes the new frame writable; a reader has the old one",
        violates="INV-S2-8",
        aliases=("BAD-S2-4",),
    ),
    fault(
        "LUF.noV2.empty",
        "noV2",
        "the same with an empty PTE, also of a private mapping",
        violates="INV-S2-8",
        swap=True,
    ),
    fault("LUF.noV2.copy", "noV2", "a copy on write needs no V2: it flushes anyway", copy=True),
    fault("LUF.V11.fault", "V11", "the page fault flushes before it returns"),
    fault(
        "LUF.V11.third",
        "V11",
        "another thread writes between the PTE and the flush of the page fault",
        violates="INV-S2-8",
        third=True,
    ),
    fault("LUF.V11.ptl", "ptl", "the page fault flushes before it sets the PTE", third=True),
    fault("LUF.V10.fault", "V10", "v10: do_wp_page() flushes under the PTL", third=True),
    fault(
        "LUF.V10.swap",
        "V10",
        "v10: the PTE was empty, so do_wp_page() is not called",
        violates="INV-S2-8",
        swap=True,
    ),
    fault("LUF.V11.swap", "V11", "v12: every write fault flushes", swap=True),
    fault("LUF.V11.swap-ptl", "ptl", "the same under the PTL", swap=True, third=True),
)


# ------------------------------------------------------------------ the file changes


def writing(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    punch: bool = False,
) -> Scenario:
    """A file page that is mapped read-only is reclaimed; somebody writes to the file (``punch``:
    punches a hole there); a thread of the process reads the page. INV-S2-8."""
    change = (
        Thread(punch_hole, File(0), MM, Page(0), MAPPED, on=Cpu(1))
        if punch
        else Thread(generic_perform_write, File(0), Folio(1), MAPPED, on=Cpu(1))
    )

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 3, Page: 1, Frame: 2, LufMm: 1, LufKey: 1, File: 1},
            start=luf.read_only_file,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                change,
                Thread(reads, MM, Page(0), on=Cpu(2)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached, luf.changed],
            options={**VARIANTS[variant], "luf_pages": "file"},
        )

    return build


WRITE = (
    writing(
        "LUF.noV4",
        "noV4",
        "write() to the file: the reader never sees it, and never faults",
        violates="INV-S2-8",
        aliases=("BAD-S2-5",),
    ),
    writing("LUF.V10", "V10", "v10 does not know write()", violates="INV-S2-8"),
    writing("LUF.V11.write", "V11", "write() flushes what LUF owes for the file"),
    writing("LUF.V11.punch", "V11", "a hole is punched: three flushes, each is enough", punch=True),
    writing("LUF.noV4.punch", "noV4", "the same, and only the zap flushes", punch=True),
    writing("LUF.noV1.punch", "noV1", "the same, and only truncation flushes", punch=True),
    writing(
        "LUF.none.punch",
        "none",
        "the same, and nobody flushes",
        violates="INV-S2-8",
        punch=True,
    ),
)
