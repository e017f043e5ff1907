"""The store in memory: the states, the table of the known ones, and the core's context."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import ClassVar

from shootdown.check.memory import Watch
from shootdown.check.native import core
from shootdown.check.native.interface import Counts, Numbers
from shootdown.errors import UnfinishedError
from shootdown.native import jit

_HUGE_PAGE = 2 << 20
_PIECE = 1 << 18
_NORESERVE = 0x4000  # MAP_NORESERVE, which the mmap module of Python 3.11 does not name
_MOST_STATES = (1 << 32) - 2  # an index plus one must fit into 32 bits
_FIRST_BUCKETS = 1 << 8
_BUCKET = 64  # bytes
_LOAD = 0.8  # how full the table gets
_SMALL, _SMALL_LOAD = 1 << 12, 0.5  # buckets; below, no part of it may be full by chance
_GROWTH = 1.5  # how much larger the next one is: 64 / 12 * 1.5 / 0.8 = 10 bytes a state at most
_AHEAD = 3.2  # states that there is room for, for each that waits with a set: 4 * 1.5 / 3.2 bytes
_LEAP = 8  # how much larger a small table gets, since filling it again takes time,
_SPARE = 64 << 20  # as long as table and sets are at most so many bytes larger than by _GROWTH
_SLICE = 1 << 20  # states that one call works on, so that Ctrl-C is seen

_SNAPSHOT = {
    "states": "KNOWN",
    "expanded": "EXPANDED",
    "transitions": "TRANSITIONS",
    "level_end": "LEVEL_END",
    "depth": "DEPTH",
    "levels": "LEVELS_KEPT",
    "last_level": "LAST_LEVEL",
}
_OF_BATCH = ("HASHES", "KINDS", "CANDIDATES", "UNKNOWN")  # a number for each successor of a batch
_OF_STATES = ("MADE", "ENDS", "LEFT", "SKIPPED")  # and for each state
_ASK = 16 << 20  # bytes that a table grows by: for less it is not looked what the machine has

# functions called this way release the interpreter's lock
_TWO = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_FOUR = ctypes.CFUNCTYPE(ctypes.c_int64, *(ctypes.c_int64,) * 4)
_THREE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Memory:
    """Zeroed memory that takes up room only where it is written."""

    def __init__(self, size: int, huge_from: int = 0) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        size = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, size, flags=flags)
        if size - huge_from >= _HUGE_PAGE:
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_HUGEPAGE, huge_from, size - huge_from)
        self._first = ctypes.c_char.from_buffer(self._map)
        self.address = ctypes.addressof(self._first)
        self.forgotten = 0

    def forget(self, stop: int) -> None:
        """Give back the memory before ``stop``, in large pieces: its contents are lost. Up to where
        that is so, ``forgotten`` says."""
        stop -= stop % _PIECE
        if stop > self.forgotten:
            self._map.madvise(mmap.MADV_DONTNEED, self.forgotten, stop - self.forgotten)
            self.forgotten = stop


_NOTHING = Memory(1)


class Batch:
    """The arrays of one batch: their addresses, by their names in the context."""

    def __init__(self, words: int, most_outcomes: int) -> None:
        batch = core.BATCH + most_outcomes + 1
        try:
            self._out = Memory(batch * words * 8)
            self._lists = Memory((len(_OF_BATCH) * batch + len(_OF_STATES) * core.BATCH) * 8)
        except (OSError, OverflowError) as error:
            raise UnfinishedError(
                f"a state of this model has up to {most_outcomes:,} successors: "
                "there is no memory for so many"
            ) from error
        self.addresses = {"OUT": self._out.address}
        begin = self._lists.address
        for names, length in ((_OF_BATCH, batch), (_OF_STATES, core.BATCH)):
            for name in names:
                self.addresses[name] = begin
                begin += length * 8


def load_core(words: int) -> jit.Library:
    """The code of the search for states of so many words."""
    key = f"core {words}\0{jit.sources()}"
    return jit.load_kept(key, core.FUNCTIONS, lambda: core.text(words))


class Store:
    """The store in memory (see :class:`.interface.StateStore`), which the compiled core works on.

    Besides the states it takes at most 12 bytes for each of them and 64 MiB: the table at most 10,
    the sets of the states that wait at most 1.88, the beginnings of the levels 0.06. A full table
    is given back, and a larger one filled from the states; what is spent of the 64 MiB makes this
    rarer, and the table emptier and so faster.
    """

    beyond = 0
    """States that there is address space for behind those that the search may discover."""
    _fields: ClassVar[dict[str, int]] = {name: i for i, name in enumerate(core.CONTEXT)}

    def __init__(
        self,
        words: int,
        most_outcomes: int,
        lines: int,
        goals: int,
        limit: int,
        code: jit.Library | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.words = words
        self._watch = watch
        self.limit = limit
        self._state = words * 8 + 4 / core.LEVEL_GAP + 4 / _AHEAD  # bytes, at most
        self._context = (ctypes.c_int64 * len(self._fields))()
        self._cover = (ctypes.c_uint8 * lines)()
        self._property_cover = (ctypes.c_uint8 * lines)()
        self._goals = (ctypes.c_uint8 * goals)()
        self._mark = (0, bytes(self._cover))
        self._library = load_core(words) if code is None else code
        self._load_core()
        self._reserve(most_outcomes)
        self._new_table(_FIRST_BUCKETS)

    def _load_core(self) -> None:
        self._run = _TWO(self._library.addresses["run"])
        self._replay = _THREE(self._library.addresses["replay"])
        self._refill = _THREE(self._library.addresses["refill"])
        self._parent = _THREE(self._library.addresses["parent"])

    def _reserve(self, most_outcomes: int) -> None:
        """Address space for as many states as the limit allows, and for one batch."""
        self._batch = Batch(self.words, most_outcomes)
        for name, address in self._batch.addresses.items():
            self[name] = address
        self.capacity = min(_MOST_STATES - self.beyond, self._most_states())
        while not self._reserve_states():
            self.capacity //= 2  # an address space limit, as by `ulimit -v`
            if self.capacity < _most(_FIRST_BUCKETS):
                raise UnfinishedError("there is no memory to start a check")
        for name, memory in (
            ("STATES", self._states),
            ("LEVELS", self._levels),
            ("SKIPS", self._skips),
        ):
            self[name] = memory.address
        self["COVER"] = ctypes.addressof(self._cover)
        self["PROPERTY_COVER"] = ctypes.addressof(self._property_cover)
        self["GOALS"] = ctypes.addressof(self._goals)

    def _most_states(self) -> int:
        """How many states there can be by the limit, or a few more."""
        return self.limit // (self.words * 8 + 8)

    def _reserve_states(self) -> bool:
        """Address space for the states, if it leaves enough for their table."""
        try:
            # small searches stay on small pages: clearing a huge one takes 0.1 ms
            states = self.capacity + self.beyond
            self._states = Memory(states * self.words * 8, huge_from=_HUGE_PAGE)
            self._levels = Memory((self.capacity // core.LEVEL_GAP + 1) * 4)
            self._skips = Memory(self.capacity * 4)
            Memory(_least(self.capacity) * 2 * _BUCKET)
        except OSError:
            self._states = self._levels = self._skips = _NOTHING
            return False
        return True

    def __getitem__(self, name: str) -> int:
        return self._context[self._fields[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._context[self._fields[name]] = value

    # ------------------------------------------------------------------- the search

    def begin(self, functions: jit.Library, init: Sequence[int], limit: int | None) -> int:
        """Discover the initial state (its words); what the model's check says of it."""
        self.use(functions)
        self["LIMIT"] = _MOST_STATES if limit is None else limit
        (ctypes.c_uint64 * self.words).from_address(self["STATES"])[:] = list(init)
        self["KNOWN"] = self["LEVEL_END"] = self["LEVELS_KEPT"] = 1
        self._refill(self.context, 0, 1)
        check = _THREE(self["CHECK"])
        return int(check(self["STATES"], self["GOALS"], self["PROPERTY_COVER"]))

    def use(self, functions: jit.Library) -> None:
        """Let the search call these compiled functions of the model."""
        self["EXPAND"] = functions.addresses["expand"]
        self["CHECK"] = functions.addresses["check"]
        self._functions = functions  # the code lives as long as this object

    @property
    def context(self) -> int:
        """The address that the core is called with."""
        return ctypes.addressof(self._context)

    def run(self, budget: int) -> int:
        """Expand up to about ``budget`` states; one of ``core.STATUS``."""
        status = int(self._run(self.context, budget))
        self._skips.forget(self["EXPANDED"] * 4)
        return status

    def mark(self) -> None:
        """Remember what is covered now, between two batches."""
        self._mark = (self["EXPANDED"], bytes(self._cover))

    def settle(self) -> None:
        """After a stop within a batch: uncover what only later states of the batch cover."""
        start, cover = self._mark
        self._cover[:] = list(cover)
        self._replay(self.context, start, self["EXPANDED"] + 1)

    def counts(self) -> Counts:
        depth = self["DEPTH"] + (self["KNOWN"] > self["LEVEL_END"])
        return Counts(self["KNOWN"], self["EXPANDED"], self["TRANSITIONS"], depth)

    def stop(self) -> tuple[int, int]:
        return self["CODE"], self["FAILED_AT"]

    # ---------------------------------------------------------------------- memory

    def memory(self) -> int:
        """Bytes in use."""
        waiting = min(self["KNOWN"] - self["EXPANDED"], self["MOST_SKIPS"])
        states = self["KNOWN"] * self.words * 8 + (waiting + self["LEVELS_KEPT"]) * 4
        return states + self["BUCKETS"] * _BUCKET

    def grow(self) -> bool:
        """Make room for the batch that found none; False if the limits forbid it."""
        states, old = self["KNOWN"] + self["NEEDED"], self["BUCKETS"]
        if states > self.capacity:
            return False
        buckets = min(_enough(old, states), self._affordable())
        if buckets > old:
            more = (buckets - old) * _BUCKET
            if self._watch is not None and more >= _ASK and not self._watch.has(more):
                return False
            try:
                self._new_table(buckets)
            except OSError:
                return False
            self._fill(self["KNOWN"])
        self._set_room()
        return states <= self["ROOM"]

    def _affordable(self) -> int:
        """The buckets of the table that is full when the limit is reached."""
        most = int(self.limit / (self._state * core.SLOTS * _LOAD + _BUCKET))
        return most - most % core.PARTS

    def _new_table(self, buckets: int) -> None:
        """An empty table instead of the one that is there, which is given back first."""
        self._table = _NOTHING
        self._table = Memory(buckets * _BUCKET)
        self["TABLE"] = self._table.address
        self["BUCKETS"] = buckets
        self._set_room()

    def _fill(self, states: int) -> None:
        """Put the first states into an empty table."""
        for start in range(0, states, _SLICE):
            self._refill(self.context, start, min(start + _SLICE, states))

    def _set_room(self) -> None:
        by_memory = int((self.limit - self["BUCKETS"] * _BUCKET) / self._state)
        self["ROOM"] = min(self.capacity, by_memory, _most(self["BUCKETS"]))
        self["MOST_SKIPS"] = int(self["ROOM"] / _AHEAD)

    # ---------------------------------------------------------------- interruptions

    def snapshot(self) -> tuple[dict[str, int], list[memoryview]] | None:
        if self["CODE"]:
            return None
        numbers = self._numbers()
        exact = (ctypes.c_uint8 * len(self._cover))(*self._exact_cover())
        parts = [exact, self._property_cover, self._goals, *self._arrays(numbers)]
        return numbers, [memoryview(part).cast("B") for part in parts]

    def _numbers(self) -> dict[str, int]:
        numbers = {name: self[field] for name, field in _SNAPSHOT.items()}
        numbers["transitions"] -= self["PARTIAL"]
        return numbers

    def restore(self, numbers: Numbers) -> list[memoryview]:
        states = numbers["states"]
        buckets = min(_enough(_FIRST_BUCKETS, states), self._affordable())
        if states > min(self.capacity, _most(buckets)):
            least = int(states * self._state + _least(states) * _BUCKET) // 2**20 + 1
            raise UnfinishedError(
                f"the search has {states:,} states already, and little memory to go on: "
                f"give --max-memory {least}M or more"
            )
        self._buckets_wanted = buckets
        return self._parts_to_read(numbers)

    def _parts_to_read(self, numbers: Numbers) -> list[memoryview]:
        sizes = len(self._cover), len(self._property_cover), len(self._goals)
        self._read = [(ctypes.c_uint8 * size)() for size in sizes]
        parts = [*self._read, *self._arrays(numbers)]
        return [memoryview(part).cast("B") for part in parts]

    def restored(self, numbers: Numbers) -> None:
        self._new_table(self._buckets_wanted)
        self._fill(numbers["states"])
        self._take_read(numbers)

    def _take_read(self, numbers: Numbers) -> None:
        for own, read in zip(
            (self._cover, self._property_cover, self._goals), self._read, strict=True
        ):
            own[:] = list(read)
        for name, field in _SNAPSHOT.items():
            self[field] = numbers[name]
        self.mark()

    def _arrays(self, numbers: Numbers) -> list[ctypes.Array[ctypes.c_uint8]]:
        """The levels and the states, where they lie."""
        sizes = {"LEVELS": numbers["levels"] * 4, "STATES": numbers["states"] * self.words * 8}
        return [(ctypes.c_uint8 * size).from_address(self[name]) for name, size in sizes.items()]

    def _exact_cover(self) -> bytes:
        """What the states that are expanded cover, without those of a batch that was given up."""
        shown = bytes(self._cover)
        start, cover = self._mark
        try:
            self._cover[:] = list(cover)
            self._replay(self.context, start, self["EXPANDED"])
            return bytes(self._cover)
        finally:
            self._cover[:] = list(shown)

    # --------------------------------------------------------------------- reading

    def level_ends(self, most: int) -> tuple[int, ...]:
        kept = self["LEVELS_KEPT"]
        levels = (ctypes.c_uint32 * kept).from_address(self["LEVELS"])
        return (*levels[max(0, kept - most + 1) :], self["LEVEL_END"])

    def path(self, number: int) -> Iterator[list[int]]:
        """The words of the states from state ``number`` back to the initial one."""
        count, width = self["KNOWN"], self.words
        states = (ctypes.c_uint64 * (count * width)).from_address(self["STATES"])
        kept = (ctypes.c_uint32 * self["LEVELS_KEPT"]).from_address(self["LEVELS"])
        levels = [*kept, self["LEVEL_END"]]
        yield states[number * width : (number + 1) * width]
        while number != 0:
            # the level before this one begins here or later
            start = levels[max(0, bisect_right(levels, number) - 2)]
            number = self._first_parent(number, start)
            yield states[number * width : (number + 1) * width]

    def _first_parent(self, number: int, start: int) -> int:
        """The first state from ``start`` on that generates state ``number``."""
        for first in range(start, number, _SLICE):
            stop = min(first + _SLICE, number)
            parent = int(self._parent(self.context, number, first << 32 | stop))
            if parent >= 0:
                return parent
        raise AssertionError(f"no state generates state {number}")

    def distinct(self, masks: Sequence[tuple[int, int]]) -> Iterator[tuple[dict[int, int], int]]:
        """The known states, as far as some bits of some words go: each combination once, with the
        number of the first state that has it."""
        count, width = self["KNOWN"], self.words
        states = (ctypes.c_uint64 * (count * width)).from_address(self["STATES"])
        columns = [
            [value & mask for value in reversed(states[word::width])] for word, mask in masks
        ]
        numbers = [word for word, _ in masks]
        # backwards, so that the first state of a combination is what stays
        found = dict(zip(zip(*columns, strict=True), range(count - 1, -1, -1), strict=True))
        for values, first in found.items():
            yield dict(zip(numbers, values, strict=True)), first

    def sums(self, function: int, step: int) -> tuple[int, int]:
        call = _FOUR(function)
        both = (ctypes.c_int64 * 2)()
        for start in range(0, self["KNOWN"], _SLICE * step):
            left = min(_SLICE, -(-(self["KNOWN"] - start) // step))
            first = self["STATES"] + start * self.words * 8
            call(first, left, step * self.words * 8, ctypes.addressof(both))
        return both[0], both[1]

    def covered(self) -> tuple[bool, ...]:
        """For each line, whether it was executed."""
        return tuple(bool(a | b) for a, b in zip(self._cover, self._property_cover, strict=True))

    def goals(self) -> tuple[bool, ...]:
        """For each goal, whether it was reached."""
        return tuple(map(bool, self._goals))


def _enough(buckets: int, states: int) -> int:
    """The buckets of a table that has grown, step by step, until it takes so many states."""
    spare = _SPARE / (_BUCKET + 4 * core.SLOTS * _LOAD / _AHEAD)
    while states > _most(buckets):
        buckets = int(min(buckets * _LEAP, buckets * _GROWTH + spare))
        buckets -= buckets % core.PARTS
    return buckets


def _most(buckets: int) -> int:
    """How many states a table of so many buckets takes."""
    return int(buckets * core.SLOTS * (_SMALL_LOAD if buckets < _SMALL else _LOAD))


def _least(states: int) -> int:
    """The buckets of a table that takes so many states and hardly more."""
    buckets = int(states / (core.SLOTS * _LOAD)) + 1
    return buckets + -buckets % core.PARTS
