"""``shootdown check --factors``: what each reduction saves."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from shootdown.errors import UnfinishedError, UsageError
from shootdown.interrupts import Interruptible

if TYPE_CHECKING:
    from shootdown.check.reduce.reduction import Reduction
    from shootdown.check.result import Result
    from shootdown.commands.console import Console
    from shootdown.commands.targets import Target
    from shootdown.lang.ir import System
    from shootdown.report.factors import Rung

MOST = 20_000_000
"""States of each search, where the user gives no limit: what is left out may be much."""


def print_factors(arguments: argparse.Namespace, console: Console) -> int:
    """Measure and print them; the exit code is that of the verdicts, which all searches share."""
    from shootdown.commands.targets import find_all
    from shootdown.report.factors import factors_text
    from shootdown.report.run import UNFINISHED, worst

    given = {
        "--all": arguments.all,
        "--json": arguments.json,
        "--json-events": arguments.json_events,
        "--reduce": arguments.reduce is not None,
        "--lanes": arguments.lanes != "off",
        "--threads": arguments.threads > 1,
        "--compact": arguments.compact,
        "--all-invariants": arguments.all_invariants,
        "--checkpoint": arguments.checkpoint,
        "--resume": arguments.resume,
    }
    others = [name for name, value in given.items() if value]
    if others:
        raise UsageError(f"--factors searches in its own ways: leave out {', '.join(others)}")
    codes = []
    targets = find_all(arguments.names)
    arguments = argparse.Namespace(**vars(arguments), several=len(targets) > 1)
    for target in targets:
        rungs = _ladder(target, arguments)
        console.say(factors_text(target.scenario, rungs))
        codes.append(rungs[-1].code)
        codes += [UNFINISHED for rung in rungs if rung.result.stopped]
        if rungs[-1].result.stopped == "interrupt":
            break
    return worst(codes)


def not_searched(like: Result, stopped: str, seconds: float) -> Result:
    """The result where the analysis took all the time, or Ctrl-C ended it."""
    from shootdown.check.result import Verdict

    return replace(
        like,
        verdict=Verdict.UNKNOWN,
        violation=None,
        stopped=stopped,
        states=0,
        expanded=0,
        transitions=0,
        depth=0,
        frontier=0,
        seconds=seconds,
    )


def _ladder(target: Target, arguments: argparse.Namespace) -> list[Rung]:
    """The searches, from the most states to the fewest; the time limit is one for each search with
    the analysis before it."""
    from shootdown.check.deadline import time_limit
    from shootdown.check.reduce import NAMES, NONE
    from shootdown.check.reduce.auto import chosen, time_left
    from shootdown.check.result import Limits
    from shootdown.commands.console import ProgressLine
    from shootdown.commands.search import engine_named, too_late
    from shootdown.commands.targets import (
        compiled,
        import_for,
        witness_options,
        witness_system,
    )
    from shootdown.report.factors import Rung

    import_for(target, arguments)
    with time_limit(arguments.max_time, too_late(target, arguments.max_time)):
        built = compiled(target, arguments)
        concrete, system = witness_system(built), built.system
    explore = engine_named(arguments.engine)
    most = arguments.max_states
    if most is None and arguments.max_memory is None and arguments.max_time is None:
        most = MOST
    limits = Limits(most, arguments.max_memory, arguments.max_time)
    rungs: list[Rung] = []
    first = time.perf_counter()

    def line(name: str) -> ProgressLine:
        return ProgressLine(f"{target.scenario.name} ({name})", arguments.quiet)

    def add(name: str, system: System, reduce: Reduction = NONE, limits: Limits = limits) -> bool:
        """Whether to go on: Ctrl-C ends them all."""
        with line(name) as show:
            rungs.append(Rung(name, explore(system, limits, show, reduce=reduce)))
        return rungs[-1].result.stopped != "interrupt"

    with Interruptible():
        if concrete is not None:
            name = ", ".join(f"{k}={v}" for k, v in witness_options(built).items())
            if not add(name, concrete):
                return rungs
        if not add("as it is", system):
            return rungs
        for number, name in enumerate(NAMES, 1):
            began, stopped = time.perf_counter(), None
            try:
                with (
                    line(f"and {name}") as show,
                    time_limit(limits.time, "analysing what reductions can leave out"),
                ):
                    show.begin("analysing what can be left out", began - first)
                    reduce = chosen(system, NAMES[:number])
            except UnfinishedError:
                stopped = "time"
            except KeyboardInterrupt:
                stopped = "interrupt"
            if stopped is not None:
                seconds = time.perf_counter() - began
                rungs.append(Rung(f"and {name}", not_searched(rungs[-1].result, stopped, seconds)))
                break
            if name in reduce.names and not add(
                f"and {name}", system, reduce, time_left(limits, began)
            ):
                break
    return rungs
