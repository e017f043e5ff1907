"""Statements: assignments, control flow, locks, assertions."""

from __future__ import annotations

import ast
import typing
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Exit, Loop, describe, join_kinds, join_two, same
from shootdown.lang.calls import Calls
from shootdown.lang.cfg import MBlock, MJump, Register
from shootdown.lang.expressions import REFUSED as REFUSED_EXPRESSIONS
from shootdown.lang.kinds import IntKind, Kind, LockKind, RwSemKind, WordKind
from shootdown.lang.types import Global, Object, Ranged, counter, ranged
from shootdown.lang.values import Dyn, FieldV, PlaceV, RecordV, SemSideV, Static, TupleV, Value

MAX_GROWTH = 4  # how often the range of a loop's variable may grow before it is taken for endless
REFUSED: dict[type[ast.stmt], tuple[str, str]] = {
    ast.Try: ("try", "a kernel path has no exceptions: test the value"),
    ast.TryStar: ("try", "a kernel path has no exceptions: test the value"),
    ast.Raise: ("raise", 'use assert condition, "INV-NAME: what is wrong"'),
    ast.Import: ("an import inside a path", "import at the top of the file"),
    ast.ImportFrom: ("an import inside a path", "import at the top of the file"),
    ast.Global: ("global", "declare shared state with shared() or as a field"),
    ast.Nonlocal: ("nonlocal", "pass the value as an argument"),
    ast.Delete: ("del", "assign None or an empty value"),
    ast.ClassDef: ("a class inside a path", "declare it at the top of the file"),
    ast.FunctionDef: ("a function inside a path", "declare it at the top of the file"),
    ast.AsyncFunctionDef: ("a function inside a path", "declare it at the top of the file"),
    ast.Match: ("match", "use if and elif"),
    ast.AsyncFor: ("async for", "threads interleave by themselves: write for"),
    ast.AsyncWith: ("async with", "threads interleave by themselves: write with"),
}


class Statements(Calls):
    """Compiles statements."""

    def run_statements(self, statements: list[ast.stmt]) -> None:
        """Compile statements in order, up to where the way ends."""
        for i, statement in enumerate(statements):
            if self.block is None:
                return
            if i == 0 and isinstance(statement, ast.Expr) and _is_docstring(statement):
                continue
            if isinstance(statement, ast.Pass):
                continue
            self.pending_cover = [*self.pending_cover, self.unit.line(self.at(statement))]
            try:
                self.statement(statement)
            except ModelError as error:
                if error.file is not None:
                    raise
                raise self.error(statement, error.message, error.hint) from None
            if self.block is not None:
                self._cover()

    def statement(self, node: ast.stmt) -> None:
        """Compile one statement."""
        if isinstance(node, ast.Expr):  # the most frequent ones first
            self.expression_statement(node.value, node)
            return
        if isinstance(node, ast.If):
            self.if_statement(node.test, node.body, node.orelse)
            return
        match node:
            case ast.Assign(targets, value):
                if len(targets) > 1:
                    raise self.error(node, "a = b = ... is outside the language", "use two lines")
                self.assign(targets[0], self.evaluate(value), node)
            case ast.AnnAssign(target, annotation, value):
                self.declare(target, annotation, value, node)
            case ast.AugAssign(target, op, value):
                self.augmented(target, op, value, node)
            case ast.While():
                self.while_statement(node)
            case ast.For():
                self.for_statement(node)
            case ast.Break():
                self.unwind(self.loop(node, "break").held)
                self.loop(node, "break").breaks.append(self._leave())
            case ast.Continue():
                self.unwind(self.loop(node, "continue").held)
                self.loop(node, "continue").continues.append(self._leave())
            case ast.Return(value):
                result = self.evaluate(value) if value is not None else Static(None)
                if isinstance(result, Dyn):
                    result = self.temp(result.expr, result.kind, "result")
                self.unwind(0)
                if self.block is not None:
                    self.frame.returns.append(self._leave(result))
            case ast.With():
                self.with_statement(node)
            case ast.Assert(test, message):
                self.assertion(test, message, node)
            case _:
                what, hint = REFUSED.get(
                    type(node), (f"'{type(node).__name__}'", "see docs/language.md")
                )
                raise self.error(node, f"{what} is outside the language", hint)

    def _leave(self, value: Value | None = None) -> Any:
        return self.leave(value)

    def loop(self, node: ast.AST, word: str) -> Loop:
        """The innermost loop of this function."""
        if not self.frame.loops:
            raise self.error(node, f"'{word}' outside a loop")
        return self.frame.loops[-1]

    def expression_statement(self, value: ast.expr, node: ast.stmt) -> None:
        """A call for its effect."""
        if not isinstance(value, ast.Call):
            if isinstance(value, ast.Constant) and value.value is Ellipsis:
                return
            if type(value) in REFUSED_EXPRESSIONS:
                self.reference(value)
            raise self.error(node, "this statement has no effect", "assign its value, or remove it")
        if self.removed(value):
            return
        result = self.call(value)
        if isinstance(result, SemSideV):
            raise self.error(node, "read() and write() are for 'with'", "use down_read()/up_read()")

    # ------------------------------------------------------------------ assignment

    def assign(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """``target = value``."""
        match target:
            case ast.Name(name):
                self.assign_name(name, value, node)
            case ast.Tuple(elements) | ast.List(elements):
                if not isinstance(value, TupleV) or len(value.items) != len(elements):
                    raise self.error(node, "as many names as values are needed")
                for element, item in zip(elements, value.items, strict=True):
                    self.assign(element, item, node)
            case ast.Attribute() | ast.Subscript():
                self.assign_place(target, value, node)
            case _:
                raise self.error(node, "this cannot be assigned to")

    def assign_name(self, name: str, value: Value, node: ast.AST) -> None:
        """Bind a local name."""
        key = self.frame.key(name)
        bound = self.env.get(key)
        if isinstance(bound, (PlaceV, FieldV)):
            raise self.error(
                node, f"'{name}' is a Ref parameter", f"write it with WRITE_ONCE({name}, ...)"
            )
        if isinstance(self.frame.source.names.get(name), Global):
            raise self.error(
                node, f"'{name}' is a shared global: '=' would make a local of it",
                f"write it with WRITE_ONCE({name}, ...)",
            )  # fmt: skip
        if name not in self.frame.locals:
            raise self.error(
                node, f"'{name}' is not a local: it cannot be changed",
                f"copy it first, as in copy = {name}, or declare it with shared()",
            )  # fmt: skip
        kind = self.declared.get(key)
        if kind is not None:
            value = Dyn(self.coerce(value, kind, node), kind)
        self.env[key] = self.local(value, name, node)

    def local(self, value: Value, name: str, node: ast.AST) -> Value:
        """A value as a local keeps it."""
        if isinstance(value, (PlaceV, FieldV, SemSideV)):
            raise self.error(
                node,
                f"{describe(value)} cannot be kept in a local",
                "use it directly, or pass it to a Ref",
            )
        if isinstance(value, Dyn):
            kept = self.temp(value.expr, value.kind, name, named=True)
            if isinstance(kept.expr, ir.Reg) and not self.registers[kept.expr.index].named:
                kind = self.registers[kept.expr.index].kind
                self.registers[kept.expr.index] = Register(name, kind, named=True)
            return kept
        if isinstance(value, TupleV):
            return TupleV(tuple(self.local(item, name, node) for item in value.items))
        return value

    def assign_place(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """Write shared state, or a field of a local word or record."""
        if isinstance(target, ast.Attribute):
            base = self.reference(target.value)
            if isinstance(base, RecordV):
                self.assign_record(base, target.attr, value, node)
                return
            word = self.kind_of(base) if not isinstance(base, (PlaceV, FieldV)) else None
            if isinstance(word, WordKind):
                changed = self.with_fields(self.widen(base, word), word, {target.attr: value}, node)
                self.assign_local(target.value, changed, node)
                return
            place = self.attribute(base, target.attr, target)
        else:
            place = self.reference(target)
        if not isinstance(place, (PlaceV, FieldV)):
            if isinstance(target, ast.Subscript):
                raise self.error(
                    node, "an element of a tuple cannot be changed", "use an Array field"
                )
            raise self.error(node, f"{describe(place)} cannot be assigned")
        self.write(place, value, node)

    def assign_record(self, record: RecordV, name: str, value: Value, node: ast.AST) -> None:
        """A field of a thread's own structure."""
        decl = self.unit.kinds.field(record.cls, name)
        if decl is None:
            fields = self.unit.kinds.record_fields(record.cls)
            raise self.unknown(node, record.cls.__name__, "field", name, fields)
        expr = self.coerce(value, decl.kind, node)
        self.env[f"{record.prefix}.{name}"] = self.temp(expr, decl.kind, name, named=True)

    def assign_local(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """Bind a local name or a record's field."""
        if isinstance(target, ast.Name):
            self.assign_name(target.id, value, node)
            return
        if isinstance(target, ast.Attribute):
            base = self.reference(target.value)
            if isinstance(base, RecordV):
                self.assign_record(base, target.attr, value, node)
                return
        raise self.error(node, "only a local variable can be changed like this")

    def declare(
        self, target: ast.expr, annotation: ast.expr, value: ast.expr | None, node: ast.AST
    ) -> None:
        """``n: int = ranged(0, 3)``, or an ordinary assignment with an annotation."""
        marker = None
        # by identity, since options refuse to be compared here
        if isinstance(value, ast.Call) and any(
            self.callee(value.func) is function for function in (ranged, counter)
        ):
            marker = self.range_marker(value)
        if marker is None:
            if value is None:
                raise self.error(node, "a declaration needs a value", "write '= ranged(0, 3)'")
            self.assign(target, self.evaluate(value), node)
            return
        if not isinstance(target, ast.Name):
            raise self.error(node, "only a local can be declared")
        kind = self.unit.kinds.ranged(marker, lambda message: self.error(node, message))
        self.frame.locals.add(target.id)
        self.declared[self.frame.key(target.id)] = kind
        self.env[self.frame.key(target.id)] = Dyn(ir.Const(marker.init), kind)

    declared: dict[str, Kind]

    def range_marker(self, call: ast.Call) -> Ranged:
        """The Ranged that a declaration of a local means."""
        values = [self.evaluate(argument) for argument in call.args]
        given = {k.arg: self.evaluate(k.value) for k in call.keywords}
        if len(values) != 2 or set(given) - {"init"}:
            raise self.error(call, "ranged() takes the least and the greatest value, and init=")
        values.append(given.get("init", values[0]))
        lo, hi, init = (v.value if isinstance(v, Static) else None for v in values)
        named = isinstance(hi, type) and issubclass(hi, Object)
        if isinstance(lo, int) and isinstance(init, int) and (named or isinstance(hi, int)):
            return Ranged(lo, typing.cast("int | type[Object]", hi), init)
        raise self.error(call, "the bounds of ranged() must be known when compiling")

    def augmented(self, target: ast.expr, op: ast.operator, value: ast.expr, node: ast.AST) -> None:
        """``x += 1``: on a counter one atomic step, on other shared state a read and a write."""
        if isinstance(target, ast.Name):
            if isinstance(self.frame.source.names.get(target.id), Global):
                self.assign_name(target.id, Static(0), node)  # refused
            bound = self.name_value(target.id, target)
            if not isinstance(bound, (PlaceV, FieldV)):
                result = self.arithmetic(bound, op, self.evaluate(value), node)
                declared = self.declared.get(self.frame.key(target.id))
                if declared is not None:
                    result = Dyn(self.coerce(result, declared, node), declared)
                self.assign_name(target.id, result, node)
                return
            place: Value = bound
        else:
            place = self.reference(target)
        if not isinstance(place, (PlaceV, FieldV)):
            result = self.arithmetic(place, op, self.evaluate(value), node)
            self.assign_local_field(target, result, node)
            return
        kind = place.kind if isinstance(place, PlaceV) else place.field.kind
        if isinstance(kind, IntKind) and kind.atomic and isinstance(op, (ast.Add, ast.Sub)):
            name = "atomic_add" if isinstance(op, ast.Add) else "atomic_sub"
            delta = self.evaluate(value)
            if isinstance(delta, Static) and delta.value == 1:
                name = "atomic_inc" if isinstance(op, ast.Add) else "atomic_dec"
            if self.site(node, "counter", self.frame.source.segment(node)):
                return
            if isinstance(op, ast.Sub):
                delta = self.arithmetic(Static(0), ast.Sub(), delta, node)
            self.atomic_add(place, delta, node, name)
            return
        old = self.read(place, target)
        self.write(place, self.arithmetic(old, op, self.evaluate(value), node), node)

    def assign_local_field(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """``gather.pages |= ...`` and ``word.count += 1`` on a local."""
        if isinstance(target, ast.Attribute):
            self.assign_place(target, value, node)
            return
        raise self.error(node, "this cannot be assigned to")

    # ------------------------------------------------------------------ control flow

    def if_statement(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        """``if``: folded when the condition is known."""
        condition = simplify(self.condition(test))
        if isinstance(condition, ir.Const):
            self._cover()
            self.run_statements(body if condition.value else orelse)
            return
        yes, no = self.branch(condition)
        env = self.env
        exits = []
        for block, statements in ((yes, body), (no, orelse)):
            self.block, self.env = block, dict(env)
            self.run_statements(statements)
            exits.append(self.leave())
        self.join(exits)

    def for_statement(self, node: ast.For) -> None:
        """``for``: unrolled."""
        if node.orelse:
            raise self.error(node, "'else' of a loop is outside the language", "use a flag")
        self.unrolled(node, self.evaluate(node.iter))

    def unrolled(self, node: ast.For, value: Value) -> None:
        """The rounds of a loop, one after the other."""
        loop = Loop(held=len(self.frame.held))
        self.frame.loops.append(loop)
        for member, item in self.members(value, node.iter):
            if self.block is None:
                break
            skipped = self._skip_unless(member)
            self.bind_target(node.target, item)
            self.run_statements(node.body)
            self.join([*loop.continues, self.leave(), skipped])
            loop.continues.clear()
        self.frame.loops.pop()
        self.join([*loop.breaks, self.leave()])

    def while_statement(self, node: ast.While) -> None:
        """``while``: a real loop; what it assigns lives in registers."""
        if node.orelse:
            raise self.error(node, "'else' of a loop is outside the language", "use a flag")
        kinds = {key: self.loop_kind(key) for key in self.assigned_in(node)}
        dropped: set[str] = set()
        start = self.snapshot()
        times: dict[str, int] = {}
        while True:
            grown = self.try_while(node, kinds, dropped)
            if not grown:
                return
            self.restore(start)
            for key, kind in grown.items():
                times[key] = times.get(key, 0) + 1
                if kind is None:
                    kinds.pop(key, None)
                    dropped.add(key)
                    continue
                if isinstance(kind, IntKind) and times[key] > MAX_GROWTH:
                    name = key.split(".")[-1]
                    raise self.error(
                        node, f"'{name}' grows in this loop without a declared range",
                        f"declare it before the loop: {name}: int = ranged(0, 3)",
                    )  # fmt: skip
                kinds[key] = kind

    def loop_kind(self, key: str) -> Kind:
        """The kind of a loop's variable before the loop is compiled."""
        kind = self.declared.get(key) or self.kind_of(self.env[key])
        assert kind is not None, key
        return kind

    def assigned_in(self, node: ast.While) -> list[str]:
        """The environment's names that a loop assigns and that have a value before it."""
        names: set[str] = set()
        records = False
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                names.add(self.frame.key(child.id))
            if isinstance(child, (ast.Attribute, ast.Call)):
                records = True
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                base = child.func.value
                if isinstance(base, ast.Name) and child.func.attr in ("add", "discard"):
                    names.add(self.frame.key(base.id))
        if records:
            names |= {key for key in self.env if key.startswith("#")}
        return [key for key in self.env if key in names and self.kind_of(self.env[key]) is not None]

    def snapshot(self) -> tuple[Any, ...]:
        """What a failed attempt at a loop must restore."""
        assert self.block is not None
        return (
            self.block, len(self.block.ops), dict(self.env), len(self.registers),
            self.pending_cover, self.steps_made, len(self.frame.returns),
        )  # fmt: skip

    def restore(self, saved: tuple[Any, ...]) -> None:
        """Go back to a snapshot."""
        block, ops, env, registers, cover, steps, returns = saved
        del block.ops[ops:]
        block.end = None
        self.block, self.env = block, dict(env)
        del self.registers[registers:]
        self.pending_cover, self.steps_made = cover, steps
        del self.frame.returns[returns:]

    def try_while(
        self, node: ast.While, kinds: dict[str, Kind], dropped: set[str]
    ) -> dict[str, Kind | None]:
        """Compile the loop with these kinds; the kinds that turned out too small, if any.

        Variables in ``dropped`` have no kind that fits all rounds, so no value at the head.
        """
        for key in dropped:
            self.env.pop(key, None)
        head_regs: dict[str, int] = {}
        for key, kind in kinds.items():
            reg = self.register(key.split(".")[-1], kind, named=True)
            self.emit(ir.Set(reg, self.widen(self.env[key], kind)))
            head_regs[key] = reg
        head = MBlock(loop=self.at(node))
        self.jump(head)
        self.block = head
        for key, reg in head_regs.items():
            self.env[key] = Dyn(ir.Reg(reg), kinds[key])
        before = dict(self.env)
        self.pending_cover = [self.unit.line(self.at(node))]
        loop = Loop(held=len(self.frame.held))
        condition = simplify(self.condition(node.test))
        done: Exit | None = None
        if isinstance(condition, ir.Const):
            self._cover()
            if not condition.value:
                return {}
        else:
            yes, no = self.branch(condition)
            env = dict(self.env)
            self.block = no
            done = self.leave()
            self.block, self.env = yes, env
        self.frame.loops.append(loop)
        self.run_statements(node.body)
        self.frame.loops.pop()
        backs = [way for way in [*loop.continues, self.leave()] if way is not None]
        grown: dict[str, Kind | None] = {}
        for way in backs:
            for key, value in before.items():
                self.settle(key, value, way.env.get(key), kinds, grown)
        if not grown:
            for way in backs:
                self.close_loop(way, head, head_regs, kinds)
            self.join([*loop.breaks, done])
        return grown

    def settle(
        self,
        key: str,
        before: Value,
        after: Value | None,
        kinds: dict[str, Kind],
        grown: dict[str, Kind | None],
    ) -> None:
        """Put into ``grown`` the kind that a variable needs at the head of a loop, if another one.

        ``None`` means that none will do: the variable has no value there.
        """
        if key not in kinds:
            if after is None or same(after, before):
                return
            kind = self.kind_of(before)
        elif key in self.declared:
            return
        else:
            found = None if after is None else self.kind_of(after)
            kind = None if found is None else join_two(kinds[key], found)
        if kind is None or (key in grown and grown[key] is None):
            clash = self.clashes.get(key) if after is None else None
            self.clashes[key] = clash or (
                f"{describe(before)} before the loop, {describe(after)} after a round"
            )
            grown[key] = None
        elif kind != kinds.get(key):
            earlier = grown.get(key)
            grown[key] = kind if earlier is None else join_two(earlier, kind)

    def close_loop(
        self, way: Exit, head: MBlock, regs: dict[str, int], kinds: dict[str, Kind]
    ) -> None:
        """Jump back to the head with the new values (all read before any is written)."""
        self.block, self.env = way.block, way.env
        values: dict[str, ir.Expr] = {}
        for key, kind in kinds.items():
            expr = self.widen(self.env[key], kind)
            if expr != ir.Reg(regs[key]):
                fresh = self.register(key.split(".")[-1], kind)
                self.block.ops.append(ir.Set(fresh, expr))
                values[key] = ir.Reg(fresh)
        for key, expr in values.items():
            self.block.ops.append(ir.Set(regs[key], expr))
        self.block.end = MJump(head)
        self.block = None

    # ------------------------------------------------------------------ locks

    def with_statement(self, node: ast.With) -> None:
        """``with lock:``; released on every way out."""
        if self.atomic_depth:
            raise self.helper or self.error(
                node, "a lock inside an atomic step", "take locks in a path"
            )
        taken: list[Any] = []
        for item in node.items:
            if item.optional_vars is not None:
                raise self.error(node, "'as' has no meaning for locks")
            lock = self.reference(item.context_expr)
            if not isinstance(lock, SemSideV) and not (
                isinstance(lock, PlaceV) and isinstance(lock.kind, LockKind)
            ):
                hint = None
                if isinstance(lock, PlaceV) and isinstance(lock.kind, RwSemKind):
                    hint = "say which: with sem.read(): or with sem.write():"
                raise self.error(node, f"'with' takes a lock, not {describe(lock)}", hint)
            self.acquire(lock, f"lock {self.frame.source.segment(item.context_expr)}", node)
            self.frame.held.append((lock, node))
            taken.append((lock, node))
        self.run_statements(node.body)
        for lock, at in reversed(taken):
            self.frame.held.pop()
            if self.block is not None:
                self.release(lock, at)

    def unwind(self, depth: int) -> None:
        """Release the locks of the ``with`` statements that a jump leaves."""
        for lock, node in reversed(self.frame.held[depth:]):
            if self.block is not None:
                self.release(lock, node)

    # ------------------------------------------------------------------ assertions

    def assertion(self, test: ast.expr, message: ast.expr | None, node: ast.AST) -> None:
        """``assert condition, "INV-NAME: what is wrong"``."""
        text = "assertion failed"
        if message is not None:
            value = self.evaluate(message)
            if not isinstance(value, Static) or not isinstance(value.value, str):
                raise self.error(node, "the message of an assert is a text in quotes")
            text = value.value
        name, colon, rest = text.partition(":")
        if not colon or " " in name.strip():
            name, rest = "assert", text
        condition = self.condition(test)
        self.check(condition, ir.FailureKind.ASSERTION, name.strip(), rest.strip(), node)


def _is_docstring(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


__all__ = ["ModelError", "Statements", "join_kinds", "same"]
