"""``--reduce``, ``--factors``, ``--all-invariants``: what is searched, and what is said of it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.check.native import explore
from shootdown.check.reduce import NONE, Reduction, auto, reductions
from shootdown.check.result import Limits, Progress, Result, ViolationKind
from shootdown.check.without import without
from shootdown.lang.ir import System
from shootdown.races import library
from shootdown.report.json import schema


def test_a_race_that_may_not_be_the_shortest_says_so(shootdown: Shootdown) -> None:
    ran = shootdown("check", "S0.V4", "--reduce", "order,merge")
    assert ran.code == 1
    head, said, hint = ran.out.splitlines()[:3]
    assert head.startswith("VIOLATED  INV-S0-3")
    assert said.startswith("a race: ")
    assert hint.startswith("not known to be the shortest: with --reduce symmetry")
    assert "(reductions: order, merge)" in ran.out
    token = ran.out.rsplit("--path ", 1)[1].split()[0]
    replayed = shootdown("replay", "S0.V4", "--path", token)
    assert (replayed.code, replayed.out.splitlines()[0]) == (1, head)


def test_the_report_names_the_reductions(shootdown: Shootdown) -> None:
    ran = shootdown("check", "S0.V6", "--reduce", "merge", "--json")
    (found,) = json.loads(ran.out)["results"]
    assert (found["reductions"], found["shortest"]) == (["merge"], False)
    assert found["states"] < 400
    text = shootdown("check", "S0.V6", "--reduce", "merge").out
    assert "\n  reductions    merge\n" in text
    assert "reductions" not in shootdown("check", "S0.V6", "--reduce", "none").out


def test_what_each_reduction_gave_is_said_as_far_as_it_is_known(shootdown: Shootdown) -> None:
    whole = shootdown("check", "S0.V6", "--reduce", "none", "--json")
    states = json.loads(whole.out)["results"][0]["states"]
    ran = shootdown("check", "S0.V6", "--reduce", "symmetry", "--json")
    document = json.loads(ran.out)
    jsonschema.validate(document, schema("check"))
    (found,) = document["results"]
    assert found["represented"] == {
        "states": states,
        "standard_error": 0,
        "reachable": True,
        "factor": round(states / found["states"], 3),
    }
    text = shootdown("check", "S0.V6", "--reduce", "symmetry,merge").out
    assert f"\n{'':<16}symmetry: " in text
    assert f"\n{'':<16}what merge left out is not counted; --factors" in text
    merged = json.loads(shootdown("check", "S0.V6", "--reduce", "merge", "--json").out)
    assert merged["results"][0]["represented"] is None


def test_auto_reduces_what_is_long(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "reductions" not in shootdown("check", "S0.V6").out
    monkeypatch.setattr(auto, "FIRST", 500)
    assert "\n  reductions    " in shootdown("check", "S0.V6").out
    # a limit of the user's own that comes before is a limit
    ran = shootdown("check", "S0.V6", "--max-states", "300")
    assert ran.code == 3
    assert "300 states" in ran.out


def test_what_the_ordinary_search_saw_is_said(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "FIRST", 50)
    words = ("check", "S0.V6", "--max-states", "60", "--json-events=e")
    ran = shootdown(*words)
    assert ran.code == 3
    said = "  reductions    symmetry\n" + " " * 16
    said += "symmetry: 60 states stand for "
    assert said in ran.out
    assert "\n" + " " * 16 + "the ordinary search before saw 50 states, depth " in ran.out
    told = [json.loads(line) for line in Path("e").read_text().splitlines()]
    for event in told:
        jsonschema.validate(event, schema("events"))
    assert {event["event"] for event in told} - {"progress"} == {"start", "reduced", "end"}
    (reduced,) = [event for event in told if event["event"] == "reduced"]
    assert (reduced["states"], reduced["reductions"]) == (50, ["symmetry"])
    document = json.loads(shootdown(*words, "--json").out)
    jsonschema.validate(document, schema("check"))
    assert document["results"][0]["before_reductions"] == {
        "states": 50,
        "depth": reduced["depth"],
    }


def test_the_time_limit_is_one_for_the_analysis_too(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def analysed(*_: object) -> Reduction:
        time.sleep(60)
        return NONE

    monkeypatch.setattr(auto, "reductions", analysed)
    monkeypatch.setattr(auto, "FIRST", 50)
    began = time.monotonic()
    ran = shootdown("check", "S0.V6", "--max-time", "2")
    assert ran.code == 3
    assert "the limit on time was reached" in ran.out
    assert "explored      50 states" in ran.out
    ran = shootdown("check", "S0.V6", "--max-time", "2", "--reduce", "symmetry")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("shootdown: S0.V6: the time limit was reached while ")
    ran = shootdown("bounds", "S0.V6", "--total-time", "1", "--reduce", "order")
    assert ran.code == 3
    assert "UNKNOWN" in ran.out
    assert time.monotonic() - began < 20


def test_nothing_is_interchangeable(shootdown: Shootdown) -> None:
    words = ("check", "MADV-PARALLEL.fixed", "--reduce", "symmetry")
    assert (
        "\n  reductions    none apply: nothing was proven to be interchangeable\n"
        in shootdown(*words).out
    )
    document = json.loads(shootdown(*words, "--json").out)
    jsonschema.validate(document, schema("check"))
    assert document["results"][0]["reductions"] == []


def test_symmetry_that_gets_too_large_is_given_up(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is another thing than that nothing is interchangeable."""

    def said(*words: str) -> tuple[str, int | None]:
        out = shootdown("check", *words, "--json", "given.json").out
        (result,) = json.loads(Path("given.json").read_text())["results"]
        document = json.loads(Path("given.json").read_text())
        jsonschema.validate(document, schema("check"), cls=jsonschema.Draft202012Validator)
        return " ".join(out.split()), result["symmetry_given_up"]

    given_up = "symmetry: given up, as its proofs, or its group, got too large"
    words = ("S0.V6", "--reduce", "symmetry")
    text, pairs = said(*words)
    assert (pairs, "too large" in text) == (0, False)
    monkeypatch.setattr("shootdown.check.reduce.bdd.Diagrams.__init__.__defaults__", (50,))
    text, pairs = said(*words)
    assert f"reductions {given_up} invariants" in text
    assert pairs
    monkeypatch.setattr(auto, "FIRST", 20)
    assert f"reductions {given_up} invariants" in said("S0.V6")[0]
    assert f"states in {given_up}" not in said("S0.V4", "--reduce", "none")[0]
    assert f"({given_up})" in said("S0.V4", "--reduce", "symmetry")[0]
    assert f"reductions order {given_up}" not in said("S0.V6", "--reduce", "order")[0]


def test_a_group_that_is_too_large_is_given_up(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shootdown.check.reduce.symmetry.MOST", 1)
    ran = shootdown("check", "S0.V6", "--reduce", "symmetry")
    assert "symmetry: given up, as its proofs, or its group, got too large" in " ".join(
        ran.out.split()
    )


def test_the_time_covers_the_analysis(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    class Clock:
        def perf_counter(self) -> float:
            return now

    def slowly(system: System, names: tuple[str, ...]) -> Reduction:
        nonlocal now
        now += 1000
        return reductions(system, names)

    monkeypatch.setattr(auto, "FIRST", 20)
    monkeypatch.setattr(auto, "time", Clock())
    monkeypatch.setattr(auto, "reductions", slowly)
    (result,) = json.loads(shootdown("check", "S0.V6", "--json").out)["results"]
    assert result["reductions"] == ["symmetry"]
    assert 1000 < result["seconds"] < 1100


def test_progress_is_not_reduced(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = shootdown("check", "S3.LIVE", "--reduce", "order")
    assert ran.code == 2
    assert "has the progress property INV-S3-9" in ran.err
    assert "use --reduce none" in ran.err
    assert shootdown("check", "S3.LIVE", "--factors", "--max-states", "9").code == 2
    monkeypatch.setattr(auto, "FIRST", 10)
    ran = shootdown("check", "S3.LIVE")
    assert (ran.code, "reductions" in ran.out) == (0, False)


def test_factors_of_hardware_that_is_concrete_in_two_ways(shootdown: Shootdown) -> None:
    """What the user chooses stays; each of the others has its own line."""
    words = ("check", "X2.V3.pv", "--factors", "--max-states", "300")
    whole = shootdown(*words).out.splitlines()
    assert whole[2] == "  tlb=explicit,"
    assert whole[3].startswith("  preemption=explicit ")
    assert whole[4].startswith("  as it is")
    chosen = shootdown(*words, "--hardware", "preemption=explicit").out.splitlines()
    assert chosen[2].startswith("  tlb=explicit ")
    assert chosen[2].split()[1] == whole[3].split()[1]
    assert not any("preemption" in line for line in chosen)


def test_factors(shootdown: Shootdown) -> None:
    ran = shootdown("check", "S0.V8", "--factors", "--bound", "pages=1")
    head, titles, *rows = ran.out.splitlines()
    assert ran.code == 0
    assert head == "S0.V8 (3 CPUs, 1 page)"
    assert titles.split() == ["STATES", "FACTOR", "ALL", "TIME", "VERDICT"]
    names = [row[2:18].strip() for row in rows]
    assert names == ["tlb=explicit", "as it is", "and symmetry", "and order", "and merge"]
    states = [int(row[18:32].replace(",", "")) for row in rows]
    assert states == sorted(states, reverse=True)
    assert shootdown("check", "S0.V8", "--factors", "--max-states", "20").code == 3
    assert shootdown("check", "S0.V8", "--factors", "--json").code == 2
    assert shootdown("check", "MADV-PARALLEL", "--factors").code == 1
    for words in (("--resume", "x"), ("--lanes", "on"), ("--all-invariants",), ("--json-events",)):
        ran = shootdown("check", "S0.V8", "--factors", *words)
        assert (ran.code, words[0] in ran.err) == (2, True)


def test_factors_show_which_search_runs(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def telling(
        system: System, limits: Limits, on_progress: Callable[[Progress], None], **more: Any
    ) -> Result:
        on_progress(Progress(states=7, expanded=3, depth=2, elapsed=1.0, memory=1))
        return explore(system, limits, **more)

    monkeypatch.setattr("shootdown.commands.search.engine_named", lambda _: telling)
    monkeypatch.setattr("shootdown.commands.console.ProgressLine.EVERY", 0.0)
    words = ("check", "S0.V8", "--factors", "--bound", "pages=1")
    begins = [line.split(" states,")[0] for line in shootdown(*words).err.splitlines()]
    assert begins == [
        "S0.V8 (tlb=explicit): 7",
        "S0.V8 (as it is): 7",
        "S0.V8 (and symmetry): analysing what can be left out",
        "S0.V8 (and symmetry): 7",
        "S0.V8 (and order): analysing what can be left out",
        "S0.V8 (and order): 7",
        "S0.V8 (and merge): analysing what can be left out",
        "S0.V8 (and merge): 7",
    ]
    assert shootdown(*words, "--quiet").err == ""
    monkeypatch.setattr("shootdown.commands.console.ProgressLine.EVERY", 9.0)
    assert shootdown(*words).err == ""


def test_ctrl_c_in_the_analysis_of_factors_leaves_the_rows(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(auto, "chosen", pressed)
    ran = shootdown("check", "S0.V8", "--factors", "--bound", "pages=1")
    assert ran.code == 3
    assert [line[2:18].strip() for line in ran.out.splitlines()[2:]] == [
        "tlb=explicit",
        "as it is",
        "and symmetry",
    ]


def test_every_invariant_has_its_race(shootdown: Shootdown) -> None:
    ran = shootdown("check", "S2a.V4", "--all-invariants")
    assert ran.code == 1
    assert ran.out.startswith(shootdown("check", "S2a.V4").out.split("\nexplored")[0])
    races = [line.split()[1] for line in ran.out.splitlines() if line.startswith("VIOLATED  ")]
    assert races == ["INV-S2-2:", "INV-DIRTY:"]
    (found,) = json.loads(shootdown("check", "S2a.V4", "--all-invariants", "--json").out)["results"]
    (other,) = found["other_violations"]
    assert (found["violation"]["name"], other["name"]) == ("INV-S2-2", "INV-DIRTY")
    assert found["violation"]["length"] < other["length"]
    if other["token"] is not None:
        again = shootdown("replay", "S2a.V4", "--path", other["token"])
        assert again.code == 1


def test_what_was_violated_is_not_looked_at_again() -> None:
    system = next(s for s in library() if s.name == "S0.V4").compile()
    result = explore(system)
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.ASSERTION
    rest = without(system, result.violation)
    assert rest.failures == system.failures
    assert explore(rest).violation is None
    assert explore(rest).states > result.states
