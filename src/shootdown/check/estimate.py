"""How much of a running breadth-first search remains: an estimate that says so when it cannot tell.

The levels of a search (the states at the same distance) first grow by a factor and then shrink, and
the factor falls slowly. So its logarithm is taken as a straight line through the last levels and
followed until a level would be empty. That is done for lines through the last 6, 9, 12 and 15
levels; only where all four give about the same sum there is an estimate, the median of them.

While levels still grow there is none. A search may have several humps, one for each phase of its
threads, and on the way up to the first one nothing tells of those after it: of what was estimated
there, a fourth was less than a third of the truth.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shootdown.check.result import Progress

WINDOWS = (6, 9, 12, 15)  # levels
AGREEMENT = 1.5  # largest by smallest estimate
LEVELS = max(WINDOWS) + 2
"""The ends of so many levels are enough."""
_MOST = 1e15  # states: nobody waits for so many
_RECENT = 10.0  # seconds that the speed is taken from
_SHRINKS = 3  # levels within which they must have become smaller
_MARKS = 200  # of the past that the time left is taken from; each is a part of the time until then


def estimated_states(levels: Sequence[int]) -> int | None:
    """The number of states of a whole search, from those that were known at the ends of its last
    complete levels."""
    sizes = [end - before for before, end in pairwise(levels)]
    if len(sizes) <= max(WINDOWS) or min(sizes) < 1 or sizes[-1] >= sizes[-1 - _SHRINKS]:
        return None
    steps = [math.log(b / a) for a, b in pairwise(sizes)]
    found = sorted(_beyond(sizes[-1], steps[-window:]) for window in WINDOWS)
    known = levels[-1]
    if found[-1] > _MOST or known + found[-1] > AGREEMENT * (known + found[0]):
        return None
    return known + round((found[1] + found[2]) / 2)


def _beyond(last: int, steps: Sequence[float]) -> float:
    """How many states come after a level of ``last``, if the steps go on along their line."""
    middle, mean = (len(steps) - 1) / 2, sum(steps) / len(steps)
    slope = sum((i - middle) * (step - mean) for i, step in enumerate(steps))
    slope /= sum((i - middle) ** 2 for i in range(len(steps)))
    total, size, step = 0.0, float(last), mean + slope * (len(steps) - middle)
    while size >= 1:
        if total > _MOST or (step >= 0 and slope >= 0):
            return math.inf
        size *= math.exp(min(step, 100.0))
        total += size
        step += slope
    return total


@dataclass(frozen=True, slots=True)
class Estimate:
    """``rate``: states discovered in a second, lately. ``states``: of the whole search; ``left``:
    the seconds until its end, if states are expanded as fast as in the second half of the time
    until now. None where nothing can be said."""

    rate: float
    states: int | None
    left: float | None


class Pace:
    """Looks at a search from time to time."""

    def __init__(self) -> None:
        self._seen: deque[Progress] = deque()
        self._marks: deque[tuple[float, int]] = deque()  # elapsed, expanded

    def look(self, progress: Progress) -> Estimate:
        """What can be said now."""
        seen = self._seen
        if seen and (progress.states < seen[-1].states or progress.elapsed < seen[-1].elapsed):
            seen.clear()  # another search: it began again, with reductions
            self._marks.clear()
        seen.append(progress)
        since, expanded = self._mark(progress)
        while len(seen) > 2 and seen[1].elapsed < progress.elapsed - _RECENT:
            seen.popleft()
        began, states = seen[0].elapsed, seen[0].states
        if progress.elapsed <= began:  # there is only one
            began = states = 0
        rate = (progress.states - states) / max(progress.elapsed - began, 1e-9)
        total = estimated_states(progress.levels)
        if total is None or expanded <= 0:
            return Estimate(rate, total, None)
        total = max(total, progress.states)
        return Estimate(rate, total, (total - progress.expanded) / (expanded / since))

    def _mark(self, progress: Progress) -> tuple[float, int]:
        """The time that counts, half of what has passed or all if that is short, and how many
        states were expanded in it."""
        marks, now = self._marks, progress.elapsed
        if not marks or now - marks[-1][0] >= now / _MARKS:
            marks.append((now, progress.expanded))
        while len(marks) > 2 and marks[1][0] < now - max(_RECENT, now / 2):
            marks.popleft()
        began, expanded = marks[0]
        if now <= began:  # there is only one
            began, expanded = 0.0, 0
        return max(now - began, 1e-9), progress.expanded - expanded
