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
    Memory,
    Store,
)
from shootdown.native import jit

MOST_THREADS = core.PARTS

_MOST = 1 << 14  # states of a round
_LEAST = 1 << 10
_LEAD = 0.9  # how much of the part of one thread the first chunk is
_FOUND = 16  # new states that one of them may have, on average
_NARROW = 256  # states for each thread: in smaller levels one is faster
_ENOUGH = 0.6  # of the CPUs that the threads could use: with less one goes on
_PATIENCE = 0.1  # seconds until several are tried again; twice as many each time, up to
_MOST_PATIENCE = 2.0
_MEASURED = 0.03  # seconds of rounds after which it is looked
_WORTH = 100_000  # states: to fill a table with less, one thread is enough

_ALL = {name: i for i, name in enumerate(rounds.CONTEXT)}
_RESULTS = (
    "KNOWN", "EXPANDED", "TRANSITIONS", "LEVEL_END", "DEPTH", "LEVELS_KEPT", "LAST_LEVEL",
)  # fmt: skip
_GIVEN_UP = 128  # where that is said at the gate


class _Member:
    """What one thread has for itself."""

    def __init__(self, me: int, store: TeamStore, most_outcomes: int, marks: int) -> None:
        self.context = Memory(len(rounds.CONTEXT) * 8)
        self._batch = Batch(store.words, most_outcomes)
        self._chunks = Memory((rounds.CHUNKS + 1) * 8)
        self._own_slots = (ctypes.c_int64 * core.PARTS)(*_own_slots(me, store.team))
        self.marks = Memory(2 * marks)
        self._lists = Memory(2 * store.team * rounds.LIST_BYTES)
        self.own = self._batch.addresses | {
            "ME": me,
            "LISTS": self._lists.address,
            "TEAM": store.team,
            "OWN_SLOTS": ctypes.addressof(self._own_slots),
            "MINE": self._chunks.address,
            "MARKS": self.marks.address,
            "KEPT_MARKS": self.marks.address + marks,
            "MARK_WORDS": marks // 8,
        }

    def prepare(self, shared: ctypes.Array[ctypes.c_int64], more: dict[str, int]) -> None:
        """Begin where the search is."""
        words = (ctypes.c_int64 * len(rounds.CONTEXT)).from_address(self.context.address)
        ctypes.memmove(words, shared, ctypes.sizeof(shared))
        for name, value in (self.own | more).items():
            words[_ALL[name]] = value

    def __getitem__(self, name: str) -> int:
        return ctypes.c_int64.from_address(self.context.address + _ALL[name] * 8).value


def _own_slots(me: int, team: int) -> list[int]:
    """Sets of slots that are disjoint from those of the other threads at the same place."""
    return [
        sum(1 << slot for slot in range(core.SLOTS) if (slot + turn) % team == me)
        for turn in range(core.PARTS)
    ]


class TeamStore(Store):
    """The store in memory, on which several threads work (2 to :data:`MOST_THREADS`).

    What it finds, and in which order, does not depend on their number. Where they do not get their
    CPUs, as on a busy machine, one goes on alone for a while: otherwise each waits for the others.
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
        self._most_found = _MOST // rounds.CHUNKS * _FOUND
        self.beyond = rounds.CHUNKS * self._most_found
        super().__init__(words, most_outcomes, lines, goals, limit, code, watch)
        self._team_library = jit.load(rounds.text(words), rounds.FUNCTIONS, jit.GOOD)
        self._rounds = _TWO(self._team_library.addresses["rounds"])
        self._refill_together = _THREE(self._team_library.addresses["refill_together"])
        self._most = _MOST
        self._round = 0
        self._sizes = [-(-size // 8) * 8 for size in (lines, lines, goals)]
        self._members = [
            _Member(me, self, most_outcomes, sum(self._sizes)) for me in range(threads)
        ]
        self._gate = Memory(_GIVEN_UP + 64)
        self._shared = Memory((rounds.TROUBLE + 1) * 8)
        self._found = Memory((rounds.CHUNKS + 1) * rounds.LINE * 8)
        listed = rounds.CHUNKS * self._most_found * 8
        self._lists = [Memory(listed + rounds.AHEAD * 8) for _ in range(3)]
        self._lead_places = Memory(_MOST * _FOUND * 8)
        self._others = (ctypes.c_int64 * threads)(*(m.context.address for m in self._members))
        self._yield = ctypes.CDLL(None).sched_yield
        self._together_from = 0.0  # by the clock
        self._patience = _PATIENCE
        self._clock = self._cpu = 0.0  # seconds of rounds, and of CPUs meanwhile

    def run(self, budget: int) -> int:
        if time.perf_counter() < self._together_from:
            return super().run(budget)
        return self._run_together(budget)

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
            status = super().run(min(left, self._most))
            if status != core.STATUS["MORE"] or self["EXPANDED"] >= end:
                return status

    def _do_rounds(self, budget: int) -> None:
        """Rounds, until about so many states are expanded, or one is taken back."""
        self._make_room()
        self._prepare()
        ctypes.memset(self._shared.address, 0, (rounds.TROUBLE + 1) * 8)
        clock, cpu = time.perf_counter(), time.process_time()
        self._together(lambda member: self._rounds(member.context.address, budget))
        self._clock += time.perf_counter() - clock
        self._cpu += time.process_time() - cpu
        if self._clock > _MEASURED:
            if self._cpu < _ENOUGH * self.team * self._clock:
                self._together_from = time.perf_counter() + self._patience
                self._patience = min(2 * self._patience, _MOST_PATIENCE)
            else:
                self._patience = _PATIENCE
            self._clock = self._cpu = 0.0
        self._round = self._members[0]["ROUND"] + 1
        for member in self._members:
            self._take_marks(member)
        counts = self._context[:]
        for name in _RESULTS:
            counts[Store._fields[name]] = self._members[0][name]
        # at once: an interrupt finds the old counts or the new ones
        ctypes.memmove(self._context, type(self._context)(*counts), ctypes.sizeof(self._context))
        if self.trouble == rounds.TOO_MANY:
            self._most = max(_LEAST, self._most // 2)
        self._skips.forget(self["EXPANDED"] * 4)

    @property
    def trouble(self) -> int:
        """Why the last round was taken back: see :mod:`.rounds`."""
        return ctypes.c_int64.from_address(self._shared.address + rounds.TROUBLE * 8).value

    def _make_room(self) -> None:
        """Let the table grow before it is full, if there is no room for a round."""
        most = self._most * rounds.LEAST
        if self["KNOWN"] + most > self["LIMIT"]:
            return
        small = self["BUCKETS"] < rounds.LEAST_BUCKETS
        if small:
            most = max(most, rounds.LEAST_BUCKETS * core.SLOTS // 2)
        if small or self["KNOWN"] + most > self["ROOM"]:
            self["NEEDED"] = most
            self.grow()

    def _prepare(self) -> None:
        """The contexts of all, as the search is now; nothing covered or reached."""
        more = {
            "OTHERS": ctypes.addressof(self._others),
            "GATE": self._gate.address,
            "YIELD": ctypes.cast(self._yield, ctypes.c_void_p).value or 0,
            "ROUND": self._round,
            "SHARED": self._shared.address,
            "FOUND": self._found.address,
            "FOUND_FIRST": self.capacity,
            "FOUND_MOST": self._most_found,
            "FOUND_PLACES": self._lists[0].address,
            "FOUND_HASHES": self._lists[1].address,
            "FOUND_SKIPS": self._lists[2].address,
            "LEAD_MOST": _MOST * _FOUND,
            "LEAD_PLACES": self._lead_places.address,
            "MOST": self._most,
            "LEAD": int((1 << 32) * _LEAD / self.team),
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
        if states < _WORTH or time.perf_counter() < self._together_from:
            super()._fill(states)
            return
        for start in range(0, states, _SLICE):
            stop = min(start + _SLICE, states)
            self._prepare()
            self._together(
                lambda member, start=start, stop=stop: self._refill_together(  # type: ignore[misc]
                    member.context.address, start, stop
                )
            )
