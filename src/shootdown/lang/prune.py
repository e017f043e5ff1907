"""Makes a compiled system small: no unused registers or variables, constants folded.

A field that only ever has its initial value is a constant; a field that nothing reads does not
belong to the state. Fields are kept or dropped whole (all elements of an array).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from shootdown.lang import ir
from shootdown.lang.bodies import (
    block_targets,
    body_accesses,
    body_exprs,
    compact,
    expr_loads,
    expr_regs,
    map_body,
    op_uses,
)


def drop_dead_registers(body: ir.Body, keep_result: bool) -> ir.Body:
    """Without assignments to registers that nothing reads."""
    blocks = list(body.blocks)
    dropped = True
    while dropped:
        used = {0} if keep_result else set()
        for block in blocks:
            for op in block.ops:
                used |= op_uses(op)
            if isinstance(block.end, ir.Branch):
                used |= set(expr_regs(block.end.condition))
            elif isinstance(block.end, ir.Choice):
                used |= set(expr_regs(block.end.mask))
        dropped = False
        for i, block in enumerate(blocks):
            ops = tuple(op for op in block.ops if not isinstance(op, ir.Set) or op.reg in used)
            if len(ops) != len(block.ops):
                blocks[i] = ir.Block(ops, block.end)
                dropped = True
    return ir.Body(tuple(blocks), body.registers)


def propagate_constants(body: ir.Body) -> ir.Body:
    """Replace registers that are set once, to a constant or to another such register."""
    known: dict[int, ir.Expr] = {}
    count: dict[int, int] = {}
    for block in body.blocks:
        for op in block.ops:
            if isinstance(op, ir.Set):
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


def prune(system: ir.System, groups: list[range]) -> ir.System:
    """The same system without constants and variables that nothing reads.

    ``groups`` are the ranges of variables that belong together (the elements of one field).
    """
    while True:
        smaller = _once(system, groups)
        if smaller is None:
            return _finish(system)
        system, groups = smaller


def _once(system: ir.System, groups: list[range]) -> tuple[ir.System, list[range]] | None:
    group_of = {v: g for g, group in enumerate(groups) for v in group}
    pcs = {process.pc for process in system.processes}
    reads: set[int] = set()
    writes: set[int] = set()
    for body in _bodies(system):
        for expr in body_exprs(body):
            reads.update(group_of[v] for place in expr_loads(expr) for v in place.variables())
        writes.update(group_of[v] for v in body_accesses(body, set())[1])
    pc_groups = {group_of[pc] for pc in pcs}
    everything = set(range(len(groups)))
    unread = everything - reads - pc_groups
    given = {g for g, group in enumerate(groups) if system.variables[group[0]].given}
    constant = everything - writes - pc_groups - unread - given
    if not unread and not constant:
        return None
    kept = [g for g in range(len(groups)) if g not in unread and g not in constant]
    new_base: dict[int, int] = {}
    variables: list[ir.Variable] = []
    init: list[int] = []
    new_groups = []
    for g in kept:
        new_groups.append(range(len(variables), len(variables) + len(groups[g])))
        for v in groups[g]:
            new_base[v] = len(variables)
            variables.append(system.variables[v])
            init.append(system.init[v])

    def leaf(expr: ir.Expr) -> ir.Expr:
        if not isinstance(expr, ir.Load):
            return expr
        place = expr.place
        if group_of[place.base] in constant:
            return _constant_load(place.base, place.index, system.init)
        if group_of[place.base] in unread:  # only notes still name it
            return ir.Const(system.init[place.base])
        return ir.Load(ir.Place(new_base[place.base], place.index))

    def keep(op: ir.Op) -> bool:
        return not (isinstance(op, ir.Store) and group_of[op.place.base] in unread)

    def shrink(body: ir.Body, keep_result: bool) -> ir.Body:
        body = map_body(body, leaf, keep)
        body = map_body_places(body, new_base)
        body = propagate_constants(body)
        return drop_dead_registers(live_blocks(body), keep_result)

    return (
        _with_bodies(
            replace(system, variables=tuple(variables), init=tuple(init)), shrink, new_base
        ),
        new_groups,
    )


def map_body_places(body: ir.Body, new_base: dict[int, int]) -> ir.Body:
    """Stores (loads are done already) to renumbered variables."""
    blocks = []
    for block in body.blocks:
        ops = tuple(
            ir.Store(ir.Place(new_base[op.place.base], op.place.index), op.value)
            if isinstance(op, ir.Store)
            else op
            for op in block.ops
        )
        blocks.append(ir.Block(ops, block.end))
    return ir.Body(tuple(blocks), body.registers)


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


def _bodies(system: ir.System) -> Iterable[ir.Body]:
    for process in system.processes:
        for action in process.actions:
            yield action.body
    for action in system.rules:
        yield action.body
    for prop in (*system.invariants, *system.goals, *system.progress):
        yield prop.body


def _with_bodies(
    system: ir.System,
    change: Callable[[ir.Body, bool], ir.Body],
    new_base: dict[int, int] | None = None,
) -> ir.System:
    def pc(old: int) -> int:
        return old if new_base is None else new_base[old]

    processes = []
    for process in system.processes:
        actions = tuple(
            replace(action, body=change(action.body, False)) for action in process.actions
        )
        processes.append(replace(process, pc=pc(process.pc), actions=actions))
    return replace(
        system,
        processes=tuple(processes),
        rules=tuple(replace(rule, body=change(rule.body, False)) for rule in system.rules),
        invariants=tuple(replace(p, body=change(p.body, True)) for p in system.invariants),
        goals=tuple(replace(p, body=change(p.body, True)) for p in system.goals),
        progress=tuple(replace(p, body=change(p.body, True)) for p in system.progress),
    )


def _with_accesses(system: ir.System) -> ir.System:
    """The same with what each action reads and writes."""

    def action(old: ir.Action, private: set[int]) -> ir.Action:
        reads, writes = body_accesses(old.body, private)
        return replace(old, reads=reads, writes=writes)

    processes = tuple(
        replace(p, actions=tuple(action(a, {p.pc}) for a in p.actions)) for p in system.processes
    )
    return replace(system, processes=processes, rules=tuple(action(r, set()) for r in system.rules))


def _finish(system: ir.System) -> ir.System:
    def tidy(body: ir.Body, keep_result: bool) -> ir.Body:
        body = drop_dead_registers(live_blocks(propagate_constants(body)), keep_result)
        return compact(list(body.blocks))

    system = _with_bodies(system, tidy)
    rules = tuple(rule for rule in system.rules if _can_do_something(rule.body))
    dropped = {id(rule) for rule in system.rules} - {id(rule) for rule in rules}
    gone = {line for rule in system.rules if id(rule) in dropped for line in _lines(rule.body)}
    system = _with_accesses(replace(system, rules=rules))
    return without_lines(system, gone - {line for body in _bodies(system) for line in _lines(body)})


def _lines(body: ir.Body) -> set[int]:
    return {op.line for block in body.blocks for op in block.ops if isinstance(op, ir.Cover)}


def without_lines(system: ir.System, executed: set[int]) -> ir.System:
    """Without some lines in the coverage table: they ran before the search began, or never can."""
    kept = [line for line in range(len(system.lines)) if line not in executed]
    number = {old: new for new, old in enumerate(kept)}

    def change(body: ir.Body, keep_result: bool) -> ir.Body:
        blocks = []
        for block in body.blocks:
            ops = tuple(
                ir.Cover(number[op.line]) if isinstance(op, ir.Cover) else op
                for op in block.ops
                if not (isinstance(op, ir.Cover) and op.line in executed)
            )
            blocks.append(ir.Block(ops, block.end))
        return ir.Body(tuple(blocks), body.registers)

    lines = tuple(system.lines[old] for old in kept)
    return _with_bodies(replace(system, lines=lines), change)


def _can_do_something(body: ir.Body) -> bool:
    """Whether a rule can ever change the state or fail."""
    return any(
        isinstance(op, (ir.Store, ir.Check)) for block in body.blocks for op in block.ops
    ) and not any(
        isinstance(op, ir.Guard) and op.condition == ir.Const(0) for op in body.blocks[0].ops
    )
