"""What a value points at: which renaming of objects means which renaming of values.

Objects can only be compared, dereferenced and looped over, so a system often does not care which
of them is which. To rename objects in a state, one has to know where a value names an object: that
is its *shape*. A *renaming* gives for some populations, by name, the new index of each object; the
threads are the population :data:`PROCESS`. Nothing rests on a shape being right: a reduction that
uses a renaming proves first that every action of the system respects it.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def populations(shape: Shape) -> frozenset[str]:
    """The populations that values of a shape can name."""
    match shape:
        case Pointer(population=population):
            return frozenset((population,))
        case Maybe(inner) | Members(inner):
            return populations(inner)
        case Parts(parts):
            return frozenset[str]().union(*(populations(part.inner) for part in parts))
    return frozenset()


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
