"""The bodies of a system as one graph of small nodes, for asking what can still happen.

A node is a test of a cell, or says what is done to cells (:mod:`.decisions`). An edge may have a
*literal*: a condition on the state in which the action begins, and the value that it must have.

An action whose diagrams are not known or too large is taken as its blocks: a node is then a part of
a block between two conditions, and a condition that is not known (it depends on a choice, or on
values that differ by the way) gives an edge without literal.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace

from shootdown.check.reduce.bdd import FALSE, TRUE, Function
from shootdown.check.reduce.cells import Cells, Effect
from shootdown.check.reduce.decisions import Decisions, Passage
from shootdown.lang.bodies import body_accesses
from shootdown.lang.interpret import Way, value_of
from shootdown.lang.ir import (
    Action,
    Binary,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Expr,
    Guard,
    Jump,
    Load,
    Place,
    Process,
    Reg,
    Select,
    Set,
    Store,
    System,
    Unary,
    within,
)

MOST_BITS = 8  # of a number that is compared bit by bit


@dataclass(frozen=True, slots=True)
class Literal:
    """The condition ``System``-wide number ``condition`` has the truth value ``value``."""

    condition: int
    value: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from a node to another one of the same action.

    ``reads`` are the cells of the condition, also where it is not known.
    """

    target: int
    literal: Literal | None
    reads: int


@dataclass(slots=True)
class Node:
    """A part of an action.

    ``agent`` numbers the processes, then the rules. ``following`` lists the places to which the
    process goes on. ``ends``: an outcome ends here, or may, by a check that fails. ``fair``, of a
    first node: the action's. ``uses`` are cells whose values matter to the action once it has come
    here, whatever the others are.
    """

    agent: int
    effect: Effect
    edges: list[Edge] = field(default_factory=list)
    following: list[int] = field(default_factory=list)
    ends: bool = False
    fair: bool = False
    uses: int = 0


class IrregularError(Exception):
    """A system with a program counter that is used for something else."""


class Flow:
    """The graph of a system.

    ``steps[p][i]`` is the first node of step ``i`` of process ``p``, ``rules[r]`` that of rule
    ``r``. ``conditions`` are expressions over the state; ``reads`` are their cells; ``cell`` is the
    one that is 1 where the condition is true, if it is known to be one.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.cells = Cells.of(system)
        self.nodes: list[Node] = []
        self.conditions: list[Expr] = []
        self.cell: list[int | None] = []
        self.reads: list[int] = []
        self._numbers: dict[Expr, int] = {}
        self.counters = {process.pc: i for i, process in enumerate(system.processes)}
        self.decisions = Decisions(system, self.cells)
        self._known: dict[object, int] = {}
        self.steps = [
            [self._action(action, agent, process, i) for i, action in enumerate(process.actions)]
            for agent, process in enumerate(system.processes)
        ]
        first = len(system.processes)
        self.rules = [self._action(rule, first + i) for i, rule in enumerate(system.rules)]

    @property
    def agents(self) -> int:
        """How many processes and rules there are."""
        return len(self.steps) + len(self.rules)

    def condition(self, expr: Expr, cell: int | None = None) -> int:
        """The number of a condition; ``cell``: it is that this cell is 1."""
        number = self._numbers.setdefault(expr, len(self.conditions))
        if number == len(self.conditions):
            self.conditions.append(expr)
            self.cell.append(cell)
            self.reads.append(self.cells.reads(expr))
        return number

    def node(self, agent: int) -> int:
        self.nodes.append(Node(agent, Effect()))
        return len(self.nodes) - 1

    def _action(
        self, action: Action, agent: int, process: Process | None = None, place: int = 0
    ) -> int:
        self._check_counters(action.body, agent)
        decided = self.decisions.of(action.body, process, place)
        if decided is None:
            first = len(self.nodes)
            entry = self._body(action.body, agent)
            for node in self.nodes[first:]:
                self.nodes[entry].uses |= node.effect.reads
                if action.fair:
                    self.nodes[entry].uses |= node.effect.writes
                for edge in node.edges:
                    self.nodes[entry].uses |= edge.reads
        else:
            entry = self._decided(agent, action.fair, *decided)
        self.nodes[entry].fair = action.fair
        return entry

    def _check_counters(self, body: Body, agent: int) -> None:
        """A process writes no program counter but its own."""
        for number in body_accesses(body, set())[1] & self.counters.keys():
            if self.counters[number] != agent:
                raise IrregularError

    def _decided(
        self, agent: int, fair: bool, ways: list[Passage], failures: list[Function]
    ) -> int:
        """The nodes of an action whose diagrams are known."""
        nodes, support = self.decisions.diagrams.nodes, self.decisions.support
        updates: dict[tuple[int, int, int, int], int] = {}

        def test(level: int, value: int, target: int) -> Edge:
            cell = self.decisions.order[level]
            return Edge(target, Literal(self._cell(cell), bool(value)), 1 << cell)

        def update(cells: int, where: Function, up: Function, down: Function) -> int:
            key = (cells, where, up, down)
            if key not in updates:
                node = Node(agent, Effect())
                if up == down == TRUE:
                    node.effect.any = node.effect.reads = cells
                elif up == TRUE and down == FALSE:
                    node.effect.ones = cells
                elif up == FALSE and down == TRUE:
                    node.effect.zeros = cells
                elif (up, down) != (FALSE, FALSE):
                    level = min(nodes[where][0], nodes[up][0], nodes[down][0])
                    for value in (0, 1):
                        there, one, two = (
                            nodes[f][1 + value] if nodes[f][0] == level else f
                            for f in (where, up, down)
                        )
                        if there != FALSE:
                            target = update(cells, there, one, two)
                            node.edges.append(test(level, value, target))
                updates[key] = self._once(node)
            return updates[key]

        def decide(root: Function, leaf: Node) -> int:
            known: dict[Function, int] = {TRUE: self._once(leaf)}

            def of(f: Function) -> int:
                if f not in known:
                    level, *results = nodes[f]
                    edges = [
                        test(level, value, of(result))
                        for value, result in enumerate(results)
                        if result != FALSE
                    ]
                    known[f] = self._once(Node(agent, Effect(), edges))
                return known[f]

            return of(root)

        entry = Node(agent, Effect())
        for way in ways:
            leaf = Node(agent, Effect(), ends=True)
            if way.following is not None:
                leaf.following.append(way.following)
                pc = self.system.processes[agent].pc
                leaf.effect.add(self.cells.store(Place(pc), Const(way.following)))
            for what in way.updates:
                if fair and not way.changes:  # is it a deadlock if it changes nothing else?
                    leaf.uses |= what.cells
                target = update(what.cells, what.where, what.up, what.down)
                if self.nodes[target].edges:
                    leaf.edges.append(Edge(target, None, 0))
                    leaf.uses |= support(what.up) | support(what.down)
                else:
                    leaf.effect.add(self.nodes[target].effect)
            entry.uses |= support(way.enabled)
            entry.edges.append(Edge(decide(way.enabled, leaf), None, 0))
        for failure in failures:
            entry.uses |= support(failure)
            leaf = Node(agent, Effect(), ends=True)
            entry.edges.append(Edge(decide(failure, leaf), None, 0))
        self.nodes.append(entry)
        return len(self.nodes) - 1

    def _once(self, node: Node) -> int:
        """The number of a node; the same one for all of an agent that are equal."""
        effect = node.effect
        done = (effect.reads, effect.ones, effect.zeros, effect.any, node.uses, node.ends)
        key = (node.agent, done, tuple(node.following), tuple(node.edges))
        number = self._known.setdefault(key, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number

    def _cell(self, cell: int) -> int:
        """The number of the condition that a cell is 1."""
        shifts = self.cells.shift
        variable = bisect_right(shifts, cell) - 1
        while not self.cells.mask[variable]:
            variable -= 1
        value = Load(Place(variable))
        return self.condition(bit_of(value, cell - shifts[variable]), cell)

    def _body(self, body: Body, agent: int) -> int:
        entries: dict[int, int] = {}
        envs: dict[int, list[_Env]] = {0: [_Env(self, [Const(0)] * max(1, body.registers))]}
        for number in body.order():
            entries[number] = self.node(agent)
        for number in body.order():
            if number not in envs:
                continue  # a condition that is constant keeps from coming here
            env = _met(envs[number])
            here = entries[number]
            block = body.blocks[number]
            for op in block.ops:
                match op:
                    case Set(reg, value):
                        env.registers[reg] = env.value(value)
                    case Store(place, value):
                        self._store(here, agent, place, value, env)
                    case Guard(condition):
                        after = self.node(agent)
                        self._edge(here, after, env.value(condition), True)
                        here = after
                    case Check(condition):
                        self.nodes[here].effect.reads |= self.cells.reads(env.value(condition))
                        self.nodes[here].ends = True  # if it fails
            match block.end:
                case Jump(target):
                    self.nodes[here].edges.append(Edge(entries[target], None, 0))
                    envs.setdefault(target, []).append(env)
                case Branch(condition, then, orelse):
                    value = env.value(condition)
                    for target, truth in ((then, True), (orelse, False)):
                        if not isinstance(value, Const) or bool(value.value) == truth:
                            self._edge(here, entries[target], value, truth)
                            envs.setdefault(target, []).append(env.copy())
                case Choice(reg, mask, width, target):
                    some = Binary("and", env.value(mask), Const((1 << width) - 1))
                    self._edge(here, entries[target], some, True)
                    inner = env.copy()
                    inner.registers[reg] = self.cells.unknown_value(0)
                    envs.setdefault(target, []).append(inner)
                case _:
                    self.nodes[here].ends = True
        return entries[0]

    def _edge(self, source: int, target: int, condition: Expr, value: bool) -> None:
        """Edges for a condition (not 0) that has a truth value, one literal each."""
        match condition:
            case Const(number):
                if bool(number) == value:
                    self.nodes[source].edges.append(Edge(target, None, 0))
            case Unary("lnot", operand):
                self._edge(source, target, operand, not value)
            case Binary("land" | "lor" as op, left, right):
                parts = [(left, value), (right, value)]
                self._edges(source, target, parts, (op == "land") == value)
            case Binary("eq" | "ne" as op, compared, Const(wanted)) if wanted >= 0 and self._width(
                compared
            ):
                bits = self._bits(compared, wanted)
                equal = (op == "eq") == value
                self._edges(source, target, [(b, v == equal) for b, v in bits], equal)
            case _ if (self._width(condition) or 0) > 1:
                bits = self._bits(condition, 0)
                self._edges(source, target, [(b, v != value) for b, v in bits], not value)
            case _ if known(condition):
                number = self.condition(condition)
                edge = Edge(target, Literal(number, value), self.reads[number])
                self.nodes[source].edges.append(edge)
            case _:
                self.nodes[source].edges.append(Edge(target, None, self.cells.reads(condition)))

    def _edges(self, source: int, target: int, parts: list[tuple[Expr, bool]], every: bool) -> None:
        """Edges for every one of some literals, one after the other, or for any of them."""
        if every:
            agent = self.nodes[source].agent
            for condition, value in parts[:-1]:
                between = self.node(agent)
                self._edge(source, between, condition, value)
                source = between
            parts = parts[-1:]
        for condition, value in parts:
            self._edge(source, target, condition, value)

    def _width(self, expr: Expr) -> int | None:
        """How many bits a value has that is a variable or a part of one; None for others."""
        match expr:
            case Load(place):
                most = self.system.variables[place.base].size - 1
                return most.bit_length() if most < 1 << MOST_BITS else None
            case Binary("and", operand, Const(mask)) if 0 <= mask < 1 << MOST_BITS:
                return mask.bit_length() if self._width(operand) is not None else None
            case Binary("shr", operand, Const()):
                return self._width(operand)
        return None

    def _bits(self, expr: Expr, wanted: int) -> list[tuple[Expr, bool]]:
        """The bits of a value and what they are in ``wanted``."""
        width = max(self._width(expr) or 0, wanted.bit_length(), 1)
        return [(bit_of(expr, i), bool(wanted >> i & 1)) for i in range(width)]

    def _store(self, here: int, agent: int, place: Place, value: Expr, env: _Env) -> None:
        node = self.nodes[here]
        place = env.place(place)
        numbers = list(place.variables())
        touched = [n for n in numbers if n in self.counters]
        if touched:
            value = env.value(value)
            if numbers != touched or self.counters[numbers[0]] != agent or len(numbers) > 1:
                raise IrregularError
            if not isinstance(value, Const):
                raise IrregularError
            node.following.append(value.value)
        node.effect.add(self.cells.store(place, env.value(value)))
        env.store(place, numbers, env.value(value))


class _Env:
    """What is known at a point of a body: values over the state in which the action began."""

    def __init__(self, flow: Flow, registers: list[Expr]) -> None:
        self.flow = flow
        self.registers = registers
        self.stored: dict[int, Expr] = {}

    def copy(self) -> _Env:
        out = _Env(self.flow, self.registers[:])
        out.stored = dict(self.stored)
        return out

    def place(self, place: Place) -> Place:
        """A place with its indices over the initial state."""
        if not place.index:
            return place
        return replace(place, index=tuple((self.value(e), s, x) for e, s, x in place.index))

    def value(self, expr: Expr) -> Expr:
        """An expression over the initial state."""
        match expr:
            case Reg(index):
                return self.registers[index]
            case Load(place):
                return self.load(self.place(place))
            case Binary(op, left, right):
                return folded(Binary(op, self.value(left), self.value(right)))
            case Unary(op, operand):
                return folded(Unary(op, self.value(operand)))
            case Select(condition, then, orelse):
                return Select(self.value(condition), self.value(then), self.value(orelse))
            case _:
                return expr

    def load(self, place: Place) -> Expr:
        numbers = list(place.variables())
        if not any(n in self.stored for n in numbers):
            return Load(place)
        fixed = [(e.value, x) for e, _, x in place.index if isinstance(e, Const)]
        if len(fixed) == len(place.index):
            outside = any(index != within(index, extent) for index, extent in fixed)
            return Const(0) if outside else self.stored[numbers[0]]
        cells = self.flow.cells
        reads = cells.reads(Load(place))
        for number in numbers:
            if number in self.stored:
                reads |= cells.reads(self.stored[number])
        return cells.unknown_value(reads)

    def store(self, place: Place, numbers: list[int], value: Expr) -> None:
        """Remember a store, which may be to one of several variables."""
        cells = self.flow.cells
        if len(numbers) == 1:
            self.stored[numbers[0]] = value
            return
        reads = cells.indices(place) | cells.reads(value)
        for number in numbers:
            before = self.stored.get(number, Load(Place(number)))
            self.stored[number] = cells.unknown_value(reads | cells.reads(before))


def bit_of(expr: Expr, number: int) -> Expr:
    """A bit of a value."""
    return Binary("and", Binary("shr", expr, Const(number)), Const(1))


def folded(expr: Binary | Unary) -> Expr:
    """An expression of constants as its value."""
    parts = (expr.left, expr.right) if isinstance(expr, Binary) else (expr.operand,)
    if all(isinstance(part, Const) for part in parts):
        return Const(value_of(expr, Way([], [], [], [])))
    return expr


def values_of_property(flow: Flow, body: Body) -> tuple[list[Expr], list[Expr]]:
    """What decides the answer of a property's body: first values of which it is known how, checks
    and register 0 at the end; then conditions, and what a register may be where ways meet."""
    answers: list[Expr] = []
    out: list[Expr] = []
    envs: dict[int, list[_Env]] = {0: [_Env(flow, [Const(0)] * max(1, body.registers))]}
    for number in body.order():
        meeting = envs[number]
        for i in range(len(meeting[0].registers)):
            values = [env.registers[i] for env in meeting]
            if any(value != values[0] for value in values):
                out += values
        env = _met(meeting)
        block = body.blocks[number]
        for op in block.ops:
            match op:
                case Set(reg, value):
                    env.registers[reg] = env.value(value)
                case Check(condition):
                    answers.append(env.value(condition))
        match block.end:
            case Jump(target):
                envs.setdefault(target, []).append(env)
            case Branch(condition, then, orelse):
                out.append(env.value(condition))
                envs.setdefault(then, []).append(env)
                envs.setdefault(orelse, []).append(env.copy())
            case _:
                answers.append(env.registers[0])
    return answers, out


def _met(envs: list[_Env]) -> _Env:
    """Where ways meet, what differs is not known any more."""
    first, *others = envs
    if not others:
        return first
    out = first.copy()
    cells = first.flow.cells
    for i, value in enumerate(first.registers):
        if any(env.registers[i] != value for env in others):
            reads = 0
            for env in envs:
                reads |= cells.reads(env.registers[i])
            out.registers[i] = cells.unknown_value(reads)
    for number in {n for env in envs for n in env.stored}:
        values = [env.stored.get(number, Load(Place(number))) for env in envs]
        if any(value != values[0] for value in values):
            reads = 0
            for value in values:
                reads |= cells.reads(value)
            out.stored[number] = cells.unknown_value(reads)
        else:
            out.stored[number] = values[0]
    return out


def known(expr: Expr) -> bool:
    """Whether no part of an expression is unknown."""
    match expr:
        case Reg():
            return False
        case Load(place):
            return all(known(e) for e, _, _ in place.index)
        case Binary(_, left, right):
            return known(left) and known(right)
        case Unary(_, operand):
            return known(operand)
        case Select(condition, then, orelse):
            return known(condition) and known(then) and known(orelse)
        case _:
            return True
