"""Operands of barriers, TLB maintenance, and accesses to system registers."""

from __future__ import annotations

import re
from typing import Final

from shootdown.litmus.errors import Unsupported
from shootdown.litmus.instructions import (
    Access,
    DataBarrier,
    Domain,
    Instruction,
    InstructionBarrier,
    ReadSystem,
    SystemRegister,
    TlbInvalidate,
    TlbScope,
    TranslateAddress,
    WriteSystem,
)
from shootdown.litmus.operands import Operands, Reader

_BARRIERS: Final = {
    **{d.value + a.value: (d, a) for d in Domain for a in Access if d is not Domain.SYSTEM},
    "SY": (Domain.SYSTEM, Access.ALL),
    "LD": (Domain.SYSTEM, Access.LOADS),
    "ST": (Domain.SYSTEM, Access.STORES),
}
_TLBI: Final = re.compile(
    r"(?P<scope>VMALL|ASID|VAA|VA)(?P<last>L?)E1(?P<broadcast>IS)?(?P<nxs>NXS)?"
)
_AT: Final = re.compile(r"S1E(?P<el>[01])(?P<access>[RW])")


def _barrier(completes: bool) -> Reader:
    name = "DSB" if completes else "DMB"

    def read(operands: Operands) -> Instruction:
        option = operands.word(f"an option of {name}, such as ISH")
        if option.endswith("NXS"):
            raise Unsupported(f"{name} {option}")
        if option not in _BARRIERS:
            operands.wrong(f"{option} is no option of {name} (such as ISH or SY)")
        return DataBarrier(completes, *_BARRIERS[option])

    return read


def _isb(operands: Operands) -> Instruction:
    operands.accept("SY")
    return InstructionBarrier()


def _tlbi(operands: Operands) -> Instruction:
    name = operands.word("what to invalidate, such as VAAE1IS")
    found = _TLBI.fullmatch(name)
    last = found is not None and bool(found["last"])
    if found is None or (last and not found["scope"].startswith("VA")):
        raise Unsupported(f"instruction TLBI {name}")
    scope = TlbScope(found["scope"])
    register = None
    if scope is not TlbScope.ALL:
        operands.expect(",")
        register = operands.register(64)
    return TlbInvalidate(scope, last, bool(found["broadcast"]), bool(found["nxs"]), register)


def _at(operands: Operands) -> Instruction:
    name = operands.word("a kind of translation, such as S1E1R")
    found = _AT.fullmatch(name)
    if found is None:
        raise Unsupported(f"instruction AT {name}")
    operands.expect(",")
    return TranslateAddress(found["el"] == "0", found["access"] == "W", operands.register(64))


def _by_name(mnemonic: str) -> Reader:
    """DC and IC: recognised, and not modelled."""

    def read(operands: Operands) -> Instruction:
        raise Unsupported(f"instruction {mnemonic} {operands.word('an operation')}")

    return read


def _system_register(operands: Operands) -> SystemRegister:
    name = operands.word("a system register")
    if name not in SystemRegister.__members__:
        raise Unsupported(f"system register {name}")
    return SystemRegister[name]


def _mrs(operands: Operands) -> Instruction:
    target = operands.register(64)
    operands.expect(",")
    return ReadSystem(target, _system_register(operands))


def _msr(operands: Operands) -> Instruction:
    target = _system_register(operands)
    operands.expect(",")
    return WriteSystem(target, operands.register(64))


def readers() -> dict[str, Reader]:
    """By mnemonic."""
    return {
        "DMB": _barrier(completes=False),
        "DSB": _barrier(completes=True),
        "ISB": _isb,
        "TLBI": _tlbi,
        "AT": _at,
        "DC": _by_name("DC"),
        "IC": _by_name("IC"),
        "MRS": _mrs,
        "MSR": _msr,
    }
