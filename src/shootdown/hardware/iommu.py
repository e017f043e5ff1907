"""Devices that translate with the page table of a CPU: secondary MMUs with TLBs of their own.

An IOMMU walks the page table of a process on behalf of a device (PCI Express PASID; Intel VT-d
first-stage translation; Arm SMMUv3 stage 1), and it and the device (ATS) cache what they find. Such
a TLB is like a CPU's (``tlb``), with two differences that matter: no interrupt reaches it, so
software can tell it to forget and cannot stop it; and it is never idle, so it may load anything at
any time while it is attached.

What a model needs to know:

* ``attach(device, mm)`` makes a device walk a page table, ``detach(device)`` stops it.
* ``iotlb_invalidate(device, mm, pages)`` is an invalidation command that was waited for: it may
  follow the store to the PTE that it belongs to at any distance, and is complete when it returns.
* ``dma_read(device, page)`` and ``dma_write(device, page)`` are accesses: the frame, or ``None``, a
  page request (PRI, or a stall) that software has to answer.
* ``with_iommu(hardware)`` adds all this to a machine.

As for CPUs, entries come and go (``tlb=explicit``), or ``device.iotlb[page]`` is what the device
*may* hold (``tlb=may``), which is the same for every property that is broken by holding or using an
entry. Whether a device gets on *in the end* is a question about what it does hold: for that,
``iotlb=explicit`` keeps its entries explicit whatever ``tlb`` says.

The caches of upper levels, with which a device walks tables that are freed, are in ``sva``.
"""

from __future__ import annotations

from dataclasses import replace as copy_of

from shootdown.hardware.machine import AddressSpace, Frame, Page, Pte, TlbEntry
from shootdown.hardware.tlb import TLB, cached
from shootdown.lang import (
    Array,
    Hardware,
    Object,
    Option,
    atomic,
    choose,
    on_write,
    replace,
    rule,
    when,
)

IOTLB = Option(
    "iotlb",
    "as-cpu",
    choices=("as-cpu", "explicit"),
    doc="the TLB contents of a device: as option tlb says; or always entries that come and go.",
)

IOTLB_UPGRADE = Option(
    "iotlb_upgrade",
    "faults",
    choices=("faults", "walks"),
    doc="a device writes through an entry that is read-only: a page request (Arm SMMU, which may "
    "cache permissions); or the IOMMU walks the page table again first, as an x86 CPU does.",
)


class Device(Object, show="DEV{}"):
    """A device, with the TLBs that translate for it: its own, and the IOMMU's."""

    attached: AddressSpace | None = None
    iotlb: Array[Page, set[TlbEntry]]


# ------------------------------------------------------------------ what a device may cache


@on_write(AddressSpace.pte)
def iotlb_remember(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The may-set grows when a PTE becomes cacheable; as ``tlb.remember``."""
    if TLB == "may" and IOTLB != "explicit" and new.present and new.accessed:
        for device in Device:
            if device.attached == mm:
                device.iotlb[page].add(cached(new))


@atomic
def iotlb_load(device: Device, mm: AddressSpace | None, page: Page) -> None:
    """May-set: what can be loaded from a page table now."""
    if TLB == "may" and IOTLB != "explicit" and mm is not None:
        pte = mm.pte[page]
        if pte.present and pte.accessed:
            device.iotlb[page].add(cached(pte))


@atomic
def iotlb_learn(device: Device, page: Page) -> None:
    """May-set: what the device can load now."""
    iotlb_load(device, device.attached, page)


@on_write(Device.attached)
def begin_to_translate(device: Device, old: AddressSpace | None, new: AddressSpace | None) -> None:
    """... and what there is in the page table that a device is attached to."""
    for page in Page:
        iotlb_load(device, new, page)


@rule(show="IOTLB fill of {page}")
def iotlb_fill(device: Device, page: Page) -> None:
    """A device may ask for a translation at any time, also ahead of use (ATS), and the IOMMU may
    load one; it sets the accessed flag first (VT-d specification 3.6.2; SMMUv3 HTTU)."""
    mm = device.attached
    when(mm is not None)
    if mm is not None:
        pte = mm.pte[page]
        when(pte.present)
        if TLB == "may" and IOTLB != "explicit":
            when(not pte.accessed)
            mm.pte[page] = replace(pte, accessed=True)
        else:
            when(not (pte.accessed and cached(pte) in device.iotlb[page]))
            if not pte.accessed:
                mm.pte[page] = replace(pte, accessed=True)
            device.iotlb[page].add(cached(pte))


@rule(show="IOTLB eviction of {page}")
def iotlb_evict(device: Device, page: Page) -> None:
    """A device may drop an entry at any time."""
    when(TLB == "explicit" or IOTLB == "explicit")
    entry = choose(device.iotlb[page])
    device.iotlb[page].discard(entry)


# ------------------------------------------------------------------ accesses


@atomic
def iotlb_walk(device: Device, page: Page, write: bool) -> Frame | None:
    """Translate by walking: A, and D for a write, are set in the *current* PTE by an atomic access
    (VT-d 3.6.2). ``None``: the page is not there, or not for writing. Unlike a CPU's page fault,
    this drops nothing that is cached."""
    mm = device.attached
    if mm is None:
        return None
    pte = mm.pte[page]
    if not pte.present or (write and not pte.writable):
        return None
    found = replace(pte, accessed=True, dirty=pte.dirty or write)
    if found != pte:
        mm.pte[page] = found
    if TLB == "explicit" or IOTLB == "explicit":
        device.iotlb[page].add(cached(found))
    return found.frame


@atomic
def dma_read(device: Device, page: Page) -> Frame | None:
    """A DMA read: through any entry that the device has, else by a walk."""
    hit = bool(device.iotlb[page])
    if TLB == "may" and IOTLB != "explicit" and hit:
        hit = choose(False, True)
    if not hit:
        return iotlb_walk(device, page, False)
    entry = choose(device.iotlb[page])
    return entry.frame


@atomic
def dma_write(device: Device, page: Page) -> Frame | None:
    """A DMA write. Through an entry whose dirty flag is set it touches no PTE; if only the dirty
    flag is missing the page table is walked; ``iotlb_upgrade`` says what happens if the right to
    write is."""
    hit = bool(device.iotlb[page])
    if TLB == "may" and IOTLB != "explicit" and hit:
        hit = choose(False, True)
    if not hit:
        return iotlb_walk(device, page, True)
    entry = choose(device.iotlb[page])
    if entry.writable and entry.dirty:
        return entry.frame
    if entry.writable or IOTLB_UPGRADE == "walks":
        return iotlb_walk(device, page, True)
    return None


# ------------------------------------------------------------------ what software does


@atomic(show="attach {device}")
def attach(device: Device, mm: AddressSpace) -> None:
    """The device gets a PASID for this page table."""
    device.attached = mm
    for page in Page:
        device.iotlb[page] = set()
        iotlb_learn(device, page)


@atomic(show="detach {device}")
def detach(device: Device) -> None:
    """The PASID is torn down: nothing can be loaded any more, and nothing is left."""
    device.attached = None
    for page in Page:
        device.iotlb[page] = set()


@atomic(show="invalidate the IOTLB of {device}")
def iotlb_invalidate(device: Device, mm: AddressSpace, pages: set[Page]) -> None:
    """Post invalidations for one PASID to the IOMMU and through it to the device, and wait until
    they are done (VT-d 6.5.2 and 6.5.2.11, PASID-based and device-TLB invalidation with a wait
    descriptor; SMMUv3 CMD_TLBI_NH_VA, CMD_ATC_INV and CMD_SYNC). Requests that were translated
    before have been performed by then. Afterwards the device may hold what it can load now."""
    if device.attached == mm:
        for page in pages:
            device.iotlb[page] = set()
            iotlb_learn(device, page)


# ------------------------------------------------------------------ for properties


@atomic
def iotlb_may_use(frame: Frame) -> bool:
    """Whether some device holds (or may hold) a translation to this frame."""
    return any(
        entry.frame == frame for device in Device for page in Page for entry in device.iotlb[page]
    )


@atomic
def iotlb_agrees(device: Device, page: Page) -> bool:
    """Whether what the device holds (or may hold) for a page is in the page table, and for no more
    than the page table allows."""
    mm = device.attached
    return mm is None or all(
        mm.pte[page].present
        and mm.pte[page].frame == entry.frame
        and (mm.pte[page].writable or not entry.writable)
        for entry in device.iotlb[page]
    )


# ------------------------------------------------------------------ machines

IOMMU_ASSUMPTIONS = (
    "a device may load any present PTE at any time while it is attached; no interrupt stops it",
    "an invalidation of a device's TLB that was waited for is complete, also for DMA under way",
)


def with_iommu(machine: Hardware) -> Hardware:
    """A machine, and devices that walk its page tables."""
    return copy_of(
        machine,
        name=f"{machine.name} with IOMMU",
        rules=(*machine.rules, iotlb_fill, iotlb_evict),
        observers=(*machine.observers, iotlb_remember, begin_to_translate),
        assumptions=(*machine.assumptions, *IOMMU_ASSUMPTIONS),
    )
