"""What the reductions save on the safe scenarios of S0, S2a and LUF, as a table in Markdown.

    python benchmarks/reductions.py > reductions.md

Each scenario is taken with 3 CPUs and 2 pages, as far as it has these bounds. The first column is
the model without any reduction: the explicit TLB, virtual CPUs that are preempted at any time
(``preemption=explicit``), every interleaving; the second has neither of the two. A search that
needs more than the states of ``--most`` is stopped, and what follows from it is a bound.
"""

from __future__ import annotations

import argparse
import sys

from shootdown.check import native
from shootdown.check.reduce import NAMES, reductions
from shootdown.check.result import Limits, Result, Verdict
from shootdown.lang.ir import System
from shootdown.lang.scenario import Scenario
from shootdown.races import library

SYSTEMS = ("S0.", "S2a.", "LUF.")
BOUNDS = {"cpus": 3, "pages": 2}
HEADS = ("scenario", "explicit TLB", "may-set", *NAMES, "together")
GIB = 1 << 30


def main(arguments: list[str]) -> int:
    """Print the table; 1 if two searches of a scenario disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=20_000_000, help="states of one search")
    parser.add_argument("--only", default="", help="the scenarios whose names begin so")
    chosen = parser.parse_args(arguments)
    print("|", " | ".join(HEADS), "|")
    print("|---" * len(HEADS) + "|")
    wrong = 0
    for scenario in library():
        named = scenario.name.startswith(SYSTEMS) and scenario.name.startswith(chosen.only)
        if named and scenario.expect == Verdict.HOLDS.value:
            wrong += not row(scenario, chosen.most)
    return int(wrong > 0)


def row(scenario: Scenario, most: int) -> bool:
    """Print the line of a scenario; whether all searches agree."""
    bounds = {name: size for name, size in BOUNDS.items() if name in scenario.bounds}
    system, limits = scenario.compile(bounds), Limits(states=most, memory=6 * GIB)
    witness = scenario.setup(bounds).hardware.witness
    found: list[Result | None] = (
        [explored(scenario.compile(bounds, witness), (), limits)] if (witness) else [None]
    )
    found.append(explored(system, (), limits))
    found += [explored(system, NAMES[: number + 1], limits) for number in range(len(NAMES))]
    results = [result for result in found if result is not None]
    cells = ["-" if result is None else count(result) for result in found]
    print(
        "|", " | ".join([scenario.name, *cells, factor(results[0], results[-1])]), "|", flush=True
    )
    verdicts = {result.verdict for result in results} - {Verdict.UNKNOWN}
    if len(verdicts) > 1:
        print(f"{scenario.name}: {verdicts}", file=sys.stderr)
    return len(verdicts) <= 1


def explored(system: System, names: tuple[str, ...], limits: Limits) -> Result:
    """One search."""
    return native.explore(system, limits, reduce=reductions(system, names))


def count(result: Result) -> str:
    """The states of a search."""
    return f"{'>' if result.stopped else ''}{result.states:,}"


def factor(most: Result, fewest: Result) -> str:
    """How many times fewer states; a bound where the larger search was stopped."""
    if fewest.stopped:
        return "?"
    times = most.states / fewest.states
    return f"{'>' if most.stopped else ''}{times:,.0f}x" if times >= 10 else f"{times:.1f}x"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
