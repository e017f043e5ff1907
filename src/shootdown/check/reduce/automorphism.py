"""Proves that a swap of objects is an automorphism of a system.

Every action, applied after the swap, has to do what its counterpart does before it, for all states;
every property has to be true in both or in neither. Both sides become decision diagrams over the
bits of the state and of what is chosen, and must be the same ones, but for states with values that
a variable cannot have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from shootdown.check.reduce.bdd import FALSE, TRUE, ZERO, Diagrams, Function, TooLargeError, Vector
from shootdown.check.reduce.formula import answer_of, formula_of
from shootdown.check.reduce.swaps import Swap
from shootdown.check.reduce.symbolic import Meaning, Symbolic, UnknownError, choices_of
from shootdown.lang.bodies import body_accesses
from shootdown.lang.ir import Action, Body, Failure, Property, System
from shootdown.lang.shapes import (
    PROCESS,
    Maybe,
    Members,
    Parts,
    Pointer,
    Renaming,
    Shape,
    changed,
    populations,
    renamed,
    shapes_in,
    values_of,
)

CHOICE_BITS = 64
"""The bits of all choices of a body; they come first in the order of the diagrams' variables."""


class _UnprovenError(Exception):
    """It is no automorphism, or that cannot be shown."""


PATIENCE = 2
"""After so many proofs that would get too large no other one is tried: each takes seconds."""


class Proof:
    """Shows that a swap is an automorphism of a system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.diagrams = Diagrams()
        self.bits: dict[int, int] = {}  # variable -> its first bit
        bit = CHOICE_BITS
        self.owner: dict[int, int] = {}  # bit -> variable
        for number in sorted(range(len(system.variables)), key=self._late):
            v = system.variables[number]
            self.bits[number] = bit
            for _ in range(0 if v.given else (v.size - 1).bit_length()):
                self.owner[bit] = number
                bit += 1
        self.choice_shapes = list(
            dict.fromkeys(
                inner
                for v in system.variables
                for shape in v.naming.shapes
                for inner in shapes_in(shape)
            )
        )
        self.meanings: dict[int, Meaning] = {}  # by the body's id: bodies live with the system
        self.accesses: dict[int, frozenset[int]] = {}
        self.patience = PATIENCE
        self.given_up = 0
        """Swaps that may be automorphisms: to show it would have been too large."""

    def _late(self, variable: int) -> bool:
        """Whether its bits come last in the diagrams. What tells which element of an array is meant
        comes before the array: after it, a diagram would have a node for every content."""
        naming = self.system.variables[variable].naming
        pointers = any(
            isinstance(shape.inner if isinstance(shape, Maybe) else shape, Pointer)
            for shape in naming.shapes
        )
        return naming.family != "pc" and not pointers

    def proves(self, swap: Swap) -> bool:
        """Whether it can be shown."""
        if not self.patience:
            self.given_up += 1
            return False
        others = self.diagrams.nodes[2:3]  # diagrams of proofs before this one
        try:
            self._all(swap)
        except (_UnprovenError, UnknownError):
            return False
        except TooLargeError:
            self.diagrams = Diagrams()
            self.meanings.clear()
            if others:
                return self.proves(swap)
            self.patience -= 1
            self.given_up += 1
            return False
        return True

    def _all(self, swap: Swap) -> None:
        system = self.system
        threads = swap.renaming[PROCESS]
        touched = {v for v, to in enumerate(swap.moves) if to != v or swap.changing(v)}
        # what a local names depends on where the thread stands, and every step changes that
        counters = {case.counter for v in touched for case in swap.changing(v)}
        touched |= {counter for counter in counters if counter is not None}
        for p, q in enumerate(threads):
            process, image = system.processes[p], system.processes[q]
            if process.daemon != image.daemon or len(process.actions) != len(image.actions):
                raise _UnprovenError
            for step, (a, b) in enumerate(zip(process.actions, image.actions, strict=True)):
                self._counterpart(a, [b], touched, swap, self._stands_at(process.pc, step))
        images: dict[object, list[Action]] = {}
        for rule in system.rules:
            images.setdefault((rule.info.location, rule.reads, rule.writes), []).append(rule)
        for rule in system.rules:
            reads = frozenset(swap.moves[v] for v in rule.reads)
            writes = frozenset(swap.moves[v] for v in rule.writes)
            left = images.get((rule.info.location, reads, writes), [])
            left.remove(self._counterpart(rule, left, touched, swap, TRUE))
        for prop in (*system.invariants, *system.goals, *system.progress):
            self._same_answer(prop, swap)

    def _counterpart(
        self,
        action: Action,
        others: Sequence[Action],
        touched: set[int],
        swap: Swap,
        where: Function,
    ) -> Action:
        """The first of some actions that is the image of an action; it is tried in the states
        ``where``."""
        for other in others:
            if action.fair != other.fair:
                continue
            if action is other and not self._accesses(action.body) & touched:
                return other
            if self._same(action.body, other.body, swap, where):
                return other
        raise _UnprovenError

    # ------------------------------------------------------------------ bodies

    def _accesses(self, body: Body) -> frozenset[int]:
        """The variables that a body names."""
        if id(body) not in self.accesses:
            reads, writes = body_accesses(body, set())
            self.accesses[id(body)] = reads | writes
        return self.accesses[id(body)]

    def before(self, variable: int) -> Vector:
        """The value of a variable in the state before."""
        v = self.system.variables[variable]
        if v.given:
            return self.diagrams.constant(self.system.init[variable])
        first = self.bits[variable]
        bits = [self.diagrams.variable(first + i) for i in range((v.size - 1).bit_length())]
        return self.diagrams.short([*bits, FALSE])

    def _after(self, swap: Swap) -> Callable[[int], Vector]:
        """The value of a variable after the swap."""
        back = {to: v for v, to in enumerate(swap.moves)}

        def value(variable: int) -> Vector:
            return self._swapped(swap, back[variable], self.before)

        return value

    def _swapped(self, swap: Swap, variable: int, value: Callable[[int], Vector]) -> Vector:
        """The value of a variable of a state, with its objects renamed."""
        d, result = self.diagrams, value(variable)
        for case in swap.changing(variable):
            new = self.renamed(case.shape, value(variable), swap.renaming)
            if case.counter is None:
                result = new
            else:
                at = value(case.counter)
                for step in case.steps:
                    result = d.choose(d.equal(at, d.constant(step)), new, result)
        return result

    def _in_range(self, variables: set[int]) -> Function:
        """That variables have values that they can have."""
        d, result = self.diagrams, TRUE
        for variable in variables:
            size = self.system.variables[variable].size
            if size & (size - 1) and not self.system.variables[variable].given:
                result = d.both(result, d.less(self.before(variable), d.constant(size)))
        return result

    def _chosen(self, body: Body) -> dict[int, Vector]:
        """For each choice of a body, what it gives."""
        chosen, bit = {}, 0
        for number, width in choices_of(body):
            bits = [self.diagrams.variable(bit + i) for i in range((width - 1).bit_length())]
            bit += len(bits)
            if bit > CHOICE_BITS:
                raise UnknownError("too many choices")
            chosen[number] = self.diagrams.short([*bits, FALSE])
        return chosen

    def _meaning(self, body: Body) -> Meaning:
        if id(body) not in self.meanings:
            symbolic = Symbolic(self.diagrams, self.before, self._chosen(body))
            self.meanings[id(body)] = symbolic.run(body)
        return self.meanings[id(body)]

    def _stands_at(self, counter: int, step: int) -> Function:
        return self.diagrams.equal(self.before(counter), self.diagrams.constant(step))

    def _same(self, body: Body, image: Body, swap: Swap, where: Function) -> bool:
        """Whether ``image`` does after the swap what ``body`` does before it, in some states."""
        meaning, before = self._meaning(body), self._after(swap)
        mine, theirs = choices_of(body), choices_of(image)
        if [width for _, width in mine] != [width for _, width in theirs]:
            return False
        chosen = list(self._chosen(body).values())
        options = [self._choice_shapes(width, swap.renaming) for _, width in mine]
        for shapes in product(*options):
            given = {
                number: self.renamed(shape, vector, swap.renaming)
                for (number, _), vector, shape in zip(theirs, chosen, shapes, strict=True)
            }
            unmet = {number: v for (number, _), v in zip(theirs, chosen, strict=True)}
            other = Symbolic(self.diagrams, before, given, unmet).run(image)
            if self._agree(meaning, other, swap, where):
                return True
        return False

    def _agree(self, meaning: Meaning, other: Meaning, swap: Swap, where: Function) -> bool:
        """Whether ``other``, of the state after the swap, is the image of ``meaning``."""
        d, before = self.diagrams, self._after(swap)
        back = {to: v for v, to in enumerate(swap.moves)}

        def never(wrong: Function) -> bool:
            return self._only_out_of_range(d.both(where, wrong))

        if not never(d.differ(meaning.enabled, other.enabled)):
            return False
        mine, theirs = self._failures(meaning), self._failures(other)
        for failure in mine.keys() | theirs.keys():
            if not never(d.differ(mine.get(failure, FALSE), theirs.get(failure, FALSE))):
                return False
        written = set(meaning.after) | {back[v] for v in other.after}
        written |= {
            v
            for v, cases in enumerate(swap.cases)
            if any(case.counter in written for case in cases)
        }

        def after(variable: int) -> Vector:
            found = meaning.after.get(variable)
            return self.before(variable) if found is None else found

        for variable in written:
            value = self._swapped(swap, variable, after)
            to = swap.moves[variable]
            image = other.after.get(to)
            image = before(to) if image is None else image
            if not never(d.both(meaning.enabled, d.no(d.equal(value, image)))):
                return False
        return True

    def _failures(self, meaning: Meaning) -> dict[Failure, Function]:
        """Where a body fails, by what that means."""
        found: dict[Failure, Function] = {}
        for number, where in meaning.failures.items():
            failure = self.system.failures[number]
            found[failure] = self.diagrams.either(found.get(failure, FALSE), where)
        return found

    def _only_out_of_range(self, wrong: Function) -> bool:
        """Whether two things differ only in states that cannot be: with values out of range."""
        if wrong == FALSE:
            return True
        variables = self._support(wrong)
        return self.diagrams.both(wrong, self._in_range(variables)) == FALSE

    def _support(self, function: Function) -> set[int]:
        """The variables of the state that a function depends on."""
        seen, stack, bits = set(), [function], set()
        while stack:
            node = stack.pop()
            if node > 1 and node not in seen:
                seen.add(node)
                bit, low, high = self.diagrams.nodes[node]
                bits.add(bit)
                stack += [low, high]
        return {self.owner[bit] for bit in bits if bit in self.owner}

    def _same_answer(self, prop: Property, swap: Swap) -> None:
        """A property is true before a swap where it is true after it."""
        d, before = self.diagrams, self._after(swap)
        mine, theirs = Symbolic(d, self.before, {}), Symbolic(d, before, {})
        answer = answer_of(prop.body)
        if answer is not None and formula_of(answer, mine.holds) == formula_of(
            answer, theirs.holds
        ):
            return
        meaning, other = self._meaning(prop.body), theirs.run(prop.body)
        same = d.differ(d.nonzero(meaning.answer), d.nonzero(other.answer))
        if not self._only_out_of_range(d.both(meaning.enabled, same)):
            raise _UnprovenError
        if not self._agree(meaning, other, swap, TRUE):
            raise _UnprovenError

    # ------------------------------------------------------------------ values

    def _choice_shapes(self, width: int, renaming: Renaming) -> list[Shape]:
        """What the values of a choice might be."""
        moving = changed(renaming)
        return [None] + [
            shape
            for shape in self.choice_shapes
            if populations(shape) & moving and values_of(shape) <= width
        ]

    def renamed(self, shape: Shape, value: Vector, renaming: Renaming) -> Vector:
        """A value with every object in it renamed."""
        d = self.diagrams
        if not populations(shape) & changed(renaming):
            return value
        match shape:
            case Pointer(population=population):
                result = value
                for i, to in enumerate(renaming[population]):
                    if i != to:
                        here = d.equal(value, d.constant(i))
                        result = d.choose(here, d.constant(to), result)
                return result
            case Maybe(inner):
                some = self.renamed(inner, d.subtract(value, d.constant(1)), renaming)
                some = d.add(some, d.constant(1))
                return d.choose(d.nonzero(value), some, ZERO)
            case Members(inner, size):
                bits = [FALSE] * size + [FALSE]
                for e in range(size):
                    bits[renamed(inner, e, renaming)] = d.bit(value, e)
                return d.short(bits)
            case Parts(parts):
                width = max(part.shift + part.bits for part in parts)
                bits = [d.bit(value, i) for i in range(max(len(value), width + 1))]
                for part in parts:
                    old = d.short([*bits[part.shift : part.shift + part.bits], FALSE])
                    moved = self.renamed(part.inner, old, renaming)
                    for i in range(part.bits):
                        bits[part.shift + i] = d.bit(moved, i)
                return d.short(bits)
        return value
