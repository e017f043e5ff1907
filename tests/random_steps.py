"""Random systems whose steps have an inner life: for attacking reductions.

What ``random_threads`` draws are steps of one access. Here a step is a small program: branches
within branches, choices, guards after stores, checks before guards, numbers below zero, arrays with
computed indices, several of all that. Threads still have data of their own, and shared data is
looked at and changed bit by bit most of the time, so that much commutes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from shootdown.check.outcomes import judge_property
from shootdown.lang.ir import (
    Action,
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Done,
    Expr,
    Guard,
    Jump,
    Load,
    Op,
    Place,
    Process,
    Property,
    Reg,
    Select,
    Set,
    Store,
    System,
    Unary,
)
from small_ir import HERE, action, binary, load, prop, put, system

REGISTERS = 4
SIZES = (2, 2, 3, 4, 4, 8)
COMPARED = ("eq", "ne", "lt", "le", "gt", "ge")


@dataclass(frozen=True, slots=True)
class Array:
    """Variables that a place can name: ``stride`` apart."""

    base: int
    extent: int
    size: int
    stride: int = 1


@dataclass(slots=True)
class Code:
    """The blocks of a body while they are written. Each list of operations is one block; the last
    one is open."""

    ops: list[list[Op]] = field(default_factory=lambda: [[]])
    ends: dict[int, object] = field(default_factory=dict)
    at: int = 0
    choices: int = 0

    def open(self) -> int:
        self.ops.append([])
        return len(self.ops) - 1

    def do(self, op: Op) -> None:
        self.ops[self.at].append(op)

    def body(self) -> Body:
        blocks = [
            Block(tuple(ops), self.ends.get(number, Done()))  # type: ignore[arg-type]
            for number, ops in enumerate(self.ops)
        ]
        return Body(tuple(blocks), REGISTERS)


class Steps:
    """Draws one system."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.randrange
        self.sizes: list[int] = []
        self.init: list[int] = []
        self.shared = [self.array() for _ in range(1 + self.pick(3))]
        self.own: list[Array] = []  # of the thread at hand
        self.private: list[Array] = []  # of any thread
        self.counters: list[int] = []

    def chance(self, percent: int) -> bool:
        return self.pick(100) < percent

    def array(self) -> Array:
        """New variables; the elements of some arrays take turns with those of another."""
        size, extent = SIZES[self.pick(len(SIZES))], (1, 1, 2, 2, 3)[self.pick(5)]
        stride = 2 if extent > 1 and self.chance(30) else 1
        base = len(self.sizes)
        for number in range(extent * stride):
            self.sizes.append(size if number % stride == 0 else 2)
            self.init.append(self.pick(self.sizes[-1]) if self.chance(40) else 0)
        return Array(base, extent, size, stride)

    def system(self) -> System:
        """The whole."""
        threads = [self.thread() for _ in range(2 + self.pick(2))]
        rules = [self.rule(number) for number in range(self.pick(4))]
        return system(
            self.sizes,
            self.init,
            processes=threads,
            rules=rules,
            invariants=[self.invariant(f"i{n}") for n in range(self.pick(3))],
            goals=[self.property(f"g{n}", 30) for n in range(self.pick(3))],
        )

    # ------------------------------------------------------------------ steps

    def thread(self) -> Process:
        steps = 2 + self.pick(4)
        pc = len(self.sizes)
        self.sizes.append(steps + 1)
        self.init.append(0)
        self.own = [self.array() for _ in range(self.pick(3))]
        self.private += self.own
        self.counters.append(pc)
        bodies = [self.step(pc, at, steps) for at in range(steps)]
        fair = [not self.chance(10) for _ in bodies]
        actions = tuple(
            action(f"step {i}", code, fair=f)
            for i, (code, f) in enumerate(zip(bodies, fair, strict=True))
        )
        return Process(f"thread {pc}", pc, actions, daemon=self.chance(60))

    def step(self, pc: int, at: int, steps: int) -> Body:
        code = Code()
        early = self.chance(30)
        if early:
            code.do(put(pc, at + 1))
        for _ in range(1 + self.pick(2)):
            self.statement(code, 2)
        if not early or self.chance(15):
            back = self.chance(20)
            code.do(put(pc, self.pick(steps + 1) if back else at + 1))
        if self.chance(10):
            self.statement(code, 1)
        return code.body()

    def rule(self, number: int) -> Action:
        self.own = []
        code = Code()
        if self.chance(70):
            place, size = self.place(60)
            which = self.pick(max(1, (size - 1).bit_length()))
            truth = binary("and", binary("shr", Load(place), which), 1)
            down = self.chance(60)
            code.do(Guard(truth if down else Unary("lnot", truth)))
            mask = ((1 << (size - 1).bit_length()) - 1) & ~(1 << which)
            if down:
                code.do(Store(place, binary("and", Load(place), mask)))
            elif size & (size - 1) == 0:
                code.do(Store(place, binary("or", Load(place), 1 << which)))
            if self.chance(60):
                self.statement(code, 1)
        else:
            for _ in range(1 + self.pick(2)):
                self.statement(code, 2)
        return action(f"rule {number}", code.body(), fair=self.chance(60))

    def statement(self, code: Code, depth: int) -> None:
        kind = self.pick(17 if depth else 12)
        if kind <= 3:
            self.store(code)
        elif kind <= 5:
            self.gentle(code)
        elif kind == 6:
            code.do(Set(self.pick(REGISTERS), self.expr(2)))
        elif kind <= 8:
            code.do(Guard(self.likely()))
        elif kind <= 9:
            wrong = binary("eq", self.expr(1), self.pick(9) - 1)
            second = binary("eq", self.expr(1), self.pick(4))
            both = binary("land", wrong, second)
            code.do(Check(Unary("lnot", both), self.pick(2)))
        elif kind <= 11:
            place, size = self.place(70)
            code.do(Store(place, Const(self.pick(size))))
        elif kind <= 14:
            self.either(code, depth)
        elif kind == 15:
            self.statement(code, depth - 1)
            self.statement(code, depth - 1)
        else:
            self.choose(code)

    def likely(self) -> Expr:
        """A condition of a guard: true more often than not."""
        truth = self.truth(2)
        return binary("lor", truth, self.truth(1)) if self.chance(60) else truth

    def either(self, code: Code, depth: int) -> None:
        """A branch; its arms meet, but for some that are the end."""
        truth = self.truth(2)
        here, then = code.at, code.open()
        code.at = then
        self.statement(code, depth - 1)
        then_end = code.at
        orelse = code.open()
        code.at = orelse
        if self.chance(60):
            self.statement(code, depth - 1)
        orelse_end = code.at
        after = code.open()
        code.ends[here] = Branch(truth, then, orelse)
        code.ends[then_end] = Jump(after)
        code.ends[orelse_end] = Jump(after)
        code.at = after

    def choose(self, code: Code) -> None:
        if code.choices == 2:
            return
        code.choices += 1
        width = 1 + self.pick(3)
        mask = self.expr(1) if self.chance(60) else Const(self.pick(1 << width))
        reg = self.pick(REGISTERS)
        after = code.open()
        code.ends[code.at] = Choice(reg, mask, width, after)
        code.at = after

    def store(self, code: Code) -> None:
        place, size = self.place(60)
        code.do(Store(place, binary("mod", self.expr(2), size)))

    def gentle(self, code: Code) -> None:
        """Set or clear some bits, or exchange them."""
        place, size = self.place(30)
        bits = (size - 1).bit_length()
        other = self.expr(1) if self.chance(40) else Const(1 << self.pick(bits))
        other = binary("and", other, (1 << bits) - 1)
        old: Expr = Load(place)
        kind = self.pick(3)
        if kind == 0 and size & (size - 1) == 0:
            code.do(Store(place, exchanged("or", old, other, self.chance(50))))
        elif kind == 1:
            code.do(Store(place, exchanged("and", old, other, self.chance(50))))
        else:
            code.do(Store(place, binary("and", old, self.pick(1 << bits) - self.pick(2) * 4)))

    # ------------------------------------------------------------------ values

    def place(self, mine: int) -> tuple[Place, int]:
        """A place, and its size: of the thread's own data with ``mine`` per cent."""
        arrays = self.own if self.own and self.chance(mine) else self.shared
        array = arrays[self.pick(len(arrays))]
        if array.extent == 1 and self.chance(80):
            return Place(array.base), array.size
        index: Expr = Const(self.pick(array.extent))
        if self.chance(60):
            index = binary("mod", self.expr(1), array.extent)
        return Place(array.base, ((index, array.stride, array.extent),)), array.size

    def expr(self, depth: int) -> Expr:
        kind = self.pick(13) if depth > 0 else self.pick(5)
        if kind == 0:
            return Const(self.pick(8) - 2)
        if kind == 1:
            return Reg(self.pick(REGISTERS))
        if kind == 2:
            place, size = self.place(40)
            return binary("and", binary("shr", Load(place), self.pick((size - 1).bit_length())), 1)
        if kind <= 4:
            return Load(self.place(60)[0])
        if kind == 5:
            return Select(self.truth(depth - 1), self.expr(depth - 1), self.expr(depth - 1))
        if kind == 6:
            return Unary("neg", self.expr(depth - 1))
        if kind == 7:
            return Unary("popcount", binary("and", self.expr(depth - 1), 7))
        if kind == 8:
            return binary("shr", self.expr(depth - 1), (0, 1, 2, 3, 40, 60, 63)[self.pick(7)])
        if kind == 9:
            op = ("and", "or", "xor")[self.pick(3)]
            return binary(op, self.expr(depth - 1), (1, 2, 3, 4, -1, -2, 5)[self.pick(7)])
        if kind == 10:
            op = ("and", "or", "xor", "min", "max")[self.pick(5)]
            return binary(op, self.expr(depth - 1), self.expr(depth - 1))
        if kind == 11:
            op = ("add", "sub", "mul", "floordiv", "mod", "shl")[self.pick(6)]
            return binary(op, self.expr(depth - 1), 1 + self.pick(3))
        return self.truth(depth)

    def truth(self, depth: int) -> Expr:
        """An expression that is 0 or 1."""
        kind = self.pick(8) if depth > 0 else 0
        if kind == 1:
            return Unary("lnot", self.truth(depth - 1))
        if kind <= 3 and kind:
            op = ("land", "lor")[self.pick(2)]
            return binary(op, self.truth(depth - 1), self.truth(depth - 1))
        if kind == 4:
            place, size = self.place(20)
            return binary("and", binary("shr", Load(place), self.pick((size - 1).bit_length())), 1)
        if kind == 5:
            return binary(COMPARED[self.pick(6)], self.expr(depth - 1), self.expr(depth - 1))
        return binary(COMPARED[self.pick(2)], self.expr(depth - 1), self.pick(6) - 1)

    def invariant(self, name: str) -> Property:
        """A property that is true in the beginning, if that is soon found."""
        for _ in range(10):
            found = self.property(name, 95)
            way = judge_property(found, tuple(self.init))
            if way.failure is None and way.registers[0]:
                break
        return found

    def property(self, name: str, likely: int) -> Property:
        self.own = self.private
        truth = self.truth(2) if self.chance(50) else self.simple()
        if self.chance(likely):
            truth = binary("lor", truth, binary("lor", self.simple(), self.simple()))
        if self.chance(25):
            return self.long_property(name, truth)
        return prop(name, truth)

    def simple(self) -> Expr:
        """Something about one variable, or where a thread stands."""
        some = self.pick(len(self.sizes))
        return binary(COMPARED[self.pick(2)], load(some), self.pick(self.sizes[some]))

    def long_property(self, name: str, truth: Expr) -> Property:
        """A property with branches, and a check now and then."""
        code = Code()
        code.do(Set(1, self.expr(1)))
        then, orelse = code.open(), code.open()
        after = code.open()
        code.ends[0] = Branch(self.simple(), then, orelse)
        code.ops[then].append(Set(0, truth))
        code.ops[orelse].append(Set(0, Const(1) if self.chance(60) else self.truth(1)))
        if self.chance(30):
            wrong = binary("land", self.simple(), self.simple())
            code.ops[orelse].append(Check(Unary("lnot", wrong), 0))
        if self.chance(30):
            code.ops[after].append(Set(0, binary("max", Reg(0), self.simple())))
        code.ends[then] = Jump(after)
        code.ends[orelse] = Jump(after) if self.chance(80) else Done()
        return Property(name, name, code.body(), HERE)


def exchanged(op: str, left: Expr, right: Expr, exchange: bool) -> Expr:
    """An operation, perhaps with its operands exchanged."""
    return binary(op, right, left) if exchange else binary(op, left, right)
