"""Random systems at the level of ``lang.ir``, for comparing engines.

They keep the promises that the compiler makes (stores within a variable's size, arithmetic within
64 bits, acyclic bodies) and otherwise use every part of the language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from shootdown.lang.ir import (
    BINARY_OPS,
    Action,
    Binary,
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Cover,
    Done,
    Expr,
    Failure,
    FailureKind,
    Guard,
    Jump,
    Load,
    Location,
    Note,
    NoteKind,
    Op,
    Place,
    Process,
    Property,
    Reg,
    Select,
    Set,
    Shown,
    StepInfo,
    Store,
    System,
    Terminator,
    Unary,
    Variable,
)

HERE = Location("random_ir.py", 1)
LINES = 12
LOGIC = ("eq", "ne", "lt", "le", "gt", "ge")
REGISTERS = 3


@dataclass(slots=True)
class Group:
    """Variables of one size that places can name: ``dims`` are (stride, extent)."""

    base: int
    dims: tuple[tuple[int, int], ...]
    size: int


@dataclass(slots=True)
class Generator:
    """Draws the parts of one system; ``pick(n)`` is a number below ``n``."""

    pick: Callable[[int], int]
    groups: list[Group] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    init: list[int] = field(default_factory=list)

    def chance(self, percent: int) -> bool:
        return self.pick(100) >= 100 - percent

    # ------------------------------------------------------------------- variables

    def declare(self, count: int, size: int) -> int:
        first = len(self.variables)
        for _ in range(count):
            self.variables.append(Variable(f"v{len(self.variables)}", size))
            self.init.append(self.pick(min(size, 4)))
        return first

    def declare_group(self) -> None:
        size = (1, 2, 2, 3, 4, 5, 8, 1 << 17, 1 << 33)[self.pick(9)]
        shape = self.pick(6)
        extent = 1 + self.pick(5)
        if shape == 0:
            self.groups.append(Group(self.declare(1, size), (), size))
        elif shape <= 2:
            self.groups.append(Group(self.declare(extent, size), ((1, extent),), size))
        elif shape == 3:  # two arrays whose elements take turns, as in an array of structures
            other = (2, 3, 6)[self.pick(3)]
            base = self.declare(1, size)
            self.declare(1, other)
            for _ in range(extent - 1):
                self.declare(1, size)
                self.declare(1, other)
            self.groups.append(Group(base, ((2, extent),), size))
            self.groups.append(Group(base + 1, ((2, extent),), other))
        elif shape == 4:  # a matrix; rows of one length
            rows = 1 + self.pick(3)
            base = self.declare(rows * extent, size)
            self.groups.append(Group(base, ((extent, rows), (1, extent)), size))
        else:  # many: more than fit into a word
            many = 20 + self.pick(60)
            self.groups.append(Group(self.declare(many, 3), ((1, many),), 3))

    # ----------------------------------------------------------------- expressions

    def place(self, depth: int, *, inside: bool) -> tuple[Place, int]:
        """A place and its size; its indices are inside their extents if that is asked for."""
        group = self.groups[self.pick(len(self.groups))]
        index: list[tuple[Expr, int, int]] = []
        for stride, extent in group.dims:
            if self.chance(30):
                expr: Expr = Const(self.pick(extent if inside else extent + 1))
            elif inside:
                expr = Binary("mod", self.expr(depth - 1), Const(extent))
            else:
                expr = self.expr(depth - 1)
            index.append((expr, stride, extent))
        return Place(group.base, tuple(index)), group.size

    def expr(self, depth: int) -> Expr:
        """An expression whose value stays far below 64 bits."""
        kind = self.pick(9) if depth > 0 else self.pick(4)
        if kind == 0:
            return Const(self.pick(8) - 2)
        if kind == 1:
            return Reg(self.pick(REGISTERS))
        if kind <= 3:
            return Load(self.place(depth - 1, inside=False)[0])
        if kind == 4:
            return self.truth(depth)
        if kind == 5:
            return Select(self.truth(depth - 1), self.expr(depth - 1), self.expr(depth - 1))
        if kind == 6:
            small = Binary("and", self.expr(depth - 1), Const(0xFFFF))
            return Unary("popcount", small) if self.chance(50) else Unary("neg", small)
        return self.binary(depth)

    def binary(self, depth: int) -> Expr:
        op = BINARY_OPS[self.pick(len(BINARY_OPS))]
        left = self.expr(depth - 1)
        if op in ("land", "lor"):
            return Binary(op, self.truth(depth - 1), self.truth(depth - 1))
        if op in ("floordiv", "mod"):
            return Binary(op, left, Const(1 + self.pick(9)))
        if op == "mul":
            return Binary(op, Binary("mod", left, Const(1000)), Const(self.pick(9) - 3))
        if op == "shl":
            left = Binary("sub", Binary("mod", left, Const(1000)), Const(300))
            return Binary(op, left, Binary("and", self.expr(depth - 1), Const(3)))
        if op == "shr":
            return Binary(op, left, Binary("and", self.expr(depth - 1), Const(63)))
        return Binary(op, left, self.expr(depth - 1))

    def truth(self, depth: int) -> Expr:
        """An expression that is 0 or 1."""
        kind = self.pick(6) if depth > 0 else 0
        if kind == 1:
            return Unary("lnot", self.truth(depth - 1))
        if kind == 2:
            op = ("land", "lor")[self.pick(2)]
            return Binary(op, self.truth(depth - 1), self.truth(depth - 1))
        return Binary(LOGIC[self.pick(6)], self.expr(depth - 1), self.expr(depth - 1))

    def rarely_false(self) -> Expr:
        return Binary("ne", self.expr(1), Const(2 + self.pick(5)))

    def likely(self) -> Expr:
        if self.chance(50):
            return Binary("lor", self.truth(2), self.rarely_false())
        total = Binary("add", self.expr(1), self.expr(1))
        return Binary("lt", total, Const(2 + self.pick(8)))

    # ---------------------------------------------------------------------- bodies

    def bump(self) -> Op:
        """Change a variable for certain, so that there is something to explore."""
        place, size = self.place(1, inside=True)
        value = Binary("add", Load(place), Const(1 + self.pick(2)))
        return Store(place, Binary("mod", value, Const(size)))

    def op(self) -> Op:
        kind = self.pick(12)
        if kind <= 1:
            return self.bump()
        if kind <= 4:
            place, size = self.place(2, inside=True)
            value: Expr = Const(self.pick(min(size, 4)))
            if self.chance(70):
                value = Binary("mod", self.expr(2), Const(size))
            return Store(place, value)
        if kind <= 6:
            return Set(self.pick(REGISTERS), self.expr(2))
        if kind <= 8:
            return Cover(self.pick(LINES))
        if kind == 9:
            return Guard(self.truth(2))
        if kind == 10:
            return Check(self.rarely_false(), self.pick(3))
        return Note(NoteKind.NOTE, "{}", (Shown(self.expr(1), str),))

    def body(self, first: tuple[Op, ...] = ()) -> Body:
        count = 1 + self.pick(6)
        choices = 0
        blocks = []
        for number in range(count):
            ops = tuple(self.op() for _ in range(self.pick(4)))
            later = count - number - 1
            kind = self.pick(5)
            end: Terminator = Done()
            if later and kind == 0 and choices < 3:
                choices += 1
                width = 1 + self.pick(3)
                target = number + 1 + self.pick(later)
                end = Choice(self.pick(REGISTERS), self.expr(1), width, target)
            elif later and kind <= 2:
                then, orelse = (number + 1 + self.pick(later) for _ in range(2))
                end = Branch(self.truth(1), then, orelse)
            elif later and kind == 3:
                end = Jump(number + 1 + self.pick(later))
            blocks.append(Block(first + ops if number == 0 else ops, end))
        return Body(tuple(blocks), REGISTERS)

    def action(self, name: str, first: tuple[Op, ...] = ()) -> Action:
        info = StepInfo("step", name, HERE)
        if self.chance(70):
            first = (*first, self.bump())
        return Action(name, self.body(first), info, self.chance(60), None)

    def process(self, number: int) -> Process:
        steps = self.pick(4)
        pc = self.declare(1, steps + 1)
        self.init[pc] = 0
        actions = []
        for step in range(steps):
            target = step + 1 if self.chance(70) else self.pick(steps + 1)
            go = Store(Place(pc), Const(target))
            actions.append(self.action(f"p{number}.{step}", (go,)))
        return Process(f"p{number}", pc, tuple(actions), daemon=self.chance(75))

    def prop(self, name: str, truth: Expr) -> Property:
        body = Body((Block((Set(0, truth),), Done()),), REGISTERS)
        if self.chance(40):
            check: Op = Check(self.rarely_false(), 2) if self.chance(20) else Cover(0)
            body = Body(
                (
                    Block((Cover(self.pick(LINES)), Set(1, self.expr(1))), Branch(truth, 1, 2)),
                    Block((Cover(self.pick(LINES)), Set(0, Const(1))), Jump(3)),
                    Block((check,), Done() if self.chance(50) else Jump(3)),
                    Block((Cover(self.pick(LINES)), Set(0, Reg(0))), Done()),
                ),
                REGISTERS,
            )
        return Property(name, name, body, HERE)

    def system(self) -> System:
        for _ in range(1 + self.pick(4)):
            self.declare_group()
        processes = tuple(self.process(i) for i in range(self.pick(4)))
        rules = tuple(self.action(f"r{i}") for i in range(1 + self.pick(4)))
        return System(
            name="random",
            variables=tuple(self.variables),
            init=tuple(self.init),
            processes=processes,
            rules=rules,
            invariants=tuple(self.prop(f"i{i}", self.likely()) for i in range(self.pick(3))),
            goals=tuple(self.prop(f"g{i}", self.truth(2)) for i in range(self.pick(4))),
            failures=(
                Failure(FailureKind.ASSERTION, "a", "a", HERE),
                Failure(FailureKind.MODEL_ERROR, "b", "b", HERE),
                Failure(FailureKind.ASSERTION, "c", "c", HERE),
            ),
            lines=(HERE,) * LINES,
            columns=(),
            fingerprint="random",
        )


@st.composite
def systems(draw: st.DrawFn) -> System:
    """Random systems."""
    randoms = draw(st.randoms(use_true_random=False))
    return Generator(randoms.randrange).system()
