"""Code that is compiled fast and good code do the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shootdown.cost import engine
from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.native import jit
from shootdown.workloads.dontneed import dontneed

PLAN = {"cpus": 70, "workers": 6, "pages": 5, "rounds": 40}


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def result(run: Run) -> Priced:
    return replace(run.run(), seconds=0)


def fresh() -> Run:
    return Run(dontneed.plan(PLAN), Profile.load("skylake-2s"))


def test_code_that_is_compiled_fast_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh()
    monkeypatch.setattr(jit, "compile_coroutines", lambda *_: pytest.fail("compiled again"))
    again = fresh()
    assert again.quick
    assert again.patience == first.patience
    assert result(again) == result(first)


@pytest.mark.slow
def test_a_long_run_begins_again_with_good_code(monkeypatch: pytest.MonkeyPatch) -> None:
    short = fresh()
    assert short.quick
    quick = result(short)
    monkeypatch.setattr(engine, "QUICK_CHUNK", 20_000)
    long = fresh()
    long.patience = 0
    assert result(long) == quick
    assert not long.quick
    again = fresh()
    assert not again.quick  # it was kept
    assert result(again) == quick
    assert quick.steps > 40_000
