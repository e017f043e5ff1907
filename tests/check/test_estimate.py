"""The estimate of what remains of a search, against searches whose end is known."""

from __future__ import annotations

import math

import pytest

from dontneed_ir import dontneed
from shootdown.check.estimate import Pace, estimated_states
from shootdown.check.native.engine import NO_LIMITS, _Search
from shootdown.check.result import Progress
from shootdown.lang.ir import System
from shootdown.races import library


def scenario(name: str, **bounds: int) -> System:
    (found,) = (s for s in library() if s.name == name)
    return found.compile(bounds)


SEARCHES = {
    "dontneed": lambda: dontneed(3, 2),
    "S0.V8": lambda: scenario("S0.V8", cpus=4),
    "MADV-PARALLEL": lambda: scenario("MADV-PARALLEL.fixed", cpus=3, pages=2),
    "X1": lambda: scenario("X1.current", cpus=3),
    "S2a.V8": lambda: scenario("S2a.V8", pages=2),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_estimates_are_as_good_as_the_page_says(name: str) -> None:
    """docs/commands.md: within a third from the middle on; before that within a factor of 2, if
    there is one."""
    search = _Search(SEARCHES[name](), NO_LIMITS, None, 0.0)
    search.run()
    assert search.store is not None
    levels = search.store.level_ends(1 << 20)
    states = levels[-1]
    late, said = [], []
    for done in range(1, len(levels)):
        estimate = estimated_states(levels[:done])
        if estimate is None or levels[done - 1] < states // 50:
            continue
        said.append(estimate / states)
        if levels[done - 1] > states / 2:
            late.append(estimate / states)
    assert len(said) >= len(levels) // 5
    assert all(1 / 2.2 <= ratio <= 2.2 for ratio in said)
    assert all(2 / 3 <= ratio <= 4 / 3 for ratio in late)


@pytest.mark.parametrize(
    "levels",
    [
        (),
        (1, 3, 9),
        [3**n for n in range(30)],  # it grows by the same factor: no end in sight
        [4 ** (n + n % 2) + n for n in range(30)],  # there is no line
        [7] * 30,
        [round(10_000 * n * math.exp(n / 9 - n * n / 900)) for n in range(30)],  # it still grows
    ],
)
def test_it_says_when_it_cannot_tell(levels: list[int]) -> None:
    assert estimated_states(levels) is None


def test_pace() -> None:
    pace = Pace()
    first = pace.look(Progress(1000, 500, 5, 10.0, 0))
    assert (first.rate, first.states, first.left) == (100.0, None, None)
    assert pace.look(Progress(1600, 900, 5, 12.0, 0)).rate == 300.0
    levels = tuple(100 * n for n in range(20))  # equal ones: they go on for ever
    assert pace.look(Progress(1900, 1000, 5, 13.0, 0, None, levels)).left is None
    falling = [1 << 20]
    for n in range(17):
        falling.append(falling[-1] + (1 << (17 - n)))
    found = pace.look(Progress(falling[-1], falling[-2], 5, 14.0, 0, None, tuple(falling)))
    assert found.states == falling[-1] + 2  # the line goes on to a level of one, and of a half
    assert found.left == pytest.approx(4 * 4 / (falling[-2] - 500))


def test_the_time_left_is_that_of_the_second_half() -> None:
    """What has become slower stays so."""
    pace, falling = Pace(), [1 << 20]
    for n in range(17):
        falling.append(falling[-1] + (1 << (17 - n)))
    left = falling[-1] + 2 - 1_000_000
    for second in range(1, 101):
        expanded = 20_000 * min(second, 40) if second <= 40 else 800_000 + 3_334 * (second - 40)
        found = pace.look(
            Progress(falling[-1], expanded, 5, float(second), 0, None, tuple(falling))
        )
    assert found.left is not None
    assert found.left == pytest.approx(left / 3_334, rel=0.01)


def test_pace_of_a_search_that_begins_again() -> None:
    pace = Pace()
    pace.look(Progress(1000, 500, 5, 1.0, 0))
    assert pace.look(Progress(100, 50, 2, 0.2, 0)).rate == 500.0
    assert pace.look(Progress(150, 90, 3, 0.3, 0)).rate == pytest.approx(500.0)
