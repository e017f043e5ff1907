"""The table of a scenario at growing bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shootdown.check.result import Result
from shootdown.report.json import represented_document
from shootdown.report.run import (
    HOLDS,
    UNFINISHED,
    Broken,
    Run,
    Subject,
    exit_code,
    verdict_name,
    worst,
)
from shootdown.report.text import ascii_text, bounds_text, duration, paragraph, size
from shootdown.report.verdict import GIVEN_UP, STOPPED, represented_text

HEADINGS = ("VERDICT", "STATES", "DEPTH", "TIME", "MEMORY")
WIDTHS = (11, 13, 5, 9, 8)
REDUCED = "*"  # before the states of a row that was searched with reductions
MANY = 4  # of one kind, that the text names
BEYOND = (
    "unknown. A verdict is about its bounds; no cut-off theorem is known to hold for these models, "
    "and none is assumed (docs/bounds.md)"
)
_ADVICE = re.compile(r"[:;]? use smaller bounds.*")  # which is what the rows before were
Bounds = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """What a search at some bounds gave; ``run`` may be one that could not begin."""

    bounds: Bounds
    run: Run | Broken

    @property
    def verdict(self) -> str:
        """As it is printed; a search that was not begun in time is UNKNOWN."""
        if isinstance(self.run, Broken):
            return "UNKNOWN" if self.run.exit_code == UNFINISHED else "ERROR"
        return verdict_name(self.run)


@dataclass(frozen=True, slots=True)
class Untried:
    """Bounds that were left out: ``states`` is what they were predicted to have, ``limit`` the
    limit that this exceeds (``states``, ``memory``, ``time``, or ``total`` for those of the whole
    table); ``states`` is ``None`` where there was no time for them whatever they have. ``reduced``:
    these states are those of a search with reductions."""

    bounds: Bounds
    limit: str
    states: int | None = None
    reduced: bool = False


@dataclass(frozen=True, slots=True)
class Grown:
    """Everything that is known at the end. ``largest``: bounds that hold, and no larger ones do.
    ``refused``: bounds that the scenario does not have, and why. ``unchanged``: bounds at which one
    bound, by its name, gave the same states as one less."""

    subject: Subject
    rows: Sequence[Row]
    largest: Sequence[Bounds]
    untried: Sequence[Untried]
    refused: Sequence[tuple[Bounds, str]]
    unchanged: Sequence[tuple[Bounds, str]]


def table_code(rows: Sequence[Row]) -> int:
    """The worst of the rows that came to an end. A row that reaches a limit, or bounds for which
    the model was not made, end the table and do not count, unless nothing holds before them."""
    if not rows:
        return UNFINISHED
    first = rows[0].run
    if rows[0].verdict in ("ERROR", "MODEL ERROR", "UNKNOWN"):
        return exit_code(first)
    finished = [row for row in rows if row.verdict in ("HOLDS", "VIOLATED", "VACUOUS")]
    return worst([HOLDS, *(exit_code(row.run) for row in finished)])


# ------------------------------------------------------------------ text


def heading(names: Sequence[str]) -> str:
    """The first line."""
    return _line([ascii_text(name).upper() for name in names], HEADINGS)


def line(row: Row) -> str:
    """The line of a row."""
    run, states, depth, seconds, memory = row.run, "-", "-", "-", "-"
    if isinstance(run, Run):
        result = run.result
        mark = REDUCED if result.reductions else ""
        states, depth = f"{mark}{result.states:,}", f"{result.depth:,}"
        seconds, memory = duration(result.seconds), size(result.memory)
    names = [ascii_text(name).upper() for name in row.bounds]
    values = [str(v).rjust(len(n)) for v, n in zip(row.bounds.values(), names, strict=True)]
    return _line(values, (row.verdict, states, depth, seconds, memory))


def _line(bounds: Sequence[str], cells: Sequence[str]) -> str:
    verdict, *numbers = cells
    placed = [verdict.ljust(WIDTHS[0])]
    placed += [c.rjust(width) for c, width in zip(numbers, WIDTHS[1:], strict=True)]
    return "  ".join([*bounds, *placed]).rstrip()


def closing(grown: Grown) -> str:
    """What the table shows, where it ends, and what it does not show."""
    parts = []
    for row in grown.rows:
        if row.verdict in ("VIOLATED", "VACUOUS", "UNKNOWN", "ERROR", "MODEL ERROR"):
            parts.append(("stopped at", f"{_text(row.bounds)}: {_why(grown.subject, row)}"))
    reduced = [
        f"{_text(row.bounds)}: {_reduced(row.run.result)}"
        for row in grown.rows
        if isinstance(row.run, Run) and row.run.result.reductions
    ]
    parts += _some(f"{REDUCED} reduced", reduced)
    predicted = [u for u in grown.untried if u.states is not None]
    late = [u for u in grown.untried if u.states is None]
    parts += _some("not tried", [f"{_text(u.bounds)}: {_reason(u)}" for u in predicted])
    parts += _some("no time for", [_text(u.bounds) for u in late])
    parts += _some("impossible", list(dict.fromkeys(why for _, why in grown.refused)))
    first: dict[str, Bounds] = {}
    for bounds, name in grown.unchanged:
        if bounds[name] < first.get(name, bounds)[name] or name not in first:
            first[name] = bounds
    same = [
        f"{n}={b[n] + 1}: with {b[n]} the states are those with {b[n] - 1}"
        for n, b in first.items()
    ]
    parts += _some("not grown", same)
    holds = [_text(bounds) for bounds in grown.largest] or ["none of these bounds"]
    parts = [*_some("HOLDS for", holds), *parts, ("beyond", BEYOND)]
    return "\n".join(_paragraph(head, ascii_text(text)) for head, text in parts)


def _paragraph(head: str, text: str) -> str:
    return f"{head:<12}" + paragraph(text, indent=12, hanging=0)[12:]


def _some(head: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """The first few of them."""
    parts = [(head if i == 0 else "", text) for i, text in enumerate(texts[:MANY])]
    if len(texts) > MANY:
        parts.append(("", f"and {len(texts) - MANY} more (--json has all)"))
    return parts


def _text(bounds: Bounds) -> str:
    return bounds_text(bounds.items())


def _why(subject: Subject, row: Row) -> str:
    run = row.run
    if isinstance(run, Broken):
        said = run.error.splitlines()[0].removeprefix("shootdown: ")
        if row.verdict != "ERROR":
            return said
        return f"the model is not made for it: {_ADVICE.sub('', said)}"
    violation = run.result.violation
    if violation is not None:
        bounds = ",".join(f"{name}={value}" for name, value in row.bounds.items())
        others = [a for a in subject.arguments if not a.startswith("--bound ")]
        command = " ".join(["shootdown check", subject.target, "--bound", bounds, *others])
        return f"{violation.name}; `{command}` shows it"
    if run.result.stopped is None:
        return "a goal was not reached"
    given_up = run.result.given_up and not run.result.reductions
    why = f" ({GIVEN_UP})" if given_up else ""
    return f"{STOPPED.get(run.result.stopped, run.result.stopped)}{why}"


def _reduced(result: Result) -> str:
    """What the states of a row with reductions are."""
    names, found = ", ".join(result.reductions), result.represented
    if found is None:
        return names
    return f"{names}; {represented_text(result.states, found)}"


def _reason(untried: Untried) -> str:
    if untried.states is None:
        return "the time for the whole table is over"
    of = "of the whole table" if untried.limit == "total" else f"on {untried.limit}"
    states = f"{untried.states:,} {'reduced ' if untried.reduced else ''}states"
    return f"about {states} are predicted, too many for the limit {of}"


# ------------------------------------------------------------------ JSON


def bounds_document(grown: Grown, limits: Mapping[str, Any], code: int, version: str) -> Any:
    """What ``shootdown bounds --json`` writes."""
    subject = grown.subject
    return {
        "schema": "shootdown/bounds/1",
        "version": version,
        "exit_code": code,
        "target": subject.target,
        "name": subject.name,
        "title": subject.title,
        "expected": {"verdict": subject.expect, "violates": subject.violates},
        "hardware": dict(subject.options),
        "limits": dict(limits),
        "rows": [_row(row) for row in grown.rows],
        "holds_up_to": [dict(bounds) for bounds in grown.largest],
        "not_tried": [
            {
                "bounds": dict(u.bounds),
                "limit": u.limit,
                "predicted_states": u.states,
                "reduced": u.reduced,
            }
            for u in grown.untried
        ],
        "impossible": [{"bounds": dict(b), "reason": why} for b, why in grown.refused],
        "unchanged": [{"bounds": dict(b), "by": name} for b, name in grown.unchanged],
        "beyond": "unknown",
    }


def _row(row: Row) -> dict[str, Any]:
    run = row.run
    found: dict[str, Any] = {
        "bounds": dict(row.bounds),
        "verdict": row.verdict,
        "violates": None,
        "exit_code": exit_code(run),
        "error": run.error if isinstance(run, Broken) else None,
        "states": None,
        "depth": None,
        "seconds": None,
        "memory_bytes": None,
        "stopped": None,
        "reductions": [],
        "represented": None,
    }
    if isinstance(run, Run):
        result = run.result
        found |= {
            "violates": result.violation.name if result.violation else None,
            "states": result.states,
            "depth": result.depth,
            "seconds": round(result.seconds, 6),
            "memory_bytes": result.memory,
            "stopped": result.stopped,
            "reductions": list(result.reductions),
            "represented": represented_document(result),
        }
    return found
