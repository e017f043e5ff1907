"""arch/x86/mm/tlb.c: global ASIDs and INVLPGB (4afeb0ed1753 and its series, 6.15).

A process that runs on many CPUs gets one ASID for all of them, and its flushes are broadcast. CPUs
go on with their own ASIDs until they switch or are interrupted: the transition.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.pcid import Pcid, invlpgb, tlbsync
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    path,
    smp_store_release,
    this,
    wait_until,
)
from shootdown.linux.arch.x86.options import TLBSYNC, TRANSITION
from shootdown.linux.arch.x86.tlbflush import ContextMm, FlushTlbInfo, TlbState


@path(show="use_global_asid()")
def use_global_asid(mm: ContextMm) -> None:
    """``mm_assign_global_asid()``: whoever sees the ASID sees that a transition is under way. Left
    out: the lock and the allocation; the ASID is a new one."""
    WRITE_ONCE(mm.asid_transition, True)
    smp_store_release(mm.global_asid, Pcid(len(Pcid) - 1))


@path(show="finish_asid_transition()")
def finish_asid_transition(mm: ContextMm, asid: Pcid) -> bool:
    """Does some CPU still use an ASID of its own? (Then everybody in the mask is interrupted.) If
    none does, the transition is over. A CPU that switches may be about to use its own: wait until
    it is done."""
    straggler = False
    if READ_ONCE(mm.asid_transition):
        mask = READ_ONCE(mm.cpumask)
        for cpu in TlbState:
            if cpu in mask and not straggler:
                if TRANSITION != "no-wait":
                    wait_until(not cpu.loaded_mm.switching)
                loaded = READ_ONCE(cpu.loaded_mm)
                if not loaded.switching and loaded.mm == mm:
                    straggler = READ_ONCE(cpu.loaded_mm_asid) != asid
        if not straggler:
            WRITE_ONCE(mm.asid_transition, False)
    return straggler


@path(show="broadcast_tlb_flush()")
def broadcast_tlb_flush(info: FlushTlbInfo, pages: set[Page], asid: Pcid) -> bool:
    """Broadcast; and whether there are CPUs that the broadcast does not reach."""
    invlpgb(this(TlbState), asid, pages)
    if TRANSITION == "none":
        return False
    return finish_asid_transition(info.mm, asid)


@path
def broadcast_done() -> None:
    """Wait until every CPU has done what was broadcast."""
    if TLBSYNC == "wait":
        tlbsync(this(TlbState))
