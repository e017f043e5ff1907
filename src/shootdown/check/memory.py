"""How much memory a search may use."""

from __future__ import annotations

import time

from shootdown.check.result import Limits
from shootdown.errors import UnfinishedError
from shootdown.native.room import available as _available

MINIMUM = 16 << 20
_SHARE = 0.8  # of what is available: the rest is for the system and for the report
_MOST_SPARED = 256 << 20


def memory_limit(limits: Limits) -> int:
    """The bytes that a search may use: the user's limit, else 80 % of what is available."""
    if limits.memory is None:
        return max(MINIMUM, int(_available() * _SHARE))
    if limits.memory < MINIMUM:
        raise UnfinishedError(
            f"a memory limit of {limits.memory:,} bytes is too small to start a check: "
            f"give --max-memory {MINIMUM >> 20}M or more"
        )
    return limits.memory


def shared(memory: int | None, jobs: int) -> tuple[int, int | None]:
    """How many searches may run at the same time, and what each may use: equal parts of the
    user's limit, or of 80 % of what is available. A single search needs no limit now."""
    if jobs > 1:
        total = memory_limit(Limits(memory=memory))
        jobs = min(jobs, total // MINIMUM)
        if jobs > 1:
            return jobs, total // jobs
    return jobs, memory


class Watch:
    """Looks now and then at what the machine still has: other programs use it, too.

    Some of it is left alone: a 20th of what there was in the beginning, at most 256 MiB.
    """

    EVERY = 0.2
    """Seconds between two looks, since each takes a tenth of a millisecond."""

    def __init__(self) -> None:
        self._next = time.perf_counter() + self.EVERY
        self._reserve: int | None = None

    def short(self, now: float) -> bool:
        """Whether memory runs out; ``now`` as ``time.perf_counter()`` gives it."""
        if now < self._next:
            return False
        self._next = now + self.EVERY
        return not self.has(0)

    def has(self, size: int) -> bool:
        """Whether there is room for ``size`` more bytes."""
        available = _available()
        if self._reserve is None:
            self._reserve = min(_MOST_SPARED, available // 20)
        return size + self._reserve <= available


def check_limits(limits: Limits) -> None:
    """Refuse limits under which no search can begin."""
    if limits.memory is not None:
        memory_limit(limits)
    if limits.states is not None and limits.states < 1:
        raise UnfinishedError(
            f"a limit of {limits.states} states is too small to start a check: "
            "give --max-states 1 or more"
        )
