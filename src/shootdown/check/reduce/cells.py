"""Which bits of the state an expression reads, and a store writes.

A *cell* is one bit of one variable; a set of cells is an integer. Two hardware rules that each
take their own bit of a set commute, though they access the same variable: so bits, not variables,
are what steps depend on each other by.

Bits are needed where they can matter: ``(x >> 2) & 1`` reads one bit of ``x`` (the demanded-bits
analysis of compilers). A store of ``x | y`` to ``x`` may set bits and reads none of ``x``: two such
stores commute.
"""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.lang.ir import Binary, Const, Expr, Load, Place, Reg, Select, System, Unary

ALL = (1 << 64) - 1


@dataclass(slots=True)
class Effect:
    """What an access may do to cells: read them, set them to 1, to 0, or to anything.

    Setting is for good: a cell in ``ones`` is 1 afterwards or as before.
    """

    reads: int = 0
    ones: int = 0
    zeros: int = 0
    any: int = 0

    @property
    def writes(self) -> int:
        """Every cell that may be written."""
        return self.ones | self.zeros | self.any

    def changes(self, now: int) -> int:
        """Every cell that may change where the cells ``now`` are 1 and nothing else is done."""
        return self.ones & ~now | self.zeros & now | self.any

    def add(self, other: Effect) -> None:
        """Do both."""
        self.reads |= other.reads
        self.ones |= other.ones
        self.zeros |= other.zeros
        self.any |= other.any

    def commutes(self, other: Effect, changed: int, now: int) -> bool:
        """Whether this, which changes the cells ``changed`` only, can change places with ``other``,
        where the cells ``now`` are 1.

        A write of what was there before disturbs no reader, if nobody else writes the cell. This
        may set what the other one clears: then it matters which comes last, so writes are compared
        with all writes, also with those that change nothing now.
        """
        return not (
            self.reads & other.changes(now)
            or self.ones & (other.zeros | other.any)
            or self.zeros & (other.ones | other.any)
            or self.any & other.writes
            or changed & other.reads
        )


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the bits of each variable are. A given variable has none: nothing writes it.

    Expressions here are over the state in which an action begins. A register in one stands for a
    value that is not known; ``unknown`` has the cells that it was made from.
    """

    shift: tuple[int, ...]
    mask: tuple[int, ...]  # of the value
    unknown: list[int]

    @staticmethod
    def of(system: System) -> Cells:
        """Number the bits of all variables."""
        shift, mask, at = [], [], 0
        for variable in system.variables:
            bits = 0 if variable.given else (variable.size - 1).bit_length()
            shift.append(at)
            mask.append((1 << bits) - 1)
            at += bits
        return Cells(tuple(shift), tuple(mask), [])

    def unknown_value(self, reads: int) -> Reg:
        """A value of which only the cells are known that it was made from."""
        self.unknown.append(reads)
        return Reg(len(self.unknown) - 1)

    def variable(self, number: int, demand: int = ALL) -> int:
        """Some bits of a variable."""
        return (self.mask[number] & demand) << self.shift[number]

    def pack(self, state: tuple[int, ...]) -> int:
        """The cells that are 1 in a state."""
        out = 0
        for value, shift, mask in zip(state, self.shift, self.mask, strict=True):
            out |= (value & mask) << shift
        return out

    def unpack(self, cells: int, state: tuple[int, ...]) -> list[int]:
        """The values of all variables where these cells are 1; given ones have those of ``state``,
        a state of the system."""
        return [
            cells >> shift & mask if mask else value
            for value, shift, mask in zip(state, self.shift, self.mask, strict=True)
        ]

    # ---------------------------------------------------------------------- reading

    def reads(self, expr: Expr, demand: int = ALL) -> int:
        """The cells that the bits ``demand`` of an expression's value depend on."""
        if not demand:
            return 0
        match expr:
            case Reg(index):
                return self.unknown[index]
            case Load(place):
                found = self.indices(place)
                for number in place.variables():
                    found |= self.variable(number, demand)
                return found
            case Binary(op, left, right):
                return self._binary(op, left, right, demand)
            case Unary("lnot", operand):
                return self.reads(operand, 1)
            case Unary("neg", operand):
                return self.reads(operand, _up_to(demand))
            case Unary(_, operand):
                return self.reads(operand)
            case Select(condition, then, orelse):
                found = self.reads(condition)
                return found | self.reads(then, demand) | self.reads(orelse, demand)
            case _:
                return 0

    def _binary(self, op: str, left: Expr, right: Expr, demand: int) -> int:
        match op, left, right:
            case "and", _, Const(value):
                return self.reads(left, demand & value)
            case "and", Const(value), _:
                return self.reads(right, demand & value)
            case "or", _, Const(value):
                return self.reads(left, demand & ~value)
            case "or", Const(value), _:
                return self.reads(right, demand & ~value)
            case (("and" | "or" | "xor"), _, _):
                return self.reads(left, demand) | self.reads(right, demand)
            case "shr", _, Const(value):
                shifted = demand << value
                sign = 1 << 63 if shifted > ALL else 0  # what comes in from the left
                return self.reads(left, shifted & ALL | sign)
            case "shl", _, Const(value):
                return self.reads(left, demand >> value)
            case (("add" | "sub" | "mul"), _, _):
                low = _up_to(demand)
                return self.reads(left, low) | self.reads(right, low)
            case (("land" | "lor"), _, _):
                return self.reads(left, 1) | self.reads(right, 1)
            case _:
                return self.reads(left) | self.reads(right)

    def indices(self, place: Place) -> int:
        """The cells that say which variable a place names."""
        found = 0
        for expr, _, _ in place.index:
            found |= self.reads(expr)
        return found

    # ---------------------------------------------------------------------- writing

    def store(self, place: Place, value: Expr) -> Effect:
        """What a store does. ``value`` and the indices are over the state before the action."""
        effect = Effect(reads=self.indices(place))
        numbers = list(place.variables())
        bits = self.mask[numbers[0]]
        kinds = _Kinds(self, Load(place))
        stored = kinds.of(value, bits)
        other = bits & ~(stored.kept | stored.ones | stored.zeros)
        effect.reads |= kinds.reads | self.reads(value, other)
        for number in numbers:
            effect.ones |= self.variable(number, stored.ones)
            effect.zeros |= self.variable(number, stored.zeros)
            effect.any |= self.variable(number, other)
        return effect


@dataclass(frozen=True, slots=True)
class _Bits:
    """Bits of a value that are the old value's, that are never 0 where the old one is 1 (``ones``),
    and never 1 where it is 0."""

    kept: int = 0
    ones: int = 0
    zeros: int = 0

    @property
    def flipped(self) -> _Bits:
        """The same of the complement."""
        return _Bits(self.kept, self.zeros, self.ones)


class _Kinds:
    """Classifies the bits of a stored value; ``reads`` are the cells that decide those in ``ones``
    and ``zeros``."""

    def __init__(self, cells: Cells, old: Load) -> None:
        self.cells = cells
        self.old = old
        self.reads = 0

    def of(self, value: Expr, demand: int) -> _Bits:
        match value:
            case Const(number):
                return _Bits(0, number & demand, demand & ~number)
            case Load() if value == self.old:
                return _Bits(kept=demand)
            case Binary("or" | "and" as op, left, right):
                return self.joined(op == "and", left, right, demand)
        return _Bits()

    def joined(self, conjunction: bool, left: Expr, right: Expr, demand: int) -> _Bits:
        """``left | right``; ``left & right`` is the same with 0 and 1 changing places."""
        if isinstance(left, Const):
            left, right = right, left
        if isinstance(right, Const):
            fixed = demand & (~right.value if conjunction else right.value)
            rest = self.of(left, demand & ~fixed)
            if conjunction:
                return _Bits(rest.kept, rest.ones, rest.zeros | fixed)
            return _Bits(rest.kept, rest.ones | fixed, rest.zeros)
        grows = 0
        for side, other in ((left, right), (right, left)):
            bits = self.of(side, demand & ~grows)
            bits = bits.flipped if conjunction else bits
            mine = bits.kept | bits.ones
            self.reads |= self.cells.reads(other, mine)
            grows |= mine
        return _Bits(0, 0, grows) if conjunction else _Bits(0, grows, 0)


def _up_to(demand: int) -> int:
    """All bits up to the highest one: carries go upwards."""
    return (1 << demand.bit_length()) - 1
