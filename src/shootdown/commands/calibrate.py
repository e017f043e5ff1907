"""``shootdown calibrate``: the prices of this machine."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from shootdown.commands.options import add_output, seconds
from shootdown.commands.streams import aside
from shootdown.errors import UsageError

SECONDS = 10.0


class CalibrateCommand:
    """Measures this machine and writes a profile, if the measurement passes its own checks."""

    name = "calibrate"
    help = "measure what interrupts, flushes and page faults cost on this machine: a profile"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "--output",
            metavar="FILE.toml",
            help="write the profile to FILE.toml; without it the prices are only printed",
        )
        parser.add_argument(
            "--seconds",
            metavar="TIME",
            type=seconds,
            default=SECONDS,
            help="how long to measure, as in 30 or 2m; three rounds at least; default: 10",
        )
        parser.add_argument(
            "--name", metavar="NAME", help="of the profile; default: that of FILE.toml"
        )
        parser.add_argument(
            "--base",
            metavar="PROFILE",
            help="where prices come from that cannot be measured; default: skylake-2s",
        )
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Measure, judge, and write."""
        from shootdown.commands.console import Console
        from shootdown.commands.version import version
        from shootdown.cost.calibrate import BASE, calibrate
        from shootdown.cost.profile import Profile
        from shootdown.cost.profile_file import write
        from shootdown.interrupts import Noticed
        from shootdown.report.calibrate import calibration_document, calibration_text, refusal

        console = Console(arguments)
        output: str | None = arguments.output
        _check_output(output)
        name = arguments.name or (Path(output).name.removesuffix(".toml") if output else "here")
        base = Profile.load(arguments.base or BASE)
        with _Steps(arguments.quiet) as tell:
            done = calibrate(name, base, arguments.seconds, tell)
        code = 0 if done.accepted else 3
        if output is not None and done.accepted:
            with Noticed():  # a second Ctrl-C must not leave half a file
                write(done.profile, output)
        if text := calibration_text(done, quiet=console.quiet):
            console.say(text)
        if console.json:
            console.write(calibration_document(done, output, code, version()))
        if not done.accepted:
            aside(f"shootdown: {refusal(done)}")
        elif output is not None:
            aside(f"shootdown: written to {output}")
        return code


def _check_output(path: str | None) -> None:
    """Refuse a file that cannot be written before the measurement, not after it."""
    if path is None:
        return
    if not path.endswith(".toml") or Path(path).name == ".toml":
        raise UsageError(f"--output: '{path}' must end in .toml, as in here.toml")
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"--output: '{path}' is a directory")
    if not os.path.isdir(folder):
        raise UsageError(f"--output: there is no directory '{folder}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--output: cannot write in '{folder}'")


class _Steps:
    """Progress on standard error: one line that is rewritten on a terminal, else one for a round.

    Between two bursts only, and seldom: what prints also disturbs.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.rewrite = sys.stderr.isatty()
        self.round = 0
        self.said = time.monotonic()
        self.width = 0

    def __call__(self, number: int, step: str, elapsed: float) -> None:
        """Say which round and step begins."""
        now = time.monotonic()
        if self.quiet or now - self.said < (0.2 if self.rewrite else 5.0):
            return
        self.said = now
        line = f"calibrate: round {number}, {step}, {elapsed:.1f} s"
        if self.rewrite:
            aside("\r" + line.ljust(self.width), end="")
            self.width = len(line)
        else:
            aside(line)

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        if self.width:
            aside("\r" + " " * self.width + "\r", end="")
