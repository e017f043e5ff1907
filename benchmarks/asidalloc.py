"""The yardstick: kernel-tla's ``asidalloc`` in our models; writes ``benchmarks/ASIDALLOC.md``.

``python benchmarks/asidalloc.py --tasks 4 --tasks 6 --max-memory 12G --max-time 1h``

Its README (git.kernel.org, cmarinas/kernel-tla.git) says of TLC, on all CPUs of an unnamed
machine: "over two days" with 6 tasks, "less than an hour" with 4. Its configuration has 2 CPUs, 4
ASIDs and 3 generations, and TLC takes CPUs and tasks to be symmetric.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from shootdown.check import native
from shootdown.check.progress import with_progress
from shootdown.check.reduce import reductions
from shootdown.check.result import Limits, Result
from shootdown.commands.options import memory, pairs, seconds
from shootdown.commands.options import reductions as reduction_names
from shootdown.races.asid import forever
from shootdown.report.text import size

HERE = Path(__file__).resolve().parent
PAGE = HERE / "ASIDALLOC.md"
PUBLISHED = {4: "under an hour", 6: "over two days"}


def measure(
    bounds: dict[str, int], options: dict[str, str], names: Sequence[str], limits: Limits
) -> tuple[Result, float]:
    """One search with some reductions, and the CPU seconds that it took, compiling included."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    system = forever.compile(bounds, options)
    result = with_progress(native.explore(system, limits, reduce=reductions(system, names)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(bounds: dict[str, int], result: Result, cpu: float) -> str:
    """One row of the table."""
    end = result.verdict.value
    if result.stopped is not None:
        end = f"not finished: {result.stopped}; {result.frontier:,} states are still to be expanded"
    cells = [
        *bounds.values(),
        ", ".join(result.reductions) or "none",
        end,
        f"{result.states:,}",
        result.depth,
        f"{cpu:.0f}",
        f"{result.seconds:.0f}",
        size(result.memory),
        f"{result.memory / result.states:.0f}",
        PUBLISHED.get(bounds["tasks"], "-") if bounds["cpus"] == 2 else "-",
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
        "| CPUs | tasks | ASIDs | generations | reductions | result | states | depth | CPU s "
        "| wall s | memory | bytes a state | kernel-tla's README, TLC |"
    )
    return "\n".join(
        [
            "# The arm64 ASID allocator: a yardstick",
            "",
            "`ASID.forever` (docs/asid.md) at the bounds of kernel-tla's `asidalloc.cfg`.",
            f"Written by `{command}` on {machine}, {os.cpu_count()} CPUs,",
            f"load average {load:.1f}, {time.strftime('%Y-%m-%d')}.",
            "",
            head,
            "|" + "---|" * 13,
            *rows,
            "",
            "TLC's times are for states up to symmetry of CPUs and tasks, too (at most 48 times",
            "fewer with 4 tasks, 1,440 times with 6), on all CPUs of an unnamed machine.",
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the page; 1 if anything is violated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, action="append", help="default: 4 and 6")
    parser.add_argument("--cpus", type=int, action="append", help="default: 2")
    parser.add_argument("--asids", type=int, default=4)
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--hardware", type=pairs, default={}, help="as in asid_choice=any")
    parser.add_argument(
        "--reduce", type=reduction_names, default=("symmetry",), help="default: symmetry"
    )
    parser.add_argument("--max-memory", type=memory, help="of each search, as in 8G")
    parser.add_argument("--max-time", type=seconds, help="of each search, as in 1h")
    parser.add_argument("--output", type=Path, default=PAGE, help="file to write")
    arguments = parser.parse_args(argv)
    limits = Limits(memory=arguments.max_memory, time=arguments.max_time)
    rows, violated = [], False
    for cpus, tasks in product(arguments.cpus or [2], arguments.tasks or [4, 6]):
        bounds = {
            "cpus": cpus,
            "tasks": tasks,
            "asids": arguments.asids,
            "generations": arguments.generations,
        }
        result, cpu = measure(bounds, arguments.hardware, arguments.reduce or (), limits)
        violated |= result.violation is not None
        rows.append(line(bounds, result, cpu))
        print(rows[-1], flush=True)
    words = sys.argv[1:] if argv is None else argv
    command = " ".join(["python benchmarks/asidalloc.py", *words])
    arguments.output.write_text(page(command, rows), encoding="utf-8")
    print(f"Wrote {arguments.output}")
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
