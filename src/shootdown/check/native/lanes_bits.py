"""Expressions that are looked at bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shootdown.lang.bodies import simplify
from shootdown.lang.ir import Binary, Const, Expr, Load, Place, Select, Unary

ONE = Const(1)
LOGICAL = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "land", "lor"})


def rebuilt(expr: Expr, leaf: Callable[[Expr], Expr], sizes: Sequence[int] = ()) -> Expr:
    """An expression with ``leaf`` of each register and load put in, and simplified.

    Constant indices stay where they are: a load through one that is out of range gives 0. ``sizes``
    of the variables, if they are given, say what a load can be.
    """
    match expr:
        case Const():
            return expr
        case Load(place):
            return leaf(Load(rebuilt_place(place, leaf, sizes)) if place.index else expr)
        case Binary(op, left, right):
            return binary(op, rebuilt(left, leaf, sizes), rebuilt(right, leaf, sizes), sizes)
        case Unary(op, operand):
            return simplify(Unary(op, rebuilt(operand, leaf, sizes)))
        case Select(condition, then, orelse):
            parts = (rebuilt(part, leaf, sizes) for part in (condition, then, orelse))
            return simplify(Select(*parts))
        case _:
            return leaf(expr)


def rebuilt_place(place: Place, leaf: Callable[[Expr], Expr], sizes: Sequence[int] = ()) -> Place:
    """A place with its indices rebuilt."""
    if not place.index:
        return place
    index = tuple((rebuilt(expr, leaf, sizes), *shape) for expr, *shape in place.index)
    return Place(place.base, index)  # type: ignore[arg-type]


def binary(op: str, left: Expr, right: Expr, sizes: Sequence[int] = ()) -> Expr:
    """An operation, simplified."""
    if op in ("shl", "shr") and not (isinstance(right, Const) and 0 <= right.value < 64):
        return Binary(op, left, right)
    if op in ("and", "or", "xor", "land", "lor"):
        return bitwise(op, left, right, sizes)
    return simplify(Binary(op, left, right))


def bitwise(op: str, left: Expr, right: Expr, sizes: Sequence[int] = ()) -> Expr:
    """The same for an operation on bits."""
    if isinstance(left, Const):
        left, right = right, left
    if isinstance(right, Const) and not isinstance(left, Const):
        if right.value == 0:
            return right if op in ("and", "land") else left
        mask = possible(left, sizes)
        if op in ("and", "land") and mask >= 0 and mask & ~right.value == 0:
            return left
        if op in ("or", "lor") and mask >= 0 and mask & ~right.value == 0:
            return right
    return simplify(Binary(op, left, right))


def possible(expr: Expr, sizes: Sequence[int] = ()) -> int:
    """The bits that may be set; -1 if nothing is known."""
    match expr:
        case Const(value) if value >= 0:
            return value
        case Binary("and", left, right):
            return possible(left, sizes) & possible(right, sizes)
        case Binary("or" | "xor", left, right):
            return possible(left, sizes) | possible(right, sizes)
        case Binary("add", left, right):
            a, b = possible(left, sizes), possible(right, sizes)
            return a | b if a & b == 0 else -1
        case Binary("shl", left, Const(amount)) if 0 <= amount < 32:
            bits = possible(left, sizes)
            return bits << amount if 0 <= bits < 1 << 30 else -1
        case Binary(op) if op in LOGICAL:
            return 1
        case Unary("lnot"):
            return 1
        case Select(_, then, orelse):
            return possible(then, sizes) | possible(orelse, sizes)
        case Load(place) if sizes:
            return (1 << (sizes[next(place.variables())] - 1).bit_length()) - 1
    return -1


def bit_of(expr: Expr, i: int) -> Expr:
    """Bit ``i`` of an expression, looked for in the sums that :func:`number` makes."""
    mask = possible(expr)
    if not mask >> i & 1:
        return Const(0)
    match expr:
        case Binary("add", left, right) if possible(left) & possible(right) == 0:
            return bit_of(left if possible(left) >> i & 1 else right, i)
        case Binary("shl", left, Const(amount)) if 0 <= amount <= i:
            return bit_of(left, i - amount)
    return bitwise("and", expr if i == 0 else binary("shr", expr, Const(i)), ONE)


def number(bits: list[Expr]) -> Expr:
    """The number that some expressions, each 0 or 1, make. The bounds of a sum are known best."""
    total = bits[0]
    for i, bit in enumerate(bits[1:], 1):
        total = binary("add", total, binary("shl", bit, Const(i)))
    return total
