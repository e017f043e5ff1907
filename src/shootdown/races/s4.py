"""System S4: secondary MMUs, and where in a change of a PTE they are told about it.

One set of kernel paths (``shootdown.linux``); the variants of the reference are values of the
option ``notify``. Here a page is unmapped and freed; ``s4_decide`` has what others conclude from
the PTE, ``s4_copy`` the pages that replace others, ``s4_software`` KVM and the historic races.
``docs/s4.md`` explains the results.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.iommu import Device, with_iommu
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Hardware, Scenario, Setup, Thread, scenario
from shootdown.linux.mm.mmu_notifier import pte_changed
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races import s4_properties as s4

VARIANTS: dict[str, str] = {
    "N.a": "inside",
    "N.b": "unlocked",
    "N.c": "end",
    "N.ac": "both",
    "N.conly_end": "rule",
    "N.arch": "arch",
    "N.pre": "before",
    "N.none": "none",
}
"""Where each variant of the reference tells devices. ``N.ac`` is Linux 3.19 to 4.14, ``N.b`` what
``->invalidate_page()`` did until early 2017, ``N.conly_end`` Linux 4.15 to 6.5, ``N.arch`` 6.6 and
later.
``N.a``, ``N.c``, ``N.pre`` and ``N.none`` are thought experiments."""

MM = Mm(0)
IOMMU: Hardware = with_iommu(x86)


def verdict(violates: str | None) -> dict[str, Any]:
    """What is expected."""
    return {"expect": "VIOLATED" if violates else "HOLDS", "violates": violates}


def victims(pages: int) -> tuple[Any, ...]:
    """Folios to reclaim, each mapped at the page of its number."""
    return tuple((Folio(n), ((MM, Page(n)),)) for n in range(pages))


def counting(machine: Hardware) -> Hardware:
    """The machine with the ghost that counts how often devices are told (INV-S4-6)."""
    return Hardware(
        machine.name,
        machine.rules,
        (*machine.observers, pte_changed),
        machine.options,
        machine.assumptions,
        machine.witness,
    )


# ------------------------------------------------------------------ a page is unmapped and freed

SAFE = (s4.no_dma_after_free, s4.told_after_change)


def unmap(
    name: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    reference: bool = True,
    number: int = 1,
    batch: bool = False,
    checked: tuple[Any, ...] = SAFE,
) -> Scenario:
    """Reclaim unmaps file pages that a device uses, and frees them.

    ``reference``: somebody else has one, so that try_to_unmap_one() does not drop the last one.
    ``batch``: another CPU runs the process, so that the flush of the CPUs is put off.
    """
    variant = name if name in VARIANTS else name.rpartition(".")[0]

    @scenario(name, aliases=aliases, title=title, **verdict(violates))
    def build(cpus: int = 2 if batch else 1, pages: int = number, devices: int = 1) -> Setup:
        once = s4.told_once in checked
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1, Device: devices},
            start=s4.mapped_file if reference else s4.mapped_alone,
            threads=[Thread(shrink_folios, victims(pages), on=Cpu(0))],
            hardware=counting(IOMMU) if once else IOMMU,
            invariants=list(checked),
            goals=[s4.window, s4.freed],
            options={"notify": VARIANTS[variant], "tlb_batched": "counted"},
        )

    return build


ONCE = (*SAFE, s4.told_once)

UNMAP = (
    unmap("N.none", "nobody tells the device", violates="INV-S4-1", checked=SAFE[:1]),
    unmap(
        "N.pre",
        "the device is told, and the PTE cleared afterwards",
        violates="INV-S4-4",
        aliases=("BAD-S4-2",),
        checked=SAFE[1:],
    ),
    unmap("N.pre.free", "the same: and the page is freed", violates="INV-S4-1", checked=SAFE[:1]),
    unmap("N.a", "told before the PTL is dropped", checked=ONCE),
    unmap("N.a.alone", "the same, and the PTE has the only reference", reference=False),
    unmap("N.b", "told after the PTL is dropped: the caller has a reference", checked=ONCE),
    unmap(
        "N.b.alone",
        "the same without a reference: freed under the PTL",
        violates="INV-S4-1",
        reference=False,
    ),
    unmap("N.c", "told in range_end: the caller has a reference", checked=ONCE),
    unmap(
        "N.c.alone",
        "told in range_end, and the PTE has the only reference",
        violates="INV-S4-1",
        aliases=("BAD-S4-1",),
        reference=False,
    ),
    unmap("N.ac", "told before the PTL is dropped, and in range_end (until 4.14)"),
    unmap("N.ac.twice", "the same: once too often", violates="INV-S4-6", checked=ONCE),
    unmap("N.conly_end", "file pages in range_end, as documented (4.15 to 6.5)", checked=ONCE),
    unmap("N.arch", "told by the flush of the CPUs (6bbd42e2df8f, 6.6)", checked=ONCE),
    unmap("N.arch.alone", "the same, and the PTE has the only reference", reference=False),
    unmap("N.arch.batch", "the flush is put off, and devices are told at once", batch=True),
    unmap(
        "N.arch.batch-twice",
        "the same with two pages: about all of the mm each time",
        violates="INV-S4-6",
        number=2,
        batch=True,
        checked=ONCE,
    ),
)
