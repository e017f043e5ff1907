"""What removes entries from the caches of ``walker``: CR3 and CR4, INVLPG, INVPCID.

================================  ===========================  =========================
instruction (Intel SDM 3A 4.10.4.1)  translations                 paging-structure caches
================================  ===========================  =========================
MOV to CR3, bit 63 clear          of that PCID, not global     of that PCID
MOV to CR3, bit 63 set (NOFLUSH)  none                         none
INVLPG                            of that page: of this PCID,  of this PCID, all regions
                                  and global ones of any
INVPCID, all with globals         all                          all
MOV to CR4 that changes PGE       all                          all
================================  ===========================  =========================

All but INVPCID are serialising (SDM 3A, Serializing Instructions), which also drains the store
buffer; for INVPCID, :func:`invpcid_all_relaxed` assumes that it is not. Afterwards a CPU may hold
what it can load now.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.tlb import TLB
from shootdown.hardware.walker import (
    Pcid,
    Region,
    Space,
    Walker,
    cache_table,
    directory_changed,
    entry_changed,
    evict_leaf,
    evict_table,
    fill_leaf,
    learn,
    region_of,
    root_changed,
    walk_given_away,
)
from shootdown.lang import ByOption, Hardware, atomic


@atomic
def drop_pcid(cpu: Walker, pcid: Pcid) -> None:
    """What a PCID has, but for global translations."""
    for page in Page:
        cpu.leaves[pcid][page] = {leaf for leaf in cpu.leaves[pcid][page] if leaf.glob}
    for region in Region:
        cpu.tables[pcid][region] = set()


@atomic
def drop_all(cpu: Walker) -> None:
    """Everything, of all PCIDs."""
    for pcid in Pcid:
        for page in Page:
            cpu.leaves[pcid][page] = set()
        for region in Region:
            cpu.tables[pcid][region] = set()


@atomic
def drop_page(cpu: Walker, page: Page) -> None:
    """What INVLPG removes: a large page goes as a whole, whichever of its addresses is named."""
    for pcid in Pcid:
        for other in Page:
            if region_of(other) == region_of(page):
                cpu.leaves[pcid][other] = {
                    leaf
                    for leaf in cpu.leaves[pcid][other]
                    if (pcid != cpu.pcid and not leaf.glob) or (other != page and not leaf.large)
                }
    for region in Region:
        cpu.tables[cpu.pcid][region] = set()


@atomic(show="MOV to CR3")
def load_cr3(cpu: Walker, space: Space, pcid: Pcid) -> None:
    """Walk another root under a tag, and forget what the tag had."""
    drop_pcid(cpu, pcid)
    cpu.pcid = pcid
    cpu.root = space


@atomic(show="MOV to CR3 (NOFLUSH)")
def load_cr3_noflush(cpu: Walker, space: Space, pcid: Pcid) -> None:
    """Walk another root under a tag that keeps what it had. A table that was cached under it can be
    walked again from here on."""
    cpu.pcid = pcid
    cpu.root = space


@atomic(show="INVLPG {page}")
def invlpg(cpu: Walker, page: Page) -> None:
    """Forget one page of the current PCID, and all that this PCID has of upper levels."""
    drop_page(cpu, page)
    learn(cpu)


@atomic(show="INVPCID all", role="flush")
def invpcid_all(cpu: Walker) -> None:
    """Forget everything, global entries too. Toggling CR4.PGE does the same."""
    drop_all(cpu)
    learn(cpu)


@atomic(show="INVPCID all", role="flush", fence=False)
def invpcid_all_relaxed(cpu: Walker) -> None:
    """The same, if it does not wait for the stores before it."""
    drop_all(cpu)
    learn(cpu)


ANY_ENTRY = ByOption(
    TLB,
    {
        "may": "a CPU may cache any entry that it can reach, of each level, until it invalidates "
        "it",
        "explicit": "a CPU may cache any entry that it can reach, of each level, and lose it at "
        "any time",
    },
)

walker = Hardware(
    "x86 walker",
    rules=(cache_table, fill_leaf, walk_given_away, evict_leaf, evict_table),
    observers=(entry_changed, directory_changed, root_changed),
    witness={"tlb": "explicit"},
    assumptions=(
        ANY_ENTRY,
        "a walk may start at a cached table, whatever became of the table since",
        "a table that was given away holds anything",
        "cached entries are tagged with a PCID; global translations are used under any",
    ),
)
