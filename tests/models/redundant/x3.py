"""System X3: paths that escape the PTL, and historic races of rights, migration and files."""

from __future__ import annotations

from models.excuses import Excuse, Kind

COUNT = "a count that stays too high keeps a folio from being freed, no more"
COPY = "nobody unmaps the copy, so nobody looks at its counts"
MMAP_LOCK = (
    "nobody takes the mmap lock in the other mode; in the kernel it keeps out whoever changes the "
    "VMA"
)
KSM = "KSM-4CPU.looked KSM-4CPU.fixed"
NUMA = "NUMA-MIGRATE.fixed PENDING-BOOL.fixed"
MOVES = "X3.mremap.migrate MREMAP-RMAP-ORDER.fixed"
MKCLEAN = "MREMAP-MKCLEAN.fixed MREMAP-MKCLEAN.today"

X3 = (
    Excuse(
        "change_pte_range: lock pte_lockptr(mm, pages[0])",
        "UFFD-WP.fixed",
        Kind.NOT_NEEDED,
        "a fault that comes in between finds the PTE empty and begins again; one that comes later "
        "sees the count, which was raised before the PTE was touched",
    ),
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        "UFFD-WP.fixed",
        Kind.TWICE,
        "against lost stores the flush before the copy is enough; this one is for threads that "
        "read the old page after the new one was written",
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        "KSM-4CPU.fixed",
        Kind.TWICE,
        "KSM finds the page read-only only after clear_refs, which flushes everything, and is "
        "counted until then; MADV_FREE has its own reason to flush (S0.V6.free)",
    ),
    Excuse(
        "free_pgtables: lock mm.i_mmap_rwsem.write()",
        "MUNMAP-PFNMAP.fixed",
        Kind.NOT_NEEDED,
        "with the flush at the end of the VMA nothing is owed any more when it is unlinked",
    ),
    Excuse(
        "unmap_mapping_range: lock mm.i_mmap_rwsem.read()",
        "MUNMAP-PFNMAP.fixed",
        Kind.NOT_NEEDED,
        "with the flush at the end of the VMA it does not matter when the VMA is unlinked",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        "MUNMAP-PFNMAP.fixed",
        Kind.NOT_NEEDED,
        "two zappers of one page: either finds it, and flushes before the driver frees it",
    ),
    Excuse(
        "move_ptes: lock pte_lockptr(mm, new)",
        "X3.mremap-between.truncate",
        Kind.TWICE,
        "truncation visits the old place first, and waits for its PTL",
    ),
    Excuse(
        "clear_soft_dirty: lock pte_lockptr(mm, page)",
        "CLEARREFS-LOCK.fixed",
        Kind.TWICE,
        "the mmap lock keeps the fault out",
    ),
    Excuse(
        "write_protect_page: lock pte_lockptr(mm, page)",
        KSM,
        Kind.NOT_NEEDED,
        "replace_page() compares the PTE again, so a change in between makes the merge fail",
    ),
    # ---- not at stake
    Excuse(
        "mremap: flush_tlb_mm_range()",
        "MREMAP-MKCLEAN.fixed",
        Kind.NOT_AT_STAKE,
        "the page is dirty, and was flushed under the PTL; this flush is for clean ones, and too "
        "late for them (MREMAP-PTL)",
    ),
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        "CLEARREFS-LOCK.fixed",
        Kind.NOT_AT_STAKE,
        "no CPU can write to the old page when a fault gets in; who reads it is not looked at",
    ),
    Excuse(
        """do_swap_page: lock SWAP_MM.ptl
        swap_out: lock SWAP_MM.ptl""",
        "SWAPIN-ABA.fixed",
        Kind.TWICE,
        "who reads the slot in, or writes it, keeps the others from it",
    ),
    Excuse(
        "oom_reap: lock mm.ptl",
        "OOM-FULLMM.fixed OOM-FULLMM.x86",
        Kind.NOT_AT_STAKE,
        "nobody else changes the PTE",
    ),
    Excuse(
        "move_ptes: lock pte_lockptr(mm, new)",
        "MREMAP-RMAP-ORDER.fixed",
        Kind.TWICE,
        "the walk comes to the new place when it has been at the old one, and waited there for the "
        "PTL; that a walk may pass over an empty PTE without it is X3.mremap.migrate",
    ),
    Excuse(
        "migrate_visiting: lock src.lock",
        "MREMAP-RMAP-ORDER.fixed",
        Kind.NOT_AT_STAKE,
        "nobody else locks the folio",
    ),
    Excuse(
        "mremap: lock mm.mmap_lock.write()",
        "*",
        Kind.NOT_AT_STAKE,
        "truncation, writeback and migration come through the rmap, not the mmap lock",
    ),
    Excuse(
        "munmap: lock mm.mmap_lock.write()",
        "*",
        Kind.NOT_AT_STAKE,
        "the driver comes through the file, not through the mmap lock",
    ),
    Excuse(
        """change_prot_numa: lock mm.mmap_lock.read()
        mwriteprotect_range: lock mm.mmap_lock.read()
        clear_refs_write: lock mm.mmap_lock.read()
        try_to_merge_one_page: lock mm.mmap_lock.read()""",
        "*",
        Kind.NOT_AT_STAKE,
        MMAP_LOCK,
    ),
    Excuse("do_wp_page: lock mm.mmap_lock.read()", "UFFD-WP.fixed", Kind.NOT_AT_STAKE, MMAP_LOCK),
    Excuse(
        "unmap_mapping_range: lock mm.i_mmap_rwsem.read()",
        "X3.mremap* MREMAP-PTL.fixed",
        Kind.NOT_AT_STAKE,
        "nobody unlinks the VMA",
    ),
    Excuse(
        """try_to_merge_one_page: lock folio.lock
        migrate_pages: lock src.lock
        write_folio: lock folio.lock""",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody else locks the folio",
    ),
    Excuse(
        "do_wp_page: lock pte_lockptr(mm, page)",
        "*",
        Kind.NOT_AT_STAKE,
        "one fault, which compares the PTE again after the copy",
    ),
    Excuse(
        "wp_page_copy: lock pte_lockptr(mm, page)",
        "*",
        Kind.NOT_AT_STAKE,
        "one fault, and nobody else makes this PTE point elsewhere",
    ),
    Excuse(
        "clear_soft_dirty: lock pte_lockptr(mm, page)",
        "SOFTDIRTY-NOFLUSH.fixed",
        Kind.NOT_AT_STAKE,
        "nobody else changes the PTE",
    ),
    Excuse(
        "replace_page: lock pte_lockptr(mm, page)",
        KSM,
        Kind.NOT_AT_STAKE,
        "the PTE is clean and read-only, and nobody zaps it: nothing but A changes any more",
    ),
    Excuse(
        "remove_migration_pte: lock pte_lockptr(mm, page)",
        NUMA,
        Kind.NOT_AT_STAKE,
        "NUMA balancing leaves a migration entry alone",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        f"{MKCLEAN} {MOVES}",
        Kind.NOT_AT_STAKE,
        "mremap() zaps its old range, which is empty by then",
    ),
    Excuse(
        "do_wp_page: atomic_inc(page_folio(pte.frame).refcount)",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody else drops a reference on the page while it is copied",
    ),
    Excuse(
        """replace_page: atomic_inc(kpage.*
        wp_page_copy: atomic_inc(copy.*""",
        "*",
        Kind.NOT_AT_STAKE,
        COPY,
    ),
    Excuse("remove_migration_pte: atomic_inc(dst.*", f"{NUMA} {MOVES}", Kind.NOT_AT_STAKE, COPY),
    # ---- counts
    Excuse(
        """try_to_migrate_one: folio_remove_rmap_pte()
        migrate_vma_collect_pmd: folio_remove_rmap_pte()
        replace_page: folio_remove_rmap_pte()
        wp_page_copy: folio_remove_rmap_pte()""",
        "* !MREMAP-RMAP-ORDER.fixed",
        Kind.COST,
        COUNT,
    ),
    Excuse(
        "try_to_migrate_one: folio_remove_rmap_pte()",
        "MREMAP-RMAP-ORDER.fixed",
        Kind.GOAL,
        "a folio that seems to be mapped is not migrated",
    ),
    Excuse("tlb_flush_rmaps: folio_remove_rmap_pte()", "X3.mremap.dirty", Kind.COST, COUNT),
    Excuse(
        "zap_pte_range: folio_remove_rmap_pte()",
        "X3.mremap X3.mremap.one X3.mremap-between.truncate MREMAP-PTL.fixed "
        "MIGRATE-DEVICE-PTL.fixed",
        Kind.COST,
        COUNT,
    ),
    # ---- never executed
    Excuse(
        """zap_pte_range: folio_remove_rmap_pte()
        tlb_flush_mmu_tlbonly: flush_tlb_mm_range()""",
        MOVES,
        Kind.UNREACHED,
        "mremap() zaps its old range, where nothing is left",
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        MKCLEAN,
        Kind.UNREACHED,
        "mremap() zaps its old range, which is empty by then: nothing is gathered",
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "X3.mremap X3.mremap.one X3.mremap-between.truncate MREMAP-PTL.fixed "
        "MIGRATE-DEVICE-PTL.fixed " + MKCLEAN,
        Kind.UNREACHED,
        "no dirty file page is zapped, so no mapcount waits for the flush",
    ),
    Excuse(
        "zap_pte_range: folio_remove_rmap_pte()",
        "X3.mremap.dirty " + MKCLEAN,
        Kind.UNREACHED,
        "the page is dirty, so its mapcount waits for the flush; or nothing is zapped",
    ),
)
