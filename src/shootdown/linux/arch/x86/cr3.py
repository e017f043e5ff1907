"""What arch/x86/mm/tlb.c does to the hardware: CR3 writes and INVLPG, for both kinds of paging."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.pcid import Pcid, load_cr3
from shootdown.hardware.tlb import invalidate
from shootdown.hardware.walker import learn
from shootdown.hardware.walker_flush import drop_page, drop_pcid
from shootdown.lang import atomic
from shootdown.linux.arch.x86.options import PAGING
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbContext, TlbState


@atomic(show="write_cr3()")
def write_cr3(cpu: TlbState, mm: ContextMm | None, asid: Pcid, noflush: bool) -> None:
    """``write_cr3(build_cr3(...))``, or ``build_cr3_noflush()``."""
    if PAGING == "tree":
        if not noflush:
            drop_pcid(cpu, asid)
        cpu.pcid = asid
        cpu.root = mm
    else:
        load_cr3(cpu, mm, asid, noflush)


@atomic(show="load_new_mm_cr3()")
def load_new_mm_cr3(
    cpu: TlbState, mm: ContextMm | None, asid: Pcid, gen: int, need_flush: bool
) -> None:
    """Write CR3, S5: with a flush if the ASID is new or behind, and then it is of that generation.

    The entry of ``ctxs[]`` is written just before, and seen by nobody else."""
    if need_flush:
        cpu.ctxs[asid] = TlbContext(used=True, mm=mm, tlb_gen=gen)
    else:
        cpu.kept = True
    write_cr3(cpu, mm, asid, not need_flush)


@atomic(show="INVLPG", role="flush")
def flush_tlb_one_user(cpu: TlbState, pages: set[Page]) -> None:
    """Flush some pages of the current ASID, H5. Without isolation there is no second one."""
    if PAGING == "tree":
        for page in pages:
            drop_page(cpu, page)
        learn(cpu)
    else:
        invalidate(cpu, pages)


@atomic(show="flush_tlb_local()", role="flush")
def flush_tlb_local(cpu: TlbState) -> None:
    """Flush all of the current ASID, H5: CR3 is written with the value that it has."""
    if PAGING == "tree":
        drop_pcid(cpu, cpu.pcid)
        learn(cpu)
    else:
        invalidate(cpu, set(Page))


@atomic(show="this_cpu_write(ctxs[].tlb_gen)", fence=False)
def claim(cpu: TlbState, asid: Pcid, gen: int) -> None:
    """H6. The ASID is of this generation now; nobody else sees it."""
    context = cpu.ctxs[asid]
    cpu.ctxs[asid] = TlbContext(used=True, mm=context.mm, tlb_gen=gen)
