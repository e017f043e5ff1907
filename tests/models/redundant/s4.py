"""System S4: devices that use a process's page table, and historic races of huge pages."""

from __future__ import annotations

from models.excuses import Excuse, Kind

RECLAIM_ONLY = "N.a N.b N.c N.ac N.conly_end N.arch N.a.alone N.arch.alone "
"""One thread of the kernel, which reclaims; a device takes no lock."""
GUEST = "N.range N.range.dontneed N.range.protect "
USERFAULTFD = "N.a.protect N.arch.protect N.conly_end.merge N.arch.merge "

NO_CPU = "the property is about devices, and no CPU uses the page too late"
ALONE = "nobody else takes the lock"
MMAP_LOCK = "nobody takes the mmap lock in the other mode"
PTL = (
    "each change is one exchange of the PTE, and who finds it changed begins again; what the PTL "
    "keeps apart is not what INV-S4-2 and INV-S4-3 rest on"
)
COUNT = "a count that stays too high keeps the page, or makes rmap walks look in vain, no more"
COPIES = "nobody unmaps the new page, so nobody drops the count"

S4 = (
    Excuse(
        "kvm_mmu_notifier_invalidate_range_end: lock kvm.mmu_lock",
        GUEST,
        Kind.NOT_NEEDED,
        "a guest's page fault sees the count that is still up or the new sequence, which is "
        "incremented first; in the kernel the lock also keeps two ends from losing an increment",
    ),
    Excuse(
        "kvm_faultin_pfn: lock pte_lockptr(mm, page)",
        GUEST,
        Kind.NOT_NEEDED,
        "a page that is taken without the PTL is let go again, since an invalidation is under way "
        "or has ended; what must not be done is to map it",
    ),
    Excuse(
        "try_to_unmap_one: lock pte_lockptr(mm, page)",
        "N.range",
        Kind.NOT_NEEDED,
        "KVM reads the PTE in one access, and takes a reference before it looks whether an "
        "invalidation is under way",
    ),
    Excuse(
        "change_pte_range: lock pte_lockptr(mm, pages[0])",
        "N.range.protect",
        Kind.NOT_NEEDED,
        "one thread changes the PTE; KVM reads it in one access, and then looks whether an "
        "invalidation is under way",
    ),
    Excuse(
        "change_huge_pmd: flush_tlb_mm_range()",
        "THP-DONTNEED-NUMA.fixed",
        Kind.NOT_NEEDED,
        "without it a hint for NUMA balancing comes late; MADV_DONTNEED flushes for itself",
    ),
    Excuse(
        "mmu_notifier_invalidate_range_end: mmu_notifier_invalidate_range()",
        "N.ac N.ac.copy N.conly_end.full",
        Kind.TWICE,
        "devices were told before: the double call of Andrea Arcangeli's mail (N.ac.twice)",
    ),
    Excuse(
        "notify_before_unlock: mmu_notifier_invalidate_range()",
        "N.ac",
        Kind.TWICE,
        "devices are told again in range_end, and somebody has a reference until then; a copy "
        "(N.ac.copy) needs it",
    ),
    Excuse(
        "notify_gather: mmu_notifier_invalidate_range()",
        "N.conly_end.dontneed N.conly_end.merge",
        Kind.TWICE,
        "range_end tells devices; a full gather frees before it, and needs it (N.conly_end.full)",
    ),
    Excuse(
        "notify_gather: mmu_notifier_invalidate_range()",
        "N.conly_end.mprotect N.conly_end.numa",
        Kind.TWICE,
        "range_end tells devices, before the mmap lock is dropped, or before migration copies",
    ),
    Excuse(
        "mmu_notifier_invalidate_range_end: mmu_notifier_invalidate_range()",
        "N.conly_end.mprotect",
        Kind.TWICE,
        "the gather tells devices, before the mmap lock is dropped (N.conly_end.twice); "
        "N.conly_end.softdirty has no gather",
    ),
    Excuse(
        "notify_before_unlock: mmu_notifier_invalidate_range()",
        "N.conly_end.mprotect N.conly_end.softdirty",
        Kind.TWICE,
        "it tells of the copy, and devices were told of the protection: nobody writes to the old "
        "page any more",
    ),
    Excuse(
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        "*.numa",
        Kind.TWICE,
        "migration flushes, and tells devices, before it copies, whoever else does",
    ),
    Excuse(
        """change_pte_range: lock pte_lockptr(mm, pages[0])
        clear_soft_dirty: lock pte_lockptr(mm, page)""",
        "*.mprotect *.softdirty",
        Kind.TWICE,
        "the mmap lock keeps the page fault out",
    ),
    # ---- CPUs
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        "N.a N.b N.c N.ac N.conly_end N.a.alone N.a.protect N.arch.protect N.conly_end.merge "
        "N.a.copy N.ac.copy *.mprotect *.softdirty NOTIFIER-COW.fixed KHUGEPAGED-NOTIFIER.fixed",
        Kind.NOT_AT_STAKE,
        NO_CPU,
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        "N.c.reclaim-mprotect N.a.protect N.conly_end.merge N.arch.merge N.conly_end.mprotect "
        "N.range.protect",
        Kind.NOT_AT_STAKE,
        NO_CPU,
    ),
    Excuse(
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        "N.a.reclaim N.c.reclaim N.c.reclaim-mprotect N.arch.reclaim N.arch.reclaim-mprotect",
        Kind.NOT_AT_STAKE,
        NO_CPU + "; devices were told when the batch was queued, or are told by who asks",
    ),
    Excuse("do_wp_page: flush_tlb_mm_range()", "N.a.protect", Kind.NOT_AT_STAKE, NO_CPU),
    Excuse(
        "clear_refs_walk: flush_tlb_mm_range()",
        "N.conly_end.softdirty",
        Kind.NOT_AT_STAKE,
        NO_CPU,
    ),
    Excuse(
        "call_many: wait_for_acks()",
        USERFAULTFD + "N.a.copy N.ac.copy N.arch.copy *.mprotect *.softdirty NOTIFIER-COW.fixed "
        "N.range.protect",
        Kind.NOT_AT_STAKE,
        NO_CPU,
    ),
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "N.arch.batch *.reclaim *.reclaim-mprotect *.migrate *.numa N.range",
        Kind.NOT_AT_STAKE,
        NO_CPU + "; the count of batches is there for them",
    ),
    # ---- locks
    Excuse(
        """shrink_folio: lock folio.lock
        try_to_unmap_one: lock pte_lockptr(mm, page)""",
        RECLAIM_ONLY + "N.arch.batch",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        "shrink_folio: lock folio.lock",
        "*.reclaim *.reclaim-mprotect N.range",
        Kind.NOT_AT_STAKE,
        "nobody else takes the folio lock: MADV_DONTNEED, mprotect() and KVM go by the PTL",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        "N.conly_end.full N.arch.full N.arch.once",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        """kvm_mmu_notifier_invalidate_range_start: lock kvm.mmu_lock
        kvm_mmu_notifier_invalidate_range_end: lock kvm.mmu_lock
        collapse_and_reclaim: lock folio.lock
        collapse_pte_mapped_thp: lock mm.ptl
        intel_gt_invalidate_tlbs: lock obj.tlb_invalidate_lock
        unmap_hugepage_range_2006: lock mm.ptl""",
        "KHUGEPAGED-NOTIFIER.fixed I915-BACKING.fixed HUGETLB-FREE-FIRST.fixed",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        """migrate_pages: lock src.lock
        try_to_merge_one_page: lock folio.lock""",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody else takes the folio lock",
    ),
    Excuse(
        """mwriteprotect_range: lock mm.mmap_lock.read()
        try_to_merge_one_page: lock mm.mmap_lock.read()
        change_prot_numa: lock mm.mmap_lock.read()""",
        "*",
        Kind.NOT_AT_STAKE,
        MMAP_LOCK,
    ),
    Excuse(
        """mprotect: lock mm.mmap_lock.write()
        do_wp_page: lock mm.mmap_lock.read()""",
        "* !*.mprotect !*.softdirty",
        Kind.NOT_AT_STAKE,
        MMAP_LOCK,
    ),
    Excuse(
        "change_pte_range: lock pte_lockptr(mm, pages[0])",
        USERFAULTFD,
        Kind.NOT_AT_STAKE,
        PTL,
    ),
    Excuse(
        """do_wp_page: lock pte_lockptr(mm, page)
        wp_page_copy: lock pte_lockptr(mm, page)
        write_protect_page: lock pte_lockptr(mm, page)
        replace_page: lock pte_lockptr(mm, page)
        try_to_migrate_one: lock pte_lockptr(mm, page)
        remove_migration_pte: lock pte_lockptr(mm, page)""",
        "* !*.numa",
        Kind.NOT_AT_STAKE,
        PTL,
    ),
    Excuse(
        "remove_migration_pte: lock pte_lockptr(mm, page)",
        "*.numa",
        Kind.NOT_AT_STAKE,
        "NUMA balancing passes over a migration entry, so only one of the two changes the PTE",
    ),
    Excuse(
        "wp_page_reuse: lock pte_lockptr(mm, page)",
        "*",
        Kind.NOT_AT_STAKE,
        "both page faults, the thread's and the device's, set the same PTE",
    ),
    # ---- counts
    Excuse(
        "kvm_mmu_notifier_invalidate_range_end: atomic_dec(kvm.mmu_invalidate_in_progress)",
        "N.range N.range.dontneed KHUGEPAGED-NOTIFIER.fixed",
        Kind.NOT_AT_STAKE,
        "the guest's page faults start again until the page is gone, which it is in the end; where "
        "it stays they would for ever (N.range.protect, INV-S4-5)",
    ),
    Excuse(
        "kvm_mmu_notifier_invalidate_range_end: atomic_inc(kvm.mmu_invalidate_seq)",
        "KHUGEPAGED-NOTIFIER.fixed",
        Kind.NOT_AT_STAKE,
        "the guest does not fault",
    ),
    Excuse(
        "do_wp_page: atomic_inc(page_folio(pte.frame).refcount)",
        "*",
        Kind.NOT_AT_STAKE,
        "others have references to the page while it is copied",
    ),
    Excuse(
        """finish_fault: atomic_inc(*
        wp_page_copy: atomic_inc(copy.*
        replace_page: atomic_inc(kpage.*
        remove_migration_pte: atomic_inc(dst.*""",
        "*",
        Kind.NOT_AT_STAKE,
        COPIES,
    ),
    Excuse(
        """wp_page_copy: folio_remove_rmap_pte()
        replace_page: folio_remove_rmap_pte()
        try_to_migrate_one: folio_remove_rmap_pte()
        collapse_pte_mapped_thp: folio_remove_rmap_pte()
        zap_pte_range: folio_remove_rmap_pte()
        zap_huge_pmd: folio_remove_rmap_pte()""",
        "*",
        Kind.COST,
        COUNT,
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "N.a.alone N.arch.alone *.reclaim",
        Kind.COST,
        COUNT,
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "N.a N.b N.c N.ac N.conly_end N.arch N.arch.batch *.reclaim-mprotect N.range",
        Kind.GOAL,
        "a page whose count stays too high is never freed",
    ),
    Excuse(
        """tlb_finish_mmu: atomic_dec(mm.tlb_flush_pending)
        clear_refs_walk: atomic_dec(mm.tlb_flush_pending)""",
        "*",
        Kind.COST,
        "a count that stays too high makes others flush more; INV-S0-6, which is about the count "
        "itself, is not looked at",
    ),
    # ---- never executed, or no program
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        "N.arch.batch *.reclaim *.reclaim-mprotect *.migrate *.numa N.range",
        Kind.UNREACHED,
        "the path without a batch: reached only if no other CPU runs the process",
    ),
    Excuse(
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        "N.range.dontneed N.range.protect",
        Kind.UNREACHED,
        "nobody reclaims",
    ),
    Excuse(
        """set_tlb_ubc_flush_pending: mark_tlb_flush_batched()
        try_to_unmap_flush: arch_tlbbatch_flush()""",
        RECLAIM_ONLY,
        Kind.UNREACHED,
        "no other CPU runs the process, so the flush is not put off",
    ),
    Excuse(
        "call_many: wait_for_acks()",
        RECLAIM_ONLY + "N.conly_end.full N.arch.full N.arch.once N.arch.upgrade "
        "KHUGEPAGED-NOTIFIER.fixed",
        Kind.UNREACHED,
        "no other CPU runs the process, so nobody is interrupted",
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*",
        Kind.UNREACHED,
        "no dirty file page is zapped, so no mapcount waits for the flush",
    ),
    Excuse(
        """tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)
        clear_refs_walk: atomic_inc(mm.tlb_flush_pending)""",
        "*",
        Kind.REFUSED,
        "the count falls below zero at the end; N.arch.unasked shows what becomes of who does not "
        "ask for it",
    ),
    Excuse(
        "kvm_mmu_notifier_invalidate_range_start: atomic_inc(kvm.mmu_invalidate_in_progress)",
        "*",
        Kind.REFUSED,
        "the count falls below zero at the end; N.range.sequence shows what becomes of a page "
        "fault that does not look at it",
    ),
    Excuse(
        "mmu_notifier_invalidate_range_start: kvm_mmu_notifier_invalidate_range_start()",
        "*",
        Kind.REFUSED,
        "the count falls below zero at the end; KHUGEPAGED-NOTIFIER shows what becomes of who is "
        "told neither start nor end",
    ),
    Excuse(
        "kvm_faultin_pfn: atomic_inc(page_folio(pte.frame).refcount)",
        "N.range",
        Kind.REFUSED,
        "the reference that is dropped afterwards is somebody else's, and the count falls below "
        "zero; N.range.dontneed shows what it leads to",
    ),
)
