"""One search, from a target on the command line to what is known of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from shootdown.errors import ShootdownError, UnfinishedError, UsageError
from shootdown.interrupts import Interruptible

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper
    from shootdown.check.omission import Fingerprints
    from shootdown.check.reduce import Reduction
    from shootdown.check.result import Engine, Limits, Progress, Result
    from shootdown.check.trace import Trace
    from shootdown.commands.targets import Compiled, Target
    from shootdown.lang.ir import System
    from shootdown.report.run import Broken, Run


def check_target(
    target: Target,
    arguments: argparse.Namespace,
    show: Callable[[Progress], None],
    told: Callable[[Run], bool] = lambda _: True,
    kept: Callable[[Compiled], Keeper | None] = lambda _: None,
    on_reduced: Callable[[Result, Reduction], None] = lambda _first, _reduce: None,
) -> Run | Broken:
    """One search; an error of the model or the limits is a result too.

    ``told`` says whether the run's race will be looked at: only then it has a trace and a token.
    ``kept`` gives what keeps the search for another time. ``on_reduced`` is told when it begins
    again with reductions.
    """
    from shootdown.check.deadline import TO_SHOW, time_limit
    from shootdown.check.progress import with_progress
    from shootdown.check.result import Limits
    from shootdown.commands.console import error_text
    from shootdown.commands.targets import compiled, import_for, subject_of, witness_system
    from shootdown.lang.loader import user_code
    from shootdown.report.run import Broken, Run

    began = time.perf_counter()

    def left() -> float | None:
        most: float | None = arguments.max_time
        return None if most is None else max(0.0, most - (time.perf_counter() - began))

    try:
        import_for(target, arguments)
        with time_limit(arguments.max_time, too_late(target, arguments.max_time)):
            built = compiled(target, arguments)
        limits = Limits(arguments.max_states, arguments.max_memory, left())
        keeper = kept(built)
        with Interruptible():
            digest = built.digest
            found = _searched(built.system, arguments, limits, show, keeper, on_reduced, digest)
            result = with_progress(found, left())
            others: tuple[Result, ...] = ()
            if getattr(arguments, "all_invariants", False):
                others = tuple(_others(result, arguments, limits, left, show))
        if result.violation is None or not told(Run(built.subject, result)):
            cut = None if result.violation is None else result.violation.cut
            return Run(built.subject, result, cut=cut)
        from shootdown.check.tokens import encode_token
        from shootdown.check.trace import untold
        from shootdown.check.witness import concrete_trace

        with user_code(target.path or target.scenario.location.file, "showing a value"):

            def shown(result: Result, *, ended: bool = False) -> Run:
                if result.violation is None:
                    return Run(built.subject, result)
                trace, token = untold(built.system, result.violation), None
                cut = result.violation.cut or ("interrupt" if ended else None)
                if cut is not None:
                    return Run(built.subject, result, trace, token, cut=cut)
                rest, whole = left(), False
                most = None if rest is None else max(rest, TO_SHOW)
                try:  # what there is when it ends early is shown
                    with Interruptible(), time_limit(most, "telling a race"):
                        told, real = _traced(built.system, result)
                        number = encode_token(told.system, told.numbers) if real else None
                        trace, token = told, number
                        concrete = witness_system(built) if real else None
                        if concrete is not None:
                            told = concrete_trace(told, concrete) or told
                            number = encode_token(told.system, told.numbers)
                        trace, token, whole = told, number, True
                except UnfinishedError:
                    cut = None if whole else "time"
                except KeyboardInterrupt:
                    cut = None if whole else "interrupt"
                return Run(built.subject, result, trace, token, cut=cut)

            runs = [shown(result)]
            for other in others:
                runs.append(shown(other, ended=any(map(interrupted, runs))))
            return replace(runs[0], others=tuple(runs[1:]))
    except ShootdownError as error:
        return Broken(subject_of(target, arguments), error_text(error), error.exit_code)
    except MemoryError:
        said = f"shootdown: {target.text}: out of memory; use smaller bounds"
        return Broken(subject_of(target, arguments), said, 3)


def interrupted(run: Run | Broken | None) -> bool:
    """Whether Ctrl-C ended a search, or the showing of what it found."""
    from shootdown.report.run import Run

    return isinstance(run, Run) and (
        "interrupt" in (run.result.stopped, run.cut) or any(map(interrupted, run.others))
    )


def too_late(target: Target, seconds: float | None) -> str:
    """What to say when ``--max-time`` is over before the search has begun."""
    return (
        f"{target.text}: the time limit of {seconds or 0:g} s was reached while the model "
        "was compiled; nothing was searched: use smaller bounds, or more time"
    )


def _searched(
    system: System,
    arguments: argparse.Namespace,
    limits: Limits,
    show: Callable[[Progress], None],
    keeper: Keeper | None,
    on_reduced: Callable[[Result, Reduction], None] = lambda _first, _reduce: None,
    digest: str = "",
) -> Result:
    from shootdown.check.reduce.auto import explore_auto, explore_chosen
    from shootdown.commands.compact import fingerprints

    threads = _threads(arguments)
    if arguments.lanes != "off":
        return _many(arguments)(system, limits, show, keeper)
    explore = engine_named(arguments.engine, keeper, threads, fingerprints(arguments), digest)
    if arguments.reduce is None:
        return explore_auto(explore, system, limits, show, keeper, on_reduced)
    return explore_chosen(explore, system, limits, show, arguments.reduce)


def _traced(system: System, result: Result) -> tuple[Trace, bool]:
    """The steps of a race, and whether they are steps of ``system`` too: a race that goes on after
    a failed assertion (see ``check.without``) is not."""
    from shootdown.check.outcomes import outcomes
    from shootdown.check.trace import trace_violation

    violation = result.violation
    assert violation is not None
    if result.system is system:
        return trace_violation(system, violation), True
    searched = replace(result.system, invariants=system.invariants)
    with suppress(RuntimeError):  # a step of the path is none of the system
        renumbered = violation
        if violation.failing_outcome is not None:
            found = outcomes(system, violation.path[-1])
            numbers = [o.number for o in found if o.failure == violation.index]
            renumbered = replace(violation, failing_outcome=next(iter(numbers), -1))
        return trace_violation(system, renumbered), True
    return trace_violation(searched, violation), False


def _others(
    first: Result,
    arguments: argparse.Namespace,
    limits: Limits,
    left: Callable[[], float | None],
    show: Callable[[Progress], None],
) -> Iterator[Result]:
    """Searches after the first, each without the invariants that the ones before found broken: up
    to one that ends in anything else. So each finds a race that is the shortest of its invariant.
    """
    from shootdown.check.result import Verdict
    from shootdown.check.without import WAIVABLE, without

    system, result = first.system, first
    rest = system
    while result.violation is not None and result.violation.kind in WAIVABLE:
        if result.violation.cut == "interrupt":
            yield replace(result, verdict=Verdict.UNKNOWN, violation=None, stopped="interrupt")
            break
        rest = without(rest, result.violation)
        try:
            result = _searched(rest, arguments, replace(limits, time=left()), show, None)
        except UnfinishedError:  # what was found before stays
            result = replace(result, verdict=Verdict.UNKNOWN, violation=None, stopped="time")
        found = result.violation
        if found is not None and found.kind is WAIVABLE[0]:
            index = [prop.name for prop in system.invariants].index(found.name)
            found = replace(found, index=index)
        if found is not None or result.stopped:
            yield replace(result, system=rest, violation=found)


def engine_named(
    name: str,
    keeper: Keeper | None = None,
    threads: int = 1,
    compact: Fingerprints | None = None,
    digest: str = "",
) -> Engine:
    """The search of an engine; ``compact``: what the native one keeps instead of states. It keeps
    the start of its search under the system's ``digest``."""
    if name == "reference":
        from shootdown.check.reference import explore

        return explore
    from shootdown.check.native import explore as native

    if keeper is None and threads == 1 and compact is None and not digest:
        return native
    return partial(native, keeper=keeper, threads=threads, compact=compact, digest=digest)


def _threads(arguments: argparse.Namespace) -> int:
    """How many threads do a search."""
    threads: int = getattr(arguments, "threads", 1)
    if threads > 1:
        if arguments.engine != "native":
            raise UsageError("--threads: only the native engine has threads; leave out --engine")
        if arguments.lanes != "off":
            raise UsageError("--threads: a search with lanes has one; leave out --lanes, or this")
        if getattr(arguments, "compact", False):
            raise UsageError("--threads: a search with --compact has one; leave out one of them")
    return threads


def _many(
    arguments: argparse.Namespace,
) -> Callable[[System, Limits, Callable[[Progress], None], Keeper | None], Result]:
    """The search of many states at once, as ``--lanes`` asks for it."""
    from shootdown.check.native import lanes

    if arguments.engine != "native":
        raise UsageError("--lanes: only the native engine has lanes; leave out --engine")
    if arguments.reduce:
        raise UsageError("--lanes: a reduced search has none; leave out --reduce")
    if arguments.lanes == "auto":
        return lanes.explore_auto
    return _as_auto if getattr(arguments, "ordinary_race", False) else lanes.explore


def _as_auto(
    system: System, limits: Limits, show: Callable[[Progress], None], keeper: Keeper | None
) -> Result:
    """A search with lanes that goes on where ``--lanes auto`` is asked for."""
    from shootdown.check.native import lanes
    from shootdown.check.reduce.auto import time_left

    began = time.perf_counter()
    found = lanes.explore(system, limits, show, keeper)
    return lanes.with_ordinary_race(found, time_left(limits, began), show)
