"""What a body does, as functions of the state before: for all states at once.

A body becomes *one* outcome that depends on the state and on what is chosen: where it is enabled,
where it fails and how, and the value of each variable afterwards, as decision diagrams. Two bodies
that do the same have the same diagrams, whatever they look like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from shootdown.check.reduce.bdd import FALSE, TRUE, ZERO, Diagrams, Function, Vector
from shootdown.lang.ir import (
    Binary,
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
    Place,
    Reg,
    Select,
    Set,
    Store,
    Unary,
)

WIDEST = 10  # bits of what may be divided, or tell how far to shift


class UnknownError(Exception):
    """A computation that is not followed."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a body does. ``after`` has the variables that it may change, ``registers`` the value of
    register 0 (the answer of a property). Choices that are not met count as 0."""

    enabled: Function
    failures: Mapping[int, Function]
    after: Mapping[int, Vector]
    answer: Vector


@dataclass(slots=True)
class _Here:
    """What is known at a place in a body: under which condition one gets there, and with what."""

    reached: Function
    variables: dict[int, Vector]
    registers: dict[int, Vector]
    choices: frozenset[int]


class Symbolic:
    """Runs bodies on a state given by ``before`` (a function of the variable), with ``choices[k]``
    for what the choice in block ``k`` gives. A way that does not meet the choice has 0 for
    ``unmet[k]``, the same as ``choices[k]`` if not given, so that it is one outcome, not several.
    """

    def __init__(
        self,
        diagrams: Diagrams,
        before: Callable[[int], Vector],
        choices: Mapping[int, Vector],
        unmet: Mapping[int, Vector] | None = None,
    ) -> None:
        self.diagrams = diagrams
        self.before = before
        self.choices = choices
        self.unmet = {
            number: diagrams.no(diagrams.nonzero(chosen))
            for number, chosen in (choices if unmet is None else unmet).items()
        }

    def run(self, body: Body) -> Meaning:
        """What the body does."""
        d = self.diagrams
        arriving: dict[int, list[_Here]] = {0: [_Here(TRUE, {}, {}, frozenset())]}
        finished: list[_Here] = []
        failures: dict[int, Function] = {}
        for number in body.order():
            here = self._meet(arriving.pop(number, []))
            if here.reached == FALSE:
                continue
            block = body.blocks[number]
            for op in block.ops:
                match op:
                    case Set(reg, value):
                        here.registers[reg] = self.value(value, here)
                    case Store(place, value):
                        self._store(place, self.value(value, here), here)
                    case Guard(condition):
                        here.reached = d.both(here.reached, self.truth(condition, here))
                    case Check(condition, failure):
                        holds = self.truth(condition, here)
                        wrong = d.both(here.reached, d.no(holds))
                        wrong = d.both(wrong, self._unmet(here))
                        failures[failure] = d.either(failures.get(failure, FALSE), wrong)
                        here.reached = d.both(here.reached, holds)
            match block.end:
                case Jump(target):
                    arriving.setdefault(target, []).append(here)
                case Branch(condition, then, orelse):
                    holds = self.truth(condition, here)
                    for target, taken in ((then, holds), (orelse, d.no(holds))):
                        way = _copy(here, d.both(here.reached, taken))
                        arriving.setdefault(target, []).append(way)
                case Choice(reg, mask, width, target):
                    chosen = self.choices[number]
                    allowed = self.value(mask, here)
                    possible = FALSE
                    for i in range(width):
                        this = d.equal(chosen, d.constant(i))
                        possible = d.either(possible, d.both(this, d.bit(allowed, i)))
                    way = _copy(here, d.both(here.reached, possible))
                    way.registers[reg] = chosen
                    way.choices |= {number}
                    arriving.setdefault(target, []).append(way)
                case Done():
                    here.reached = d.both(here.reached, self._unmet(here))
                    finished.append(here)
        end = self._meet(finished)
        answer = end.registers.get(0, ZERO)
        return Meaning(end.reached, failures, end.variables, answer)

    def _unmet(self, here: _Here) -> Function:
        """That choices which a way has not met are 0."""
        result = TRUE
        for number, zero in self.unmet.items():
            if number not in here.choices:
                result = self.diagrams.both(result, zero)
        return result

    def _meet(self, ways: list[_Here]) -> _Here:
        """Several ways together."""
        d = self.diagrams
        ways = [way for way in ways if way.reached != FALSE]
        if not ways:
            return _Here(FALSE, {}, {}, frozenset())
        met = frozenset[int]().union(*(way.choices for way in ways))
        for way in ways:
            for number in met - way.choices:
                way.reached = d.both(way.reached, self.unmet[number])
        result = ways[0]
        result.choices = met
        for way in ways[1:]:
            for number in way.variables.keys() | result.variables.keys():
                a, b = self._variable(number, way), self._variable(number, result)
                result.variables[number] = a if a == b else d.choose(way.reached, a, b)
            for reg in way.registers.keys() | result.registers.keys():
                a, b = way.registers.get(reg, ZERO), result.registers.get(reg, ZERO)
                result.registers[reg] = a if a == b else d.choose(way.reached, a, b)
            result.reached = d.either(result.reached, way.reached)
        return result

    # ------------------------------------------------------------------ places

    def _variable(self, number: int, here: _Here) -> Vector:
        found = here.variables.get(number)
        return self.before(number) if found is None else found

    def _elements(self, place: Place, here: _Here) -> list[tuple[int, Function]]:
        """The variables that a place can name, and when it does."""
        d = self.diagrams
        ways = []
        for expr, stride, extent in place.index:
            index = self.value(expr, here)
            ways.append(
                [
                    (i * stride, when)
                    for i in range(extent)
                    if (when := d.equal(index, d.constant(i))) != FALSE
                ]
            )
        found = []
        for way in product(*ways):
            number, when = place.base, TRUE
            for step, condition in way:
                number += step
                when = d.both(when, condition)
            if when != FALSE:
                found.append((number, when))
        return found

    def _load(self, place: Place, here: _Here) -> Vector:
        result = ZERO
        for number, when in self._elements(place, here):
            result = self.diagrams.choose(when, self._variable(number, here), result)
        return result

    def _store(self, place: Place, value: Vector, here: _Here) -> None:
        for number, when in self._elements(place, here):
            old = self._variable(number, here)
            here.variables[number] = self.diagrams.choose(when, value, old)

    # ------------------------------------------------------------------ expressions

    def holds(self, expr: Expr) -> Function:
        """Whether an expression over the state before is not 0."""
        return self.truth(expr, _Here(TRUE, {}, {}, frozenset()))

    def truth(self, expr: Expr, here: _Here) -> Function:
        """Whether an expression is not 0."""
        return self.diagrams.nonzero(self.value(expr, here))

    def value(self, expr: Expr, here: _Here) -> Vector:
        """The value of an expression."""
        d = self.diagrams
        match expr:
            case Const(value):
                return d.constant(value)
            case Reg(index):
                return here.registers.get(index, ZERO)
            case Load(place):
                return self._load(place, here)
            case Select(condition, then, orelse):
                chosen = self.truth(condition, here)
                return d.choose(chosen, self.value(then, here), self.value(orelse, here))
            case Unary("neg", operand):
                return d.subtract(ZERO, self.value(operand, here))
            case Unary("lnot", operand):
                return d.subtract(d.constant(1), self.value(operand, here))
            case Unary("popcount", operand):
                return d.popcount(self.value(operand, here))
            case Binary(op, left, right):
                return self.binary(op, self.value(left, here), self.value(right, here))
        raise UnknownError(str(expr))

    def binary(self, op: str, a: Vector, b: Vector) -> Vector:
        """The value of a binary operator."""
        d = self.diagrams
        match op:
            case "add":
                return d.add(a, b)
            case "sub":
                return d.subtract(a, b)
            case "mul":
                return d.multiply(a, b)
            case "and" | "land":
                return d.each(d.both, a, b)
            case "or" | "lor":
                return d.each(d.either, a, b)
            case "xor":
                return d.each(d.differ, a, b)
            case "shl" | "shr":
                return self._shifted(op == "shl", a, b)
            case "floordiv" | "mod":
                return self._divided(op == "mod", a, b)
            case "min":
                return d.choose(d.less(b, a), b, a)
            case "max":
                return d.choose(d.less(a, b), b, a)
        holds = {
            "eq": lambda: d.equal(a, b),
            "ne": lambda: d.no(d.equal(a, b)),
            "lt": lambda: d.less(a, b),
            "le": lambda: d.no(d.less(b, a)),
            "gt": lambda: d.less(b, a),
            "ge": lambda: d.no(d.less(a, b)),
        }[op]()
        return d.short([holds, FALSE])

    def _shifted(self, left: bool, a: Vector, b: Vector) -> Vector:
        d = self.diagrams
        result = ZERO
        for amount in self._values(b, 0, 63):
            moved = d.short((FALSE,) * amount + a) if left else (a[amount:] or a[-1:])
            result = d.choose(d.equal(b, d.constant(amount)), moved, result)
        return result

    def _divided(self, rest: bool, a: Vector, b: Vector) -> Vector:
        d = self.diagrams
        divisors = self._values(b, 1, 1 << WIDEST)
        if len(divisors) != 1:
            raise UnknownError("division by what is not known")
        (divisor,) = divisors
        if len(a) > WIDEST:
            raise UnknownError("division of a wide value")
        result = ZERO
        for value in self._values(a, -(1 << len(a)), 1 << len(a)):
            part = value % divisor if rest else value // divisor
            result = d.choose(d.equal(a, d.constant(value)), d.constant(part), result)
        return result

    def _values(self, a: Vector, low: int, high: int) -> list[int]:
        """The values from ``low`` to ``high`` that an integer can have."""
        d = self.diagrams
        if all(bit in (FALSE, TRUE) for bit in a):
            value = sum(bit << i for i, bit in enumerate(a[:-1])) - (a[-1] << len(a) - 1)
            return [value] if low <= value <= high else []
        if len(a) > WIDEST:
            raise UnknownError("a wide value as a number of places")
        low, high = max(low, -(1 << len(a) - 1)), min(high, (1 << len(a) - 1) - 1)
        return [v for v in range(low, high + 1) if d.equal(a, d.constant(v)) != FALSE]


def choices_of(body: Body) -> list[tuple[int, int]]:
    """The choices of a body in order: the number of the block, and the width."""
    found = []
    for number in body.order():
        end = body.blocks[number].end
        if isinstance(end, Choice):
            found.append((number, end.width))
    return found


def _copy(here: _Here, reached: Function) -> _Here:
    return _Here(reached, dict(here.variables), dict(here.registers), here.choices)
