"""``docs/redundant.md`` below its marker: what can be left out, from ``models/redundant``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from models.excuses import Excuse, Kind, System
from models.mutants import SAFE, function_of, is_step, sites_of
from models.redundant import SYSTEMS, system_of
from models.results import LIBRARY
from shootdown.lang.builder import Site
from shootdown.report.coverage import short_path

MARKER = (
    "<!-- what follows is written by tests/docs/test_redundant.py from tests/models/redundant -->\n"
)
STRIKING = (Kind.NOT_NEEDED, Kind.TWICE)
IDLE = (Kind.UNREACHED, Kind.REFUSED)
ROLES = ("flush", "lock", "barrier", "ack", "counter")
MEANING = {
    Kind.NOT_NEEDED: "the protocol is as safe without it, as far as the scenario goes",
    Kind.TWICE: "something else does its work already: another flush, or a lock that is held",
    Kind.NOT_AT_STAKE: "nobody in the scenario does what it is against, or what it protects is not "
    "looked at; the last column says who does need it",
    Kind.COST: "a count stays too high: something leaks, or others flush more than they must",
    Kind.GOAL: "safe, but something that should be able to happen no longer can (VACUOUS)",
    Kind.MODEL: "an artefact of the model, which does in one step what takes the kernel several",
    Kind.UNREACHED: "the scenario never comes by, which says nothing about the kernel",
    Kind.REFUSED: "a count falls below zero, an error of the model: it cannot be left out alone",
}
MANY = 4
"""Scenarios that are named one by one where a site survives in all that have it."""
Place = tuple[str, str, str]  # file, function, what is left out


@dataclass(frozen=True, slots=True)
class Row:
    """One place that survives, for one reason, in some scenarios."""

    excuse: Excuse
    role: str
    place: Place
    name: str
    scenarios: tuple[str, ...]
    everywhere: bool  # in all safe scenarios of the system that have it


def place_of(site: Site) -> Place:
    """Where a site stands, without the number that tells it from its like."""
    return short_path(site.location.file), function_of(site), site.text


@cache
def _table() -> dict[tuple[str, str], tuple[Site, Excuse | None]]:
    """Every site of every safe scenario with its excuse; what is no step is left out unless it has
    one."""
    found = {}
    for scenario in SAFE:
        for name, site in sites_of(scenario).items():
            excuses = system_of(scenario).excuses_for(name, scenario)
            if excuses or is_step(scenario, site):
                found[scenario, name] = site, excuses[0] if excuses else None
    return found


def rows_of(system: System) -> list[Row]:
    """The rows of a system's tables, the striking ones first."""
    scenarios = defaultdict(list)
    having: Counter[tuple[Place, str]] = Counter()
    roles = {}
    for (scenario, name), (site, excuse) in _table().items():
        if system_of(scenario) is system:
            place = place_of(site)
            having[place, name] += 1
            roles[place] = site.role
            if excuse is not None:
                scenarios[excuse, place, name].append(scenario)
    rows = [
        Row(excuse, roles[place], place, name, tuple(names), len(names) == having[place, name])
        for (excuse, place, name), names in scenarios.items()
    ]
    return sorted(rows, key=_order)


def _order(row: Row) -> tuple[int, int, Place, str]:
    kinds = list(Kind)
    return kinds.index(row.excuse.kind), ROLES.index(row.role), row.place, row.name


@cache
def _needed() -> dict[Place, tuple[str, ...]]:
    """In which scenarios a place is needed."""
    found = defaultdict(list)
    for (scenario, _), (site, excuse) in _table().items():
        if excuse is None:
            found[place_of(site)].append(scenario)
    return {place: tuple(names) for place, names in found.items()}


# --------------------------------------------------------------------------- text


def page() -> str:
    """All that stands below the marker."""
    parts = [_numbers(), _striking(), *map(_system, SYSTEMS)]
    return "\n\n".join(parts) + "\n"


def _numbers() -> str:
    counts = Counter(None if excuse is None else excuse.kind for _, excuse in _table().values())
    lines = [
        "## In numbers",
        "",
        f"{len(SAFE)} safe scenarios have {counts.total()} such places, counted once for each "
        "scenario.",
        "",
        "| | places | |",
        "|---|---|---|",
        f"| needed | {counts[None]} | without it the scenario is VIOLATED |",
    ]
    lines += [f"| {_mark(kind)} | {counts[kind]} | {MEANING[kind]} |" for kind in Kind]
    return "\n".join(lines)


def _striking() -> str:
    rows = [row for system in SYSTEMS for row in rows_of(system) if row.excuse.kind in STRIKING]
    rows.sort(key=lambda row: (list(Kind).index(row.excuse.kind), row.place in _needed()))
    return "\n".join(["## The striking ones", "", *_rows(rows, kinds=True)])


def _system(system: System) -> str:
    rows = rows_of(system)
    lines = [
        f"## {system.name}: {system.title}",
        "",
        f"The scenarios are in [{system.page}]({system.page}).",
    ]
    lines += ["", *_rows([row for row in rows if row.excuse.kind not in IDLE], kinds=True)]
    idle = [row for row in rows if row.excuse.kind in IDLE]
    if idle:
        lines += ["", "Never executed, or refused:", "", *_rows(idle, kinds=False)]
    return "\n".join(lines)


def _rows(rows: Iterable[Row], *, kinds: bool) -> Iterable[str]:
    if kinds:
        yield "| | what | where | not needed in | why | needed in |"
        yield "|---|---|---|---|---|---|"
    else:
        yield "| what | where | scenarios | why |"
        yield "|---|---|---|---|"
    for row in rows:
        file, function, _ = row.place
        cells = [
            f"{row.role} `{_text(row)}`",
            f"`{file}` `{function}()`",
            _survives(row),
            _marked(row.excuse.reason),
        ]
        if kinds:
            cells = [_mark(row.excuse.kind), *cells, _needed_in(row)]
        yield f"| {' | '.join(cells)} |"


def _marked(reason: str) -> str:
    """A reason with scenarios and calls as code."""
    return re.sub(
        r"[A-Za-z_][\w.-]*(\(\))?(?<![.-])",
        lambda word: f"`{word[0]}`" if word[1] or word[0] in LIBRARY else word[0],
        reason,
    )


def _mark(kind: Kind) -> str:
    return f"**{kind.value}**" if kind in STRIKING else kind.value


def _text(row: Row) -> str:
    """What is left out, with its number where a function has several: ``mm.pmd_lock #2``."""
    return row.name.partition(": ")[2].removeprefix("lock ")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _survives(row: Row) -> str:
    if row.everywhere and len(row.scenarios) > MANY:
        return f"all {len(row.scenarios)} that have it"
    return _names(row.scenarios)


def _needed_in(row: Row) -> str:
    home = system_of(row.scenarios[0])
    names = sorted(_needed().get(row.place, ()), key=lambda name: system_of(name) is not home)
    if not names:
        return "no scenario yet"
    more = len(names) - 2
    return _names(names[:2]) + (f" and {more} more" if more > 0 else "")
