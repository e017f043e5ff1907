"""The state of a compilation: the unit shared by all threads, and the graph being built.

The environment maps each local name of each active call to a value. Names are bound to values, not
to registers: constants are propagated, and where ways with different values meet, a fresh
register takes them.
"""

from __future__ import annotations

import ast
import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.cfg import Activation, Cut, MBlock, MBranch, MChoice, MJump, Register, Step
from shootdown.lang.decorators import Function
from shootdown.lang.kinds import (
    BoolKind,
    EnumKind,
    IntKind,
    Kind,
    Kinds,
    NoneKind,
    ObjectKind,
    OptKind,
    SetKind,
    WordKind,
)
from shootdown.lang.order import Memory, StoreBuffer
from shootdown.lang.shapes import PROCESS, Naming
from shootdown.lang.source import Source
from shootdown.lang.space import StateSpace
from shootdown.lang.types import Object, Word, population
from shootdown.lang.values import (
    Dyn,
    FieldV,
    PlaceV,
    RecordV,
    SemSideV,
    Static,
    Text,
    TupleV,
    Value,
)

MAX_CALL_DEPTH = 60
CRITICAL = "!"  # begins the environment's names of critical sections: is the lock left out?
HARMLESS = (ir.Set, ir.Cover, ir.Note)  # operations that may run although their value is not used


class NotEagerError(Exception):
    """Raised inside :meth:`Builder.eager` where a branch, a step or a check would be needed."""


@dataclass(frozen=True)
class Site:
    """A flush, lock, counter update, barrier or acknowledgement that a mutant can leave out."""

    id: str  # "memory.py:120 flush_tlb_mm_range"
    role: str
    text: str
    location: ir.Location


@dataclass
class Unit:
    """What all threads, rules and properties of one scenario share while they are compiled."""

    kinds: Kinds
    space: StateSpace
    options: Mapping[str, Any]
    observers: tuple[Function[..., Any], ...]
    without: frozenset[str]
    failures: list[ir.Failure] = field(default_factory=list)
    lines: dict[tuple[str, int], int] = field(default_factory=dict)
    line_locations: list[ir.Location] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    failure_numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    used_options: dict[str, Any] = field(default_factory=dict)
    evaluated: int = 0  # expressions
    cuts: list[Cut] = field(default_factory=list)  # of the threads that are compiled
    looked: set[int] = field(default_factory=set)  # variables that rules and properties look at
    flags: dict[tuple[int, int], int] = field(default_factory=dict)
    """Variables that say whether a thread stands where it may look at a variable, by both."""
    asked: bool = False  # somebody wants to know who looks

    def __post_init__(self) -> None:
        self.memory = Memory(self.space, self.options)
        self.used_options.update(self.memory.options)

    def failure(self, kind: ir.FailureKind, name: str, message: str, at: ir.Location) -> int:
        """The number of a failure."""
        key = (kind, name, message, at)
        if key not in self.failure_numbers:
            self.failure_numbers[key] = len(self.failures)
            self.failures.append(ir.Failure(kind, name, message, at))
        return self.failure_numbers[key]

    def flag(self, process: int, variable: int) -> int:
        """The variable that says whether a thread stands before a step that may look at another
        variable. It follows from where the thread stands; but a bit that few steps change tells
        more about what is still to come."""
        key = (process, variable)
        if key not in self.flags:
            looked = self.space.variables[variable]
            naming = looked.naming
            self.flags[key] = self.space.scalar(
                f"thread {process} looks at {looked.name}", 2, 0, None, hidden=True,
                naming=Naming(f"looks {naming.family}", ((PROCESS, process), *naming.keys)),
            )  # fmt: skip
        return self.flags[key]

    def line(self, at: ir.Location) -> int:
        """The number of a source line, for coverage."""
        key = (at.file, at.line)
        if key not in self.lines:
            self.lines[key] = len(self.line_locations)
            self.line_locations.append(at)
        return self.lines[key]


@dataclass
class Exit:
    """A way out of a construct, waiting to be joined with others."""

    block: MBlock
    env: dict[str, Value]
    value: Value | None = None


@dataclass
class Frame:
    """One function being compiled."""

    source: Source
    activation: Activation
    locals: set[str]
    call: ast.AST | None = None  # in the caller
    returns: list[Exit] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)  # locks of the with statements we are in
    loops: list[Loop] = field(default_factory=list)

    def key(self, name: str) -> str:
        """The environment's name for a local of this call."""
        return f"{self.activation.serial}.{name}"


@dataclass
class Loop:
    """A loop being compiled."""

    breaks: list[Exit] = field(default_factory=list)
    continues: list[Exit] = field(default_factory=list)
    held: int = 0


class Builder:
    """Grows one graph. Everything that reads or writes shared state goes through ``step``."""

    def __init__(self, unit: Unit, name: str, process: int, on: Object | None) -> None:
        self.unit = unit
        self.name = name
        self.process = process
        self.on = on
        self.registers: list[Register] = [Register("result", BoolKind())]
        self.entry = MBlock()
        self.exit = MBlock()
        self.block: MBlock | None = self.entry
        self.env: dict[str, Value] = {}
        self.frames: list[Frame] = []
        self.serials = 0
        self.atomic_depth = 0
        self.helper: ModelError | None = None  # what to say if a @path called in a step takes one
        self.waiting = False  # inside wait_until: one access, in the step already begun
        self.starting = False  # this makes the initial state
        self.trying = 0  # inside eager(): give up at the first thing that is not harmless
        self.clashes: dict[str, str] = {}  # names without one kind, and the kinds that met
        self.guard: Function[..., Any] | None = None
        self.pending_cover: list[int] = []  # lines begun, to be covered by the next operation
        self.steps_made = 0
        self.begun: Step | None = None
        self.reads_made = 0

    # ------------------------------------------------------------------ errors

    @property
    def frame(self) -> Frame:
        """The innermost call."""
        return self.frames[-1]

    def error(self, node: ast.AST, message: str, hint: str | None = None) -> ModelError:
        """An error at the user's own line."""
        return self.frame.source.error(node, message, hint)

    def unknown(
        self, node: ast.AST, owner: str, what: str, name: str, known: Iterable[str]
    ) -> ModelError:
        """The error for a field or member that there is not."""
        names = list(known)
        close = difflib.get_close_matches(name, names, 1)
        rest = f"its {what}s: {', '.join(names)}" if names else None
        hint = f"did you mean '{close[0]}'?" if close else rest
        return self.error(node, f"{owner} has no {what} '{name}'", hint)

    def at(self, node: ast.AST) -> ir.Location:
        """Where a node is."""
        return self.frame.source.location(node)

    # ------------------------------------------------------------------ blocks and operations

    def register(self, name: str, kind: Kind, *, named: bool = False) -> int:
        """A new register; ``named`` by the user."""
        self.registers.append(Register(name, kind, named))
        return len(self.registers) - 1

    def _cover(self) -> None:
        if self.block is not None:
            self.block.ops += [ir.Cover(line) for line in self.pending_cover]
            self.pending_cover = []

    def emit(self, op: Any) -> None:
        """Add an operation to the present block (dropped in unreachable code)."""
        if self.block is None:
            return
        if self.trying and not isinstance(op, HARMLESS):
            raise NotEagerError
        if not isinstance(op, ir.Guard):
            self._cover()
        self.block.ops.append(op)

    def temp(self, expr: ir.Expr, kind: Kind, name: str = "tmp", *, named: bool = False) -> Dyn:
        """The value in a register of its own (constants and registers stay as they are)."""
        if isinstance(expr, (ir.Const, ir.Reg)):
            return Dyn(expr, kind)
        reg = self.register(name, kind, named=named)
        self.emit(ir.Set(reg, expr))
        return Dyn(ir.Reg(reg), kind)

    def jump(self, target: MBlock) -> None:
        """End the present block."""
        if self.block is not None:
            self._cover()
            self.block.end = MJump(target)
        self.block = None

    def branch(self, condition: ir.Expr) -> tuple[MBlock, MBlock]:
        """Split: the blocks where the condition holds and where it does not."""
        if self.trying:
            raise NotEagerError
        then, orelse = MBlock(), MBlock()
        if self.block is not None:
            self._cover()
            self.block.end = MBranch(condition, then, orelse)
        self.block = None
        return then, orelse

    def choice(self, mask: ir.Expr, width: int, kind: Kind, name: str = "choice") -> Dyn:
        """Split into one way for each bit of a mask."""
        if self.trying:
            raise NotEagerError
        reg = self.register(name, kind)
        target = MBlock()
        if self.block is not None:
            self._cover()
            self.block.end = MChoice(reg, mask, width, target)
            self.block = target
        return Dyn(ir.Reg(reg), kind)

    def step(self, node: ast.AST, kind: str, text: str) -> None:
        """Begin the next step, unless we are inside an atomic action."""
        if self.helper is not None:
            raise self.helper
        if self.atomic_depth or self.waiting:
            return
        if self.block is None:
            return
        if self.trying:
            raise NotEagerError
        self.steps_made += 1
        pending, self.pending_cover = self.pending_cover, []
        self.begun = Step(kind, text, self.at(node), self.frame.activation, self.steps_made)
        block = MBlock(step=self.begun)
        self.jump(block)
        self.block = block
        if self.guard is not None:
            self.run_guard()
        self.pending_cover = pending

    @property
    def buffer(self) -> StoreBuffer | None:
        """The store buffer that plain accesses of the present code go through, if any."""
        if self.process < 0 or self.atomic_depth:
            return None
        owner = self.on if self.on is not None else self.process
        name = (
            self.name
            if self.on is None
            else self.unit.kinds.object(type(self.on)).show(self.on.index)
        )
        return self.unit.memory.buffer(owner, name)

    def fence(self) -> None:
        """Let the present step wait until the CPU's stores have reached memory."""
        buffer = self.buffer
        if buffer is not None:
            self.emit(ir.Guard(self.unit.memory.empty(buffer)))

    def run_guard(self) -> None:
        """Put the thread's ``when`` before the step."""
        raise NotImplementedError

    def label(self, text: Text, place: PlaceV | FieldV | None = None) -> None:
        """Say what the step does; an access to ghost state is not worth a word."""
        if isinstance(place, FieldV):
            place = place.base
        if self.waiting:
            return  # the wait has its own label
        if not self.atomic_depth and not (place is not None and place.ghost):
            self.emit(ir.Note(ir.NoteKind.LABEL, text.template, text.values))

    def check(
        self, condition: ir.Expr, kind: ir.FailureKind, name: str, message: str, node: ast.AST
    ) -> None:
        """End the search with a failure unless the condition holds."""
        if isinstance(condition, ir.Const) and condition.value:
            return
        self.emit(ir.Check(condition, self.unit.failure(kind, name, message, self.at(node))))

    # ------------------------------------------------------------------ joining ways

    def leave(self, value: Value | None = None) -> Exit | None:
        """Suspend the present way; ``None`` if it cannot be reached."""
        if self.block is None:
            return None
        self._cover()
        exit_ = Exit(self.block, dict(self.env), value)
        self.block = None
        return exit_

    def join(self, exits: Iterable[Exit | None], node: ast.AST | None = None) -> Value | None:
        """Go on where several ways meet; the joined value, if they carry one.

        ``node`` is where values that do not agree are reported (default: the function).
        """
        ways = [exit_ for exit_ in exits if exit_ is not None]
        if not ways:
            self.block = None
            return None
        if len(ways) == 1:
            self.block, self.env = ways[0].block, dict(ways[0].env)
            return ways[0].value
        self._align_sections(ways)
        first, *others = [way.env for way in ways]
        env: dict[str, Value] = {}
        for name, known in first.items():
            values = [known]
            changed = False
            for other in others:
                if name not in other:
                    break
                values.append(other[name])
                changed = changed or other[name] is not known
            if len(values) != len(ways):
                continue
            if not changed:
                env[name] = known
                continue
            joined = self._phi(values, ways, name.split(".")[-1])
            if joined is not None:
                env[name] = joined
            else:
                self.clashes[name] = descriptions(values)
        value: Value | None = None
        if all(way.value is not None for way in ways):
            value = self._phi([way.value for way in ways if way.value is not None], ways, "result")
            if value is None:
                shown = descriptions([way.value for way in ways])
                raise self.error(
                    node or self.frame.source.tree,
                    f"the values that meet here do not agree: {shown}",
                )
        target = MBlock()
        for way in ways:
            way.block.end = MJump(target)
        self.block, self.env = target, env
        return value

    def _align_sections(self, ways: list[Exit]) -> None:
        """In a mutant: a way that did not begin a critical section has left out no lock of it."""
        if self.unit.without:
            for name in [name for way in ways for name in way.env if name.startswith(CRITICAL)]:
                for way in ways:
                    way.env.setdefault(name, Static(False))

    def _phi(self, values: list[Value], ways: list[Exit], name: str) -> Value | None:
        first = values[0]
        if all(same(value, first) for value in values[1:]):
            return first
        if isinstance(first, TupleV):
            return self._phi_tuples(values, ways, name)
        kind = join_kinds([self.kind_of(value) for value in values])
        if kind is None or (isinstance(kind, SetKind) and kind.element is None):
            return Static(frozenset()) if kind is not None else None
        reg = self.register(name, kind, named=name != "result")
        for value, way in zip(values, ways, strict=True):
            way.block.ops.append(ir.Set(reg, self.widen(value, kind)))
        return Dyn(ir.Reg(reg), kind)

    def _phi_tuples(self, values: list[Value], ways: list[Exit], name: str) -> Value | None:
        """Tuples of one length meet item by item."""
        tuples = [value for value in values if isinstance(value, TupleV)]
        if len({len(value.items) for value in tuples}) != 1 or len(tuples) != len(values):
            return None
        items = [
            self._phi(list(column), ways, name)
            for column in zip(*(value.items for value in tuples), strict=True)
        ]
        joined = tuple(item for item in items if item is not None)
        return TupleV(joined) if len(joined) == len(items) else None

    # ------------------------------------------------------------------ values and kinds

    def kind_of(self, value: Value) -> Kind | None:
        """The kind of a scalar value, or ``None`` for anything else."""
        if isinstance(value, Dyn):
            return value.kind
        if isinstance(value, Static):
            return self.static_kind(value.value)
        return None

    def static_kind(self, value: Any) -> Kind | None:
        """The kind of a Python value."""
        if value is None:
            return NoneKind()
        if isinstance(value, bool):
            return BoolKind()
        if isinstance(value, int):
            return IntKind(value, value)
        if isinstance(value, enum.Enum):
            return EnumKind(type(value))
        if isinstance(value, Object):
            return self.unit.kinds.object(type(value))
        if isinstance(value, Word):
            return self.unit.kinds.word(type(value))
        if isinstance(value, (set, frozenset)):
            if not value:
                return SetKind(None)
            element = join_kinds([self.static_kind(v) for v in value])
            return None if element is None else SetKind(element)
        return None

    def widen(self, value: Value, kind: Kind) -> ir.Expr:
        """A value as an expression of a kind that is known to include it."""
        if isinstance(value, Static):

            def where(message: str) -> ModelError:
                return ModelError(message)

            if isinstance(value.value, bool) and isinstance(kind, IntKind):
                return ir.Const(int(value.value))
            if isinstance(kind, SetKind) and not value.value:
                return ir.Const(0)
            return ir.Const(self.unit.kinds.encode(value.value, kind, where))
        assert isinstance(value, Dyn)
        if isinstance(kind, OptKind) and not isinstance(value.kind, OptKind):
            if isinstance(value.kind, NoneKind):
                return ir.Const(0)
            return add(self.widen(value, kind.inner), 1)
        if isinstance(kind, SetKind) and isinstance(kind.element, OptKind):
            own = value.kind.element if isinstance(value.kind, SetKind) else None
            if own is not None and not isinstance(own, (OptKind, NoneKind)):
                return ir.Binary("shl", value.expr, ir.Const(1))
        return value.expr


def add(expr: ir.Expr, number: int) -> ir.Expr:
    """``expr + number``, folded."""
    if isinstance(expr, ir.Const):
        return ir.Const(expr.value + number)
    return ir.Binary("add", expr, ir.Const(number))


def article(kind: Kind) -> str:
    """A kind with ``a`` or ``an``."""
    name = str(kind)
    return ("an " if name[0].lower() in "aeiou" or name == "RwSem" else "a ") + name


def counted(number: int, noun: str) -> str:
    """``1 argument``, ``2 arguments``."""
    return f"{number} {noun}" + "s" * (number != 1)


def descriptions(values: Iterable[Value | None]) -> str:
    """The different kinds of some values, in words."""
    return " and ".join(sorted({describe(value) for value in values}))


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same at compile time (``True`` and ``1`` are not)."""
    if isinstance(one, Static) and isinstance(other, Static):
        try:
            return type(one.value) is type(other.value) and bool(one.value == other.value)
        except TypeError:
            return one.value is other.value
    if isinstance(one, TupleV) and isinstance(other, TupleV):
        return len(one.items) == len(other.items) and all(
            same(a, b) for a, b in zip(one.items, other.items, strict=True)
        )
    if isinstance(one, (RecordV, SemSideV, PlaceV, FieldV, Dyn)):
        return one == other
    return False


def describe(value: Value | None) -> str:
    """A value's kind in words, for error messages."""
    if isinstance(value, Dyn):
        return str(value.kind)
    if isinstance(value, Static):
        if isinstance(value.value, enum.Enum):
            return str(value.value)
        name = getattr(value.value, "__name__", None) if callable(value.value) else None
        return name or getattr(value.value, "name", None) or repr(value.value)
    if isinstance(value, TupleV):
        return "(" + ", ".join(describe(item) for item in value.items) + ")"
    if isinstance(value, PlaceV):
        return f"the shared {value.text.render()} ({value.kind})"
    if isinstance(value, FieldV):
        return f"the shared {value.text.render()} ({value.field.kind})"
    if isinstance(value, RecordV):
        return f"a {value.cls.__name__} record"
    return "nothing" if value is None else "one side of an RwSem"


def join_kinds(kinds: list[Kind | None]) -> Kind | None:
    """The smallest kind that includes all, or ``None`` if there is none."""
    joined = kinds[0]
    for kind in kinds[1:]:
        joined = None if joined is None or kind is None else join_two(joined, kind)
    return joined


def join_two(one: Kind, other: Kind) -> Kind | None:
    """The smallest kind that includes both."""
    if one == other:
        return one
    if isinstance(one, (BoolKind, IntKind)) and isinstance(other, (BoolKind, IntKind)):
        (a, b), (c, d) = bounds(one), bounds(other)
        return IntKind(min(a, c), max(b, d))
    if isinstance(one, SetKind) and isinstance(other, SetKind):
        if one.element is None or other.element is None:
            return one if other.element is None else other
        element = join_two(one.element, other.element)
        return element if element is None else SetKind(element)
    if isinstance(one, ObjectKind) and isinstance(other, ObjectKind):
        if population(one.cls) is population(other.cls):
            return one if issubclass(other.cls, one.cls) else other
        return None
    if isinstance(one, NoneKind):
        return other if isinstance(other, OptKind) else optional(other)
    if isinstance(other, NoneKind):
        return join_two(other, one)
    if isinstance(one, OptKind) or isinstance(other, OptKind):
        inner = join_two(
            one.inner if isinstance(one, OptKind) else one,
            other.inner if isinstance(other, OptKind) else other,
        )
        return optional(inner)
    return None


def optional(inner: Kind | None) -> Kind | None:
    """``inner | None``; there is none for integers below 0, which have no encoding of their own."""
    if inner is None or (isinstance(inner, IntKind) and inner.lo < 0):
        return None
    return OptKind(inner)


def bounds(kind: Kind) -> tuple[int, int]:
    """The least and greatest number of a flag or integer kind."""
    if isinstance(kind, IntKind):
        return kind.lo, kind.hi
    return 0, 1


def fits(kind: Kind, target: Kind) -> bool:
    """Whether every value of ``kind`` is one of ``target``."""
    joined = join_two(kind, target)
    if isinstance(target, IntKind) and isinstance(joined, IntKind):
        return joined.lo >= target.lo and joined.hi <= target.hi
    return joined == target or (
        isinstance(target, ObjectKind)
        and isinstance(joined, ObjectKind)
        and population(joined.cls) is population(target.cls)
    )


def is_word(kind: Kind | None) -> bool:
    """Whether a kind is a word."""
    return isinstance(kind, WordKind)
