"""System S3: how many TLBIs a call needs (Q-S3-7), as far as that is decided without prices.

MET-S3 of the reference, in the form "at most one". What a TLBI costs is not said here.
"""

from __future__ import annotations

from typing import Any, cast

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.hardware.tlbi import Pe
from shootdown.lang import Scenario, Setup, Thread, ghost, invariant, on_write, ranged, scenario
from shootdown.races import s3_properties as s3
from shootdown.races import s3_start as start
from shootdown.races.s3 import MM, OPTIONS, observed
from shootdown.races.s3_callers import exit_mmap, load_anywhere, madvise_dontneed


class CountingPe(Pe):
    """``issued`` (ghost): how many TLBIs it has issued, two meaning more than one."""

    issued: int = ghost(ranged(0, 2))


@on_write(Pe.posted)
def tlbi_issued(pe: Pe, target: Cpu, old: set[Page], new: set[Page]) -> None:
    """A TLBI goes to all PEs; this counts at the first."""
    counted = cast(CountingPe, pe)
    if new and target == Cpu(0) and counted.issued < 2:
        counted.issued += 1


@invariant("MET-S3-TLBI")
def one_tlbi() -> bool:
    """A call has issued a second TLBI."""
    return not any(pe.issued > 1 for pe in CountingPe)


def cost(
    name: str, title: str, variant: str, *, part: bool = False, violates: str | None = None
) -> Scenario:
    """The process exits and gives up a whole block; or (``part``) MADV_DONTNEED gives up its first
    page. A device uses the block."""
    given: Any = (Page(0),)

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 2) -> Setup:
        block = tuple(Page(p) for p in range(pages))
        call = (
            Thread(madvise_dontneed, MM, given, on=Cpu(0))
            if part
            else Thread(exit_mmap, MM, block, monotone=False, on=Cpu(0))
        )
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.block,
            threads=[call, Thread(load_anywhere, MM, on=Cpu(1), name="device")],
            hardware=observed(s3.flags_set, tlbi_issued),
            options=OPTIONS[variant],
            invariants=[one_tlbi],
            goals=[s3.window, s3.first_gone],
        )

    return build


TWO = "MET-S3-TLBI"

COSTS = (
    cost("S3.O2.tlbi", "a whole block: that of the gather", "O2"),
    cost("S3.O4.tlbi", "a whole block, one by one: that of the gather", "O4"),
    cost(
        "S3.unfold.tlbi", "a whole block: to unfold, and that of the gather", "unfold", violates=TWO
    ),
    cost(
        "S3.PART.tlbi",
        "a part of a block: to unfold, and that of the gather",
        "O2",
        part=True,
        violates=TWO,
    ),
)
