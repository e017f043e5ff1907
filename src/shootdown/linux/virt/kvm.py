"""virt/kvm/kvm_main.c and arch/x86/kvm/mmu: a secondary MMU in software.

KVM copies translations of the host process into page tables of its own for the guest. It holds no
reference on the pages, and nothing is loaded by hardware alone, so it can be kept from copying.
"""

from __future__ import annotations

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import Page, Pte, TlbEntry
from shootdown.hardware.tlb import cached
from shootdown.lang import (
    READ_ONCE,
    Option,
    Ref,
    SpinLock,
    atomic,
    atomic_dec,
    atomic_inc,
    counter,
    ghost,
    note,
    path,
    smp_rmb,
    smp_wmb,
)
from shootdown.linux.mm_types import Folio, Mm, page_folio
from shootdown.linux.pgtable import pte_lockptr, ptep_get

KVM_RETRY = Option(
    "kvm_retry",
    "both",
    choices=("both", "in-progress", "sequence", "none"),
    doc="a guest's page fault starts again if an invalidation is under way, or has ended since it "
    "looked at the page table (mmu_invalidate_retry()); only the first; only the second; never.",
)


class Kvm(Device, show="VM{}"):
    """A virtual machine. ``iotlb`` is what the guest may use: KVM's own entries (SPTEs), and what
    the CPU has cached of them. ``attached`` stays ``None``: no hardware walks the host's tables.
    ``retried`` (ghost): a page fault had to start again. ``waiting`` (ghost): one is under way."""

    mmu_lock: SpinLock
    mmu_invalidate_in_progress: int = counter(0, 3)
    mmu_invalidate_seq: int = counter(0, 3)
    retried: bool = ghost(False)
    waiting: bool = ghost(False)


@atomic(show="unmap SPTEs, flush the guest")
def kvm_unmap(kvm: Kvm, pages: set[Page]) -> None:
    """``kvm_unmap_gfn_range()``, then ``kvm_flush_remote_tlbs()``: two steps under the mmu_lock,
    which the guest can tell apart only by using what is flushed a little longer."""
    for page in pages:
        kvm.iotlb[page] = set()


@path(show="kvm: range_start", role="flush")
def kvm_mmu_notifier_invalidate_range_start(kvm: Kvm, mm: Mm, pages: set[Page]) -> None:
    """``kvm_mmu_invalidate_begin()`` first, so that no page fault maps again what is unmapped."""
    with kvm.mmu_lock:
        atomic_inc(kvm.mmu_invalidate_in_progress)
        kvm_unmap(kvm, pages)


@path(show="kvm: range_end")
def kvm_mmu_notifier_invalidate_range_end(kvm: Kvm) -> None:
    """``kvm_mmu_invalidate_end()``: a fault that looked at the page table before now is too old."""
    with kvm.mmu_lock:
        atomic_inc(kvm.mmu_invalidate_seq)
        smp_wmb()
        atomic_dec(kvm.mmu_invalidate_in_progress)


@path(show="mmu_invalidate_retry()")
def mmu_invalidate_retry(kvm: Kvm, seq: int) -> bool:
    """Whether the PTE may have changed since ``seq`` was read. The mmu_lock is held."""
    if (KVM_RETRY == "both" or KVM_RETRY == "in-progress") and (
        READ_ONCE(kvm.mmu_invalidate_in_progress) > 0
    ):
        return True
    smp_rmb()
    return (KVM_RETRY == "both" or KVM_RETRY == "sequence") and (
        READ_ONCE(kvm.mmu_invalidate_seq) != seq
    )


@path(show="kvm_faultin_pfn()")
def kvm_faultin_pfn(mm: Mm, page: Page) -> Pte:
    """Find what the host maps there and take a reference to it, as get_user_pages() does."""
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present:
            atomic_inc(page_folio(pte.frame).refcount)
    return pte


@atomic(show="map the SPTE")
def kvm_map(entries: Ref[set[TlbEntry]], pte: Pte) -> None:
    """The guest can use it from here on."""
    entries.add(cached(pte))


@atomic(show="put_page()")
def kvm_release_pfn(folio: Folio) -> None:
    """Drop the reference that the page fault took; the entry has none."""
    folio.refcount -= 1
    if folio.refcount == 0:
        folio.allocated = False


@path(show="kvm_page_fault()")
def kvm_page_fault(kvm: Kvm, mm: Mm, page: Page) -> None:
    """The guest touches a page that KVM does not map yet (``direct_page_fault()``). The sequence is
    read before the page table is, and looked at again when nobody else can be unmapping."""
    done = False
    kvm.waiting = True
    while not done:
        seq = READ_ONCE(kvm.mmu_invalidate_seq)
        smp_rmb()
        pte = kvm_faultin_pfn(mm, page)
        if not pte.present:
            note("not there: the guest waits")
            done = True
        else:
            with kvm.mmu_lock:
                if mmu_invalidate_retry(kvm, seq):
                    kvm.retried = True
                    note("retry")
                else:
                    kvm_map(kvm.iotlb[page], pte)
                    done = True
            kvm_release_pfn(page_folio(pte.frame))
    kvm.waiting = False
