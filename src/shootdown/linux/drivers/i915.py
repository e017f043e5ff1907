"""drivers/gpu/drm/i915: a GPU with page tables of its own, and buffers made of pages.

The driver writes the page table; the GPU walks it and has a TLB. User space may submit a batch that
uses an address without saying so, so a buffer that is not in use may be used all the same.
"""

from __future__ import annotations

from shootdown.hardware.iommu import Device, iotlb_invalidate
from shootdown.hardware.machine import Page, Pte
from shootdown.lang import WRITE_ONCE, Object, Option, SpinLock, path, test_and_clear_bit
from shootdown.linux.mm.mmu_gather import folio_put
from shootdown.linux.mm_types import Folio, Mm

GPU_FLUSH = Option(
    "gpu_flush",
    "release",
    choices=("release", "none"),
    doc="i915 flushes the GPU's TLBs before it gives back the pages of a buffer that was ever "
    "bound (7938d61591d3, CVE-2022-0330); or never, for buffers that are evicted.",
)


class GemObject(Object, show="BO{}"):
    """``struct drm_i915_gem_object``: ``was_bound`` is I915_BO_WAS_BOUND_BIT."""

    was_bound: bool = False
    tlb_invalidate_lock: SpinLock


@path(show="i915_vma_unbind()")
def i915_vma_unbind(ppgtt: Mm, page: Page, scratch: Folio) -> None:
    """The GPU finds the scratch page there from now on (``ppgtt_unbind_vma()``)."""
    gone: Pte = Pte(present=True, accessed=True, frame=scratch)
    WRITE_ONCE(ppgtt.pte[page], gone)


@path(show="intel_gt_invalidate_tlbs()", role="flush")
def intel_gt_invalidate_tlbs(obj: GemObject, ppgtt: Mm) -> None:
    """Flush the TLBs of all engines, one such flush at a time, and wait."""
    with obj.tlb_invalidate_lock:
        for engine in Device:
            iotlb_invalidate(engine, ppgtt, set(Page))


@path(show="__i915_gem_object_put_pages()")
def i915_gem_object_put_pages(obj: GemObject, ppgtt: Mm, page: Page, folio: Folio) -> None:
    """Under memory pressure, or when the buffer is closed: its pages go back to the system."""
    i915_vma_unbind(ppgtt, page, Folio(1))
    if GPU_FLUSH == "release" and test_and_clear_bit(obj.was_bound):
        intel_gt_invalidate_tlbs(obj, ppgtt)
    folio_put(folio)
