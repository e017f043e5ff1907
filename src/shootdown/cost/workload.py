"""What is priced: a machine, and who runs what on it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shootdown.errors import ModelError, UsageError
from shootdown.lang.decorators import Function
from shootdown.lang.ir import Location
from shootdown.lang.loader import user_code
from shootdown.lang.locations import caller
from shootdown.lang.scenario import Thread
from shootdown.lang.types import Object

MOST_CPUS = 4096
MOST = 1 << 40
"""The greatest value of a workload's parameter."""


@dataclass(frozen=True)
class Machine:
    """The hardware of a priced run.

    ``cpu`` is the population that threads run on. ``instead`` exchanges functions of the adversary
    (and of the page allocator) for those of this machine; ``observers`` see writes of fields, also
    of ghost ones. ``handler`` is the path of a CPU's
    interrupts. ``spans`` and ``lists`` say how sets of large populations are kept (see
    :mod:`shootdown.lang.large`). ``frame`` is the population that ``take_frame()`` gives out.
    ``options`` are the hardware's, and of the kernel for it; ``only`` are options of which this
    machine has no other value, so that a variant with another one is not priced. ``columns`` are
    the two counts that comparisons show of this machine, with the names that they are counted
    under; empty: flushes and IPIs. ``profile`` names the prices that it has unless others are
    named.
    """

    name: str
    cpu: type[Object]
    frame: type[Object]
    instead: Mapping[Function[..., Any], Function[..., Any]]
    spans: frozenset[type[Object]]
    lists: frozenset[type[Object]]
    handler: Function[..., Any] | None = None
    observers: tuple[Function[..., Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    profile: str = "skylake-2s"


@dataclass(frozen=True)
class Plan:
    """One instance of a workload.

    ``sizes`` are the populations. ``start`` is a path that runs alone on the first CPU before time
    begins, and is not counted. ``threads`` are the workload's, at most one on each CPU; daemons
    end with the last of the others. ``work`` says how much of its own unit the workload does, so
    that counts can be given for each of it: ``{"pages": 62_656}``.
    """

    machine: Machine
    sizes: Mapping[type[Object], int]
    threads: Sequence[Thread]
    start: Thread | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    work: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """A named generator of plans. ``parameters`` are its integers with their defaults."""

    name: str
    title: str
    build: Callable[..., Plan]
    parameters: Mapping[str, int]
    location: Location
    doc: str = ""

    def plan(self, parameters: Mapping[str, int] | None = None) -> Plan:
        """Build it for some parameters (the defaults for those not given).

        Raises :class:`UsageError` for an unknown name, :class:`ModelError` if the function returns
        anything but a plan.
        """
        unknown = sorted(set(parameters or {}) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise UsageError(
                f"workload {self.name} has no parameter '{unknown[0]}'; it has: {known}"
            )
        for parameter, value in (parameters or {}).items():
            most = MOST_CPUS if parameter == "cpus" else MOST
            if value > most:
                raise UsageError(
                    f"{self.name}: {parameter}={value} is too large: {most} is the most"
                )
        refused: UsageError | None = None
        with user_code(self.location.file, f"building {self.name}"):
            given = {**self.parameters, **(parameters or {})}
            try:
                plan = self.build(**given)
            except UsageError as error:  # the workload's own words to its user
                refused = error
            except ZeroDivisionError:
                zeros = [f"{name}=0" for name, value in (parameters or {}).items() if value == 0]
                if not zeros:
                    raise
                refused = UsageError(
                    f"workload {self.name} divides by a parameter that is 0: "
                    f"{', '.join(zeros)}; give 1 or more"
                )
        if refused is not None:
            raise refused
        if not isinstance(plan, Plan):
            raise ModelError(
                f"workload {self.name} returned {type(plan).__name__}, not Plan(...)",
                file=self.location.file,
                line=self.location.line,
            )
        from shootdown.cost.plans import check_plan

        check_plan(plan, self.location)
        return plan


REGISTRY: dict[str, Workload] = {}


def workload(name: str) -> Callable[[Callable[..., Plan]], Workload]:
    """Make a workload of a function that returns a :class:`Plan`; the first paragraph of its
    docstring is the title."""
    at = caller()

    def decorate(build: Callable[..., Plan]) -> Workload:
        parameters: dict[str, int] = {}
        for parameter in inspect.signature(build).parameters.values():
            if not isinstance(parameter.default, int):
                raise ModelError(
                    f"workload '{name}': parameter '{parameter.name}' needs an integer default",
                    file=build.__code__.co_filename,
                    line=build.__code__.co_firstlineno,
                )
            parameters[parameter.name] = parameter.default
        doc = inspect.cleandoc(build.__doc__ or "")
        title = " ".join(doc.partition("\n\n")[0].split()) or name
        found = Workload(name, title, build, parameters, at, doc)
        REGISTRY[name] = found
        return found

    return decorate
