"""The search of many lanes at once gives the result of the reference engine."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dontneed_ir import COUNTS, dontneed
from lanes_agree import agree, counts, some_leaf
from random_ir import systems
from shootdown.check import reference
from shootdown.check.native import explore as ordinary
from shootdown.check.native import lanes
from shootdown.check.native.lanes import explore_lanes
from shootdown.check.native.lanes_choose import choose_leaf
from shootdown.check.native.lanes_leaf import LANES, Leaf, use_of, variants
from shootdown.check.result import Limits, Verdict
from shootdown.errors import ShootdownError
from shootdown.lang.ir import Block, Body, Choice, Const, Done, Place, Reg, Store, System
from shootdown.races import library
from small_ir import action, binary, body, load, process, prop, put, system

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "40"))


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    system=systems(),
    states=st.sampled_from([7, 150, 400]),
    good=st.integers(0, 39),
    seed=st.integers(0, 1000),
)
def test_random_systems(system: System, states: int, good: int, seed: int) -> None:
    leaf = some_leaf(system, Random(seed))
    if leaf is not None:
        limits = Limits(states=states)
        found = explore_lanes(system, leaf, limits, good_code=good == 0)
        agree(found, reference.explore(system, limits))


@pytest.mark.parametrize("size", [(2, 1), (3, 1)])
def test_dontneed(size: tuple[int, int]) -> None:
    model = dontneed(*size)
    leaf = choose_leaf(model)
    assert leaf is not None
    found = explore_lanes(model, leaf)
    assert found.states == COUNTS[size][0]
    assert found.keys is not None
    assert found.states > 1.5 * found.keys
    agree(found, ordinary(model))


def test_the_historic_bug_has_a_race_of_the_same_length() -> None:
    model = dontneed(2, 1, nested=False)
    leaf = choose_leaf(model)
    assert leaf is not None
    agree(explore_lanes(model, leaf), ordinary(model))


# ------------------------------------------------------------------------------ the leaf


def flags(count: int) -> System:
    """So many bits that change by themselves."""
    rules = [
        action(f"flip{v}", body(put(v, binary("sub", 1, load(v)))), fair=False)
        for v in range(count)
    ]
    last = binary("eq", load(count - 1), 1)
    return system([2] * count, [0] * count, rules=rules, goals=[prop("last", last)])


def test_bits_that_change_by_themselves_are_a_leaf() -> None:
    leaf = choose_leaf(flags(8))
    assert leaf is not None
    assert leaf.lanes == LANES
    found = explore_lanes(flags(8), leaf)
    assert (found.states, found.keys) == (256, 4)
    agree(found, ordinary(flags(8)))


def test_the_topmost_lane() -> None:
    leaf = Leaf.of(flags(6), range(6))
    found = explore_lanes(flags(6), leaf)
    assert (found.states, found.keys, found.depth) == (64, 1, 6)
    assert found.goals == (True,)


def test_where_a_process_stands_is_no_leaf() -> None:
    steps = process(0, body(), body())
    assert choose_leaf(system([3], [0], processes=[steps]), 0.0) == Leaf((), ())


def choice_of_a_flag(value: int) -> Body:
    """Put a value into one of three flags."""
    chosen = Place(0, ((Reg(0), 1, 3),))
    ask = Block((), Choice(0, Const(0b111), 3, 1))
    return Body((ask, Block((Store(chosen, Const(value)),), Done())), 1)


def test_a_choice_of_the_variable_makes_a_body_for_each() -> None:
    leaf = Leaf.of(flags(3), range(3))
    found = [use for _, use in variants(choice_of_a_flag(1), leaf)]
    assert [(use.read, use.overwritten) for use in found] == [((), (v,)) for v in range(3)]
    assert use_of(choice_of_a_flag(1), leaf).read == (0, 1, 2)


def test_overwriting_counts_each_outcome_once() -> None:
    model = system([2] * 3, [0] * 3, rules=[action("set", choice_of_a_flag(1), fair=False)])
    agree(explore_lanes(model, Leaf.of(model, range(3))), reference.explore(model))


def test_a_deadlock_of_some_lanes_only() -> None:
    """The thread waits for a flag that a rule clears for ever."""
    wait = body(put(0, 1), put(1, 0))
    clear = action("clear", body(put(1, 0)), fair=False)
    blocked = Body((Block((), Done()),), 1)
    model = system([2, 2], [0, 1], processes=[process(0, wait)], rules=[clear])
    agree(explore_lanes(model, Leaf.of(model, [1])), reference.explore(model))
    stuck = system([2, 2], [0, 1], processes=[process(0, blocked)], rules=[clear])
    found = explore_lanes(stuck, Leaf.of(stuck, [1]))
    assert found.verdict is Verdict.VIOLATED
    agree(found, reference.explore(stuck))


# ------------------------------------------------------------------------------ limits


def test_limits() -> None:
    model = flags(10)
    leaf = Leaf.of(model, [0, 1])
    found = explore_lanes(model, leaf, Limits(states=1000))
    assert (found.verdict, found.stopped, found.states) == (Verdict.UNKNOWN, "states", 1000)
    assert explore_lanes(model, leaf, Limits(states=1024)).verdict is Verdict.HOLDS
    assert explore_lanes(flags(24), leaf, Limits(memory=16 << 20)).stopped == "memory"
    assert explore_lanes(flags(24), leaf, Limits(time=0.2)).stopped == "time"


def test_growing() -> None:
    model = flags(18)
    found = explore_lanes(model, Leaf.of(model, [17]))
    assert (found.states, found.keys, found.depth) == (1 << 18, 1 << 17, 18)
    assert found.verdict is Verdict.HOLDS


# ------------------------------------------------------------------------------ how it is chosen


def test_without_a_leaf_it_is_the_ordinary_search() -> None:
    model = system([2, 2], [0, 0], processes=[process(0, body(put(0, 1), put(1, 1)))])
    found = lanes.explore(model)
    assert found.keys == 0
    assert counts(found) == counts(ordinary(model))


def test_what_was_chosen_is_kept() -> None:
    first, second = lanes.explore(flags(8)), lanes.explore(flags(8))
    assert first.keys == 4
    assert counts(first) == counts(second)
    assert second.keys == 4


def test_an_interrupt_while_choosing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: System) -> Leaf:
        raise KeyboardInterrupt

    monkeypatch.setattr(lanes, "choose_leaf", interrupted)
    found = lanes.explore(flags(9))
    assert (found.verdict, found.stopped, found.states) == (Verdict.UNKNOWN, "interrupt", 0)


def test_a_short_search_is_the_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = flags(8)
    assert lanes.explore_auto(model).keys is None
    monkeypatch.setattr(lanes, "SHORT", 50)
    found = lanes.explore_auto(model)
    assert found.keys == 4
    assert counts(found) == counts(ordinary(model))
    stopped = lanes.explore_auto(model, Limits(states=50))
    assert (stopped.stopped, stopped.keys) == ("states", None)


def test_after_a_short_search_the_race_is_still_the_ordinary_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = dontneed(2, 1, nested=False)
    monkeypatch.setattr(lanes, "SHORT", 20)
    found = lanes.explore_auto(model)
    assert found.violation == ordinary(model).violation


# ------------------------------------------------------------------------------ the library


@pytest.mark.deep
@pytest.mark.parametrize("name", [scenario.name for scenario in library()])
def test_scenarios_with_explicit_entries(name: str) -> None:
    scenario = next(s for s in library() if s.name == name)
    try:
        model = scenario.compile(options={"tlb": "explicit"})
    except ShootdownError:
        pytest.skip("no TLB")
    expected = ordinary(model, Limits(states=60_000))
    if expected.stopped:
        pytest.skip("large")
    leaf = choose_leaf(model, 0.0)
    if leaf is not None and leaf.variables:
        agree(explore_lanes(model, leaf, good_code=False), expected)
