"""What only the native engine has: layout, code generation, growth, limits, signals, the cache."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dontneed_ir import COUNTS, dontneed
from shootdown.check import native, reference
from shootdown.check.native import core, engine, kept, store
from shootdown.check.native.bodies import most_outcomes
from shootdown.check.native.emit import emit
from shootdown.check.native.interface import FUNCTIONS
from shootdown.check.native.layout import plan
from shootdown.check.reduce import reductions
from shootdown.check.result import Limits, Progress, Result, Verdict
from shootdown.errors import UnfinishedError
from shootdown.lang.ir import (
    Block,
    Body,
    Branch,
    Choice,
    Const,
    Done,
    Guard,
    Jump,
    Load,
    Place,
    Reg,
    Set,
    Store,
    System,
)
from shootdown.native import cache as disk
from shootdown.native import jit, subset
from shootdown.native.pickles import packed
from shootdown.races import library
from small_ir import action, binary, body, load, prop, put, system


def odometer(digits: int, size: int, *, words: int = 1) -> System:
    """All values of some digits, one step from each to the next; the digits fill many words."""
    width = 1 << 40 if words > 1 else size
    rules = []
    for d in range(digits):
        lower = [Guard(binary("eq", load(i), size - 1)) for i in range(d)]
        reset = [put(i, 0) for i in range(d)]
        more = Guard(binary("lt", load(d), size - 1))
        rules.append(action(f"digit {d}", body(*lower, more, *reset, put(d, add_one(d)))))
    return system([width] * digits, [0] * digits, rules=rules)


def add_one(variable: int) -> Load:
    return binary("add", load(variable), 1)  # type: ignore[return-value]


def same(left: Result, right: Result) -> bool:
    """Whether two results agree in all that does not depend on the machine."""
    neutral = {"engine": "", "seconds": 0.0, "memory": 0}
    return replace(left, **neutral) == replace(right, **neutral)  # type: ignore[arg-type]


# --------------------------------------------------------------------------- layout


def test_a_word_is_packed_tightly() -> None:
    layout = plan(system([2, 3, 1, 5, 256], [0] * 5))
    assert layout.words == 1
    assert sorted(slot.bits for slot in layout.slots) == [0, 1, 2, 3, 8]
    assert sum(slot.mask for slot in layout.slots if slot.bits) == (1 << 14) - 1


def test_a_word_has_64_bits() -> None:
    assert plan(system([1 << 63], [0])).words == 1
    assert plan(system([1 << 32, 1 << 32], [0, 0])).words == 1
    assert plan(system([1 << 32, 1 << 33], [0, 0])).words == 2


def test_the_topmost_bit_of_a_state_counts() -> None:
    high = action("high", body(put(1, binary("sub", (1 << 32) - 1, load(1)))))
    low = action("low", body(put(0, binary("sub", (1 << 32) - 1, load(0)))))
    assert native.explore(system([1 << 32, 1 << 32], [0, 0], rules=[high, low])).states == 4


def test_no_variable_straddles_words() -> None:
    layout = plan(system([1 << 40] * 3 + [1 << 24] * 3, [0] * 6))
    assert layout.words == 3
    assert all(slot.shift + slot.bits <= 64 for slot in layout.slots)


def test_pack_and_unpack() -> None:
    made = system([1 << 40, 3, 1, 1 << 40, 7], [0] * 5)
    layout = plan(made)
    state = ((1 << 40) - 1, 2, 0, 12345678901, 6)
    assert layout.unpack(layout.pack(state)) == state


def test_elements_of_an_array_lie_side_by_side() -> None:
    element = Place(1, ((load(0), 2, 4),))
    made = system([4] + [3, 2] * 4, [0] * 9, rules=[action("a", body(Store(element, Const(1))))])
    slots = plan(made).slots
    assert [slots[i].shift - slots[1].shift for i in (1, 3, 5, 7)] == [0, 2, 4, 6]


def test_most_outcomes_follows_the_choices() -> None:
    code = Body(
        (
            Block((), Branch(load(0), 1, 2)),
            Block((), Choice(0, Const(7), 3, 3)),
            Block((), Choice(0, Const(31), 5, 3)),
            Block((), Choice(1, Const(3), 2, 4)),
            Block((), Done()),
        ),
        2,
    )
    assert most_outcomes(system([2], [0], rules=[action("a", code), action("b", body())])) == 11


# --------------------------------------------------------------------------- the code


def test_the_subset_of_python_compiles() -> None:
    ir = subset.compile_functions((_collatz,), (_odd,), {"THREE": 3})
    library = jit.load(ir, ("_collatz",), jit.FAST)
    steps = store._TWO(library.addresses["_collatz"])
    assert [steps(n, 1000) for n in (1, 6, 27)] == [0, 8, 111]
    assert steps(27, 50) == -1


def _odd(n: int) -> int:
    return n & 1


def _collatz(n: int, limit: int) -> int:
    """How many steps it takes to come down to 1; -1 if more than the limit."""
    steps = 0
    while not n == 1:  # noqa: SIM201
        if steps == limit or n < 1:
            return 0 - 1
        elif _odd(n):  # noqa: RET505
            n = n * THREE + 1  # type: ignore[name-defined] # noqa: F821
        else:
            n = n >> 1
            steps += 1
            continue
        steps += 1
    return steps


@pytest.mark.parametrize("statement", ["for x in y:\n        pass", "x: int = 1", "x = y / 2"])
def test_the_subset_refuses_what_it_does_not_know(statement: str) -> None:
    import ast

    tree = ast.parse(f"def f(y):\n    {statement}\n    return y\n").body[0]
    assert isinstance(tree, ast.FunctionDef)
    with pytest.raises((NotImplementedError, KeyError)):
        subset._FunctionCompiler(tree, {}).text("", "")


@pytest.mark.parametrize("words", [1, 2, 3, 7])
def test_core_for_each_width(words: int) -> None:
    assert jit.load(core.text(words), ("run", "replay", "refill"), jit.FAST).addresses["run"]


def test_long_bodies_do_not_exhaust_the_stack() -> None:
    count = 3000
    blocks = [Block((Set(0, binary("add", Reg(0), 1)),), Jump(i + 1)) for i in range(count)]
    blocks.append(Block((put(0, Reg(0)),), Done()))
    made = system([count + 1], [0], rules=[action("long", Body(tuple(blocks), 1))])
    assert native.explore(made).states == 2


# --------------------------------------------------------------------------- the table


@pytest.mark.parametrize("words", [1, 2])
def test_the_table_grows(words: int) -> None:
    made = odometer(4, 12, words=words)
    assert (plan(made).words > 1) == (words > 1)
    result = native.explore(made)
    assert (result.states, result.transitions, result.depth) == (12**4, 12**4 - 1, 12**4 - 1)


def test_the_state_of_all_zeros_is_a_state_like_others() -> None:
    """Its hash is 0, and so are the free entries of the table."""
    clear = action("clear", body(put(0, 0), put(1, 0)))
    made = system([1 << 40, 1 << 40], [1, 1], rules=[clear])
    assert plan(made).words == 2
    assert native.explore(made).states == 2


@pytest.mark.parametrize("words", [1, 3])
def test_one_state_with_more_successors_than_the_table_has_room_for(words: int) -> None:
    """A star: the first state leads to 20,000 others at once, and they lead to nothing new."""
    size = 1 << 40 if words > 1 else 64
    code = Body(
        (
            Block((Guard(binary("eq", load(3), 0)),), Choice(0, Const((1 << 32) - 1), 32, 1)),
            Block((), Choice(1, Const((1 << 32) - 1), 32, 2)),
            Block((), Choice(2, Const((1 << 20) - 1), 20, 3)),
            Block((put(0, Reg(0)), put(1, Reg(1)), put(2, Reg(2)), put(3, 1)), Done()),
        ),
        3,
    )
    made = system([size] * 3 + [2], [0] * 4, rules=[action("star", code)])
    result = native.explore(made)
    assert (result.states, result.transitions, result.depth) == (1 + 20_480, 20_480, 1)
    assert same(result, reference.explore(made))


def test_covered_lines_are_exact_where_a_batch_is_cut() -> None:
    """The violation comes early in a batch whose later states cover more lines."""
    fan = Body((Block((), Choice(0, Const(255), 8, 1)), Block((put(0, add_one(0)),), Done())), 1)
    fan = replace(
        fan,
        blocks=(
            replace(fan.blocks[0], ops=(Guard(binary("eq", load(0), 0)),)),
            Block((put(0, binary("add", Reg(0), 1)),), Done()),
        ),
    )
    from shootdown.lang.ir import Cover

    steps = [
        action(f"{i}", body(Guard(binary("eq", load(0), i)), Cover(i - 1), put(0, 8 + i)))
        for i in (1, 2, 3, 4)
    ]
    never = prop("not 10", binary("ne", load(0), 10))
    made = system([16], [0], rules=[action("fan", fan), *steps], invariants=[never])
    result = native.explore(made)
    assert result.covered == (True, True, False, False)
    assert same(result, reference.explore(made))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(3, 1), (3, 2)])
def test_dontneed(size: tuple[int, int]) -> None:
    result = native.explore(dontneed(*size))
    states, transitions = COUNTS[size]
    assert (result.verdict, result.states) == (Verdict.HOLDS, states)
    assert transitions in (None, result.transitions)


def test_going_over_to_good_code_changes_nothing() -> None:
    made = dontneed(3, 1)
    plain = native.explore(made, good_code_after=1e9)
    assert same(plain, native.explore(made, good_code_after=1e-9))
    assert same(plain, native.explore(made, good_code_after=0))


# --------------------------------------------------------------------------- memory and paths


class Weighed(store.Store):
    """Notes the states and the bytes besides them, where the table has just grown and is emptiest,
    and between."""

    notes: list[tuple[int, int]]

    def note(self) -> None:
        states = self["KNOWN"]
        self.notes.append((states, self.memory() - 8 * self.words * states))

    def run(self, budget: int) -> int:
        status = super().run(budget)
        self.note()
        return status

    def grow(self) -> bool:
        grown = super().grow()
        self.note()
        return grown


@pytest.mark.parametrize("spare", [0, 1 << 20, store._SPARE])
@pytest.mark.parametrize("words", [1, 2])
def test_twelve_bytes_besides_the_state(
    words: int, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain has as many levels as states."""
    Weighed.notes = []
    monkeypatch.setattr(engine, "Store", Weighed)
    monkeypatch.setattr(store, "_SPARE", spare)
    native.explore(odometer(9, 6, words=words), Limits(states=400_000))
    large = [(besides - spare) / states for states, besides in Weighed.notes if states > 100_000]
    assert max(large) <= 12
    if spare < store._BUCKET << 16:  # else the table has room for all
        assert max(large) > 8


def test_twelve_bytes_where_many_states_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    Weighed.notes = []
    monkeypatch.setattr(engine, "Store", Weighed)
    monkeypatch.setattr(store, "_SPARE", 0)
    native.explore(dontneed(3, 3), Limits(states=600_000))
    large = [besides / states for states, besides in Weighed.notes if states > 100_000]
    assert 11 < max(large) <= 12  # a sixth of it are the sets of what waits


def test_the_memory_that_is_said_to_be_used_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    native.explore(odometer(9, 6), Limits(states=1_000))  # loads the compiler, and compiles
    resident = Path("/proc/self/statm")
    before = int(resident.read_text().split()[1]) * resource.getpagesize()
    peaks = []

    class Watched(store.Store):
        def run(self, budget: int) -> int:
            status = super().run(budget)
            peaks.append(int(resident.read_text().split()[1]) * resource.getpagesize())
            return status

    monkeypatch.setattr(engine, "Store", Watched)
    result = native.explore(odometer(9, 6), Limits(states=1_000_000))
    assert max(peaks) - before < 1.2 * result.memory + (8 << 20)


def test_full_tables_of_many_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no room stays within a part of the table, which must have room."""
    monkeypatch.setattr(store, "_LEAP", 1.07)
    assert native.explore(odometer(9, 6), Limits(states=60_000)).states == 60_000


@pytest.mark.parametrize("words", [1, 2])
def test_the_path_through_a_long_chain(words: int) -> None:
    """Most of its levels are not noted."""
    never = prop("not the last", binary("lt", load(3), 11))
    made = replace(odometer(4, 12, words=words), invariants=(never,))
    violation = native.explore(made).violation
    assert violation is not None
    assert violation.length == 11 * 12**3
    digits = [tuple(n // 12**i % 12 for i in range(4)) for n in range(violation.length + 1)]
    assert violation.path == tuple(digits)


def test_a_level_is_searched_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_SLICE", 7)
    made = dontneed(2, 1, nested=False)
    assert same(native.explore(made), reference.explore(made))


# --------------------------------------------------------------------------- limits


def endless() -> System:
    """Far more states than any test has time for."""
    return odometer(20, 6)


def test_time_limit() -> None:
    began = time.monotonic()
    result = native.explore(endless(), Limits(time=0.3))
    assert (result.verdict, result.stopped) == (Verdict.UNKNOWN, "time")
    assert time.monotonic() - began < 3
    assert result.states > 1000
    assert result.frontier == result.states - result.expanded


@pytest.mark.parametrize("words", [1, 5])
def test_memory_limit(words: int) -> None:
    limit = 16 << 20
    result = native.explore(odometer(20, 6, words=words), Limits(memory=limit))
    assert (result.verdict, result.stopped) == (Verdict.UNKNOWN, "memory")
    assert limit / 2 < result.memory <= limit


def test_progress_is_reported() -> None:
    seen: list[Progress] = []
    result = native.explore(endless(), Limits(time=0.6), seen.append)
    assert 2 <= len(seen) <= 6
    assert [p.states for p in seen] == sorted(p.states for p in seen)
    assert all(0 < p.expanded <= p.states <= result.states for p in seen)
    assert all(p.memory > 0 and p.depth > 0 and p.elapsed > 0 for p in seen)


def test_other_threads_go_on_during_a_search() -> None:
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    native.explore(endless(), Limits(time=0.5))
    done.set()
    thread.join()
    assert ticks > 10


def test_too_many_successors_to_begin() -> None:
    blocks = tuple(Block((), Choice(0, Const(-1), 32, i + 1)) for i in range(12))
    made = system([2], [0], rules=[action("a", Body((*blocks, Block((), Done())), 1))])
    with pytest.raises(UnfinishedError, match="successors"):
        native.explore(made)


_CHILD = """
import sys
sys.path[:0] = {path!r}
from test_native import endless
from shootdown.check.native import explore
from shootdown.check.result import Limits
print("started", flush=True)
result = explore(endless(), Limits(time=30))
print(result.verdict.name, result.stopped, result.states > 1, result.expanded > 0)
"""


def child(**options: object) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    code = _CHILD.format(path=[*sys.path, str(here), str(here.parent)])
    pipe = subprocess.PIPE
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, **options
    )


@pytest.mark.parametrize("delay", [0.3, 1.5])
def test_interrupt(delay: float) -> None:
    with child() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert err == ""
    assert out == "UNKNOWN interrupt True True\n"


def test_under_an_address_space_limit() -> None:
    room = 2 << 30

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (room, room))

    with child(preexec_fn=limit) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (out, err) == ("UNKNOWN interrupt True True\n", "")


# --------------------------------------------------------------------------- the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "shootdown" / "code"


def good(made: System) -> Result:
    return native.explore(made, good_code_after=0)


def test_code_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = odometer(2, 5)
    first = good(made)
    assert len(list(cache.iterdir())) == 2  # the core and the model
    monkeypatch.setattr(jit, "compiled", lambda *_: pytest.fail("compiled again"))
    assert same(good(made), first)


@pytest.mark.parametrize("content", [b"", b"garbage", b"shootdown-code-2" + bytes(100)])
def test_a_broken_cache_file_is_replaced(cache: Path, content: bytes) -> None:
    made = odometer(2, 5)
    first = good(made)
    files = sorted(cache.iterdir())
    sizes = [file.stat().st_size for file in files]
    for file in files:
        file.write_bytes(content)
    assert same(good(made), first)
    assert sorted(cache.iterdir()) == files
    assert [file.stat().st_size for file in files] == sizes


def test_a_truncated_cache_file_is_not_used(cache: Path) -> None:
    made = odometer(2, 5)
    first = good(made)
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert same(good(made), first)


def test_a_cache_file_of_another_name_is_not_used(cache: Path) -> None:
    """The code of another model would run, and say something about that one."""
    first, second = odometer(2, 5), odometer(2, 7)
    expected = good(first), good(second)
    before = {file: file.read_bytes() for file in cache.iterdir()}
    for file, other in zip(before, reversed(before), strict=True):
        file.write_bytes(before[other])
    assert same(good(first), expected[0])
    assert same(good(second), expected[1])
    assert {file: file.read_bytes() for file in cache.iterdir()} == before


def test_code_that_is_none_is_replaced(cache: Path) -> None:
    made = odometer(2, 5)
    first = good(made)
    before = {file: file.read_bytes() for file in cache.iterdir()}
    for file in before:
        jit.write(file, b"nothing that can be executed")
    assert same(good(made), first)
    assert {file: file.read_bytes() for file in cache.iterdir()} == before


@pytest.mark.parametrize("rights", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_not_executed(cache: Path, rights: int) -> None:
    made = odometer(2, 5)
    first = good(made)
    for file in cache.iterdir():
        file.chmod(rights)
        assert jit.read(file) is None
    assert same(good(made), first)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in cache.iterdir())


def test_what_belongs_to_others_is_not_executed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(odometer(2, 5))
    (file, *_) = cache.iterdir()
    assert jit.read(file) is not None
    own = os.stat(file)
    other = os.stat_result((*own[:4], own.st_uid + 1, *own[5:10]))
    monkeypatch.setattr(os, "fstat", lambda _: other)
    assert jit.read(file) is None


def test_a_pipe_in_the_cache_is_not_waited_for(cache: Path) -> None:
    made = odometer(2, 5)
    first = good(made)
    for file in cache.iterdir():
        file.unlink()
        os.mkfifo(file)
    assert same(good(made), first)
    assert all(file.is_file() for file in cache.iterdir())


def test_a_start_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = odometer(2, 5)
    first = native.explore(made, digest="odometer")
    with monkeypatch.context() as patch:
        patch.setattr(jit, "compiled", lambda *_: pytest.fail("compiled again"))
        patch.setattr("shootdown.check.native.emit.emit", lambda *_: pytest.fail("written again"))
        assert same(native.explore(made, digest="odometer"), first)
    assert same(native.explore(odometer(2, 7), digest="another"), native.explore(odometer(2, 7)))
    for file in cache.iterdir():
        jit.write(file, b"no start")
    assert same(native.explore(made, digest="odometer"), first)


def test_a_start_goes_over_to_good_code(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = odometer(2, 5)
    first = native.explore(made, digest="odometer")
    assert same(good(made), first)
    monkeypatch.setattr(jit, "compiled", lambda *_: pytest.fail("compiled again"))
    loaded: list[bytes] = []

    class Noted(jit.Library):
        def __init__(self, code: bytes, names: tuple[str, ...]) -> None:
            loaded.append(code)
            super().__init__(code, names)

    monkeypatch.setattr(jit, "Library", Noted)
    assert same(native.explore(made, digest="odometer"), first)
    assert loaded[0] == jit.read(jit.cache_file(emit(made, plan(made))))


def test_a_reduced_search_has_no_kept_start(cache: Path) -> None:
    (scenario,) = [scenario for scenario in library() if scenario.name == "S0.V0"]
    made = scenario.compile()
    everything = native.explore(made, digest="S0.V0")
    reduce = reductions(made)
    found = native.explore(made, reduce=reduce, digest="S0.V0")
    assert found.states < everything.states
    assert same(found, native.explore(made, reduce=reduce))


class _Bad:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return int, ("no number",)


def test_a_kept_system_that_is_none_is_made_again(cache: Path) -> None:
    made = odometer(2, 5)
    assert kept.prepared("odometer", lambda: made).system == kept.without_texts(made)
    assert kept.prepared("odometer", lambda: pytest.fail("made again")).outcomes
    code = {file for file in cache.iterdir() if jit.read(file)[:4] == b"\x7fELF"}  # type: ignore[index]
    (file,) = set(cache.iterdir()) - code
    bare = native.Prepared.__new__(native.Prepared)
    for other in (b"", b"no pickle", packed(3), packed(_Bad()), packed(bare)):
        assert other is not None
        jit.write(file, other)
        assert kept.prepared("odometer", lambda: made).outcomes
        assert kept.prepared("odometer", lambda: pytest.fail("made again")).outcomes


def test_a_kept_system_is_of_one_python(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = odometer(2, 5)
    kept.prepared("odometer", lambda: made)
    before = len(list(cache.iterdir()))
    monkeypatch.setattr(sys, "version", "another")
    kept.prepared("odometer", lambda: made)
    assert len(list(cache.iterdir())) == before + 1


def test_no_cache_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    for place in (occupied, Path("/proc/nowhere")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert good(odometer(2, 5)).states == 25


def test_the_cache_is_bounded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    for age in range(10):
        file = cache / f"{age}"
        file.write_bytes(bytes(1000))
        os.utime(file, (age, age))
    monkeypatch.setattr(disk, "CACHE_BYTES", 4000)
    disk._shrink(cache)
    assert sorted(file.name for file in cache.iterdir()) == ["6", "7", "8", "9"]


def test_the_code_depends_on_the_model_only() -> None:
    made = dontneed(2, 1)
    assert emit(made, plan(made)) == emit(made, plan(made))
    assert set(FUNCTIONS) == {"expand", "check", "given"}
