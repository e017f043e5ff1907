"""System X1: ASIDs that change hands, and those that all CPUs share (INVLPGB)."""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid, x86_invlpgb
from shootdown.lang import Thread, path
from shootdown.linux.arch.x86.broadcast import use_global_asid
from shootdown.linux.arch.x86.switch import leave_mm, switch_to_kernel_thread, switch_to_task
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.races import x1_properties as x1
from shootdown.races.x1 import (
    ALWAYS,
    MM,
    SMALL,
    TSO,
    Situation,
    be_lazy,
    come_back,
    handler,
    load,
    main,
    unmap,
    x1_scenario,
)

# ------------------------------------------------------------------ fewer ASIDs than processes


@path(show="three tasks")
def round_trip(mm: ContextMm, page: Page) -> None:
    """Two other processes, then the first again."""
    switch_to_task(ContextMm(2))
    switch_to_task(ContextMm(1))
    come_back(mm, page)


def recycling(cpus: int) -> list[Thread]:
    """CPU0 removes a page of a process, the others come back to it by way of two others."""
    return [
        main(0, unmap, MM, Page(0)),
        *[main(c, round_trip, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


RECYCLE = Situation(2, {**SMALL, ContextMm: 3}, x1.ran_before, recycling)

ASIDS = (
    x1_scenario(
        "X1.current.recycle",
        "current",
        RECYCLE,
        "three processes share two ASIDs",
        check=(*ALWAYS, x1.no_foreign_entries),
        goals=(x1.behind, x1.recycled),
    ),
)


# ------------------------------------------------------------------ one ASID for all CPUs


@path(show="busy process")
def go_global(mm: ContextMm) -> None:
    """The process gets a global ASID; two pages are removed, one after the other."""
    use_global_asid(mm)
    unmap(mm, Page(0))
    unmap(mm, Page(1))


@path(show="elsewhere")
def go_global_once(mm: ContextMm) -> None:
    """The process gets a global ASID; one page is removed."""
    use_global_asid(mm)
    unmap(mm, Page(0))


def transition(cpus: int) -> list[Thread]:
    """CPU0 moves the process to a global ASID and flushes; the others go on running it."""
    return [
        main(0, go_global, MM),
        *[main(c, load, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


def transition_and_switch(cpus: int) -> list[Thread]:
    """CPU0, which does not run the process, moves it to a global ASID and flushes; the others take
    it up meanwhile."""
    return [
        main(0, go_global_once, MM),
        *[main(c, come_back, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


@path(show="idle")
def idle(mm: ContextMm, page: Page) -> None:
    """The idle task borrows the address space; after a while it goes deeper. Then a task again."""
    switch_to_kernel_thread()
    leave_mm()
    come_back(mm, page)


def transition_and_idle(cpus: int) -> list[Thread]:
    """CPU0 moves the process to a global ASID and flushes; the others become idle meanwhile."""
    return [
        main(0, go_global_once, MM),
        *[main(c, idle, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


def transition_and_lazy(cpus: int) -> list[Thread]:
    """CPU0 moves the process to a global ASID and flushes; the others are lazy for a while."""
    return [
        main(0, go_global_once, MM),
        *[main(c, be_lazy, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


TWO_PAGES = {Page: 2, Frame: 2, ContextMm: 1, Pcid: 2}
BUSY = Situation(2, TWO_PAGES, x1.all_run, transition, x86_invlpgb)
BUSY_SWITCH = Situation(
    2,
    {**SMALL, Pcid: 3},
    x1.ran_before_elsewhere,
    transition_and_switch,
    x86_invlpgb,
)
BUSY_LAZY = Situation(
    2, {**SMALL, ContextMm: 1, Pcid: 3}, x1.all_run, transition_and_lazy, x86_invlpgb
)
BUSY_IDLE = Situation(
    2, {**SMALL, ContextMm: 1, Pcid: 3}, x1.all_run, transition_and_idle, x86_invlpgb
)

BROADCAST = (
    x1_scenario(
        "X1.current.invlpgb",
        "invlpgb",
        BUSY,
        "a process moves to a global ASID, flushes are broadcast",
        goals=(x1.moved, x1.transition_over, x1.returned),
    ),
    x1_scenario(
        "X1.current.invlpgb-switch",
        "invlpgb",
        BUSY_SWITCH,
        "the same, and a CPU takes the process up meanwhile",
        goals=(x1.moved, x1.transition_over, x1.returned),
    ),
    x1_scenario(
        "X1.current.invlpgb-switch-tso",
        "invlpgb",
        BUSY_SWITCH,
        "the same with store buffers",
        more=TSO,
        goals=(x1.moved, x1.transition_over, x1.returned),
    ),
    x1_scenario(
        "X1.current.invlpgb-lazy",
        "invlpgb",
        BUSY_LAZY,
        "a lazy CPU is moved to the global ASID, and goes on with the process",
        goals=(x1.moved, x1.returned),
    ),
    x1_scenario(
        "X1.current.invlpgb-idle",
        "invlpgb",
        BUSY_IDLE,
        "flush_tlb_func() moves a lazy CPU to the global ASID, and it is not lazy any more",
        violates="INV-X1-LAZY",
        check=(),
        goals=(),
    ),
    x1_scenario(
        "X1.current.invlpgb-idle-fixed",
        "invlpgb",
        BUSY_IDLE,
        "flush_tlb_func() looks whether the CPU is lazy first (proposed in May 2025)",
        more={"lazy_test": "before-global"},
        goals=(x1.moved, x1.returned),
    ),
    x1_scenario(
        "X1.V6",
        "V6",
        BUSY,
        "CPUs that still use an ASID of their own are not told",
        violates="INV-X1-1",
        check=(),
        goals=(),
    ),
    x1_scenario(
        "X1.V6.tlbsync",
        "V6.tlbsync",
        BUSY,
        "the flush does not wait for its INVLPGB",
        violates="INV-X1-1",
        check=(),
        goals=(),
    ),
    x1_scenario(
        "X1.V6.no-wait",
        "V6.no-wait",
        BUSY_SWITCH,
        "a CPU that is switching is not waited for",
        violates="INV-X1-1",
        check=(),
        goals=(),
    ),
)
