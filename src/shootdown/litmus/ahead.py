"""Faults that are taken before earlier accesses are done.

Without FEAT_ETS2 nothing orders a translation after the accesses before it in the program, so a
fault may be taken while they are still to be performed, and the handler's accesses come first. That
is followed here for what has no order of its own: plain accesses and computation, and a DMB ST
after stores only. What the handler reads must not depend on the accesses that are put off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shootdown.litmus.compute import UnknownResultError
from shootdown.litmus.effects import Executor
from shootdown.litmus.instructions import (
    Access,
    Addressing,
    BitField,
    Compute,
    DataBarrier,
    Instruction,
    LabelAddress,
    Load,
    LoadOrder,
    Modified,
    Move,
    MoveKeep,
    Nop,
    Select,
    Store,
    Writeback,
)
from shootdown.litmus.local import registers_read, target
from shootdown.litmus.state import Local
from shootdown.litmus.values import Address

LOCAL = (Move, MoveKeep, Compute, BitField, Select, LabelAddress, Nop)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The access at ``at`` may fault before those from ``local`` on are done."""

    local: Local
    at: Local
    place: Address
    write: bool


def faults_ahead(executor: Executor, local: Local) -> Iterator[Ahead]:
    """The later accesses whose fault may come before the next access of ``local`` is done."""
    column = executor.column(local.at)
    processor = executor.processors[local.at.processor]
    if local.at.handler or processor.handler is None or local.part or local.stop is not None:
        return
    reads = _plain_handler([step.instruction for step in processor.handler.steps])
    if reads is None:
        return
    unknown: set[int] = set()
    loads = False
    state = local
    for index in range(local.at.index, len(column.steps)):
        instruction = column.steps[index].instruction
        read = registers_read(instruction)
        match instruction:
            case Load(register, address, order=LoadOrder.PLAIN, exclusive=False):
                place = _place(executor, state, address, unknown)
                if place is None:
                    return
                if index > local.at.index and not reads & unknown:
                    yield Ahead(local, state, place, False)
                loads = True
                unknown.add(register.number)
            case Store(_, address, release=False):
                place = _place(executor, state, address, unknown)
                if place is None:
                    return
                if index > local.at.index and not reads & unknown:
                    yield Ahead(local, state, place, True)
            case DataBarrier(completes=False, access=Access.STORES) if not loads:
                pass
            case _ if isinstance(instruction, LOCAL):
                number = target(instruction)
                if read & unknown:
                    if isinstance(instruction, Compute) and instruction.flags:
                        unknown.add(-1)
                    if number is not None:
                        unknown.add(number)
                else:
                    after = executor.step(state)
                    assert after is not None
                    state = after
                    if number is not None:
                        unknown.discard(number)
                    continue
            case _:
                return
        state = state.next()


def _place(
    executor: Executor, state: Local, address: Addressing, unknown: set[int]
) -> Address | None:
    """The place in memory of an access that can be put off; ``None``: it cannot."""
    used = {address.base.number}
    if isinstance(address.offset, Modified):
        used.add(address.offset.register.number)
    if used & unknown or address.writeback is not Writeback.NO:
        return None
    try:
        place, _ = executor.address(state, address)
    except UnknownResultError:
        return None
    return place if isinstance(place, Address) else None


def _plain_handler(instructions: list[Instruction]) -> set[int] | None:
    """The registers that a handler reads, if it is nothing but plain loads and computation: a store
    is not performed before it is certain that the exception is taken."""
    found: set[int] = set()
    for instruction in instructions:
        match instruction:
            case Load(order=LoadOrder.PLAIN, exclusive=False):
                found |= registers_read(instruction)
            case _ if isinstance(instruction, LOCAL):
                found |= registers_read(instruction)
            case _:
                return None
    return found
