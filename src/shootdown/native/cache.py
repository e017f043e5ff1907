"""What is kept on disk between runs: each thing in a file of its own, named after its key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CACHE_BYTES = 128 << 20
_MAGIC = b"shootdown-code-3"
_PACKAGE = Path(__file__).resolve().parents[1]


def cache_folder() -> Path:
    """Where this user's caches are. A relative ``XDG_CACHE_HOME`` does not count, as the XDG Base
    Directory Specification says: it would be another folder wherever a command is run."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(root):
        root = os.path.expanduser("~/.cache")
    return Path(root) / "shootdown"


def kept_file(name: str) -> Path:
    """A file of the cache; its name is what :func:`name_of` says."""
    return cache_folder() / "code" / name


def name_of(*key: str) -> str:
    """The name of the file with what belongs to a key."""
    return hashlib.sha256("\0".join(key).encode()).hexdigest()


def read(file: Path) -> bytes | None:
    """The content of a cache file; None if there is none, or not all of it.

    What is read here is executed. So a file counts only if it belongs to this user (or to root) and
    nobody else may write to it, and if it was written under its own name.
    """
    try:
        # a pipe of that name must not make anybody wait
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = _content(handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    head, digest, code = content[:16], content[16:48], content[48:]
    if head != _MAGIC or _digest(file, code) != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # the oldest are removed first
    return code


def _content(handle: int) -> bytes:
    """What is in a file that can be trusted, else nothing."""
    status = os.fstat(handle)
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISREG(status.st_mode) or others or status.st_uid not in (0, os.geteuid()):
        return b""
    with open(handle, "rb", closefd=False) as file:
        return file.read()


def _digest(file: Path, code: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + code).digest()


def write(file: Path, code: bytes) -> None:
    """Keep something in a cache file, if that is possible at all."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix="new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_MAGIC + _digest(file, code) + code)
            Path(temporary).replace(file)
        except BaseException:  # a time limit too
            Path(temporary).unlink(missing_ok=True)
            raise
        if file.name < "1":  # one in sixteen is often enough
            _shrink(file.parent)


def _shrink(folder: Path) -> None:
    """Remove the oldest files until the rest is small enough."""
    files = sorted(((f.stat(), f) for f in folder.iterdir()), key=lambda p: p[0].st_mtime)
    size = sum(status.st_size for status, _ in files)
    for status, file in files:
        if size <= CACHE_BYTES:
            break
        file.unlink(missing_ok=True)
        size -= status.st_size


@cache
def sources(*parts: str) -> str:
    """What :func:`digest_of` said when it was first asked: a part of the key of what they make."""
    return digest_of(*parts)


def digest_of(*parts: str) -> str:
    """A digest of parts of this package, such as ``lang`` or ``check/native``: of the name and the
    text of each Python file in them."""
    digest = hashlib.sha256()
    for part in parts:
        for file in _python_files(str(_PACKAGE / part)):
            with open(file, "rb") as stream:
                text = stream.read()
            digest.update(f"{file.removeprefix(str(_PACKAGE))} {len(text)}\n".encode())
            digest.update(text)
    return digest.hexdigest()


def _python_files(place: str) -> Iterator[str]:
    if place.endswith(".py"):
        yield place
        return
    with os.scandir(place) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(".py"):
            yield entry.path
        elif entry.name != "__pycache__" and entry.is_dir():
            yield from _python_files(entry.path)
