"""Fields that a scenario provides: a program as data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shootdown.check import native, reference
from shootdown.check.result import Limits, Verdict
from shootdown.check.trace import steps_of
from shootdown.errors import ModelError
from shootdown.lang import (
    Array,
    Hardware,
    Object,
    Scenario,
    Setup,
    atomic,
    given,
    goal,
    ranged,
    rule,
    scenario,
    when,
)


class Register(Object):
    pass


class Insn(Object):
    op: int = given(ranged(0, 2))
    arguments: Array[Register, int] = given(ranged(0, 100))
    next: Insn | None = given(None)
    unused: bool = given(False)


class Pe(Object, show="PE{}"):
    at: Insn | None = None
    sum: int = ranged(0, 1000)


@rule
def step(pe: Pe) -> None:
    """One instruction: 1 loads a number, 2 adds the larger of two."""
    insn = pe.at
    when(insn is not None)
    if insn is not None:
        most = max(insn.arguments[register] for register in Register)
        if insn.op == 1:
            pe.sum = most
        elif insn.op == 2 and pe.sum <= 900:
            pe.sum = pe.sum + most
        pe.at = insn.next


@rule
def overwrite(pe: Pe) -> None:
    """Not possible."""
    if pe.at is not None:
        pe.at.op = 2


@atomic
def begin() -> None:
    for pe in Pe:
        pe.at = Insn(0)


@goal("42")
def is_42() -> bool:
    """the program gives 42"""
    return all(pe.sum == 42 for pe in Pe)


PROGRAM: dict[Any, Any] = {
    Insn.op: [1, 2, 2],
    Insn.arguments: [[2, 1], [10, 30], [10, 0]],
    Insn.next: [Insn(1), Insn(2), None],
}


def program(provided: dict[Any, Any], *rules: Any) -> Scenario:
    @scenario("program", expect="HOLDS")
    def build(pes: int = 2) -> Setup:
        """A program as data."""
        return Setup(
            sizes={Insn: 3, Pe: pes, Register: 2},
            threads=[],
            hardware=Hardware("interpreter", rules=rules or (step,)),
            start=begin,
            goals=[is_42],
            given=provided,
        )

    return build


def test_a_program_is_run_by_both_engines() -> None:
    system = program(PROGRAM).compile()
    fast, slow = native.explore(system), reference.explore(system)
    assert fast.verdict is slow.verdict is Verdict.HOLDS
    assert (fast.states, fast.depth, fast.goals) == (slow.states, slow.depth, slow.goals)
    assert fast.states == 16


def test_another_program_is_another_result_of_the_same_code() -> None:
    other = {**PROGRAM, Insn.arguments: [[3, 0], [10, 30], [10, 0]]}
    for provided, verdict in [(PROGRAM, "HOLDS"), (other, "VACUOUS"), (PROGRAM, "HOLDS")]:
        system = program(provided).compile()
        assert native.explore(system, good_code_after=0).verdict.name == verdict
        assert reference.explore(system).verdict.name == verdict


def test_what_is_given_is_no_part_of_the_state() -> None:
    system = program(PROGRAM).compile(bounds={"pes": 1})
    assert {v.name for v in system.variables if not v.given} == {"PE0.at", "PE0.sum"}
    result = native.explore(system)
    assert result.states == 4


def test_what_nothing_mentions_may_be_given_too() -> None:
    """Another scenario with the same hardware may look at it."""
    used, more = (
        program(PROGRAM).compile(),
        program({**PROGRAM, Insn.unused: [True, False, False]}).compile(),
    )
    assert more.fingerprint == used.fingerprint
    assert native.explore(more).states == 16


def test_many_searches_of_a_prepared_system_with_the_ways_to_what_they_find() -> None:
    system = program(PROGRAM).compile()
    prepared = native.Prepared(system)
    names = [variable.name for variable in system.variables]
    shown = tuple(names.index(f"PE{n}.sum") for n in range(2))
    other = {**PROGRAM, Insn.arguments: [[3, 0], [10, 30], [0, 0]]}
    searches = []
    for provided, most, steps in [(PROGRAM, 42, 6), (other, 33, 4)]:
        init = program(provided).compile().init
        found = prepared.reached(init, lambda values: values[0] != 0, shown)
        searches.append((provided, most, steps, init, found))
    # ways are found when they are asked for, then with the tables of their own search
    for provided, most, steps, init, found in searches:
        assert found.result.states == native.explore(program(provided).compile()).states
        assert max(found.found) == (most, most)
        assert all(values[0] for values in found.found)
        path = found.path((most, most))
        assert (path[0], len(path)) == (init, steps + 1)
        replaced = replace(system, init=init)
        assert [step.before for step in steps_of(replaced, path)] == list(path[:-1])
        assert [path[-1][number] for number in shown] == [most, most]


def test_searches_of_a_prepared_system_go_over_to_good_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once they have taken longer together than it takes to make it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    system = program(PROGRAM).compile()
    prepared = native.Prepared(system)

    def found() -> tuple[object, ...]:
        at = prepared.reached(system.init, lambda _: True, (0, 1))
        return at.found, at.result.states, at.result.depth, at.result.goals

    quick, before = prepared.functions, found()
    assert prepared.functions is quick
    assert prepared.good_code_after < 0
    prepared.good_code_after = -1e9
    assert found() == before
    good = prepared.functions
    assert good is not quick
    assert found() == before
    assert prepared.functions is good
    assert native.Prepared(system).good_code_after == float("inf")  # it is kept
    short = native.Prepared(system, short=True)
    short.reached(system.init, lambda _: True, (0, 1))
    assert short.good_code_after == float("inf")


def test_a_prepared_search_stops_at_limits_and_at_ctrl_c() -> None:
    system = program(PROGRAM).compile()
    prepared = native.Prepared(system)
    found = prepared.reached(system.init, lambda _: True, (0,), Limits(states=3))
    assert (found.result.stopped, found.result.states) == ("states", 3)

    def stop(_: tuple[int, ...]) -> bool:
        raise KeyboardInterrupt

    assert prepared.reached(system.init, stop, (0,)).result.stopped == "interrupt"


def test_nothing_writes_it() -> None:
    with pytest.raises(ModelError, match=r"op' is given by the scenario: nothing writes it"):
        program(PROGRAM, step, overwrite).compile()


@pytest.mark.parametrize(
    ("provided", "message"),
    [
        ({Pe.sum: [1]}, r"given=\{Pe.sum: ...\}: no field declared with given\(\) is that"),
        ({"op": [1]}, r"given=\{'op': ...\}: no field declared with given"),
        ({Insn.op: [1, 2, 3]}, r"Insn.op: ...\}: 3 is not a value of int 0..2"),
        ({Insn.op: [1] * 4}, r"Insn.op: ...\}: 4 values for 3 Insns: write one for each"),
        ({Insn.op: [1]}, r"Insn.op: ...\}: 1 value for 3 Insns: write one for each"),
        ({Insn.op: []}, r"Insn.op: ...\}: 0 values for 3 Insns"),
        ({Insn.arguments: [[1, 2], [1], [1, 2]]}, r"1 value for 2 Registers: write one for each"),
        ({Insn.op: 1}, r"Insn.op: ...\}: 1 is no list of values, one for each Insn"),
        ({Insn.arguments: [1] * 3}, r"1 is no list of values, one for each Register"),
    ],
)
def test_what_cannot_be_given(provided: dict[Any, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        program(provided).compile()


def test_a_table_may_be_left_at_its_defaults() -> None:
    bare = program({**PROGRAM, Insn.unused: None}).compile()
    assert bare.init == program({**PROGRAM, Insn.unused: [False] * 3}).compile().init
