"""How long a check takes until its search begins: writes ``benchmarks/STARTS.md``.

``python benchmarks/starts.py`` runs ``shootdown check NAME --max-states 1`` in a process of its own
for every scenario of the library, and counts the CPU seconds of the process: Python, the imports,
the scenario, the compiler, the machine code and the first state. CPU seconds, because other
programs on the machine do not change them much; those above ``AGAIN`` are measured twice, and the
better time counts.

Each scenario is started twice: first when nothing of it has been kept, then with what the first
start kept. ``.pyc`` files are there both times.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shootdown.races import library

HERE = Path(__file__).resolve().parent
PAGE = HERE / "STARTS.md"
MOST = 1.0
"""CPU seconds that a start may take."""
AGAIN = 0.4
"""CPU seconds above which a start is measured a second time."""
UNFINISHED = 3
_EDGES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, order=True)
class Start:
    """What one start took, in seconds; ``first``: the CPU seconds of the one before it."""

    cpu: float
    wall: float
    name: str
    first: float = 0.0


def measure(name: str, cache: str) -> Start:
    """Start one check. Raises ``RuntimeError`` if it ends in any other way than it should."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["XDG_CACHE_HOME"] = cache
    command = [sys.executable, "-m", "shootdown", "check", name, "--max-states", "1", "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.stdout.close()
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code != UNFINISHED:
        raise RuntimeError(f"{name}: exit code {code} instead of {UNFINISHED}: {said}")
    return Start(usage.ru_utime + usage.ru_stime, wall, name)


def best(name: str, cache: str) -> Start:
    """A start after the first one, or the better one of two."""
    first, found = measure(name, cache), measure(name, cache)
    if found.cpu > AGAIN:
        found = min(found, measure(name, cache))
    return replace(found, first=first.cpu)


def page(command: str, starts: Sequence[Start], worst: int) -> str:
    """What is written."""
    cpu = sorted(start.cpu for start in starts)
    first = sorted(start.first for start in starts)
    rows = []
    for low, high in zip((0.0, *_EDGES), (*_EDGES, float("inf")), strict=True):
        counts = [sum(low <= seconds < high for seconds in found) for found in (cpu, first)]
        said = f"{low:.1f} to {high:.1f}" if high < float("inf") else f"{low:.1f} and more"
        rows.append(f"| {said} | {counts[0]} | {counts[1]} |")
    slowest = sorted(starts, reverse=True)[:worst]
    late = sum(seconds > MOST for seconds in cpu)
    return "\n".join(
        [
            "# How long a check takes until its search begins",
            "",
            "CPU seconds of `shootdown check NAME --max-states 1`, each in a process of its own,",
            f"with what the start before it kept, for {len(cpu)} of the library's {len(library())} "
            "scenarios.",
            f"Written by `{command}` on {_processor()}, {os.cpu_count()} CPUs,",
            f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f}, "
            f"{time.strftime('%Y-%m-%d')}.",
            "",
            f"Median {statistics.median(cpu):.2f} s, 95 % below "
            f"{cpu[max(0, len(cpu) * 95 // 100 - 1)]:.2f} s, longest {cpu[-1]:.2f} s; "
            f"{late} above {MOST:.0f} s.",
            "The first start of a scenario, of which nothing is kept yet: median "
            f"{statistics.median(first):.2f} s, longest {first[-1]:.2f} s.",
            "",
            "| CPU s | scenarios | first starts |",
            "|---|---|---|",
            *rows,
            "",
            "| the slowest | CPU s | wall s | CPU s of the first start |",
            "|---|---|---|---|",
            *(f"| {s.name} | {s.cpu:.2f} | {s.wall:.2f} | {s.first:.2f} |" for s in slowest),
            "",
        ]
    )


def _processor() -> str:
    for entry in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if entry.startswith("model name"):
            return entry.partition(":")[2].strip()
    return platform.machine()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the page; 1 if a start takes longer than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="names that begin so")
    parser.add_argument("--worst", type=int, default=15, help="how many to name (default: 15)")
    parser.add_argument("--output", type=Path, default=PAGE, help="file to write")
    arguments = parser.parse_args(argv)
    names = [s.name for s in library() if s.name.startswith(arguments.only)]
    if not names:
        parser.error(f"no scenario's name begins with {arguments.only!r}")
    starts = []
    with tempfile.TemporaryDirectory() as cache:
        measure("S0.V0", cache)  # .pyc files, and where the scenarios are
        for number, name in enumerate(names, 1):
            starts.append(best(name, cache))
            if sys.stderr.isatty():
                print(f"\r{number}/{len(names)}", end="", file=sys.stderr, flush=True)
    words = ["python", "benchmarks/starts.py", *(sys.argv[1:] if argv is None else argv)]
    text = page(" ".join(words), starts, arguments.worst)
    arguments.output.write_text(text, encoding="utf-8")
    print(text, end="")
    return int(any(start.cpu > MOST for start in starts))


if __name__ == "__main__":
    sys.exit(main())
