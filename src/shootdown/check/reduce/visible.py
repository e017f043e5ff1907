"""What invariants and goals look at, in parts.

An invariant that is ``a and b`` is two: it is broken where one of them is. A goal that is ``a or
b`` is two as well, and one that is ``c and (a or b)``, which is ``c and a or c and b``. Each of
these is a *root*; its own parts follow it. A *factor* is a part that has to show for its root to
show: ``c`` in ``c and a``. While nobody changes a factor that does not show, the root does not.
Before its roots stands the *whole*, the invariant or goal itself: where that shows, or is what it
was before, they need not be looked at.

``sets`` and ``clears`` of a root say how a step may make the root *show*: an invariant false, a
goal true. A step that sets no cell of ``sets`` and clears none of ``clears`` does not. (In
``(x & 4) == 0`` only setting bit 2 makes it false: what is called unate in circuits.) So of all
that an effect may do, the most for showing is known: all of the one and none of the other. Where
the root does not show even then (:meth:`Part.corner`), it does not show after the effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.reduce.cells import Cells, Effect
from shootdown.check.reduce.flow import Flow, known, values_of_property
from shootdown.lang.ir import Binary, Const, Expr, Load, Place, Reg, Select, Unary

MOST_ROOTS = 64  # that the parts of a property are combined to

EVERY = -1
"""All cells."""


@dataclass(slots=True)
class Part:
    """A part of an invariant or goal. Its own parts follow it, up to ``skip``.

    ``cells`` are what its value depends on. Without an expression it is not known as a whole, but
    its parts are. ``harmless`` says which change is none that matters: 1 from false to true, -1
    from true to false, 0 none.
    """

    expr: Expr | None
    cells: int
    harmless: int
    root: bool = False
    factor: bool = False
    whole: bool = False
    sets: int = EVERY
    clears: int = EVERY
    skip: int = 0

    @property
    def is_goal(self) -> bool:
        """Whether this is a goal as a whole, one without checks."""
        return self.whole and self.harmless > 0

    def differs(self, before: int, after: int) -> bool:
        """Whether a change of the value matters."""
        if self.harmless == 0:
            return before != after
        return (before == 0) != (after == 0) and (after != 0) != (self.harmless > 0)

    def shows(self, value: int) -> bool:
        """Whether a root shows where it has this value."""
        return (value != 0) == (self.harmless > 0)

    def may_show(self, effect: Effect, now: int) -> bool:
        """Whether a root may show after an effect, where it does not show before and the cells
        ``now`` are 1."""
        sets, clears = (effect.ones | effect.any) & ~now, (effect.zeros | effect.any) & now
        return bool(self.sets & sets | self.clears & clears)

    def corner(self, effect: Effect, now: int, most: bool) -> int | None:
        """The cells that are 1 where a root shows if it does anywhere after an effect (``most``),
        or where it does only if it does everywhere, the cells ``now`` being 1 before it.

        None where there is no such place: some cell may be set and may be cleared, and either may
        make the root show.
        """
        sets, clears = (effect.ones | effect.any) & ~now, (effect.zeros | effect.any) & now
        if self.sets & self.clears & self.cells & (sets | clears):
            return None
        if most:
            return (now | self.sets & sets) & ~(self.clears & clears)
        return (now | self.clears & sets) & ~(self.sets & clears)


def parts_of(flow: Flow) -> list[Part]:
    """What invariants and goals look at."""
    out: list[Part] = []

    def add(expr: Expr, harmless: int, factor: bool = False) -> Part | None:
        cells = flow.cells.reads(expr)
        if isinstance(expr, Reg) or not cells:
            return None
        here = Part(expr if known(expr) else None, cells, harmless, factor=factor)
        out.append(here)
        for part, direction in _parts(expr, harmless):
            add(part, direction, factor and _needs_all(expr, harmless))
        here.skip = len(out)
        return here

    props = [(p, -1) for p in flow.system.invariants] + [(p, 1) for p in flow.system.goals]
    for prop, harmless in props:
        answers, others = values_of_property(flow, prop.body)
        if len(answers) == 1 and not others:
            (answer,) = answers
            whole = Part(answer if known(answer) else None, flow.cells.reads(answer), harmless)
            whole.whole = True
            out.append(whole)
            for expr, direction in dict.fromkeys(_roots(answer, harmless)):
                root = add(expr, direction, True)
                if root is not None:
                    root.root = True
                    rising, falling = _turns(flow.cells, expr)
                    root.sets, root.clears = (
                        (rising, falling) if direction > 0 else (falling, rising)
                    )
            whole.skip = len(out)
            continue
        checked = len(answers) > 1  # a failing check is a violation, also in a goal
        for expr in dict.fromkeys(answers):
            add(expr, 0 if checked else harmless)
        for expr in dict.fromkeys(others):
            add(expr, 0)
    return out


def _roots(expr: Expr, harmless: int) -> list[tuple[Expr, int]]:
    """What an invariant or goal (1, one of that sense) is made of: it shows where one of them
    does."""
    match expr:
        case Binary("land", left, right) if harmless < 0:
            return _roots(left, harmless) + _roots(right, harmless)
        case Binary("lor", left, right) if harmless > 0:
            return _roots(left, harmless) + _roots(right, harmless)
        case Binary("land" | "lor" as op, left, right):
            one, two = _roots(left, harmless), _roots(right, harmless)
            if 1 < len(one) * len(two) <= MOST_ROOTS:
                return [
                    (Binary(op, _turned(*a, harmless), _turned(*b, harmless)), harmless)
                    for a in one
                    for b in two
                ]
        case Unary("lnot", operand):
            return _roots(operand, -harmless)
    return [(expr, harmless)]


def _turned(expr: Expr, direction: int, harmless: int) -> Expr:
    """A root as one of another sense."""
    return expr if direction == harmless else Unary("lnot", expr)


def _needs_all(expr: Expr, harmless: int) -> bool:
    """Whether an expression shows only where all of its parts do."""
    match expr:
        case Binary("land", _, _):
            return harmless > 0
        case Binary("lor", _, _):
            return harmless < 0
        case Unary("lnot", _):
            return True
    return False


def _turns(cells: Cells, expr: Expr) -> tuple[int, int]:
    """The cells that may make an expression true where it is false, when they are set, and when
    they are cleared."""
    match expr:
        case Unary("lnot", operand):
            rising, falling = _turns(cells, operand)
            return falling, rising
        case Binary("land" | "lor", left, right):
            one, two = _turns(cells, left), _turns(cells, right)
            return one[0] | two[0], one[1] | two[1]
        case Binary("ne", operand, Const(0)) if _counts(cells, operand):
            return cells.reads(operand), 0
        case Binary("eq", operand, Const(0)) if _counts(cells, operand):
            return 0, cells.reads(operand)
        case Binary("gt" | "ge", left, right) if _counts(cells, left) and _counts(cells, right):
            return cells.reads(left), cells.reads(right)
        case Binary("lt" | "le", left, right) if _counts(cells, left) and _counts(cells, right):
            return cells.reads(right), cells.reads(left)
        case Binary("eq", operand, Const(1)) if _grows(cells, operand) and _is_bit(cells, operand):
            return cells.reads(operand), 0
        case Binary("ne", operand, Const(1)) if _grows(cells, operand) and _is_bit(cells, operand):
            return 0, cells.reads(operand)
        case Select(condition, then, orelse):
            one, two = _turns(cells, then), _turns(cells, orelse)
            either = cells.reads(condition)
            return one[0] | two[0] | either, one[1] | two[1] | either
        case _ if _counts(cells, expr):
            return cells.reads(expr), 0
    return cells.reads(expr), cells.reads(expr)


def _counts(cells: Cells, expr: Expr) -> bool:
    """Whether a number is never below 0, and no less where cells are set."""
    match expr:
        case Unary("popcount", operand):
            return _grows(cells, operand)
        case Binary("add", left, right):
            return _counts(cells, left) and _counts(cells, right)
    return _grows(cells, expr)


def _grows(cells: Cells, expr: Expr) -> bool:
    """Whether a value keeps each of its bits where cells are set: it is never below 0."""
    match expr:
        case Const(value):
            return value >= 0
        case Load(place):
            return not any(not isinstance(index, Const) for index, _, _ in place.index)
        case Binary("and" | "or", left, right):
            return _grows(cells, left) and _grows(cells, right)
        case Binary("shr", left, Const()):
            return _grows(cells, left)
        case Select(condition, Const(then), Const(orelse)):
            return (
                then >= 0 and orelse >= 0 and not orelse & ~then and not _turns(cells, condition)[1]
            )
    return False


def _is_bit(cells: Cells, expr: Expr) -> bool:
    """Whether a value that grows is 0 or 1 for certain."""
    match expr:
        case Const(value):
            return value <= 1
        case Load(place):
            return cells.mask[place.base] <= 1
        case Binary("and", left, right):
            return _is_bit(cells, left) or _is_bit(cells, right)
    return False


def _parts(expr: Expr, harmless: int) -> list[tuple[Expr, int]]:
    """Values that decide the value of an expression, and which change of them is harmless.

    For logic the operands, and for a whole that is not known those of any operation (values that
    differ by the way through the body are seen by themselves).
    """
    match expr:
        case Binary("land" | "lor", left, right):
            return [(left, harmless), (right, harmless)]
        case Unary("lnot", operand):
            return [(operand, -harmless)]
        case Select(condition, then, orelse):
            return [(condition, 0), (then, harmless), (orelse, harmless)]
        case _ if known(expr):
            return []
        case Binary(_, left, right):
            return [(left, 0), (right, 0)]
        case Unary(_, operand):
            return [(operand, 0)]
        case Load(place):
            parts: list[Expr] = [Load(Place(n)) for n in place.variables()]
            return [(part, 0) for part in (*parts, *(index for index, _, _ in place.index))]
        case _:
            return []
