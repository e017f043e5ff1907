"""A time limit on work that does not look at a clock: compiling a model."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from shootdown.errors import UnfinishedError

TO_SHOW = 1.0
"""Seconds that a race which was found has to be shown, also where the time is up."""

_AGAIN = 0.25  # seconds


class _TimeIsUp(BaseException):
    """Not an Exception: nothing on the way may take it for a user's mistake."""


@contextlib.contextmanager
def time_limit(seconds: float | None, message: str) -> Iterator[None]:
    """Raise :class:`UnfinishedError` with ``message`` when ``seconds`` have passed.

    Native code is not interrupted, only what comes after it. Threads other than the main one get
    no signals, so there the limit has no effect.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise _TimeIsUp

    def tell_unless_it_rang(told: sys.UnraisableHookArgs) -> None:
        if told.exc_type is not _TimeIsUp:
            hook(told)

    before, hook = signal.signal(signal.SIGALRM, ring), sys.unraisablehook
    try:
        sys.unraisablehook = tell_unless_it_rang
        # again and again: an exception is lost where Python calls a destructor
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), _AGAIN)
        yield
    except _TimeIsUp:
        raise UnfinishedError(message) from None
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
