"""Asking a test: from its file to all that a report needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from shootdown.check.result import Limits, Result
from shootdown.errors import ShootdownError
from shootdown.litmus.compare import Agreement, Comparison, compare, unordered
from shootdown.litmus.condition import FinalState, Outcome, counts, holds, judge, show_state
from shootdown.litmus.errors import LitmusError, LitmusSyntaxError, Unsupported
from shootdown.litmus.expected import Answer as Theirs
from shootdown.litmus.expected import ExpectedTest
from shootdown.litmus.history import Event, history
from shootdown.litmus.machine import Answer, run
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.parse import parse_file
from shootdown.litmus.propositions import Quantifier


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine to ask: with FEAT_ETS2 or without. ``strawman`` is a mistake that it has, one of
    the choices of :data:`shootdown.hardware.tlbi.STRAWMAN`."""

    ets2: bool
    strawman: str = "none"

    @property
    def name(self) -> str:
        """As ``--ets`` has it."""
        return "ets2" if self.ets2 else "none"


@dataclass(frozen=True, slots=True)
class Question:
    """A test and a machine; ``expected`` is what other people say about it, ``suite`` where the
    test belongs."""

    path: Path
    machine: Machine
    expected: ExpectedTest | None = None
    suite: str = ""

    @property
    def theirs(self) -> Theirs | None:
        """The expected answer."""
        if self.expected is None:
            return None
        return self.expected.ets2 if self.machine.ets2 else self.expected.no_ets


@dataclass(frozen=True, slots=True)
class Witness:
    """A final state with a shortest way to it. ``satisfies``: the proposition is true of it."""

    state: str
    satisfies: bool
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question. Without ``test`` it could not be read, without ``outcome`` not be
    run: then ``error`` is the message for the user.

    ``states`` are the final states that the filter admits, as they are printed, each once;
    ``outcome`` counts these. ``unordered`` is a pair of accesses that Arm may reorder and this
    machine does not, if some state may be missing for that reason. ``empty`` says why there is no
    final state, if there is none. ``exit_code``: 0, 1 if the condition is false of all or some
    states though it speaks of all, 2 malformed, 3 not modelled, unfinished or without final state.
    """

    question: Question
    test: LitmusTest | None = None
    states: tuple[str, ...] = ()
    outcome: Outcome | None = None
    result: Result | None = None
    witness: Witness | None = None
    comparison: Comparison | None = None
    unordered: str | None = None
    empty: str | None = None
    error: str | None = None
    exit_code: int = 0

    @property
    def name(self) -> str:
        """The name of the test, or its file's."""
        return self.question.path.stem if self.test is None else self.test.name

    @property
    def stopped(self) -> str | None:
        """Why the search is not finished."""
        return None if self.result is None else self.result.stopped


def ask(question: Question, limits: Limits, *, show: bool = False) -> Asked:
    """Read a test, run it and compare the answer. Errors of the test become part of the result."""
    test = None
    try:
        test = parse_file(question.path)
        _check_same(test, question)
        _check_names(test)
        answer = run(test, question.machine.ets2, limits, question.machine.strawman)
        _check_run(test, answer)
    except ShootdownError as error:
        agreement = Agreement.UNSUPPORTED if error.exit_code == 3 else Agreement.MALFORMED
        named = isinstance(error, LitmusError) and error.file is not None
        told = str(error) if named else f"{question.path}: {error}"
        comparison = None if question.expected is None else Comparison(agreement, (told,))
        return Asked(question, test, error=told, comparison=comparison, exit_code=error.exit_code)
    return _judged(question, test, answer, show=show)


def _check_same(test: LitmusTest, question: Question) -> None:
    expected = question.expected
    if expected is not None and expected.name != test.name:
        message = f"the test is called {test.name!r}, the expected one {expected.name!r}"
        raise LitmusSyntaxError(message, file=test.file)
    if expected is not None and expected.quantifier is not test.condition.quantifier:
        message = (
            f"the condition begins with {test.condition.quantifier.value}, "
            f"the expected one with {expected.quantifier.value}"
        )
        raise LitmusSyntaxError(message, file=test.file)


def _check_names(test: LitmusTest) -> None:
    """As in herdtools7, the condition is about what the initial state mentions."""
    strange = test.undeclared()
    if strange:
        message = f"the condition asks for {strange[0]}, which the initial state does not mention"
        raise LitmusSyntaxError(message, file=test.file)


def _check_run(test: LitmusTest, answer: Answer) -> None:
    violation = answer.result.violation
    if violation is not None:
        failure = answer.result.system.failures[violation.index]
        raise Unsupported(failure.message, file=test.file)


def _judged(question: Question, test: LitmusTest, answer: Answer, *, show: bool) -> Asked:
    found: dict[str, int] = {}
    for index, state in enumerate(answer.states):
        if counts(test, state):
            found.setdefault(show_state(test, state).strip(), index)
    states = tuple(sorted(found))
    chosen = [answer.states[found[state]] for state in states]
    outcome = judge(test, chosen)
    asked = Asked(question, test, states, outcome, answer.result)
    if not states and answer.result.stopped is None:
        asked = replace(asked, empty=_no_state(len(answer.states)))
    if outcome.observation != "Sometimes" and answer.result.stopped is None:
        asked = replace(asked, unordered=next(unordered(answer.loader.tables), None))
    theirs, expected = question.theirs, question.expected
    if theirs is not None and expected is not None:
        comparison = compare(
            theirs,
            expected.needs_weak_memory,
            test.condition.quantifier,
            outcome,
            states,
            answer.loader.tables,
            complete=answer.result.stopped is None,
        )
        asked = replace(asked, comparison=comparison)
    wanted = _wanted(asked, found, answer)
    if show and wanted is not None:
        state = answer.states[wanted]
        good = holds(test, test.condition.proposition, state)
        witness = Witness(show_state(test, state).strip(), good, history(answer, wanted))
        asked = replace(asked, witness=witness)
    return replace(asked, exit_code=_exit_code(asked))


def _no_state(filtered: int) -> str:
    """Why there is no final state that counts."""
    if filtered:
        what = "the only final state" if filtered == 1 else f"any of the {filtered} final states"
        return f"no final state: the filter does not admit {what}"
    return "no final state: no execution comes to an end"


def _wanted(asked: Asked, found: dict[str, int], answer: Answer) -> int | None:
    """The final state to show: one that only we reach, else the nearest one that decides the
    condition."""
    test = asked.test
    assert test is not None
    if asked.comparison is not None and asked.comparison.only_ours:
        return min(found[state] for state in asked.comparison.only_ours)
    good = test.condition.quantifier is not Quantifier.FORALL

    def decides(state: FinalState) -> bool:
        return holds(test, test.condition.proposition, state) is good

    return min((i for i in found.values() if decides(answer.states[i])), default=None)


def _exit_code(asked: Asked) -> int:
    assert asked.outcome is not None
    assert asked.test is not None
    if asked.comparison is not None:
        return 1 if asked.comparison.agreement is Agreement.DISAGREE else 0
    claim = asked.test.condition.quantifier is not Quantifier.EXISTS
    if claim and not asked.outcome.ok and asked.outcome.positive + asked.outcome.negative:
        return 1
    return 3 if asked.stopped is not None or asked.empty is not None else 0
