"""A device that walks a CPU's page table (shared virtual addressing), with caches of its own.

It has no interrupts and no user mode: while it is bound to a root it may load any entry of any
level at any time, and keeps it until it is told otherwise (PCI Express ATS and PASID; Intel VT-d
specification 6.5, "Invalidation of Translation Caches"). Only the tables that it caches are
modelled; what it translates with them is not.
"""

from __future__ import annotations

from shootdown.hardware.tlb import TLB
from shootdown.hardware.walker import Pmd, Region, Space, Table
from shootdown.lang import Array, Object, atomic, choose, on_write, rule, when


class SvaDevice(Object, show="DEV{}"):
    """An IOMMU on behalf of a device: the root of its PASID, and its paging-structure caches."""

    root: Space | None = None
    tables: Array[Region, set[Table]]


@atomic
def device_learn(device: SvaDevice) -> None:
    """May-set: the tables that it can reach now."""
    root = device.root
    if TLB == "may" and root is not None:
        for region in Region:
            pmd = root.pmd[region]
            if pmd.present and not pmd.large:
                device.tables[region].add(pmd.table)


@on_write(Space.pmd)
def device_directory_changed(space: Space, region: Region, old: Pmd, new: Pmd) -> None:
    """May-set: it may cache a table as soon as the root refers to it."""
    if TLB == "may" and new.present and not new.large:
        for device in SvaDevice:
            if device.root == space:
                device.tables[region].add(new.table)


@rule(show="IOMMU caches the table of {region}")
def device_cache_table(device: SvaDevice, region: Region) -> None:
    """It may cache an entry at any time (VT-d 6.2.5, paging-structure caches)."""
    when(TLB == "explicit")
    root = device.root
    when(root is not None)
    if root is not None:
        pmd = root.pmd[region]
        when(pmd.present and not pmd.large and pmd.table not in device.tables[region])
        device.tables[region].add(pmd.table)


@rule(show="eviction from the IOMMU, {region}")
def device_evict_table(device: SvaDevice, region: Region) -> None:
    """It may forget an entry at any time."""
    when(TLB == "explicit")
    table = choose(device.tables[region])
    device.tables[region].discard(table)


@rule(show="IOMMU walks {table}, which is no page table any more")
def device_walk_given_away(device: SvaDevice, table: Table) -> None:
    """A walk for a device starts at a cached table, whatever became of it, and sets accessed flags
    there (VT-d 3.6.2: first-stage translation updates A and D)."""
    when(table.given_away and not table.trampled)
    when(any(table in device.tables[region] for region in Region))
    table.trampled = True


@atomic(show="bind {device}")
def bind(device: SvaDevice, root: Space) -> None:
    """The device gets a PASID for this root."""
    device.root = root
    device_learn(device)


@atomic(show="invalidate the IOTLB of {device}", role="flush")
def invalidate_device(device: SvaDevice) -> None:
    """Post an invalidation of everything and wait until it is done (VT-d 6.5.2)."""
    for region in Region:
        device.tables[region] = set()
    device_learn(device)


sva_rules = (device_cache_table, device_evict_table, device_walk_given_away)
sva_observers = (device_directory_changed,)
