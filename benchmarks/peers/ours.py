"""``dontneed(N, P)`` for our own engine, in a fresh Python process for each run."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from peers import Contestant, PeerError, Run, Size
from peers.process import measure

# The one place that says what is measured: where the model's `System` comes from (called with
# cpus, pages and nested=), and the engine that searches it.
MODEL = "dontneed:system"
ENGINE = "shootdown.check.native:explore"
LANES = "shootdown.check.native.lanes:explore"
TWO_THREADS = "peers.ours:with_two_threads"
KEEP_CODE = "peers.ours:keep_code"

BENCHMARKS = Path(__file__).resolve().parents[1]
IMPORTS = [str(BENCHMARKS), str(BENCHMARKS.parent / "tests")]


def load(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def search_here(size: Size, engine: str = ENGINE) -> dict[str, object]:
    """Search in this process; the answer as it goes through JSON.

    ``seconds`` are CPU seconds, as for the peers: they depend less on what else the machine does.
    Of two threads they are seconds on the clock, so the machine must have two free CPUs.
    """
    clock = time.perf_counter if engine == TWO_THREADS else time.process_time
    system = load(MODEL)(size.cpus, size.pages, nested=size.nested)
    explore = load(engine)
    began = clock()
    result = explore(system)
    return {
        "states": result.states,
        "verdict": result.verdict.value,
        "seconds": clock() - began,
    }


def with_two_threads(system: Any) -> Any:
    """The search of :data:`ENGINE` by two threads."""
    return load(ENGINE)(system, threads=2)


def keep_code(system: Any) -> Any:
    """A short search whose good code is kept, as that of every long search is."""
    limits = importlib.import_module("shootdown.check.result").Limits(states=1_000)
    result = load(ENGINE)(system, limits, good_code_after=0)
    return replace(result, verdict=importlib.import_module("shootdown.check.result").Verdict.HOLDS)


def prepare(size: Size, directory: Path, engine: str = ENGINE) -> Callable[[], Run]:
    """Nothing to build: the kernel is compiled inside the run, and counted in ``whole``."""
    program = f"import sys; sys.path[:0] = {IMPORTS!r}; from peers.ours import main; main()"
    argv = [sys.executable, "-c", program, str(size), "--engine", engine]
    if not size.nested:
        argv.append("--buggy")

    def search() -> Run:
        done = measure(argv, directory)
        if done.status != 0:
            said = done.output.strip().splitlines() or ["nothing"]
            raise PeerError(f"our engine failed, saying {said[-1]}")
        answer = json.loads(done.output.splitlines()[-1])
        if answer["verdict"] not in {"HOLDS", "VIOLATED"}:
            raise PeerError(f"our engine did not finish: {answer['verdict']}")
        violated = answer["verdict"] == "VIOLATED"
        return Run(answer["states"], violated, answer["seconds"], done.seconds, done.memory)

    return search


def _version() -> str | None:
    try:
        return f"shootdown {version('shootdown')} (llvmlite {version('llvmlite')})"
    except PackageNotFoundError:
        return None


def _prepare_again(size: Size, directory: Path) -> Callable[[], Run]:
    prepare(size, directory, KEEP_CODE)()
    return prepare(size, directory)


def _prepare_threads(size: Size, directory: Path) -> Callable[[], Run]:
    prepare(size, directory, KEEP_CODE)()
    return prepare(size, directory, TWO_THREADS)


def _prepare_lanes(size: Size, directory: Path) -> Callable[[], Run]:
    search = prepare(size, directory, LANES)
    search()  # chooses the lanes; that is kept, as compiled code is
    return search


CONTESTANTS = (
    Contestant(
        "shootdown", "exact, no reduction; its code is kept from a search before, as that of the "
        "peers is compiled before", _version, _prepare_again, ours=True,
    ),
    Contestant(
        "shootdown, two threads", "exact, no reduction; seconds on the clock", _version,
        _prepare_threads, ours=True,
    ),
    Contestant(
        "shootdown, lanes", "exact, states that differ in a few bits together", _version,
        _prepare_lanes, ours=True,
    ),
)  # fmt: skip


def main() -> None:
    """Search once and print the answer as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("size")
    parser.add_argument("--engine", default=ENGINE)
    parser.add_argument("--buggy", action="store_true")
    arguments = parser.parse_args()
    cpus, pages = map(int, arguments.size.split(","))
    size = Size(cpus, pages, nested=not arguments.buggy)
    print(json.dumps(search_here(size, arguments.engine)))
