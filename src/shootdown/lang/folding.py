"""Python builtins over finite things: any, all, sum, min, max, len and the like."""

from __future__ import annotations

import ast

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Exit, bounds, describe, join_kinds
from shootdown.lang.expressions import Expressions
from shootdown.lang.finite import as_bool, combine
from shootdown.lang.kinds import (
    BoolKind,
    IntKind,
    ObjectKind,
    SetKind,
)
from shootdown.lang.values import (
    Dyn,
    Static,
    TupleV,
    Value,
)


class Folding(Expressions):
    """Evaluates builtins."""

    def builtin(self, name: str, node: ast.Call) -> Value:
        """A Python builtin that has a meaning here."""
        if name in ("any", "all", "sum", "min", "max", "len") and len(node.args) == 1:
            return self.fold_builtin(name, node)
        if name in ("set", "frozenset", "tuple", "list") and not node.args:
            return Static(frozenset()) if "set" in name else TupleV(())
        if node.keywords:
            raise self.error(node, f"{name}() takes no keyword arguments here")
        if name == "bool" and len(node.args) == 1:
            return as_bool(self.condition(node.args[0]))
        values = [self.evaluate(a) for a in node.args]
        if name == "int" and len(values) == 1:
            kind = self.kind_of(values[0])
            if isinstance(kind, (BoolKind, IntKind)):
                if isinstance(values[0], Static):
                    return Static(int(values[0].value))
                return Dyn(self.widen(values[0], kind), IntKind(*bounds(kind)))
        if name in ("min", "max") and len(values) > 1:
            return self.extreme(name, values, node)
        if name == "abs" and len(values) == 1 and isinstance(self.kind_of(values[0]), IntKind):
            negated = self.arithmetic(Static(0), ast.Sub(), values[0], node)
            return self.extreme("max", [values[0], negated], node)
        if name == "range" and all(isinstance(v, Static) for v in values) and values:
            try:
                return Static(range(*[v.value for v in values if isinstance(v, Static)]))
            except (TypeError, ValueError) as error:
                raise self.error(node, f"this range() cannot be computed: {error}") from None
        if name == "enumerate" and len(values) == 1:
            items = self.iterate(values[0], node)
            return TupleV(tuple(TupleV((Static(i), v)) for i, v in enumerate(items)))
        if name == "zip":
            columns = [list(self.iterate(v, node)) for v in values]
            return TupleV(tuple(TupleV(row) for row in zip(*columns, strict=False)))
        if name == "reversed" and len(values) == 1:
            return TupleV(tuple(list(self.iterate(values[0], node))[::-1]))
        if name in ("tuple", "list") and len(values) == 1:
            return TupleV(tuple(self.iterate(values[0], node)))
        if name == "sorted" and len(values) == 1:
            return self.in_order(values[0], node)
        if name in ("set", "frozenset") and len(values) == 1:
            return self.set_of(list(self.iterate(values[0], node)), node)
        if name == "range":
            raise self.error(
                node, "the bounds of range() must be known when compiling",
                "loop up to the greatest value and test with if",
            )  # fmt: skip
        raise self.error(node, f"{name}() is outside the language", "see docs/language.md")

    def in_order(self, value: Value, node: ast.AST) -> Value:
        """sorted() of numbers or objects known when compiling."""
        items = list(self.iterate(value, node))
        kind = join_kinds([self.kind_of(item) for item in items]) if items else IntKind(0, 0)
        known = [item for item in items if isinstance(item, Static)]
        if len(known) < len(items) or not isinstance(kind, (IntKind, BoolKind, ObjectKind)):
            raise self.error(node, "sorted() takes numbers or objects known when compiling")
        keys = [self.unit.kinds.encode(item.value, kind, ModelError) for item in known]
        return TupleV(tuple(known[i] for i in sorted(range(len(known)), key=keys.__getitem__)))

    def extreme(self, name: str, values: list[Value], node: ast.AST) -> Value:
        """min and max of integers."""
        kind = join_kinds([self.kind_of(v) for v in values])
        if not isinstance(kind, (IntKind, BoolKind)):
            raise self.error(node, f"{name}() compares integers")
        result = self.widen(values[0], kind)
        for value in values[1:]:
            result = simplify(ir.Binary(name, result, self.widen(value, kind)))
        if isinstance(result, ir.Const):
            flag = isinstance(kind, BoolKind)
            return Static(bool(result.value) if flag else result.value)
        return Dyn(result, kind)

    def fold_builtin(self, name: str, node: ast.Call) -> Value:
        """any, all, sum, min, max, len over something finite."""
        argument = node.args[0]
        if isinstance(argument, ast.GeneratorExp):
            return self.fold_generator(name, argument, node)
        value = self.evaluate(argument)
        kind = self.kind_of(value)
        if isinstance(kind, SetKind) and name == "len":
            if isinstance(value, Static):
                return Static(len(value.value))
            if kind.element is None:
                return Static(0)
            count = ir.Unary("popcount", self.widen(value, kind))
            return Dyn(count, IntKind(0, kind.element.size))
        items = list(self.iterate(value, node))
        if name == "len":
            return Static(len(items))
        if name in ("any", "all"):
            result: ir.Expr = ir.Const(int(name == "all"))
            for item in items:
                op = "lor" if name == "any" else "land"
                result = combine(op, result, self.truth(item, node))
            return as_bool(result)
        if name in ("min", "max") and items:
            return self.extreme(name, items, node)
        total: Value = Static(0)
        for item in items:
            total = self.arithmetic(total, ast.Add(), item, node)
        return total

    def fold_generator(self, name: str, generator: ast.GeneratorExp, node: ast.AST) -> Value:
        """A builtin over a generator: unrolled; any() and all() stop early where that matters."""
        if name in ("any", "all"):
            with self.scope(generator.generators):
                return self.quantifier(name == "all", generator)
        key = self.hidden("sum", Static(0))
        items: list[Value] = []

        def add(condition: ir.Expr) -> None:
            value = self.evaluate(generator.elt)
            if name in ("min", "max"):
                if not isinstance(condition, ir.Const):
                    raise self.error(node, f"{name}() over a condition known only at run time")
                items.append(value)
                return
            counted = Static(1) if name == "len" else value
            kind = self.kind_of(counted)
            if not isinstance(kind, (IntKind, BoolKind)):
                raise self.error(node, f"{name}() adds integers, not {describe(counted)}")
            lo, hi = bounds(kind)
            chosen = simplify(ir.Select(condition, self.widen(counted, kind), ir.Const(0)))
            one = Dyn(chosen, IntKind(min(lo, 0), max(hi, 0)))
            grown = self.arithmetic(self.env[key], ast.Add(), one, node)
            self.env[key] = (
                self.temp(grown.expr, grown.kind, "sum") if isinstance(grown, Dyn) else grown
            )

        with self.scope(generator.generators):
            self.comprehend(generator.generators, ir.Const(1), add)
        total = self.env.pop(key)
        if name in ("min", "max"):
            if not items:
                raise self.error(node, f"{name}() of nothing")
            return self.extreme(name, items, node)
        return total

    def quantifier(self, conjunction: bool, generator: ast.GeneratorExp) -> Value:
        """any() and all()."""
        terms: list[ir.Expr] = []

        def one(condition: ir.Expr) -> None:
            value = self.condition(generator.elt)
            if conjunction:
                terms.append(combine("lor", simplify_not(condition), value))
            else:
                terms.append(combine("land", condition, value))

        def everything() -> ir.Expr:
            terms.clear()
            self.comprehend(generator.generators, ir.Const(1), one)
            return balanced("land" if conjunction else "lor", terms)

        eager = self.eager(everything)
        if eager is not None:
            return as_bool(eager)
        return self.branching_quantifier(conjunction, generator)

    def branching_quantifier(self, conjunction: bool, generator: ast.GeneratorExp) -> Value:
        """any() and all() with a way out as soon as the answer is known."""
        found: list[Exit | None] = []

        def nest(generators: list[ast.comprehension]) -> None:
            if not generators:
                condition = self.condition(generator.elt)
                self._exit_if(condition, not conjunction, found)
                return
            first = generators[0]
            for member, item in self.members(self.evaluate(first.iter), first.iter):
                if self.block is None:
                    return
                self.bind_target(first.target, item)
                skipped: list[Exit | None] = []
                for test in [member, *first.ifs]:
                    condition = self.condition(test) if isinstance(test, ast.expr) else test
                    skipped.append(self._skip_unless(condition))
                nest(generators[1:])
                self.join([*skipped, self.leave()])

        nest(generator.generators)
        done = self.leave(Static(conjunction))
        result = self.join([*found, done])
        return result if result is not None else Static(conjunction)

    def _exit_if(self, condition: ir.Expr, value: bool, found: list[Exit | None]) -> None:
        if isinstance(condition, ir.Const):
            if bool(condition.value) is value:
                found.append(self.leave(Static(value)))
            return
        then, orelse = self.branch(condition)
        out, on = (then, orelse) if value else (orelse, then)
        env = dict(self.env)
        self.block = out
        found.append(self.leave(Static(value)))
        self.block, self.env = on, env

    def _skip_unless(self, condition: ir.Expr) -> Exit | None:
        if isinstance(condition, ir.Const):
            return None if condition.value else self.leave()
        then, orelse = self.branch(condition)
        env = dict(self.env)
        self.block = orelse
        skipped = self.leave()
        self.block, self.env = then, env
        return skipped


def balanced(op: str, terms: list[ir.Expr]) -> ir.Expr:
    """All terms joined by ``land`` or ``lor``, as a tree that is no deeper than it must be."""
    if not terms:
        return ir.Const(int(op == "land"))
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [combine(op, left, right) for left, right in pairs] + odd
    return terms[0]


def simplify_not(expr: ir.Expr) -> ir.Expr:
    """``not expr``, folded."""
    return ir.Const(1 - expr.value) if isinstance(expr, ir.Const) else ir.Unary("lnot", expr)
