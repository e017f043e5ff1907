"""Where results go: text to standard output, JSON to a file, progress to standard error."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from shootdown.errors import ModelError, ShootdownError, UsageError

if TYPE_CHECKING:
    from shootdown.check.result import Progress


class Console:
    """Standard output for one command: ``--json -`` takes it from the text."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.json: str | None = arguments.json
        self.quiet: bool = arguments.quiet
        self.color = _wants_color(arguments.color)
        if self.json not in (None, "-"):
            _check_writable(str(self.json))

    def say(self, text: str) -> None:
        """Print a report."""
        if self.json == "-":
            return
        if self.color:
            from shootdown.report.paint import painted

            text = painted(text)
        print(text, flush=True)

    def write(self, document: dict[str, Any]) -> None:
        """Write the JSON document where it was asked for; ``say`` nothing otherwise."""
        if self.json is None:
            return
        import json

        text = json.dumps(document, indent=2) + "\n"
        if self.json == "-":
            sys.stdout.write(text)
            return
        try:
            with open(self.json, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"cannot write '{self.json}': {error.strerror}") from None


class ProgressLine:
    """Progress on standard error, once a search lasts: one line that is rewritten on a terminal,
    else a plain line every few seconds."""

    FIRST = 0.5
    EVERY = 5.0

    def __init__(self, name: str, quiet: bool) -> None:
        self.name = name
        self.quiet = quiet
        self.rewrite = sys.stderr.isatty()
        self.next = self.FIRST if self.rewrite else self.EVERY
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Show how far the search is, if it is time to."""
        if self.quiet or progress.elapsed < self.next:
            return
        line = progress_text(self.name, progress)
        if self.rewrite:
            self.next = progress.elapsed + 0.1
            print("\r" + line.ljust(self.width), end="", file=sys.stderr, flush=True)
            self.width = len(line)
        else:
            self.next = progress.elapsed + self.EVERY
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.width:
            print("\r" + " " * self.width + "\r", end="", file=sys.stderr, flush=True)
            self.width = 0


def told(error: ShootdownError) -> str:
    """An error as it is printed; a model error begins with its file, as short as it can be."""
    from shootdown.report.coverage import short_path

    if not isinstance(error, ModelError):
        return f"shootdown: {error}"
    file = None if error.file is None else short_path(error.file)
    line, text, hint = error.line, error.text, error.hint
    return str(ModelError(error.message, file=file, line=line, text=text, hint=hint))


def progress_text(name: str, progress: Progress) -> str:
    """``NAME: 41,207 states, 1,240,000/s, depth 31, 340 MiB, 0.52 s``."""
    from shootdown.report.text import duration, size

    rate = round(progress.states / max(progress.elapsed, 1e-9))
    return (
        f"{name}: {progress.states:,} states, {rate:,}/s, depth {progress.depth}, "
        f"{size(progress.memory)}, {duration(progress.elapsed)}"
    )


def _wants_color(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout is not None and sys.stdout.isatty() and not plain


def _check_writable(path: str) -> None:
    """Refuse a bad ``--json FILE`` before a long search, not after it."""
    directory = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"cannot write '{path}': it is a directory")
    if not os.path.isdir(directory):
        raise UsageError(f"cannot write '{path}': there is no directory '{directory}'")
