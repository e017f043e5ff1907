"""Loops that stay loops."""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable
from typing import Any

from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Exit, Loop
from shootdown.lang.cfg import MBlock
from shootdown.lang.finite import ONE, ZERO, combine
from shootdown.lang.kinds import (
    BoolKind,
    IntKind,
    Kind,
    SetKind,
)
from shootdown.lang.large.parts import NUMBER, UNROLLED
from shootdown.lang.large.sets import Sets
from shootdown.lang.types import Object
from shootdown.lang.values import Dyn, Static, TupleV, Value


class Large(Sets):
    """Compiles one kind of thread to a graph with loops."""

    # ------------------------------------------------------------------ loops

    def looped(self, value: Value) -> bool:
        """Whether something is looped over in the graph, and not unrolled."""
        if isinstance(value, TupleV):
            return bool(value.items) and value.items[0] == Static(range)
        if isinstance(value, Dyn):
            return isinstance(value.kind, SetKind) and value.kind.element is not None
        if isinstance(value, Static) and isinstance(value.value, range):
            return len(value.value) > UNROLLED and value.value.step == 1
        if isinstance(value, Static) and isinstance(value.value, type):
            return issubclass(value.value, Object)
        return False

    def for_statement(self, node: ast.For) -> None:
        """``for``: a loop, unless there is little to loop over."""
        if node.orelse:
            super().for_statement(node)
            return
        value = self.evaluate(node.iter)
        if not self.looped(value):
            if isinstance(value, Static) and value.value == frozenset():
                return
            self.unrolled(node, value)
            return

        def body(item: Value) -> None:
            self.bind_target(node.target, item)
            self.run_statements(node.body)

        self.loop_over(value, node, self.assigned_in(typing.cast(Any, node)), body)

    def loop_over(
        self, value: Value, node: ast.AST, carried: list[str], body: Callable[[Value], None]
    ) -> None:
        """Run ``body`` for each item; ``carried`` names what it may change."""
        kinds = {key: self.loop_kind(key) for key in carried}
        dropped: set[str] = set()
        start = self.snapshot()
        effects, env = self.effects, dict(self.env)
        cursor, test, item, advance = self._cursor(value)
        while True:
            self.effects = effects
            grown, changed = self._try_loop(node, kinds, dropped, cursor, test, item, advance, body)
            if not grown:
                break
            self.restore(start)
            cursor, test, item, advance = self._cursor(value)
            for key, kind in grown.items():
                if kind is None:
                    kinds.pop(key, None)
                    dropped.add(key)
                else:
                    kinds[key] = kind
        if self.effects == effects and not changed and self.block is not None:
            self.restore(start)
            self.env = env

    def _cursor(
        self, value: Value
    ) -> tuple[
        Dyn, Callable[[ir.Expr], ir.Expr], Callable[[ir.Expr], Value], Callable[[ir.Expr], ir.Expr]
    ]:
        """Where a loop is (its first value), whether there is an item, which, and the next."""
        if isinstance(value, Static) and isinstance(value.value, range):
            numbers = value.value
            value = TupleV((Static(range), Dyn(ir.Const(numbers.start), NUMBER),
                            Dyn(ir.Const(numbers.stop), NUMBER)))  # fmt: skip
        if isinstance(value, TupleV):
            low, high = value.items[1], value.items[2]
            assert isinstance(low, Dyn)
            assert isinstance(high, Dyn)
            return (
                low,
                lambda at: ir.Binary("lt", at, high.expr),
                lambda at: Dyn(at, NUMBER),
                lambda at: ir.Binary("add", at, ONE),
            )
        if isinstance(value, Static):
            kind: Kind = self.kinds.object(value.value)
            return (
                Dyn(ZERO, NUMBER),
                lambda at: ir.Binary("lt", at, ir.Const(kind.size)),
                lambda at: Dyn(at, kind),
                lambda at: ir.Binary("add", at, ONE),
            )
        assert isinstance(value, Dyn)
        own = value.kind
        assert isinstance(own, SetKind)
        element = own.element
        assert element is not None
        whole = self.temp(value.expr, own, "members")
        form = self.kinds.form(own)
        if form == "span":
            return (
                self.temp(ir.Unary("span_first", whole.expr), NUMBER, "at"),
                lambda at: ir.Binary("lt", at, ir.Unary("span_end", whole.expr)),
                lambda at: Dyn(at, element),
                lambda at: ir.Binary("add", at, ONE),
            )
        first, following = ("list_top", "list_rest") if form == "list" else ("lowest", "without")
        return (
            whole,
            lambda rest: ir.Binary("ne", rest, ZERO),
            lambda rest: Dyn(ir.Unary(first, rest), element),
            lambda rest: ir.Unary(following, rest),
        )

    def _try_loop(
        self,
        node: ast.AST,
        kinds: dict[str, Kind],
        dropped: set[str],
        cursor: Dyn,
        test: Callable[[ir.Expr], ir.Expr],
        item: Callable[[ir.Expr], Value],
        advance: Callable[[ir.Expr], ir.Expr],
        body: Callable[[Value], None],
    ) -> tuple[dict[str, Kind | None], bool]:
        """Compile the loop with these kinds: those that turned out too small, and whether anything
        is different after it."""
        for key in dropped:
            self.env.pop(key, None)
        regs: dict[str, int] = {}
        for key, kind in kinds.items():
            regs[key] = self.register(key.split(".")[-1], kind, named=True)
            self.emit(ir.Set(regs[key], self.widen(self.env[key], kind)))
        at = self.register("at", cursor.kind)
        self.emit(ir.Set(at, cursor.expr))
        head = MBlock()
        self.jump(head)
        self.block = head
        for key, reg in regs.items():
            self.env[key] = Dyn(ir.Reg(reg), kinds[key])
        before = dict(self.env)
        returns = len(self.frame.returns)
        loop = Loop(held=len(self.frame.held))
        yes, no = self.branch(test(ir.Reg(at)))
        env = dict(self.env)
        self.block = no
        done = self.leave()
        self.block, self.env = yes, env
        here = item(ir.Reg(at))
        if isinstance(here, Dyn):
            here = self._copy(here)
        self.frame.loops.append(loop)
        body(here)
        self.frame.loops.pop()
        backs = [way for way in [*loop.continues, self.leave()] if way is not None]
        grown: dict[str, Kind | None] = {}
        changed = bool(loop.breaks) or len(self.frame.returns) > returns
        for way in backs:
            for key, value in before.items():
                self.settle(key, value, way.env.get(key), kinds, grown)
                if key in regs and way.env.get(key) != Dyn(ir.Reg(regs[key]), kinds[key]):
                    changed = True
        if not grown:
            for way in backs:
                way.block.ops.append(ir.Set(at, advance(ir.Reg(at))))
                self.close_loop(way, head, regs, kinds)
            self.join([*loop.breaks, done])
        return grown, changed

    def _copy(self, value: Dyn) -> Dyn:
        """The value in a register that nobody changes."""
        reg = self.register("item", value.kind)
        self.emit(ir.Set(reg, value.expr))
        return Dyn(ir.Reg(reg), value.kind)

    def loop_kind(self, key: str) -> Kind:
        """Numbers of a loop are as wide as any."""
        kind = super().loop_kind(key)
        return NUMBER if isinstance(kind, IntKind) else kind

    def settle(
        self,
        key: str,
        before: Value,
        after: Value | None,
        kinds: dict[str, Kind],
        grown: dict[str, Kind | None],
    ) -> None:
        """Numbers do not grow."""
        number = key in kinds and isinstance(kinds[key], IntKind)
        if number and after is not None and isinstance(self.kind_of(after), (IntKind, BoolKind)):
            return
        super().settle(key, before, after, kinds, grown)
        if isinstance(grown.get(key), IntKind):
            grown[key] = NUMBER

    # ------------------------------------------------------------------ comprehensions

    def set_comprehension(
        self, element: ast.expr, generators: list[ast.comprehension], node: ast.AST
    ) -> Value:
        """``{x for x in ... if ...}``."""
        key = self.hidden("set", Static(frozenset()))

        def add() -> None:
            one = self.set_of([self.evaluate(element)], node)
            self.env[key] = self.set_algebra("or", "|", self.env[key], one, node)

        with self.scope(generators):
            self._nested(generators, node, key, add)
        return self.env.pop(key)

    def fold_generator(self, name: str, generator: ast.GeneratorExp, node: ast.AST) -> Value:
        """sum() and len() over a generator."""
        if name not in ("any", "all", "sum", "len"):
            return super().fold_generator(name, generator, node)
        if name in ("any", "all"):
            with self.scope(generator.generators):
                return self.quantifier(name == "all", generator)
        key = self.hidden("sum", Dyn(ZERO, NUMBER))

        def add() -> None:
            one = Static(1) if name == "len" else self.evaluate(generator.elt)
            self.env[key] = self._number(self.arithmetic(self.env[key], ast.Add(), one, node))

        with self.scope(generator.generators):
            self._nested(generator.generators, node, key, add)
        return self.env.pop(key)

    def quantifier(self, conjunction: bool, generator: ast.GeneratorExp) -> Value:
        """any() and all(): through all items, since nothing is looked at that another step could
        change meanwhile."""
        key = self.hidden("found", Dyn(ir.Const(int(conjunction)), BoolKind()))

        def look() -> None:
            found = self.condition(generator.elt)
            old = self.widen(self.env[key], BoolKind())
            self.env[key] = self.temp(
                combine("land" if conjunction else "lor", old, found), BoolKind(), "found"
            )

        self._nested(generator.generators, generator, key, look)
        value = self.env.pop(key)
        if isinstance(value, Dyn) and isinstance(value.expr, ir.Const):
            return Static(bool(value.expr.value))
        return value

    def _nested(
        self,
        generators: list[ast.comprehension],
        node: ast.AST,
        key: str,
        inner: Callable[[], None],
    ) -> None:
        """Loops of a comprehension around what is done for each combination."""
        if not generators:
            inner()
            return
        generator = generators[0]
        value = self.evaluate(generator.iter)

        def body(item: Value) -> None:
            self.bind_target(generator.target, item)
            skipped: list[Exit | None] = []
            for test in generator.ifs:
                skipped.append(self._skip_unless(simplify(self.condition(test))))
                if self.block is None:
                    break
            if self.block is not None:
                self._nested(generators[1:], node, key, inner)
            self.join([*skipped, self.leave()])

        if self.looped(value):
            self.loop_over(value, node, [key], body)
            return
        for member, item in self.members(value, generator.iter):
            skipped = self._skip_unless(member)
            if self.block is not None:
                body(item)
            self.join([skipped, self.leave()])
