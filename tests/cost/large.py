"""Random text about sets of large populations, and what it means in Python: bit sets are sets, and
spans are hulls."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from shootdown.cost.workload import Machine
from shootdown.lang import Array, Object, ranged

BIGS, PAGES = 130, 70


class Big(Object):
    pass


class Page(Object):
    pass


class Frame(Object):
    pass


class Box(Object):
    bits: set[Big]
    pages: set[Page]
    total: int = ranged(0, 3)
    hits: Array[Big, int] = ranged(0, 3)
    seen: Array[Page, int] = ranged(0, 3)


MACHINE = Machine("large", Big, Frame, {}, frozenset({Page}), frozenset())
HEAD = """
from cost.large import *
from shootdown.lang import *

@path
def B(s: set[Big]) -> set[Big]:
    return s

@path
def H(s: set[Page]) -> set[Page]:
    return s

@path
def main(box: Box) -> None:
"""

# ------------------------------------------------------------------ what Python says


class Item(int):
    @property
    def index(self) -> int:
        return int(self)


class Bits(set[Item]):
    def __iter__(self) -> Iterator[Item]:
        return iter(sorted(super().__iter__()))


class Hull:
    """From the first element to the last."""

    def __init__(self, items: Any = ()) -> None:
        numbers = [int(i) for i in items]
        self.range = range(min(numbers), max(numbers) + 1) if numbers else range(0)

    def __iter__(self) -> Iterator[Item]:
        return (Item(i) for i in self.range)

    def __len__(self) -> int:
        return len(self.range)

    def __contains__(self, item: int) -> bool:
        return item in self.range

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hull) and self.range == other.range

    __hash__ = None  # type: ignore[assignment]

    def __le__(self, other: Hull) -> bool:
        return set(self.range) <= set(other.range)

    def __or__(self, other: Any) -> Hull:
        return Hull({*self, *other})

    def __and__(self, other: Any) -> Hull:
        return Hull(set(self) & set(Hull(other)))

    def __sub__(self, other: Any) -> Hull:
        return Hull(set(self) - set(Hull(other)))

    def __getitem__(self, at: int) -> Item:
        return Item(self.range[at])

    def add(self, item: int) -> None:
        self.range = Hull({*self, item}).range

    def discard(self, item: int) -> None:
        self.range = Hull(set(self) - {item}).range


class State:
    def __init__(self) -> None:
        self.bits, self.pages, self.total = Bits(), Hull(), 0
        self.hits, self.seen = [0] * BIGS, [0] * PAGES


def in_python(text: str) -> State:
    state = State()
    names = {"B": Bits, "H": Hull, "Big": Item, "Page": Item, "box": state}
    exec(compile(text, "generated", "exec"), names)
    return state


# ------------------------------------------------------------------ random text


class Text:
    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def number(self) -> str:
        r = self.rng
        return r.choice((
            "i0", "i1", str(r.randrange(200)), "len(b0)", "len(s0)", "sum(x.index for x in b1)",
            "sum(x.index % 5 for x in s1 if x.index > i0)", "len({x for x in b0 if x.index > 64})",
        ))  # fmt: skip

    def big(self) -> str:
        number = self.rng.choice((0, 1, 62, 63, 64, 65, 127, 128, 129, self.rng.randrange(BIGS)))
        return self.rng.choice((f"Big({number})", f"Big(({self.number()}) % {BIGS})"))

    def page(self) -> str:
        return self.rng.choice((
            f"Page({self.rng.randrange(PAGES)})", f"Page(({self.number()}) % {PAGES})",
        ))  # fmt: skip

    def of(self, letter: str) -> str:
        """A set of bits or a span."""
        r, other = self.rng, f"{letter}{self.rng.randrange(2)}"
        if letter == "b":
            return r.choice((
                other, "box.bits", f"B({{{self.big()}, {self.big()}}})",
                f"B({{x for x in {other} if x.index % 3 != i0 % 3}})",
                f"B({other} {r.choice('|&-^')} b1)", f"B({other} - {{{self.big()}}})",
            ))  # fmt: skip
        return r.choice((
            other, "box.pages", f"H({{{self.page()}, {self.page()}}})",
            f"H({{x for x in {other} if x.index % 3 != i0 % 3}})",
            f"H({other} {r.choice('|&-')} s1)", f"H({other} - {{{self.page()}}})",
        ))  # fmt: skip

    def test(self) -> str:
        r = self.rng
        letter, one = r.choice((("b", self.big), ("s", self.page)))
        return r.choice((
            f"{one()} in {letter}0", f"{one()} not in {letter}1", f"{letter}0 == {letter}1",
            f"{letter}0 <= {letter}1", f"any(x.index == i0 for x in {letter}0)",
            f"all(x in {letter}0 for x in {letter}1)", "i0 < i1", f"len({letter}0) > 2",
        ))  # fmt: skip

    def statement(self, depth: int = 2) -> list[str]:
        r = self.rng
        letter, make, one = r.choice((("b", "B", self.big), ("s", "H", self.page)))
        name, shared = f"{letter}{r.randrange(2)}", "bits" if letter == "b" else "pages"
        if depth and r.random() < 0.3:
            head = r.choice((
                f"if {self.test()}:", f"for x in {name}:", f"for i1 in range({r.randrange(5)}):",
            ))  # fmt: skip
            body = self.statement(depth - 1)
            if head.startswith("for x"):
                array = "hits" if letter == "b" else "seen"
                body = ["i0 = (i0 * 7 + x.index) % 1009", f"box.{array}[x] = i0"]
            return [head, *(f"    {line}" for line in body)]
        return r.choice((
            f"{name} = {make}({self.of(letter)})", f"{name}.add({one()})",
            f"{name}.discard({one()})", f"box.{shared} = {make}({self.of(letter)})",
            f"box.{shared}.add({one()})", f"box.{shared}.discard({one()})",
            f"i{r.randrange(2)} = ({self.number()}) % 300", f"box.total = {self.number()}",
            f"box.hits[{self.big()}] = {self.number()}", f"{name} = {make}({name} | {letter}1)",
            "if len(s0) > 1:\n    box.seen[s0[1]] = s0[-1].index" if letter == "s" else "i0 = 5",
        )).splitlines()  # fmt: skip

    def body(self, size: int) -> str:
        lines = ["b0 = B({Big(64)})", "b1 = B({Big(1), Big(129)})", "s0 = H({Page(3)})",
                 "s1 = H({Page(5), Page(60)})", "i0 = 1", "i1 = 2"]  # fmt: skip
        for _ in range(size):
            lines += "\n".join(self.statement()).splitlines()
        return "\n".join([*lines, "box.total = len(b0) * 1000 + len(s0)"])
