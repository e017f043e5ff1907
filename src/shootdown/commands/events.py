"""``--json-events``: what happens during a search, for programs: one JSON object on each line.

The schema is report/schemas/events.json.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shootdown.commands.streams import aside
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.check.reduce import Reduction
    from shootdown.check.result import Progress, Result
    from shootdown.commands.targets import Target
    from shootdown.report.run import Broken, Run

EVERY = 1.0
"""Seconds between two reports of progress."""


class Events:
    """Where events go: nowhere (None), to standard error (``-``) or to the end of a file.

    Several processes may share it: each event is written at once, so lines stay whole.
    """

    def __init__(self, where: str | None) -> None:
        self._handle: int | None = None
        self.on_stderr = where == "-"
        if where == "-":
            self._handle = 2
        elif where is not None:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._handle = os.open(where, flags, 0o666)
            except OSError as error:
                raise UsageError(f"cannot write '{where}': {error.strerror}") from None

    def __bool__(self) -> bool:
        return self._handle is not None

    def tell(self, event: str, target: str, **more: Any) -> None:
        """Write one event; nothing more once that was not possible."""
        if self._handle is None:
            return
        import json

        said = {"event": event, "time": round(time.time(), 3), "target": target, **more}
        line = memoryview(json.dumps(said).encode() + b"\n")
        try:
            while line:
                line = line[os.write(self._handle, line) :]
        except BrokenPipeError:
            self._handle = None  # nobody reads on
        except OSError as error:
            self._handle = None
            aside(f"shootdown: cannot write events: {error.strerror}")


def started(events: Events, target: Target, arguments: argparse.Namespace) -> None:
    """Tell that a check begins: now its model is compiled."""
    if not events:
        return
    from shootdown.commands.version import version

    events.tell(
        "start",
        target.text,
        schema="shootdown/events/1",
        version=version(),
        name=target.scenario.name,
        limits={
            "states": arguments.max_states,
            "memory_bytes": arguments.max_memory,
            "seconds": arguments.max_time,
        },
    )


def reporting(
    events: Events, target: Target, show: Callable[[Progress], None]
) -> Callable[[Progress], None]:
    """Something to show progress with, that tells it too, once in a while."""
    if not events:
        return show
    from shootdown.check.estimate import Pace

    pace, last = Pace(), -math.inf

    def tell(progress: Progress) -> None:
        nonlocal last
        show(progress)
        estimate, now = pace.look(progress), time.monotonic()
        if now - last < EVERY:
            return
        last = now
        events.tell(
            "progress",
            target.text,
            states=progress.states,
            expanded=progress.expanded,
            frontier=progress.states - progress.expanded,
            depth=progress.depth,
            states_per_second=round(estimate.rate),
            seconds=round(progress.elapsed, 3),
            memory_bytes=progress.memory,
            memory_limit_bytes=progress.memory_limit,
            estimated_states=estimate.states,
            left_seconds=None if estimate.left is None else round(estimate.left, 1),
        )

    return tell


def on_reduced(events: Events, target: Target) -> Callable[[Result, Reduction], None]:
    """Something that tells that the search begins again with reductions."""

    def tell(first: Result, reduce: Reduction) -> None:
        events.tell(
            "reduced",
            target.text,
            reductions=list(reduce.names),
            symmetry_given_up=reduce.given_up,
            states=first.states,
            depth=first.depth,
            seconds=round(first.seconds, 3),
        )

    return tell


def ended(events: Events, target: Target, run: Run | Broken) -> None:
    """Tell how a check ended."""
    if not events:
        return
    from shootdown.report.run import Broken, exit_code, verdict_name

    result = None if isinstance(run, Broken) else run.result
    events.tell(
        "end",
        target.text,
        verdict=verdict_name(run),
        exit_code=exit_code(run),
        states=None if result is None else result.states,
        expanded=None if result is None else result.expanded,
        transitions=None if result is None else result.transitions,
        depth=None if result is None else result.depth,
        seconds=None if result is None else round(result.seconds, 3),
        stopped=None if result is None else result.stopped,
        checkpoint=None if result is None else result.checkpoint,
        omission_below=None if result is None or not result.fingerprints else result.omission,
        error=run.error if isinstance(run, Broken) else None,
    )
