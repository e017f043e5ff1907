"""How many states the canonical states of a search stand for.

A state has as many images as there are orders of the interchangeable objects, divided by how many
of these give the same state again (the orbit-stabilizer theorem). The images of different canonical
states are different, so the sum counts each state once; where the initial state is its own only
image, they are the states that the search without symmetry finds, no more and no fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import TypeAlias

from shootdown.check.reduce.swaps import Swap, Symmetry
from shootdown.check.result import Represented
from shootdown.lang.interpret import State
from shootdown.lang.shapes import populations

_Moves: TypeAlias = tuple[int, ...]


def represented(symmetry: object, states: Iterable[State]) -> Represented | None:
    """What canonical states stand for; None where it is not known."""
    if not isinstance(symmetry, Symmetry) or not each_order_is_one(symmetry):
        return None
    total = sum(len(set(symmetry.images(state))) for state in states)
    return Represented(total, starts_alone(symmetry))


def estimated(symmetry: Symmetry, known: int, looked_at: int, sums: tuple[int, int]) -> Represented:
    """The same of ``known`` states, from the sum of the numbers of images, and of their squares, of
    the states that were looked at."""
    total, squares = sums
    if looked_at == known:
        return Represented(total, starts_alone(symmetry))
    mean = total / looked_at
    variance = max(0.0, squares / looked_at - mean * mean)
    error = math.ceil(known * math.sqrt(variance / looked_at))
    return Represented(round(known * mean), starts_alone(symmetry), max(1, error))


def starts_alone(symmetry: Symmetry) -> bool:
    """Whether the initial state is its own only image."""
    init = symmetry.system.init
    return all(swap.apply(init) == init for swap in symmetry.swaps)


def each_order_is_one(symmetry: Symmetry) -> bool:
    """Whether each order of the objects of all classes is one image, however swaps lead there: the
    relations that define the symmetric groups (Moore 1897). A swap that also moves objects of a
    third population need not obey them.
    """
    sizes = _sizes(symmetry)
    classes = [[_moves(swap, sizes) for swap in alike.swaps] for alike in symmetry.classes]
    for swaps in classes:
        for (i, one), (k, two) in combinations(enumerate(swaps), 2):
            if not _same(one, two, 3 if k == i + 1 else 2):
                return False
    return all(
        _same(one, two, 2)
        for left, right in combinations(classes, 2)
        for one in left
        for two in right
    )


def _same(one: _Moves, two: _Moves, times: int) -> bool:
    """Whether one after the other, so many times, moves nothing."""
    both = [two[to] for to in one]
    now = list(range(len(both)))
    for _ in range(times):
        now = [both[to] for to in now]
    return now == list(range(len(both)))


def _sizes(symmetry: Symmetry) -> dict[str, int]:
    """How many objects the populations have that values name and swaps rename."""
    named = {
        population
        for v in symmetry.system.variables
        for shape in v.naming.shapes
        for population in populations(shape)
    }
    found: dict[str, int] = {}
    for swap in symmetry.swaps:
        for population in named & swap.renaming.keys():
            found[population] = len(swap.renaming[population])
    return found


def _moves(swap: Swap, sizes: dict[str, int]) -> _Moves:
    """What a swap does to variables, and to the objects that values name, as one permutation."""
    found = list(swap.moves)
    for population, size in sorted(sizes.items()):
        start = len(found)
        found += [start + to for to in swap.renaming.get(population, range(size))]
    return tuple(found)
