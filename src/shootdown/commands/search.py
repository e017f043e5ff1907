"""One search, from a target on the command line to what is known of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shootdown.errors import ShootdownError, UsageError
from shootdown.interrupts import Interruptible

if TYPE_CHECKING:
    from shootdown.check.result import Engine, Progress
    from shootdown.commands.targets import Target
    from shootdown.report.run import Broken, Run


def check_target(
    target: Target,
    arguments: argparse.Namespace,
    show: Callable[[Progress], None],
    told: Callable[[Run], bool] = lambda _: True,
) -> Run | Broken:
    """One search; an error of the model or the limits is a result too.

    ``told`` says whether the run's race will be looked at: only then it has a trace and a token.
    """
    from shootdown.check.deadline import time_limit
    from shootdown.check.progress import with_progress
    from shootdown.check.result import Limits
    from shootdown.check.tokens import encode_token
    from shootdown.check.trace import trace_violation
    from shootdown.check.witness import concrete_trace
    from shootdown.commands.console import error_text
    from shootdown.commands.targets import compiled, subject_of, witness_system
    from shootdown.lang.loader import user_code
    from shootdown.report.run import Broken, Run

    began = time.perf_counter()

    def left() -> float | None:
        most: float | None = arguments.max_time
        return None if most is None else max(0.0, most - (time.perf_counter() - began))

    try:
        with time_limit(arguments.max_time, _too_late(target, arguments.max_time)):
            built = compiled(target, arguments)
        limits = Limits(arguments.max_states, arguments.max_memory, left())
        explore = _engine(arguments.engine, arguments.lanes)
        with Interruptible():
            result = with_progress(explore(built.system, limits, show), left())
        if result.violation is None or not told(Run(built.subject, result)):
            return Run(built.subject, result)
        with user_code(target.path or target.scenario.location.file, "showing a value"):
            trace = trace_violation(built.system, result.violation)
            concrete = witness_system(built)
            if concrete is not None:
                trace = concrete_trace(trace, concrete) or trace
        return Run(built.subject, result, trace, encode_token(trace.system, trace.numbers))
    except ShootdownError as error:
        return Broken(subject_of(target, arguments), error_text(error), error.exit_code)
    except MemoryError:
        said = f"shootdown: {target.text}: out of memory; use smaller bounds"
        return Broken(subject_of(target, arguments), said, 3)


def interrupted(run: Run | Broken | None) -> bool:
    """Whether Ctrl-C ended a search."""
    return getattr(getattr(run, "result", None), "stopped", None) == "interrupt"


def _too_late(target: Target, seconds: float | None) -> str:
    """What to say when ``--max-time`` is over before the search has begun."""
    return (
        f"{target.text}: the time limit of {seconds or 0:g} s was reached while the model "
        "was compiled; nothing was searched: use smaller bounds, or more time"
    )


def _engine(name: str, lanes: str) -> Engine:
    if name == "reference":
        if lanes == "on":
            raise UsageError("--lanes on: only the native engine has lanes; leave out --engine")
        from shootdown.check.reference import explore

        return explore
    if lanes == "off":
        from shootdown.check.native import explore as native

        return native
    from shootdown.check.native import lanes as many

    return many.explore if lanes == "on" else many.explore_auto
