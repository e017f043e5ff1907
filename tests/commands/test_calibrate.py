from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.cost import calibrate_machine as machine
from shootdown.cost.profile import Profile
from shootdown.errors import UsageError
from shootdown.report.json import schema
from synthetic_machine import TRUE, SyntheticBench, install


@pytest.fixture
def synthetic(monkeypatch: pytest.MonkeyPatch) -> SyntheticBench:
    return install(monkeypatch)


@pytest.mark.usefixtures("synthetic")
def test_a_profile_is_written(shootdown: Shootdown, models: Path) -> None:
    ran = shootdown("calibrate", "--output", "here.toml", "--seconds", "0.001")
    assert (ran.code, ran.err) == (0, "shootdown: written to here.toml\n")
    profile = Profile.load("./here.toml")
    assert (profile.name, profile.handler) == ("here", TRUE["handler"])
    rows = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if "  " in line)
    assert rows["kernel_entry"].split() == ["100", "5", "%", "getpid", "in", "a", "loop"]
    assert rows["read_page"].endswith("not measured, from skylake-2s")
    assert "a shootdown of one page" in ran.out
    assert ran.out.count("passed  ") == 9
    assert sorted(path.name for path in models.iterdir()) == ["here.toml", "mine.py"]


@pytest.mark.usefixtures("synthetic")
def test_without_output_the_prices_are_printed(shootdown: Shootdown, models: Path) -> None:
    ran = shootdown("calibrate", "--seconds", "0.001", "--name", "mine", "--base", "skylake-4s")
    assert (ran.code, ran.err) == (0, "")
    assert "from skylake-4s" in ran.out
    assert shootdown("calibrate", "--seconds", "0.001", "--quiet").out == ""
    assert [path.name for path in models.iterdir()] == ["mine.py"]


def test_what_fails_its_checks_is_not_written(
    shootdown: Shootdown, models: Path, synthetic: SyntheticBench
) -> None:
    synthetic.noisy = ("getpid",)
    (models / "here.toml").write_text("kept")
    ran = shootdown("calibrate", "--output", "here.toml", "--seconds", "0.001", "-q")
    assert ran.code == 3
    assert ran.err.startswith("shootdown: not written: spread failed. ")
    assert ran.out.startswith("FAILED  spread: half of the bursts are within ")
    assert "passed" not in ran.out
    assert (models / "here.toml").read_text() == "kept"


def test_json(shootdown: Shootdown, synthetic: SyntheticBench) -> None:
    synthetic.refused = ("bounce",)
    for code in (3, 0):
        ran = shootdown("calibrate", "--output", "here.toml", "--seconds", "0.001", "--json")
        document = json.loads(ran.out)
        jsonschema.validate(document, schema("calibrate"), cls=jsonschema.Draft202012Validator)
        assert ran.code == document["exit_code"] == code
        assert document["accepted"] == (code == 0)
        assert document["output"] == (None if code else "here.toml")
        assert {check["name"] for check in document["checks"] if not check["passed"]} == (
            {"bursts"} if code else set()
        )
        synthetic.refused = ()
        synthetic.series.clear()
    numbers = {number["name"]: number for number in document["numbers"]}
    assert (numbers["invlpg"]["value"], numbers["invlpg"]["measured"]) == (40, True)
    assert numbers["cpus"] == {
        "name": "cpus",
        "value": 2,
        "unit": "count",
        "uncertainty_percent": 0,
        "source": "measured on a synthetic machine: CPUs of this process",
        "measured": True,
    }
    series = {each["name"]: each for each in document["series"]}
    assert series["getpid"]["median_ns"] == TRUE["kernel_entry"]
    assert document["shootdown_ns"] == 1495.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "here"], "--output: 'here' must end in .toml"),
        (["--output", "no/here.toml"], "--output: there is no directory 'no'"),
        (["--output", "folder.toml"], "--output: 'folder.toml' is a directory"),
        (["--base", "skylake"], "there is no profile 'skylake'; did you mean 'skylake-"),
        (["--base", "altra"], "the base must be a profile of x86, and altra is not"),
        (["--seconds", "0"], "argument --seconds: '0' is not a time"),
        (["surplus"], "unrecognized arguments: surplus"),
    ],
)
def test_wrong_use(shootdown: Shootdown, models: Path, words: list[str], message: str) -> None:
    (models / "folder.toml").mkdir()
    ran = shootdown("calibrate", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_one_cpu_is_refused(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "places", lambda: {0: machine.Place(0, 0)})
    ran = shootdown("calibrate", "--seconds", "0.001")
    assert ran.code == 2
    if os.uname().machine == "x86_64":
        assert ran.err.startswith("shootdown: calibrate needs two CPUs, and this process may use")
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(started: Callable[..., subprocess.Popen[str]], models: Path) -> None:
    try:
        machine.check_machine()
    except UsageError as error:
        pytest.skip(str(error))
    process = started("calibrate", "--output", "here.toml", "--seconds", "60")
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "shootdown: interrupted\n")
    assert [path.name for path in models.iterdir()] == ["mine.py"]
