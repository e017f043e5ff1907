"""``shootdown check``: the verdict on one or more scenarios."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from shootdown.commands.options import add_choices, add_output, add_search
from shootdown.commands.streams import BROKEN_PIPE, aside
from shootdown.errors import ShootdownError, UsageError
from shootdown.interrupts import Interruptible

if TYPE_CHECKING:
    from shootdown.check.result import Engine
    from shootdown.commands.console import Console
    from shootdown.commands.targets import Target
    from shootdown.report.run import Broken, Run


class CheckCommand:
    """Searches scenarios and prints their verdicts."""

    name = "check"
    help = "check scenarios: the shortest race, or the bounds within which there is none"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "names",
            metavar="NAME | FILE.py[::SCENARIO]",
            nargs="*",
            help="a scenario of the library, or the scenarios of a model file",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="the whole library; exit code 0 only if every verdict is the expected one",
        )
        add_choices(parser)
        add_search(parser)
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Check them one after the other."""
        from shootdown.commands.console import Console
        from shootdown.commands.targets import find_all, whole_library
        from shootdown.commands.version import version
        from shootdown.report.json import check_document
        from shootdown.report.run import as_expected, exit_code, worst
        from shootdown.report.table import table_text

        if bool(arguments.names) == arguments.all:
            raise UsageError("check takes NAMEs, or FILE.py[::SCENARIO], or --all")
        console = Console(arguments)
        targets = whole_library() if arguments.all else find_all(arguments.names)
        runs: list[Run | Broken] = []
        for target in targets:
            runs.append(check_target(target, arguments))
            _report(runs[-1], arguments, console, alone=len(targets) == 1)
            if console.deserted and len(runs) < len(targets):
                return BROKEN_PIPE
            if interrupted(runs[-1]):
                break
        code = worst([exit_code(run) for run in runs])
        if arguments.all:
            good = len(runs) == len(targets) and all(map(as_expected, runs))
            code = 0 if good else 1
        if len(targets) > 1 or arguments.all:
            console.say(table_text(runs, len(targets)))
        console.write(check_document(runs, code, version()) if console.json else {})
        return code


def check_target(target: Target, arguments: argparse.Namespace) -> Run | Broken:
    """One search; an error of the model or the limits is a result too."""
    from shootdown.check.deadline import time_limit
    from shootdown.check.progress import with_progress
    from shootdown.check.result import Limits
    from shootdown.check.tokens import encode_token
    from shootdown.check.trace import trace_violation
    from shootdown.check.witness import concrete_trace
    from shootdown.commands.console import ProgressLine, told
    from shootdown.commands.targets import compiled, subject_of, witness_system
    from shootdown.lang.loader import user_code
    from shootdown.report.run import Broken, Run

    began = time.perf_counter()

    def left() -> float | None:
        most: float | None = arguments.max_time
        return None if most is None else max(0.0, most - (time.perf_counter() - began))

    progress = ProgressLine(target.scenario.name, arguments.quiet)
    try:
        with time_limit(arguments.max_time, _too_late(target, arguments.max_time)):
            built = compiled(target, arguments)
        limits = Limits(arguments.max_states, arguments.max_memory, left())
        try:
            explore = _engine(arguments.engine)
            with Interruptible():
                result = with_progress(explore(built.system, limits, progress), left())
        finally:
            progress.clear()
        if result.violation is None:
            return Run(built.subject, result)
        with user_code(target.path or target.scenario.location.file, "showing a value"):
            trace = trace_violation(built.system, result.violation)
            concrete = witness_system(built)
            if concrete is not None:
                trace = concrete_trace(trace, concrete) or trace
        return Run(built.subject, result, trace, encode_token(trace.system, trace.numbers))
    except ShootdownError as error:
        return Broken(subject_of(target, arguments), told(error), error.exit_code)


def interrupted(run: Run | Broken | None) -> bool:
    """Whether Ctrl-C ended a search."""
    return getattr(getattr(run, "result", None), "stopped", None) == "interrupt"


def _too_late(target: Target, seconds: float | None) -> str:
    """What to say when ``--max-time`` is over before the search has begun."""
    return (
        f"{target.text}: the time limit of {seconds or 0:g} s was reached while the model "
        "was compiled; nothing was searched: use smaller bounds, or more time"
    )


def _engine(name: str) -> Engine:
    if name == "reference":
        from shootdown.check.reference import explore

        return explore
    from shootdown.check.native import explore as native

    return native


def _report(
    run: Run | Broken, arguments: argparse.Namespace, console: Console, *, alone: bool
) -> None:
    from shootdown.report.run import Broken, as_expected
    from shootdown.report.verdict import headline, verdict_text

    if isinstance(run, Broken):
        aside(run.error)
    elif arguments.quiet:
        if alone:
            console.say(headline(run))
    elif not (arguments.all and as_expected(run)):
        console.say(verdict_text(run) + ("" if alone else "\n"))
