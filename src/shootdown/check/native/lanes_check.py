"""Properties of many lanes at once: bit by bit, without branches.

The body of a property has no choices and writes nothing, so all its blocks are written one after
the other, each for the lanes that get there. A value that depends on the lane is a list of cases:
lanes, and the value that they have; the lanes of different cases are different.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeAlias

from shootdown.check.native.expressions import Env
from shootdown.check.native.lanes_sets import SetWriter
from shootdown.check.native.layout import resolve
from shootdown.check.native.values import (
    ARITHMETIC,
    COMPARISON,
    ZERO,
    Value,
    constant,
    known,
)
from shootdown.lang.bodies import expr_loads, expr_regs
from shootdown.lang.ir import (
    Binary,
    Block,
    Body,
    Branch,
    Check,
    Const,
    Cover,
    Done,
    Expr,
    Guard,
    Jump,
    Load,
    Note,
    Place,
    Reg,
    Select,
    Set,
    Unary,
)

Cases: TypeAlias = tuple[tuple[str, Value], ...]

_MOST_CASES = 16
ONE = constant(1)


class TooManyCasesError(Exception):
    """A value that is different in too many lanes."""


class SlicedProperty:
    """The text that evaluates one property; ``fail`` writes what happens at a failed check."""

    def __init__(
        self, sets: SetWriter, lanes: str, words: list[str], fail: Callable[[int], None]
    ) -> None:
        self.sets = sets
        self.lanes = lanes
        self.writer = sets.writer
        self.leaf = sets.leaf
        self.members = set(sets.leaf.variables)
        self.words = words
        self.fail = fail
        self.registers: list[Cases] = []

    def where(self, body: Body) -> str:
        """The lanes in which the property holds; lanes that are not at hand may be among them."""
        edges: dict[int, list[tuple[str, list[Cases]]]] = {}
        good = self.sets.none
        zero: Cases = ((self.sets.all, ZERO),)
        for number in body.order():
            if number == 0:
                lanes, self.registers = self.lanes, [zero] * max(1, body.registers)
            else:
                lanes = self.enter(edges[number])
            block = body.blocks[number]
            self.operations(block, lanes)
            match block.end:
                case Jump(target):
                    edges.setdefault(target, []).append((lanes, self.registers[:]))
                case Branch(condition, then, orelse):
                    true = self.truth(condition)
                    yes, no = (
                        self.sets.both(lanes, true),
                        self.sets.both(lanes, self.sets.negated(true)),
                    )
                    edges.setdefault(then, []).append((yes, self.registers[:]))
                    edges.setdefault(orelse, []).append((no, self.registers[:]))
                case Done():
                    good = self.sets.either(good, self.sets.both(lanes, self.truth(Reg(0))))
                case _:
                    raise TooManyCasesError
        return good

    def enter(self, edges: list[tuple[str, list[Cases]]]) -> str:
        """Begin a block: the lanes that get there."""
        lanes = self.sets.none
        for part, _ in edges:
            lanes = self.sets.either(lanes, part)
        self.registers = []
        for values in zip(*(registers for _, registers in edges), strict=True):
            if all(value == values[0] for value in values):
                self.registers.append(values[0])
            else:
                parts = [
                    (self.sets.both(part, mask), value)
                    for (part, _), cases in zip(edges, values, strict=True)
                    for mask, value in cases
                ]
                self.registers.append(self.merged(parts))
        return lanes

    def operations(self, block: Block, lanes: str) -> None:
        writer = self.writer
        for op in block.ops:
            match op:
                case Set(reg, value):
                    self.registers[reg] = self.value(value)
                case Check(condition, failure):
                    go_on, stop = writer.fresh("passed"), writer.fresh("failed")
                    bad = self.sets.without(lanes, self.truth(condition))
                    writer.branch(self.sets.any(bad), stop, go_on)
                    writer.label(stop)
                    self.fail(failure)
                    writer.label(go_on)
                case Cover(line):
                    some = self.sets.any(lanes)
                    byte = writer.pure(f"zext i1 {some} to i8")
                    address = writer.pure(f"getelementptr i8, ptr %cover, i64 {line}")
                    old = writer.new(f"load i8, ptr {address}")
                    writer.do(f"store i8 {writer.new(f'or i8 {old}, {byte}')}, ptr {address}")
                case Note():
                    pass
                case Guard() | _:
                    raise TooManyCasesError

    # ------------------------------------------------------------------------ expressions

    def uniform(self, expr: Expr) -> bool:
        """Whether all lanes have the same value."""
        return all(len(self.registers[r]) == 1 for r in expr_regs(expr)) and not any(
            self.members.intersection(place.variables()) for place in expr_loads(expr)
        )

    def env(self, more: Sequence[Value] = ()) -> Env:
        """For the writer: registers that differ between lanes are not looked at."""
        return Env(self.words, [*(cases[0][1] for cases in self.registers), *more])

    def merged(self, parts: Sequence[tuple[str, Value]]) -> Cases:
        """Cases with the same value put together."""
        found: dict[str, tuple[str, Value]] = {}
        for mask, value in parts:
            if mask == self.sets.none:
                continue
            old, other = found.get(value.text, (self.sets.none, value))
            bounds = min(value.low, other.low), max(value.high, other.high)
            found[value.text] = self.sets.either(old, mask), Value(value.text, *bounds)
        if len(found) > _MOST_CASES:
            raise TooManyCasesError
        if len(found) == 1:
            (_, value) = next(iter(found.values()))
            return ((self.sets.all, value),)
        return tuple(found.values()) or ((self.sets.all, ZERO),)

    def value(self, expr: Expr) -> Cases:
        """The cases of a number."""
        writer = self.writer
        if self.uniform(expr):
            return ((self.sets.all, writer.value(expr, self.env())),)
        match expr:
            case Reg(index):
                return self.registers[index]
            case Load(place):
                return self.load(place)
            case Binary(op, left, right) if op in ARITHMETIC:
                return self.merged(
                    [
                        (self.sets.both(m, n), writer.arithmetic(op, a, b))
                        for m, a in self.value(left)
                        for n, b in self.value(right)
                        if self.sets.both(m, n) != self.sets.none
                    ]
                )
            case Unary("neg", operand):
                return self.merged(
                    [(m, writer.arithmetic("sub", ZERO, v)) for m, v in self.value(operand)]
                )
            case Unary("popcount", operand):
                return self.merged([(m, self.popcount(v)) for m, v in self.value(operand)])
            case Select(condition, then, orelse):
                true = self.truth(condition)
                return self.merged(
                    [
                        *((self.sets.both(true, m), v) for m, v in self.value(then)),
                        *(
                            (self.sets.both(self.sets.negated(true), m), v)
                            for m, v in self.value(orelse)
                        ),
                    ]
                )
            case _:
                true = self.truth(expr)
                return self.merged([(true, ONE), (self.sets.negated(true), ZERO)])

    def popcount(self, value: Value) -> Value:
        number = known(value.text)
        if number is not None and number >= 0:
            return constant(number.bit_count())
        text = self.writer.pure(f"call i64 @llvm.ctpop.i64(i64 {value.text})")
        return Value(text, 0, 64)

    def truth(self, expr: Expr) -> str:
        """The lanes in which an expression is not 0."""
        writer = self.writer
        if self.uniform(expr):
            return self.sets.spread(writer.condition(expr, self.env()))
        match expr:
            case Binary("land", left, right):
                return self.sets.both(self.truth(left), self.truth(right))
            case Binary("lor", left, right):
                return self.sets.either(self.truth(left), self.truth(right))
            case Unary("lnot", operand):
                return self.sets.negated(self.truth(operand))
            case Binary(op, left, right) if op in COMPARISON:
                result = self.sets.none
                for m, a in self.value(left):
                    for n, b in self.value(right):
                        lanes = self.sets.both(m, n)
                        if lanes != self.sets.none:
                            true = self.sets.spread(writer.compare(op, a, b))
                            result = self.sets.either(result, self.sets.both(lanes, true))
                return result
            case _:
                result = self.sets.none
                for m, v in self.value(expr):
                    true = self.sets.spread(writer.compare("ne", v, ZERO))
                    result = self.sets.either(result, self.sets.both(m, true))
                return result

    # ------------------------------------------------------------------------ places

    def load(self, place: Place) -> Cases:
        """The value of a place that names the leaf, or whose index depends on the lane."""
        indices = [self.value(expr) for expr, _, _ in place.index]
        parts: list[tuple[str, Value]] = []
        for combination in product(*indices):
            lanes = self.sets.all
            for mask, _ in combination:
                lanes = self.sets.both(lanes, mask)
            if lanes != self.sets.none:
                steps = [value for _, value in combination]
                parts += [(self.sets.both(lanes, m), v) for m, v in self.element(place, steps)]
        return self.merged(parts)

    def element(self, place: Place, steps: Sequence[Value]) -> Cases:
        """The element of an array that all lanes mean."""
        index = tuple(
            (Reg(len(self.registers) + i) if (n := known(step.text)) is None else Const(n), *rest)
            for i, (step, (_, *rest)) in enumerate(zip(steps, place.index, strict=True))
        )
        place = Place(place.base, index)  # type: ignore[arg-type]
        base, dimensions = resolve(place)
        if base is None:
            return ((self.sets.all, ZERO),)
        named = list(place.variables())
        if not self.members.intersection(named):
            return ((self.sets.all, self.writer.load(place, self.env(steps))),)
        if not dimensions:
            return self.leaf_value(base)
        if len(named) > _MOST_CASES:
            raise TooManyCasesError
        writer = self.writer
        parts: list[tuple[str, Value]] = []
        outside = self.sets.all
        spans = [range(extent) for _, _, extent in dimensions]
        for numbers in product(*spans):
            here, variable = self.sets.all, base
            for (expr, stride, _), number in zip(dimensions, numbers, strict=True):
                value = writer.value(expr, self.env(steps))
                here = self.sets.both(
                    here, self.sets.spread(writer.compare("eq", value, constant(number)))
                )
                variable += number * stride
            outside = self.sets.both(outside, self.sets.negated(here))
            if variable in self.members:
                cases = self.leaf_value(variable)
            else:
                cases = ((self.sets.all, writer.load(Place(variable), self.env())),)
            parts += [(self.sets.both(here, m), v) for m, v in cases]
        return self.merged([*parts, (outside, ZERO)])

    def leaf_value(self, variable: int) -> Cases:
        return tuple(
            (self.sets.constant(self.leaf.mask(variable, value)), constant(value))
            for value in range(self.leaf.size_of[variable])
        )
