"""Run a child process and say what it cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import PeerError


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that ended: output (both streams), exit status, CPU seconds, peak bytes."""

    output: str
    status: int
    seconds: float
    memory: int


def measure(
    argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """Run a command to its end; ``env`` is added to the environment."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)  # unlike Popen.wait: this child's usage alone
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read().decode(errors="replace")
    return Finished(
        output, child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    )


def succeed(
    argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """As :func:`measure`, but a failure raises :class:`PeerError` with the output."""
    finished = measure(argv, cwd, env)
    if finished.status != 0:
        raise PeerError(f"{' '.join(argv)}: status {finished.status}\n{finished.output[-2000:]}")
    return finished


def first_line(argv: Sequence[str]) -> str | None:
    """The first line that an installed command prints, None where it is not installed."""
    if shutil.which(argv[0]) is None:
        return None
    return next(iter(measure(argv).output.strip().splitlines()), argv[0])
