"""Memory and speed of ``check --compact`` beside the exact search.

    python benchmarks/compact.py [--repeat N]

prints a table: the most memory that the search took, for each state that it found, and its speed in
CPU seconds, compilation included (the best of N, exact and compact in turn).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from dontneed import system as dontneed
from shootdown.check.native import explore
from shootdown.check.native.layout import plan
from shootdown.check.omission import Fingerprints, bound_text
from shootdown.check.result import Result
from shootdown.lang.ir import System
from shootdown.races import library

LUF = ("LUF.V11", ({"cpus": 5, "pages": 2}, {"cpus": 4, "pages": 3}))
WAYS = {"exact": None, "compact": Fingerprints()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=2)
    repeat = parser.parse_args().repeat
    print("| model | words | states | search | B/state | million states/s | omission below |")
    print("|---|---:|---:|---|---:|---:|---|")
    for name, model in models():
        best: dict[str, Measured] = {}
        for _ in range(repeat):
            for way, fingerprints in WAYS.items():
                found = measured(model, fingerprints)
                if way not in best or found.seconds < best[way].seconds:
                    best[way] = found
        assert best["exact"].result.states == best["compact"].result.states
        for way, found in best.items():
            states, result = found.result.states, found.result
            cells = [name, str(plan(model).words), f"{states:,}", way]
            cells += [f"{found.memory / states:.1f}", f"{states / found.seconds / 1e6:.2f}"]
            cells += [bound_text(result.omission) if result.fingerprints else "-"]
            print("|", " | ".join(cells), "|", flush=True)


@dataclass(frozen=True)
class Measured:
    """One search: CPU seconds, and the most bytes at one time."""

    result: Result
    seconds: float
    memory: int


def measured(model: System, fingerprints: Fingerprints | None) -> Measured:
    """Search once."""
    seen = [0]
    began = time.process_time()
    result = explore(
        model,
        on_progress=lambda progress: seen.append(progress.memory),
        good_code_after=0,
        compact=fingerprints,
    )
    return Measured(result, time.process_time() - began, max(*seen, result.memory))


def models() -> list[tuple[str, System]]:
    """The benchmark family, and wide states."""
    name, bounds = LUF
    luf = next(scenario for scenario in library() if scenario.name == name)
    wide = [(", ".join(f"{k}={v}" for k, v in b.items()), b) for b in bounds]
    return [
        ("dontneed(3,3)", dontneed(3, 3)),
        *(
            (f"{name}, {text}, explicit TLB", luf.compile(b, {"tlb": "explicit"}))
            for text, b in wide
        ),
    ]


if __name__ == "__main__":
    main()
