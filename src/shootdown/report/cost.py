"""What ``cost`` and ``compare`` print: counts, which are exact, apart from times, which are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shootdown.cost.workload import Workload
from shootdown.report.text import ascii_text, paragraph, paragraphs, plain
from shootdown.workloads.pricing import Compared, Cost, same_kernel

Json = dict[str, Any]
MOST_TIMES = 12
HEADINGS = ("VARIANT", "VERDICT", "FLUSHES", "IPIS", "TIME", "RELATIVE")


def time_text(ns: float) -> str:
    """A time with three digits: ``1.23 us``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns:.3g} ns"


def per_unit(number: float, times: int) -> str:
    """A count for each unit of work."""
    value = number / max(times, 1)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost_text(cost: Cost, *, short: bool = False) -> str:
    """One priced run."""
    priced = cost.priced
    unit, times = cost.unit
    singular = unit.removesuffix("s")
    parameters = ", ".join(f"{name}={value}" for name, value in cost.parameters.items())
    lines = [f"{cost.variant.name} on {cost.workload.name} ({parameters}){cost.conditions}"]
    if cost.variant.title:
        lines.append(paragraph(cost.variant.title, indent=2))
    if cost.variant.scenario is not None and not cost.variant.options:
        lines.append("  (sets no option of the kernel: priced as today)")
    if not priced.finished:
        lines.append("UNFINISHED: interrupted; the numbers are up to there")
    lines += ["", f"counts, exact for this schedule (a {singular}: one of {times:,} {unit})"]
    summary = cost.summary()
    sums = {name: summary.pop(name) for name in [*summary] if name.endswith("_ns")}
    for name, number in _ordered(summary).items():
        lines.append(f"  {name.replace('_', ' '):22}{number:>16,}{per_unit(number, times):>12}")
    lines += ["", f"times, estimates with the prices of {cost.profile.name}"]
    lines.append(f"  {'elapsed':22}{time_text(priced.ns):>16}"
                 f"{time_text(priced.ns / max(times, 1)):>12}{_range(cost)}")  # fmt: skip
    interrupted = sum(priced.interrupted_ns)
    lines.append(f"  {'in interrupts':22}{time_text(interrupted):>16}"
                 f"{time_text(interrupted / max(times, 1)):>12}")  # fmt: skip
    for name, ns in sums.items():
        lines.append(f"  {name.removesuffix('_ns').replace('_', ' '):22}{time_text(ns):>16}"
                     f"{time_text(ns / max(times, 1)):>12}")  # fmt: skip
    for name, ns in _largest(priced.stalls):
        lines.append(f"  {'waiting: ' + name:22}{time_text(ns):>16}"
                     f"{time_text(ns / max(times, 1)):>12}")  # fmt: skip
    if not short:
        lines += ["", "calls, and time in them (with what they call)"]
        for name, ns in _largest(priced.times)[:MOST_TIMES]:
            calls = priced.calls[name]
            lines.append(f"  {name:28}{calls:>14,}{time_text(ns):>12}"
                         f"{time_text(ns / max(calls, 1)):>12}")  # fmt: skip
        lines += ["", f"{priced.steps:,} steps in {priced.seconds:.2f} s"]
    return "\n".join(lines)


def _range(cost: Cost) -> str:
    if cost.low_ns is None or cost.high_ns is None:
        return ""
    return f"   ({time_text(cost.low_ns)} to {time_text(cost.high_ns)})"


def _ordered(counts: Mapping[str, int]) -> Mapping[str, int]:
    first = next(iter(counts)) == "flushes"
    return {
        name: number
        for name, number in counts.items()
        if number or (first and name in ("flushes", "ipis"))
    }


def _largest(times: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((n, t) for n, t in times.items() if t), key=lambda pair: (-pair[1], pair[0]))


def compare_text(rows: Sequence[Compared], *, short: bool = False) -> str:
    """Variants side by side."""
    first = rows[0].cost
    unit, times = first.unit
    base = first.priced.ns or 1
    parameters = ", ".join(f"{name}={value}" for name, value in first.parameters.items())
    lines = [] if short else [
        f"{first.workload.name} ({parameters}), prices of {first.profile.name}; per {unit[:-1]}"
        f"{first.conditions}",
        "",
    ]  # fmt: skip
    left, right = first.columns
    width = max(len("VARIANT"), *(len(row.cost.variant.name) for row in rows)) + 2
    lines.append(
        f"{'VARIANT':{width}}{'VERDICT':22}{_heading(left):>9}{_heading(right):>9}"
        f"{'TIME':>10}{'RELATIVE':>10}"
    )
    for row in rows:
        if not row.cost.priced.finished:
            lines.append(f"{row.cost.variant.name:{width}}UNFINISHED: interrupted")
            continue
        summary = row.cost.summary()
        verdict = row.verdict + (f" {row.violates}" if row.violates else "")
        relative = (row.cost.priced.ns - base) / base
        lines.append(
            f"{row.cost.variant.name:{width}}{verdict or '-':22}"
            f"{per_unit(summary[left], times):>9}{per_unit(summary[right], times):>9}"
            f"{time_text(row.cost.priced.ns / max(times, 1)):>10}{relative:>+10.1%}"
            + (" *" if row.frontier else "")
        )
    if not short:
        lines.append("")
        if any(row.verdict for row in rows):
            lines.append(
                f"* holds, and no other that holds has fewer {_words(right)} and less time"
            )
            lines.append(
                "verdicts are of each scenario, within its own bounds (shootdown check NAME)"
            )
        lines.append(
            "counts are exact for this schedule; time is what passes, by all threads' work"
        )
        lines += _sureness(rows)
        lines += _alike(rows)
    return "\n".join(lines)


def _sureness(rows: Sequence[Compared]) -> list[str]:
    """How far the estimates may be wrong together: all prices low, or all high."""
    base = rows[0].cost
    if len(rows) < 2 or any(row.cost.low_ns is None or row.cost.high_ns is None for row in rows):
        return []
    spans = []
    for row in rows[1:]:
        ends = [
            ((mine or 0) - of) / of
            for mine, of in (
                (row.cost.low_ns, base.low_ns or 1),
                (row.cost.high_ns, base.high_ns or 1),
            )
        ]
        spans.append(f"{row.cost.variant.name} {min(ends):+.1%} to {max(ends):+.1%}")
    said = "with all prices as low, and as high, as the profile allows: " + ", ".join(spans)
    return paragraph(said, width=78).splitlines()


def _alike(rows: Sequence[Compared]) -> list[str]:
    """Which rows say nothing that an earlier one does not."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for row in rows:
        if row.like is not None and row.like.variant.name != row.cost.variant.name:
            key = (row.like.variant.name, same_kernel(row.like, row.cost))
            groups.setdefault(key, []).append(row.cost.variant.name)
    out = []
    for (first, same), others in groups.items():
        why = (
            "the same options of the kernel, so the same price"
            if same
            else "other options of the kernel, which make no difference on this workload"
        )
        out += paragraph(f"as {first}: {', '.join(others)} ({why})", width=78).splitlines()
    return out


def _words(column: str) -> str:
    """A count's name in a sentence: ``IPIs``, ``DSBs``, ``IOTLB flushes``."""
    first, *rest = column.split("_")
    words = first if first == "flushes" else first.removesuffix("s").upper()
    return " ".join([words + ("s" if first.endswith("s") and words.isupper() else ""), *rest])


def _heading(column: str) -> str:
    return column.partition("_")[0].upper()


def workloads_text(workloads: Sequence[Workload], *, names_only: bool = False) -> str:
    """The workloads with their parameters, and all that their authors say of them."""
    if names_only:
        return "\n".join(workload.name for workload in workloads)
    blocks = []
    for workload in workloads:
        parameters = ", ".join(f"{name}={value}" for name, value in workload.parameters.items())
        more = paragraphs(plain(workload.doc))[1:]
        texts = [plain(workload.title), *more, parameters]
        rows = "\n".join(paragraph(ascii_text(text), 18, 0) for text in texts if text)
        blocks.append(workload.name.ljust(17) + " " + rows[18:])
    return "\n".join(blocks)


# ------------------------------------------------------------------ documents


def cost_document(cost: Cost, code: int, version: str) -> Json:
    """What ``shootdown cost --json`` writes."""
    return {"schema": "shootdown/cost/1", "version": version, "exit_code": code, **_cost(cost)}


def _cost(cost: Cost) -> Json:
    priced = cost.priced
    return {
        "variant": cost.variant.name,
        "title": cost.variant.title,
        "options": {name: str(value) for name, value in cost.variant.options.items()},
        "workload": cost.workload.name,
        "parameters": dict(cost.parameters),
        "hardware": {name: str(value) for name, value in cost.chosen.items()},
        "profile": cost.profile.name,
        "prices": cost.prices_given,
        "seed": cost.seed,
        "finished": priced.finished,
        "work": dict(priced.work),
        "summary": cost.summary(),
        "counts": dict(priced.counts),
        "calls": dict(priced.calls),
        "elapsed_ns": priced.ns,
        "low_ns": cost.low_ns,
        "high_ns": cost.high_ns,
        "times_ns": dict(priced.times),
        "waiting_ns": dict(priced.stalls),
        "interrupted_ns": list(priced.interrupted_ns),
        "steps": priced.steps,
    }


def compare_document(rows: Sequence[Compared], code: int, version: str) -> Json:
    """What ``shootdown compare --json`` writes."""
    return {
        "schema": "shootdown/compare/1",
        "version": version,
        "exit_code": code,
        "rows": [
            {
                **_cost(row.cost),
                "verdict": row.verdict or None,
                "violates": row.violates,
                "bounds": dict(row.bounds),
                "frontier": row.frontier,
                "like": None if row.like is None else row.like.variant.name,
            }
            for row in rows
        ],
    }


def workloads_document(workloads: Sequence[Workload], version: str) -> Json:
    """What ``shootdown cost --workloads --json`` writes."""
    return {
        "schema": "shootdown/workloads/1",
        "version": version,
        "workloads": [
            {
                "name": w.name,
                "title": plain(w.title),
                "doc": plain(w.doc),
                "parameters": dict(w.parameters),
            }
            for w in workloads
        ],
    }
