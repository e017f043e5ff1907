"""Which variables make a good leaf: those that give many states the same key.

Candidates are all variables that some action writes and whose values fit, but for the places where
processes stand; of a set, its elements one by one. How often a few of them differ while the rest is
the same is counted in samples of the states: what a short search reaches from the initial state,
and from states along some random runs (a search from the beginning alone would see the first steps
of all processes only).

More lanes make fewer keys, but each takes longer: twice as many words need about 1.2 times as long
for the same number of keys, as measured on ``dontneed``. The price is a little less than that,
since a sample has fewer states for each key than all states have: it lacks what is next to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from shootdown.check.native.engine import Prepared, sample
from shootdown.check.native.lanes_count import Counter
from shootdown.check.native.lanes_leaf import (
    LANES,
    MOST_WORDS,
    Leaf,
    code_size,
    fewest_words,
    variants,
)
from shootdown.check.native.lanes_split import can_split, split
from shootdown.check.native.layout import WORD, plan
from shootdown.check.outcomes import Outcome, outcomes
from shootdown.lang.bodies import body_stores
from shootdown.lang.interpret import State
from shootdown.lang.ir import Action, System

LEAST_GAIN = 1.5
"""States for each key below which a leaf is not worth it."""

_PRICE = 1.15  # how much longer a key takes with twice as many words
_RUNS = 2
_STOPS = 4  # states of each run from which a search begins
_STEPS = 400  # of a run
_STATES = 32_000  # of one search
_MOST_CODE = 10_000  # operations, written for all lanes: compiled in about a second


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variable, or an element of one that is a set: ``mask`` are its bits in a state."""

    variable: int
    bit: int | None
    size: int
    mask: int


def choose_leaf(system: System, least_gain: float = LEAST_GAIN) -> Leaf | None:
    """The leaf with which the sampled states take the least time, by the numbers of keys and words;
    None if none is worth it."""
    prepared = Prepared(system, short=True)
    states = list({s for start in _starts(system) for s in sample(prepared, start, _STATES)})
    counter = Counter(states, prepared.layout.words)
    best: tuple[float, tuple[Candidate, ...]] = (len(states), ())
    for most in (1, 2, 4, MOST_WORDS):
        for thrifty in (False, True):
            best = min(best, _greedy(system, counter, most, thrifty), key=lambda b: b[0])
    chosen = best[1]
    leaf = _leaf(system, chosen)
    while chosen and leaf_code_size(system, leaf) > _MOST_CODE:
        chosen = chosen[:-1]
        leaf = _leaf(system, chosen)
    keys = counter.keys(sum(candidate.mask for candidate in chosen))
    return leaf if len(states) >= least_gain * keys else None


def _greedy(
    system: System, counter: Counter, most_words: int, thrifty: bool
) -> tuple[float, tuple[Candidate, ...]]:
    """Take one candidate after the other: the one that saves most keys, or (``thrifty``) most for
    the number of lanes that it needs. The best that there was by the way, and its cost."""
    chosen: list[Candidate] = []
    keys = counter.keys(0)
    best: tuple[float, tuple[Candidate, ...]] = (keys, ())
    left = candidates(system)
    while True:
        sizes = [candidate.size for candidate in chosen]
        left = [
            candidate
            for candidate in left
            if candidate not in chosen and _words(*sizes, candidate.size) <= most_words
        ]
        taken = sum(candidate.mask for candidate in chosen)
        costs = []
        for number, candidate in enumerate(left):
            found = counter.keys(taken | candidate.mask)
            if found < keys:
                saved = math.log(keys / found)
                costs.append((-saved / (math.log(candidate.size) if thrifty else 1), found, number))
        if not costs:
            return best
        _, keys, number = min(costs)
        chosen.append(left[number])
        words = _words(*(candidate.size for candidate in chosen))
        best = min(best, (keys * _PRICE ** math.log2(words), tuple(chosen)), key=lambda b: b[0])


def _words(*sizes: int) -> int:
    return _cached_words(tuple(sorted(sizes)))


@cache
def _cached_words(sizes: tuple[int, ...]) -> int:
    return fewest_words(sizes)[0]


def _leaf(system: System, chosen: Sequence[Candidate]) -> Leaf:
    """The leaf of some candidates."""
    parts = split(system, [c.variable for c in chosen if c.bit is not None])
    variables = [parts.number(c.variable, c.bit or 0) for c in chosen]
    return Leaf.of(parts.system, sorted(variables), sorted(parts.bits))


def leaf_code_size(system: System, leaf: Leaf) -> int:
    """How many operations are written for all lanes, about."""
    system = split(system, leaf.split).system
    sizes = [variable.size for variable in system.variables]
    return sum(code_size(variants(action.body, leaf, sizes), leaf) for action in _actions(system))


def _actions(system: System) -> list[Action]:
    return [*(a for process in system.processes for a in process.actions), *system.rules]


def candidates(system: System) -> list[Candidate]:
    """The variables, or elements of them, that can be in a leaf."""
    places = {process.pc for process in system.processes}
    stores = [place for action in _actions(system) for place in body_stores(action.body)]
    written = {v for place in stores for v in place.variables()}
    slots = plan(system).slots
    found = []
    for number in sorted(written - places):
        size, slot = system.variables[number].size, slots[number]
        if not 1 < size <= LANES or system.variables[number].given:
            continue
        mask = slot.mask << WORD * slot.word
        if can_split(system, number):
            first = WORD * slot.word + slot.shift
            found += [Candidate(number, i, 2, 1 << first + i) for i in range(slot.bits)]
        else:
            found.append(Candidate(number, None, size, mask))
    return found


# --------------------------------------------------------------------------- samples


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
