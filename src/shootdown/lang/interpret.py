"""What a body means: ``lang.ir`` made executable, one way through a body at a time.

The reference engine is a search over this; the compiler uses it to build initial states.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

from shootdown.lang.ir import (
    Binary,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Cover,
    Done,
    Expr,
    Guard,
    Jump,
    Load,
    Note,
    NoteKind,
    Place,
    Reg,
    Select,
    Set,
    Store,
    Unary,
)

State: TypeAlias = tuple[int, ...]


@dataclass(slots=True)
class Way:
    """A way through a body: its working copy of the state, its registers, what it met so far."""

    state: list[int]
    registers: list[int]
    notes: list[tuple[NoteKind, str]]
    covered: list[int]
    abandoned: bool = False
    failure: int | None = None

    def copy(self) -> Way:
        return Way(self.state[:], self.registers[:], self.notes[:], self.covered[:])


def ways(body: Body, state: State, notes: bool) -> Iterator[Way]:
    """All ways through a body, in order."""
    yield from _follow(body, 0, Way(list(state), [0] * max(1, body.registers), [], []), notes)


def _follow(body: Body, number: int, way: Way, notes: bool) -> Iterator[Way]:
    while True:
        block = body.blocks[number]
        for op in block.ops:
            # `type() is`: see value_of()
            if type(op) is Cover:
                way.covered.append(op.line)
            elif type(op) is Set:
                way.registers[op.reg] = value_of(op.value, way)
            elif type(op) is Store:
                way.state[_writable(op.place, way)] = value_of(op.value, way)
            elif type(op) is Guard:
                way.abandoned = not value_of(op.condition, way)
            elif type(op) is Check:
                way.failure = None if value_of(op.condition, way) else op.failure
            elif type(op) is Note and notes:
                way.notes.append((op.kind, _render(op, way)))
            if way.abandoned or way.failure is not None:
                yield way
                return
        match block.end:
            case Jump(target):
                number = target
            case Branch(condition, then, orelse):
                number = then if value_of(condition, way) else orelse
            case Choice(reg, mask, width, target):
                allowed = value_of(mask, way)
                for i in range(width):
                    if allowed >> i & 1:
                        branch = way.copy()
                        branch.registers[reg] = i
                        yield from _follow(body, target, branch, notes)
                if not allowed & (1 << width) - 1:
                    way.abandoned = True  # nothing to choose: its lines are covered all the same
                    yield way
                return
            case Done():
                yield way
                return


def _render(note: Note, way: Way) -> str:
    shown = [cast(Callable[[int], str], s.show)(value_of(s.value, way)) for s in note.values]
    return note.template.format(*shown)


# --------------------------------------------------------------------------- expressions

_BINARY: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "shl": operator.lshift,
    "shr": operator.rshift,
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
    "lt": lambda a, b: int(a < b),
    "le": lambda a, b: int(a <= b),
    "gt": lambda a, b: int(a > b),
    "ge": lambda a, b: int(a >= b),
    "land": operator.and_,
    "lor": operator.or_,
    "min": min,
    "max": max,
}

_UNARY: dict[str, Callable[[int], int]] = {
    "neg": operator.neg,
    "lnot": lambda a: 1 - a,
    "popcount": int.bit_count,
}


def value_of(expr: Expr, way: Way) -> int:
    """The value of an expression where a way has come to."""
    # a search does hardly anything else, and a pattern takes three times as long as `type() is`
    if type(expr) is Binary:
        return _BINARY[expr.op](value_of(expr.left, way), value_of(expr.right, way))
    if type(expr) is Const:
        return expr.value
    if type(expr) is Reg:
        return way.registers[expr.index]
    if type(expr) is Load:
        number = _variable(expr.place, way)
        return 0 if number is None else way.state[number]
    if type(expr) is Select:
        return value_of(expr.then if value_of(expr.condition, way) else expr.orelse, way)
    assert type(expr) is Unary
    return _UNARY[expr.op](value_of(expr.operand, way))


def _variable(place: Place, way: Way) -> int | None:
    """The variable that a place names now; None where an index is outside its extent."""
    number = place.base
    for expr, stride, extent in place.index:
        step = value_of(expr, way)
        if not 0 <= step < extent:
            return None
        number += step * stride
    return number


def _writable(place: Place, way: Way) -> int:
    number = _variable(place, way)
    assert number is not None, f"store outside the extent of {place}: the compiler must check"
    return number
