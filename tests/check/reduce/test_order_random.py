"""Reductions keep the verdict, on random systems and against the unreduced reference engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest

from random_ir import Generator
from random_steps import Steps
from random_threads import Threads
from shootdown.check import native, reference
from shootdown.check.native import engine, reduced
from shootdown.check.reduce import order, reductions
from shootdown.check.reduce.cells import Effect
from shootdown.check.reduce.flow import Flow
from shootdown.check.reduce.graph import Graph
from shootdown.check.reduce.order import Order
from shootdown.check.reduce.visible import Part
from shootdown.check.result import Limits, Result, Verdict
from shootdown.check.trace import trace_violation
from shootdown.lang.ir import System

NAMES = ("symmetry", "order", "merge")
SETS = [names for size in (1, 2, 3) for names in combinations(NAMES, size)]
MOST = 600  # states of a system that is compared


def facts(result: Result) -> tuple[object, ...]:
    return (
        result.verdict, result.violation, result.states, result.expanded, result.transitions,
        result.depth, result.goals, result.covered, result.stopped,
    )  # fmt: skip


def same_verdict(system: System, names: tuple[str, ...], whole: Result) -> Result:
    """Compare a reduced search with the whole one; its result."""
    reduce = reductions(system, names)
    found = reference.explore(system, reduce=reduce)
    assert found.verdict is whole.verdict
    if whole.violation is None:
        assert found.goals == whole.goals
        assert found.states <= whole.states
    else:
        assert found.violation is not None
        assert trace_violation(system, found.violation).steps is not None
        if found.shortest:
            assert found.violation.length == whole.violation.length
    return found


def compared(
    system: System, names: tuple[str, ...], fast: bool, good: bool = False
) -> Verdict | None:
    whole = reference.explore(system, Limits(states=MOST))
    if whole.stopped:
        return None
    found = same_verdict(system, names, whole)
    if fast:
        reduce = reductions(system, names)
        after = 0.0 if good else 1.0
        fast_found = native.explore(system, reduce=reduce, good_code_after=after)
        assert facts(fast_found) == facts(found)
    return found.verdict


@pytest.mark.parametrize("start", range(0, 100, 25))
def test_threads(start: int) -> None:
    for seed in range(start, start + 25):
        compared(
            Threads(seed).system(), SETS[seed % len(SETS)], fast=seed % 5 == 0, good=seed % 2 == 0
        )


def test_what_is_remembered_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a record for each action, which is written again and again, and with threads."""
    monkeypatch.setattr(reduced, "_MEMO", 1)
    for seed in (508, 509, 517, 527, 531, 535, 536):
        for kind in (Steps, Threads):
            system = kind(seed).system()
            reduce = reductions(system, NAMES)
            found = reference.explore(system, Limits(states=MOST), reduce=reduce)
            for threads in (1, 3) if seed > 530 else (1,):
                fast = native.explore(system, Limits(states=MOST), reduce=reduce, threads=threads)
                assert facts(fast) == facts(found)


def test_without_memory_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(size: int) -> None:
        raise OSError

    monkeypatch.setattr(engine, "Memory", no_memory)
    assert compared(Threads(508).system(), NAMES, fast=True) is not None


@pytest.mark.parametrize("start", range(0, 36, 12))
def test_steps(start: int) -> None:
    for seed in range(start, start + 12):
        compared(
            Steps(seed).system(), SETS[seed % len(SETS)], fast=seed % 10 == 0, good=seed % 20 == 0
        )


def commuting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Effect, "commutes", lambda self, other, changed, now: True)


def invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "parts_of", lambda flow: [])


def cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(10**9))
    monkeypatch.setattr(Order, "height", lambda self, state: (next(steps), 0))


def unfair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order._Look, "fair", staticmethod(lambda outcome: True))


def never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "may_show", lambda self, effect, now: False)


def shown_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "shows", lambda self, value: True)


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Effect, "changes", lambda self, now: self.any)


def rising_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Effect, "changes", lambda self, now: self.ones & ~now | self.any)


def all_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order._Look, "used", lambda self: (0, Effect()))


def seen_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what is passed through need not be judged."""
    monkeypatch.setattr(Graph, "_right", lambda self, state, covered, reached: True)


def over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if invariants and goals need no cells."""
    monkeypatch.setattr(Order, "_over", lambda self, state, effect, goals=True: (0, []))


def one_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no cell could make a root show both by being set and by being cleared."""

    def patched(self: Part, effect: Effect, now: int, most: bool) -> int:
        sets, clears = (effect.ones | effect.any) & ~now, (effect.zeros | effect.any) & now
        if most:
            return (now | self.sets & sets) & ~(self.clears & clears)
        return (now | self.clears & sets) & ~(self.sets & clears)

    monkeypatch.setattr(Part, "corner", patched)


def read_without_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a test that leads nowhere now looked at nothing."""
    init = Flow.__init__

    def patched(self: Flow, system: System) -> None:
        init(self, system)
        for node in self.nodes:
            node.uses = 0 if not node.ends else node.uses

    monkeypatch.setattr(Flow, "__init__", patched)


@pytest.mark.parametrize(
    ("mutant", "name"),
    [
        (commuting, "order"),
        (invisible, "order"),
        (cycles, "order"),
        (unfair, "order"),
        (never_shown, "order"),
        (shown_before, "order"),
        (settled, "order"),
        (rising_only, "order"),
        (all_dead, "merge"),
        (read_without_tests, "merge"),
        (seen_by_nobody, "merge"),
        (over, "merge"),
        (one_corner, "order"),
    ],
)
def test_each_condition_is_needed(
    mutant: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it these systems tell the difference, so they test it."""
    mutant(monkeypatch)
    wrong = 0
    for seed in range(400):
        system = Threads(seed).system()
        whole = reference.explore(system, Limits(states=200))
        if whole.stopped:
            continue
        found = reference.explore(system, Limits(states=200), reduce=reductions(system, [name]))
        wrong += found.verdict is not whole.verdict or (
            whole.violation is None and found.goals != whole.goals
        )
        if wrong:
            break
    assert wrong


@pytest.mark.deep
@pytest.mark.parametrize("start", range(0, 3000, 100))
def test_many_threads(start: int) -> None:
    seen = set()
    for seed in range(start, start + 100):
        for names in SETS:
            seen.add(
                compared(Threads(seed).system(), names, fast=seed % 10 == 0, good=seed % 20 == 0)
            )
    assert {Verdict.HOLDS, Verdict.VACUOUS, Verdict.VIOLATED} <= seen


@pytest.mark.deep
@pytest.mark.parametrize("start", range(0, 6000, 200))
def test_many_steps(start: int) -> None:
    for seed in range(start, start + 200):
        system = Steps(seed).system()
        for names in (("order",), SETS[seed % len(SETS)]):
            compared(system, names, fast=seed % 20 == 0, good=seed % 40 == 0)


@pytest.mark.deep
@pytest.mark.parametrize("start", range(0, 2000, 100))
def test_anything(start: int) -> None:
    for seed in range(start, start + 100):
        system = Generator(random.Random(seed).randrange).system()
        compared(system, SETS[seed % len(SETS)], fast=seed % 4 == 0, good=seed % 8 == 0)
