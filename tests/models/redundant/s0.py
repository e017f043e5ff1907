"""System S0: ``mmu_gather`` and friends."""

from __future__ import annotations

from models.excuses import Excuse, Kind

RMAP = "a mapcount that stays too high makes rmap walks look in vain, no more"

BATCHED = "S0.V9.reclaim-batched S0.V9.pae-reclaim-batched"

S0 = (
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        "S0.V9",
        Kind.NOT_NEEDED,
        "what makes the page fault flush before it sets the PTE is the count, not the PTL; the PTL "
        "keeps zappers apart, and there is one (S0.V9.ret has two)",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        "S0.V4.munmap S0.V4.munmap-twice",
        Kind.TWICE,
        "the mmap lock keeps the two apart already; the PTL is there for page faults and for "
        "whoever comes through the rmap",
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        "S0.V0",
        Kind.TWICE,
        "V0 flushes each PTE while it holds the PTL, and what another gather has cleared is "
        "flushed before its PTL is dropped: the flush of the gather has nothing left to do",
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        "S0.V0.dirty S0.V0.one S0.V0.pae",
        Kind.UNREACHED,
        "V0 flushes each PTE by itself, so nothing is gathered",
    ),
    Excuse(
        "munmap: lock mm.mmap_lock.write()",
        "S0.V4.munmap-truncate",
        Kind.NOT_AT_STAKE,
        "truncation does not take the mmap lock: what protects munmap from it is the lock of the "
        "file's mappings, which free_pgtables() takes before the return",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        "S0.V4.disjoint S0.V6.disjoint S0.V6.table-disjoint",
        Kind.NOT_AT_STAKE,
        "each page table has one user",
    ),
    Excuse(
        """try_to_unmap_one: lock pte_lockptr(mm, page)
        finish_fault: lock pte_lockptr(mm, page)""",
        BATCHED,
        Kind.NOT_AT_STAKE,
        "the page fault comes when reclaim has left the PTE",
    ),
    Excuse(
        "change_pte_range: lock pte_lockptr(mm, pages[0])",
        "S0.V8.protect-nested",
        Kind.NOT_AT_STAKE,
        "the PTE is taken out by one exchange, so one of the two finds it writable, whoever is "
        "first; a zap needs the lock (S0.V8.protect-zap)",
    ),
    Excuse(
        "shrink_folio: lock folio.lock",
        BATCHED,
        Kind.NOT_AT_STAKE,
        "nobody else locks the folio",
    ),
    Excuse(
        """zap_pte_range: lock pte_lockptr(mm, pages[0])
        finish_fault: lock pte_lockptr(mm, page)""",
        "S0.V6.pae-walk-whole",
        Kind.NOT_AT_STAKE,
        "a PTE that is removed in one piece does not mix with the halves of the one that is made "
        "there; that two translations of one page are in use (INV-S0-4) is not looked at",
    ),
    Excuse(
        """madvise_dontneed_locked: lock mm.mmap_lock.read()
        mwriteprotect_range: lock mm.mmap_lock.read()""",
        "S0.V6.truncate S0.V8.protect-*",
        Kind.NOT_AT_STAKE,
        "nobody takes the mmap lock for writing",
    ),
    Excuse(
        "free_pgtables: lock mm.i_mmap_rwsem.write()",
        "S0.V4.munmap S0.V4.munmap-twice",
        Kind.NOT_AT_STAKE,
        "nobody comes from the file",
    ),
    Excuse(
        "unmap_mapping_range: lock mm.i_mmap_rwsem.read()",
        "S0.V8.truncate-nested S0.V6.truncate S0.V9.pae-truncate",
        Kind.NOT_AT_STAKE,
        "nobody unlinks the VMA",
    ),
    Excuse(
        "write_folio: lock folio.lock",
        "*",
        Kind.NOT_AT_STAKE,
        "it keeps writers of the folio to disk apart, and there is one",
    ),
    Excuse(
        "tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)",
        "S0.V7.dirty",
        Kind.NOT_AT_STAKE,
        "one gather, and V7 never decrements, so nobody reads the count; INV-S0-6, which does not "
        "hold in V7, is not looked at",
    ),
    Excuse(
        """finish_fault: atomic_inc(folio.refcount)
        finish_fault: atomic_inc(folio.mapcount)""",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody unmaps the new page, so nobody looks at its counts",
    ),
    Excuse(
        """zap_pte_range: folio_remove_rmap_pte()
        try_to_unmap_lazyfree: folio_remove_rmap_pte()""",
        "*",
        Kind.COST,
        RMAP,
    ),
    Excuse(
        """tlb_finish_mmu: atomic_dec(mm.table_flush_pending[page])
        tlb_finish_mmu: atomic_dec(mm.region_flush_pending[Region(number)])
        tlb_finish_mmu: atomic_dec(Vma(number).flush_pending)""",
        "*",
        Kind.COST,
        "a count that stays too high makes others flush too often, as in S0.V7",
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*.dirty S0.V3 S0.V3.clean S0.V3.pae",
        Kind.COST,
        RMAP,
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*.pae-same *truncate* S0.V4.munmap S0.V4.munmap-twice",
        Kind.UNREACHED,
        "no dirty page is zapped, so no mapcount waits for the flush",
    ),
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        BATCHED,
        Kind.UNREACHED,
        "reclaim puts the flush off, since others run the process",
    ),
    Excuse(
        "finish_fault: flush_tlb_mm_range()",
        BATCHED,
        Kind.UNREACHED,
        "it is for an open gather, and there is none",
    ),
    Excuse(
        """tlb_gather_table: atomic_inc(mm.table_flush_pending[page])
        tlb_gather_region: atomic_inc(mm.region_flush_pending[region])
        tlb_gather_vma: atomic_inc(Vma(number).flush_pending)""",
        "*",
        Kind.REFUSED,
        "the count falls below zero at the end; S0.V4 shows gathers that nobody counts",
    ),
)
