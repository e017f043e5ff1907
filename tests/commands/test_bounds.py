"""``shootdown bounds``: which rows there are, when they end, what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.check.native import engine
from shootdown.commands.growth import Growth, Predicted, Size, Vector
from shootdown.report.json import schema

GROWING = """
from shootdown.errors import UsageError
from shootdown.lang import (
    Object, Setup, Thread, event, ghost, invariant, path, ranged, scenario, this,
)


class Cpu(Object, show="CPU{}"):
    steps: int = ghost(ranged(0, 9))


class Mm(Object):
    count: int = ranged(0, 3)


@path
def walk(*, steps: int) -> None:
    for _ in range(steps):
        event("a step")
        this(Cpu).steps = this(Cpu).steps + 1


@path
def count(mm: Mm) -> None:
    mm.count = mm.count + 1


@invariant("INV-SUM")
def few() -> bool:
    \"\"\"five steps were taken\"\"\"
    return sum(cpu.steps for cpu in Cpu) < 5


def walks(cpus, steps, **more):
    threads = [Thread(walk, steps=steps, on=Cpu(c)) for c in range(cpus)]
    return Setup(sizes={Cpu: cpus}, threads=threads, **more)


@scenario("grid", expect="HOLDS")
def grid(cpus: int = 1, steps: int = 2, idle: int = 1) -> Setup:
    \"\"\"(steps + 1) to the power of cpus states, whatever idle is.\"\"\"
    return walks(cpus, steps)


@scenario("breaks", expect="HOLDS")
def breaks(cpus: int = 1, steps: int = 2) -> Setup:
    \"\"\"Holds for up to 4 steps in all.\"\"\"
    return walks(cpus, steps, invariants=[few])


@scenario("even", expect="HOLDS")
def even(cpus: int = 2) -> Setup:
    \"\"\"Has only even numbers of CPUs.\"\"\"
    if cpus % 2:
        raise UsageError("CPUs come in pairs")
    return walks(cpus, 1)


@scenario("narrow", expect="HOLDS")
def narrow(cpus: int = 2) -> Setup:
    \"\"\"Counts up to 3.\"\"\"
    threads = [Thread(count, Mm(0), on=Cpu(c)) for c in range(cpus)]
    return Setup(sizes={Cpu: cpus, Mm: 1}, threads=threads)
"""

WIDE = """
from shootdown.lang import Object, Setup, Thread, path, scenario, this


class Cpu(Object):
    pass


class Mm(Object):
    seen: set[Cpu]


@path
def walk(mm: Mm) -> None:
    mm.seen.add(this(Cpu))


@scenario("wide", expect="HOLDS")
def wide(cpus: int = 61) -> Setup:
    threads = [Thread(walk, Mm(0), on=Cpu(c)) for c in range(60, cpus)]
    return Setup(sizes={Cpu: cpus, Mm: 1}, threads=threads)
"""


@pytest.fixture
def grow(models: Path) -> str:
    (models / "grow.py").write_text(GROWING)
    return "grow.py"


def cells(out: str) -> list[list[str]]:
    """The rows of the table, without time and memory."""
    rows = [line.split() for line in out.partition("\n\n")[0].splitlines()[1:]]
    return [row[: row.index(word) + 2] for row in rows for word in VERDICTS if word in row]


VERDICTS = ("HOLDS", "VIOLATED", "UNKNOWN", "VACUOUS", "ERROR")


# ------------------------------------------------------------------ the order of growth


def finished(growth: Growth, limit: int) -> list[tuple[int, ...]]:
    """What is tried if (steps + 1) ** cpus states are found, and ``limit`` are too many."""
    order = []
    while (vector := growth.next()) is not None:
        cpus, steps = vector
        predicted = growth.predicted(vector)
        if predicted is not None and predicted.states > limit:
            growth.end(vector)
            continue
        order.append(vector)
        states = (steps + 1) ** cpus
        if states > limit:
            growth.end(vector)
        else:
            growth.held(vector, Size(states, cpus * steps, 0.0, 0))
    return order


def test_one_bound_grows_at_a_time_then_both_and_the_cheapest_first() -> None:
    growth = Growth(("cpus", "steps"), {"cpus": 1, "steps": 1}, ("cpus", "steps"))
    order = finished(growth, 20)
    assert order[:4] == [(1, 1), (1, 2), (2, 1), (1, 3)]
    sizes = {v: (v[1] + 1) ** v[0] for v in order}
    assert {v for v in sizes if sizes[v] <= 20} == set(growth.sizes)
    for cpus, steps in growth.sizes:  # nothing before what it grew from
        for smaller in ((cpus - 1, steps), (cpus, steps - 1)):
            if min(smaller) >= 1:
                assert order.index(smaller) < order.index((cpus, steps))


def test_prediction_goes_on_as_before() -> None:
    growth = Growth(("cpus", "steps"), {"cpus": 1, "steps": 1}, ("cpus", "steps"))
    assert growth.predicted((1, 1)) is None
    growth.held((1, 1), Size(10, 1, 0.0, 0))
    assert growth.predicted((2, 1)) is None  # one point gives no ratio
    growth.held((2, 1), Size(50, 1, 0.0, 0))
    assert growth.predicted((3, 1)) == Predicted(250, reduced=False)
    growth.held((1, 2), Size(30, 1, 0.0, 0))
    assert growth.predicted((2, 2)) == Predicted(150, reduced=False)


def test_prediction_compares_what_reduced_rows_stand_for() -> None:
    growth = Growth(("cpus",), {"cpus": 1}, ("cpus",))
    growth.held((1,), Size(10, 1, 0.0, 0))
    growth.held((2,), Size(20, 1, 0.0, 0, 100, ("symmetry",)))
    assert growth.predicted((3,)) == Predicted(200, reduced=True)  # 1000 in fives
    growth.held((3,), Size(60, 1, 0.0, 0, 900, ("symmetry",)))
    assert growth.predicted((4,)) == Predicted(180, reduced=True)  # they are alike


def test_a_reduced_row_with_fewer_states_is_no_bound_that_changes_nothing() -> None:
    growth = Growth(("cpus",), {"cpus": 1}, ("cpus",))
    growth.held((1,), Size(10, 1, 0.0, 0))
    growth.held((2,), Size(10, 1, 0.0, 0, 20, ("symmetry",)))
    assert growth.unchanged() == []
    assert growth.next() == (3,)


def test_largest_leaves_out_what_is_smaller_everywhere() -> None:
    growth = Growth(("a", "b"), {"a": 1, "b": 1}, ("a", "b"))
    for vector in ((1, 1), (2, 1), (1, 2), (3, 1)):
        growth.held(vector, Size(sum(vector), 1, 0.0, 0))
    assert growth.largest() == [(1, 2), (3, 1)]


# ------------------------------------------------------------------ the table


def test_rows_states_and_end(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::grid", "--grow", "cpus,idle", "--max-states", "30", "-q")
    assert (ran.code, ran.err) == (0, "")
    rows = {tuple(map(int, row[:3])): row[3:] for row in cells(ran.out)}
    assert rows[1, 2, 1] == ["HOLDS", "3"]
    assert rows[2, 2, 1] == ["HOLDS", "9"]
    assert rows[3, 2, 1] == ["HOLDS", "27"]
    assert (4, 2, 1) not in rows  # 81 states are predicted
    told = " ".join(ran.out.split())
    assert "4 CPUs, 2 steps, idle=1: about 81 states are predicted, too many for the limit" in told
    assert rows[1, 2, 2] == ["HOLDS", "3"]
    assert (1, 2, 3) not in rows
    assert "idle=3: with 2 the states are those with 1" in told
    assert "beyond unknown." in told


def test_only_what_is_asked_for_grows_from_what_is_given(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown(
        "bounds", f"{grow}::grid", "--grow", "cpus", "--bound", "steps=1", "--max-states", "8", "-q"
    )
    rows = [row[:5] for row in cells(ran.out)]
    assert rows == [
        ["1", "1", "1", "HOLDS", "2"],
        ["2", "1", "1", "HOLDS", "4"],
        ["3", "1", "1", "HOLDS", "8"],
    ]


def test_a_race_ends_the_table(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::breaks", "-q")
    assert ran.code == 1
    *before, last = cells(ran.out)
    assert {row[2] for row in before} == {"HOLDS"}
    assert last[2] == "VIOLATED"
    command = f"shootdown check {grow}::breaks --bound cpus={last[0]},steps={last[1]}"
    assert command in " ".join(ran.out.split())
    assert shootdown(*command.split()[1:]).code == 1


def test_a_race_at_once(shootdown: Shootdown) -> None:
    ran = shootdown("bounds", "mine.py::race")
    assert (ran.code, len(cells(ran.out))) == (1, 1)
    assert "HOLDS for   none of these bounds" in ran.out


def test_bounds_that_a_scenario_does_not_have(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::even", "--max-states", "70", "-q")
    assert [row[0] for row in cells(ran.out)] == ["2", "4", "6", "8"]
    assert [row[1] for row in cells(ran.out)] == ["HOLDS"] * 3 + ["UNKNOWN"]
    assert ran.out.count("impossible  CPUs come in pairs") == 1
    assert ran.code == 0


def test_what_the_model_is_not_made_for_ends_it(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::narrow", "-q")
    assert [row[:2] for row in cells(ran.out)][:2] == [["2", "HOLDS"], ["3", "HOLDS"]]
    assert "ERROR" in ran.out.splitlines()[3]
    assert ran.code == 0
    assert shootdown("bounds", f"{grow}::narrow", "--bound", "cpus=4", "-q").code == 2


def test_no_smaller_bounds_where_they_were_tried(shootdown: Shootdown, models: Path) -> None:
    (models / "wide.py").write_text(WIDE)
    said = " ".join(shootdown("bounds", "wide.py", "-q").out.split())
    assert "stopped at 63 CPUs: the model is not made for it: " in said
    assert "is the most" in said
    assert "smaller" not in said


def test_a_first_row_that_does_not_end(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::grid", "--max-states", "2", "-q")
    assert (ran.code, len(cells(ran.out))) == (3, 1)
    assert "the limit on states was reached" in ran.out


def test_vacuous_is_worth_three(shootdown: Shootdown) -> None:
    assert shootdown("bounds", "mine.py::empty", "-q").code == 3


def test_reduced_rows_are_marked(shootdown: Shootdown) -> None:
    words = ("bounds", "S2a.V8.munmap", "--max-states", "4000", "--reduce", "symmetry", "-q")
    out = shootdown(*words).out
    rows = {tuple(row[:2]): row[-1] for row in cells(out)}
    assert rows == {("3", "1"): "1,175", ("3", "2"): "3,496", ("4", "1"): "*2,328"}
    told = " ".join(out.split())
    assert "* reduced 4 CPUs, 1 page: symmetry; 2,328 states stand for 3,481 (1.5x)" in told
    assert "4 CPUs, 2 pages: about 6,926 reduced states are predicted" in told
    assert "3 CPUs, 3 pages: about 10,401 states are predicted" in told
    document = json.loads(shootdown(*words, "--json").out)
    jsonschema.validate(document, schema("bounds"), cls=jsonschema.Draft202012Validator)
    found = {tuple(row["bounds"].values()): row for row in document["rows"]}
    assert found[4, 1]["reductions"] == ["symmetry"]
    assert found[4, 1]["represented"]["states"] == 3481
    assert (found[3, 2]["reductions"], found[3, 2]["represented"]) == ([], None)
    reduced = {tuple(u["bounds"].values()): u["reduced"] for u in document["not_tried"]}
    assert reduced == {(5, 1): True, (4, 2): True, (3, 3): False}


def test_limits_of_the_whole_table(shootdown: Shootdown, grow: str) -> None:
    ran = shootdown("bounds", f"{grow}::grid", "--total-states", "20", "-q")
    assert sum(int(row[4].replace(",", "")) for row in cells(ran.out)) <= 20
    assert ran.code == 0
    ran = shootdown("bounds", f"{grow}::grid", "--total-time", "0.000001", "-q")
    assert cells(ran.out) == []
    assert ran.code == 3


def test_wrong_words(shootdown: Shootdown, grow: str) -> None:
    for words, said in (
        (["mine.py::stuck"], "stuck has no bounds that could grow"),
        ([f"{grow}::grid", "--grow", "cpu"], "grid has no bound 'cpu'; it has: cpus, steps, idle"),
        ([f"{grow}::grid", "--bound", "x=1"], "grid has no bound 'x'"),
        ([grow], "has 4 scenarios"),
        ([f"{grow}::even", "--bound", "cpus=3"], "CPUs come in pairs"),
    ):
        ran = shootdown("bounds", *words)
        assert (ran.code, ran.out) == (2, ""), words
        assert said in ran.err
        assert "Traceback" not in ran.err


def test_json_follows_its_schema(shootdown: Shootdown, grow: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema("bounds"))
    for name in ("grid", "breaks", "even", "narrow"):
        ran = shootdown("bounds", f"{grow}::{name}", "--max-states", "30", "--json")
        document = json.loads(ran.out)
        jsonschema.validate(document, schema("bounds"), cls=jsonschema.Draft202012Validator)
        assert document["exit_code"] == ran.code
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "shootdown/bounds/1"}, schema("bounds"))
    ran = shootdown("bounds", f"{grow}::grid", "--max-states", "30", "--json")
    document = json.loads(ran.out)
    assert {"cpus": 3, "steps": 2, "idle": 1} in [row["bounds"] for row in document["rows"]]
    assert {"cpus": 4, "steps": 2, "idle": 1} in [u["bounds"] for u in document["not_tried"]]


class Clock:
    """Time passes whenever somebody looks, and while code is made."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.001
        return self.now


def test_predictions_do_not_depend_on_what_code_is_kept(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, code, held = Clock(), engine._Search.code, Growth.held
    sizes: list[Size] = []

    def slowly(search: engine._Search) -> object:
        clock.now += 100
        return code(search)

    def remember(growth: Growth, vector: Vector, size: Size) -> None:
        sizes.append(size)
        held(growth, vector, size)

    monkeypatch.setattr(engine, "time", clock)
    monkeypatch.setattr(engine._Search, "code", slowly)
    monkeypatch.setattr(Growth, "held", remember)
    assert (
        shootdown("bounds", "mine.py::safe", "--max-time", "500", "--max-states", "999").code == 0
    )
    assert sizes
    assert all(0 < size.seconds < 50 for size in sizes)
