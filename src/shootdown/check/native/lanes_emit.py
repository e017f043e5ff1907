"""A system with a leaf as two LLVM functions that work on many lanes at once.

A state is its key (all variables but the leaf's, packed into words) and a lane. An *entry* is a key
with a set of lanes, one bit each.

``expand(key, lanes, out, cover, extra)`` writes the successors of all these states from ``out`` on:
the words of a key, then a word of lanes. Those with the same key as before it puts together in
``extra[0]``; in ``extra[1]`` it leaves the number of outcomes of all lanes. It returns how many
keys it wrote in the lower 32 bits; the upper 32 are 0, or one more than a failure that an outcome
of some lane ends in, or ``DEADLOCK`` where a lane is one.

``check(key, lanes, goals, cover)`` is as in :mod:`~shootdown.check.native.emit`, for some lane.

Actions run once where they do not depend on the leaf. Else they run once for each valuation of the
variables that they look at: there these are constants, and what such an action does to the leaf is
a shift of the set of lanes. A variable that is overwritten is projected out (its lanes are put
together) before its new value is put in.
"""

from __future__ import annotations

from shootdown.check.native.bodies import BodyWriter, most_ways
from shootdown.check.native.emit import module
from shootdown.check.native.expressions import Env, Writer
from shootdown.check.native.interface import FAILURE, INVARIANT
from shootdown.check.native.lanes_check import SlicedProperty, TooManyCasesError
from shootdown.check.native.lanes_leaf import Leaf, use_of, variants
from shootdown.check.native.layout import Layout
from shootdown.check.native.values import ZERO, Value, constant, known, signed
from shootdown.lang.ir import Action, Body, Load, Place, Process, Property, System


def emit_lanes(system: System, layout: Layout, leaf: Leaf) -> str:
    """LLVM IR of a module with ``expand`` and ``check``; the layout has the leaf in a last word."""
    tables: dict[str, str] = {}
    functions = [
        _Expand(system, layout, leaf, tables).text(),
        _CheckProperties(system, layout, leaf, tables).text(),
    ]
    return module(system, tables, functions)


def most_made(system: System, leaf: Leaf) -> int:
    """An upper bound of the entries that one entry makes."""

    def made(action: Action) -> int:
        bodies = variants(action.body, leaf)
        return sum(most_ways(body) * leaf.number(use.read) for body, use in bodies)

    steps = [max(map(made, process.actions), default=0) for process in system.processes]
    return sum(steps) + sum(map(made, system.rules))


class _Function:
    """What both functions share."""

    def __init__(self, system: System, layout: Layout, leaf: Leaf, tables: dict[str, str]) -> None:
        self.system = system
        self.layout = layout
        self.leaf = leaf
        self.writer = Writer(system, layout, tables)
        self.words = []
        for i in range(layout.words - 1):
            address = self.writer.new(f"getelementptr i64, ptr %key, i64 {i}")
            self.words.append(self.writer.new(f"load i64, ptr {address}"))

    def state(self, values: tuple[tuple[int, int], ...] = ()) -> list[str]:
        """The words of a state with these values in the leaf."""
        return [*self.words, str(self.leaf.word(self.layout, values))]

    def within(self, values: tuple[tuple[int, int], ...]) -> str:
        """The lanes at hand that have these values."""
        return self.writer.pure(f"and i64 %lanes, {signed(self.leaf.masks(values))}")


# --------------------------------------------------------------------------- expand


class _Expand(_Function):
    """The function ``expand``."""

    def __init__(self, system: System, layout: Layout, leaf: Leaf, tables: dict[str, str]) -> None:
        super().__init__(system, layout, leaf, tables)
        writer = self.writer
        self.number, self.own, self.count, self.progress = (writer.slot() for _ in range(4))
        self.all = writer.new("call i64 @llvm.ctpop.i64(i64 %lanes)")
        self.first: str | None = None  # where the entries of an action begin that looks at the leaf
        self.can_stop = any(not p.daemon and p.actions for p in system.processes)

    def text(self) -> str:
        writer = self.writer
        for slot in (self.number, self.own, self.count, self.progress):
            writer.do(f"store i64 0, ptr {slot}")
        for process in self.system.processes:
            self.process(process)
        for rule in self.system.rules:
            self.action(rule)
        self.finish()
        return writer.function(
            "@expand(ptr noalias %key, i64 %lanes, ptr noalias %out, ptr noalias %cover, "
            "ptr noalias %extra)"
        )

    def process(self, process: Process) -> None:
        """Take the step that the process stands at: that is a matter of the key."""
        if not process.actions:
            return
        writer = self.writer
        labels = [writer.fresh("step") for _ in process.actions]
        after = writer.fresh("stepped")
        pc = writer.value(Load(Place(process.pc)), Env(self.state(), [])).text
        cases = [f"i64 {i}, label %{label}" for i, label in enumerate(labels)]
        writer.do(f"switch i64 {pc}, label %{after} [ {'  '.join(cases)} ]")
        for label, action in zip(labels, process.actions, strict=True):
            writer.label(label)
            self.action(action)
            writer.jump(after)
        writer.label(after)

    def action(self, action: Action) -> None:
        for body, use in variants(action.body, self.leaf):
            self.first = None
            if not use.read:
                self.run(body, action.fair, "%lanes", (), use.overwritten)
                continue
            self.first = self.writer.new(f"load i64, ptr {self.number}")
            for values in self.leaf.combinations(use.read):
                some, none = self.writer.fresh("some"), self.writer.fresh("none")
                lanes = self.within(values)
                self.writer.branch(self.writer.pure(f"icmp ne i64 {lanes}, 0"), some, none)
                self.writer.label(some)
                self.run(body, action.fair, lanes, values, use.overwritten)
                self.writer.jump(none)
                self.writer.label(none)

    def run(
        self,
        body: Body,
        fair: bool,
        lanes: str,
        before: tuple[tuple[int, int], ...],
        overwritten: tuple[int, ...],
    ) -> None:
        """Write a body for lanes that all have the values ``before``."""
        writer = self.writer
        end = writer.fresh("end")

        def done(env: Env) -> None:
            moved = self.moved(env, lanes, before, overwritten)
            self.outcome(env, fair, lanes, moved)

        BodyWriter(writer, body, end, done, self.fail).write(self.state(before))
        writer.label(end)

    def moved(
        self,
        env: Env,
        lanes: str,
        before: tuple[tuple[int, int], ...],
        overwritten: tuple[int, ...],
    ) -> str:
        """Where the lanes are at the end of a way."""
        writer, leaf = self.writer, self.leaf
        for variable in overwritten:
            parts = []
            for value in range(leaf.size_of[variable]):
                part = writer.pure(f"and i64 {lanes}, {signed(leaf.mask(variable, value))}")
                shift = value * leaf.strides[variable]
                parts.append(writer.pure(f"lshr i64 {part}, {shift}") if shift else part)
            lanes = parts[0]
            for part in parts[1:]:
                lanes = writer.pure(f"or i64 {lanes}, {part}")
        old = leaf.lane(before)
        new = ZERO
        for variable in (*(v for v, _ in before), *overwritten):
            after = writer.load(Place(variable), env)
            stride = constant(leaf.strides[variable])
            new = writer.arithmetic("add", new, writer.arithmetic("mul", after, stride))
        now = known(new.text)
        if now is not None:
            if now >= old:
                return writer.pure(f"shl i64 {lanes}, {now - old}") if now > old else lanes
            return writer.pure(f"lshr i64 {lanes}, {old - now}")
        if old:
            lanes = writer.pure(f"lshr i64 {lanes}, {old}")
        return writer.pure(f"shl i64 {lanes}, {new.text}")

    def outcome(self, env: Env, fair: bool, lanes: str, moved: str) -> None:
        """Write an entry, or keep what stays in this one."""
        writer = self.writer
        number = self.all
        if lanes != "%lanes":
            number = writer.pure(f"call i64 @llvm.ctpop.i64(i64 {lanes})")
        self.add(self.count, number)
        pairs = [(old, new) for old, new in zip(self.words, env.words, strict=False) if old != new]
        if not pairs:
            own = writer.new(f"load i64, ptr {self.own}")
            writer.do(f"store i64 {writer.new(f'or i64 {own}, {moved}')}, ptr {self.own}")
        else:
            self.write(env.words[:-1], moved)
        if fair and self.can_stop:
            self.advance(pairs, lanes, moved)

    def write(self, key: list[str], lanes: str) -> None:
        """Write an entry; or add the lanes to the last one of the same action, if its key is the
        same: that is frequent where an action looks at the leaf, and saves looking the key up."""
        writer = self.writer
        at = writer.new(f"load i64, ptr {self.number}")
        if self.first is None:
            self.put(at, key, lanes)
            return
        more = writer.pure(f"icmp ugt i64 {at}, {self.first}")
        last = writer.pure(f"select i1 {more}, i64 {writer.pure(f'sub i64 {at}, 1')}, i64 {at}")
        change = "0"
        for i, word in enumerate(key):
            old = writer.new(f"load i64, ptr {self.address(last, i)}")
            change = writer.pure(f"or i64 {change}, {writer.pure(f'xor i64 {old}, {word}')}")
        same = writer.pure(f"icmp eq i64 {change}, 0")
        add, new, after = (writer.fresh(name) for name in ("add", "new", "after"))
        writer.branch(writer.pure(f"and i1 {more}, {same}"), add, new)
        writer.label(add)
        place = self.address(last, len(key))
        both = writer.new(f"or i64 {writer.new(f'load i64, ptr {place}')}, {lanes}")
        writer.do(f"store i64 {both}, ptr {place}")
        writer.jump(after)
        writer.label(new)
        self.put(at, key, lanes)
        writer.jump(after)
        writer.label(after)

    def put(self, at: str, key: list[str], lanes: str) -> None:
        writer = self.writer
        for i, word in enumerate([*key, lanes]):
            writer.do(f"store i64 {word}, ptr {self.address(at, i)}")
        writer.do(f"store i64 {writer.new(f'add i64 {at}, 1')}, ptr {self.number}")

    def address(self, at: str, word: int) -> str:
        record = f"[{self.layout.words} x i64]"
        return self.writer.pure(f"getelementptr {record}, ptr %out, i64 {at}, i64 {word}")

    def add(self, slot: str, number: str) -> None:
        total = self.writer.new(f"load i64, ptr {slot}")
        self.writer.do(f"store i64 {self.writer.new(f'add i64 {total}, {number}')}, ptr {slot}")

    def advance(self, pairs: list[tuple[str, str]], lanes: str, moved: str) -> None:
        """Note the lanes that a fair action leads to another state.

        Without a change of the key, a lane is its own successor exactly where it is still there.
        """
        writer = self.writer
        changed = writer.pure(f"and i64 {lanes}, {writer.pure(f'xor i64 {moved}, -1')}")
        if pairs:
            change = "0"
            for old, new in pairs:
                part = writer.pure(f"xor i64 {old}, {new}")
                change = part if change == "0" else writer.pure(f"or i64 {change}, {part}")
            same = writer.pure(f"icmp eq i64 {change}, 0")
            changed = writer.pure(f"select i1 {same}, i64 {changed}, i64 {lanes}")
        progress = writer.new(f"load i64, ptr {self.progress}")
        both = writer.new(f"or i64 {progress}, {changed}")
        writer.do(f"store i64 {both}, ptr {self.progress}")

    def fail(self, failure: int) -> None:
        number = self.writer.new(f"load i64, ptr {self.number}")
        result = self.writer.new(f"or i64 {number}, {failure + 1 << 32}")
        self.writer.do(f"ret i64 {result}")

    def finish(self) -> None:
        writer = self.writer
        for i, slot in enumerate((self.own, self.count)):
            address = writer.new(f"getelementptr i64, ptr %extra, i64 {i}")
            writer.do(f"store i64 {writer.new(f'load i64, ptr {slot}')}, ptr {address}")
        number = writer.new(f"load i64, ptr {self.number}")
        if not self.can_stop:
            writer.do(f"ret i64 {number}")
            return
        stuck, moving = writer.fresh("stuck"), writer.fresh("moving")
        progress = writer.new(f"load i64, ptr {self.progress}")
        rest = writer.pure(f"and i64 %lanes, {writer.pure(f'xor i64 {progress}, -1')}")
        writer.branch(writer.pure(f"icmp ne i64 {rest}, 0"), stuck, moving)
        writer.label(moving)
        writer.do(f"ret i64 {number}")
        writer.label(stuck)
        finished = "true"
        for process in self.system.processes:
            if not process.daemon and process.actions:
                pc = writer.value(Load(Place(process.pc)), Env(self.state(), []))
                ended = writer.compare("ge", pc, constant(len(process.actions)))
                finished = writer.both(finished, ended)
        deadlock = constant(-(1 << 32))  # DEADLOCK in the upper half
        writer.do(f"ret i64 {writer.select(finished, Value(number), deadlock).text}")


# --------------------------------------------------------------------------- check


class _CheckProperties(_Function):
    """The function ``check``."""

    def text(self) -> str:
        writer = self.writer
        for index, invariant in enumerate(self.system.invariants):
            holds, violated = writer.fresh("holds"), writer.fresh("violated")
            good = self.where(invariant)
            bad = writer.pure(f"and i64 %lanes, {writer.pure(f'xor i64 {good}, -1')}")
            writer.branch(writer.pure(f"icmp eq i64 {bad}, 0"), holds, violated)
            writer.label(violated)
            writer.do(f"ret i64 {INVARIANT + index}")
            writer.label(holds)
        goals = []
        for goal in self.system.goals:
            good = writer.pure(f"and i64 %lanes, {self.where(goal)}")
            goals.append(writer.number(writer.pure(f"icmp ne i64 {good}, 0")).text)
        for index, reached in enumerate(goals):
            address = writer.new(f"getelementptr i8, ptr %goals, i64 {index}")
            old = writer.new(f"load i8, ptr {address}")
            byte = writer.new(f"trunc i64 {reached} to i8")
            writer.do(f"store i8 {writer.new(f'or i8 {old}, {byte}')}, ptr {address}")
        writer.do("ret i64 0")
        return writer.function(
            "@check(ptr noalias %key, i64 %lanes, ptr noalias %goals, ptr noalias %cover)"
        )

    def where(self, prop: Property) -> str:
        """The lanes in which a property holds; others than those at hand may be in it."""
        writer = self.writer
        mark = len(writer.lines), len(writer.slots), writer.label_now
        try:
            return SlicedProperty(writer, self.leaf, self.state(), self.fail).where(prop.body)
        except TooManyCasesError:
            del writer.lines[mark[0] :], writer.slots[mark[1] :]
            writer.label_now = mark[2]
            writer.known.clear()
            return self.one_by_one(prop)

    def one_by_one(self, prop: Property) -> str:
        """The same, once for each valuation that the property looks at."""
        writer = self.writer
        good = writer.slot()
        writer.do(f"store i64 0, ptr {good}")
        read = use_of(prop.body, self.leaf).read
        for values in self.leaf.combinations(read):
            some, none, end = (writer.fresh(name) for name in ("some", "none", "end"))
            lanes = self.within(values)
            writer.branch(writer.pure(f"icmp ne i64 {lanes}, 0"), some, none)
            writer.label(some)

            def done(env: Env, lanes: str = lanes) -> None:
                true = writer.compare("ne", env.registers[0], ZERO)
                part = writer.select(true, Value(lanes), ZERO).text
                total = writer.new(f"load i64, ptr {good}")
                writer.do(f"store i64 {writer.new(f'or i64 {total}, {part}')}, ptr {good}")

            BodyWriter(writer, prop.body, end, done, self.fail).write(self.state(values))
            writer.label(end)
            writer.jump(none)
            writer.label(none)
        return writer.new(f"load i64, ptr {good}")

    def fail(self, failure: int) -> None:
        self.writer.do(f"ret i64 {FAILURE + failure}")
