"""kernel/context_tracking.c: is a CPU in user mode, and what is it to do when it leaves it.

As extended by the proposals of 2022 to 2025 to defer work of other CPUs (Zijlstra, Saenz Julienne,
Schneider; ``ct_set_cpu_work()``, ``ct_work_flush()``). The state is one atomic word.
"""

from __future__ import annotations

from shootdown.hardware.walker import learn
from shootdown.hardware.walker_flush import drop_page, invpcid_all
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, cmpxchg, note, path, this, xchg
from shootdown.linux.kernel_cpu import ContextState, KernelCpu, settle, settle_all
from shootdown.linux.options_entry import DEFERRED_WORK


@path(show="ct_set_cpu_work()")
def ct_set_cpu_work(cpu: KernelCpu) -> bool:
    """H2. Leave work for a CPU that is in user mode; ``False``: it is not, and must be told now.
    A successful compare-and-exchange is a full barrier, and so is the IPI otherwise."""
    old = READ_ONCE(cpu.ct_state)
    while old.user:
        found = cmpxchg(cpu.ct_state, old, ContextState(user=True, work=True))
        if found == old:
            return True
        old = found
    return False


@atomic(show="__flush_tlb_all()", role="flush")
def flush_deferred(cpu: KernelCpu) -> None:
    """The deferred flush: of everything; or, to show why, of the range that was last asked for."""
    if DEFERRED_WORK == "all":
        invpcid_all(cpu)
        settle_all(cpu)
    else:
        for page in cpu.deferred_pages:
            drop_page(cpu, page)
        learn(cpu)
        settle(cpu, cpu.deferred_pages)


@path(show="ct_kernel_enter()")
def ct_kernel_enter() -> None:
    """E3, E4. The CPU is in the kernel now, and does what was left for it."""
    cpu = this(KernelCpu)
    old = xchg(cpu.ct_state, ContextState())
    if old.work:
        note("deferred flush")
        flush_deferred(cpu)


@path(show="ct_user_enter()")
def ct_user_enter() -> None:
    """X1. From here on the CPU need not be told."""
    cpu = this(KernelCpu)
    if DEFERRED_WORK == "last-range":
        WRITE_ONCE(cpu.deferred_pages, set())
    xchg(cpu.ct_state, ContextState(user=True))
