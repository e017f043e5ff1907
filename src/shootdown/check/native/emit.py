"""A system as two LLVM functions, which the search core calls once for each state.

``expand(state, out, cover, skip, kinds)`` writes the successors of a state, in order, from ``out``
on and returns their number in the lower 32 bits. The upper 32 are 0, or one more than the failure
of the outcome after these, or ``DEADLOCK``. It marks covered lines in the bytes at ``cover``. It
leaves out the outcomes in ``skip``, and says with a number for each successor from ``kinds`` on
which outcome it is and which others commute with it: see :mod:`.commuting`.

``check(state, goals, cover)`` returns 0 and marks the goals that are true in the bytes at
``goals``; or it returns :data:`INVARIANT` plus the index of the first false invariant, or
:data:`FAILURE` plus that of a failed check.

``given`` is a table with a number for each variable: the values of those that no action writes.
"""

from __future__ import annotations

from shootdown.check.native.bodies import BodyWriter
from shootdown.check.native.commuting import Commuting, commuting
from shootdown.check.native.expressions import Env, Writer
from shootdown.check.native.interface import FAILURE, INVARIANT
from shootdown.check.native.layout import Layout
from shootdown.check.native.reduced import as_numbers, once, read_state, reduced
from shootdown.check.native.values import ZERO, Value, constant, signed
from shootdown.check.reduce.reduction import NONE, Reduction
from shootdown.lang.ir import Action, Load, Place, Process, Property, System

_DECLARATIONS = """\
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
"""


def emit(system: System, layout: Layout, reduce: Reduction = NONE) -> str:
    """LLVM IR of a module with ``expand`` and ``check`` for ``system``.

    With reductions, ``expand`` gives the edges of the smaller graph, and leaves nothing out.
    """
    tables: dict[str, str] = {}
    functions = [_CheckProperties(system, layout, tables).text()]
    if reduce.order is None and reduce.merge is None:
        functions.append(_Expand(system, layout, tables, reduce).text())
    else:
        functions.append(_Everything(system, layout, tables, NONE).text())
        functions += reduced(system, layout, tables, reduce)
    if reduce.symmetry is not None:
        functions.append(reduce.symmetry.native(system, layout))
    return module(system, tables, functions)


def module(system: System, tables: dict[str, str], functions: list[str]) -> str:
    """A module of these functions, with the tables that they need."""
    constants = [
        f"{name} = private unnamed_addr constant "
        f"[{content.count('i')} x {content.partition(' ')[0]}] [{content}]"
        for content, name in tables.items()
    ]
    given = f"@given = global [{len(system.variables)} x i64] zeroinitializer"
    return once("\n".join([*constants, given, _DECLARATIONS, *functions]))


# --------------------------------------------------------------------------- expand


class _Expand:
    """The function ``expand``."""

    leaves_out = True

    def __init__(
        self, system: System, layout: Layout, tables: dict[str, str], reduce: Reduction
    ) -> None:
        self.system = system
        self.reduce = reduce
        self.known = commuting(system) if self.leaves_out and reduce == NONE else None
        self.writer = Writer(system, layout, tables)
        self.words = read_state(self.writer)
        self.number = self.writer.slot()
        self.progress = self.writer.slot()
        self.can_stop = any(not p.daemon and p.actions for p in system.processes)

    def text(self) -> str:
        writer = self.writer
        writer.do(f"store i64 0, ptr {self.number}")
        progress = "0"
        if self.known is not None and self.known.fair:  # what is left out is progress: see kind()
            progress = writer.pure(f"and i64 %skip, {self.known.fair}")
        writer.do(f"store i64 {progress}, ptr {self.progress}")
        for process in self.system.processes:
            self.begin()
            self.process(process)
        for rule in self.system.rules:
            self.begin()
            self.action(rule)
        self.begin()
        self.finish()
        return writer.function(
            "@expand(ptr noalias %state, ptr noalias %out, ptr noalias %cover, "
            "i64 %skip, ptr noalias %kinds)"
        )

    def begin(self) -> None:
        """The outcomes of the next process or rule begin here."""

    def process(self, process: Process) -> None:
        """Take the step that the process stands at."""
        if not process.actions:
            return
        writer = self.writer
        labels = [writer.fresh("step") for _ in process.actions]
        after = writer.fresh("stepped")
        pc = writer.value(Load(Place(process.pc)), Env(self.words, [])).text
        cases = [f"i64 {i}, label %{label}" for i, label in enumerate(labels)]
        writer.do(f"switch i64 {pc}, label %{after} [ {'  '.join(cases)} ]")
        for label, action in zip(labels, process.actions, strict=True):
            writer.label(label)
            self.action(action)
            writer.jump(after)
        writer.label(after)

    def action(self, action: Action) -> None:
        writer = self.writer
        end = writer.fresh("end")

        def done(env: Env) -> None:
            self.outcome(env, action)

        body = BodyWriter(writer, action.body, end, done, self.fail)
        if self.known is not None and (ways := self.known.ways[id(action)]).given:
            skipped = writer.pure(f"lshr i64 %skip, {ways.first}")
            skipped = writer.pure(f"and i64 {skipped}, {(1 << ways.given) - 1}")
            if ways.register is None:
                body.only_if = writer.pure(f"icmp eq i64 {skipped}, 0")
            else:
                body.left_out = skipped
        body.write(self.words)
        writer.label(end)

    def outcome(self, env: Env, action: Action) -> None:
        """Write a successor, and its kind."""
        writer = self.writer
        number = writer.new(f"load i64, ptr {self.number}")
        row = f"[{len(self.words)} x i64]"
        for i, word in enumerate(env.words):
            address = writer.new(f"getelementptr {row}, ptr %out, i64 {number}, i64 {i}")
            writer.do(f"store i64 {word}, ptr {address}")
        if self.reduce.symmetry is not None:
            address = writer.new(f"getelementptr {row}, ptr %out, i64 {number}")
            writer.new(f"call i64 @canonical(ptr {address})")
        writer.do(f"store i64 {writer.new(f'add i64 {number}, 1')}, ptr {self.number}")
        change: list[str] = []
        if action.fair and self.can_stop:
            change = [
                "0" if old == new else writer.pure(f"xor i64 {old}, {new}")
                for old, new in zip(self.words, env.words, strict=True)
            ]
            progress = writer.new(f"load i64, ptr {self.progress}")
            for changed in [text for text in change if text != "0"]:
                progress = writer.pure(f"or i64 {progress}, {changed}")
            writer.do(f"store i64 {progress}, ptr {self.progress}")
        if self.known is not None:
            address = writer.new(f"getelementptr i64, ptr %kinds, i64 {number}")
            kind = self.kind(self.known, action, env, change)
            writer.do(f"store i64 {kind}, ptr {address}")

    def kind(self, known: Commuting, action: Action, env: Env, change: list[str]) -> str:
        """The bit of an outcome, and above it the bits of those that commute with it.

        A fair outcome that need not be a change later is not left out, so all that are left out
        are progress.
        """
        writer, ways = self.writer, known.ways[id(action)]
        kinds = [signed(kind) for kind in ways.kinds()]
        kind = kinds[0]
        if len(set(kinds)) > 1:
            assert ways.register is not None
            content = ", ".join(f"i64 {kind}" for kind in kinds)
            name = writer.tables.setdefault(content, f"@table{len(writer.tables)}")
            chosen = env.registers[ways.register].text
            row = f"getelementptr [{len(kinds)} x i64], ptr {name}, i64 0, i64 {chosen}"
            kind = writer.pure(f"load i64, ptr {writer.pure(row)}")
        if not (ways.given and change):
            return kind
        total = ""
        for word, changed in enumerate(change):
            if changed == "0":
                continue
            slots = map(writer.layout.slots.__getitem__, known.unsure[id(action)])
            unsure = sum(slot.mask for slot in slots if slot.word == word)
            sure = writer.pure(f"and i64 {changed}, {signed(~unsure)}") if unsure else changed
            total = writer.pure(f"or i64 {total}, {sure}") if total else sure
        if not total:
            return "0"
        same = writer.pure(f"icmp eq i64 {total}, 0")
        return writer.pure(f"select i1 {same}, i64 0, i64 {kind}")

    def fail(self, failure: int) -> None:
        """End the search with a failed check as the last outcome."""
        number = self.writer.new(f"load i64, ptr {self.number}")
        result = self.writer.new(f"or i64 {number}, {failure + 1 << 32}")
        self.writer.do(f"ret i64 {result}")

    def finish(self) -> None:
        writer = self.writer
        number = writer.new(f"load i64, ptr {self.number}")
        if not self.can_stop:
            writer.do(f"ret i64 {number}")
            return
        stuck, moving = writer.fresh("stuck"), writer.fresh("moving")
        progress = writer.new(f"load i64, ptr {self.progress}")
        writer.branch(writer.pure(f"icmp eq i64 {progress}, 0"), stuck, moving)
        writer.label(moving)
        writer.do(f"ret i64 {number}")
        writer.label(stuck)
        finished = "true"
        for process in self.system.processes:
            if not process.daemon and process.actions:
                pc = writer.value(Load(Place(process.pc)), Env(self.words, []))
                ended = writer.compare("ge", pc, constant(len(process.actions)))
                finished = writer.both(finished, ended)
        deadlock = constant(-(1 << 32))  # DEADLOCK in the upper half
        writer.do(f"ret i64 {writer.select(finished, Value(number), deadlock).text}")


class _Everything(_Expand):
    """The function ``everything``: the same, with the number of the first outcome of each process
    and rule, and of the end, at ``starts``. Its arguments are numbers."""

    agent = 0
    leaves_out = False

    def begin(self) -> None:
        number = self.writer.new(f"load i64, ptr {self.number}")
        address = self.writer.new(f"getelementptr i64, ptr %starts, i64 {self.agent}")
        self.writer.do(f"store i64 {number}, ptr {address}")
        self.agent += 1

    def text(self) -> str:
        super().text()
        return as_numbers(self.writer, "everything", ("state", "out", "cover", "starts"))


# --------------------------------------------------------------------------- check


class _CheckProperties:
    """The function ``check``."""

    def __init__(self, system: System, layout: Layout, tables: dict[str, str]) -> None:
        self.system = system
        self.writer = Writer(system, layout, tables)
        self.words = read_state(self.writer)

    def text(self) -> str:
        writer = self.writer
        for index, invariant in enumerate(self.system.invariants):
            holds, violated = writer.fresh("holds"), writer.fresh("violated")
            writer.branch(self.truth(invariant), holds, violated)
            writer.label(violated)
            writer.do(f"ret i64 {INVARIANT + index}")
            writer.label(holds)
        # a state that ends the search reaches no goal, so these come before all marks
        goals = [writer.number(self.truth(goal)).text for goal in self.system.goals]
        for index, goal in enumerate(goals):
            address = writer.new(f"getelementptr i8, ptr %goals, i64 {index}")
            old = writer.new(f"load i8, ptr {address}")
            byte = writer.new(f"trunc i64 {goal} to i8")
            writer.do(f"store i8 {writer.new(f'or i8 {old}, {byte}')}, ptr {address}")
        writer.do("ret i64 0")
        return writer.function("@check(ptr noalias %state, ptr noalias %goals, ptr noalias %cover)")

    def truth(self, prop: Property) -> str:
        """Whether a property holds, as an operand of type i1."""
        writer = self.writer
        end = writer.fresh("end")
        results: list[tuple[str, Value]] = []

        def done(env: Env) -> None:
            results.append((writer.label_now, env.registers[0]))

        def fail(failure: int) -> None:
            writer.do(f"ret i64 {FAILURE + failure}")

        BodyWriter(writer, prop.body, end, done, fail).write(self.words)
        writer.label(end)
        if len(results) == 1:
            result = results[0][1]
        else:
            pairs = ", ".join(f"[ {value.text}, %{label} ]" for label, value in results)
            result = Value(writer.new(f"phi i64 {pairs}"))
        return writer.compare("ne", result, ZERO)
