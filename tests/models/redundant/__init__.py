"""What can be left out of safe scenarios, and why: one table for each system of the reference."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from models.excuses import System
from models.redundant.asid import ASID
from models.redundant.luf import LUF
from models.redundant.s0 import S0
from models.redundant.s1 import S1
from models.redundant.s2a import S2A
from models.redundant.s3 import S3
from models.redundant.s4 import S4
from models.redundant.x1 import X1
from models.redundant.x2 import X2
from models.redundant.x3 import X3
from shootdown.lang.loader import scenarios_in
from shootdown.races import MODULES

SYSTEMS = (
    System(
        "S0", "zap, gather, flush", "s0.md", ("s0", "s0_lockless", "s0_questions", "s0_costs"), S0
    ),
    System("S1", "flushes that isolated CPUs are spared", "s1.md", ("s1", "s1_tables"), S1),
    System("S2a", "batched unmap", "s2a.md", ("s2a", "s2a_reclaim"), S2A),
    System(
        "S2b",
        "LUF, lazy unmap flush",
        "luf.md",
        ("luf", "luf_protect", "luf_findings", "luf_contents", "luf_costs"),
        LUF,
    ),
    System(
        "S3",
        "arm64 contpte",
        "s3.md",
        ("s3", "s3_convert", "s3_lockless", "s3_progress", "s3_costs"),
        S3,
    ),
    System(
        "S4",
        "devices that use a process's page table",
        "s4.md",
        ("s4", "s4_decide", "s4_copy", "s4_software", "historic_huge"),
        S4,
    ),
    System(
        "X1",
        "generations, lazy TLB, mm_cpumask, PCIDs",
        "x1.md",
        (
            *("x1", "x1_tables", "x1_asids", "x1_s0", "x1_historic"),
            *("x1_elsewhere", "x1_counts", "x1_machines", "x1_masks", "x1_lost"),
        ),
        X1,
    ),
    System(
        "X2",
        "walkers of page tables against freeing the tables",
        "x2.md",
        ("x2", "historic_tables", "x2_elsewhere", "x2_software"),
        X2,
    ),
    System(
        "X3",
        "rights that are taken without a gather",
        "x3.md",
        ("x3", "historic_rights", "historic_migrate", "historic_file", "x3_elsewhere"),
        X3,
    ),
    System(
        "ASID", "the arm64 ASID allocator", "asid.md", ("asid", "asid_labels", "asid_joined"), ASID
    ),
)


@cache
def _systems() -> dict[str, System]:
    """The system of each scenario, by name: that of the first module which has it."""
    owners = {module: system for system in SYSTEMS for module in system.modules}
    found: dict[str, System] = {}
    for module in MODULES:
        owner = owners.get(module.rpartition(".")[2])
        for named in scenarios_in(vars(import_module(module))):
            if owner is not None:
                found.setdefault(named.scenario.name, owner)
    return found


def system_of(scenario: str) -> System:
    """The system that a scenario of the library belongs to."""
    return _systems()[scenario]
