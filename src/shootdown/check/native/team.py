"""The store in memory for a search by several threads: see :mod:`.rounds`.

Machine code runs without the interpreter's lock, so these are Python's threads. They begin and end
within one call of :meth:`TeamStore.run`: between two calls there is only one.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from threading import Thread

from shootdown.check.memory import Watch
from shootdown.check.native import core, rounds
from shootdown.check.native.store import (
    _SLICE,
    _THREE,
    _TWO,
    Batch,
    Store,
    _Memory,
)
from shootdown.native import jit

MOST_THREADS = core.PARTS

_GRAIN = 2048  # states of a round for each thread
_LEAST_GRAIN = 64
_FOUND = 16  # states that one of them may find, on average
_NARROW = 256  # states for each thread: in smaller levels one is faster
_SLOWER = 0.7  # of the speed of one thread: with less, as on a busy machine, one goes on
_PATIENCE = 2.0  # seconds until several are tried again
_MEASURED = 1_000  # states that a speed is measured with
_WORTH = 100_000  # states: to fill a table with less, one thread is enough

_ALL = {name: i for i, name in enumerate(rounds.CONTEXT)}
_RESULTS = (
    "KNOWN", "EXPANDED", "TRANSITIONS", "LEVEL_END", "DEPTH", "LEVELS_KEPT", "LAST_LEVEL",
)  # fmt: skip
_GIVEN_UP = 128  # where that is said at the gate


class _Member:
    """What one thread has for itself."""

    def __init__(self, me: int, store: TeamStore, most_outcomes: int, marks: int) -> None:
        words, team, most = store.words, store.team, store.most_found
        self.context = _Memory(len(rounds.CONTEXT) * 8)
        self._batch = Batch(words, most_outcomes)
        self._lists = _Memory((2 + 2 * team) * most * 8)
        self._counts = _Memory(3 * team * 8)
        self._recent = _Memory(rounds.RECENT * 4)
        self.marks = _Memory(2 * marks)
        lists, counts = self._lists.address, self._counts.address
        self.own = self._batch.addresses | {
            "ME": me,
            "TEAM": team,
            "SHARE": (1 << 32) // team,
            "FOUND_FIRST": store.capacity + me * most,
            "FOUND_MOST": most,
            "FOUND_HASHES": lists,
            "FOUND_SKIPS": lists + most * 8,
            "RECENT": self._recent.address,
            "SENT": lists + 2 * most * 8,
            "ENTERED": lists + (2 + team) * most * 8,
            "SENT_COUNTS": counts,
            "NEW": counts + team * 8,
            "CURSORS": counts + 2 * team * 8,
            "MARKS": self.marks.address,
            "KEPT_MARKS": self.marks.address + marks,
            "MARK_WORDS": marks // 8,
            "TROUBLE": 0,
            "WRONG": 0,
        }

    def prepare(self, shared: ctypes.Array[ctypes.c_int64], more: dict[str, int]) -> None:
        """Begin where the search is."""
        words = (ctypes.c_int64 * len(rounds.CONTEXT)).from_address(self.context.address)
        ctypes.memmove(words, shared, ctypes.sizeof(shared))
        for name, value in (self.own | more).items():
            words[_ALL[name]] = value

    def __getitem__(self, name: str) -> int:
        return ctypes.c_int64.from_address(self.context.address + _ALL[name] * 8).value


class TeamStore(Store):
    """The store in memory, on which several threads work (2 to :data:`MOST_THREADS`).

    What it finds, and in which order, does not depend on their number. Where they are slower than
    one, since they have to wait for CPUs, one goes on for a while.
    """

    def __init__(
        self,
        words: int,
        most_outcomes: int,
        lines: int,
        goals: int,
        limit: int,
        code: jit.Library | None = None,
        watch: Watch | None = None,
        *,
        threads: int,
    ) -> None:
        self.team = threads
        self.most_found = _GRAIN * _FOUND
        self.beyond = threads * self.most_found
        super().__init__(words, most_outcomes, lines, goals, limit, code, watch)
        self._team_library = jit.load(rounds.text(words), rounds.FUNCTIONS, jit.GOOD)
        self._rounds = _TWO(self._team_library.addresses["rounds"])
        self._refill_part = _THREE(self._team_library.addresses["refill_part"])
        self._grain = _GRAIN
        self._sizes = [-(-size // 8) * 8 for size in (lines, lines, goals)]
        self._members = [
            _Member(me, self, most_outcomes, sum(self._sizes)) for me in range(threads)
        ]
        self._gate = _Memory(_GIVEN_UP + 64)
        self._others = (ctypes.c_int64 * threads)(*(m.context.address for m in self._members))
        self._yield = ctypes.CDLL(None).sched_yield
        self._alone = 0.0  # states a second of one thread
        self._together_from = 0.0  # by the clock

    def use(self, functions: jit.Library) -> None:
        super().use(functions)
        self._alone = 0.0

    def run(self, budget: int) -> int:
        began, first = time.perf_counter(), self["EXPANDED"]
        together = began >= self._together_from and (self._alone > 0 or not _SLOWER)
        status = self._run_together(budget) if together else super().run(budget)
        done, now = self["EXPANDED"] - first, time.perf_counter()
        if done >= _MEASURED:
            speed = done / (now - began)
            if not together:
                self._alone = speed
            elif speed < _SLOWER * self._alone:
                self._together_from = now + _PATIENCE
        return status

    def _run_together(self, budget: int) -> int:
        end = self["EXPANDED"] + budget
        while True:
            left = end - self["EXPANDED"]
            narrow = _NARROW * self.team
            if left > narrow and self["LEVEL_END"] - self["EXPANDED"] >= narrow:
                self._do_rounds(left)
                left = end - self["EXPANDED"]
                if left <= 0:
                    return core.STATUS["MORE"]
            # what a round has taken back is done again, alone; so is what is narrow
            status = super().run(min(left, self._grain * self.team))
            if status != core.STATUS["MORE"] or self["EXPANDED"] >= end:
                return status

    def _do_rounds(self, budget: int) -> None:
        """Rounds, until about so many states are expanded, or one is taken back."""
        self._prepare()
        self._together(lambda member: self._rounds(member.context.address, budget))
        for member in self._members:
            self._take_marks(member)
        counts = self._context[:]
        for name in _RESULTS:
            counts[Store._fields[name]] = self._members[0][name]
        # at once: an interrupt finds the old counts or the new ones
        ctypes.memmove(self._context, type(self._context)(*counts), ctypes.sizeof(self._context))
        if any(member["TROUBLE"] == rounds.TOO_MANY for member in self._members):
            self._grain = max(_LEAST_GRAIN, self._grain // 2)
        self._skips.forget(self["EXPANDED"] * 4)

    def _prepare(self) -> None:
        """The contexts of all, as the search is now; nothing covered or reached."""
        more = {
            "OTHERS": ctypes.addressof(self._others),
            "GATE": self._gate.address,
            "YIELD": ctypes.cast(self._yield, ctypes.c_void_p).value or 0,
            "GRAIN": self._grain,
            "NARROW": _NARROW * self.team,
        }
        for member in self._members:
            at = member.marks.address
            ctypes.memset(at, 0, 2 * sum(self._sizes))
            for name, size in zip(("COVER", "PROPERTY_COVER", "GOALS"), self._sizes, strict=True):
                more[name] = at
                at += size
            member.prepare(self._context, more)

    def _take_marks(self, member: _Member) -> None:
        """What was covered and reached in the rounds that are done."""
        at = member.own["KEPT_MARKS"]
        for own, size in zip(
            (self._cover, self._property_cover, self._goals), self._sizes, strict=True
        ):
            length = len(own)
            kept = int.from_bytes(ctypes.string_at(at, length), "little")
            own[:] = list((kept | int.from_bytes(bytes(own), "little")).to_bytes(length, "little"))
            at += size

    def _together(self, work: Callable[[_Member], int]) -> None:
        """Let each thread do its part of the work, this one the first part."""
        first, *rest = self._members
        threads = [Thread(target=work, args=(member,), daemon=True) for member in rest]
        try:
            for thread in threads:
                thread.start()
            work(first)
        except BaseException:
            # interrupted before or after the work: nobody is left to wait for
            ctypes.c_int64.from_address(self._gate.address + _GIVEN_UP).value = 1
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    def _fill(self, states: int) -> None:
        if states < _WORTH:
            super()._fill(states)
            return
        for start in range(0, states, _SLICE):
            stop = min(start + _SLICE, states)
            self._prepare()
            self._together(
                lambda member, start=start, stop=stop: self._refill_part(  # type: ignore[misc]
                    member.context.address, start, stop
                )
            )
