"""System S4: secondary MMUs in software (KVM), and historic races of secondary MMUs.

Who copies translations by software can be kept from copying while a PTE changes: what that takes is
question Q-S4-4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, scenario
from shootdown.linux.drivers.i915 import GemObject, i915_gem_object_put_pages
from shootdown.linux.mm.khugepaged_file import collapse_and_reclaim
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.mprotect import mprotect
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.virt.kvm import Kvm, kvm_page_fault
from shootdown.races import s4_properties as s4
from shootdown.races.s4 import IOMMU, MM, verdict, victims

Options = Mapping[str, str]
PAGE = (Page(0),)

# ------------------------------------------------------------------ KVM


def guest(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
    calls: tuple[Any, ...] = (),
) -> Scenario:
    """A guest touches a page, and reclaim takes it; or some calls take it, or the right to write,
    from the process (``calls``)."""

    @scenario(name, title=title, **verdict(violates))
    def build(guests: int = 1) -> Setup:
        reclaim = [Thread(shrink_folios, victims(1), on=Cpu(0))]
        changes = [Thread(call, MM, PAGE, on=Cpu(c)) for c, call in enumerate(calls)] or reclaim
        vcpu = Cpu(len(changes))
        return Setup(
            sizes={Cpu: len(changes) + 1, Page: 1, Frame: 1, Mm: 1, Kvm: guests},
            start=s4.mapped_anon if calls else s4.mapped_file,
            threads=[
                *changes,
                *[
                    Thread(kvm_page_fault, Kvm(g), MM, Page(0), on=vcpu, name=f"VM{g}")
                    for g in range(guests)
                ],
            ],
            hardware=x86,
            invariants=[s4.no_dma_after_free, s4.no_right_left],
            progress=[s4.guest_gets_on] if len(changes) == 1 else [],
            goals=[s4.guest_maps, s4.guest_retries, *([] if mprotect in calls else [s4.freed])],
            options={"notify": "start-end", "tlb_batched": "counted", **(options or {})},
        )

    return build


GUEST = (
    guest("N.range", "start and end: a page fault meanwhile, or before the end, starts again"),
    guest(
        "N.range.dontneed",
        "the same with MADV_DONTNEED, twice",
        calls=(madvise_dontneed, madvise_dontneed),
    ),
    guest("N.range.protect", "the same with mprotect()", calls=(mprotect,)),
    guest(
        "N.range.in-progress",
        "a page fault looks only whether an invalidation is under way",
        violates="INV-S4-1",
        options={"kvm_retry": "in-progress"},
    ),
    guest(
        "N.range.sequence",
        "a page fault looks only whether one has ended",
        violates="INV-S4-1",
        options={"kvm_retry": "sequence"},
    ),
)


# ------------------------------------------------------------------ historic


def collapse(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """khugepaged takes away the page table of a file mapping that a guest uses; the page is freed
    later, when nobody maps it."""

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 1, Page: 1, Frame: 1, Mm: 1, Kvm: 1},
            start=s4.guest_mapped,
            threads=[Thread(collapse_and_reclaim, MM, Page(0), Folio(0), on=Cpu(0))],
            hardware=x86,
            invariants=[s4.no_dma_after_free],
            goals=[s4.freed, s4.guest_maps],
            options={"notify": "start-end", **options},
        )

    return build


def release(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """The pages of a GPU buffer are given back while the GPU may use them."""

    @scenario(name, title=title, **verdict(violates))
    def build(engines: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: 1, Page: 1, Frame: 2, Mm: 1, Device: engines, GemObject: 1},
            start=s4.bound_object,
            threads=[
                Thread(i915_gem_object_put_pages, GemObject(0), MM, Page(0), Folio(0), on=Cpu(0))
            ],
            hardware=IOMMU,
            invariants=[s4.no_dma_after_free],
            goals=[s4.freed, s4.replaced_by_scratch],
            options=options,
        )

    return build


HISTORIC = (
    collapse(
        "KHUGEPAGED-NOTIFIER",
        "file collapse without mmu_notifier (CVE-2022-48991)",
        {"collapse_notify": "none"},
        "INV-S4-1",
    ),
    collapse(
        "KHUGEPAGED-NOTIFIER.fixed",
        "range_start and range_end around it (f268f6cf875f)",
        {},
    ),
    release(
        "I915-BACKING",
        "GPU backing store released without GPU TLB flush (CVE-2022-0330)",
        {"gpu_flush": "none"},
        "INV-S4-1",
    ),
    release("I915-BACKING.fixed", "flush before the pages are given back (7938d61591d3)", {}),
)
