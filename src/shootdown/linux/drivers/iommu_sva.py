"""drivers/iommu/iommu-sva.c: devices that walk the page table of a process."""

from __future__ import annotations

from shootdown.hardware.sva import SvaDevice, invalidate_device
from shootdown.lang import path


@path(show="iommu_sva_invalidate_kva_range()", role="flush")
def iommu_sva_invalidate_kva_range() -> None:
    """Every device that shares a CPU page table forgets kernel addresses
    (``kernel_pgtable_work_func()`` calls it before it frees a batch of kernel tables)."""
    for device in SvaDevice:
        invalidate_device(device)
