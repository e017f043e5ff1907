"""What the start of a search keeps for the next one: how the states are laid out, and the code.

A search begins with code that LLVM compiles fast. Writing its text and compiling it is a third of
what a start takes, and both depend on the system alone. So a start is kept, under a digest of
everything that is known of the system, with the sources of whatever writes its code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from shootdown.check.native.layout import Layout
from shootdown.native import jit
from shootdown.native.cache import sources
from shootdown.native.pickles import packed, unpacked

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
    found = unpacked(jit.read(_file(digest)))
    return found if isinstance(found, Start) else None


def keep_start(digest: str, start: Start) -> None:
    """Keep it for the next search of the system with this digest."""
    content = packed(start)
    if content is not None:
        jit.write(_file(digest), content)


def _file(digest: str) -> Path:
    return jit.cache_file(f"start {digest}\0{sys.version}\0{sources(*SOURCES)}")
