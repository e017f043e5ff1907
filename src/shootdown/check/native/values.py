"""Operands of the generated code and the bounds that are known of them.

Bounds spare tests that cannot fail: whether an index is inside its array, a value fits its bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


class Value(NamedTuple):
    """An operand of type i64 and the bounds that are known of it."""

    text: str
    low: int = _LOWEST
    high: int = _HIGHEST

    def within(self, low: int, high: int) -> bool:
        """Whether it is known to lie between two numbers."""
        return low <= self.low and self.high <= high


def constant(number: int) -> Value:
    """A known number."""
    return Value(str(number), number, number)


def bounded(text: str, low: int, high: int) -> Value:
    """A value with computed bounds, which are useless if they leave 64 bits."""
    return Value(text, low, high) if low >= _LOWEST and high <= _HIGHEST else Value(text)


ZERO = constant(0)
"""The number 0."""


def known(text: str) -> int | None:
    """The number that an operand is, if it is written as one."""
    return int(text) if text.lstrip("-").isdigit() else None


def signed(number: int) -> str:
    """A 64-bit pattern as LLVM writes it."""
    return str((number + (1 << 63)) % (1 << 64) - (1 << 63))


# --------------------------------------------------------------------------- bounds


COMPARISON: dict[str, str] = {
    "eq": "eq",
    "ne": "ne",
    "lt": "slt",
    "le": "sle",
    "gt": "sgt",
    "ge": "sge",
}

_Bounds = tuple[int, int]


def _corners(op: Callable[[int, int], int]) -> Callable[[Value, Value], _Bounds]:
    """Bounds of an operation that is monotone in each operand."""

    def bounds(a: Value, b: Value) -> _Bounds:
        results = [op(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        return min(results), max(results)

    return bounds


def _bitwise(op: Callable[[int, int], int]) -> Callable[[Value, Value], _Bounds]:
    def bounds(a: Value, b: Value) -> _Bounds:
        if a.low == a.high and b.low == b.high:
            return op(a.low, b.low), op(a.low, b.low)
        if a.low < 0 or b.low < 0:
            return _LOWEST, _HIGHEST
        return 0, (1 << max(a.high, b.high).bit_length()) - 1

    return bounds


def _shift(op: Callable[[int, int], int]) -> Callable[[Value, Value], _Bounds]:
    def bounds(a: Value, b: Value) -> _Bounds:
        return _corners(op)(a, b) if b.within(0, 63) else (_LOWEST, _HIGHEST)

    return bounds


def _rest(a: Value, b: Value) -> _Bounds:
    if a.low == a.high:
        return a.low % b.low, a.low % b.low
    return 0, b.low - 1


ARITHMETIC: dict[str, Callable[[Value, Value], _Bounds]] = {
    "add": _corners(lambda x, y: x + y),
    "sub": _corners(lambda x, y: x - y),
    "mul": _corners(lambda x, y: x * y),
    "floordiv": _corners(lambda x, y: x // y),
    "mod": _rest,
    "and": _bitwise(lambda x, y: x & y),
    "or": _bitwise(lambda x, y: x | y),
    "xor": _bitwise(lambda x, y: x ^ y),
    "shl": _shift(lambda x, y: x << y),
    "shr": _shift(lambda x, y: x >> y),
    "min": lambda a, b: (min(a.low, b.low), min(a.high, b.high)),
    "max": lambda a, b: (max(a.low, b.low), max(a.high, b.high)),
}
