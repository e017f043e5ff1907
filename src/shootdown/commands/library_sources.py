"""A digest of the sources of the library, taken before anything of it is imported, and whether what
was imported is what they say."""

from __future__ import annotations

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


def as_imported() -> bool:
    """Whether the sources are still what they were, and what was imported is what they say.

    Python takes bytecode for that of a source with the same time (in seconds) and size, so it may
    be another one's: of a mistake that was tried for a moment.
    """
    return digest_of(*_PARTS) == SOURCES and all(map(_is_current, _modules()))


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(_PACKAGES) and name not in _looked_at
    ]


def _is_current(module: ModuleType) -> bool:
    """Whether a module's bytecode is that of its source."""
    source, cached = module.__file__, getattr(module, "__cached__", None)
    try:
        if source is None or cached is None or os.stat(cached).st_mtime >= _BEGAN:
            return True  # this process has read the source
        with open(source, "rb") as file:
            text = file.read()
        with open(cached, "rb") as file:
            bytecode = file.read()
    except FileNotFoundError:
        return True  # there is no bytecode
    except OSError:
        return False
    pair = sha256(text + b"\0" + bytecode).hexdigest()
    known = unpacked(read(_file()))
    pairs: frozenset[str] = known if isinstance(known, frozenset) else frozenset()
    if pair not in pairs:
        try:
            if marshal.loads(bytecode[16:]) != compile(text, source, "exec", dont_inherit=True):
                return False
        except (ValueError, EOFError, TypeError):
            return False
        content = packed(pairs | {pair})
        if content is not None:
            write(_file(), content)
    _looked_at.add(module.__name__)
    return True


def _file() -> Path:
    return kept_file(name_of("bytecode", SOURCES, sys.version))
