"""Expressions: Python's, over finite kinds, with one step for each shared read."""

from __future__ import annotations

import ast
import builtins
import difflib
import enum
import types
from collections.abc import Callable
from typing import Any

from shootdown.lang import ir
from shootdown.lang.accesses import extract, insert
from shootdown.lang.bodies import OPERATIONS, simplify
from shootdown.lang.builder import (
    NotEagerError,
    bounds,
    describe,
    join_kinds,
    join_two,
)
from shootdown.lang.cfg import MBlock
from shootdown.lang.decorators import Function
from shootdown.lang.finite import ONE, ZERO, Finite, as_bool, combine, negate
from shootdown.lang.kinds import (
    ArrayKind,
    BoolKind,
    IntKind,
    Kind,
    LockKind,
    NoneKind,
    ObjectKind,
    OptKind,
    RwSemKind,
    SetKind,
    WordKind,
)
from shootdown.lang.limits import MAX_EXPRESSIONS
from shootdown.lang.types import FieldRef, Global, Object, Option, Record, Word, population
from shootdown.lang.values import Dyn, FieldV, PlaceV, RecordV, Static, Text, TupleV, Value

ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("add", "+"),
    ast.Sub: ("sub", "-"),
    ast.Mult: ("mul", "*"),
    ast.FloorDiv: ("floordiv", "//"),
    ast.Mod: ("mod", "%"),
    ast.BitAnd: ("and", "&"),
    ast.BitOr: ("or", "|"),
    ast.BitXor: ("xor", "^"),
    ast.LShift: ("shl", "<<"),
    ast.RShift: ("shr", ">>"),
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Lambda: ("a lambda", "write a @path or @atomic function"),
    ast.Dict: ("a dict display", "use an Array field, or a tuple"),
    ast.DictComp: ("a dict comprehension", "use an Array field, or a tuple"),
    ast.ListComp: ("a list comprehension", "use a set comprehension, or a for loop"),
    ast.GeneratorExp: ("a generator outside any(), all(), sum(), min(), max()", "use a for loop"),
    ast.Await: ("await", "threads interleave by themselves: write plain calls"),
    ast.Yield: ("yield", "write a for loop over something finite"),
    ast.YieldFrom: ("yield from", "write a for loop over something finite"),
    ast.NamedExpr: ("':='", "assign on a line of its own"),
    ast.Starred: ("'*'", "write the arguments out"),
    ast.Slice: ("a slice", "loop with for and if instead"),
    ast.JoinedStr: ("an f-string outside note()", 'use note("... {}", value)'),
}
STATIC_BUILTINS = {
    "range", "len", "min", "max", "any", "all", "sum", "abs", "bool", "int",
    "enumerate", "zip", "reversed", "set", "frozenset", "tuple", "sorted", "list", "isinstance",
}  # fmt: skip


class Expressions(Finite):
    """Evaluates expressions."""

    def call(self, node: ast.Call) -> Value:
        """A call; see ``calls.py``."""
        raise NotImplementedError

    # ------------------------------------------------------------------ entry points

    def evaluate(self, node: ast.expr) -> Value:
        """The value of an expression; a place of a plain kind is read."""
        value = self.reference(node)
        if isinstance(value, FieldV):
            return self.read(value, node)
        if isinstance(value, PlaceV) and not isinstance(
            value.kind, (ArrayKind, LockKind, RwSemKind)
        ):
            return self.read(value, node)
        return value

    def reference(self, node: ast.expr) -> Value:
        """The value of an expression; a place is not read."""
        self.unit.evaluated += 1
        if self.unit.evaluated > MAX_EXPRESSIONS:
            raise self.error(
                node,
                f"the model is too large: over {MAX_EXPRESSIONS:,} expressions once its calls are "
                "inlined and its loops unrolled",
                "use smaller bounds",
            )
        if type(node) is ast.Name:  # the most frequent ones first
            return self.name_value(node.id, node)
        if type(node) is ast.Attribute:
            return self.attribute(self.reference(node.value), node.attr, node)
        if type(node) is ast.Call:
            return self.call(node)
        if type(node) is ast.Compare:
            return self.compare(node)
        match node:
            case ast.Constant(value):
                if isinstance(value, int) and value >= 1 << 62:
                    raise self.error(node, f"{value} does not fit in 62 bits")
                if isinstance(value, (bool, int, str)) or value is None:
                    return Static(value)
                raise self.error(
                    node, f"{value!r} is not a value of the language", "use int, bool, str or None"
                )
            case ast.Subscript(base, index):
                return self.subscript(node, base, index)
            case ast.BoolOp(op, values):
                return self.logic(isinstance(op, ast.And), list(values), node)
            case ast.UnaryOp(op, operand):
                return self.unary(op, operand, node)
            case ast.BinOp(left, op, right):
                return self.arithmetic(self.evaluate(left), op, self.evaluate(right), node)
            case ast.IfExp(test, body, orelse):
                return self.conditional(
                    self.condition(test),
                    lambda: self.evaluate(body),
                    lambda: self.evaluate(orelse),
                    node,
                )
            case ast.Tuple(elements) | ast.List(elements):
                return TupleV(tuple(self.evaluate(e) for e in elements))
            case ast.Set(elements):
                return self.set_of([self.evaluate(e) for e in elements], node)
            case ast.SetComp(element, generators):
                return self.set_comprehension(element, generators, node)
        what, hint = REFUSED.get(type(node), (f"'{type(node).__name__}'", "see docs/language.md"))
        raise self.error(node, f"{what} is outside the language", hint)

    def condition(self, node: ast.expr) -> ir.Expr:
        """An expression as a truth value: 0 or 1."""
        if isinstance(node, ast.BoolOp):
            value = self.logic(isinstance(node.op, ast.And), list(node.values))
            return self.truth(value, node)
        return self.truth(self.evaluate(node), node)

    def truth(self, value: Value, node: ast.AST) -> ir.Expr:
        """Python's truth of a value."""
        match value:
            case Static(None | bool() | int() | str() | set() | frozenset() | range() as python):
                if not isinstance(python, enum.Enum):
                    return ir.Const(int(bool(python)))
            case Static(Object()):
                return ONE
            case Static(Function() as function):
                raise self.error(
                    node,
                    f"{function.name} is a function: it is always true",
                    f"call it: {function.name}()",
                )
            case TupleV(items):
                return ir.Const(int(bool(items)))
            case Dyn(expr, BoolKind()):
                return expr
            case Dyn(expr, IntKind() | SetKind() | OptKind()):
                return simplify(ir.Binary("ne", expr, ZERO))
            case Dyn(_, NoneKind()):
                return ZERO
            case Dyn(_, ObjectKind()):
                return ONE
        raise self.error(
            node,
            f"{describe(value)} is neither true nor false",
            "compare it, or name one of its fields",
        )

    # ------------------------------------------------------------------ names

    def name_value(self, name: str, node: ast.AST) -> Value:
        """A local of this call, else what the function sees outside, else a builtin."""
        key = self.frame.key(name)
        if key in self.env:
            return self.env[key]
        if name in self.frame.locals:
            if key in self.clashes:
                raise self.error(
                    node, f"'{name}' has values that do not agree here: {self.clashes[key]}",
                    "use another name for the other value",
                )  # fmt: skip
            raise self.error(
                node, f"'{name}' may not have a value here", "assign it on every way to this line"
            )
        names = self.frame.source.names
        if name in names:
            return self.outside(names[name], name, node)
        if name in STATIC_BUILTINS:
            return Static(getattr(builtins, name))
        if hasattr(builtins, name):
            raise self.error(node, f"{name}() is outside the language", "see docs/language.md")
        close = difflib.get_close_matches(name, [*self.frame.locals, *names], 1)
        raise self.error(
            node, f"'{name}' is not defined", f"did you mean '{close[0]}'?" if close else None
        )

    def outside(self, value: Any, name: str, node: ast.AST) -> Value:
        """A value from outside the function."""
        if isinstance(value, Global):
            return self.global_place(value, name, node)
        if isinstance(value, Option):
            chosen = self.unit.options[value.name]
            self.unit.used_options[value.name] = chosen
            return Static(chosen)
        return self.static(value)

    def static(self, value: Any) -> Value:
        """A Python value as a value of the language."""
        if isinstance(value, (tuple, list)):
            return TupleV(tuple(self.static(v) for v in value))
        return Static(value)

    # ------------------------------------------------------------------ attributes and indices

    def attribute(self, base: Value, name: str, node: ast.Attribute) -> Value:
        """``base.name``."""
        if isinstance(base, PlaceV) and isinstance(base.kind, LockKind) and name == "locked":
            return self.locked(base, node)
        if isinstance(base, PlaceV) and isinstance(base.kind, WordKind):
            field = base.kind.field(name)
            if field is None:
                raise self.no_field(node, base.kind.cls.__name__, name, base.kind)
            return FieldV(base, field)
        if isinstance(base, FieldV) or (
            isinstance(base, PlaceV) and not isinstance(base.kind, (ArrayKind, LockKind, RwSemKind))
        ):
            base = self.read(base, node.value)
        if isinstance(base, Dyn):
            if isinstance(base.kind, WordKind):
                field = base.kind.field(name)
                if field is None:
                    raise self.no_field(node, base.kind.cls.__name__, name, base.kind)
                return Dyn(simplify(extract(base.expr, field)), field.kind)
            if isinstance(base.kind, (ObjectKind, OptKind)):
                if name == "index":
                    pointer = self.pointer(base, node.value)
                    return Dyn(pointer.expr, IntKind(0, pointer.kind.size - 1))
                return self.field_place(base, name, node)
        if isinstance(base, RecordV):
            key = f"{base.prefix}.{name}"
            if key not in self.env:
                fields = self.unit.kinds.record_fields(base.cls)
                raise self.unknown(node, base.cls.__name__, "field", name, fields)
            return self.env[key]
        if isinstance(base, Static):
            return self.static_attribute(base.value, name, node)
        raise self.error(node, f"{describe(base)} has no field '{name}'")

    def locked(self, place: PlaceV, node: ast.AST) -> Value:
        """``lock.locked``: whether anyone holds it; one read."""
        self.step(node, "load", f"read {place.text.render()}")
        reg = self.register("lock", place.kind)
        self.emit(ir.Set(reg, self.load(place)))
        self.reads_made += 1
        held = Dyn(ir.Binary("ne", ir.Reg(reg), ZERO), BoolKind())
        self.label(Text("read ") + place.text + ".locked -> " + self.shown(held))
        return held

    def no_field(self, node: ast.AST, owner: str, name: str, kind: WordKind) -> Exception:
        """The error for an unknown field of a word."""
        return self.unknown(node, owner, "field", name, [f.name for f in kind.fields])

    def static_attribute(self, value: Any, name: str, node: ast.Attribute) -> Value:
        """An attribute of something known at compile time."""
        if isinstance(value, Object):
            if name == "index":
                return Static(value.index)
            return self.field_place(Static(value), name, node)
        if isinstance(value, Word):
            kind = self.unit.kinds.word(type(value))
            return self.attribute(Dyn(self.widen(Static(value), kind), kind), name, node)
        allowed = isinstance(value, (types.ModuleType, enum.EnumMeta)) or (
            isinstance(value, enum.Enum) and name in ("name", "value")
        )
        if allowed and hasattr(value, name):
            return self.outside(getattr(value, name), name, node)
        if value is None:
            raise self.error(node, f"None has no field '{name}'")
        if isinstance(value, enum.EnumMeta):
            raise self.unknown(node, value.__name__, "member", name, value.__members__)
        shown = getattr(value, "__name__", repr(value))
        raise self.error(node, f"'{shown}' has no '{name}' that a model can use")

    def subscript(self, node: ast.Subscript, base_node: ast.expr, index: ast.expr) -> Value:
        """``base[index]``."""
        base = self.reference(base_node)
        if isinstance(index, ast.Slice):
            return self.part(base, index, node)
        if isinstance(base, PlaceV) and isinstance(base.kind, ArrayKind):
            return self.index_place(base, self.evaluate(index), index)
        key = self.evaluate(index)
        if isinstance(base, TupleV):
            if isinstance(key, Static) and isinstance(key.value, int):
                if -len(base.items) <= key.value < len(base.items):
                    return base.items[key.value]
                raise self.error(node, f"index {key.value} is outside a tuple of {len(base.items)}")
            raise self.error(node, "a tuple is indexed by a constant", "use an Array field")
        raise self.error(
            node, f"{describe(base)} cannot be indexed", "only Array fields and tuples can"
        )

    def part(self, base: Value, index: ast.Slice, node: ast.Subscript) -> Value:
        """``base[first:end]`` of a tuple, with constant bounds."""
        ends = [None if end is None else self.evaluate(end) for end in (index.lower, index.upper)]
        if isinstance(base, Static) and isinstance(base.value, tuple):
            base = TupleV(tuple(Static(item) for item in base.value))
        known = [end is None or isinstance(end, Static) for end in ends]
        if not isinstance(base, TupleV) or index.step is not None or not all(known):
            raise self.error(
                node, "only tuples are sliced, by constants, and without a step",
                REFUSED[ast.Slice][1],
            )  # fmt: skip
        first, end = (None if bound is None else bound.value for bound in ends)  # type: ignore[union-attr]
        return TupleV(base.items[first:end])

    # ------------------------------------------------------------------ logic

    def eager(self, compute: Callable[[], ir.Expr]) -> ir.Expr | None:
        """Try to evaluate without branching: possible if it is local and cannot fail."""
        if self.block is None:
            return None
        block, length, env = self.block, len(self.block.ops), dict(self.env)
        registers, cover, steps = len(self.registers), self.pending_cover, self.steps_made
        frames, atomic, reads = len(self.frames), self.atomic_depth, self.reads_made
        frame, helper = self.frame, self.helper
        inside = (len(frame.returns), len(frame.held), len(frame.loops))
        self.trying += 1
        try:
            result = compute()
            if self.block is block:
                return result
        except NotEagerError:
            pass
        finally:
            self.trying -= 1
        del block.ops[length:]
        del self.registers[registers:]
        del self.frames[frames:]
        returns, held, loops = inside
        del frame.returns[returns:], frame.held[held:], frame.loops[loops:]
        block.end = None
        self.block, self.env, self.pending_cover, self.steps_made = block, env, cover, steps
        self.atomic_depth, self.reads_made, self.helper = atomic, reads, helper
        return None

    def logic(
        self, conjunction: bool, nodes: list[ast.expr], value_of: ast.BoolOp | None = None
    ) -> Value:
        """``and`` / ``or``, short-circuit where it matters.

        ``value_of`` is the whole expression where its value is kept: in Python that is one of the
        operands, so these must be flags.
        """
        if value_of is None:
            condition = self.condition(nodes[0])
        else:
            first = self.evaluate(nodes[0])
            if not isinstance(self.kind_of(first), BoolKind):
                word = "and" if conjunction else "or"
                raise self.error(
                    value_of, f"'{word}' would give {describe(first)} here, not a truth value",
                    "write bool(...) around it, or 'a if condition else b'",
                )  # fmt: skip
            condition = self.truth(first, nodes[0])
        if len(nodes) == 1:
            return as_bool(condition)
        if isinstance(condition, ir.Const):
            if bool(condition.value) is not conjunction:
                return Static(not conjunction)
            return self.logic(conjunction, nodes[1:], value_of)
        return as_bool(
            self.short_circuit(
                conjunction,
                condition,
                lambda: self.truth(self.logic(conjunction, nodes[1:], value_of), nodes[1]),
            )
        )

    def short_circuit(
        self, conjunction: bool, condition: ir.Expr, rest: Callable[[], ir.Expr]
    ) -> ir.Expr:
        """``condition and rest()`` or ``condition or rest()``."""
        eager = self.eager(rest)
        if eager is not None:
            return combine("land" if conjunction else "lor", condition, eager)

        def branchy() -> Value:
            return Dyn(rest(), BoolKind())

        stop = Static(not conjunction)
        value = (
            self.conditional(condition, branchy, lambda: stop)
            if conjunction
            else self.conditional(condition, lambda: stop, branchy)
        )
        return self.truth(value, self.frame.source.tree)

    def conditional(
        self,
        condition: ir.Expr,
        then: Callable[[], Value],
        orelse: Callable[[], Value],
        node: ast.AST | None = None,
    ) -> Value:
        """``then() if condition else orelse()``."""
        if isinstance(condition, ir.Const):
            return then() if condition.value else orelse()
        yes, no = self.branch(condition)
        env = self.env
        exits = []
        for block, compute in ((yes, then), (no, orelse)):
            self.block, self.env = block, dict(env)
            value = compute()
            exits.append(self.leave(value))
        joined = self.join(exits, node)
        return joined if joined is not None else Static(False)

    # ------------------------------------------------------------------ arithmetic

    def unary(self, op: ast.unaryop, operand: ast.expr, node: ast.AST) -> Value:
        """``not x``, ``-x``."""
        if isinstance(op, ast.Not):
            return as_bool(negate(self.condition(operand)))
        value = self.evaluate(operand)
        if isinstance(value, Static) and isinstance(value.value, int):
            if isinstance(op, ast.USub):
                return Static(-value.value)
            if isinstance(op, ast.UAdd):
                return Static(+value.value)
        if isinstance(op, ast.USub) and isinstance(value, Dyn) and isinstance(value.kind, IntKind):
            return Dyn(ir.Unary("neg", value.expr), IntKind(-value.kind.hi, -value.kind.lo))
        raise self.error(node, f"this operator does not work on {describe(value)}")

    def arithmetic(self, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
        """Integer arithmetic and set algebra."""
        if type(op) not in ARITHMETIC:
            hint = "use // for whole numbers" if isinstance(op, ast.Div) else None
            raise self.error(node, f"operator '{operator_text(op)}' is outside the language", hint)
        name, symbol = ARITHMETIC[type(op)]
        a, b = self.kind_of(left), self.kind_of(right)
        if isinstance(left, TupleV) and isinstance(right, TupleV) and name == "add":
            return TupleV(left.items + right.items)
        if isinstance(a, SetKind) and isinstance(b, SetKind):
            return self.set_algebra(name, symbol, left, right, node)
        if not isinstance(a, (IntKind, BoolKind)) or not isinstance(b, (IntKind, BoolKind)):
            raise self.error(node, f"{describe(left)} {symbol} {describe(right)} has no meaning")
        if isinstance(left, Static) and isinstance(right, Static):
            number = fold(name, int(left.value), int(right.value), self, node)
            both = isinstance(left.value, bool) and isinstance(right.value, bool)
            return Static(bool(number) if both and name in ("and", "or", "xor") else number)
        if isinstance(right, Static):  # True is 1
            b = IntKind(int(right.value), int(right.value))
        if name in ("floordiv", "mod") and not (isinstance(right, Static) and right.value > 0):
            raise self.error(node, f"the right side of {symbol} must be a positive constant")
        if name in ("shl", "shr") and (bounds(b)[0] < 0 or bounds(b)[1] > 61):
            raise self.error(node, f"the right side of {symbol} must be from 0 to 61")
        flags = isinstance(a, BoolKind) and isinstance(self.kind_of(right), BoolKind)
        if flags and name in ("and", "or", "xor"):
            return Dyn(simplify(ir.Binary(name, self.widen(left, a), self.widen(right, b))), a)
        kind = interval(name, a, b)
        if kind.hi >= 1 << 62 or kind.lo <= -(1 << 62):
            raise self.error(node, "the result may not fit in 62 bits")
        if name in ("and", "or", "xor", "shl", "shr") and min(bounds(a)[0], bounds(b)[0]) < 0:
            raise self.error(node, f"{symbol} works on numbers that are not negative")
        return Dyn(simplify(ir.Binary(name, self.widen(left, a), self.widen(right, b))), kind)

    def set_algebra(
        self, name: str, symbol: str, left: Value, right: Value, node: ast.AST
    ) -> Value:
        """``|``, ``&``, ``-``, ``^`` of sets."""
        kind = join_kinds([self.kind_of(left), self.kind_of(right)])
        if not isinstance(kind, SetKind) or name not in ("or", "and", "sub", "xor"):
            raise self.error(node, f"{describe(left)} {symbol} {describe(right)} has no meaning")
        if kind.element is None:
            return Static(frozenset())
        a, b = self.widen(left, kind), self.widen(right, kind)
        if name == "sub":
            outside = simplify(ir.Binary("xor", b, ir.Const(kind.size - 1)))
            return Dyn(simplify(ir.Binary("and", a, outside)), kind)
        return Dyn(simplify(ir.Binary(name, a, b)), kind)

    # ------------------------------------------------------------------ comparisons

    def compare(self, node: ast.Compare) -> Value:
        """Comparisons and chains of them."""
        operands = [node.left, *node.comparators]
        left = self.evaluate(operands[0])

        def link(i: int, left: Value) -> ir.Expr:
            right = self.evaluate(operands[i + 1])
            result = self.compare_two(left, node.ops[i], right, node)
            if i + 1 == len(node.ops):
                return result
            if isinstance(result, ir.Const):
                return link(i + 1, right) if result.value else ZERO
            return self.short_circuit(True, result, lambda: link(i + 1, right))

        return as_bool(link(0, left))

    def compare_two(self, left: Value, op: ast.cmpop, right: Value, node: ast.AST) -> ir.Expr:
        """One comparison."""
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self.contains(left, right, node)
            return negate(found) if isinstance(op, ast.NotIn) else found
        if isinstance(op, (ast.Is, ast.IsNot)):
            static = isinstance(right, Static) and (
                right.value is None or isinstance(right.value, (bool, enum.Enum))
            )
            if not static:
                raise self.error(node, "'is' compares with None only", "use == or !=")
            op = ast.Eq() if isinstance(op, ast.Is) else ast.NotEq()
        name = COMPARISONS[type(op)]
        words = any(isinstance(v, Static) and isinstance(v.value, Word) for v in (left, right))
        if isinstance(left, Static) and isinstance(right, Static) and not words:
            python: dict[str, Callable[[Any, Any], Any]] = {
                "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
                "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
            }  # fmt: skip
            a, b = self.kind_of(left), self.kind_of(right)
            if a is None or b is None or join_two(a, b) is not None:
                try:
                    return ir.Const(int(python[name](left.value, right.value)))
                except TypeError:
                    raise self.error(
                        node, f"{describe(left)} and {describe(right)} have no order",
                        "compare with == or !=",
                    ) from None  # fmt: skip
        a, b = self.kind_of(left), self.kind_of(right)
        kind = None if a is None or b is None else join_two(a, b)
        if kind is None:
            raise self.error(node, f"{describe(left)} and {describe(right)} cannot be compared")
        if name not in ("eq", "ne"):
            if isinstance(kind, SetKind) and name == "le":
                x, y = self.widen(left, kind), self.widen(right, kind)
                return simplify(ir.Binary("eq", simplify(ir.Binary("and", x, y)), x))
            if not isinstance(kind, (IntKind, BoolKind)):
                raise self.error(node, f"{kind} has no order", "compare with == or !=")
        if isinstance(kind, NoneKind):
            return ir.Const(int(name == "eq"))
        if isinstance(kind, OptKind) and not isinstance(a, OptKind) and not isinstance(b, OptKind):
            # a plain value against None: never equal
            return ir.Const(int(name == "ne"))
        return simplify(ir.Binary(name, self.widen(left, kind), self.widen(right, kind)))

    def contains(self, element: Value, container: Value, node: ast.AST) -> ir.Expr:
        """``element in container``."""
        kind = self.kind_of(container)
        if isinstance(container, Static) and isinstance(container.value, type):
            container = TupleV(tuple(self.iterate(container, node)))
        if isinstance(container, Static) and isinstance(container.value, range):
            container = TupleV(tuple(Static(v) for v in container.value))
        if isinstance(container, TupleV):
            result: ir.Expr = ZERO
            for item in container.items:
                result = combine("lor", result, self.compare_two(element, ast.Eq(), item, node))
            return result
        if isinstance(kind, SetKind):
            if kind.element is None:
                return ZERO
            own = self.kind_of(element)
            if (
                isinstance(own, OptKind)
                and isinstance(element, Dyn)
                and not isinstance(kind.element, OptKind)
                and join_two(own.inner, kind.element) is not None
            ):
                return self._safe_in(element, container, kind)
            if isinstance(own, (IntKind, BoolKind)) and isinstance(kind.element, IntKind):
                return self._number_in(self.widen(element, own), own, container, kind)
            return self.bit_of(container, self.coerce(element, kind.element, node), kind)
        raise self.error(node, f"'in' needs a set, tuple or population, not {describe(container)}")

    def _safe_in(self, element: Dyn, container: Value, kind: SetKind) -> ir.Expr:
        """Membership of an optional value; the mask is moved so that no shift is negative."""
        mask = simplify(ir.Binary("shl", self.widen(container, kind), ONE))
        return simplify(ir.Binary("and", simplify(ir.Binary("shr", mask, element.expr)), ONE))

    def _number_in(self, number: ir.Expr, own: Kind, container: Value, kind: SetKind) -> ir.Expr:
        """Membership of a number that may be outside what the set can hold."""
        (low, high), (lo, hi) = bounds(own), bounds(kind.element or own)
        above = ONE if low >= lo else simplify(ir.Binary("ge", number, ir.Const(lo)))
        below = ONE if high <= hi else simplify(ir.Binary("le", number, ir.Const(hi)))
        inside = combine("land", above, below)
        if inside == ZERO:
            return ZERO
        if inside != ONE:
            number = ir.Binary("max", ir.Binary("min", number, ir.Const(hi)), ir.Const(lo))
        return combine("land", inside, self.bit_of(container, number, kind))

    # ------------------------------------------------------------------ words and records

    def construct(self, cls: type[Word], fields: dict[str, Value], node: ast.AST) -> Value:
        """``Pte(present=True)``."""
        kind = self.unit.kinds.word(cls)
        return self.with_fields(ir.Const(kind.default), kind, fields, node)

    def with_fields(
        self, word: ir.Expr, kind: WordKind, fields: dict[str, Value], node: ast.AST
    ) -> Value:
        """A word with some fields changed."""
        for name, value in fields.items():
            field = kind.field(name)
            if field is None:
                raise self.no_field(node, kind.cls.__name__, name, kind)
            word = simplify(insert(word, field, self.coerce(value, field.kind, node)))
        return Dyn(word, kind)


def fold(name: str, left: int, right: int, at: Expressions, node: ast.AST) -> int:
    """Constant arithmetic."""
    try:
        if name == "shl" and right > 62:
            raise OverflowError("the shift is too far")
        result = OPERATIONS[name](left, right)
        if abs(result) >= 1 << 62:
            raise OverflowError("the result does not fit in 62 bits")
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise at.error(node, f"this cannot be computed: {error}") from None
    return result


def interval(name: str, a: Kind, b: Kind) -> IntKind:
    """The range of a result."""
    (lo, hi), (lo2, hi2) = bounds(a), bounds(b)
    if name in ("or", "xor"):
        bits = max(hi, hi2, 0).bit_length()
        return IntKind(0, (1 << bits) - 1)
    if name == "and":
        return IntKind(0, max(min(hi, hi2), 0))
    if name == "mod":
        return IntKind(0, hi2 - 1)
    operation = OPERATIONS[name]
    corners = [operation(x, y) for x in (lo, hi) for y in (lo2, hi2)]
    return IntKind(min(corners), max(corners))


def operator_text(op: ast.operator) -> str:
    """An operator that the language does not have, as written."""
    return {"Div": "/", "Pow": "**", "MatMult": "@"}.get(type(op).__name__, type(op).__name__)


__all__ = ["Expressions", "FieldRef", "MBlock", "Record", "population"]
