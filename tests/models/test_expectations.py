"""The whole library against ``expectations.toml``: what the reference says of each variant, what
the checker finds, and the reason where they differ."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from models.results import LIBRARY, run
from shootdown.commands import main
from shootdown.lang import Scenario
from shootdown.races import library
from shootdown.races.invariants import invariants

FILE = Path(__file__).with_name("expectations.toml")
FILED: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))
NAMES = {name: scenario for scenario in library() for name in (scenario.name, *scenario.aliases)}


def filed(lines: list[str]) -> dict[str, str]:
    """``NAME: VERDICT INVARIANT`` of each line, by name."""
    return dict(line.split(": ") for line in lines)


VARIANTS = {name: filed(variant["scenarios"]) for name, variant in FILED["variants"].items()}
EVERY = [*VARIANTS.values(), *(filed(lines) for lines in FILED["more"].values())]
EXPECTED = {name: verdict for group in EVERY for name, verdict in group.items()}
REASONS: dict[str, str] = FILED["reasons"]


def told(scenario: Scenario) -> str:
    return f"{scenario.expect} {scenario.violates or ''}".rstrip()


def differs(variant: str, name: str, verdict: str) -> bool:
    """Whether a scenario of a variant is not what the reference says of the variant."""
    said = FILED["variants"][variant]
    safe = verdict == "HOLDS"
    if said["reference"] == "safe":
        return not safe and verdict.rsplit(maxsplit=1)[-1] not in said.get("unsafe_for", ())
    main = variant in (name, *LIBRARY[name].aliases)
    return said["reference"] == "unsafe" and main and safe


def test_the_file_names_every_scenario_once() -> None:
    assert sum(map(len, EVERY)) == len(EXPECTED)
    assert {name: told(scenario) for name, scenario in LIBRARY.items()} == EXPECTED


ELSEWHERE = ("S0.", "S2a.", "LUF.", "S3.", "X2.", "X3.")
"""Beginnings of the names whose verdicts the modules of their systems test as well."""

VERDICTS = [
    pytest.param(name, marks=pytest.mark.deep) if name.startswith(ELSEWHERE) else name
    for name in EXPECTED
]


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    result = run(name, None)
    broken = f" {result.violation.name}" if result.violation else ""
    assert result.verdict.name + broken == EXPECTED[name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_reference_is_there(variant: str) -> None:
    assert VARIANTS[variant]
    for name in VARIANTS[variant]:
        own = (name, *LIBRARY[name].aliases)
        assert any(n == variant or n.startswith(f"{variant}.") for n in own)


def test_unsafe_variants_are_violated() -> None:
    for variant, scenarios in VARIANTS.items():
        if FILED["variants"][variant]["reference"] == "unsafe":
            assert any(verdict != "HOLDS" for verdict in scenarios.values()), variant


def test_what_differs_from_the_reference_has_a_reason() -> None:
    different = {
        name
        for variant, scenarios in VARIANTS.items()
        for name, verdict in scenarios.items()
        if differs(variant, name, verdict)
    }
    assert different == set(REASONS)
    assert all(len(reason) > 20 for reason in REASONS.values())


def test_bad_interleavings_are_found() -> None:
    assert len(FILED["bad"]) == 35
    for bad, name in FILED["bad"].items():
        assert NAMES[bad] is NAMES[name], bad
        assert NAMES[bad].expect == "VIOLATED", bad


def test_invariants_are_stated_and_broken_somewhere() -> None:
    stated = {invariant.name: invariant for invariant in invariants()}
    assert set(FILED["invariants"]) <= set(stated)
    for name, said in FILED["invariants"].items():
        assert bool(stated[name].broken_by) == (said == "broken"), name


@pytest.mark.deep
def test_the_whole_table(capsys: pytest.CaptureFixture[str]) -> None:
    """``check --all`` itself, with its exit code."""
    assert main(("check", "--all", "--quiet", "--json")) == 0
    found = {}
    for result in json.loads(capsys.readouterr().out)["results"]:
        broken = result.get("violation") or {}
        found[result["name"]] = f"{result['verdict']} {broken.get('name', '')}".rstrip()
    assert found == EXPECTED
