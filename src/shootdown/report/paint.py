"""Colour for terminals, put onto finished text: it changes no width and no report knows of it."""

from __future__ import annotations

import re

_RESET, _BOLD_RED, _BOLD_GREEN, _BOLD_YELLOW = "\x1b[0m", "\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m"
_COLORS = {
    "HOLDS": _BOLD_GREEN,
    "VIOLATED": _BOLD_RED,
    "UNKNOWN": _BOLD_YELLOW,
    "VACUOUS": _BOLD_YELLOW,
    "MODEL ERROR": _BOLD_RED,
    "ERROR": _BOLD_RED,
    "NO": _BOLD_RED,
}
_VERDICT = re.compile(r"^(HOLDS|VIOLATED|UNKNOWN|VACUOUS|MODEL ERROR)(?=  )", re.MULTILINE)
_CELL = re.compile(r"(?<=  )(ERROR|MODEL ERROR|NO)(?=  )")
_ARROW = re.compile(r"<-- .*$", re.MULTILINE)


def painted(text: str) -> str:
    """Verdicts at the beginning of a line, what a table finds wrong, and arrows, in colour."""
    text = _VERDICT.sub(_paint, text)
    text = _CELL.sub(_paint, text)
    return _ARROW.sub(lambda match: f"{_BOLD_RED}{match[0]}{_RESET}", text)


def _paint(match: re.Match[str]) -> str:
    return f"{_COLORS[match[0]]}{match[0]}{_RESET}"
