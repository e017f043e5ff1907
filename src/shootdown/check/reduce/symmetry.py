"""Symmetry: objects that the system does not tell apart may change places.

Two states that differ only in which of them is which have the same future, so one of them is
enough (Ip and Dill, "Better Verification Through Symmetry", Formal Methods in System Design 1996;
Clarke, Enders, Filkorn and Jha, "Exploiting Symmetry in Temporal Logic Model Checking", 1996).
Distances stay what they are, so the shortest race is as long as ever.

Nobody declares what is symmetric. :func:`find_symmetry` tries to swap each two objects of each
population, with the threads that then have to change places too, and keeps the swaps for which it
*proves* that they are automorphisms: every action, applied after the swap, does what its
counterpart does before it, for all states, and every property is true in both or in neither. The
proof compares decision diagrams (:mod:`.symbolic`). What cannot be proven is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product

from shootdown.check.native.layout import Layout, plan
from shootdown.check.reduce.bdd import FALSE, TRUE, ZERO, Diagrams, Function, TooLargeError, Vector
from shootdown.check.reduce.symbolic import Meaning, Symbolic, UnknownError, choices_of
from shootdown.lang.interpret import State
from shootdown.lang.ir import Action, Body, Failure, Property, System
from shootdown.lang.shapes import (
    PROCESS,
    Maybe,
    Members,
    Parts,
    Pointer,
    Renaming,
    Shape,
    populations,
    renamed,
)

MOST = 5040
"""The largest group that is used: a state has at most so many images."""


@dataclass(frozen=True)
class Swap:
    """A proven automorphism that swaps two objects. ``moves`` gives for each variable the one
    whose place it takes; ``renaming`` says how its value changes."""

    renaming: Renaming
    moves: tuple[int, ...]
    shapes: tuple[Shape, ...] = field(repr=False)

    def apply(self, state: State) -> State:
        """The state after the swap."""
        after = list(state)
        for variable, to in enumerate(self.moves):
            after[to] = renamed(self.shapes[variable], state[variable], self.renaming)
        return tuple(after)


@dataclass(frozen=True)
class Alike:
    """Objects that may change places: ``swaps[i]`` swaps the ``i``-th of them and the next."""

    population: str
    members: tuple[int, ...]
    swaps: tuple[Swap, ...]


@dataclass(frozen=True)
class Symmetry:
    """What may change places in a system: a symmetry as :mod:`.reduction` wants it."""

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

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """Which swaps, one after the other, lead through all images of a state."""
        result: list[int] = []
        first = 0
        for alike in self.classes:
            outer = [first + i for i in plain_changes(len(alike.members))]
            inner = list(result)
            for step in outer:
                result += [step, *inner]
            first += len(alike.swaps)
        return tuple(result)

    def images(self, state: State) -> Iterator[State]:
        """The state and all its images."""
        yield state
        for number in self.sequence:
            state = self.swaps[number].apply(state)
            yield state

    @cached_property
    def layout(self) -> Layout:
        """How the native engine packs a state: what is least depends on it."""
        return plan(self.system)

    def canonical(self, state: State) -> State:
        """The least of the images: the same one for all of them."""
        return min(self.images(state), key=self.layout.pack)

    @property
    def text(self) -> str:
        """What is interchangeable: ``3 Cpu, 2 Frame``."""
        return ", ".join(f"{len(c.members)} {c.population}" for c in self.classes)

    def native(self, system: System, layout: Layout) -> str:
        """The canonical form of packed states, as LLVM IR."""
        from shootdown.check.native.canonical import emit_canonical

        return emit_canonical(system, layout, self)


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


def find_symmetry(system: System) -> Symmetry | None:
    """The swaps that can be proven, or ``None`` if there are none. Store buffers name locations,
    not objects, so with them there is little to be found."""
    found = _Finder(system).symmetry()
    return found if found.classes else None


class _Unproven(Exception):
    """It is no automorphism, or that cannot be shown."""


class _Finder:
    def __init__(self, system: System) -> None:
        self.system = system
        self.shapes = tuple(v.shape for v in system.variables)
        self.numbers = {(v.family, v.keys): i for i, v in enumerate(system.variables) if v.family}
        self.sizes: dict[str, int] = {}
        for v in system.variables:
            for population, index in v.keys:
                self.sizes[population] = max(self.sizes.get(population, 0), index + 1)
            for pointer in _pointers(v.shape):
                size = max(self.sizes.get(pointer.population, 0), pointer.size)
                self.sizes[pointer.population] = size
        self.sizes.pop(PROCESS, None)
        self.threads = len(system.processes)
        self.found: set[tuple[int, ...]] = set()
        self.proof = _Proof(system)

    def symmetry(self) -> Symmetry:
        """Try all pairs: of one population, with the threads, and with a pair of another one."""
        classes: list[Alike] = []
        order = 1
        for population, size in [*sorted(self.sizes.items()), (PROCESS, self.threads)]:
            groups: list[tuple[list[int], list[Swap]]] = []
            for index in range(size):
                for members, swaps in groups:
                    swap = self.exchanged(population, members[-1], index)
                    if swap is not None:
                        members.append(index)
                        swaps.append(swap)
                        break
                else:
                    groups.append(([index], []))
            for members, swaps in groups:
                larger = order * math.factorial(len(members))
                if len(members) > 1 and larger <= MOST:
                    order = larger
                    classes.append(Alike(population, tuple(members), tuple(swaps)))
        return Symmetry(self.system, tuple(classes))

    def exchanged(self, population: str, a: int, b: int) -> Swap | None:
        """An automorphism that swaps two objects; one that is there already is none."""
        for renaming in self.candidates(population, a, b):
            swap = self.swap(renaming)
            if swap is not None and swap.moves not in self.found:
                self.found.add(swap.moves)
                return swap
        return None

    def candidates(self, population: str, a: int, b: int) -> Iterator[dict[str, tuple[int, ...]]]:
        """Renamings that swap two objects."""
        if population == PROCESS:
            yield {PROCESS: _swapped(self.threads, a, b)}
            return
        first = {population: _swapped(self.sizes[population], a, b)}
        yield first
        for other, size in sorted(self.sizes.items()):
            if other != population:
                for c, d in combinations(range(size), 2):
                    yield {**first, other: _swapped(size, c, d)}

    def swap(self, renaming: dict[str, tuple[int, ...]]) -> Swap | None:
        """An automorphism with this renaming, and some exchange of threads."""
        exchanges = [renaming[PROCESS]] if PROCESS in renaming else self.exchanges(renaming)
        for threads in exchanges:
            whole = {**renaming, PROCESS: threads}
            moves = self.moves(whole)
            if moves is None or any(moves[to] != v for v, to in enumerate(moves)):
                continue
            swap = Swap(whole, moves, self.shapes)
            if self.proof.proves(swap):
                return swap
        return None

    def moves(self, renaming: Renaming) -> tuple[int, ...] | None:
        """The place of each variable under a renaming."""
        result = []
        for number, v in enumerate(self.system.variables):
            keys = tuple((p, renaming[p][i] if p in renaming else i) for p, i in v.keys)
            to = self.numbers.get((v.family, keys)) if v.family else number
            if to is None or self.system.variables[to].size != v.size:
                return None
            if v.given and (
                self.system.init[to] != renamed(v.shape, self.system.init[number], renaming)
            ):
                return None
            result.append(to)
        return tuple(result) if len(set(result)) == len(result) else None

    def exchanges(self, renaming: Renaming) -> Iterator[tuple[int, ...]]:
        """The ways in which threads might change places with the objects: each goes to one that
        has the same steps, as far as the variables that they touch tell."""
        system = self.system
        moved = {}
        for number, v in enumerate(system.variables):
            keys = tuple((p, renaming[p][i] if p in renaming else i) for p, i in v.keys)
            moved[number] = (v.family, keys)
        own = {number: (v.family, v.keys) for number, v in enumerate(system.variables)}

        def touched(process: int, names: dict[int, tuple[str, object]]) -> list[object]:
            found: list[object] = []
            for action in system.processes[process].actions:
                for accesses in (action.reads, action.writes):
                    shared = {
                        names[n]
                        for n in accesses
                        if not any(p == PROCESS for p, _ in system.variables[n].keys)
                    }
                    found.append((action.info.text, frozenset(shared)))
            return found

        count = len(system.processes)
        here = [touched(p, moved) for p in range(count)]
        there = [touched(p, own) for p in range(count)]
        fitting = [
            sorted((q for q in range(count) if here[p] == there[q]), key=lambda q, p=p: (q != p, q))
            for p in range(count)
        ]
        tried = 0
        for choice in product(*fitting):
            if len(set(choice)) == count:
                yield choice
                tried += 1
            if tried == 4:
                return


class _Proof:
    """Shows that a swap is an automorphism of a system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.diagrams = Diagrams()
        self.bits: dict[int, int] = {}  # variable -> its first bit
        bit = 64
        for number, v in enumerate(system.variables):
            self.bits[number] = bit
            bit += 0 if v.given else (v.size - 1).bit_length()
        self.choice_shapes = list(
            dict.fromkeys(shape for v in system.variables for shape in _shapes(v.shape))
        )
        self.meanings: dict[int, Meaning] = {}

    def proves(self, swap: Swap) -> bool:
        """Whether it can be shown."""
        try:
            self._all(swap)
        except (_Unproven, UnknownError):
            return False
        except TooLargeError:
            self.diagrams = Diagrams()
            self.meanings.clear()
            return False
        return True

    def _all(self, swap: Swap) -> None:
        system = self.system
        threads = swap.renaming[PROCESS]
        touched = {
            v
            for v, to in enumerate(swap.moves)
            if to != v or populations(swap.shapes[v]) & _moving(swap.renaming)
        }
        pairs: list[tuple[Action, Action, frozenset[int]]] = []
        for p, q in enumerate(threads):
            process, image = system.processes[p], system.processes[q]
            if process.daemon != image.daemon or len(process.actions) != len(image.actions):
                raise _Unproven
            own = frozenset((process.pc,))
            pairs += [(a, b, own) for a, b in zip(process.actions, image.actions, strict=True)]
        pairs += [(a, b, frozenset()) for a, b in self._rules(swap)]
        for a, b, own in pairs:
            if a.fair != b.fair:
                raise _Unproven
            if a is not b or (a.reads | a.writes | own) & touched:
                self._same(a.body, b.body, swap)
        for prop in (*system.invariants, *system.goals, *system.progress):
            self._same_answer(prop, swap)

    def _rules(self, swap: Swap) -> list[tuple[Action, Action]]:
        """Each rule with its image: there is exactly one that touches the right variables."""
        images: dict[object, list[Action]] = {}
        for rule in self.system.rules:
            images.setdefault((rule.info.location, rule.reads, rule.writes), []).append(rule)
        pairs = []
        for rule in self.system.rules:
            reads = frozenset(swap.moves[v] for v in rule.reads)
            writes = frozenset(swap.moves[v] for v in rule.writes)
            found = images.get((rule.info.location, reads, writes), [])
            if not found:
                raise _Unproven
            pairs.append((rule, found.pop(0)))
        return pairs

    # ------------------------------------------------------------------ bodies

    def before(self, variable: int) -> Vector:
        """The value of a variable in the state before."""
        v = self.system.variables[variable]
        if v.given:
            return self.diagrams.constant(self.system.init[variable])
        first = self.bits[variable]
        bits = [self.diagrams.variable(first + i) for i in range((v.size - 1).bit_length())]
        return self.diagrams.short([*bits, FALSE])

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
            if bit > 64:
                raise UnknownError("too many choices")
            chosen[number] = self.diagrams.short([*bits, FALSE])
        return chosen

    def _meaning(self, body: Body) -> Meaning:
        if id(body) not in self.meanings:
            symbolic = Symbolic(self.diagrams, self.before, self._chosen(body))
            self.meanings[id(body)] = symbolic.run(body)
        return self.meanings[id(body)]

    def _same(self, body: Body, image: Body, swap: Swap) -> None:
        """The image of an action does after the swap what the action does before it."""
        meaning = self._meaning(body)
        back = {to: v for v, to in enumerate(swap.moves)}

        def before(variable: int) -> Vector:
            source = back[variable]
            return self.renamed(swap.shapes[source], self.before(source), swap.renaming)

        mine, theirs = choices_of(body), choices_of(image)
        if [width for _, width in mine] != [width for _, width in theirs]:
            raise _Unproven
        chosen = list(self._chosen(body).values())
        options = [self._choice_shapes(width, swap.renaming) for _, width in mine]
        for shapes in product(*options):
            given = {
                number: self.renamed(shape, vector, swap.renaming)
                for (number, _), vector, shape in zip(theirs, chosen, shapes, strict=True)
            }
            other = Symbolic(self.diagrams, before, given).run(image)
            if self._agree(meaning, other, swap, before):
                return
        raise _Unproven

    def _agree(self, meaning: Meaning, other: Meaning, swap: Swap, before: object) -> bool:
        d = self.diagrams
        assert callable(before)
        changed = {v for v in meaning.after}
        back = {to: v for v, to in enumerate(swap.moves)}
        changed |= {back[v] for v in other.after}
        if not self._only_out_of_range(d.differ(meaning.enabled, other.enabled)):
            return False
        mine, theirs = self._failures(meaning), self._failures(other)
        for failure in mine.keys() | theirs.keys():
            wrong = d.differ(mine.get(failure, FALSE), theirs.get(failure, FALSE))
            if not self._only_out_of_range(wrong):
                return False
        for variable in changed:
            value = meaning.after.get(variable)
            value = self.before(variable) if value is None else value
            value = self.renamed(swap.shapes[variable], value, swap.renaming)
            to = swap.moves[variable]
            image = other.after.get(to)
            image = before(to) if image is None else image
            wrong = d.both(meaning.enabled, d.no(d.equal(value, image)))
            if not self._only_out_of_range(wrong):
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
        return {
            v
            for v, first in self.bits.items()
            if any(first <= bit < first + (self.system.variables[v].size - 1).bit_length() for bit in bits)
        }

    def _same_answer(self, prop: Property, swap: Swap) -> None:
        """A property is true before a swap where it is true after it."""
        d = self.diagrams
        meaning = self._meaning(prop.body)
        back = {to: v for v, to in enumerate(swap.moves)}

        def before(variable: int) -> Vector:
            source = back[variable]
            return self.renamed(swap.shapes[source], self.before(source), swap.renaming)

        other = Symbolic(d, before, {}).run(prop.body)
        same = d.differ(d.nonzero(meaning.answer), d.nonzero(other.answer))
        if not self._only_out_of_range(d.both(meaning.enabled, same)):
            raise _Unproven
        if not self._agree(meaning, other, swap, before):
            raise _Unproven

    # ------------------------------------------------------------------ values

    def _choice_shapes(self, width: int, renaming: Renaming) -> list[Shape]:
        """What the values of a choice might be."""
        moving = _moving(renaming)
        return [None] + [
            shape
            for shape in self.choice_shapes
            if populations(shape) & moving and _values(shape) <= width
        ]

    def renamed(self, shape: Shape, value: Vector, renaming: Renaming) -> Vector:
        """A value with every object in it renamed."""
        d = self.diagrams
        if not populations(shape) & _moving(renaming):
            return value
        match shape:
            case Pointer(population=population):
                result = value
                for old, new in enumerate(renaming[population]):
                    if old != new:
                        here = d.equal(value, d.constant(old))
                        result = d.choose(here, d.constant(new), result)
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
                bits = [d.bit(value, i) for i in range(max(len(value), _width(parts) + 1))]
                for part in parts:
                    old = d.short([*bits[part.shift : part.shift + part.bits], FALSE])
                    new = self.renamed(part.inner, old, renaming)
                    for i in range(part.bits):
                        bits[part.shift + i] = d.bit(new, i)
                return d.short(bits)
        return value


def _width(parts: Sequence[object]) -> int:
    return max(part.shift + part.bits for part in parts)  # type: ignore[attr-defined]


def _moving(renaming: Renaming) -> frozenset[str]:
    """The populations that a renaming changes."""
    return frozenset(p for p, new in renaming.items() if list(new) != list(range(len(new))))


def _swapped(size: int, a: int, b: int) -> tuple[int, ...]:
    return tuple(b if i == a else a if i == b else i for i in range(size))


def _pointers(shape: Shape) -> Iterator[Pointer]:
    for inner in _shapes(shape):
        if isinstance(inner, Pointer):
            yield inner


def _shapes(shape: Shape) -> Iterator[Shape]:
    """A shape and those within it."""
    if shape is None:
        return
    yield shape
    match shape:
        case Maybe(inner) | Members(inner=inner):
            yield from _shapes(inner)
        case Parts(parts):
            for part in parts:
                yield from _shapes(part.inner)


def _values(shape: Shape) -> int:
    """How many values of a shape there are at least: bits above it name nothing."""
    match shape:
        case Pointer(size=size):
            return size
        case Maybe(inner):
            return 1 + _values(inner)
        case Members(size=size):
            return 1 << size
        case Parts(parts):
            return 1 << _width(parts)
    return 1
