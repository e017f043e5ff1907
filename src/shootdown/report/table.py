"""The table that ends a check of several scenarios."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from shootdown.check.omission import bound_text
from shootdown.lang.scenario import Scenario
from shootdown.lang.stated import Invariant, NotModelled
from shootdown.report.run import Broken, Run, as_expected, expected_text, verdict_name
from shootdown.report.text import ascii_text, duration

HEADINGS = ("NAME", "VERDICT", "EXPECTED", "OK", "STATES", "TIME")
RIGHT = {"STATES", "TIME"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``good`` if the verdict is the expected one. ``omission``: a bound of
    the probability that the search omitted states; None where it kept all."""

    cells: tuple[str, ...]
    good: bool
    omission: float | None = None


def row_of(run: Run | Broken) -> Row:
    """The line of a run."""
    verdict, states, seconds = verdict_name(run), "-", "-"
    if isinstance(run, Run):
        if run.result.violation is not None:
            verdict = f"{verdict} {run.result.violation.name}"
        states, seconds = f"{run.result.states:,}", duration(run.result.seconds)
    good = as_expected(run)
    ok = "yes" if good else "NO"
    cells = (run.subject.name, verdict, expected_text(run.subject), ok, states, seconds)
    omission = None
    if isinstance(run, Run) and run.result.fingerprints is not None:
        omission = run.result.omission
    return Row(tuple(ascii_text(cell) for cell in cells), good, omission)


def table_text(rows: Sequence[Row], wanted: int) -> str:
    """One line for each row, then how many of the wanted ones are as expected."""
    return f"{aligned([HEADINGS, *(row.cells for row in rows)], RIGHT)}\n\n{closing(rows, wanted)}"


def closing(rows: Sequence[Row], wanted: int) -> str:
    """How many of the wanted ones are as expected."""
    good, left = sum(row.good for row in rows), wanted - len(rows)
    text = f"all {wanted} as expected" if good == wanted else f"{good} of {wanted} as expected"
    bounds = [row.omission for row in rows if row.omission is not None]
    if bounds:
        text += f"; omitted states in any: probability below {bound_text(min(1.0, sum(bounds)))}"
    return text + (f", {left} not checked" if left else "")


class GrowingTable:
    """A table that is printed line by line, so its columns are as wide as what is expected."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        expected = [f"{s.expect} {s.violates or ''}".rstrip() for s in scenarios]
        verdict = max(map(len, ["MODEL ERROR", *expected]))
        name = max(len(scenario.name) for scenario in scenarios)
        self.widths = [name, verdict, max(verdict, len("EXPECTED")), 3, 11, 8]

    def line(self, cells: Sequence[str] = HEADINGS) -> str:
        """One line; the headings by default."""
        return _line(cells, self.widths, RIGHT)


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
    return "\n".join(_line(row, widths, right, rows[0]) for row in rows)


def _line(
    cells: Sequence[str],
    widths: Sequence[int],
    right: Container[str],
    headings: Sequence[str] = HEADINGS,
) -> str:
    placed = [
        cell.rjust(width) if heading in right else cell.ljust(width)
        for cell, width, heading in zip(cells, widths, headings, strict=True)
    ]
    return "  ".join(placed).rstrip()
