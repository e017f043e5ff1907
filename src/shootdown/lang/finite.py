"""Sets, comprehensions, and looping over things whose members are known when compiling."""

from __future__ import annotations

import ast
import contextlib
import enum
from collections.abc import Callable, Iterator
from typing import Any

from shootdown.lang import ir
from shootdown.lang.accesses import Accesses
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Exit, describe, descriptions, join_kinds
from shootdown.lang.kinds import BoolKind, EnumKind, IntKind, Kind, ObjectKind, SetKind
from shootdown.lang.types import Object
from shootdown.lang.values import Dyn, Static, TupleV, Value

ZERO, ONE = ir.Const(0), ir.Const(1)
MAX_ROUNDS = 4096


class Finite(Accesses):
    """Evaluates sets and unrolls loops."""

    def evaluate(self, node: ast.expr) -> Value:
        """The value of an expression."""
        raise NotImplementedError

    def truth(self, value: Value, node: ast.AST) -> ir.Expr:
        """Python's truth of a value."""
        raise NotImplementedError

    def logic(
        self, conjunction: bool, nodes: list[ast.expr], value_of: ast.BoolOp | None = None
    ) -> Value:
        """``and`` / ``or``."""
        raise NotImplementedError

    def eager(self, compute: Callable[[], ir.Expr]) -> ir.Expr | None:
        """Try to evaluate without branching."""
        raise NotImplementedError

    def static(self, value: Any) -> Value:
        """A Python value as a value of the language."""
        raise NotImplementedError

    # ------------------------------------------------------------------ sets

    def set_of(self, items: list[Value], node: ast.AST) -> Value:
        """A set display."""
        if not items:
            return Static(frozenset())
        kind = join_kinds([self.kind_of(item) for item in items])
        if kind is None:
            shown = descriptions(items)
            raise self.error(node, f"the elements of this set do not agree: {shown}")
        self.finite_element(kind, node)
        mask: ir.Expr = ZERO
        for item in items:
            index = self.coerce(item, kind, node)
            mask = combine("or", mask, simplify(ir.Binary("shl", ONE, index)))
        return Dyn(mask, SetKind(kind))

    def finite_element(self, kind: Kind, node: ast.AST) -> None:
        """Refuse sets with too many possible elements."""
        if isinstance(kind, IntKind) and kind.lo < 0:
            raise self.error(node, f"a set cannot hold {kind}: its elements are 0 or above")
        if kind.size > 62:
            raise self.error(
                node, f"a set of {kind} has {kind.size} possible elements; 62 is the most"
            )

    def set_comprehension(
        self, element: ast.expr, generators: list[ast.comprehension], node: ast.AST
    ) -> Value:
        """``{x for x in ... if ...}``."""
        key = self.hidden("set", Static(frozenset()))

        def add(condition: ir.Expr) -> None:
            one = self.set_of([self.evaluate(element)], node)
            assert isinstance(one, Dyn)
            chosen = Dyn(simplify(ir.Select(condition, one.expr, ZERO)), one.kind)
            previous = self.env[key]
            kind = join_kinds([self.kind_of(previous), one.kind])
            if kind is None:
                shown = descriptions([previous, chosen])
                raise self.error(node, f"the elements of this set do not agree: {shown}")
            joined = combine("or", self.widen(previous, kind), self.widen(chosen, kind))
            self.env[key] = self.temp(joined, kind, "set")

        with self.scope(generators):
            self.comprehend(generators, ONE, add)
        return self.env.pop(key)

    def hidden(self, what: str, value: Value) -> str:
        """A name for a value that grows in a comprehension, so that ways with it can meet."""
        self.serials += 1
        key = f"{self.serials}.{what}"
        self.env[key] = value
        return key

    @contextlib.contextmanager
    def scope(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """The variables of a comprehension are its own."""
        names = [
            self.frame.key(n.id)
            for g in generators
            for n in ast.walk(g.target)
            if isinstance(n, ast.Name)
        ]
        outer = {key: self.env[key] for key in names if key in self.env}
        yield
        for key in names:
            self.env.pop(key, None)
        self.env.update(outer)

    def comprehend(
        self,
        generators: list[ast.comprehension],
        condition: ir.Expr,
        body: Callable[[ir.Expr], None],
    ) -> None:
        """Run ``body(condition)`` for every combination of a comprehension's loops."""
        if not generators:
            body(condition)
            return
        generator = generators[0]
        for member, item in self.members(self.evaluate(generator.iter), generator.iter):
            self.bind_target(generator.target, item)
            tests = list(generator.ifs)

            def every(member: ir.Expr = member, tests: list[ast.expr] = tests) -> ir.Expr:
                return combine("land", member, self.truth(self.logic(True, tests), tests[0]))

            wanted: ir.Expr | None = member
            if tests and member != ZERO:
                wanted = every() if member == ONE else self.eager(every)
            if wanted is None:  # the tests read shared state: only for members
                skipped = [self._skip_unless(member)]
                wanted = self.truth(self.logic(True, tests), tests[0])
            else:
                skipped = []
            self._in_comprehension(combine("land", condition, wanted), generators[1:], body)
            self.join([*skipped, self.leave()])

    def _in_comprehension(
        self,
        condition: ir.Expr,
        generators: list[ast.comprehension],
        body: Callable[[ir.Expr], None],
    ) -> None:
        """The rest of a comprehension, where ``condition`` holds: without branches if possible."""
        if isinstance(condition, ir.Const):
            if condition.value:
                self.comprehend(generators, ONE, body)
            return

        def all_ways() -> ir.Expr:
            self.comprehend(generators, condition, body)
            return ONE

        if self.eager(all_ways) is None:
            skipped = self._skip_unless(condition)
            self.comprehend(generators, ONE, body)
            self.join([skipped, self.leave()])

    def _skip_unless(self, condition: ir.Expr) -> Exit | None:
        """Go on where a condition holds; the way on which it does not."""
        raise NotImplementedError

    def bind_target(self, target: ast.expr, value: Value) -> None:
        """Bind a loop variable (or a tuple of them)."""
        if isinstance(target, ast.Name):
            self.env[self.frame.key(target.id)] = value
            return
        items = value.items if isinstance(value, TupleV) else ()
        if isinstance(target, ast.Tuple) and len(target.elts) == len(items):
            for t, v in zip(target.elts, items, strict=True):
                self.bind_target(t, v)
            return
        raise self.error(target, "a loop variable is a name, or as many names as there are values")

    # ------------------------------------------------------------------ iteration

    def iterate(self, value: Value, node: ast.AST) -> Iterator[Value]:
        """The items of something whose items are known at compile time."""
        match value:
            case TupleV(items):
                yield from items
                return
            case Static(range() as numbers):
                if len(numbers) > MAX_ROUNDS:
                    raise self.error(
                        node, f"{len(numbers)} rounds are too many: {MAX_ROUNDS} is the most",
                        "loops over known values are unrolled: use while for a loop with steps",
                    )  # fmt: skip
                yield from (Static(n) for n in numbers)
                return
            case Static(frozenset() | set()):
                kind = self.kind_of(value)
                if isinstance(kind, SetKind) and kind.element is not None:
                    mask = self.widen(value, kind)
                    assert isinstance(mask, ir.Const)
                    for i in range(kind.element.size):
                        if mask.value >> i & 1:
                            yield self.decoded(i, kind.element)
                return
            case Static(type() as cls) if issubclass(cls, Object):
                yield from (Static(cls(i)) for i in range(self.unit.kinds.count(cls)))
                return
            case Static(type() as cls) if issubclass(cls, enum.Enum):
                yield from (Static(m) for m in list(cls))
                return
        raise self.error(
            node,
            f"{describe(value)} cannot be looped over",
            "loop over range(), a population, an enum, a tuple or a set",
        )

    def members(self, value: Value, node: ast.AST) -> Iterator[tuple[ir.Expr, Value]]:
        """Items with the condition under which each is there (sets known only at run time)."""
        if isinstance(value, Dyn) and isinstance(value.kind, SetKind):
            kind = value.kind
            if kind.element is None:
                return
            whole = self.temp(value.expr, kind, "members")
            for i in range(kind.element.size):
                yield self.bit_of(whole, ir.Const(i), kind), self.decoded(i, kind.element)
            return
        for item in self.iterate(value, node):
            yield ONE, item

    def decoded(self, index: int, kind: Kind) -> Value:
        """An element of a set, known at compile time."""
        if isinstance(kind, (BoolKind, EnumKind, ObjectKind, IntKind)):
            return Static(kind.decode(index))
        return Dyn(ir.Const(index), kind)

    def bit_of(self, container: Value, index: ir.Expr, kind: SetKind) -> ir.Expr:
        """Whether bit ``index`` of a set is on."""
        moved = simplify(ir.Binary("shr", self.widen(container, kind), index))
        return simplify(ir.Binary("and", moved, ONE))


def as_bool(expr: ir.Expr) -> Value:
    """A truth value; known at compile time if it is constant."""
    return Static(bool(expr.value)) if isinstance(expr, ir.Const) else Dyn(expr, BoolKind())


def negate(expr: ir.Expr) -> ir.Expr:
    """``not expr``."""
    return ir.Const(1 - expr.value) if isinstance(expr, ir.Const) else ir.Unary("lnot", expr)


def combine(op: str, left: ir.Expr, right: ir.Expr) -> ir.Expr:
    """``left op right`` for land, lor, or; with 0 and 1 folded away."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, ir.Const):
            if op == "land":
                return other if one.value else ZERO
            if op == "lor":
                return ONE if one.value else other
            if op == "or" and one.value == 0:
                return other
    return simplify(ir.Binary(op, left, right))
