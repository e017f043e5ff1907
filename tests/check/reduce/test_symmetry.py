"""Symmetry: what is found, that it is one, and that a search with it says the same."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

import dontneed
from lang.generate import KEEP, Generator
from lang.small import IMPORT, SETUP, TWO
from models.checks import SMALL
from shootdown.check import native, reference
from shootdown.check.native.layout import plan
from shootdown.check.outcomes import judge_property, outcomes
from shootdown.check.reduce import Reduction
from shootdown.check.reduce.automorphism import Proof
from shootdown.check.reduce.bdd import Diagrams
from shootdown.check.reduce.swaps import Symmetry, changes_within, plain_changes
from shootdown.check.reduce.symmetry import find_symmetry
from shootdown.check.result import Limits, Represented, ViolationKind
from shootdown.check.trace import trace_violation
from shootdown.errors import ModelError
from shootdown.lang import Scenario
from shootdown.lang.interpret import State
from shootdown.lang.ir import System
from shootdown.lang.loader import load_file
from shootdown.races import library

SOME = Limits(states=3_000)


@pytest.mark.parametrize("count", range(1, 6))
def test_plain_changes_lead_through_all_orders(count: int) -> None:
    order = list(range(count))
    seen = {tuple(order)}
    for i in plain_changes(count):
        order[i], order[i + 1] = order[i + 1], order[i]
        seen.add(tuple(order))
    assert len(plain_changes(count)) + 1 == len(seen) == math.factorial(count)


@pytest.mark.parametrize(
    ("ties", "orders"), [((), 1), ((False,), 1), ((True, False, True), 4), ((True, True, False), 6)]
)
def test_orders_within_ties(ties: tuple[bool, ...], orders: int) -> None:
    order = list(range(len(ties) + 1))
    seen = {tuple(order)}
    for i in changes_within(ties):
        assert ties[i]
        order[i], order[i + 1] = order[i + 1], order[i]
        seen.add(tuple(order))
    assert len(changes_within(ties)) + 1 == len(seen) == orders


# ------------------------------------------------------------------------ what is found


def compiled(tmp_path: Path, source: str, threads: str) -> System:
    path = tmp_path / "model.py"
    path.write_text(f"{IMPORT}{source}{SETUP.format(threads=threads)}", encoding="utf-8")
    return load_file(str(path))[0].compile()


def text_of(system: System) -> str:
    found, _ = find_symmetry(system)
    return "" if found is None else found.text


COUNT = """
@atomic
def everyone(n: int) -> bool:
    return all(cpu.count >= n for cpu in Cpu)

@atomic
def numbers(n: int) -> bool:
    return sum(cpu.index for cpu in Cpu if cpu.count > 0) >= n

@path
def main(mm: Mm) -> None:
    this(Cpu).count = 1
    wait_until(this(Cpu).count == 1)
    mm.c += 1
    {more}
"""


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("this(Cpu).count = 2", "2 Cpu"),
        # a constant tells them apart
        ("if READ_ONCE(Cpu(0).count): Cpu(0).count = 2", ""),
        # the order of a loop with several steps does
        ("for cpu in Cpu: wait_until(cpu.count > 0)", ""),
        # a loop within one step does not, but numbers of objects do
        ("mm.a = int(everyone(1)); wait_until(mm.a == 0)", "2 Cpu"),
        ("mm.a = int(numbers(1)); wait_until(mm.a == 0)", ""),
        ("mm.owner = Frame(0); wait_until(mm.owner == Frame(0))", "2 Cpu"),
        ("mm.owner = choose(Frame); wait_until(mm.owner is not None)", "2 Cpu, 2 Frame"),
        ("mm.pte[Page(0)] = Pte(frame=choose(Frame)); mm.owner = mm.pte[Page(0)].frame; "
         "wait_until(mm.owner is not None)", "2 Cpu, 2 Frame"),
        ("mm.pages |= {choose(Page)}; wait_until(len(mm.pages) > 0)", "2 Cpu, 2 Page"),
        ("mm.pages |= {choose(Page)}; wait_until(Page(1) in mm.pages)", "2 Cpu"),
    ],
)  # fmt: skip
def test_what_may_change_places(tmp_path: Path, more: str, found: str) -> None:
    system = compiled(tmp_path, COUNT.format(more=more), TWO)
    assert text_of(system) == found
    symmetry, _ = find_symmetry(system)
    if symmetry is not None:
        assert_automorphisms(system, symmetry)
        assert_same_answer(system, symmetry)


def test_threads_without_objects(tmp_path: Path) -> None:
    threads = "Thread(main, Mm(0)), Thread(main, Mm(0))"
    source = "@path\ndef main(mm: Mm) -> None:\n    with mm.ptl:\n        mm.c += 1\n"
    assert text_of(compiled(tmp_path, source, threads)) == "2 threads"


def test_objects_that_go_with_others(tmp_path: Path) -> None:
    """Each CPU has a page of its own: they change places together."""
    threads = "Thread(main, Mm(0), Page(0), on=Cpu(0)), Thread(main, Mm(0), Page(1), on=Cpu(1))"
    source = (
        "@path\ndef main(mm: Mm, page: Page) -> None:\n"
        "    mm.pte[page] = Pte(present=True)\n"
        "    this(Cpu).on = READ_ONCE(mm.pte[page]).present\n"
        "    wait_until(this(Cpu).on)\n"
    )
    system = compiled(tmp_path, source, threads)
    found, _ = find_symmetry(system)
    assert found is not None
    assert (found.text, found.order) == ("2 Cpu", 2)
    assert_automorphisms(system, found)


# ------------------------------------------------------------------------ that it is one


def outcomes_of(system: System, state: State) -> list[tuple[State | None, str, bool]]:
    """What a state leads to, in no order."""
    found = [
        (o.state, "" if o.failure is None else system.failures[o.failure].message, o.action.fair)
        for o in outcomes(system, state)
    ]
    return sorted(found, key=repr)


def assert_automorphisms(system: System, symmetry: Symmetry, states: int = 300) -> None:
    """Steps commute with swaps, properties keep their values: by the interpreter."""
    seen, todo = {system.init}, [system.init]
    for state in todo:  # grows
        for outcome in outcomes(system, state):
            if outcome.state is not None and outcome.state not in seen and len(seen) < states:
                seen.add(outcome.state)
                todo.append(outcome.state)
    for swap in symmetry.swaps:
        for state in todo[:: max(1, len(todo) // 30)]:
            image = swap.apply(state)
            assert swap.apply(image) == state
            moved = [
                (None if after is None else swap.apply(after), failure, fair)
                for after, failure, fair in outcomes_of(system, state)
            ]
            assert sorted(moved, key=repr) == outcomes_of(system, image)
            for prop in (*system.invariants, *system.goals, *system.progress):
                here, there = judge_property(prop, state), judge_property(prop, image)
                assert here.registers[0] == there.registers[0]
            assert symmetry.canonical(state) == symmetry.canonical(image)
            assert symmetry.canonical(state) in set(symmetry.images(state))


def assert_same_answer(system: System, symmetry: Symmetry) -> None:
    """Both engines with the symmetry agree, and say what the search without it says."""
    reduce = Reduction(symmetry=symmetry)
    slow, fast = (e(system, SOME, reduce=reduce) for e in (reference.explore, native.explore))
    assert (slow.verdict, slow.states, slow.transitions, slow.depth, slow.goals) == (
        fast.verdict, fast.states, fast.transitions, fast.depth, fast.goals,
    )  # fmt: skip
    assert slow.represented == fast.represented
    plain = native.explore(system, Limits(states=3_000 * symmetry.order))
    if slow.stopped is None:
        assert (plain.verdict, plain.goals) == (fast.verdict, fast.goals)
        assert plain.states <= fast.states * symmetry.order
        if (stands_for := fast.represented) is not None:
            assert plain.states <= stands_for.states
            assert plain.states == stands_for.states or not stands_for.reachable
        assert plain.depth == fast.depth or fast.violation is not None
    if fast.violation is not None:
        assert plain.violation is not None
        # a deadlock is seen one step later than an invariant at the same distance
        late = ViolationKind.DEADLOCK in (plain.violation.kind, fast.violation.kind)
        assert abs(plain.violation.length - fast.violation.length) <= late
        assert fast.violation.path[0] == system.init
        trace = trace_violation(system, fast.violation)
        assert len(trace.steps) == fast.violation.length
        assert all(a.after == b.before for a, b in pairwise(trace.steps))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("symmetric")


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rng=st.randoms(use_true_random=False))
def test_random_programs(rng: Random, directory: Path) -> None:
    source = Generator(rng).program(3, 2, helpers=1)
    path = directory / f"model{len(list(directory.iterdir()))}.py"
    text = f"{IMPORT}{source}{KEEP}INVARIANTS = (keep,)\n{SETUP.format(threads=TWO)}"
    path.write_text(text, encoding="utf-8")
    try:
        system = load_file(str(path))[0].compile()
    except ModelError:
        return
    symmetry, _ = find_symmetry(system)
    event("symmetric" if symmetry else "not symmetric")
    if symmetry is not None:
        assert_automorphisms(system, symmetry)
        assert_same_answer(system, symmetry)


@pytest.mark.parametrize("size", [(2, 1), (2, 2)])
def test_the_benchmark_family(size: tuple[int, int]) -> None:
    system = dontneed.system(*size)
    symmetry, _ = find_symmetry(system)
    assert symmetry is not None
    assert symmetry.text == f"{size[0]} Cpu"
    assert_automorphisms(system, symmetry)
    assert_same_answer(system, symmetry)


def test_as_many_states_as_other_tools() -> None:
    """Rumur and TLC with symmetry of CPUs have 84,529 states for 4 CPUs and a page."""
    system = dontneed.system(4, 1)
    found = native.explore(system, reduce=Reduction(find_symmetry(system)[0]))
    assert found.states == 84_529
    assert found.represented == Represented(1_924_508, reachable=True)


def test_a_race_with_names_of_the_system() -> None:
    system = dontneed.system(2, 1, nested=False)
    symmetry, _ = find_symmetry(system)
    assert symmetry is not None
    assert_same_answer(system, symmetry)


# ------------------------------------------------------------------------ the library


SYMMETRIC = {"S0.V6", "S0.V8", "S0.V4.munmap-twice", "S0.V8.reclaim"}
CASES = [s if s.name in SYMMETRIC else pytest.param(s, marks=pytest.mark.deep) for s in library()]


@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.name)
def test_the_library(scenario: Scenario) -> None:
    system = scenario.compile()
    symmetry, _ = find_symmetry(system)
    assert symmetry is not None or scenario.name not in SYMMETRIC
    if symmetry is None:
        return
    assert_automorphisms(system, symmetry, 120)
    assert symmetry.layout == plan(system)
    if native.explore(system, Limits(states=SMALL)).stopped is None:
        assert_same_answer(system, symmetry)


def test_a_proof_has_all_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other proofs have made does not count: there is room for each of them, not for all."""
    system = dontneed.system(4, 1)
    found, _ = find_symmetry(system)
    assert found is not None
    sizes = []
    for swap in found.swaps:
        proof = Proof(system)
        assert proof.proves(swap)
        sizes.append(len(proof.diagrams.nodes))
    together = Proof(system)
    assert all(map(together.proves, found.swaps))
    most = max(sizes) + 1
    assert most < len(together.diagrams.nodes)
    monkeypatch.setattr(Diagrams.__init__, "__defaults__", (most,))
    alone = Proof(system)
    assert all(map(alone.proves, found.swaps))
    assert len(alone.diagrams.nodes) <= most
