"""arch/arm64/include/asm/tlbflush.h: TLBI, then DSB.

The TLBIs of a batch are issued without a DSB; whoever issued them executes one at the end. Memory
is sequentially consistent here, so the DSB ISHST before each TLBI, which orders it after the store
to the PTE, has nothing to do.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.tlbi import dsb_ish, tlbi_is
from shootdown.lang import path
from shootdown.linux.arch.arm64.options import BATCHED_PENDING, MAX_DVM_OPS


@path(show="__flush_tlb_range()", role="flush")
def flush_tlb_range(pages: set[Page]) -> None:
    """Invalidate some pages everywhere; return when it is done. So many pages that it would take
    too many TLBIs are invalidated with all of the address space."""
    if MAX_DVM_OPS == "512" and len(pages) >= 512:
        flush_tlb_mm()
    else:
        tlbi_is(pages)
        dsb_ish()


@path(show="flush_tlb_mm()", role="flush")
def flush_tlb_mm() -> None:
    """Invalidate all pages, by ASID, everywhere; return when it is done."""
    tlbi_is(set(Page))
    dsb_ish()


@path(show="arch_tlbbatch_add_pending()")
def arch_tlbbatch_add_pending(page: Page) -> None:
    """Batched unmap (43b3dfdd0455): the TLBI goes out at once, the DSB comes at the end."""
    tlbi_is({page})


@path(show="arch_tlbbatch_flush()")
def arch_tlbbatch_flush() -> None:
    """The end of the batch, on the CPU that queued it (a task that migrates meanwhile executes
    a DSB in ``__switch_to()``)."""
    dsb_ish()


@path(show="arch_flush_tlb_batched_pending()")
def arch_flush_tlb_batched_pending() -> None:
    """Somebody else's batch must be complete. A DSB of this CPU does not wait for the TLBIs of
    another; flushing the mm does it (4b634918384c)."""
    if BATCHED_PENDING == "flush":
        flush_tlb_mm()
    else:
        dsb_ish()
