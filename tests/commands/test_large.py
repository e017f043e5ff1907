"""Bounds that are too large and times that are too short end with one clear message, soon."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from command_line import Shootdown
from shootdown.check.deadline import time_limit
from shootdown.errors import UnfinishedError
from shootdown.lang import loader

MODEL = """
import time

from shootdown.lang import (
    Array, Hardware, Object, Setup, Thread, path, ranged, rule, scenario, when,
)


class Cpu(Object, show="CPU{}"):
    n: int = ranged(0, 3)


class Page(Object):
    pass


class Mm(Object):
    pte: Array[Page, int] = ranged(0, 3)
    two: Array[Page, Array[Page, bool]]


@path
def one(mm: Mm) -> None:
    mm.pte[Page(0)] = 1


@path
def nested(mm: Mm) -> None:
    for page in Page:
        for other in Page:
            mm.pte[page] = mm.pte[other]


@path
def square(mm: Mm) -> None:
    mm.two[Page(0)][Page(0)] = True


@rule
def fill(cpu: Cpu, page: Page) -> None:
    when(Mm(0).pte[page] == 1)
    cpu.n = 2


def setup(path, cpus, pages, *rules):
    threads = [Thread(path, Mm(0), on=Cpu(c)) for c in range(cpus)]
    sizes = {Cpu: cpus, Page: pages, Mm: 1}
    return Setup(sizes=sizes, threads=threads, hardware=Hardware("h", rules))


@scenario("simple", expect="HOLDS")
def simple(cpus: int = 2, pages: int = 2) -> Setup:
    return setup(one, cpus, pages)


@scenario("loops", expect="HOLDS")
def loops(cpus: int = 1, pages: int = 2) -> Setup:
    return setup(nested, cpus, pages)


@scenario("squares", expect="HOLDS")
def squares(cpus: int = 1, pages: int = 2) -> Setup:
    return setup(square, cpus, pages)


@scenario("filled", expect="HOLDS")
def filled(cpus: int = 2, pages: int = 2) -> Setup:
    return setup(one, cpus, pages, fill)


@scenario("sleepy", expect="HOLDS")
def sleepy(cpus: int = 1, pages: int = 1) -> Setup:
    time.sleep(60)
    return setup(one, cpus, pages)
"""


@pytest.fixture
def large(models: Path) -> Path:
    (models / "large.py").write_text(MODEL)
    return models


@pytest.mark.parametrize(
    ("name", "bound", "message"),
    [
        (
            "simple",
            "pages=1000000",
            "shootdown: the bound pages=1000000 is too large: 65536 is the most",
        ),
        (
            "simple",
            "cpus=60000",
            "large.py:51: scenario simple: 60000 threads need at least 60000 bits of a state; "
            "4096 is the most\n  use smaller bounds",
        ),
        (
            "squares",
            "pages=300",
            "large.py:36: 'two' makes 300 x 300 variables, and 0 there are already: 65536 are the "
            "most\n    mm.two[Page(0)][Page(0)] = True\n"
            "  use smaller bounds (1 Cpu, 300 Page, 1 Mm)",
        ),
    ],
)
def test_absurd_bounds(
    shootdown: Shootdown, large: Path, name: str, bound: str, message: str
) -> None:
    ran = shootdown("check", f"large.py::{name}", "--bound", bound)
    assert (ran.code, ran.err) == (2, message + "\n")


@pytest.mark.parametrize(
    ("name", "bound", "line"),
    [("loops", "pages=70", 31), ("filled", "pages=500,cpus=2", 41)],
)
def test_a_model_that_is_too_large(
    shootdown: Shootdown,
    large: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    bound: str,
    line: int,
) -> None:
    monkeypatch.setattr("shootdown.lang.expressions.MAX_EXPRESSIONS", 5_000)
    ran = shootdown("check", f"large.py::{name}", "--bound", bound)
    lines = ran.err.splitlines()
    assert (ran.code, len(lines), lines[2]) == (2, 3, "  use smaller bounds")
    assert lines[0] == (
        f"large.py:{line}: the model is too large: over 5,000 expressions once its calls are "
        "inlined and its loops unrolled"
    )


@pytest.mark.parametrize(
    ("name", "bound", "seconds"), [("loops", "pages=2000", "0.5"), ("sleepy", "pages=1", "0.2")]
)
def test_the_time_limit_counts_compiling(
    shootdown: Shootdown, large: Path, name: str, bound: str, seconds: str
) -> None:
    began = time.perf_counter()
    ran = shootdown("check", f"large.py::{name}", "--bound", bound, "--max-time", seconds)
    assert time.perf_counter() - began < 5
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        f"shootdown: large.py::{name}: the time limit of {seconds} s was reached while the model "
        "was compiled; nothing was searched: use smaller bounds, or more time\n"
    )


def test_time_for_compiling_is_not_left_for_searching(
    shootdown: Shootdown, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shootdown.commands import targets

    compiled = targets.compiled

    def slowly(*arguments: object) -> object:
        time.sleep(0.5)
        return compiled(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(targets, "compiled", slowly)
    began = time.perf_counter()
    ran = shootdown("check", "mine.py::race", "--bound", "cpus=12", "--max-time", "1")
    assert 0.9 < time.perf_counter() - began < 3
    assert ran.code == 3
    assert "the limit on time was reached" in ran.out


def test_a_time_limit_is_not_taken_for_the_users_mistake() -> None:
    with (
        pytest.raises(UnfinishedError, match=r"^too late$"),
        time_limit(0.05, "too late"),
        loader.user_code(__file__, "sleeping"),
        contextlib.suppress(Exception),
    ):
        time.sleep(10)


class Slow:
    """What happens in a destructor is lost."""

    def __del__(self) -> None:
        time.sleep(0.2)


def test_a_time_limit_that_ends_in_a_destructor(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        Slow()
        time.sleep(10)

    with pytest.raises(UnfinishedError), time_limit(0.1, "too late"):
        work()
    assert capsys.readouterr().err == ""


def test_no_time_limit_is_left_behind() -> None:
    with time_limit(0.05, "too late"):
        pass
    time.sleep(0.1)
