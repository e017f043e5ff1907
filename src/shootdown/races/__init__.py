"""The library of scenarios: the historic races and the systems of the reference."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from shootdown.lang.loader import check_unique, scenarios_in
from shootdown.lang.scenario import Scenario

MODULES: tuple[str, ...] = (  # in the order of `shootdown list`
    "shootdown.races.s0",
    "shootdown.races.s0_lockless",
    "shootdown.races.s0_questions",
)


@cache
def library() -> tuple[Scenario, ...]:
    """Every scenario of :data:`MODULES`, each once, in order; names and aliases are unique."""
    found: dict[int, Scenario] = {}
    for name in MODULES:
        for named in scenarios_in(vars(import_module(name))):
            found.setdefault(id(named.scenario), named.scenario)
    check_unique(found.values())
    return tuple(found.values())
