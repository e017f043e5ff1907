"""Counts the states of a sample that differ somewhere else than in some bits."""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

from shootdown.check.native.core import hash_of, same
from shootdown.check.native.layout import WORD
from shootdown.native import jit, subset


def distinct(states, count, mask, table, shift):
    """How many of ``count`` states are different where the words at ``mask`` have bits.

    ``table`` has room for twice as many numbers, 1 << (64 - shift); it is cleared first. Behind the
    states there is room for one more.
    """
    slots = 1 << (64 - shift)
    k = 0
    while k < slots:
        table[k] = 0
        k += 1
    found = 0
    k = 0
    while k < count:
        state = states + (count + found) * (8 * W)
        i = 0
        while i < W:
            state[i] = states[k * W + i] & mask[i]
            i += 1
        found += enter(states + count * (8 * W), found, state, table, shift)
        k += 1
    return found


def enter(masked, found, state, table, shift):
    """1 if a state is new among those before it."""
    at = hash_of(state) >> shift
    while table[at]:
        if same(masked + (table[at] - 1) * (8 * W), state):
            return 0
        at = (at + 1) & ((1 << (64 - shift)) - 1)
    table[at] = found + 1
    return 1


@cache
def _load(words: int) -> jit.Library:
    def text() -> str:
        return subset.compile_functions((distinct,), (hash_of, same, enter), {"W": words})

    return jit.load_kept(f"lanes count {words}\0{jit.sources()}", ("distinct",), text)


class Counter:
    """Some states, and how many keys they have."""

    def __init__(self, states: Sequence[int], words: int) -> None:
        """``states``: the words of each, the first one lowest."""
        self.words = words
        self.count = len(states)
        self._states = (ctypes.c_uint64 * (2 * words * max(1, self.count)))()
        for i in range(words):
            column = [state >> WORD * i & (1 << WORD) - 1 for state in states]
            self._states[i : words * self.count : words] = column
        bits = max(4, (2 * self.count).bit_length())
        self._shift = 64 - bits
        self._table = (ctypes.c_uint64 * (1 << bits))()
        self._mask = (ctypes.c_uint64 * words)()
        self._known: dict[int, int] = {}
        self._library = _load(words)
        kinds = [ctypes.c_int64] * 6
        self._call = ctypes.CFUNCTYPE(*kinds)(self._library.addresses["distinct"])

    def keys(self, leaf: int) -> int:
        """How many different states there are if these bits do not count."""
        if leaf not in self._known:
            self._mask[:] = [~leaf >> WORD * i & (1 << WORD) - 1 for i in range(self.words)]
            addresses = [ctypes.addressof(a) for a in (self._states, self._mask, self._table)]
            states, mask, table = addresses
            self._known[leaf] = int(self._call(states, self.count, mask, table, self._shift))
        return self._known[leaf]
