"""Packing the variables of a system into 64-bit words.

A variable takes as many bits as its largest value needs, lies within one word, and takes none if
it has only one value or is given: given ones are in a table beside the code. Variables that one
place with a computed index can name lie side by side in the order of their numbers where they fit,
so that the index becomes a shift.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from shootdown.lang.ir import (
    Binary,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Expr,
    Guard,
    Load,
    Place,
    Select,
    Set,
    Store,
    System,
    Unary,
)

WORD = 64


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a variable lies: ``bits`` bits from bit ``shift`` of word ``word``."""

    word: int
    shift: int
    bits: int

    @property
    def mask(self) -> int:
        """The bits of the word that belong to the variable."""
        return (1 << self.bits) - 1 << self.shift


@dataclass(frozen=True, slots=True)
class Layout:
    """A slot for each variable."""

    words: int
    slots: tuple[Slot, ...]
    given: tuple[tuple[int, int], ...] = ()  # variable, value

    def pack(self, state: Sequence[int]) -> list[int]:
        """The words of a state vector."""
        words = [0] * self.words
        for value, slot in zip(state, self.slots, strict=True):
            if slot.bits:
                words[slot.word] |= value << slot.shift
        return words

    def unpack(self, words: Sequence[int]) -> tuple[int, ...]:
        """The state vector in some words."""
        state = [(words[s.word] & s.mask) >> s.shift for s in self.slots]
        for variable, value in self.given:
            state[variable] = value
        return tuple(state)


Dimension: TypeAlias = tuple[Expr, int, int]  # (expression, stride, extent), as in ``Place``


def plan(system: System, apart: Collection[int] = ()) -> Layout:
    """Choose the layout: first fit, large groups first.

    The variables ``apart`` (which fit into a word together) lie in a last word of their own.
    """
    bits = [0 if v.given else (v.size - 1).bit_length() for v in system.variables]
    aside = [(v, bits[v]) for v in apart]
    for v in apart:
        bits[v] = 0
    chunks = [
        chunk
        for group in _groups(system)
        if (rest := [v for v in group if bits[v]])
        for chunk in _split(rest, bits)
    ]
    chunks.sort(key=lambda chunk: -sum(bits[v] for v in chunk))
    used: list[int] = []
    slots = [Slot(0, 0, 0)] * len(bits)
    for chunk in chunks:
        need = sum(bits[v] for v in chunk)
        word = next((w for w, u in enumerate(used) if u + need <= WORD), len(used))
        if word == len(used):
            used.append(0)
        for variable in chunk:
            slots[variable] = Slot(word, used[word], bits[variable])
            used[word] += bits[variable]
    words = max(1, len(used))
    if aside:
        shift = 0
        for variable, width in aside:
            slots[variable] = Slot(words, shift, width)
            shift += width
        words += 1
    given = tuple((v, system.init[v]) for v, var in enumerate(system.variables) if var.given)
    return Layout(words, tuple(slots), given)


def _split(group: list[int], bits: list[int]) -> Iterator[list[int]]:
    """Parts of a group that fit into a word each."""
    fit = WORD // bits[group[0]]
    for start in range(0, len(group), fit):
        yield group[start : start + fit]


def _groups(system: System) -> list[list[int]]:
    """The variables, those together that one place with a computed index can name."""
    leader = list(range(len(system.variables)))

    def find(v: int) -> int:
        while leader[v] != v:
            leader[v] = v = leader[leader[v]]
        return v

    shapes = set()
    for body in _bodies(system):
        for place in _places(body):
            base, dimensions = resolve(place)
            if base is not None:
                shapes.add((base, tuple((stride, extent) for _, stride, extent in dimensions)))
    for base, shape in shapes:
        first, *others = elements(base, shape)
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[int, list[int]] = {}
    for v in range(len(leader)):
        groups.setdefault(find(v), []).append(v)
    return list(groups.values())


def resolve(place: Place) -> tuple[int | None, list[Dimension]]:
    """The base and the computed indices of a place, constant ones applied.

    The base is None where a constant index is outside its extent.
    """
    base = place.base
    dimensions: list[Dimension] = []
    for expr, stride, extent in place.index:
        if not isinstance(expr, Const):
            dimensions.append((expr, stride, extent))
        elif 0 <= expr.value < extent:
            base += expr.value * stride
        else:
            return None, []
    return base, dimensions


def elements(base: int, shape: Sequence[tuple[int, int]]) -> list[int]:
    """The variables of a place with (stride, extent) dimensions, the last one fastest."""
    steps = [
        range(0, stride * extent, stride) if stride else [0] * extent for stride, extent in shape
    ]
    return [base + sum(step) for step in product(*steps)]


# --------------------------------------------------------------------------- walking bodies


def _bodies(system: System) -> Iterator[Body]:
    for process in system.processes:
        for action in process.actions:
            yield action.body
    for action in system.rules:
        yield action.body
    for prop in (*system.invariants, *system.goals):
        yield prop.body


def _places(body: Body) -> Iterator[Place]:
    """All places with an index that a body names, notes apart."""
    for block in body.blocks:
        for op in block.ops:
            match op:
                case Set(_, value):
                    yield from _places_in(value)
                case Store(place, value):
                    yield from _places_in(Load(place))
                    yield from _places_in(value)
                case Guard(condition) | Check(condition, _):
                    yield from _places_in(condition)
        match block.end:
            case Branch(condition, _, _):
                yield from _places_in(condition)
            case Choice(_, mask, _, _):
                yield from _places_in(mask)


def _places_in(expr: Expr) -> Iterator[Place]:
    match expr:
        case Load(place):
            if place.index:
                yield place
                for index, _, _ in place.index:
                    yield from _places_in(index)
        case Binary(_, left, right):
            yield from _places_in(left)
            yield from _places_in(right)
        case Unary(_, operand):
            yield from _places_in(operand)
        case Select(condition, then, orelse):
            yield from _places_in(condition)
            yield from _places_in(then)
            yield from _places_in(orelse)
