"""The yardstick: kernel-tla's ``asidalloc`` in our models; writes ``benchmarks/ASIDALLOC.md``.

``python benchmarks/asidalloc.py --max-memory 11G``

Its configuration has 2 CPUs, 4 ASIDs and 3 generations, and TLC takes CPUs and tasks to be
symmetric. Its README says of TLC, on all CPUs of an unnamed machine: "over two days" with 6 tasks,
"less than an hour" with 4. That text is from January 2018 (commit de0c2f5) and was not changed in
August 2021, when pages and their unmapping were added (50c387f): the times are those of
``ASID.asidalloc-2018``.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shootdown.check import native
from shootdown.check.omission import Fingerprints
from shootdown.check.progress import with_progress
from shootdown.check.reduce import reductions
from shootdown.check.result import Limits, Result
from shootdown.commands.options import memory, seconds
from shootdown.commands.options import reductions as reduction_names
from shootdown.lang import Scenario
from shootdown.races.asid import ALLOC
from shootdown.races.asid_joined import JOINED
from shootdown.races.asid_labels import LABELS
from shootdown.report.text import size

HERE = Path(__file__).resolve().parent
PAGE = HERE / "ASIDALLOC.md"
SCENARIOS: dict[str, Scenario] = {s.name: s for s in (*ALLOC, *LABELS, *JOINED)}
PUBLISHED = {
    ("ASID.asidalloc-2018", 2, 4, 3): "under an hour",
    ("ASID.asidalloc-2018", 2, 6, 3): "over two days",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A row: a scenario and its bounds. ``compact``: fingerprints are kept, since the states would
    not fit into 11 GiB."""

    scenario: str
    cpus: int
    tasks: int
    generations: int = 3
    compact: bool = False


RUNS = (
    Run("ASID.asidalloc-2018", 2, 4),
    Run("ASID.asidalloc-2018", 2, 6),
    Run("ASID.asidalloc", 2, 4, 2, compact=True),
    Run("ASID.asidalloc-one", 2, 4),
    Run("ASID.asidalloc-joined", 2, 4),
    Run("ASID.asidalloc-joined", 2, 6),
    Run("ASID.forever", 1, 4),
    Run("ASID.forever", 1, 6),
    Run("ASID.once", 2, 4, compact=True),
)


def measure(run: Run, names: Sequence[str], limits: Limits) -> tuple[Result, float]:
    """One search with some reductions, and the CPU seconds that it took with compiling and the
    proof of what is symmetric."""
    bounds = {"cpus": run.cpus, "tasks": run.tasks, "asids": 4, "generations": run.generations}
    before = resource.getrusage(resource.RUSAGE_SELF)
    system = SCENARIOS[run.scenario].compile(bounds)
    reduce = reductions(system, names)
    result = with_progress(
        native.explore(
            system, limits, reduce=reduce, compact=Fingerprints() if run.compact else None
        )
    )
    after = resource.getrusage(resource.RUSAGE_SELF)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(run: Run, result: Result, cpu: float) -> str:
    """One row of the table."""
    end = result.verdict.value
    if result.stopped is not None:
        end = f"not finished: {result.stopped}; {result.frontier:,} states are still to be expanded"
    cells = [
        f"`{run.scenario}`",
        run.cpus,
        run.tasks,
        run.generations,
        ", ".join(result.reductions) or "none",
        "fingerprints" if run.compact else "states",
        end,
        f"{result.states:,}",
        result.depth,
        f"{cpu:.0f}",
        f"{result.seconds:.0f}",
        size(result.memory),
        f"{result.memory / result.states:.0f}",
        PUBLISHED.get((run.scenario, run.cpus, run.tasks, run.generations), "-"),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def page(command: str, rows: Sequence[str]) -> str:
    """What is written."""
    machine = platform.machine()
    for entry in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if entry.startswith("model name"):
            machine = entry.partition(":")[2].strip()
    load = os.getloadavg()[0]
    head = (
        "| scenario | CPUs | tasks | generations | reductions | kept | result | states | depth "
        "| CPU s | wall s | memory | bytes a state | kernel-tla's README, TLC |"
    )
    return "\n".join(
        [
            "# The arm64 ASID allocator: a yardstick",
            "",
            "kernel-tla's `asidalloc` (docs/asid.md says what each scenario is), with 4 ASIDs as",
            f"in its configuration. Written by `{command}`",
            f"on {machine}, {os.cpu_count()} CPUs, one thread, load average {load:.1f},",
            f"{time.strftime('%Y-%m-%d')}. CPU seconds are with compiling and the proof of what is",
            "symmetric; others used the machine, which is why more wall time passed.",
            "",
            head,
            "|" + "---|" * head.count(" | ") + "---|",
            *rows,
            "",
            "TLC's times are for states up to symmetry of CPUs and tasks, too (at most 48 times",
            "fewer with 4 tasks, 1,440 times with 6), on all CPUs of an unnamed machine. They are",
            "from January 2018, before the model had pages that are unmapped: nobody has published",
            "times for the other scenarios.",
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the page; 1 if anything is violated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all rows")
    parser.add_argument("--tasks", type=int, action="append", help="default: all rows")
    parser.add_argument(
        "--reduce", type=reduction_names, default=("symmetry",), help="default: symmetry"
    )
    parser.add_argument("--max-memory", type=memory, help="of each search, as in 8G")
    parser.add_argument("--max-time", type=seconds, help="of each search, as in 1h")
    parser.add_argument("--output", type=Path, default=PAGE, help="file to write")
    arguments = parser.parse_args(argv)
    limits = Limits(memory=arguments.max_memory, time=arguments.max_time)
    rows, violated = [], False
    for run in RUNS:
        chosen = run.scenario in (arguments.scenario or [run.scenario])
        if chosen and run.tasks in (arguments.tasks or [run.tasks]):
            result, cpu = measure(run, arguments.reduce or (), limits)
            violated |= result.violation is not None
            rows.append(line(run, result, cpu))
            print(rows[-1], flush=True)
    words = sys.argv[1:] if argv is None else argv
    command = " ".join(["python benchmarks/asidalloc.py", *words])
    arguments.output.write_text(page(command, rows), encoding="utf-8")
    print(f"Wrote {arguments.output}")
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
