"""A profile of this machine: run the measurements, turn them into prices, and judge them.

Each round measures everything once, and gives a price for each rule below; a price is the median
over the rounds, and its error that of a median (McGill, Tukey, Larsen 1978: 1.57 times the middle
half over the root of their number).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import median

from shootdown.cost import calibrate_machine as machine
from shootdown.cost.calibrate_bench import FEW, MANY, SHOT, SIZES, Bench
from shootdown.cost.calibrate_native import Native
from shootdown.cost.calibrate_statistics import (
    FEWEST,
    Check,
    Series,
    Value,
    complete,
    handled,
    intercept,
    rising,
    sensible,
    slope,
    steady,
    stolen,
)
from shootdown.cost.profile import X86, Entry, Profile, checked, names
from shootdown.errors import UsageError

BASE = "skylake-2s"
LEAST = 5  # percent: nothing is surer than that, from one machine on one day
SHORT = 4.0  # seconds, below which bursts are short, too
_RANGE = 0.5, 1.6  # of what the parts of a shootdown are, in parts of the whole

Medians = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a price follows from the medians of one round, in ns."""

    name: str
    how: str
    compute: Callable[[Medians], float]
    least: int = LEAST  # percent of uncertainty


def _per_page(m: Medians, name: str, sizes: tuple[int, int]) -> float:
    few, many = sizes
    return (m[f"{name}.{many}"] - m[f"{name}.{few}"]) / (many - few)


def _flush(m: Medians, pages: Sequence[int]) -> dict[int, Value]:
    return {number: Value(m[f"flush.{number}"], 0.0) for number in pages}


def _invlpg(m: Medians) -> float:
    return slope(_flush(m, FEW)).ns - slope(_flush(m, MANY)).ns


def _flush_all(m: Medians) -> float:
    few, many = _flush(m, FEW), _flush(m, MANY)
    return intercept(many, slope(many)).ns - intercept(few, slope(few)).ns


def _rmap(m: Medians) -> float:
    return _per_page(m, "unmap.file", (64, 256)) - _per_page(m, "unmap.zero", (64, 256))


def _alloc(m: Medians) -> float:
    populated = _per_page(m, "populate.write", SIZES) - _per_page(m, "populate.read", SIZES)
    return populated - m["clear"] - _rmap(m)


def _entry(m: Medians, prefix: str = "") -> float:
    return m[f"{prefix}acked"] - m["getpid"] / 2 - m[f"{prefix}bounce"]


def _switch(m: Medians) -> float:
    return m["yield.threads"] / 2 - m["getpid"]


RULES = (
    Rule("kernel_entry", "getpid in a loop", lambda m: m["getpid"]),
    Rule(
        "page_fault",
        "pages touched one by one, less the same pages by MADV_POPULATE_WRITE",
        lambda m: _per_page(m, "touch", SIZES) - _per_page(m, "populate.write", SIZES),
        20,
    ),
    Rule(
        "interrupt_entry",
        "membarrier: from where the target stops until the sender returns, less the way back",
        _entry,
        20,
    ),
    Rule(
        "interrupt_return",
        "membarrier: what the target loses, less interrupt_entry",
        lambda m: m["gap.membarrier"] - _entry(m),
        50,
    ),
    Rule("context_switch", "sched_yield of two threads, less the system call", _switch, 10),
    Rule(
        "cr3_switch",
        "sched_yield of two processes, less that of two threads",
        lambda m: (m["yield.processes"] - m["yield.threads"]) / 2,
        20,
    ),
    Rule(
        "ipi_send",
        "tgkill that interrupts another CPU, less one whose signal waits",
        lambda m: m["signal.sent"] - m["signal.blocked"],
        10,
    ),
    Rule(
        "ipi_deliver",
        "membarrier: from the call until the target stops, less half of kernel_entry",
        lambda m: m["delay"] - m["getpid"] / 2,
        20,
    ),
    Rule(
        "ipi_deliver_remote",
        "the same with a target in another socket",
        lambda m: m["far.delay"] - m["getpid"] / 2,
        20,
    ),
    Rule("ack", "two threads hand a line to each other", lambda m: m["bounce"], 20),
    Rule("ack_remote", "the same between two sockets", lambda m: m["far.bounce"], 20),
    Rule(
        "handler",
        "what a target loses with one page, less what it loses by membarrier, less invlpg",
        lambda m: m["gap.1"] - m["gap.membarrier"] - _invlpg(m),
        30,
    ),
    Rule(
        "invlpg",
        "MADV_DONTNEED of two pages far apart: each page between them, up to 32 less from 34",
        _invlpg,
        10,
    ),
    Rule(
        "flush_all",
        "MADV_DONTNEED of two pages far apart: its constant part from 34 on, less up to 32",
        _flush_all,
        10,
    ),
    Rule(
        "tlb_walk",
        "loads from more pages than the TLB has entries, less as many lines in few pages",
        lambda m: m["walk.far"] - m["walk.near"],
        10,
    ),
    Rule("mem_load", "dependent loads of one line", lambda m: m["load"], 10),
    Rule("mem_store", "stores to one line", lambda m: m["stores"], 10),
    Rule("atomic", "LOCK XADD on one line", lambda m: m["atomics"], 10),
    Rule("barrier", "LOCK ADD to the stack, as smp_mb()", lambda m: m["fences"], 10),
    Rule("line_transfer", "two threads hand a line to each other", lambda m: m["bounce"]),
    Rule("line_transfer_remote", "the same between two sockets", lambda m: m["far.bounce"]),
    Rule(
        "lock_handover",
        "a ticket lock that two threads want, less the time it is kept",
        lambda m: m["ticket"] - m["hold"],
        10,
    ),
    Rule(
        "alloc_page",
        "MADV_POPULATE_WRITE less MADV_POPULATE_READ for each page, less clear_page and rmap",
        _alloc,
        20,
    ),
    Rule(
        "free_page",
        "MADV_DONTNEED for each page: anonymous pages less pages of a file",
        lambda m: _per_page(m, "unmap.anon", (64, 256)) - _per_page(m, "unmap.file", (64, 256)),
        20,
    ),
    Rule("clear_page", "REP STOSQ on pages in the second-level cache", lambda m: m["clear"], 20),
    Rule("copy_page", "REP MOVSQ between such pages", lambda m: m["copy"], 20),
    Rule(
        "rmap",
        "MADV_DONTNEED for each page: pages of a file less the zero page",
        _rmap,
        20,
    ),
)

ESSENTIAL = (
    "kernel_entry", "page_fault", "interrupt_entry", "context_switch", "ipi_send", "ipi_deliver",
    "invlpg", "flush_all", "tlb_walk", "atomic", "line_transfer", "lock_handover", "clear_page",
    "free_page",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Calibration:
    """What came of it. ``profile`` is of no use unless ``accepted``."""

    profile: Profile
    checks: tuple[Check, ...]
    series: Mapping[str, Series]
    added: Value | None  # what a shootdown of one page costs the initiator, in ns
    where: machine.Pair
    rounds: int
    seconds: float

    @property
    def accepted(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def calibrate(
    name: str,
    base: Profile,
    seconds: float,
    tell: Callable[[int, str, float], None] = lambda *_: None,
) -> Calibration:
    """Measure this machine for about ``seconds``; ``tell`` hears round, step, and seconds so far.

    Raises UsageError where calibrate cannot measure.
    """
    if base.architecture != X86:
        raise UsageError(f"the base must be a profile of x86, and {base.name} is not")
    machine.check_machine()
    pair = machine.choose(machine.places())
    native = Native()
    tlb = machine.tlb(native)
    milliseconds = 8.0 if seconds >= SHORT else 3.0
    rate = machine.ticks_per_ns(native)
    bench = Bench(native, pair, rate, milliseconds, tlb[0] if tlb else None)
    began = time.monotonic()
    before = machine.cpu_times(machine.read("/proc/stat"))
    rounds: list[dict[str, float]] = []
    longest = 0.0
    while len(rounds) < FEWEST or time.monotonic() - began + longest < seconds:
        start = time.monotonic()
        for step in bench.round():
            tell(len(rounds) + 1, step, time.monotonic() - began)
        rounds.append(bench.medians)
        longest = max(longest, time.monotonic() - start)
    after = machine.cpu_times(machine.read("/proc/stat"))
    prices = prices_of(rounds)
    profile = _profile(name, base, prices, tlb)
    return Calibration(
        profile,
        judge(bench.series, prices, rounds, stolen(before, after)),
        bench.series,
        added(rounds),
        pair,
        len(rounds),
        time.monotonic() - began,
    )


def over(values: Sequence[float]) -> Value:
    """The median of the rounds and its error."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle_half = ordered[-1 - quarter] - ordered[quarter]
    return Value(median(ordered), 1.57 * middle_half / sqrt(len(ordered)))


def prices_of(rounds: Sequence[Medians]) -> dict[str, Value]:
    """Each price that enough rounds have the medians for."""
    prices = {}
    for rule in RULES:
        values = []
        for medians in rounds:
            try:
                values.append(rule.compute(medians))
            except KeyError:  # a burst of this round does not count
                continue
        if len(values) >= FEWEST:
            prices[rule.name] = over(values)
    return prices


def added(rounds: Sequence[Medians]) -> Value | None:
    """What the initiator waits for one page's shootdown: with another thread less without."""
    both = [m for m in rounds if "shared.1" in m and "alone.1" in m]
    return over([m["shared.1"] - m["alone.1"] for m in both]) if both else None


def judge(
    series: Mapping[str, Series],
    prices: Mapping[str, Value],
    rounds: Sequence[Medians],
    steal: Check,
) -> tuple[Check, ...]:
    """All checks; where bursts are missing, those that need them are left out."""
    every = complete(series)
    shot = [f"shared.{pages}" for pages in SHOT]
    checks = [
        every,
        handled(series, "TLB", shot),
        handled(series, "CAL", ["membarrier"]),
        handled(series, "RES", ["signal.sent"]),
        steal,
    ]
    if every.passed:
        pages = [f"alone.{n}" for n in (1, 2, 8, 32)]
        flushed = [f"flush.{n}" for n in (2, 8, 16, 32)]
        both = ("alone.1", "shared.1")
        orders = [rising(series, order) for order in (pages, flushed, both)]
        checks.append(next((order for order in orders if not order.passed), orders[0]))
        checks.append(steady(series, ("getpid", "alone.1", "shared.1", "membarrier")))
        checks.append(sensible(prices, ESSENTIAL))
        checks.append(whole(prices, added(rounds)))
    return tuple(checks)


def whole(prices: Mapping[str, Value], measured: Value | None) -> Check:
    """The parts of a shootdown make about the whole."""
    parts = ("ipi_deliver", "interrupt_entry", "handler", "invlpg", "ack")
    there = sum(max(prices[part].ns, 0.0) for part in parts if part in prices)
    total = max(there, prices["ipi_send"].ns)
    share = total / measured.ns if measured is not None and measured.ns > 0 else 0.0
    low, high = _RANGE
    return Check(
        "sum",
        low <= share <= high,
        f"the parts of a shootdown of one page are {share:.0%} of what it takes; "
        f"the limits are {low:.0%} and {high:.0%}",
    )


def _profile(
    name: str, base: Profile, prices: Mapping[str, Value], tlb: tuple[int, int] | None
) -> Profile:
    """The measured prices, and the rest from the base, as what was lost in noise."""
    where = machine.describe()
    entries = {}
    rules = {rule.name: rule for rule in RULES}
    for number in names(X86, geometry=False):
        price = prices.get(number)
        if price is None or price.ns <= 0 or price.error > price.ns:
            entries[number] = _from_base(base, number, lost=price is not None)
            continue
        rule = rules[number]
        percent = min(1000, max(rule.least, price.percent))
        # half a nanosecond of a price of one is much
        percent = max(percent, ceil(50 / max(price.ns, 1.0)))
        entries[number] = Entry(
            max(1, round(price.ns)), f"measured on {where}: {rule.how}", percent
        )
    here = machine.places()
    sockets = len({place.socket for place in here.values()})
    for near in ("ipi_deliver", "ack", "line_transfer"):
        far = f"{near}_remote"
        if sockets == 1:
            entries[far] = Entry(
                entries[near].value,
                f"not used, there is one socket: as {near}",
                entries[near].uncertainty,
            )
        elif entries[far].value < entries[near].value:
            entries[far] = Entry(entries[near].value, entries[far].source, entries[far].uncertainty)
    for number in names(X86, geometry=True):
        entries[number] = _from_base(base, number)
    if len(here) % sockets == 0:
        entries["cpus"] = Entry(len(here), f"measured on {where}: CPUs of this process")
        entries["sockets"] = Entry(sockets, f"measured on {where}: their sockets")
    if tlb is not None:
        entries["tlb_entries"], entries["tlb_ways"] = (
            Entry(number, f"measured on {where}: CPUID") for number in tlb
        )
    ordered = {number: entries[number] for number in names(X86)}
    description = f"measured by `shootdown calibrate` on {where}; the rest from {base.name}"
    return checked(Profile(name, description, X86, ordered))


def _from_base(base: Profile, number: str, *, lost: bool = False) -> Entry:
    entry = base.entries[number]
    why = "lost in noise" if lost else "not measured"
    return Entry(entry.value, f"{why}, from {base.name}: {entry.source}", entry.uncertainty)
