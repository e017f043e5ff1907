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
    "shootdown.races.s0_costs",
    "shootdown.races.s1",
    "shootdown.races.s1_tables",
    "shootdown.races.s2a",
    "shootdown.races.s2a_reclaim",
    "shootdown.races.luf",
    "shootdown.races.luf_contents",
    "shootdown.races.luf_protect",
    "shootdown.races.luf_findings",
    "shootdown.races.luf_costs",
    "shootdown.races.x3",
    "shootdown.races.historic_rights",
    "shootdown.races.historic_migrate",
    "shootdown.races.historic_file",
    "shootdown.races.x3_elsewhere",
    "shootdown.races.x1",
    "shootdown.races.x1_tables",
    "shootdown.races.x1_asids",
    "shootdown.races.x1_s0",
    "shootdown.races.x1_historic",
    "shootdown.races.x1_elsewhere",
    "shootdown.races.x1_counts",
    "shootdown.races.x1_machines",
    "shootdown.races.x1_masks",
    "shootdown.races.x1_lost",
    "shootdown.races.x2",
    "shootdown.races.historic_tables",
    "shootdown.races.x2_elsewhere",
    "shootdown.races.x2_software",
    "shootdown.races.s3",
    "shootdown.races.s3_convert",
    "shootdown.races.s3_lockless",
    "shootdown.races.s3_progress",
    "shootdown.races.s3_costs",
    "shootdown.races.asid",
    "shootdown.races.asid_labels",
    "shootdown.races.asid_joined",
    "shootdown.races.s4",
    "shootdown.races.s4_decide",
    "shootdown.races.s4_copy",
    "shootdown.races.s4_software",
    "shootdown.races.historic_huge",
)


@cache
def library() -> tuple[Scenario, ...]:
    """Every scenario of :data:`MODULES`, each once, in order; names and aliases are unique."""
    found = {id(scenario): scenario for name in MODULES for scenario in of_module(name)}
    check_unique(found.values())
    return tuple(found.values())


def of_module(module: str) -> tuple[Scenario, ...]:
    """The scenarios that one of :data:`MODULES` has, those that it imports included."""
    return tuple(named.scenario for named in scenarios_in(vars(import_module(module))))
