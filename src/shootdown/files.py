"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile

from shootdown.errors import UsageError, shortened


def write_whole(path: str, text: str) -> None:
    """Write a text file that the user named, so that an old one stays until the new one is there.

    What is no ordinary file (a pipe, ``/dev/stdout``) is written as it is. Raises
    :class:`UsageError` where that is not possible.
    """
    target = os.path.realpath(path)
    try:
        mode = _mode(target)
        if mode is None or not os.access(os.path.dirname(target), os.W_OK):
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
        else:
            _replace(target, text, mode)
    except OSError as error:
        raise UsageError(f"cannot write '{shortened(path)}': {error.strerror}") from None


def _mode(target: str) -> int | None:
    """The mode that the new file is to have; None for what cannot be replaced."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
    if not stat.S_ISREG(status.st_mode):
        return None
    with open(target, "ab"):  # a file that the user must not write is not replaced either
        return stat.S_IMODE(status.st_mode)


def _replace(target: str, text: str, mode: int) -> None:
    folder, name = os.path.split(target)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name[:200]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
