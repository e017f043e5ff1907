"""In which order bounds grow, and when they stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Vector = tuple[int, ...]
PATIENCE = 4  # refused bounds in a row, after which no larger ones are asked for


@dataclass(frozen=True, slots=True)
class Size:
    """How large a finished search was. ``seconds`` and ``memory`` (bytes) are those of the search,
    without what may be kept of an earlier one: the code.

    ``represented``: what the states stand for, if that was counted. ``reductions``: with which it
    was searched. ``before``: the seconds until a search with reductions began, if there is one: an
    ordinary search, the analysis, and the code.
    """

    states: int
    depth: int
    seconds: float
    memory: int
    represented: int | None = None
    reductions: tuple[str, ...] = ()
    before: float = 0.0

    @property
    def whole(self) -> int:
        """The states without symmetry, as far as that is known."""
        return self.represented or self.states


@dataclass(frozen=True, slots=True)
class Predicted:
    """A search to come: the ``states`` that it finds, and whether it is one with reductions."""

    states: int
    reduced: bool


class Growth:
    """Bounds from a scenario's own ones upwards.

    One vector is tried after all those that are smaller by one in one place, so parameters grow one
    at a time and then jointly; of several, the one that is expected to be the smallest comes first.
    What does not hold or does not end has no successors. A parameter that changed nothing, neither
    states nor depth, is not increased again.
    """

    def __init__(self, names: Sequence[str], start: Mapping[str, int], growing: Sequence[str]):
        self.names = tuple(names)
        self.start: Vector = tuple(start[name] for name in names)
        self.axes = [i for i, name in enumerate(names) if name in growing]
        self.sizes: dict[Vector, Size] = {}  # of those that hold
        self.refused: dict[Vector, str] = {}
        self.ended: set[Vector] = set()
        self.idle: set[tuple[Vector, int]] = set()  # (vector, axis) that changed nothing
        self.waiting: set[Vector] = {self.start}

    def bounds(self, vector: Vector) -> dict[str, int]:
        """The bounds by their names."""
        return dict(zip(self.names, vector, strict=True))

    def next(self) -> Vector | None:
        """What to try next."""
        return min(self.waiting, key=self._order, default=None)

    def held(self, vector: Vector, size: Size) -> None:
        """It holds: larger ones come into question."""
        self.waiting.discard(vector)
        self.sizes[vector] = size
        for axis in self.axes:
            before = self.sizes.get(_moved(vector, axis, -1))
            if before and (before.whole, before.depth) == (size.whole, size.depth):
                self.idle.add((vector, axis))
        self._go_on(vector)

    def refuse(self, vector: Vector, why: str) -> None:
        """The scenario does not have these bounds; it may have larger ones, but not for ever."""
        self.waiting.discard(vector)
        self.refused[vector] = why
        in_a_row = [
            all(_moved(vector, axis, -i) in self.refused for i in range(PATIENCE))
            for axis in self.axes
        ]
        if not any(in_a_row):
            self._go_on(vector)

    def end(self, vector: Vector) -> None:
        """Nothing beyond it is tried."""
        self.waiting.discard(vector)
        self.ended.add(vector)

    def predicted(self, vector: Vector) -> Predicted | None:
        """How many states it should have, going on as before: where two steps led to what is known,
        the second one is taken to multiply the states as it did without the first. ``None`` with
        nothing to go by.

        Searches with other reductions cannot be compared. So what their states stand for is
        multiplied, and divided by as much as symmetry has given already (it may give more).
        """
        found = []
        for axis, one in self._before(vector):
            for other, two in self._before(vector):
                if other < axis:
                    continue
                both = self.sizes.get(_moved(one, other, -1))
                if one in self.sizes and two in self.sizes and both is not None:
                    found.append(_going_on(self.sizes[one], self.sizes[two], both))
        return max(found, key=lambda predicted: predicted.states, default=None)

    def like(self, vector: Vector) -> Size | None:
        """The largest search before it, for what a state costs."""
        known = [self.sizes[one] for _, one in self._before(vector) if one in self.sizes]
        return max(known, key=lambda size: size.states, default=None)

    def largest(self) -> list[Vector]:
        """Those that hold, without the ones that are smaller in every place than another."""
        return [
            v
            for v in self.sizes
            if not any(
                v != w and all(a <= b for a, b in zip(v, w, strict=True)) for w in self.sizes
            )
        ]

    def unchanged(self) -> list[tuple[Vector, str]]:
        """Where a parameter changed nothing."""
        return sorted((vector, self.names[axis]) for vector, axis in self.idle)

    def _go_on(self, vector: Vector) -> None:
        known = {*self.sizes, *self.refused}
        for axis in self.axes:
            larger = _moved(vector, axis, 1)
            before = [(one, a) for a, one in self._before(larger)]
            new = larger not in known | self.ended and self.idle.isdisjoint(before)
            if new and all(one in known for one, _ in before):
                self.waiting.add(larger)

    def _before(self, vector: Vector) -> Iterator[tuple[int, Vector]]:
        """The vectors that are smaller by one in one place."""
        for axis in self.axes:
            if vector[axis] > self.start[axis]:
                yield axis, _moved(vector, axis, -1)

    def _order(self, vector: Vector) -> tuple[int, int, Vector]:
        like = self.like(vector)
        predicted = self.predicted(vector)
        expected = (0 if like is None else like.states) if predicted is None else predicted.states
        return expected, sum(vector), vector


def _going_on(one: Size, two: Size, both: Size) -> Predicted:
    """What comes after two steps, if each was taken alone."""
    reduced = bool(one.reductions or two.reductions)
    if one.reductions == two.reductions == both.reductions:
        return Predicted(one.states * two.states // both.states, reduced)
    whole = one.whole * two.whole // both.whole
    factor = max(one.whole / one.states, two.whole / two.states)
    return Predicted(max(1, round(whole / factor)), reduced)


def _moved(vector: Vector, axis: int, by: int) -> Vector:
    return (*vector[:axis], vector[axis] + by, *vector[axis + 1 :])
