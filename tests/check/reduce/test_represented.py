"""How many states the canonical ones stand for."""

from __future__ import annotations

import pytest

import dontneed
from shootdown.check import native, reference
from shootdown.check.native import represented
from shootdown.check.reduce import Reduction, reductions
from shootdown.check.reduce.represented import each_order_is_one
from shootdown.check.reduce.swaps import Alike, Swap, Symmetry
from shootdown.check.result import Engine, Limits
from small_ir import binary, body, load, process, put, system

ENGINES = [reference.explore, native.explore]


def symmetry_of(moves: list[tuple[int, ...]], variables: int) -> Symmetry:
    """One class whose neighbours are swapped by moving variables."""
    made = system([2] * variables, [0] * variables)
    swaps = tuple(Swap({}, to, ((),) * variables) for to in moves)
    members = tuple(range(len(moves) + 1))
    return Symmetry(made, (Alike("Cpu", members, swaps, ((),) * len(members)),))


def test_swaps_that_are_more_than_orders() -> None:
    """Each swap of two of three things also exchanges two others: the six orders of the three are
    not six images."""
    assert each_order_is_one(symmetry_of([(1, 0, 2), (0, 2, 1)], 3))
    assert each_order_is_one(symmetry_of([(1, 0, 2, 4, 3), (0, 2, 1, 4, 3)], 5))
    assert not each_order_is_one(symmetry_of([(1, 0, 2, 4, 3, 5), (0, 2, 1, 3, 4, 5)], 6))


@pytest.mark.parametrize("explore", ENGINES)
def test_an_initial_state_with_other_images(explore: Engine) -> None:
    """Two threads that count alone, one of them ahead: the images are out of reach."""
    steps = [[body(put(pc, binary("add", load(pc), 1))) for _ in range(3)] for pc in (0, 1)]
    made = system([4, 4], [0, 2], processes=[process(pc, *steps[pc]) for pc in (0, 1)])
    swap = Swap({}, (1, 0), ((), ()))
    symmetry = Symmetry(made, (Alike("Cpu", (0, 1), (swap,), ((), ())),))
    found = explore(made, reduce=Reduction(symmetry=symmetry))
    assert explore(made).states == 8
    assert found.represented is not None
    assert not found.represented.reachable
    assert found.represented.states == 12  # (0..3, 2..3) and their images


def test_a_stopped_search_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dontneed.system(3, 1)
    reduce = reductions(made, ("symmetry",))
    limits = Limits(states=3_000)
    exact = native.explore(made, limits, reduce=reduce).represented
    monkeypatch.setattr(represented, "MOST", 500)
    found = native.explore(made, limits, reduce=reduce).represented
    assert exact is not None
    assert found is not None
    assert exact.error == 0
    assert 0 < found.error < exact.states / 50
    assert abs(found.states - exact.states) < 4 * found.error


@pytest.mark.parametrize("explore", ENGINES)
def test_a_race_has_no_count(explore: Engine) -> None:
    made = dontneed.system(2, 1, nested=False)
    assert explore(made, reduce=reductions(made, ("symmetry",))).represented is None
