"""Mutants of safe scenarios: how their sites are called, and what becomes of a scenario without."""

from __future__ import annotations

import ast
import functools
from enum import Enum
from pathlib import Path

from models.results import LIBRARY, run
from shootdown.check import native
from shootdown.check.progress import with_progress
from shootdown.check.result import Limits, Result, Verdict, ViolationKind
from shootdown.commands import kept
from shootdown.lang import Scenario
from shootdown.lang.builder import Site
from shootdown.lang.ir import System
from shootdown.lang.scenario import options_of
from shootdown.races import library
from shootdown.report.why import is_reached

LIMITS = Limits(time=300)


def _asks_for_safety(scenario: Scenario) -> bool:
    """Whether it looks at more than how many flushes there are (properties called ``MET-``).

    Those are not made worse by leaving a flush out, and a lock that keeps their count low is not
    one that safety needs: in both directions an answer would mislead.
    """
    setup = scenario.setup()
    properties = [*setup.invariants, *setup.progress]
    return not properties or not all(p.name.startswith("MET-") for p in properties)


SAFE = [s.name for s in library() if s.expect == "HOLDS" and _asks_for_safety(s)]
"""The scenarios from which things are left out."""


class Outcome(Enum):
    """What becomes of a safe scenario from which something is left out."""

    NEEDED = "VIOLATED"
    SURVIVES = "HOLDS"
    GOAL = "VACUOUS: a goal is never reached"
    REFUSED = "an error of the model"
    UNREACHED = "HOLDS: never executed"
    UNCHANGED = "HOLDS: the very same program"


# --------------------------------------------------------------------------- names


@functools.cache
def _functions(file: str) -> tuple[ast.FunctionDef, ...]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def function_of(site: Site) -> str:
    """The function in which a site stands."""
    line = site.location.line
    (name,) = [
        node.name
        for node in _functions(site.location.file)
        if node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return name


@functools.cache
def sites_of(scenario: str) -> dict[str, Site]:
    """The sites of a scenario of the library by their names, which stay the same when lines move.

    ``zap_pte_range: lock mm.ptl``. Where a scenario has the same in several lines of a function,
    ``#2`` is the second of them.
    """
    alike: dict[str, list[Site]] = {}
    for site in kept.sites(LIBRARY[scenario], {}, {}):
        alike.setdefault(f"{function_of(site)}: {site.text}", []).append(site)
    names: dict[str, Site] = {}
    for name, sites in alike.items():
        if len(sites) == 1:
            names[name] = sites[0]
        else:
            ordered = sorted(sites, key=lambda site: site.location.line)
            names |= {f"{name} #{i}": site for i, site in enumerate(ordered, start=1)}
    return names


def is_step(scenario: str, site: Site) -> bool:
    """Whether a site does anything: a barrier does nothing where memory is in order without it."""
    if site.role != "barrier":
        return True
    options = options_of(LIBRARY[scenario].setup(), {})
    return site.text == "smp_mb()" and options["memory"] != "sc"


# --------------------------------------------------------------------------- outcomes


def outcomes(name: str) -> dict[str, Outcome]:
    """What leaving out each site of a safe scenario leads to, by the site's name."""
    scenario = LIBRARY[name]
    base = run(name, None)
    assert base.verdict is Verdict.HOLDS
    return {site: _outcome(scenario, at, base) for site, at in sites_of(name).items()}


def _explored(system: System, digest: str) -> Result:
    result = with_progress(native.explore(system, LIMITS, digest=digest))
    assert result.verdict is not Verdict.UNKNOWN, system.name
    return result


def _outcome(scenario: Scenario, site: Site, base: Result) -> Outcome:
    if is_step(scenario.name, site) and not is_reached(site, base):  # then it has the same states
        return Outcome.UNREACHED
    mutant, digest = kept.compiled_system(scenario, {}, {}, frozenset({site.id}))
    if mutant.fingerprint == base.system.fingerprint:
        return Outcome.UNCHANGED
    result = _explored(mutant, digest)
    broken = result.violation
    if broken is not None:
        model_error = broken.kind is ViolationKind.MODEL_ERROR
        return Outcome.REFUSED if model_error else Outcome.NEEDED
    return Outcome.GOAL if result.verdict is Verdict.VACUOUS else Outcome.SURVIVES
