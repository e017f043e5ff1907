"""Tagged translations: PCIDs, CR3 writes that keep them, INVPCID, and INVLPGB with TLBSYNC.

``tlb`` knows what a CPU caches for the page table that it walks now: ``cpu.tlb``. With
process-context identifiers a CPU also keeps what it has cached under other tags, and can use it
again when CR3 names the tag (Intel SDM 3A 4.10.1). Those entries are ``cpu.parked[tag]`` here; a
CR3 write exchanges the two. So everything in ``tlb`` goes on working on the entries of the current
tag, which are the only ones that an access uses, that a walk makes, and that INVLPG removes.

Nothing evicts a parked entry: nobody can use one, so it may as well be evicted when it is back.
Entries with the G flag are not here (see ``walker``).

===================================  ======================================================
instruction                          entries that it removes
===================================  ======================================================
MOV to CR3, bit 63 clear             all of the tag that it loads
MOV to CR3, bit 63 set (NOFLUSH)     none
INVLPG (``tlb.invalidate``)          of some pages of the current tag
INVPCID, one context                 all of one tag, current or not
INVLPGB                              of some pages of one tag, on every CPU, some time later
===================================  ======================================================

(Intel SDM 3A 4.10.4.1; AMD APM 3, INVLPGB and TLBSYNC.)
"""

from __future__ import annotations

from dataclasses import replace

from shootdown.hardware.machine import AddressSpace, Cpu, Page, TlbEntry
from shootdown.hardware.tlb import TLB, invalidate
from shootdown.hardware.walker import Pcid
from shootdown.hardware.x86 import x86
from shootdown.lang import Array, atomic, path, rule, wait_until, when


class TaggedCpu(Cpu):
    """A CPU with CR4.PCIDE set.

    ``tag``: bits 0 to 11 of CR3. ``broadcast``: the CPUs that have not yet done the INVLPGB that
    this CPU has issued, for ``broadcast_pages`` of ``broadcast_tag``.
    """

    tag: Pcid = Pcid(0)
    parked: Array[Pcid, Array[Page, set[TlbEntry]]]
    broadcast: set[Cpu]
    broadcast_pages: set[Page]
    broadcast_tag: Pcid = Pcid(0)


@atomic
def entries_of(cpu: TaggedCpu, tag: Pcid, page: Page) -> set[TlbEntry]:
    """What the CPU has (or may have) cached for a page under a tag."""
    return cpu.tlb[page] if cpu.tag == tag else cpu.parked[tag][page]


@atomic(show="MOV to CR3")
def load_cr3(cpu: TaggedCpu, mm: AddressSpace | None, tag: Pcid, noflush: bool) -> None:
    """Walk another page table, under a tag. ``None`` is one without user pages. The instruction is
    serialising, so the store buffer is empty afterwards (Intel SDM 3A 8.3)."""
    if cpu.tag != tag:
        for page in Page:
            cpu.parked[cpu.tag][page] = cpu.tlb[page]
            cpu.tlb[page] = cpu.parked[tag][page]
            cpu.parked[tag][page] = set()
        cpu.tag = tag
    if not noflush:
        for page in Page:
            cpu.tlb[page] = set()
    cpu.walks = mm


@atomic
def drop(cpu: TaggedCpu, tag: Pcid, pages: set[Page]) -> None:
    """Remove entries of one tag; what the CPU can load at once again it may have again."""
    if cpu.tag == tag:
        invalidate(cpu, pages)
    else:
        for page in pages:
            cpu.parked[tag][page] = set()


@atomic(show="INVPCID {tag}", role="flush")
def invpcid_context(cpu: TaggedCpu, tag: Pcid) -> None:
    """Remove what one tag has, on this CPU (INVPCID type 1)."""
    drop(cpu, tag, set(Page))


@atomic(show="INVLPGB {tag}", role="flush", fence=False)
def invlpgb(issuer: TaggedCpu, tag: Pcid, pages: set[Page]) -> None:
    """Ask every CPU, this one too, to remove some pages of one tag, and go on. One such request is
    under way at a time: a second one waits."""
    when(not issuer.broadcast)
    issuer.broadcast = set(Cpu)
    issuer.broadcast_tag = tag
    issuer.broadcast_pages = pages


@rule(fair=True, show="{cpu} does the INVLPGB of {issuer}")
def do_broadcast(cpu: TaggedCpu, issuer: TaggedCpu) -> None:
    """A CPU does it at some time, whether its interrupts are on or off."""
    when(cpu in issuer.broadcast)
    drop(cpu, issuer.broadcast_tag, issuer.broadcast_pages)
    issuer.broadcast.discard(cpu)


@path(show="TLBSYNC", role="ack")
def tlbsync(issuer: TaggedCpu) -> None:
    """Wait until every CPU has done what this CPU has broadcast."""
    wait_until(not issuer.broadcast)


x86_pcid = replace(
    x86,
    name="x86-pcid",
    rules=tuple(rule for rule in x86.rules if rule.name != "handle_call"),
    assumptions=(
        *x86.assumptions,
        "cached entries are tagged with a PCID; a CR3 write with bit 63 set keeps them all",
        "an interrupt handler takes several steps, while its CPU does nothing else",
    ),
)
"""Tagged entries; interrupts are handled in software, see ``interrupt``."""

x86_invlpgb = replace(
    x86_pcid.and_rules(do_broadcast),
    name="x86-invlpgb",
    assumptions=(
        *x86_pcid.assumptions,
        "INVLPGB reaches each CPU at some time; TLBSYNC waits for those of its own CPU",
    ),
)
"""The same on a CPU that can broadcast an invalidation (AMD, from Zen 3 on)."""

__all__ = [
    "TLB",
    "Pcid",
    "TaggedCpu",
    "do_broadcast",
    "drop",
    "entries_of",
    "invlpgb",
    "invpcid_context",
    "load_cr3",
    "tlbsync",
    "x86_invlpgb",
    "x86_pcid",
]
