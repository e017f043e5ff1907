"""``check --compact``: what it says, what it goes with, and how it goes on."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.report.json import schema

SAFE = ("check", "mine.py::safe", "--compact")


def test_a_verdict_carries_its_probability(shootdown: Shootdown) -> None:
    exact, ran = shootdown(*SAFE[:2]), shootdown(*SAFE)
    assert ran.code == exact.code == 0
    states = json.loads(shootdown(*SAFE, "--json").out)["results"][0]["states"]
    lines = ran.out.splitlines()
    assert lines[0] == exact.out.splitlines()[0]
    said = " ".join(" ".join(lines[1:3]).split())
    bound = states * (states + 1) / 2**65
    assert said.startswith("with probability of omitted states below ")
    assert bound < float(said.split()[6]) < 1.1 * bound
    assert f"(64-bit fingerprints of {states} states)" in said
    assert "64-bit fingerprints, seed 0: some were omitted with" in " ".join(ran.out.split())
    quiet = shootdown(*SAFE, "--quiet")
    assert quiet.out.splitlines() == lines[:3]


def test_a_race_is_the_same(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::race")
    exact, ran = shootdown(*words), shootdown(*words, "--compact")
    assert ran.code == 1
    assert "64-bit fingerprints: with probability below" in ran.out
    assert "a shorter one was omitted" in " ".join(ran.out.split())
    token = exact.out.splitlines()[-1]
    assert token.startswith("reproduce: ")
    assert ran.out.splitlines()[-1] == token


def test_the_document(shootdown: Shootdown) -> None:
    (read,) = json.loads(shootdown(*SAFE, "--seed", "7", "--json").out)["results"]
    bound = read["fingerprints"].pop("omission_below")
    assert read["fingerprints"] == {"seed": 7, "bits": 64}
    assert bound == pytest.approx(read["states"] * (read["states"] + 1) / 2**65)
    assert json.loads(shootdown(*SAFE[:2], "--json").out)["results"][0]["fingerprints"] is None
    assert shootdown(*SAFE, "--json-events=e", "--quiet").code == 0
    ended = json.loads(Path("e").read_text().splitlines()[-1])
    jsonschema.validate(ended, schema("events"), cls=jsonschema.Draft202012Validator)
    assert ended["omission_below"] == bound


def test_several_add_up(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "mine.py::race", "--compact", "--quiet")
    last = ran.out.splitlines()[-1]
    assert last.startswith("all 2 as expected; omitted states in any: probability below ")
    document = shootdown("check", "mine.py::safe", "mine.py::race", "--compact", "--json").out
    bounds = [r["fingerprints"]["omission_below"] for r in json.loads(document)["results"]]
    assert sum(bounds) < float(last.split()[-1]) < 1.1 * sum(bounds)


def test_everything_that_can_be_broken(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::race", "--all-invariants")
    exact, ran = shootdown(*words), shootdown(*words, "--compact")
    tokens = [
        [line for line in out.splitlines() if "--path" in line] for out in (exact.out, ran.out)
    ]
    assert tokens[0] == tokens[1] != []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--compact", "--lanes", "on"), "lanes need the states; leave out --compact or --lanes"),
        (("--compact", "--lanes", "auto"), "lanes need the states"),
        (("--compact", "--engine", "reference"), "only the native engine has fingerprints"),
        (("--compact", "--factors"), "--factors searches in its own ways: leave out --compact"),
        (("--seed", "1"), "--seed chooses the fingerprints of --compact: give that too"),
        (("--compact", "--seed", "-1"), "argument --seed: "),
        (("--compact", "--seed", str(1 << 64)), "is not a whole number from 0 to 2^64 - 1"),
    ],
)
def test_what_has_no_meaning(shootdown: Shootdown, words: tuple[str, ...], said: str) -> None:
    ran = shootdown("check", "mine.py::safe", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize("reduce", ["none", "symmetry", "symmetry,order,merge"])
def test_reductions(shootdown: Shootdown, reduce: str) -> None:
    words = ("check", "mine.py::safe", "--reduce", reduce, "--json")
    (exact,) = json.loads(shootdown(*words).out)["results"]
    (found,) = json.loads(shootdown(*words, "--compact").out)["results"]
    for name in ("verdict", "states", "transitions", "depth", "reductions", "goals"):
        assert found[name] == exact[name]


def test_it_goes_on_with_its_fingerprints(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=4")
    stopped = shootdown(
        *words, "--compact", "--seed", "5", "--checkpoint", "c", "--max-states", "50"
    )
    assert stopped.code == 3
    assert "with probability of omitted states below" in stopped.out
    other = shootdown(*words, "--compact", "--resume", "c")
    assert other.code == 2
    assert "other fingerprints (64 bits, seed 5; here: 64 bits, seed 0)" in other.err
    ran = shootdown(*words, "--resume", "c", "--json")
    (found,) = json.loads(ran.out)["results"]
    (exact,) = json.loads(shootdown(*words, "--json").out)["results"]
    assert found["fingerprints"]["seed"] == 5
    assert found["verdict"] == "HOLDS"
    assert [found[n] for n in ("states", "transitions")] == [
        exact[n] for n in ("states", "transitions")
    ]


def test_an_exact_search_does_not_go_on_with_fingerprints(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=4")
    assert shootdown(*words, "--checkpoint", "c", "--max-states", "50").code == 3
    ran = shootdown(*words, "--compact", "--resume", "c")
    assert ran.code == 2
    assert "other fingerprints (none; here: 64 bits, seed 0)" in ran.err


def test_under_an_address_space_limit(models: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (350 << 20, 350 << 20))

    words = ("mine.py::safe", "--bound", "cpus=12", "--reduce", "none", "--compact", "--quiet")
    done = subprocess.run(
        [sys.executable, "-m", "shootdown", "check", *words, "--no-checkpoint"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("UNKNOWN")
