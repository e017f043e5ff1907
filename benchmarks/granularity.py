"""What the count of open gathers should be of: false alarms against what the counting costs.

Threads of one process give pages back with MADV_DONTNEED at the same time (workload ``dontneed``).
A call that finds another gather open flushes more than its own pages, needed or not. Nothing here
is needed, since no two threads use the same page: every such flush is a false alarm.

    python benchmarks/granularity.py
"""

from __future__ import annotations

import argparse

from shootdown.workloads.library import find_workload
from shootdown.workloads.pricing import Cost, Variant, price

HEAD = """| count of | false alarms | full flushes | line transfers | ns a call | time |
|---|---|---|---|---|---|"""
KINDS = {"mm": "counted", "VMA": "vma", "page table": "table", "nobody": "none"}


def run(pending: str, parameters: dict[str, int], profile: str) -> Cost:
    """One priced run. ``none``: no count and no check, which is not safe: what counting costs."""
    options = {"pending": pending, **({"nested": "none"} if pending == "none" else {})}
    workload = find_workload("dontneed", None)
    return price(Variant(pending, options), workload, parameters, profile=profile, ranges=False)


def row(kind: str, cost: Cost, base: Cost) -> str:
    """A line of the table. Full flushes are of all CPUs together; most are not false alarms: a CPU
    that finds two requests at once flushes everything (mm->context.tlb_gen)."""
    calls, unit = cost.priced.work["calls"], cost.parameters["workers"]
    alarms = cost.priced.counts.get("nested_flushes", 0) / calls
    each = cost.priced.ns * unit / calls
    against = 100 * (cost.priced.ns / base.priced.ns - 1)
    lines = cost.priced.counts["line_transfers"] / calls
    full = cost.summary()["full_flushes"] / calls
    return f"| {kind} | {alarms:.1%} | {full:.2f} | {lines:.1f} | {each:,.0f} | {against:+.1f} % |"


def main() -> None:
    """Print one table for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpus", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--profile", default="skylake-2s")
    arguments = parser.parse_args()
    for packed in (0, 1):
        where = "all in one page table" if packed else "each in page tables of its own"
        for workers in (2, 16):
            for pages in (1, 8):
                print(
                    f"\n{workers} threads on {arguments.cpus} CPUs, {pages} pages a call, {where}\n"
                )
                print(HEAD)
                parameters = {
                    "cpus": arguments.cpus, "workers": workers, "pages": pages,
                    "rounds": arguments.rounds, "packed": packed,
                }  # fmt: skip
                base = run("none", parameters, arguments.profile)
                for kind, pending in KINDS.items():
                    cost = (
                        base if pending == "none" else run(pending, parameters, arguments.profile)
                    )
                    print(row(kind, cost, base), flush=True)


if __name__ == "__main__":
    main()
