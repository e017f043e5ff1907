"""When a search is reduced.

A short search needs no reduction, and without one its race is known to be a shortest one. So the
ordinary search comes first, up to a fixed number of states (that number, not a time, so that the
same input gives the same result); a larger state space is searched again with symmetry, which is
proven for each system anew. The other reductions rest on an analysis that no machine has checked:
they are for those who ask for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from shootdown.check.deadline import time_limit
from shootdown.check.reduce.reduction import Reduction, reductions
from shootdown.check.result import Covered, Engine, Limits, Progress, Result
from shootdown.errors import UnfinishedError, UsageError
from shootdown.lang.ir import System

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper

FIRST = 1_000_000  # states: half a second, which the analysis and its code take too
SECOND = "second"
PROVEN = ("symmetry",)


def explore_auto(
    explore: Engine,
    system: System,
    limits: Limits,
    on_progress: Callable[[Progress], None] | None = None,
    keeper: Keeper | None = None,
    on_reduced: Callable[[Result, Reduction], None] = lambda _first, _reduce: None,
) -> Result:
    """The ordinary search if that is short, else the reduced one; ``keeper`` is what ``explore``
    keeps its searches with. ``on_reduced`` is told what the ordinary search found, when another one
    with reductions begins.

    The time limit is one for both searches and the analysis between them; where it ends the
    analysis, the result is what the ordinary search found. The time of the result is that of all
    three, too.

    ``@progress`` properties are about loops, which a reduced search does not keep: with them it is
    the ordinary search.
    """
    began = time.perf_counter()
    most = limits.states
    if system.progress:
        return explore(system, limits, on_progress)
    first: Result | None = None
    if keeper is None or keeper.recorded("part") != SECOND:
        short = most is not None and most <= FIRST
        if keeper is not None:
            keeper.part("first", internal=None if short else "states")
        first = explore(system, limits if short else replace(limits, states=FIRST), on_progress)
        if short or first.stopped != "states":
            return first
    if keeper is not None:
        keeper.part(SECOND)

    def only(first: Result, stopped: str = "time") -> Result:
        return replace(first, stopped=stopped, seconds=time.perf_counter() - began)

    try:
        with time_limit(time_left(limits, began).time, f"{system.name}: {TOO_LATE}"):
            reduce = reductions(system, PROVEN)
    except UnfinishedError:
        if first is None:
            raise
        return only(first)
    except KeyboardInterrupt:
        if first is None:
            raise
        return only(first, "interrupt")
    if first is not None:
        on_reduced(first, reduce)
    lead = time.perf_counter() - began
    found = explore(system, time_left(limits, began), on_progress, reduce=reduce)
    found = replace(
        found,
        seconds=found.seconds + lead,
        preparing=found.preparing + lead,
        given_up=reduce.given_up,
    )
    if first is None or found.stopped is None or (not reduce and found.states >= first.states):
        return found
    if found.stopped == "time" and not found.states:  # its code took the time
        return only(first)
    return replace(found, before=Covered(first.states, first.depth))


TOO_LATE = (
    "the time limit was reached while it was analysed what reductions can leave out; nothing was "
    "searched: use more time, or --reduce none"
)


def time_left(limits: Limits, began: float) -> Limits:
    """The same limits for what comes now; ``began`` is a time of ``perf_counter``."""
    if limits.time is None:
        return limits
    return replace(limits, time=max(0.0, limits.time - (time.perf_counter() - began)))


def explore_chosen(
    explore: Engine,
    system: System,
    limits: Limits,
    on_progress: Callable[[Progress], None] | None,
    names: tuple[str, ...],
) -> Result:
    """The search with the reductions that a user asks for by name.

    :class:`UnfinishedError` where the time limit is over before it begins.
    """
    began = time.perf_counter()
    with time_limit(limits.time, f"{system.name}: {TOO_LATE}"):
        reduce = chosen(system, names)
    found = explore(system, time_left(limits, began), on_progress, reduce=reduce)
    return replace(found, asked=names, given_up=reduce.given_up)


def chosen(system: System, names: tuple[str, ...]) -> Reduction:
    """The reductions that a user asks for by name.

    A :class:`UsageError` where they could change the verdict.
    """
    if names and system.progress:
        prop = system.progress[0]
        raise UsageError(
            f"{system.name} has the progress property {prop.name}, which is about endless loops, "
            "and a reduced search does not keep those: use --reduce none"
        )
    return reductions(system, names)
