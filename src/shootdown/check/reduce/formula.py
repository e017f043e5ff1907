"""A property as a formula of small parts.

The diagram of "for all CPUs and pages" may be large where those of its parts are small. A swap that
only exchanges the parts keeps the formula; so the parts are compared, as sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from shootdown.check.reduce.bdd import Function
from shootdown.lang.bodies import map_expr
from shootdown.lang.ir import Binary, Body, Check, Const, Done, Expr, Reg, Set, Unary

Formula: TypeAlias = tuple[str, object]
"""What joins the parts, and their set; or ``"is"`` and the diagram of a part."""

_LONGEST = 20_000  # parts of an expression with its registers replaced


def answer_of(body: Body) -> Expr | None:
    """What a property answers, as one expression over the state; ``None`` if its body has branches
    or checks, or if the expression is too long."""
    block = body.blocks[0]
    if not isinstance(block.end, Done) or any(isinstance(op, Check) for op in block.ops):
        return None
    registers: dict[int, Expr] = {}
    lengths: dict[int, int] = {}
    for op in block.ops:
        if isinstance(op, Set):
            length = 0

            def replaced(expr: Expr) -> Expr:
                nonlocal length
                length += lengths.get(expr.index, 1) if isinstance(expr, Reg) else 1
                return registers.get(expr.index, Const(0)) if isinstance(expr, Reg) else expr

            value = map_expr(op.value, replaced)
            if length > _LONGEST:
                return None
            registers[op.reg], lengths[op.reg] = value, length
    return registers.get(0, Const(0))


def formula_of(expr: Expr, part: Callable[[Expr], Function]) -> Formula:
    """The formula of a truth value; ``part`` gives the diagram of what is no ``and``, ``or`` or
    ``not``."""
    match expr:
        case Binary(("land" | "lor") as op, _, _):
            return op, frozenset(formula_of(e, part) for e in _operands(expr, op))
        case Unary("lnot", operand):
            return "lnot", formula_of(operand, part)
    return "is", part(expr)


def _operands(expr: Expr, op: str) -> list[Expr]:
    """What an operator joins, without its brackets."""
    found, stack = [], [expr]
    while stack:
        here = stack.pop()
        if isinstance(here, Binary) and here.op == op:
            stack += [here.right, here.left]
        else:
            found.append(here)
    return found
