"""Standard output and error when nobody reads them any more."""

from __future__ import annotations

import contextlib
import os
import sys

BROKEN_PIPE = 141  # as the shell reports a program that SIGPIPE ended


def tell(text: str, end: str = "\n") -> bool:
    """Print results; False if nobody reads standard output any more (as with ``| head -1``)."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        forget_stdout()
        return False
    return True


def aside(text: str, end: str = "\n") -> None:
    """Print progress or an error; it does not matter if nobody reads it."""
    with contextlib.suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def forget_stdout() -> None:
    """Nobody reads on: keep Python from trying again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
