"""How long litmus tests take: ``python benchmarks/litmus_speed.py DIR``.

Prints the CPU milliseconds for reading and for answering each test, in one process that has done it
once before (the machine is compiled, the files are in memory), as median and sum.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from pathlib import Path

from shootdown.check.result import Limits
from shootdown.errors import ShootdownError
from shootdown.litmus.parse import parse_text
from shootdown.litmus.runs import Machine, Question, ask


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ets", choices=("ets2", "none"), default="ets2")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.rglob("*.litmus"))
    if not paths:
        print(f"no litmus tests in {arguments.folder}", file=sys.stderr)
        return 2
    machine = Machine(arguments.ets == "ets2")
    reading: list[float] = []
    answering: list[float] = []
    refused = 0
    for measured in (False, True):  # the first time warms up
        for path in paths:
            text = path.read_text(encoding="utf-8")
            began = time.process_time()
            with contextlib.suppress(ShootdownError):
                parse_text(text, str(path))
            read = time.process_time()
            asked = ask(Question(path, machine), Limits())
            done = time.process_time()
            if measured:
                reading.append(read - began)
                answering.append(done - read)
                refused += asked.error is not None
    for what, seconds in (("reading", reading), ("reading and answering", answering)):
        median, total = statistics.median(seconds) * 1e3, sum(seconds)
        print(f"{what}: median {median:.2f} ms, all {total:.2f} s CPU")
    print(f"{len(paths)} tests, {refused} of them refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
