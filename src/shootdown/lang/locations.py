"""Where a model file made something that an error may be about."""

from __future__ import annotations

import linecache
import sys

from shootdown.lang.ir import Location


def caller() -> Location:
    """Where the function was called that calls this one."""
    frame = sys._getframe(2)
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file, line, linecache.getline(file, line).strip())
