"""Arithmetic on names against arithmetic on numbers, for two choices of where pages are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from shootdown.litmus.compute import (
    Code,
    Low,
    PageNumber,
    UnknownResultError,
    Word,
    compare,
    compute,
    cut,
    extended,
    flag_bits,
    same,
)
from shootdown.litmus.instructions import Alu, Cond, Extend
from shootdown.litmus.values import Address, Physical, Pte, PteAddress

Layout = dict[str, int]
LAYOUTS: tuple[Layout, ...] = (
    {"x": 0x12345000, "y": 0x7654321000, "PTE(x)": 0x5000008, "code": 0x400000, "PA(x)": 0x88000},
    {"x": 0xFFFF800000002000, "y": 0x3000, "PTE(x)": 0x7000, "code": 0x8000, "PA(x)": 0x9000},
)
NUMBERS = [
    0,
    1,
    8,
    12,
    0x80,
    0x400,
    0xFFF,
    0xFFFFFFFF,
    1 << 51,
    (1 << 64) - 1,
    ~0x400 & (1 << 64) - 1,
]
SYMBOLS: list[Word] = [
    Address("x"), Address("x", 8), Address("y"), PteAddress("x"), PageNumber("x"),
    PageNumber("PTE(x)"), Code(0, False, 1), Code(0, False, 3), Pte(Physical("x")),
    Pte(Physical("x"), af=0, db=0, dbm=1), Pte(Physical("x"), valid=0, el0=0, x=0),
]  # fmt: skip
WORDS: list[Word] = [*NUMBERS, *SYMBOLS, *(Low(s, 32) for s in SYMBOLS[:6] + SYMBOLS[8:])]  # type: ignore[arg-type]


def number(word: Word, at: Layout) -> int:
    """What a value is if its pages are there."""
    match word:
        case int():
            return word
        case Address(name, offset):
            return at[name] + offset & (1 << 64) - 1
        case PteAddress():
            return at[str(word)]
        case PageNumber(name):
            return at[name] >> 12
        case Code(_, _, index):
            return at["code"] + 4 * index & (1 << 64) - 1
        case Pte():
            return flag_bits(word) | at[str(word.oa)] | 3 << 8 | 1 << 2 | 1 << 1
        case Low(whole, bits):
            return number(whole, at) & (1 << bits) - 1
    raise AssertionError(word)


def pairs(bits: int) -> Iterator[tuple[Word, Word]]:
    words = dict.fromkeys(cut(word, bits) for word in WORDS)
    return itertools.product(words, words)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("op", Alu)
def test_results(op: Alu, bits: int) -> None:
    known = 0
    for left, right in pairs(bits):
        try:
            found = compute(op, left, right, bits)
        except UnknownResultError:
            continue
        known += not isinstance(left, int)
        for at in LAYOUTS:
            wanted = compute(op, number(left, at), number(right, at), bits)
            assert number(found, at) == wanted, (left, right, found)
    assert known or op in (Alu.ORN, Alu.EON)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("op", [Alu.ADD, Alu.SUB, Alu.AND, Alu.BIC])
def test_flags(op: Alu, bits: int) -> None:
    known = 0
    for left, right in pairs(bits):
        try:
            found = compare(op, left, right, bits)
        except UnknownResultError:
            continue
        for at, cond in itertools.product(LAYOUTS, Cond):
            wanted = compare(op, number(left, at), number(right, at), bits).hold(cond)
            try:
                held = found.hold(cond)
            except UnknownResultError:
                continue
            known += not isinstance(left, int)
            assert held == wanted, (left, right, cond)
    assert known


def test_equality() -> None:
    for left, right in pairs(64):
        try:
            found = same(left, right)
        except UnknownResultError:
            continue
        for at in LAYOUTS:
            assert found == (number(left, at) == number(right, at)), (left, right)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("extend", Extend)
def test_extension(extend: Extend, bits: int) -> None:
    for word, amount in itertools.product(WORDS, (0, 2, 12)):
        value = cut(word, bits)
        try:
            found = extended(value, extend, amount, bits)
        except UnknownResultError:
            continue
        for at in LAYOUTS:
            assert number(found, at) == extended(number(value, at), extend, amount, bits)
