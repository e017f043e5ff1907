"""A digest of the sources of the library, taken before anything of it is imported, and whether what
was imported is what they say."""

from __future__ import annotations

import linecache
import marshal
import os
import sys
import time
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from shootdown.native.cache import digest_of, kept_file, name_of, read, write
from shootdown.native.pickles import packed, unpacked

_PARTS = ("lang", "hardware", "linux", "races", "errors.py")
_PACKAGES = tuple(f"shootdown.{part.removesuffix('.py')}" for part in _PARTS)

SOURCES = digest_of(*_PARTS)
"""What the library is made of: its models and the compiler."""

_BEGAN = time.time()
_looked_at: set[str] = set()  # modules
_verified: set[object] = set()  # what of _taken() was found to be of SOURCES


def as_imported() -> bool:
    """Whether the sources are still what they were, and what was imported is what they say.

    Python takes bytecode for that of a source with the same time (in seconds) and size, so it may
    be another one's: of a mistake that was tried for a moment.

    What this process has taken from the sources it does not read again. So it looks at them only if
    it has taken more since the last time that all was well.
    """
    taken = _taken()
    if not taken <= _verified:
        if digest_of(*_PARTS) != SOURCES or not _bytecode_is_current():
            return False
        _verified.update(taken)
    return True


def _taken() -> frozenset[object]:
    """The modules that were imported, and the texts that the compiler was given."""
    modules = [name for name in sys.modules if name.startswith(_PACKAGES)]
    texts = [(file, entry[:2]) for file, entry in linecache.cache.items()]  # size and time
    return frozenset([*modules, *texts])


def _bytecode_is_current() -> bool:
    """Whether the bytecode of the modules that were imported is that of their sources; which pairs
    of both were found to belong together is kept, since to compile a source takes milliseconds."""
    kept = unpacked(read(_file()))
    known: frozenset[str] = kept if isinstance(kept, frozenset) else frozenset()
    found: set[str] = set()
    for name, module in list(sys.modules.items()):
        if not name.startswith(_PACKAGES) or name in _looked_at:
            continue
        try:
            pair = _source_and_bytecode(module)
        except OSError:
            return False
        if pair is not None:
            digest = sha256(b"\0".join(pair)).hexdigest()
            if digest not in known and not _belong_together(*pair):
                return False
            found.add(digest)
        _looked_at.add(name)
    if not found <= known:
        content = packed(known | found)
        if content is not None:
            write(_file(), content)
    return True


def _source_and_bytecode(module: ModuleType) -> tuple[bytes, bytes] | None:
    """What they are, if this process has not read the source itself."""
    source, cached = module.__file__, getattr(module, "__cached__", None)
    try:
        if source is None or cached is None or os.stat(cached).st_mtime >= _BEGAN:
            return None
        return Path(source).read_bytes(), Path(cached).read_bytes()
    except FileNotFoundError:
        return None  # there is no bytecode


def _belong_together(source: bytes, bytecode: bytes) -> bool:
    try:
        code = marshal.loads(bytecode[16:])  # behind the head
        return bool(code == compile(source, "", "exec", dont_inherit=True))
    except (ValueError, EOFError, TypeError):
        return False


def _file() -> Path:
    return kept_file(name_of("bytecode", SOURCES, sys.version))
