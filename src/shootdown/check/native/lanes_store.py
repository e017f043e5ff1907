"""The memory of a search over entries: entries, their table, the queue, and the context."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from shootdown.check.native import lanes_core
from shootdown.check.native.store import _Memory
from shootdown.errors import UnfinishedError
from shootdown.native import jit

_MOST_ENTRIES = (1 << 32) - 2  # an index plus one must fit into 32 bits
_FIRST_SLOTS = 1 << 12
_LOAD = 0.6  # how full the table gets
_HUGE_FROM = 2 << 20  # small searches stay on small pages: clearing a huge one takes 0.1 ms
_RECORD = 16  # bytes of a record
_STEP = 1 << 16  # records that memory is given out for at a time
_REFILL = 1 << 20  # entries put into a new table at a time, so that Ctrl-C is seen

_FIELDS = {name: i for i, name in enumerate(lanes_core.CONTEXT)}


class EntryStore:
    """The state of one search, which the compiled core works on."""

    def __init__(
        self, words: int, most_made: int, lines: int, goals: int, limit: int, most_states: int
    ) -> None:
        """``words`` of key, up to ``most_made`` entries made from one; ``limit`` in bytes."""
        self.words = words
        self.limit = limit
        self.entry_bytes = (words + 2) * 8
        self._context = (ctypes.c_int64 * len(lanes_core.CONTEXT))()
        self._cover = (ctypes.c_uint8 * lines)()
        self._property_cover = (ctypes.c_uint8 * lines)()
        self._goals = (ctypes.c_uint8 * goals)()
        self._library = lanes_core.load(words)
        self._reserve(most_made)
        self._new_table(_FIRST_SLOTS)
        self["LIMIT"] = most_states

    def _reserve(self, most_made: int) -> None:
        """Address space for as many entries and records as the limit allows, and for a batch."""
        batch = lanes_core.BATCH + most_made + 1
        records = self.limit // _RECORD
        while True:
            entries = min(_MOST_ENTRIES, records * _RECORD // self.entry_bytes)
            try:
                self._out = _Memory(batch * (self.words + 1) * 8)
                self._hashes = _Memory(batch * 16)
                self._made = _Memory((lanes_core.BATCH + 1) * 24)
                self._entries = _Memory(entries * self.entry_bytes, huge_from=_HUGE_FROM)
                self._queue = _Memory(records * _RECORD, huge_from=_HUGE_FROM)
                self._levels = _Memory(records * 8)
                break
            except (OSError, OverflowError) as error:  # an address space limit: `ulimit -v`
                records //= 2
                if records < _STEP:
                    raise UnfinishedError("there is no memory to start a check") from error
        self.most_entries, self.most_records = entries, records
        for name, memory in (
            ("OUT", self._out),
            ("HASHES", self._hashes),
            ("MADE", self._made),
            ("ENTRIES", self._entries),
            ("QUEUE", self._queue),
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
        entry = (ctypes.c_uint64 * (self.words + 2)).from_address(self["ENTRIES"])
        entry[:] = [*key, 1 << lane, 0]
        record = (ctypes.c_uint64 * 2).from_address(self["QUEUE"])
        record[:] = [0, 1 << lane]
        self["KEYS"] = self["KNOWN"] = self["TAIL"] = self["LEVEL_END"] = 1
        self.call("refill", 0, 1)

    def use(self, functions: jit.Library) -> None:
        """Let the search call these compiled functions of the model."""
        self["EXPAND"] = functions.addresses["expand"]
        self["CHECK"] = functions.addresses["check"]
        self._functions = functions  # the code lives as long as this object

    def grow(self) -> bool:
        """Make room for the batch that found none; False if the limits forbid it."""
        keys, records = self["KEYS"] + self["NEEDED"], self["TAIL"] + self["NEEDED"]
        slots = self.slots
        while keys > slots * _LOAD:
            slots *= 2
        if keys > self.most_entries or records > self.most_records:
            return False
        if self._bytes(keys, records, slots) > self.limit:
            return False
        if slots != self.slots:
            try:
                self._new_table(slots)
            except OSError:
                return False
            for start in range(0, self["KEYS"], _REFILL):
                self.call("refill", start, min(start + _REFILL, self["KEYS"]))
        if self._bytes(keys + _STEP, records + _STEP, slots) <= self.limit:
            keys, records = keys + _STEP, records + _STEP
        self["ROOM"] = min(keys, self.most_entries, int(slots * _LOAD))
        self["QUEUE_ROOM"] = min(records, self.most_records)
        return True

    # ---------------------------------------------------------------------- memory

    def memory(self) -> int:
        """Bytes in use."""
        return self._bytes(self["KEYS"], self["TAIL"], self.slots)

    def _bytes(self, keys: int, records: int, slots: int) -> int:
        return keys * self.entry_bytes + records * _RECORD + slots * 8

    def _new_table(self, slots: int) -> None:
        self._table: _Memory | None = None  # the old one goes first: both could be too much
        self._table = _Memory(slots * 8)
        self.slots = slots
        buckets = slots // 8
        self["TABLE"] = self._table.address
        self["BUCKETS"] = buckets - 1
        self["SHIFT"] = 64 - (buckets.bit_length() - 1)

    # --------------------------------------------------------------------- reading

    def depth(self) -> int:
        """The distance of the state discovered last."""
        return self["DEPTH"] + (self["TAIL"] > self["LEVEL_END"])

    def address(self, record: int) -> int:
        """The address of the entry of a record."""
        return self["ENTRIES"] + self._record(record)[0] * self.entry_bytes

    def key(self, record: int) -> list[int]:
        """The key of a record."""
        return list((ctypes.c_uint64 * self.words).from_address(self.address(record)))

    def lanes(self, record: int) -> int:
        """The lanes of a record."""
        return self._record(record)[1]

    def _record(self, record: int) -> tuple[int, int]:
        index, lanes = (ctypes.c_uint64 * 2).from_address(self["QUEUE"] + record * _RECORD)
        return int(index), int(lanes)

    def level(self, distance: int) -> tuple[int, int]:
        """The records at a distance, up to ``DEPTH``: the first, and the one after the last."""
        levels = (ctypes.c_uint64 * (self["DEPTH"] + 1)).from_address(self["LEVELS"])
        last = distance == self["DEPTH"]
        return int(levels[distance]), self["LEVEL_END"] if last else int(levels[distance + 1])

    def covered(self) -> tuple[bool, ...]:
        """For each line, whether it was executed."""
        return tuple(bool(a | b) for a, b in zip(self._cover, self._property_cover, strict=True))

    def goals(self) -> tuple[bool, ...]:
        """For each goal, whether it was reached."""
        return tuple(map(bool, self._goals))
