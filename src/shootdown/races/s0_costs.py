"""System S0: what can be said of costs without prices (Q-S0-3, Q-S0-4).

How often, how much and under which lock a call flushes is a property like others: MET-S0 of the
reference, in the form "at most" or "never". What a flush costs is not said here.
"""

from __future__ import annotations

from typing import Any, cast

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    Hardware,
    Scenario,
    Setup,
    Thread,
    atomic,
    ghost,
    invariant,
    on_write,
    path,
    ranged,
    scenario,
)
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.user import load
from shootdown.races import s0_properties as s0
from shootdown.races.s0 import MM, VARIANTS, Options
from shootdown.races.s0 import first as everything


class CountingCpu(Cpu):
    """``given`` (ghost): the pages that the calls on this CPU are about. ``rounds`` (ghost): how
    often it has interrupted others; ``locked`` (ghost): once while a PTL was held; ``wide``
    (ghost): once about other pages."""

    given: set[Page] = ghost(set())
    rounds: int = ghost(ranged(0, 2))
    locked: bool = ghost(False)
    wide: bool = ghost(False)


@on_write(Cpu.call_pages)
def round_sent(cpu: Cpu, old: set[Page], new: set[Page]) -> None:
    """Others are told to flush."""
    sender = cast(CountingCpu, cpu)
    if sender.rounds < 2:
        sender.rounds += 1
    sender.locked = sender.locked or any(
        mm.ptl.locked or mm.ptls[page].locked for mm in Mm for page in Page
    )
    sender.wide = sender.wide or bool(new - sender.given)


COUNTED: Hardware = Hardware(
    x86.name, x86.rules, (*x86.observers, round_sent), x86.options, x86.assumptions, x86.witness
)


@invariant("MET-S0-IPIS")
def one_round() -> bool:
    """A call has interrupted other CPUs twice."""
    return not any(cpu.rounds > 1 for cpu in CountingCpu)


@invariant("MET-S0-LOCKED")
def no_lock_held() -> bool:
    """A call waited for other CPUs with a page-table lock held."""
    return not any(cpu.locked for cpu in CountingCpu)


@invariant("MET-S0-WIDE")
def no_other_pages() -> bool:
    """A call has flushed pages that it is not about."""
    return not any(cpu.wide for cpu in CountingCpu)


@atomic
def gives_up_all() -> None:
    """CPU0 gives up all pages."""
    s0.mapped_anon()
    CountingCpu(0).given = set(Page)


@atomic
def gives_up_one_each() -> None:
    """Each CPU gives up the page of its number, if there is one."""
    s0.mapped_anon()
    for cpu in CountingCpu:
        cpu.given = {page for page in Page if page.index == cpu.index}


@path(show="madvise(MADV_DONTNEED), twice")
def madvise_twice(mm: Mm, pages: Pages) -> None:
    """One call after the other."""
    madvise_dontneed(mm, pages)
    madvise_dontneed(mm, pages)


SPLIT: Options = {"ptl": "split"}


def cost(
    name: str,
    title: str,
    options: Options,
    checked: Any,
    *,
    violates: str | None = None,
    start: Any = gives_up_all,
    calls: int = 1,
    twice: bool = False,
) -> Scenario:
    """CPU0 gives up two pages, each in a page table of its own. With two ``calls`` CPU0 and CPU1
    give up one each; with ``twice`` CPU0 gives up the first page, and again. A CPU reads."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = calls + 1, pages: int = 2) -> Setup:
        first = (Page(0),)
        if calls == 2:
            threads = [Thread(madvise_dontneed, MM, (Page(c),), on=Cpu(c)) for c in range(2)]
        elif twice:
            threads = [Thread(madvise_twice, MM, first, on=Cpu(0))]
        else:
            threads = [Thread(madvise_dontneed, MM, everything(pages), on=Cpu(0))]
        users = range(len(threads), cpus)
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=start,
            threads=[*threads, *[Thread(load, MM, Page(0), on=Cpu(c)) for c in users]],
            hardware=COUNTED,
            invariants=[checked],
            goals=[s0.window, s0.freed],
            options={**options, **SPLIT},
        )

    return build


COSTS = (
    cost("S0.V6.rounds", "one call, two page tables: one flush", VARIANTS["V6"], one_round),
    cost(
        "S0.V8.rounds",
        "one call, two page tables: a flush for each",
        VARIANTS["V8"],
        one_round,
        violates="MET-S0-IPIS",
    ),
    cost("S0.V6.unlocked", "the flush is done without a PTL", VARIANTS["V6"], no_lock_held),
    cost(
        "S0.V8.locked",
        "the flush is done, and waited for, with the PTL held",
        VARIANTS["V8"],
        no_lock_held,
        violates="MET-S0-LOCKED",
    ),
    cost(
        "S0.V6.wide",
        "two calls in two page tables, one count: one flushes for both",
        VARIANTS["V6"],
        no_other_pages,
        violates="MET-S0-WIDE",
        start=gives_up_one_each,
        calls=2,
    ),
    cost(
        "S0.V6.table-narrow",
        "a count for each page table: each flushes its own",
        {"pending": "table"},
        no_other_pages,
        start=gives_up_one_each,
        calls=2,
    ),
    cost(
        "S0.V7.wide",
        "the count leaks: the second call flushes everything",
        VARIANTS["V7"],
        no_other_pages,
        violates="MET-S0-WIDE",
        start=gives_up_one_each,
        twice=True,
    ),
    cost(
        "S0.V6.narrow",
        "the count does not leak: one call after the other flushes its own",
        VARIANTS["V6"],
        no_other_pages,
        start=gives_up_one_each,
        twice=True,
    ),
)
