"""Working on compiled bodies: what they read and write, rebuilding them, folding constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import is_
from typing import TypeAlias

from shootdown.lang import ir

ExprMap: TypeAlias = Callable[[ir.Expr], ir.Expr]


def map_expr(expr: ir.Expr, leaf: ExprMap) -> ir.Expr:
    """Rebuild an expression bottom-up through ``leaf``; what does not change is kept as it is."""
    # `type(...) is` fails faster than isinstance(), and compiling is hardly anything else
    if type(expr) is ir.Const or type(expr) is ir.Reg:
        return leaf(expr)
    if type(expr) is ir.Binary:
        left, right = map_expr(expr.left, leaf), map_expr(expr.right, leaf)
        if left is not expr.left or right is not expr.right:
            expr = simplify(ir.Binary(expr.op, left, right))
    elif type(expr) is ir.Load:
        if expr.place.index:
            place = map_place(expr.place, leaf)
            if place is not expr.place:
                expr = ir.Load(place)
    elif type(expr) is ir.Select:
        condition, then = map_expr(expr.condition, leaf), map_expr(expr.then, leaf)
        orelse = map_expr(expr.orelse, leaf)
        if condition is not expr.condition or then is not expr.then or orelse is not expr.orelse:
            expr = simplify(ir.Select(condition, then, orelse))
    elif type(expr) is ir.Unary:
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
    if type(op) is ir.Cover:
        return op
    if type(op) is ir.Set:
        value = map_expr(op.value, leaf)
        return op if value is op.value else ir.Set(op.reg, value)
    if type(op) is ir.Store:
        place, value = map_place(op.place, leaf), map_expr(op.value, leaf)
        return op if value is op.value and place is op.place else ir.Store(place, value)
    if type(op) is ir.Guard:
        condition = map_expr(op.condition, leaf)
        return op if condition is op.condition else ir.Guard(condition)
    if type(op) is ir.Check:
        condition = map_expr(op.condition, leaf)
        return op if condition is op.condition else ir.Check(condition, op.failure)
    if type(op) is ir.Note and op.values:
        values = [map_expr(v.value, leaf) for v in op.values]
        if all(new is v.value for new, v in zip(values, op.values, strict=True)):
            return op
        shown = tuple(ir.Shown(new, v.show) for new, v in zip(values, op.values, strict=True))
        return ir.Note(op.kind, op.template, shown)
    return op


def map_block(
    block: ir.Block, leaf: ExprMap, keep: Callable[[ir.Op], bool] | None = None
) -> ir.Block:
    """The same block with every expression rebuilt and some operations dropped."""
    if keep is None:
        ops = tuple([op if type(op) is ir.Cover else map_op(op, leaf) for op in block.ops])
    else:
        ops = tuple([map_op(op, leaf) for op in block.ops if keep(op)])
    if len(ops) == len(block.ops) and all(map(is_, ops, block.ops)):
        ops = block.ops
    end = block.end
    if isinstance(end, ir.Branch):
        condition = map_expr(end.condition, leaf)
        if isinstance(condition, ir.Const):
            end = ir.Jump(end.then if condition.value else end.orelse)
        elif condition is not end.condition:
            end = ir.Branch(condition, end.then, end.orelse)
    elif isinstance(end, ir.Choice):
        mask = map_expr(end.mask, leaf)
        end = end if mask is end.mask else ir.Choice(end.reg, mask, end.width, end.target)
    return block if ops is block.ops and end is block.end else ir.Block(ops, end)


def map_body(body: ir.Body, leaf: ExprMap, keep: Callable[[ir.Op], bool] | None = None) -> ir.Body:
    """The same body with every expression rebuilt and some operations dropped."""
    blocks = tuple([map_block(b, leaf, keep) for b in body.blocks])
    same = all(map(is_, blocks, body.blocks))
    return body if same else ir.Body(blocks, body.registers)


# --------------------------------------------------------------------------- constants


def simplify(expr: ir.Expr) -> ir.Expr:
    """Fold constants at the top of an expression whose parts are folded already."""
    if type(expr) is ir.Binary:
        if type(expr.left) is ir.Const and type(expr.right) is ir.Const:
            return ir.Const(OPERATIONS[expr.op](expr.left.value, expr.right.value))
    elif type(expr) is ir.Unary:
        if type(expr.operand) is ir.Const:
            return ir.Const(UNARY[expr.op](expr.operand.value))
    elif type(expr) is ir.Select and type(expr.condition) is ir.Const:
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


def expr_regs(expr: ir.Expr) -> list[int]:
    """The registers that an expression reads."""
    found: list[int] = []
    _add_regs(expr, found)
    return found


def _add_regs(expr: ir.Expr, found: list[int]) -> None:
    if type(expr) is ir.Reg:
        found.append(expr.index)
    elif type(expr) is ir.Binary:
        _add_regs(expr.left, found)
        _add_regs(expr.right, found)
    elif type(expr) is ir.Load:
        for index, _, _ in expr.place.index:
            _add_regs(index, found)
    elif type(expr) is ir.Select:
        _add_regs(expr.condition, found)
        _add_regs(expr.then, found)
        _add_regs(expr.orelse, found)
    elif type(expr) is ir.Unary:
        _add_regs(expr.operand, found)


def op_uses(op: ir.Op) -> list[int]:
    """The registers that an operation reads."""
    found: list[int] = []
    _add_uses(op, found)
    return found


def _add_uses(op: ir.Op, found: list[int]) -> None:
    if type(op) is ir.Cover:
        return
    if type(op) is ir.Set:
        _add_regs(op.value, found)
    elif type(op) is ir.Store:
        for index, _, _ in op.place.index:
            _add_regs(index, found)
        _add_regs(op.value, found)
    elif type(op) is ir.Guard or type(op) is ir.Check:
        _add_regs(op.condition, found)
    elif type(op) is ir.Note:
        for shown in op.values:
            _add_regs(shown.value, found)


def body_uses(body: ir.Body) -> list[int]:
    """The registers that a body reads, as often as it does."""
    found: list[int] = []
    for block in body.blocks:
        for op in block.ops:
            _add_uses(op, found)
        if type(block.end) is ir.Branch:
            _add_regs(block.end.condition, found)
        elif type(block.end) is ir.Choice:
            _add_regs(block.end.mask, found)
    return found


def expr_loads(expr: ir.Expr) -> list[ir.Place]:
    """The places that an expression reads."""
    found: list[ir.Place] = []
    _add_loads(expr, found)
    return found


def _add_loads(expr: ir.Expr, found: list[ir.Place]) -> None:
    if type(expr) is ir.Const or type(expr) is ir.Reg:
        return
    if type(expr) is ir.Binary:
        _add_loads(expr.left, found)
        _add_loads(expr.right, found)
    elif type(expr) is ir.Load:
        found.append(expr.place)
        for index, _, _ in expr.place.index:
            _add_loads(index, found)
    elif type(expr) is ir.Select:
        _add_loads(expr.condition, found)
        _add_loads(expr.then, found)
        _add_loads(expr.orelse, found)
    elif type(expr) is ir.Unary:
        _add_loads(expr.operand, found)


def body_loads(body: ir.Body) -> list[ir.Place]:
    """The places that a body may read, as far as they matter for its outcome (notes do not)."""
    found: list[ir.Place] = []
    for block in body.blocks:
        for op in block.ops:
            if type(op) is ir.Set:
                _add_loads(op.value, found)
            elif type(op) is ir.Store:
                _add_loads(op.value, found)
                for index, _, _ in op.place.index:
                    _add_loads(index, found)
            elif type(op) is ir.Guard or type(op) is ir.Check:
                _add_loads(op.condition, found)
        if isinstance(block.end, ir.Branch):
            _add_loads(block.end.condition, found)
        elif isinstance(block.end, ir.Choice):
            _add_loads(block.end.mask, found)
    return found


def body_shows(body: ir.Body) -> list[ir.Place]:
    """The places whose values notes show."""
    found: list[ir.Place] = []
    for block in body.blocks:
        for op in block.ops:
            if type(op) is ir.Note:
                for shown in op.values:
                    _add_loads(shown.value, found)
    return found


def body_stores(body: ir.Body) -> list[ir.Place]:
    """The places that a body may write."""
    return [op.place for block in body.blocks for op in block.ops if isinstance(op, ir.Store)]


def body_accesses(body: ir.Body, private: set[int]) -> tuple[frozenset[int], frozenset[int]]:
    """The variables that a body may read and may write, without the process's own counter."""
    reads = {v for place in body_loads(body) for v in place.variables()}
    writes = {v for place in body_stores(body) for v in place.variables()}
    return frozenset(reads - private), frozenset(writes - private)


# --------------------------------------------------------------------------- tidying


def compact(blocks: list[ir.Block], bases: Mapping[int, int] | None = None) -> ir.Body:
    """Renumber registers from 0 (register 0 keeps its number: properties answer in it), drop
    registers that are never read, and join blocks that only follow one another.

    ``bases`` renumbers the variables that places begin at.
    """
    blocks = _join(blocks)
    numbers: dict[int, int] = {0: 0}
    renamed = [_rename(block, numbers, bases) for block in blocks]
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


def _rename(block: ir.Block, numbers: dict[int, int], bases: Mapping[int, int] | None) -> ir.Block:
    """The same block over renamed registers and variables."""

    def leaf(expr: ir.Expr) -> ir.Expr:
        if type(expr) is ir.Reg:
            number = numbers.setdefault(expr.index, len(numbers))
            return expr if number == expr.index else ir.Reg(number)
        if bases is not None and type(expr) is ir.Load:
            place = rebased(expr.place, bases)
            return expr if place is expr.place else ir.Load(place)
        return expr

    mapped = map_block(block, leaf)
    ops: list[ir.Op] = []
    for op in mapped.ops:
        if type(op) is ir.Set:
            number = numbers.setdefault(op.reg, len(numbers))
            ops.append(op if number == op.reg else ir.Set(number, op.value))
        elif bases is not None and type(op) is ir.Store:
            ops.append(ir.Store(rebased(op.place, bases), op.value))
        else:
            ops.append(op)
    end = mapped.end
    if isinstance(end, ir.Choice):
        number = numbers.setdefault(end.reg, len(numbers))
        end = ir.Choice(number, end.mask, end.width, end.target)
    return ir.Block(tuple(ops), end)


def rebased(place: ir.Place, bases: Mapping[int, int]) -> ir.Place:
    """A place that begins at another variable."""
    base = bases[place.base]
    return place if base == place.base else ir.Place(base, place.index)
