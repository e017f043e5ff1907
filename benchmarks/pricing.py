"""How fast priced runs are, and how much memory they take.

Each row is a run in a process of its own: MADV_DONTNEED by some workers on 256 CPUs, or one worker
on many pages. Compilation is not counted; its time is the last column.

    python benchmarks/pricing.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.workloads.library import find_workload

ROWS = (
    ("dontneed", {"cpus": 256, "workers": 1, "pages": 1, "rounds": 20_000}),
    ("dontneed", {"cpus": 256, "workers": 16, "pages": 1, "rounds": 1_000}),
    ("dontneed", {"cpus": 256, "workers": 64, "pages": 1, "rounds": 200}),
    ("dontneed", {"cpus": 256, "workers": 256, "pages": 1, "rounds": 50}),
    ("dontneed", {"cpus": 256, "workers": 256, "pages": 4096, "rounds": 2}),
    ("dontneed", {"cpus": 2, "workers": 1, "pages": 1_048_576, "rounds": 2}),
    ("dontneed", {"cpus": 2, "workers": 1, "pages": 4_194_304, "rounds": 1}),
    ("munmap-big", {"cpus": 256, "pages": 4_194_304}),
)


def one(name: str, parameters: dict[str, int]) -> dict[str, float]:
    """One run."""
    began = time.process_time()
    run = Run(find_workload(name, None).plan(parameters), Profile.load("skylake-2s"))
    compiled = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    priced = run.run()
    seconds = time.process_time() - compiled
    return {
        "steps": priced.steps,
        "seconds": seconds,
        "interrupts": priced.counts["interrupts"],
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "own": sum(len(block) for block in run.blocks.values()) / 2**20,
        "compile": compiled - began,
        "before": before / 1024,
    }


def main() -> None:
    """Print the table; with arguments, one row as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(one(sys.argv[1], json.loads(sys.argv[2]))))
        return
    print("| workload | steps | interrupts | CPU time | steps/s | memory | compiled in |")
    print("|---|---|---|---|---|---|---|")
    for name, parameters in ROWS:
        text = ", ".join(f"{key}={value:,}" for key, value in parameters.items())
        done = subprocess.run(
            [sys.executable, __file__, name, json.dumps(parameters)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        row = json.loads(done.stdout)
        print(
            f"| {name} {text} | {row['steps'] / 1e6:,.1f} M | {row['interrupts']:,} | "
            f"{row['seconds']:.2f} s | {row['steps'] / row['seconds'] / 1e6:,.1f} M | "
            f"{row['megabytes']:,.0f} MB | {row['compile']:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
