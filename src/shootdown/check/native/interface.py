"""What a search needs of the place where its states are: in memory, on a disk, on many machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from shootdown.native import jit

FUNCTIONS = ("expand", "check", "given")
"""What the code of a model offers: see :mod:`.emit`, and there for what ``check`` returns."""
INVARIANT = 1 << 32
FAILURE = 2 << 32


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a search is, with the meaning that these names have in ``check.result.Result``."""

    states: int
    expanded: int
    transitions: int
    depth: int


Numbers: TypeAlias = Mapping[str, int]
"""Counts of a store, under names of its own, but for those that ``Counts`` has as well."""


class Snapshots(Protocol):
    """What a search must offer to be kept in a file, and to go on from there."""

    def counts(self) -> Counts:
        """How far the search is."""

    def snapshot(self) -> tuple[Numbers, Sequence[memoryview]] | None:
        """What another store needs to go on from here, between two calls that search: numbers
        (``states`` and ``expanded`` among them), and the arrays, where they lie. None after a
        violation: a state that violates a property must not count as checked."""

    def restore(self, numbers: Numbers) -> Sequence[memoryview]:
        """Make room for what a snapshot has: the arrays, to be filled. Raises
        :class:`~shootdown.errors.UnfinishedError` where the limits forbid it."""

    def restored(self, numbers: Numbers) -> None:
        """The arrays are filled: go on from there."""


class StateStore(Snapshots, Protocol):
    """The known states of one search, numbered in the order of their discovery, and the loop that
    expands them in that order.

    A state is a sequence of 64-bit words, packed by :mod:`.layout`. An implementation says how many
    states there are (:meth:`counts`), finds out whether a state is known, and can read a state by
    its number; how it keeps them is its own business. What it says between two calls of :meth:`run`
    is exact, so a search can be interrupted there.
    """

    def begin(self, functions: jit.Library, init: Sequence[int], limit: int | None) -> int:
        """Discover the initial state, with ``limit`` as the most states to discover; what the
        model's ``check`` says of it (see :mod:`.emit`)."""

    def use(self, functions: jit.Library) -> None:
        """Go on with these compiled functions of the model."""

    def run(self, budget: int) -> int:
        """Expand about ``budget`` states, or as far as it goes; one of ``core.STATUS``."""

    def grow(self) -> bool:
        """Make room after ``GROW``; False where the limits forbid it."""

    def mark(self) -> None:
        """Remember what is covered now: after ``MORE``."""

    def settle(self) -> None:
        """Uncover what only states after the last one cover: after a violation or ``LIMITED``."""

    def memory(self) -> int:
        """Bytes in use."""

    def level_ends(self, most: int) -> tuple[int, ...]:
        """How many states were known at the ends of the last complete levels, at most so many of
        them; levels of a few states may count as one."""

    def stop(self) -> tuple[int, int]:
        """After ``BAD_STATE`` or ``BAD_STEP``: what ``check`` or ``expand`` returned, and the
        number of the failing outcome."""

    def path(self, number: int) -> Iterator[list[int]]:
        """The states from state ``number`` back to the initial one: before each state, its parent,
        the first state that generates it (or, where only fingerprints are kept, another one at the
        same distance). The state is not expanded yet: others are kept by some stores only."""

    def distinct(self, masks: Sequence[tuple[int, int]]) -> Iterator[tuple[Mapping[int, int], int]]:
        """The known states, as far as some bits of some words (word, mask) go: each combination
        once, with the number of the first state that has it. TypeError where they are not kept."""

    def sums(self, function: int, step: int) -> tuple[int, int]:
        """What a native function (``i64 (ptr first, i64 count, i64 bytes, ptr sums)``, by its
        address) adds up to two numbers, given every ``step``-th known state."""

    def covered(self) -> tuple[bool, ...]:
        """For each line, whether it was executed."""

    def goals(self) -> tuple[bool, ...]:
        """For each goal, whether it was reached."""
