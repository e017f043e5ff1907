"""The file of a search that is not finished: written as a whole or not at all, read with suspicion.

Layout, all numbers in the byte order of the machine that wrote it::

    16  magic
     4  0x01020304, as this machine writes it: tells the byte order
     4  version of this layout
     8  length of the description
     n  description: JSON, filled up with blanks to a multiple of 8
    32  SHA-256 of everything before it
     m  the parts that the description's "sizes" announce, one after the other
    32  SHA-256 of everything before it

The head has a digest of its own, so that a file of another search is known as one before gigabytes
are read. Parts are written from, and read to, where they lie in memory: there is no second copy.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shootdown.errors import UsageError

MAGIC = b"shootdown search"
VERSION = 1

_ORDER = 0x01020304
_HEAD = struct.Struct("=16sIIQ")
_DIGEST = hashlib.sha256().digest_size
_CHUNK = 32 << 20
_LONGEST_DESCRIPTION = 64 << 20


# ------------------------------------------------------------------------------------- writing


def write(
    file: Path, description: Mapping[str, Any], parts: Sequence[memoryview], spared: float = 0.0
) -> int:
    """Put a search into ``file``, replacing what is there in one step; the bytes written.

    ``spared`` is the part of the disk's free space that must remain. Raises OSError if it cannot be
    written: ``file`` is then as it was, and nothing lies beside it.
    """
    sizes = [part.nbytes for part in parts]
    head = _head({**description, "sizes": sizes})
    length = len(head) + sum(sizes) + _DIGEST
    with _partial(file) as (handle, partial):
        disk = os.fstatvfs(handle)
        free = disk.f_bavail * disk.f_frsize
        if length > free * (1 - spared):
            raise OSError(errno.ENOSPC, f"it takes {length:,} bytes, and {free:,} are free there")
        digest = hashlib.sha256()
        for piece in (memoryview(head), *_pieces(parts)):
            digest.update(piece)
            _write_all(handle, piece)
            if piece.nbytes == _CHUNK:
                # what is on disk need not stay in memory, which a search may have little of
                os.fdatasync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        _write_all(handle, memoryview(digest.digest()))
        os.fsync(handle)
        os.replace(partial, file)
    _sync_folder(file.parent)
    return length


def refuse_unwritable(file: Path) -> None:
    """Refuse a place for checkpoints that cannot be one, or where something would be lost."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        if not file.parent.is_dir():
            raise _cannot("write", file, f"there is no directory '{file.parent}'") from None
    except OSError as error:
        raise _cannot("write", file, error.strerror) from None
    else:
        if not stat.S_ISREG(found.st_mode):
            raise _cannot("write", file, "it is not a regular file")
        if found.st_size and _begins_like_one(file):
            raise UsageError(
                f"'{file}' is a checkpoint already: go on from it with --resume {file}, "
                "or remove it first"
            )
        if found.st_size:
            raise _cannot("write", file, "it is another file, which would be lost")
    try:
        with _partial(file) as (_, partial):
            partial.unlink()
    except OSError as error:
        raise _cannot("write", file, error.strerror) from None


@contextlib.contextmanager
def _partial(file: Path) -> Iterator[tuple[int, Path]]:
    """A file beside ``file`` to write to: its descriptor, and its path. It is gone afterwards.

    Its name is always the same, so what a killed process left is used again.
    """
    partial = file.with_name(f".{file.name}.partial")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(partial, flags, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: another search's
        content = os.pread(handle, len(MAGIC), 0)
        if content != MAGIC[: len(content)]:
            raise FileExistsError(errno.EEXIST, f"'{partial}' is in the way")
        try:
            os.ftruncate(handle, 0)
            yield handle, partial
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    finally:
        os.close(handle)


def _head(description: Mapping[str, Any]) -> bytes:
    text = json.dumps(description).encode()
    text += b" " * (-len(text) % 8)
    head = _HEAD.pack(MAGIC, _ORDER, VERSION, len(text)) + text
    return head + hashlib.sha256(head).digest()


def _pieces(parts: Sequence[memoryview]) -> Iterator[memoryview]:
    for part in parts:
        whole = part.cast("B")
        for start in range(0, whole.nbytes, _CHUNK):
            yield whole[start : start + _CHUNK]


def _write_all(handle: int, piece: memoryview) -> None:
    while piece.nbytes:
        piece = piece[os.write(handle, piece) :]


def _sync_folder(folder: Path) -> None:
    """Make a new name last; some file systems cannot, and need not."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _begins_like_one(file: Path) -> bool:
    try:
        with open(file, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


# ------------------------------------------------------------------------------------- reading


class Reader:
    """A checkpoint that is being read. Everything wrong with it is a UsageError."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            # without O_NONBLOCK a FIFO would wait for a writer
            self._handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot("read", file, error.strerror) from None
        try:
            self._digest = hashlib.sha256()
            self.description = self._read_head()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def read(self, parts: Sequence[memoryview]) -> None:
        """Fill the parts, which are as long as the description says, and check the whole file."""
        for piece in _pieces(parts):
            self._fill(piece)
            self._digest.update(piece)
        self._check_digest()

    def _read_head(self) -> dict[str, Any]:
        found = os.fstat(self._handle)
        if not stat.S_ISREG(found.st_mode):
            raise _cannot("read", self.file, "it is not a regular file")
        if found.st_size < _HEAD.size and MAGIC.startswith(self._peek(len(MAGIC))):
            raise self._cut_off()
        magic, order, version, length = _HEAD.unpack(self._take(_HEAD.size))
        if magic != MAGIC:
            raise UsageError(f"'{self.file}' is no checkpoint of shootdown")
        if order == int.from_bytes(_ORDER.to_bytes(4, "big"), "little"):
            raise UsageError(
                f"'{self.file}' was written on a machine with another byte order: "
                "go on with the search there"
            )
        if order != _ORDER:
            raise self._damaged()
        if version != VERSION:
            raise UsageError(
                f"'{self.file}' has version {version} of the format of checkpoints, and this "
                f"shootdown reads version {VERSION}: go on with the shootdown that wrote it"
            )
        if length > _LONGEST_DESCRIPTION:
            raise self._damaged()
        text = self._take(length)
        self._check_digest()
        description: dict[str, Any] = json.loads(text)
        whole = _HEAD.size + length + 2 * _DIGEST + sum(description["sizes"])
        if found.st_size < whole:
            raise self._cut_off()
        if found.st_size > whole:
            raise self._damaged()
        return description

    def _peek(self, size: int) -> bytes:
        try:
            return os.pread(self._handle, size, 0)
        except OSError as error:
            raise _cannot("read", self.file, error.strerror) from None

    def _take(self, size: int) -> bytes:
        content = bytearray(size)
        self._fill(memoryview(content))
        self._digest.update(content)
        return bytes(content)

    def _fill(self, piece: memoryview) -> None:
        while piece.nbytes:
            try:
                read = os.readv(self._handle, [piece])
            except OSError as error:
                raise _cannot("read", self.file, error.strerror) from None
            if not read:
                raise self._cut_off()
            piece = piece[read:]

    def _check_digest(self) -> None:
        expected = self._digest.digest()
        content = bytearray(_DIGEST)
        self._fill(memoryview(content))
        self._digest.update(content)
        if content != expected:
            raise self._damaged()

    def _damaged(self) -> UsageError:
        return UsageError(
            f"'{self.file}' is damaged (its checksum is wrong): start the search again"
        )

    def _cut_off(self) -> UsageError:
        return UsageError(f"'{self.file}' is cut off: its end is missing; start the search again")


def _cannot(what: str, file: Path, why: str | None) -> UsageError:
    return UsageError(f"cannot {what} the checkpoint '{file}': {why or 'unknown error'}")
