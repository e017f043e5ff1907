"""Historic races of x86: 4.4, before generations, and 5.9.

In 4.4 ``mm_cpumask`` was exact: who is in it is told, and who leaves it flushes.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.interrupt import not_interrupted
from shootdown.hardware.ipi import handle_call
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.pcid import Pcid, x86_pcid
from shootdown.lang import WRITE_ONCE, Scenario, Setup, Thread, goal, path, scenario
from shootdown.linux.arch.x86 import tlb
from shootdown.linux.arch.x86.alternative import text_poke
from shootdown.linux.arch.x86.mmu_context import switch_mm
from shootdown.linux.arch.x86.switch import leave_mm, switch_to_kernel_thread
from shootdown.linux.arch.x86.tlbflush import ContextMm, LoadedMm, TlbState
from shootdown.linux.user import return_to_user
from shootdown.races import x1_properties as x1
from shootdown.races.x1 import EAGER, Situation, come_back, handler, main, unmap, x1_scenario

MM = ContextMm(0)

# ------------------------------------------------------------------ 4.4: CVE-2016-2069


@path(show="another process unmaps")
def unmap_from_elsewhere(mm: ContextMm, page: Page) -> None:
    """Clear a PTE of a process that this CPU does not run, with a plain store (``pte_clear()``;
    locked accesses are for PTEs whose A and D somebody wants), and flush."""
    WRITE_ONCE(mm.pte[page], Pte())
    tlb.flush_tlb_mm_range(mm, {page})
    return_to_user(mm, (page,))


@path(show="task")
def take_up(mm: ContextMm, page: Page) -> None:
    """The scheduler chooses a task of the process, which reads a page."""
    switch_mm(None, mm)
    x1.use(mm, page)


@goal("the CPU that takes the process up is told")
def told() -> bool:
    """The flush has seen its bit."""
    return any(TlbState(1) in cpu.call_pending for cpu in TlbState)


def barrier(
    name: str,
    title: str,
    *,
    violates: str | None = None,
    options: dict[str, Any],
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """CPU0 unmaps a page of a process that nobody runs; CPU1 takes the process up."""

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        title=title,
        aliases=aliases,
    )
    def build(cpus: int = 2) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: 1, Frame: 1, ContextMm: 1, Pcid: 1},
            start=x1.nobody_runs,
            threads=[
                Thread(unmap_from_elsewhere, MM, Page(0), on=TlbState(0)),
                *[Thread(take_up, MM, Page(0), on=TlbState(c)) for c in range(1, cpus)],
            ],
            hardware=x86_pcid.and_rules(handle_call),
            options={"mm_cpumask": "eager-late", **options},
            goals=[x1.returned, told],
        )

    return build


BARRIER = (
    barrier(
        "SWITCHMM-BARRIER",
        "CVE-2016-2069: no barrier between a PTE and mm_cpumask",
        violates="INV-X1-1",
        options={"memory": "tso"},
    ),
    barrier(
        "SWITCHMM-BARRIER.fixed",
        "with a barrier in flush_tlb_mm_range() (71b3c126e611)",
        options={"memory": "tso", "flush_barrier": "smp_mb"},
    ),
    barrier(
        "SWITCHMM-BARRIER.sc",
        "without a barrier, memory sequentially consistent",
        options={},
    ),
)


# ------------------------------------------------------------------ 5.9: text_poke() while lazy

POKING = ContextMm(1)


@path(show="idle task")
def poke_and_idle(mm: ContextMm, page: Page, *, leave_lazy: bool) -> None:
    """The idle task patches an instruction (a static key that a timer switches), goes into a deep
    idle state, and is followed by a task of the process."""
    switch_to_kernel_thread()
    text_poke(POKING, leave_lazy=leave_lazy)
    leave_mm()
    come_back(mm, page)


@goal("the CPU has given the mm up")
def given_up() -> bool:
    """It is in a deep idle state."""
    return TlbState(1).loaded_mm == LoadedMm()


def poke(name: str, title: str, *, leave_lazy: bool, tso: bool = False) -> Scenario:
    """CPU0 unmaps a page of the process; CPU1, which has run it, patches an instruction."""

    def threads(cpus: int) -> list[Thread]:
        patcher = Thread(
            poke_and_idle,
            MM,
            Page(0),
            leave_lazy=leave_lazy,
            on=TlbState(1),
            when=not_interrupted,
        )
        return [main(0, unmap, MM, Page(0)), patcher, handler(1)]

    sizes = {Page: 1, Frame: 1, ContextMm: 2, Pcid: 2}
    return x1_scenario(
        name,
        "v6.13",
        Situation(2, sizes, x1.all_run, threads),
        title,
        violates=None if leave_lazy else "INV-X1-LAZY",
        more={"memory": "tso"} if tso else None,
        check=EAGER if leave_lazy else (),
        goals=[given_up, x1.behind] if leave_lazy else [],
    )


POKE = (
    poke(
        "POKE-LAZY",
        "text_poke() on a lazy CPU: it has the old mm again, and is not lazy",
        leave_lazy=False,
    ),
    poke(
        "POKE-LAZY.fixed",
        "a lazy CPU gives the mm up before it patches (abee7c494d8c)",
        leave_lazy=True,
    ),
    poke("POKE-LAZY.fixed-tso", "the same with store buffers", leave_lazy=True, tso=True),
)
