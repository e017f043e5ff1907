"""Published numbers about batched unmap and LUF beside ours, from the workloads' own parameters.

    python benchmarks/headlines_s2.py [--quick]

Nothing is fitted: sizes and numbers of threads are those of the publications where they are known,
prices are those of a machine profile, and what is not known is varied (the second table). Memory is
smaller than theirs; the distances between watermarks, which decide how often LUF flushes, are not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.workloads.library import find_workload
from shootdown.workloads.reclaim import VARIANTS

LLAMA = {
    "cpus": 64, "processes": 3, "threads": 15, "memory": 131072, "file": 65536, "rounds": 3,
    "floor": 1024, "low": 12034, "high": 23044, "around": 16, "ns": 20000, "direct": 0,
    "heap_each": 0,
}  # fmt: skip
"""LUF: one socket of 64 CPUs; three processes with 15 threads, each through a file of its own;
files of 1.5 times the memory (210 GB, 140 GB). The watermarks of a node of 42 GB are 0.1 % of it
apart (``watermark_scale_factor``): 11010 pages. Memory and files are 1/280 of theirs."""

READERS = {
    "cpus": 49, "processes": 48, "threads": 1, "memory": 65536, "file": 4096, "rounds": 2,
    "around": 32, "pagevec": 14, "floor": 1024, "low": 2048, "high": 3072, "ns": 20000,
    "heap_each": 0,
}  # fmt: skip
"""TTU batches: 48 CPUs on four sockets, a reader on each, each through a file of its own
(vm-scalability lru-file-mmap-read); read-ahead of 128 KiB; PAGEVEC_SIZE of 4.2; memory is 1/256 of
64 GiB."""

MIGRATE = {"cpus": 32, "threads": 30, "pages": 16384, "rounds": 2, "most": 512, "ns": 100}
"""migrate_pages(2) of a process whose threads use its memory (pmbench, migratepages)."""

FILERECLAIM = {
    "cpus": 2, "processes": 1, "threads": 1, "spinners": 1, "memory": 16384, "file": 65536,
    "rounds": 1, "low": 0, "floor": 64, "heap_each": 0, "ns": 100,
}  # fmt: skip
"""wl.c filereclaim: a file of 256 MB in a memory cgroup of 64 MB, a second thread spins."""


class Runs:
    """Runs, each once."""

    def __init__(self, divide: int) -> None:
        self.divide = divide
        self.done: dict[str, Priced] = {}

    def __call__(
        self,
        workload: str,
        parameters: Mapping[str, int],
        options: Mapping[str, Any] = {},
        profile: str = "skylake-2s",
    ) -> Priced:
        key = repr((workload, profile, sorted(parameters.items()), sorted(options.items())))
        if key not in self.done:
            print(f"{workload} {dict(options)}", file=sys.stderr)
            plan = find_workload(workload, None).plan(parameters)
            self.done[key] = Run(plan, Profile.load(profile), options=options).run()
        return self.done[key]


def ipis(priced: Priced) -> int:
    """Requests to other CPUs, each of which is counted as an interrupt of TLB shootdown."""
    return priced.counts["csd_queue_cpu"]


def tlb_flushes(priced: Priced) -> int:
    """What the tracepoint tlb:tlb_flush counts: flushes of a CPU, calls of flush_tlb_multi()."""
    calls = priced.calls
    return sum(
        calls.get(name, 0)
        for name in ("flush_tlb_local", "flush_tlb_one_user", "send_batch", "send_request")
    )


def less(before: float, after: float) -> str:
    """A change in percent."""
    return f"{100 * (after - before) / before:+.2f} %"


def rate(priced: Priced, number: int) -> str:
    """So many a second."""
    return f"{number * 1e6 / priced.ns:,.1f} K/s"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Markdown."""
    for line in (head, tuple("---" for _ in head), *rows):
        print("| " + " | ".join(line) + " |")
    print()


def llama(run: Runs, **more: int) -> tuple[Priced, Priced]:
    """Before LUF, and after."""
    parameters = {**LLAMA, **more}
    parameters["rounds"] = max(2, parameters["rounds"] // run.divide)
    return (
        run("reclaim", parameters, VARIANTS["batch"]),
        run("reclaim", parameters, VARIANTS["luf"]),
    )


def readers(run: Runs, **more: int) -> tuple[Priced, Priced]:
    """Before batches, and after."""
    parameters = {**READERS, **more}
    return (
        run("reclaim", parameters, VARIANTS["none"], "skylake-4s"),
        run("reclaim", parameters, VARIANTS["batch"], "skylake-4s"),
    )


def migrated(run: Runs, **more: int) -> tuple[Priced, Priced]:
    """Before batches, and after."""
    parameters = {**MIGRATE, **more}
    return run("migration", {**parameters, "batched": 0}), run("migration", parameters)


def headlines(run: Runs) -> None:
    """Theirs and ours."""
    before, after = llama(run)
    rows = [
        ("LUF v10, shootdown interrupts", "-95.45 %", less(ipis(before), ipis(after))),
        ("LUF v10, tlb:tlb_flush", "-94.9 %", less(tlb_flushes(before), tlb_flushes(after))),
        ("LUF v10, run time", "-5.33 %", less(before.ns, after.ns)),
    ]
    before, after = readers(run)
    rows += [
        ("batched reclaim, interrupts a second", "-93.3 % (900 K to 60 K)",
         less(ipis(before) / before.ns, ipis(after) / after.ns)
         + f" ({rate(before, ipis(before))} to {rate(after, ipis(after))})"),
        ("batched reclaim, interrupts a page", "", less(ipis(before), ipis(after))),
    ]  # fmt: skip
    before, after = migrated(run)
    rows += [
        ("batched migration, flush IPIs", "-99.1 %", less(ipis(before), ipis(after))),
        ("batched migration, pages a second", "+291.7 %", less(1 / before.ns, 1 / after.ns)),
    ]
    table(("number", "published", "ours"), rows)


def sensitivity(run: Runs) -> None:
    """What is not known about their settings, varied."""
    rows = []
    for each in (0, 4096, 1024, 256, 64):
        before, after = llama(run, writable_each=each)
        share = f"1 in {each}" if each else "none"
        rows.append(("LUF: pages mapped writable", share, less(ipis(before), ipis(after))))
    for each in (64, 16, 4, 1):
        before, after = llama(run, heap_each=each)
        rows.append(
            ("LUF: chunks of 16 pages for each munmap(), write fault and write(2)", str(each),
             less(ipis(before), ipis(after)))
        )  # fmt: skip
    for gap in (64, 512, 2048):
        before, after = llama(run, low=1024 + gap, high=1024 + 2 * gap)
        rows.append(("LUF: pages between watermarks", str(gap), less(ipis(before), ipis(after))))
    parameters = {**LLAMA, "rounds": max(2, LLAMA["rounds"] // run.divide)}
    each_one = run("reclaim", parameters, VARIANTS["luf-each"])
    rows.append(("LUF: who flushes", "everybody that takes a page (v12 without its last patch)",
                 less(ipis(llama(run)[0]), ipis(each_one))))  # fmt: skip
    for ns in (20000, 5000, 500):
        before, after = llama(run, ns=ns)
        rows.append((f"LUF, run time: {ns} ns of computing for a page",
                     rate(before, ipis(before)), less(before.ns, after.ns)))  # fmt: skip
    for pagevec in (1, 14, 31):
        before, after = readers(run, pagevec=pagevec)
        rows.append(("batched reclaim: folios put on the list at once", str(pagevec),
                     less(ipis(before), ipis(after))))  # fmt: skip
    for batch in (32, 64, 256):
        before, after = readers(run, batch=batch)
        rows.append(("batched reclaim: pages at once", str(batch),
                     less(ipis(before), ipis(after))))  # fmt: skip
    for threads in (4, 30):
        before, after = migrated(run, threads=threads)
        rows.append(("batched migration, pages a second: threads that use the memory", str(threads),
                     less(1 / before.ns, 1 / after.ns)))  # fmt: skip
    for most in (32, 128, 512):
        before, after = migrated(run, most=most)
        rows.append(("batched migration: pages at once", str(most),
                     less(ipis(before), ipis(after))))  # fmt: skip
    table(("what is not known", "value", "ours"), rows)


def variants(run: Runs) -> None:
    """Each variant of the paths in the setting of LUF, with direct reclaim."""
    rows = []
    for name, options in VARIANTS.items():
        found = run("reclaim", {**LLAMA, "rounds": 2, "direct": 1}, options)
        pages = found.calls["try_to_unmap_one"] / 1000
        rows.append(
            (name, f"{ipis(found) / pages:,.1f}", f"{tlb_flushes(found) / pages:,.1f}",
             f"{sum(found.interrupted_ns) / pages / 1000:,.0f} ns", f"{found.ns / 1e6:,.0f} ms")
        )  # fmt: skip
    table(("variant", "IPIs for 1000 pages", "TLB flushes for 1000 pages",
           "in interrupts, for a page", "run time"), rows)  # fmt: skip


def recorded(run: Runs) -> None:
    """Counts of a real kernel (6.18, two CPUs) beside those predicted for it."""
    rows = []
    for name, options, batch in (
        ("lists of 32, freed at once", {}, 32),
        ("lists of 32, freed 31 at once (6.18)", {"free_batch": "31"}, 32),
        ("lists of 64, freed at once", {}, 64),
    ):
        found = run("reclaim", {**FILERECLAIM, "batch": batch, "floor": 2 * batch}, options)
        stolen = found.calls["try_to_unmap_one"]
        rows.append(
            (f"filereclaim: {name}", "853 for 62,656 pages", f"{ipis(found):,} for {stolen:,}")
        )
    found = run(
        "migration", {"cpus": 2, "threads": 1, "pages": 1300, "rounds": 1, "most": 32}
    )  # fmt: skip
    rows.append(
        ("compact_memory: 32 pages at once", "98 for ~1300 pages", f"{ipis(found):,} for 1,300")
    )
    table(("recorded", "kernel", "ours"), rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter runs, no sensitivity")
    arguments = parser.parse_args()
    run = Runs(2 if arguments.quick else 1)
    headlines(run)
    variants(run)
    recorded(run)
    if not arguments.quick:
        sensitivity(run)


if __name__ == "__main__":
    main()
