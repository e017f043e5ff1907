"""Makes a compiled system small: no unused registers or variables, constants folded.

A field that only ever has its initial value is a constant; a field that nothing reads does not
belong to the state. Fields are kept or dropped whole (all elements of an array).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from operator import is_

from shootdown.lang import ir
from shootdown.lang.bodies import (
    block_targets,
    body_accesses,
    body_loads,
    body_shows,
    body_stores,
    body_uses,
    compact,
    expr_regs,
    map_body,
)


def drop_dead_registers(body: ir.Body, keep_result: bool) -> ir.Body:
    """Without assignments to registers that nothing reads."""
    reads = Counter(body_uses(body))
    reads[0] += keep_result
    blocks = list(body.blocks)
    dropped = True
    while dropped:
        dropped = False
        for i, block in enumerate(blocks):
            ops = []
            for op in block.ops:
                if type(op) is ir.Set and not reads[op.reg]:
                    reads.subtract(expr_regs(op.value))
                else:
                    ops.append(op)
            if len(ops) != len(block.ops):
                blocks[i] = ir.Block(tuple(ops), block.end)
                dropped = True
    same = all(map(is_, blocks, body.blocks))
    return body if same else ir.Body(tuple(blocks), body.registers)


def propagate_constants(body: ir.Body) -> ir.Body:
    """Replace registers that are set once, to a constant or to another such register."""
    known: dict[int, ir.Expr] = {}
    count: dict[int, int] = {}
    for block in body.blocks:
        for op in block.ops:
            if type(op) is ir.Set:
                count[op.reg] = count.get(op.reg, 0) + 1
                if isinstance(op.value, ir.Const):
                    known[op.reg] = op.value
        if isinstance(block.end, ir.Choice):
            count[block.end.reg] = count.get(block.end.reg, 0) + 2
    known = {reg: value for reg, value in known.items() if count[reg] == 1 and reg != 0}
    if not known:
        return body
    return map_body(body, lambda e: known.get(e.index, e) if isinstance(e, ir.Reg) else e)


def live_blocks(body: ir.Body) -> ir.Body:
    """Without blocks that cannot be reached."""
    seen, stack = {0}, [0]
    while stack:
        for target in block_targets(body.blocks[stack.pop()]):
            if target not in seen:
                seen.add(target)
                stack.append(target)
    if len(seen) == len(body.blocks):
        return body
    order = sorted(seen)
    number = {old: new for new, old in enumerate(order)}
    blocks = []
    for old in order:
        block = body.blocks[old]
        match block.end:
            case ir.Jump(target):
                block = ir.Block(block.ops, ir.Jump(number[target]))
            case ir.Branch(condition, then, orelse):
                block = ir.Block(block.ops, ir.Branch(condition, number[then], number[orelse]))
            case ir.Choice(reg, mask, width, target):
                block = ir.Block(block.ops, ir.Choice(reg, mask, width, number[target]))
        blocks.append(block)
    return ir.Body(tuple(blocks), body.registers)


def prune(system: ir.System, groups: list[range], executed: set[int]) -> ir.System:
    """The same system without constants and variables that nothing reads.

    ``groups`` are the ranges of variables that belong together (the elements of one field);
    ``executed`` are lines that ran before the search and are not part of its coverage.
    """
    return _Pruning(system, groups).system(executed)


class _Pruning:
    """The bodies of a system, made smaller until nothing changes any more."""

    def __init__(self, system: ir.System, groups: list[range]) -> None:
        self.old = system
        self.groups = groups
        self.group_of = [g for g, group in enumerate(groups) for _ in group]
        self.bodies = [_Kept(body, result) for body, result in _bodies(system)]
        self.gone: set[int] = set()
        for kept in self.bodies:
            kept.look(self.group_of)

    def system(self, executed: set[int]) -> ir.System:
        """Do it."""
        counters = {self.group_of[process.pc] for process in self.old.processes}
        given = {g for g, group in enumerate(self.groups) if self.old.variables[group[0]].given}
        candidates = set(range(len(self.groups))) - counters
        while True:
            read = set[int]().union(*(kept.reads for kept in self.bodies))
            written = set[int]().union(*(kept.writes for kept in self.bodies))
            unread = candidates - read
            constant = candidates - written - unread - given
            if not unread and not constant:
                break
            candidates -= unread | constant
            self.gone |= unread | constant
            for kept in self.bodies:
                kept.shrink(self, unread, constant)
        return self._finished(executed)

    def _finished(self, executed: set[int]) -> ir.System:
        bases: dict[int, int] = {}
        for g, group in enumerate(self.groups):
            if g not in self.gone:
                bases.update({v: len(bases) + i for i, v in enumerate(group)})
        old = self.old
        bodies = iter([compact(list(kept.tidy().blocks), bases) for kept in self.bodies])
        processes = tuple(
            replace(p, pc=bases[p.pc], actions=tuple(_with_body(a, bodies) for a in p.actions))
            for p in old.processes
        )
        # fmt: off
        system = replace(
            old,
            variables=tuple(old.variables[v] for v in bases),
            init=tuple(old.init[v] for v in bases),
            processes=processes,
            rules=tuple(_with_body(rule, bodies) for rule in old.rules),
            invariants=tuple(replace(p, body=next(bodies)) for p in old.invariants),
            goals=tuple(replace(p, body=next(bodies)) for p in old.goals),
            progress=tuple(replace(p, body=next(bodies)) for p in old.progress),
        )
        # fmt: on
        rules = tuple(rule for rule in system.rules if _can_do_something(rule.body))
        dropped = [rule for rule in system.rules if not any(rule is kept for kept in rules)]
        system = replace(system, rules=rules)
        left = {line for body, _ in _bodies(system) for line in _lines(body)}
        gone = {line for rule in dropped for line in _lines(rule.body)} - left
        return _with_accesses(_without_lines(system, executed | gone))


class _Kept:
    """One body, and the groups that it names."""

    def __init__(self, body: ir.Body, result: bool) -> None:
        self.body = body
        self.result = result  # it answers in register 0
        self.settled = False  # to make it smaller again would change nothing
        self.reads: set[int] = set()
        self.writes: set[int] = set()
        self.named: set[int] = set()  # those, and what notes show

    def look(self, group_of: list[int]) -> None:
        """Find what it reads and writes."""
        self.reads = {group_of[place.base] for place in body_loads(self.body)}
        self.writes = {group_of[place.base] for place in body_stores(self.body)}
        shown = {group_of[place.base] for place in body_shows(self.body)}
        self.named = self.reads | self.writes | shown

    def shrink(self, pruning: _Pruning, unread: set[int], constant: set[int]) -> None:
        """Put in constants, and leave out stores to what nothing reads."""
        if self.settled and self.named.isdisjoint(unread | constant):
            return
        group_of, init, old = pruning.group_of, pruning.old.init, self.body

        def leaf(expr: ir.Expr) -> ir.Expr:
            if type(expr) is ir.Load:
                group = group_of[expr.place.base]
                if group in constant:
                    return _constant_load(expr.place.base, expr.place.index, init)
                if group in unread:  # only notes still name it
                    return ir.Const(init[expr.place.base])
            return expr

        def keep(op: ir.Op) -> bool:
            return not (type(op) is ir.Store and group_of[op.place.base] in unread)

        self.body = map_body(self.body, leaf, keep)
        self.settled = self.settled and self.body is old
        self.settled = self.tidy() is old
        if not self.settled:
            self.look(group_of)

    def tidy(self) -> ir.Body:
        """Without what constants make superfluous."""
        if not self.settled:
            body = live_blocks(propagate_constants(self.body))
            self.body = drop_dead_registers(body, self.result)
        return self.body


def _with_body(action: ir.Action, bodies: Iterator[ir.Body]) -> ir.Action:
    return replace(action, body=next(bodies))


def _constant_load(
    base: int, index: tuple[tuple[ir.Expr, int, int], ...], init: tuple[int, ...]
) -> ir.Expr:
    if not index:
        return ir.Const(init[base])
    (expr, stride, extent), rest = index[0], index[1:]
    options = [_constant_load(base + i * stride, rest, init) for i in range(extent)]
    if all(option == options[0] for option in options):
        return options[0]
    result: ir.Expr = ir.Const(0)
    for i in range(extent - 1, -1, -1):
        result = ir.Select(ir.Binary("eq", expr, ir.Const(i)), options[i], result)
    return result


def _bodies(system: ir.System) -> Iterator[tuple[ir.Body, bool]]:
    """Every body, and whether it answers in register 0."""
    for process in system.processes:
        for action in process.actions:
            yield action.body, False
    for action in system.rules:
        yield action.body, False
    for prop in (*system.invariants, *system.goals, *system.progress):
        yield prop.body, True


def _with_accesses(system: ir.System) -> ir.System:
    """The same with what each action reads and writes."""

    def action(old: ir.Action, private: set[int]) -> ir.Action:
        reads, writes = body_accesses(old.body, private)
        return replace(old, reads=reads, writes=writes)

    processes = tuple(
        replace(p, actions=tuple(action(a, {p.pc}) for a in p.actions)) for p in system.processes
    )
    return replace(system, processes=processes, rules=tuple(action(r, set()) for r in system.rules))


def _lines(body: ir.Body) -> set[int]:
    return {op.line for block in body.blocks for op in block.ops if isinstance(op, ir.Cover)}


def _without_lines(system: ir.System, executed: set[int]) -> ir.System:
    """Without some lines in the coverage table: they ran before the search began, or never can."""
    kept = [line for line in range(len(system.lines)) if line not in executed]
    number = {old: new for new, old in enumerate(kept)}

    def ops_of(ops: tuple[ir.Op, ...]) -> Iterator[ir.Op]:
        for op in ops:
            if not isinstance(op, ir.Cover):
                yield op
            elif op.line not in executed:
                yield ir.Cover(number[op.line])

    def change(body: ir.Body) -> ir.Body:
        blocks = [ir.Block(tuple(ops_of(block.ops)), block.end) for block in body.blocks]
        return ir.Body(tuple(blocks), body.registers)

    def action_of(action: ir.Action) -> ir.Action:
        return replace(action, body=change(action.body))

    def property_of(prop: ir.Property) -> ir.Property:
        return replace(prop, body=change(prop.body))

    return replace(
        system,
        lines=tuple(system.lines[old] for old in kept),
        processes=tuple(
            replace(p, actions=tuple(map(action_of, p.actions))) for p in system.processes
        ),
        rules=tuple(map(action_of, system.rules)),
        invariants=tuple(map(property_of, system.invariants)),
        goals=tuple(map(property_of, system.goals)),
        progress=tuple(map(property_of, system.progress)),
    )


def _can_do_something(body: ir.Body) -> bool:
    """Whether a rule can ever change the state or fail."""
    return any(
        isinstance(op, (ir.Store, ir.Check)) for block in body.blocks for op in block.ops
    ) and not any(
        isinstance(op, ir.Guard) and op.condition == ir.Const(0) for op in body.blocks[0].ops
    )
