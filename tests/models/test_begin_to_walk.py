"""Who begins to walk a page table may load what is in it.

In whichever order a model writes the two, the may-set and the explicit TLB agree.
"""

from __future__ import annotations

import pytest

from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.hardware import Cpu, Frame, Page, Pte, x86
from shootdown.hardware.arm64 import arm64
from shootdown.hardware.arm64_walker import Walker as Arm64Walker
from shootdown.hardware.iommu import Device, with_iommu
from shootdown.hardware.machine import AddressSpace
from shootdown.hardware.walker import Pcid, Pmd, Region, Space, Table, Walker
from shootdown.hardware.walker_flush import walker
from shootdown.lang import (
    Function,
    Hardware,
    Setup,
    Thread,
    atomic,
    goal,
    invariant,
    path,
    scenario,
    this,
    xchg,
)

MM = AddressSpace(0)


@atomic
def walks_last() -> None:
    MM.pte[Page(0)] = Pte(present=True, accessed=True, frame=Frame(0))
    for cpu in Cpu:
        cpu.walks = MM


@atomic
def walks_first() -> None:
    for cpu in Cpu:
        cpu.walks = MM
    MM.pte[Page(0)] = Pte(present=True, accessed=True, frame=Frame(0))


@atomic
def walks_not_yet() -> None:
    MM.pte[Page(0)] = Pte(present=True, accessed=True, frame=Frame(0))


@atomic
def begin() -> None:
    this(Cpu).walks = MM


@path
def unmap(*, switch: bool) -> None:
    """Without a flush."""
    if switch:
        begin()
    xchg(MM.pte[Page(0)], Pte())


@invariant("no stale entry")
def fresh() -> bool:
    """A CPU may use a translation that is gone."""
    return MM.pte[Page(0)].present or not any(cpu.tlb[Page(0)] for cpu in Cpu)


@goal("unmapped")
def unmapped() -> bool:
    return not MM.pte[Page(0)].present


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("hardware", [x86, arm64], ids=lambda h: h.name)
@pytest.mark.parametrize("start", [walks_last, walks_first, walks_not_yet], ids=lambda f: f.name)
def test_cpus(start: Function[[], None], hardware: Hardware, tlb: str) -> None:
    kind = Arm64Walker if hardware is arm64 else Cpu

    @scenario("begin", expect="VIOLATED")
    def build() -> Setup:
        return Setup(
            sizes={kind: 1, Page: 1, Frame: 1, AddressSpace: 1},
            start=start,
            threads=[Thread(unmap, switch=start is walks_not_yet, on=Cpu(0))],
            hardware=hardware,
            invariants=[fresh],
            goals=[unmapped],
        )

    result = native.explore(build.compile(options={"tlb": tlb}))
    assert result.verdict is Verdict.VIOLATED


@atomic
def attached_last() -> None:
    MM.pte[Page(0)] = Pte(present=True, accessed=True, frame=Frame(0))
    Device(0).attached = MM


@invariant("no stale entry of a device")
def device_fresh() -> bool:
    """The device may use a translation that is gone."""
    return MM.pte[Page(0)].present or not Device(0).iotlb[Page(0)]


@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_devices(tlb: str) -> None:
    @scenario("attach", expect="VIOLATED")
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 1, Page: 1, Frame: 1, AddressSpace: 1, Device: 1},
            start=attached_last,
            threads=[Thread(unmap, switch=False, on=Cpu(0))],
            hardware=with_iommu(x86),
            invariants=[device_fresh],
            goals=[unmapped],
        )

    result = native.explore(build.compile(options={"tlb": tlb}))
    assert result.verdict is Verdict.VIOLATED


SPACE, TABLE = Space(0), Table(0)


@atomic
def root_last() -> None:
    TABLE.pte[Page(0)] = Pte(present=True, accessed=True, frame=Frame(0))
    SPACE.pmd[Region(0)] = Pmd(present=True, table=TABLE)
    Walker(0).root = SPACE


@path
def unmap_table() -> None:
    xchg(TABLE.pte[Page(0)], Pte())


@invariant("no stale leaf")
def leaves_fresh() -> bool:
    """A CPU may use a translation that is gone."""
    cpu = Walker(0)
    return TABLE.pte[Page(0)].present or not cpu.leaves[cpu.pcid][Page(0)]


@goal("unmapped in the table")
def table_unmapped() -> bool:
    return not TABLE.pte[Page(0)].present


@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_trees(tlb: str) -> None:
    @scenario("root", expect="VIOLATED")
    def build() -> Setup:
        return Setup(
            sizes={Walker: 1, Page: 1, Region: 1, Frame: 1, Table: 1, Space: 1, Pcid: 1},
            start=root_last,
            threads=[Thread(unmap_table, on=Cpu(0))],
            hardware=walker,
            invariants=[leaves_fresh],
            goals=[table_unmapped],
        )

    result = native.explore(build.compile(options={"tlb": tlb}))
    assert result.verdict is Verdict.VIOLATED
