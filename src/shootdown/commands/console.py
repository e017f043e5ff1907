"""Where results go: text to standard output, JSON to a file, progress to standard error."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from shootdown.commands.streams import aside, tell
from shootdown.errors import ModelError, ShootdownError, UsageError, shortened

if TYPE_CHECKING:
    from shootdown.check.estimate import Estimate, Pace
    from shootdown.check.result import Progress


class Console:
    """Standard output for one command: ``--json -`` takes it from the text."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.json: str | None = arguments.json
        self.quiet: bool = arguments.quiet
        self.color = _wants_color(arguments.color)
        self.deserted = False  # nobody reads standard output any more
        if self.json not in (None, "-"):
            _check_writable(str(self.json))

    def say(self, text: str) -> None:
        """Print a report."""
        if self.json == "-":
            return
        if self.color:
            from shootdown.report.paint import painted

            text = painted(text)
        self.deserted = not tell(text) or self.deserted

    def write(self, document: dict[str, Any]) -> None:
        """Write the JSON document where it was asked for; ``say`` nothing otherwise."""
        if self.json is None:
            return
        import json

        text = json.dumps(document, indent=2) + "\n"
        if self.json == "-":
            self.deserted = not tell(text, end="") or self.deserted
            return
        from shootdown.files import write_whole

        write_whole(self.json, text)


class ProgressLine:
    """Progress on standard error, once a search lasts: one line that is rewritten on a terminal,
    and taken away in the end, else a plain line every few seconds."""

    FIRST = 0.5
    EVERY = 5.0

    def __init__(self, name: str, quiet: bool) -> None:
        self.name = name
        self.quiet = quiet
        self.rewrite = sys.stderr.isatty()
        self.next = self.FIRST if self.rewrite else self.EVERY
        self.width = 0
        self.elapsed = 0.0
        self.pace: Pace | None = None

    def __call__(self, progress: Progress) -> None:
        """Show how far the search is, if it is time to."""
        if self.quiet:
            return
        if self.pace is None:
            from shootdown.check.estimate import Pace

            self.pace = Pace()
        estimate = self.pace.look(progress)
        if progress.elapsed < self.elapsed:  # the search began again, with reductions
            self.next = min(self.next, self.FIRST if self.rewrite else self.EVERY)
        self.elapsed = progress.elapsed
        if progress.elapsed < self.next:
            return
        self.next = progress.elapsed + (0.1 if self.rewrite else self.EVERY)
        self._show(progress_text(self.name, progress, estimate))

    def begin(self, what: str, elapsed: float) -> None:
        """Say what is done now that tells no progress, if the work has lasted that long already.

        ``elapsed`` in seconds.
        """
        if not self.quiet and elapsed >= (self.FIRST if self.rewrite else self.EVERY):
            self._show(f"{self.name}: {what}")

    def _show(self, line: str) -> None:
        if self.rewrite:
            # a line that breaks could not be taken away
            line = line[: _width_of_stderr() - 1]
            aside("\r" + line.ljust(self.width), end="")
            self.width = len(line)
        else:
            aside(line)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self.width:
            aside("\r" + " " * self.width + "\r", end="")
            self.width = 0


def error_text(error: ShootdownError) -> str:
    """An error as it is printed; a model error begins with its file, as short as it can be."""
    from shootdown.report.coverage import short_path

    if not isinstance(error, ModelError):
        return f"shootdown: {shortened(str(error))}"
    file = None if error.file is None else short_path(error.file)
    text = None if error.text is None else shortened(error.text)
    hint = None if error.hint is None else shortened(error.hint)
    message = shortened(error.message)
    return str(ModelError(message, file=file, line=error.line, text=text, hint=hint))


def progress_text(name: str, progress: Progress, estimate: Estimate) -> str:
    """``NAME: 41,207 states, 1,240,000/s, depth 31, 0.52 s, ? left, 5,200 to expand, 340 MiB of
    4.0 GiB``: what matters most comes first, in case the line is too long for the terminal."""
    from shootdown.report.text import duration, size

    left = "?" if estimate.left is None else f"about {duration(estimate.left)}"
    limit = "" if progress.memory_limit is None else f" of {size(progress.memory_limit)}"
    return (
        f"{name}: {progress.states:,} states, {round(estimate.rate):,}/s, depth {progress.depth}, "
        f"{duration(progress.elapsed)}, {left} left, "
        f"{progress.states - progress.expanded:,} to expand, {size(progress.memory)}{limit}"
    )


def _width_of_stderr() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


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
    exists = os.path.exists(path)
    if exists and stat.S_ISFIFO(os.stat(path).st_mode):
        return  # to open it would wait for a reader
    try:
        with open(path, "ab") as file:
            if exists and stat.S_ISCHR(os.stat(path).st_mode) and not file.isatty():
                file.write(b"\n")  # only writing tells that /dev/full is full
        if not exists:
            os.unlink(path)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None
