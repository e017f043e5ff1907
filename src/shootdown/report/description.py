"""What a scenario consists of: bounds, hardware, threads with their steps, properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from shootdown.lang.ir import Action, Call, Location, Process, Property, System
from shootdown.report.coverage import short_path
from shootdown.report.entries import in_source_order, visible
from shootdown.report.run import Subject, expected_text
from shootdown.report.text import WIDTH, ascii_text, bounds_text, count, paragraph, plain
from shootdown.report.verdict import field

SOURCE = 48  # where the source line of a step stands


@dataclass(frozen=True, slots=True)
class OptionValue:
    """A hardware option with its value in this run."""

    name: str
    value: str
    choices: tuple[str, ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Removable:
    """A site that ``--without`` can leave out."""

    id: str
    text: str


def description_text(
    subject: Subject,
    system: System,
    doc: str,
    options: Sequence[OptionValue] = (),
    sites: Sequence[Removable] = (),
) -> str:
    """Everything about a scenario that its reader needs before the check."""
    states = prod(variable.size for variable in system.variables)
    bits = max(states - 1, 1).bit_length()
    parts = [
        paragraph(ascii_text(f"{subject.name}: {subject.title}")),
        *_doc(doc, subject.title),
        "",
        field("expected", expected_text(subject)),
        field("bounds", bounds_text(system.bounds) or "none"),
        field("hardware", *(system.assumptions or ("none",))),
        *([field("options", *map(_option, options))] if options else []),
        field("state", f"{count(len(system.variables), 'variable')}, {count(bits, 'bit')}"),
        *_properties("invariants", system.invariants),
        *(_properties("progress", system.progress) if system.progress else ()),
        *_properties("goals", system.goals),
        *_threads(system.processes),
        *_rules(system.rules),
        *_sites(sites),
    ]
    return "\n".join(parts)


def _doc(doc: str, title: str) -> list[str]:
    lines = plain(doc).splitlines()
    rest = lines[1:] if lines and lines[0] == plain(title) else lines
    text = "\n".join(rest).strip("\n")
    return ["", *("  " + line if line else "" for line in text.splitlines())] if text else []


def _option(option: OptionValue) -> str:
    others = "|".join(option.choices)
    return f"{option.name}={option.value} ({others})" + (f": {option.doc}" if option.doc else "")


def _properties(name: str, properties: Sequence[Property]) -> list[str]:
    texts = [f"{p.name}: {p.text}" if p.text else p.name for p in properties]
    return [field(name, *(texts or ["none"]))]


# --------------------------------------------------------------------------- steps


def _threads(processes: Sequence[Process]) -> list[str]:
    out: list[str] = []
    first: dict[tuple[str, ...], str] = {}
    for process in processes:
        steps = _steps(process)
        kind = "daemon" if process.daemon else "thread"
        heading = f"{kind} {process.name}: {count(len(process.actions), 'step')}"
        same = first.setdefault(tuple(steps), process.name)
        if same != process.name:
            out += ["", paragraph(ascii_text(f"{heading}, the same as {same}"))]
        else:
            out += ["", paragraph(ascii_text(heading)), *steps]
    return out


def _steps(process: Process) -> list[str]:
    """Calls and steps, each with the line where its text stands."""
    out: list[str] = []
    open_calls: tuple[Call, ...] = ()
    for number, action in enumerate(in_source_order(process), start=1):
        calls = visible(action.info.calls)
        kept = 0
        while kept < min(len(calls), len(open_calls)) and _same(calls[kept], open_calls[kept]):
            kept += 1
        for depth in range(kept, len(calls)):
            out += _line("", calls[depth].function, calls[depth].site, 7 + 2 * depth)
        open_calls = calls
        text, at = action.info.text or action.name, action.info.location
        single = next((c for c in action.info.calls if c.single and c.function), None)
        if single is not None:
            text, at = single.function, single.site or at
        out += _line(f"{number:>5}", text, at, 7 + 2 * len(calls))
    return out


def _same(one: Call, other: Call) -> bool:
    return one.serial == other.serial


def _line(number: str, text: str, at: Location | None, indent: int) -> list[str]:
    """A step with its source line, on the right where there is room, else below."""
    indent = min(indent, WIDTH // 2)
    rows = paragraph(ascii_text(text), indent, hanging=4).split("\n")
    if at is None:
        return rows
    place = ascii_text(f"{short_path(at.file)}:{at.line}")
    start = max(SOURCE, len(rows[-1]) + 2)
    if start + len(place) <= WIDTH:
        rows[-1] = rows[-1].ljust(start) + place
    else:
        rows += paragraph(place, indent + 4).split("\n")
    return [number + rows[0][len(number) :], *rows[1:]]


def _rules(rules: Sequence[Action]) -> list[str]:
    if not rules:
        return []
    groups: dict[tuple[str, int], list[Action]] = {}
    for rule in rules:
        groups.setdefault((rule.info.location.file, rule.info.location.line), []).append(rule)
    out = ["", paragraph(f"hardware: {count(len(rules), 'rule')}")]
    for found in groups.values():
        name = found[0].name
        text = name if len(found) == 1 else f"{name} and {len(found) - 1} more"
        fair = " (fair)" if found[0].fair else ""
        out += _line("", f"<{text}>{fair}", found[0].info.location, 7)
    return out


def _sites(sites: Sequence[Removable]) -> list[str]:
    if not sites:
        return []
    out = ["", "what --without can leave out"]
    for site in sites:
        more = "" if site.id.endswith(site.text) else f": {site.text}"
        out.append(paragraph(ascii_text(f"'{site.id}'{more}"), indent=7))
    return out
