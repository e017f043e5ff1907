"""Files of the user: tests, and other people's answers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from shootdown.litmus.errors import LitmusSyntaxError


def read_text(path: Path, what: str) -> str:
    """The text of a file in UTF-8; a byte order mark at its beginning is no part of it.

    :class:`LitmusSyntaxError` names ``what`` it is ("the test") if it cannot be read, or is no
    regular file: a pipe or a device may never end.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for somebody who writes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            with open(handle, encoding="utf-8-sig") as file:
                return file.read()
        os.close(handle)
        reason = "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file"
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "it is not text in UTF-8"
    raise LitmusSyntaxError(f"cannot read {what}: {reason}", file=str(path))
