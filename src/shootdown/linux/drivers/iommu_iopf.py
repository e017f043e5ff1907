"""drivers/iommu/io-pgfault.c and iommu-sva.c: a device asks for a page.

A device that cannot translate sends a page request (PCI Express PRI), or is stalled (SMMU), and
asks again when it is answered.
"""

from __future__ import annotations

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import Page
from shootdown.lang import path, wait_until
from shootdown.linux.mm.memory_wp import wp_page_reuse
from shootdown.linux.mm_types import Mm


class Asking(Device):
    """A device with a page request under way."""

    request: bool = False


@path(show="page request")
def page_request(device: Asking) -> None:
    """Ask, and wait for the answer."""
    device.request = True
    wait_until(not device.request)


@path(show="iommu_sva_handle_mm()")
def iommu_sva_handle_iopf(device: Asking, mm: Mm, page: Page) -> None:
    """The thread that answers: a page fault for writing, and "try again"."""
    while True:
        wait_until(device.request)
        wp_page_reuse(mm, page)
        device.request = False
