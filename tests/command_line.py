"""A model file with one scenario of each ending, and what running a command line gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MODEL = '''
from shootdown.lang import (
    Hardware, Object, Option, Setup, SpinLock, Thread, choose, event, ghost, goal,
    invariant, path, ranged, rule, scenario, this,
)

SPEED = Option("speed", "slow", choices=("slow", "quick"), doc="how quick it is")


class Cpu(Object, show="CPU{}"):
    returned: bool = ghost(False)


class Mm(Object):
    ptl: SpinLock
    other: SpinLock
    count: int = ranged(0, 12)


@path(show="bump(mm)")
def bump(mm: Mm, *, locked: bool = False) -> None:
    if locked:
        with mm.ptl:
            mm.count += 1
    else:
        mm.count += 1
    event("return to user")
    this(Cpu).returned = True


@path
def both(mm: Mm, *, swapped: bool = False) -> None:
    if swapped:
        with mm.other, mm.ptl:
            event("both")
    else:
        with mm.ptl, mm.other:
            event("both")


@path
def overflow(mm: Mm) -> None:
    mm.count = mm.count + choose(1, 99)


@path
def wrong(mm: Mm) -> None:
    import os


@invariant("INV-COUNT")
def counted() -> bool:
    """an increment was lost"""
    return not all(cpu.returned for cpu in Cpu) or all(mm.count == len(Cpu) for mm in Mm)


@invariant("INV-RANGE")
def in_range() -> bool:
    """the count is too large"""
    return all(mm.count < 13 for mm in Mm)


@goal("three")
def three() -> bool:
    """the count is 3"""
    return any(mm.count == 3 for mm in Mm)


def threads(function, cpus, **options):
    return [Thread(function, Mm(0), on=Cpu(c), **options) for c in range(cpus)]


def setup(cpus, these, **more):
    return Setup(sizes={Cpu: cpus, Mm: 1}, threads=these, **more)


@scenario("race", expect="VIOLATED", violates="INV-COUNT", aliases=("BAD-1",))
def race(cpus: int = 2) -> Setup:
    """Two CPUs count.

    Neither takes the lock.
    """
    return setup(cpus, threads(bump, cpus), invariants=[counted])


@scenario("safe", expect="HOLDS")
def safe(cpus: int = 2) -> Setup:
    """Two CPUs count under a lock."""
    return setup(cpus, threads(bump, cpus, locked=True), invariants=[counted])


@scenario("empty", expect="VACUOUS")
def empty(cpus: int = 2) -> Setup:
    """Two CPUs never reach three."""
    return setup(cpus, threads(bump, cpus, locked=True), goals=[three])


@scenario("stuck", expect="VIOLATED", violates="deadlock")
def stuck() -> Setup:
    """Two CPUs take two locks in opposite orders."""
    return setup(2, [Thread(both, Mm(0), on=Cpu(0)),
                     Thread(both, Mm(0), swapped=True, on=Cpu(1))], invariants=[in_range])


@scenario("range", expect="HOLDS")
def too_large(cpus: int = 1) -> Setup:
    """A count that leaves its range."""
    return setup(cpus, threads(overflow, cpus), invariants=[in_range])


@scenario("outside", expect="HOLDS")
def outside(cpus: int = 1) -> Setup:
    """A path outside the language."""
    return setup(cpus, threads(wrong, cpus))


@scenario("raises", expect="HOLDS")
def raises(cpus: int = 1) -> Setup:
    """A scenario that cannot be built."""
    return setup(1 // (cpus - 1), [])
'''


@dataclass(frozen=True)
class Ran:
    """A finished command line."""

    code: int
    out: str
    err: str


Shootdown = Callable[..., Ran]
