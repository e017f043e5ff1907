"""What the reports are about: one scenario that was checked, or could not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shootdown.check.result import Result, Verdict, ViolationKind

if TYPE_CHECKING:
    from shootdown.check.trace import Trace
    from shootdown.lang.ir import System

HOLDS, VIOLATED, MODEL_ERROR, UNFINISHED = 0, 1, 2, 3  # exit codes
SEVERITY = (HOLDS, UNFINISHED, VIOLATED, MODEL_ERROR)  # of several, the last one counts


@dataclass(frozen=True, slots=True)
class Subject:
    """A scenario with the choices that were made for a run.

    ``target`` is how the user names it on a command line. ``changed`` says that bounds, hardware or
    a left-out site differ from the scenario's own, so that its expected verdict need not apply.
    ``arguments`` are the options that make the same choices again.
    """

    target: str
    name: str
    title: str
    expect: str
    violates: str | None = None
    hardware: str = "none"
    options: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A finished check: ``trace`` and ``token`` are there where the result has a violation.

    ``cut``: why showing the race ended early: ``time`` (the limit), or ``interrupt``. Then the
    trace has no steps and there is no token: only the race's end is known; or, where there are
    steps, those of the hardware may be missing that a concrete one takes (see ``check.witness``),
    which is another race, with another token.

    ``others`` are the searches for what else can be broken, if they were asked for: each has a
    violation, but for the last one if it stopped at a limit.
    """

    subject: Subject
    result: Result
    trace: Trace | None = None
    token: str | None = None
    others: tuple[Run, ...] = ()
    cut: str | None = None

    @property
    def untold(self) -> bool:
        """Whether there was no time for the steps of the race."""
        return self.trace is not None and not self.trace.steps and self.token is None

    @property
    def system(self) -> System:
        """What was checked."""
        return self.result.system


@dataclass(frozen=True, slots=True)
class Broken:
    """A scenario that could not be checked: ``error`` is the message for the user."""

    subject: Subject
    error: str
    exit_code: int


def verdict_name(run: Run | Broken) -> str:
    """The verdict as it is printed: one of the four, or ``MODEL ERROR`` or ``ERROR``."""
    if isinstance(run, Broken):
        return "ERROR"
    violation = run.result.violation
    if violation is not None and violation.kind is ViolationKind.MODEL_ERROR:
        return "MODEL ERROR"
    return run.result.verdict.value


def as_expected(run: Run | Broken) -> bool:
    """Whether the verdict, and the invariant that it names, are the scenario's expected ones."""
    if isinstance(run, Broken) or verdict_name(run) != run.subject.expect:
        return False
    violation = run.result.violation
    return run.subject.violates is None or (
        violation is not None and violation.name == run.subject.violates
    )


def exit_code(run: Run | Broken) -> int:
    """0 holds, 1 violated, 2 model error, 3 unfinished or vacuous."""
    if isinstance(run, Broken):
        return run.exit_code
    return code_of_result(run.result)


def code_of_result(result: Result) -> int:
    """The same for a search."""
    violation = result.violation
    if violation is not None and violation.kind is ViolationKind.MODEL_ERROR:
        return MODEL_ERROR
    return {
        Verdict.HOLDS: HOLDS,
        Verdict.VIOLATED: VIOLATED,
        Verdict.UNKNOWN: UNFINISHED,
        Verdict.VACUOUS: UNFINISHED,
    }[result.verdict]


def code_of(trace: Trace) -> int:
    """The exit code of a replayed race."""
    return MODEL_ERROR if trace.ending.kind is ViolationKind.MODEL_ERROR else VIOLATED


def worst(codes: list[int]) -> int:
    """The exit code of several runs: an error, else a violation, else an unfinished one."""
    return max(codes, key=SEVERITY.index, default=HOLDS)


def expected_text(subject: Subject) -> str:
    """``HOLDS`` or ``VIOLATED INV-RET``."""
    return f"{subject.expect} {subject.violates}" if subject.violates else subject.expect
