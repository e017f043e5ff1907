"""System S3: arm64 contpte. Tearing a block down, and not all of it.

One set of paths (``shootdown.linux.arch.arm64``), the options of November 2023 and the unsafe
variants as options. The other situations are in ``s3_convert.py`` (fold, unfold, set, fork) and
``s3_lockless.py`` (readers and faults). ``docs/s3.md`` explains the results.

The block is all pages of the model: ``--bound pages=4`` is N = 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shootdown.hardware.arm64 import arm64_contiguous
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.lang import Hardware, Scenario, Setup, Thread, scenario
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.races import s3_properties as s3
from shootdown.races import s3_start as start
from shootdown.races.s3_callers import (
    exit_mmap,
    exit_mmap_anyhow,
    load_anywhere,
    madvise_dontneed,
    store_anywhere,
)

Options = Mapping[str, Any]
Pages = tuple[Page, ...]

MM = Arm64Mm(0)

OPTIONS: Mapping[str, Options] = {
    "O1": {"clear_full": "gather-posted"},
    "O1a": {"clear_full": "gather"},
    "O1b": {"clear_full": "gather-atomic"},
    "O2": {},
    "O3": {"clear_full": "keep", "get_assert": "scan"},
    "O4": {"clear_full": "keep"},
    "ADJ": {"clear_full": "next"},
    "ADJ.atomic": {"clear_full": "next-atomic"},
    "ADJ.last": {"clear_full": "last-atomic"},
    "ADJ0": {"clear_full": "first"},
    "unfold": {"clear_full": "unfold"},
}
"""Which kernel each variant of the reference is, as a change to the kernel of today.

``ADJ.atomic`` and ``ADJ.last`` are the two forms in which Ryan Roberts answered ``ADJ``;
``unfold`` is the kernel without any of them.
"""


def observed(*observers: Any) -> Hardware:
    """The hardware, and ghost state that looks on."""
    return replace(arm64_contiguous, observers=(*arm64_contiguous.observers, *observers))


ALWAYS = (s3.no_lost_dirty, s3.no_lost_young, s3.no_conflict)


# ------------------------------------------------------------------ exit


def teardown(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    monotone: bool = True,
    report: bool = True,
    broken: bool = False,
    backwards: bool = False,
    young: bool = False,
    walker: bool = True,
    marker: bool = False,
    dirty: bool = False,
) -> Scenario:
    """The process exits while a device goes on using its page table.

    ``monotone``: INV-S3-3 is looked at. ``broken``: the gather is full after the first page.
    ``backwards``: the PTEs are cleared from high to low. ``young``: the block was not used before,
    and the device reads. ``walker``: there is a device. ``marker``: cleared PTEs get a marker.
    ``dirty``: the first PTE has D.
    """
    rest = violates == "INV-S3-4" or not (broken or marker)

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(pages: int = 2) -> Setup:
        given = [Page(p) for p in range(pages)]
        if backwards:
            given.reverse()
        first = 1 if broken else pages
        device = Thread(load_anywhere if young else store_anywhere, MM, on=Cpu(1), name="device")
        looked_at = [*ALWAYS, *([s3.uniform] if rest else [])]
        if not broken or violates == "INV-S3-6" or variant == "O2":
            observers = [s3.flags_set, s3.flush_after_clear]
        else:
            observers = [s3.flags_set]
        goals = [s3.all_gone]
        if walker:
            goals += [s3.used_late if young else s3.dirtied_late, s3.window]
        return Setup(
            sizes={
                Cpu: 2 if walker else 1,
                Page: start.pages_of_block(pages),
                Frame: 1,
                AddressSpace: 1,
            },
            start=start.dirty_block if dirty else start.old_block if young else start.block,
            threads=[
                Thread(
                    exit_mmap,
                    MM,
                    tuple(given[:first]),
                    tuple(given[first:]),
                    monotone=monotone,
                    report=report,
                    marker=marker,
                    on=Cpu(0),
                ),
                *([device] if walker else []),
            ],
            hardware=observed(*observers),
            options=OPTIONS[variant],
            invariants=looked_at,
            goals=goals,
        )

    return build


TEARDOWN = (
    teardown("S3.unfold", "unfold", "unfold each block before its first PTE is cleared"),
    teardown(
        "S3.O1",
        "O1",
        "copy A and D to all, as posted: the copies are computed and not stored",
        violates="INV-S3-3",
    ),
    teardown("S3.O1.union", "O1", "nothing is lost for the folio, though", monotone=False),
    teardown(
        "S3.O1a",
        "O1a",
        "copy A and D to all with plain stores: a D that hardware sets meanwhile is lost",
        violates="INV-S3-1",
    ),
    teardown(
        "S3.O1a.young",
        "O1a",
        "an A is not lost that way: whoever copies has an A to copy",
        monotone=False,
        young=True,
    ),
    teardown(
        "S3.O1b",
        "O1b",
        "copy A and D to all atomically: what hardware sets after the copy is not copied",
        violates="INV-S3-3",
    ),
    teardown("S3.O1b.union", "O1b", "nothing is lost for the folio, though", monotone=False),
    teardown("S3.O2", "O2", "clear whole blocks in one call (merged)"),
    teardown("S3.O2.young", "O2", "the same for A", young=True),
    teardown("S3.O2.break", "O2", "the gather is full in the middle of a block", broken=True),
    teardown(
        "S3.O3",
        "O3",
        "a getter that does not report A and D, and an assertion in the others",
        report=False,
    ),
    teardown(
        "S3.O3.core",
        "O3",
        "the assertion catches the callers of 2023, which use ptep_get()",
        violates="INV-S3-3",
    ),
    teardown(
        "S3.O3.marker",
        "O3",
        "but not if a marker is left in the cleared PTE: D is forgotten in silence",
        violates="INV-S3-3",
        marker=True,
    ),
    teardown(
        "S3.O4",
        "O4",
        "clear one by one: D was in the PTE that is gone",
        violates="INV-S3-3",
        aliases=("BAD-S3-1",),
    ),
    teardown(
        "S3.O4.alone",
        "O4",
        "the same with nobody else: hardware had left D in the PTE that is cleared first",
        violates="INV-S3-3",
        walker=False,
        dirty=True,
    ),
    teardown("S3.O4.clean-alone", "O4", "with nobody else and no D nothing is wrong", walker=False),
    teardown("S3.O4.union", "O4", "nothing is lost for the folio, though", monotone=False),
    teardown(
        "S3.O4.young",
        "O4",
        "nor is an A",
        monotone=False,
        young=True,
    ),
    teardown(
        "S3.O4.break",
        "O4",
        "the gather is full in the middle of a block: what is freed is reached through the rest",
        violates="INV-S3-5",
        aliases=("BAD-S3-3",),
        monotone=False,
        broken=True,
    ),
    teardown(
        "S3.O4.break-tlbi",
        "O4",
        "the same, seen where the TLBI is issued",
        violates="INV-S3-6",
        monotone=False,
        broken=True,
    ),
    teardown(
        "S3.O4.break-rest",
        "O4",
        "the same, seen when the PTL is dropped",
        violates="INV-S3-4",
        monotone=False,
        broken=True,
    ),
    teardown(
        "S3.O4.break-alone",
        "O4",
        "the same when nothing uses the page table any more",
        monotone=False,
        broken=True,
        walker=False,
    ),
    teardown(
        "S3.ADJ",
        "ADJ",
        "copy A and D to the next PTE with a plain store: a D set meanwhile is lost",
        violates="INV-S3-1",
        aliases=("BAD-S3-2",),
    ),
    teardown("S3.ADJ.atomic", "ADJ.atomic", "copy A and D to the next PTE atomically"),
    teardown(
        "S3.ADJ.atomic-back", "ADJ.atomic", "the same, cleared from high to low", backwards=True
    ),
    teardown("S3.ADJ.last", "ADJ.last", "copy A and D to the last PTE atomically"),
    teardown("S3.ADJ.last-back", "ADJ.last", "the same, cleared from high to low", backwards=True),
    teardown(
        "S3.ADJ.break",
        "ADJ.atomic",
        "no copy helps if the gather is full in the middle of a block",
        violates="INV-S3-5",
        broken=True,
    ),
    teardown(
        "S3.ADJ0",
        "ADJ0",
        "copy A and D to the first PTE, which is empty by then: it is not none any more",
        violates="INV-S3-4",
    ),
)


# ------------------------------------------------------------------ exit in any order


def anyhow(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    monotone: bool = True,
    young: bool = False,
) -> Scenario:
    """The process exits while a device goes on using its page table; the PTEs are cleared in any
    order, and the gather may be full after any of them. INV-S3-1, INV-S3-2; ``monotone``: INV-S3-3.
    ``young``: the block was not used before, and the device reads."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 3) -> Setup:
        user = load_anywhere if young else store_anywhere
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.old_block if young else start.block,
            threads=[
                Thread(exit_mmap_anyhow, MM, given, monotone=monotone, on=Cpu(0)),
                Thread(user, MM, on=Cpu(1), name="device"),
            ],
            hardware=observed(s3.flags_set),
            options=OPTIONS[variant],
            invariants=ALWAYS,
            goals=[
                s3.used_late if young else s3.dirtied_late,
                s3.window,
                s3.last_left,
                s3.all_empty,
            ],
        )

    return build


ANYHOW = (
    anyhow(
        "S3.O1b.anyhow",
        "O1b",
        "copy A and D to all atomically: nothing is lost, in any order and with any break",
        monotone=False,
    ),
    anyhow("S3.ADJ.anyhow", "ADJ.atomic", "copy A and D to the next PTE atomically, in any order"),
    anyhow("S3.ADJ.anyhow-young", "ADJ.atomic", "the same for A: the device reads", young=True),
    anyhow("S3.ADJ.anyhow-last", "ADJ.last", "copy them to the last PTE atomically, in any order"),
    anyhow(
        "S3.ADJ.anyhow-plain",
        "ADJ",
        "copy them to the next PTE with a plain store",
        violates="INV-S3-1",
    ),
)


# ------------------------------------------------------------------ a part of a block


def partial(
    name: str,
    title: str,
    *,
    unfold: bool,
    violates: str | None = None,
) -> Scenario:
    """MADV_DONTNEED of the first page of a block; the process goes on and reads."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 2) -> Setup:
        looked_at = [*ALWAYS, *([s3.uniform] if violates != "INV-S3-5" else [])]
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.block,
            threads=[
                Thread(madvise_dontneed, MM, (Page(0),), on=Cpu(0)),
                Thread(load_anywhere, MM, on=Cpu(1)),
            ],
            hardware=observed(s3.flags_set, *([s3.flush_after_clear] if violates is None else [])),
            options={"unfold_partial": "yes" if unfold else "no"},
            invariants=looked_at,
            goals=[s3.window, s3.first_gone],
        )

    return build


PARTIAL = (
    partial("S3.PART", "a block that is zapped in part is unfolded first", unfold=True),
    partial(
        "S3.NOPART",
        "it is not: what was zapped is reached through the rest of the block",
        unfold=False,
        violates="INV-S3-5",
    ),
    partial(
        "S3.NOPART.rest",
        "the same, seen when the PTL is dropped",
        unfold=False,
        violates="INV-S3-4",
    ),
)
