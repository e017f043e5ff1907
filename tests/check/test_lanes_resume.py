"""A search of many states at once that is stopped and goes on ends as if it had never been."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dontneed_ir import dontneed
from kept_file import KeptFile
from lanes_agree import agree, some_leaf
from random_ir import systems
from shootdown.check import memory
from shootdown.check.native import checkpoint, explore, lanes
from shootdown.check.native.keep import NotWritten, Resumed, Written
from shootdown.check.native.lanes import explore_lanes
from shootdown.check.native.lanes_choose import choose_leaf
from shootdown.check.native.lanes_leaf import Leaf
from shootdown.check.result import Limits, Result
from shootdown.errors import UnfinishedError, UsageError
from shootdown.lang.ir import System
from small_ir import action, binary, body, load, prop, put, system

pytestmark = pytest.mark.usefixtures("quick_disk")
EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "250")) // 10
NAMES = "verdict violation states expanded transitions depth goals stopped frontier keys"


def facts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine. What is covered is exact at the end only: a
    stopped search has looked at more states than it counts as expanded."""
    found = {name: getattr(result, name) for name in NAMES.split(" ")}
    return found | {"covered": result.covered if result.stopped is None else None}


class Kept(KeptFile):
    """Searches that are kept in one file."""

    def __call__(
        self,
        model: System,
        leaf: Leaf,
        limits: Limits | None = None,
        resume: bool = False,
        every: float = 1e9,
    ) -> Result:
        """One search with this leaf."""
        keeper = self.keeper(resume, every=every)
        return explore_lanes(model, leaf, limits or Limits(), good_code=False, keeper=keeper)

    def chosen(
        self,
        model: System,
        limits: Limits | None = None,
        resume: bool = False,
        search: Callable[..., Result] = lanes.explore,
    ) -> Result:
        """One search with a leaf that is chosen."""
        return search(model, limits or Limits(), None, self.keeper(resume, every=1e9))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def flags(count: int) -> System:
    """So many bits that change by themselves."""
    rules = [
        action(f"flip{v}", body(put(v, binary("sub", 1, load(v)))), fair=False)
        for v in range(count)
    ]
    last = binary("eq", load(count - 1), 1)
    return system([2] * count, [0] * count, rules=rules, goals=[prop("last", last)])


def leaf_of(model: System) -> Leaf:
    leaf = choose_leaf(model)
    assert leaf is not None
    return leaf


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    model=systems(),
    stops=st.lists(st.integers(1, 200), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_random_systems(model: System, stops: list[int], seed: int) -> None:
    leaf = some_leaf(model, Random(seed))
    if leaf is None:
        return
    whole = facts(explore_lanes(model, leaf, Limits(states=2000), good_code=False))
    with TemporaryDirectory() as folder:
        kept = Kept(Path(folder))
        for stop in sorted(stops):
            result = kept(model, leaf, Limits(states=stop), resume=kept.file.exists())
            if result.stopped is None:
                assert facts(result) == whole
                return
            assert result.checkpoint == str(kept.file)
            again = explore_lanes(model, leaf, Limits(states=stop), good_code=False)
            assert facts(result) == facts(again)
        assert facts(kept(model, leaf, Limits(states=2000), resume=True)) == whole


@pytest.mark.parametrize("nested", [pytest.param(True, marks=pytest.mark.deep), False])
def test_every_stop(kept: Kept, nested: bool) -> None:
    """A limit ends the search within a batch, within what one record makes even."""
    model = dontneed(2, 1, nested=nested)
    leaf = leaf_of(model)
    assert leaf.lanes > 1
    result = None
    for stop in (*range(1, 60), *range(61, 600, 31)):
        result = kept(model, leaf, Limits(states=stop), resume=stop > 1)
        whole = explore_lanes(model, leaf, Limits(states=stop), good_code=False)
        assert facts(result) == facts(whole)
        if result.stopped is None:
            agree(result, explore(model))
            return
    assert result is None


def test_lanes_in_several_words(kept: Kept) -> None:
    model = flags(14)
    leaf = Leaf.of(model, range(8))
    assert leaf.words == 4
    for stop in (100, 3000, 9000):
        assert kept(model, leaf, Limits(states=stop), resume=stop > 100).states == stop
    result = kept(model, leaf, resume=True)
    assert (result.states, result.keys) == (1 << 14, 1 << 6)
    assert facts(result) == facts(explore_lanes(model, leaf))


# one that comes while an object is destroyed is lost, with a warning
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_interrupts(kept: Kept, delay: float) -> None:
    """Wherever Ctrl-C comes, even twice in one search."""
    model = flags(20)
    leaf = Leaf.of(model, [0])

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
        result = interrupted(lambda: kept(model, leaf))
        if result.checkpoint is not None:
            assert result.stopped == "interrupt"
            result = interrupted(lambda: kept(model, leaf, resume=True))
    finally:
        signal.signal(signal.SIGALRM, before)
    if result.stopped is not None and kept.file.exists():
        result = kept(model, leaf, resume=True)
    if result.stopped is None:
        assert (result.states, result.keys, result.depth) == (1 << 20, 1 << 19, 20)


def test_periodic_checkpoints(kept: Kept) -> None:
    model = flags(20)
    leaf = Leaf.of(model, [0, 1])
    result = kept(model, leaf, every=0.001)
    assert result.checkpoint is None
    assert Written in kept.said()
    again = kept(model, leaf, resume=True)
    assert facts(again) == facts(result)
    assert again.seconds > 0
    assert Resumed in kept.said()


def test_the_end_of_memory(kept: Kept) -> None:
    model = flags(20)
    leaf = Leaf.of(model, [0])
    first = kept(model, leaf, Limits(memory=16 << 20))
    assert (first.stopped, first.checkpoint) == ("memory", str(kept.file))
    assert facts(kept(model, leaf, resume=True)) == facts(explore_lanes(model, leaf))


def test_too_little_memory_to_go_on(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MINIMUM", 1 << 14)
    model = flags(16)
    leaf = Leaf.of(model, [0])
    kept(model, leaf, Limits(states=50_000))
    content = kept.file.read_bytes()
    with pytest.raises(UnfinishedError, match=r"50,000 states already.*--max-memory"):
        kept(model, leaf, Limits(memory=1 << 18), resume=True)
    assert kept.file.read_bytes() == content


def test_a_limit_that_was_passed_already(kept: Kept) -> None:
    model = flags(10)
    leaf = Leaf.of(model, [0])
    kept(model, leaf, Limits(states=500))
    second = kept(model, leaf, Limits(states=20), resume=True)
    assert second.stopped == "states"
    assert 490 < second.states <= 500
    assert facts(kept(model, leaf, resume=True)) == facts(explore_lanes(model, leaf))


def test_a_violation_is_never_written(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the path of a violation is made: the bad state must not count as expanded."""
    model = dontneed(2, 1, nested=False)
    leaf = leaf_of(model)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lanes._Search, "path", interrupted)
    result = kept(model, leaf)
    assert result.violation is not None
    assert (result.violation.cut, result.checkpoint) == ("interrupt", None)
    assert not kept.file.exists()
    kept(model, leaf, every=0.0)  # from time to time, before the violation
    monkeypatch.undo()
    if kept.file.exists():
        agree(kept(model, leaf, resume=True), explore(model))


def test_a_damaged_entry_is_found(kept: Kept) -> None:
    model = flags(10)
    kept(model, Leaf.of(model, [0]), Limits(states=500))
    content = bytearray(kept.file.read_bytes())
    content[-100] ^= 4
    kept.file.write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        kept(model, Leaf.of(model, [0]), resume=True)
    assert kept.file.read_bytes() == content


def test_a_disk_error_is_said_once_and_the_search_goes_on(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    model = flags(20)
    leaf = Leaf.of(model, [0, 1])
    result = kept(model, leaf, every=0.001)
    assert kept.notes == [NotWritten(kept.file, "No space left on device")]
    assert result.states == 1 << 20
    assert kept(model, leaf, Limits(states=500)).checkpoint is None


# ------------------------------------------------------------------------------ with which lanes


def never(_: System) -> Leaf:
    raise AssertionError("nothing is chosen when a search goes on")


def test_it_goes_on_with_the_lanes_that_it_had(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    model = flags(13)  # no other test has it: a leaf is kept between runs
    other = Leaf.of(model, [3, 7])
    monkeypatch.setattr(lanes, "choose_leaf", lambda _: other)
    monkeypatch.setattr(lanes, "_keep", lambda *_: None)
    first = kept.chosen(model, Limits(states=700))
    assert (first.stopped, first.checkpoint) == ("states", str(kept.file))
    monkeypatch.setattr(lanes, "choose_leaf", never)
    found = kept.chosen(model, resume=True)
    assert (found.states, found.keys) == (1 << 13, 1 << 11)
    assert facts(found) == facts(explore_lanes(model, other))


def test_without_lanes_it_goes_on_without(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dontneed(2, 1)
    monkeypatch.setattr(lanes, "choose_leaf", lambda _: None)
    monkeypatch.setattr(lanes, "_keep", lambda *_: None)
    assert kept.chosen(model, Limits(states=50)).checkpoint == str(kept.file)
    monkeypatch.setattr(lanes, "choose_leaf", never)
    found = kept.chosen(model, resume=True)
    assert found.keys == 0
    assert found.states == explore(model).states


def test_lanes_of_another_model(kept: Kept) -> None:
    """The leaf that is recorded is not even looked at."""
    kept.chosen(flags(12), Limits(states=700))
    small = system([2], [0], rules=[action("set", body(put(0, 1)))])
    with pytest.raises(UsageError, match="was written by another state of shootdown"):
        kept.chosen(small, resume=True)


def test_a_file_without_lanes(kept: Kept) -> None:
    model = flags(12)
    explore(model, Limits(states=700), keeper=kept.keeper(every=1e9))
    with pytest.raises(UsageError, match="was written by another state of shootdown"):
        kept(model, Leaf.of(model, [0]), resume=True)


@pytest.mark.parametrize(("stop", "part"), [(50, "short"), (99, "short"), (700, "lanes")])
def test_auto_has_two_parts(
    kept: Kept, stop: int, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SHORT", 100)
    model = flags(12)
    whole = lanes.explore_auto(model)
    assert whole.keys
    stopped = kept.chosen(model, Limits(states=stop), search=lanes.explore_auto)
    assert (stopped.stopped, stopped.states) == ("states", stop)
    with checkpoint.Reader(kept.file) as reader:
        assert reader.description["about"]["part"] == part
    found = kept.chosen(model, resume=True, search=lanes.explore_auto)
    assert facts(found) == facts(whole)
    assert Resumed in kept.said()


# ------------------------------------------------------------------------------ time to choose


def test_choosing_takes_a_part_of_the_time(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(_: System) -> Leaf:
        while True:
            pass

    monkeypatch.setattr(lanes, "choose_leaf", for_ever)
    monkeypatch.setattr(lanes, "TO_CHOOSE", 1e-4)
    model = dontneed(2, 1)
    found = lanes.explore(model, Limits(time=500.0))
    assert (found.keys, found.hurried) == (0, True)
    assert found.states == explore(model).states
    monkeypatch.setattr(lanes, "SHORT", 20)
    assert lanes.explore_auto(model, Limits(time=500.0)).hurried
    assert kept.chosen(model, Limits(time=500.0, states=50)).hurried
    assert kept.chosen(model, resume=True).hurried  # it is said of the whole search
