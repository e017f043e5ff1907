"""Prices a variant of the kernel on a workload.

A variant is a scenario of the checker: its options are what the kernel does differently. So what is
checked and what is priced are the same paths with the same options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shootdown.cost.engine import Priced, Progress, Run
from shootdown.cost.profile import GIVEN, Profile, names
from shootdown.cost.table import Table
from shootdown.cost.workload import Machine, Workload
from shootdown.errors import UsageError
from shootdown.lang.scenario import Scenario

OF_THE_SEARCH = frozenset({"memory", "store_buffer", "tlb"})
"""Options of scenarios that say how much the checker lets happen, and not what a kernel does."""
FLUSHES = (
    "flush_tlb_mm_range",
    "flush_tlb_multi_batch",
    "flush_tlb_kernel_range",
    "flush_tlb_kernel_range_deferrable",
    "flush_tlb_all",
)
OWN_COUNTS = ("isolated_interrupts", "deferred", "coalesced", "entry_flushes", "stolen_ns")
"""What only some machines and workloads count; names that end in ``_ns`` are sums of times."""
RANGE_STEPS = 20_000_000
"""Runs of at most so many steps are repeated with low and high prices."""


@dataclass(frozen=True)
class Variant:
    """What a kernel does differently from today's: options of its paths."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    scenario: Scenario | None = None


TODAY = Variant("today", {}, "the kernel of today")


def variant_of(scenario: Scenario) -> Variant:
    """The variant that a scenario checks."""
    options = scenario.setup().options
    kept = {name: value for name, value in options.items() if name not in OF_THE_SEARCH}
    return Variant(scenario.name, kept, scenario.title, scenario)


@dataclass(frozen=True)
class Cost:
    """A variant priced on a workload.

    ``low_ns`` and ``high_ns`` are what the workload takes when every price is as low, and as high,
    as its profile allows; ``None`` where the run was too long to repeat.
    """

    variant: Variant
    workload: Workload
    parameters: Mapping[str, int]
    profile: Profile
    seed: int
    priced: Priced
    low_ns: int | None = None
    high_ns: int | None = None
    machine: Machine | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)  # the user's options

    @property
    def prices_given(self) -> dict[str, int]:
        """The numbers of the profile that the user has changed."""
        entries = self.profile.entries.items()
        return {name: entry.value for name, entry in entries if entry.source == GIVEN}

    @property
    def conditions(self) -> str:
        """The user's options and prices, as they are printed: ``; ipi_send=900``, or nothing."""
        given = {**self.chosen, **self.prices_given}
        return "".join(f"; {name}={value}" for name, value in given.items())

    @property
    def columns(self) -> tuple[str, str]:
        """The two counts of :meth:`summary` that a comparison shows; it wants little of the second
        (and of time)."""
        named = tuple(self.machine.columns) if self.machine is not None else ()
        return (named[0], named[1]) if named else ("flushes", "ipis")

    @property
    def unit(self) -> tuple[str, int]:
        """What the workload does, and how often: ``("calls", 20000)``."""
        return next(iter(self.priced.work.items()), ("runs", 1))

    def summary(self) -> dict[str, int]:
        """The counts that every comparison begins with."""
        counts, calls = self.priced.counts, self.priced.calls
        own = self.machine.columns if self.machine is not None else {}
        return {
            **{name: counts.get(counted, 0) for name, counted in own.items()},
            "flushes": sum(calls.get(name, 0) for name in FLUSHES),
            "ipis": counts.get("csd_queue_cpu", 0),
            "interrupts": counts.get("interrupts", 0),
            "full_flushes": calls.get("flush_tlb_local", 0),
            "pages_invalidated": counts.get("invlpg", 0),
            **{name: number for name, number in counts.items() if name in OWN_COUNTS},
        }

    def table(self) -> Table:
        """Everything, one row for each number: its kind, name, value and unit."""
        rows = list(self._rows())
        return Table({
            "variant": [self.variant.name] * len(rows),
            "kind": [row[0] for row in rows],
            "name": [row[1] for row in rows],
            "value": [row[2] for row in rows],
            "unit": [row[3] for row in rows],
        })  # fmt: skip

    def _rows(self) -> Iterator[tuple[str, str, int, str]]:
        yield "time", "elapsed", self.priced.ns, "ns"
        yield "time", "interrupted", sum(self.priced.interrupted_ns), "ns"
        for name, number in self.priced.counts.items():
            yield "count", name, number, ""
        for name, number in self.priced.calls.items():
            yield "call", name, number, ""
        for name, number in self.priced.times.items():
            yield "time in", name, number, "ns"
        for name, number in self.priced.stalls.items():
            yield "waiting for", name, number, "ns"

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def price(
    variant: Variant | Scenario,
    workload: Workload,
    parameters: Mapping[str, int] | None = None,
    *,
    profile: Profile | str | None = None,
    seed: int = 1,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    ranges: bool = True,
) -> Cost:
    """Run a workload on a variant.

    ``options`` come before the variant's; without a ``profile`` the workload's machine has its own.
    Raises what :func:`fitting` does.
    """
    if isinstance(variant, Scenario):
        variant = variant_of(variant)
    fit = fitting(variant, workload, parameters, profile=profile, seed=seed, options=options)
    return fit.price(progress, ranges=ranges)


@dataclass(frozen=True)
class Fitting:
    """A workload and a variant that fit, compiled: what :func:`price` prices."""

    variant: Variant
    workload: Workload
    parameters: Mapping[str, int]
    options: Mapping[str, Any]
    run: Run

    def price(
        self, progress: Callable[[Progress], None] | None = None, *, ranges: bool = True
    ) -> Cost:
        """Run it."""
        run = self.run
        run.prepare()
        priced = run.run(progress)
        low = high = None
        if ranges and priced.finished and priced.steps <= RANGE_STEPS:
            both = [run.again(extreme(run.profile, sign), run.seed).run() for sign in (-1, 1)]
            if all(other.finished for other in both):
                low, high = (other.ns for other in both)
            else:  # interrupted: what was asked for is not all there
                priced = replace(priced, finished=False)
        return Cost(
            self.variant,
            self.workload,
            {**self.workload.parameters, **self.parameters},
            run.profile,
            run.seed,
            priced,
            low,
            high,
            run.plan.machine,
            self.options,
        )


def fitting(
    variant: Variant,
    workload: Workload,
    parameters: Mapping[str, int] | None = None,
    *,
    profile: Profile | str | None = None,
    prices: Mapping[str, int] | None = None,
    seed: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Fitting:
    """The run of a workload on a variant, compiled but not begun. ``prices`` come before the
    profile's.

    Raises :class:`UsageError` if the workload never runs what the variant changes, or its machine
    has nothing like it: a price would say nothing about it.
    """
    plan = workload.plan(parameters)
    for name, value in {**variant.options, **(options or {})}.items():
        if name in OF_THE_SEARCH:
            raise UsageError(
                f"{name}={value} says what a search lets happen, and changes no price: leave it out"
            )
        if str(value) != plan.machine.only.get(name, str(value)):
            raise UsageError(
                f"{variant.name} with {name}={value} is not priced: the machine of workload "
                f"{workload.name}, {plan.machine.name}, has {name}={plan.machine.only[name]} only"
            )
    if not isinstance(profile, Profile):
        profile = Profile.load(profile or plan.machine.profile)
    if prices:
        profile = profile.override(**prices)
    chosen = {**variant.options, **(options or {})}
    run = Run(plan, profile, seed, chosen, later=True)
    unused = sorted(set(chosen) - set(run.unit.used_options))
    if unused:
        raise UsageError(
            f"workload {workload.name} does not run what {variant.name} changes "
            f"({', '.join(unused)})"
        )
    return Fitting(variant, workload, parameters or {}, dict(options or {}), run)


def extreme(profile: Profile, sign: int) -> Profile:
    """The profile with every price as low (-1) or as high (1) as its uncertainty allows."""
    prices = names(profile.architecture, geometry=False)
    values = {
        name: max(1, entry.value + sign * entry.value * min(entry.uncertainty, 99) // 100)
        for name in prices
        for entry in [profile.entries[name]]
    }
    return profile.override(**values)


@dataclass(frozen=True)
class Compared:
    """One row of a comparison. ``verdict`` is the checker's within ``bounds`` (empty if it was not
    asked). ``frontier``: no variant that holds has both fewer IPIs (or what else the machine's
    second column is) and less time. A kernel that another row shows a race of does not hold.
    ``like`` is the first row before this one whose numbers are all the same."""

    cost: Cost
    verdict: str
    violates: str | None
    bounds: Mapping[str, int]
    frontier: bool
    like: Cost | None = None


def compare(costs: Sequence[Cost], verdicts: Sequence[tuple[str, str | None, Mapping[str, int]]]
            ) -> tuple[Compared, ...]:  # fmt: skip
    """Put priced variants side by side; the first is the baseline."""
    unsafe = [
        cost for cost, (verdict, _, _) in zip(costs, verdicts, strict=True) if verdict == "VIOLATED"
    ]
    holding = [
        cost
        for cost, (verdict, _, _) in zip(costs, verdicts, strict=True)
        if verdict == "HOLDS"
        and cost.priced.finished
        and not any(same_kernel(cost, other) for other in unsafe)
    ]

    def events(cost: Cost) -> int:
        return cost.summary()[cost.columns[1]]

    def best(cost: Cost) -> bool:
        mine = (events(cost), cost.priced.ns)
        return cost in holding and not any(
            (events(other), other.priced.ns) != mine
            and events(other) <= mine[0]
            and other.priced.ns <= mine[1]
            for other in holding
        )

    def like(number: int) -> Cost | None:
        mine = costs[number]
        return next((other for other in costs[:number] if _same_numbers(mine, other)), None)

    return tuple(
        Compared(cost, verdict, violates, bounds, best(cost), like(number))
        for number, (cost, (verdict, violates, bounds)) in enumerate(
            zip(costs, verdicts, strict=True)
        )
    )


def same_kernel(one: Cost, other: Cost) -> bool:
    """Whether two variants do the same: their scenarios differ in who runs what."""
    mine, theirs = (
        {name: str(value) for name, value in {**cost.variant.options, **cost.chosen}.items()}
        for cost in (one, other)
    )
    return mine == theirs


def _same_numbers(one: Cost, other: Cost) -> bool:
    mine, theirs = one.priced, other.priced
    return (
        mine.finished
        and theirs.finished
        and (mine.ns, mine.counts, mine.calls) == (theirs.ns, theirs.counts, theirs.calls)
    )


def comparison_table(rows: Sequence[Compared]) -> Table:
    """A comparison as a table: one row for each variant."""
    base = rows[0].cost.priced.ns or 1
    summaries = [row.cost.summary() for row in rows]
    counted = list(dict.fromkeys(name for summary in summaries for name in summary))
    return Table({
        "variant": [row.cost.variant.name for row in rows],
        "verdict": [row.verdict or None for row in rows],
        "violates": [row.violates for row in rows],
        **{name: [summary.get(name, 0) for summary in summaries] for name in counted},
        "elapsed_ns": [row.cost.priced.ns for row in rows],
        "low_ns": [row.cost.low_ns for row in rows],
        "high_ns": [row.cost.high_ns for row in rows],
        "relative": [row.cost.priced.ns / base for row in rows],
        "frontier": [row.frontier for row in rows],
        "finished": [row.cost.priced.finished for row in rows],
    })  # fmt: skip
