"""Arithmetic on what registers hold: integers, addresses, descriptors.

Integers are unsigned, cut to the width of the register. An address keeps its name, a descriptor its
output address; what would need their numbers is :class:`Unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from shootdown.litmus.instructions import Alu, Cond, Extend
from shootdown.litmus.values import Address, CodeLabel, Par, Physical, Pte, PteAddress

PAGE_SHIFT = 12


@dataclass(frozen=True, slots=True)
class PageNumber:
    """An address shifted right by 12, which TLBI takes."""

    name: str


@dataclass(frozen=True, slots=True)
class Code:
    """Instruction ``index`` of a processor's program, or of its handler."""

    processor: int
    handler: bool
    index: int


Word = int | Address | PteAddress | Physical | CodeLabel | Pte | Par | PageNumber | Code


class UnknownResultError(Exception):
    """A computation that has no result here; the caller knows the line."""


@dataclass(frozen=True, slots=True)
class Nzcv:
    """The condition flags."""

    n: bool = False
    z: bool = False
    c: bool = False
    v: bool = False

    def hold(self, cond: Cond) -> bool:
        """Whether a condition is true (Arm ARM C1.2.4)."""
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
                result = self.c and not self.z
            case Cond.GE | Cond.LT:
                result = self.n == self.v
            case Cond.GT | Cond.LE:
                result = self.n == self.v and not self.z
            case _:
                return True
        inverted = (Cond.NE, Cond.CC, Cond.PL, Cond.VC, Cond.LS, Cond.LT, Cond.LE)
        return result != (cond in inverted)


def cut(value: Word, bits: int) -> Word:
    """What a register of so many bits keeps."""
    return value & ((1 << bits) - 1) if isinstance(value, int) else value


def signed(value: int, bits: int) -> int:
    """An integer of so many bits with its sign."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


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
    """``left op right`` in so many bits."""
    if isinstance(left, int) and isinstance(right, int):
        return cut(_INTEGERS[op](left, right, bits), bits)
    if left == right and op in (Alu.EOR, Alu.SUB):
        return 0
    if left == right and op in (Alu.AND, Alu.ORR):
        return left
    if right == 0 and op in (Alu.ADD, Alu.SUB, Alu.ORR, Alu.EOR, Alu.BIC, Alu.LSL, Alu.LSR):
        return left
    if left == 0 and op in (Alu.ADD, Alu.ORR, Alu.EOR):
        return right
    if isinstance(right, int):
        if isinstance(left, Pte):
            return _descriptor(op, left, right)
        delta = signed(right, bits)
        if op is Alu.SUB:
            delta = -delta
        if isinstance(left, Address) and op in (Alu.ADD, Alu.SUB):
            return Address(left.name, left.offset + delta)
        if isinstance(left, Code) and op in (Alu.ADD, Alu.SUB) and delta % 4 == 0:
            return Code(left.processor, left.handler, left.index + delta // 4)
        if isinstance(left, Address) and op is Alu.LSR and right == PAGE_SHIFT:
            return PageNumber(left.name)
        if isinstance(left, PteAddress) and op is Alu.LSR and right == PAGE_SHIFT:
            return left  # of a page that no test has
        if isinstance(left, PageNumber) and op is Alu.LSL and right == PAGE_SHIFT:
            return Address(left.name)
        if op is Alu.AND and right == 0:
            return 0
    elif isinstance(left, int) and op in (Alu.ADD, Alu.ORR, Alu.EOR, Alu.AND):
        return compute(op, right, left, bits)
    raise UnknownResultError(f"{op.value} of {left} and {right}")


def compare(op: Alu, left: Word, right: Word, bits: int) -> Nzcv:
    """The flags of ADDS, SUBS, ANDS or BICS. What is no integer is like nothing but itself."""
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
        return Nzcv(False, left == right, True)
    result_word = compute(op, left, right, bits)
    return Nzcv(False, result_word == 0)


def extended(value: Word, extend: Extend, amount: int, bits: int) -> Word:
    """An operand, shifted or extended."""
    match extend:
        case Extend.LSL | Extend.LSR | Extend.ASR | Extend.ROR:
            return compute(Alu[extend.value], value, amount, bits)
    width = {"B": 8, "H": 16, "W": 32, "X": 64}[extend.value[-1]]
    if isinstance(value, int):
        value = signed(value, width) if extend.value[0] == "S" else value & ((1 << width) - 1)
        return cut(value << amount, bits)
    if width == 64 and amount == 0:
        return value
    raise UnknownResultError(f"{extend.value} of {value}")
