"""Flushes and interrupts of the running kernel, for every mode and setting of
``tests/kernel/workloads.c``: ``python benchmarks/kernel_counts.py`` as root, three minutes.

Prints one line for each, with the smallest and the largest of several runs where they differ.
``held``: both CPUs belong to the program in its bursts; ``loose``: the scheduler decides, which is
how a program usually runs. docs/kernel-counts.md explains the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kernel import measure as kernel
from kernel.measure import Measured, Work
from kernel.tracing import FULL, REASONS

BUFFER = 1 << 15  # kilobytes for each CPU
FILE = 32768  # pages
SIZES = {
    # mode: iterations, pages
    "dontneed": (5000, 1),
    "free": (5000, 1),
    "munmap": (5000, 1),
    "munmap-table": (5000, 1),
    "mprotect": (5000, 1),
    "mremap": (5000, 1),
    "forkcow": (300, 16),
    "forkcow-raw": (300, 16),
    "bigexit": (50, 5000),
    "pageout": (30, 64),
    "filereclaim": (128, 256),
    "filereclaim-small": (128, 256),
    "mbind": (20, 16),
    "movepages": (20, 16),
}
SETTINGS = {
    "bigexit": ("alone", "spinner", "loose"),
    "pageout": ("alone", "spinner"),
    "filereclaim": ("alone", "spinner"),
    "filereclaim-small": ("alone", "spinner"),
    "mbind": ("loose",),
    "movepages": ("loose",),
}
ALL_SETTINGS = ("alone", "spinner", "both", "loose")


def works(modes: list[str]) -> list[Work]:
    """Every mode that was asked for, in every setting that makes sense for it."""
    found = []
    for mode in modes:
        iterations, pages = SIZES[mode]
        reads = mode.startswith("filereclaim")
        file = FILE if reads else pages if mode == "pageout" else 0
        for setting in SETTINGS.get(mode, ALL_SETTINGS):
            found.append(Work(mode, setting, iterations, pages, file, 32 if reads else 0))
    return found


def spread(numbers: list[int]) -> str:
    """One number if all are equal, else the smallest and the largest."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}..{high}"


def histogram(counts: Counter[int]) -> str:
    """How many flushes had how many pages, the most frequent first."""
    if not counts:
        return "-"
    names = [
        f"{'full' if pages == FULL else pages}:{count}" for pages, count in counts.most_common(3)
    ]
    return " ".join(names) + (" ..." if len(counts) > 3 else "")


def line(runs: list[Measured]) -> list[str]:
    """One row of the table."""
    work = runs[0].work
    return [
        work.mode,
        work.setting,
        f"{work.workers} x {work.iterations}",
        str(work.pages),
        spread([run.flushes for run in runs]),
        spread([run.sends for run in runs]),
        histogram(runs[0].send_pages),
        spread([run.ipis for run in runs]),
        spread([run.own.queued for run in runs]),
        spread([run.faults for run in runs]),
        "; ".join(sorted({bad for run in runs if (bad := run.whole())})) or "yes",
        str(sum(run.stolen for run in runs)),
    ]


HEAD = [
    "mode", "setting", "iterations", "pages", "local mm", "sends", "pages of sends", "TLB IPIs",
    "queued", "faults", "whole", "stolen",
]  # fmt: skip


def as_json(run: Measured) -> dict[str, object]:
    """One run, with the flushes of the program as ``reason/pages``."""
    flushes = {f"{REASONS[why]}/{pages}": n for (why, pages), n in sorted(run.own.flushes.items())}
    return {
        "work": asdict(run.work), "rows": run.rows, "faults": run.faults, "queued": run.own.queued,
        "flushes": flushes, "lost": run.events.lost, "stolen": run.stolen,
    }  # fmt: skip


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="*", choices=[[], *SIZES], help="all, if none is given")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write every run into this file")
    arguments = parser.parse_args()
    if reason := kernel.why_not():
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 2
    kept = []
    print(" | ".join(HEAD))
    print("|".join("---" for _ in HEAD))
    for work in works(arguments.modes or list(SIZES)):
        if work.memory and kernel.memory_controller() is None:
            print(f"{work}: no memory controller of cgroups here", file=sys.stderr)
            continue
        runs = [kernel.measure(work, kilobytes=BUFFER) for _ in range(arguments.runs)]
        print(" | ".join(line(runs)), flush=True)
        kept += [as_json(run) for run in runs]
    for setting in ("alone", "spinner"):
        print(f"outside the bursts, {setting}:", kernel.overhead(setting).flushes)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
