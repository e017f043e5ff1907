"""Which variables make a good leaf: those that give many states the same key.

Candidates are all variables that some action writes and whose values fit, but for the places where
processes stand. How often a few of them differ while the rest is the same is counted in samples of
the states: what a short search reaches from the initial state, and from states along some random
runs (a search from the beginning alone would see the first steps of all processes only).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from shootdown.check.native.engine import sample
from shootdown.check.native.lanes_leaf import LANES, Leaf, code_size, variants
from shootdown.check.native.layout import WORD, Slot, plan
from shootdown.check.outcomes import Outcome, outcomes
from shootdown.lang.bodies import body_stores
from shootdown.lang.interpret import State
from shootdown.lang.ir import Action, System

LEAST_GAIN = 1.5
"""States for each key below which a leaf is not worth it."""

_RUNS = 2
_STOPS = 4  # states of each run from which a search begins
_STEPS = 400  # of a run
_STATES = 4000  # of one search
_MOST_CODE = 10_000  # operations, written for all lanes: compiled in about a second


def choose_leaf(system: System, least_gain: float = LEAST_GAIN) -> Leaf | None:
    """The leaf that makes the fewest keys of the sampled states; None if none is worth it."""
    states = list({state for start in _starts(system) for state in _reached(system, start)})
    slots = plan(system).slots
    best: tuple[int, tuple[int, ...]] = (len(states), ())
    for thrifty in (False, True):
        best = min(best, _greedy(system, slots, states, thrifty))
    keys, variables = best
    while variables and _code_size(system, variables) > _MOST_CODE:
        variables = variables[:-1]
        keys = _keys(states, [slots[v] for v in variables])
    variables = tuple(sorted(variables))
    return Leaf.of(system, variables) if len(states) >= least_gain * keys else None


def _greedy(
    system: System, slots: Sequence[Slot], states: list[int], thrifty: bool
) -> tuple[int, tuple[int, ...]]:
    """Take one variable after the other: the one that saves most keys, or (``thrifty``) most for
    the number of lanes that it needs."""
    chosen: list[int] = []
    lanes, keys = 1, len(states)
    left = candidates(system)
    while True:
        left = [v for v in left if v not in chosen and lanes * system.variables[v].size <= LANES]
        costs = []
        for variable in left:
            found = _keys(states, [slots[v] for v in (*chosen, variable)])
            if found < keys:
                saved = math.log(keys / found)
                size = math.log(system.variables[variable].size) if thrifty else 1.0
                costs.append((-saved / size, found, variable))
        if not costs:
            return keys, tuple(chosen)
        _, keys, variable = min(costs)
        chosen.append(variable)
        lanes *= system.variables[variable].size


def _keys(states: list[int], leaf: list[Slot]) -> int:
    """How many different states there are if the leaf does not count."""
    kept = ~sum(slot.mask << WORD * slot.word for slot in leaf)
    return len({state & kept for state in states})


def _code_size(system: System, variables: tuple[int, ...]) -> int:
    leaf = Leaf.of(system, variables)
    return sum(code_size(variants(action.body, leaf), leaf) for action in _actions(system))


def _actions(system: System) -> list[Action]:
    return [*(a for process in system.processes for a in process.actions), *system.rules]


def candidates(system: System) -> list[int]:
    """The variables that can be in a leaf."""
    places = {process.pc for process in system.processes}
    stores = [place for action in _actions(system) for place in body_stores(action.body)]
    written = {v for place in stores for v in place.variables()}
    return [
        number
        for number in sorted(written - places)
        if 1 < system.variables[number].size <= LANES and not system.variables[number].given
    ]


# --------------------------------------------------------------------------- samples


def _reached(system: System, start: State) -> list[int]:
    """Some states near to one."""
    return sample(replace(system, init=start), _STATES)


def _starts(system: System) -> Iterator[State]:
    """The initial state and states along random runs."""
    yield system.init
    random = Random(1)
    for _ in range(_RUNS):
        run = _run(system, random)
        for i in range(1, _STOPS + 1):
            yield run[i * len(run) // (_STOPS + 1)]


def _run(system: System, random: Random) -> list[State]:
    """A run that takes steps of processes more often than rules, until all have finished."""
    run = [system.init]
    while len(run) < _STEPS:
        found = [o for o in outcomes(system, run[-1]) if o.state is not None]
        steps = [o for o in found if o.process is not None]
        if not found or (not steps and run[-1] != system.init):
            break
        some: list[Outcome] = steps if steps and random.randrange(4) else found
        state = random.choice(some).state
        assert state is not None
        run.append(state)
    return run
