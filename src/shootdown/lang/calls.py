"""Calls: inlined model functions, intrinsics, builtins, methods of sets and locks."""

from __future__ import annotations

import ast
import enum
import string
import types
import typing
from typing import Any

from shootdown.lang import ir
from shootdown.lang.accesses import extract
from shootdown.lang.builder import MAX_CALL_DEPTH, Frame, Site, bounds, describe, join_kinds
from shootdown.lang.cfg import Activation, CallNote
from shootdown.lang.decorators import Function
from shootdown.lang.expressions import Expressions, as_bool, combine, simplify
from shootdown.lang.intrinsics import INTRINSICS
from shootdown.lang.kinds import (
    ArrayKind,
    BoolKind,
    IntKind,
    LockKind,
    ObjectKind,
    OptKind,
    RwSemKind,
    SetKind,
    WordKind,
)
from shootdown.lang.source import Source, source_of
from shootdown.lang.types import Object, Record, Word, _RefMarker, population
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
    escape,
)

COUNTERS = {"atomic_inc": 1, "atomic_dec": -1, "atomic_inc_return": 1, "atomic_dec_return": -1}
BARRIERS = ("smp_mb", "smp_rmb", "smp_wmb")
ROLES = {
    "atomic_inc": "counter", "atomic_dec": "counter", "atomic_add": "counter", "atomic_sub": "counter",
    "smp_mb": "barrier", "smp_rmb": "barrier", "smp_wmb": "barrier",
}  # fmt: skip


class Calls(Expressions):
    """Evaluates calls."""

    def run_statements(self, statements: list[ast.stmt]) -> None:
        """Compile statements; see ``statements.py``."""
        raise NotImplementedError

    # ------------------------------------------------------------------ which call

    def call(self, node: ast.Call) -> Value:
        """A call expression."""
        if isinstance(node.func, ast.Attribute):
            method = self.method(node, node.func)
            if method is not None:
                return method
        target = self.reference(node.func)
        if not isinstance(target, Static):
            raise self.error(node, f"{describe(target)} cannot be called")
        function = target.value
        if isinstance(function, Function):
            return self.call_function(function, node)
        if isinstance(function, types.FunctionType) and function in INTRINSICS:
            return self.intrinsic(INTRINSICS[function], node)
        if isinstance(function, type):
            if issubclass(function, Word):
                return self.construct(function, self.keywords(node), node)
            if issubclass(function, Record):
                return self.new_record(function, node)
            if issubclass(function, Object):
                return self.object_at(function, node)
        if function is typing.cast:
            return self.cast(node)
        if getattr(function, "__module__", None) == "builtins":
            return self.builtin(function.__name__, node)
        name = getattr(function, "__name__", describe(target))
        if isinstance(function, types.FunctionType):
            raise self.error(
                node, f"{name}() is plain Python", f"decorate {name} with @path or @atomic"
            )
        raise self.error(node, f"{name} cannot be called in a model")

    def cast(self, node: ast.Call) -> Value:
        """``cast(Folio, frame)``: the same object, seen as another class of its population."""
        self.arity(node, "cast", 2)
        target, value = self.reference(node.args[0]), self.evaluate(node.args[1])
        kind = self.kind_of(value)
        if isinstance(target, Static) and isinstance(target.value, type):
            cls = target.value
            if issubclass(cls, Object) and isinstance(kind, ObjectKind | OptKind):
                pointer = self.pointer(value, node)
                if population(cls) is population(typing.cast(ObjectKind, pointer.kind).cls):
                    if isinstance(pointer.expr, ir.Const):
                        return Static(cls(pointer.expr.value))
                    return Dyn(pointer.expr, self.unit.kinds.object(cls))
        raise self.error(node, f"{describe(value)} cannot be seen as {describe(target)}")

    def keywords(self, node: ast.Call) -> dict[str, Value]:
        """Keyword arguments only (words and records are built by field name)."""
        if node.args:
            raise self.error(node, "fields are given by name", "write Pte(present=True)")
        return {self._keyword(k, node): self.evaluate(k.value) for k in node.keywords}

    def _keyword(self, keyword: ast.keyword, node: ast.AST) -> str:
        if keyword.arg is None:
            raise self.error(node, "'**' is outside the language", "write the arguments out")
        return keyword.arg

    def object_at(self, cls: type[Object], node: ast.Call) -> Value:
        """``Cpu(0)``."""
        index = self.argument(node, 0, "index")
        if isinstance(index, Static) and isinstance(index.value, int):
            self.pointer(Static(cls(index.value)), node)
            return Static(cls(index.value))
        kind = self.unit.kinds.object(cls)
        return Dyn(self.coerce(index, IntKind(0, kind.count - 1), node), kind)

    def argument(self, node: ast.Call, position: int, name: str) -> Value:
        """A positional argument's value."""
        if len(node.args) <= position:
            raise self.error(node, f"argument {position + 1} ({name}) is missing")
        return self.evaluate(node.args[position])

    def new_record(self, cls: type[Record], node: ast.Call) -> Value:
        """``Gather()``: fields as locals of this thread."""
        self.serials += 1
        prefix = f"#{self.serials}"
        given = self.keywords(node)
        decls = self.unit.kinds.record_fields(cls)
        for name, decl in decls.items():
            value: Value = Dyn(ir.Const(decl.init), decl.kind)
            if name in given:
                value = Dyn(self.coerce(given.pop(name), decl.kind, node), decl.kind)
            self.env[f"{prefix}.{name}"] = value
        if given:
            raise self.error(node, f"{cls.__name__} has no field '{next(iter(given))}'")
        return RecordV(cls, prefix)

    # ------------------------------------------------------------------ model functions

    def call_function(self, function: Function[..., Any], node: ast.Call) -> Value:
        """A call of a path or atomic function."""
        if function.kind in ("rule", "on_write", "invariant", "goal"):
            if not self.atomic_depth or function.kind in ("rule", "on_write"):
                raise self.error(
                    node, f"{function.name} is a @{function.kind}: it cannot be called from here"
                )
        if function.kind == "path" and self.atomic_depth:
            raise self.error(
                node, f"{function.name} is a @path of several steps, called from one atomic step",
                "decorate it with @atomic, or call it from a path",
            )  # fmt: skip
        source = source_of(function)
        arguments = self.bind_arguments(function, source, node)
        if function.kind != "path" and not self.atomic_depth:
            self.step(node, "atomic", function.name)
            return self.inline(function, source, arguments, node, atomic=True, labelled=True)
        return self.inline(function, source, arguments, node, atomic=function.kind != "path")

    def bind_arguments(
        self, function: Function[..., Any], source: Source, node: ast.Call
    ) -> dict[str, Value]:
        """Evaluate arguments for parameters: places for ``Ref`` parameters, values otherwise."""
        parameters = source.tree.args
        if parameters.vararg or parameters.kwarg:
            raise source.error(source.tree, "*args and **kwargs are outside the language")
        names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        only = [a.arg for a in parameters.kwonlyargs]
        if len(node.args) > len(names):
            raise self.error(
                node, f"{function.name}() takes {len(names)} arguments, not {len(node.args)}"
            )
        nodes: dict[str, ast.expr] = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            name = self._keyword(keyword, node)
            if name not in names and name not in only:
                raise self.error(node, f"{function.name}() has no parameter '{name}'")
            if name in nodes:
                raise self.error(node, f"{function.name}() gets '{name}' twice")
            nodes[name] = keyword.value
        refs = reference_parameters(function)
        values: dict[str, Value] = {}
        for name, argument in nodes.items():
            values[name] = self.reference(argument) if name in refs else self.evaluate(argument)
            if name in refs and not isinstance(values[name], (PlaceV, FieldV)):
                raise self.error(
                    argument, f"parameter '{name}' of {function.name}() is a Ref: it takes shared state"
                )
            if name in only and not isinstance(values[name], (Static, TupleV)):
                raise self.error(
                    argument, f"option '{name}' of {function.name}() must be known when compiling"
                )
        return self.with_defaults(function, values, names + only, node)

    def with_defaults(
        self, function: Function[..., Any], values: dict[str, Value], names: list[str], node: ast.AST
    ) -> dict[str, Value]:
        """Add defaults of parameters that were not given."""
        import inspect

        parameters = inspect.signature(function.source).parameters
        for name in names:
            if name not in values:
                default = parameters[name].default
                if default is inspect.Parameter.empty:
                    raise self.error(node, f"{function.name}() needs an argument for '{name}'")
                values[name] = self.outside(default, name, node)
        return values

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
        """Compile a function's body here."""
        if len(self.frames) > MAX_CALL_DEPTH:
            raise self.error(
                node, f"{function.name}() calls itself, or calls are more than {MAX_CALL_DEPTH} deep",
                "calls are inlined: use a loop",
            )  # fmt: skip
        self.serials += 1
        shown = self.call_text(function, arguments)
        parent = self.frames[-1].activation if self.frames else None
        location = source.location(source.tree)
        activation = Activation(self.serials, shown.render(), location, parent)
        atomic_before = self.atomic_depth
        if labelled:
            assert self.begun is not None  # the step was begun in the caller's name
            self.begun.activation = activation
        frame = Frame(source, activation, local_names(source))
        self.frames.append(frame)
        for name, value in arguments.items():
            self.env[frame.key(name)] = value
        self.atomic_depth += int(atomic)
        self.run_statements(source.tree.body)
        last = self.leave(Static(None))
        result = self.join([*frame.returns, last])
        self.atomic_depth = atomic_before
        self.frames.pop()
        prefix = f"{activation.serial}."
        self.env = {k: v for k, v in self.env.items() if not k.startswith(prefix)}
        result = Static(None) if result is None else result
        if parent is not None and self.block is not None and not atomic_before:
            text = shown
            if isinstance(result, Dyn) or (isinstance(result, Static) and result.value is not None):
                text = shown + " = " + self.shown(result)
            note = ir.Note(ir.NoteKind.LABEL, text.template, text.values)
            self.block.ops.append(CallNote(activation.serial, note))
        return result

    def call_text(self, function: Function[..., Any], arguments: dict[str, Value]) -> Text:
        """How a call is shown: its ``show`` with parameters filled in, or ``name()``."""
        if function.show is None:
            return Text(escape(function.name + "()"))
        text = Text("")
        for literal, name, _, _ in string.Formatter().parse(function.show):
            text = text + (literal or "")
            if name is not None:
                value = arguments.get(name)
                if value is None:
                    raise source_of(function).error(
                        source_of(function).tree,
                        f"show={function.show!r} names '{name}', which is not a parameter",
                    )
                text = text + self.argument_text(value)
        return text

    def argument_text(self, value: Value) -> Text:
        """An argument in a call's text."""
        if isinstance(value, (PlaceV, FieldV)):
            return value.text
        if isinstance(value, TupleV):
            text = Text("")
            for i, item in enumerate(value.items):
                text = text + (", " if i else "") + self.argument_text(item)
            return text
        return self.shown(value) if isinstance(value, (Static, Dyn)) else Text("..")

    def observe(self, function: Any, values: list[Value], node: ast.AST) -> None:
        """Run an ``@on_write`` function inside the present step."""
        source = source_of(function)
        names = [a.arg for a in source.tree.args.args]
        if len(names) != len(values):
            raise source.error(
                source.tree,
                f"{function.name} must take {len(values)} parameters: the object, the indices, "
                "old and new",
            )
        self.inline(function, source, dict(zip(names, values, strict=True)), node, atomic=True)

    def run_guard(self) -> None:
        """Put the thread's ``when`` before the step."""
        function = self.guard
        assert function is not None
        source = source_of(function)
        names = [a.arg for a in source.tree.args.args]
        arguments: dict[str, Value] = {names[0]: Static(self.on)} if names else {}
        self.guard = None
        self.atomic_depth += 1
        result = self.inline(function, source, arguments, source.tree, atomic=True)
        self.emit(ir.Guard(self.truth(result, source.tree)))
        self.atomic_depth -= 1
        self.guard = function

    # ------------------------------------------------------------------ mutants

    def site(self, node: ast.AST, role: str, text: str) -> bool:
        """Register a removable site; True if this mutant leaves it out."""
        if self.atomic_depth or self.process < 0:
            return False
        at = self.at(node)
        name = f"{at.file.rsplit('/', 1)[-1]}:{at.line} {text}"
        self.unit.sites.setdefault(name, Site(name, role, text, at))
        return name in self.unit.without

    def removed(self, node: ast.Call) -> bool:
        """Whether a call that stands as a statement is left out in this mutant."""
        try:
            target = self.reference(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else None
        except Exception:  # noqa: BLE001 - methods are not names; the call itself will complain
            return False
        if not isinstance(target, Static):
            return False
        function = target.value
        if isinstance(function, Function) and function.role:
            return self.site(node, function.role, f"{function.name}()")
        name = INTRINSICS.get(function) if isinstance(function, types.FunctionType) else None
        if name in ROLES:
            return self.site(node, ROLES[name], self.frame.source.segment(node))
        return False

    # ------------------------------------------------------------------ intrinsics

    def place_argument(self, node: ast.Call, name: str) -> PlaceV | FieldV:
        """The first argument as a place."""
        if not node.args:
            raise self.error(node, f"{name}() needs a place, such as mm.pte[page]")
        place = self.reference(node.args[0])
        if not isinstance(place, (PlaceV, FieldV)):
            raise self.error(
                node, f"{name}() works on shared state, not on {describe(place)}",
                "use the value itself",
            )  # fmt: skip
        return place

    def arity(self, node: ast.Call, name: str, count: int) -> None:
        """Check the number of arguments of an intrinsic."""
        if len(node.args) != count or (node.keywords and name != "replace"):
            plural = "" if count == 1 else "s"
            raise self.error(node, f"{name}() takes {count} argument{plural}, not {len(node.args)}")

    def intrinsic(self, name: str, node: ast.Call) -> Value:
        """An operation of the language."""
        handler = getattr(self, f"do_{name}", None)
        if handler is not None:
            value: Value = handler(node)
            return value
        none = Static(None)
        if name in BARRIERS:
            self.arity(node, name, 0)
            return none
        if name in ("READ_ONCE", "smp_load_acquire"):
            self.arity(node, name, 1)
            return self.read(self.place_argument(node, name), node, name)
        if name in ("WRITE_ONCE", "smp_store_release"):
            self.arity(node, name, 2)
            place = self.place_argument(node, name)
            self.write(place, self.evaluate(node.args[1]), node, name)
            return none
        if name in COUNTERS:
            self.arity(node, name, 1)
            return self.atomic_add(
                self.place_argument(node, name), Static(COUNTERS[name]), node, name
            )
        if name in ("atomic_add", "atomic_sub"):
            self.arity(node, name, 2)
            place = self.place_argument(node, name)
            amount = self.evaluate(node.args[1])
            if name == "atomic_sub":
                amount = self.arithmetic(Static(0), ast.Sub(), amount, node)
            return self.atomic_add(place, amount, node, name)
        if name == "atomic_dec_and_test":
            self.arity(node, name, 1)
            new = self.atomic_add(self.place_argument(node, name), Static(-1), node, name)
            return as_bool(simplify(ir.Binary("eq", new.expr, ir.Const(0))))
        if name in ("set_bit", "clear_bit", "test_and_set_bit", "test_and_clear_bit"):
            self.arity(node, name, 1)
            old = self.bit(self.place_argument(node, name), "set" in name, node, name)
            return old if name.startswith("test") else none
        return self.lock_intrinsic(name, node)

    def lock_intrinsic(self, name: str, node: ast.Call) -> Value:
        """spin_lock and its family."""
        self.arity(node, name, 1)
        place = self.place_argument(node, name)
        wanted = LockKind if name.startswith("spin") else RwSemKind
        if not isinstance(place, PlaceV) or not isinstance(place.kind, wanted):
            what = "a SpinLock" if wanted is LockKind else "an RwSem"
            raise self.error(node, f"{name}() needs {what}, not {place.text.render()}")
        if self.atomic_depth:
            raise self.error(node, f"{name}() inside an atomic step", "take locks in a path")
        if name == "spin_trylock":
            return self.trylock(place, node)
        if self.site(node, "lock", f"lock {place.text.render()}"):
            return Static(None)
        if name == "spin_lock":
            self.lock(place, node)
        elif name == "spin_unlock":
            self.unlock(place, node)
        else:
            self.semaphore(place, name, node)
        return Static(None)

    def do_xchg(self, node: ast.Call) -> Value:
        """xchg(place, value)."""
        self.arity(node, "xchg", 2)
        return self.exchange(self.place_argument(node, "xchg"), self.evaluate(node.args[1]), node)

    def do_cmpxchg(self, node: ast.Call) -> Value:
        """cmpxchg(place, old, new)."""
        self.arity(node, "cmpxchg", 3)
        place = self.place_argument(node, "cmpxchg")
        old, new = self.evaluate(node.args[1]), self.evaluate(node.args[2])
        return self.compare_exchange(place, old, new, node, "cmpxchg")[0]

    def do_try_cmpxchg(self, node: ast.Call) -> Value:
        """try_cmpxchg(place, old, new)."""
        self.arity(node, "try_cmpxchg", 3)
        place = self.place_argument(node, "try_cmpxchg")
        old, new = self.evaluate(node.args[1]), self.evaluate(node.args[2])
        return self.compare_exchange(place, old, new, node, "try_cmpxchg")[1]

    def do_wait_until(self, node: ast.Call) -> Value:
        """wait_until(condition): one guarded access."""
        self.arity(node, "wait_until", 1)
        text = self.frame.source.segment(node.args[0])
        if self.atomic_depth:
            raise self.error(node, "wait_until() inside an atomic step", "use when()")
        self.step(node, "wait", f"wait_until({text})")
        self.waiting = True
        before = 0 if self.block is None else sum(isinstance(o, ir.Set) for o in self.block.ops)
        condition = self.condition(node.args[0])
        self.waiting = False
        loads = 0
        if self.block is not None:
            loads = sum(
                isinstance(o, ir.Set) and isinstance(o.value, ir.Load) for o in self.block.ops
            )
        del before
        if loads > 1:
            raise self.error(
                node, "wait_until() may look at one shared variable; this condition reads more",
                "wait for one after the other",
            )  # fmt: skip
        if loads == 0 and self.block is not None and self.guard is None:
            raise self.error(node, "wait_until() needs a condition on shared state")
        self.emit(ir.Guard(condition))
        if self.block is not None:
            self.block.ops = [
                o for o in self.block.ops
                if not (isinstance(o, ir.Note) and o.kind is ir.NoteKind.LABEL)
            ]  # fmt: skip
        self.label(Text(escape(f"wait_until({text})")))
        return Static(None)

    def do_when(self, node: ast.Call) -> Value:
        """when(condition): the action is impossible otherwise."""
        self.arity(node, "when", 1)
        if not self.atomic_depth:
            raise self.error(node, "when() stands in atomic functions and rules", "use wait_until()")
        self.emit(ir.Guard(self.condition(node.args[0])))
        return Static(None)

    def do_choose(self, node: ast.Call) -> Value:
        """choose(...): any one."""
        if not node.args or node.keywords:
            raise self.error(node, "choose() needs something to choose from")
        if len(node.args) == 1:
            value = self.evaluate(node.args[0])
            if isinstance(value, Dyn) and isinstance(value.kind, SetKind):
                if value.kind.element is None:
                    raise self.error(node, "choose() from a set that is always empty")
                return self.choice(value.expr, value.kind.element.size, value.kind.element)
            options = list(self.iterate(value, node))
        else:
            options = [self.evaluate(a) for a in node.args]
        if not options:
            raise self.error(node, "choose() needs something to choose from")
        if len(options) == 1:
            return options[0]
        kind = join_kinds([self.kind_of(o) for o in options])
        if kind is None:
            raise self.error(node, "the values to choose from do not agree")
        picked = self.choice(
            ir.Const((1 << len(options)) - 1), len(options), IntKind(0, len(options) - 1)
        )
        chosen = self.widen(options[-1], kind)
        for i in range(len(options) - 2, -1, -1):
            is_i = ir.Binary("eq", picked.expr, ir.Const(i))
            chosen = ir.Select(is_i, self.widen(options[i], kind), chosen)
        return self.temp(chosen, kind, "choice")

    def do_event(self, node: ast.Call) -> Value:
        """event(text): a step of its own."""
        text = self.note_text(node)
        self.step(node, "event", text.render())
        self.emit(ir.Note(ir.NoteKind.LABEL, text.template, text.values))
        return Static(None)

    def do_note(self, node: ast.Call) -> Value:
        """note(text, values)."""
        text = self.note_text(node)
        self.emit(ir.Note(ir.NoteKind.NOTE, text.template, text.values))
        return Static(None)

    def do_mark(self, node: ast.Call) -> Value:
        """mark(text, values)."""
        text = self.note_text(node)
        self.emit(ir.Note(ir.NoteKind.MARK, text.template, text.values))
        return Static(None)

    def note_text(self, node: ast.Call) -> Text:
        """The text of a note: a constant with braces for values, or an f-string."""
        if node.args and isinstance(node.args[0], ast.JoinedStr) and len(node.args) == 1:
            text = Text("")
            for part in node.args[0].values:
                if isinstance(part, ast.Constant):
                    text = text + str(part.value)
                elif isinstance(part, ast.FormattedValue):
                    text = text + self.argument_text(self.evaluate(part.value))
            return text
        first = self.evaluate(node.args[0]) if node.args else None
        if not isinstance(first, Static) or not isinstance(first.value, str):
            raise self.error(node, "the first argument is a text in quotes")
        values = [self.evaluate(a) for a in node.args[1:]]
        text = Text("")
        used = 0
        try:
            pieces = list(string.Formatter().parse(first.value))
        except ValueError as error:
            raise self.error(node, f"this text cannot be formatted: {error}") from None
        for literal, name, _, _ in pieces:
            text = text + (literal or "")
            if name is not None:
                if used >= len(values):
                    raise self.error(node, "there are more braces than values")
                text = text + self.argument_text(values[used])
                used += 1
        if used < len(values):
            raise self.error(node, "there are more values than braces")
        return text

    def do_this(self, node: ast.Call) -> Value:
        """this(Cpu): the object that the thread runs on."""
        value = self.argument(node, 0, "a population")
        if not isinstance(value, Static) or not isinstance(value.value, type):
            raise self.error(node, "this() takes a population, as in this(Cpu)")
        if self.on is None or population(type(self.on)) is not population(value.value):
            raise self.error(
                node, f"this thread does not run on a {value.value.__name__}",
                "give Thread(..., on=Cpu(0)) in the scenario",
            )  # fmt: skip
        return Static(value.value(self.on.index))

    def do_replace(self, node: ast.Call) -> Value:
        """replace(word, field=value)."""
        self.arity(node, "replace", 1)
        word = self.evaluate(node.args[0])
        kind = self.kind_of(word)
        if not isinstance(kind, WordKind):
            raise self.error(node, f"replace() changes fields of a word, not of {describe(word)}")
        fields = {self._keyword(k, node): self.evaluate(k.value) for k in node.keywords}
        return self.with_fields(self.widen(word, kind), kind, fields, node)

    # ------------------------------------------------------------------ methods

    def method(self, node: ast.Call, func: ast.Attribute) -> Value | None:
        """A method of a set or lock; ``None`` if this is an ordinary call."""
        if func.attr not in ("add", "discard", "read", "write", "acquire", "release", "remove"):
            return None
        base = self.reference(func.value)
        kind = base.kind if isinstance(base, PlaceV) else None
        if isinstance(base, FieldV):
            kind = base.field.kind
        if isinstance(base, PlaceV) and isinstance(kind, RwSemKind) and func.attr in ("read", "write"):
            return SemSideV(base, func.attr == "write")
        if isinstance(base, (PlaceV, FieldV)) and isinstance(kind, SetKind):
            if func.attr not in ("add", "discard"):
                raise self.error(node, f"sets have add() and discard(), not {func.attr}()")
            self.arity(node, func.attr, 1)
            element = self.evaluate(node.args[0])
            if isinstance(base, FieldV) and not (self.atomic_depth or base.base.ghost):
                raise self.error(
                    node, "a set in a word cannot be changed alone", "write the whole word"
                )
            self.set_member(base, element, node, func.attr)
            return Static(None)
        if isinstance(kind, (LockKind, RwSemKind)):
            raise self.error(
                node, f"'{func.attr}' is not how locks are taken here",
                "write 'with lock:' or spin_lock(lock)",
            )  # fmt: skip
        own = self.kind_of(base) if not isinstance(base, (PlaceV, FieldV)) else None
        if isinstance(own, SetKind) and func.attr in ("add", "discard"):
            return self.local_set(node, func, base)
        return None

    def local_set(self, node: ast.Call, func: ast.Attribute, base: Value) -> Value:
        """``targets.add(cpu)`` where ``targets`` is a local or a record's field."""
        self.arity(node, func.attr, 1)
        element = self.evaluate(node.args[0])
        one = self.set_of([element], node)
        op: ast.operator = ast.BitOr() if func.attr == "add" else ast.Sub()
        self.assign_local(func.value, self.arithmetic(base, op, one, node), node)
        return Static(None)

    def assign_local(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """Bind a local name or a record's field."""
        raise NotImplementedError

    # ------------------------------------------------------------------ builtins

    def builtin(self, name: str, node: ast.Call) -> Value:
        """A Python builtin that has a meaning here."""
        if name in ("any", "all", "sum", "min", "max", "len") and len(node.args) == 1:
            return self.fold_builtin(name, node)
        if name in ("set", "frozenset", "tuple", "list") and not node.args:
            return Static(frozenset()) if "set" in name else TupleV(())
        values = [self.evaluate(a) for a in node.args]
        if node.keywords:
            raise self.error(node, f"{name}() takes no keyword arguments here")
        if name == "bool" and len(values) == 1:
            return as_bool(self.truth(values[0], node))
        if name == "int" and len(values) == 1:
            kind = self.kind_of(values[0])
            if isinstance(kind, (BoolKind, IntKind)):
                return Dyn(self.widen(values[0], kind), IntKind(*bounds(kind)))
        if name in ("min", "max") and len(values) > 1:
            return self.extreme(name, values, node)
        if name == "abs" and len(values) == 1 and isinstance(self.kind_of(values[0]), IntKind):
            negated = self.arithmetic(Static(0), ast.Sub(), values[0], node)
            return self.extreme("max", [values[0], negated], node)
        if name == "range" and all(isinstance(v, Static) for v in values) and values:
            return Static(range(*[v.value for v in values if isinstance(v, Static)]))
        if name == "enumerate" and len(values) == 1:
            items = self.iterate(values[0], node)
            return TupleV(tuple(TupleV((Static(i), v)) for i, v in enumerate(items)))
        if name == "zip":
            columns = [list(self.iterate(v, node)) for v in values]
            return TupleV(tuple(TupleV(row) for row in zip(*columns, strict=False)))
        if name == "reversed" and len(values) == 1:
            return TupleV(tuple(list(self.iterate(values[0], node))[::-1]))
        if name in ("tuple", "list", "sorted") and len(values) == 1:
            return TupleV(tuple(self.iterate(values[0], node)))
        if name in ("set", "frozenset") and len(values) == 1:
            return self.set_of(list(self.iterate(values[0], node)), node)
        if name == "range":
            raise self.error(node, "the bounds of range() must be known when compiling")
        raise self.error(node, f"{name}() is outside the language", "see docs/language.md")

    def extreme(self, name: str, values: list[Value], node: ast.AST) -> Value:
        """min and max of integers."""
        kind = join_kinds([self.kind_of(v) for v in values])
        if not isinstance(kind, (IntKind, BoolKind)):
            raise self.error(node, f"{name}() compares integers")
        result = self.widen(values[0], kind)
        for value in values[1:]:
            result = simplify(ir.Binary(name, result, self.widen(value, kind)))
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
            assert kind.element is not None
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
            return self.quantifier(name == "all", generator)
        total: list[Value] = [Static(0)]
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
            total[0] = self.arithmetic(total[0], ast.Add(), one, node)

        self.comprehend(generator.generators, ir.Const(1), add)
        if name in ("min", "max"):
            if not items:
                raise self.error(node, f"{name}() of nothing")
            return self.extreme(name, items, node)
        return total[0]

    def quantifier(self, conjunction: bool, generator: ast.GeneratorExp) -> Value:
        """any() and all()."""
        result: list[ir.Expr] = [ir.Const(int(conjunction))]

        def one(condition: ir.Expr) -> None:
            value = self.condition(generator.elt)
            if conjunction:
                value = combine("lor", simplify_not(condition), value)
                result[0] = combine("land", result[0], value)
            else:
                result[0] = combine("lor", result[0], combine("land", condition, value))

        def everything() -> ir.Expr:
            result[0] = ir.Const(int(conjunction))
            self.comprehend(generator.generators, ir.Const(1), one)
            return result[0]

        eager = self.eager(everything)
        if eager is not None:
            return as_bool(eager)
        return self.branching_quantifier(conjunction, generator)

    def branching_quantifier(self, conjunction: bool, generator: ast.GeneratorExp) -> Value:
        """any() and all() with a way out as soon as the answer is known."""
        found = []

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
                skipped = []
                for test in [member, *first.ifs]:
                    condition = self.condition(test) if isinstance(test, ast.expr) else test
                    skipped.append(self._skip_unless(condition))
                nest(generators[1:])
                self.join([*skipped, self.leave()])

        nest(generator.generators)
        done = self.leave(Static(conjunction))
        result = self.join([*found, done])
        return result if result is not None else Static(conjunction)

    def _exit_if(self, condition: ir.Expr, value: bool, found: list[Any]) -> None:
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

    def _skip_unless(self, condition: ir.Expr) -> Any:
        if isinstance(condition, ir.Const):
            return None if condition.value else self.leave()
        then, orelse = self.branch(condition)
        env = dict(self.env)
        self.block = orelse
        skipped = self.leave()
        self.block, self.env = then, env
        return skipped


def simplify_not(expr: ir.Expr) -> ir.Expr:
    """``not expr``, folded."""
    return ir.Const(1 - expr.value) if isinstance(expr, ir.Const) else ir.Unary("lnot", expr)


def reference_parameters(function: Function[..., Any]) -> set[str]:
    """The parameters annotated ``Ref[...]``."""
    try:
        hints = typing.get_type_hints(function.source, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    return {
        name
        for name, hint in hints.items()
        if any(isinstance(extra, _RefMarker) for extra in getattr(hint, "__metadata__", ()))
    }


def local_names(source: Source) -> set[str]:
    """The names that a function assigns."""
    names = {a.arg for a in (*source.tree.args.args, *source.tree.args.kwonlyargs)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


__all__ = ["ArrayKind", "Calls", "ObjectKind", "enum", "extract"]
