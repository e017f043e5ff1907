"""Calls: inlined model functions, constructors, methods of sets and locks."""

from __future__ import annotations

import ast
import functools
import inspect
import string
import types
import typing
from collections.abc import Mapping
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.builder import MAX_CALL_DEPTH, Frame, counted, describe
from shootdown.lang.cfg import Activation, CallNote
from shootdown.lang.decorators import Function
from shootdown.lang.intrinsics import INTRINSICS
from shootdown.lang.kinds import (
    IntKind,
    LockKind,
    ObjectKind,
    OptKind,
    RwSemKind,
    SetKind,
)
from shootdown.lang.locks import Locks
from shootdown.lang.operations import ROLES
from shootdown.lang.source import Source, source_of
from shootdown.lang.types import Object, Record, Ref, Word, population
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


class Calls(Locks):
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

    def object_at(self, cls: type[Object], node: ast.Call) -> Value:
        """``Cpu(0)``."""
        index = self.argument(node, 0, "index")
        if isinstance(index, Static) and isinstance(index.value, int):
            self.pointer(Static(cls(index.value)), node)
            return Static(cls(index.value))
        kind = self.unit.kinds.object(cls)
        text = f"{self.frame.source.segment(node)} does not exist: the scenario has {kind.count}"
        return Dyn(self.coerce(index, IntKind(0, kind.count - 1), node, f"{text} of them"), kind)

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
            raise self.unknown(node, cls.__name__, "field", next(iter(given)), decls)
        return RecordV(cls, prefix)

    # ------------------------------------------------------------------ model functions

    def call_function(self, function: Function[..., Any], node: ast.Call) -> Value:
        """A call of a path or atomic function."""
        hardware = function.kind in ("rule", "on_write")
        if hardware or (
            function.kind in ("invariant", "goal", "progress") and not self.atomic_depth
        ):
            raise self.error(
                node, f"{function.name} is a @{function.kind}: it cannot be called from here"
            )
        source = source_of(function)
        arguments = self.bind_arguments(function, source, node)
        if function.kind == "path" and self.atomic_depth and self.helper is None:
            return self.call_helper(function, source, arguments, node)
        if function.kind != "path" and self.helper is not None:
            raise self.helper
        if function.kind != "path" and not self.atomic_depth:
            self.step(node, "atomic", function.name)
            if function.fence:
                self.fence()
            return self.inline(function, source, arguments, node, atomic=True, labelled=True)
        return self.inline(function, source, arguments, node, atomic=function.kind != "path")

    def call_helper(
        self,
        function: Function[..., Any],
        source: Source,
        arguments: dict[str, Value],
        node: ast.Call,
    ) -> Value:
        """A @path that is called from an atomic step: it may compute, and take no step."""
        self.helper = self.error(
            node, f"{function.name} is a @path that takes steps, called from one atomic step",
            "decorate it with @atomic, or call it from a path",
        )  # fmt: skip
        result = self.inline(function, source, arguments, node, atomic=False)
        self.helper = None
        return result

    def bind_arguments(
        self, function: Function[..., Any], source: Source, node: ast.Call
    ) -> dict[str, Value]:
        """Evaluate arguments for parameters: places for ``Ref`` parameters, values otherwise."""
        parameters = source.tree.args
        if parameters.vararg or parameters.kwarg:
            raise source.error(
                source.tree, "*args and **kwargs are outside the language", "name the parameters"
            )
        names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
        only = [a.arg for a in parameters.kwonlyargs]
        if len(node.args) > len(names):
            raise self.error(
                node,
                f"{function.name}() takes {counted(len(names), 'argument')}, not {len(node.args)}",
            )
        nodes: dict[str, ast.expr] = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            name = self._keyword(keyword, node)
            if name not in names and name not in only:
                raise self.unknown(node, f"{function.name}()", "parameter", name, names + only)
            if name in nodes:
                raise self.error(node, f"{function.name}() gets '{name}' twice")
            nodes[name] = keyword.value
        refs = reference_parameters(function)
        values: dict[str, Value] = {}
        for name, argument in nodes.items():
            values[name] = self.reference(argument) if name in refs else self.evaluate(argument)
            if isinstance(values[name], Dyn):
                values[name] = self.local(values[name], name, argument)
            if name in refs and not isinstance(values[name], (PlaceV, FieldV)):
                raise self.error(
                    argument,
                    f"parameter '{name}' of {function.name}() is a Ref: it takes shared state",
                )
            if name in only and not isinstance(values[name], (Static, TupleV)):
                raise self.error(
                    argument, f"option '{name}' of {function.name}() must be known when compiling"
                )
        return self.with_defaults(function, values, names + only, node)

    def with_defaults(
        self,
        function: Function[..., Any],
        values: dict[str, Value],
        names: list[str],
        node: ast.AST,
    ) -> dict[str, Value]:
        """Add defaults of parameters that were not given."""
        defaults = parameter_defaults(function)
        for name in names:
            if name not in values:
                if name not in defaults:
                    raise self.error(node, f"{function.name}() needs an argument for '{name}'")
                values[name] = self.outside(defaults[name], name, node)
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
            raise self.too_deep(node)
        self.serials += 1
        shown = self.call_text(function, arguments)
        parent = self.frames[-1].activation if self.frames else None
        location = source.location(source.tree)
        site = self.at(node) if parent is not None else None
        activation = Activation(self.serials, shown.render(), location, parent, site)
        atomic_before = self.atomic_depth
        if labelled:
            assert self.begun is not None  # the step was begun in the caller's name
            self.begun.activation = activation
        frame = Frame(source, activation, set(local_names(source)), node)
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

    def too_deep(self, node: ast.AST) -> ModelError:
        """The error for too many calls in one another: at the call that closes a circle."""
        functions = [frame.source.function for frame in self.frames]
        for first, function in enumerate(functions):
            if function in functions[first + 1 :]:
                again = functions.index(function, first + 1)
                circle = " -> ".join(f"{f.name}()" for f in functions[first : again + 1])
                return self.frames[again - 1].source.error(
                    self.frames[again].call or node,
                    f"{function.name}() calls itself over and over: {circle}",
                    "calls are inlined: use a loop",
                )
        return self.error(node, f"calls are over {MAX_CALL_DEPTH} deep", "calls are inlined")

    def call_text(self, function: Function[..., Any], arguments: dict[str, Value]) -> Text:
        """How a call is shown: its ``show`` with parameters filled in, or ``name()``."""
        if function.show is None:
            return Text(escape(function.name + "()"))
        text = Text("")
        try:
            pieces = list(string.Formatter().parse(function.show))
        except ValueError as error:
            source = source_of(function)
            raise source.error(
                source.tree, f"show={function.show!r} cannot be formatted: {error}"
            ) from None
        for literal, name, _, _ in pieces:
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

    def removed(self, node: ast.Call) -> bool:
        """Whether a call that stands as a statement is left out in this mutant."""
        function = self.callee(node.func)
        if isinstance(function, Function) and function.role:
            return self.site(node, function.role, f"{function.name}()")
        name = INTRINSICS.get(function) if isinstance(function, types.FunctionType) else None
        if name in ROLES:
            return self.site(node, ROLES[name], self.frame.source.segment(node))
        return False

    def callee(self, node: ast.expr) -> Any:
        """What a call names, if that is a name of the file or of a module in it."""
        if isinstance(node, ast.Name) and node.id not in self.frame.locals:
            return self.frame.source.names.get(node.id)
        if isinstance(node, ast.Attribute):
            module = self.callee(node.value)
            if isinstance(module, types.ModuleType):
                return getattr(module, node.attr, None)
        return None

    # ------------------------------------------------------------------ methods

    def method(self, node: ast.Call, func: ast.Attribute) -> Value | None:
        """A method of a set or lock; ``None`` if this is an ordinary call."""
        if func.attr not in ("add", "discard", "read", "write", "acquire", "release", "remove"):
            return None
        base = self.reference(func.value)
        kind = base.kind if isinstance(base, PlaceV) else None
        if isinstance(base, FieldV):
            kind = base.field.kind
        if (
            isinstance(base, PlaceV)
            and isinstance(kind, RwSemKind)
            and func.attr in ("read", "write")
        ):
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

    def local(self, value: Value, name: str, node: ast.AST) -> Value:
        """A value as a local keeps it."""
        raise NotImplementedError


@functools.cache
def parameter_defaults(function: Function[..., Any]) -> Mapping[str, Any]:
    """The default values of a function's parameters."""
    parameters = inspect.signature(function.source).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


@functools.cache
def reference_parameters(function: Function[..., Any]) -> frozenset[str]:
    """The parameters annotated ``Ref[...]``."""
    source = source_of(function)
    parameters = source.tree.args
    return frozenset(
        a.arg
        for a in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs)
        if a.annotation is not None and _is_ref(a.annotation, source.names)
    )


def _is_ref(annotation: ast.expr, names: Mapping[str, Any]) -> bool:
    """Whether an annotation is ``Ref[...]`` (its argument may be a name for type checkers only)."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return False
    if not isinstance(annotation, ast.Subscript):
        return False
    match annotation.value:
        case ast.Name(name):
            return names.get(name) is Ref
        case ast.Attribute(ast.Name(module), name):
            return getattr(names.get(module), name, None) is Ref
    return False


@functools.lru_cache(maxsize=4096)
def local_names(source: Source) -> frozenset[str]:
    """The names that a function assigns."""
    parameters = source.tree.args
    names = {a.arg for a in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs)}
    todo: list[ast.AST] = list(source.tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        elif isinstance(node, ast.comprehension):  # its variables are its own
            todo += [node.iter, *node.ifs]
        elif not isinstance(node, ast.Constant):
            todo += ast.iter_child_nodes(node)
    return frozenset(names)
