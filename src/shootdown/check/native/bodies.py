"""Bodies of ``lang.ir`` as LLVM IR text.

Bodies are acyclic, so they become straight SSA code with phis where ways meet. Only choices loop: a
choice saves the working state in stack slots and takes its values one after the other; the end of
each way goes back to the innermost choice that is still open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shootdown.check.native.expressions import Env, Writer
from shootdown.check.native.values import ZERO, Value, signed
from shootdown.lang.ir import (
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Cover,
    Done,
    Guard,
    Jump,
    Note,
    Op,
    Set,
    Store,
    System,
)


class BodyWriter:
    """The text of one body.

    ``done`` writes what happens at the end of a way, ``fail`` what happens at a failed check. A way
    that is over goes on with the next value of its choice, at last at label ``end``.

    ``only_if``, if it is set, is a condition (of type i1) without which the body, which has no
    choice, is not even tried; a body that is abandoned by its guard looks at it there. ``left_out``
    is an operand: the set of the values that the choice, which is the only one, does not take.
    """

    def __init__(
        self,
        writer: Writer,
        body: Body,
        end: str,
        done: Callable[[Env], None],
        fail: Callable[[int], None],
    ) -> None:
        self.writer = writer
        self.body = body
        self.end = end
        self.done = done
        self.fail = fail
        self.only_if = ""
        self.left_out = ""
        self.labels = [writer.fresh("block") for _ in body.blocks]
        self.edges: dict[int, list[tuple[str, Env]]] = {}  # block -> where it is entered from
        self.retries: list[str] = []  # the label of each choice
        self.lines: list[int] = []  # that are covered, and not marked yet

    def write(self, words: list[str]) -> None:
        """Write the body, beginning with a working state of ``words``."""
        self.words = words
        if self.only_if and not any(isinstance(op, Guard) for op in self.body.blocks[0].ops):
            go_on = self.writer.fresh("tried")
            self.writer.branch(self.only_if, go_on, self.end)
            self.writer.label(go_on)
            self.only_if = ""
        for number in self.body.order():
            if number == 0:
                env = Env(words[:], [ZERO] * max(1, self.body.registers))
            else:
                if number not in self.edges:
                    continue  # what is known decides that nothing leads there
                env = self.enter(number)
            block = self.body.blocks[number]
            if all(self.operation(op, env) for op in block.ops):
                self.terminate(block, env)

    def enter(self, number: int) -> Env:
        """Begin a block, with phis where its predecessors differ."""
        writer = self.writer
        writer.label(self.labels[number])
        sources = [source for source, _ in self.edges[number]]
        envs = [env for _, env in self.edges[number]]

        def meet(texts: Sequence[str]) -> str:
            if texts.count(texts[0]) == len(texts):
                return texts[0]
            pairs = zip(texts, sources, strict=True)
            return writer.new("phi i64 " + ", ".join(f"[ {t}, %{s} ]" for t, s in pairs))

        words = [meet(texts) for texts in zip(*(e.words for e in envs), strict=True)]
        registers = [
            vs[0]
            if vs.count(vs[0]) == len(vs)
            else Value(meet([v.text for v in vs]), min(v.low for v in vs), max(v.high for v in vs))
            for vs in zip(*(e.registers for e in envs), strict=True)
        ]
        choices = {env.choice for env in envs}
        choice = choices.pop() if len(choices) == 1 else meet([str(env.choice) for env in envs])
        covered = frozenset.intersection(*[env.covered for env in envs])
        return Env(words, registers, choice, covered)

    def edge(self, target: int, env: Env) -> str:
        """Note that the present block leads to ``target``; its label."""
        self.edges.setdefault(target, []).append((self.writer.label_now, env.copy()))
        return self.labels[target]

    def operation(self, op: Op, env: Env) -> bool:
        """Write an operation; False where the way is over for certain."""
        writer = self.writer
        match op:
            case Set(reg, value):
                env.registers[reg] = writer.value(value, env)
            case Store(place, value):
                writer.store(place, writer.value(value, env), env)
            case Guard(condition):
                self.mark(env)
                held = writer.condition(condition, env)
                if self.only_if:  # one jump for both is better predicted
                    held, self.only_if = writer.both(self.only_if, held), ""
                if held == "false":
                    self.over(env)
                    return False
                if held != "true":
                    go_on, stop = writer.fresh("held"), writer.fresh("abandoned")
                    writer.branch(held, go_on, stop)
                    writer.label(stop)
                    self.over(env)
                    writer.label(go_on)
            case Check(condition, failure):
                self.mark(env)
                passed = writer.condition(condition, env)
                if passed == "false":
                    self.fail(failure)
                    return False
                if passed != "true":
                    go_on, stop = writer.fresh("passed"), writer.fresh("failed")
                    writer.branch(passed, go_on, stop)
                    writer.label(stop)
                    self.fail(failure)
                    writer.label(go_on)
            case Cover(line):
                self.lines.append(line)
            case Note():
                pass
        return True

    def mark(self, env: Env) -> None:
        """Mark the lines that are covered since the last time, unless they are marked already;
        those that lie side by side together."""
        lines = sorted(set(self.lines) - env.covered)
        self.lines.clear()
        env.covered = env.covered.union(lines)
        while lines:
            first, together = lines[0], 8
            while lines[:together] != list(range(first, first + together)):
                together //= 2
            address = self.writer.pure(f"getelementptr i8, ptr %cover, i64 {first}")
            ones = int.from_bytes(bytes([1] * together), "little")
            self.writer.do(f"store i{8 * together} {ones}, ptr {address}, align 1")
            del lines[:together]

    def terminate(self, block: Block, env: Env) -> None:
        self.mark(env)
        writer = self.writer
        match block.end:
            case Jump(target):
                writer.jump(self.edge(target, env))
            case Branch(condition, then, orelse):
                text = writer.condition(condition, env)
                if text in ("true", "false"):
                    writer.jump(self.edge(then if text == "true" else orelse, env))
                else:
                    writer.branch(text, self.edge(then, env), self.edge(orelse, env))
            case Choice():
                self.choose(block.end, env)
            case Done():
                self.done(env)
                self.over(env)

    def over(self, env: Env) -> None:
        """Go on with the next way."""
        if env.choice == 0:
            self.writer.jump(self.end)
        elif isinstance(env.choice, int):
            self.writer.jump(self.retries[env.choice - 1])
        else:
            cases = [f"i64 {i}, label %{label}" for i, label in enumerate(self.retries, 1)]
            self.writer.do(f"switch i64 {env.choice}, label %{self.end} [ {'  '.join(cases)} ]")

    def choose(self, choice: Choice, env: Env) -> None:
        """Save the working state, then take the values one by one."""
        writer = self.writer
        retry, take, stop = (writer.fresh(name) for name in ("retry", "take", "chosen"))
        allowed = writer.value(choice.mask, env).text
        first = writer.pure(f"and i64 {allowed}, {signed((1 << choice.width) - 1)}")
        if self.left_out:
            wanted = writer.pure(f"xor i64 {self.left_out}, -1")
            first = writer.pure(f"and i64 {first}, {wanted}")
        rest = self.saved(first)
        words = [
            text if text == self.words[i] else self.saved(text) for i, text in enumerate(env.words)
        ]
        registers = [str(v.low) if v.low == v.high else self.saved(v.text) for v in env.registers]
        outer = env.choice if isinstance(env.choice, int) else self.saved(env.choice)
        self.retries.append(retry)
        writer.jump(retry)

        writer.label(retry)
        left = writer.new(f"load i64, ptr {rest}")
        writer.branch(writer.pure(f"icmp eq i64 {left}, 0"), stop, take)

        writer.label(stop)
        again = outer if isinstance(outer, int) else self.restored(outer)
        self.over(Env([], [], again))

        writer.label(take)
        smaller = writer.pure(f"sub i64 {left}, 1")
        writer.do(f"store i64 {writer.pure(f'and i64 {left}, {smaller}')}, ptr {rest}")
        number = writer.pure(f"call i64 @llvm.cttz.i64(i64 {left}, i1 true)")
        inner = Env(
            [self.restored(text) for text in words],
            [
                Value(self.restored(text), v.low, v.high)
                for text, v in zip(registers, env.registers, strict=True)
            ],
            len(self.retries),
            env.covered,
        )
        inner.registers[choice.reg] = Value(number, 0, choice.width - 1)
        writer.jump(self.edge(choice.target, inner))

    def saved(self, text: str) -> str:
        """A new stack slot that holds a value."""
        slot = self.writer.slot()
        self.writer.do(f"store i64 {text}, ptr {slot}")
        return slot

    def restored(self, text: str) -> str:
        """What a stack slot holds; other operands as they are."""
        return self.writer.new(f"load i64, ptr {text}") if text.startswith("%slot") else text


# --------------------------------------------------------------------------- shape


def most_outcomes(system: System) -> int:
    """An upper bound of the outcomes of one state."""
    steps = [max((most_ways(a.body) for a in p.actions), default=0) for p in system.processes]
    return sum(steps) + sum(most_ways(rule.body) for rule in system.rules)


def most_ways(body: Body) -> int:
    """An upper bound of the ways through a body that reach its end."""
    ways: dict[int, int] = {}
    for number in reversed(body.order()):
        match body.blocks[number].end:
            case Jump(target):
                ways[number] = ways[target]
            case Branch(_, then, orelse):
                ways[number] = max(ways[then], ways[orelse])
            case Choice(_, _, width, target):
                ways[number] = width * ways[target]
            case Done():
                ways[number] = 1
    return ways[0]
