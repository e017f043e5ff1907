"""Sets of any size: bits, spans and lists; and numbers."""

from __future__ import annotations

import ast

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Builder, describe, descriptions, join_kinds
from shootdown.lang.finite import ONE, ZERO
from shootdown.lang.kinds import (
    BoolKind,
    IntKind,
    Kind,
    SetKind,
    WordKind,
)
from shootdown.lang.large.basis import Basis
from shootdown.lang.large.parts import NUMBER, WIDE, Extern, Span
from shootdown.lang.types import Object
from shootdown.lang.values import Dyn, FieldV, PlaceV, Static, TupleV, Value


class Sets(Basis):
    """Compiles sets."""

    # ------------------------------------------------------------------ arithmetic

    def arithmetic(self, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
        """Arithmetic, where no range is too large; ``//`` and ``%`` by anything above 0."""
        if isinstance(op, (ast.FloorDiv, ast.Mod)) and isinstance(right, Dyn):
            name = "floordiv" if isinstance(op, ast.FloorDiv) else "mod"
            if isinstance(kind := self.kind_of(left), IntKind):
                divisor = self.temp(right.expr, NUMBER, "divisor")
                Builder.check(
                    self,
                    ir.Binary("gt", divisor.expr, ZERO),
                    ir.FailureKind.MODEL_ERROR,
                    "divisor",
                    f"'{self.frame.source.segment(node)}' divides by a number that is not above 0",
                    node,
                )
                return Dyn(ir.Binary(name, self.widen(left, kind), divisor.expr), NUMBER)
        return super().arithmetic(_narrow(left), op, _narrow(right), node)

    # ------------------------------------------------------------------ sets

    def finite_element(self, kind: Kind, node: ast.AST) -> None:
        """Sets of any size."""

    def widen(self, value: Value, kind: Kind) -> ir.Expr:
        """A value as an expression of a kind; known sets are made element by element."""
        if isinstance(kind, SetKind) and isinstance(value, Static) and value.value:
            assert kind.element is not None
            mask: ir.Expr = ZERO
            for item in sorted(value.value, key=lambda thing: int(getattr(thing, "index", 0))):
                mask = self.union(mask, self.single(self.widen(Static(item), kind.element), kind),
                                  kind)  # fmt: skip
            return mask
        return super().widen(value, kind)

    def single(self, index: ir.Expr, kind: SetKind) -> ir.Expr:
        """The set with one element."""
        form = self.kinds.form(kind)
        if form == "span":
            return ir.Binary("span", index, ONE)
        if form == "list":
            return ir.Binary("push", ZERO, index)
        if isinstance(index, ir.Const):
            return ir.Const(1 << index.value)
        return ir.Binary("bit", ir.Const(self.kinds.words(kind)), index)

    def union(self, left: ir.Expr, right: ir.Expr, kind: SetKind) -> ir.Expr:
        """Both sets."""
        form = self.kinds.form(kind)
        if form != "list":
            if left == ZERO:
                return right
            if right == ZERO:
                return left
        if form == "span":
            return ir.Binary("hull", left, right)
        if form == "list":
            if right == ZERO:
                return left
            if left == ZERO:
                return right
            if isinstance(right, ir.Binary) and right.op == "push" and right.left == ZERO:
                return ir.Binary("push", left, right.right)
            raise ModelError(f"sets of {kind.element} are lists here: add one element at a time")
        return ir.Binary("or", left, right)

    def whole(self, cls: type[Object]) -> Dyn:
        """The set of a whole population."""
        kind = SetKind(self.kinds.object(cls))
        count = self.kinds.count(cls)
        if self.kinds.form(kind) == "span":
            return Dyn(ir.Const(Span(cls, 0, count).packed), kind)
        if self.kinds.form(kind) == "list":
            raise ModelError(f"the set of all {cls.__name__} cannot be made here")
        return Dyn(ir.Const((1 << count) - 1), kind)

    def set_of(self, items: list[Value], node: ast.AST) -> Value:
        """A set display."""
        if not items:
            return Static(frozenset())
        element = join_kinds([self.kind_of(item) for item in items])
        if element is None:
            raise self.error(node, f"the elements of this set do not agree: {descriptions(items)}")
        kind = SetKind(element)
        mask: ir.Expr = ZERO
        for item in items:
            mask = self.union(mask, self.single(self.widen(item, element), kind), kind)
        return self.temp(mask, kind, "set")

    def local_set(self, node: ast.Call, func: ast.Attribute, base: Value) -> Value:
        """``add`` and ``discard`` on a local set."""
        self.arity(node, func.attr, 1)
        element = self.evaluate(node.args[0])
        own = self.kind_of(element)
        kind = join_kinds([self.kind_of(base), None if own is None else SetKind(own)])
        if not isinstance(kind, SetKind):
            return super().local_set(node, func, base)
        if func.attr == "discard" or kind.element is None:
            return super().local_set(node, func, base)
        one = self.single(self.coerce(element, kind.element, node), kind)
        grown = self.union(self.widen(base, kind), one, kind)
        self.assign_local(func.value, self.temp(grown, kind, "set"), node)
        return Static(None)

    def set_algebra(
        self, name: str, symbol: str, left: Value, right: Value, node: ast.AST
    ) -> Value:
        """``|``, ``&``, ``-``, ``^`` of sets."""
        kind = join_kinds([self.kind_of(left), self.kind_of(right)])
        if not isinstance(kind, SetKind):
            raise self.error(node, f"{describe(left)} {symbol} {describe(right)} has no meaning")
        if kind.element is None:
            return Static(frozenset())
        a, b = self.widen(left, kind), self.widen(right, kind)
        form = self.kinds.form(kind)
        if name == "or":
            return self.temp(self.union(a, b, kind), kind, "set")
        if form == "bits":
            if name == "sub":
                b = ir.Binary("xor", b, self.whole_bits(kind))
            return self.temp(ir.Binary("and" if name == "sub" else name, a, b), kind, "set")
        if form == "span" and name in ("sub", "and"):
            return self.temp(ir.Binary(f"span_{name}", a, b), kind, "set")
        raise self.error(
            node, f"'{symbol}' of sets of {kind.element} has no price: they are {form}s"
        )

    def whole_bits(self, kind: SetKind) -> ir.Expr:
        """All elements of a bit set."""
        assert kind.element is not None
        return ir.Const((1 << kind.element.size) - 1)

    def compare_two(self, left: Value, op: ast.cmpop, right: Value, node: ast.AST) -> ir.Expr:
        """One comparison; of spans they are those of their hulls."""
        kind = join_kinds([self.kind_of(left), self.kind_of(right)])
        if not isinstance(kind, SetKind) or isinstance(op, (ast.In, ast.NotIn)):
            return super().compare_two(left, op, right, node)
        form = "bits" if kind.element is None else self.kinds.form(kind)
        empty = any(isinstance(v, Static) and not v.value for v in (left, right))
        if form == "list" and not (empty and isinstance(op, (ast.Eq, ast.NotEq))):
            raise self.error(
                node, f"sets of {kind.element} are lists: only their length can be compared"
            )
        if form == "span" and isinstance(op, ast.LtE):
            a, b = self.widen(left, kind), self.widen(right, kind)
            return ir.Binary("eq", ir.Binary("span_and", a, b), a)
        return super().compare_two(left, op, right, node)

    def _safe_in(self, element: Dyn, container: Value, kind: SetKind) -> ir.Expr:
        """Membership of an optional value: ``None`` is in no set."""
        found = self.bit_of(container, ir.Binary("sub", element.expr, ONE), kind)
        return simplify(ir.Select(ir.Binary("eq", element.expr, ZERO), ZERO, found))

    def bit_of(self, container: Value, index: ir.Expr, kind: SetKind) -> ir.Expr:
        """Whether an element is in a set."""
        inside = self.widen(container, kind)
        if inside == ZERO:
            return ZERO
        return ir.Binary(f"in_{self.kinds.form(kind)}", inside, index)

    def contains(self, element: Value, container: Value, node: ast.AST) -> ir.Expr:
        """``element in container``."""
        if _population(container) is not None:
            return ONE
        return super().contains(element, container, node)

    def set_member(self, place: PlaceV | FieldV, element: Value, node: ast.AST, name: str) -> None:
        """``add`` or ``discard`` on a shared set: one atomic step."""
        kind = place.kind if isinstance(place, PlaceV) else place.field.kind
        assert isinstance(kind, SetKind)
        assert kind.element is not None
        if isinstance(place, FieldV):
            super().set_member(place, element, node, name)
            return
        index = self.temp(self.coerce(element, kind.element, node), kind.element)
        old = self.rmw(place, node, name)
        if place.ghost:
            return
        one = self.single(index.expr, kind)
        if name == "add":
            new = self.union(old.expr, one, kind)
        elif self.kinds.form(kind) == "bits":
            new = ir.Binary("and", old.expr, ir.Binary("xor", one, self.whole_bits(kind)))
        else:
            new = ir.Binary("span_sub", old.expr, one)
        self.store(place, new, node)

    def builtin(self, name: str, node: ast.Call) -> Value:
        """Builtins: ``range()`` of numbers known at run time, ``set()`` of sets and populations."""
        if name == "range":
            values = [self.evaluate(a) for a in node.args]
            if any(isinstance(v, Dyn) for v in values) and 1 <= len(values) <= 2:
                low = values[0] if len(values) == 2 else Static(0)
                kinds = [self.kind_of(low), self.kind_of(values[-1])]
                if all(isinstance(kind, (IntKind, BoolKind)) for kind in kinds):
                    return TupleV((Static(range), self._number(low), self._number(values[-1])))
        if name in ("set", "frozenset", "tuple", "list") and len(node.args) == 1:
            value = self.evaluate(node.args[0])
            if isinstance(self.kind_of(value), SetKind):
                return value
            everything = _population(value)
            if everything is not None:
                return self.whole(everything)
            if isinstance(value, TupleV):
                return self.set_of(list(value.items), node) if "set" in name else value
        return super().builtin(name, node)

    def _number(self, value: Value) -> Dyn:
        kind = self.kind_of(value)
        assert kind is not None
        return self.temp(self.widen(value, kind), NUMBER, "bound")

    def fold_builtin(self, name: str, node: ast.Call) -> Value:
        """any, all, sum, len; the size of a population is known."""
        argument = node.args[0]
        if not isinstance(argument, ast.GeneratorExp) and name == "len":
            value = self.evaluate(argument)
            everything = _population(value)
            if everything is not None:
                return Static(self.kinds.count(everything))
            kind = self.kind_of(value)
            if isinstance(kind, SetKind) and isinstance(value, Dyn):
                form = {"span": "span_len", "list": "list_len", "bits": "popcount"}
                count = ir.Unary(form[self.kinds.form(kind)], value.expr)
                return self.temp(count, NUMBER, "len")
        return super().fold_builtin(name, node)

    def subscript(self, node: ast.Subscript, base_node: ast.expr, index: ast.expr) -> Value:
        """``base[index]``; the elements of a span are numbered."""
        plain = isinstance(base_node, (ast.Name, ast.Attribute))
        base = self.reference(base_node) if plain else None
        kind = base.kind if isinstance(base, Dyn) else None
        element = kind.element if isinstance(kind, SetKind) else None
        if isinstance(base, Dyn) and element is not None and self.kinds.form(base.kind) == "span":
            if isinstance(index, ast.Slice):
                return self.part(base, index, node)
            at = self._number(self.evaluate(index))
            length: ir.Expr = ir.Unary("span_len", base.expr)
            if isinstance(at.expr, ir.Const) and at.expr.value < 0:  # from the end
                at = self.temp(ir.Binary("add", length, at.expr), NUMBER, "from_end")
            self.must(ir.Binary("below", at.expr, length), "index", base.kind, node)
            first = ir.Unary("span_first", base.expr)
            return self.temp(simplify(ir.Binary("add", first, at.expr)), element, "element")
        return super().subscript(node, base_node, index)

    def with_fields(
        self, word: ir.Expr, kind: WordKind, fields: dict[str, Value], node: ast.AST
    ) -> Value:
        """A word with some fields changed; one that holds a large set is wider than a register."""
        width = 64 * self.kinds.words(kind)
        if width == 64:
            return super().with_fields(word, kind, fields, node)
        for name, value in fields.items():
            field = kind.field(name)
            if field is None:
                raise self.no_field(node, kind.cls.__name__, name, kind)
            rest = ((1 << width) - 1) ^ (field.mask << field.shift)
            moved = ir.Binary(
                "shl",
                ir.Binary("widen", ir.Const(width), self.coerce(value, field.kind, node)),
                ir.Const(field.shift),
            )
            kept = ir.Binary("and", ir.Binary("widen", ir.Const(width), word), ir.Const(rest))
            word = ir.Binary("or", kept, moved)
        return self.temp(word, kind, "word")

    def part(self, base: Value, index: ast.Slice, node: ast.Subscript) -> Value:
        """A part of a span, by numbers known at run time; a tuple of neighbours is a span, too."""
        if isinstance(base, TupleV) and base.items:
            own = self.kind_of(base.items[0])
            if own is not None and self.kinds.form(SetKind(own)) == "span":
                base = self.set_of(list(base.items), node)
        kind = base.kind if isinstance(base, Dyn) else None
        if (
            not isinstance(base, Dyn)
            or not isinstance(kind, SetKind)
            or self.kinds.form(kind) != "span"
            or index.step is not None
        ):
            return super().part(base, index, node)
        first = ir.Unary("span_first", base.expr)
        low = ZERO if index.lower is None else self._number(self.evaluate(index.lower)).expr
        high: ir.Expr = ir.Unary("span_len", base.expr)
        if index.upper is not None:
            high = self._number(self.evaluate(index.upper)).expr
        high = self.temp(high, NUMBER, "end").expr
        past = ir.Binary("add", ir.Unary("span_len", base.expr), ONE)
        self.must(ir.Binary("below", high, past), "part", kind, node)
        self.must(ir.Binary("below", low, ir.Binary("add", high, ONE)), "part", kind, node)
        count = simplify(ir.Binary("sub", high, low))
        start = self.temp(simplify(ir.Binary("add", first, low)), NUMBER, "first")
        return self.temp(ir.Binary("span", start.expr, count), kind, "part")

    def do_choose(self, node: ast.Call) -> Value:
        """choose(): by chance, all alike."""
        if len(node.args) == 1:
            value = self.evaluate(node.args[0])
            everything = _population(value)
            if everything is not None:
                kind: Kind = self.kinds.object(everything)
                return self._random(ZERO, ir.Const(kind.size), kind)
            own = self.kind_of(value)
            if isinstance(own, SetKind) and own.element and self.kinds.form(own) == "span":
                whole = self.temp(self.widen(value, own), own, "from")
                first = ir.Unary("span_first", whole.expr)
                return self._random(first, ir.Unary("span_len", whole.expr), own.element)
        return super().do_choose(node)

    def _random(self, first: ir.Expr, count: ir.Expr, kind: Kind) -> Dyn:
        reg = self.register("chosen", NUMBER)
        self.emit(Extern("random", (count,), (0,), reg))
        return self.temp(simplify(ir.Binary("add", first, ir.Reg(reg))), kind, "chosen")


def _population(value: Value) -> type[Object] | None:
    """The population that a value names, if it does."""
    if isinstance(value, Static) and isinstance(value.value, type):
        return value.value if issubclass(value.value, Object) else None
    return None


def _narrow(value: Value) -> Value:
    """A number as if it were in the range of a field: wider ones would be refused."""
    if isinstance(value, Dyn) and isinstance(value.kind, IntKind):
        lo, hi = value.kind.lo, value.kind.hi
        if lo < 0 or hi > WIDE:
            return Dyn(value.expr, NUMBER)
    return value
