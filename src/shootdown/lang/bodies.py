"""Working on compiled bodies: what they read and write, rebuilding them, folding constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from shootdown.lang import ir

ExprMap: TypeAlias = Callable[[ir.Expr], ir.Expr]


def map_expr(expr: ir.Expr, leaf: ExprMap) -> ir.Expr:
    """Rebuild an expression bottom-up through ``leaf``; what does not change is kept as it is."""
    kind = type(expr)
    if kind is ir.Const or kind is ir.Reg:
        return leaf(expr)
    if isinstance(expr, ir.Binary):
        left, right = map_expr(expr.left, leaf), map_expr(expr.right, leaf)
        if left is not expr.left or right is not expr.right:
            expr = simplify(ir.Binary(expr.op, left, right))
    elif isinstance(expr, ir.Load):
        if expr.place.index:
            place = map_place(expr.place, leaf)
            if place is not expr.place:
                expr = ir.Load(place)
    elif isinstance(expr, ir.Select):
        condition, then = map_expr(expr.condition, leaf), map_expr(expr.then, leaf)
        orelse = map_expr(expr.orelse, leaf)
        if condition is not expr.condition or then is not expr.then or orelse is not expr.orelse:
            expr = simplify(ir.Select(condition, then, orelse))
    elif isinstance(expr, ir.Unary):
        operand = map_expr(expr.operand, leaf)
        if operand is not expr.operand:
            expr = simplify(ir.Unary(expr.op, operand))
    return leaf(expr)


def map_place(place: ir.Place, leaf: ExprMap) -> ir.Place:
    """The same place with its index rebuilt; constant indices are folded into the base."""
    if not place.index:
        return place
    base, index = place.base, []
    for expr, stride, extent in place.index:
        mapped = map_expr(expr, leaf)
        if isinstance(mapped, ir.Const):
            base += ir.within(mapped.value, extent) * stride
        else:
            index.append((mapped, stride, extent))
    same_index = len(index) == len(place.index) and all(
        new[0] is old[0] for new, old in zip(index, place.index, strict=True)
    )
    if same_index and base == place.base:
        return place
    return ir.Place(base, tuple(index))


def map_op(op: ir.Op, leaf: ExprMap) -> ir.Op:
    """The same operation with every expression rebuilt."""
    if isinstance(op, ir.Set):
        value = map_expr(op.value, leaf)
        return op if value is op.value else ir.Set(op.reg, value)
    if isinstance(op, ir.Store):
        place, value = map_place(op.place, leaf), map_expr(op.value, leaf)
        return op if value is op.value and place is op.place else ir.Store(place, value)
    if isinstance(op, ir.Guard):
        condition = map_expr(op.condition, leaf)
        return op if condition is op.condition else ir.Guard(condition)
    if isinstance(op, ir.Check):
        condition = map_expr(op.condition, leaf)
        return op if condition is op.condition else ir.Check(condition, op.failure)
    if isinstance(op, ir.Note) and op.values:
        shown = tuple(ir.Shown(map_expr(v.value, leaf), v.show) for v in op.values)
        return ir.Note(op.kind, op.template, shown)
    return op


def map_block(
    block: ir.Block, leaf: ExprMap, keep: Callable[[ir.Op], bool] | None = None
) -> ir.Block:
    """The same block with every expression rebuilt and some operations dropped."""
    ops = tuple(map_op(op, leaf) for op in block.ops if keep is None or keep(op))
    end = block.end
    if isinstance(end, ir.Branch):
        condition = map_expr(end.condition, leaf)
        if isinstance(condition, ir.Const):
            end = ir.Jump(end.then if condition.value else end.orelse)
        elif condition is not end.condition:
            end = ir.Branch(condition, end.then, end.orelse)
    elif isinstance(end, ir.Choice):
        end = ir.Choice(end.reg, map_expr(end.mask, leaf), end.width, end.target)
    return ir.Block(ops, end)


def map_body(body: ir.Body, leaf: ExprMap, keep: Callable[[ir.Op], bool] | None = None) -> ir.Body:
    """The same body with every expression rebuilt and some operations dropped."""
    return ir.Body(tuple(map_block(b, leaf, keep) for b in body.blocks), body.registers)


# --------------------------------------------------------------------------- constants


def simplify(expr: ir.Expr) -> ir.Expr:
    """Fold constants at the top of an expression whose parts are folded already."""
    if isinstance(expr, ir.Binary):
        if isinstance(expr.left, ir.Const) and isinstance(expr.right, ir.Const):
            return ir.Const(OPERATIONS[expr.op](expr.left.value, expr.right.value))
    elif isinstance(expr, ir.Unary):
        if isinstance(expr.operand, ir.Const):
            return ir.Const(UNARY[expr.op](expr.operand.value))
    elif isinstance(expr, ir.Select) and isinstance(expr.condition, ir.Const):
        return expr.then if expr.condition.value else expr.orelse
    return expr


UNARY: dict[str, Callable[[int], int]] = {
    "neg": lambda a: -a,
    "lnot": lambda a: 1 - a,
    "popcount": int.bit_count,
}
OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "shr": lambda a, b: a >> b,
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
    "lt": lambda a, b: int(a < b),
    "le": lambda a, b: int(a <= b),
    "gt": lambda a, b: int(a > b),
    "ge": lambda a, b: int(a >= b),
    "land": lambda a, b: a & b,
    "lor": lambda a, b: a | b,
    "min": min,
    "max": max,
}


# --------------------------------------------------------------------------- reads and writes


def expr_regs(expr: ir.Expr) -> Iterator[int]:
    """The registers that an expression reads."""
    match expr:
        case ir.Reg(index):
            yield index
        case ir.Load(place):
            yield from place_regs(place)
        case ir.Binary(_, left, right):
            yield from expr_regs(left)
            yield from expr_regs(right)
        case ir.Unary(_, operand):
            yield from expr_regs(operand)
        case ir.Select(condition, then, orelse):
            yield from expr_regs(condition)
            yield from expr_regs(then)
            yield from expr_regs(orelse)


def place_regs(place: ir.Place) -> Iterator[int]:
    """The registers in a place's index."""
    for expr, _, _ in place.index:
        yield from expr_regs(expr)


def op_uses(op: ir.Op) -> set[int]:
    """The registers that an operation reads."""
    match op:
        case ir.Set(_, value):
            return set(expr_regs(value))
        case ir.Store(place, value):
            return {*place_regs(place), *expr_regs(value)}
        case ir.Guard(condition) | ir.Check(condition, _):
            return set(expr_regs(condition))
        case ir.Note(_, _, values):
            return {reg for shown in values for reg in expr_regs(shown.value)}
    return set()


def expr_loads(expr: ir.Expr) -> Iterator[ir.Place]:
    """The places that an expression reads."""
    match expr:
        case ir.Load(place):
            yield place
            for index, _, _ in place.index:
                yield from expr_loads(index)
        case ir.Binary(_, left, right):
            yield from expr_loads(left)
            yield from expr_loads(right)
        case ir.Unary(_, operand):
            yield from expr_loads(operand)
        case ir.Select(condition, then, orelse):
            for part in (condition, then, orelse):
                yield from expr_loads(part)


def body_exprs(body: ir.Body) -> Iterator[ir.Expr]:
    """Every expression that matters for the outcome of a body (notes do not)."""
    for block in body.blocks:
        for op in block.ops:
            match op:
                case ir.Set(_, value):
                    yield value
                case ir.Store(place, value):
                    yield value
                    yield from (e for e, _, _ in place.index)
                case ir.Guard(condition) | ir.Check(condition, _):
                    yield condition
        match block.end:
            case ir.Branch(condition, _, _):
                yield condition
            case ir.Choice(_, mask, _, _):
                yield mask


def body_accesses(body: ir.Body, private: set[int]) -> tuple[frozenset[int], frozenset[int]]:
    """The variables that a body may read and may write, without the process's own counter."""
    reads = {v for e in body_exprs(body) for place in expr_loads(e) for v in place.variables()}
    writes = {
        v
        for block in body.blocks
        for op in block.ops
        if isinstance(op, ir.Store)
        for v in op.place.variables()
    }
    return frozenset(reads - private), frozenset(writes - private)


# --------------------------------------------------------------------------- tidying


def compact(blocks: list[ir.Block]) -> ir.Body:
    """Renumber registers from 0 (register 0 keeps its number: properties answer in it), drop
    registers that are never read, and join blocks that only follow one another."""
    blocks = _join(blocks)
    numbers: dict[int, int] = {0: 0}

    def reg(index: int) -> int:
        return numbers.setdefault(index, len(numbers))

    renamed = [_rename(block, reg) for block in blocks]
    return ir.Body(tuple(renamed), len(numbers))


def _join(blocks: list[ir.Block]) -> list[ir.Block]:
    entries = [0] * len(blocks)
    entries[0] = 1
    for block in blocks:
        for target in block_targets(block):
            entries[target] += 1
    merged: dict[int, int] = {}
    result = list(blocks)
    for i in range(len(result)):
        while True:
            end = result[i].end
            if not isinstance(end, ir.Jump) or entries[end.target] != 1 or i in merged:
                break
            follower = result[end.target]
            merged[end.target] = i
            result[i] = ir.Block(result[i].ops + follower.ops, follower.end)
    keep = [i for i in range(len(result)) if i not in merged and (entries[i] or i == 0)]
    number = {old: new for new, old in enumerate(keep)}
    return [_retarget(result[i], number) for i in keep]


def block_targets(block: ir.Block) -> tuple[int, ...]:
    """The numbers of the blocks that may follow."""
    match block.end:
        case ir.Jump(target) | ir.Choice(_, _, _, target):
            return (target,)
        case ir.Branch(_, then, orelse):
            return (then, orelse)
    return ()


def _retarget(block: ir.Block, number: dict[int, int]) -> ir.Block:
    match block.end:
        case ir.Jump(target):
            return ir.Block(block.ops, ir.Jump(number[target]))
        case ir.Branch(condition, then, orelse):
            return ir.Block(block.ops, ir.Branch(condition, number[then], number[orelse]))
        case ir.Choice(reg, mask, width, target):
            return ir.Block(block.ops, ir.Choice(reg, mask, width, number[target]))
    return block


def _rename(block: ir.Block, reg: Callable[[int], int]) -> ir.Block:
    """The same block over renamed registers."""

    def leaf(expr: ir.Expr) -> ir.Expr:
        return ir.Reg(reg(expr.index)) if isinstance(expr, ir.Reg) else expr

    mapped = map_block(block, leaf)
    ops = tuple(
        ir.Set(reg(op.reg), op.value) if isinstance(op, ir.Set) else op for op in mapped.ops
    )
    end = mapped.end
    if isinstance(end, ir.Choice):
        end = ir.Choice(reg(end.reg), end.mask, end.width, end.target)
    return ir.Block(ops, end)
