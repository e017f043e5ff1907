"""What the analysis says of an action is true: what it looks at, what it does, what is dead."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from random_steps import Steps
from random_threads import Threads
from shootdown.check import native, reference
from shootdown.check.outcomes import Outcome, holds, is_deadlock, outcomes
from shootdown.check.reduce import order, reductions
from shootdown.check.reduce.concretize import _alike
from shootdown.check.reduce.decisions import Decisions
from shootdown.check.reduce.flow import Flow
from shootdown.check.reduce.graph import Graph
from shootdown.check.reduce.order import Order, _Look, agent_of, order_of
from shootdown.check.reduce.visible import Part, parts_of
from shootdown.check.result import Engine, Verdict, ViolationKind
from shootdown.lang.interpret import State
from shootdown.lang.ir import (
    Block,
    Body,
    Choice,
    Const,
    Done,
    Expr,
    Guard,
    Process,
    Reg,
    Select,
    System,
)
from shootdown.races import library
from small_ir import action, binary, body, load, process, prop, put, system

ENGINES = [reference.explore, native.explore]


def some_states(made: System, count: int, seed: int) -> Iterator[State]:
    """States along random runs."""
    draw = random.Random(seed)
    state = made.init
    for _ in range(count):
        yield state
        found = [o.state for o in outcomes(made, state) if o.state is not None]
        state = draw.choice(found) if found else made.init


def flipped(made: System, known: Order, state: State, cell: int) -> State | None:
    """A state with one cell changed, if it has such a value."""
    where = known.flow.cells
    for variable, (shift, mask) in enumerate(zip(where.shift, where.mask, strict=True)):
        if mask << shift >> cell & 1:
            value = state[variable] ^ 1 << cell - shift
            if value < made.variables[variable].size:
                return (*state[:variable], value, *state[variable + 1 :])
    return None


def by_agent(made: System, state: State) -> dict[int, list[Outcome]]:
    found: dict[int, list[Outcome]] = {}
    for outcome in outcomes(made, state):
        found.setdefault(agent_of(made, outcome), []).append(outcome)
    return found


def cells_of(made: System) -> int:
    return sum((v.size - 1).bit_length() for v in made.variables)


@pytest.mark.parametrize("start", range(0, 24, 12))
def test_what_is_said_of_a_current_action_is_true(start: int) -> None:
    """Where a cell that it does not read is another, it has the same outcomes (and perhaps more);
    what becomes of the cell itself is what its kind says."""
    decided = compared = 0
    for seed in range(start, start + 12):
        made = Steps(seed).system()
        known = order_of(made)
        if known is None:
            continue
        decided += sum(
            Decisions(made, known.flow.cells).of(a.body, p, i) is not None
            for p in made.processes
            for i, a in enumerate(p.actions)
        )
        pack = known.flow.cells.pack
        for state in some_states(made, 6, seed):
            look = _Look(known, state, [])
            found, now = by_agent(made, state), pack(state)
            for agent in look.entries:
                future = look.now(agent)
                effect = future.effect
                assert future.ends or agent not in found
                stands = 0
                if agent < len(made.processes):
                    stands = known.flow.cells.variable(made.processes[agent].pc)
                for cell in range(cells_of(made)):
                    other = flipped(made, known, state, cell)
                    if (effect.reads | stands) >> cell & 1 or other is None:
                        continue
                    again = by_agent(made, other).get(agent, [])
                    for outcome in found.get(agent, []):
                        compared += 1
                        same = [o for o in again if o.failure == outcome.failure]
                        if outcome.state is None:
                            assert same
                            continue
                        after = pack(outcome.state)
                        bit = 1 << cell
                        kinds = [(now ^ bit) & bit]  # kept
                        kinds += [bit] if effect.ones & bit else []
                        kinds += [0] if effect.zeros & bit else []
                        if effect.any & bit:
                            kinds += [0, bit]
                        assert any(
                            o.state is not None
                            and pack(o.state) & ~bit == after & ~bit
                            and pack(o.state) & bit in kinds
                            for o in same
                        ), (seed, state, agent, cell)
                        changed = (after ^ now) & ~effect.writes
                        assert not changed
    assert compared > 500
    assert decided > 50


@pytest.mark.parametrize("start", range(0, 40, 20))
def test_what_is_dead_does_not_matter(start: int) -> None:
    """With a dead cell changed the same is done to all other cells, now and from then on."""
    changed = 0
    for seed in range(start, start + 20):
        made = (Threads if seed % 2 else Steps)(seed).system()
        known = order_of(made)
        if known is None:
            continue
        for state in some_states(made, 5, seed):
            settled = partial(known.settled, goals=False)
            for cell in range(cells_of(made)):
                other = flipped(made, known, state, cell)
                if other is None or settled(other) != settled(state):
                    continue
                changed += 1
                for invariant in made.invariants:
                    assert holds(made, invariant, other) == holds(made, invariant, state)
                for one, two in zip(outcomes(made, state), outcomes(made, other), strict=True):
                    assert (one.action, one.failure) == (two.action, two.failure)
                    assert (one.state is None) == (two.state is None)
                    if one.state is not None and two.state is not None:
                        assert settled(one.state) == settled(two.state)
                stuck = [is_deadlock(made, s, list(outcomes(made, s))) for s in (state, other)]
                assert stuck[0] == stuck[1]
    assert changed > 50


def bit(variable: int, number: int) -> Expr:
    return binary("and", binary("shr", load(variable), number), 1)


def test_what_is_not_looked_at_now_is_not_read() -> None:
    """The second bit matters only while the first one is set."""
    both = binary("and", bit(1, 0), bit(1, 1))
    made = system([2, 4, 2], [0, 0, 0], processes=[process(0, body(put(2, both), put(0, 1)))])
    known = Order(made)

    def reads(value: int) -> int:
        return _Look(known, (0, value, 0), []).now(0).effect.reads

    assert reads(0) == known.flow.cells.variable(1, 1)
    assert reads(1) == known.flow.cells.variable(1, 3)


def test_a_bit_that_is_cleared_already_does_not_change() -> None:
    """A thread that clears bit 0 again does not disturb who reads it, one that sets it does."""

    def others(value: int, kept: int) -> int:
        clears = process(0, body(put(2, binary("and", load(2), kept)), put(0, 1)))
        reads = process(1, body(put(3, bit(2, 0)), put(1, 1)))
        made = system([2, 2, 2, 2], [0, 0, value, 0], processes=[clears, reads])
        found = list(outcomes(made, made.init))
        return len(Order(made).chosen(made.init, found).outcomes)

    assert others(0, 0) == 1
    assert others(1, 0) == 2


def test_two_who_may_clear_and_set_it_again_disturb_a_reader() -> None:
    """The cell is 0 now; one rule sets it, another one clears it."""
    up = action("up", body(Guard(binary("eq", load(2), 0)), put(2, 1)))
    down = action("down", body(Guard(binary("eq", load(2), 1)), put(2, 0)))
    reads = process(0, body(put(1, load(2)), put(0, 1)))
    made = system([2, 2, 2], [0, 0, 0], processes=[reads], rules=[up, down])
    found = list(outcomes(made, made.init))
    assert len(Order(made).chosen(made.init, found).outcomes) == 2


# --------------------------------------------------------------------------- dead cells


def test_states_that_differ_in_what_is_dead_are_one() -> None:
    """Who came first is written down and never read."""
    first = [process(pc, body(put(2, pc + 1), put(pc, 1)), body(put(pc, 2))) for pc in (0, 1)]
    made = system([3, 3, 3], [0, 0, 0], processes=first)
    assert Order(made).settled((2, 2, 1)) == Order(made).settled((2, 2, 2)) == (2, 2, 0)
    for explore in ENGINES:
        apart = explore(made, reduce=reductions(made, ("order",)))
        merged = explore(made, reduce=reductions(made, ("merge",)))
        assert merged.states < apart.states
        assert merged.verdict is apart.verdict is Verdict.HOLDS


def test_what_keeps_a_step_from_being_done_is_not_dead() -> None:
    """Variable 1 only says that the step waits; with another value it would not."""
    waits = process(0, body(Guard(binary("eq", load(1), 0)), put(0, 1)), daemon=True)
    made = system([2, 2], [0, 1], processes=[waits], goals=[prop("ends", binary("eq", load(0), 1))])
    assert Order(made).settled((0, 1)) == (0, 1)
    for explore in ENGINES:
        found = explore(made, reduce=reductions(made, ("merge",)))
        assert found.verdict is Verdict.VACUOUS


def stays_stuck() -> System:
    """A fair rule sets a bit that nobody reads, again and again. Once it is set that leads to no
    other state, so that the thread, which waits for ever, is stuck."""
    waits = process(0, body(Guard(binary("eq", load(2), 1)), put(0, 1)))
    return system([2, 2, 2], [0, 0, 0], processes=[waits], rules=[action("sets", body(put(1, 1)))])


@pytest.mark.parametrize("explore", ENGINES)
def test_a_bit_that_decides_what_is_a_deadlock_is_not_dead(explore: Engine) -> None:
    made = stays_stuck()
    for names in ((), ("merge",), ("order", "merge")):
        found = explore(made, reduce=reductions(made, names))
        assert found.violation is not None
        assert found.violation.kind is ViolationKind.DEADLOCK


@pytest.mark.parametrize("explore", ENGINES)
def test_what_a_height_counts_is_not_dead(explore: Engine) -> None:
    """A rule spends a bit that a step of a thread's loop sets again: without it in the state the
    loop would go forward for ever, and the other thread would never be looked at."""
    spends = action("spends", body(Guard(binary("eq", load(2), 1)), put(2, 0)))
    loops = process(
        0, body(put(0, 1)), body(Guard(binary("eq", load(2), 0)), put(2, 1), put(0, 0)), daemon=True
    )
    breaks = process(1, body(put(3, 1), put(1, 1)))
    made = system(
        [3, 2, 2, 2],
        [0, 0, 0, 0],
        processes=[loops, breaks],
        rules=[spends],
        invariants=[prop("zero", binary("eq", load(3), 0))],
    )
    known = Order(made)
    assert (known.up | known.down) & ~known.kept == 0
    found = explore(made, reduce=reductions(made, ("order", "merge")))
    assert found.verdict is Verdict.VIOLATED


# --------------------------------------------------------------------------- what is seen


def goal_of_two(first: Expr) -> System:
    """Two threads each set and clear a bit; the goal needs ``first`` and one of the bits."""
    threads = [
        process(pc, body(put(2 + pc, 1), put(pc, 1)), body(put(2 + pc, 0), put(pc, 2)))
        for pc in (0, 1)
    ]
    either = binary("lor", binary("eq", load(2), 1), binary("eq", load(3), 1))
    return system(
        [3, 3, 2, 2, 2],
        [0] * 5,
        processes=threads,
        goals=[prop("seen", binary("land", first, either))],
    )


def test_a_goal_that_cannot_be_reached_hides_nothing() -> None:
    """While variable 4 is 0, which nobody changes, the bits need not be seen."""
    hidden = goal_of_two(binary("eq", load(4), 1))
    seen = goal_of_two(binary("eq", load(4), 0))
    kept = [Order(made).settled((1, 1, 1, 0, 0))[2] for made in (hidden, seen)]
    assert kept == [0, 1]
    for explore in ENGINES:
        verdicts = [
            explore(made, reduce=reductions(made, ("order", "merge"))).verdict
            for made in (hidden, seen)
        ]
        assert verdicts == [Verdict.VACUOUS, Verdict.HOLDS]


def chosen_late() -> System:
    """One thread sets a bit, the other one chooses which bit the goal looks at from now on: the
    goal is reached if it comes second."""
    sets = [process(pc, body(put(what, 1), put(pc, 1))) for pc, what in ((0, 4), (1, 3))]
    goal = Select(binary("eq", load(4), 1), load(2), load(3))
    return system([2] * 5, [0] * 5, processes=sets, goals=[prop("seen", goal)])


def test_one_of_two_ways_to_a_goal_is_no_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    made = chosen_late()
    for explore in ENGINES:
        assert explore(made, reduce=reductions(made, ("order",))).verdict is Verdict.HOLDS

    def all_factors(flow: Flow) -> list[Part]:
        found = parts_of(flow)
        for part in found:
            part.factor = True
        return found

    monkeypatch.setattr(order, "parts_of", all_factors)
    for explore in ENGINES:
        assert explore(made, reduce=reductions(made, ("order",))).verdict is Verdict.VACUOUS


def test_a_goal_of_one_and_any_of_some_is_looked_at_in_parts() -> None:
    made = goal_of_two(binary("eq", load(4), 0))
    whole, *parts = Order(made).parts
    assert whole.whole
    roots = [part for part in parts if part.root]
    assert [part.cells.bit_count() for part in roots] == [2, 2]
    # the last part of the whole is the last one there is
    assert whole.skip == len(parts) + 1


# --------------------------------------------------------------------------- races


def test_a_race_is_found_again_among_images() -> None:
    """Where the canonical form of a step is not the one of the path, an image of it is."""
    pair = next(s for s in library() if s.name == "S0.V0")
    made = pair.compile({"cpus": 3, "pages": 1})
    reduce = reductions(made, ("symmetry", "merge"))
    graph = Graph(made, reduce)
    assert reduce.symmetry is not None
    state = next(o.state for o in outcomes(made, made.init) if o.state is not None)
    images = {graph.canonical(image) for image in reduce.symmetry.images(state)}
    assert len(set(reduce.symmetry.images(state))) > 1
    assert len(images) == 1
    for image in set(reduce.symmetry.images(state)):
        assert _alike(graph, image) == _alike(graph, state)
    assert not _alike(graph, made.init) & _alike(graph, state)


# --------------------------------------------------------------------------- passing through


def to_and_fro(*more: Process) -> System:
    """One thread sets a bit, clears it again and goes on; the goal is that bit."""
    bit = process(0, body(put(1, 1), put(0, 1)), body(put(1, 0), put(0, 2)), body(put(0, 3)))
    return system(
        [4, 2, 2, 2],
        [0, 0, 0, 0],
        processes=[bit, *more],
        goals=[prop("set", binary("eq", load(1), 1))],
    )


@pytest.mark.parametrize("explore", ENGINES)
def test_a_goal_is_reached_where_nothing_is_stored(explore: Engine) -> None:
    found = explore(to_and_fro(), reduce=reductions(to_and_fro(), ("merge",)))
    assert found.states == 2
    assert found.verdict is Verdict.HOLDS


@pytest.mark.parametrize("explore", ENGINES)
def test_a_goal_that_is_true_in_the_beginning_is_reached(explore: Engine) -> None:
    """Nothing looks at the bit or changes it, so it is dead from the beginning."""
    still = process(0, body(put(0, 1)))
    made = system([2, 2], [0, 1], processes=[still], goals=[prop("on", binary("eq", load(1), 1))])
    assert Order(made).settled(made.init) == (0, 0)
    assert explore(made, reduce=reductions(made, ("merge",))).verdict is Verdict.HOLDS


@pytest.mark.parametrize("explore", ENGINES)
def test_a_violation_is_seen_where_nothing_would_be_stored(explore: Engine) -> None:
    """The invariant is broken by the first step, and repaired by the second one."""
    made = replace(to_and_fro(), invariants=(prop("never", binary("eq", load(1), 0)),))
    assert explore(made, reduce=reductions(made, ("merge",))).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("explore", ENGINES)
def test_choices_that_make_no_difference_are_passed_through(explore: Engine) -> None:
    """A step chooses a number that is looked at, or that is not."""

    def states(looks: bool) -> int:
        choose = Body(
            (Block((), Choice(1, Const(3), 2, 1)), Block((put(1, Reg(1)), put(0, 2)), Done())), 2
        )
        last = body(*([put(2, load(1))] if looks else []), put(0, 3))
        made = system(
            [4, 2, 2],
            [0, 0, 0],
            processes=[process(0, body(put(0, 1)), choose, last)],
            goals=[prop("one", binary("eq", load(2), 0))],
        )
        found = explore(made, reduce=reductions(made, ("merge",)))
        assert found.verdict is Verdict.HOLDS
        return found.states

    assert states(looks=False) == 2
    assert states(looks=True) > 2
