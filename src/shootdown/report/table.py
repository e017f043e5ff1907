"""The table that ends a check of several scenarios."""

from __future__ import annotations

from collections.abc import Container, Sequence

from shootdown.lang.scenario import Scenario
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


def list_text(scenarios: Sequence[Scenario], *, names_only: bool = False) -> str:
    """One line for each scenario: name, expected verdict, title."""
    if names_only or not scenarios:
        return "\n".join(scenario.name for scenario in scenarios)
    rows = [("NAME", "EXPECTED", "WHAT")]
    for scenario in scenarios:
        expected = f"{scenario.expect} {scenario.violates or ''}".rstrip()
        also = f" (also {', '.join(scenario.aliases)})" if scenario.aliases else ""
        rows.append((scenario.name, expected, scenario.title + also))
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
