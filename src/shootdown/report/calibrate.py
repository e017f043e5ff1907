"""What a calibration measured, for people and as a JSON document."""

from __future__ import annotations

from typing import Any

from shootdown.cost.calibrate import Calibration
from shootdown.cost.profile import names
from shootdown.report.table import aligned
from shootdown.report.text import duration, paragraph

Json = dict[str, Any]
MEASURED = "measured on "  # how the source of such a number begins


def calibration_text(done: Calibration, *, quiet: bool) -> str:
    """The prices, what a shootdown adds, and the checks; with ``quiet`` the failed checks only."""
    parts = [] if quiet else [done.profile.description, _prices(done), _shootdown(done)]
    lines = [
        paragraph(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}", 0, 8)
        for check in done.checks
        if not (quiet and check.passed)
    ]
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part)


def _prices(done: Calibration) -> str:
    rows: list[tuple[str, ...]] = [("PRICE", "NS", "+-", "FROM")]
    for name in names(done.profile.architecture, geometry=False):
        entry = done.profile.entries[name]
        first, _, rest = entry.source.partition(": ")
        how = rest if first.startswith(MEASURED) else first
        rows.append((name, f"{entry.value:,}", f"{entry.uncertainty} %", how))
    return aligned(rows, {"NS", "+-"})


def _shootdown(done: Calibration) -> str:
    pair = done.where
    text = f"measured on CPUs {pair.initiator} and {pair.target}"
    text += f", in {done.rounds} rounds and {duration(done.seconds)}"
    if done.added is not None:
        text += f"; a shootdown of one page adds {done.added.ns:,.0f} ns at the initiator"
    return paragraph(text)


def refusal(done: Calibration) -> str:
    """Why no profile is written, in one line."""
    failed = [check.name for check in done.checks if not check.passed]
    return (
        f"not written: {', '.join(failed)} failed. Something else ran, or this machine cannot be "
        "measured so; try again when it is idle, or with more --seconds"
    )


def calibration_document(done: Calibration, output: str | None, code: int, version: str) -> Json:
    """What ``shootdown calibrate --json`` writes."""
    profile = done.profile
    return {
        "schema": "shootdown/calibrate/1",
        "version": version,
        "exit_code": code,
        "accepted": done.accepted,
        "output": output if done.accepted else None,
        "profile": {
            "name": profile.name,
            "description": profile.description,
            "architecture": profile.architecture,
        },
        "cpus": {
            "initiator": done.where.initiator,
            "target": done.where.target,
            "far": done.where.far,
        },
        "rounds": done.rounds,
        "seconds": round(done.seconds, 3),
        "shootdown_ns": None if done.added is None else round(done.added.ns, 1),
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail}
            for check in done.checks
        ],
        "numbers": [
            {
                "name": name,
                "value": entry.value,
                "unit": "ns" if name in prices else "count",
                "uncertainty_percent": entry.uncertainty,
                "source": entry.source,
                "measured": entry.source.startswith(MEASURED),
            }
            for prices in [set(names(profile.architecture, geometry=False))]
            for name, entry in profile.entries.items()
        ],
        "series": [
            {
                "name": name,
                "bursts": len(series.bursts),
                "refused": series.refused,
                "median_ns": round(series.value, 2) if series.bursts else None,
                "p99_ns": round(series.p99, 2) if series.bursts else None,
                "spread": round(series.spread, 4) if series.bursts else None,
            }
            for name, series in done.series.items()
        ],
    }
