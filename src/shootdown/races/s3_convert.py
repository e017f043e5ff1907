"""System S3: contpte blocks come and go. Fold and unfold, with and without break-before-make; set;
fork.

A fold or an unfold is provoked by mprotect() of one page, as it is in the kernel. User space writes
on another CPU.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.races import s3_properties as s3
from shootdown.races import s3_start as start
from shootdown.races.s3 import ALWAYS, MM, Options, observed
from shootdown.races.s3_callers import (
    fork,
    load_anywhere,
    mprotect_page,
    replace_folio,
    store_anywhere,
)

NEVER = {"convert_flush": "never"}

# ------------------------------------------------------------------ fold and unfold


def convert(
    name: str,
    title: str,
    options: Options,
    *,
    fold: bool,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """mprotect(PROT_READ) of one page. ``fold``: of the last one of an almost read-only block,
    which completes it; else of the first one of a writable block, which breaks it up."""

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(pages: int = 2) -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.almost_block if fold else start.block,
            threads=[
                Thread(mprotect_page, MM, Page(pages - 1 if fold else 0), on=Cpu(0)),
                Thread(store_anywhere, MM, on=Cpu(1)),
            ],
            hardware=observed(s3.flags_set, s3.flush_after_clear),
            options=options,
            invariants=[*ALWAYS, s3.uniform],
            goals=[s3.all_empty, s3.folded if fold else s3.unfolded, s3.dirtied],
        )

    return build


CONVERT = (
    convert("S3.BBM", "fold with break-before-make", {}, fold=True),
    convert("S3.BBM.unfold", "unfold with break-before-make", {}, fold=False),
    convert(
        "S3.NOBBM",
        "fold without the flush on hardware that needs it: two entries match",
        NEVER,
        fold=True,
        violates="INV-S3-8",
        aliases=("BAD-S3-4",),
    ),
    convert(
        "S3.NOBBM.unfold",
        "unfold without the flush on hardware that needs it",
        NEVER,
        fold=False,
        violates="INV-S3-8",
    ),
    convert("S3.BBML2", "fold without the flush on BBML2 hardware", {**NEVER, "bbm": 2}, fold=True),
    convert(
        "S3.BBML2.unfold",
        "unfold without the flush on BBML2 hardware",
        {**NEVER, "bbm": 2},
        fold=False,
    ),
)


# ------------------------------------------------------------------ set


def populate(name: str, title: str, options: Options) -> Scenario:
    """A block is zapped, and a page fault maps another folio there, entry by entry."""

    @scenario(name, expect="HOLDS", title=title)
    def build(pages: int = 2, loads: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 2, AddressSpace: 1},
            start=start.block,
            threads=[
                Thread(replace_folio, MM, given, Frame(1), on=Cpu(0)),
                Thread(load_anywhere, MM, times=loads, on=Cpu(1)),
            ],
            hardware=observed(s3.flags_set),
            options=options,
            invariants=[*ALWAYS, s3.one_translation],
            goals=[s3.half_set, s3.reached_early],
        )

    return build


SET = (
    populate("S3.SET", "set_ptes() makes a block entry by entry while somebody walks", {}),
    populate("S3.SET.bbml2", "the same on BBML2 hardware", {"bbm": 2}),
)


# ------------------------------------------------------------------ fork


def protect(
    name: str, title: str, options: Options, *, whole: bool, violates: str | None = None
) -> Scenario:
    """fork() write-protects a block, or the first page of it (the rest belongs to another VMA)."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages if whole else 1))
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.block,
            threads=[
                Thread(fork, MM, given, on=Cpu(0)),
                Thread(store_anywhere, MM, on=Cpu(1)),
            ],
            hardware=observed(s3.flags_set),
            options=options,
            invariants=[*ALWAYS, *([] if violates == "INV-RET" else [s3.uniform])],
            goals=[s3.protected, s3.dirtied],
        )

    return build


PROTECT = (
    protect("S3.FORK", "fork() write-protects a whole block and leaves it one", {}, whole=True),
    protect("S3.FORK.part", "fork() write-protects a part and unfolds first", {}, whole=False),
    protect(
        "S3.NOPART.fork",
        "it does not unfold: hardware may take the rights from any PTE of the block, for ever",
        {"unfold_partial": "no"},
        whole=False,
        violates="INV-RET",
    ),
    protect(
        "S3.NOPART.fork-rest",
        "the same, seen when the PTL is dropped",
        {"unfold_partial": "no"},
        whole=False,
        violates="INV-S3-4",
    ),
)
