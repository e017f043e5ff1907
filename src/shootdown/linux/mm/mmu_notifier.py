"""mm/mmu_notifier.c and include/linux/mmu_notifier.h: whoever else translates with a process's
page table is told when it changes.

Two kinds of subscribers:

* *Hardware* that walks the page table by itself (IOMMU, SVA) can load an entry at any time, so all
  that helps is an invalidation after the PTE was changed, ``F.sec`` in the reference. Where it
  belongs was the question of 2017, and is the option ``notify``.
* *Software* that copies the page table (KVM) uses ``range_start`` and ``range_end``: it forgets at
  the start and copies nothing until the end.

The kernel's paths call ``mmu_notifier_invalidate_range_start()`` and ``_end()`` around a change;
``notify_before_unlock()`` and ``notify_after_unlock()`` mark the places in between where versions
of the kernel invalidate. The default is that nobody has subscribed, and costs no step.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.iommu import Device, iotlb_invalidate
from shootdown.hardware.machine import AddressSpace, Page, Pte
from shootdown.lang import Array, Option, ghost, on_write, path, ranged
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.virt.kvm import (
    Kvm,
    kvm_mmu_notifier_invalidate_range_end,
    kvm_mmu_notifier_invalidate_range_start,
)

NOTIFY = Option(
    "notify",
    "none",
    choices=(
        "none", "before", "inside", "unlocked", "end", "both", "rule", "arch", "start-end",
    ),
    doc="when a secondary MMU is told that a PTE has changed: never; before the change; before the "
    "PTL is dropped; right after; in range_end; before the PTL is dropped and again in range_end "
    "(3.19 to 4.14); as mmu_notifier.rst says, before the PTL is dropped if the page is freed or "
    "replaced, and else in range_end (4.15 to 6.5); within the flush of the CPUs (6bbd42e2df8f, "
    "6.6); or it is KVM, which listens to range_start and range_end.",
)  # fmt: skip


class SharedMm(Mm):
    """An address space that secondary MMUs use.

    ``changing`` (ghost): changes between range_start and range_end. ``told`` (ghost): for each
    page, how often secondary MMUs were told since its PTE has changed.
    """

    changing: int = ghost(ranged(0, 3))
    told: Array[Page, int] = ghost(ranged(0, 2))


@on_write(AddressSpace.pte)
def pte_changed(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """(Ghost) Whoever has the old entry has to be told, once."""
    if old.present and not (
        new.present and new.frame == old.frame and (new.writable or not old.writable)
    ):
        cast(SharedMm, mm).told[page] = 0


@path
def count_told(mm: Mm, pages: set[Page]) -> None:
    """(Ghost) They were told, once more."""
    for page in pages:
        if cast(SharedMm, mm).told[page] < 2:
            cast(SharedMm, mm).told[page] += 1


@path(show="invalidate_range()", role="flush")
def mmu_notifier_invalidate_range(mm: Mm, pages: set[Page]) -> None:
    """``->invalidate_range()`` of every subscriber, one after the other: F.sec. Called
    ``->arch_invalidate_secondary_tlbs()`` since 1af5a8109904 (6.6)."""
    for device in Device:
        iotlb_invalidate(device, mm, pages)
    count_told(mm, pages)


@path
def mmu_notifier_arch_invalidate_secondary_tlbs(mm: Mm, pages: set[Page]) -> None:
    """What an architecture's flush of the CPUs does in addition, at its end (6bbd42e2df8f)."""
    if NOTIFY == "arch":
        mmu_notifier_invalidate_range(mm, pages)


@path
def mmu_notifier_invalidate_range_start(mm: Mm, pages: Pages) -> None:
    """N1, Z2. Something in this range is going to change."""
    if NOTIFY != "none":
        cast(SharedMm, mm).changing += 1
    if NOTIFY == "before":
        mmu_notifier_invalidate_range(mm, set(pages))
    if NOTIFY == "start-end":
        for kvm in Kvm:
            kvm_mmu_notifier_invalidate_range_start(kvm, mm, set(pages))


@path
def notify_before_unlock(mm: Mm, page: Page, *, replaced: bool = False) -> None:
    """N5. The PTE was removed, and the PTL is held. ``replaced``: the page is freed before
    range_end, or another page takes its place (``ptep_clear_flush_notify()``), so that even the
    rule of Documentation/mm/mmu_notifier.rst asks for it."""
    if NOTIFY == "inside" or NOTIFY == "both" or (NOTIFY == "rule" and replaced):
        mmu_notifier_invalidate_range(mm, {page})


@path
def notify_after_unlock(mm: Mm, pages: set[Page]) -> None:
    """N8. Some PTEs were changed, and the PTL was dropped: ``->invalidate_page()``, until early
    2017."""
    if NOTIFY == "unlocked" and pages:
        mmu_notifier_invalidate_range(mm, pages)


@path
def notify_gather(mm: Mm, pages: set[Page]) -> None:
    """``tlb_flush_mmu_tlbonly()``, from 34ee645e83b6 (3.19) until the architectures did it."""
    if NOTIFY == "both" or NOTIFY == "rule":
        mmu_notifier_invalidate_range(mm, pages)


@path
def mmu_notifier_invalidate_range_end(mm: Mm, pages: Pages, *, only: bool = False) -> None:
    """N10, Z17. Whatever was changed in this range, or nothing: the caller does not say.

    ``only``: ``mmu_notifier_invalidate_range_only_end()`` (4645b9fe84bf), for callers that have
    told the hardware already. Since ec8832d007cb (6.6) hardware is not told here.
    """
    if NOTIFY == "end" or NOTIFY == "both" or (NOTIFY == "rule" and not only):
        mmu_notifier_invalidate_range(mm, set(pages))
    if NOTIFY == "start-end":
        for kvm in Kvm:
            kvm_mmu_notifier_invalidate_range_end(kvm)
    if NOTIFY != "none":
        cast(SharedMm, mm).changing -= 1
