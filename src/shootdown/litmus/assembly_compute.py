"""Operands of instructions that only compute."""

from __future__ import annotations

from shootdown.litmus.instructions import (
    Alu,
    BitField,
    Compute,
    Extend,
    Instruction,
    Modified,
    Move,
    MoveKeep,
    Otherwise,
    Register,
    Select,
)
from shootdown.litmus.operands import Operands, Reader


def _mov(operands: Operands) -> Instruction:
    target = operands.register()
    operands.expect(",")
    if operands.is_register():
        return Move(target, operands.register(target.bits))
    return Move(target, operands.number())


def _wide(operands: Operands) -> tuple[Register, int, int]:
    target = operands.register()
    operands.expect(",")
    number = operands.number(0, 0xFFFF)
    shift = 0
    if operands.accept(","):
        kind, shift = operands.extend()
        if kind is not Extend.LSL or shift % 16 or shift >= target.bits:
            operands.wrong("16 bits are shifted by LSL #0, #16, #32 or #48")
    return target, number, shift


def _movz(operands: Operands) -> Instruction:
    target, number, shift = _wide(operands)
    return Move(target, number << shift)


def _movn(operands: Operands) -> Instruction:
    target, number, shift = _wide(operands)
    return Move(target, ~(number << shift) & ((1 << target.bits) - 1))


def _movk(operands: Operands) -> Instruction:
    return MoveKeep(*_wide(operands))


def _compute(op: Alu, flags: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        left = operands.register(target.bits)
        operands.expect(",")
        return Compute(op, target, left, operands.operand(target.bits), flags)

    return read


def _shift(op: Alu) -> Reader:
    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        left = operands.register(target.bits)
        operands.expect(",")
        if operands.is_number():
            return Compute(op, target, left, operands.number(0, target.bits - 1))
        return Compute(op, target, left, operands.register(target.bits))

    return read


def _compare(op: Alu) -> Reader:
    """CMP, CMN and TST: flags only."""

    def read(operands: Operands) -> Instruction:
        left = operands.register()
        operands.expect(",")
        right = operands.operand(left.bits)
        return Compute(op, Register(31, left.bits), left, right, flags=True)

    return read


def _of_zero(op: Alu, flags: bool) -> Reader:
    """NEG, NEGS and MVN: the left operand is the zero register."""

    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        right = operands.operand(target.bits)
        if isinstance(right, int):
            operands.wrong("expected a register, not a number")
        return Compute(op, target, Register(31, target.bits), right, flags)

    return read


def _sxtw(operands: Operands) -> Instruction:
    target = operands.register(64)
    operands.expect(",")
    source = Modified(operands.register(32), Extend.SXTW)
    return Compute(Alu.ADD, target, Register(31, 64), source)


def _bit_field(signed: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        source = operands.register(target.bits)
        operands.expect(",")
        low = operands.number(0, target.bits - 1)
        operands.expect(",")
        width = operands.number(1, target.bits - low)
        return BitField(target, source, low, width, signed)

    return read


def _select(otherwise: Otherwise) -> Reader:
    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        left = operands.register(target.bits)
        operands.expect(",")
        right = operands.register(target.bits)
        operands.expect(",")
        return Select(target, left, right, operands.condition(), otherwise)

    return read


def _set(otherwise: Otherwise) -> Reader:
    """CSET and CSETM."""

    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        zero = Register(31, target.bits)
        return Select(target, zero, zero, operands.condition().inverse, otherwise)

    return read


def _conditional(otherwise: Otherwise) -> Reader:
    """CINC, CINV and CNEG."""

    def read(operands: Operands) -> Instruction:
        target = operands.register()
        operands.expect(",")
        source = operands.register(target.bits)
        operands.expect(",")
        return Select(target, source, source, operands.condition().inverse, otherwise)

    return read


def readers() -> dict[str, Reader]:
    """By mnemonic."""
    found: dict[str, Reader] = {}
    found.update(MOV=_mov, MOVZ=_movz, MOVN=_movn, MOVK=_movk, SXTW=_sxtw)
    for op in Alu:
        if op in (Alu.LSL, Alu.LSR, Alu.ASR, Alu.ROR):
            found[op.value] = _shift(op)
        else:
            found[op.value] = _compute(op, flags=False)
    for op in (Alu.ADD, Alu.SUB, Alu.AND, Alu.BIC):
        found[f"{op.value}S"] = _compute(op, flags=True)
    found["CMP"] = _compare(Alu.SUB)
    found["CMN"] = _compare(Alu.ADD)
    found["TST"] = _compare(Alu.AND)
    found["NEG"] = _of_zero(Alu.SUB, flags=False)
    found["NEGS"] = _of_zero(Alu.SUB, flags=True)
    found["MVN"] = _of_zero(Alu.ORN, flags=False)
    found["UBFX"] = _bit_field(signed=False)
    found["SBFX"] = _bit_field(signed=True)
    for otherwise in Otherwise:
        found[otherwise.value] = _select(otherwise)
    found["CSET"] = _set(Otherwise.INCREMENT)
    found["CSETM"] = _set(Otherwise.INVERT)
    found["CINC"] = _conditional(Otherwise.INCREMENT)
    found["CINV"] = _conditional(Otherwise.INVERT)
    found["CNEG"] = _conditional(Otherwise.NEGATE)
    return found
