"""Random programs in the modelling language, as source text over the state of ``lang.zoo``.

Every local has one type, told by its name, and a value from the beginning, so that nearly every
program compiles. Integers are stored ``% 4`` most of the time: the rest tries range violations.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from random import Random

LOCALS = {
    "i0": "0",
    "i1": "1",
    "b0": "False",
    "s0": "set()",
    "p0": "Page(0)",
    "w0": "Pte()",
    "o0": "None",
    "m0": "Mode.OFF",
}
BY_TYPE = {
    "int": ("i0", "i1"),
    "bool": ("b0",),
    "set": ("s0",),
    "page": ("p0",),
    "word": ("w0",),
    "frame": ("o0",),
    "mode": ("m0",),
}
NUMBERS = (
    "mm.a", "mm.b", "mm.c", "total", "mm.seen", "g0.n", "len(mm.pages)", "this(Cpu).index",
)  # fmt: skip
HELPERS = """
@path
def bump(place: Ref[int], n: int) -> int:
    x = place
    WRITE_ONCE(place, (x + n) % 4)
    return READ_ONCE(place) + x

@path
def mark_dirty(ptep: Ref[Pte], g0: Gather) -> bool:
    if ptep.dirty:
        g0.n = (g0.n + 1) % 4
        return True
    return test_and_set_bit(ptep.present)

@path
def collect(g0: Gather, page: Page, *, twice: bool = False) -> None:
    g0.pages.add(page)
    if twice:
        g0.n = (g0.n + 2) % 4

@atomic
def both(mm: Mm, n: int) -> tuple[int, bool]:
    mm.a = n % 4
    mm.flag = not mm.flag
    if mm.b > 1:
        return (mm.a, mm.flag)
    return (3 - mm.a, True)
"""
KEEP = """
@invariant("KEEP")
def keep() -> bool:
    mm = Mm(0)
    whole = mm.a + mm.b + mm.c + len(mm.pages) + sum(mm.by_mode[m] for m in Mode) + total
    return (mm.flag or mm.owner is None or mm.mode == Mode.OFF or whole < 99 or mm.seen < 9
            or any(mm.pte[p] == Pte() for p in Page) or any(f.uses == 3 for f in Frame))
"""


class Generator:
    """Writes functions. ``depth`` bounds nesting; ``choices`` allows ``choose``."""

    def __init__(self, rng: Random, *, choices: bool = True, wild: float = 0.02) -> None:
        self.rng = rng
        self.choices = choices
        self.wild = wild  # how often a value is stored without being brought into its range
        self.loops = 0
        self.in_loop = False
        self.held: list[str] = []
        self.helpers: list[str] = []
        self.inside = "main"

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    # ------------------------------------------------------------------ expressions

    def of(self, kind: str, depth: int = 2) -> str:
        """An expression of a type."""
        if depth <= 0 or self.rng.random() < 0.2:
            return self.simple(kind)
        return str(getattr(self, f"{kind}_of")(depth - 1))

    def simple(self, kind: str) -> str:
        local = self.rng.choice(BY_TYPE[kind])
        return {
            "int": self.pick(local, local, "0", "1", "2", *NUMBERS),
            "bool": self.pick(local, "True", "mm.flag", "w0.dirty", "mm.pte[p0].present", "NESTED"),
            "set": self.pick(local, "mm.pages", "{p0}", "g0.pages", "{p for p in Page}", "set()"),
            "page": self.pick(local, "Page(0)", "Page(1)"),
            "word": self.pick(local, "Pte()", "mm.pte[p0]", "mm.pte[Page(1)]", "EMPTY", "g0.pte"),
            "frame": self.pick(local, "mm.owner", "None", "Frame(0)", "Frame(1)"),
            "mode": self.pick(local, "mm.mode", "Mode.OFF", "Mode.SLOW", "Mode.FAST"),
        }[kind]  # fmt: skip

    def int_of(self, d: int) -> str:
        of = self.of
        options: list[Callable[[], str]] = [
            lambda: f"({of('int', d)} {self.pick('+', '-', '*')} {of('int', d)})",
            lambda: f"({of('int', d)} // {self.pick('2', '3')})",
            lambda: f"({of('int', d)} % {self.pick('2', '3', '5')})",
            lambda: f"({of('int', d)} % 8 {self.pick('&', '|', '^')} {of('int', d)} % 4)",
            lambda: f"({of('int', d)} % 4 {self.pick('<<', '>>')} {of('int', d)} % 3)",
            lambda: f"{self.pick('min', 'max')}({of('int', d)}, {of('int', d)})",
            lambda: f"abs({of('int', d)})",
            lambda: f"-{of('int', d)}",
            lambda: f"int({of('bool', d)})",
            lambda: f"len({of('set', d)})",
            lambda: f"mm.by_mode[{of('mode', d)}]",
            lambda: f"({of('int', d)} if {of('bool', d)} else {of('int', d)})",
            lambda: f"sum(q.index + {of('int', 0)} for q in {of('set', d)} if {self.test('q')})",
            lambda: f"sum({of('int', 0)} for m in Mode if m != {of('mode', d)})",
            lambda: f"{of('page', d)}.index",
        ]
        if self.choices:
            options.append(lambda: "choose(0, 3, i0)")
        return self.rng.choice(options)()

    def test(self, page: str) -> str:
        """A condition about a page."""
        return self.pick(
            f"mm.pte[{page}].present", f"mm.pte[{page}] == w0", f"{page} in s0",
            f"{page} in mm.pages", f"{page} != p0", f"{page}.index == i0", "b0",
        )  # fmt: skip

    def bool_of(self, d: int) -> str:
        of = self.of
        compare = self.pick("==", "!=", "<", "<=", ">", ">=")
        same = self.pick("==", "!=")
        options: list[Callable[[], str]] = [
            lambda: f"(not {of('bool', d)})",
            lambda: f"({of('bool', d)} {self.pick('and', 'or')} {of('bool', d)})",
            lambda: f"({of('bool', d)} and {of('bool', d)} or {of('bool', d)})",
            lambda: f"({of('int', d)} {compare} {of('int', d)})",
            lambda: f"({of('int', d)} <= {of('int', d)} < {of('int', d)})",
            lambda: f"({of('mode', d)} {same} {of('mode', d)})",
            lambda: f"({of('frame', d)} {same} {of('frame', d)})",
            lambda: f"({of('frame', d)} is {self.pick('', 'not ')}None)",
            lambda: f"({of('word', d)} {same} {of('word', d)})",
            lambda: f"({of('set', d)} {self.pick('==', '!=', '<=')} {of('set', d)})",
            lambda: f"({of('page', d)} {self.pick('in', 'not in')} {of('set', d)})",
            lambda: f"({of('int', d)} {self.pick('in', 'not in')} {{1, 2, {of('int', 0)} % 4}})",
            lambda: f"({of('frame', d)} in (Frame(0), mm.owner))",
            lambda: f"{self.pick('any', 'all')}({self.test('q')} for q in {of('set', d)})",
            lambda: f"any({self.test('q')} and mm.pte[q].frame == f for q in Page for f in Frame)",
            lambda: f"bool({of('int', d)} {self.pick('or', 'and')} {of('set', d)})",
            lambda: f"({of('bool', d)} {self.pick('&', '|', '^')} {of('bool', d)})",
            lambda: f"({of('frame', d)} is not None and i0 == 1)",
        ]
        return self.rng.choice(options)()

    def set_of(self, d: int) -> str:
        of = self.of
        options: list[Callable[[], str]] = [
            lambda: f"({of('set', d)} {self.pick('|', '&', '-', '^')} {of('set', d)})",
            lambda: f"{{{of('page', d)}, {of('page', d)}}}",
            lambda: f"{{q for q in {of('set', d)} if {self.test('q')}}}",
            lambda: f"{{{of('page', 0)} for q in {of('set', d)} if {self.test('q')}}}",
            lambda: f"({of('set', d)} if {of('bool', d)} else {of('set', d)})",
        ]
        return self.rng.choice(options)()

    def page_of(self, d: int) -> str:
        options: list[Callable[[], str]] = [
            lambda: f"Page({self.of('int', d)} % 2)",
            lambda: f"({self.of('page', d)} if {self.of('bool', d)} else {self.of('page', d)})",
        ]
        if self.choices:
            options.append(lambda: "choose(Page)")
        return self.rng.choice(options)()

    def word_of(self, d: int) -> str:
        of = self.of
        options: list[Callable[[], str]] = [
            lambda: f"Pte(present={of('bool', d)}, frame=Frame({of('int', d)} % 2))",
            lambda: f"replace({of('word', d)}, dirty={of('bool', d)})",
            lambda: f"mm.pte[{of('page', d)}]",
            lambda: f"({of('word', d)} if {of('bool', d)} else {of('word', d)})",
        ]
        return self.rng.choice(options)()

    def frame_of(self, d: int) -> str:
        of = self.of
        options: list[Callable[[], str]] = [
            lambda: f"{of('word', d)}.frame",
            lambda: f"({of('frame', d)} if {of('bool', d)} else {of('frame', d)})",
            lambda: f"Frame({of('int', d)} % 2)",
        ]
        return self.rng.choice(options)()

    def mode_of(self, d: int) -> str:
        return f"({self.of('mode', d)} if {self.of('bool', d)} else {self.of('mode', d)})"

    def number(self, depth: int = 2) -> str:
        """An integer to be stored: in its range, nearly always."""
        if self.rng.random() < self.wild:
            return self.of("int", depth)
        return f"{self.of('int', depth)} % 4"

    # ------------------------------------------------------------------ statements

    def block(self, size: int, depth: int) -> str:
        """Some statements."""
        count = self.rng.randint(1, size)
        return "\n".join(self.statement(depth) for _ in range(count))

    def statement(self, depth: int) -> str:
        """One statement."""
        simple = [
            self.local, self.local, self.shared, self.shared, self.change, self.atomic_operation,
            self.call,
        ]  # fmt: skip
        nested = [self.if_, self.for_, self.while_, self.with_]
        if depth > 0 and self.rng.random() < 0.4:
            return str(self.rng.choice(nested)(depth - 1))
        if self.rng.random() < 0.04:
            return self.jump()
        return str(self.rng.choice(simple)())

    def local(self) -> str:
        kind = self.rng.choice(list(BY_TYPE))
        name = self.rng.choice(BY_TYPE[kind])
        value = self.of(kind)
        if kind == "int":
            value = f"{value} % 8" + self.pick("", "", " - 3")
        return f"{name} = {value}"

    def shared(self) -> str:
        of = self.of
        options: list[Callable[[], str]] = [
            lambda: f"{self.pick('mm.a', 'mm.b', 'mm.c', 'g0.n')} = {self.number()}",
            lambda: f"WRITE_ONCE(total, {self.number()})",
            lambda: f"mm.by_mode[{of('mode', 1)}] = {self.number()}",
            lambda: f"mm.seen = {of('int')} % 8",
            lambda: f"mm.flag = {of('bool')}",
            lambda: f"mm.mode = {of('mode')}",
            lambda: f"mm.owner = {of('frame')}",
            lambda: f"mm.pages = {of('set')}",
            lambda: f"g0.pages = {of('set')}",
            lambda: f"mm.pte[{of('page', 1)}] = {of('word')}",
            lambda: f"w0.{self.pick('present', 'dirty')} = {of('bool')}",
            lambda: f"g0.pte.{self.pick('present', 'dirty')} = {of('bool')}",
            lambda: f"Frame({of('int', 1)} % 2).uses = {self.number()}",
            lambda: f"if mm.owner is not None:\n    mm.owner.uses = {self.number(1)}",
            lambda: f"i0, b0 = both(mm, {of('int', 1)})",
            lambda: f"i0, i1 = (i1, {of('int', 1)} % 8)",
            lambda: "w0.frame.uses = 2",
        ]
        if self.rng.random() < self.wild * 5:
            options = [lambda: "mm.owner.uses = 1", lambda: "i0 = mm.owner.uses"]
        return self.rng.choice(options)()

    def change(self) -> str:
        of = self.of
        guarded = self.rng.random() >= self.wild * 5
        pages = self.pick("mm.pages", "s0", "g0.pages")
        inc = self.pick("mm.c += 1", "atomic_inc(mm.c)", "i1 = atomic_inc_return(mm.c)")
        dec = self.pick("mm.c -= 1", "atomic_dec(mm.c)", "b0 = atomic_dec_and_test(mm.c)")
        up = "if mm.c < 3:\n    " if guarded else ""
        down = "if mm.c > 0:\n    " if guarded else ""
        return self.rng.choice(
            [
                up + inc,
                down + dec,
                f"{pages}.{self.pick('add', 'discard')}({of('page', 1)})",
                f"{pages} {self.pick('|=', '&=', '-=')} {of('set', 1)}",
                f"i0 %= {self.pick('2', '3')}",
                f"mm.seen ^= {of('int', 1)} % 4",
                'note("{} and {}", i0, p0)',
            ]
        )

    def atomic_operation(self) -> str:
        of = self.of
        return self.rng.choice(
            [
                f"w0 = xchg(mm.pte[{of('page', 1)}], {of('word', 1)})",
                f"i0 = xchg(mm.b, {self.number(1)})",
                f"i1 = cmpxchg(mm.a, {of('int', 1)} % 4, {of('int', 1)} % 4)",
                f"b0 = try_cmpxchg(mm.pte[p0], {of('word', 1)}, {of('word', 1)})",
                f"o0 = xchg(mm.owner, {of('frame', 1)})",
                f"set_bit(mm.pte[{of('page', 1)}].dirty)",
                f"b0 = test_and_clear_bit(mm.pte[{of('page', 1)}].present)",
                "b0 = test_and_set_bit(mm.flag)",
                f"WRITE_ONCE(mm.mode, {of('mode', 1)})",
                "i0 = READ_ONCE(total)",
                'event("now")',
            ]
        )

    def call(self) -> str:
        of = self.of
        place = self.pick("mm.a", "mm.by_mode[m0]", "total", "mm.b")
        if self.helpers and self.rng.random() < 0.5:
            name = self.rng.choice(self.helpers)
            arguments = f"{of('int', 1)} % 8, {of('page', 1)}, {of('word', 1)}, {of('set', 1)}, g0"
            return f"i1 = {name}(mm, {arguments}) % 8"
        return self.rng.choice(
            [
                f"i0 = bump({place}, {of('int', 1)})",
                f"b0 = mark_dirty(mm.pte[{of('page', 1)}], g0)",
                f"collect(g0, {of('page', 1)})",
                f"collect(g0, page={of('page', 0)}, twice=True)",
                f"bump({place}, 1)",
            ]
        )

    def jump(self) -> str:
        if self.in_loop and self.rng.random() < 0.8:
            return self.pick("break", "continue")
        if self.rng.random() < 0.5:
            return f'assert {self.of("bool")}, "INV-R: r"'
        return "return" if self.inside == "main" else f"return {self.of('int', 1)}"

    def if_(self, depth: int) -> str:
        text = f"if {self.of('bool', 3)}:\n{indented(self.block(2, depth))}"
        if self.rng.random() < 0.3:
            text += f"\nelif {self.of('bool')}:\n{indented(self.block(2, depth))}"
        if self.rng.random() < 0.5:
            text += f"\nelse:\n{indented(self.block(2, depth))}"
        return text

    def for_(self, depth: int) -> str:
        head = self.pick(
            "p0 in Page", f"p0 in {self.of('set', 1)}", "i0 in range(2)", "m0 in Mode",
            "i1, p0 in enumerate(Page)", "i0, b0 in ((2, True), (3, False))",
            "i0, p0 in zip((1, 3), reversed(Page))", "p0 in (Page(1), p0)",
        )  # fmt: skip
        return f"for {head}:\n{indented(self.loop_body(depth))}"

    def loop_body(self, depth: int) -> str:
        outer, self.in_loop = self.in_loop, True
        body = self.block(2, depth)
        self.in_loop = outer
        return body

    def while_(self, depth: int) -> str:
        self.loops += 1
        k = f"k{self.loops}"
        condition = f"{k} < 2" + self.pick("", f" and {self.of('bool', 1)}")
        body = f'{k} += 1\nevent("round")\n{self.loop_body(depth)}'
        return f"{k}: int = ranged(0, 2)\n{k} = 0\nwhile {condition}:\n{indented(body)}"

    def with_(self, depth: int) -> str:
        free = [n for n in ("mm.ptl", "mm.lru", "mm.sem.read()", "mm.sem.write()")
                if n.split(".")[1] not in self.held]  # fmt: skip
        if not free:
            return self.local()
        lock = self.rng.choice(free)
        self.held.append(lock.split(".")[1])
        body = self.block(2, depth)
        self.held.pop()
        return f"with {lock}:\n{indented(body)}"

    # ------------------------------------------------------------------ functions

    def helper(self, name: str, size: int, depth: int) -> str:
        """A path with parameters that returns a number, possibly from the middle."""
        self.inside = name
        start = "\n".join(f"{n} = {v}" for n, v in LOCALS.items() if n in ("i1", "b0", "o0", "m0"))
        body = f"{start}\n{self.block(size, depth)}\nreturn {self.of('int', 1)}"
        self.helpers.append(name)
        self.inside = "main"
        parameters = "mm: Mm, i0: int, p0: Page, w0: Pte, s0: set[Page], g0: Gather"
        return f"\n@path\ndef {name}({parameters}) -> int:\n{indented(body)}\n"

    def program(self, size: int, depth: int, helpers: int = 2) -> str:
        """Helpers, each of which may call those before it, and ``main``."""
        text = "".join(self.helper(f"step{i}", 3, min(depth, 2)) for i in range(helpers))
        return HELPERS + text + self.main(size, depth)

    def main(self, size: int, depth: int, name: str = "main") -> str:
        """A path of its own."""
        start = "\n".join(f"{local} = {value}" for local, value in LOCALS.items())
        body = f'g0 = Gather()\n{start}\nevent("begin")\n{self.block(size, depth)}'
        return f"\n@path\ndef {name}(mm: Mm) -> None:\n{indented(body)}\n"


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")
