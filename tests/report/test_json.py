from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from scripted import HERE, Say, scripted, searched, traced
from shootdown.check.omission import Fingerprints, omission_bound
from shootdown.check.tokens import encode_token
from shootdown.lang.scenario import Scenario, Setup
from shootdown.report.description import OptionValue, Removable
from shootdown.report.json import (
    check_document,
    list_document,
    replay_document,
    run_document,
    schema,
    show_document,
)
from shootdown.report.run import Broken, Run, Subject

SUBJECT = Subject("S0.V4", "S0.V4", "Two MADV_DONTNEED", "VIOLATED", "INV-RET", hardware="x86")
SCRIPT = [Say("CPU0", "mm.count = 1", ("madvise()",), ("first",), ("stale",)), Say(None, "fill")]
ENDINGS = ["invariant", "assertion", "model error", "deadlock", "holds", "vacuous"]


def valid(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document as its reader gets it, valid by its schema."""
    read: dict[str, Any] = json.loads(json.dumps(document))
    jsonschema.validate(read, schema(name), cls=jsonschema.Draft202012Validator)
    assert read["schema"] == f"shootdown/{name}/1"
    return read


def unbuilt() -> Setup:
    raise AssertionError


@pytest.mark.parametrize("name", ["check", "list", "show", "replay", "calibrate"])
def test_schemas_are_schemas_and_closed(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": f"shootdown/{name}/1"}, schema(name))


@pytest.mark.parametrize("ending", ENDINGS)
def test_check(ending: str) -> None:
    system = scripted(SCRIPT, ending=ending, assumptions=("x86",))
    result = searched(system)
    run = Run(SUBJECT, result)
    if result.violation is not None:
        trace = traced(system)
        run = Run(SUBJECT, result, trace, encode_token(system, trace.numbers))
    document = valid("check", check_document([run_document(run)], 1, "0.1"))
    (read,) = document["results"]
    assert read["bounds"] == {"cpus": 2, "pages": 1}
    assert (read["states"], read["goals"][0]["reached"]) == (result.states, result.goals[0])
    if run.trace is not None:
        steps = read["violation"]["steps"]
        assert read["violation"]["length"] == len(steps) == len(run.trace.steps)
        first = steps[0]
        assert (first["process"], first["column"]) == ("CPU0", "CPU0")
        assert first["label"] == "mm.count = 1"
        assert (first["notes"], first["marks"]) == (["first"], ["stale"])
        assert first["calls"][0]["function"] == "madvise()"
        assert steps[1]["process"] is None
    else:
        assert read["violation"] is None


@pytest.mark.parametrize(("ending", "bits"), [("holds", 64), ("vacuous", 8), ("deadlock", 1)])
def test_fingerprints_carry_their_bound(ending: str, bits: int) -> None:
    result = replace(searched(scripted(SCRIPT, ending=ending)), fingerprints=Fingerprints(3, bits))
    document = valid("check", check_document([run_document(Run(SUBJECT, result))], 1, "0.1"))
    (read,) = document["results"]
    bound = omission_bound(result.states, bits)
    assert read["fingerprints"] == {"seed": 3, "bits": bits, "omission_below": bound}
    assert read["shortest"] is (bound < 1)


def test_a_scenario_that_could_not_be_checked() -> None:
    document = valid(
        "check", check_document([run_document(Broken(SUBJECT, "mine.py:3: no", 2))], 2, "0.1")
    )
    assert document["results"][0]["error"] == "mine.py:3: no"


def test_list() -> None:
    scenario = Scenario("S0", "Two", "HOLDS", None, unbuilt, {"cpus": 2}, HERE, ("BAD-1",))
    document = valid("list", list_document([scenario], (), "0.1"))
    assert document["scenarios"][0]["expected"] == {"verdict": "HOLDS", "violates": None}


def test_show() -> None:
    options = [OptionValue("tlb", "may", ("may", "explicit"), "")]
    sites = [Removable("tlb.py:40 flush_tlb_mm", "flush_tlb_mm")]
    system = scripted(SCRIPT)
    document = valid("show", show_document(SUBJECT, system, "More.", options, sites, "0.1"))
    assert [thread["name"] for thread in document["threads"]] == ["CPU0"]


def test_replay() -> None:
    trace = traced(scripted(SCRIPT, ending="deadlock"))
    subject = replace(SUBJECT, options=(("tlb", "may"),), arguments=("--hardware tlb=may",))
    document = valid("replay", replay_document(subject, trace, "3fq9k2", 1, "0.1"))
    assert document["hardware"]["options"] == {"tlb": "may"}
    assert document["violation"]["reproduce"] == (
        "shootdown replay S0.V4 --hardware tlb=may --path 3fq9k2"
    )
    assert [w["process"] for w in document["violation"]["waiting"]] == ["CPU0"]
