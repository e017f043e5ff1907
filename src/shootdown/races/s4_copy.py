"""System S4: another page, or more rights, in the place of what a device has.

INV-S4-2: who sees a later write sees an earlier one, also if he is a device (case B of
Documentation/mm/mmu_notifier.rst). INV-S4-5: a device gets the right that it has been given.
"""

from __future__ import annotations

from collections.abc import Mapping

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.lang import Scenario, Setup, Thread, path, scenario
from shootdown.linux.drivers.iommu_iopf import Asking, iommu_sva_handle_iopf, page_request
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.memory import do_anonymous_page
from shootdown.linux.mm.memory_wp import do_wp_page, wp_page_reuse
from shootdown.linux.mm.migrate import migrate_pages
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s4_properties as s4
from shootdown.races.s4 import IOMMU, MM, VARIANTS, counting, verdict
from shootdown.races.s4_decide import variant_of

Options = Mapping[str, str]

# ------------------------------------------------------------------ copy on write, twice


def copy(
    name: str,
    notify: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """Two write faults copy two pages. A CPU writes to the first copy, then to the second; a device
    reads the second, then the first."""

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build() -> Setup:
        device = s4.Observer(0)
        return Setup(
            sizes={Cpu: 3, Page: 2, Frame: 4, Mm: 1, Device: 1},
            start=s4.mapped_shared,
            threads=[
                Thread(do_wp_page, MM, Page(0), Folio(2), on=Cpu(0)),
                Thread(do_wp_page, MM, Page(1), Folio(3), on=Cpu(1)),
                Thread(s4.stores_both, MM, Page(0), Page(1), on=Cpu(2)),
                Thread(s4.reads_both, device, Page(1), Page(0), on=Device(0)),
            ],
            hardware=IOMMU,
            goals=[s4.saw_later, s4.replaced],
            options={"notify": notify},
        )

    return build


COPY = (
    copy("N.a.copy", "inside", "a copy is told about before it is mapped"),
    copy("N.b.copy", "unlocked", "told after the PTL is dropped", violates="INV-S4-2"),
    copy(
        "N.c.copy",
        "end",
        "told in range_end: case B deferred",
        violates="INV-S4-2",
        aliases=("BAD-S4-3",),
    ),
    copy("N.ac.copy", "both", "told before the PTL is dropped, and again"),
    copy("N.arch.copy", "arch", "told by ptep_clear_flush(), before the copy is mapped"),
    copy(
        "NOTIFIER-COW",
        "end",
        "secondary TLB not invalidated between clear and set (mmu_notifier.rst, 0f10851ea475)",
        violates="INV-S4-2",
    ),
    copy(
        "NOTIFIER-COW.fixed",
        "rule",
        "ptep_clear_flush_notify(), then range_only_end (4645b9fe84bf)",
        aliases=("N.conly_end.copy",),
    ),
)


# ------------------------------------------------------------------ given up, and faulted in again


@path(show="user")
def stores_or_faults(mm: Mm, earlier: Page, later: Page) -> None:
    """A thread that writes to a page, which may have to be faulted in, and then to another."""
    if s4.store(mm, earlier) is None:
        do_anonymous_page(mm, earlier)
        if s4.store(mm, earlier) is not None:
            s4.store(mm, later)


def again(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
) -> Scenario:
    """One thread gives up a page. Another one writes to it, and so gets a new one, and then writes
    to a second page. A device reads the second page, then the first."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        device = s4.Observer(0)
        return Setup(
            sizes={Cpu: 2, Page: 2, Frame: 3, Mm: 1, Device: 1},
            start=s4.mapped_anon,
            threads=[
                Thread(madvise_dontneed, MM, (Page(0),), on=Cpu(0)),
                Thread(stores_or_faults, MM, Page(0), Page(1), on=Cpu(1)),
                Thread(s4.reads_both, device, Page(1), Page(0), on=Device(0)),
            ],
            hardware=IOMMU,
            goals=[s4.saw_later, s4.window],
            options={"notify": notify, **(options or {})},
        )

    return build


AGAIN = (
    again("N.a.again", "told when the page is taken out, under the PTL"),
    again(
        "N.conly_end.again",
        "told in range_end: case B in two calls",
        violates="INV-S4-2",
    ),
    again("N.arch.again", "told by the gather's flush: the same", violates="INV-S4-2"),
    again(
        "N.arch.again-forced",
        "MADV_DONTNEED flushes under the PTL (S0.V8): safe",
        options={"zap_flush": "forced"},
    ),
)


# ------------------------------------------------------------------ migration


def migrate(name: str, title: str) -> Scenario:
    """A page that a device writes to is migrated. The flush is put off until the copy, and a
    migration entry is set before it."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, **verdict(None))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 2, Mm: 1, Device: 1},
            start=s4.mapped_for_migration,
            threads=[
                Thread(migrate_pages, ((MM, Page(0)),), Folio(0), Folio(1), on=Cpu(0)),
                Thread(s4.writes, Device(0), Page(0), on=Device(0)),
            ],
            hardware=counting(IOMMU),
            invariants=[s4.no_dma_after_free, s4.told_after_change, s4.no_lost_dma, s4.told_once],
            goals=[s4.window, s4.freed, s4.written],
            options={"notify": notify, "tlb_batched": "counted"},
        )

    return build


MIGRATE = (
    migrate("N.c.migrate", "migration tells in range_end, before it copies"),
    migrate("N.arch.migrate", "migration tells when it queues the flush"),
)


# ------------------------------------------------------------------ more rights


@path(show="device")
def writes_or_asks(device: Asking, page: Page) -> None:
    """A device that writes once, and asks until it can."""
    while s4.write_by_dma(device, page) is None:
        page_request(device)


def upgrade(
    name: str,
    title: str,
    *,
    options: Options | None = None,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """A page is read-only; a thread and a device write to it. Nobody else has it, so it becomes
    writable. What a device holds matters here, so its entries are explicit."""
    notify = VARIANTS[variant_of(name)]

    @scenario(name, title=title, aliases=aliases, **verdict(violates))
    def build() -> Setup:
        device = Asking(0)
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 1, Mm: 1, Device: 1},
            start=s4.mapped_read_only,
            threads=[
                Thread(wp_page_reuse, MM, Page(0), on=Cpu(0)),
                Thread(writes_or_asks, device, Page(0), on=Device(0)),
                Thread(iommu_sva_handle_iopf, device, MM, Page(0), on=Cpu(1), daemon=True),
            ],
            hardware=IOMMU,
            progress=[s4.device_gets_on],
            goals=[s4.asked],
            options={"notify": notify, "iotlb": "explicit", **(options or {})},
        )

    return build


UPGRADE = (
    upgrade(
        "N.conly_end.upgrade",
        "a PTE becomes writable, and the device is not told (before 6bbd42e2df8f)",
        violates="INV-S4-5",
        aliases=("BAD-S4-5",),
    ),
    upgrade("N.arch.upgrade", "the flush for the CPUs tells the device (6bbd42e2df8f)"),
    upgrade(
        "N.arch.upgrade-x86",
        "x86 does not flush, and an IOMMU that relied on it would hang",
        violates="INV-S4-5",
        options={"access_flags": "none"},
    ),
    upgrade(
        "N.arch.upgrade-walks",
        "x86 does not flush, and the IOMMU walks again by itself",
        options={"access_flags": "none", "iotlb_upgrade": "walks"},
    ),
)
