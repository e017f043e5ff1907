"""Several checks at the same time: the same output and exit code as one after the other."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import Shootdown
from shootdown.check.memory import MINIMUM, shared
from shootdown.commands.jobs import Work, in_order
from shootdown.errors import UnfinishedError

Start = Callable[..., "subprocess.Popen[str]"]
SLOW = """
import time
from shootdown.lang import *


class Thing(Object):
    x: bool


@path
def use(thing: Thing) -> None:
    thing.x = True


def make(name, wait):
    @scenario(name, expect="HOLDS")
    def build() -> Setup:
        wait()
        return Setup(sizes={Thing: 1}, threads=[Thread(use, Thing(0))])

    return build


def die():
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)


def linger():
    import os
    print("pid", os.getpid(), flush=True)
    time.sleep(60)


quick = make("quick", lambda: time.sleep(0))
slow = make("slow", lambda: time.sleep(2))
dying = make("dying", die)
lasting = make("lasting", linger)
"""


def test_output_and_exit_code_are_those_of_one_after_the_other(
    shootdown: Shootdown, models: Path
) -> None:
    def timeless(text: str) -> str:
        text = re.sub(r"in \d+\.\d\d s", "in some time", text)
        return re.sub(r" +\d+\.\d\d s", " some time", text)

    words = ["check", "mine.py", "--engine", "reference"]
    for more in ([], ["--quiet"]):
        one, three = (shootdown(*words, *more, "--jobs", jobs) for jobs in "13")
        assert timeless(three.out) == timeless(one.out)
        assert (three.code, three.err) == (one.code, one.err)
    documents = [json.loads(shootdown(*words, "--json", "--jobs", jobs).out) for jobs in "13"]
    for document in documents:
        for result in document["results"]:
            result.pop("seconds", None)
    assert documents[0] == documents[1]


def test_jobs_is_a_number(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py", "--jobs", "0")
    assert ran.code == 2
    assert "argument --jobs: '0' is not a whole number from 1 on" in ran.err


def test_results_come_in_order_and_as_soon_as_they_can(models: Path) -> None:
    (models / "slow.py").write_text(SLOW)
    names = [f"slow.py::{name}" for name in ("quick", "slow", "quick", "quick")]
    words = [sys.executable, "-m", "shootdown", "check", *names, "--jobs", "2"]
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "HOLDS  quick: quick\n"
        assert time.monotonic() - began < 2
        rest = run.stdout.read()
    assert re.findall(r"^HOLDS  (\w+)", rest, re.MULTILINE) == ["slow", "quick", "quick"]
    assert run.returncode == 0


def test_a_process_that_is_killed_is_one_error(models: Path) -> None:
    (models / "slow.py").write_text(SLOW)
    names = [f"slow.py::{name}" for name in ("quick", "dying", "dying", "quick")]
    words = [sys.executable, "-m", "shootdown", "check", *names, "--jobs", "2", "-q"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 3
    said = "shootdown: dying: signal 9 ended its process; it may need more memory: try --jobs 1\n"
    assert run.stderr == said * 2
    assert run.stdout.endswith("2 of 4 as expected\n")


@pytest.fixture
def busy(models: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A check with two processes that are busy, and their numbers."""
    (models / "slow.py").write_text(SLOW)
    words = ["slow.py::quick", "slow.py::lasting", "slow.py::lasting", "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "shootdown", "check", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        yield run, [int(run.stderr.readline().split()[1]) for _ in range(2)]


def alive(process: int) -> bool:
    """Whether a process runs within the next second."""
    for _ in range(20):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":  # it has ended, and nobody has looked
            return False
        time.sleep(0.05)
    return True


def test_ctrl_c_ends_all_processes(busy: tuple[subprocess.Popen[str], list[int]]) -> None:
    run, workers = busy
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (3, "shootdown: interrupted\n")
    assert out.startswith("HOLDS  quick")
    assert out.endswith("1 of 3 as expected, 2 not checked\n")
    assert not any(map(alive, workers))


def test_processes_end_with_their_parent(busy: tuple[subprocess.Popen[str], list[int]]) -> None:
    run, workers = busy
    run.kill()
    run.communicate(timeout=20)
    assert not any(map(alive, workers))


def test_a_closed_pipe_ends_all_processes(models: Path) -> None:
    (models / "slow.py").write_text(SLOW)
    words = ["slow.py::slow", "slow.py::lasting", "slow.py::quick", "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "shootdown", "check", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        worker = int(run.stderr.readline().split()[1])
        run.stdout.close()
        assert run.wait(timeout=20) == 141
    assert not alive(worker)


def test_memory_is_shared() -> None:
    assert shared(1 << 30, 4) == (4, 1 << 28)
    assert shared(3 * MINIMUM, 4) == (3, MINIMUM)
    assert shared(MINIMUM, 4) == (1, MINIMUM)
    assert shared(None, 1) == (1, None)
    jobs, each = shared(None, 2)
    assert (jobs, each is not None and each >= MINIMUM) == (2, True)
    with pytest.raises(UnfinishedError):
        shared(MINIMUM - 1, 2)


class Line:
    """A progress line that nobody sees."""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, _: object) -> None:
        pass


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_task_is_done_once(jobs: int) -> None:
    def square(number: int, _: object) -> int:
        time.sleep(0.02 * (number % 3))
        return number * number

    work = Work(20, square, lambda number, why: -1, lambda number: Line())  # type: ignore[arg-type, return-value]
    assert list(in_order(work, jobs)) == [number * number for number in range(20)]
