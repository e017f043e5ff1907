"""What Ctrl-C does to the command line: one line and exit code 130, wherever the program is.

An exception may be lost or turned into another one where it is raised (while a class is made, in a
callback), and user code may catch it; so the process ends at once, but for a search, which ends
with what it knows.
"""

from __future__ import annotations

import os  # nothing more: until this is imported, Ctrl-C prints a traceback
import signal

INTERRUPTED = 130


def quit_on_interrupt() -> None:
    """From now on Ctrl-C ends the process, unless it was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _quit)


def leave_it_to_the_parent() -> None:
    """In a process that works for another one, Ctrl-C ends only a search: both may be told."""
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class Interruptible:
    """A context in which Ctrl-C raises KeyboardInterrupt."""

    def __enter__(self) -> None:
        self.before = signal.getsignal(signal.SIGINT)
        if self.before is _quit:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        elif self.before is _ignore:
            signal.signal(signal.SIGINT, _raise_once)

    def __exit__(self, *_: object) -> None:
        if self.before in (_quit, _ignore):
            signal.signal(signal.SIGINT, self.before)


class Noticed:
    """A context in which Ctrl-C is only counted (in the main thread; others get no signals)."""

    def __init__(self) -> None:
        self.times = 0

    def __enter__(self) -> Noticed:
        self.before = signal.getsignal(signal.SIGINT)
        if _in_main_thread():
            signal.signal(signal.SIGINT, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        if _in_main_thread():
            signal.signal(signal.SIGINT, self.before)

    def _count(self, *_: object) -> None:
        self.times += 1


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _ignore(*_: object) -> None:
    pass


def _raise_once(*_: object) -> None:
    signal.signal(signal.SIGINT, _ignore)
    raise KeyboardInterrupt


def _quit(*_: object) -> None:
    try:
        os.write(2, b"shootdown: interrupted\n")
    finally:
        os._exit(INTERRUPTED)
