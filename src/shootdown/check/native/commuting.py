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

from shootdown.lang.bodies import body_accesses
from shootdown.lang.ir import Action, Body, Choice, System

ITEMS = 32


@dataclass(frozen=True, slots=True)
class _Use:
    """The variables that an action may read and write."""

    reads: frozenset[int]
    writes: frozenset[int]

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
    uses = {id(rule): _Use(*body_accesses(rule.body, set())) for rule in system.rules}
    for process in system.processes:
        for action in process.actions:
            reads, writes = body_accesses(action.body, set())
            uses[id(action)] = _Use(reads | {process.pc}, writes)
    times = Counter(map(id, system.rules))
    able = [r for r in system.rules if times[id(r)] == 1 and not _chooses(r.body)]

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


def _chooses(body: Body) -> bool:
    return any(isinstance(block.end, Choice) for block in body.blocks)
