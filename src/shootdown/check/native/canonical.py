"""The canonical form of packed states, as LLVM IR text.

``canonical(state)`` replaces a state by the image that stands for all of its images, as
:class:`shootdown.check.reduce.swaps.Symmetry` defines it. Objects are sorted by what is their own;
where that is equal, all orders are tried and the packed words compared, as unsigned numbers from
the first on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, pairwise

from shootdown.check.native.layout import Layout, Slot
from shootdown.check.reduce.swaps import Alike, Case, Swap, Symmetry, changes_within
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
    return "\n".join([*swaps, *_tables(symmetry), _Walk(layout, symmetry).text()])


def emit_orbits(system: System, layout: Layout, symmetry: Symmetry) -> str:
    """A module that defines ``i64 @orbits(ptr %first, i64 %count, i64 %step, ptr %sums)``: adds to
    two numbers how many images each of some canonical states has, and the square of that. ``step``
    is how many bytes one of them is after the other."""
    swaps = [
        _SwapWriter(system, layout, swap).text(f"@swap.{number}")
        for number, swap in enumerate(symmetry.swaps)
    ]
    loop = _ORBITS.format(order=symmetry.order)
    return "\n".join([*swaps, *_tables(symmetry), _Fixed(layout, symmetry).text(), loop])


_ORBITS = """
define i64 @orbits(ptr %first, i64 %count, i64 %step, ptr %sums) {{
  %more = icmp sgt i64 %count, 0
  br i1 %more, label %again, label %end
again:
  %i = phi i64 [ 0, %0 ], [ %next, %again ]
  %at = mul i64 %i, %step
  %state = getelementptr i8, ptr %first, i64 %at
  %fixed = call i64 @fixed(ptr %state)
  %images = udiv i64 {order}, %fixed
  %square = mul i64 %images, %images
  %old = load i64, ptr %sums
  %new = add i64 %old, %images
  store i64 %new, ptr %sums
  %squares = getelementptr i64, ptr %sums, i64 1
  %before = load i64, ptr %squares
  %after = add i64 %before, %square
  store i64 %after, ptr %squares
  %next = add i64 %i, 1
  %left = icmp slt i64 %next, %count
  br i1 %left, label %again, label %end
end:
  ret i64 0
}}
"""


class _Lines:
    """The lines of a function."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers = count()

    def new(self, instruction: str) -> str:
        """Append an instruction; the name of its result."""
        name = f"%v{next(self.numbers)}"
        self.lines.append(f"  {name} = {instruction}")
        return name


class _SwapWriter(_Lines):
    """One swap of a state of some words."""

    def __init__(self, system: System, layout: Layout, swap: Swap) -> None:
        self.system = system
        self.layout = layout
        self.swap = swap
        super().__init__()

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


def _tables(symmetry: Symmetry) -> Iterator[str]:
    """For each class and each pattern of ties (bit ``k``: objects ``k`` and ``k + 1``) where its
    steps begin in a table of steps; the last entry is the end."""
    for number, alike in enumerate(symmetry.classes):
        starts: list[int] = [0]
        steps: list[int] = []
        for pattern in range(1 << len(alike.swaps)):
            steps += changes_within(tuple(bool(pattern >> k & 1) for k in range(len(alike.swaps))))
            starts.append(len(steps))
        for name, kind, content in (("starts", "i32", starts), ("steps", "i8", steps)):
            values = ", ".join(f"{kind} {value}" for value in content)
            shape = f"[{len(content)} x {kind}]"
            yield f"@{name}.{number} = private unnamed_addr constant {shape} [{values}]"


class _Walk(_Lines):
    """The function that sorts the objects of a state and goes through its ties.

    ``%now`` is the image at hand, ``%best`` the least so far; for each class ``%at.c`` and
    ``%end.c`` are what is left of its steps.
    """

    def __init__(self, layout: Layout, symmetry: Symmetry) -> None:
        self.layout = layout
        self.symmetry = symmetry
        self.kind = f"[{layout.words} x i64]"
        super().__init__()

    def do(self, instruction: str) -> None:
        """Append one without a result."""
        self.lines.append(f"  {instruction}")

    def fresh(self, name: str) -> str:
        """A new label."""
        return f"{name}{next(self.numbers)}"

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")

    def text(self) -> str:
        """The function."""
        classes = range(len(self.symmetry.classes))
        for name in ("now", "best"):
            self.do(f"%{name} = alloca {self.kind}")
        for c in classes:
            self.do(f"%at.{c} = alloca i64")
            self.do(f"%end.{c} = alloca i64")
            self.do(f"%start.{c} = alloca i64")
        self.copy("%state", "%now")
        first = 0
        patterns = []
        for alike in self.symmetry.classes:
            self.sort(alike, first)
            patterns.append(self.pattern(alike))
            first += len(alike.swaps)
        tied = "0"
        for pattern in patterns:
            tied = self.new(f"or i64 {tied}, {pattern}")
        many, single, out = self.fresh("many"), self.fresh("single"), self.fresh("out")
        self.do(f"br i1 {self.new(f'icmp eq i64 {tied}, 0')}, label %{single}, label %{many}")
        self.label(single)
        self.copy("%now", "%state")
        self.do("ret i64 0")
        self.label(many)
        self.copy("%now", "%best")
        for c, pattern in enumerate(patterns):
            self.load_steps(c, pattern)
        self.walk(len(self.symmetry.classes) - 1, out)
        self.label(out)
        self.copy("%best", "%state")
        self.do("ret i64 0")
        body = "\n".join(self.lines)
        return f"define internal i64 @canonical(ptr noalias %state) {{\n{body}\n}}"

    # ------------------------------------------------------------------ states

    def copy(self, source: str, target: str) -> None:
        """Copy a state."""
        value = self.new(f"load {self.kind}, ptr {source}")
        self.do(f"store {self.kind} {value}, ptr {target}")

    def words(self, source: str) -> list[str]:
        """The words of a state."""
        value = self.new(f"load {self.kind}, ptr {source}")
        every = range(self.layout.words)
        return [self.new(f"extractvalue {self.kind} {value}, {i}") for i in every]

    def swap(self, number: int) -> None:
        """Swap two objects of the image at hand."""
        words = ", ".join(f"i64 {word}" for word in self.words("%now"))
        image = self.new(f"call {self.kind} @swap.{number}({words})")
        self.do(f"store {self.kind} {image}, ptr %now")

    # ------------------------------------------------------------------ sorting

    def key(self, own: tuple[int, ...], words: list[str]) -> list[str]:
        """The values of an object's own variables."""
        found = []
        for variable in own:
            slot = self.layout.slots[variable]
            if slot.bits:
                value = words[slot.word]
                if slot.shift:
                    value = self.new(f"lshr i64 {value}, {slot.shift}")
                found.append(self.new(f"and i64 {value}, {(1 << slot.bits) - 1}"))
        return found

    def sort(self, alike: Alike, first: int) -> None:
        """Sort the objects of a class by their own variables."""
        if not any(self.layout.slots[v].bits for v in alike.own[0]):
            return
        for last in range(len(alike.swaps), 0, -1):
            for k in range(last):
                words = self.words("%now")
                left, right = self.key(alike.own[k], words), self.key(alike.own[k + 1], words)
                greater = "false"
                for a, b in reversed(list(zip(left, right, strict=True))):
                    same = self.new(f"icmp eq i64 {a}, {b}")
                    above = self.new(f"icmp ugt i64 {a}, {b}")
                    greater = self.new(f"select i1 {same}, i1 {greater}, i1 {above}")
                change, after = self.fresh("change"), self.fresh("after")
                self.do(f"br i1 {greater}, label %{change}, label %{after}")
                self.label(change)
                self.swap(first + k)
                self.do(f"br label %{after}")
                self.label(after)

    def pattern(self, alike: Alike) -> str:
        """Which neighbours are tied, a bit for each two."""
        words = self.words("%now")
        keys = [self.key(own, words) for own in alike.own]
        result = "0"
        for k, (left, right) in enumerate(pairwise(keys)):
            tie = "true"
            for a, b in zip(left, right, strict=True):
                tie = self.new(f"and i1 {tie}, {self.new(f'icmp eq i64 {a}, {b}')}")
            bit = self.new(f"select i1 {tie}, i64 {1 << k}, i64 0")
            result = self.new(f"or i64 {result}, {bit}")
        return result

    # ------------------------------------------------------------------ ties

    def load_steps(self, c: int, pattern: str) -> None:
        """Where the steps of a class begin and end."""
        entries = (1 << len(self.symmetry.classes[c].swaps)) + 1
        after = self.new(f"add i64 {pattern}, 1")
        for name, index in (("start", pattern), ("end", after)):
            at = self.new(f"getelementptr [{entries} x i32], ptr @starts.{c}, i64 0, i64 {index}")
            wide = self.new(f"zext i32 {self.new(f'load i32, ptr {at}')} to i64")
            self.do(f"store i64 {wide}, ptr %{name}.{c}")

    def walk(self, c: int, out: str) -> None:
        """Go through all orders of the classes up to ``c``, then to ``out``."""
        if c < 0:
            self.compare()
            self.do(f"br label %{out}")
            return
        again, inner, step = self.fresh("again"), self.fresh("inner"), self.fresh("step")
        self.do(f"store i64 {self.new(f'load i64, ptr %start.{c}')}, ptr %at.{c}")
        self.do(f"br label %{again}")
        self.label(again)
        self.walk(c - 1, inner)
        self.label(inner)
        at = self.new(f"load i64, ptr %at.{c}")
        left = self.new(f"icmp ult i64 {at}, {self.new(f'load i64, ptr %end.{c}')}")
        self.do(f"br i1 {left}, label %{step}, label %{out}")
        self.label(step)
        self.do(f"store i64 {self.new(f'add i64 {at}, 1')}, ptr %at.{c}")
        where = self.new(f"getelementptr i8, ptr @steps.{c}, i64 {at}")
        which = self.new(f"load i8, ptr {where}")
        alike = self.symmetry.classes[c]
        first = sum(len(other.swaps) for other in self.symmetry.classes[:c])
        labels = [self.fresh("swap") for _ in alike.swaps]
        cases = "  ".join(f"i8 {k}, label %{label}" for k, label in enumerate(labels))
        self.do(f"switch i8 {which}, label %{labels[0]} [ {cases} ]")
        for k, label in enumerate(labels):
            self.label(label)
            self.swap(first + k)
            self.do(f"br label %{again}")

    def compare(self) -> None:
        """Keep the image at hand if it is less than the best."""
        now, best = self.words("%now"), self.words("%best")
        less = "false"
        for a, b in reversed(list(zip(now, best, strict=True))):
            same = self.new(f"icmp eq i64 {a}, {b}")
            below = self.new(f"icmp ult i64 {a}, {b}")
            less = self.new(f"select i1 {same}, i1 {less}, i1 {below}")
        keep, kept = self.fresh("keep"), self.fresh("kept")
        self.do(f"br i1 {less}, label %{keep}, label %{kept}")
        self.label(keep)
        self.copy("%now", "%best")
        self.do(f"br label %{kept}")
        self.label(kept)


class _Fixed(_Walk):
    """The function that counts the orders of the objects that give the same state again: ``fixed``
    of a canonical state. Only objects whose own variables are equal can change places there."""

    def text(self) -> str:
        """The function."""
        classes = range(len(self.symmetry.classes))
        self.do(f"%now = alloca {self.kind}")
        self.do("%same = alloca i64")
        for c in classes:
            self.do(f"%at.{c} = alloca i64")
            self.do(f"%end.{c} = alloca i64")
            self.do(f"%start.{c} = alloca i64")
        self.copy("%state", "%now")
        self.do("store i64 0, ptr %same")
        for c, alike in enumerate(self.symmetry.classes):
            self.load_steps(c, self.pattern(alike))
        out = self.fresh("out")
        self.walk(len(self.symmetry.classes) - 1, out)
        self.label(out)
        self.do(f"ret i64 {self.new('load i64, ptr %same')}")
        body = "\n".join(self.lines)
        return f"define internal i64 @fixed(ptr noalias %state) {{\n{body}\n}}"

    def compare(self) -> None:
        """Count the image at hand if it is the state."""
        equal = "true"
        for a, b in zip(self.words("%now"), self.words("%state"), strict=True):
            equal = self.new(f"and i1 {equal}, {self.new(f'icmp eq i64 {a}, {b}')}")
        one = self.new(f"zext i1 {equal} to i64")
        before = self.new("load i64, ptr %same")
        self.do(f"store i64 {self.new(f'add i64 {before}, {one}')}, ptr %same")
