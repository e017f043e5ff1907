"""A priced run is one schedule of the program: it ends as the checker says that it can end."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from cost.schedules import disagreement, oracle, priced, prices, program
from lang.small import IMPORT, SETUP
from shootdown.errors import ModelError
from shootdown.lang.loader import load_file
from shootdown.lang.scenario import Scenario

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "4"))


def scenario_of(path: Path, source: str) -> Scenario:
    path.write_text(source, encoding="utf-8")
    return load_file(str(path))[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(EXAMPLES))
def test_random_threads_end_in_a_state_that_can_be_reached(number: int, tmp_path: Path) -> None:
    rng = Random(number)
    source = program(rng)
    scenario = scenario_of(tmp_path / "model.py", source)
    ends = oracle(scenario.compile(), 12_000)
    if ends is None or ends.failing:
        pytest.skip("too large, or not for pricing")
    for _ in range(4):
        found = priced(scenario, prices(rng), rng.randrange(1000))
        assert not disagreement(ends, found), source


def two(first: str, second: str, more: str = "") -> str:
    """A model of two threads, given by their bodies."""

    def path(name: str, body: str) -> str:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        return f"\n@path\ndef {name}(mm: Mm) -> None:\n{lines}\n"

    keep = """
@invariant("KEEP")
def keep() -> bool:
    mm = Mm(0)
    return mm.a + mm.b + mm.c < 99 or mm.flag or len(mm.pages) > 9

INVARIANTS = (keep,)
"""
    threads = "Thread(main, Mm(0), on=Cpu(0)), Thread(other, Mm(0), on=Cpu(1))"
    text = IMPORT + more + path("main", first) + path("other", second) + keep
    return text + SETUP.format(threads=threads)


def agree(path: Path, source: str, runs: int = 6) -> set[tuple[tuple[str, int], ...] | None]:
    """The different ends of some priced runs, each of them one that the checker knows."""
    scenario = scenario_of(path, source)
    ends = oracle(scenario.compile(), 20_000)
    assert ends is not None
    assert not ends.failing
    rng = Random(1)
    seen: set[tuple[tuple[str, int], ...] | None] = set()
    for seed in range(runs):
        found = priced(scenario, prices(rng), seed)
        assert not disagreement(ends, found)
        seen.add(None if found is None else tuple(found.items()))
    return seen


BOTH = """
@atomic
def take_both(mm: Mm) -> None:
    when(mm.flag and mm.a == 2)
    mm.b = 3
"""


@pytest.mark.parametrize("last", ["mm.flag = True", "mm.a = 2"])
def test_a_condition_on_two_fields_is_looked_at_when_either_changes(
    tmp_path: Path, last: str
) -> None:
    writes = [w for w in ("mm.flag = True", "mm.a = 2") if w != last]
    spin = "\n".join(['event("x")'] * 30)
    source = two("take_both(mm)", "\n".join([*writes, spin, last]), BOTH)
    (end,) = agree(tmp_path / "model.py", source)
    assert end is not None
    assert dict(end)["mm.b"] == 3


INSIDE = """
@atomic(show="inside()")
def inside(mm: Mm) -> int:
    if mm.flag:
        when(mm.a > 0)
        return 1
    when(mm.b == 1)
    when(mm.c == 1)
    return 2
"""


def test_conditions_behind_branches(tmp_path: Path) -> None:
    for second in ("mm.flag = True\nmm.a = 1", "mm.b = 1\natomic_inc(mm.c)",
                   "atomic_inc(mm.c)\nmm.b = 1"):  # fmt: skip
        source = two("i = inside(mm)\nmm.pages = {Page(i - 1)}", second, INSIDE)
        ends = agree(tmp_path / "model.py", source)
        assert None not in ends


def test_who_waits_for_ever_is_where_the_checker_sees_a_deadlock(tmp_path: Path) -> None:
    source = two("with mm.ptl:\n    with mm.lru:\n        mm.a = 1",
                 "with mm.lru:\n    with mm.ptl:\n        mm.a = 2")  # fmt: skip
    assert None in agree(tmp_path / "model.py", source, runs=12)


def test_what_happened_before_a_condition_cannot_be_undone(tmp_path: Path) -> None:
    for body in ("mm.b = 1", "mm.b = choose(1, 2)\n    i = choose(0, 1)"):
        more = f"\n@atomic\ndef late(mm: Mm) -> None:\n    {body}\n    when(mm.flag)\n"
        scenario = scenario_of(tmp_path / "model.py", two("late(mm)", "mm.flag = True", more))
        with pytest.raises(ModelError, match="cannot be undone") as caught:
            priced(scenario, prices(Random(1)), 1)
        assert (caught.value.text or "").strip() == "late(mm)"


def test_calls_are_counted_once_however_often_they_are_tried(tmp_path: Path) -> None:
    from cost.schedules import BITS
    from shootdown.cost.engine import Run
    from shootdown.cost.workload import Plan

    wakes = "\n".join(["mm.b = 0"] * 5 + ["mm.b = 1", "atomic_inc(mm.c)"])
    scenario = scenario_of(tmp_path / "model.py", two("i = inside(mm)", wakes, INSIDE))
    setup = scenario.setup()
    priced = Run(Plan(BITS, setup.sizes, setup.threads), prices(Random(1))).run()
    assert priced.calls["inside"] == 1
    assert priced.times["inside"] > 0
