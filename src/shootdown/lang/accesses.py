"""Shared accesses: naming places, reading and writing them, atomics and locks."""

from __future__ import annotations

import ast
import itertools
from typing import Any

from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Builder, article, bounds, describe, fits
from shootdown.lang.kinds import (
    ArrayKind,
    BoolKind,
    FieldKind,
    IntKind,
    Kind,
    LockKind,
    NoneKind,
    ObjectKind,
    OptKind,
    RwSemKind,
    SetKind,
)
from shootdown.lang.order import StoreBuffer
from shootdown.lang.space import Storage
from shootdown.lang.types import FieldRef, Global, Object, declared_in, population
from shootdown.lang.values import Dyn, FieldV, PlaceV, Static, Text, Value, escape

ONE = ir.Const(1)


def extract(word: ir.Expr, field: FieldKind) -> ir.Expr:
    """A field of a packed word."""
    moved = simplify(ir.Binary("shr", word, ir.Const(field.shift))) if field.shift else word
    return simplify(ir.Binary("and", moved, ir.Const(field.mask)))


def insert(word: ir.Expr, field: FieldKind, value: ir.Expr) -> ir.Expr:
    """The word with another value in one field."""
    kept = simplify(ir.Binary("and", word, ir.Const(~(field.mask << field.shift))))
    moved = simplify(ir.Binary("shl", value, ir.Const(field.shift))) if field.shift else value
    return simplify(ir.Binary("or", kept, moved))


class Accesses(Builder):
    """Places and what can be done with them."""

    # ------------------------------------------------------------------ naming

    def object_text(self, value: Dyn | Static) -> Text:
        """An object as the report writes it."""
        if isinstance(value, Static):
            return Text(escape(self.unit.kinds.object(type(value.value)).show(value.value.index)))
        return Text("{}", (ir.Shown(value.expr, value.kind.show),))

    def field_place(self, base: Value, name: str, node: ast.AST) -> PlaceV:
        """The place ``base.name`` where ``base`` is an object."""
        pointer = self.pointer(base, node.value if isinstance(node, ast.Attribute) else node)
        assert isinstance(pointer.kind, ObjectKind)
        cls = pointer.kind.cls
        decl = self.unit.kinds.field(cls, name)
        if decl is None:
            raise self.unknown(node, cls.__name__, "field", name, self.unit.kinds.hints(cls))
        owner = next(c for c in reversed(cls.__mro__) if name in declared_in(c))
        ref = FieldRef(owner, name)
        storage = self.unit.space.field(ref, decl)
        return self._element(
            storage, ref, self.object_text(_static_pointer(pointer)) + f".{name}", (pointer,)
        )

    def global_place(self, variable: Global[Any], name: str, node: ast.AST) -> PlaceV:
        """The place of a global variable."""
        decl = self.unit.kinds.declared(
            variable.declared, variable.default, variable.default is not None,
            lambda message: self.error(node, f"global '{name}': {message}"),
        )  # fmt: skip
        storage = self.unit.space.shared(variable, name, decl)
        return self._element(storage, variable, Text(escape(name)), ())

    def _element(
        self, storage: Storage, field: FieldRef | Global[Any], text: Text, keys: tuple[Dyn, ...]
    ) -> PlaceV:
        """The place for as many indices as are known; a shorter list names an array."""
        base, index = storage.base, []
        for (dimension, stride), key in zip(storage.dims, keys, strict=False):
            if isinstance(key.expr, ir.Const):
                base += ir.within(key.expr.value, dimension.size) * stride
            else:
                index.append((key.expr, stride, dimension.size))
        kind: Kind = storage.kind
        for _ in range(len(keys) - isinstance(field, FieldRef)):
            assert isinstance(kind, ArrayKind)
            kind = kind.element
        place = ir.Place(base, tuple(index))
        return PlaceV(place, kind, text, storage.ghost, field, keys, storage.given)

    def index_place(self, base: PlaceV, key: Value, node: ast.AST) -> PlaceV:
        """The place ``base[key]``."""
        assert isinstance(base.kind, ArrayKind)
        index = self.key(key, base.kind.key, node)
        if isinstance(base.field, FieldRef):
            storage = self.unit.space.field(base.field, self._decl(base.field))
        else:
            storage = self.unit.space.shared(base.field, "", self._global_decl(base.field, node))
        shown = (
            Text(escape(base.kind.key.show(index.expr.value)))
            if isinstance(index.expr, ir.Const)
            else Text("{}", (ir.Shown(index.expr, base.kind.key.show),))
        )
        text = base.text + Text("[") + shown + Text("]")
        return self._element(storage, base.field, text, (*base.keys, index))

    def _decl(self, ref: FieldRef) -> Any:
        return self.unit.kinds.field(ref.owner, ref.name)

    def _global_decl(self, variable: Global[Any], node: ast.AST) -> Any:
        return self.unit.kinds.declared(
            variable.declared, variable.default, variable.default is not None,
            lambda message: self.error(node, message),
        )  # fmt: skip

    def key(self, value: Value, kind: Kind, node: ast.AST) -> Dyn:
        """An index of an array as an expression."""
        if isinstance(kind, ObjectKind):
            own = self.kind_of(value)
            if not isinstance(own, (ObjectKind, OptKind)):
                raise self.error(
                    node, f"this array is indexed by {kind}, not by {describe(value)}",
                    f"write {kind}(...)",
                )  # fmt: skip
            pointer = self.pointer(value, node)
            assert isinstance(pointer.kind, ObjectKind)
            if population(pointer.kind.cls) is population(kind.cls):
                return pointer
            raise self.error(node, f"this array is indexed by {kind}, not by {pointer.kind}")
        return Dyn(self.coerce(value, kind, node), kind)

    def pointer(self, value: Value, node: ast.AST) -> Dyn:
        """A value that must be an object, as its index; ``None`` is a model error at run time."""
        if isinstance(value, Static) and isinstance(value.value, Object):
            kind = self.unit.kinds.object(type(value.value))
            if not 0 <= value.value.index < kind.count:
                raise self.error(
                    node, f"{value.value!r} does not exist: the scenario has {kind.count} of them"
                )
            return Dyn(ir.Const(value.value.index), kind)
        if isinstance(value, Dyn) and isinstance(value.kind, ObjectKind):
            return value
        optional = value.kind if isinstance(value, Dyn) else None
        if isinstance(optional, OptKind) and isinstance(optional.inner, ObjectKind):
            assert isinstance(value, Dyn)
            self.check(
                ir.Binary("ne", value.expr, ir.Const(0)),
                ir.FailureKind.MODEL_ERROR,
                "None",
                f"'{self.frame.source.segment(node)}' is used while it is None",
                node,
            )
            return Dyn(ir.Binary("sub", value.expr, ONE), optional.inner)
        raise self.error(node, f"this is {describe(value)}, not an object")

    # ------------------------------------------------------------------ storing values of a kind

    def value_text(self, node: ast.AST) -> str:
        """The source of a value: of an assignment only its right side."""
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        return self.frame.source.segment(value or node)

    def coerce(
        self, value: Value, kind: Kind, node: ast.AST, outside: str | None = None
    ) -> ir.Expr:
        """A value as an expression of ``kind``, with a run-time check where it may not fit.

        ``outside`` is what to say of an integer that is out of range.
        """
        own = self.kind_of(value)
        if own is None:
            raise self.error(node, f"{describe(value)} cannot be stored: {article(kind)} is wanted")
        if isinstance(kind, IntKind) and isinstance(own, (IntKind, BoolKind)):
            expr = self.widen(value, own)
            lo, hi = bounds(own)
            if isinstance(value, Static) and not kind.lo <= int(value.value) <= kind.hi:
                raise self.error(node, f"{value.value} is not in the range {kind.lo}..{kind.hi}")
            conditions = []
            if lo < kind.lo:
                conditions.append(ir.Binary("ge", expr, ir.Const(kind.lo)))
            if hi > kind.hi:
                conditions.append(ir.Binary("le", expr, ir.Const(kind.hi)))
            declared = f"leaves the declared range {kind.lo}..{kind.hi}"
            said = outside or f"the value of '{self.value_text(node)}' {declared}"
            for condition in conditions:
                self.check(condition, ir.FailureKind.MODEL_ERROR, "range", said, node)
            return expr
        if fits(own, kind):
            return self.widen(value, kind)
        if isinstance(own, OptKind) and isinstance(value, Dyn) and fits(own.inner, kind):
            self.check(
                ir.Binary("ne", value.expr, ir.Const(0)), ir.FailureKind.MODEL_ERROR, "None",
                f"'{self.value_text(node)}' is None where {article(kind)} is wanted", node,
            )  # fmt: skip
            return ir.Binary("sub", value.expr, ONE)
        raise self.error(node, f"{describe(value)} is not {article(kind)}")

    # ------------------------------------------------------------------ who looks

    def touch(self, place: PlaceV) -> None:
        """Note that the present step may read or write a place, for ``looked_at()``."""
        looks = self.frame.source.function.looks
        if looks == "outside":
            looks = self.process < 0 and bool(self.frames[0].source.function.looks)
        if self.starting or not looks:
            return
        if self.process < 0:
            self.unit.looked.update(place.place.variables())
        elif self.begun is not None:
            self.begun.looks.update(place.place.variables())

    # ------------------------------------------------------------------ reading

    def read(self, place: PlaceV | FieldV, node: ast.AST, how: str = "load") -> Dyn:
        """Read a place: one step (none for ghost state or inside an atomic action)."""
        if isinstance(place, FieldV):
            word = self.read(place.base, node, how)
            return Dyn(extract(word.expr, place.field), place.field.kind)
        if isinstance(place.kind, (ArrayKind, LockKind, RwSemKind)):
            raise self.error(
                node,
                f"'{self.frame.source.segment(node)}' is {article(place.kind)}: it has no value",
            )
        if not place.ghost:
            self.step(node, how, f"read {place.text.render()}")
        reg = self.register(self.frame.source.segment(node), place.kind)
        self.emit(ir.Set(reg, self.load(place)))
        self.reads_made += not place.ghost
        value = Dyn(ir.Reg(reg), place.kind)
        if not place.ghost:
            self.label(Text("read ") + place.text + " -> " + self.shown(value))
        return value

    def load(self, place: PlaceV) -> ir.Expr:
        """What the present code sees in a place: its own CPU's buffered store first."""
        self.touch(place)
        buffer = self.buffer
        if buffer is None or place.ghost:
            return ir.Load(place.place)
        return self.unit.memory.seen(buffer, place)

    def shown(self, value: Value) -> Text:
        """A value as the report writes it."""
        if isinstance(value, Static):
            if isinstance(value.value, Object):
                return self.object_text(value)
            kind = self.static_kind(value.value)
            if kind is not None and not isinstance(kind, (IntKind, NoneKind)):
                return Text(escape(kind.show(self.widen(value, kind).value)))  # type: ignore[union-attr]
            return Text(escape("none" if value.value is None else str(value.value)))
        assert isinstance(value, Dyn), value
        if isinstance(value.expr, ir.Const):
            return Text(escape(value.kind.show(value.expr.value)))
        return Text("{}", (ir.Shown(value.expr, value.kind.show),))

    # ------------------------------------------------------------------ writing

    def store(self, place: PlaceV, value: ir.Expr, node: ast.AST) -> None:
        """Write within the present step, and run the ``@on_write`` functions of the field."""
        self.touch(place)
        if place.given:
            raise self.error(
                node,
                f"'{place.text.render()}' is given by the scenario: nothing writes it",
                "declare the field without given()",
            )
        observers = [o for o in self.unit.observers if self.observes(o, place)]
        if not observers:
            self.emit(ir.Store(place.place, value))
            return
        assert isinstance(place.kind, Kind)
        old = self.register("old", place.kind)
        self.emit(ir.Set(old, ir.Load(place.place)))
        new = self.temp(value, place.kind, "new")
        self.emit(ir.Store(place.place, new.expr))
        for observer in observers:
            self.observe(observer, [*place.keys, Dyn(ir.Reg(old), place.kind), new], node)

    def observes(self, function: Any, place: PlaceV) -> bool:
        """Whether an ``@on_write`` function is about a place."""
        return (
            isinstance(place.field, FieldRef)
            and function.field is not None
            and function.field.name == place.field.name
            and population(function.field.owner) is population(place.field.owner)
        )

    def observe(self, function: Any, values: list[Value], node: ast.AST) -> None:
        """Run an atomic function inside the present step."""
        raise NotImplementedError

    def write(
        self, place: PlaceV | FieldV, value: Value, node: ast.AST, how: str = "store"
    ) -> None:
        """Write a place: one step."""
        if isinstance(place, FieldV):
            if not (self.atomic_depth or place.base.ghost):
                raise self.error(
                    node,
                    f"'{place.text.render()}' is one field of the word {place.base.kind}, which is "
                    "read and written whole",
                    "write the whole word, or use set_bit()/clear_bit()/cmpxchg()",
                )
            old = self.register("word", place.base.kind)
            self.emit(ir.Set(old, ir.Load(place.base.place)))
            new = insert(ir.Reg(old), place.field, self.coerce(value, place.field.kind, node))
            self.store(place.base, new, node)
            return
        if isinstance(place.kind, (ArrayKind, LockKind, RwSemKind)):
            raise self.error(node, f"{article(place.kind)} cannot be assigned")
        expr = self.temp(self.coerce(value, place.kind, node), place.kind)
        if not place.ghost:
            self.step(node, how, f"{place.text.render()} =")
            self.label(place.text + " = " + self.shown(expr))
        self.plain_store(place, expr.expr, node)

    def plain_store(self, place: PlaceV, value: ir.Expr, node: ast.AST) -> None:
        """A store that a store buffer may hold back."""
        buffer = self.buffer
        if buffer is None or place.ghost:
            self.store(place, value, node)
            return
        memory = self.unit.memory
        self.emit(ir.Guard(ir.Unary("lnot", memory.full(buffer))))
        for op in memory.push(buffer, place, value):
            self.emit(op)

    def drain(self, buffer: StoreBuffer, node: ast.AST) -> None:
        """The oldest store of a buffer reaches memory (the body of a rule)."""
        memory = self.unit.memory
        self.emit(ir.Guard(ir.Unary("lnot", memory.empty(buffer))))
        where, value = self.register("place", IntKind(0, 0)), self.register("value", IntKind(0, 0))
        self.emit(ir.Set(where, ir.Load(ir.Place(buffer.locations[0]))))
        self.emit(ir.Set(value, ir.Load(ir.Place(buffer.values[0]))))
        for op in memory.shift(buffer):
            self.emit(op)
        done = []
        for sample in buffer.stored.values():
            for element in self.elements(sample):
                here = ir.Binary("eq", ir.Reg(where), memory.location(element))
                then, orelse = self.branch(here)
                self.block = then
                self.store(element, ir.Reg(value), node)
                stored = Dyn(ir.Reg(value), element.kind)
                text = element.text + " = " + self.shown(stored) + " reaches memory"
                self.emit(ir.Note(ir.NoteKind.LABEL, text.template, text.values))
                done.append(self.leave())
                self.block = orelse
        self.join([*done, self.leave()])

    def elements(self, sample: PlaceV) -> list[PlaceV]:
        """Every place of the field or global that ``sample`` belongs to."""
        storage = self.unit.space.storage_of(sample.place.base)
        places = []
        for indices in itertools.product(*(range(kind.size) for kind, _ in storage.dims)):
            keys = tuple(
                Dyn(ir.Const(index), kind)
                for index, (kind, _) in zip(indices, storage.dims, strict=True)
            )
            base = storage.base + sum(
                index * stride for index, (_, stride) in zip(indices, storage.dims, strict=True)
            )
            text = Text(escape(self.unit.space.variables[base].name))
            places.append(PlaceV(ir.Place(base), sample.kind, text, False, sample.field, keys))
        return places

    # ------------------------------------------------------------------ atomics

    def rmw(
        self, place: PlaceV | FieldV, node: ast.AST, name: str, arguments: Text | None = None
    ) -> Dyn:
        """Begin an atomic read-modify-write: the value found. The caller stores and labels."""
        base = place.base if isinstance(place, FieldV) else place
        if isinstance(base.kind, (ArrayKind, LockKind, RwSemKind)):
            raise self.error(node, f"{name}() does not work on {article(base.kind)}")
        if not base.ghost:
            self.step(node, name, f"{name}({place.text.render()})")
            self.fence()
        self.touch(base)
        reg = self.register("old", base.kind)
        self.emit(ir.Set(reg, ir.Load(base.place)))
        return Dyn(ir.Reg(reg), base.kind)

    def atomic_add(self, place: PlaceV | FieldV, delta: Value, node: ast.AST, name: str) -> Dyn:
        """Add to an integer place in one step; the new value."""
        kind = place.kind if isinstance(place, PlaceV) else None
        if not isinstance(kind, IntKind) or isinstance(place, FieldV):
            raise self.error(node, f"{name}() needs an integer field, not {self._what(place)}")
        own = self.kind_of(delta)
        if not isinstance(own, (IntKind, BoolKind)):
            raise self.error(node, f"{name}() adds integers, not {describe(delta)}")
        amount = self.widen(delta, own)
        old = self.rmw(place, node, name)
        lo, hi = bounds(own)
        total = (
            ir.Binary("sub", old.expr, ir.Const(-amount.value))
            if isinstance(amount, ir.Const) and amount.value < 0
            else ir.Binary("add", old.expr, amount)
        )
        new = self.temp(total, IntKind(kind.lo + lo, kind.hi + hi))
        stored = self.coerce(new, kind, node)
        self.store(place, stored, node)
        result = Dyn(new.expr, kind)
        if not place.ghost:
            self.label(Text(f"{name}(") + place.text + ") -> " + self.shown(result))
        return result

    def _what(self, place: PlaceV | FieldV) -> str:
        kind = place.kind if isinstance(place, PlaceV) else place.field.kind
        return f"{place.text.render()} ({kind})"

    def exchange(self, place: PlaceV | FieldV, value: Value, node: ast.AST) -> Dyn:
        """xchg."""
        if isinstance(place, FieldV):
            raise self.error(
                node, "xchg() works on a whole word", "use test_and_set_bit() for one flag of it"
            )
        new = self.temp(self.coerce(value, place.kind, node), place.kind)
        old = self.rmw(place, node, "xchg")
        self.store(place, new.expr, node)
        text = Text("xchg(") + place.text + ", " + self.shown(new) + ") -> " + self.shown(old)
        self.label(text, place)
        return old

    def compare_exchange(
        self, place: PlaceV | FieldV, expected: Value, value: Value, node: ast.AST, name: str
    ) -> tuple[Dyn, Dyn]:
        """cmpxchg: the value found, and whether it was the expected one."""
        if isinstance(place, FieldV):
            raise self.error(node, f"{name}() works on a whole word")
        kind = place.kind
        number = isinstance(kind, IntKind)
        if isinstance(expected, Dyn) and isinstance(expected.kind, (IntKind, BoolKind)) and number:
            want = self.temp(expected.expr, kind)
        else:
            want = self.temp(self.coerce(expected, kind, node), kind)
        # only what is stored has to be in the range
        late = number and isinstance(value, Dyn) and not fits(value.kind, kind)
        if late and isinstance(value, Dyn):
            new = value
        else:
            new = self.temp(self.coerce(value, kind, node), kind)
        old = self.rmw(place, node, name)
        hit = self.temp(ir.Binary("eq", old.expr, want.expr), BoolKind(), "hit")
        if late or any(isinstance(place.field, FieldRef) for _ in self.unit.observers):
            then, orelse = self.branch(hit.expr)
            self.block = then
            self.store(place, self.coerce(new, kind, node), node)
            exits = [self.leave()]
            self.block = orelse
            self.join([*exits, self.leave()])
        else:
            self.store(place, ir.Select(hit.expr, new.expr, old.expr), node)
        self.label(
            Text(f"{name}(") + place.text + ", " + self.shown(want) + ", " + self.shown(new)
            + ") -> " + self.shown(old)
        )  # fmt: skip
        return old, hit

    def bit(self, place: PlaceV | FieldV, value: bool, node: ast.AST, name: str) -> Dyn:
        """set_bit and its family: the old value of the flag."""
        kind = place.kind if isinstance(place, PlaceV) else place.field.kind
        if not isinstance(kind, BoolKind):
            raise self.error(node, f"{name}() needs a flag, not {self._what(place)}")
        old = self.rmw(place, node, name)
        if isinstance(place, FieldV):
            flag = self.temp(extract(old.expr, place.field), BoolKind(), "bit")
            self.store(place.base, insert(old.expr, place.field, ir.Const(int(value))), node)
        else:
            flag = old
            self.store(place, ir.Const(int(value)), node)
        found = Text(" -> ") + self.shown(flag) if name.startswith("test") else Text("")
        self.label(Text(f"{name}(") + place.text + ")" + found, place)
        return flag

    def set_member(self, place: PlaceV | FieldV, element: Value, node: ast.AST, name: str) -> None:
        """``add`` or ``discard`` on a shared set: one atomic step."""
        kind = place.kind if isinstance(place, PlaceV) else place.field.kind
        assert isinstance(kind, SetKind)
        assert kind.element is not None
        index = self.temp(self.coerce(element, kind.element, node), kind.element)
        bit = (
            ir.Const(1 << index.expr.value)
            if isinstance(index.expr, ir.Const)
            else ir.Binary("shl", ONE, index.expr)
        )
        old = self.rmw(place, node, name)
        present = extract(old.expr, place.field) if isinstance(place, FieldV) else old.expr
        if name == "add":
            new: ir.Expr = ir.Binary("or", present, bit)
        else:
            new = ir.Binary("and", present, ir.Binary("xor", bit, ir.Const(kind.size - 1)))
        if isinstance(place, FieldV):
            self.store(place.base, insert(old.expr, place.field, new), node)
        else:
            self.store(place, new, node)
        self.label(place.text + f".{name}(" + self.shown(index) + ")", place)


def _static_pointer(pointer: Dyn) -> Dyn | Static:
    assert isinstance(pointer.kind, ObjectKind)
    if isinstance(pointer.expr, ir.Const):
        return Static(pointer.kind.cls(pointer.expr.value))
    return pointer
