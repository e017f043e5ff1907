"""A system with a leaf as two LLVM functions that work on many lanes at once.

A state is its key (all variables but the leaf's, packed into words) and a lane. An *entry* is a key
with a set of lanes, one bit each (see :mod:`.lanes_sets`): ``key`` and ``lanes`` below, which are
addresses.

``expand(key, lanes, out, cover, extra, skip)`` writes the successors of all these states from
``out`` on: the words of a key, those of its lanes, and a set of outcomes as ``skip`` is one. Those
with the same key as before it puts together at ``extra``; behind them it leaves the number of
outcomes of all lanes, and what the lanes at ``extra`` may skip. It returns how many keys it wrote
in the lower 32 bits; the upper 32 are 0, or one more than a failure that an outcome of some lane
ends in, or ``DEADLOCK`` where a lane is one.

``check(key, lanes, goals, cover)`` is as in :mod:`~shootdown.check.native.emit`, for some lane.

Actions run once where they do not depend on the leaf. Else they run once for each valuation of the
variables that they look at: there these are constants, and what such an action does to the leaf is
a shift of the set of lanes. Valuations for which the same code comes out run together. A variable
that is overwritten is projected out (its lanes are put together) before its new value is put in.

**Skipping.** ``skip`` are outcomes of these states that lead to known ones: see :mod:`.commuting`.
Let ``a`` lead from lanes of one record to those of another, that begins with them, and let ``b``
commute with ``a``, and have been taken before in all lanes of the first one where it is possible
(or have been in the first one's ``skip``). What ``b`` leads to from there is known, so it is in
records before the new one; from these ``a`` leads to the same states as ``b`` does from the new
one, and unless it is skipped there, for the same reason, they are found before. Lanes that are
added to a record later have no such order: then nothing of it is skipped.

An outcome that is *alike* in all lanes is not even looked at when it is skipped; it is one outcome
of each lane, and progress if it is fair, as it was before ``a``. (It is put into the set only where
it is possible, and if fair surely changes the key.) Others are counted, but lead nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from shootdown.check.native.bodies import BodyWriter, most_ways
from shootdown.check.native.commuting import Ways, commuting
from shootdown.check.native.emit import module
from shootdown.check.native.expressions import Env, Writer
from shootdown.check.native.interface import FAILURE, INVARIANT
from shootdown.check.native.lanes_check import SlicedProperty, TooManyCasesError
from shootdown.check.native.lanes_cover import Cells
from shootdown.check.native.lanes_leaf import Leaf, Use, use_of, variants
from shootdown.check.native.lanes_sets import SetWriter
from shootdown.check.native.layout import Layout
from shootdown.check.native.values import ZERO, Value, constant, known, signed
from shootdown.lang.ir import (
    Action,
    Block,
    Body,
    Choice,
    Const,
    Cover,
    Load,
    Place,
    Process,
    Property,
    Set,
    System,
)

Values: TypeAlias = tuple[tuple[int, int], ...]
"""Variables of the leaf and their values."""

Covering: TypeAlias = tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
"""The lines of each byte at ``cover``, of ``expand`` and of ``check``."""


def emit_lanes(system: System, layout: Layout, leaf: Leaf) -> tuple[str, Covering]:
    """LLVM IR of a module with ``expand`` and ``check``; the layout has the leaf in a last word.

    ``system`` has the bits of the variables that the leaf splits. Also the lines that each byte
    at ``cover`` is about: of ``expand``, and of ``check``.
    """
    tables: dict[str, str] = {}
    expand = _Expand(system, layout, leaf, tables)
    check = _CheckProperties(system, layout, leaf, tables)
    functions = [_declarations(leaf), expand.text(), check.text()]
    return module(system, tables, functions), (expand.cells.lines(), check.cells.lines())


def _declarations(leaf: Leaf) -> str:
    if leaf.words == 1:
        return ""
    kind, name = f"<{leaf.words} x i64>", f"v{leaf.words}i64"
    return (
        f"declare {kind} @llvm.ctpop.{name}({kind})\n"
        f"declare i64 @llvm.vector.reduce.add.{name}({kind})\n"
    )


def sizes_of(system: System) -> list[int]:
    """The sizes of the variables."""
    return [variable.size for variable in system.variables]


def most_made(system: System, leaf: Leaf) -> int:
    """An upper bound of the entries that one entry makes."""
    sizes, known = sizes_of(system), commuting(system)

    def made(action: Action) -> int:
        bodies = variants(action.body, leaf, sizes, apart=tells_apart(known.ways[id(action)]))
        return sum(most_ways(body) * leaf.number(use.read) for body, use in bodies)

    steps = [max(map(made, process.actions), default=0) for process in system.processes]
    return sum(steps) + sum(map(made, system.rules))


class _Function:
    """What both functions share."""

    def __init__(self, system: System, layout: Layout, leaf: Leaf, tables: dict[str, str]) -> None:
        self.system = system
        self.layout = layout
        self.leaf = leaf
        self.sizes = sizes_of(system)
        self.writer = Writer(system, layout, tables)
        self.sets = SetWriter(self.writer, leaf)
        self.cells = Cells()
        self.words = []
        for i in range(layout.words - 1):
            address = self.writer.new(f"getelementptr i64, ptr %key, i64 {i}")
            self.words.append(self.writer.new(f"load i64, ptr {address}"))
        self.lanes = self.sets.load("%lanes")

    def state(self, values: Values = ()) -> list[str]:
        """The words of a state with these values in the leaf."""
        return [*self.words, str(self.leaf.word(self.layout, values))]

    def set_slot(self) -> str:
        """A stack slot with no lanes in it."""
        slot = self.writer.slot(self.sets.kind)
        self.sets.store(self.sets.none, slot)
        return slot

    def put_in(self, slot: str, lanes: str) -> None:
        """Put more lanes into a slot."""
        self.sets.store(self.sets.either(self.sets.load(slot), lanes), slot)


# --------------------------------------------------------------------------- expand


class _Expand(_Function):
    """The function ``expand``."""

    def __init__(self, system: System, layout: Layout, leaf: Leaf, tables: dict[str, str]) -> None:
        super().__init__(system, layout, leaf, tables)
        self.number = self.writer.slot()
        self.own, self.progress, self.counts = (self.set_slot() for _ in range(3))
        self.done, self.own_skip = self.writer.slot(), self.writer.slot()
        self.known = commuting(system)
        self.all = self.sets.counts(self.lanes)
        self.alike = 0  # the bits of outcomes that are the same in all lanes
        self.first: str | None = None  # where the entries of an action begin that looks at the leaf
        self.can_stop = any(not p.daemon and p.actions for p in system.processes)

    def text(self) -> str:
        writer = self.writer
        for slot, value in ((self.number, 0), (self.done, 0), (self.own_skip, -1)):
            writer.do(f"store i64 {value}, ptr {slot}")
        for process in self.system.processes:
            self.process(process)
        for rule in self.system.rules:
            self.action(rule)
        self.finish()
        return writer.function(
            "@expand(ptr noalias %key, ptr noalias %lanes, ptr noalias %out, ptr noalias %cover, "
            "ptr noalias %extra, i64 %skip)"
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
        writer = self.writer
        ways = self.known.ways[id(action)]
        for found, use in variants(action.body, self.leaf, self.sizes, apart=tells_apart(ways)):
            value = value_taken(found, ways)
            others = ways.others[value] if value is not None else all_of(ways.others)
            bit = 0
            if value is not None and value < ways.given:
                bit = 1 << ways.first + value
            outcome = _Outcome(action, others, bit, alike=not use.read)
            body = self.cells.body(found)
            if not bit:
                self.variant(outcome, body, use)
            elif outcome.alike:
                self.alike |= bit
                wanted, skipped = writer.fresh("wanted"), writer.fresh("skipped")
                writer.branch(self.is_wanted(outcome), wanted, skipped)
                writer.label(wanted)
                self.variant(outcome, body, use)
                writer.jump(skipped)
                writer.label(skipped)
            else:
                self.variant(outcome, body, use)
                self.change(self.done, "or", str(bit))

    def is_wanted(self, outcome: _Outcome) -> str:
        """Whether an outcome is not to be skipped."""
        left = self.writer.pure(f"and i64 %skip, {outcome.bit}")
        return self.writer.pure(f"icmp eq i64 {left}, 0")

    def variant(self, outcome: _Outcome, body: Body, use: Use) -> None:
        """Write a body for each group of values of what it reads."""
        self.first = None
        if not use.read:
            self.run(body, outcome, self.lanes, (), use.overwritten)
            return
        self.first = self.writer.new(f"load i64, ptr {self.number}")
        first, *others = body.blocks
        if first.ops and isinstance(first.ops[0], Cover):  # for some of the lanes in any case
            self.mark(first.ops[0].line)
            body = Body((Block(first.ops[1:], first.end), *others), body.registers)
        for group in self.groups(body, use):
            some, none = self.writer.fresh("some"), self.writer.fresh("none")
            mask = 0
            for values in group:
                mask |= self.leaf.masks(values)
            lanes = self.sets.both(self.lanes, self.sets.constant(mask))
            self.writer.branch(self.sets.any(lanes), some, none)
            self.writer.label(some)
            self.run(body, outcome, lanes, group[0], use.overwritten)
            self.writer.jump(none)
            self.writer.label(none)

    def mark(self, cell: int) -> None:
        """Cover some lines."""
        address = self.writer.new(f"getelementptr i8, ptr %cover, i64 {cell}")
        self.writer.do(f"store i8 1, ptr {address}")

    def change(self, slot: str, op: str, value: str) -> None:
        """Change the number in a slot."""
        old = self.writer.new(f"load i64, ptr {slot}")
        self.writer.do(f"store i64 {self.writer.new(f'{op} i64 {old}, {value}')}, ptr {slot}")

    def groups(self, body: Body, use: Use) -> list[list[Values]]:
        """All values of the variables that a body reads; together those for which it does the same,
        and without those for which it does nothing."""
        groups: dict[str, list[Values]] = {}
        for values in self.leaf.combinations(use.read):
            text = self.behaviour(body, values, use)
            if text:
                groups.setdefault(text, []).append(values)
        return list(groups.values())

    def behaviour(self, body: Body, before: Values, use: Use) -> str:
        """What a body does to lanes that have these values, as a text; empty if that is nothing.

        It is the code itself, without what it does not need and with names in order.
        """
        writer = Writer(self.system, self.layout, self.writer.tables)
        old = dict(before)

        def done(env: Env) -> None:
            changes = []
            for variable in (*old, *use.overwritten):
                text = writer.load(Place(variable), env).text
                number = known(text)
                if variable in old and number is not None:
                    changes.append(f"{variable}: {number - old[variable]:+}")
                else:
                    changes.append(f"{variable}: {old.get(variable)} {text}")
            writer.do(f"done {' '.join(env.words[:-1])} {' '.join(changes)}")

        def fail(failure: int) -> None:
            writer.do(f"fail {failure}")
            writer.do("unreachable")

        words = [f"%key{i}" for i in range(len(self.words))]
        words.append(str(self.leaf.word(self.layout, before)))
        BodyWriter(writer, body, "end", done, fail).write(words)
        return canonical_text(writer.lines)

    def run(
        self,
        body: Body,
        outcome: _Outcome,
        lanes: str,
        before: Values,
        overwritten: tuple[int, ...],
    ) -> None:
        """Write a body for lanes that it treats as those that have the values ``before``."""
        writer = self.writer
        end = writer.fresh("end")

        def done(env: Env) -> None:
            self.outcome(env, outcome, lanes, self.moved(env, lanes, before, overwritten))

        BodyWriter(writer, body, end, done, self.fail).write(self.state(before))
        writer.label(end)

    def moved(self, env: Env, lanes: str, before: Values, overwritten: tuple[int, ...]) -> _Moved:
        """Where the lanes are at the end of a way."""
        for variable in overwritten:
            lanes = self.sets.projected(variable, lanes)
        changes = [
            (variable, value, self.writer.load(Place(variable), env))
            for variable, value in (*before, *((v, 0) for v in overwritten))
        ]
        news = [(old, known(new.text)) for _, old, new in changes[: len(before)]]
        away = any(new not in (None, old) for old, new in news)
        return _Moved(self.sets.moved(lanes, changes), away)

    def outcome(self, env: Env, outcome: _Outcome, lanes: str, to: _Moved) -> None:
        """Count the outcomes; write an entry, or keep what stays in this one."""
        writer, moved = self.writer, to.lanes
        counts = self.all if lanes == self.lanes else self.sets.counts(lanes)
        self.sets.store(self.sets.add(self.sets.load(self.counts), counts), self.counts)
        pairs = [(old, new) for old, new in zip(self.words, env.words, strict=False) if old != new]
        if outcome.action.fair and self.can_stop:
            self.advance(pairs, lanes, to)
        skipped = ""
        if outcome.bit and not outcome.alike:
            wanted, skipped = writer.fresh("wanted"), writer.fresh("skipped")
            writer.branch(self.is_wanted(outcome), wanted, skipped)
            writer.label(wanted)
        if pairs and outcome.alike:
            self.write(env.words[:-1], moved, self.skipped_then(outcome))
        elif pairs:  # it may well change only the leaf
            change = self.difference(pairs)
            stays, goes, after = (writer.fresh(name) for name in ("stays", "goes", "after"))
            writer.branch(writer.pure(f"icmp eq i64 {change}, 0"), stays, goes)
            writer.label(stays)
            self.stay(outcome, moved)
            writer.jump(after)
            writer.label(goes)
            self.write(env.words[:-1], moved, self.skipped_then(outcome))
            writer.jump(after)
            writer.label(after)
        else:
            self.stay(outcome, moved)
        if skipped:
            writer.jump(skipped)
            writer.label(skipped)
        elif outcome.bit:
            bit = str(outcome.bit)
            if outcome.action.fair:
                sure = self.surely(outcome.action, env)
                bit = writer.select(sure, constant(outcome.bit), ZERO).text
            self.change(self.done, "or", bit)

    def skipped_then(self, outcome: _Outcome) -> str:
        """What need not be tried where an outcome leads."""
        done = self.writer.new(f"load i64, ptr {self.done}")
        before = self.writer.pure(f"or i64 {done}, %skip")
        return self.writer.pure(f"and i64 {before}, {outcome.others}")

    def stay(self, outcome: _Outcome, moved: str) -> None:
        """Keep lanes in this entry."""
        self.put_in(self.own, moved)
        self.change(self.own_skip, "and", str(outcome.others))

    def difference(self, pairs: list[tuple[str, str]]) -> str:
        """A number that is 0 if words did not change."""
        change = "0"
        for old, new in pairs:
            part = self.writer.pure(f"xor i64 {old}, {new}")
            change = part if change == "0" else self.writer.pure(f"or i64 {change}, {part}")
        return change

    def surely(self, action: Action, env: Env) -> str:
        """Whether the key changes, and still does so after what commutes with the action."""
        total = "0"
        for word, (old, new) in enumerate(zip(self.words, env.words, strict=False)):
            if old != new:
                slots = map(self.layout.slots.__getitem__, self.known.unsure[id(action)])
                unsure = sum({slot.mask for slot in slots if slot.word == word})
                part = self.writer.pure(f"xor i64 {old}, {new}")
                part = self.writer.pure(f"and i64 {part}, {signed(~unsure)}")
                total = self.writer.pure(f"or i64 {total}, {part}")
        return "false" if total == "0" else self.writer.pure(f"icmp ne i64 {total}, 0")

    def write(self, key: list[str], lanes: str, skip: str) -> None:
        """Write an entry; or add the lanes to the last one of the same action, if its key is the
        same: that is frequent where an action looks at the leaf, and saves looking the key up."""
        writer = self.writer
        at = writer.new(f"load i64, ptr {self.number}")
        if self.first is None:
            self.put(at, key, lanes, skip)
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
        self.put_in(self.address(last, len(key)), lanes)
        self.change(self.address(last, len(key) + self.leaf.words), "and", skip)
        writer.jump(after)
        writer.label(new)
        self.put(at, key, lanes, skip)
        writer.jump(after)
        writer.label(after)

    def put(self, at: str, key: list[str], lanes: str, skip: str) -> None:
        writer = self.writer
        for i, word in enumerate(key):
            writer.do(f"store i64 {word}, ptr {self.address(at, i)}")
        self.sets.store(lanes, self.address(at, len(key)))
        writer.do(f"store i64 {skip}, ptr {self.address(at, len(key) + self.leaf.words)}")
        writer.do(f"store i64 {writer.new(f'add i64 {at}, 1')}, ptr {self.number}")

    def address(self, at: str, word: int) -> str:
        record = f"[{len(self.words) + self.leaf.words + 1} x i64]"
        return self.writer.pure(f"getelementptr {record}, ptr %out, i64 {at}, i64 {word}")

    def advance(self, pairs: list[tuple[str, str]], lanes: str, to: _Moved) -> None:
        """Note the lanes that a fair action leads to another state.

        Without a change of the key, and unless all lanes move, a lane is its own successor exactly
        where it is still there.
        """
        writer = self.writer
        changed = lanes if to.away else self.sets.without(lanes, to.lanes)
        if pairs and not to.away:
            same = writer.pure(f"icmp eq i64 {self.difference(pairs)}, 0")
            changed = self.sets.select(same, changed, lanes)
        self.put_in(self.progress, changed)

    def fail(self, failure: int) -> None:
        number = self.writer.new(f"load i64, ptr {self.number}")
        result = self.writer.new(f"or i64 {number}, {failure + 1 << 32}")
        self.writer.do(f"ret i64 {result}")

    def finish(self) -> None:
        writer = self.writer
        self.sets.store(self.sets.load(self.own), "%extra")
        total = self.sets.total(self.sets.load(self.counts))
        if self.alike:  # each of these would be an outcome in all lanes
            left_out = writer.pure(f"and i64 %skip, {self.alike}")
            left_out = writer.pure(f"call i64 @llvm.ctpop.i64(i64 {left_out})")
            left_out = writer.pure(f"mul i64 {left_out}, {self.sets.total(self.all)}")
            total = writer.pure(f"add i64 {total}, {left_out}")
        address = writer.new(f"getelementptr i64, ptr %extra, i64 {self.leaf.words}")
        writer.do(f"store i64 {total}, ptr {address}")
        skip = writer.pure(f"and i64 {writer.new(f'load i64, ptr {self.own_skip}')}, %skip")
        address = writer.new(f"getelementptr i64, ptr %extra, i64 {self.leaf.words + 1}")
        writer.do(f"store i64 {skip}, ptr {address}")
        number = writer.new(f"load i64, ptr {self.number}")
        if not self.can_stop:
            writer.do(f"ret i64 {number}")
            return
        stuck, moving = writer.fresh("stuck"), writer.fresh("moving")
        rest = self.sets.without(self.lanes, self.sets.load(self.progress))
        if sure := self.known.fair & self.alike:  # what is skipped there is progress in all lanes
            left_out = writer.pure(f"and i64 %skip, {sure}")
            none = writer.pure(f"icmp eq i64 {left_out}, 0")
            rest = self.sets.select(none, rest, self.sets.none)
        writer.branch(self.sets.any(rest), stuck, moving)
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


class _Moved(NamedTuple):
    """Where lanes are after an action; ``away``: each of them is elsewhere for certain."""

    lanes: str
    away: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An action, or one value of its choice: its bit, 0 if it has none, and those that commute."""

    action: Action
    others: int
    bit: int
    alike: bool  # in all lanes


def tells_apart(ways: Ways) -> bool:
    """Whether the values of a choice have bits."""
    return ways.register is not None and ways.given > 0


def value_taken(body: Body, ways: Ways) -> int | None:
    """The value of the choice that a body takes; 0 without a choice, None if it is not known."""
    if any(isinstance(block.end, Choice) for block in body.blocks):
        return None
    if ways.register is None:
        return 0
    ops = [op for block in body.blocks for op in block.ops]
    values = [op.value for op in ops if isinstance(op, Set) and op.reg == ways.register]
    if len(values) == 1 and isinstance(values[0], Const):
        return values[0].value
    return None


def all_of(sets: tuple[int, ...]) -> int:
    """What is in all of some sets of bits."""
    result = sets[0]
    for one in sets:
        result &= one
    return result


def canonical_text(lines: list[str]) -> str:
    """Code without the instructions whose results are not used, its names in order; empty if it
    neither comes to an end nor covers a line."""
    used: set[str] = set()
    kept: list[str] = []
    for line in reversed(lines):
        name, _, rest = line.strip().partition(" = ")
        if rest and name not in used:
            continue
        used.update(_NAME.findall(rest or line))
        kept.append(line)
    if not any(line.startswith(("  done ", "  fail ", "  store i8 ")) for line in kept):
        return ""
    names: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"%{len(names)}")

    return _NAME.sub(renamed, _LABEL.sub(r"%\1", "\n".join(reversed(kept))))


_NAME = re.compile(r"%[\w.]+")
_LABEL = re.compile(r"^(\S+):$", re.MULTILINE)


# --------------------------------------------------------------------------- check


class _CheckProperties(_Function):
    """The function ``check``."""

    def text(self) -> str:
        writer = self.writer
        for index, invariant in enumerate(self.system.invariants):
            holds, violated = writer.fresh("holds"), writer.fresh("violated")
            bad = self.sets.without(self.lanes, self.where(invariant))
            writer.branch(self.sets.any(bad), violated, holds)
            writer.label(violated)
            writer.do(f"ret i64 {INVARIANT + index}")
            writer.label(holds)
        goals = []
        for goal in self.system.goals:
            good = self.sets.both(self.lanes, self.where(goal))
            goals.append(writer.number(self.sets.any(good)).text)
        for index, reached in enumerate(goals):
            address = writer.new(f"getelementptr i8, ptr %goals, i64 {index}")
            old = writer.new(f"load i8, ptr {address}")
            byte = writer.new(f"trunc i64 {reached} to i8")
            writer.do(f"store i8 {writer.new(f'or i8 {old}, {byte}')}, ptr {address}")
        writer.do("ret i64 0")
        return writer.function(
            "@check(ptr noalias %key, ptr noalias %lanes, ptr noalias %goals, ptr noalias %cover)"
        )

    def where(self, prop: Property) -> str:
        """The lanes in which a property holds; others than those at hand may be in it."""
        writer = self.writer
        mark = len(writer.lines), len(writer.slots), writer.label_now
        body = self.cells.body(prop.body)
        try:
            sliced = SlicedProperty(self.sets, self.lanes, self.state(), self.fail)
            return sliced.where(body)
        except TooManyCasesError:
            del writer.lines[mark[0] :], writer.slots[mark[1] :]
            writer.label_now = mark[2]
            writer.known.clear()
            return self.one_by_one(body)

    def one_by_one(self, body: Body) -> str:
        """The same, once for each valuation that a property looks at."""
        writer = self.writer
        good = self.set_slot()
        read = use_of(body, self.leaf).read
        for values in self.leaf.combinations(read):
            some, none, end = (writer.fresh(name) for name in ("some", "none", "end"))
            lanes = self.sets.within(values, self.lanes)
            writer.branch(self.sets.any(lanes), some, none)
            writer.label(some)

            def done(env: Env, lanes: str = lanes) -> None:
                true = writer.compare("ne", env.registers[0], ZERO)
                self.put_in(good, self.sets.select(true, lanes, self.sets.none))

            BodyWriter(writer, body, end, done, self.fail).write(self.state(values))
            writer.label(end)
            writer.jump(none)
            writer.label(none)
        return self.sets.load(good)

    def fail(self, failure: int) -> None:
        self.writer.do(f"ret i64 {FAILURE + failure}")
