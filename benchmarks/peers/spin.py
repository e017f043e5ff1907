"""``dontneed(N, P)`` for SPIN.

One process repeats guarded ``d_step``s, so that each rule is one transition between states at one
control point: SPIN then stores exactly the states of the family. The variables are bit fields,
which makes the shortest state vector.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from peers import STATES, Contestant, PeerError, Run, Size
from peers.process import first_line, measure, succeed

# Partial-order reduction gains nothing (the hardware touches everything); SPACE is faster here.
CFLAGS = ("-O2", "-DSAFETY", "-DNOREDUCE", "-DSPACE")
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # the search waits for its hash table


def promela(size: Size) -> str:
    """The family's rules in Promela."""
    cpus, pages = range(size.cpus), range(size.pages)
    idle, want_lock, zap = 0, 1, 2
    unlock, decide, flushing, free, leave, returned = range(zap + size.pages, zap + size.pages + 6)

    def field(name: str, largest: int, start: int = 0) -> str:
        return f"unsigned {name} : {largest.bit_length()} = {start};"

    def rule(guard: str, *effects: str) -> str:
        return f":: d_step {{ {guard} -> {'; '.join(effects)} }}"

    def hardware(c: int, p: int) -> list[str]:
        entry, pte = f"tlb{c}_{p}", f"pte{p}"
        return [
            rule(f"{entry} == 0 && {pte} != 0", f"{entry} = {pte}"),
            rule(f"{entry} != 0", f"{entry} = 0"),
            rule(f"{entry} == 1 && {pte} != 0", f"{entry} = 2", f"{pte} = 2"),
        ]

    def steps(c: int) -> list[str]:
        at = f"pc{c} == "
        go = f"pc{c} = "
        gathered = [f"gather{c}_{p} != 0" for p in pages]
        must_flush = " || ".join(gathered + (["pending > 1"] if size.nested else []))
        return [
            rule(f"{at}{idle}", f"{go}{want_lock}", "pending = pending + 1"),
            rule(f"{at}{want_lock} && lock == 0", f"{go}{zap}", f"lock = {c + 1}"),
            *(
                rule(
                    f"{at}{zap + p}",
                    f"if :: pte{p} != 0 -> pte{p} = 0; gather{c}_{p} = 1 :: else fi",
                    f"{go}{zap + p + 1}",
                )
                for p in pages
            ),
            rule(f"{at}{unlock}", f"{go}{decide}", "lock = 0"),
            rule(
                f"{at}{decide}",
                f"if :: {must_flush} -> "
                + "; ".join([*(f"mask{c}_{k} = 1" for k in cpus), f"{go}{flushing}"])
                + f" :: else -> {go}{free} fi",
            ),
            *(
                rule(
                    f"mask{c}_{k} != 0",
                    f"mask{c}_{k} = 0",
                    *(f"tlb{k}_{p} = 0" for p in pages),
                    f"if :: {' && '.join(f'mask{c}_{j} == 0' for j in cpus)} -> {go}{free}"
                    " :: else fi",
                )
                for k in cpus
            ),
            rule(
                f"{at}{free}",
                *(
                    f"if :: gather{c}_{p} != 0 -> freed{p} = 1; gather{c}_{p} = 0 :: else fi"
                    for p in pages
                ),
                f"{go}{leave}",
            ),
            rule(f"{at}{leave}", f"{go}{returned}", "pending = pending - 1"),
        ]

    variables = [
        *(field(f"pte{p}", 2, 1) for p in pages),
        *(field(f"freed{p}", 1) for p in pages),
        field("lock", size.cpus),
        field("pending", size.cpus),
    ]
    for c in cpus:
        variables += [field(f"tlb{c}_{p}", 2) for p in pages]
        variables += [field(f"mask{c}_{k}", 1) for k in cpus]
        variables += [field(f"gather{c}_{p}", 1) for p in pages]
        variables.append(field(f"pc{c}", returned))

    # Each invariant is an option that only a bad state can take: one test for each state.
    cached = " || ".join(f"tlb{c}_{p} != 0" for c in cpus for p in pages)
    somebody_returned = " || ".join(f"pc{c} == {returned}" for c in cpus)
    bad = [f"({somebody_returned}) && ({cached})"]
    for p in pages:
        bad.append(f"freed{p} != 0 && ({' || '.join(f'tlb{c}_{p} != 0' for c in cpus)})")

    options = [line for c in cpus for p in pages for line in hardware(c, p)]
    options += [line for c in cpus for line in steps(c)]
    options += [rule(condition, "assert(false)") for condition in bad]
    return "\n".join([*variables, "active proctype system() {", "end: do", *options, "od }", ""])


def parse(output: str, seconds: float, whole: float, memory: int) -> Run:
    """Read what a verifier printed; an incomplete search is an error."""
    states = re.search(r"(\d+) states, stored", output)
    errors = re.search(r"errors: (\d+)", output)
    if states is None or errors is None:
        raise PeerError(f"SPIN's verifier did not finish:\n{output[-2000:]}")
    if "max search depth too small" in output or "out of memory" in output:
        raise PeerError(f"SPIN's search was cut short:\n{output[-2000:]}")
    return Run(int(states[1]), errors[1] != "0", seconds, whole, memory)


def prepare(size: Size, directory: Path, flags: tuple[str, ...] = ()) -> Callable[[], Run]:
    """Generate and compile the verifier."""
    (directory / "dontneed.pml").write_text(promela(size), encoding="utf-8")
    build = succeed(["spin", "-a", "dontneed.pml"], directory).seconds
    compile_ = ["gcc", "-w", *CFLAGS, *flags, "-o", "pan", "pan.c"]
    build += succeed(compile_, directory).seconds
    expected = STATES.get((size.cpus, size.pages), 1 << 24)
    slots = max(20, expected.bit_length())

    def search() -> Run:
        # The verifier's own exit status says nothing: errors are in its report.
        done = measure(["./pan", "-m100000", f"-w{slots}"], directory, HUGE_PAGES)
        return parse(done.output, done.seconds, build + done.seconds, done.memory)

    return search


def _version() -> str | None:
    return first_line(["spin", "-V"]) if first_line(["gcc", "--version"]) else None


CONTESTANTS = (
    Contestant(
        "SPIN, depth first",
        f"gcc {' '.join(CFLAGS)}, huge pages",
        _version,
        prepare,
    ),
    Contestant(
        "SPIN, breadth first",
        f"gcc {' '.join(CFLAGS)} -DBFS, huge pages",
        _version,
        lambda size, directory: prepare(size, directory, ("-DBFS",)),
    ),
)
