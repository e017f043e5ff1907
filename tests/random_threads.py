"""Random systems of threads and rules in which much commutes: for comparing reductions.

What ``random_ir`` draws touches everything everywhere; here threads have data of their own, take
locks, set and clear bits of shared sets, wait for them, loop, and fail now and then.
"""

from __future__ import annotations

import random

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
    Load,
    Op,
    Place,
    Process,
    Property,
    Reg,
    Store,
    System,
)
from small_ir import action, binary, body, load, process, prop, put, system

SHARED = 3  # variables 0 .. 2, four bits each; variable 3 is a lock
LOCK = 3


def bit(variable: int, number: int) -> Expr:
    """One bit of a variable."""
    return binary("and", binary("shr", load(variable), number), 1)


class Threads:
    """Draws one system."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.randrange
        self.sizes = [4, 4, 16, 4]
        self.init = [self.pick(2), 0, self.pick(16), 0]

    def system(self) -> System:
        """The whole."""
        threads = [self.thread(number) for number in range(1 + self.pick(3))]
        rules = [self.rule(number) for number in range(self.pick(4))]
        return system(
            self.sizes,
            self.init,
            processes=threads,
            rules=rules,
            invariants=[self.property(f"i{n}", 90) for n in range(self.pick(3))],
            goals=[self.property(f"g{n}", 30) for n in range(self.pick(3))],
        )

    def variable(self, size: int) -> int:
        self.sizes.append(size)
        self.init.append(0)
        return len(self.sizes) - 1

    def thread(self, number: int) -> Process:
        steps = 2 + self.pick(4)
        pc, own = self.variable(steps + 1), self.variable(4)
        bodies = [self.step(number, pc, own, at, steps) for at in range(steps)]
        return process(pc, *bodies, daemon=self.pick(100) < 25)

    def step(self, number: int, pc: int, own: int, at: int, steps: int) -> Body:
        go = put(pc, at + 1)
        shared, which = self.pick(SHARED), self.pick(2)
        grown: Expr = binary("mod", binary("add", load(own), 1), 4)
        kind = self.pick(15)
        if kind <= 3:
            return body(put(own, grown), go)
        if kind == 4:
            return body(Guard(binary("eq", load(LOCK), 0)), put(LOCK, number + 1), go)
        if kind == 5:
            return body(put(LOCK, 0), go)
        if kind <= 7:
            return body(put(shared, binary("or", load(shared), 1 << which)), go)
        if kind == 8:
            return body(put(shared, binary("and", load(shared), 3 - (1 << which))), go)
        if kind == 9:
            return body(Guard(binary("eq", bit(shared, which), self.pick(2))), go)
        if kind == 10:
            return body(put(own, bit(shared, which)), go)
        if kind == 11:
            back = put(pc, self.pick(steps))
            blocks = (
                Block((), Branch(bit(shared, which), 1, 2)),
                Block((put(own, grown), back), Done()),
                Block((go,), Done()),
            )
            return Body(blocks, 4)
        if kind == 12:
            choose = Block((), Choice(1, Const(3), 2, 1))
            return Body((choose, Block((put(own, Reg(1)), go), Done())), 4)
        if kind == 13:
            ops: list[Op] = [Check(binary("ne", load(shared), 3), self.pick(2))]
            return body(*(ops if self.pick(3) == 0 else []), put(own, 0), go)
        index = binary("mod", load(own), 2)
        return body(Store(Place(0, ((index, 1, 2),)), Const(self.pick(4))), go)

    def rule(self, number: int) -> Action:
        shared, which = self.pick(SHARED), self.pick(2)
        other = self.pick(SHARED)
        ops: list[Op] = [Guard(binary("eq", bit(shared, which), 1))]
        ops.append(put(shared, binary("and", load(shared), 15 - (1 << which))))
        if self.pick(2):
            ops.append(put(other, binary("or", Load(Place(other)), 1 << self.pick(2))))
        if self.pick(4) == 0:
            ops = [Guard(binary("eq", load(LOCK), 1)), put(shared, self.pick(4))]
        return action(f"rule {number}", body(*ops), fair=self.pick(100) < 60)

    def property(self, name: str, likely: int) -> Property:
        some = self.pick(len(self.sizes))
        truth: Expr = binary("ne", load(some), self.pick(self.sizes[some]))
        if self.pick(100) < likely:
            other = self.pick(len(self.sizes))
            wrong = binary("eq", load(other), self.pick(self.sizes[other]))
            truth = binary("lor", truth, wrong)
        return prop(name, truth)
