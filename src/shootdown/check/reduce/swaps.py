"""What may change places in a system, and which of a state's images stands for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise

from shootdown.check.native.layout import Layout, plan
from shootdown.lang.interpret import State
from shootdown.lang.ir import System
from shootdown.lang.shapes import PROCESS, Renaming, Shape, changed, populations, renamed


@dataclass(frozen=True, slots=True)
class Case:
    """Values of a variable have a shape: always, or while ``counter`` (where the thread stands) is
    in ``steps``."""

    shape: Shape
    counter: int | None = None
    steps: frozenset[int] = frozenset()


def cases(system: System) -> tuple[tuple[Case, ...], ...]:
    """For each variable of a system the shapes that its values have."""
    counters = {v.naming.keys: i for i, v in enumerate(system.variables) if v.naming.family == "pc"}
    found = []
    for v in system.variables:
        counter = counters.get(v.naming.keys)
        always = [Case(v.naming.shape)] if v.naming.shape is not None else []
        some = [Case(shape, counter, steps) for shape, steps in v.naming.steps]
        found.append((*always, *some))
    return tuple(found)


@dataclass(frozen=True)
class Swap:
    """A proven automorphism that swaps two objects. ``moves`` gives for each variable the one
    whose place it takes; ``renaming`` says how its value changes, as far as ``cases`` say that it
    names objects."""

    renaming: Renaming
    moves: tuple[int, ...]
    cases: tuple[tuple[Case, ...], ...] = field(repr=False)

    def apply(self, state: State) -> State:
        """The state after the swap."""
        after = list(state)
        for variable, to in enumerate(self.moves):
            value = state[variable]
            for case in self.cases[variable]:
                if case.counter is None or state[case.counter] in case.steps:
                    value = renamed(case.shape, state[variable], self.renaming)
            after[to] = value
        return tuple(after)

    def changing(self, variable: int) -> list[Case]:
        """The cases in which the value of a variable may change."""
        moving = changed(self.renaming)
        return [case for case in self.cases[variable] if populations(case.shape) & moving]


@dataclass(frozen=True)
class Alike:
    """Objects that may change places: ``swaps[i]`` swaps the ``i``-th of them and the next.

    ``own[i]`` are variables that belong to the ``i``-th alone and name no object: those of
    ``own[i + 1]`` in the same order take their place in the swap.
    """

    population: str
    members: tuple[int, ...]
    swaps: tuple[Swap, ...]
    own: tuple[tuple[int, ...], ...]

    def ties(self, state: State) -> tuple[bool, ...]:
        """For each two neighbours, whether their own variables are equal."""
        keys = self.keys(state)
        return tuple(a == b for a, b in pairwise(keys))

    def keys(self, state: State) -> list[tuple[int, ...]]:
        """The values of each object's own variables."""
        return [tuple(state[v] for v in own) for own in self.own]


@dataclass(frozen=True)
class Symmetry:
    """What may change places in a system: a symmetry as :mod:`.reduction` wants it.

    The canonical image of a state is the one in which the objects of each class are sorted by their
    own variables, and of several such the one whose packed words are the least. So all images are
    looked at only where the own variables of all objects are equal.
    """

    system: System = field(repr=False)
    classes: tuple[Alike, ...]

    @property
    def order(self) -> int:
        """How many images a state has at most."""
        return math.prod(math.factorial(len(c.members)) for c in self.classes)

    @cached_property
    def swaps(self) -> tuple[Swap, ...]:
        """All swaps."""
        return tuple(swap for c in self.classes for swap in c.swaps)

    def images(self, state: State) -> Iterator[State]:
        """The state and all its images."""
        every = [(True,) * len(c.swaps) for c in self.classes]
        return self._through(state, len(self.classes), every)

    def canonical(self, state: State) -> State:
        """The image that stands for all of them."""
        for alike in self.classes:
            for last in range(len(alike.swaps), 0, -1):
                for k in range(last):
                    keys = alike.keys(state)
                    if keys[k] > keys[k + 1]:
                        state = alike.swaps[k].apply(state)
        ties = [alike.ties(state) for alike in self.classes]
        return min(self._through(state, len(self.classes), ties), key=self.layout.pack)

    def _through(
        self, state: State, classes: int, ties: Sequence[tuple[bool, ...]]
    ) -> Iterator[State]:
        """All images by swaps within ties of the first classes."""
        if classes == 0:
            yield state
            return
        alike, tied = self.classes[classes - 1], ties[classes - 1]
        for k in (None, *changes_within(tied)):
            state = state if k is None else alike.swaps[k].apply(state)
            yield from self._through(state, classes - 1, ties)

    @cached_property
    def layout(self) -> Layout:
        """How the native engine packs a state: what is least depends on it."""
        return plan(self.system)

    @property
    def text(self) -> str:
        """What is interchangeable: ``3 Cpu, 2 Frame``."""
        return ", ".join(
            f"{len(c.members)} {'threads' if c.population == PROCESS else c.population}"
            for c in self.classes
        )

    def native(self, system: System, layout: Layout) -> str:
        """The canonical form of packed states, as LLVM IR."""
        from shootdown.check.native.canonical import emit_canonical

        return emit_canonical(system, layout, self)


@cache
def changes_within(ties: tuple[bool, ...]) -> tuple[int, ...]:
    """The swaps of neighbours that lead through all orders in which only such things change places
    that are tied together."""
    result: list[int] = []
    first = 0
    while first < len(ties):
        last = first
        while last < len(ties) and ties[last]:
            last += 1
        inner = list(result)
        for step in plain_changes(last - first + 1):
            result += [first + step, *inner]
        first = last + 1
    return tuple(result)


def plain_changes(count: int) -> list[int]:
    """The swaps of neighbours (by the place of the first) that lead through all orders of so many
    things (Johnson, Trotter 1963)."""
    if count < 2:
        return []
    inner = plain_changes(count - 1)
    down, up = list(range(count - 2, -1, -1)), list(range(count - 1))
    result = list(down)
    for number, step in enumerate(inner):
        # the last thing is at the front or at the back while the others change
        at_front = number % 2 == 0
        result.append(step + 1 if at_front else step)
        result += up if at_front else down
    return result
