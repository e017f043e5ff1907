"""One instruction from its text.

Each group of mnemonics has functions that read the operands; :func:`assemble` finds the right one.
Names that are in no group are refused as not modelled, by name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from shootdown.litmus import assembly_compute, assembly_memory, assembly_system
from shootdown.litmus.errors import LitmusSyntaxError, Unsupported
from shootdown.litmus.instructions import (
    Branch,
    BranchIfBit,
    BranchIfZero,
    BranchTo,
    ExceptionReturn,
    Instruction,
    LabelAddress,
    Nop,
    Register,
    SupervisorCall,
    Undefined,
)
from shootdown.litmus.operands import Operands, Reader, condition


def _branch_if_zero(nonzero: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        register = operands.register()
        operands.expect(",")
        return BranchIfZero(register, nonzero, operands.label())

    return read


def _branch_if_bit(nonzero: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        register = operands.register()
        operands.expect(",")
        bit = operands.number(0, register.bits - 1)
        operands.expect(",")
        return BranchIfBit(register, bit, nonzero, operands.label())

    return read


def _return(operands: Operands) -> Instruction:
    return BranchTo(operands.register(64) if operands.peek() else Register(30, 64))


def _adr(operands: Operands) -> Instruction:
    register = operands.register(64)
    operands.expect(",")
    return LabelAddress(register, operands.label())


def _hint(operands: Operands) -> Instruction:
    operands.number(0, 127)
    return Nop()


def control() -> dict[str, Reader]:
    """By mnemonic."""
    return {
        "B": lambda operands: Branch(operands.label()),
        "BL": lambda operands: Branch(operands.label(), link=True),
        "BR": lambda operands: BranchTo(operands.register(64)),
        "BLR": lambda operands: BranchTo(operands.register(64), link=True),
        "RET": _return,
        "CBZ": _branch_if_zero(nonzero=False),
        "CBNZ": _branch_if_zero(nonzero=True),
        "TBZ": _branch_if_bit(nonzero=False),
        "TBNZ": _branch_if_bit(nonzero=True),
        "ADR": _adr,
        "ERET": lambda operands: ExceptionReturn(),
        "SVC": lambda operands: SupervisorCall(operands.number(0, 0xFFFF)),
        "UDF": lambda operands: Undefined(operands.number(0, 0xFFFF)),
        "NOP": lambda operands: Nop(),
        "HINT": _hint,
    }


_READERS: Final = {
    **assembly_memory.readers(),
    **assembly_compute.readers(),
    **assembly_system.readers(),
    **control(),
}


@lru_cache(maxsize=4096)
def assemble(text: str) -> Instruction:
    """Read one instruction.

    Errors come without a place: :class:`LitmusSyntaxError` for malformed operands,
    :class:`Unsupported` for a mnemonic or operand that is not modelled.
    """
    mnemonic, _, rest = text.replace("\t", " ").partition(" ")
    mnemonic = mnemonic.upper()
    operands = Operands(rest)
    if mnemonic.startswith("B."):
        found: Instruction = Branch(operands.label(), condition(mnemonic[2:]))
    else:
        reader = _READERS.get(mnemonic)
        if reader is None:
            if not re.fullmatch(r"[A-Z.][A-Z0-9_.]*(:.*)?", mnemonic):
                raise LitmusSyntaxError(f"{text!r} is no instruction")
            raise Unsupported(f"instruction {mnemonic}")
        found = reader(operands)
    operands.end()
    return found
