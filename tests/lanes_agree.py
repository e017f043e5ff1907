"""What the search of many lanes at once must have in common with the ordinary one."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from random import Random

from shootdown.check.native.lanes_choose import leaf_code_size
from shootdown.check.native.lanes_leaf import LANES, MOST_WORDS, Leaf
from shootdown.check.native.lanes_split import can_split, split
from shootdown.check.outcomes import holds, is_deadlock, judge_property, outcomes
from shootdown.check.result import Result, Verdict, Violation, ViolationKind
from shootdown.lang.ir import System


def some_leaf(system: System, random: Random) -> Leaf | None:
    """A leaf of variables chosen by chance, some of them bits of others; in one or more words.

    Code for many lanes takes long to compile: mostly there are few, and none if there is too much.
    """
    leaf = _some_leaf(system, random)
    return None if leaf is None or leaf_code_size(system, leaf) > 1500 else leaf


def _some_leaf(system: System, random: Random) -> Leaf | None:
    sets = [v for v in range(len(system.variables)) if can_split(system, v)]
    steps = {process.pc for process in system.processes}
    split_ones = random.sample(sets, random.randint(0, len(sets))) if random.randrange(2) else []
    parts = split(system, [v for v in split_ones if not system.variables[v].given])
    if steps & parts.bits.keys():
        parts = split(system, ())
    system = parts.system
    variables = [v for v, var in enumerate(system.variables) if v not in steps and not var.given]
    random.shuffle(variables)
    chosen: list[int] = []
    lanes = 1
    most = random.choice([4, 6, 12, 24, LANES * MOST_WORDS])
    for variable in variables:
        if 1 < system.variables[variable].size <= most // lanes:
            chosen.append(variable)
            lanes *= system.variables[variable].size
    if lanes == 1:
        return None
    best = Leaf.of(system, chosen, sorted(parts.bits))
    if random.randrange(2):
        return best if best.words <= MOST_WORDS else None
    # more words than are needed
    sizes = tuple(system.variables[v].size for v in chosen)
    found = [
        Leaf(tuple(chosen), sizes, inner, tuple(sorted(parts.bits)))
        for inner in range(len(chosen) + 1)
        if prod(sizes[:inner]) <= LANES and prod(sizes[inner:]) <= MOST_WORDS
    ]
    return random.choice(found) if found else None


def counts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine."""
    return {
        "states": result.states,
        "expanded": result.expanded,
        "transitions": result.transitions,
        "depth": result.depth,
        "goals": result.goals,
        "covered": result.covered,
        "frontier": result.frontier,
    }


def is_race(system: System, violation: Violation) -> bool:
    """Whether a violation is one, by the meaning of the system."""
    path = violation.path
    if path[0] != system.init:
        return False
    for here, there in pairwise(path):
        if all(outcome.state != there for outcome in outcomes(system, here)):
            return False
    last = path[-1]
    ends = list(outcomes(system, last))
    if violation.failing_outcome is not None:
        return ends[violation.failing_outcome].failure == violation.index
    if violation.kind is ViolationKind.DEADLOCK:
        return is_deadlock(system, last, ends)
    if violation.kind is ViolationKind.INVARIANT:
        return not holds(system, system.invariants[violation.index], last)
    return any(
        judge_property(prop, last).failure == violation.index
        for prop in (*system.invariants, *system.goals)
    )


def agree(found: Result, expected: Result) -> None:
    """Compare results of the two ways to search."""
    if expected.verdict is Verdict.UNKNOWN or found.verdict is Verdict.UNKNOWN:
        # where the limit falls before a violation for one of them only
        assert {found.verdict, expected.verdict} <= {Verdict.UNKNOWN, Verdict.VIOLATED}
        if found.verdict is Verdict.UNKNOWN:
            assert found.stopped == "states"
            assert found.states == max(found.states, expected.states)
        return
    assert found.verdict == expected.verdict
    if found.violation is None or expected.violation is None:
        assert counts(found) == counts(expected)
        return
    assert is_race(found.system, found.violation)
    lengths = [v.length for v in (found.violation, expected.violation)]
    deadlock = ViolationKind.DEADLOCK in (found.violation.kind, expected.violation.kind)
    assert abs(lengths[0] - lengths[1]) <= deadlock
