"""The arm64 ASID allocator: verdicts, shortest races, both engines, larger bounds."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from models.checks import belonging, explored, named, run, some_slow
from shootdown.check import native, reference
from shootdown.check.result import Verdict
from shootdown.check.trace import trace_violation
from shootdown.errors import UsageError
from shootdown.lang import Scenario

ASID = belonging("ASID.*")
LENGTHS = {
    "ASID.50c387f": 29,
    "ASID.v5.14": 33,
    "ASID.v4.15": 41,
    "ASID.cnp-direct": 27,
    "ASID.asidalloc-early": 16,
    "ASID.asidalloc-one-early": 15,
    "ASID.asidalloc-joined-early": 7,
}


@pytest.mark.parametrize("name", ASID)
def test_verdict(name: str) -> None:
    scenario, result = ASID[name], run(ASID[name])
    found = (result.verdict.name, result.violation.name if result.violation else None)
    assert found == (scenario.expect, scenario.violates)
    assert result.states <= 300_000
    if result.verdict is Verdict.HOLDS:
        assert all(result.goals)


def test_shortest_races() -> None:
    assert named(ASID, "VIOLATED") == sorted(LENGTHS)
    for name, length in LENGTHS.items():
        violation = run(ASID[name]).violation
        assert violation is not None
        assert violation.length == length


QUICK = ("ASID.alloc", "ASID.50c387f", "ASID.cnp-direct")
ENDLESS = ("ASID.forever", "ASID.once", "ASID.asidalloc*")  # many, for the reference engine
FINITE = [name for name in ASID if not any(fnmatchcase(name, e) for e in ENDLESS)]


@pytest.mark.parametrize("name", some_slow(FINITE, lambda name: name in QUICK))
def test_engines_agree_on_one_cpu(name: str) -> None:
    """With one CPU, so that the reference engine can do it."""
    scenario: Scenario = ASID[name]
    bounds = {"cpus": 1, "tasks": 3, "asids": 3, "generations": 3}
    system = scenario.compile(bounds)
    fast, slow = native.explore(system), reference.explore(system)
    assert (fast.verdict, fast.states, fast.depth) == (slow.verdict, slow.states, slow.depth)
    assert (fast.violation is None) == (slow.violation is None)
    if fast.violation and slow.violation:
        assert fast.violation.path == slow.violation.path


def test_the_race_of_50c387f_has_a_rollover() -> None:
    """The process of the flush gets another ASID after its old one was read."""
    result = run(ASID["ASID.50c387f"])
    assert result.violation is not None
    steps = trace_violation(result.system, result.violation).steps
    names = [step.action.name for step in steps]
    (read,) = [
        i for i, s in enumerate(steps) if any(c.function == "ASID()" for c in s.action.info.calls)
    ]
    given = [c.new for s in steps for c in s.changes if c.name == "mm3.context_id"]
    assert given == ["ASID1 of generation 3"]
    assert [c.new for c in steps[read].changes] == ["ASID3"]
    assert names.index("CPU0:next_generation") < read < names.index("CPU0:write_ttbr")


def test_any_free_asid_will_do() -> None:
    """It need not be the next one, so ASIDs could be exchanged with one another."""
    result = explored(ASID["ASID.alloc"], {"asid_choice": "any"})
    assert result.verdict is Verdict.HOLDS
    assert result.states > run(ASID["ASID.alloc"]).states


@pytest.mark.deep
@pytest.mark.parametrize("name", [name for name in FINITE if name in named(ASID, "HOLDS")])
def test_two_rounds(name: str) -> None:
    """The next larger bound: more than one rollover."""
    bounds = {"rounds": 2, "generations": 6}
    assert explored(ASID[name], bounds=bounds).verdict is Verdict.HOLDS


@pytest.mark.parametrize("bounds", [{"cpus": 3}, {"asids": 5}, {"tasks": 3}])
def test_bounds_without_a_meaning_are_refused(bounds: dict[str, int]) -> None:
    for name in ("ASID.alloc", "ASID.forever", "ASID.asidalloc"):
        with pytest.raises(UsageError):
            ASID[name].compile({"cpus": 2, "tasks": 4, "asids": 4, **bounds})
