"""The flushes, locks and counters of safe variants of system S0 that can be left out, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

COSTS = ("S0.V6.rounds", "S0.V6.unlocked", "S0.V6.narrow", "S0.V6.table-narrow")

BATCHED = ("S0.V9.reclaim-batched", "S0.V9.pae-reclaim-batched")
AFTER = "the page fault comes when reclaim has left the PTE"

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()": (
        (
            ("S0.V0", "S0.V0.*"),
            "V0 flushes each PTE while it holds the PTL; the flush of the gather has nothing left "
            "to do, and what another gather has cleared is flushed before its PTL is dropped",
        ),
    ),
    "zap_pte_range: lock pte_lockptr(mm, pages[0])": (
        (
            ("S0.V9",),
            "one zapper: the PTL keeps zappers apart (S0.V9.ret). The page fault takes it, but "
            "what makes it flush first is the count",
        ),
        (
            ("S0.V4.munmap", "S0.V4.munmap-twice"),
            "the mmap lock keeps the two apart already; the PTL is there for page faults and for "
            "whoever comes through the rmap",
        ),
        (("S0.V?.disjoint", "S0.V6.table-disjoint", *COSTS), "each page table has one user here"),
    ),
    "zap_pte_range: folio_remove_rmap_pte()": (
        (("*",), "a mapcount that stays too high makes rmap walks look in vain, no more"),
    ),
    "tlb_flush_rmaps: folio_remove_rmap_pte()": (
        (("*",), "a mapcount that stays too high makes rmap walks look in vain, no more"),
    ),
    "try_to_unmap_lazyfree: folio_remove_rmap_pte()": (
        (("*",), "a mapcount that stays too high makes rmap walks look in vain, no more"),
    ),
    "finish_fault: atomic_inc(folio.refcount)": (
        (("*",), "nobody unmaps the new page in these scenarios, so nobody drops the reference"),
    ),
    "finish_fault: atomic_inc(folio.mapcount)": (
        (("*",), "nobody unmaps the new page in these scenarios, and nobody walks its rmap"),
    ),
    "tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)": (
        (
            ("S0.V7.dirty",),
            "one gather, and V7 never decrements: nobody reads the count. INV-S0-6 is not looked "
            "at in V7, where it does not hold",
        ),
        (COSTS, "one call at a time, so nobody else reads the count"),
    ),
    "tlb_finish_mmu: atomic_dec(mm.tlb_flush_pending)": (
        (
            ("S0.V6.rounds", "S0.V6.unlocked"),
            "one call: what a leak costs shows in the next one (S0.V6.narrow needs this)",
        ),
    ),
    "write_folio: lock folio.lock": (
        (("*",), "it keeps writers of the folio to disk apart, and there is one"),
    ),
    "madvise_dontneed_locked: lock mm.mmap_lock.read()": (
        (("S0.V6.truncate",), "nobody takes the mmap lock for writing here (S0.V4.munmap does)"),
    ),
    "munmap: lock mm.mmap_lock.write()": (
        (
            ("S0.V4.munmap-truncate",),
            "nobody else takes the mmap lock here: what protects munmap from truncation is the "
            "lock of the file's mappings",
        ),
    ),
    "free_pgtables: lock mm.i_mmap_rwsem.write()": (
        (
            ("S0.V4.munmap", "S0.V4.munmap-twice"),
            "nobody comes from the file here (S0.V4.munmap-truncate does)",
        ),
    ),
    "unmap_mapping_range: lock mm.i_mmap_rwsem.read()": (
        (
            ("S0.V8.truncate-nested", "S0.V6.truncate", "S0.V9.pae-truncate"),
            "nobody unlinks the VMA here (S0.V4.munmap-truncate does)",
        ),
    ),
    "mwriteprotect_range: lock mm.mmap_lock.read()": (
        (("S0.V8.protect-*",), "nobody takes the mmap lock for writing here (mprotect() does)"),
    ),
    "change_pte_range: lock pte_lockptr(mm, page)": (
        (
            ("S0.V8.protect-nested",),
            "the entry is taken out by one exchange, so one of the two finds it writable, whoever "
            "is first; S0.V8.protect-zap needs the lock",
        ),
    ),
    "tlb_gather_table: atomic_inc(mm.table_flush_pending[page])": (
        (
            ("S0.V6.table", "S0.V6.table-*"),
            "below zero is a model error, found first; S0.V4 shows gathers that nobody counts",
        ),
    ),
    "tlb_finish_mmu: atomic_dec(mm.table_flush_pending[page])": (
        (
            ("S0.V6.table", "S0.V6.table-*"),
            "a count that stays too high makes others flush too often, as in S0.V7",
        ),
    ),
    "shrink_folios: lock folio.lock": ((BATCHED, "nobody else locks the folio here"),),
    "try_to_unmap_one: lock pte_lockptr(mm, page)": ((BATCHED, AFTER),),
    "finish_fault: lock mm.ptl": ((BATCHED, AFTER),),
    "ptep_clear_flush: flush_tlb_mm_range()": (
        (BATCHED, "reclaim defers the flush, since others run the process: not reached"),
    ),
    "try_to_unmap_flush: arch_tlbbatch_flush()": (
        (("S0.V9.pae-reclaim-batched",), "the property is about a reader of memory, without a TLB"),
    ),
    "finish_fault: flush_tlb_mm_range()": (
        (BATCHED, "that of an open gather, and there is none: not reached"),
    ),
    "set_pte_at: smp_wmb()": ((("*",), "memory is sequentially consistent"),),
    "ptep_get_lockless: smp_rmb()": ((("*",), "memory is sequentially consistent"),),
}


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for patterns, text in REDUNDANT.get(site, ()):
        if any(fnmatchcase(scenario, pattern) for pattern in patterns):
            return text
    return None
