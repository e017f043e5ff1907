"""What must hold in system X1, where its scenarios start, and what must be reachable in them.

INV-X1-1 is asserted where user space uses a translation (:func:`use`).
"""

from __future__ import annotations

from shootdown.hardware.access import user_load
from shootdown.hardware.machine import Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.pcid import Pcid, entries_of
from shootdown.lang import atomic, goal, invariant, mark, note, this
from shootdown.linux.arch.x86.tlbflush import (
    ContextMm,
    LoadedMm,
    TlbContext,
    TlbState,
    dyn_asids,
)

# ------------------------------------------------------------------ use


@atomic(show="load {page}")
def use(mm: ContextMm, page: Page) -> Frame | None:
    """An instruction of user space that reads."""
    frame = user_load(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    if frame in mm.revoked[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.revoked[page], (
        "INV-X1-1: a flush has returned, and a CPU goes on with what it should have removed"
    )
    return frame


# ------------------------------------------------------------------ invariants


@invariant("INV-X1-2")
def no_false_claim() -> bool:
    """A CPU claims a generation for an ASID, and has translations that were gone by then."""
    return all(
        not cpu.ctxs[asid].used
        or cpu.ctxs[asid].mm != mm
        or (
            cpu.ctxs[asid].tlb_gen <= mm.tlb_gen
            and not any(
                mm.gone_at[page] > 0
                and mm.gone_at[page] <= cpu.ctxs[asid].tlb_gen
                and entries_of(cpu, asid, page)
                for page in Page
            )
        )
        for cpu in TlbState
        for asid in Pcid
        for mm in ContextMm
    )


@invariant("INV-X1-2")
def no_foreign_entries() -> bool:
    """A CPU has translations of one process under the ASID of another."""
    # only the first process has any
    return not any(
        cpu.ctxs[asid].used and cpu.ctxs[asid].mm != ContextMm(0) and entries_of(cpu, asid, page)
        for cpu in TlbState
        for asid in Pcid
        for page in Page
    )


@invariant("INV-X1-3")
def in_mask() -> bool:
    """A CPU has an mm loaded, and is not in its mm_cpumask."""
    return all(
        cpu.loaded_mm.switching or cpu.loaded_mm.mm != mm or cpu in mm.cpumask
        for cpu in TlbState
        for mm in ContextMm
    )


@invariant("INV-X1-3")
def in_mask_unless_switching() -> bool:
    """A CPU that accepts interrupts has an mm loaded, and is not in its mm_cpumask."""
    return all(
        not cpu.irq_on or cpu.loaded_mm.switching or cpu.loaded_mm.mm != mm or cpu in mm.cpumask
        for cpu in TlbState
        for mm in ContextMm
    )


@invariant("INV-X1-4")
def seen_by_one() -> bool:
    """A flush does not see that a CPU switches, and the switch does not see the new generation."""
    return not any(mm.missed for mm in ContextMm)


# ------------------------------------------------------------------ goals


@goal("a CPU took up an mm that it had left, and kept what it had cached")
def kept() -> bool:
    """The case that generations are for."""
    return any(cpu.kept for cpu in TlbState)


@goal("a CPU has something cached that is gone, and may not use it")
def behind() -> bool:
    """It was left out of a flush that has returned."""
    return any(
        cpu.ctxs[asid].used
        and cpu.ctxs[asid].mm == mm
        and mm.gone_at[page] > cpu.ctxs[asid].tlb_gen
        and entries_of(cpu, asid, page)
        and Frame(page.index) in mm.revoked[page]
        for cpu in TlbState
        for asid in Pcid
        for page in Page
        for mm in ContextMm
    )


@goal("a CPU that switches is interrupted")
def interrupted_switch() -> bool:
    """The flush has found SWITCHING."""
    return any(
        cpu in sender.call_pending and cpu.loaded_mm.switching
        for cpu in TlbState
        for sender in TlbState
    )


@goal("a CPU that has another mm loaded is trimmed from mm_cpumask")
def trimmed() -> bool:
    """Nobody but the CPU itself does it."""
    return any(cpu not in mm.cpumask for cpu in TlbState for mm in ContextMm if cpu.in_irq)


@goal("a CPU has moved to the global ASID")
def moved() -> bool:
    """It was interrupted, or has switched."""
    return any(cpu.loaded_mm_asid.index == len(Pcid) - 1 for cpu in TlbState if cpu != Cpu(0))


@goal("the transition is over")
def transition_over() -> bool:
    """All CPUs that run the process use the global ASID."""
    return any(mm.global_asid is not None and not mm.asid_transition for mm in ContextMm)


@goal("an ASID went from one process to another")
def recycled() -> bool:
    """There are fewer ASIDs than processes."""
    return any(cpu.ctxs[Pcid(0)].mm == ContextMm(2) for cpu in TlbState)


@goal("a flush has returned")
def returned() -> bool:
    """User space may rely on it."""
    return any(mm.revoked[page] for mm in ContextMm for page in Page)


@goal("a CPU was past a request already when it handled it")
def caught_up_twice() -> bool:
    """One flush has brought it up to date for both."""
    return any(
        cpu.in_irq
        and cpu in sender.call_pending
        and cpu.ctxs[Pcid(0)].tlb_gen > sender.flush_info.new_tlb_gen
        for cpu in TlbState
        for sender in TlbState
    )


# ------------------------------------------------------------------ starting states


@atomic
def runs(cpu: TlbState, mm: ContextMm, asid: Pcid) -> None:
    """The CPU runs a task of that process."""
    cpu.loaded_mm = LoadedMm(mm=mm)
    cpu.loaded_mm_asid = asid
    cpu.tag = asid
    cpu.walks = mm
    cpu.ctxs[asid] = TlbContext(used=True, mm=mm)
    cpu.next_asid = (asid.index + 1) % dyn_asids()
    mm.cpumask.add(cpu)


@atomic
def mapped(mm: ContextMm) -> None:
    """Each page of the process maps the frame of the same number."""
    for page in Page:
        mm.pte[page] = Pte(
            present=True, writable=True, accessed=True, dirty=True, frame=Frame(page.index)
        )


@atomic
def has_run(cpu: TlbState, mm: ContextMm, asid: Pcid) -> None:
    """The CPU has run that process before, and has kept its translations under the ASID."""
    cpu.ctxs[asid] = TlbContext(used=True, mm=mm)
    for page in Page:
        cpu.parked[asid][page] = {
            TlbEntry(writable=True, dirty=True, frame=Frame(page.index)),
        }


@atomic
def trimmed_before() -> None:
    """CPU0 runs the first process. The others have run it until a moment ago, run the second, and
    have left the mm_cpumask of the first."""
    for cpu in TlbState:
        if cpu.index == 0:
            runs(cpu, ContextMm(0), Pcid(0))
        else:
            runs(cpu, ContextMm(1), Pcid(1))
            has_run(cpu, ContextMm(0), Pcid(0))
    mapped(ContextMm(0))


@atomic
def ran_before() -> None:
    """The same, but the others are still in that mask."""
    trimmed_before()
    ContextMm(0).cpumask = set(Cpu)


@atomic
def ran_before_elsewhere() -> None:
    """The same, but CPU0 runs a kernel thread, and has no address space of a process loaded."""
    for cpu in TlbState:
        if cpu.index > 0:
            runs(cpu, ContextMm(1), Pcid(1))
            has_run(cpu, ContextMm(0), Pcid(0))
            ContextMm(0).cpumask.add(cpu)
    mapped(ContextMm(0))


@atomic
def all_run() -> None:
    """Every CPU runs the process."""
    for cpu in TlbState:
        runs(cpu, ContextMm(0), Pcid(0))
    mapped(ContextMm(0))


@atomic
def nobody_runs() -> None:
    """No CPU has run the process yet."""
    mapped(ContextMm(0))


@atomic
def last_runs() -> None:
    """The last CPU runs the process. The others have no address space of a process loaded."""
    runs(TlbState(len(Cpu) - 1), ContextMm(0), Pcid(0))
    mapped(ContextMm(0))
