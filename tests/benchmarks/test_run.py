"""The contest and its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import run as bench
from peers import Contestant, PeerError, Run, Size
from peers.report import Row, StartUp, page, table, wrong

SIZE = Size(2, 1)


def fake(
    name: str, answer: Run | Exception, log: list[str], version: str | None = "1"
) -> Contestant:
    """A contestant that writes down its turns."""

    def search() -> Run:
        log.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(size: Size, directory: Path) -> Callable[[], Run]:
        assert directory.is_dir()
        log.append(f"prepare {name}")
        return search

    return Contestant(name, "flags", lambda: version, prepare)


def test_contestants_run_in_turn_after_all_are_built(tmp_path: Path) -> None:
    log: list[str] = []
    good = Run(546, False, 0.5, 1.0, 10**7)
    rows = bench.contest(SIZE, [fake("a", good, log), fake("b", good, log)], 2, tmp_path)
    assert log == ["prepare a", "prepare b", "a", "b", "a", "b"]
    assert [len(row.runs) for row in rows] == [2, 2]


def test_a_failing_contestant_does_not_stop_the_others(tmp_path: Path) -> None:
    log: list[str] = []
    good = Run(546, False, 0.5, 1.0, 10**7)
    contestants = [
        fake("breaks", PeerError("it broke"), log),
        fake("absent", good, log, version=None),
        fake("works", good, log),
    ]
    breaks, absent, works = bench.contest(SIZE, contestants, 2, tmp_path)
    assert (breaks.runs, breaks.trouble) == ((), "it broke")
    assert (absent.version, absent.runs) == (None, ())
    assert len(works.runs) == 2
    assert "prepare absent" not in log
    assert log.count("breaks") == 1


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (Run(546, False, 1, 1, 1), ""),
        (Run(545, False, 1, 1, 1), "545 states instead of 546"),
        (Run(546, True, 1, 1, 1), "reports a violation of a protocol that holds"),
    ],
)
def test_wrong_answers_are_named(run: Run, problem: str) -> None:
    assert wrong(SIZE, Row("x", "", "1", (run,))) == problem


def test_table_compares_everyone_with_us() -> None:
    runs = (Run(546, False, 0.5, 2.0, 10**7), Run(546, False, 0.1, 2.0, 10**6))
    ours = Row("us", "", "1", runs, ours=True)
    slow = Row("slow", "", "1", (Run(546, False, 3.0, 6.0, 2 * 10**7),))
    bad = Row("bad", "", "1", (Run(7, False, 3.0, 6.0, 2 * 10**7),))
    rows = [ours, slow, bad, Row("gone", "", None), Row("ill", "", "1", trouble="a\nb | c")]
    lines = table(SIZE, rows).splitlines()
    assert lines[0] == "### 2 CPUs, 1 page"
    assert lines[4:] == [
        "| us | 546 | 0.30 (0.10..0.50) | 0.00 | 2.00 | 10 | 1 | 1 |",
        "| slow | 546 | 3.00 (3.00..3.00) | 0.00 | 6.00 | 20 | 10.0x | 3.0x |",
        "| bad | 7 **WRONG: 7 states instead of 546** | 3.00 (3.00..3.00) | 0.00 | 6.00 | 20 "
        "| 10.0x | 3.0x |",
        "| gone | not installed | | | | | | |",
        "| ill | no result: a b / c | | | | | | |",
    ]


def test_table_without_us_compares_nobody() -> None:
    last = table(SIZE, [Row("x", "", "1", (Run(546, False, 0.5, 2.0, 10**7),))]).splitlines()[-1]
    assert last.endswith("| 10 |  |  |")


def test_page_names_command_machine_versions_and_start_up() -> None:
    rows = [Row("us", "exact", "shootdown 1", (Run(546, False, 0.5, 1.0, 1),))]
    start = StartUp("shootdown check X", (0.3, 0.1, 0.2))
    text = page("python benchmarks/run.py", ["a machine"], [(SIZE, rows)], start)
    for part in (
        "`python benchmarks/run.py`",
        "* a machine\n",
        "* us: shootdown 1; exact\n",
        "median 0.20 s (0.10..0.30, 3 runs)",
    ):
        assert part in text
    trouble = page("c", [], [], StartUp("shootdown check X", trouble="no such\nscenario"))
    assert "`shootdown check X`: not measured, no such scenario." in trouble


@pytest.mark.parametrize("text", ["", "3", "3,", "a,b", "0,1", "3,9", "3;3", "3,3,3"])
def test_unusable_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 3,3"):
        bench.size(text)


def test_size_is_read() -> None:
    assert bench.size("4,1") == Size(4, 1)


def test_main_writes_the_page_and_fails_on_a_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "RESULTS.md"
    argv = ["--size", "2,1", "--repeat", "1", "--output", str(output)]
    monkeypatch.setattr(bench, "start_up", lambda scenario: StartUp(scenario, (0.1,)))

    monkeypatch.setattr(bench, "CONTESTANTS", [fake("us", Run(546, False, 1, 1, 1), [])])
    assert bench.main(argv) == 0
    assert "| us | 546 |" in output.read_text(encoding="utf-8")

    monkeypatch.setattr(bench, "CONTESTANTS", [fake("us", Run(5, False, 1, 1, 1), [])])
    assert bench.main(argv) == 1
    assert "us at 2,1: 5 states instead of 546" in capsys.readouterr().err


def program(tmp_path: Path, script: str) -> str:
    """A stand-in for the installed command, beside a stand-in for Python."""
    command = tmp_path / "shootdown"
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)
    return str(tmp_path / "python")


def test_start_up_times_five_runs_after_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo run >> {tmp_path}/log; echo 'VIOLATED  INV-RET'; exit 1"
    monkeypatch.setattr(sys, "executable", program(tmp_path, script))
    start = bench.start_up("S0")
    assert (start.command, len(start.seconds)) == ("shootdown check S0", 5)
    assert (tmp_path / "log").read_text(encoding="utf-8").count("run") == 6


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo 'no scenario S0' >&2; exit 2", "it exits with 2, saying no scenario S0"),
        ("echo 'ImportError: x' >&2; exit 1", "it exits with 1, saying ImportError: x"),
    ],
)
def test_start_up_that_answers_nothing_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, trouble: str
) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, script))
    assert bench.start_up("S0") == StartUp("shootdown check S0", trouble=trouble)


def test_start_up_needs_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "not installed" in bench.start_up("S0").trouble
