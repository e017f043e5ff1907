"""Which successors need no look-up, since another order of the same two steps led there before.

Let ``p`` be a state, ``a`` and ``b`` two of its outcomes, that commute: neither writes what the
other reads or writes, unless both write the same constant. Where ``a`` leads to a new state ``s``
and ``b`` to a state that was known before ``s``, the outcome of ``b`` in ``s`` is known when ``s``
is expanded: the other state is expanded before ``s``, and ``a`` leads from there to the same place.
It need not be generated; the order of discovery, all states and all counts stay as they are.

So each state has a set of outcomes that are known, 32 bits wide, from its discovery until it is
expanded; :mod:`.core` keeps it. This is the idea of sleep sets (Godefroid, "Partial-Order Methods
for the Verification of Concurrent Systems", 1996), which leave out transitions but no states.

A bit stands for an action, or for one value of its choice: for one outcome at most, which can fail
no check that it has not passed in ``p`` already, as commuting implies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shootdown.lang.bodies import block_targets, body_accesses, map_block
from shootdown.lang.ir import Action, Body, Choice, Const, Done, Expr, Reg, Set, Store, System

ITEMS = 32
_WIDEST = 8  # the widest choice whose values are told apart


@dataclass(frozen=True, slots=True)
class _Use:
    """The variables that an outcome may read and write, and which of them it can only write one
    constant to."""

    reads: frozenset[int]
    writes: frozenset[int]
    constants: frozenset[tuple[int, int]]

    def conflicts(self, other: _Use) -> bool:
        """Whether the order of the two matters."""
        if self.writes & other.reads or other.writes & self.reads:
            return True
        both = self.writes & other.writes
        return bool(both) and len(both) != len(self.constants & other.constants)


@dataclass(frozen=True, slots=True)
class Ways:
    """The outcomes of an action: one for each value of its choice, or all together.

    ``first`` is the number of the first bit, and ``given`` says how many of the values, from 0 on,
    have one. ``others`` are, for each value, the bits of the outcomes that commute with it.
    ``register`` is where the chosen value is at the end; None where no choice is told apart.
    """

    register: int | None
    first: int
    given: int
    others: tuple[int, ...]

    def kinds(self) -> Iterator[int]:
        """For each value its bit, 0 if it has none, and above it ``others``."""
        for value, others in enumerate(self.others):
            yield others << ITEMS | (1 << self.first + value if value < self.given else 0)


@dataclass(frozen=True, slots=True)
class Commuting:
    """What the search must know of each action (by ``id``). ``fair`` are the bits of fair actions.

    ``unsure`` are, for a fair action with bits, the variables to which something that commutes
    with it may write the same. That it changes these in one state does not say that it does so
    after the other action, too.
    """

    ways: dict[int, Ways]
    unsure: dict[int, frozenset[int]]
    fair: int


def commuting(system: System) -> Commuting:
    """Find the outcomes that get a bit, and what commutes."""
    actions, uses, registers = _outcomes(system)
    first: dict[int, int] = {}
    given: dict[int, int] = {}
    items: list[tuple[int, _Use]] = []
    for key in _ranked(system, actions, uses, registers):
        chosen = uses[key][: ITEMS - len(items)]
        first[key], given[key] = len(items), len(chosen)
        items += [(1 << len(items) + value, use) for value, use in enumerate(chosen)]

    def friends(use: _Use) -> int:
        return sum(bit for bit, other in items if use is not other and not use.conflicts(other))

    ways = {}
    for key, several in uses.items():
        bits = (first.get(key, 0), given.get(key, 0))
        ways[key] = Ways(registers[key], *bits, tuple(map(friends, several)))
    fair, unsure = 0, {}
    for key, count in given.items():
        if actions[key].fair:
            fair |= (1 << count) - 1 << first[key]
            unsure[key] = _unsure(uses[key], uses)
    return Commuting(ways, unsure, fair)


def _outcomes(
    system: System,
) -> tuple[dict[int, Action], dict[int, list[_Use]], dict[int, int | None]]:
    """The actions; for each one what its outcomes use, and where the value that tells them apart
    is."""
    actions: dict[int, Action] = {id(rule): rule for rule in system.rules}
    counters: dict[int, set[int]] = {}
    for process in system.processes:
        for action in process.actions:
            actions[id(action)] = action
            counters.setdefault(id(action), set()).add(process.pc)
    uses: dict[int, list[_Use]] = {}
    registers: dict[int, int | None] = {}
    for key, action in actions.items():
        choice = _choice(action.body)
        registers[key] = None if choice is None else choice.reg
        bodies = [action.body] if choice is None else _values(action.body, choice)
        uses[key] = [_use(body, counters.get(key, set())) for body in bodies]
    return actions, uses, registers


def _ranked(
    system: System,
    actions: dict[int, Action],
    uses: dict[int, list[_Use]],
    registers: dict[int, int | None],
) -> list[int]:
    """Whose outcomes get bits, the best first.

    These are rules, which go on in most states, and steps with a choice, of which a state can have
    many outcomes. Other steps are too rare.
    """
    steps = [action for process in system.processes for action in process.actions]
    times = Counter(map(id, (*system.rules, *steps)))
    able = [
        key
        for key in actions
        if times[key] == 1 and (registers[key] is not None or not _chooses(actions[key].body))
    ]
    here = set(map(id, steps))
    able = [key for key in able if key not in here or registers[key] is not None]
    candidates = [use for key in able for use in uses[key]]
    if len(candidates) <= ITEMS:
        return able

    def friends(key: int) -> float:
        several = uses[key]
        return sum(not a.conflicts(b) for a in several for b in candidates) / len(several)

    return sorted(able, key=lambda key: (key in here, -friends(key)))


def _unsure(several: list[_Use], uses: dict[int, list[_Use]]) -> frozenset[int]:
    """The variables to which some of ``several`` and others that commute with them write the
    same."""
    found: set[int] = set()
    for other in (use for all_of_one in uses.values() for use in all_of_one):
        for use in several:
            same = use.constants & other.constants
            if same and use is not other and not use.conflicts(other):
                found |= {variable for variable, _ in same}
    return frozenset(found)


def _use(body: Body, counters: set[int]) -> _Use:
    """What a body uses; it also reads the program counters that lead to it."""
    reads, writes = body_accesses(body, set())
    values: dict[int, set[Expr]] = {}
    for block in body.blocks:
        for op in block.ops:
            if isinstance(op, Store):
                for variable in op.place.variables():
                    values.setdefault(variable, set()).add(op.value)
    constants = frozenset(
        (variable, value.value)
        for variable, (value, *more) in values.items()
        if not more and isinstance(value, Const)
    )
    return _Use(reads | counters, writes, constants)


def _chooses(body: Body) -> bool:
    return any(isinstance(block.end, Choice) for block in body.blocks)


def _choice(body: Body) -> Choice | None:
    """The choice of a body, if each of its ways takes that one and no other, and still has its
    value at the end."""
    order = body.order()
    numbers = [n for n in order if isinstance(body.blocks[n].end, Choice)]
    if len(numbers) != 1:
        return None
    choice = body.blocks[numbers[0]].end
    assert isinstance(choice, Choice)
    if not 1 < choice.width <= _WIDEST:
        return None
    behind = _behind(body, choice)
    for number in order:
        block = body.blocks[number]
        if number not in behind:
            if isinstance(block.end, Done):
                return None
            if number != numbers[0] and not behind.isdisjoint(block_targets(block)):
                return None
        elif any(isinstance(op, Set) and op.reg == choice.reg for op in block.ops):
            return None
    return choice


def _behind(body: Body, choice: Choice) -> set[int]:
    """The blocks that follow a choice."""
    behind: set[int] = set()
    waiting = [choice.target]
    while waiting:
        number = waiting.pop()
        if number not in behind:
            behind.add(number)
            waiting += block_targets(body.blocks[number])
    return behind


def _values(body: Body, choice: Choice) -> Iterator[Body]:
    """The body for each value of its choice."""
    behind = _behind(body, choice)
    for value in range(choice.width):

        def leaf(expr: Expr, value: int = value) -> Expr:
            return Const(value) if type(expr) is Reg and expr.index == choice.reg else expr

        yield Body(
            tuple(
                map_block(block, leaf) if number in behind else block
                for number, block in enumerate(body.blocks)
            ),
            body.registers,
        )
