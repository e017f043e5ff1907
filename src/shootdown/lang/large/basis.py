"""What is left out, and what is exchanged: ghost state, locks, calls."""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping
from typing import Any

from shootdown.lang import ir
from shootdown.lang.builder import Unit, describe
from shootdown.lang.decorators import Function
from shootdown.lang.kinds import (
    BoolKind,
    IntKind,
    Kind,
    ObjectKind,
    SetKind,
    WordKind,
)
from shootdown.lang.large.parts import NUMBER, Enter, Extern, LargeKinds, Leave, Numbered, Parameter
from shootdown.lang.source import Source, source_of
from shootdown.lang.statements import Statements
from shootdown.lang.types import FieldRef, Object, population
from shootdown.lang.values import Dyn, FieldV, PlaceV, Static, Value

OF_OBJECTS = {
    "tlb_lookup", "tlb_insert", "tlb_drop_page", "tlb_drop_span", "tlb_drop_tag", "tlb_drop_all",
    "send_ipis", "take_ipi", "irqs_off", "irqs_on", "give_frame",
}  # fmt: skip
"""Operations of the engine whose arguments are objects, the CPU first."""


class Basis(Statements):
    """Compiles one kind of thread to a graph with loops."""

    def __init__(
        self,
        unit: Unit,
        name: str,
        on: type[Object] | None,
        instead: Mapping[Function[..., Any], Function[..., Any]],
        numbered: Numbered,
    ) -> None:
        super().__init__(unit, name, 0, None)
        self.declared = {}
        self.instead = instead
        self.numbered = numbered
        self.effects = 0
        self.functions: list[Function[..., Any]] = []  # those that we are in
        self.open: list[int] = []  # registers of the counted calls that we are in
        self.running_on: Dyn | None = None
        self.parameters: list[Parameter] = []
        if on is not None:
            self.running_on = self.parameter("on", unit.kinds.object(on))

    @property
    def kinds(self) -> LargeKinds:
        """The kinds of this compilation."""
        assert isinstance(self.unit.kinds, LargeKinds)
        return self.unit.kinds

    def parameter(self, name: str, kind: Kind) -> Dyn:
        """A register that each thread has its own value for."""
        reg = self.register(name, kind, named=True)
        self.parameters.append(Parameter(reg, kind))
        return Dyn(ir.Reg(reg), kind)

    # ------------------------------------------------------------------ what is left out

    def emit(self, op: Any) -> None:
        """Add an operation; remember whether there was one with an effect."""
        if not isinstance(op, (ir.Set, ir.Cover, ir.Note, ir.Check, Enter, Leave)):
            self.effects += 1
        super().emit(op)

    def step(self, node: ast.AST, kind: str, text: str) -> None:
        """Begin the next step."""
        before = self.begun
        super().step(node, kind, text)
        if self.begun is not before and kind != "load":
            self.effects += kind not in ("READ_ONCE", "smp_load_acquire")

    def label(self, text: Any, place: Any = None) -> None:
        """Nobody reads labels here."""

    def assertion(self, test: ast.expr, message: ast.expr | None, node: ast.AST) -> None:
        """Assertions are the checker's."""

    def do_note(self, node: ast.Call) -> Value:
        """note(): nothing."""
        return Static(None)

    do_mark = do_note

    def check(
        self, condition: ir.Expr, kind: ir.FailureKind, name: str, message: str, node: ast.AST
    ) -> None:
        """Keep what protects memory: a use of ``None``."""
        if name == "None":
            super().check(condition, kind, name, message, node)

    def _init_of(self, place: PlaceV) -> int:
        if isinstance(place.field, FieldRef):
            return int(self._decl(place.field).init)
        return int(self._global_decl(place.field, self.frame.source.tree).init)

    def read(self, place: PlaceV | FieldV, node: ast.AST, how: str = "load") -> Dyn:
        """Read a place; ghost state has its first value for ever."""
        if isinstance(place, PlaceV) and place.ghost and not place.given:
            assert isinstance(place.kind, Kind)
            return Dyn(ir.Const(self._init_of(place)), place.kind)
        return super().read(place, node, how)

    def touch(self, place: PlaceV) -> None:
        """Nobody asks who looks where: rules are not priced."""

    def store(self, place: PlaceV, value: ir.Expr, node: ast.AST) -> None:
        """Write a place. Of ghost state only observers see it: the machine may want to know that a
        frame is free."""
        if not place.ghost:
            self.numbered.written.add((self.functions[-1], place.field))
            super().store(place, value, node)
            return
        assert isinstance(place.kind, Kind)
        for observer in self.unit.observers:
            ref = place.field
            if (
                isinstance(ref, FieldRef)
                and observer.field is not None
                and observer.field.name == ref.name
                and population(observer.field.owner) is population(ref.owner)
            ):
                new = Dyn(value, place.kind)
                self.observe(observer, [*place.keys, new, new], node)

    def rmw(self, place: PlaceV | FieldV, node: ast.AST, name: str, arguments: Any = None) -> Dyn:
        """Begin an atomic read-modify-write."""
        base = place.base if isinstance(place, FieldV) else place
        if base.ghost:
            return Dyn(ir.Const(self._init_of(base)), base.kind)
        return super().rmw(place, node, name, arguments)

    # ------------------------------------------------------------------ calls

    def do_this(self, node: ast.Call) -> Value:
        """this(Cpu): the object that the thread runs on."""
        value = self.argument(node, 0, "a population")
        cls = value.value if isinstance(value, Static) else None
        on = self.running_on
        if (
            on is None
            or not isinstance(cls, type)
            or not isinstance(on.kind, ObjectKind)
            or population(cls) is not population(on.kind.cls)
        ):
            raise self.error(node, "this thread does not run on such an object")
        return Dyn(on.expr, self.kinds.object(cls))

    def intrinsic(self, name: str, node: ast.Call) -> Value:
        """An operation of the language; a full barrier has a price."""
        if name != "smp_mb":
            return super().intrinsic(name, node)
        self.arity(node, name, 0)
        self.step(node, "extern", name)
        self.emit(Extern("spend", ("barrier", ir.Const(1)), (0, 0)))
        return Static(None)

    def call_function(self, function: Function[..., Any], node: ast.Call) -> Value:
        """A call: of the machine's function where there is one."""
        function = self.instead.get(function, function)
        if function.kind == "extern":
            return self.call_extern(function, node)
        return super().call_function(function, node)

    def call_extern(self, function: Function[..., Any], node: ast.Call) -> Value:
        """A call of something that the engine implements."""
        source = source_of(function)
        arguments = self.bind_arguments(function, source, node)
        self.step(node, "extern", function.name)
        self.operands(function, list(arguments.values()), node)
        exprs: list[ir.Expr | str] = []
        wide = []
        for value in arguments.values():
            if isinstance(value, Static) and isinstance(value.value, str):
                exprs.append(value.value)
                wide.append(0)
                continue
            kind = self.kind_of(value)
            if kind is None:
                raise self.error(node, f"{function.name}() cannot take {describe(value)}")
            exprs.append(self.widen(value, kind))
            bits = isinstance(kind, SetKind) and self.kinds.form(kind) == "bits"
            wide.append(self.kinds.words(kind) if bits else 0)
        if function.name == "span":
            self.inside(exprs, function, node)
        returns = typing.get_type_hints(function.source).get("return")
        if returns in (None, type(None)):
            self.emit(Extern(function.name, tuple(exprs), tuple(wide), open=tuple(self.open)))
            return Static(None)
        kind = self.kinds.of(returns, lambda message: source.error(source.tree, message))
        if isinstance(kind, SetKind) and function.name != "span":
            raise source.error(source.tree, "no operation of the engine returns a set but span()")
        reg = self.register(function.name, kind)
        self.emit(Extern(function.name, tuple(exprs), tuple(wide), reg, open=tuple(self.open)))
        if isinstance(kind, ObjectKind):
            self.must(ir.Binary("below", ir.Reg(reg), ir.Const(kind.count)), "object", kind, node)
        self.one_word(function, kind, node)
        return Dyn(ir.Reg(reg), kind)

    def operands(self, function: Function[..., Any], values: list[Value], node: ast.AST) -> None:
        """The engine takes a CPU's number, and others, for places in its memory: refuse anything
        that is not an object, or a set of the form that it knows."""
        if function.name not in OF_OBJECTS:
            return
        kinds = [self.kind_of(value) for value in values]
        on = None if self.running_on is None else self.running_on.kind
        assert isinstance(on, ObjectKind)

        def is_cpu(kind: Kind | None) -> bool:
            return isinstance(kind, ObjectKind) and population(kind.cls) is population(on.cls)

        good = all(not isinstance(kind, (IntKind, BoolKind)) for kind in kinds)
        if function.name != "give_frame":
            good = good and bool(kinds) and is_cpu(kinds[0])
        for kind in kinds[1:]:
            element = kind.element if isinstance(kind, SetKind) else None
            if function.name == "send_ipis":
                good = good and isinstance(kind, SetKind) and (element is None or is_cpu(element))
            elif isinstance(kind, SetKind):
                good = good and (element is None or self.kinds.form(kind) == "span")
        if not good:
            shown = ", ".join(describe(value) for value in values)
            raise self.error(
                node,
                f"{function.name}() does not take {shown}",
                "see shootdown/workloads/externs.py",
            )
        if function.name == "tlb_insert":
            self.one_word(function, kinds[-1], node)

    def one_word(self, function: Function[..., Any], kind: Kind | None, node: ast.AST) -> None:
        """What is put into TLBs is what is taken out."""
        if function.name not in ("tlb_insert", "tlb_lookup") or kind is None:
            return
        self.numbered.translation = self.numbered.translation or kind
        if self.numbered.translation != kind:
            raise self.error(
                node, f"TLBs hold {self.numbered.translation} already, and this is {kind}"
            )

    def with_fields(
        self, word: ir.Expr, kind: WordKind, fields: dict[str, Value], node: ast.AST
    ) -> Value:
        """A word with some fields changed; an integer must not reach into its neighbours."""
        kept = dict(fields)
        for name, value in fields.items():
            field = kind.field(name)
            if field is not None and isinstance(field.kind, IntKind) and isinstance(value, Dyn):
                own = ir.Binary("and", value.expr, ir.Const(field.mask))
                kept[name] = Dyn(own, field.kind)
        return super().with_fields(word, kind, kept, node)

    def inside(
        self, exprs: list[ir.Expr | str], function: Function[..., Any], node: ast.AST
    ) -> None:
        """Check that ``span(first, number)`` is within its population."""
        kind = self.kinds.of(
            typing.get_type_hints(function.source)["return"],
            lambda message: self.error(node, message),
        )
        assert isinstance(kind, SetKind)
        assert kind.element is not None
        first, number = exprs
        assert not isinstance(first, str)
        assert not isinstance(number, str)
        size = kind.element.size
        self.must(ir.Binary("below", first, ir.Const(size + 1)), "span", kind, node)
        rest = ir.Binary("sub", ir.Const(size + 1), first)
        self.must(ir.Binary("below", number, rest), "span", kind, node)

    def must(self, condition: ir.Expr, what: str, kind: Kind, node: ast.AST) -> None:
        """Stop the run with an error unless something is within a population."""
        text = self.frame.source.segment(node)
        super().check(
            condition,
            ir.FailureKind.MODEL_ERROR,
            "outside",
            f"'{text}' is outside of {kind}",
            node,
        )

    def object_at(self, cls: type[Object], node: ast.Call) -> Value:
        """``Cpu(n)``: memory is addressed by it, so it must exist."""
        index = self.argument(node, 0, "index")
        own = self.kind_of(index)
        if isinstance(index, Static) or not isinstance(own, (IntKind, BoolKind)):
            if isinstance(index, Static) and isinstance(index.value, int):
                return self.object_of(cls, int(index.value), node)
            raise self.error(node, f"{cls.__name__}() takes a number, not {describe(index)}")
        kind = self.kinds.object(cls)
        number = self.temp(self.widen(index, own), NUMBER, "index")
        if isinstance(number.expr, ir.Const):
            return self.object_of(cls, number.expr.value, node)
        text = self.frame.source.segment(node)
        super().check(
            ir.Binary("below", number.expr, ir.Const(kind.count)),
            ir.FailureKind.MODEL_ERROR,
            "outside",
            f"{text} does not exist: the workload has {kind.count} of them",
            node,
        )
        return Dyn(number.expr, kind)

    def object_of(self, cls: type[Object], index: int, node: ast.AST) -> Value:
        """An object by a known number."""
        self.pointer(Static(cls(index)), node)
        return Static(cls(index))

    def inline(
        self,
        function: Function[..., Any],
        source: Source,
        arguments: dict[str, Value],
        node: ast.AST,
        *,
        atomic: bool,
        labelled: bool = False,
    ) -> Value:
        """Compile a function's body here; count the call if the function has a name in reports."""
        self.numbered.compiled.add(function)
        self.functions.append(function)
        named = bool(function.show or function.role)
        if named:
            number = self.numbered.number(function)
            reg = self.register("entered", NUMBER)
            self.emit(Enter(number, reg))
            self.open.append(reg)
        value = super().inline(function, source, arguments, node, atomic=atomic, labelled=labelled)
        if named:
            self.open.pop()
            self.emit(Leave(number, reg))
        self.functions.pop()
        return value

    # ------------------------------------------------------------------ locks

    def lock_operation(self, place: PlaceV, name: str, node: ast.AST, reg: int | None) -> None:
        """One step on a lock, which the engine does."""
        self.numbered.written.add((self.functions[-1], place.field))
        self.step(node, name, name)
        self.emit(Extern(name, (), (), reg, place.place))

    def lock(self, place: PlaceV, node: ast.AST) -> None:
        """spin_lock."""
        self.lock_operation(place, "spin_lock", node, None)

    def unlock(self, place: PlaceV, node: ast.AST) -> None:
        """spin_unlock."""
        self.lock_operation(place, "spin_unlock", node, None)

    def trylock(self, place: PlaceV, node: ast.AST) -> Dyn:
        """spin_trylock."""
        reg = self.register("free", BoolKind())
        self.lock_operation(place, "spin_trylock", node, reg)
        return Dyn(ir.Reg(reg), BoolKind())

    def semaphore(self, place: PlaceV, operation: str, node: ast.AST) -> None:
        """down_read and its family."""
        self.lock_operation(place, operation, node, None)
