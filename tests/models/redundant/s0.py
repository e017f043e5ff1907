"""System S0: ``mmu_gather`` and friends."""

from __future__ import annotations

from models.excuses import Excuse, Kind

RMAP = "a mapcount that stays too high makes rmap walks look in vain, no more"

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
        "madvise_dontneed_locked: lock mm.mmap_lock.read()",
        "S0.V6.truncate",
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
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*.dirty S0.V3 S0.V3.clean",
        Kind.COST,
        RMAP,
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*.pae-same *truncate* S0.V4.munmap S0.V4.munmap-twice",
        Kind.UNREACHED,
        "no dirty page is zapped, so no mapcount waits for the flush",
    ),
)
