"""The workloads of the library, and the variants of the kernel that they are run on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from shootdown.cost.workload import Workload
from shootdown.errors import ModelError, UsageError
from shootdown.lang.loader import did_you_mean, namespace
from shootdown.lang.scenario import Scenario

MODULES: tuple[str, ...] = (  # in the order in which they are listed
    "shootdown.workloads.dontneed",
    "shootdown.workloads.mappings",
    "shootdown.workloads.processes",
    "shootdown.workloads.contpte",
    "shootdown.workloads.sva",
    "shootdown.workloads.vmalloc",
    "shootdown.workloads.vmap_huge",
    "shootdown.workloads.reclaim",
    "shootdown.workloads.migration",
    "shootdown.workloads.pageout",
)
FOR_SYSTEM: Mapping[str, str] = {
    "S0": "dontneed",
    "K": "vmalloc",
    "PT": "vmap-huge",
    "S2a": "reclaim",
    "LUF": "reclaim",
    "S3": "contpte-munmap",
    "N": "sva",
}
"""The workload on which a system's variants are priced unless another one is named, by the first
part of their names: those of system S1 begin with ``K`` and ``PT``, those of S4 with ``N``."""


@cache
def workloads() -> tuple[Workload, ...]:
    """Every workload of :data:`MODULES`, in order."""
    found = [
        value
        for module in MODULES
        for value in vars(import_module(module)).values()
        if isinstance(value, Workload) and value.location.file == import_module(module).__file__
    ]
    return tuple(found)


def in_file(word: str) -> Workload:
    """The workload of a user's file: ``FILE.py``, or ``FILE.py::NAME`` if it has several."""
    path, _, name = word.partition("::")
    found = [value for value in namespace(path).values() if isinstance(value, Workload)]
    own = {w.name: w for w in found if w.location.file == os.path.abspath(path)}
    if not own:
        raise ModelError("no workload in this file: decorate a function with @workload", file=path)
    if not name and len(own) > 1:
        raise UsageError(f"{path} has {len(own)} workloads ({', '.join(own)}): write {path}::NAME")
    if name and name not in own:
        raise UsageError(f"{path} has no workload '{name}' (it has: {', '.join(own)})")
    return own[name] if name else next(iter(own.values()))


def find_workload(name: str | None, scenario: Scenario | None) -> Workload:
    """The workload of that name; without one, the one for a scenario's system.

    Raises :class:`UsageError` for a name that there is not, or a system without one.
    """
    if name is not None and (".py" in name or os.sep in name):
        return in_file(name)
    known = {workload.name: workload for workload in workloads()}
    if name is None and scenario is not None:
        name = FOR_SYSTEM.get(scenario.name.partition(".")[0])
        if name is None:
            raise UsageError(
                f"{scenario.name} has no workload of its own: name one with --workload "
                f"({', '.join(known)})"
            )
    if name is None:
        raise UsageError(f"name a workload with --workload: {', '.join(known)}")
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(f"there is no workload '{name}'{hint}; there are: {', '.join(known)}")
    return known[name]
