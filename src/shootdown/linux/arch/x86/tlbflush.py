"""arch/x86/include/asm/tlbflush.h and mmu.h: what each CPU, and each mm, remembers about flushes.

Only the CPU itself writes its ``struct tlb_state``, with interrupts off. Of its fields others read
``loaded_mm``, ``is_lazy`` and, with INVLPGB, ``loaded_mm_asid``: those are ordinary shared memory.
The rest nobody else can see, so reading or writing it belongs to a step that is there anyway.
"""

from __future__ import annotations

from shootdown.hardware.interrupt import InterruptibleCpu
from shootdown.hardware.machine import Page
from shootdown.hardware.pcid import Pcid, TaggedCpu
from shootdown.hardware.walker import Space, Walker
from shootdown.lang import Array, Word, atomic, counter, ghost, path, ranged, seen_by
from shootdown.linux.arch.x86.options import INVLPGB
from shootdown.linux.mm_types import Mm


class ContextMm(Mm, Space):
    """``mm->context``: the generation of the page table, counted up by every flush, and the ASID
    that the mm has on all CPUs, if it has one (``mm_context_t``).

    ``gone_at`` (ghost): the generation from which on a page's former translation is invalid, 0 if
    it is not. ``missed`` (ghost): a CPU was left out of a flush, and its switch has read the
    generation before.
    """

    tlb_gen: int = counter(0, 7)
    global_asid: Pcid | None = None
    asid_transition: bool = False
    gone_at: Array[Page, int] = ghost(ranged(0, 7))
    missed: bool = ghost(False)


class LoadedMm(Word):
    """``cpu_tlbstate.loaded_mm``. ``mm=None`` is ``init_mm``, the kernel's own page table."""

    switching: bool = False
    mm: ContextMm | None = None

    def show(self) -> str:
        """As ``mm0``."""
        if self.switching:
            return "SWITCHING"
        return "init_mm" if self.mm is None else str(self.mm)


class TlbContext(Word):
    """``struct tlb_context``: whose ASID this is, and up to which generation it was flushed."""

    used: bool = False
    mm: ContextMm | None = None
    tlb_gen: int = ranged(0, 3)

    def show(self) -> str:
        """As ``mm0 at 1``."""
        return f"{self.mm} at {self.tlb_gen}" if self.used else "free"


class FlushTlbInfo(Word):
    """``struct flush_tlb_info``, but for the pages, which travel with the call. ``everything``:
    ``end == TLB_FLUSH_ALL``."""

    mm: ContextMm = ContextMm(0)
    new_tlb_gen: int = ranged(0, 3)
    everything: bool = False


class TlbState(TaggedCpu, Walker, InterruptibleCpu):
    """``struct tlb_state`` and ``tlb_state_shared``; ``flush_info`` is the CPU's own
    ``flush_tlb_info``, which nobody writes while a flush of this CPU is under way; ``flush_batch``
    says that its ``mm`` is NULL (``arch_tlbbatch_flush()``).

    ``switch_to`` and ``switch_gen`` (ghost): the mm that the CPU is switching to, once it has read
    the generation, and the generation that it has read.
    """

    loaded_mm: LoadedMm
    loaded_mm_asid: Pcid = Pcid(0)
    is_lazy: bool = False
    ctxs: Array[Pcid, TlbContext]
    next_asid: int = ranged(0, Pcid)
    flush_info: FlushTlbInfo
    flush_batch: bool = False
    switch_to: ContextMm | None = ghost(None)
    switch_gen: int = ghost(ranged(0, 3))
    kept: bool = ghost(False)


@path
def is_global_asid(asid: Pcid) -> bool:
    """Is this ASID the same mm's on all CPUs? With INVLPGB the last one of a scenario is."""
    return INVLPGB == "on" and asid.index == len(Pcid) - 1


@atomic
def dyn_asids() -> int:
    """``TLB_NR_DYN_ASIDS``: how many ASIDs a CPU hands out itself, for itself (6 in the kernel)."""
    return len(Pcid) - 1 if INVLPGB == "on" else len(Pcid)


@atomic(show="this_cpu_read(cpu_tlbstate)", fence=False)
def this_cpu_tlbstate(cpu: TlbState) -> tuple[ContextMm | None, Pcid, bool, int]:
    """``loaded_mm``, ``loaded_mm_asid``, ``is_lazy`` and the generation of that ASID, as the CPU
    itself sees them."""
    loaded = seen_by(cpu, cpu.loaded_mm)
    asid = seen_by(cpu, cpu.loaded_mm_asid)
    return loaded.mm, asid, seen_by(cpu, cpu.is_lazy), cpu.ctxs[asid].tlb_gen
