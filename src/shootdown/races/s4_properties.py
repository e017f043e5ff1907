"""What must hold in system S4, where its scenarios start, and what must be reachable in them.

A device does nothing but hold translations in most scenarios: that it may use them at any time is
what makes holding one at the wrong time a mistake.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import user_store
from shootdown.hardware.iommu import (
    Device,
    attach,
    dma_read,
    dma_write,
    iotlb_agrees,
    iotlb_may_use,
)
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.tlb import cached
from shootdown.lang import atomic, ghost, goal, invariant, mark, note, path, progress, this
from shootdown.linux.drivers.i915 import GemObject
from shootdown.linux.drivers.iommu_iopf import Asking
from shootdown.linux.mm.mmu_notifier import NOTIFY, SharedMm
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.virt.kvm import Kvm


class Observer(Device):
    """A device that reads. ``saw`` (ghost): it has seen the later of two writes."""

    saw: bool = ghost(False)


# ------------------------------------------------------------------ invariants


@invariant("INV-S4-1")
def no_dma_after_free() -> bool:
    """A frame is free and a device can still reach it."""
    return all(folio.allocated or not iotlb_may_use(folio) for folio in Folio)


@invariant("INV-S4-3")
def no_right_left() -> bool:
    """The call has returned, and a device can still use what it took away."""
    return not any(
        entry.frame in mm.revoked[page] or (page in mm.sealed and entry.writable)
        for mm in Mm
        for device in Device
        for page in Page
        for entry in device.iotlb[page]
    )


@invariant("INV-S4-3")
def no_lost_dma() -> bool:
    """A page was replaced by a copy, and a device has written to it after it was copied."""
    return not any(folio.replaced and folio.missed for folio in Folio)


@invariant("INV-S4-4")
def told_after_change() -> bool:
    """A PTE was changed, devices were told, and one still has what was there before."""
    return all(
        cast(SharedMm, mm).changing > 0
        or mm.open > 0
        or all(iotlb_agrees(device, page) for device in Device for page in Page)
        for mm in Mm
    )


@progress("INV-S4-5")
def device_gets_on() -> bool:
    """a device faults for ever on a page that it may write to."""
    return Folio(0).newer


@progress("INV-S4-5")
def guest_gets_on() -> bool:
    """a guest's page fault starts again for ever."""
    return not any(kvm.waiting for kvm in Kvm)


@invariant("INV-S4-6")
def told_once() -> bool:
    """Devices are told twice about one change of a PTE."""
    return all(cast(SharedMm, mm).told[page] <= 1 for mm in Mm for page in Page)


# ------------------------------------------------------------------ goals


@goal("a device may use a translation that was removed")
def window() -> bool:
    """The PTE is gone, and the device is still to be told."""
    return any(
        device.iotlb[page] and not mm.pte[page].present
        for mm in Mm
        for device in Device
        for page in Page
    )


@goal("a frame was freed")
def freed() -> bool:
    """The last reference to the page was dropped."""
    return not Folio(0).allocated


@goal("a call has returned")
def returned() -> bool:
    """User space may rely on it from here on."""
    return any(mm.revoked[page] or page in mm.sealed for mm in Mm for page in Page)


@goal("the device has seen the later write")
def saw_later() -> bool:
    """From there on it must see the earlier one."""
    return any(cast(Observer, device).saw for device in Device)


@goal("a copy took the place of the page")
def replaced() -> bool:
    """A write fault has copied it."""
    return any(folio.replaced for folio in Folio)


@goal("the device wrote to the page")
def written() -> bool:
    """A DMA write went through."""
    return Folio(0).newer


@goal("the device asked for the right to write")
def asked() -> bool:
    """A page request is under way."""
    return any(cast(Asking, device).request for device in Device)


@goal("the guest can use the page")
def guest_maps() -> bool:
    """KVM has mapped it."""
    return any(kvm.iotlb[page] for kvm in Kvm for page in Page)


@goal("a page fault of the guest has started again")
def guest_retries() -> bool:
    """An invalidation was under way, or had ended since it looked at the page table."""
    return any(kvm.retried for kvm in Kvm)


@goal("the GPU may use both the page and the scratch page")
def replaced_by_scratch() -> bool:
    """The page table has changed, and the TLB is still to be flushed."""
    return any(len(device.iotlb[Page(0)]) > 1 for device in Device)


# ------------------------------------------------------------------ who uses the pages


@atomic(show="DMA read {page}")
def read_later(device: Observer, page: Page) -> None:
    """A device reads what is written last."""
    frame = dma_read(device, page)
    if frame is None:
        note("page request")
    else:
        device.saw = Folio(frame.index).newer
        if device.saw:
            note("new")


@atomic(show="DMA read {page}")
def read_earlier(device: Observer, page: Page) -> None:
    """A device reads what was written before that."""
    frame = dma_read(device, page)
    if frame is None:
        note("page request")
    else:
        stale = device.saw and not Folio(frame.index).newer
        if stale:
            mark("old, from {}", frame)
        assert not stale, "INV-S4-2: a device sees a later write and not an earlier one"


@path(show="device")
def reads_both(device: Observer, later: Page, earlier: Page) -> None:
    """A device thread that reads two addresses, in the order opposite to that of the writes."""
    read_later(device, later)
    read_earlier(device, earlier)


@atomic(show="DMA write {page}")
def write_by_dma(device: Device, page: Page) -> Frame | None:
    """A device writes; what it writes must be there afterwards."""
    frame = dma_write(device, page)
    if frame is None:
        note("page request")
        return None
    folio = Folio(frame.index)
    if folio.copied:
        folio.missed = True
        mark("to {}, after it was copied", frame)
    folio.newer = True
    return frame


@path(show="device")
def writes(device: Device, page: Page) -> None:
    """A device thread that writes once, if it can."""
    write_by_dma(device, page)


@atomic(show="store {page}")
def store(mm: Mm, page: Page) -> Frame | None:
    """An instruction that writes: the frame, or ``None``, a page fault."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    Folio(frame.index).newer = True
    return frame


@path(show="user")
def stores_both(mm: Mm, earlier: Page, later: Page) -> None:
    """A thread that writes to two pages in order, when both can be written to."""
    if store(mm, earlier) is not None:
        store(mm, later)


# ------------------------------------------------------------------ starting states


@atomic
def attached() -> None:
    """All devices share the page table of the process. KVM does not: it copies from it."""
    if NOTIFY != "start-end":
        for device in Device:
            attach(device, Mm(0))


@atomic
def run_on(cpu: Cpu) -> None:
    """The CPU runs a thread of the process."""
    cpu.walks = Mm(0)
    Mm(0).cpumask.add(cpu)


@atomic
def map_page(
    page: Page, folio: Folio, writable: bool, references: int, *, dirty: bool = False
) -> None:
    """The process maps the folio; somebody else may have more references to it."""
    folio.mapcount = 1
    folio.refcount = references
    Mm(0).pte[page] = Pte(present=True, writable=writable, accessed=True, dirty=dirty, frame=folio)


@atomic
def mapped_file() -> None:
    """Each page maps a clean file page, which the page cache and reclaim hold, too. The last CPU
    runs the process if there are several; the first one has no user address space."""
    attached()
    for cpu in Cpu:
        if cpu.index > 0:
            run_on(cpu)
    for page in Page:
        map_page(page, Folio(page.index), True, 3)


@atomic
def mapped_alone() -> None:
    """The same, but the PTE has the only reference."""
    mapped_file()
    for page in Page:
        Folio(page.index).refcount = 1


@atomic
def mapped_anon() -> None:
    """Each page is anonymous memory; all CPUs run the process; other frames are free."""
    attached()
    for cpu in Cpu:
        run_on(cpu)
    for folio in Folio:
        folio.allocated = False
    for page in Page:
        Folio(page.index).allocated = True
        map_page(page, Folio(page.index), True, 1)


@atomic
def mapped_shared() -> None:
    """Two pages are shared with another process, read-only, until they are written to; a frame for
    the copy of each is there. The last CPU runs the process; those of the others that run its page
    faults load nothing that matters."""
    attached()
    for cpu in Cpu:
        if cpu.index == len(Cpu) - 1:
            run_on(cpu)
    for page in Page:
        map_page(page, Folio(page.index), False, 2)


@atomic
def mapped_for_copy() -> None:
    """A page is mapped writable and was written to, also by the device; somebody else has a
    reference, so that a write fault copies it; a frame for the copy is there."""
    for cpu in Cpu:
        run_on(cpu)
    map_page(Page(0), Folio(0), True, 2, dirty=True)
    attached()


@atomic
def mapped_for_migration() -> None:
    """A page is mapped writable, and migration has a reference. CPU1 runs the process; a frame to
    copy to is there."""
    run_on(Cpu(1))
    map_page(Page(0), Folio(0), True, 2, dirty=True)
    attached()


@atomic
def mapped_read_only() -> None:
    """A page is read-only and only the process has it."""
    attached()
    map_page(Page(0), Folio(0), False, 1)


@atomic
def guest_mapped() -> None:
    """A guest has the page as well, which the page cache and khugepaged hold, too."""
    map_page(Page(0), Folio(0), True, 3)
    Kvm(0).iotlb[Page(0)] = {cached(Mm(0).pte[Page(0)])}


@atomic
def bound_object() -> None:
    """The GPU's page table maps the page of a buffer; another frame is its scratch page."""
    map_page(Page(0), Folio(0), True, 1)
    GemObject(0).was_bound = True
    attached()
