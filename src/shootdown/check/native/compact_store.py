"""The store that keeps a fingerprint for each state, and the states only until they are expanded.

What that may omit is in :mod:`shootdown.check.omission`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import ClassVar

from shootdown.check.memory import Watch
from shootdown.check.native import compact_core, core
from shootdown.check.native.interface import Numbers
from shootdown.check.native.store import _NOTHING, Memory, Store
from shootdown.check.omission import Fingerprints
from shootdown.errors import UnfinishedError
from shootdown.native import jit

_HUGE_PAGE = 2 << 20
_FIRST_PLACES = 1 << 10
_PLACE = 8  # bytes
_LOAD = 0.8  # how full the table gets
_GROWTH = 1.25  # how much larger it is then: 8 * 1.25 / 0.8 = 12.5 bytes a state at most
_KEPT = 1 + 2 / 8 + 4 / core.LEVEL_GAP  # bytes for each state besides: WAYS, TREE, LEVELS
_ASK = 16 << 20  # bytes that a table grows by: for less it is not looked what the machine has
_SLICE = 1 << 15  # states that are expanded before their words are given back
_WORD = (1 << 64) - 1

_TWO = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_THREE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_FOUR = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64
)

Words = tuple[int, ...]


def load_core(words: int) -> jit.Library:
    """The code of the search for states of so many words."""
    key = f"compact core {words}\0{jit.sources()}"
    return jit.load_kept(key, compact_core.FUNCTIONS, lambda: compact_core.text(words))


class CompactStore(Store):
    """Fingerprints in memory (see :class:`.interface.StateStore`).

    A state that is discovered takes its words and a set of 32 bits until it is expanded, and 13.8
    bytes at most for good: the table 12.5, the way to it 1.25, the beginnings of the levels 0.06.
    The table grows where it lies, so there are never two.

    A race is found forwards: the parents say which states, by number, lead to the last one, and the
    byte of each fingerprint says which successors those are. Where two have the same byte, both are
    followed; only one can lead to the last state along all bytes, or both do and are races.
    """

    _fields: ClassVar[dict[str, int]] = {name: i for i, name in enumerate(compact_core.CONTEXT)}

    def __init__(
        self,
        words: int,
        most_outcomes: int,
        lines: int,
        goals: int,
        limit: int,
        fingerprints: Fingerprints,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(words, most_outcomes, lines, goals, limit, load_core(words), watch)
        self["SEED"], self["SEED_2"] = (
            _signed(_mixed(fingerprints.seed)),
            _signed(fingerprints.seed),
        )
        self["MASK"] = _signed(_WORD << 64 - fingerprints.bits & _WORD)

    def _load_core(self) -> None:
        addresses = self._library.addresses
        self._run = _TWO(addresses["run"])
        self._replay = _THREE(addresses["replay"])
        self._refill = _THREE(addresses["refill"])
        self._widen = _TWO(addresses["widen"])
        self._found_at = _FOUR(addresses["found_at"])
        self._successors = _THREE(addresses["successors"])

    # ---------------------------------------------------------------------- memory

    def _most_states(self) -> int:
        return int(self.limit / (_PLACE / _LOAD + _KEPT)) + 1

    def _reserve_states(self) -> bool:
        places = _least(self.capacity) + _FIRST_PLACES
        try:
            size = self.capacity * self.words * 8
            self._states = Memory(size, huge_from=size)  # huge pages are not given back in parts
            self._levels = Memory((self.capacity // core.LEVEL_GAP + 1) * 4)
            self._skips = Memory(self.capacity * 4)
            self._ways = Memory(self.capacity)
            self._tree = Memory((self.capacity // 32 + 2) * 8)
            # the last places may overflow by as many as there are states
            self._table = Memory((places + self.capacity) * _PLACE, huge_from=_HUGE_PAGE)
        except OSError:
            self._states = self._levels = self._skips = _NOTHING
            self._ways = self._tree = self._table = _NOTHING
            return False
        self["WAYS"], self["TREE"] = self._ways.address, self._tree.address
        return True

    def _new_table(self, buckets: int) -> None:
        """The table that is reserved already, at its first size."""
        self["TABLE"] = self["TOP"] = self._table.address
        self["BUCKETS"] = _FIRST_PLACES
        self._set_room()

    def run(self, budget: int) -> int:
        end = self["EXPANDED"] + budget
        while True:
            status = super().run(min(_SLICE, end - self["EXPANDED"]))
            if status != core.STATUS["MORE"] or self["EXPANDED"] >= end:
                return status
            self.mark()

    def mark(self) -> None:
        super().mark()
        self._states.forget(self._mark[0] * self.words * 8)

    def memory(self) -> int:
        """Bytes in use."""
        states, waiting = self["KNOWN"], self["KNOWN"] - self["EXPANDED"]
        words = states * self.words * 8 - self._states.forgotten
        return words + waiting * 4 + int(states * _KEPT) + self._table_size()

    def _table_size(self) -> int:
        places = (self["TOP"] - self["TABLE"]) // _PLACE
        return max(places, self["BUCKETS"]) * _PLACE

    def grow(self) -> bool:
        states = self["KNOWN"] + self["NEEDED"]
        if states > self.capacity:
            return False
        if not self._has_room(states):
            self._forget_expanded()
            return self._has_room(states)
        return True

    def _has_room(self, states: int) -> bool:
        """Whether there is room for so many, if need be in a larger table."""
        places = self["BUCKETS"]
        if states > int(places * _LOAD):
            most = places + (self.limit - self.memory()) // _PLACE
            wanted = min(max(int(places * _GROWTH), _least(states)), most)
            more = (wanted - places) * _PLACE
            if int(wanted * _LOAD) < states:
                return False
            if self._watch is not None and more >= _ASK and not self._watch.has(more):
                return False
            self._widen(self.context, wanted)
        self._set_room()
        return states <= self["ROOM"]

    def _forget_expanded(self) -> None:
        """Give back what is expanded since the last mark, too."""
        self._mark = (self["EXPANDED"], self._exact_cover())
        self._states.forget(self._mark[0] * self.words * 8)

    def _set_room(self) -> None:
        left = max(0, self.limit - self.memory())
        by_memory = self["KNOWN"] + int(left / (self.words * 8 + 4 + _KEPT))
        self["ROOM"] = min(self.capacity, by_memory, int(self["BUCKETS"] * _LOAD))
        self["MOST_SKIPS"] = self.capacity

    # ---------------------------------------------------------------- interruptions

    def _numbers(self) -> dict[str, int]:
        table = {"places": self["BUCKETS"], "table": self["TOP"] - self["TABLE"]}
        return {**super()._numbers(), **table}

    def restore(self, numbers: Numbers) -> list[memoryview]:
        states, waiting = numbers["states"], numbers["states"] - numbers["expanded"]
        table = max(numbers["places"] * _PLACE, numbers["table"])
        least = table + waiting * (self.words * 8 + 4) + int(states * _KEPT)
        if states > self.capacity or least > self.limit:
            raise UnfinishedError(
                f"the search has {states:,} states already, and little memory to go on: "
                f"give --max-memory {int(least * 1.1) // 2**20 + 1}M or more"
            )
        return self._parts_to_read(numbers)

    def restored(self, numbers: Numbers) -> None:
        self["BUCKETS"] = numbers["places"]
        self["TOP"] = self["TABLE"] + numbers["table"]
        self._take_read(numbers)
        self._set_room()

    def _arrays(self, numbers: Numbers) -> list[ctypes.Array[ctypes.c_uint8]]:
        """What is kept of all states, and those that wait, where they lie."""
        states, expanded = numbers["states"], numbers["expanded"]
        begin, end = (number * self.words * 8 for number in (expanded, states))
        spans = [
            (self["LEVELS"], numbers["levels"] * 4),
            (self["STATES"] + begin, end - begin),
            (self["WAYS"], states),
            (self["TREE"], ((states + expanded) // 64 + 1) * 8),
            (self["TABLE"], numbers["table"]),
        ]
        return [(ctypes.c_uint8 * size).from_address(at) for at, size in spans]

    # --------------------------------------------------------------------- reading

    def path(self, number: int) -> Iterator[list[int]]:
        """The words of the states from state ``number``, which is not expanded, back to the initial
        one."""
        last = self._words_at(self["STATES"] + number * self.words * 8)
        yield list(last)
        layers: list[dict[Words, Words | None]] = [{self._init: None}]
        for way in self._ways_to(number):
            layer: dict[Words, Words | None] = {}
            for state in layers[-1]:
                for found, h in self._outcomes(state):
                    if h >> 56 == way:
                        layer.setdefault(found, state)
            layers.append(layer)
        here = layers.pop()[last]
        for layer in reversed(layers):
            assert here is not None
            yield list(here)
            here = layer[here]

    def _ways_to(self, number: int) -> list[int]:
        """The bytes of the states along the way to a state, without the initial one."""
        kept = (ctypes.c_uint8 * self["KNOWN"]).from_address(self["WAYS"])
        ways = []
        stop, before = self["KNOWN"] + self["EXPANDED"], self["KNOWN"] - 1
        while number != 0:
            ways.append(kept[number])
            stop = int(self._found_at(self.context, number, stop, before))
            before = number - 1
            number = stop - before
        return ways[::-1]

    def _outcomes(self, state: Words) -> Iterator[tuple[Words, int]]:
        """The successors of a state, with their fingerprints."""
        at = (ctypes.c_uint64 * self.words)(*state)
        unseen = (ctypes.c_uint8 * len(self._cover))()  # it need not be a state that was expanded
        count = self._successors(self.context, ctypes.addressof(at), ctypes.addressof(unseen))
        hashes = (ctypes.c_uint64 * count).from_address(self["HASHES"])[:]
        states = [self._words_at(self["OUT"] + k * self.words * 8) for k in range(count)]
        yield from zip(states, hashes, strict=True)

    def _words_at(self, address: int) -> Words:
        return tuple((ctypes.c_uint64 * self.words).from_address(address))

    def begin(self, functions: jit.Library, init: Sequence[int], limit: int | None) -> int:
        self._init = tuple(init)
        return super().begin(functions, init, limit)

    def distinct(self, masks: Sequence[tuple[int, int]]) -> Iterator[tuple[dict[int, int], int]]:
        raise TypeError("there are no states to look at where fingerprints are kept")


def _least(states: int) -> int:
    """The places of a table that takes so many states and hardly more."""
    return int(states / _LOAD) + 1


def _mixed(seed: int) -> int:
    """Another word that the seed gives (SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    h = seed + 0x9E37_79B9_7F4A_7C15 & _WORD
    h = (h ^ h >> 30) * 0xBF58_476D_1CE4_E5B9 & _WORD
    h = (h ^ h >> 27) * 0x94D0_49BB_1331_11EB & _WORD
    return h ^ h >> 31


def _signed(number: int) -> int:
    """As ctypes takes it."""
    return ctypes.c_int64(number).value
