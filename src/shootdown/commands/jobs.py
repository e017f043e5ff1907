"""Several checks at the same time, in processes of their own; what they give comes in order.

The processes are forked: they have the user's models, which cannot be sent, and only plain values
come back.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shootdown.interrupts import Noticed, leave_it_to_the_parent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from shootdown.check.result import Progress
    from shootdown.commands.console import ProgressLine

_LOOK = 0.1  # seconds between two looks at what signals there were
_GRACE = 2.0  # seconds for a search to say how far it came

T = TypeVar("T")
Show = Callable[["Progress"], None]


def usable_cpus() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Work(Generic[T]):
    """Numbered tasks: ``run(number, show)`` does one, ``lost(number, why)`` stands for the result
    of one whose process was killed, ``line(number)`` shows the progress of one."""

    count: int
    run: Callable[[int, Show], T]
    lost: Callable[[int, str], T]
    line: Callable[[int], ProgressLine]


def in_order(work: Work[T], jobs: int) -> Generator[T]:
    """The results of all tasks in their order, each as soon as those before it are there."""
    if jobs == 1:
        for number in range(work.count):
            with work.line(number) as show:
                result = work.run(number, show)
            yield result
        return
    pool = _Pool(work, jobs)
    try:
        yield from pool.results()
    finally:
        pool.kill()


class _Pool(Generic[T]):
    """Processes that take one task after the other."""

    def __init__(self, work: Work[T], jobs: int) -> None:
        self.work = work
        self.todo: Iterator[int] = iter(range(work.count))
        self.deadline: float | None = None  # after Ctrl-C
        self.done: dict[int, T] = {}
        self.at: dict[Connection, int] = {}  # what each process is busy with
        self.processes: dict[Connection, BaseProcess] = {}
        for _ in range(jobs):
            self.start()

    def results(self) -> Iterator[T]:
        """Everything, in order. KeyboardInterrupt is raised where nothing more will come."""
        with Noticed() as interrupts:  # an exception could tear a message
            for number in range(self.work.count):
                with self.work.line(number) as show:
                    self.listen(number, show, interrupts)
                if number not in self.done:
                    raise KeyboardInterrupt
                yield self.done.pop(number)

    def listen(self, number: int, show: Show, interrupts: Noticed) -> None:
        """Hear the processes until a task is done; not for long after Ctrl-C."""
        from multiprocessing.connection import wait

        while number not in self.done and self.processes:
            for connection in wait(list(self.processes), _LOOK):
                self.hear(connection, number, show)
            if interrupts.times and self.deadline is None:
                self.interrupt()
            if interrupts.times > 1 or (self.deadline or math.inf) < time.monotonic():
                return

    def interrupt(self) -> None:
        """End the searches that are running, and begin no more."""
        self.todo = iter(())
        self.deadline = time.monotonic() + _GRACE
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGINT)

    def hear(self, connection: Any, wanted: int, show: Show) -> None:
        """Take what a process says: how far it is, or its result."""
        try:
            final, value = connection.recv()
        except (EOFError, OSError):
            self.bury(connection)
            return
        if final:
            self.done[self.at[connection]] = value
            self.next(connection)
        elif self.at[connection] == wanted:
            show(value)

    def next(self, connection: Connection) -> None:
        """Give a process its next task, if there is one."""
        number = next(self.todo, None)
        if number is None:
            process = self.processes.pop(connection)
            connection.close()
            process.kill()  # the others have copies of its pipe, so it would wait for ever
            process.join()
            return
        self.at[connection] = number
        with suppress(OSError):  # it is dead: hear() finds out
            connection.send(number)

    def start(self) -> None:
        """Start a process, unless there is nothing to do for it."""
        from multiprocessing import get_context

        context = get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self.work.run, os.getpid()), daemon=True
        )
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # till both are ready for it
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # no thread of ours runs here
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        self.processes[ours] = process
        self.next(ours)

    def bury(self, connection: Connection) -> None:
        """A process has died: its task is lost, and another process takes its place."""
        process = self.processes.pop(connection)
        process.join()
        code = process.exitcode or 0
        why = f"signal {-code} ended its process" if code < 0 else f"its process ended with {code}"
        number = self.at[connection]
        self.done[number] = self.work.lost(number, why)
        connection.close()
        self.start()

    def kill(self) -> None:
        """End every process, whatever it does."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()


def _serve(connection: Connection, run: Callable[[int, Show], object], parent: int) -> None:
    """One process: do what is asked for until nothing is."""
    leave_it_to_the_parent()
    _die_with_parent(parent)
    with suppress(EOFError, OSError):
        while True:
            number = connection.recv()
            result = run(number, lambda progress: connection.send((False, progress)))
            connection.send((True, result))


def _die_with_parent(parent: int) -> None:
    """Also if the parent is killed (Linux: PR_SET_PDEATHSIG), or was before this was asked for."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
