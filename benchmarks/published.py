"""Published measurements beside what priced runs say, with a shipped profile and nothing fitted.

python benchmarks/published.py
"""

from __future__ import annotations

from shootdown.workloads.library import find_workload
from shootdown.workloads.pricing import Variant, price

# David Hildenbrand, 2024: munmap() of 1 GiB, seconds on a Xeon Silver 4210R, before and after
# PTE-mapped folios are zapped at once
FOLIOS = {
    "4K": ("1", 0.058110, 0.057715),
    "16K": ("4", 0.044198, 0.035469),
    "64K": ("16", 0.029207, 0.018434),
    "512K": ("128", 0.024292, 0.010703),
    "2M": ("512", 0.023785, 0.009910),
}
# Kernel test robot, 2017: will-it-scale brk1, 16 processes, when the count of open gathers leaked
BRK1 = -19.3
VMA = (200, 500, 1300)  # ns that a change of a VMA may take; 1300 was measured on Linux 6.18


def munmap(pages: str, batch: str) -> float:
    """Seconds for 1 GiB."""
    options = {"folio_pages": pages}
    if pages != "1":
        options["zap_batch"] = batch
    cost = price(Variant(batch, options), find_workload("munmap-big", None), ranges=False)
    return cost.priced.ns / 1e9


def brk(pending: str, vma: int) -> float:
    """Nanoseconds for an operation of each process."""
    workload = find_workload("brk1", None)
    parameters = {"rounds": 1000, "vma": vma}
    cost = price(Variant(pending, {"pending": pending}), workload, parameters, ranges=False)
    return cost.priced.ns * workload.parameters["processes"] / cost.priced.work["operations"]


def main() -> None:
    """Print both tables."""
    print("| folio | published | | | priced | | |")
    print("|---|---|---|---|---|---|---|")
    print("| | before | after | change | before | after | change |")
    for size, (pages, before, after) in FOLIOS.items():
        ours = munmap(pages, "page"), munmap(pages, "folio")
        print(
            f"| {size} | {before:.4f} s | {after:.4f} s | {change(before, after)} | "
            f"{ours[0]:.4f} s | {ours[1]:.4f} s | {change(*ours)} |",
            flush=True,
        )
    print("\n| VMA work | counted (V6) | leaked (V7) | operations | published |")
    print("|---|---|---|---|---|")
    for vma in VMA:
        counted, leaked = brk("counted", vma), brk("leaked", vma)
        print(
            f"| {vma} ns | {counted:.0f} ns | {leaked:.0f} ns | "
            f"{change(leaked, counted)} | {BRK1} % |",
            flush=True,
        )


def change(before: float, after: float) -> str:
    """In percent."""
    return f"{100 * (after / before - 1):+.1f} %"


if __name__ == "__main__":
    main()
