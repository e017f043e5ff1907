"""Actions as decision graphs: what they read, and what they do to each cell.

An action has *ways*: one for what is chosen and for the place where the process goes on. A way is
a partial function of the state. Its diagrams (:mod:`.symbolic`) become nodes that test one cell
each: those that decide whether the way can be gone, then, for each cell that it may change, those
that decide what becomes of the cell. So what is read depends on the values of now: behind a test
that cannot turn out otherwise nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from shootdown.check.reduce.bdd import FALSE, TRUE, Diagrams, Function, TooLargeError, Vector
from shootdown.check.reduce.cells import Cells
from shootdown.check.reduce.symbolic import Meaning, Symbolic, UnknownError, choices_of
from shootdown.lang.ir import Body, Process, System

MOST_CHOICES = 64  # values of all choices of an action together
MOST_NODES = 60_000  # of the diagrams of an action


@dataclass(frozen=True, slots=True)
class Update:
    """What becomes of some cells: where ``up`` each of them is 1 afterwards, where ``down`` it is
    0, where both it changes, and where neither it stays what it is. Only where both is the old
    value looked at. ``where`` the way can be gone, whatever the old value is."""

    cells: int
    where: Function
    up: Function
    down: Function


@dataclass(frozen=True, slots=True)
class Passage:
    """One way through an action: ``enabled`` says where it can be gone. ``following`` is the place
    of the process afterwards; None where it stays or the agent is a rule. ``changes``: it is
    certain that the state changes, whatever the cells are that ``enabled`` does not depend on."""

    enabled: Function
    updates: tuple[Update, ...]
    following: int | None
    changes: bool


class Decisions:
    """The diagrams of a system's actions, over its cells."""

    def __init__(self, system: System, cells: Cells) -> None:
        self.system = system
        self.cells = cells
        self.diagrams = Diagrams(MOST_NODES)
        self.vectors: dict[int, Vector] = {}
        self.order: list[int] = []  # the cell of each variable of the diagrams

    def of(
        self, body: Body, process: Process | None, place: int
    ) -> tuple[list[Passage], list[Function]] | None:
        """The ways of an action that are done, and where one fails a check. None where that is not
        known, or too large."""
        chosen = choices_of(body)
        if prod(width for _, width in chosen) > MOST_CHOICES:
            return None
        self.diagrams = d = Diagrams(MOST_NODES)
        self.vectors = {}
        self.order = []
        if process is not None:
            self.vectors[process.pc] = d.constant(place)
        ways: list[Passage] = []
        failures: list[Function] = []
        try:
            for values in product(*(range(width) for _, width in chosen)):
                numbers = [number for number, _ in chosen]
                choices = dict(zip(numbers, map(d.constant, values), strict=True))
                meaning = Symbolic(d, self.before, choices).run(body)
                failures += [f for f in meaning.failures.values() if f != FALSE]
                ways += self.split(meaning, process, place)
        except (UnknownError, TooLargeError):
            return None
        return ways, failures

    def before(self, variable: int) -> Vector:
        """The value of a variable in the state before. The diagrams look at cells in the order in
        which the code does, so that they need not look further where the code does not."""
        found = self.vectors.get(variable)
        if found is None:
            d = self.diagrams
            if self.system.variables[variable].given:
                found = d.constant(self.system.init[variable])
            else:
                first, bits = self.cells.shift[variable], self.cells.mask[variable].bit_length()
                found = (*(d.variable(len(self.order) + i) for i in range(bits)), FALSE)
                self.order += range(first, first + bits)
            self.vectors[variable] = found
        return found

    def split(self, meaning: Meaning, process: Process | None, place: int) -> Iterator[Passage]:
        """The ways to each next place."""
        d = self.diagrams
        after = dict(meaning.after)
        if meaning.enabled == FALSE:
            return
        if process is None or process.pc not in after:
            yield self.way(meaning.enabled, after, None, False)
            return
        target = after.pop(process.pc)
        for value in range(len(process.actions) + 1):
            enabled = d.both(meaning.enabled, d.equal(target, d.constant(value)))
            if enabled != FALSE:
                yield self.way(enabled, after, value, value != place)

    def way(
        self, enabled: Function, after: dict[int, Vector], following: int | None, goes: bool
    ) -> Passage:
        """A way with what it does to cells that it may change."""
        d = self.diagrams
        changes = goes
        tested = self.support(enabled)
        updates: dict[tuple[Function, Function, Function], int] = {}
        for variable, value in after.items():
            before = self.before(variable)
            for i in range(self.cells.mask[variable].bit_length()):
                old, new = before[i], d.both(enabled, d.bit(value, i))
                rises, falls = d.both(d.no(old), new), d.both(d.both(enabled, old), d.no(new))
                if rises == falls == FALSE:
                    continue
                if new in (FALSE, enabled):  # the same value wherever the way can be gone
                    key = (TRUE, FALSE, TRUE) if new == FALSE else (TRUE, TRUE, FALSE)
                else:
                    key = (self.some(enabled, old), self.some(rises, old), self.some(falls, old))
                cell = 1 << self.cells.shift[variable] + i
                changes = changes or (tested & cell != 0 and d.either(rises, falls) == enabled)
                updates[key] = updates.get(key, 0) | cell
        made = tuple(Update(cells, *key) for key, cells in updates.items())
        return Passage(enabled, made, following, changes)

    def some(self, function: Function, variable: Function) -> Function:
        """Where a function is true for some value of a variable of the diagrams."""
        d = self.diagrams
        level = d.nodes[variable][0]
        known: dict[Function, Function] = {}

        def of(f: Function) -> Function:
            here, low, high = d.nodes[f]
            if here > level:
                return f
            if here == level:
                return d.either(low, high)
            if f not in known:
                known[f] = d.node(here, of(low), of(high))
            return known[f]

        return of(function)

    def support(self, function: Function) -> int:
        """The cells that a function depends on."""
        nodes, out = self.diagrams.nodes, 0
        seen, todo = {FALSE, TRUE}, [function]
        while todo:
            f = todo.pop()
            if f not in seen:
                seen.add(f)
                level, low, high = nodes[f]
                out |= 1 << self.order[level]
                todo += (low, high)
        return out
