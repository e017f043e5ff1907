"""Memory and speed of ``check --compact`` beside the exact search.

    python benchmarks/compact.py [--repeat N]

prints a table: bytes for each state at the end of the search, and CPU seconds of the search alone
(the best of N, exact and compact in turn), with the code of the model at hand.
"""

from __future__ import annotations

import argparse
import time

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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=2)
    repeat = parser.parse_args().repeat
    print("| model | words | states | search | B/state | million states/s | omission below |")
    print("|---|---:|---:|---|---:|---:|---|")
    for name, model in models():
        best: dict[str, tuple[float, Result]] = {}
        for _ in range(repeat):
            for way, fingerprints in WAYS.items():
                began = time.process_time()
                result = explore(model, good_code_after=0, compact=fingerprints)
                took = time.process_time() - began
                best[way] = min(best.get(way, (took, result)), (took, result), key=lambda b: b[0])
        assert best["exact"][1].states == best["compact"][1].states
        for way, (took, result) in best.items():
            size, speed = result.memory / result.states, result.states / took / 1e6
            bound = bound_text(result.omission) if result.fingerprints else "-"
            cells = (name, plan(model).words, f"{result.states:,}", way, f"{size:.1f}")
            print("|", " | ".join(map(str, (*cells, f"{speed:.2f}", bound))), "|", flush=True)


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
