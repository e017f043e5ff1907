"""kernel-tla's ``asidalloc.tla``: its labels, and what may be left out of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from models.asidalloc import Algorithm
from shootdown.check import native, reference
from shootdown.check.reduce import reductions
from shootdown.check.result import Result
from shootdown.lang import Scenario
from shootdown.races.asid import forever, once
from shootdown.races.asid_joined import JOINED
from shootdown.races.asid_labels import LABELS, Unmaps, asidalloc

NAMED = {s.name: s for s in (*LABELS, *JOINED)}
ONE_CPU = {"cpus": 1, "tasks": 3, "asids": 3}
TWO_CPUS = {"cpus": 2, "tasks": 4, "asids": 4}


@pytest.mark.parametrize(
    ("name", "bounds", "states"),
    [
        ("ASID.asidalloc-2018", {**ONE_CPU, "generations": 2}, 1_042),
        ("ASID.asidalloc-2018", {**ONE_CPU, "generations": 3}, 2_734),
        pytest.param(
            "ASID.asidalloc-2018",
            {"cpus": 1, "tasks": 4, "asids": 4, "generations": 2},
            28_293,
            marks=pytest.mark.deep,
        ),
        pytest.param(
            "ASID.asidalloc", {**ONE_CPU, "generations": 2}, 110_084, marks=pytest.mark.deep
        ),
        pytest.param(
            "ASID.asidalloc-2018",
            {**TWO_CPUS, "generations": 1},
            969_337,
            marks=pytest.mark.deep,
        ),
    ],
)
def test_as_many_states_as_the_algorithm(name: str, bounds: Mapping[str, int], states: int) -> None:
    """The algorithm's steps, written out by hand, have the same states at the same depths."""
    plain = Algorithm(**bounds, unmaps=name == "ASID.asidalloc").search()
    ours = native.explore(NAMED[name].compile(bounds))
    assert (ours.states, ours.depth) == plain
    assert ours.states == states


def checked(scenario: Scenario, bounds: Mapping[str, int], **options: str) -> Result:
    """The verdict, with all that is symmetric."""
    system = scenario.compile(bounds, options)
    return native.explore(system, reduce=reductions(system, ["symmetry"]))


def answer(result: Result) -> tuple[str, str | None]:
    """A verdict, and what was broken."""
    return result.verdict.name, result.violation.name if result.violation else None


@pytest.mark.parametrize("generations", [2, 3])
@pytest.mark.parametrize("early", [False, True])
def test_one_unmap_and_fewer_steps_are_enough(early: bool, generations: int) -> None:
    bounds = {**ONE_CPU, "generations": generations}
    end = "-early" if early else ""
    results = [
        checked(NAMED[f"ASID.asidalloc{kind}{end}"], bounds) for kind in ("", "-one", "-joined")
    ]
    expected = ("VIOLATED", "INV-ASID-2") if early else ("HOLDS", None)
    assert [answer(r) for r in results] == [expected] * 3
    assert results[0].states > results[1].states > results[2].states


@pytest.mark.deep
@pytest.mark.parametrize("early", [False, True])
def test_two_cpus_without_a_rollover(early: bool) -> None:
    bounds = {**TWO_CPUS, "generations": 1}
    end = "-early" if early else ""
    results = [checked(NAMED[f"ASID.asidalloc{kind}{end}"], bounds) for kind in ("-one", "-joined")]
    broken = ("VIOLATED", "INV-ASID-2")
    assert [answer(r) for r in results] == [broken if early else ("VACUOUS", None)] * 2


@pytest.mark.parametrize(
    ("read", "expected"),
    [("after-dsb", ("HOLDS", None)), ("before-clear", ("VIOLATED", "INV-ASID-2"))],
)
def test_one_unmap_is_enough_in_our_steps(read: str, expected: tuple[str, str | None]) -> None:
    bounds = {**ONE_CPU, "generations": 2}
    every, one = (checked(scenario, bounds, asid_read=read) for scenario in (forever, once))
    assert answer(every) == answer(one) == expected
    assert one.states < every.states


def test_the_engines_agree() -> None:
    for name in ("ASID.asidalloc-2018", "ASID.asidalloc-joined"):
        system = NAMED[name].compile()
        fast, slow = native.explore(system), reference.explore(system)
        assert (fast.verdict, fast.states, fast.goals) == (slow.verdict, slow.states, slow.goals)


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("ASID.asidalloc-2018", 4),
        pytest.param("ASID.asidalloc-2018", 6, marks=pytest.mark.deep),
        pytest.param("ASID.asidalloc-joined", 6, marks=pytest.mark.deep),
    ],
)
def test_all_that_can_be_exchanged(name: str, tasks: int) -> None:
    """Proven, so that the yardstick ends: CPUs, and the tasks but the one that loses its page."""
    system = NAMED[name].compile({**TWO_CPUS, "tasks": tasks, "generations": 3})
    symmetry = reductions(system, ["symmetry"]).symmetry
    assert symmetry is not None
    alike = tasks - (name == "ASID.asidalloc-joined")
    assert symmetry.text == f"{alike} AddressSpace, 2 Cpu"


def test_nobody_unmaps_in_2018() -> None:
    scenario = asidalloc("ASID.none", "no unmaps", unmaps=Unmaps.NONE)
    assert len(scenario.compile().processes) == 1
    assert len(NAMED["ASID.asidalloc"].compile().processes) == 2
