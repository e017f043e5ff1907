"""The canonical form of packed states, as LLVM IR text.

``canonical(state)`` replaces a state by the least of its images, words compared as unsigned numbers
from the first on. It goes through all images by proven swaps
(:mod:`shootdown.check.reduce.swaps`), one function for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from shootdown.check.native.layout import Layout, Slot
from shootdown.check.reduce.swaps import Case, Swap, Symmetry
from shootdown.lang.ir import System
from shootdown.lang.shapes import (
    Maybe,
    Members,
    Parts,
    Pointer,
    Renaming,
    Shape,
    changed,
    populations,
    renamed,
)

_ALL = (1 << 64) - 1


def emit_canonical(system: System, layout: Layout, symmetry: Symmetry) -> str:
    """A module part that defines ``i64 @canonical(ptr)``."""
    swaps = [
        _SwapWriter(system, layout, swap).text(f"@swap.{number}")
        for number, swap in enumerate(symmetry.swaps)
    ]
    return "\n".join([*swaps, _walk(layout.words, symmetry)])


class _SwapWriter:
    """One swap of a state of some words."""

    def __init__(self, system: System, layout: Layout, swap: Swap) -> None:
        self.system = system
        self.layout = layout
        self.swap = swap
        self.lines: list[str] = []
        self.numbers = count()

    def new(self, instruction: str) -> str:
        """Append an instruction; the name of its result."""
        name = f"%v{next(self.numbers)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def text(self, name: str) -> str:
        """The function."""
        kind = f"[{self.layout.words} x i64]"
        result = "undef"
        for i, word in enumerate(self.words()):
            result = self.new(f"insertvalue {kind} {result}, i64 {word}, {i}")
        arguments = ", ".join(f"i64 %w{i}" for i in range(self.layout.words))
        body = "\n".join(self.lines)
        head = f"define internal {kind} {name}({arguments}) alwaysinline"
        return f"{head} {{\n{body}\n  ret {kind} {result}\n}}"

    def words(self) -> list[str]:
        """The words of the image."""
        slots, moves = self.layout.slots, self.swap.moves
        words = [f"%w{i}" for i in range(self.layout.words)]
        leaving = [0] * len(words)
        groups: dict[tuple[int, int, int], int] = {}  # from word, to word, shift -> bits
        for variable, to in enumerate(moves):
            old, new = slots[variable], slots[to]
            if to != variable and old.bits:
                leaving[new.word] |= new.mask
                key = (old.word, new.word, new.shift - old.shift)
                groups[key] = groups.get(key, 0) | old.mask
        result = []
        for i, word in enumerate(words):
            kept = self.masked(word, _ALL & ~leaving[i])
            for (source, target, shift), mask in groups.items():
                if target == i:
                    part = self.masked(words[source], mask)
                    if shift:
                        way = "shl" if shift > 0 else "lshr"
                        part = self.new(f"{way} i64 {part}, {abs(shift)}")
                    kept = self.new(f"or i64 {kept}, {part}")
            result.append(kept)
        self.rename_sets(result)
        self.rename_others(result)
        return result

    def masked(self, word: str, mask: int) -> str:
        """Some bits of a word."""
        return word if mask == _ALL else self.new(f"and i64 {word}, {mask}")

    def affected(self) -> Iterator[tuple[int, Case]]:
        """The variables whose values change, where they are now, and when."""
        for variable, to in enumerate(self.swap.moves):
            if self.layout.slots[to].bits:
                for case in self.swap.changing(variable):
                    yield to, case

    def rename_sets(self, words: list[str]) -> None:
        """Exchange the bits of renamed members, in all sets of a word at once."""
        exchanged: dict[tuple[int, int], int] = {}  # word, distance -> lower bits
        for variable, case in self.affected():
            if isinstance(case.shape, Members) and case.counter is None:
                slot = self.layout.slots[variable]
                for low, high in member_swaps(case.shape, self.swap.renaming):
                    key = (slot.word, high - low)
                    exchanged[key] = exchanged.get(key, 0) | 1 << slot.shift + low
        for (word, distance), mask in exchanged.items():
            words[word] = self.exchange(words[word], distance, mask)

    def exchange(self, value: str, distance: int, mask: int) -> str:
        """Exchange each bit of ``mask`` with the one ``distance`` above it."""
        high = self.new(f"lshr i64 {value}, {distance}")
        differ = self.masked(self.new(f"xor i64 {high}, {value}"), mask)
        up = self.new(f"shl i64 {differ}, {distance}")
        return self.new(f"xor i64 {self.new(f'xor i64 {value}, {differ}')}, {up}")

    def rename_others(self, words: list[str]) -> None:
        """Rename what is no set, or names objects only at some steps."""
        for variable, case in self.affected():
            if isinstance(case.shape, Members) and case.counter is None:
                continue
            slot = self.layout.slots[variable]
            old = self.read(words, slot)
            new = self.rename(case.shape, old)
            if case.counter is not None:
                at = self.read(words, self.layout.slots[self.swap.moves[case.counter]])
                new = self.new(f"select i1 {self.among(at, case.steps)}, i64 {new}, i64 {old}")
            if slot.shift:
                new = self.new(f"shl i64 {new}, {slot.shift}")
            rest = self.masked(words[slot.word], _ALL & ~slot.mask)
            words[slot.word] = self.new(f"or i64 {rest}, {new}")

    def read(self, words: list[str], slot: Slot) -> str:
        """The value of a variable."""
        value = words[slot.word]
        if slot.shift:
            value = self.new(f"lshr i64 {value}, {slot.shift}")
        return self.masked(value, (1 << slot.bits) - 1)

    def among(self, value: str, numbers: frozenset[int]) -> str:
        """Whether a value is one of some numbers, as an operand of type i1."""
        result = "false"
        for first, last in ranges(numbers):
            offset = self.new(f"sub i64 {value}, {first}")
            inside = self.new(f"icmp ule i64 {offset}, {last - first}")
            result = self.new(f"or i1 {result}, {inside}")
        return result

    def rename(self, shape: Shape, value: str) -> str:
        """A value with its objects renamed."""
        if shape is None or not changes(shape, self.swap.renaming):
            return value
        match shape:
            case Pointer(population=population):
                result = value
                for old, new in enumerate(self.swap.renaming[population]):
                    if old != new:
                        here = self.new(f"icmp eq i64 {value}, {old}")
                        result = self.new(f"select i1 {here}, i64 {new}, i64 {result}")
                return result
            case Maybe(inner):
                some = self.rename(inner, self.new(f"sub i64 {value}, 1"))
                some = self.new(f"add i64 {some}, 1")
                none = self.new(f"icmp eq i64 {value}, 0")
                return self.new(f"select i1 {none}, i64 0, i64 {some}")
            case Members():
                for low, high in member_swaps(shape, self.swap.renaming):
                    value = self.exchange(value, high - low, 1 << low)
                return value
            case Parts(parts):
                for part in parts:
                    mask = (1 << part.bits) - 1
                    before = self.masked(self.new(f"lshr i64 {value}, {part.shift}"), mask)
                    after = self.rename(part.inner, before)
                    differ = self.new(f"xor i64 {before}, {after}")
                    moved = self.new(f"shl i64 {differ}, {part.shift}")
                    value = self.new(f"xor i64 {value}, {moved}")
        return value


def changes(shape: Shape, renaming: Renaming) -> bool:
    """Whether a renaming can change a value of a shape."""
    return bool(populations(shape) & changed(renaming))


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The first and last numbers of the runs among some numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def member_swaps(shape: Members, renaming: Renaming) -> Sequence[tuple[int, int]]:
    """The pairs of elements of a set that a swap exchanges."""
    return [
        (e, other)
        for e in range(shape.size)
        if e < (other := renamed(shape.inner, e, renaming)) < shape.size
    ]


def _walk(words: int, symmetry: Symmetry) -> str:
    """The function that goes through all images, given the swaps as functions."""
    sequence = symmetry.sequence
    kind = f"[{words} x i64]"
    count = len(symmetry.swaps)
    cases = "  ".join(f"i8 {k}, label %swap{k}" for k in range(count))
    steps = ", ".join(f"i8 {k}" for k in sequence)
    every = range(words)
    lines = [
        f"@swap.sequence = private unnamed_addr constant [{len(sequence)} x i8] [{steps}]",
        "define internal i64 @canonical(ptr noalias %state) {",
        "entry:",
    ]
    for i in every:
        lines += [
            f"  %at{i} = getelementptr {kind}, ptr %state, i64 0, i64 {i}",
            f"  %first{i} = load i64, ptr %at{i}",
        ]
    lines += ["  br label %step", "step:", "  %k = phi i64 [ 0, %entry ], [ %k.next, %swapped ]"]
    for i in every:
        lines += [
            f"  %now{i} = phi i64 [ %first{i}, %entry ], [ %new{i}, %swapped ]",
            f"  %best{i} = phi i64 [ %first{i}, %entry ], [ %better{i}, %swapped ]",
        ]
    lines += [
        f"  %which.at = getelementptr [{len(sequence)} x i8], ptr @swap.sequence, i64 0, i64 %k",
        "  %which = load i8, ptr %which.at",
        f"  switch i8 %which, label %swap0 [ {cases} ]",
    ]
    now = ", ".join(f"i64 %now{i}" for i in every)
    for k in range(count):
        lines += [
            f"swap{k}:",
            f"  %image{k} = call {kind} @swap.{k}({now})",
            "  br label %swapped",
        ]
    pairs = ", ".join(f"[ %image{k}, %swap{k} ]" for k in range(count))
    lines += ["swapped:", f"  %image = phi {kind} {pairs}"]
    less = "false"
    for i in reversed(every):
        lines += [
            f"  %new{i} = extractvalue {kind} %image, {i}",
            f"  %lower{i} = icmp ult i64 %new{i}, %best{i}",
            f"  %same{i} = icmp eq i64 %new{i}, %best{i}",
            f"  %less{i} = select i1 %same{i}, i1 {less}, i1 %lower{i}",
        ]
        less = f"%less{i}"
    lines += [f"  %better{i} = select i1 {less}, i64 %new{i}, i64 %best{i}" for i in every]
    lines += [
        "  %k.next = add i64 %k, 1",
        f"  %more = icmp ult i64 %k.next, {len(sequence)}",
        "  br i1 %more, label %step, label %done",
        "done:",
        *(f"  store i64 %better{i}, ptr %at{i}" for i in every),
        "  ret i64 0",
        "}",
    ]
    return "\n".join(lines)
