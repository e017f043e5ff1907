"""Who waits for what when a run does not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shootdown.lang.kinds import LockKind
from shootdown.lang.large import Region
from shootdown.lang.space import show_key

if TYPE_CHECKING:
    from shootdown.cost.engine import Run

SHOWN = 8
"""Threads that are named one by one."""


def stuck(run: Run) -> str:
    """Say which threads wait for ever, and for what."""
    waiting = [t for t in range(len(run.threads)) if run.arrays["VITAL"][t]]
    lines = [f"  {thread_name(run, t)} waits for {_what(run, t)}" for t in waiting[:SHOWN]]
    handlers = range(run.first_handler, len(run.threads))
    lines += [
        f"  {thread_name(run, t)} waits for {_what(run, t)}"
        for t in handlers
        if run.arrays["QUEUE_OF"][t]
    ]
    if len(waiting) > SHOWN:
        lines.append(f"  and {len(waiting) - SHOWN} more")
    return "\n".join(
        [f"{len(waiting)} threads wait for ever, and nothing else can happen:", *lines]
    )


def deadlock(run: Run) -> bool:
    """Whether some threads wait for spinlocks of each other, while others (daemons) run."""
    return any(run.arrays["QUEUE_OF"][t] and _in_circle(run, t) for t in range(len(run.threads)))


def _in_circle(run: Run, thread: int) -> bool:
    seen = set()
    while thread not in seen:
        seen.add(thread)
        if not run.arrays["QUEUE_OF"][thread]:
            handler = run.arrays["HANDLER"][run.threads[thread][2]] - 1
            if not run.arrays["STOPPED"][thread] or handler < 0:
                return False
            thread = handler
            continue
        region, element = _lock(run, run.arrays["QUEUE_OF"][thread] - 1)
        if not isinstance(region.storage.element, LockKind):
            return False
        thread = run.arrays["STATE"][region.storage.base + element] - 1
        if thread < 0:
            return False
    return True


def thread_name(run: Run, thread: int) -> str:
    """A thread by its CPU and its path."""
    code, _, cpu = run.threads[thread]
    return f"CPU {cpu} ({code.key[0].name})"


def _what(run: Run, thread: int) -> str:
    """What a thread waits for."""
    lock = run.arrays["QUEUE_OF"][thread]
    if lock:
        region, element = _lock(run, lock - 1)
        state = run.arrays["STATE"][region.storage.base + element]
        if isinstance(region.storage.element, LockKind):
            return f"{_name(region, element)}, which {thread_name(run, state - 1)} holds"
        held = "for writing" if state >= _writer() else "for reading"
        return f"{_name(region, element)}, which is held {held}"
    for number in range(run.layout.waited_count):
        at = run.arrays["WAITERS"][number]
        while at:
            if at - 1 == thread:
                return _condition(run, number)
            at = run.arrays["NEXT"][at - 1]
    return "an interrupt to end" if run.arrays["STOPPED"][thread] else "an interrupt"


def _condition(run: Run, number: int) -> str:
    """A condition by its entry: the field that must change, or one of several."""
    for regions, entry in run.layout.groups.items():
        if entry == number:
            names = sorted(run.space.regions[base].name for base in regions)
            return f"a change of {' or '.join(names)}"
    before = [(first, base) for base, first in run.layout.waited.items() if first <= number]
    first, base = max(before)
    return f"a change of {_name(run.space.regions[base], number - first)}"


def _lock(run: Run, number: int) -> tuple[Region, int]:
    """The region of a lock, and which of its elements it is."""
    first, base = max((f, b) for b, f in run.layout.locks.items() if f <= number)
    return run.space.regions[base], number - first


def _name(region: Region, element: int) -> str:
    """An element of a field, as a model would write it."""
    keys = []
    for kind, stride in region.storage.dims:
        index, element = divmod(element, stride // region.width)
        keys.append(show_key(kind, index))
    field = region.name.rpartition(".")[2]
    owner = f"{keys.pop(0)}." if "." in region.name else ""
    return owner + field + "".join(f"[{key}]" for key in keys)


def _writer() -> int:
    from shootdown.cost import runtime

    return runtime.TIMES["WRITER"]
