"""Plain text for reports: ASCII, wrapped and never cut."""

from __future__ import annotations

import re
from collections.abc import Iterable

WIDTH = 75  # a commit message's body

_CAPITALS = {"cpu": "CPU", "cpus": "CPUs", "asid": "ASID", "asids": "ASIDs"}
_MARKUP = re.compile(r"(?::[a-z:]+:)?`{1,2}~?([^`]+)`{1,2}")
_BREAK_AFTER = re.compile(r"[^(\[,.=/]*[(\[,.=/]*[)\]]*")


def ascii_text(text: str) -> str:
    """One line of printable ASCII; anything else is written as an escape."""
    line = " ".join(text.split())
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return escaped.encode("ascii", "backslashreplace").decode()


def plain(text: str) -> str:
    """A docstring without its markup: names are quoted, calls are not."""
    return _MARKUP.sub(lambda m: m[1] if m[1].endswith(")") else f"'{m[1]}'", text)


def paragraphs(text: str) -> list[str]:
    """What is separated by empty lines, each as one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def wrap(text: str, width: int, hanging: int = 2) -> list[str]:
    """Break one line into lines of at most ``width`` characters, at spaces where possible.

    All lines but the first are indented by ``hanging`` (less where ``width`` leaves no room). Only
    the spaces where a line is broken are left out.
    """
    width = max(width, 1)
    indent = " " * min(hanging, width // 2)
    lines: list[str] = []
    line, room = "", width
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if len(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
            room = width - len(indent)
        *full, line = _pieces(word, room, width - len(indent))
        lines.extend(full)
        if full:
            room = width - len(indent)
    lines.append(line)
    return [lines[0], *(indent + line for line in lines[1:])]


def _pieces(word: str, first: int, room: int) -> list[str]:
    """A word in pieces that fit, broken after punctuation where possible, else after ``_``."""
    pieces: list[str] = []
    piece, limit = "", first
    for part in _BREAK_AFTER.findall(word):
        if piece and len(piece) + len(part) > limit:
            pieces.append(piece)
            piece, limit = "", room
        piece += part
        while len(piece) > limit:
            end = piece.rfind("_", 0, limit) + 1 or limit
            pieces.append(piece[:end])
            piece, limit = piece[end:], room
    pieces.append(piece)
    return pieces


def paragraph(text: str, indent: int = 0, hanging: int = 2, width: int = WIDTH) -> str:
    """Wrapped text with every line indented."""
    margin = " " * indent
    return "\n".join(margin + line for line in wrap(text, width - indent, hanging))


def count(number: int, noun: str) -> str:
    """``1 step``, ``13 steps``, ``41,207 states``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def bounds_text(bounds: Iterable[tuple[str, int]]) -> str:
    """``2 CPUs, 1 page``; a bound that is no plural stays ``name=value``."""
    return ", ".join(_bound(name, value) for name, value in bounds)


def _bound(name: str, value: int) -> str:
    if not name.endswith("s"):
        return f"{name}={value}"
    noun = name[:-1] if value == 1 else name
    return f"{value} {_CAPITALS.get(noun, noun.replace('_', ' '))}"


def factor(most: int, fewest: int) -> str:
    """How many times fewer: ``1.9x``, ``22x``."""
    times = most / fewest
    return f"{times:.1f}x" if times < 10 else f"{times:,.0f}x"


def duration(seconds: float) -> str:
    """``0.02 s``, ``12.3 s``, ``3 min 20 s``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(number: int) -> str:
    """Bytes as ``340 MiB``."""
    value, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
