"""Variables that are sets, as a variable of one bit for each element.

A few elements of a set can so be in the leaf of the lanes while the others are not. Bit ``i`` of
variable ``v`` is variable ``v + i * n`` where ``n`` is the number of variables, so what an index
means stays the same. Numbers that are left over have the size 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from shootdown.check.native.lanes_bits import (
    LOGICAL,
    ONE,
    binary,
    bitwise,
    number,
    rebuilt,
    rebuilt_place,
)
from shootdown.check.native.lanes_leaf import tidied
from shootdown.lang.bodies import body_loads, body_stores, simplify
from shootdown.lang.interpret import State
from shootdown.lang.ir import (
    Action,
    Binary,
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Expr,
    Guard,
    Load,
    Note,
    Op,
    Place,
    Property,
    Reg,
    Select,
    Set,
    Store,
    System,
    Variable,
)
from shootdown.lang.prune import drop_dead_registers

MOST_BITS = 6


@dataclass(frozen=True)
class Split:
    """A system some of whose variables are split."""

    original: System
    bits: dict[int, int]  # of each variable that is split

    @cached_property
    def system(self) -> System:
        """The system over the bits."""
        return _over_bits(self.original, self.bits) if self.bits else self.original

    @property
    def variables(self) -> int:
        """How many variables that has."""
        return len(self.original.variables) * max(self.bits.values(), default=1)

    def number(self, variable: int, bit: int) -> int:
        """The variable that is a bit of another."""
        return variable + bit * len(self.original.variables)

    def to_bits(self, state: State) -> State:
        """A state of the system as one of that with bits."""
        return _to_bits(state, self.bits, self.variables)

    def from_bits(self, state: State) -> State:
        """The state that a state of the system with bits means."""
        values = list(state[: len(self.original.variables)])
        for variable, count in self.bits.items():
            values[variable] = sum(state[self.number(variable, i)] << i for i in range(count))
        return tuple(values)


def can_split(system: System, variable: int) -> bool:
    """Whether a variable has the size of a set of a few elements."""
    size = system.variables[variable].size
    return 4 <= size <= 1 << MOST_BITS and size & size - 1 == 0


def together(system: System, variables: Collection[int]) -> set[int]:
    """Some variables, and those that some place with an index names together with them."""
    found = set(variables)
    groups = [set(place.variables()) for place in _places(system) if place.index]
    size = -1
    while len(found) != size:
        size = len(found)
        for group in groups:
            if group & found:
                found |= group
    return found


def split(system: System, variables: Collection[int]) -> Split:
    """Split some variables, and those that a place with an index names together with them."""
    chosen = together(system, variables)
    return Split(system, {v: (system.variables[v].size - 1).bit_length() for v in sorted(chosen)})


def _over_bits(system: System, bits: dict[int, int]) -> System:
    count = len(system.variables)
    numbers = [Variable("", 1)] * (count * max(bits.values()))
    numbers[:count] = system.variables
    for variable, width in bits.items():
        for i in range(width):
            name = f"{system.variables[variable].name}.{i}"
            numbers[variable + i * count] = Variable(name, 2)
    writer = _BodySplitter(bits, count, [variable.size for variable in numbers])

    def action(old: Action) -> Action:
        return replace(old, body=writer.body(old.body), reads=frozenset(), writes=frozenset())

    def prop(old: Property) -> Property:
        return replace(old, body=writer.body(old.body, result=True))

    return replace(
        system,
        variables=tuple(numbers),
        init=_to_bits(system.init, bits, len(numbers)),
        processes=tuple(
            replace(process, actions=tuple(map(action, process.actions)))
            for process in system.processes
        ),
        rules=tuple(map(action, system.rules)),
        invariants=tuple(map(prop, system.invariants)),
        goals=tuple(map(prop, system.goals)),
    )


def _to_bits(state: State, bits: dict[int, int], total: int) -> State:
    values = [*state, *[0] * (total - len(state))]
    for variable, count in bits.items():
        for i in range(count):
            values[variable + i * len(state)] = state[variable] >> i & 1
    return tuple(values)


def _places(system: System) -> Iterator[Place]:
    bodies = [action.body for process in system.processes for action in process.actions]
    bodies += [action.body for action in system.rules]
    bodies += [prop.body for prop in (*system.invariants, *system.goals)]
    for body in bodies:
        yield from body_loads(body)
        yield from body_stores(body)


class _BodySplitter:
    """Rewrites bodies. Each register gets one more for each bit, so that it is known where a bit of
    a value comes from; most of them are not needed and dropped again."""

    def __init__(self, bits: dict[int, int], count: int, sizes: list[int]) -> None:
        self.bits = bits
        self.count = count
        self.sizes = sizes
        self.ops: list[Op] = []  # of the block that is written
        self.most = max(bits.values())

    def body(self, body: Body, *, result: bool = False) -> Body:
        """The same body over the bits; register 0 is a ``result`` or not."""
        if not any(self.is_split(place) for place in (*body_loads(body), *body_stores(body))):
            return body
        # what a choice sets has no bits of its own
        chosen = {block.end.reg for block in body.blocks if isinstance(block.end, Choice)}
        self.whole = chosen
        self.registers = body.registers
        self.next = body.registers * (self.most + 1)
        blocks = tuple(self.block(block) for block in body.blocks)
        return tidied(drop_dead_registers(Body(blocks, self.next), result), self.sizes)

    def is_split(self, place: Place) -> bool:
        return any(variable in self.bits for variable in place.variables())

    def block(self, block: Block) -> Block:
        ops: list[Op] = []
        self.ops = ops
        for op in block.ops:
            self.operation(op, ops)
        end = block.end
        match end:
            case Branch(condition, then, orelse):
                end = Branch(self.mapped(condition), then, orelse)
            case Choice(reg, mask, width, target):
                # so that lanes_bits.bit_of finds them
                parts = [bitwise("and", self.bit(mask, i), ONE) for i in range(width)]
                end = Choice(reg, number(parts), width, target)
        return Block(tuple(ops), end)

    def operation(self, op: Op, ops: list[Op]) -> None:
        match op:
            case Set(reg, value):
                if reg not in self.whole:
                    # all of them look at the old value of the register
                    fresh = [self.fresh() for _ in range(self.most)]
                    parts = [self.bit(value, i) for i in range(self.most)]
                    ops += [Set(r, part) for r, part in zip(fresh, parts, strict=True)]
                    ops.append(Set(reg, self.mapped(value)))
                    ops += [Set(self.shadow(reg, i), Reg(r)) for i, r in enumerate(fresh)]
                else:
                    ops.append(Set(reg, self.mapped(value)))
            case Store(place, value) if self.is_split(place):
                place = rebuilt_place(place, self.leaf)
                # storing a bit must not change the next one, nor where that goes
                place = self.settled(place)
                bits = [self.kept(self.bit(value, i)) for i in range(self.width(place))]
                ops += [Store(self.part(place, i), bit) for i, bit in enumerate(bits)]
            case Note():
                pass
            case Store(place, value):
                ops.append(Store(rebuilt_place(place, self.leaf), self.mapped(value)))
            case Guard(condition):
                ops.append(Guard(self.mapped(condition)))
            case Check(condition, failure):
                ops.append(Check(self.mapped(condition), failure))
            case _:
                ops.append(op)

    def kept(self, expr: Expr) -> Expr:
        """What an expression is now, for later within the operation."""
        if isinstance(expr, Const | Reg):
            return expr
        reg = self.fresh()
        self.ops.append(Set(reg, expr))
        return Reg(reg)

    def fresh(self) -> int:
        self.next += 1
        return self.next - 1

    def shadow(self, reg: int, bit: int) -> int:
        """The register that holds a bit of another."""
        return self.registers + reg * self.most + bit

    def width(self, place: Place) -> int:
        return self.bits[next(place.variables())]

    def part(self, place: Place, bit: int) -> Place:
        return Place(place.base + bit * self.count, place.index)

    # ------------------------------------------------------------------ expressions

    def mapped(self, expr: Expr) -> Expr:
        """An expression over the bits."""
        return rebuilt(expr, self.leaf)

    def leaf(self, expr: Expr) -> Expr:
        """A load of a variable that is split, as the number that its bits make."""
        if isinstance(expr, Load) and self.is_split(expr.place):
            place = self.settled(expr.place)
            return number([Load(self.part(place, i)) for i in range(self.width(place))])
        return expr

    def settled(self, place: Place) -> Place:
        """A place whose indices are computed once, here: several bits are looked for there."""
        index = tuple((self.kept(expr), *shape) for expr, *shape in place.index)
        return Place(place.base, index)  # type: ignore[arg-type]

    def bit(self, expr: Expr, i: int) -> Expr:
        """Bit ``i`` of an expression of the system that is split, over the bits."""
        match expr:
            case Const(value):
                return Const(value >> i & 1)
            case Reg(index) if index not in self.whole and i < self.most:
                return Reg(self.shadow(index, i))
            case Load(place) if self.is_split(place):
                if i >= self.width(place):
                    return Const(0)
                return Load(self.part(self.settled(rebuilt_place(place, self.leaf)), i))
            case Binary("and" | "or" | "xor" as op, left, right):
                return bitwise(op, self.bit(left, i), self.bit(right, i))
            case Binary("shl", left, Const(amount)) if 0 <= amount < 64:
                return self.bit(left, i - amount) if i >= amount else Const(0)
            case Binary("shl", Const(1), amount):
                return simplify(Binary("eq", self.mapped(amount), Const(i)))
            case Binary("shr", left, Const(amount)) if 0 <= amount < 63 - i:
                return self.bit(left, i + amount)
            case Binary(op) if op in LOGICAL:
                return self.mapped(expr) if i == 0 else Const(0)
            case Select(condition, then, orelse):
                parts = self.mapped(condition), self.bit(then, i), self.bit(orelse, i)
                return simplify(Select(*parts))
        return bitwise("and", binary("shr", self.mapped(expr), Const(i)), ONE)
