"""What calibrate does with the times that it measured: pure functions.

Never a mean or a maximum of all: one timer interrupt would decide. A burst is known by its median,
a series of bursts by the median of these, and its spread by their middle half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

FEWEST = 3  # bursts of a series
SPREAD = 0.10  # of the medians of bursts, in parts of their median
HANDLED = 0.95  # of the interrupts that a burst should have made
STEAL = 0.02  # of the time of the CPUs


@dataclass(frozen=True, slots=True)
class Burst:
    """Some hundred equal actions in one go, in ns."""

    median: float
    p99: float
    count: int


def burst(times: Sequence[float]) -> Burst:
    """What is kept of the times of a burst.

    The median is the mean of the central fifth: a counter may tick in steps of 10 ns, and then the
    median itself does too.
    """
    ordered = sorted(times)
    count = len(ordered)
    outside = min(count * 2 // 5, (count - 1) // 2)
    central = ordered[outside : count - outside]
    return Burst(sum(central) / len(central), ordered[min(count - 1, count * 99 // 100)], count)


@dataclass
class Series:
    """Bursts of one kind, and how many did not count."""

    bursts: list[Burst] = field(default_factory=list)
    refused: int = 0

    @property
    def value(self) -> float:
        """The median of the medians, in ns."""
        return median(each.median for each in self.bursts)

    @property
    def p99(self) -> float:
        """The median of the 99th percentiles, in ns."""
        return median(each.p99 for each in self.bursts)

    @property
    def error(self) -> float:
        """Half of the middle half of the medians, in ns."""
        ordered = sorted(each.median for each in self.bursts)
        quarter = len(ordered) // 4
        return (ordered[-1 - quarter] - ordered[quarter]) / 2

    @property
    def spread(self) -> float:
        """The middle half of the medians, in parts of their median."""
        return 2 * self.error / self.value if self.value > 0 else 0.0


Measured = Mapping[str, Series]


@dataclass(frozen=True, slots=True)
class Check:
    """One of the rules that a calibration must keep."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Value:
    """A number with its error, in ns."""

    ns: float
    error: float

    def __sub__(self, other: Value) -> Value:
        return Value(self.ns - other.ns, (self.error**2 + other.error**2) ** 0.5)

    def __add__(self, other: Value) -> Value:
        return Value(self.ns + other.ns, (self.error**2 + other.error**2) ** 0.5)

    def __truediv__(self, number: float) -> Value:
        return Value(self.ns / number, self.error / number)

    @property
    def percent(self) -> int:
        """The error in percent of the value, rounded up; 1000 where nothing is known."""
        if self.ns <= 0 or self.error >= 10 * self.ns:
            return 1000
        return int(100 * self.error / self.ns) + 1


def value(series: Series) -> Value:
    """A series as a number."""
    return Value(series.value, series.error)


def slope(points: Mapping[int, Value]) -> Value:
    """What one more of it costs: the median of the slopes between each two points (Theil-Sen)."""
    steps = [
        (points[high].ns - points[low].ns) / (high - low)
        for low in points
        for high in points
        if low < high
    ]
    reach = max(points) - min(points)
    error = (points[max(points)].error ** 2 + points[min(points)].error ** 2) ** 0.5
    return Value(median(steps), error / reach)


def intercept(points: Mapping[int, Value], rise: Value) -> Value:
    """What none of it costs."""
    rest = [each.ns - rise.ns * number for number, each in points.items()]
    error = median(each.error for each in points.values())
    return Value(median(rest), error + rise.error * min(points))


Span = tuple[int, int]


def meet(samples: Sequence[Span], gaps: Sequence[Span]) -> list[tuple[Span, Span]]:
    """Each sample (begin, end) with the first gap that begins within it; both are in order."""
    found = []
    at = 0
    for begin, end in samples:
        while at < len(gaps) and gaps[at][0] < begin:
            at += 1
        if at < len(gaps) and gaps[at][0] <= end:
            found.append(((begin, end), gaps[at]))
    return found


# --------------------------------------------------------------------------- the rules


def complete(series: Measured) -> Check:
    """Every series has enough bursts that count."""
    few = {n: s for n, s in series.items() if len(s.bursts) < FEWEST}
    lost = [f"{name} ({len(s.bursts)} counted, {s.refused} did not)" for name, s in few.items()]
    text = "; ".join(lost[:4]) + (f"; and {len(lost) - 4} more" if len(lost) > 4 else "")
    return Check(
        "bursts",
        not few,
        f"fewer than {FEWEST} bursts count of: {text}"
        if few
        else f"{FEWEST} or more bursts count of each kind",
    )


def handled(series: Measured, row: str, names: Sequence[str]) -> Check:
    """Most bursts made as many interrupts as they should (the row of /proc/interrupts)."""
    counted = sum(len(series[name].bursts) for name in names)
    refused = sum(series[name].refused for name in names)
    share = counted / (counted + refused) if counted + refused else 0.0
    return Check(
        f"{row} row",
        share >= 0.5,
        f"in {share:.0%} of the bursts the target took {HANDLED:.0%} of the interrupts or more",
    )


def rising(series: Measured, names: Sequence[str]) -> Check:
    """More pages cost more."""
    wrong = [
        f"{more} ({series[more].value:.0f} ns) costs no more than {less} "
        f"({series[less].value:.0f} ns)"
        for less, more in pairwise(names)
        if series[more].value <= series[less].value
    ]
    return Check("monotony", not wrong, wrong[0] if wrong else "more pages cost more")


def steady(series: Measured, names: Sequence[str]) -> Check:
    """The bursts of a kind agree with each other."""
    worst = max(names, key=lambda name: series[name].spread)
    spread = series[worst].spread
    return Check(
        "spread",
        spread <= SPREAD,
        f"half of the bursts are within {spread:.1%} of each other, at worst ({worst}); "
        f"the limit is {SPREAD:.0%}",
    )


def stolen(before: Sequence[int], after: Sequence[int]) -> Check:
    """The host left the CPUs alone; both are the numbers of a line of /proc/stat."""
    passed = [new - old for old, new in zip(before, after, strict=True)]
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in these
    total = sum(passed[:8])
    share = passed[7] / total if total > 0 and len(passed) > 7 else 0.0
    return Check(
        "steal",
        share <= STEAL,
        f"the host took {share:.1%} of the time of the CPUs; the limit is {STEAL:.0%}",
    )


def sensible(prices: Mapping[str, Value], names: Sequence[str]) -> Check:
    """What must be measured is more than nothing, and more than its own error."""
    wrong = [
        f"{name} is {prices[name].ns:.0f} ns, give or take {prices[name].error:.0f}"
        for name in names
        if prices[name].ns < 0.5 or prices[name].error > prices[name].ns
    ]
    text = "; ".join(wrong) if wrong else "what must be measured is more than its error"
    return Check("difference", not wrong, text)
