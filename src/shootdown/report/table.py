"""The table that ends a check of several scenarios."""

from __future__ import annotations

from collections.abc import Container, Sequence

from shootdown.lang.scenario import Scenario
from shootdown.lang.stated import Invariant, NotModelled
from shootdown.report.run import Broken, Run, as_expected, expected_text, verdict_name
from shootdown.report.text import ascii_text, duration

HEADINGS = ("NAME", "VERDICT", "EXPECTED", "OK", "STATES", "TIME")
RIGHT = {"STATES", "TIME"}


def table_text(runs: Sequence[Run | Broken], wanted: int) -> str:
    """One line for each run, then how many of the wanted ones are as expected."""
    rows = [HEADINGS, *(_row(run) for run in runs)]
    good = sum(as_expected(run) for run in runs)
    left = wanted - len(runs)
    closing = f"all {wanted} as expected" if good == wanted else f"{good} of {wanted} as expected"
    return f"{aligned(rows, RIGHT)}\n\n{closing}" + (f", {left} not checked" if left else "")


def list_text(
    scenarios: Sequence[Scenario], beyond: Sequence[NotModelled] = (), *, names_only: bool = False
) -> str:
    """One line for each scenario: name, expected verdict, title; then what is not modelled."""
    if names_only:
        return "\n".join(scenario.name for scenario in scenarios)
    tables = []
    if scenarios:
        rows = [("NAME", "EXPECTED", "WHAT")]
        for scenario in scenarios:
            expected = f"{scenario.expect} {scenario.violates or ''}".rstrip()
            also = f" (also {', '.join(scenario.aliases)})" if scenario.aliases else ""
            rows.append((scenario.name, expected, scenario.title + also))
        tables.append(aligned([tuple(map(ascii_text, row)) for row in rows]))
    if beyond:
        rows = [("NOT MODELLED", "NEEDS A WEAKER MEMORY ORDER", "WHAT")]
        rows += [(b.name, b.needs, f"{b.title} ({b.source})") for b in beyond]
        tables.append(aligned([tuple(map(ascii_text, row)) for row in rows]))
    return "\n\n".join(tables)


def invariants_text(invariants: Sequence[Invariant], *, names_only: bool = False) -> str:
    """One line for each invariant: name, how many scenarios break it, what it says when broken."""
    if names_only:
        return "\n".join(invariant.name for invariant in invariants)
    rows = [("NAME", "BROKEN BY", "WHAT IS WRONG THEN")]
    for invariant in invariants:
        told = list(invariant.texts)
        if invariant.refined:
            told.append(f"(each system for itself: {', '.join(invariant.refined)})")
        broken = len(invariant.broken_by)
        count = f"{broken} scenario{'' if broken == 1 else 's'}" if broken else "-"
        rows.append((invariant.name, count, told[0]))
        rows += [("", "", text) for text in told[1:]]
    return aligned([tuple(map(ascii_text, row)) for row in rows])


def aligned(rows: Sequence[Sequence[str]], right: Container[str] = ()) -> str:
    """Rows in columns, two spaces apart; columns whose heading is in ``right`` end flush."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    out = []
    for row in rows:
        cells = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, rows[0], strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _row(run: Run | Broken) -> tuple[str, ...]:
    verdict, states, seconds = verdict_name(run), "-", "-"
    if isinstance(run, Run):
        if run.result.violation is not None:
            verdict = f"{verdict} {run.result.violation.name}"
        states, seconds = f"{run.result.states:,}", duration(run.result.seconds)
    ok = "yes" if as_expected(run) else "NO"
    cells = (run.subject.name, verdict, expected_text(run.subject), ok, states, seconds)
    return tuple(ascii_text(cell) for cell in cells)
