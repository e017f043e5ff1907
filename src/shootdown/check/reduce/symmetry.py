"""Symmetry: objects that the system does not tell apart may change places.

Two states that differ only in which of them is which have the same future, so one of them is
enough (Ip and Dill, "Better Verification Through Symmetry", Formal Methods in System Design 1996;
Clarke, Enders, Filkorn and Jha, "Exploiting Symmetry in Temporal Logic Model Checking", 1996).
Distances stay what they are, so the shortest race is as long as ever.

Nobody declares what is symmetric. :func:`find_symmetry` tries to swap each two objects of each
population, with the threads that then have to change places too, and keeps the swaps for which it
*proves* that they are automorphisms: every action, applied after the swap, does what its
counterpart does before it, for all states, and every property is true in both or in neither. The
proof compares decision diagrams (:mod:`.automorphism`). What cannot be proven is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, product
from typing import TypeAlias

from shootdown.check.reduce.automorphism import Proof
from shootdown.check.reduce.swaps import Alike, Swap, Symmetry, cases
from shootdown.lang.ir import System
from shootdown.lang.shapes import (
    PROCESS,
    Pointer,
    Renaming,
    changed,
    populations,
    renamed,
    shapes_in,
)

MOST = 40_320
"""The largest group that is used: a state has at most so many images."""

_Keys: TypeAlias = tuple[tuple[str, int], ...]
_Name: TypeAlias = tuple[str, _Keys]
_TRIES = 4  # ways in which threads might change places


def find_symmetry(system: System) -> tuple[Symmetry | None, int]:
    """The swaps that can be proven, or ``None`` if there are none; and how many pairs of objects
    are left that may be interchangeable, since the proof, or the group, got too large.

    Store buffers name locations, not objects, so with them there is little to be found.
    """
    finder = _Finder(system)
    found = finder.symmetry()
    return found if found.classes else None, finder.given_up


class _Finder:
    def __init__(self, system: System) -> None:
        self.system = system
        self.cases = cases(system)
        self.numbers = {
            (v.naming.family, v.naming.keys): i
            for i, v in enumerate(system.variables)
            if v.naming.family
        }
        self.sizes: dict[str, int] = {}
        for v in system.variables:
            for population, index in v.naming.keys:
                self.sizes[population] = max(self.sizes.get(population, 0), index + 1)
            for shape in chain.from_iterable(map(shapes_in, v.naming.shapes)):
                if isinstance(shape, Pointer):
                    size = max(self.sizes.get(shape.population, 0), shape.size)
                    self.sizes[shape.population] = size
        self.sizes.pop(PROCESS, None)
        self.threads = len(system.processes)
        self.named = frozenset[str]().union(
            *(populations(shape) for v in system.variables for shape in v.naming.shapes)
        )
        self.found: set[object] = set()
        self.proof = Proof(system)
        self.given_up = 0  # pairs

    def symmetry(self) -> Symmetry:
        """Try all pairs: of one population, with the threads, and with a pair of another one."""
        classes: list[Alike] = []
        order = 1
        for population, size in [*sorted(self.sizes.items()), (PROCESS, self.threads)]:
            groups: list[tuple[list[int], list[Swap]]] = []
            for index in range(size):
                for members, swaps in groups:
                    swap = self.exchanged(population, members[-1], index)
                    if swap is not None:
                        members.append(index)
                        swaps.append(swap)
                        break
                else:
                    groups.append(([index], []))
            for members, swaps in groups:
                larger = order * math.factorial(len(members))
                if len(members) > 1 and larger <= MOST:
                    order = larger
                    classes.append(Alike(population, tuple(members), tuple(swaps), ()))
                else:
                    self.given_up += len(swaps)
        whole = [(alike, self.own(alike, classes)) for alike in classes]
        return Symmetry(self.system, tuple(replace(alike, own=own) for alike, own in whole))

    def own(self, alike: Alike, classes: Sequence[Alike]) -> tuple[tuple[int, ...], ...]:
        """For each of the objects, the variables that belong to it alone and name no object."""
        swaps = [swap for c in classes for swap in c.swaps]
        mine = {id(swap) for swap in alike.swaps}
        movers = [
            [id(swap) for swap in swaps if swap.moves[v] != v] for v in range(len(self.cases))
        ]

        def good(variable: int) -> bool:
            plain = not any(swap.changing(variable) for swap in swaps)
            return plain and mine.issuperset(movers[variable])

        found = []
        for v, by in enumerate(movers):
            # of two objects that only change places with each other, one comes first
            if by == [id(alike.swaps[0])] and (len(mine) > 1 or v < alike.swaps[0].moves[v]):
                row = [v]
                for swap in alike.swaps:
                    row.append(swap.moves[row[-1]])
                if all(map(good, row)):
                    found.append(row)
        return tuple(zip(*found, strict=True)) if found else ((),) * len(alike.members)

    def exchanged(self, population: str, a: int, b: int) -> Swap | None:
        """An automorphism that swaps two objects; one that is there already is none."""
        before = self.proof.given_up
        for renaming in self.candidates(population, a, b):
            swap = self.swap(renaming)
            if swap is not None and self.effect(swap) not in self.found:
                self.found.add(self.effect(swap))
                return swap
        self.given_up += self.proof.given_up > before
        return None

    def effect(self, swap: Swap) -> object:
        """What a swap does to a state: the same for two that differ in what no variable names."""
        moving = changed(swap.renaming) & self.named
        return swap.moves, frozenset((p, tuple(swap.renaming[p])) for p in moving)

    def candidates(self, population: str, a: int, b: int) -> Iterator[dict[str, tuple[int, ...]]]:
        """Renamings that swap two objects."""
        if population == PROCESS:
            yield {PROCESS: _swapped(self.threads, a, b)}
            return
        first = {population: _swapped(self.sizes[population], a, b)}
        yield first
        for other, size in sorted(self.sizes.items()):
            if other != population:
                for c, d in combinations(range(size), 2):
                    yield {**first, other: _swapped(size, c, d)}

    def swap(self, renaming: dict[str, tuple[int, ...]]) -> Swap | None:
        """An automorphism with this renaming, and some exchange of threads."""
        exchanges = [renaming[PROCESS]] if PROCESS in renaming else self.exchanges(renaming)
        for threads in exchanges:
            whole = {**renaming, PROCESS: threads}
            moves = self.moves(whole)
            if moves is None or any(moves[to] != v for v, to in enumerate(moves)):
                continue
            swap = Swap(whole, moves, self.cases)
            if self.proof.proves(swap):
                return swap
        return None

    def moves(self, renaming: Renaming) -> tuple[int, ...] | None:
        """The place of each variable under a renaming."""
        result = []
        for number, v in enumerate(self.system.variables):
            keys = _renamed_keys(v.naming.keys, renaming)
            to = self.numbers.get((v.naming.family, keys)) if v.naming.family else number
            if to is None or self.system.variables[to].size != v.size:
                return None
            if v.given and (
                self.system.init[to] != renamed(v.naming.shape, self.system.init[number], renaming)
            ):
                return None
            result.append(to)
        return tuple(result) if len(set(result)) == len(result) else None

    def exchanges(self, renaming: Renaming) -> Iterator[tuple[int, ...]]:
        """The ways in which threads might change places with the objects: each goes to one that
        has the same steps, as far as the variables that they touch tell."""
        system = self.system
        own = [(v.naming.family, v.naming.keys) for v in system.variables]
        moved = [(family, _renamed_keys(keys, renaming)) for family, keys in own]
        shared = [all(p != PROCESS for p, _ in v.naming.keys) for v in system.variables]

        def touched(process: int, names: Sequence[_Name]) -> list[object]:
            found: list[object] = []
            for action in system.processes[process].actions:
                for accesses in (action.reads, action.writes):
                    found.append(frozenset(names[n] for n in accesses if shared[n]))
                found.append(action.info.location)
            return found

        here = [touched(p, moved) for p in range(self.threads)]
        there = [touched(p, own) for p in range(self.threads)]
        fitting = []
        for p in range(self.threads):
            others = [q for q in range(self.threads) if q != p and here[p] == there[q]]
            fitting.append([p, *others] if here[p] == there[p] else others)
        tried = 0
        for choice in product(*fitting):
            if len(set(choice)) == self.threads:
                yield choice
                tried += 1
            if tried == _TRIES:
                return


def _renamed_keys(keys: _Keys, renaming: Renaming) -> _Keys:
    return tuple((p, renaming[p][i] if p in renaming else i) for p, i in keys)


def _swapped(size: int, a: int, b: int) -> tuple[int, ...]:
    return tuple(b if i == a else a if i == b else i for i in range(size))
