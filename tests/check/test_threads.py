"""Several threads find what one finds, in the same order: only the time differs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dontneed_ir import dontneed
from random_ir import systems
from shootdown.check.native import engine, explore, rounds, store, team
from shootdown.check.native.keep import Keeper, Place
from shootdown.check.result import Limits, Result
from shootdown.commands.targets import find_one
from shootdown.lang.ir import Block, Body, Choice, Const, Done, Guard, Reg, System
from small_ir import action, binary, load, prop, put, system


class Counting(team.TeamStore):
    """Counts what was done in rounds, and what was taken back."""

    together = 0
    taken_back = 0

    def _do_rounds(self, budget: int) -> None:
        before = self["EXPANDED"]
        super()._do_rounds(budget)
        Counting.together += self["EXPANDED"] - before
        Counting.taken_back += self.trouble not in (0, rounds.NO_ROOM)


@pytest.fixture(autouse=True)
def _small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a few states, also in small levels, and tables that are filled together."""
    for name, value in {
        "_MOST": 50,
        "_LEAST": 5,
        "_NARROW": 1,
        "_WORTH": 1,
        "_ENOUGH": 0,
    }.items():
        monkeypatch.setattr(team, name, value)
    monkeypatch.setattr(team, "TeamStore", Counting)
    Counting.together = Counting.taken_back = 0


@pytest.fixture
def tiny_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are soon full."""
    monkeypatch.setattr(store, "_LEAP", 1.4)


def facts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine."""
    names = (
        "verdict", "violation", "states", "expanded", "transitions", "depth", "goals", "covered",
        "stopped", "frontier",
    )  # fmt: skip
    return {name: getattr(result, name) for name in names}


def the_same(made: System, limits: Limits = engine.NO_LIMITS, threads: int = 2) -> Result:
    """What one thread and several find."""
    alone = explore(made, limits, good_code_after=99)
    found = explore(made, limits, good_code_after=99, threads=threads)
    assert facts(found) == facts(alone)
    return alone


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(system=systems(), states=st.sampled_from([60, 150]), threads=st.sampled_from([2, 3]))
def test_random_systems(system: System, states: int, threads: int) -> None:
    the_same(system, Limits(states=states), threads)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("threads", [2, 3])
def test_dontneed(nested: bool, threads: int, tiny_tables: None) -> None:
    the_same(dontneed(2, 2, nested=nested), threads=threads)
    assert Counting.together > 100
    assert Counting.taken_back == (not nested)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 7])
def test_full_tables(threads: int, monkeypatch: pytest.MonkeyPatch, tiny_tables: None) -> None:
    """Where others have filled their slots, a thread goes on to further buckets."""
    monkeypatch.setattr(team, "_MOST", 2000)
    the_same(dontneed(3, 1), threads=threads)
    assert Counting.together > 10_000
    monkeypatch.setattr(store, "_LOAD", 0.95)
    the_same(dontneed(3, 1), threads=threads)


def test_the_limit_on_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_MOST", 20)
    for states in (500, 501, 502, 503):
        the_same(dontneed(2, 2), Limits(states=states))
    assert Counting.together > 100


@pytest.mark.slow
def test_the_states_are_the_same_in_the_same_order() -> None:
    made = dontneed(3, 1)
    stores = []
    for threads in (1, 2):
        search = engine._Search(made, engine.NO_LIMITS, None, 99)
        search.threads = threads
        search.run()
        assert search.store is not None
        masks = [(word, (1 << 64) - 1) for word in range(search.layout.words)]
        stores.append([(list(words.values()), n) for words, n in search.store.distinct(masks)])
    assert stores[0] == stores[1]
    assert Counting.together > 10_000


def test_threads_that_have_to_wait_for_cpus_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_ENOUGH", 1e9)
    monkeypatch.setattr(team, "_MEASURED", 0)
    monkeypatch.setattr(team, "_PATIENCE", 1e9)
    the_same(dontneed(3, 1))
    assert 0 < Counting.together < 20_000


def star() -> System:
    """A few states, each with many successors."""
    code = Body(
        (
            Block((Guard(binary("lt", load(0), 8)),), Choice(0, Const((1 << 32) - 1), 32, 1)),
            Block((), Choice(1, Const((1 << 20) - 1), 20, 2)),
            Block((put(1, Reg(0)), put(2, Reg(1)), put(0, binary("add", load(0), 8))), Done()),
        ),
        2,
    )
    count = Body(
        (
            Block((Guard(binary("lt", load(0), 7)),), Choice(0, Const(3), 2, 1)),
            Block((put(0, binary("add", load(0), 1)), put(3, Reg(0))), Done()),
        ),
        1,
    )
    rules = [action("count", count), action("star", code)]
    return system([16, 64, 64, 2], [0] * 4, rules=rules)


def test_more_successors_than_a_round_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_FOUND", 1)
    the_same(star())
    assert Counting.taken_back > 0


def test_a_violation_that_a_thread_meets_first_is_not_the_first() -> None:
    """Several states of one level are wrong; which is found must not depend on the time."""
    wrong = prop("not far", binary("lt", load(1), 9))
    made = star()
    made = system([16, 64, 64, 2], [0] * 4, rules=list(made.rules), invariants=[wrong])
    assert the_same(made).violation is not None


SCENARIOS = (
    "S0.V4", "S0.V5", "S0.V8", "S2a.V8", "S2a.V8.dirty", "S2a.V8.munmap", "LUF.V11", "LUF.noV1",
    "LUF.noV4.punch", "LUF.lazymask", "LUF.arm64", "X3.mremap",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = find_one(name).scenario.compile({})
    monkeypatch.setattr(team, "_MOST", 300)
    the_same(made, Limits(states=5_000))


def kept(file: Path, resume: Path | None = None) -> Keeper:
    return Keeper(lambda _: Place(file), {"scenario": "test"}, lambda _: None, resume)


@pytest.mark.parametrize("threads", [(2, 1), (1, 2), (2, 3)])
def test_a_search_goes_on_with_another_number_of_threads(
    threads: tuple[int, int], tmp_path: Path
) -> None:
    made, file = dontneed(2, 2), tmp_path / "search"
    first = explore(made, Limits(states=900), keeper=kept(file), threads=threads[0])
    assert first.stopped == "states"
    after = explore(made, keeper=kept(file, file), threads=threads[1])
    assert facts(after) == facts(explore(made))


_CHILD = """
import sys
sys.path[:0] = {path!r}
from dontneed_ir import dontneed
from shootdown.check.native import explore
from shootdown.check.result import Limits
told = []
def show(progress):
    if progress.states > 10_000 and not told:
        told.append(print("started", flush=True))
result = explore(dontneed(4, 3), Limits(time=60), show, threads=2)
print(result.verdict.name, result.stopped, result.states > 1, result.expanded > 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_interrupt(delay: float) -> None:
    code = _CHILD.format(path=[*sys.path, str(Path(__file__).parents[1])])
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().startswith("UNKNOWN interrupt True")
        assert process.wait(20) == 0
