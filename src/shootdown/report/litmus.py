"""Litmus tests in text: each as herdtools7 prints it, its history, and the tables at the end."""

from __future__ import annotations

from collections.abc import Sequence

from shootdown.litmus.compare import Agreement
from shootdown.litmus.condition import Outcome
from shootdown.litmus.propositions import Quantifier
from shootdown.litmus.runs import Asked, Witness
from shootdown.report.diagram import laid_out
from shootdown.report.entries import Entry
from shootdown.report.table import aligned
from shootdown.report.text import ascii_text, count, paragraph

KINDS = {
    Quantifier.EXISTS: "Allowed",
    Quantifier.NOT_EXISTS: "Forbidden",
    Quantifier.FORALL: "Required",
}
MACHINES = {True: "ETS2", False: "no ETS2"}
NAMED = (
    Agreement.DISAGREE,
    Agreement.NOT_REACHABLE,
    Agreement.EMPTY,
    Agreement.UNSUPPORTED,
    Agreement.MALFORMED,
    Agreement.UNFINISHED,
)


def test_text(asked: Asked, *, show: bool) -> str:
    """The lines that herdtools7 prints; with ``show`` a shortest history."""
    test, outcome, result = asked.test, asked.outcome, asked.result
    assert test is not None
    assert outcome is not None
    assert result is not None
    lines = [
        f"Test {test.name} {KINDS[test.condition.quantifier]}",
        f"States {len(asked.states)}",
        *(state for state in asked.states if state),
        _truth(asked, outcome),
        "Witnesses",
        f"Positive: {outcome.positive} Negative: {outcome.negative}",
        f"Condition {test.condition}",
        observation(asked),
        f"Time {test.name} {result.seconds:.2f}",
    ]
    if asked.stopped is not None:
        lines.append(unfinished(asked))
    if asked.empty is not None:
        lines.append(f"Note: {asked.empty}, so whatever is said of all of them is true")
    if asked.unordered is not None:
        lines.append(
            f"Note: memory is sequentially consistent here; Arm may reorder {asked.unordered}, "
            "and then reach more"
        )
    if show:
        lines += ["", history_text(asked)]
    return "\n".join(map(printable, lines))


def _truth(asked: Asked, outcome: Outcome) -> str:
    """Whether the condition is true; after an unfinished search only where it is decided."""
    forall = asked.test is not None and asked.test.condition.quantifier is Quantifier.FORALL
    decided = outcome.negative if forall else outcome.positive
    if asked.stopped is not None and not decided:
        return "Unknown"
    return "Ok" if outcome.ok else "No"


def observation(asked: Asked) -> str:
    """``Observation NAME Never 0 4``: final states that satisfy the proposition, and others."""
    outcome = asked.outcome
    if outcome is None:
        return f"Observation {asked.name} none"
    said = outcome.observation if asked.stopped is None else "Unknown"
    return f"Observation {asked.name} {said} {outcome.positive} {outcome.negative}"


def unfinished(asked: Asked) -> str:
    """Why there may be more final states."""
    assert asked.result is not None
    why = {"interrupt": "it was interrupted"}.get(
        asked.stopped or "", f"the limit on {asked.stopped} was reached"
    )
    return f"Unfinished: {why} after {count(asked.result.states, 'state')}; there may be more"


def history_text(asked: Asked) -> str:
    """A shortest history of the final state that decides, or that there is none."""
    test, witness = asked.test, asked.witness
    assert test is not None
    if witness is None:
        word = "violates" if test.condition.quantifier is Quantifier.FORALL else "satisfies"
        return f"no final state {word} the proposition"
    word = "satisfies" if witness.satisfies else "does not satisfy"
    final = printable(witness.state) or "(it shows nothing)"
    return (
        f"shortest history of a final state that {word} the proposition:\n\n"
        f"{columns(witness)}\n\n{paragraph(f'final state: {final}', hanging=4)}"
    )


def columns(witness: Witness) -> str:
    """A column for each processor; steps of the hardware in angle brackets."""
    lines = [
        Entry(
            event.step,
            f"P{event.processor}",
            0,
            ascii_text(f"<{event.text}>" if event.hardware else event.text),
            "old translation" if event.old else "",
        )
        for event in witness.events
    ]
    order = sorted({line.column for line in lines}, key=lambda name: int(name[1:]))
    return laid_out(lines, order)


def printable(text: str) -> str:
    """ASCII, for names of tests may be anything; line ends stay."""
    return "\n".join(
        "".join(c if c.isprintable() else ascii_text(c) for c in line)
        .encode("ascii", "backslashreplace")
        .decode()
        for line in text.split("\n")
    )


# --------------------------------------------------------------------------- several tests


def summary_text(runs: Sequence[Asked], wanted: int) -> str:
    """How many of several tests have which answer."""
    rows = [("OBSERVATION", "TESTS")]
    answers = [_answer(run) for run in runs]
    order = (
        "Never",
        "Sometimes",
        "Always",
        "no final state",
        "unfinished",
        "not modelled",
        "malformed",
    )
    rows += [(name, str(answers.count(name))) for name in order if name in answers]
    left = wanted - len(runs)
    closing = f"{count(len(runs), 'test')}" + (f", {left} not asked" if left else "")
    return f"{aligned(rows, {'TESTS'})}\n\n{closing}"


def _answer(run: Asked) -> str:
    if run.outcome is None:
        return "not modelled" if run.exit_code == 3 else "malformed"
    if run.empty is not None:
        return "no final state"
    return "unfinished" if run.stopped is not None else run.outcome.observation


def comparison_text(runs: Sequence[Asked], wanted: int, *, show: bool, quiet: bool) -> str:
    """Our answers against the expected ones: those that differ with the reason, then numbers."""
    parts = []
    for agreement in NAMED:
        named = [run for run in runs if run.comparison and run.comparison.agreement is agreement]
        if named and not quiet:
            parts.append(
                "\n".join([agreement.value, *(_difference(run, show=show) for run in named)])
            )
    parts.append(_table(runs))
    left = wanted - len(runs)
    total = [f"{_count(runs, agreement)} {agreement.value}" for agreement in _present(runs)]
    parts.append(", ".join(total) + (f", {left} not asked" if left else ""))
    return "\n\n".join(parts)


def _difference(run: Asked, *, show: bool) -> str:
    comparison = run.comparison
    assert comparison is not None
    where = f"{run.question.expected.file if run.question.expected else run.question.path}"
    lines = [f"  {printable(where)} ({MACHINES[run.question.machine.ets2]})"]
    lines += [paragraph(printable(reason), 6) for reason in comparison.reasons]
    for heading, states in (
        ("only we have", comparison.only_ours),
        ("only they have", comparison.only_theirs),
    ):
        if states:
            lines += [f"      {heading}", *(f"        {printable(state)}" for state in states)]
    if show and run.witness is not None:
        lines += ["", history_text(run), ""]
    return "\n".join(lines)


def _present(runs: Sequence[Asked]) -> list[Agreement]:
    always = (Agreement.AGREE, Agreement.DISAGREE, Agreement.UNSUPPORTED, Agreement.NOT_REACHABLE)
    return [a for a in Agreement if a in always or _count(runs, a)]


def _count(runs: Sequence[Asked], agreement: Agreement) -> int:
    return sum(run.comparison is not None and run.comparison.agreement is agreement for run in runs)


def _table(runs: Sequence[Asked]) -> str:
    """A row for each suite and machine."""
    present = _present(runs)
    rows = [("SUITE", "MACHINE", "TESTS", *(agreement.value.upper() for agreement in present))]
    keys = dict.fromkeys((run.question.suite, run.question.machine.ets2) for run in runs)
    for suite, ets2 in sorted(keys, key=lambda key: (key[0], not key[1])):
        here = [
            run for run in runs if (run.question.suite, run.question.machine.ets2) == (suite, ets2)
        ]
        numbers = [str(_count(here, agreement)) for agreement in present]
        rows.append((printable(suite), MACHINES[ets2], str(len(here)), *numbers))
    return aligned(rows, {*rows[0]} - {"SUITE", "MACHINE"})
