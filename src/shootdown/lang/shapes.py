"""What a value points at: which renaming of objects means which renaming of values.

Objects can only be compared, dereferenced and looped over, so a system often does not care which
of them is which. To rename objects in a state, one has to know where a value names an object: that
is its *shape*. A *renaming* gives for some populations, by name, the new index of each object; the
threads are the population :data:`PROCESS`. Nothing rests on a shape being right: a reduction that
uses a renaming proves first that every action of the system respects it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

PROCESS = "process"
"""The population of a system's processes: who holds a lock, and whose locals they are."""

Renaming: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Pointer:
    """The index of an object of a population that has ``size`` objects."""

    population: str
    size: int


@dataclass(frozen=True, slots=True)
class Maybe:
    """0 for none, else 1 + a value."""

    inner: Shape


@dataclass(frozen=True, slots=True)
class Members:
    """A set: bit ``e`` for the element ``e``, of ``size`` possible ones."""

    inner: Shape
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """Some bits of a word: ``bits`` of them, from bit ``shift`` up."""

    shift: int
    bits: int
    inner: Shape


@dataclass(frozen=True, slots=True)
class Parts:
    """A word; its other bits name no object."""

    parts: tuple[Part, ...]


Shape: TypeAlias = Pointer | Maybe | Members | Parts | None
"""``None``: a plain value, which names no object."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How objects are named by a variable, and it by them.

    ``family`` is the field that it is an element of ("" for none), ``keys`` says of which objects:
    (population, index). ``shape`` is that of its values. A variable for a thread's locals holds
    now one and now another, and 0 at times: ``steps`` says before which steps it has which shape.
    """

    family: str = ""
    keys: tuple[tuple[str, int], ...] = ()
    shape: Shape = None
    steps: tuple[tuple[Shape, frozenset[int]], ...] = ()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All shapes that its values have."""
        return (self.shape, *(shape for shape, _ in self.steps))


UNNAMED = Naming()


def shapes_in(shape: Shape) -> Iterator[Shape]:
    """A shape and those within it, plain ones apart."""
    if shape is None:
        return
    yield shape
    match shape:
        case Maybe(inner=inner) | Members(inner=inner):
            yield from shapes_in(inner)
        case Parts(parts):
            for part in parts:
                yield from shapes_in(part.inner)


def populations(shape: Shape) -> frozenset[str]:
    """The populations that values of a shape can name."""
    return frozenset(s.population for s in shapes_in(shape) if isinstance(s, Pointer))


def values_of(shape: Shape) -> int:
    """How many values of a shape there are at least: no larger one names an object."""
    match shape:
        case Pointer(size=size):
            return size
        case Maybe(inner):
            return 1 + values_of(inner)
        case Members(size=size):
            return 1 << size
        case Parts(parts):
            return 1 << max(part.shift + part.bits for part in parts)
    return 1


def changed(renaming: Renaming) -> frozenset[str]:
    """The populations that a renaming changes."""
    return frozenset(p for p, new in renaming.items() if list(new) != list(range(len(new))))


def renamed(shape: Shape, value: int, renaming: Renaming) -> int:
    """The value with every object in it renamed. What is no object of the population stays."""
    match shape:
        case Pointer(population=population):
            new = renaming.get(population, ())
            return new[value] if value < len(new) else value
        case Maybe(inner):
            return 0 if value == 0 else 1 + renamed(inner, value - 1, renaming)
        case Members(inner, size):
            return sum(1 << renamed(inner, e, renaming) for e in range(size) if value >> e & 1)
        case Parts(parts):
            for part in parts:
                mask = (1 << part.bits) - 1
                old = value >> part.shift & mask
                value ^= (old ^ renamed(part.inner, old, renaming)) << part.shift
    return value
