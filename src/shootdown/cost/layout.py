"""What all threads of a priced run agree on: where things are, and the names of what is counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from shootdown.cost import runtime
from shootdown.lang import ir
from shootdown.lang.large import LargeKinds, LargeSpace, Region

SMALL = 1 << 16
"""Fields with at most so many elements are looked at as cache lines that CPUs share."""
LOCKS = 1 << 24
"""So many locks in one field are possible; who had one last matters for each."""


@dataclass
class Layout:
    """What all threads of a run agree on: where fields, locks and lines are, which steps can stall,
    and the names of prices and counts."""

    kinds: LargeKinds
    space: LargeSpace
    prices: list[str] = field(default_factory=lambda: list(runtime.PRICES))
    counts: list[str] = field(default_factory=lambda: list(runtime.COUNTS))
    stalls: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    failures: list[tuple[str, ir.Location | None]] = field(default_factory=list)
    declared: list[ir.Failure] = field(default_factory=list)  # what the compiler's checks say
    lines: dict[int, int] = field(default_factory=dict)  # first line of a region
    locks: dict[int, int] = field(default_factory=dict)  # first queue of a region of locks
    waited: dict[int, int] = field(default_factory=dict)  # first entry of a region waited for
    groups: dict[frozenset[int], int] = field(default_factory=dict)  # entry of several regions
    widths: set[int] = field(default_factory=set)  # of integers whose bits are counted
    lists: bool = False  # whether there are any
    line_count: int = 0
    lock_count: int = 0
    waited_count: int = 0

    def price(self, name: str) -> int:
        """The number of a price."""
        return _number(self.prices, name)

    def count(self, name: str) -> int:
        """The number of a count."""
        return _number(self.counts, name)

    def stall(self, name: str) -> int:
        """The number of a kind of waiting."""
        return _number(self.stalls, name)

    def unit(self, name: str) -> int:
        """The number of a unit that all CPUs share."""
        return _number(self.units, name)

    def line(self, region: Region, most: int = SMALL) -> int | None:
        """The first cache line of a region, if its lines are looked at."""
        start = region.storage.base
        elements = region.length // region.width
        if elements > most:
            return None
        if start not in self.lines:
            self.lines[start] = self.line_count
            self.line_count += elements
        return self.lines[start]

    def lock(self, region: Region) -> int:
        """The first queue of a region of locks."""
        start = region.storage.base
        if start not in self.locks:
            self.locks[start] = self.lock_count
            self.lock_count += region.length // region.width
        return self.locks[start]

    def group(self, places: list[ir.Place]) -> int:
        """The entry of a guard that reads several places: a write to any of their regions wakes."""
        regions = frozenset(self.space.region_at(place.base).storage.base for place in places)
        if regions not in self.groups:
            self.groups[regions] = self.waited_count
            self.waited_count += 1
        return self.groups[regions]

    def failure(self, message: str, at: ir.Location | None) -> int:
        """The number of something that can go wrong, from 1."""
        self.failures.append((message, at))
        return len(self.failures)

    def wait(self, region: Region) -> int:
        """The first entry of a region that somebody waits for."""
        start = region.storage.base
        if start not in self.waited:
            self.waited[start] = self.waited_count
            self.waited_count += region.length // region.width
        return self.waited[start]


def _number(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)
