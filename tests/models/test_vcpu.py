"""Virtual CPUs: to preempt only who is looked at is the same as to preempt at any time.

What is the same: the verdict, the length of the shortest race, the goals that are reached. For
small random programs also the states themselves: those of ``preemption=seen`` are states of
``preemption=explicit``, and each of the latter is one of the former in which more is possible.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from models.checks import LIMITS, some_slow
from models.results import explored
from shootdown.check import native, reference
from shootdown.check.outcomes import outcomes
from shootdown.check.reduce import NAMES, reductions
from shootdown.check.result import Result, Verdict
from shootdown.check.trace import trace_violation
from shootdown.check.witness import concrete_trace
from shootdown.hardware import Cpu, Frame, Page, Pte, x86_virtual
from shootdown.hardware.ipi import local_irq_disable, local_irq_enable
from shootdown.hardware.machine import StealTime
from shootdown.hardware.vcpu import preempt, runs
from shootdown.lang import (
    READ_ONCE,
    Function,
    Scenario,
    Setup,
    Thread,
    path,
    scenario,
    this,
    try_cmpxchg,
    wait_until,
)
from shootdown.lang.interpret import State
from shootdown.lang.ir import System
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.pgtable import ptep_get_and_clear, set_pte_at
from shootdown.linux.user import read_page, return_to_user, write_page
from shootdown.races import library
from shootdown.races import s0_properties as s0

VIRTUAL = {
    s.name: s for s in library() if any(rule is preempt for rule in s.setup().hardware.rules)
}
TLBS = ("may", "explicit")
QUICK = {"S0.V10.dirty", "S0.V10.pae", "X2.V2", "X2.V3.pv", "X2.sync.pv"}
SEEN, EXPLICIT = {"preemption": "seen"}, {"preemption": "explicit"}


def test_which_scenarios_have_virtual_cpus() -> None:
    assert QUICK | {"S0.V10", "S0.V9.pae-pv"} == set(VIRTUAL)


# ------------------------------------------------------------------ the library


def same(seen: Result, explicit: Result) -> None:
    """All that a user is told is the same, but for the number of states."""
    assert seen.verdict is explicit.verdict
    if seen.violation is None or explicit.violation is None:
        assert seen.violation is explicit.violation
        assert seen.goals == explicit.goals
        assert seen.states <= explicit.states
    else:
        assert seen.violation.length == explicit.violation.length


@pytest.mark.parametrize("tlb", TLBS)
@pytest.mark.parametrize("name", some_slow(sorted(VIRTUAL), QUICK.__contains__))
def test_scenarios_of_the_library(name: str, tlb: str) -> None:
    found = VIRTUAL[name]
    seen = explored(found, {"tlb": tlb, **SEEN})
    explicit = explored(found, {"tlb": tlb, **EXPLICIT})
    same(seen, explicit)
    for result in (seen, explicit):
        assert result.verdict.name == found.expect
        assert (result.violation and result.violation.name) == found.violates
    # with the explicit TLB evictions are what takes the steps
    assert seen.violation is not None or seen.states * 2 < explicit.states


@pytest.mark.parametrize("name", ["S0.V10.pae", "X2.V2"])
def test_a_race_shows_who_is_preempted(name: str) -> None:
    """Just before a look; and the concrete hardware has the same race."""
    result = explored(VIRTUAL[name])
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    texts = [step.action.info.text for step in trace.steps]
    preempted = [t.split()[-1] for t in texts if t.startswith("hypervisor: preempt")]
    assert any(f"hypervisor: resume {cpu}" in texts for cpu in preempted)
    for text, after in itertools.pairwise(texts):
        if text.startswith("hypervisor: preempt"):
            assert "steal" in after or after.startswith("hypervisor")
    concrete = VIRTUAL[name].compile(options={"tlb": "explicit", **EXPLICIT})
    assert concrete_trace(trace, concrete) is not None


# ------------------------------------------------------------------ random programs

MM, PAGE = Mm(0), Page(0)


@path
def left_out_alone(cpu: Cpu) -> None:
    """Ask for a flush, and interrupt nobody."""
    state = READ_ONCE(cpu.steal)
    if state.preempted:
        try_cmpxchg(cpu.steal, state, StealTime(preempted=True, flush=True))


@path(show="thread")
def program(mm: Mm, ops: tuple[str, ...], other: Cpu) -> None:
    """What a thread does, from a list of words."""
    for op in ops:
        if op == "clear":
            ptep_get_and_clear(mm, Page(0))
        if op == "map":
            pte = Pte(present=True, writable=True, accessed=True, dirty=True, frame=Frame(1))
            set_pte_at(mm, Page(0), pte)
        if op == "map-old":
            set_pte_at(mm, Page(0), Pte(present=True, frame=Frame(0)))
        if op == "flush":
            flush_tlb_mm_range(mm, {Page(0)})
        if op == "load":
            read_page(mm, Page(0))
        if op == "store":
            write_page(mm, Page(0))
        if op == "return":
            return_to_user(mm, (Page(0),))
        if op == "cli":
            local_irq_disable(this(Cpu))
        if op == "sti":
            local_irq_enable(this(Cpu))
        if op == "leave-out":
            left_out_alone(other)
        if op == "look" and READ_ONCE(other.steal).preempted:
            mm.vma_gone = True
        if op == "wait-gone":
            wait_until(mm.vma_gone)
        if op == "wait-preempted":
            wait_until(other.steal.preempted)
        if op == "wait-running":
            wait_until(not other.steal.preempted)
        if op == "spin":
            while not READ_ONCE(other.steal).preempted:
                pass
        if op == "lock":
            with mm.ptl:
                READ_ONCE(mm.vma_gone)


COMMON = ("clear", "map", "flush", "load", "store", "return")
RARE = ("map-old", "cli", "sti", "leave-out", "look", "wait-gone", "lock")
ODD = ("wait-preempted", "wait-running", "spin")


PICKED = (
    (("leave-out",), ("clear", "map")),
    (("clear", "flush", "return"), ("cli", "load", "sti", "load")),
    (("look", "flush"), ("flush", "look")),
)
"""In the first one a CPU is found preempted, goes on, and is preempted again before the flush is
asked for."""


def made_of(
    name: str, programs: Sequence[tuple[str, ...]], invariants: Sequence[Function[..., Any]] = ()
) -> Scenario:
    """A scenario of one thread on each virtual CPU."""
    cpus = len(programs)

    @scenario(name, expect="HOLDS")
    def build() -> Setup:
        """Whatever it is."""
        return Setup(
            sizes={Cpu: cpus, Page: 1, Folio: 2, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(program, MM, ops, Cpu((c + 1) % cpus), on=Cpu(c), when=runs)
                for c, ops in enumerate(programs)
            ],
            invariants=invariants,
            goals=[s0.window, s0.left_out],
            hardware=x86_virtual,
            options={"pv_flush": "skip-preempted"},
        )

    return build


def drawn(seed: int, cpus: int, most: int) -> Scenario:
    """A random one; a thread does up to ``most`` things."""
    dice = random.Random(seed)
    programs = []
    for _ in range(cpus):
        kinds = dice.choices((COMMON, RARE, ODD), (70, 25, 5), k=dice.randint(1, most))
        programs.append(tuple(dice.choice(kind) for kind in kinds))
    invariants = dice.sample([s0.one_translation, s0.rmap_finds_writers], dice.randint(0, 1))
    return made_of(f"random {seed}", programs, invariants)


BLOCKS = some_slow(range(8), (0).__eq__)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_random_programs(block: int) -> None:
    """On the reference engine; both TLBs."""
    kinds = set()
    for seed in range(block * 8, block * 8 + 8):
        made = drawn(seed, 2, 5 if block else 4)
        for tlb in TLBS:
            seen, explicit = (
                reference.explore(made.compile(options={"tlb": tlb, **preemption}), LIMITS)
                for preemption in (SEEN, EXPLICIT)
            )
            same(seen, explicit)
            kinds.add(seen.violation.kind if seen.violation else seen.verdict)
    assert len(kinds) >= 2  # races, deadlocks, or none


@pytest.mark.deep
@pytest.mark.parametrize("block", range(8))
def test_random_programs_of_three_threads(block: int) -> None:
    """On the native engine, with and without what reduces the graph."""
    for seed in range(block * 5, block * 5 + 5):
        made = drawn(1000 + seed, 3, 3)
        explicit = native.explore(made.compile(options=EXPLICIT), LIMITS)
        system = made.compile(options=SEEN)
        seen = native.explore(system, LIMITS)
        same(seen, explicit)
        reduced = native.explore(system, LIMITS, reduce=reductions(system, NAMES))
        assert reduced.verdict is seen.verdict


# ------------------------------------------------------------------ the states


def states_of(system: System) -> set[State]:
    """All states that can be reached."""
    found, todo = {system.init}, [system.init]
    for state in todo:
        for outcome in outcomes(system, state):
            if outcome.state is not None and outcome.state not in found:
                found.add(outcome.state)
                todo.append(outcome.state)
    return found


def split(
    state: State, tlb: tuple[int, ...], others: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The TLBs of a state, and the other variables."""
    return tuple(state[v] for v in tlb), tuple(state[v] for v in others)


def perhaps_running(state: State, steal: list[int], preempted: int) -> Iterator[State]:
    """A state, and those in which some who are preempted, with no flush to come, still run."""
    unseen = [v for v in steal if state[v] == preempted]
    for running in itertools.product((False, True), repeat=len(unseen)):
        out = list(state)
        for v, runs_on in zip(unseen, running, strict=True):
            if runs_on:
                out[v] = 0
        yield tuple(out)


def assert_same_states(made: Scenario) -> int:
    """A state of ``explicit`` is one of ``seen`` in which the CPU still runs, and in which CPUs may
    hold what they hold there, or more. How many fewer states there are."""
    seen, explicit = (made.compile(options=p) for p in (SEEN, EXPLICIT))
    names = [v.name for v in explicit.variables]
    where = {v.name: i for i, v in enumerate(seen.variables)}
    steal = [i for i, name in enumerate(names) if name.endswith(".steal")]
    tlb = tuple(i for i, name in enumerate(names) if ".tlb" in name)
    others = tuple(i for i in range(len(names)) if i not in tlb)
    assert steal
    assert tlb
    all_explicit = states_of(explicit)
    all_seen = {tuple(state[where[name]] for name in names) for state in states_of(seen)}
    assert all_seen <= all_explicit
    held: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for state in all_seen:
        entries, rest = split(state, tlb, others)
        held.setdefault(rest, []).append(entries)
    for state in all_explicit:
        mine, _ = split(state, tlb, others)
        assert any(
            all(a & ~b == 0 for a, b in zip(mine, entries, strict=True))
            for later in perhaps_running(state, steal, 1)
            for entries in held.get(split(later, tlb, others)[1], [])
        ), dict(zip(names, state, strict=True))
    return len(all_explicit) - len(all_seen)


@pytest.mark.slow
@pytest.mark.parametrize("programs", PICKED)
def test_states_of_picked_programs(programs: tuple[tuple[str, ...], ...]) -> None:
    assert assert_same_states(made_of("picked", programs)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_states_of_random_programs(block: int) -> None:
    fewer = [assert_same_states(drawn(seed, 2, 4)) for seed in range(block * 8, block * 8 + 8)]
    assert sum(fewer) > 500


def test_it_is_the_flush_that_is_asked_for_that_makes_it_safe() -> None:
    """Without the flush at resume the race is found, with either preemption."""
    from shootdown.hardware.vcpu import resume
    from shootdown.lang import rule, when

    @rule(fair=True, looks=False)
    def resume_unflushed(cpu: Cpu) -> None:
        when(cpu.steal.preempted)
        cpu.steal = StealTime()

    broken = x86_virtual.without(resume).and_rules(resume_unflushed)
    ops = (("clear", "flush", "return"), ("load", "load"))

    @scenario("unflushed", expect="VIOLATED", violates="INV-S0-3")
    def build() -> Setup:
        """A hypervisor that forgets the flush."""
        return Setup(
            sizes={Cpu: 2, Page: 1, Folio: 1, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(program, MM, ops[c], Cpu(1 - c), on=Cpu(c), when=runs) for c in range(2)
            ],
            hardware=broken,
            options={"pv_flush": "skip-preempted"},
        )

    lengths = set()
    for preemption in (SEEN, EXPLICIT):
        result = reference.explore(build.compile(options=preemption))
        assert result.verdict is Verdict.VIOLATED
        assert result.violation is not None
        assert result.violation.name == "INV-S0-3"
        lengths.add(result.violation.length)
    assert len(lengths) == 1
