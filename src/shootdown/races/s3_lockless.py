"""System S3: lockless readers of contpte blocks.

INV-S3-7 says what a reader may return. There is no one instant at which it reads; the scenarios
tell how far that shows.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte
from shootdown.lang import (
    Scenario,
    Setup,
    Thread,
    atomic,
    goal,
    mark,
    path,
    progress,
    scenario,
    this,
)
from shootdown.linux.arch.arm64.contpte import (
    clear_young_dirty_ptes,
    ptep_get_lockless,
)
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.races import s3_properties as s3
from shootdown.races import s3_start as start
from shootdown.races.s3 import Options, observed
from shootdown.races.s3_callers import (
    load_anywhere,
    mprotect_page,
    replace_folio,
    store_anywhere,
    zap,
)
from shootdown.races.s3_properties import ReadMm

MM = ReadMm(0)


# ------------------------------------------------------------------ what a reader returns


@atomic(show="local_irq_disable()")
def begin_lockless(mm: ReadMm, page: Page) -> None:
    """From here on the property looks at the values of the entry."""
    this(Cpu).irq_on = False
    mm.reading = page
    mm.views = {s3.view(mm, page)}


@atomic
def was_there(mm: ReadMm, pte: Pte, accessed: bool, dirty: bool) -> bool:
    """Whether the block had this value at one instant, as far as the flags that count go."""
    return any(
        view.present
        and view.frame == pte.frame
        and view.writable == pte.writable
        and (view.accessed or not accessed)
        and (view.dirty or not dirty)
        for view in mm.views
    )


@atomic(show="local_irq_enable()")
def end_lockless(mm: ReadMm, pte: Pte, together: bool) -> None:
    """The reader has its value: INV-S3-7."""
    if pte.present:
        if together:
            fine = was_there(mm, pte, pte.accessed, pte.dirty)
        else:
            fine = was_there(mm, pte, pte.accessed, False) and was_there(mm, pte, False, pte.dirty)
        if not fine:
            mark("never was: {}", pte)
        assert fine, "INV-S3-7: a lockless reader returns what the block never was"
        assert pte.dirty or any(not view.dirty for view in mm.views), (
            "INV-S3-7: a lockless reader misses a D that was there all the time"
        )
    mm.reading = None
    mm.views = set()
    mm.reader_done = True
    this(Cpu).irq_on = True


@path(show="gup_fast()")
def read_lockless(mm: ReadMm, page: Page, *, together: bool = True) -> None:
    """mm/gup.c gup_fast_pte_range(), as far as reading goes. ``together``: A and D that are
    returned must have been there at the same time."""
    begin_lockless(mm, page)
    pte = ptep_get_lockless(mm, page)
    end_lockless(mm, pte, together)


@path(show="madvise(MADV_FREE)")
def madvise_free(mm: Arm64Mm) -> None:
    """mm/madvise.c: the block may be dropped unless it is written again."""
    with mm.ptl:
        clear_young_dirty_ptes(mm)


@progress("INV-S3-9")
def reader_ends() -> bool:
    """A lockless reader goes round for ever."""
    return all(mm.reader_done for mm in ReadMm)


@goal("the block changes under the reader")
def changed() -> bool:
    """The reader is under way, and there is more than one value that it may return."""
    return any(len(mm.views) > 1 for mm in ReadMm)


def lockless(
    name: str,
    title: str,
    against: str,
    options: Options,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    together: bool = True,
    anywhere: bool = False,
    first: bool = False,
) -> Scenario:
    """A reader of the last PTE (``first``: of the first) against a block that is zapped and mapped
    again: another folio, by a write (``other``); the same folio (``same``); that is made clean and
    then used (``clean``); that is unfolded (``unfold``); that is zapped while a device writes
    (``zap``). ``together``, ``anywhere``: what INV-S3-7 means by "was"."""

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(pages: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        writers = {
            "other": [Thread(replace_folio, MM, given, Frame(1), dirty=True, on=Cpu(0))],
            "same": [Thread(replace_folio, MM, given, Frame(0), dirty=True, on=Cpu(0))],
            "unfold": [Thread(mprotect_page, MM, Page(0), on=Cpu(0))],
            "clean": [
                Thread(madvise_free, MM, on=Cpu(0)),
                Thread(load_anywhere, MM, on=Cpu(2), name="user"),
            ],
            "zap": [
                Thread(zap, MM, given, on=Cpu(0)),
                Thread(store_anywhere, MM, times=1, on=Cpu(2), name="device"),
            ],
        }
        starts = {"clean": start.dirty_block, "zap": start.device_block}
        target = Page(0 if first else pages - 1)
        return Setup(
            sizes={
                Cpu: 1 + len(writers[against]),
                Page: start.pages_of_block(pages),
                Frame: 2,
                AddressSpace: 1,
            },
            start=starts.get(against, start.read_block),
            threads=[
                *writers[against],
                Thread(read_lockless, MM, target, together=together, on=Cpu(1), name="reader"),
            ],
            hardware=observed(s3.flags_set, s3.viewed_anywhere if anywhere else s3.viewed),
            options=options,
            invariants=[s3.uniform],
            progress=[] if against in ("clean", "zap") else [reader_ends],
            goals=[changed],
        )

    return build


READERS = (
    lockless("S3.LOCKLESS", "a reader against a block that is replaced", "other", {}),
    lockless("S3.LOCKLESS.unfold", "a reader against a block that is unfolded", "unfold", {}),
    lockless("S3.LOCKLESS.same", "a reader against a block that is mapped again", "same", {}),
    lockless(
        "S3.LOCKLESS.none",
        "without the check of each PTE: the folio of one block, A and D of another",
        "other",
        {"lockless": "none"},
        violates="INV-S3-7",
        aliases=("BAD-S3-6",),
    ),
    lockless(
        "S3.LOCKLESS.clean",
        "A and D are not read at one instant: D before it is taken away, A after",
        "clean",
        {},
        violates="INV-S3-7",
    ),
    lockless(
        "S3.LOCKLESS.clean-each",
        "but each of them was there at some instant",
        "clean",
        {},
        together=False,
    ),
    lockless(
        "S3.LOCKLESS.zap",
        "D is found in another PTE when the reader's own is gone",
        "zap",
        {},
        violates="INV-S3-7",
        together=False,
        first=True,
    ),
    lockless(
        "S3.LOCKLESS.zap-any",
        "but it was there, in the block, during the call",
        "zap",
        {},
        together=False,
        anywhere=True,
        first=True,
    ),
    lockless(
        "S3.O3.lockless",
        "option 3's assertion fires in a reader that would only have started again",
        "other",
        {"get_assert": "scan"},
        violates="INV-S3-3",
    ),
    lockless("S3.EARLY", "a reader that stops early", "other", {"gather": "early"}),
    lockless(
        "S3.EARLY.same",
        "a reader that stops early, before the PTE that tells it that the folio is mapped anew",
        "same",
        {"gather": "early"},
        violates="INV-S3-7",
    ),
    lockless(
        "S3.EARLY.same-any",
        "but the flags were there, in the block, during the call",
        "same",
        {"gather": "early"},
        together=False,
        anywhere=True,
    ),
)
