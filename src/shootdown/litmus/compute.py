"""Arithmetic on what registers hold: integers, addresses, descriptors.

Integers are unsigned, cut to the width of the register. An address keeps its name, a descriptor its
output address; what would need their numbers is :class:`UnknownResultError`, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from shootdown.litmus.instructions import Alu, Cond, Extend
from shootdown.litmus.values import Address, CodeLabel, Par, Physical, Pte, PteAddress

PAGE_SHIFT = 12


@dataclass(frozen=True, slots=True)
class PageNumber:
    """An address shifted right by 12, which TLBI takes. That of a descriptor, ``PTE(x)``, is of a
    page that no test has."""

    name: str

    def __str__(self) -> str:
        return f"the page number of {self.name}"


@dataclass(frozen=True, slots=True)
class Code:
    """Instruction ``index`` of a processor's program, or of its handler."""

    processor: int
    handler: bool
    index: int


@dataclass(frozen=True, slots=True)
class Low:
    """The lowest ``bits`` of what is no integer; the bits above are 0."""

    whole: Symbol
    bits: int

    def __str__(self) -> str:
        return f"the low {self.bits} bits of {self.whole}"


@dataclass(frozen=True, slots=True)
class Unset:
    """What a system register holds that an exception has written, and the model does not know."""

    def __str__(self) -> str:
        return "what an exception has left"


Symbol: TypeAlias = (
    Address | PteAddress | Physical | CodeLabel | Pte | Par | PageNumber | Code | Unset
)
Word: TypeAlias = int | Symbol | Low


class UnknownResultError(Exception):
    """A computation that has no result here; the caller knows the line."""


@dataclass(frozen=True, slots=True)
class Nzcv:
    """The condition flags; ``None``: what the flag is depends on the numbers of addresses."""

    n: bool | None = False
    z: bool | None = False
    c: bool | None = False
    v: bool | None = False

    def hold(self, cond: Cond) -> bool:
        """Whether a condition is true (Arm ARM C1.2.4). :class:`UnknownResultError` if it depends
        on a flag that is not known."""
        match cond:
            case Cond.EQ | Cond.NE:
                result = self.z
            case Cond.CS | Cond.CC:
                result = self.c
            case Cond.MI | Cond.PL:
                result = self.n
            case Cond.VS | Cond.VC:
                result = self.v
            case Cond.HI | Cond.LS:
                result = _both(self.c, _no(self.z))
            case Cond.GE | Cond.LT:
                result = self._signs()
            case Cond.GT | Cond.LE:
                result = _both(self._signs(), _no(self.z))
            case _:
                return True
        if result is None:
            raise UnknownResultError(f"condition {cond.value}, which depends on an address,")
        inverted = (Cond.NE, Cond.CC, Cond.PL, Cond.VC, Cond.LS, Cond.LT, Cond.LE)
        return result != (cond in inverted)

    def _signs(self) -> bool | None:
        return None if self.n is None or self.v is None else self.n == self.v


def _no(flag: bool | None) -> bool | None:
    return None if flag is None else not flag


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def cut(value: Word, bits: int) -> Word:
    """What a register of so many bits keeps."""
    if isinstance(value, int):
        return value & ((1 << bits) - 1)
    if bits >= 64:
        return value
    if isinstance(value, Low):
        return value if value.bits <= bits else Low(value.whole, bits)
    return Low(value, bits)


def signed(value: int, bits: int) -> int:
    """An integer of so many bits with its sign."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


SMALL = 4096  # no page of a test is at 0, so its addresses and its descriptors are not below


def same(left: Word, right: Word) -> bool:
    """Whether two values are equal. :class:`UnknownResultError` if that depends on where pages
    are."""
    if left == right or (isinstance(left, int) and isinstance(right, int)):
        return left == right
    number, other = (left, right) if isinstance(left, int) else (right, left)
    if isinstance(number, int):
        known = number < (1 if isinstance(other, PageNumber | Par) else SMALL)
        known = known and not isinstance(other, Low | Unset)
        if isinstance(other, Address | PteAddress | Code):
            known = known and in_page(other)
    else:
        kinds = {type(left), type(right)}
        known = not kinds & {Low, Unset, Par, CodeLabel} and (
            len(kinds) == 1 or kinds <= {Address, PteAddress, Code}
        )
        known = known and in_page(left) and in_page(right)
    if not known:
        raise UnknownResultError(f"whether {left} is {right}")
    return False


def in_page(value: Word) -> bool:
    """Whether an address is in the page of its name, so that it is known which page that is."""
    return not isinstance(value, Address) or 0 <= value.offset < 1 << PAGE_SHIFT


# ------------------------------------------------------------------------------- descriptors

# Where a descriptor has what a test names (Arm ARM D8.3.1): bit, and whether it is inverted.
_FLAGS = {
    "valid": (0, False),
    "el0": (6, False),
    "db": (7, True),
    "af": (10, False),
    "dbm": (51, False),
    "x": (54, True),
}
_FLAG_BITS = sum(1 << bit for bit, _ in _FLAGS.values())


def flag_bits(pte: Pte) -> int:
    """The bits of a descriptor that have a name."""
    number = 0
    for name, (bit, inverted) in _FLAGS.items():
        value: int = getattr(pte, name)
        number |= (value ^ inverted) << bit
    return number


def with_flags(pte: Pte, number: int) -> Pte:
    """The descriptor with the named bits of a number."""
    found: dict[str, Any] = {
        name: number >> bit & 1 ^ inverted for name, (bit, inverted) in _FLAGS.items()
    }
    return replace(pte, **found)


def _descriptor(op: Alu, pte: Pte, mask: int) -> Word:
    """A bitwise operation on a descriptor. Only named bits may change, or be asked for."""
    flags = flag_bits(pte)
    if op is Alu.AND and not mask & ~_FLAG_BITS:
        return flags & mask
    if op is Alu.AND and not ~mask & ~_FLAG_BITS & (1 << 64) - 1:
        return with_flags(pte, flags & mask)
    if mask & ~_FLAG_BITS:
        raise UnknownResultError(f"bits {mask & ~_FLAG_BITS:#x} of a descriptor")
    match op:
        case Alu.ORR:
            return with_flags(pte, flags | mask)
        case Alu.EOR:
            return with_flags(pte, flags ^ mask)
        case Alu.BIC:
            return with_flags(pte, flags & ~mask)
    raise UnknownResultError(f"{op.value} of a descriptor")


# ------------------------------------------------------------------------------- arithmetic

_INTEGERS: dict[Alu, Callable[[int, int, int], int]] = {
    Alu.ADD: lambda a, b, bits: a + b,
    Alu.SUB: lambda a, b, bits: a - b,
    Alu.AND: lambda a, b, bits: a & b,
    Alu.ORR: lambda a, b, bits: a | b,
    Alu.EOR: lambda a, b, bits: a ^ b,
    Alu.BIC: lambda a, b, bits: a & ~b,
    Alu.ORN: lambda a, b, bits: a | ~b,
    Alu.EON: lambda a, b, bits: a ^ ~b,
    Alu.LSL: lambda a, b, bits: a << b % bits,
    Alu.LSR: lambda a, b, bits: a >> b % bits,
    Alu.ASR: lambda a, b, bits: signed(a, bits) >> b % bits,
    Alu.ROR: lambda a, b, bits: (a >> b % bits) | (a << (bits - b % bits) % bits),
}


def compute(op: Alu, left: Word, right: Word, bits: int) -> Word:
    """``left op right`` in so many bits. :class:`UnknownResultError` if nobody knows."""
    if isinstance(left, int) and isinstance(right, int):
        return cut(_INTEGERS[op](left, right, bits), bits)
    if left == right and op in (Alu.EOR, Alu.SUB, Alu.BIC):
        return 0
    if left == right and op in (Alu.AND, Alu.ORR):
        return left
    if right == 0 and op in _NEUTRAL:
        return left
    if left == 0 and op in (Alu.ADD, Alu.ORR, Alu.EOR):
        return right
    if 0 in (left, right) and op is Alu.AND:
        return 0
    if isinstance(right, int):
        found = _with_number(op, left, right, bits)
        if found is not None:
            return found
    elif isinstance(left, int) and op in (Alu.ADD, Alu.ORR, Alu.EOR, Alu.AND):
        return compute(op, right, left, bits)
    elif op is Alu.SUB and (distance := _distance(left, right)) is not None:
        return cut(distance, bits)
    raise UnknownResultError(f"{op.value} of {left} and {right}")


def _distance(left: Word, right: Word) -> int | None:
    """Bytes from ``right`` to ``left``, if they are in one page."""
    if isinstance(left, Address) and isinstance(right, Address) and left.name == right.name:
        return left.offset - right.offset
    return None


_NEUTRAL = (Alu.ADD, Alu.SUB, Alu.ORR, Alu.EOR, Alu.BIC, Alu.LSL, Alu.LSR, Alu.ASR, Alu.ROR)


def _with_number(op: Alu, left: Word, right: int, bits: int) -> Word | None:
    """``left op right`` where ``left`` is no integer, or ``None``."""
    delta = signed(right, bits) * (-1 if op is Alu.SUB else 1)
    adds = op in (Alu.ADD, Alu.SUB)
    match left:
        case Pte():
            return _descriptor(op, left, right)
        case Low(Pte() as pte, width) if op is Alu.AND and right < 1 << width:
            return _descriptor(op, pte, right)
        case Address(name, offset) if adds:
            return Address(name, offset + delta)
        case Code(processor, handler, index) if adds and delta % 4 == 0:
            return Code(processor, handler, index + delta // 4)
        case Address(name) if op is Alu.LSR and right == PAGE_SHIFT and in_page(left):
            return PageNumber(name)
        case PteAddress() if op is Alu.LSR and right == PAGE_SHIFT:
            return PageNumber(str(left))
        case PageNumber(name) if op is Alu.LSL and right == PAGE_SHIFT and "(" not in name:
            return Address(name)
    return None


def compare(op: Alu, left: Word, right: Word, bits: int) -> Nzcv:
    """The flags of ADDS, SUBS, ANDS or BICS; those that depend on where pages are, are ``None``."""
    if isinstance(left, int) and isinstance(right, int):
        mask, top = (1 << bits) - 1, bits - 1
        if op in (Alu.ADD, Alu.SUB):
            other = right if op is Alu.ADD else ~right & mask
            total = left + other + (op is Alu.SUB)
            result = total & mask
            overflow = bool(~(left ^ other) & (left ^ result) & (1 << top))
            return Nzcv(bool(result >> top), result == 0, total > mask, overflow)
        result = int(_INTEGERS[op](left, right, bits)) & mask
        return Nzcv(bool(result >> top), result == 0)
    if op is Alu.SUB:
        if left == right:
            return Nzcv(False, True, True, False)
        distance = _distance(left, right)
        if distance is not None and in_page(left) and in_page(right):
            return Nzcv(distance < 0, False, distance > 0, False)  # far from any overflow
        return Nzcv(None, _equal(left, right), None, None)
    result_word = compute(op, left, right, bits)
    if op is Alu.ADD:
        return Nzcv(None, _equal(result_word, 0), None, None)
    if isinstance(result_word, int):
        return Nzcv(bool(result_word >> (bits - 1)), result_word == 0)
    return Nzcv(None, _equal(result_word, 0))


def _equal(left: Word, right: Word) -> bool | None:
    try:
        return same(left, right)
    except UnknownResultError:
        return None


def extended(value: Word, extend: Extend, amount: int, bits: int) -> Word:
    """An operand, shifted or extended."""
    match extend:
        case Extend.LSL | Extend.LSR | Extend.ASR | Extend.ROR:
            return compute(Alu[extend.value], value, amount, bits)
    width = {"B": 8, "H": 16, "W": 32, "X": 64}[extend.value[-1]]
    if isinstance(value, int):
        value = signed(value, width) if extend.value[0] == "S" else value & ((1 << width) - 1)
        return cut(value << amount, bits)
    if amount == 0 and extend.value[0] == "U":
        return cut(cut(value, width), bits)
    if width == 64 and amount == 0:
        return value
    raise UnknownResultError(f"{extend.value} of {value}")
