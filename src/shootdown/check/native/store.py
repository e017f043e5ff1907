"""The memory of a native search: states, parents, the table of known states, and the context."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterator, Sequence

from shootdown.check.native import core, jit
from shootdown.errors import UnfinishedError

_HUGE_PAGE = 2 << 20
_NORESERVE = 0x4000  # MAP_NORESERVE, which the mmap module of Python 3.11 does not name
_MOST_STATES = (1 << 32) - 2  # an index plus one must fit into 32 bits
_FIRST_SLOTS = 1 << 12
_LOAD, _LAST_LOAD = 0.6, 0.94  # how full the table gets; if it cannot grow any more
_REFILL = 1 << 20  # states put into a new table at a time, so that Ctrl-C is seen

_FIELDS = {name: i for i, name in enumerate(core.CONTEXT)}


# functions called this way release the interpreter's lock
_TWO = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_THREE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class _Memory:
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


_NOTHING = _Memory(1)


def load_core(words: int) -> jit.Library:
    """The code of the search for states of so many words."""
    return jit.load(core.text(words), ("run", "replay", "refill"), jit.GOOD)


class Store:
    """The state of one search, which the compiled core works on."""

    def __init__(
        self,
        words: int,
        most_outcomes: int,
        lines: int,
        goals: int,
        limit: int,
        code: jit.Library | None = None,
    ) -> None:
        self.words = words
        self.limit = limit
        self._context = (ctypes.c_int64 * len(core.CONTEXT))()
        self._cover = (ctypes.c_uint8 * lines)()
        self._property_cover = (ctypes.c_uint8 * lines)()
        self._goals = (ctypes.c_uint8 * goals)()
        self._mark = (0, bytes(self._cover))
        self._library = load_core(words) if code is None else code
        self._load_core()
        self._reserve(most_outcomes)
        self._new_table(_FIRST_SLOTS)

    def _load_core(self) -> None:
        self._run = _TWO(self._library.addresses["run"])
        self._replay = _THREE(self._library.addresses["replay"])
        self._refill = _THREE(self._library.addresses["refill"])

    def _reserve(self, most_outcomes: int) -> None:
        """Address space for as many states as the limit allows, and for one batch."""
        batch = core.BATCH + most_outcomes + 1
        try:
            self._out = _Memory(batch * self.words * 8)
            self._hashes = _Memory(batch * 8)
        except (OSError, OverflowError) as error:
            raise UnfinishedError(
                f"a state of this model has up to {most_outcomes:,} successors: "
                "there is no memory for so many"
            ) from error
        self._made = _Memory(core.BATCH * 8)
        self.capacity = min(_MOST_STATES, self.limit // (self.words * 8 + 12))
        while not self._reserve_states():
            self.capacity //= 2  # an address space limit, as by `ulimit -v`
            if self.capacity < _FIRST_SLOTS:
                raise UnfinishedError("there is no memory to start a check")
        for name, memory in (
            ("OUT", self._out),
            ("HASHES", self._hashes),
            ("MADE", self._made),
            ("STATES", self._states),
            ("PARENTS", self._parents),
        ):
            self[name] = memory.address
        self["COVER"] = ctypes.addressof(self._cover)
        self["PROPERTY_COVER"] = ctypes.addressof(self._property_cover)
        self["GOALS"] = ctypes.addressof(self._goals)

    def _reserve_states(self) -> bool:
        """Address space for the states, if it leaves enough for their table."""
        try:
            # small searches stay on small pages: clearing a huge one takes 0.1 ms
            self._states = _Memory(self.capacity * self.words * 8, huge_from=_HUGE_PAGE)
            self._parents = _Memory(self.capacity * 4, huge_from=_HUGE_PAGE)
            _Memory(int(self.capacity / _LOAD) * 2 * 8)
        except OSError:
            self._states = self._parents = _NOTHING
            return False
        return True

    def __getitem__(self, name: str) -> int:
        return self._context[_FIELDS[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self._context[_FIELDS[name]] = value

    # ------------------------------------------------------------------- the search

    def begin(self, functions: jit.Library, init: Sequence[int], limit: int | None) -> int:
        """Discover the initial state (its words); what the model's check says of it."""
        self.use(functions)
        self["LIMIT"] = _MOST_STATES if limit is None else limit
        (ctypes.c_uint64 * self.words).from_address(self["STATES"])[:] = list(init)
        self["KNOWN"] = self["LEVEL_END"] = 1
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
        return int(self._run(self.context, budget))

    def mark(self) -> None:
        """Remember what is covered now, between two batches."""
        self._mark = (self["EXPANDED"], bytes(self._cover))

    def settle(self) -> None:
        """After a stop within a batch: uncover what only later states of the batch cover."""
        start, cover = self._mark
        self._cover[:] = list(cover)
        self._replay(self.context, start, self["EXPANDED"] + 1)

    def grow(self) -> bool:
        """Make room for the batch that found none; False if the limits forbid it."""
        states = self["KNOWN"] + self["NEEDED"]
        slots = self.slots
        while states > slots * _LOAD:
            slots *= 2
        if self._fits(states, slots):
            if slots != self.slots:
                try:
                    self._new_table(slots)
                except OSError:
                    return False
                for start in range(0, self["KNOWN"], _REFILL):
                    self._refill(self.context, start, min(start + _REFILL, self["KNOWN"]))
            self._set_room(_LOAD)
            return True
        self._set_room(_LAST_LOAD)
        return states <= self["ROOM"]

    # ---------------------------------------------------------------------- memory

    def memory(self) -> int:
        """Bytes in use."""
        return self._bytes(self["KNOWN"], self.slots)

    def _bytes(self, states: int, slots: int) -> int:
        return states * (self.words * 8 + 4) + slots * 8

    def _fits(self, states: int, slots: int) -> bool:
        return states <= self.capacity and self._bytes(states, slots) <= self.limit

    def _new_table(self, slots: int) -> None:
        self._table = _NOTHING  # the old one goes first: both together could be too much
        self._table = _Memory(slots * 8)
        self.slots = slots
        buckets = slots // 8
        self["TABLE"] = self._table.address
        self["BUCKETS"] = buckets - 1
        self["SHIFT"] = 64 - (buckets.bit_length() - 1)
        self._set_room(_LOAD)

    def _set_room(self, load: float) -> None:
        rest = self.limit - self._bytes(0, self.slots)
        by_memory = min(self.capacity, rest // self._bytes(1, 0))
        self["ROOM"] = min(by_memory, int(self.slots * load))

    # --------------------------------------------------------------------- reading

    def path(self, number: int) -> list[list[int]]:
        """The words of the states from the initial one to state ``number``."""
        states = (ctypes.c_uint64 * (self["KNOWN"] * self.words)).from_address(self["STATES"])
        parents = (ctypes.c_uint32 * self["KNOWN"]).from_address(self["PARENTS"])
        numbers = [number]
        while numbers[-1] != 0:
            numbers.append(parents[numbers[-1]])
        return [states[n * self.words : (n + 1) * self.words] for n in reversed(numbers)]

    def states(self) -> list[int]:
        """The known states in the order of their discovery, each as one number."""
        size = self.words * 8
        whole = ctypes.string_at(self["STATES"], self["KNOWN"] * size)
        starts = range(0, len(whole), size)
        return [int.from_bytes(whole[i : i + size], "little") for i in starts]

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

    def covered(self) -> tuple[bool, ...]:
        """For each line, whether it was executed."""
        return tuple(bool(a | b) for a, b in zip(self._cover, self._property_cover, strict=True))

    def goals(self) -> tuple[bool, ...]:
        """For each goal, whether it was reached."""
        return tuple(map(bool, self._goals))
