"""What a plan may hold; errors name the line of the ``Thread(...)``, or of the workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shootdown.cost.workload import Plan
from shootdown.errors import ModelError
from shootdown.lang.ir import Location
from shootdown.lang.large import Span
from shootdown.lang.large.parts import LargeKinds
from shootdown.lang.scenario import Setup, Thread
from shootdown.lang.setups import check_objects, check_setup, is_a, named, thread_arguments
from shootdown.lang.source import source_of
from shootdown.lang.types import Object, population

MOST = 1 << 30
"""Objects of a population; the number of one more than the last fits in half a word."""
MOST_CPUS = 4096
LARGEST = 1 << 62  # integers of a thread's arguments


def check_plan(plan: Plan, at: Location | None = None) -> None:
    """Refuse a plan that cannot be run; ``at`` is the workload's line."""

    def fail(message: str, hint: str | None = None, at: Location | None = at) -> ModelError:
        message = message.replace("the scenario", "the workload")
        if at is None:
            return ModelError(message, hint=hint)
        return ModelError(message, file=at.file, line=at.line, text=at.text, hint=hint)

    machine = plan.machine
    for name in ("options", "work"):
        if not is_a(getattr(plan, name), dict):
            raise fail(f"{name}= takes a dict, not {named(getattr(plan, name))}")
    started = [] if plan.start is None else [plan.start]
    if not is_a(plan.threads, (list, tuple)):
        raise fail(f"threads= takes a list, not {named(plan.threads)}", "write threads=[...]")
    setup = Setup(sizes=plan.sizes, threads=[*started, *plan.threads])
    check_setup(setup, fail)
    for cls, size in plan.sizes.items():
        if size > MOST:
            raise fail(f"{size:,} {cls.__name__} are too many: {MOST:,} are the most")
    sized = {population(cls) for cls in plan.sizes}
    for needed in (machine.cpu, machine.frame):
        if population(needed) not in sized:
            name = needed.__name__
            raise fail(f"sizes= says nothing of {name}, which machine {machine.name} needs",
                       f"add {name}: N to sizes={{...}}")  # fmt: skip
    kinds = LargeKinds(plan.sizes, machine.spans, machine.lists)
    if kinds.count(machine.cpu) > MOST_CPUS:
        raise fail(f"{kinds.count(machine.cpu):,} CPUs are too many: {MOST_CPUS:,} are the most")
    for thread in setup.threads:
        for item in _objects((thread.on, *thread.args, *thread.options.values())):
            if population(type(item)) not in sized:
                name = type(item).__name__
                raise fail(f"{thread!r}: sizes= says nothing of {name}",
                           f"add {name}: N to sizes={{...}}", thread.location)  # fmt: skip
    check_objects(setup, kinds, fail)
    if not any(not thread.daemon for thread in plan.threads):
        raise fail("there is nothing to price: a workload needs a thread that is no daemon")
    taken: dict[int, Thread] = {}
    for thread in setup.threads:
        _check_thread(thread, plan, kinds, fail)
        if thread is plan.start:
            continue
        assert thread.on is not None
        other = taken.setdefault(thread.on.index, thread)
        if other is not thread:
            raise fail(
                f"{thread!r} and {other!r} are both on {thread.on!r}: a CPU runs one thread of a "
                "workload",
                at=thread.location,
            )


def _check_thread(thread: Thread, plan: Plan, kinds: LargeKinds, fail: Any) -> None:
    at, cpu = thread.location, plan.machine.cpu
    if thread.on is None:
        raise fail(f"{thread!r} of a workload needs on=: the CPU that it runs on",
                   f"write on={cpu.__name__}(0)", at)  # fmt: skip
    if population(type(thread.on)) is not population(cpu):
        raise fail(f"{thread!r} is on {thread.on!r}, which is no CPU of machine "
                   f"{plan.machine.name}", f"write on={cpu.__name__}(0)", at)  # fmt: skip
    if thread.when is not None:
        raise fail(f"{thread!r}: when= has no price", "wait in the path, with wait_until()", at)
    thread_arguments(thread, source_of(thread.path), fail)
    for value in (*thread.args, *thread.options.values()):
        if isinstance(value, Span):
            _check_span(value, thread, kinds, fail)
        elif is_a(value, int) and not -LARGEST < value < LARGEST:
            raise fail(f"{thread!r}: {value} is too large", at=at)


def _check_span(span: Span, thread: Thread, kinds: LargeKinds, fail: Any) -> None:
    at = thread.location
    if not (is_a(span.cls, type) and population_like(span.cls)):
        raise fail(f"{thread!r}: a Span is of a population, not of {named(span.cls)}", at=at)
    name = span.cls.__name__
    if population(span.cls) not in kinds.spans:
        raise fail(f"{thread!r}: sets of {name} are no spans on this machine", at=at)
    if not all(is_a(n, int) and n >= 0 for n in (span.first, span.count)):
        raise fail(f"{thread!r}: Span({name}, {span.first!r}, {span.count!r}) has no meaning: "
                   "the first and how many, from 0 up", at=at)  # fmt: skip
    count = kinds.count(span.cls)
    if span.first + span.count > count:
        raise fail(f"{thread!r}: Span({name}, {span.first}, {span.count}) ends after the last: "
                   f"there are {count}", at=at)  # fmt: skip


def _objects(value: Any) -> Iterator[Object]:
    if isinstance(value, Object):
        yield value
    elif isinstance(value, Span):
        if is_a(value.cls, type) and population_like(value.cls):
            yield value.cls(0)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _objects(item)


def population_like(cls: Any) -> bool:
    """Whether a class is a population."""
    return issubclass(cls, Object)
