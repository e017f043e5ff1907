"""System S2b: what LUF leans on, and the findings that nobody has confirmed before.

``LUF.lazymask`` (BAD-S2-9) and ``LUF.arm64`` (BAD-S2-10) were hypotheses of the reference;
``LUF.diet`` was found while the patches were read for these models. ``docs/luf.md`` has the
assumptions of each.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.arm64 import arm64
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.pcid import Pcid, x86_pcid
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, path, scenario
from shootdown.linux.arch.x86.switch import switch_to_task
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.luf_batch import LufKey, LufMm
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.page_alloc import Zone, alloc_page
from shootdown.linux.mm.vmscan import Victims, shrink_folios
from shootdown.linux.mm_types import Folio
from shootdown.races import luf_properties as luf
from shootdown.races import x1
from shootdown.races.luf import RECLAIM, V12, Options, verdict

# ------------------------------------------------------------------ in mm_cpumask, and flushed?


@path(show="tasks")
def goes_and_comes(mm: ContextMm, back: ContextMm) -> None:
    """A task of another process is next on this CPU, and then one of its own again."""
    switch_to_task(mm)
    switch_to_task(back)


@path(show="reclaim, then allocate")
def reclaim_and_allocate(victims: Victims, zone: Zone) -> None:
    """Reclaim; then an allocation from a context in which nothing can be flushed, so that it must
    rely on what others have flushed."""
    shrink_folios(victims)
    alloc_page(zone, irqs_off=True)


def lazymask(
    name: str,
    title: str,
    version: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    mark: str = "cpumask",
    done: bool = True,
) -> Scenario:
    """``ugen_done`` on the model of system X1. CPU2 zaps a page of the process that it runs, which
    owes a flush: ``flush_tlb_mm()`` and the mark. CPU1 runs another process, which reads a page
    that LUF unmaps meanwhile, goes over to the first, and comes back; the page is allocated.
    INV-S2-5, and with ``done`` INV-S2-9."""
    first, second = luf.LazyMm(0), luf.LazyMm(1)
    victims = ((Folio(0), ((second, Page(0)),)),)
    options = {**V12, **x1.GENERATIONS, **x1.VARIANTS[version], "luf_mark": mark, "luf_vma": "none"}

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={TlbState: 3, Page: 1, Frame: 1, luf.LazyMm: 2, LufKey: 1, Zone: 1, Pcid: 2},
            start=luf.ran_another,
            threads=[
                x1.main(0, reclaim_and_allocate, victims, Zone(0)),
                x1.main(1, goes_and_comes, first, second),
                x1.main(2, madvise_dontneed, first, (Page(0),)),
                x1.handler(1),
                x1.handler(2),
            ],
            hardware=x86_pcid,
            invariants=[luf.not_used_after_takeoff, *([luf.done_is_done] if done else [])],
            goals=[luf.free_and_cached, luf.taken],
            options=options,
        )

    return build


LAZYMASK = (
    lazymask(
        "LUF.lazymask",
        "a CPU in mm_cpumask counts as flushed although flush_tlb_mm() has left it out",
        "current",
        violates="INV-S2-5",
        aliases=("BAD-S2-9",),
        done=False,
    ),
    lazymask("LUF.lazymask.done", "the same, seen by ugen_done", "current", violates="INV-S2-9"),
    lazymask(
        "LUF.lazymask.v6.14",
        "the first kernel with a lazy mm_cpumask",
        "v6.14",
        violates="INV-S2-5",
        done=False,
    ),
    lazymask("LUF.lazymask.v6.13", "with the eager mm_cpumask of 6.13", "v6.13"),
    lazymask(
        "LUF.lazymask.loaded", "only CPUs count that have the mm loaded", "current", mark="loaded"
    ),
)


# ------------------------------------------------------------------ arm64


def posted(
    name: str,
    title: str,
    answer: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    goals: tuple[Any, ...] = (),
) -> Scenario:
    """arm64: reclaim on one CPU frees a page that was mapped read-only, another CPU allocates it; a
    third one runs the process. INV-S2-5."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 3) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, LufMm: 1, LufKey: 1, Zone: 1},
            start=luf.read_only,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                Thread(alloc_page, Zone(0), on=Cpu(1)),
            ],
            hardware=arm64,
            goals=[luf.taken, *goals],
            options={**V12, "luf_arm64": answer},
        )

    return build


ARM64 = (
    posted(
        "LUF.arm64",
        "the TLBI is posted, nobody waits for it, and the page is allocated again",
        "done",
        violates="INV-S2-5",
        aliases=("BAD-S2-10",),
    ),
    posted(
        "LUF.arm64.key",
        "the same if the page has a key: the allocator is told that all is done",
        "key",
        violates="INV-S2-5",
    ),
    posted("LUF.arm64.dsb", "the CPU that unmaps waits before it frees: no LUF", "dsb"),
)


# ------------------------------------------------------------------ preempted with a batch in hand


def diet(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """Direct reclaim has unmapped a writable page and owes its flush, is preempted, and comes back
    from a kernel thread that had borrowed the mm of another process. INV-S2-1."""

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 1, LufMm: 2, LufKey: 1, Zone: 1},
            start=luf.written_file,
            threads=[
                Thread(shrink_folios, RECLAIM, on=Cpu(0)),
                Thread(alloc_page, Zone(0), on=Cpu(1)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.taken],
            options={**V12, "luf_switch": "borrowed", **options},
        )

    return build


DIET = (
    diet(
        "LUF.diet",
        "a context switch drops CPUs from the batch of a task that reclaims",
        {},
        "INV-S2-1",
    ),
    diet("LUF.diet.copy", "not if only what is added is thinned out", {"luf_diet": "copy"}),
)


# ------------------------------------------------------------------ why A4 is what it is


def irqs_off(name: str, title: str, takeoff: str, violates: str | None = None) -> Scenario:
    """Two CPUs allocate with interrupts off, and both pages owe a flush on both CPUs. INV-S2-10."""

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 3, Page: 2, Frame: 2, LufMm: 1, LufKey: 1, Zone: 1},
            start=luf.two_free,
            threads=[
                Thread(alloc_page, Zone(0), irqs_off=True, on=Cpu(1)),
                Thread(alloc_page, Zone(0), irqs_off=True, on=Cpu(2)),
            ],
            hardware=x86,
            invariants=[luf.done_is_done],
            goals=[luf.free_and_cached],
            options={**V12, "luf_takeoff": takeoff},
        )

    return build


IRQS_OFF = (
    irqs_off("LUF.noirq.flush", "both flush with interrupts off, and wait", "flush", "deadlock"),
    irqs_off("LUF.V11.noirq", "both are refused", "checked"),
)
