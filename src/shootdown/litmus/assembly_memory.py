"""Operands of loads, stores and atomic accesses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shootdown.litmus.errors import Unsupported
from shootdown.litmus.instructions import (
    Addressing,
    AtomicAccess,
    AtomicOp,
    CompareAndSwap,
    Instruction,
    Load,
    LoadOrder,
    LoadPair,
    Register,
    Store,
    StoreExclusive,
    StorePair,
    Writeback,
)
from shootdown.litmus.operands import Operands, Reader

_SIZES: Final = {"B": 1, "H": 2, "": 0}


def _size(register: Register, suffix: str) -> int:
    return _SIZES[suffix] or register.bits // 8


def _transferred(operands: Operands, suffix: str) -> tuple[Register, int]:
    """The register that a load or store transfers, and how many bytes of it."""
    register = operands.register(32 if suffix else None)
    operands.expect(",")
    return register, _size(register, suffix)


def _unscaled(operands: Operands) -> Addressing:
    """``[X1,#8]``, without writeback or index register."""
    found = operands.address()
    if not isinstance(found.offset, int) or found.writeback is not Writeback.NO:
        operands.wrong("this instruction takes an address [Xn] or [Xn,#NUMBER]")
    return found


def _distinct(transferred: tuple[Register, ...], address: Addressing) -> None:
    """Writeback into a register that is transferred is CONSTRAINED UNPREDICTABLE (Arm ARM K1)."""
    numbers = [register.number for register in transferred]
    if address.writeback is not Writeback.NO and address.base.number in numbers:
        raise Unsupported(f"writeback to {address.base}, which is transferred too")


def _load(suffix: str, address: Callable[[Operands], Addressing]) -> Reader:
    def read(operands: Operands) -> Instruction:
        register, size = _transferred(operands, suffix)
        place = address(operands)
        _distinct((register,), place)
        return Load(register, place, size)

    return read


def _load_signed(bits: int | None, size: int) -> Reader:
    def read(operands: Operands) -> Instruction:
        register = operands.register(bits)
        operands.expect(",")
        place = operands.address()
        _distinct((register,), place)
        return Load(register, place, size, signed=True)

    return read


def _load_ordered(
    suffix: str, order: LoadOrder, exclusive: bool, address: Callable[[Operands], Addressing]
) -> Reader:
    def read(operands: Operands) -> Instruction:
        register, size = _transferred(operands, suffix)
        return Load(register, address(operands), size, order=order, exclusive=exclusive)

    return read


def _store(suffix: str, release: bool, address: Callable[[Operands], Addressing]) -> Reader:
    def read(operands: Operands) -> Instruction:
        register, size = _transferred(operands, suffix)
        place = address(operands)
        _distinct((register,), place)
        return Store(register, place, size, release)

    return read


def _store_exclusive(suffix: str, release: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        status = operands.register(32)
        operands.expect(",")
        register, size = _transferred(operands, suffix)
        place = operands.base_only()
        if status.number in (register.number, place.base.number):
            raise Unsupported(f"the status of a store exclusive in {status}, which it reads,")
        return StoreExclusive(status, register, place, size, release)

    return read


def _pair(kind: type[LoadPair] | type[StorePair]) -> Reader:
    def read(operands: Operands) -> Instruction:
        first = operands.register()
        operands.expect(",")
        second = operands.register(first.bits)
        operands.expect(",")
        address = operands.address()
        if not isinstance(address.offset, int):
            operands.wrong("a pair is at an address [Xn] or [Xn,#NUMBER]")
        _distinct((first, second), address)
        if kind is LoadPair and first.number == second.number:
            raise Unsupported(f"a pair of loads into one register ({first})")
        return kind(first, second, address, first.bits // 8)

    return read


def _two_and_address(operands: Operands, suffix: str) -> tuple[Register, Register, Addressing]:
    first = operands.register(32 if suffix else None)
    operands.expect(",")
    second = operands.register(first.bits)
    operands.expect(",")
    return first, second, operands.base_only()


def _compare_and_swap(suffix: str, acquire: bool, release: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        expected, new, address = _two_and_address(operands, suffix)
        return CompareAndSwap(expected, new, address, _size(new, suffix), acquire, release)

    return read


def _atomic(op: AtomicOp, suffix: str, acquire: bool, release: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        operand, target, address = _two_and_address(operands, suffix)
        return AtomicAccess(op, operand, target, address, _size(operand, suffix), acquire, release)

    return read


def _atomic_store(op: AtomicOp, suffix: str, release: bool) -> Reader:
    def read(operands: Operands) -> Instruction:
        operand, size = _transferred(operands, suffix)
        nowhere = Register(31, operand.bits)
        return AtomicAccess(op, operand, nowhere, operands.base_only(), size, release=release)

    return read


def readers() -> dict[str, Reader]:
    """By mnemonic."""
    found: dict[str, Reader] = {}
    any_address, plain = Operands.address, Operands.base_only
    for suffix in _SIZES:
        found[f"LDR{suffix}"] = _load(suffix, any_address)
        found[f"LDUR{suffix}"] = _load(suffix, _unscaled)
        found[f"STR{suffix}"] = _store(suffix, False, any_address)
        found[f"STUR{suffix}"] = _store(suffix, False, _unscaled)
        found[f"STLR{suffix}"] = _store(suffix, True, plain)
        found[f"STLUR{suffix}"] = _store(suffix, True, _unscaled)
        for name, order, exclusive, address in (
            ("LDAR", LoadOrder.ACQUIRE, False, plain),
            ("LDAPR", LoadOrder.ACQUIRE_PC, False, plain),
            ("LDAPUR", LoadOrder.ACQUIRE_PC, False, _unscaled),
            ("LDXR", LoadOrder.PLAIN, True, plain),
            ("LDAXR", LoadOrder.ACQUIRE, True, plain),
        ):
            found[name + suffix] = _load_ordered(suffix, order, exclusive, address)
        found[f"STXR{suffix}"] = _store_exclusive(suffix, False)
        found[f"STLXR{suffix}"] = _store_exclusive(suffix, True)
        for order_text in ("", "A", "L", "AL"):
            acquire, release = "A" in order_text, "L" in order_text
            end = order_text + suffix
            found[f"CAS{end}"] = _compare_and_swap(suffix, acquire, release)
            for op in AtomicOp:
                name = op.value if op is AtomicOp.SWP else f"LD{op.value}"
                found[name + end] = _atomic(op, suffix, acquire, release)
                if op is not AtomicOp.SWP and not acquire:
                    found[f"ST{op.value}{end}"] = _atomic_store(op, suffix, release)
    found["LDRSB"] = _load_signed(None, 1)
    found["LDRSH"] = _load_signed(None, 2)
    found["LDRSW"] = _load_signed(64, 4)
    found["LDP"] = found["LDNP"] = _pair(LoadPair)
    found["STP"] = found["STNP"] = _pair(StorePair)
    return found
