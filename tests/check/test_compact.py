"""Fingerprints instead of states: the same search, unless states are omitted, which is bounded."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dontneed_ir import COUNTS, dontneed
from lanes_agree import is_race
from random_ir import systems
from shootdown.check import reference
from shootdown.check.native import compact_core, explore
from shootdown.check.native.compact_store import CompactStore
from shootdown.check.native.keep import Keeper, Place
from shootdown.check.omission import Fingerprints, bound_text, omission_bound
from shootdown.check.reduce import reductions
from shootdown.check.result import Limits, Result, Verdict
from shootdown.check.trace import trace_violation
from shootdown.errors import UsageError
from shootdown.lang.ir import Guard, Op, System
from shootdown.native import jit, subset
from shootdown.races import library
from small_ir import action, binary, body, load, put, system

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "25"))
COMPACT = Fingerprints()
WEAK = Fingerprints(bits=8)


def facts(result: Result) -> dict[str, object]:
    """Everything that fingerprints must not change, the race apart."""
    names = "verdict states expanded transitions depth goals covered stopped frontier"
    violation = result.violation
    what = violation and (violation.kind, violation.name, violation.index, violation.length)
    return {"violation": what} | {name: getattr(result, name) for name in names.split(" ")}


def is_real(result: Result) -> bool:
    """Whether the race of a result is one, by the meaning of the system."""
    if result.violation is None:
        return result.verdict is not Verdict.VIOLATED
    trace_violation(result.system, result.violation)
    return is_race(result.system, result.violation)


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    system=systems(),
    states=st.sampled_from([1, 7, 60, 400]),
    seed=st.integers(0, (1 << 64) - 1),
)
def test_random_systems(system: System, states: int, seed: int) -> None:
    limits = Limits(states=states)
    found = explore(system, limits, good_code_after=9, compact=Fingerprints(seed))
    assert facts(found) == facts(reference.explore(system, limits))
    assert is_real(found)
    weak = explore(system, limits, good_code_after=9, compact=replace(WEAK, seed=seed))
    assert weak.states <= min(found.states, 256) or weak.violation is not None
    assert is_real(weak)


@pytest.mark.parametrize("size", [(2, 1), (3, 1)])
def test_dontneed(size: tuple[int, int]) -> None:
    model = dontneed(*size)
    found = explore(model, compact=COMPACT)
    assert found.states == COUNTS[size][0]
    assert facts(found) == facts(explore(model))
    assert found.omission == omission_bound(found.states)


SCENARIOS = (
    "S0.V4 S0.V8.protect-nested K.V1 K.V3 PT.V4 S2a.V6 S2a.V8.dirty LUF.V10.mmap LUF.noirq X1.V1 "
    "X2.V1 N.pre"
)


@pytest.mark.parametrize("name", SCENARIOS.split())
def test_scenarios(name: str) -> None:
    model = scenario(name)
    found, exact = (explore(model, Limits(100_000), compact=c) for c in (COMPACT, None))
    assert facts(found) == facts(exact)
    assert is_real(found)


@pytest.mark.parametrize("reduce", [(), ("symmetry",), ("symmetry", "order", "merge")])
def test_reduced_searches(reduce: Sequence[str]) -> None:
    for model in (scenario("S0.V8"), scenario("S0.V4"), dontneed(3, 1)):
        smaller = reductions(model, tuple(reduce))
        found = explore(model, compact=COMPACT, reduce=smaller)
        assert facts(found) == facts(explore(model, reduce=smaller))
        assert found.reductions == smaller.names
        assert is_real(found)


def scenario(name: str) -> System:
    """A scenario of the library, compiled."""
    return next(s for s in library() if s.name == name).compile()


# ------------------------------------------------------------------------- the bound


@pytest.mark.parametrize(("states", "bits"), [(1, 64), (27, 64), (3_400_000, 64), (10, 8)])
def test_the_bound_is_just_above_the_sum(states: int, bits: int) -> None:
    exact = sum(Fraction(i, 1 << bits) for i in range(1, 1 + min(states, 1000)))
    if states > 1000:
        exact = Fraction(states * (states + 1), 2 << bits)
    bound = Fraction(omission_bound(states, bits))
    assert exact < bound < exact * Fraction(1 + 1e-15)


def test_the_bound_of_a_known_size_and_its_text() -> None:
    assert bound_text(omission_bound(3_400_000)) == "3.2e-07"
    assert omission_bound(256, 8) == omission_bound(1 << 40) == 1.0
    assert bound_text(1.0) == "1"
    for bound in (3.14e-7, 9.96e-9, 0.0123, 2.5e-14, 0.9, 9.9e-1, 1.01e-300):
        assert bound <= float(bound_text(bound)) <= bound * 1.1


def test_weak_fingerprints_omit_states_and_say_so() -> None:
    model = dontneed(3, 1)
    found = explore(model, compact=WEAK)
    assert found.states <= 256 < explore(model).states
    assert found.omission == 1.0
    assert found.violation is None


def test_how_often_a_weak_search_omits_something_is_below_the_bound() -> None:
    """Over many seeds, of a chain of states: with 12 bits about 1 of 8 searches end too early."""
    model = chain(32)
    early = []
    for seed in range(200):
        fewer = explore(model, good_code_after=9, compact=Fingerprints(seed, 12)).states
        early.append(fewer < 32)
    expected = 200 * 31 * 32 / 2 / (1 << 12)
    assert 0.4 * expected < sum(early) < 1.8 * expected
    assert expected <= 200 * omission_bound(32, 12)


def chain(length: int) -> System:
    """A counter that is counted up."""
    steps: list[Op] = [Guard(binary("lt", load(0), length - 1)), put(0, binary("add", load(0), 1))]
    return system([length], [0], rules=[action("more", body(*steps))])


# ------------------------------------------------------------------- the fingerprints


def fingerprint_of(seed: int, words: int) -> Callable[[Sequence[int]], int]:
    """The compiled function for states of so many words."""
    constants = {name: i for i, name in enumerate(compact_core.CONTEXT)} | {"W": words}
    functions = ((compact_core.fingerprint,), (compact_core.mixed,), constants)
    library = jit.Library(jit.compiled(subset.compile_functions(*functions), jit.GOOD), NAMES)
    call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
    function = call(library.addresses["fingerprint"])
    store = CompactStore(words, 1, 1, 1, 16 << 20, Fingerprints(seed))
    buffer = (ctypes.c_uint64 * words)()

    def of(state: Sequence[int]) -> int:
        buffer[:] = list(state)
        return int(function(store.context, ctypes.addressof(buffer)))

    keep.append(library)
    return of


NAMES = ("fingerprint",)
keep: list[jit.Library] = []  # code lives as long as these


@cache
def structured() -> list[tuple[int, int, int]]:
    """2^18 states that are alike."""
    return [
        (a << 58 | b, b << 60 | a << 28, c << 31 | b << 12)
        for a, b, c in product(range(64), range(64), range(64))
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_fingerprints_are_like_random_numbers(seed: int) -> None:
    """States that are alike: of 2^18, as many have equal parts of a fingerprint as by chance."""
    of = fingerprint_of(seed, 3)
    found = [of(state) for state in structured()]
    assert len(set(found)) == len(structured())
    for shift in (0, 17, 36):
        parts = len({h >> shift & (1 << 28) - 1 for h in found})
        assert abs(len(found) - parts - 128) < 5 * 128**0.5


def test_seeds_choose_other_fingerprints() -> None:
    states = structured()[:100]
    found = {h for seed in (0, 1, (1 << 64) - 1) for h in map(fingerprint_of(seed, 3), states)}
    assert len(found) == 300


def test_what_the_hash_of_the_table_confuses() -> None:
    """A difference in the highest bit of a word is one of two known bits for the next."""
    of = fingerprint_of(0, 2)
    left, right = (0, 0), (1 << 63, 1 << 63 | 1 << 31)
    assert of(left) != of(right)


# --------------------------------------------------------------------- memory, limits


def odometer(size: int) -> System:
    """All values of six digits, one after another; each digit fills a word."""
    rules = []
    for digit in range(6):
        lower = [Guard(binary("eq", load(i), size - 1)) for i in range(digit)]
        more = Guard(binary("lt", load(digit), size - 1))
        reset = [put(i, 0) for i in range(digit)]
        step: list[Op] = [*lower, more, *reset, put(digit, binary("add", load(digit), 1))]
        rules.append(action(f"digit {digit}", body(*step)))
    return system([1 << 40] * 6, [0] * 6, rules=rules)


def test_wide_states_take_little_memory() -> None:
    model, limits = odometer(8), Limits(memory=16 << 20)
    found = explore(model, limits, compact=COMPACT)
    assert (found.states, found.verdict) == (8**6, Verdict.HOLDS)
    # at most 13.8 bytes a state, and the words of some that are expanded already
    assert found.memory < 13.8 * found.states + 2 * (48 << 15) + (256 << 10)
    assert explore(odometer(10), limits).stopped == "memory"
    assert explore(odometer(10), limits, compact=COMPACT).states == 10**6


def test_a_limit_on_memory() -> None:
    limits = Limits(memory=16 << 20)
    found = explore(odometer(12), limits, compact=COMPACT)
    assert (found.verdict, found.stopped) == (Verdict.UNKNOWN, "memory")
    assert 16 << 19 < found.memory <= 16 << 20
    assert found.states > 1_100_000


def test_a_table_that_overflows_at_its_end() -> None:
    """The largest fingerprints have no place behind them; growing brings them to theirs."""
    store = CompactStore(1, 1, 1, 1, 16 << 20, COMPACT)
    put_one = [1 << 63, *((1 << 63) - 1 - i for i in range(300)), *range(1, 300)]
    table = (ctypes.c_int64 * 4096).from_address(store["TABLE"])
    ordered = sorted(ctypes.c_int64(h).value for h in put_one)
    place = 0
    for h in ordered:  # as put() leaves them
        place = max(place, (h + (1 << 63)) * store["BUCKETS"] >> 64)
        table[place] = h
        place += 1
    assert place > store["BUCKETS"] == 1024
    store["TOP"] = store["TABLE"] + place * 8
    for places in (1300, 2000, 3500):
        store._widen(store.context, places)
        assert [h for h in table if h] == ordered
        for at, h in enumerate(table):
            home = (h + (1 << 63)) * places >> 64
            assert not h or (home <= at and all(table[home:at]))


# ------------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize("states", [1, 700, 5000])
def test_a_search_goes_on_from_its_checkpoint(tmp_path: Path, states: int) -> None:
    model, file = dontneed(3, 1), tmp_path / "c"

    def search(limits: Limits, resume: Path | None, compact: Fingerprints | None) -> Result:
        keeper = Keeper(lambda _: Place(file), {}, lambda _: None, resume)
        return explore(model, limits, keeper=keeper, compact=compact)

    first = search(Limits(states), None, COMPACT)
    assert first.checkpoint == str(file)
    with pytest.raises(UsageError):
        search(Limits(), file, None)
    assert facts(search(Limits(), file, COMPACT)) == facts(explore(model))
