"""What was published about contpte (system S3), and what we price.

``python benchmarks/headlines_s3.py``, 20 seconds. Nothing is fitted: the prices are those of the
profile ``altra``, each with its source there. docs/pricing-s3.md explains the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.workloads.library import find_workload

GIB = 262_144
ALTRA = Profile.load("altra")
Options = tuple[tuple[str, str], ...]

BASELINE: Options = (("contpte", "off"), ("clear_full", "unfold"))
UNFOLD: Options = (("clear_full", "unfold"),)
KEEP: Options = (("clear_full", "keep"),)
ROBUST: Options = (("clear_full", "last-atomic"),)
POSTED: Options = (("cont_batch", "block"),)  # clear_ptes(), December 2023
MERGED: Options = ()  # Linux 6.9
NO_FLUSH: Options = (*UNFOLD, ("convert_flush", "never"))

MUNMAP = ("contpte-munmap", ("pages", GIB), ("order", 9))
DONTNEED = ("contpte-dontneed", ("pages", GIB), ("order", 9))
FORK = ("contpte-fork", ("pages", GIB), ("order", 9))
EXIT = ("contpte-exit", ("pages", 16_384), ("order", 4))

V4 = "clear_ptes() v4, 2023-12-18, Ampere Altra"
V3 = "clear_ptes() v3, 2023-12-04, Ampere Altra, one node"
HEADLINES = (
    ("munmap of 1 GiB, unfold each block", MUNMAP, UNFOLD, "+375.2%", V4),
    ("munmap of 1 GiB, clear_ptes()", MUNMAP, POSTED, "-0.6%", V4),
    ("munmap of 1 GiB, 6.9", MUNMAP, MERGED, "", "not published for Altra"),
    ("MADV_DONTNEED page by page, unfold", DONTNEED, UNFOLD, "+13.0%", V4),
    ("MADV_DONTNEED page by page, clear_ptes()", DONTNEED, POSTED, "+14.1%", V4),
    ("fork, unfold each block", FORK, UNFOLD, "", "not published"),
    ("fork, wrprotect_ptes()", FORK, POSTED, "-6.7%", "contpte v4, 2023-12-18, Ampere Altra"),
    ("fork, 6.9", FORK, MERGED, "", "order 9 on Xeon 4210R: -36.3% (D. Hildenbrand, 2023-12-19)"),
    ("exit, unfold each block", EXIT, UNFOLD, "+190%", V3),
    ("exit, leave the others (v2, option 4)", EXIT, KEEP, "+8%", V3),
    ("exit, the same and keep A and D", EXIT, ROBUST, "+21%", V3),
    ("exit, clear_ptes()", EXIT, POSTED, "+13%", V3),
    ("exit, 6.9", EXIT, MERGED, "", "not published"),
)


@cache
def compiled(workload: tuple[object, ...], options: Options) -> Run:
    """A workload with options of the kernel."""
    name, *parameters = workload
    plan = find_workload(str(name), None).plan(dict(parameters))  # type: ignore[arg-type]
    return Run(plan, ALTRA, 1, dict(options))


def priced(
    workload: tuple[object, ...], options: Options, prices: Mapping[str, int] | None = None
) -> Priced:
    """What it costs."""
    return compiled(workload, options).again(ALTRA.override(**(prices or {}))).run()


def change(
    workload: tuple[object, ...], options: Options, prices: Mapping[str, int] | None = None
) -> float:
    """Against a kernel without contpte."""
    ours = priced(workload, options, prices).ns
    return ours / priced(workload, BASELINE, prices).ns - 1


def headlines() -> None:
    """Ours beside theirs."""
    print(f"{'':44}{'TLBIS':>9}{'DSBS':>9}{'OURS':>10}{'THEIRS':>10}  SOURCE")
    for title, workload, options, theirs, source in HEADLINES:
        found = priced(workload, options)
        print(
            f"{title:44}{found.counts['tlbi']:>9,}{found.counts['dsb']:>9,}"
            f"{change(workload, options):>+10.1%}{theirs:>10}  {source}"
        )


def together() -> None:
    """Processes that exit at the same time wait for each other's DSBs."""
    print("\nprocesses of 16 MiB that exit at once: how much slower with unfolding (v1: 32 times)")
    for processes in (1, 2, 4, 8, 16, 24, 32, 80):
        workload = (EXIT[0], ("pages", 4096), ("order", 4), ("processes", processes))
        print(f"{processes:>4}{change(workload, UNFOLD) + 1:>8.1f}x")


def sensitivity() -> None:
    """What the prices of a TLBI and of its delivery do to the headlines of unfolding."""
    print("\nwith other prices:      munmap  DONTNEED      exit")
    for prices in (
        {},
        {"tlbi_deliver": 500},
        {"tlbi_deliver": 1760},
        {"tlbi_deliver": 3000},
        {"tlbi": 57},
        {"tlbi": 100},
    ):
        name = ", ".join(f"{key}={value}" for key, value in prices.items()) or "altra"
        row = [change(workload, UNFOLD, prices) for workload in (MUNMAP, DONTNEED, EXIT)]
        print(f"{name:20}" + "".join(f"{value:>+10.1%}" for value in row))


def convert() -> None:
    """contpte_convert() without its flush (BBML2)."""
    each, never = (priced(MUNMAP, o).times["contpte_convert"] for o in (UNFOLD, NO_FLUSH))
    print(f"\ncontpte_convert() without its flush: {never / each - 1:+.0%} (BBML2 series: -80%)")


if __name__ == "__main__":
    headlines()
    together()
    sensitivity()
    convert()
