"""Compiles a scenario: threads, rules, properties become a :class:`~shootdown.lang.ir.System`."""

from __future__ import annotations

import ast
import enum
import hashlib
import itertools
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.builder import Frame, Site, Unit, counted
from shootdown.lang.cfg import Activation, Cut, Cutter, Graph, atomic_body
from shootdown.lang.decorators import Function
from shootdown.lang.interpret import ways
from shootdown.lang.kinds import Kinds, bits_for
from shootdown.lang.limits import MAX_STATE_BITS
from shootdown.lang.prune import prune
from shootdown.lang.scenario import ByOption, Scenario, Setup, Thread, options_of
from shootdown.lang.setups import check_objects, check_setup, is_function, static, thread_arguments
from shootdown.lang.source import Source, source_of
from shootdown.lang.space import StateSpace, Storage
from shootdown.lang.statements import Statements
from shootdown.lang.types import FieldRef, Object, Option, population
from shootdown.lang.values import Static, Value

T = TypeVar("T")


def compile_setup(
    scenario: Scenario,
    setup: Setup,
    bounds: Mapping[str, int],
    overrides: Mapping[str, Any],
    without: frozenset[str],
) -> ir.System:
    """Compile one instance of a scenario.

    Raises :class:`ModelError` for anything outside the language, at the user's own line.
    """
    return _Compilation(scenario, setup, bounds, overrides, without).system()


def removable_sites(
    scenario: Scenario,
    bounds: Mapping[str, int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Site, ...]:
    """The flushes, locks, counter updates, barriers and acknowledgements of a scenario's threads.

    Each ``site.id`` can be given to ``scenario.compile(without=frozenset({site.id}))``.
    """
    compilation = _Compilation(
        scenario,
        scenario.setup(bounds),
        {**scenario.bounds, **(bounds or {})},
        options or {},
        frozenset(),
    )
    return compilation.sites()


class _Compilation:
    """One compilation, step by step."""

    def __init__(
        self,
        scenario: Scenario,
        setup: Setup,
        bounds: Mapping[str, int],
        overrides: Mapping[str, Any],
        without: frozenset[str],
    ) -> None:
        self.scenario = scenario
        self.setup = setup
        self.bounds = bounds
        check_setup(setup, self.fail)
        kinds = Kinds(setup.sizes, len(setup.threads))
        self.unit = Unit(
            kinds=kinds,
            space=StateSpace(kinds),
            options=options_of(setup, overrides),
            observers=setup.hardware.observers,
            without=without,
        )
        self.columns: list[str] = []
        self.executed: set[int] = set()  # lines that ran while the initial state was made
        self.column_of: dict[Any, int] = {}

    def fail(
        self, message: str, hint: str | None = None, at: ir.Location | None = None
    ) -> ModelError:
        """An error of the scenario itself, or of a place in it."""
        at = at or self.scenario.location
        message = f"scenario {self.scenario.name}: {message}"
        return ModelError(message, file=at.file, line=at.line, text=at.text, hint=hint)

    def system(self) -> ir.System:
        """Do it."""
        return self._located(self._system)

    def _located(self, work: Callable[[], T]) -> T:
        """The result of a part of the work; its errors are about the scenario at least."""
        try:
            return work()
        except RecursionError:
            raise self.fail(
                "the model is too large or nested too deeply",
                "use smaller bounds, or shorter expressions",
            ) from None
        except ModelError as error:
            if error.file is not None:
                raise
            raise self.fail(error.message, error.hint) from None

    def sites(self) -> tuple[Site, ...]:
        """What can be left out of the threads."""
        self._located(self._graphs)
        return tuple(self.unit.sites.values())

    def _system(self) -> ir.System:
        if not self.setup.threads and not self.setup.hardware.rules:
            raise self.fail("there is nothing to run: no threads and no rules")
        names, cuts = self._cuts()
        drains = self._drains()
        rules = drains + self._rules()
        invariants = [self._property(f, "invariant") for f in self.setup.invariants]
        goals = [self._property(f, "goal") for f in self.setup.goals]
        progress = [self._property(f, "progress") for f in self.setup.progress]
        if self.unit.asked:
            rules = drains + self._rules()  # now that all who may look are known
            cuts = [self._flagged(i, cut) for i, cut in enumerate(cuts)]
        start = self._start_body()
        self.unit.memory.finish()
        missing = sorted(self.unit.without - set(self.unit.sites))
        if missing:
            raise self.fail(f"there is no removable site '{missing[0]}'")
        init = self._provided()
        for cut in cuts:
            init = _put(init, cut.pc, cut.start)
        if start is not None:
            init = self._run_once(start, init, "start")
        for cut, name in zip(cuts, names, strict=True):
            if cut.prologue is not None:
                init = self._run_once(cut.prologue, init, name)
        for (process, variable), flag in self.unit.flags.items():
            cut = cuts[process]
            init = _put(init, flag, cut.looks_at(init[cut.pc], variable))
        processes = tuple(
            ir.Process(name, cut.pc, cut.actions, thread.daemon)
            for name, cut, thread in zip(names, cuts, self.setup.threads, strict=True)
        )
        if any(not t.daemon for t in self.setup.threads):
            goals.append(self._all_finish(processes))
        system = ir.System(
            name=self.scenario.name,
            variables=self._variables(),
            init=init,
            processes=processes,
            rules=tuple(rules),
            invariants=tuple(invariants),
            progress=tuple(progress),
            goals=tuple(goals),
            failures=tuple(self.unit.failures),
            lines=tuple(self.unit.line_locations),
            columns=tuple(self.columns),
            fingerprint="",
            assumptions=self._assumptions(),
            bounds=tuple(self.bounds.items()),
            options=self._options(),
        )
        system = prune(system, self._groups(), self.executed)
        bits = sum(bits_for(v.size) for v in system.variables if not v.given)
        if bits > MAX_STATE_BITS:
            widths: dict[str, int] = {}
            for v in system.variables:
                name = v.name.partition("[")[0]
                widths[name] = widths.get(name, 0) + bits_for(v.size)
            widest = max(widths, key=lambda name: widths[name])
            raise self.fail(
                f"a state has {bits} bits; {MAX_STATE_BITS} is the most",
                f"use smaller bounds; {widest} takes {widths[widest]} bits",
            )
        return _with_fingerprint(system)

    def _check_counters(self, cuts: list[Cut]) -> None:
        """Refuse too many threads before all are compiled: where each stands takes some bits."""
        known = sum(bits_for(len(cut.actions) + 1) for cut in cuts)
        bits = known + len(self.setup.threads) - len(cuts)
        if bits > MAX_STATE_BITS:
            raise self.fail(
                f"{len(self.setup.threads)} threads need at least {bits} bits of a state; "
                f"{MAX_STATE_BITS} is the most",
                "use smaller bounds",
            )

    # ------------------------------------------------------------------ threads

    def _graphs(self) -> None:
        """Inline what the threads call, and no more."""
        self._check_counters([])
        check_objects(self.setup, self.unit.kinds, self.fail)
        for i, (thread, name) in enumerate(
            zip(self.setup.threads, self._thread_names(), strict=True)
        ):
            self._graph(i, thread, name)

    def _cuts(self) -> tuple[list[str], list[Cut]]:
        self._check_counters([])
        check_objects(self.setup, self.unit.kinds, self.fail)
        self.unit.memory.owners = {
            thread.on: self._show(thread.on) for thread in self.setup.threads if thread.on
        }
        names = self._thread_names()
        cuts: list[Cut] = []
        for i, (thread, name) in enumerate(zip(self.setup.threads, names, strict=True)):
            cuts.append(self._thread(i, thread, name))
            self.unit.cuts.append(cuts[-1])
            self._check_counters(cuts)
        return names, cuts

    def _thread_names(self) -> list[str]:
        names = []
        for i, thread in enumerate(self.setup.threads):
            if thread.name is not None:
                names.append(thread.name)
            elif thread.on is not None:
                names.append(self._show(thread.on))
            else:
                names.append(f"T{i}")
        repeated = {name for name, count in Counter(names).items() if count > 1}
        seen: dict[str, int] = {}
        unique = []
        for name in names:
            seen[name] = seen.get(name, 0) + 1
            unique.append(f"{name}.{seen[name]}" if name in repeated else name)
        for i, thread in enumerate(self.setup.threads):
            key: Any = thread.on if thread.on is not None else i
            if key not in self.column_of:
                self.column_of[key] = len(self.columns)
                self.columns.append(
                    thread.name or (self._show(thread.on) if thread.on else names[i])
                )
        return unique

    def _show(self, thing: Object) -> str:
        return self.unit.kinds.object(type(thing)).show(thing.index)

    def _builder(self, name: str, process: int, on: Object | None) -> Statements:
        builder = Statements(self.unit, name, process, on)
        builder.declared = {}
        return builder

    def _graph(self, index: int, thread: Thread, name: str) -> Graph:
        source = source_of(thread.path)
        arguments = thread_arguments(thread, source, self.fail)
        builder = self._builder(name, index, thread.on)
        builder.guard = thread.when
        builder.inline(thread.path, source, arguments, source.tree, atomic=False)
        builder.jump(builder.exit)
        return Graph(builder.entry, builder.exit, builder.registers)

    def _thread(self, index: int, thread: Thread, name: str) -> Cut:
        function = thread.path
        source = source_of(function)
        graph = self._graph(index, thread, name)
        column = self.column_of[thread.on if thread.on is not None else index]
        cut = Cutter(
            graph, self.unit.space, name, index, column, source.location(source.tree)
        ).cut()
        if not cut.actions:
            said = f"Thread({function.name}) does nothing: it has no shared access"
            raise self.fail(said, at=thread.location)
        return cut

    def _flagged(self, process: int, cut: Cut) -> Cut:
        """A thread that keeps its flags."""
        flags = {v: flag for (p, v), flag in self.unit.flags.items() if p == process}

        def moved(number: int, block: ir.Block) -> ir.Block:
            ops: list[ir.Op] = []
            for op in block.ops:
                ops.append(op)
                if isinstance(op, ir.Store) and op.place == ir.Place(cut.pc):
                    assert isinstance(op.value, ir.Const)
                    for variable, flag in flags.items():
                        looks = cut.looks_at(op.value.value, variable)
                        if looks != cut.looks_at(number, variable):
                            ops.append(ir.Store(ir.Place(flag), ir.Const(looks)))
            return replace(block, ops=tuple(ops))

        actions = []
        for number, action in enumerate(cut.actions):
            blocks = tuple(moved(number, block) for block in action.body.blocks)
            actions.append(replace(action, body=replace(action.body, blocks=blocks)))
        return replace(cut, actions=tuple(actions))

    # ------------------------------------------------------------------ rules and properties

    def _rules(self) -> list[ir.Action]:
        return [action for rule in self.setup.hardware.rules for action in self._rule(rule)]

    def _rule(self, function: Function[..., Any]) -> list[ir.Action]:
        if not is_function(function, "rule"):
            shown = getattr(function, "name", repr(function))
            raise self.fail(f"hardware rule {shown} is not decorated with @rule")
        source = source_of(function)
        domains = [(a.arg, self._domain(function, source, a)) for a in source.tree.args.args]
        actions = []
        for combination in itertools.product(*(values for _, values in domains)):
            arguments: dict[str, Value] = {
                name: Static(value) for (name, _), value in zip(domains, combination, strict=True)
            }
            for name, value in (function.source.__kwdefaults__ or {}).items():
                arguments[name] = static(value)
            builder = self._builder(function.name, -1, None)
            builder.inline(function, source, arguments, source.tree, atomic=True)
            builder.jump(builder.exit)
            body = atomic_body(Graph(builder.entry, builder.exit, builder.registers))
            column = self._column(combination)
            name = self._rule_text(function, combination)
            shown = builder.call_text(function, arguments).render() if function.show else name
            location = source.location(source.tree)
            actions.append(
                ir.Action(
                    name=name,
                    body=body,
                    info=ir.StepInfo("rule", shown, location),
                    fair=function.fair,
                    column=column,
                )
            )
        return actions

    def _column(self, combination: tuple[Any, ...]) -> int | None:
        """Where a rule is drawn: under the first of its objects that threads run on, or that could
        have a thread, as a CPU that only receives interrupts."""
        owners = [key for key in self.column_of if isinstance(key, Object)]
        populations = {population(type(owner)) for owner in owners}
        for thing in combination:
            if isinstance(thing, Object) and population(type(thing)) in populations:
                if thing not in self.column_of:
                    self.column_of[thing] = len(self.columns)
                    self.columns.append(self._show(thing))
                return self.column_of[thing]
        return None

    def _drains(self) -> list[ir.Action]:
        """One fair rule for each store buffer: its oldest store reaches memory."""
        actions = []
        for owner, buffer in self.unit.memory.buffers.items():
            thread = next(t for i, t in enumerate(self.setup.threads) if owner in (t.on, i))
            source = source_of(thread.path)
            builder = self._builder(buffer.name, -1, None)
            builder.atomic_depth = 1
            location = source.location(source.tree)
            builder.frames.append(Frame(source, Activation(0, "", location), set()))
            builder.drain(buffer, source.tree)
            builder.jump(builder.exit)
            body = atomic_body(Graph(builder.entry, builder.exit, builder.registers))
            name = f"{buffer.name} store buffer"
            info = ir.StepInfo("rule", name, location)
            actions.append(ir.Action(name, body, info, True, self.column_of[owner]))
        return actions

    def _rule_text(self, function: Function[..., Any], combination: tuple[Any, ...]) -> str:
        shown = [
            self._show(v) if isinstance(v, Object) else getattr(v, "name", str(v))
            for v in combination
        ]
        return f"{function.name}({', '.join(shown)})"

    def _domain(
        self, function: Function[..., Any], source: Source, parameter: ast.arg
    ) -> list[Any]:
        """All values of a rule's parameter."""
        try:
            hint = typing.get_type_hints(function.source).get(parameter.arg)
        except Exception:
            hint = None
        if isinstance(hint, type):
            if issubclass(hint, Object):
                return [hint(i) for i in range(self.unit.kinds.count(hint))]
            if issubclass(hint, enum.Enum):
                return list(hint)
            if hint is bool:
                return [False, True]
        raise source.error(
            parameter,
            f"parameter '{parameter.arg}' of rule {function.name} needs a population, an enum or "
            "bool as annotation",
        )

    def _property(self, function: Function[..., Any], kind: str) -> ir.Property:
        if not is_function(function, kind):
            shown = getattr(function, "name", repr(function))
            raise self.fail(f"{shown} is not decorated with @{kind}")
        source = source_of(function)
        if source.tree.args.args:
            raise source.error(
                source.tree, f"an {kind} takes no parameters", "loop with all(... for ...)"
            )
        builder = self._builder(function.name, -1, None)
        result = builder.inline(function, source, {}, source.tree, atomic=True)
        if isinstance(result, Static) and result.value is None:
            raise source.error(source.tree, f"{kind} {function.name} returns nothing")
        self._answer(builder, result, source)
        body = atomic_body(Graph(builder.entry, builder.exit, builder.registers))
        for block in body.blocks:
            for op in block.ops:
                if isinstance(op, (ir.Store, ir.Guard)) or isinstance(block.end, ir.Choice):
                    raise source.error(
                        source.tree, f"{kind} {function.name} must only look at the state",
                        "no assignments to shared state, no when(), no choose()",
                    )  # fmt: skip
        text = " ".join(function.doc.split("\n\n")[0].split()).removesuffix(".")
        return ir.Property(function.name, text, body, source.location(source.tree))

    def _answer(self, builder: Statements, result: Value, source: Source) -> None:
        location = source.location(source.tree)
        builder.frames.append(Frame(source, Activation(0, "", location), set()))
        builder.emit(ir.Set(0, builder.truth(result, source.tree)))
        builder.jump(builder.exit)
        builder.frames.pop()

    def _all_finish(self, processes: tuple[ir.Process, ...]) -> ir.Property:
        condition: ir.Expr = ir.Const(1)
        for process in processes:
            if not process.daemon:
                done = ir.Binary(
                    "eq", ir.Load(ir.Place(process.pc)), ir.Const(len(process.actions))
                )
                condition = done if condition == ir.Const(1) else ir.Binary("land", condition, done)
        body = ir.Body((ir.Block((ir.Set(0, condition),), ir.Done()),), 1)
        return ir.Property(
            "all threads finish", "some run lets every thread finish", body, self.scenario.location
        )

    # ------------------------------------------------------------------ the initial state

    def _start_body(self) -> ir.Body | None:
        function = self.setup.start
        if function is None:
            return None
        if not is_function(function, "atomic"):
            raise self.fail("start= must be an @atomic function")
        source = source_of(function)
        if source.tree.args.args:
            raise source.error(source.tree, "a start function takes no parameters")
        builder = self._builder(function.name, -1, None)
        builder.starting = True
        builder.inline(function, source, {}, source.tree, atomic=True)
        builder.jump(builder.exit)
        return atomic_body(Graph(builder.entry, builder.exit, builder.registers))

    def _run_once(self, body: ir.Body, init: tuple[int, ...], what: str) -> tuple[int, ...]:
        found = [way for way in ways(body, init, False) if not way.abandoned]
        for way in found:
            if way.failure is not None:
                failure = self.unit.failures[way.failure]
                raise ModelError(
                    failure.message,
                    file=failure.location.file,
                    line=failure.location.line,
                    text=failure.location.text,
                )
        if len(found) != 1:
            raise self.fail(f"{what}: the initial state must be one, not {len(found)}")
        self.executed.update(found[0].covered)
        return tuple(found[0].state)

    def _variables(self) -> tuple[ir.Variable, ...]:
        """The variables; a field that could be given, and is not, is a constant."""
        variables = list(self.unit.space.variables)
        provided = {(population(ref.owner), ref.name) for ref in self.setup.given}
        for key, storage in self.unit.space.named_storages():
            if storage.given and key not in provided:
                for v in range(storage.base, storage.base + storage.length):
                    variables[v] = replace(variables[v], given=False)
        return tuple(variables)

    def _provided(self) -> tuple[int, ...]:
        """The initial state with the fields that the scenario provides. ``None`` stands for a
        table that keeps its defaults until somebody else provides it."""
        values: dict[int, int] = {}
        for ref, provided in self.setup.given.items():
            name = f"{ref.owner.__name__}.{ref.name}" if isinstance(ref, FieldRef) else repr(ref)
            decl = self.unit.kinds.field(ref.owner, ref.name) if isinstance(ref, FieldRef) else None
            if decl is None or not decl.given:
                raise self.fail(f"given={{{name}: ...}}: no field declared with given() is that")

            def fail(message: str, name: str = name) -> ModelError:
                return self.fail(f"given={{{name}: ...}}: {message}")

            storage = self.unit.space.field(ref, decl)
            if provided is None:
                continue
            for place, value in _spread(provided, storage, 0, 0, fail):
                values[place] = self.unit.kinds.encode(value, storage.element, fail)
        # not before here: a field that nothing mentions has got its place just now
        return tuple(values.get(place, old) for place, old in enumerate(self.unit.space.init))

    # ------------------------------------------------------------------ the whole

    def _groups(self) -> list[range]:
        space = self.unit.space
        starts: dict[int, int] = {}
        for storage in space.storages():
            starts[storage.base] = storage.length
        groups, v = [], 0
        while v < len(space.variables):
            size = starts.get(v, 1)
            groups.append(range(v, v + size))
            v += size
        return groups

    def _options(self) -> tuple[tuple[str, str], ...]:
        return tuple((n, str(v)) for n, v in sorted(self.unit.used_options.items()))

    def _assumptions(self) -> tuple[str, ...]:
        hardware = self.setup.hardware
        options = [
            f"{name}={value}"
            for name, value in sorted(self.unit.used_options.items())
            if not (Option.registry[name].tacit and value == Option.registry[name].default)
        ]
        head = hardware.name + (f" ({', '.join(options)})" if options else "")
        said = [
            a.sentence(self.unit.options) if isinstance(a, ByOption) else a
            for a in hardware.assumptions
        ]
        return (head, self.unit.memory.assumption, *said)


def _put(state: tuple[int, ...], variable: int, value: int) -> tuple[int, ...]:
    return (*state[:variable], value, *state[variable + 1 :])


def _with_fingerprint(system: ir.System) -> ir.System:
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr([(v.name, v.size) for v in system.variables]).encode())
    digest.update(repr(system.init).encode())
    for action in [a for p in system.processes for a in p.actions] + list(system.rules):
        digest.update(action.name.encode())
        digest.update(repr(_meaning(action.body)).encode())
    for prop in (*system.invariants, *system.goals, *system.progress):
        digest.update(prop.name.encode())
        digest.update(repr(_meaning(prop.body)).encode())
    return replace(system, fingerprint=digest.hexdigest())


def _meaning(body: ir.Body) -> list[tuple[list[ir.Op], ir.Terminator]]:
    """What a body does, without notes and line numbers."""
    return [
        ([op for op in block.ops if not isinstance(op, (ir.Note, ir.Cover))], block.end)
        for block in body.blocks
    ]


def _spread(
    values: Any, storage: Storage, depth: int, offset: int, fail: Callable[[str], ModelError]
) -> Iterator[tuple[int, Any]]:
    """Variable numbers and values of a nested list: one level for each dimension of a field."""
    if depth == len(storage.dims):
        yield storage.base + offset, values
        return
    kind, stride = storage.dims[depth]
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise fail(f"{values!r} is no list of values, one for each {kind}")
    if len(values) != kind.size:
        said = f"{counted(len(values), 'value')} for {counted(kind.size, str(kind))}"
        raise fail(f"{said}: write one for each")
    for index, value in enumerate(values):
        yield from _spread(value, storage, depth + 1, offset + index * stride, fail)
