"""``shootdown why``: what each flush and lock of a safe scenario is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shootdown.commands import main
from shootdown.report.json import schema
from shootdown.report.text import WIDTH

MODEL = """
from shootdown.lang import *


class Box(Object):
    full: bool
    lock: SpinLock
    spare: SpinLock
    count: int = counter(0, 4)


@path(role="flush")
def empty(box: Box) -> None:
    box.full = False


@path
def use(box: Box) -> None:
    with box.lock:
        with box.spare:
            old = box.full
            assert not old, "INV-EMPTY: somebody left the box full"
            box.full = True
            empty(box)


def build(safe: bool):
    def setup(threads: int = 2) -> Setup:
        return Setup(sizes={Box: 1}, threads=[Thread(use, Box(0))] * threads)
    return setup


safe = scenario("safe", expect="HOLDS", title="a box")(build(True))


@path
def careless(box: Box) -> None:
    old = box.full
    assert not old, "INV-EMPTY: somebody left the box full"
    box.full = True


@scenario("unsafe", expect="VIOLATED", violates="INV-EMPTY")
def unsafe() -> Setup:
    return Setup(sizes={Box: 1}, threads=[Thread(careless, Box(0))] * 2)
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    file = tmp_path / "box.py"
    file.write_text(MODEL)
    return str(file)


def test_each_site_has_its_race_or_is_redundant(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", f"{model}::safe"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= WIDTH for line in text.splitlines())
    paragraphs = text.split("\n\n")
    assert paragraphs[0].startswith("HOLDS  safe: a box\nwith everything in place (2 threads, ")
    sites = {
        p.split()[0] + " " + p.split()[2 if "lock " in p[8:13] else 1]: p for p in paragraphs[1:-1]
    }
    assert sorted(sites) == ["flush empty()", "lock box.lock", "lock box.spare"]
    assert "INV-EMPTY after 9 steps: somebody left the box full" in sites["flush empty()"]
    assert "redundant within these bounds" in sites["lock box.lock"]
    assert "redundant within these bounds" in sites["lock box.spare"]
    assert paragraphs[-1].startswith("3 sites: 1 needed, 2 redundant (within these bounds")


def test_full_prints_the_race(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", f"{model}::safe", "--full"]) == 0
    text = capsys.readouterr().out
    assert "<-- INV-EMPTY" in text
    assert "--without 'box.py:" in text


def test_without_what_is_left_out_the_other_becomes_needed(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = 1 + MODEL.splitlines().index("        with box.spare:")
    site = f"box.py:{line} lock box.spare"
    assert main(["why", f"{model}::safe", "--without", site]) == 0
    assert "2 sites: 2 needed, 0 redundant" in capsys.readouterr().out


def test_json_follows_its_schema(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", f"{model}::safe", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("why"))
    assert [site["needed"] for site in document["sites"]].count(True) == 1


def test_an_unsafe_scenario_is_refused(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", f"{model}::unsafe"]) == 2
    assert capsys.readouterr().err.strip() == (
        "shootdown: unsafe is VIOLATED: only what holds can be asked why; "
        f"see `shootdown check {model}::unsafe`"
    )


def test_a_limit_makes_it_unfinished(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", f"{model}::safe", "--max-states", "3"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "shootdown: safe is UNKNOWN: the limit on states was reached before it was known to hold",
        "undecided:",
        "  box.py:19 lock box.lock",
        "  box.py:20 lock box.spare",
        "  box.py:24 empty()",
    ]


IDLE = """
from shootdown.lang import *


class Box(Object):
    lock: SpinLock


@path
def idle(box: Box) -> None:
    with box.lock:
        event("one")
        event("two")
        event("three")


@scenario("idle", expect="HOLDS")
def setup() -> Setup:
    return Setup(sizes={Box: 1}, threads=[Thread(idle, Box(0))] * 3)
"""


def test_a_limit_on_one_site_leaves_it_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the lock, which nothing needs, there are more states than with it."""
    (tmp_path / "box.py").write_text(IDLE)
    words = ["why", str(tmp_path / "box.py"), "--max-states", "63"]
    assert main([*words, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("why"))
    assert [site["needed"] for site in document["sites"]] == [None]
    assert main(words) == 3
    text = capsys.readouterr().out
    assert "undecided: the limit on states was reached" in text
    assert text.endswith(
        "1 site: 0 needed, 0 redundant, 1 undecided (within these bounds and\n  assumptions)\n"
        "undecided:\n  box.py:11 lock box.lock\n"
    )
    words[-1] = "64"
    assert main(words) == 0


def test_ctrl_c_leaves_the_rest_undecided(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shootdown.check import native

    explore, calls = native.explore, iter(range(9))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def search(system: Any, limits: Any, progress: Any) -> Any:
        if next(calls) == 2:
            with monkeypatch.context() as patch:
                patch.setattr("shootdown.check.native.engine._Search.search", interrupt)
                return explore(system, limits, progress)
        return explore(system, limits, progress)

    monkeypatch.setattr(native, "explore", search)
    assert main(["why", f"{model}::safe", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("why"))
    assert [site["needed"] for site in document["sites"]] == [False, None, None]
    assert [site["summary"] for site in document["sites"]][1:] == [
        "undecided: interrupted",
        "undecided: not checked",
    ]


def test_a_site_whose_mutant_is_no_model_is_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        MODEL
        + """
only = scenario("only", expect="HOLDS", title="only")(
    lambda: Setup(sizes={Box: 1}, threads=[Thread(flushes, Box(0))])
)
"""
    )
    flushes = "@path\ndef flushes(box: Box) -> None:\n    empty(box)\n\n\n@scenario"
    (tmp_path / "box.py").write_text(text.replace("@scenario", flushes, 1))
    assert main(["why", f"{tmp_path / 'box.py'}::only"]) == 3
    out = capsys.readouterr().out
    assert "Thread(flushes) does nothing" in out
    assert "1 site: 0 needed, 0 redundant, 1 undecided" in out


def test_a_model_error_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "box.py").write_text(MODEL.replace("old = box.full", "old = box.fool"))
    assert main(["why", f"{tmp_path / 'box.py'}::safe"]) == 2
    assert "box.py:21: Box has no field 'fool'" in capsys.readouterr().err.splitlines()[0]


CLASSES = """
from shootdown.lang import *


class Box(Object):
    full: bool
    lock: SpinLock
    count: int = counter(0, 4)
    waiting: int = counter(0, 4)


@path
def use(box: Box, never: bool = False) -> None:
    smp_mb()
    with box.lock:
        box.count += 1
        box.waiting += 1
    box.count -= 1
    seen = box.full
    if seen:
        box.waiting -= 1


@goal("both")
def both() -> bool:
    \"\"\"two waited\"\"\"
    return any(box.waiting == 2 for box in Box)


@scenario("classes", expect="HOLDS")
def classes() -> Setup:
    return Setup(sizes={Box: 1}, threads=[Thread(use, Box(0))] * 2, goals=[both])
"""


def test_what_is_no_race_has_classes_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "box.py").write_text(CLASSES)
    words = ["why", str(tmp_path / "box.py")]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("why"))
    found = {site["text"]: (site["outcome"], site["needed"]) for site in document["sites"]}
    assert found == {
        "smp_mb()": ("no effect", False),
        "lock box.lock": ("redundant", False),
        "box.count += 1": ("refused", False),
        "box.waiting += 1": ("goal lost", False),
        "box.count -= 1": ("redundant", False),
        "box.waiting -= 1": ("never executed", False),
    }
    assert main(words) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "refused, an error of the model: range after 4 steps: the value of 'box.count -= 1' leaves"
        in text
    )
    assert "goal lost: nothing goes wrong, but never reached: both" in text
    assert "never executed: nobody comes by in this scenario" in text
    assert "no effect: within these bounds, and on this hardware, it does nothing" in text
    assert "redundant within these bounds: nothing goes wrong (" in text
    assert text.endswith(
        "6 sites: 0 needed, 2 redundant, 1 goal lost, 1 refused, 1 never executed, 1 no effect "
        "(within these bounds and assumptions)"
    )


def test_of_the_library_a_page_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "S3.BBM"]) == 0
    assert capsys.readouterr().out.endswith(
        "\ndocs/redundant.md says why the others are not needed\n"
    )
