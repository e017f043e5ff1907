"""System S1's published numbers, from the paths and the prices: ``python benchmarks/headlines_s1.py
[--svg FILE]``, half a minute.

Valentin Schneider's cover letters (v7, 2025-11-14) report interrupts of isolated CPUs in six hours,
and what a system call takes with and without the flush of each entry, on three CPUs. The costs of
an entry are inputs here; from what number of entries on deferral loses is what we compute, by
running both variants at several rates of entries. Nothing is fitted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile, names
from shootdown.lang.scenario import Thread
from shootdown.races import library
from shootdown.workloads.pricing import variant_of
from shootdown.workloads.vmalloc import churns, stay_in_user_mode
from shootdown.workloads.x86_kernel import NohzCpu

VARIANTS = {s.name: variant_of(s) for s in library() if s.name in ("K.V0", "K.V1.careful", "K.V3",
                                                                   "K.V4")}  # fmt: skip
TODAY, SERIES = "K.V0", "K.V3"
MACHINE = Profile.load("skylake-2s")
UNIT = 10
"""Prices of the published CPUs are in tenths of ns, since an entry with 3 ns more has many parts.
Only ratios are looked at."""
HOURS = 6
ISOLATED = 27  # 5400 interrupts, 200 for each
CPUS = 36  # two sockets of 18 cores, no SMT: a guess, the cover letter does not say
STACK = 5  # pages of a kernel stack with its guard page


@dataclass(frozen=True)
class Published:
    """An average system call in ns: today, and with the flush of each entry."""

    cpu: str
    today: int
    series: int


CPUS_OF_V7 = (
    Published("E5-2699", 770, 1340),
    Published("E7-8890", 1040, 1320),
    Published("Gold 6248", 270, 273),
)


def run(name: str, profile: Profile = MACHINE, seed: int = 1, **parameters: int) -> Priced:
    """One run."""
    return Run(churns.plan(parameters), profile, seed, VARIANTS[name].options).run()


def entry_ns(name: str, profile: Profile) -> float:
    """What a system call of an isolated CPU takes if nobody flushes meanwhile."""
    plan = churns.plan({"cpus": 2, "isolated": 1, "frees": 1, "entries": 10_000, "ms": 900})
    priced = Run(plan, profile, 1, VARIANTS[name].options).run()
    return priced.counts["stolen_ns"] / priced.calls["system_call"]


def interrupt_ns(profile: Profile) -> float:
    """What an isolated CPU in user mode loses to one interrupt, with a full flush in it."""
    priced = run(TODAY, profile, entries=0, pages=64)
    return priced.counts["stolen_ns"] / priced.counts["isolated_interrupts"]


def of_cpu(published: Published) -> Profile:
    """A machine whose system calls take what was published."""
    profile = MACHINE.override(**{
        name: getattr(MACHINE, name) * UNIT for name in names("x86", geometry=False)
    })  # fmt: skip
    for name, price, wanted in (
        (TODAY, "kernel_entry", published.today),
        (SERIES, "flush_everything", published.series),
    ):
        value = getattr(profile, price) + wanted * UNIT - round(entry_ns(name, profile))
        if value < 1:  # as on the Gold 6248: then all other parts must be next to nothing, too
            profile = profile.override(mem_load=1, mem_store=1, tlb_walk=1, atomic=UNIT)
            value = 1 + wanted * UNIT - round(entry_ns(name, profile.override(**{price: 1})))
            base = published.today * UNIT - round(entry_ns(TODAY, profile))
            profile = profile.override(kernel_entry=profile.kernel_entry + base)
            value -= base
        profile = profile.override(**{price: value})
    return profile


def with_interrupt(profile: Profile, wanted: int) -> Profile:
    """A machine on which an interrupt takes that long, by the price of its handler."""
    more = wanted * UNIT - round(interrupt_ns(profile))
    return profile.override(handler=profile.handler + more)


def stolen_per_flush(name: str, profile: Profile, ratio: float) -> float:
    """ns that an isolated CPU loses for each flush, with so many entries for each."""
    flushes = 500 if ratio < 50 else 5  # a second, so that most of the time is user mode
    entries = round(ratio * flushes)
    ms = 200_000 // flushes
    priced = run(name, profile, frees=flushes, entries=entries, pages=64, chance=50, ms=ms)
    return priced.counts["stolen_ns"] / (2 * 200)


def gain(profile: Profile, ratio: float) -> float:
    """ns for each flush that an isolated CPU is spared by the series."""
    return stolen_per_flush(TODAY, profile, ratio) - stolen_per_flush(SERIES, profile, ratio)


def break_even(profile: Profile, guess: float) -> float:
    """From how many entries for each flush on deferral loses: between two rates, straight."""
    low, high = guess / 2, guess * 2
    for _ in range(3):
        a, b = gain(profile, low), gain(profile, high)
        crossing = low + (high - low) * a / (a - b)
        low, high = crossing * 0.95, crossing * 1.05
    return crossing


def interrupts() -> None:
    """5400 in six hours, and none."""
    batch = CPUS.bit_length() * 32 * 256 // STACK + 1  # areas, for each flush
    frees = -(-200 * batch // (HOURS * 3600))
    print(f"interrupts of {ISOLATED} isolated CPUs of {CPUS} in {HOURS} hours of pure user mode;")
    print(f"{frees} kernel stacks are freed in a second (for about 200 purges of vmalloc)")
    print(f"  {'':14}{'flushes':>9}{'isolated':>10}{'each':>7}{'deferred':>10}   published")
    for name in VARIANTS:
        priced = run(name, cpus=CPUS, isolated=ISOLATED, frees=frees, pages=STACK, mib=32,
                     entries=0, ms=HOURS * 3_600_000)  # fmt: skip
        counts = priced.counts
        number = counts["isolated_interrupts"]
        said = {TODAY: "~5400, ~200 each", SERIES: "none"}.get(name, "")
        print(f"  {name:14}{priced.calls['flush_tlb_kernel_range_deferrable']:>9,}{number:>10,}"
              f"{number / ISOLATED:>7.0f}{counts.get('deferred', 0):>10,}   {said}")  # fmt: skip


def entries() -> None:
    """What the series adds to an entry, on our machine."""
    print(f"\na system call, ns, with the prices of {MACHINE.name}")
    base = entry_ns(TODAY, MACHINE)
    for name in VARIANTS:
        ns = entry_ns(name, MACHINE)
        print(f"  {name:14}{ns:>7.0f}{ns - base:>+7.0f}")
    plan = churns.plan({"cpus": 3, "isolated": 1, "frees": 1, "ms": 1000})
    (task,) = [t for t in plan.threads if t.path is stay_in_user_mode]
    for name in (TODAY, SERIES):
        there = Thread(task.path, *task.args, on=NohzCpu(1))
        moved = replace(plan, threads=[plan.threads[0], there])
        priced = Run(moved, MACHINE, 1, VARIANTS[name].options).run()
        calls = priced.calls["system_call"]
        said = {TODAY: "698.6", SERIES: "702.6"}[name]
        print(f"  {name} on a housekeeping CPU{priced.counts['stolen_ns'] / calls:>7.0f}"
              f"   published (E5-2699, gettid): {said}")  # fmt: skip


def curves() -> list[tuple[str, list[tuple[float, float]]]]:
    """Where deferral begins to lose."""
    print("\nentries of the kernel for each deferred flush from which on deferral loses")
    print(f"  {'':11}{'entry, ns':>12}{'interrupt':>11}{'arithmetic':>12}{'runs':>8}")
    found = []
    for published in CPUS_OF_V7:
        profile = of_cpu(published)
        added = entry_ns(SERIES, profile) - entry_ns(TODAY, profile)
        for machine in (profile, with_interrupt(profile, 2000)):
            lost = interrupt_ns(machine)
            crossing = break_even(machine, lost / added)
            change = f"{published.today}->{published.today + added / UNIT:.0f}"
            print(f"  {published.cpu:11}{change:>12}{lost / UNIT:>8,.0f} ns{lost / added:>12.1f}"
                  f"{crossing:>8.1f}")  # fmt: skip
        ratios = [crossing * part for part in (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)]
        found.append((published.cpu, [(r, gain(machine, r) / UNIT) for r in ratios]))
    print("\nns that an isolated CPU gains for each flush (interrupt of 2 us)")
    for cpu, points in found:
        print(f"  {cpu:11}entries  " + "".join(f"{ratio:>9.1f}" for ratio, _ in points))
        print(f"  {'':11}gain, ns " + "".join(f"{ns:>+9,.0f}" for _, ns in points))
    return found


def late() -> None:
    """Interrupts that were sent in time for the kernel and come in user mode (Q-S1-5)."""
    print(f"\ninterrupts in user mode all the same ({SERIES}), 1000 flushes a second, for 20 s")
    print(f"  {'entries a second':>18}{'told':>8}{'in user mode':>14}{'of the flushes':>16}")
    for rate in (100, 1000, 10_000, 100_000):
        priced = run(SERIES, entries=rate, chance=50, pages=64, ms=20_000)
        flushes = priced.calls["flush_tlb_kernel_range_deferrable"]
        told = 2 * flushes - priced.counts["deferred"]
        number = priced.counts["isolated_interrupts"]
        print(f"  {rate:>18,}{told:>8,}{number:>14,}{number / (2 * flushes):>16.3%}")


COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44")


def svg(found: list[tuple[str, list[tuple[float, float]]]]) -> str:
    """The curves, over the number of entries in parts of each one's break-even."""
    width, height, left, middle = 640, 320, 60, 190
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<line x1="{left}" y1="{middle}" x2="{width - 20}" y2="{middle}" stroke="#888"/>',
        f'<text x="{left}" y="20">ns gained for each deferred flush</text>',
        f'<text x="{width - 20}" y="{height - 8}" text-anchor="end">'
        "entries for each flush, in parts of the break-even</text>",
    ]
    for number, (cpu, points) in enumerate(found):
        crossing = points[4][0]
        line = " ".join(
            f"{left + 270 * ratio / crossing:.1f},{middle - ns / 2000 * 130:.1f}"
            for ratio, ns in points
        )
        colour = COLOURS[number]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 200}" y="{40 + 16 * number}" fill="{colour}">'
                     f"{cpu}: {crossing:.1f} entries</text>")  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw the curves into FILE")
    arguments = parser.parse_args()
    interrupts()
    entries()
    late()
    found = curves()
    if arguments.svg:
        arguments.svg.write_text(svg(found), encoding="utf-8")


if __name__ == "__main__":
    main()
