"""The same paths for populations of any size: loops stay loops, and threads share their code.

The checker's front end unrolls what is finite and gives every element a variable of its own. That
is what a search needs, and impossible for millions of pages. Here the same front end makes one
graph for each kind of thread:

* a loop over a population, a set or a ``range()`` is a loop of the graph;
* a field is a region of memory (:class:`Region`), addressed by index;
* a set of the populations named in ``spans`` (pages, whose sets are ranges of addresses in a
  kernel, too) is its hull, ``first`` and one past the ``last``; one of those in ``lists`` (frames,
  as an ``mmu_gather`` collects them) is a list in the order of adding; any other is a bit set;
* the objects, numbers and spans that a thread is given are registers, so threads that differ in
  them only have one code;
* ghost state, properties and notes are left out: they belong to checking. A loop that does nothing
  without them is left out as well;
* locks, and functions declared with :func:`~shootdown.lang.decorators.extern`, are operations of
  their own (:class:`Extern`) that the engine implements;
* functions of the hardware's adversary are exchanged for those of a machine (``instead``).

Integers are not checked against their declared ranges, which bound a search, not a kernel.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import Exit, Loop, Unit, describe, same
from shootdown.lang.cfg import MBlock
from shootdown.lang.decorators import Function
from shootdown.lang.finite import ONE, ZERO, combine
from shootdown.lang.kinds import (
    ArrayKind,
    BoolKind,
    FieldDecl,
    IntKind,
    Kind,
    Kinds,
    LockKind,
    NoneKind,
    ObjectKind,
    RwSemKind,
    SetKind,
)
from shootdown.lang.source import Source, source_of
from shootdown.lang.space import StateSpace, Storage
from shootdown.lang.statements import Statements
from shootdown.lang.types import FieldRef, Object, Ranged, population
from shootdown.lang.values import Dyn, FieldV, PlaceV, Static, TupleV, Value

WIDE = (1 << 30) - 1
"""The greatest integer of a field; two of them fit in one word."""
UNROLLED = 8
"""Loops over at most so many known values are unrolled."""
NUMBER = IntKind(0, WIDE)


@dataclass(frozen=True)
class Extern:
    """An operation that the engine implements.

    ``args`` are expressions, or texts that are known when compiling. ``wide`` says for each
    argument how many 64-bit words it has. ``reg`` takes the result. ``place`` is the lock of a lock
    operation.
    """

    name: str
    args: tuple[ir.Expr | str, ...]
    wide: tuple[int, ...] = ()
    reg: int | None = None
    place: ir.Place | None = None


@dataclass(frozen=True)
class Enter:
    """A call of a function that is counted begins: the time goes into a register."""

    function: int
    reg: int


@dataclass(frozen=True)
class Leave:
    """The call ends."""

    function: int
    reg: int


@dataclass(frozen=True)
class Span:
    """Consecutive objects of a population, as an argument of a thread."""

    cls: type[Object]
    first: int
    count: int

    @property
    def packed(self) -> int:
        """How a span is kept: one past the last in the upper half, the first in the lower; 0 if
        there are none."""
        return (self.first + self.count) << 32 | self.first if self.count else 0


@dataclass(frozen=True)
class Region:
    """A field in memory: ``base`` and ``length`` in 64-bit words, ``width`` of them an element."""

    name: str
    storage: Storage
    width: int
    length: int
    init: int


class LargeKinds(Kinds):
    """Kinds without the limits of a search."""

    def __init__(
        self,
        sizes: Mapping[type[Object], int],
        spans: frozenset[type[Object]],
        lists: frozenset[type[Object]],
    ) -> None:
        super().__init__(sizes, 1)
        self.spans = frozenset(population(cls) for cls in spans)
        self.lists = frozenset(population(cls) for cls in lists)

    def of(
        self, annotation: Any, where: Callable[[str], ModelError], integer: IntKind | None = None
    ) -> Kind:
        """The kind that an annotation means; sets of any size."""
        arguments = typing.get_args(annotation)
        if typing.get_origin(annotation) is set and len(arguments) == 1:
            return SetKind(self.of(arguments[0], where, integer))
        if annotation is int and integer is None:
            return NUMBER
        return super().of(annotation, where, integer)

    def ranged(self, marker: Ranged, where: Callable[[str], ModelError]) -> IntKind:
        """An integer field: as wide as any."""
        kind = super().ranged(marker, where)
        if isinstance(marker.hi, int):
            return IntKind(kind.lo, max(kind.hi, WIDE), kind.atomic)
        return kind

    def form(self, kind: Kind) -> str:
        """How a set is kept: ``span``, ``list`` or ``bits``."""
        assert isinstance(kind, SetKind)
        if isinstance(kind.element, ObjectKind):
            root = population(kind.element.cls)
            if root in self.spans:
                return "span"
            if root in self.lists:
                return "list"
        return "bits"

    def words(self, kind: Kind) -> int:
        """How many 64-bit words a value of a kind takes."""
        if isinstance(kind, SetKind) and kind.element is not None and self.form(kind) == "bits":
            if kind.element.size > 4096:
                raise ModelError(
                    f"a set of {kind.element} has {kind.element.size} possible elements",
                    hint="say whether such sets are spans or lists",
                )
            return -(-kind.element.size // 64)
        return 1


class LargeSpace(StateSpace):
    """Gives regions of memory to fields when they are first mentioned."""

    kinds: LargeKinds

    def __init__(self, kinds: LargeKinds) -> None:
        super().__init__(kinds)
        self.size = 0
        self.regions: dict[int, Region] = {}

    def _allocate(
        self, dims: list[ObjectKind], name: str, decl: FieldDecl, *, dot: bool
    ) -> Storage:
        keys: list[Kind] = list(dims)
        element = decl.kind
        while isinstance(element, ArrayKind):
            keys.append(element.key)
            element = element.element
        width = self.kinds.words(element)
        strides, stride = [], width
        for key in reversed(keys):
            strides.append(stride)
            stride *= key.size
        pairs = tuple(zip(keys, reversed(strides), strict=True))
        storage = Storage(self.size, pairs, decl.kind, element, decl.ghost, decl.given)
        if not decl.ghost:
            owner = f"{dims[0].cls.__name__}." if dims else ""
            region = Region(owner + name, storage, width, stride, decl.init)
            self.regions[self.size] = region
            self.size += stride
        return storage

    def region_at(self, base: int) -> Region:
        """The region that a word belongs to."""
        starts = [start for start in self.regions if start <= base]
        return self.regions[max(starts)]


@dataclass
class Numbered:
    """Functions whose calls are counted, in the order in which they were met."""

    functions: list[Function[..., Any]] = field(default_factory=list)

    def number(self, function: Function[..., Any]) -> int:
        """The number of a function."""
        if function not in self.functions:
            self.functions.append(function)
        return self.functions.index(function)


@dataclass
class Parameter:
    """A register that a thread gets its value for: the kind of the value."""

    reg: int
    kind: Kind


class Large(Statements):
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
        decl = (
            self._decl(place.field)
            if hasattr(place.field, "owner")
            else self._global_decl(typing.cast(Any, place.field), self.frame.source.tree)
        )
        return int(decl.init)

    def read(self, place: PlaceV | FieldV, node: ast.AST, how: str = "load") -> Dyn:
        """Read a place; ghost state has its first value for ever."""
        if isinstance(place, PlaceV) and place.ghost and not place.given:
            assert isinstance(place.kind, Kind)
            return Dyn(ir.Const(self._init_of(place)), place.kind)
        return super().read(place, node, how)

    def store(self, place: PlaceV, value: ir.Expr, node: ast.AST) -> None:
        """Write a place. Of ghost state only observers see it: the machine may want to know that a
        frame is free."""
        if not place.ghost:
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
        exprs: list[ir.Expr | str] = []
        wide = []
        for value in arguments.values():
            if isinstance(value, Static) and isinstance(value.value, str):
                exprs.append(value.value)
                wide.append(1)
                continue
            kind = self.kind_of(value)
            if kind is None:
                raise self.error(node, f"{function.name}() cannot take {describe(value)}")
            exprs.append(self.widen(value, kind))
            wide.append(self.kinds.words(kind))
        returns = typing.get_type_hints(function.source).get("return")
        if returns in (None, type(None)):
            self.emit(Extern(function.name, tuple(exprs), tuple(wide)))
            return Static(None)
        kind = self.kinds.of(returns, lambda message: source.error(source.tree, message))
        reg = self.register(function.name, kind)
        self.emit(Extern(function.name, tuple(exprs), tuple(wide), reg))
        return Dyn(ir.Reg(reg), kind)

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
        if not function.show and not function.role:
            return super().inline(
                function, source, arguments, node, atomic=atomic, labelled=labelled
            )
        number = self.numbered.number(function)
        reg = self.register("entered", NUMBER)
        self.emit(Enter(number, reg))
        value = super().inline(function, source, arguments, node, atomic=atomic, labelled=labelled)
        self.emit(Leave(number, reg))
        return value

    # ------------------------------------------------------------------ locks

    def lock_operation(self, place: PlaceV, name: str, node: ast.AST, reg: int | None) -> None:
        """One step on a lock, which the engine does."""
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

    # ------------------------------------------------------------------ arithmetic

    def arithmetic(self, left: Value, op: ast.operator, right: Value, node: ast.AST) -> Value:
        """Arithmetic, where no range is too large; ``//`` and ``%`` by anything above 0."""
        if isinstance(op, (ast.FloorDiv, ast.Mod)) and isinstance(right, Dyn):
            name = "floordiv" if isinstance(op, ast.FloorDiv) else "mod"
            kind = self.kind_of(left)
            if isinstance(kind, IntKind):
                return Dyn(ir.Binary(name, self.widen(left, kind), right.expr), NUMBER)
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
        kind: SetKind | None = None
        mask: ir.Expr = ZERO
        for item in items:
            element = self.kind_of(item)
            if element is None:
                raise self.error(node, f"a set cannot hold {describe(item)}")
            kind = kind or SetKind(element)
            mask = self.union(mask, self.single(self.widen(item, element), kind), kind)
        assert kind is not None
        return self.temp(mask, kind, "set")

    def local_set(self, node: ast.Call, func: ast.Attribute, base: Value) -> Value:
        """``add`` and ``discard`` on a local set."""
        self.arity(node, func.attr, 1)
        element = self.evaluate(node.args[0])
        kind = self.kind_of(base)
        if not isinstance(kind, SetKind) or kind.element is None:
            own = self.kind_of(element)
            kind = None if own is None else SetKind(own)
        if func.attr == "discard" or kind is None or kind.element is None:
            return super().local_set(node, func, base)
        one = self.single(self.coerce(element, kind.element, node), kind)
        grown = self.union(self.widen(base, kind), one, kind)
        self.assign_local(func.value, self.temp(grown, kind, "set"), node)
        return Static(None)

    def set_algebra(
        self, name: str, symbol: str, left: Value, right: Value, node: ast.AST
    ) -> Value:
        """``|``, ``&``, ``-``, ``^`` of sets."""
        kinds = [self.kind_of(left), self.kind_of(right)]
        kind = next((k for k in kinds if isinstance(k, SetKind) and k.element is not None), None)
        if not isinstance(kind, SetKind):
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
        raise self.error(node, f"'{symbol}' of sets of {kind.element} has no price: they are {form}s")

    def whole_bits(self, kind: SetKind) -> ir.Expr:
        """All elements of a bit set."""
        assert kind.element is not None
        return ir.Const((1 << kind.element.size) - 1)

    def bit_of(self, container: Value, index: ir.Expr, kind: SetKind) -> ir.Expr:
        """Whether an element is in a set."""
        inside = self.widen(container, kind)
        if inside == ZERO:
            return ZERO
        form = self.kinds.form(kind)
        if form == "list":
            raise ModelError(f"'in' a set of {kind.element} has no price: it is a list")
        return ir.Binary("in_span" if form == "span" else "in_bits", inside, index)

    def contains(self, element: Value, container: Value, node: ast.AST) -> ir.Expr:
        """``element in container``."""
        if isinstance(container, Static) and isinstance(container.value, type):
            if issubclass(container.value, Object):
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
            if isinstance(value, Static) and isinstance(value.value, type):
                if issubclass(value.value, Object):
                    return self.whole(value.value)
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
            if isinstance(value, Static) and isinstance(value.value, type):
                if issubclass(value.value, Object):
                    return Static(self.kinds.count(value.value))
            kind = self.kind_of(value)
            if isinstance(kind, SetKind) and isinstance(value, Dyn):
                form = {"span": "span_len", "list": "list_len", "bits": "popcount"}
                count = ir.Unary(form[self.kinds.form(kind)], value.expr)
                return self.temp(count, NUMBER, "len")
        return super().fold_builtin(name, node)

    def subscript(self, node: ast.Subscript, base_node: ast.expr, index: ast.expr) -> Value:
        """``base[index]``; the elements of a span are numbered."""
        base = self.reference(base_node) if isinstance(base_node, (ast.Name, ast.Attribute)) else None
        if isinstance(base, Dyn) and isinstance(base.kind, SetKind) and base.kind.element:
            if self.kinds.form(base.kind) == "span":
                at = self._number(self.evaluate(index))
                first = ir.Unary("span_first", base.expr)
                moved = simplify(ir.Binary("add", first, at.expr))
                return self.temp(moved, base.kind.element, "element")
        return super().subscript(node, base_node, index)

    def do_choose(self, node: ast.Call) -> Value:
        """choose(): by chance, all alike."""
        if len(node.args) == 1:
            value = self.evaluate(node.args[0])
            if isinstance(value, Static) and isinstance(value.value, type):
                if issubclass(value.value, Object):
                    kind: Kind = self.kinds.object(value.value)
                    return self._random(ZERO, ir.Const(kind.size), kind)
            own = self.kind_of(value)
            if isinstance(own, SetKind) and own.element and self.kinds.form(own) == "span":
                whole = self.temp(self.widen(value, own), own, "from")
                first = ir.Unary("span_first", whole.expr)
                return self._random(first, ir.Unary("span_len", whole.expr), own.element)
        return super().do_choose(node)

    def _random(self, first: ir.Expr, count: ir.Expr, kind: Kind) -> Dyn:
        reg = self.register("chosen", NUMBER)
        self.emit(Extern("random", (count,), (1,), reg))
        return self.temp(simplify(ir.Binary("add", first, ir.Reg(reg))), kind, "chosen")

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
            self._for_known(node, value)
            return

        def body(item: Value) -> None:
            self.bind_target(node.target, item)
            self.run_statements(node.body)

        self.loop_over(value, node, self.assigned_in(typing.cast(Any, node)), body)

    def _for_known(self, node: ast.For, value: Value) -> None:
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

    def loop_over(
        self, value: Value, node: ast.AST, carried: list[str], body: Callable[[Value], None]
    ) -> None:
        """Run ``body`` for each item; ``carried`` names what it may change."""
        kinds = {key: self.loop_kind(key) for key in carried}
        dropped: set[str] = set()
        start = self.snapshot()
        effects, env = self.effects, dict(self.env)
        cursor, test, item, advance = self._cursor(value)
        started = dict(self.env)
        while True:
            self.effects = effects
            grown, changed = self._try_loop(
                node, kinds, dropped, cursor, test, item, advance, body
            )
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
        del started
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
        if key in kinds and isinstance(kinds[key], IntKind) and after is not None:
            if isinstance(self.kind_of(after), (IntKind, BoolKind)):
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


def _narrow(value: Value) -> Value:
    """A number as if it were in the range of a field: wider ones would be refused."""
    if isinstance(value, Dyn) and isinstance(value.kind, IntKind):
        lo, hi = value.kind.lo, value.kind.hi
        if lo < 0 or hi > WIDE:
            return Dyn(value.expr, NUMBER)
    return value


__all__ = [
    "NUMBER", "Enter", "Extern", "Large", "LargeKinds", "LargeSpace", "Leave", "LockKind",
    "NoneKind", "Numbered", "Parameter", "Region", "RwSemKind", "Span", "same",
]  # fmt: skip
