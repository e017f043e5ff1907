"""mm/rmap.c, the part about flushes that are put off: ``tlb_ubc`` and ``mm->tlb_flush_batched``
(CONFIG_ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH, 72b252aed506).

Reclaim and migration clear many PTEs of many processes, drop each page-table lock at once, and
interrupt the CPUs once for all of them. Until then a PTE is empty and its translation is still in
use; whoever decides something from an empty PTE has to ask :func:`flush_tlb_batched_pending` first.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import ARCH, Cpu, Frame, Page, Pte
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Record,
    atomic,
    note,
    path,
    replace,
    this,
    try_cmpxchg,
)
from shootdown.linux.arch.arm64 import tlbflush as arm64
from shootdown.linux.arch.x86.options import SHOOTDOWN
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.arch.x86.tlb_batch import flush_tlb_batch
from shootdown.linux.arch.x86.tlb_multi import inc_mm_tlb_gen
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.luf_batch import (
    LUF_IF,
    LUF_MARK,
    fold_unmap_request,
    luf_allows,
    luf_init_allows,
    tlb_flush_end,
    tlb_flush_start,
)
from shootdown.linux.mm.mmu_notifier import mmu_notifier_arch_invalidate_secondary_tlbs
from shootdown.linux.mm_types import Folio, Mm, TlbFlushBatched
from shootdown.linux.options import TLB_BATCHED
from shootdown.linux.options_size import PENDING_LARGE


class TlbUbc(Record):
    """``current->tlb_ubc``: the CPUs that have to be told, and whether one of the PTEs was dirty,
    so that a CPU may still write through its TLB. A task's own; no other task looks at it."""

    cpumask: set[Cpu] = set()  # noqa: RUF012
    flush_required: bool = False
    writable: bool = False
    # LUF: CPUs for read-only mappings of this folio and of those before, and those folios
    can_luf: bool = False
    ro: set[Cpu] = set()  # noqa: RUF012
    luf: set[Cpu] = set()  # noqa: RUF012
    luf_folios: set[Frame] = set()  # noqa: RUF012


@path(show="should_defer_flush()")
def should_defer_flush(mm: Mm) -> bool:
    """U2: a batch pays if somebody else has to be interrupted. The caller gave TTU_BATCH_FLUSH."""
    others = READ_ONCE(mm.cpumask) - {this(Cpu)}
    return bool(others)


@path(show="arch_tlbbatch_add_pending()")
def arch_tlbbatch_add_pending(mm: Mm, page: Page, ubc: TlbUbc) -> None:
    """U5. x86: remember who runs this process now. The clearing of the PTE was a locked access, so
    the mask is read after it. arm64: broadcast the
    invalidation now, and wait for it later. Devices are told now, about all of the mm: when the
    batch is flushed it is not known any more whose it was."""
    if ARCH == "arm64":
        arm64.arch_tlbbatch_add_pending(page)
    else:
        if SHOOTDOWN == "generations":
            inc_mm_tlb_gen(cast(ContextMm, mm), set(Page))
        ubc.cpumask = ubc.cpumask | READ_ONCE(mm.cpumask)
    whole: set[Page] = set(Page)
    mmu_notifier_arch_invalidate_secondary_tlbs(mm, whole)


@path(show="arch_tlbbatch_flush()", role="flush")
def arch_tlbbatch_flush(ubc: TlbUbc) -> None:
    """F2. x86: one round of interrupts, each flushes everything. arm64: wait for what this CPU has
    broadcast."""
    if ARCH == "arm64":
        arm64.arch_tlbbatch_flush()
    else:
        flush_tlb_batch(ubc.cpumask)
        ubc.cpumask = set()


@atomic(show="atomic_inc(tlb_flush_batched)")
def inc_tlb_flush_batched(mm: Mm) -> None:
    """One more pending."""
    batch = mm.tlb_flush_batched
    mm.tlb_flush_batched = replace(batch, pending=batch.pending + 1)


@path(role="counter")
def mark_tlb_flush_batched(mm: Mm) -> None:
    """U6. Tell whoever takes a PTL of this mm that a flush is owed. The count must not wrap onto
    what was flushed, so it starts again from 1 before it gets large."""
    if TLB_BATCHED == "flag":
        WRITE_ONCE(mm.tlb_flush_batched, TlbFlushBatched(pending=1))
    if TLB_BATCHED == "counted":
        again = True
        while again:
            batch = READ_ONCE(mm.tlb_flush_batched)
            if batch.pending >= (16383 if PENDING_LARGE == "16383" else 2):
                note("start again from 1")
                again = not try_cmpxchg(mm.tlb_flush_batched, batch, TlbFlushBatched(pending=1))
            else:
                inc_tlb_flush_batched(mm)
                again = False


@path
def luf_add_pending(mm: Mm, page: Page, pte: Pte, ubc: TlbUbc) -> None:
    """L1: U5 with LUF: a read-only mapping is queued apart, and filed with the mm and the file,
    until the rmap walk has shown whether all mappings of the folio are.

    On arm64 no CPUs are recorded, and this one stands for ``flush_required``.
    """
    if ubc.can_luf:
        ubc.can_luf = luf_allows(mm, pte)
    queued = TlbUbc()
    arch_tlbbatch_add_pending(mm, page, queued)
    if ARCH == "arm64":
        queued.cpumask = {this(Cpu)}
    if ubc.can_luf:
        ubc.ro = ubc.ro | queued.cpumask
        if ARCH == "x86":
            fold_unmap_request(mm, queued.cpumask)
    else:
        ubc.cpumask = ubc.cpumask | queued.cpumask


@path
def can_luf_init(ubc: TlbUbc) -> None:
    """L0: Before the rmap walk of a folio."""
    if LUF_IF != "off":
        ubc.can_luf = luf_init_allows()


@path
def can_luf_done(folio: Folio, ubc: TlbUbc) -> bool:
    """After the walk: whether the flush may wait for the allocator."""
    if LUF_IF == "off":
        return False
    if ubc.can_luf:
        ubc.luf = ubc.luf | ubc.ro
        ubc.luf_folios.add(folio)
    else:
        ubc.cpumask = ubc.cpumask | ubc.ro
    ubc.ro = set()
    return ubc.can_luf


@path(show="set_tlb_ubc_flush_pending()")
def set_tlb_ubc_flush_pending(
    mm: Mm, page: Page, pte: Pte, ubc: TlbUbc, *, mark: bool = True
) -> None:
    """U5..U7. The PTE was cleared, the flush is owed. A PTE that no CPU can have loaded, as one of
    NUMA balancing, is not queued: ``pte_accessible()``, 4d4b6d66db63."""
    if LUF_IF == "off":
        arch_tlbbatch_add_pending(mm, page, ubc)
        ubc.flush_required = True
    else:
        luf_add_pending(mm, page, pte, ubc)
    if mark:
        mark_tlb_flush_batched(mm)
    if pte.dirty:
        ubc.writable = True


@path(show="try_to_unmap_flush()")
def try_to_unmap_flush(ubc: TlbUbc) -> None:
    """F1..F3. What this task has queued is flushed, and not filed by LUF."""
    if LUF_IF != "off":
        ubc.cpumask = ubc.cpumask | ubc.ro | ubc.luf
        ubc.ro = set()
        ubc.luf = set()
        ubc.luf_folios = set()
        cpus = ubc.cpumask
        if cpus:
            ugen = tlb_flush_start()
            arch_tlbbatch_flush(ubc)
            if ARCH == "x86":
                tlb_flush_end(cpus, ugen)
        ubc.cpumask = set()
        ubc.writable = False
    elif ubc.flush_required:
        arch_tlbbatch_flush(ubc)
        ubc.flush_required = False
        ubc.writable = False


@path(show="try_to_unmap_flush_dirty()")
def try_to_unmap_flush_dirty(ubc: TlbUbc) -> None:
    """P1. The same, if some CPU may still write."""
    if ubc.writable:
        try_to_unmap_flush(ubc)


@path
def flushed_by_mm(mm: Mm) -> set[Cpu]:
    """``arch_mm_mark_ugen()``: which CPUs have flushed in a ``flush_tlb_mm()`` that is over. v12
    takes those of mm_cpumask(). A CPU that was in it and had another mm loaded was left out."""
    cpus = READ_ONCE(mm.cpumask)
    if LUF_MARK == "loaded":
        for cpu in TlbState:
            if cpu in cpus:
                loaded = READ_ONCE(cpu.loaded_mm)
                if loaded.switching or loaded.mm != mm:
                    cpus = cpus - {cpu}
    return cpus


@path(show="flush_tlb_batched_pending()")
def flush_tlb_batched_pending(mm: Mm) -> None:
    """B1..B4, with a PTL held: flush what another task has unmapped and not flushed yet.

    It is not known what that was, so the whole mm is flushed. Somebody who holds *another* PTL may
    queue more meanwhile; the exchange then fails and leaves his request alone (5ee2fa2f0636). A
    flag that is simply cleared (3ea277194daa) loses it.
    """
    if TLB_BATCHED == "flag" and READ_ONCE(mm.tlb_flush_batched).pending != 0:
        note("a batch is open: flush everything")
        flush_tlb_mm_range(mm, set(Page))
        WRITE_ONCE(mm.tlb_flush_batched, TlbFlushBatched())
    if TLB_BATCHED == "counted":
        batch = READ_ONCE(mm.tlb_flush_batched)
        if batch.pending != batch.flushed:
            note("a batch is open: flush everything")
            if LUF_IF != "off" and ARCH == "x86":
                ugen = tlb_flush_start()
                flush_tlb_mm_range(mm, set(Page))
                tlb_flush_end(flushed_by_mm(mm), ugen)
            elif ARCH == "arm64":
                arm64.arch_flush_tlb_batched_pending()
            else:
                flush_tlb_mm_range(mm, set(Page))
            settled = TlbFlushBatched(pending=batch.pending, flushed=batch.pending)
            if not try_cmpxchg(mm.tlb_flush_batched, batch, settled):
                note("more was queued meanwhile")
