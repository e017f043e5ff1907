"""The leaf of a system: a few variables whose values are the *lanes* of a 64-bit word.

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

from shootdown.check.native.layout import Layout, resolve
from shootdown.lang.bodies import block_targets, body_loads, body_stores, expr_loads, simplify
from shootdown.lang.ir import (
    Binary,
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
    Place,
    Reg,
    Select,
    Set,
    Store,
    System,
    Terminator,
    Unary,
)
from shootdown.lang.prune import live_blocks

LANES = 64
_MOST_VARIANTS = 16  # bodies that one body becomes


@dataclass(frozen=True)
class Leaf:
    """Some variables, in order; a lane is ``sum(value * stride)`` over them."""

    variables: tuple[int, ...]
    sizes: tuple[int, ...]

    @staticmethod
    def of(system: System, variables: Sequence[int]) -> Leaf:
        """The leaf of these variables."""
        return Leaf(tuple(variables), tuple(system.variables[v].size for v in variables))

    @cached_property
    def strides(self) -> dict[int, int]:
        """How far two lanes are apart that differ by one in this variable."""
        strides, step = {}, 1
        for variable, size in zip(self.variables, self.sizes, strict=True):
            strides[variable] = step
            step *= size
        return strides

    @cached_property
    def size_of(self) -> dict[int, int]:
        """The size of each variable."""
        return dict(zip(self.variables, self.sizes, strict=True))

    @cached_property
    def lanes(self) -> int:
        """How many lanes there are."""
        return math.prod(self.sizes)

    def mask(self, variable: int, value: int) -> int:
        """The lanes in which a variable has a value."""
        stride, size = self.strides[variable], self.size_of[variable]
        return sum(1 << lane for lane in range(self.lanes) if lane // stride % size == value)

    def masks(self, values: Iterable[tuple[int, int]]) -> int:
        """The lanes in which variables have the values that are given."""
        result = (1 << self.lanes) - 1
        for variable, value in values:
            result &= self.mask(variable, value)
        return result

    def lane(self, values: Iterable[tuple[int, int]]) -> int:
        """The lane with these values, all others 0."""
        return sum(self.strides[variable] * value for variable, value in values)

    def values(self, lane: int) -> Iterator[tuple[int, int]]:
        """Variables and their values in a lane."""
        for variable in self.variables:
            yield variable, lane // self.strides[variable] % self.size_of[variable]

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


def variants(body: Body, leaf: Leaf) -> list[tuple[Body, Use]]:
    """Bodies that have the outcomes of this one between them, each once.

    Where a choice decides which variable of the leaf is meant, each of its values gets a body, if
    that does not make too much code.
    """
    whole = [(body, use_of(body, leaf))]
    found = [body]
    while True:
        split = [
            part for one in found for part in (_split(one) if _names_by_index(one, leaf) else [one])
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


def _names_by_index(body: Body, leaf: Leaf) -> bool:
    members = set(leaf.variables)
    return any(
        resolve(place)[1] and members.intersection(place.variables())
        for place in (*body_loads(body), *body_stores(body))
    )


def _split(body: Body) -> list[Body]:
    """One body for each value of the first choice."""
    for number in body.order():
        end = body.blocks[number].end
        if isinstance(end, Choice):
            return [_taking(body, number, end, i) for i in range(end.width)]
    return [body]


def _taking(body: Body, number: int, choice: Choice, value: int) -> Body:
    """The ways that take a value at a choice, and for the first value those that avoid it.

    The blocks are there twice: up to the choice, and after it.
    """
    count = len(body.blocks)
    before, after = [], []
    for index, block in enumerate(body.blocks):
        if index == number:
            allowed = Binary("and", Binary("shr", choice.mask, Const(value)), Const(1))
            ops = (*block.ops, Guard(allowed), Set(choice.reg, Const(value)))
            before.append(Block(ops, Jump(choice.target + count)))
        elif isinstance(block.end, Done) and value > 0:
            before.append(Block((*block.ops, Guard(Const(0))), Done()))
        else:
            before.append(block)
        after.append(Block(block.ops, _moved(block.end, count)))
    return live_blocks(_folded(live_blocks(Body((*before, *after), body.registers))))


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


# --------------------------------------------------------------------------- constants


def _folded(body: Body) -> Body:
    """The same body with the registers that are constant at a place put in there.

    (``lang.prune`` does that for registers that are set once; an index that is out of range has to
    stay as it is here, for a load through it gives 0.)
    """
    known: dict[int, dict[int, Expr]] = {0: {r: Const(0) for r in range(body.registers)}}
    blocks = list(body.blocks)
    for number in body.order():
        if number not in known:
            continue  # only a branch that is decided leads there
        registers = dict(known[number])
        ops: list[Op] = []
        for op in body.blocks[number].ops:
            match op:
                case Set(reg, value):
                    value = _put(value, registers)
                    ops.append(Set(reg, value))
                    registers.pop(reg, None)
                    if isinstance(value, Const):
                        registers[reg] = value
                case Store(place, value):
                    ops.append(Store(_place(place, registers), _put(value, registers)))
                case Guard(condition):
                    ops.append(Guard(_put(condition, registers)))
                case Check(condition, failure):
                    ops.append(Check(_put(condition, registers), failure))
                case _:
                    ops.append(op)
        end = body.blocks[number].end
        match end:
            case Branch(condition, then, orelse):
                condition = _put(condition, registers)
                end = Branch(condition, then, orelse)
                if isinstance(condition, Const):
                    end = Jump(then if condition.value else orelse)
            case Choice(reg, mask, width, target):
                end = Choice(reg, _put(mask, registers), width, target)
                registers.pop(reg, None)
        blocks[number] = Block(tuple(ops), end)
        for target in block_targets(blocks[number]):
            old = known.get(target, registers)
            known[target] = dict(registers.items() & old.items()) if old != registers else old
    return Body(tuple(blocks), body.registers)


def _put(expr: Expr, registers: dict[int, Expr]) -> Expr:
    match expr:
        case Reg(index):
            return registers.get(index, expr)
        case Load(place):
            return Load(_place(place, registers))
        case Binary(op, left, right):
            left, right = _put(left, registers), _put(right, registers)
            whole = Binary(op, left, right)
            odd = op in ("shl", "shr") and not (isinstance(right, Const) and 0 <= right.value < 64)
            return whole if odd else simplify(whole)
        case Unary(op, operand):
            return simplify(Unary(op, _put(operand, registers)))
        case Select(condition, then, orelse):
            parts = (_put(part, registers) for part in (condition, then, orelse))
            return simplify(Select(*parts))
        case _:
            return expr


def _place(place: Place, registers: dict[int, Expr]) -> Place:
    index = tuple((_put(expr, registers), stride, extent) for expr, stride, extent in place.index)
    return Place(place.base, index)
