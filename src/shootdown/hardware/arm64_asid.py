"""Arm translations that are tagged with an ASID, and TLBI by ASID.

A PE walks the page table that TTBR0_EL1 names and tags what it caches with the current ASID. An
access uses only entries of the current ASID; the others stay until something invalidates them (Arm
ARM DDI 0487, D8.16 "Translation Lookaside Buffers").

Each address space has one page here, so an entry is told by its ASID and by the address space that
it was made from. ``holds`` is a may-set, as in :mod:`shootdown.hardware.tlb`: what the PE has been
able to load since its last invalidation.

With *Common not Private* (CNP) PEs share one TLB, so what one PE caches under an ASID may be used
by every other one that runs with this ASID (D8.16.6), and an invalidation reaches all of it.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu
from shootdown.lang import Array, Hardware, Object, Option, atomic, rule, this, when

CNP = Option(
    "cnp",
    "off",
    choices=("off", "on"),
    doc="TTBR.CnP: each PE has a TLB of its own; or all PEs share one.",
)


class Asid(Object, show="ASID{}"):
    """An address space identifier. ASID0 is for no process."""


class OnePageSpace(AddressSpace):
    """A page table with one page. ``mapped``: its last-level descriptor is valid."""

    mapped: bool = True


class AsidPe(Cpu):
    """A processing element. ``ttbr`` and ``current``: what TTBR0_EL1 and the ASID field say;
    ``None`` is the reserved table, in which nothing is mapped. ``holds``: for each ASID, the
    address spaces of which it may have the page. ``posted``: the ASIDs whose TLBI has not reached
    it yet."""

    ttbr: OnePageSpace | None = None
    current: Asid = Asid(0)
    holds: Array[Asid, set[OnePageSpace]]
    posted: set[Asid]


@atomic
def load(pe: AsidPe) -> None:
    """Whatever can be loaded now is in the may-set."""
    mm = pe.ttbr
    if mm is not None and mm.mapped:
        pe.holds[pe.current].add(mm)


@atomic
def run(pe: AsidPe, mm: OnePageSpace, asid: Asid) -> None:
    """The PE walks a page table under an ASID."""
    pe.ttbr = mm
    pe.current = asid
    load(pe)


@atomic(show="MSR TTBR0_EL1", fence=False)
def write_ttbr(mm: OnePageSpace, asid: Asid) -> None:
    """Walk another page table under another ASID. Both change at once: Linux has the reserved table
    in TTBR0_EL1 while it writes the ASID into TTBR1_EL1."""
    run(this(AsidPe), mm, asid)


@atomic(show="MSR TTBR0_EL1 (reserved)", fence=False)
def write_reserved_ttbr() -> None:
    """Walk nothing, under the same ASID."""
    this(AsidPe).ttbr = None


@atomic(show="tlbi vmalle1", role="flush", fence=False)
def tlbi_vmalle1() -> None:
    """TLBI VMALLE1 and DSB NSH: everything that this PE has cached. In a TLB that is shared, the
    entries of others too."""
    me = this(AsidPe)
    for pe in AsidPe:
        if pe == me or CNP == "on":
            for asid in Asid:
                pe.holds[asid] = set()
            load(pe)


@atomic(show="tlbi vale1is {asid}", role="flush", fence=False)
def tlbi_vale1is(asid: Asid) -> None:
    """Post a TLBI of the page, under one ASID, to every PE."""
    for pe in AsidPe:
        pe.posted.add(asid)


@rule(fair=True, show="TLBI of {asid} reaches {pe}")
def tlbi_arrives(pe: AsidPe, asid: Asid) -> None:
    """It takes effect some time later (D8.17)."""
    when(asid in pe.posted)
    pe.posted.discard(asid)
    pe.holds[asid] = set()
    load(pe)


@atomic(show="dsb(ish)", role="ack", fence=False)
def dsb_ish() -> None:
    """Wait for the TLBIs; one PE at a time issues any here."""
    when(not any(pe.posted for pe in AsidPe))


@atomic
def may_hold(pe: AsidPe, asid: Asid, mm: OnePageSpace) -> bool:
    """Whether a PE may use the page of an address space under an ASID."""
    if CNP == "on":
        return any(mm in other.holds[asid] for other in AsidPe)
    return mm in pe.holds[asid]


arm64_asid = Hardware(
    "arm64-asid",
    rules=(tlbi_arrives,),
    assumptions=(
        "a page walk is one atomic access",
        "cached entries are tagged with an ASID, and stay until they are invalidated",
        "a TLBI reaches each PE some time later; a DSB waits for it",
        "a PE may load any valid descriptor at any time, and keeps it until it is invalidated",
        "TTBR0_EL1 and the ASID change at once",
    ),
)
