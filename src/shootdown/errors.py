"""Every error that a user can cause: one clear message and an exit code.

Engines and the compiler raise these; only the command line prints them.
"""

from __future__ import annotations

import re

LONGEST_WORD = 160


def shortened(message: str) -> str:
    """A message without the middle of its very long words, such as a mistyped token."""
    return re.sub(
        rf"\S{{{LONGEST_WORD + 1},}}", lambda word: f"{word[0][:60]}...{word[0][-20:]}", message
    )


class ShootdownError(Exception):
    """A failure with a message for the user.

    ``exit_code`` is what the command line returns: 2 for a usage or model error, 3 for an
    unfinished check.
    """

    exit_code = 2


class UsageError(ShootdownError):
    """A wrong command line, an unknown name, an unusable limit or token."""


class ModelError(ShootdownError):
    """A model outside the modelling language, or one that breaks its own declarations.

    ``str(error)`` is ``FILE:LINE: what is wrong``, then the offending source text, then what to
    write instead.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        text: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.text = text
        self.hint = hint
        where = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        parts = [where + message]
        if text:
            parts.append(f"    {text.strip()}")
        if hint:
            parts.append(f"  {hint}")
        super().__init__("\n".join(parts))


class UnfinishedError(ShootdownError):
    """A check that cannot even begin within its limits."""

    exit_code = 3
