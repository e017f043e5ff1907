"""What only a process of its own shows: start-up, pipes, signals, terminals."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shootdown.check.result import Progress
from shootdown.commands.console import ProgressLine

Start = Callable[..., "subprocess.Popen[str]"]

HEAVY = ("llvmlite", "hashlib", "shootdown.lang", "shootdown.check", "shootdown.races", "json")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from shootdown.commands import main; main(['--help']); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(started: Start) -> None:
    out, err = started("--version").communicate()
    assert (out[:10], err) == ("shootdown ", "")


@pytest.mark.parametrize(("name", "code"), [("race", 1), ("safe", 0), ("empty", 3), ("raises", 2)])
def test_exit_codes(started: Start, name: str, code: int) -> None:
    process = started("check", f"mine.py::{name}", "--engine", "reference")
    _, err = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "mine.py", "--engine", "reference"), 141),  # the other six are not checked
        (("check", "mine.py::race", "--engine", "reference"), 1),
        (("check", "mine.py::race", "--engine", "reference", "--json"), 1),
        (("check", "mine.py::race", "mine.py::safe", "--engine", "reference", "--quiet"), 1),
        (("why", "mine.py::safe"), 0),
        (("list",), 0),
        (("show", "mine.py::safe"), 0),
        (("--version",), 0),
        (("--help",), 0),
    ],
)
def test_broken_pipe(started: Start, words: tuple[str, ...], code: int) -> None:
    """The exit code is the same whether or not the last results found a reader."""
    process = started(*words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (code, "")


def test_errors_that_nobody_reads(started: Start) -> None:
    process = started("check", "mine.py::raises", "mine.py::safe")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.close()
    assert "1 of 2 as expected" in process.stdout.read()
    process.stdout.close()
    assert process.wait() == 2


RUN = (sys.executable, "-m", "shootdown")


@dataclass
class Terminal:
    """A terminal: the end that programs write to, and what they wrote."""

    end: int
    ours: int
    text: str = ""

    def read(self, until: str | None = None) -> str:
        """Everything, or up to where ``until`` is in it."""
        while until is None or until not in self.text:
            try:
                self.text += os.read(self.ours, 65536).decode()
            except OSError:  # all writers are gone
                break
        return self.text


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    ours, end = pty.openpty()
    yield Terminal(end, ours)
    os.close(ours)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_interrupt_is_unknown(terminal: Terminal, models: object, engine: str) -> None:
    words = ["check", "mine.py::race", "mine.py::safe", "--bound", "cpus=12", "--engine", engine]
    with subprocess.Popen(
        [*RUN, *words, "--max-memory", "2G"], stdout=subprocess.PIPE, stderr=terminal.end, text=True
    ) as process:
        os.close(terminal.end)
        terminal.read(until="states")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out.startswith("UNKNOWN  race: Two CPUs count.\n  interrupted;")
    assert out.endswith("0 of 2 as expected, 1 not checked\n")


IMPORTING = """
import sys, time


def wait():
    print("here", file=sys.stderr, flush=True)
    time.sleep(60)

"""


@pytest.mark.parametrize(
    "code",
    [
        "wait()",
        "try:\n    wait()\nexcept BaseException:\n    wait()",
        "class D:\n    def __set_name__(self, *_):\n        wait()\nclass C:\n    d = D()",
        "from shootdown.lang import *\n@scenario('s', expect='HOLDS')\ndef s():\n    wait()",
    ],
    ids=["import", "caught", "class", "building"],
)
def test_interrupt_outside_a_search_is_one_line(models: Path, code: str) -> None:
    (models / "slow.py").write_text(IMPORTING + code + "\n")
    words = [sys.executable, "-m", "shootdown", "check", "slow.py"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "here\n"
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=10)
    assert (run.returncode, out, err) == (130, "", "shootdown: interrupted\n")


SHOWING = """
from shootdown.lang import Object, Setup, Thread, Word, invariant, path, scenario


class Flag(Word):
    up: bool = False

    def show(self):
        if not self.up:  # what it was before the step: no label of a step shows that
            wait()
        return "?"


class Cpu(Object):
    flag: Flag


@path
def raises() -> None:
    Cpu(0).flag = Flag(up=True)


@invariant("INV-DOWN")
def down() -> bool:
    return not Cpu(0).flag.up


@scenario("s", expect="VIOLATED")
def s() -> Setup:
    return Setup(sizes={Cpu: 1}, threads=[Thread(raises, on=Cpu(0))], invariants=[down])
"""


def test_interrupt_while_a_race_is_shown_leaves_the_verdict(models: Path) -> None:
    (models / "slow.py").write_text(IMPORTING + SHOWING)
    words = [sys.executable, "-m", "shootdown", "check", "slow.py"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "here\n"
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=10)
    assert (run.returncode, err) == (1, "")
    assert out.startswith("VIOLATED  INV-DOWN\nshortest race: 1 step; interrupted before")


def test_color_and_progress_on_a_terminal(terminal: Terminal, models: object) -> None:
    words = ["check", "mine.py::race", "--bound", "cpus=12", "--engine", "reference"]
    with subprocess.Popen(
        [*RUN, *words, "--max-time", "1"],
        stdout=terminal.end,
        stderr=terminal.end,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(terminal.end)
        text = terminal.read().replace("\r\n", "\n")
    assert process.returncode == 3
    progress, cleared, report = text.rpartition("\r")
    line = r"\rrace: [\d,]+ states, [\d,]+/s, depth \d+, \d.\d\d s, \? left, [^\r]*"
    assert re.fullmatch(rf"({line})+\r *", progress)
    assert max(map(len, progress.split("\r"))) < 80
    assert (cleared, report[:18]) == ("\r", "\x1b[1;33mUNKNOWN\x1b[0m")


@pytest.mark.parametrize("tty", [False, True])
def test_progress_lines(
    tty: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: tty)
    line = ProgressLine("S0", quiet=False)
    for tenth in range(62):
        line(Progress(1000 * tenth, 500 * tenth, tenth, tenth / 10, tenth << 20, 1 << 30))
    line.__exit__()
    out, err = capsys.readouterr()
    assert out == ""
    if tty:
        first = err.split("\r")[1]
        assert (
            first
            == "S0: 5,000 states, 10,000/s, depth 5, 0.50 s, ? left, 2,500 to expand, 5.0 MiB o"
        )
        assert err.endswith("\r")
    else:
        assert err == (
            "S0: 50,000 states, 10,000/s, depth 50, 5.00 s, ? left, 25,000 to expand, "
            "50 MiB of 1.0 GiB\n"
        )


def test_quiet_progress(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("S0", quiet=True)
    line(Progress(1, 1, 1, 100.0, 1))
    line.__exit__()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
@pytest.mark.parametrize("names", ["mine.py::safe", "mine.py::safe mine.py::race"])
def test_closed_streams_change_no_verdict(models: Path, names: str, closed: str) -> None:
    command = f"{sys.executable} -m shootdown check {names} -q --jobs 2 {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if "race" in names else 0)
    assert "Traceback" not in done.stderr
    assert "HOLDS" in done.stdout or ">&-" in closed.split()
