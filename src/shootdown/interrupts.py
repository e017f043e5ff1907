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


class Interruptible:
    """A context in which Ctrl-C raises KeyboardInterrupt."""

    def __enter__(self) -> None:
        self.quits = signal.getsignal(signal.SIGINT) is _quit
        if self.quits:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        if self.quits:
            signal.signal(signal.SIGINT, _quit)


def _quit(*_: object) -> None:
    try:
        os.write(2, b"shootdown: interrupted\n")
    finally:
        os._exit(INTERRUPTED)
