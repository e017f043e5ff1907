"""Which successors need no look-up, since another order of the same two steps led there before.

Let ``p`` be a state, ``a`` and ``b`` two of its outcomes, by actions that commute: neither writes
what the other reads or writes. Where ``a`` leads to a new state ``s`` and ``b`` to a state that was
known before ``s``, the outcome of ``b`` in ``s`` is known when ``s`` is expanded: the other state
is expanded before ``s``, and ``a`` leads from there to the same place. It need not be generated;
the order of discovery, all states and all counts stay as they are.

So each state has a set of rules whose outcomes are known, 32 bits wide, from its discovery until it
is expanded; :mod:`.core` keeps it. This is the idea of sleep sets (Godefroid, "Partial-Order
Methods for the Verification of Concurrent Systems", 1996), which leave out transitions but no
states.

A rule can be in such a set if it has one outcome at most (no choice) and can fail no check that it
has not passed in ``p`` already, which commuting implies.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from shootdown.check.native.layout import elements, resolve
from shootdown.lang.ir import (
    Action,
    Binary,
    Body,
    Branch,
    Check,
    Choice,
    Expr,
    Guard,
    Load,
    Place,
    Select,
    Set,
    Store,
    System,
    Unary,
)

ITEMS = 32


@dataclass(slots=True)
class _Use:
    """The variables that a body may read and write, as sets of bits."""

    reads: int = 0
    writes: int = 0
    chooses: bool = False

    def conflicts(self, other: _Use) -> bool:
        """Whether the order of the two matters."""
        mine, theirs = self.reads | self.writes, other.reads | other.writes
        return bool(self.writes & theirs or other.writes & mine)


@dataclass(frozen=True, slots=True)
class Commuting:
    """For each action (by ``id``): its bit, 0 if it has none, and the bits of the rules that
    commute with it. ``fair`` are the bits of fair rules."""

    bits: dict[int, int]
    others: dict[int, int]
    fair: int


def commuting(system: System) -> Commuting:
    """Find the rules that get a bit, and what commutes."""
    uses = {id(rule): _use(rule.body) for rule in system.rules}
    for process in system.processes:
        for action in process.actions:
            use = uses[id(action)] = _use(action.body)
            use.reads |= 1 << process.pc
    times = Counter(map(id, system.rules))
    able = [r for r in system.rules if times[id(r)] == 1 and not uses[id(r)].chooses]

    def friends(rule: Action) -> int:
        return sum(not uses[id(rule)].conflicts(uses[id(other)]) for other in able)

    if len(able) > ITEMS:
        able.sort(key=friends, reverse=True)  # a stable sort: the first of equals
    bits = {id(rule): 1 << number for number, rule in enumerate(able[:ITEMS])}
    others = {
        key: sum(bit for rule, bit in bits.items() if not use.conflicts(uses[rule]))
        for key, use in uses.items()
    }
    fair = sum(bits[id(rule)] for rule in able[:ITEMS] if rule.fair)
    return Commuting(bits, others, fair)


def _use(body: Body) -> _Use:
    use = _Use()
    for block in body.blocks:
        for op in block.ops:
            match op:
                case Set(_, value):
                    _read(value, use)
                case Store(place, value):
                    use.writes |= _bits(place)
                    _read_index(place, use)
                    _read(value, use)
                case Guard(condition) | Check(condition, _):
                    _read(condition, use)
        match block.end:
            case Branch(condition, _, _):
                _read(condition, use)
            case Choice(_, mask, _, _):
                use.chooses = True
                _read(mask, use)
    return use


def _read(expr: Expr, use: _Use) -> None:
    match expr:
        case Load(place):
            use.reads |= _bits(place)
            _read_index(place, use)
        case Binary(_, left, right):
            _read(left, use)
            _read(right, use)
        case Unary(_, operand):
            _read(operand, use)
        case Select(condition, then, orelse):
            _read(condition, use)
            _read(then, use)
            _read(orelse, use)


def _read_index(place: Place, use: _Use) -> None:
    for expr, _, _ in place.index:
        _read(expr, use)


def _bits(place: Place) -> int:
    """All variables that a place may name."""
    base, dimensions = resolve(place)
    if base is None:
        return 0
    shape = [(stride, extent) for _, stride, extent in dimensions]
    bits = 0
    for variable in elements(base, shape):
        bits |= 1 << variable
    return bits
