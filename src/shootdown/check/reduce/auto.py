"""When a search is reduced.

A short search needs no reduction, and without one its race is known to be a shortest one. So the
ordinary search comes first, up to a fixed number of states (that number, not a time, so that the
same input gives the same result); a larger state space is searched again with everything on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from shootdown.check.reduce.reduction import NAMES, Reduction, reductions
from shootdown.check.result import Engine, Limits, Progress, Result
from shootdown.errors import UsageError
from shootdown.lang.ir import System

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper

FIRST = 1_000_000  # states: half a second, which the analysis and its code take too
SECOND = "second"


def explore_auto(
    explore: Engine,
    system: System,
    limits: Limits,
    on_progress: Callable[[Progress], None] | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """The ordinary search if that is short, else the reduced one; ``keeper`` is what ``explore``
    keeps its searches with.

    ``@progress`` properties are about loops, which a reduced search does not keep: with them it is
    the ordinary search.
    """
    began = time.perf_counter()
    most = limits.states
    if system.progress:
        return explore(system, limits, on_progress)
    if keeper is None or keeper.recorded("part") != SECOND:
        short = most is not None and most <= FIRST
        if keeper is not None:
            keeper.part("first", internal=None if short else "states")
        first = explore(system, limits if short else replace(limits, states=FIRST), on_progress)
        if short or first.stopped != "states":
            return first
    if keeper is not None:
        keeper.part(SECOND)
    left = limits
    if limits.time is not None:
        left = replace(limits, time=max(0.0, limits.time - (time.perf_counter() - began)))
    return explore(system, left, on_progress, reduce=reductions(system, NAMES))


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
