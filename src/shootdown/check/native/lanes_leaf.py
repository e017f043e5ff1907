"""The leaf of a system: a few variables whose values are the *lanes* of one or more 64-bit words.

A lane is one valuation of the leaf. Everything here is about what an action has to do with the
leaf: which of its variables it looks at, and which it only overwrites.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from operator import is_

from shootdown.check.native.lanes_bits import bit_of, rebuilt, rebuilt_place
from shootdown.check.native.layout import Layout, resolve
from shootdown.lang.bodies import block_targets, body_loads, body_stores, expr_loads
from shootdown.lang.ir import (
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Done,
    Expr,
    Guard,
    Jump,
    Load,
    Op,
    Reg,
    Set,
    Store,
    System,
    Terminator,
)
from shootdown.lang.prune import live_blocks

LANES = 64
"""Lanes in a word."""
MOST_WORDS = 8
"""Words of a set of lanes: a power of two."""

_MOST_VARIANTS = 16  # bodies that one body becomes


@dataclass(frozen=True)
class Leaf:
    """Some variables, in order; a lane is ``sum(value * stride)`` over them.

    The first ones, the *inner* variables, say which bit of a word a lane is, the others, which word
    it is: so no lane moves from one word to another when an inner variable changes, and words move
    as they are when another does. ``split`` are variables of the system of which only some bits are
    in the leaf: the numbers are those of :func:`~.lanes_split.split`.
    """

    variables: tuple[int, ...]
    sizes: tuple[int, ...]
    inner: int  # how many are
    split: tuple[int, ...] = ()

    @staticmethod
    def of(system: System, variables: Iterable[int], split: Sequence[int] = ()) -> Leaf:
        """The leaf of these variables, in the order that needs the fewest words."""
        variables = tuple(variables)
        sizes = tuple(system.variables[v].size for v in variables)
        _, outer = fewest_words(sizes)
        order = sorted(range(len(variables)), key=lambda i: i in outer)
        ordered = tuple(variables[i] for i in order)
        inner = len(variables) - len(outer)
        return Leaf(ordered, tuple(sizes[i] for i in order), inner, tuple(split))

    @cached_property
    def strides(self) -> dict[int, int]:
        """How far two lanes are apart that differ by one in this variable."""
        strides: dict[int, int] = {}
        step = 1
        for i, (variable, size) in enumerate(zip(self.variables, self.sizes, strict=True)):
            if i == self.inner:
                step = LANES
            strides[variable] = step
            step *= size
        return strides

    @cached_property
    def size_of(self) -> dict[int, int]:
        """The size of each variable."""
        return dict(zip(self.variables, self.sizes, strict=True))

    @cached_property
    def words(self) -> int:
        """The words of a set of lanes: a power of two."""
        return 1 << (math.prod(self.sizes[self.inner :]) - 1).bit_length()

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return math.prod(self.sizes)

    def is_outer(self, variable: int) -> bool:
        """Whether a variable says which word a lane is in."""
        return variable in self.variables[self.inner :]

    def mask(self, variable: int, value: int) -> int:
        """The lanes in which a variable has a value."""
        return self._masks[variable, value]

    @cached_property
    def _masks(self) -> dict[tuple[int, int], int]:
        masks = {(v, n): 0 for v in self.variables for n in range(self.size_of[v])}
        for values in self.combinations(self.variables):
            for pair in values:
                masks[pair] |= 1 << self.lane(values)
        return masks

    @cached_property
    def _all(self) -> int:
        return sum(1 << self.lane(values) for values in self.combinations(self.variables))

    def masks(self, values: Iterable[tuple[int, int]]) -> int:
        """The lanes in which variables have the values that are given."""
        result = self._all
        for variable, value in values:
            result &= self.mask(variable, value)
        return result

    def lane(self, values: Iterable[tuple[int, int]]) -> int:
        """The lane with these values, all others 0."""
        return sum(self.strides[variable] * value for variable, value in values)

    def values(self, lane: int) -> Iterator[tuple[int, int]]:
        """Variables and their values in a lane."""
        for i, variable in enumerate(self.variables):
            here = lane % LANES if i < self.inner else lane
            yield variable, here // self.strides[variable] % self.size_of[variable]

    def word(self, layout: Layout, values: Iterable[tuple[int, int]]) -> int:
        """The last word of a state with these values, all others 0."""
        return sum(value << layout.slots[variable].shift for variable, value in values)

    def number(self, variables: Sequence[int]) -> int:
        """How many valuations some of the variables have."""
        return math.prod(self.size_of[v] for v in variables)

    def combinations(self, variables: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
        """All values of some of the variables together."""
        for values in product(*(range(self.size_of[v]) for v in variables)):
            yield tuple(zip(variables, values, strict=True))


def fewest_words(sizes: Sequence[int]) -> tuple[int, frozenset[int]]:
    """The words of a set of lanes for variables of these sizes, each of which fits into a word, and
    which of them are outer ones."""
    inner: dict[int, frozenset[int]] = {1: frozenset()}  # lanes in a word -> variables
    for i, size in enumerate(sizes):
        more = {lanes * size: chosen | {i} for lanes, chosen in inner.items()}
        inner = {lanes: some for lanes, some in (more | inner).items() if lanes <= LANES}
    lanes = max(inner)
    words = math.prod(sizes) // lanes
    return 1 << (words - 1).bit_length(), frozenset(range(len(sizes))) - inner[lanes]


# --------------------------------------------------------------------------- reads and writes


@dataclass(frozen=True, slots=True)
class Use:
    """The variables of the leaf whose value before the action matters to it, and those that it
    overwrites without looking at them, in each of its outcomes."""

    read: tuple[int, ...]
    overwritten: tuple[int, ...]


def use_of(body: Body, leaf: Leaf) -> Use:
    """What a body has to do with the leaf.

    What is written only in some outcomes, or through an index that is not known, counts as read:
    it may keep its value.
    """
    members = set(leaf.variables)
    read: set[int] = set()
    certain: dict[int, set[int]] = {0: set()}  # block -> written on every way to it
    possible: dict[int, set[int]] = {0: set()}
    ends: list[tuple[set[int], set[int]]] = []
    for number in body.order():
        must, may = set(certain[number]), set(possible[number])
        block = body.blocks[number]
        for op in block.ops:
            read |= {v for v in _loaded(_expressions(op)) if v in members} - must
            if isinstance(op, Store):
                base, dimensions = resolve(op.place)
                if base is None:
                    continue
                found = set(op.place.variables()) & members
                may |= found
                if dimensions:
                    read |= found - must
                else:
                    must |= found
        match block.end:
            case Branch(condition) | Choice(_, condition):
                read |= {v for v in _loaded([condition]) if v in members} - must
            case Done():
                ends.append((must, may))
        for target in block_targets(block):
            certain[target] = certain[target] & must if target in certain else must
            possible[target] = possible.get(target, set()) | may
    written = set[int]().union(*(may for _, may in ends))
    always = set.intersection(*(must for must, _ in ends)) if ends else set()
    read |= written - always
    return Use(
        tuple(v for v in leaf.variables if v in read),
        tuple(v for v in leaf.variables if v in written - read),
    )


def _loaded(expressions: Iterable[Expr]) -> Iterator[int]:
    for expr in expressions:
        for place in expr_loads(expr):
            yield from place.variables()


def _expressions(op: Op) -> Iterator[Expr]:
    match op:
        case Set(_, value):
            yield value
        case Store(place, value):
            yield value
            for index, _, _ in place.index:
                yield index
        case Guard(condition) | Check(condition):
            yield condition


# --------------------------------------------------------------------------- variants


def variants(
    body: Body, leaf: Leaf, sizes: Sequence[int], *, apart: bool = False
) -> list[tuple[Body, Use]]:
    """Bodies that have the outcomes of this one between them, each once.

    Where a choice decides which variable of the leaf is meant, each of its values gets a body, if
    that does not make too much code. ``apart``: also if the leaf does not depend on the choice.
    ``sizes`` are those of all variables.
    """
    body = live_blocks(tidied(body, sizes))
    whole = [(body, use_of(body, leaf))]
    found = [body]
    while True:
        split = [
            part
            for one in found
            for part in (_split(one, sizes) if apart or _depends_on_choice(one, leaf) else [one])
        ]
        if len(split) > _MOST_VARIANTS or all(map(is_, split, found)):
            break
        found = split
    parts = [(part, use_of(part, leaf)) for part in found]
    # constant indices make better code than the size says
    return parts if code_size(parts, leaf) <= 4 * code_size(whole, leaf) else whole


def code_size(bodies: Iterable[tuple[Body, Use]], leaf: Leaf) -> int:
    """How many operations and jumps are written for some bodies, about."""
    return sum(
        leaf.number(use.read) * sum(len(block.ops) + 1 for block in body.blocks)
        for body, use in bodies
    )


def _depends_on_choice(body: Body, leaf: Leaf) -> bool:
    """Whether a variable of the leaf is named by an index, or what it becomes is computed."""
    members = set(leaf.variables)
    if any(
        isinstance(op, Store)
        and not isinstance(op.value, Const | Load)
        and members.intersection(op.place.variables())
        for block in body.blocks
        for op in block.ops
    ):
        return True
    return any(
        resolve(place)[1] and members.intersection(place.variables())
        for place in (*body_loads(body), *body_stores(body))
    )


def _split(body: Body, sizes: Sequence[int]) -> list[Body]:
    """One body for each value of the first choice."""
    for number in body.order():
        end = body.blocks[number].end
        if isinstance(end, Choice):
            parts = [_taking(body, number, end, i) for i in range(end.width)]
            return [live_blocks(tidied(part, sizes)) for part in parts]
    return [body]


def _taking(body: Body, number: int, choice: Choice, value: int) -> Body:
    """The ways that take a value at a choice, and for the first value those that avoid it.

    The blocks are there twice: up to the choice, and after it.
    """
    count = len(body.blocks)
    before, after = [], []
    for index, block in enumerate(body.blocks):
        if index == number:
            ops = (*block.ops, Guard(bit_of(choice.mask, value)), Set(choice.reg, Const(value)))
            before.append(Block(ops, Jump(choice.target + count)))
        elif isinstance(block.end, Done) and value > 0:
            before.append(Block((*block.ops, Guard(Const(0))), Done()))
        else:
            before.append(block)
        after.append(Block(block.ops, _moved(block.end, count)))
    return live_blocks(Body((*before, *after), body.registers))


def _moved(end: Terminator, by: int) -> Terminator:
    match end:
        case Jump(target):
            return Jump(target + by)
        case Choice(reg, mask, width, target):
            return Choice(reg, mask, width, target + by)
        case Branch(condition, then, orelse):
            return Branch(condition, then + by, orelse + by)
        case Done():
            return end


# --------------------------------------------------------------------------- simplifying


def tidied(body: Body, sizes: Sequence[int]) -> Body:
    """The same body with the registers put in that are a constant, or a variable as it still is;
    without writes of what is there. ``sizes`` are those of the variables."""
    known: dict[int, dict[int, Expr]] = {0: {r: Const(0) for r in range(body.registers)}}
    blocks = list(body.blocks)
    for number in body.order():
        if number not in known:
            continue  # only a branch that is decided leads there
        tidy = _Tidy(dict(known[number]), sizes)
        ops = [new for op in body.blocks[number].ops if (new := tidy.operation(op)) is not None]
        end = body.blocks[number].end
        match end:
            case Branch(condition, then, orelse):
                condition = tidy.expr(condition)
                end = Branch(condition, then, orelse)
                if isinstance(condition, Const):
                    end = Jump(then if condition.value else orelse)
            case Choice(reg, mask, width, target):
                end = Choice(reg, tidy.expr(mask), width, target)
                tidy.registers.pop(reg, None)
        blocks[number] = Block(tuple(ops), end)
        for target in block_targets(blocks[number]):
            here = tidy.registers
            before = known.get(target, here)
            known[target] = {r: e for r, e in before.items() if here.get(r) == e}
    return Body(tuple(blocks), body.registers)


class _Tidy:
    """What is known of the registers within a block."""

    def __init__(self, registers: dict[int, Expr], sizes: Sequence[int]) -> None:
        self.registers = registers
        self.sizes = sizes

    def expr(self, expr: Expr) -> Expr:
        return rebuilt(expr, self.leaf, self.sizes)

    def leaf(self, expr: Expr) -> Expr:
        return self.registers.get(expr.index, expr) if isinstance(expr, Reg) else expr

    def operation(self, op: Op) -> Op | None:
        """An operation, simplified; None if it does nothing."""
        match op:
            case Set(reg, value):
                value = self.expr(value)
                self.registers.pop(reg, None)
                if isinstance(value, Const) or (isinstance(value, Load) and not value.place.index):
                    self.registers[reg] = value
                return Set(reg, value)
            case Store(place, value):
                place, value = rebuilt_place(place, self.leaf, self.sizes), self.expr(value)
                if value == Load(place) and not place.index:
                    return None
                changed = set(place.variables())
                for reg, found in list(self.registers.items()):
                    if isinstance(found, Load) and found.place.base in changed:
                        del self.registers[reg]
                return Store(place, value)
            case Guard(condition):
                return Guard(self.expr(condition))
            case Check(condition, failure):
                return Check(self.expr(condition), failure)
        return op
