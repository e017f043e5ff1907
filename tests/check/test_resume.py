"""A search that is stopped and goes on from its checkpoint ends as if it had never been stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dontneed_ir import dontneed
from kept_file import ABOUT, KeptFile
from random_ir import systems
from shootdown.check import memory
from shootdown.check.native import checkpoint, engine, explore, keep
from shootdown.check.native.keep import Keeper, NotWritten, Place, Resumed, Unasked, Written
from shootdown.check.reduce.auto import explore_auto
from shootdown.check.result import Limits, Result, Verdict
from shootdown.errors import UnfinishedError, UsageError
from shootdown.lang.ir import System

pytestmark = pytest.mark.usefixtures("quick_disk")
EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "250")) // 10


def facts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine."""
    names = "verdict violation states expanded transitions depth goals covered stopped frontier"
    return {name: getattr(result, name) for name in names.split(" ")}


class Kept(KeptFile):
    """Searches that are kept in one file."""

    good = 0.0  # from the cache, soon

    def __call__(
        self,
        system: System,
        limits: Limits | None = None,
        resume: bool = False,
        about: dict[str, str] = ABOUT,
        **place: object,
    ) -> Result:
        """One search."""
        keeper = self.keeper(resume, about, **place)
        return explore(system, limits or Limits(), good_code_after=self.good, keeper=keeper)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(system=systems(), stops=st.lists(st.integers(1, 80), min_size=1, max_size=4))
def test_random_systems(system: System, stops: list[int]) -> None:
    whole = facts(explore(system, Limits(states=5000)))
    with TemporaryDirectory() as folder:
        kept = Kept(Path(folder))
        kept.good = 9.0  # compiling each system well takes too long
        for stop in sorted(stops):
            result = kept(system, Limits(states=stop), resume=kept.file.exists())
            if result.stopped is None:
                assert facts(result) == whole
                return
            assert result.checkpoint == str(kept.file)
            assert facts(result) == facts(explore(system, Limits(states=stop)))
        assert facts(kept(system, Limits(states=5000), resume=True)) == whole


@pytest.mark.parametrize("nested", [True, False])
def test_every_stop(kept: Kept, nested: bool) -> None:
    """A limit ends the search within a batch, within the outcomes of one state even."""
    system = dontneed(2, 1, nested=nested)
    result = None
    for stop in (*range(1, 90), *range(101, 600, 31)):
        result = kept(system, Limits(states=stop), resume=stop > 1)
        assert facts(result) == facts(explore(system, Limits(states=stop), good_code_after=0))
        if result.stopped is None:
            return
    assert result is None


# one that comes while an object is destroyed is lost, with a warning
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_interrupts(kept: Kept, delay: float) -> None:
    """Wherever Ctrl-C comes, even twice in one search."""
    system = dontneed(3, 2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(search: Callable[[], Result]) -> Result:
        signal.setitimer(signal.ITIMER_REAL, delay)
        try:
            return search()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        result = interrupted(lambda: kept(system))
        if result.checkpoint is not None:
            assert result.stopped == "interrupt"
            result = interrupted(lambda: kept(system, resume=True))
    finally:
        signal.signal(signal.SIGALRM, before)
    if result.stopped is not None and kept.file.exists():
        result = kept(system, resume=True)
    if result.stopped is None:
        assert facts(result) == facts(explore(system))


class Clock:
    """A clock on which a millisecond passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now / 1000


def test_the_end_of_time(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    system = dontneed(4, 1)
    monkeypatch.setattr(engine, "time", Clock())
    monkeypatch.setattr(engine, "time_limit", lambda *_: nullcontext())
    first = kept(system, Limits(time=0.02))
    second = kept(system, Limits(time=0.03), resume=True)
    last = kept(system, resume=True)
    assert (first.stopped, second.stopped) == ("time", "time")
    assert 0 < first.states < second.states < last.states
    assert first.seconds < second.seconds < last.seconds  # of all searches together
    assert facts(last) == facts(explore(system, good_code_after=0))


def test_the_end_of_memory(kept: Kept) -> None:
    system = dontneed(4, 1)
    first = kept(system, Limits(memory=16 << 20))
    assert first.stopped == "memory"
    assert first.states > 600_000
    assert facts(kept(system, resume=True)) == facts(explore(system, good_code_after=0))


def test_periodic_checkpoints(kept: Kept) -> None:
    system = dontneed(3, 2)
    result = kept(system, every=0.001)
    assert facts(result) == facts(explore(system))
    assert result.checkpoint is None
    assert Written in kept.said()
    assert facts(kept(system, resume=True)) == facts(result)
    assert Resumed in kept.said()


def test_a_limit_that_was_passed_already(kept: Kept) -> None:
    system = dontneed(2, 1)
    first = kept(system, Limits(states=50))
    second = kept(system, Limits(states=20), resume=True)
    assert (second.stopped, second.states) == (first.stopped, first.states)
    assert facts(kept(system, resume=True)) == facts(explore(system, good_code_after=0))


def test_too_little_memory_to_go_on(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MINIMUM", 1 << 14)
    system = dontneed(3, 1)
    kept(system, Limits(states=5000))
    content = kept.file.read_bytes()
    with pytest.raises(UnfinishedError, match="--max-memory"):
        kept(system, Limits(memory=1 << 16), resume=True)
    assert kept.file.read_bytes() == content


def other_model(system: System) -> System:
    return replace(system, fingerprint="another")


@pytest.mark.parametrize(
    ("about", "change", "said"),
    [
        ({"scenario": "that"}, None, "is a search of another scenario (it; here: that)"),
        ({"bounds": "cpus=3"}, None, "is a search with other bounds (cpus=2; here: cpus=3)"),
        ({"options": "tlb=x"}, None, "is a search with other options (none; here: tlb=x)"),
        ({"without": "lock"}, None, "other sites left out (none; here: lock)"),
        ({"version": "2"}, None, "was written by another version of shootdown (1; here: 2)"),
        ({}, other_model, "is a search of another state of the model"),
        ({}, lambda s: replace(s, goals=()), "was written by another state of shootdown"),
    ],
)
def test_foreign_files(
    kept: Kept, about: dict[str, str], change: Callable[[System], System] | None, said: str
) -> None:
    ours = {"scenario": "it", "bounds": "cpus=2", "version": "1"}
    system = dontneed(2, 1)
    kept(system, Limits(states=50), about=ours)
    content = kept.file.read_bytes()
    with pytest.raises(UsageError) as error:
        kept(change(system) if change else system, resume=True, about=ours | about)
    assert said in str(error.value)
    assert kept.file.read_bytes() == content


def test_a_damaged_state_is_found(kept: Kept) -> None:
    system = dontneed(2, 1)
    kept(system, Limits(states=50))
    content = bytearray(kept.file.read_bytes())
    content[-100] ^= 4
    kept.file.write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        kept(system, resume=True)
    assert kept.file.read_bytes() == content


def test_an_interrupt_while_reading_writes_nothing(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = dontneed(2, 1)
    kept(system, Limits(states=50))
    content = kept.file.read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Reader, "read", interrupted)
    result = kept(system, resume=True)
    assert (result.stopped, result.checkpoint) == ("interrupt", None)
    assert kept.file.read_bytes() == content


def test_a_disk_error_is_said_once_and_the_search_goes_on(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    system = dontneed(3, 2)
    result = kept(system, every=0.001)
    assert kept.notes == [NotWritten(kept.file, "No space left on device")]
    assert facts(result) == facts(explore(system))
    assert kept(system, Limits(states=50)).checkpoint is None


def test_unasked_only_what_took_long(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    system = dontneed(2, 1)
    assert kept(system, Limits(states=50), unasked=True).checkpoint is None
    assert kept.notes == []
    monkeypatch.setattr(keep, "WORTH_IT", 0.0)
    assert kept(system, Limits(states=50), unasked=True).checkpoint == str(kept.file)
    assert kept.said() == [Unasked, Written]
    assert kept(system, unasked=True).verdict is Verdict.HOLDS
    assert not kept.file.exists()  # it has its verdict: the file is of no use


def test_what_was_named_stays(kept: Kept) -> None:
    system = dontneed(2, 1)
    kept(system, Limits(states=50))
    assert kept(system, resume=True).verdict is Verdict.HOLDS
    assert kept.file.exists()


def test_a_violation_is_never_written(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the path of a violation is made: the bad state must not count as checked."""
    system = dontneed(2, 1, nested=False)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shootdown.check.native.store.Store._first_parent", interrupted)
    result = kept(system, every=0.0)
    assert result.violation is not None
    assert (result.verdict, result.violation.cut) == (Verdict.VIOLATED, "interrupt")
    assert result.checkpoint is None
    monkeypatch.undo()
    if kept.file.exists():
        assert facts(kept(system, resume=True)) == facts(explore(system))


class TestTwoParts:
    """``--reduce auto`` is an ordinary search, and if that is long, another one."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shootdown.check.reduce.auto.FIRST", 200)

    @staticmethod
    def search(kept: Kept, resume: bool = False, states: int | None = None) -> Result:
        place = Place(kept.file)
        keeper = Keeper(lambda _: place, ABOUT, kept.notes.append, kept.file if resume else None)
        explore_kept = partial(explore, good_code_after=0, keeper=keeper)
        return explore_auto(explore_kept, dontneed(2, 1), Limits(states=states), None, keeper)

    def recorded(self, kept: Kept) -> str:
        with checkpoint.Reader(kept.file) as reader:
            return str(reader.description["about"]["part"])

    def test_the_end_of_the_first_is_no_stop(self, kept: Kept) -> None:
        assert self.search(kept).verdict is Verdict.HOLDS
        assert kept.notes == []

    @pytest.mark.parametrize(("stop", "part"), [(50, "first"), (199, "first"), (300, "second")])
    def test_each_goes_on(self, kept: Kept, stop: int, part: str) -> None:
        stopped = self.search(kept, states=stop)
        assert (stopped.stopped, stopped.states) == ("states", stop)
        assert self.recorded(kept) == part
        assert self.search(kept, resume=True, states=stop + 1).states == stop + 1
        assert facts(self.search(kept, resume=True)) == facts(self.search(Kept(kept.file.parent)))
        said = [type(note) for note in kept.notes]
        assert said.count(Resumed) == 2
