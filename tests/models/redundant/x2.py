"""System X2: walkers of page tables against freeing the tables, and historic races about both."""

from __future__ import annotations

from models.excuses import Excuse, Kind

NOBODY = "no other page fault or zapper is about"

X2 = (
    Excuse(
        "gup_fast: local_irq_save()",
        "KHUGEPAGED-GUP.fixed",
        Kind.NOT_NEEDED,
        "the table is kept, and no interrupt is waited for: the second look at PMD and PTE is all "
        "that it takes",
    ),
    Excuse(
        "collapse_huge_page: lock mm.pmd_lock #1",
        "*",
        Kind.TWICE,
        "it keeps page faults away, and the mmap lock has done that; 'probably unnecessary', says "
        "the kernel's own comment",
    ),
    Excuse(
        """collapse_huge_page: lock mm.pmd_lock #2
        collapse_huge_page: lock mm.pmd_lock #3""",
        "*",
        Kind.TWICE,
        "it keeps page faults away, and the mmap lock has done that",
    ),
    Excuse(
        """collapse_huge_page: lock table.ptl
        copy_and_drop: lock table.ptl""",
        "*",
        Kind.TWICE,
        "rmap walks and page faults are kept away by the anon_vma's and the mmap lock",
    ),
    Excuse(
        "munmap: lock table.ptl",
        "*",
        Kind.TWICE,
        "it keeps other zappers and page faults away, and the mmap lock has done that; gup-fast "
        "takes no lock",
    ),
    Excuse(
        "unmap_hugepage_range: lock table.ptl",
        "*",
        Kind.TWICE,
        "i_mmap_rwsem keeps the other user of the table away; no page fault is about",
    ),
    Excuse(
        "gup_fast: local_irq_save()",
        "GUP-COW-FORK.fixed",
        Kind.NOT_AT_STAKE,
        "no table goes away",
    ),
    Excuse(
        "copy_page_range: flush_tlb_mm_range()",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody writes through an old entry (INV-ONE, system X3)",
    ),
    Excuse(
        "do_wp_page: flush_tlb_mm_range()",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody writes through an old entry, and the page is not freed",
    ),
    Excuse(
        "call_walkers: wait_for_acks()",
        "GUP-COW-FORK.fixed",
        Kind.NOT_AT_STAKE,
        "the flushes that it belongs to are not needed either",
    ),
    Excuse(
        "tlb_remove_table_one: tlb_remove_table_sync_one()",
        "TABLE-FREE-SLOWPATH.fixed",
        Kind.NOT_AT_STAKE,
        "no software walks",
    ),
    Excuse(
        "zap_pte_table_if_empty: lock mm.pmd_lock",
        "X2.V5.full",
        Kind.NOT_AT_STAKE,
        "the only one who puts a table there finds the old one until it has gone; it takes a "
        "second page fault or zapper to need it",
    ),
    Excuse(
        "zap_empty_pte_table: lock mm.pmd_lock",
        "X2.V5 X2.V5.ipi X2.V5.one",
        Kind.NOT_AT_STAKE,
        "the only one who puts a table there finds the old one until it has gone; it takes a "
        "second page fault or zapper to need it",
    ),
    Excuse(
        "pte_alloc: lock mm.pmd_lock",
        "*",
        Kind.NOT_AT_STAKE,
        "one page fault: nobody else puts a table there (two would lose a page)",
    ),
    Excuse(
        """copy_present_pte: lock table.ptl
        do_wp_page: lock table.ptl
        remap: lock table.ptl
        retract_page_tables: lock mm.pmd_lock""",
        "*",
        Kind.NOT_AT_STAKE,
        NOBODY,
    ),
    Excuse(
        "copy_present_pte: atomic_inc(folio.refcount)",
        "*",
        Kind.NOT_AT_STAKE,
        "what becomes of the child's page is not looked at",
    ),
    Excuse(
        "gup_put_folio: atomic_dec(folio.pincount)",
        "*",
        Kind.COST,
        "a pin that is never given back makes a fork copy without need",
    ),
    Excuse(
        "huge_pmd_unshare: atomic_dec(table.pt_share_count)",
        "* !HUGETLB-SPLIT-SHARE.fixed",
        Kind.GOAL,
        "nobody takes the table for its own then, and it leaks",
    ),
    Excuse(
        """zap_pte_table_if_empty: lock mm.pmd_lock
        zap_pte_table_if_empty: lock table.ptl""",
        "X2.V5 X2.V5.ipi X2.V5.one",
        Kind.UNREACHED,
        "nobody has the lock that is tried before (X2.V5.full)",
    ),
    Excuse(
        "move_normal_pmd: lock mm.pmd_lock",
        "MREMAP-PMD.fixed",
        Kind.TWICE,
        "it keeps page faults and khugepaged away: the mmap lock and i_mmap_rwsem have done that",
    ),
    Excuse(
        "move_normal_pmd: flush_tlb_mm_range()",
        "MREMAP-PMD.fixed",
        Kind.NOT_AT_STAKE,
        "it is for who uses the old address: nobody does, and the table is empty",
    ),
    Excuse(
        "ept_set_entry: lock p2m.pmd_lock",
        "XSA-480.fixed",
        Kind.NOT_AT_STAKE,
        "nobody else changes the EPT; that the flush was put off until the unlock is the point",
    ),
    Excuse(
        "move_pmd: flush_tlb_range()",
        "MREMAP-PMD-RMAP.fixed",
        Kind.NOT_AT_STAKE,
        "nobody uses the old address",
    ),
    Excuse(
        """move_pmd: lock mm.pmd_lock
        unmap_at_old_place: lock table.ptl""",
        "MREMAP-PMD-RMAP.fixed",
        Kind.TWICE,
        "the rmap locks keep the two apart",
    ),
    Excuse(
        """split_vma: lock VMA.lock.write()
        hugetlb_fault: lock VMA.lock.read()
        split_vma: lock TREE.i_mmap_rwsem.write()
        hugetlb_fault: lock TREE.i_mmap_rwsem.read()""",
        "HUGETLB-SPLIT-SHARE.fixed",
        Kind.TWICE,
        "the VMA lock and the rmap lock each keep the fault out; the first is for faults, the "
        "second for walks of other processes",
    ),
    Excuse(
        "split_vma: lock TREE.mmap_lock.write()",
        "HUGETLB-SPLIT-SHARE.fixed",
        Kind.NOT_AT_STAKE,
        "the fault has the VMA lock, not the mmap lock",
    ),
    Excuse(
        """huge_pmd_unshare: flush_tlb_mm_range()
        call_walkers: wait_for_acks()
        huge_pmd_unshare: atomic_dec(table.pt_share_count)""",
        "HUGETLB-SPLIT-SHARE.fixed",
        Kind.NOT_AT_STAKE,
        "nobody uses a page, or frees the table (HUGETLB-UNSHARE)",
    ),
    Excuse(
        "hugetlb_fault: atomic_inc(PageTable(0).pt_share_count)",
        "HUGETLB-SPLIT-SHARE.fixed",
        Kind.UNREACHED,
        "a fault finds the table, or the VMA split",
    ),
    Excuse(
        """range_start: atomic_inc(KVM.active)
        range_start: atomic_inc(KVM.mmu_invalidate_in_progress)""",
        "KVM-GPC.fixed",
        Kind.REFUSED,
        "the count falls below zero",
    ),
    Excuse(
        """range_start: lock KVM.mmu_lock
        range_end: lock KVM.mmu_lock""",
        "KVM-GPC.fixed",
        Kind.NOT_AT_STAKE,
        "it is for page faults of the guest (N.range); the cache does not take it any more",
    ),
    Excuse(
        """range_end: atomic_dec(KVM.mmu_invalidate_in_progress)
        range_end: atomic_dec(KVM.active)""",
        "KVM-GPC.fixed",
        Kind.COST,
        "the cache is refreshed in vain for ever",
    ),
    Excuse(
        """dontneed: lock MM.ptl
        refresh: lock MM.ptl""",
        "KVM-GPC.fixed",
        Kind.NOT_AT_STAKE,
        "one look at the PTE, and a reference that is left out",
    ),
)
