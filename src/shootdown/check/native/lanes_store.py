"""The memory of a search over entries: entries, their table, the queue, and the context."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

from shootdown.check.memory import Watch
from shootdown.check.native import lanes_core
from shootdown.check.native.interface import Counts, Numbers
from shootdown.check.native.lanes_cover import covered
from shootdown.check.native.lanes_emit import Covering
from shootdown.check.native.store import _ASK as ASK
from shootdown.check.native.store import Memory
from shootdown.errors import UnfinishedError
from shootdown.native import jit

_MOST_ENTRIES = (1 << 32) - 2  # an index plus one must fit into 32 bits
_FIRST_SLOTS = 1 << 12
_LOAD = 0.7  # how full the table gets
_STEP = 1 << 16  # records that memory is given out for at a time
_GROWTH = 8  # of a small table
_LARGE = 1 << 18  # slots, on one huge page
_REFILL = 1 << 20  # entries put into a new table at a time, so that Ctrl-C is seen

_SNAPSHOT = {
    "keys": "KEYS",
    "states": "KNOWN",
    "expanded": "EXPANDED",
    "transitions": "TRANSITIONS",
    "head": "HEAD",
    "tail": "TAIL",
    "level_end": "LEVEL_END",
    "kept": "KEPT_WORDS",
    "depth": "DEPTH",
}
_FIELDS = {name: i for i, name in enumerate(lanes_core.CONTEXT)}


class EntryStore:
    """The state of one search, which the compiled core works on."""

    def __init__(
        self,
        words: int,
        sets: int,
        most_made: int,
        covering: Covering,
        goals: int,
        limit: int,
        most_states: int,
        watch: Watch | None = None,
    ) -> None:
        """``words`` of key, ``sets`` of a set of lanes, up to ``most_made`` entries made from one;
        the lines that bytes of the code stand for; ``limit`` in bytes."""
        self.words = words
        self.sets = sets
        self.limit = limit
        self._watch = watch
        self.entry_bytes = (words + 1 + sets) * 8
        self.record_bytes = (1 + sets) * 8
        self._context = (ctypes.c_int64 * len(lanes_core.CONTEXT))()
        self._covering = covering
        self._cover, self._property_cover = ((ctypes.c_uint8 * len(part))() for part in covering)
        self._goals = (ctypes.c_uint8 * goals)()
        self._sets = [(ctypes.c_uint64 * sets)() for _ in range(2)]
        self._library = lanes_core.load(words, sets)
        self._largest = 0  # records of a level
        self.violated = False
        """A violation was found: what the search has now is not to be kept."""
        self._reserve(most_made)
        self._new_table(_FIRST_SLOTS)
        self["LIMIT"] = most_states

    def _reserve(self, most_made: int) -> None:
        """Address space for as many entries and records as the limit allows, and for a batch."""
        batch = lanes_core.BATCH + most_made + 1
        most = self.limit
        while True:
            entries = min(_MOST_ENTRIES, most // self.entry_bytes)
            records = most // self.record_bytes
            try:
                self._out = Memory(batch * (self.words + self.sets + 1) * 8)
                self._hashes = Memory(batch * 16)
                self._made = Memory((lanes_core.BATCH + 1) * (self.sets + 3) * 8)
                self._entries = Memory(entries * self.entry_bytes)
                self._here = Memory(records * self.record_bytes)
                self._next = Memory(records * self.record_bytes)
                self._kept = Memory(most)
                self._levels = Memory(most // 16 * 8)
                break
            except (OSError, OverflowError) as error:  # an address space limit: `ulimit -v`
                most //= 2
                if records < _STEP:
                    raise UnfinishedError("there is no memory to start a check") from error
        self.most_entries, self.most_records, self.most_kept = entries, records, most // 8
        for name, memory in (
            ("OUT", self._out),
            ("HASHES", self._hashes),
            ("MADE", self._made),
            ("ENTRIES", self._entries),
            ("HERE", self._here),
            ("NEXT", self._next),
            ("KEPT", self._kept),
            ("LEVELS", self._levels),
        ):
            self[name] = memory.address
        self["COVER"] = ctypes.addressof(self._cover)
        self["PROPERTY_COVER"] = ctypes.addressof(self._property_cover)
        self["GOALS"] = ctypes.addressof(self._goals)

    def __getitem__(self, name: str) -> int:
        return self._context[_FIELDS[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._context[_FIELDS[name]] = value

    # ------------------------------------------------------------------- the search

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of the core with the context and more arguments."""
        kinds = [ctypes.c_int64] * (len(arguments) + 2)
        function = ctypes.CFUNCTYPE(*kinds)(self._library.addresses[name])
        return int(function(ctypes.addressof(self._context), *arguments))

    def begin(self, functions: jit.Library, key: Sequence[int], lane: int) -> None:
        """Discover the initial state."""
        self.use(functions)
        lanes = self.set_words(1 << lane)
        for address, words in ((self["ENTRIES"], [*key, 0, *lanes]), (self["HERE"], [0, *lanes])):
            content = (ctypes.c_uint64 * len(words))(*words)
            ctypes.memmove(address, content, ctypes.sizeof(content))
        self["KEYS"] = self["KNOWN"] = self["TAIL"] = self["LEVEL_END"] = 1
        self.call("refill", 0, 1)

    def source(self, distance: int, key: int, lane: int) -> tuple[int, int]:
        """Of the first record at a distance that leads to the state with the key at that address
        and a lane: the address of its key, and the first of its lanes that does so."""
        target = self._set(lane)
        record = (ctypes.c_uint64 * (1 + self.sets))()
        if not self.call("source", *self.level(distance), key, target, ctypes.addressof(record)):
            raise AssertionError("no record makes the state")
        here = self["ENTRIES"] + record[0] * self.entry_bytes
        for own in ones(self._number(record[1:])):
            if self.call("makes", here, self._set(own, 1), key, target):
                return here, own
        raise AssertionError("no lane of the record makes the state")

    def _set(self, lane: int, place: int = 0) -> int:
        """The address of a set with one lane; there are two of them."""
        self._sets[place] = (ctypes.c_uint64 * self.sets)(*self.set_words(1 << lane))
        return ctypes.addressof(self._sets[place])

    def use(self, functions: jit.Library) -> None:
        """Let the search call these compiled functions of the model."""
        self["EXPAND"] = functions.addresses["expand"]
        self["CHECK"] = functions.addresses["check"]
        self._functions = functions  # the code lives as long as this object

    def grow(self) -> bool:
        """Make room for the batch that found none; False if the limits forbid it."""
        more = self["NEEDED"]
        found = self["TAIL"] - self["LEVEL_END"]
        self._largest = max(self._largest, found)
        keys, found = self["KEYS"] + more, found + more
        kept = self["KEPT_WORDS"] + lanes_core.BATCH * self.record_bytes // 8
        slots = _enough(self.slots, keys)
        if keys > self.most_entries or found > self.most_records or kept > self.most_kept:
            return False
        if self._bytes(keys, found, kept, slots) > self.limit:
            return False
        if slots != self.slots:
            more = (slots - self.slots) * 8
            if self._watch is not None and more >= ASK and not self._watch.has(more):
                return False
            try:
                self._new_table(slots)
            except OSError:
                return False
            self._fill(self["KEYS"])
        step = keys + _STEP, found + _STEP, kept + _STEP
        if self._bytes(*step, slots) <= self.limit:
            keys, found, kept = step
        self["ROOM"] = min(keys, self.most_entries, int(slots * _LOAD))
        self["NEXT_ROOM"] = min(found, self.most_records)
        self["KEPT_ROOM"] = min(kept, self.most_kept)
        return True

    # ---------------------------------------------------------------- interruptions

    def counts(self) -> Counts:
        """How far the search is."""
        return Counts(self["KNOWN"], self["EXPANDED"], self["TRANSITIONS"], self.depth())

    def snapshot(self) -> tuple[dict[str, int], list[memoryview]] | None:
        """As :meth:`.interface.Snapshots.snapshot`. A batch that was given up, or taken in part, is
        done again: what it did already makes no difference then."""
        if self.violated:
            return None
        numbers = {name: self[field] for name, field in _SNAPSHOT.items()}
        numbers["states"] -= self["UNFOUND"]
        numbers["largest"] = self._largest
        marks = [self._cover, self._property_cover, self._goals]
        first = (self["HEAD"] - self["LEVEL_START"]) * self.record_bytes
        parts = [*marks, *self._arrays(numbers, first)]
        return numbers, [memoryview(part).cast("B") for part in parts]

    def restore(self, numbers: Numbers) -> list[memoryview]:
        """As :meth:`.interface.Snapshots.restore`."""
        keys, kept = numbers["keys"], numbers["kept"]
        here = numbers["level_end"] - numbers["head"]
        found = numbers["tail"] - numbers["level_end"]
        slots = _enough(self.slots, keys)
        self._largest = max(numbers["largest"], here, found)
        needed = self._bytes(keys, found, kept, slots)
        fits = keys <= self.most_entries and max(here, found) <= self.most_records
        if not fits or kept > self.most_kept or needed > self.limit:
            raise UnfinishedError(
                f"the search has {numbers['states']:,} states already, and little memory to go on: "
                f"give --max-memory {(needed >> 20) + 1}M or more"
            )
        self._slots_wanted = slots
        marks = (self._cover, self._property_cover, self._goals)
        self._read = [(ctypes.c_uint8 * len(mark))() for mark in marks]
        parts = [*self._read, *self._arrays(numbers, 0)]
        return [memoryview(part).cast("B") for part in parts]

    def restored(self, numbers: Numbers) -> None:
        """As :meth:`.interface.Snapshots.restored`."""
        marks = (self._cover, self._property_cover, self._goals)
        for own, read in zip(marks, self._read, strict=True):
            own[:] = list(read)
        self._new_table(self._slots_wanted)
        self._fill(numbers["keys"])
        for name, field in _SNAPSHOT.items():
            self[field] = numbers[name]
        self["LEVEL_START"] = self["HEAD"]  # those before it in its level are done with

    def _arrays(self, numbers: Numbers, first: int) -> list[ctypes.Array[ctypes.c_uint8]]:
        """Where levels begin, the entries, the records that wait (those of the level that is
        expanded from byte ``first`` on), and those that are kept: where they lie."""
        here = numbers["level_end"] - numbers["head"]
        found = numbers["tail"] - numbers["level_end"]
        places = (
            (self["LEVELS"], (numbers["depth"] + 1) * 8),
            (self["ENTRIES"], numbers["keys"] * self.entry_bytes),
            (self["HERE"] + first, here * self.record_bytes),
            (self["NEXT"], found * self.record_bytes),
            (self["KEPT"], numbers["kept"] * 8),
        )
        return [(ctypes.c_uint8 * size).from_address(at) for at, size in places]

    # ---------------------------------------------------------------------- memory

    def memory(self) -> int:
        """Bytes in use."""
        found = self["TAIL"] - self["LEVEL_END"]
        self._largest = max(self._largest, found)
        return self._bytes(self["KEYS"], found, self["KEPT_WORDS"], self.slots)

    def _bytes(self, keys: int, found: int, kept: int, slots: int) -> int:
        """Bytes for so many keys, records of the next level, words of records that are kept, and
        slots of the table. Each of the two parts for records is as large as the largest level."""
        records = 2 * max(self._largest, found) * self.record_bytes
        return keys * self.entry_bytes + records + kept * 8 + slots * 8

    def _new_table(self, slots: int) -> None:
        self._table: Memory | None = None  # the old one goes first: both could be too much
        self._table = Memory(slots * 8)
        self.slots = slots
        buckets = slots // 8
        self["TABLE"] = self._table.address
        self["BUCKETS"] = buckets - 1
        self["SHIFT"] = 64 - (buckets.bit_length() - 1)

    def _fill(self, keys: int) -> None:
        """Put the first entries into an empty table."""
        for start in range(0, keys, _REFILL):
            self.call("refill", start, min(start + _REFILL, keys))

    # --------------------------------------------------------------------- reading

    def depth(self) -> int:
        """The distance of the state discovered last."""
        return self["DEPTH"] + (self["TAIL"] > self["LEVEL_END"])

    def address(self, record: int) -> int:
        """The address of the key of a record at the distance that is expanded."""
        index = self._record(record)[0] & (1 << 32) - 1
        return self["ENTRIES"] + index * self.entry_bytes

    def key(self, address: int) -> list[int]:
        """The key at an address."""
        return list((ctypes.c_uint64 * self.words).from_address(address))

    def lanes(self, record: int) -> int:
        """The lanes of a record at the distance that is expanded."""
        return self._number(self._record(record)[1:])

    def set_words(self, lanes: int) -> list[int]:
        """The words of a set of lanes."""
        return [lanes >> 64 * i & (1 << 64) - 1 for i in range(self.sets)]

    def _number(self, words: Sequence[int]) -> int:
        return sum(word << 64 * i for i, word in enumerate(words))

    def _record(self, record: int) -> list[int]:
        address = self["HERE"] + (record - self["LEVEL_START"]) * self.record_bytes
        return list((ctypes.c_uint64 * (1 + self.sets)).from_address(address))

    def level(self, distance: int) -> tuple[int, int]:
        """Where the packed records at a distance below ``DEPTH`` begin and end."""
        levels = (ctypes.c_uint64 * (self["DEPTH"] + 1)).from_address(self["LEVELS"])
        return int(levels[distance]), int(levels[distance + 1])

    def covered(self, lines: int) -> tuple[bool, ...]:
        """For each of so many lines, whether it was executed."""
        cells, property_cells = self._covering
        by_actions = covered(cells, self._cover, lines)
        by_properties = covered(property_cells, self._property_cover, lines)
        return tuple(a or b for a, b in zip(by_actions, by_properties, strict=True))

    def goals(self) -> tuple[bool, ...]:
        """For each goal, whether it was reached."""
        return tuple(map(bool, self._goals))


def _enough(slots: int, keys: int) -> int:
    """The slots of a table that has grown, step by step, until it takes so many keys."""
    while keys > slots * _LOAD:
        slots *= _GROWTH if slots < _LARGE else 2
    return slots


def ones(lanes: int) -> Iterator[int]:
    """The lanes in a set."""
    while lanes:
        lane = lanes & -lanes
        yield lane.bit_length() - 1
        lanes ^= lane
