"""The results as Markdown: pure functions from measurements to text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from peers import STATES, Run, Size


@dataclass(frozen=True, slots=True)
class Row:
    """What one contestant did at one size: its runs, or why there are none."""

    name: str
    how: str
    version: str | None
    runs: tuple[Run, ...] = ()
    trouble: str = ""
    ours: bool = False


def wrong(size: Size, row: Row) -> str:
    """What is wrong with the answers of a row, or nothing: speed counts only if they are right."""
    if row.trouble:
        return row.trouble
    expected = STATES.get((size.cpus, size.pages))
    for run in row.runs:
        if run.violated:
            return "reports a violation of a protocol that holds"
        if expected is not None and run.states != expected:
            return f"{run.states:,} states instead of {expected:,}"
    return ""


def table(size: Size, rows: Sequence[Row]) -> str:
    """One size; the last two columns compare with our own row, where there is one."""
    lines = [
        f"### {size.cpus} CPUs, {size.pages} page{'s' if size.pages > 1 else ''}",
        "",
        "| tool | states | search s (min..max) | M states/s | whole s | memory MB "
        "| search: us / it | whole: us / it |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ours = next((row for row in rows if row.ours and row.runs), None)
    for row in rows:
        if row.version is None:
            lines.append(f"| {row.name} | not installed | | | | | | |")
            continue
        if not row.runs:
            lines.append(f"| {row.name} | no result: {_one_line(row.trouble)} | | | | | | |")
            continue
        lines.append(_measured(size, row, ours))
    return "\n".join(lines) + "\n"


def _measured(size: Size, row: Row, ours: Row | None) -> str:
    seconds, whole = median([r.seconds for r in row.runs]), median([r.whole for r in row.runs])
    low, high = min(r.seconds for r in row.runs), max(r.seconds for r in row.runs)
    memory = max(r.memory for r in row.runs) / 1e6
    states = row.runs[0].states
    rate = states / seconds / 1e6
    times = wholes = "1"
    if ours is None:
        times = wholes = ""
    elif ours is not row:
        times = _times(seconds, median([r.seconds for r in ours.runs]))
        wholes = _times(whole, median([r.whole for r in ours.runs]))
    problem = wrong(size, row)
    counted = f"{states:,}" + (f" **WRONG: {problem}**" if problem else "")
    return (
        f"| {row.name} | {counted} | {seconds:.2f} ({low:.2f}..{high:.2f}) | {rate:.2f} "
        f"| {whole:.2f} | {memory:.0f} | {times} | {wholes} |"
    )


def median(values: Sequence[float]) -> float:
    """The median, never 0: a search below the clock's tick took one tick."""
    return max(statistics.median(values), 0.001)


def _times(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.1f}x"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]


@dataclass(frozen=True, slots=True)
class StartUp:
    """Wall seconds of a whole ``shootdown check`` after a first, uncounted one; or the trouble."""

    command: str
    seconds: tuple[float, ...] = ()
    trouble: str = ""


def page(
    command: str,
    machine: Sequence[str],
    results: Sequence[tuple[Size, Sequence[Row]]],
    start: StartUp | None,
) -> str:
    """The whole of RESULTS.md."""
    parts = [
        "# Speed, side by side\n",
        "The family `dontneed(N, P)` (its rules: `benchmarks/peers/__init__.py`), searched to the "
        "end for safety by each tool, one thread each, in turn, on one machine. An answer counts "
        "only if every state was found.\n",
        "*search*: CPU seconds of the search alone, median. "
        "*whole*: CPU seconds from the model's source to the answer, so with the verifier's "
        "generation and compilation, or with Python's start and our own. *us / it*: how many times "
        "as fast as that tool we are.\n",
        f"Written by `{command}`.\n",
        "## Machine and versions\n",
        "".join(f"* {line}\n" for line in machine),
    ]
    seen: dict[str, str] = {}
    for _, rows in results:
        for row in rows:
            seen.setdefault(
                row.name, f"* {row.name}: {row.version or 'not installed'}; {row.how}\n"
            )
    parts += ["".join(seen.values()), "## Search\n"]
    parts += [table(size, rows) for size, rows in results]
    if start is not None:
        parts.append("## Start-up\n")
        if start.seconds:
            low, high = min(start.seconds), max(start.seconds)
            parts.append(
                f"`{start.command}`, second run on, wall time: median "
                f"{statistics.median(start.seconds):.2f} s ({low:.2f}..{high:.2f}, "
                f"{len(start.seconds)} runs).\n"
            )
        else:
            parts.append(f"`{start.command}`: not measured, {_one_line(start.trouble)}.\n")
    return "\n".join(parts)
