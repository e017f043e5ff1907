"""What a test says that is allowed, and is probably a slip of the pen.

herdtools7 takes a register that nobody writes for 0, and a variable that nobody mentions too, so
that is no error here.
"""

from __future__ import annotations

from collections.abc import Iterator

from shootdown.litmus.instructions import (
    Addressing,
    AtomicAccess,
    Branch,
    BranchTo,
    CompareAndSwap,
    Instruction,
    LabelAddress,
    LoadPair,
    Register,
    StoreExclusive,
    Writeback,
)
from shootdown.litmus.local import RETURN, target
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.propositions import RegisterOf


def doubts(test: LitmusTest) -> Iterator[str]:
    """A sentence for each general register that the test asks for though nothing gives it a
    value."""
    written = {
        (processor.number, f"X{number}")
        for processor in test.processors
        for column in (processor.code, processor.handler)
        if column is not None
        for step in column.steps
        for number in registers_written(step.instruction)
    }
    for place in test.observed():
        if isinstance(place, RegisterOf) and place.name[1:].isdecimal():
            given = place in test.initial or place in test.types
            if not given and (place.processor, place.name) not in written:
                yield f"{test.file}: nothing gives {place} a value, so it is 0"


def registers_written(instruction: Instruction) -> set[int]:
    """The numbers of the general registers that an instruction may change."""
    found = {target(instruction)}
    address = getattr(instruction, "address", None)
    if isinstance(address, Addressing) and address.writeback is not Writeback.NO:
        found.add(address.base.number)
    registers: tuple[Register, ...] = ()
    match instruction:
        case LoadPair(first, second):
            registers = (first, second)
        case StoreExclusive(status):
            registers = (status,)
        case CompareAndSwap(expected):
            registers = (expected,)
        case AtomicAccess(_, _, old):
            registers = (old,)
        case LabelAddress(register):
            registers = (register,)
        case Branch(link=True) | BranchTo(link=True):
            found.add(RETURN)
    found.update(register.number for register in registers)
    return {number for number in found if number is not None}
