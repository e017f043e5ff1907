"""What the start of a search keeps for the next one: how the states are laid out, and the code.

A search begins with code that LLVM compiles fast. Writing its text and compiling it is a third of
what a start takes, and both depend on the system alone. So a start is kept, under a digest of
everything that is known of the system, with the sources of whatever writes its code.
"""

from __future__ import annotations

import pickle
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from shootdown.check.native.layout import Layout
from shootdown.native import jit
from shootdown.native.cache import sources

SOURCES = ("native", "check", "lang")


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of a system's code without its text, and the code."""

    layout: Layout
    outcomes: int
    """The most successors that a state can have."""
    lines: int
    """Of the text: how long it takes to make good code of it."""
    good: str
    """The name of the file where that is kept, if it is."""
    code: bytes
    """Code that was compiled fast."""


def kept_start(digest: str) -> Start | None:
    """The start of the system with this digest, if one is kept."""
    content = jit.read(_file(digest))
    if content is None:
        return None
    try:
        found = pickle.loads(zlib.decompress(content))
    except Exception:  # a pickle can fail in any way
        return None
    return found if isinstance(found, Start) else None


def keep_start(digest: str, start: Start) -> None:
    """Keep it for the next search of the system with this digest."""
    content = pickle.dumps(start, pickle.HIGHEST_PROTOCOL)
    jit.write(_file(digest), zlib.compress(content, 1))


def _file(digest: str) -> Path:
    return jit.cache_file(f"start {digest}\0{sys.version}\0{sources(*SOURCES)}")
