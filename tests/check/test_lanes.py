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
from shootdown.check.memory import Watch
from shootdown.check.native import explore as ordinary
from shootdown.check.native import lanes
from shootdown.check.native.lanes import explore_lanes
from shootdown.check.native.lanes_choose import choose_leaf
from shootdown.check.native.lanes_emit import emit_lanes
from shootdown.check.native.lanes_leaf import LANES, Leaf, use_of, variants
from shootdown.check.native.lanes_split import split
from shootdown.check.native.layout import plan
from shootdown.check.result import Limits, Verdict
from shootdown.errors import ShootdownError
from shootdown.lang.ir import (
    Action,
    Block,
    Body,
    Choice,
    Const,
    Done,
    Expr,
    Guard,
    Load,
    Place,
    Reg,
    Store,
    System,
)
from shootdown.races import library
from small_ir import action, binary, body, load, process, prop, put, system

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "25"))


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
    assert (leaf.lanes, leaf.words) == (4 * LANES, 4)
    found = explore_lanes(flags(8), leaf)
    assert (found.states, found.keys) == (256, 1)
    agree(found, ordinary(flags(8)))


@pytest.mark.parametrize("words", [1, 2, 4, 8])
def test_lanes_in_several_words(words: int) -> None:
    model = flags(10)
    leaf = Leaf.of(model, range(6 + words.bit_length() - 1))
    assert leaf.words == words
    found = explore_lanes(model, leaf)
    assert (found.states, found.keys) == (1024, 16 // words)
    agree(found, ordinary(model))


def toggles(elements: int) -> System:
    """A set whose elements come and go one by one, and a flag that all of them set."""
    flip = binary("xor", load(0), binary("shl", 1, Reg(0)))
    toggle = Body(
        (
            Block((), Choice(0, Const((1 << elements) - 1), elements, 1)),
            Block((Store(Place(0), flip), Store(Place(1), Const(1))), Done()),
        ),
        1,
    )
    full = binary("eq", load(0), (1 << elements) - 1)
    goals = [prop("full", full)]
    return system([1 << elements, 2], [1, 0], rules=[action("toggle", toggle)], goals=goals)


@pytest.mark.parametrize("bits", [[0], [2], [0, 3], [0, 1, 2, 3]])
def test_elements_of_a_set(bits: list[int]) -> None:
    model = toggles(4)
    parts = split(model, [0])
    leaf = Leaf.of(parts.system, [parts.number(0, bit) for bit in bits], [0])
    found = explore_lanes(model, leaf)
    assert found.keys == 1 + (16 >> len(bits))
    agree(found, reference.explore(model))


def test_a_state_and_its_bits() -> None:
    model = toggles(4)
    parts = split(model, [0])
    assert parts.to_bits((13, 1)) == (1, 1, 0, 0, 1, 0, 1, 0)
    assert parts.from_bits(parts.to_bits((13, 1))) == (13, 1)


def test_an_index_chooses_a_set_that_is_split() -> None:
    """What is stored changes the index that says where it goes."""
    row = Place(0, ((Load(Place(0)), 1, 4),))
    add = binary("mod", binary("add", load(0), 3), 4)
    model = system([4] * 4, [1, 2, 3, 0], rules=[action("put", body(Store(row, add)))])
    parts = split(model, [0])
    assert parts.bits == {0: 2, 1: 2, 2: 2, 3: 2}
    for variables in ([0], [1, 4], [5, 6, 7]):
        leaf = Leaf.of(parts.system, variables, [0])
        agree(explore_lanes(model, leaf), reference.explore(model))


def test_the_topmost_lane() -> None:
    leaf = Leaf.of(flags(6), range(6))
    found = explore_lanes(flags(6), leaf)
    assert (found.states, found.keys, found.depth) == (64, 1, 6)
    assert found.goals == (True,)


def test_where_a_process_stands_is_no_leaf() -> None:
    steps = process(0, body(), body())
    model = system([3], [0], processes=[steps])
    assert choose_leaf(model, 0.0) == Leaf.of(model, ())


def choice_of_a_flag(value: int) -> Body:
    """Put a value into one of three flags."""
    chosen = Place(0, ((Reg(0), 1, 3),))
    ask = Block((), Choice(0, Const(0b111), 3, 1))
    return Body((ask, Block((Store(chosen, Const(value)),), Done())), 1)


def test_a_choice_of_the_variable_makes_a_body_for_each() -> None:
    leaf = Leaf.of(flags(3), range(3))
    found = [use for _, use in variants(choice_of_a_flag(1), leaf, [2] * 3)]
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


def test_lanes_that_change_places_all_make_progress() -> None:
    """From (1, 0) and (1, 1), which are searched together, the second variable goes round."""

    def rule(name: str, first: int, guard: Expr, then: Expr) -> Action:
        here = binary("land", binary("eq", load(0), first), guard)
        return action(name, body(Guard(here), put(0, 1), put(1, then)))

    low = binary("lt", load(1), 2)
    rules = [
        rule("begin", 0, Const(1), Const(0)),
        rule("begin higher", 0, Const(1), Const(1)),
        rule("step", 1, low, binary("add", load(1), 1)),
        rule("again", 1, binary("eq", load(1), 2), Const(0)),
    ]
    waits = process(2, body(Guard(Const(0))))
    model = system([2, 3, 2], [0, 0, 0], processes=[waits], rules=rules)
    found = explore_lanes(model, Leaf.of(model, [1]))
    assert (found.states, found.keys) == (4, 2)
    agree(found, reference.explore(model))


def test_what_commutes_is_skipped_and_counted() -> None:
    """Flags that rules set: those of the leaf, those of the key, and those of a fair rule."""
    rules = [
        action(f"set{v}", body(Guard(binary("eq", load(v), 0)), put(v, 1)), fair=v % 2 == 0)
        for v in range(8)
    ]
    model = system([2] * 8, [0] * 8, rules=rules, goals=[prop("all", load(7))])
    leaf = Leaf.of(model, [0, 1, 2])
    assert "and i64 %skip" in emit_lanes(model, plan(model, leaf.variables), leaf)[0]
    agree(explore_lanes(model, leaf), reference.explore(model))


# ------------------------------------------------------------------------------ limits


def test_limits() -> None:
    model = flags(10)
    leaf = Leaf.of(model, [0, 1])
    found = explore_lanes(model, leaf, Limits(states=1000))
    assert (found.verdict, found.stopped, found.states) == (Verdict.UNKNOWN, "states", 1000)
    assert explore_lanes(model, leaf, Limits(states=1024)).verdict is Verdict.HOLDS
    assert explore_lanes(flags(24), leaf, Limits(memory=16 << 20)).stopped == "memory"
    assert explore_lanes(flags(24), leaf, Limits(time=0.2)).stopped == "time"


def test_memory_that_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(_: Watch, now: float) -> bool:
        return now > 0

    monkeypatch.setattr(Watch, "short", short)
    found = explore_lanes(flags(10), Leaf.of(flags(10), [0]))
    assert (found.verdict, found.stopped) == (Verdict.UNKNOWN, "memory")


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
    assert first.keys == 1
    assert counts(first) == counts(second)
    assert second.keys == 1


def test_an_interrupt_while_the_path_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the verdict is known, and the state that is violated."""
    model = dontneed(2, 1, nested=False)
    leaf = choose_leaf(model)
    assert leaf is not None
    whole = explore_lanes(model, leaf)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shootdown.check.native.lanes_store.EntryStore.source", interrupt)
    found = explore_lanes(model, leaf)
    assert whole.violation is not None
    assert found.violation is not None
    assert found.violation.name == whole.violation.name
    assert found.violation.path == whole.violation.path[-1:]
    assert found.violation.cut == "interrupt"
    assert (found.verdict, found.stopped) == (Verdict.VIOLATED, None)


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
    assert found.keys == 1
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
