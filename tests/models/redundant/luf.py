"""System S2b: LUF, which puts the flush off until the frame is allocated again."""

from __future__ import annotations

from models.excuses import Excuse, Kind

MUNMAP = "LUF.V10.munmap LUF.V11.munmap LUF.V11.munmap-V3 LUF.V11.no-table LUF.V11.no-table-V3 "
FAULT = "LUF.V10.fault LUF.V11.fault LUF.V11.ptl "
SWAP = "LUF.V11.swap LUF.V11.swap-ptl "
PROTECT = "LUF.wpdefer.clean LUF.wpdefer.settled LUF.wpdefer.settled-free "
LAZY = "LUF.lazymask.v6.13 LUF.lazymask.loaded "

ALONE = "nobody else takes it"
LEAVES = "CPU1, the only one that matters, loses the page by leaving its process"
NOT_COUNTED = "nobody looks at reference and map counts"
COUNT = "a mapcount that stays too high makes rmap walks look in vain, no more"
DEFERS = "nobody flushes at once: reclaim always defers"
THREE = "V1, tlb_end_vma() and the end of truncation each flush, and each is enough"
NO_LOSS = "what the one who write-protects loses is not looked at"

LUF = (
    Excuse(
        "tlb_flush_end: smp_mb()",
        "LUF.V11 LUF.V11.munmap",
        Kind.NOT_NEEDED,
        "the acknowledgement of the flush orders, and so does the exchange that marks a CPU; also "
        "with store buffers (memory=tso)",
    ),
    Excuse(
        "finish_task_switch: luf_flush_mm()",
        "LUF.diet.copy",
        Kind.NOT_NEEDED,
        "nothing is owed in the borrowed mm once the debt is copied: that is the point",
    ),
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "LUF.V11.munmap LUF.V11.no-table-V3",
        Kind.TWICE,
        "tlb_end_vma() flushes all that LUF owes, so V1 has nothing left to do; where there is no "
        "V3 it is needed",
    ),
    Excuse(
        "tlb_end_vma: luf_flush_mm()",
        "LUF.V11.munmap",
        Kind.TWICE,
        "V1 has flushed before: either of the two is enough for munmap()",
    ),
    Excuse(
        "free_empty_table: lock mm.i_mmap_rwsem.read()",
        "LUF.V11.no-table-V3",
        Kind.TWICE,
        "tlb_end_vma() flushes whoever frees the table, and whenever; without it this lock is what "
        "makes munmap() wait for the flush",
    ),
    Excuse(
        """set_tlb_ubc_flush_pending: mark_tlb_flush_batched()
        tlb_end_vma: luf_flush_mm()""",
        "LUF.V11.punch LUF.noV4.punch",
        Kind.TWICE,
        THREE,
    ),
    Excuse(
        "truncate_inode_pages_range: luf_flush_mapping()",
        "LUF.V11.punch",
        Kind.TWICE,
        THREE,
    ),
    # ---- not at stake
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "LUF.V11 LUF.initfree.refuse LUF.keyalias.fold LUF.noV2.copy LUF.V11.write LUF.wpdefer.* "
        "LUF.arm64.dsb LUF.diet.copy LUF.wrap.* " + FAULT + SWAP + LAZY,
        Kind.NOT_AT_STAKE,
        "nobody decides from an empty PTE (V1); the other give-up points do not look at the count",
    ),
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "LUF.V11.munmap-V3 LUF.noV1.punch",
        Kind.NOT_AT_STAKE,
        "V1 is left out in this scenario, and nobody else looks at the count",
    ),
    Excuse(
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        PROTECT,
        Kind.NOT_AT_STAKE,
        "the PTE is found empty after LUF has taken the folio: what the one who write-protects "
        "owes to others is not looked at",
    ),
    Excuse(
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        LAZY,
        Kind.NOT_AT_STAKE,
        "what is at stake is the page of the other process, which CPU1 cannot use while it runs "
        "this one, flushed or not",
    ),
    Excuse(
        """flush_tlb_multi: wait_for_acks()
        catch_up: flush_tlb_one_user()""",
        "LUF.lazymask.loaded",
        Kind.NOT_AT_STAKE,
        LEAVES,
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        "LUF.wpdefer.clean",
        Kind.NOT_AT_STAKE,
        "the PTE stays dirty, so LUF leaves it alone whether the one who write-protects flushes or "
        "not",
    ),
    Excuse(
        "dup_mmap: flush_tlb_mm_range()",
        "LUF.wpdefer.both",
        Kind.NOT_AT_STAKE,
        "the PTE stays dirty, so LUF leaves it alone whether fork() flushes or not; copy on write "
        "is not looked at",
    ),
    Excuse(
        "free_empty_table: lock pte_lockptr(mm, pages[0])",
        "LUF.V11.no-table",
        Kind.NOT_AT_STAKE,
        "the PTE is empty for good by then: reclaim does not put it back, and nobody faults",
    ),
    Excuse(
        "free_pgtables: lock mm.i_mmap_rwsem.write()",
        "LUF.V10.munmap LUF.V11.munmap LUF.V11.munmap-V3 LUF.V11.no-table-V3",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        "shrink_folio: lock folio.lock",
        "* !*.punch",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        """migrate_pages: lock src.lock
        unmap_mapping_range: lock mm.i_mmap_rwsem.read()
        munmap: lock mm.mmap_lock.write()
        mwriteprotect_range: lock mm.mmap_lock.read()
        do_wp_page: lock mm.mmap_lock.read()""",
        "*",
        Kind.NOT_AT_STAKE,
        ALONE,
    ),
    Excuse(
        "generic_perform_write: lock found.lock",
        "*",
        Kind.NOT_AT_STAKE,
        "it keeps reclaim from throwing away what is written, which is not looked at",
    ),
    Excuse(
        "generic_perform_write: lock new.lock",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody reclaims the new page",
    ),
    Excuse(
        "try_to_unmap_one: lock pte_lockptr(mm, page)",
        "LUF.V11 LUF.initfree.refuse LUF.keyalias.fold LUF.V11.write LUF.arm64.dsb LUF.diet.copy "
        "LUF.wrap.* " + LAZY,
        Kind.NOT_AT_STAKE,
        "nobody else touches the PTE",
    ),
    Excuse(
        "zap_pte_range: lock pte_lockptr(mm, pages[0])",
        LAZY,
        Kind.NOT_AT_STAKE,
        "nobody else touches that process's PTEs",
    ),
    Excuse(
        """do_wp_page: lock pte_lockptr(mm, page)
        wp_page_copy: lock pte_lockptr(mm, page)""",
        "LUF.noV2.copy",
        Kind.NOT_AT_STAKE,
        "nobody else changes the PTE once the page has moved",
    ),
    Excuse(
        "remove_migration_pte: lock pte_lockptr(mm, page)",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody else changes a migration entry",
    ),
    Excuse(
        "try_to_migrate_one: lock pte_lockptr(mm, page)",
        "LUF.noV2.copy " + PROTECT,
        Kind.NOT_AT_STAKE,
        NO_LOSS + "; what LUF decides from is the PTE that it has taken out",
    ),
    Excuse(
        """change_pte_range: lock pte_lockptr(mm, pages[0])
        madvise_free_pte_range: lock pte_lockptr(mm, pages[0])""",
        PROTECT,
        Kind.NOT_AT_STAKE,
        NO_LOSS,
    ),
    Excuse(
        "remove_migration_pte: atomic_inc(dst.*",
        FAULT + "LUF.wpdefer.*",
        Kind.NOT_AT_STAKE,
        NOT_COUNTED,
    ),
    Excuse("wp_page_copy: atomic_inc(copy.*", "*", Kind.NOT_AT_STAKE, NOT_COUNTED),
    # ---- costs, artefacts
    Excuse(
        """try_to_migrate_one: folio_remove_rmap_pte()
        wp_page_copy: folio_remove_rmap_pte()""",
        "*",
        Kind.COST,
        COUNT,
    ),
    Excuse("zap_pte_range: folio_remove_rmap_pte()", MUNMAP + "*.punch", Kind.COST, COUNT),
    Excuse(
        "tlb_finish_mmu: atomic_dec(mm.tlb_flush_pending)",
        "*",
        Kind.COST,
        "a count that stays too high makes others flush too often",
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "*",
        Kind.GOAL,
        "a folio whose count stays too high is never freed",
    ),
    Excuse(
        "rmqueue: lock zone.lock",
        "LUF.initfree.refuse LUF.V11.noirq " + LAZY,
        Kind.MODEL,
        "it keeps two takers from one page, which is looked at and taken in one step here",
    ),
    Excuse(
        "rmqueue: lock zone.lock",
        "LUF.V11 LUF.keyalias.fold LUF.arm64.dsb LUF.diet.copy LUF.wrap.*",
        Kind.GOAL,
        "the free list is looked at in the step that takes the lock: without it, before anything "
        "has been freed",
    ),
    # ---- never executed, or no program
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        "LUF.V1* LUF.initfree.refuse LUF.keyalias.fold LUF.wpdefer.* LUF.arm64.dsb LUF.diet.copy "
        "LUF.lazymask.loaded LUF.wrap.* LUF.noV*.punch",
        Kind.UNREACHED,
        "reclaim and migration flush at once only if no other CPU runs the process",
    ),
    Excuse(
        "try_to_unmap_flush: arch_tlbbatch_flush()",
        "LUF.V11 LUF.keyalias.fold LUF.V1*.munmap LUF.V11.no-table LUF.noV2.copy "
        "LUF.V11.punch LUF.noV4.punch LUF.wrap.* " + LAZY,
        Kind.UNREACHED,
        "every folio is unmapped by LUF, so nothing is left to flush before it is freed",
    ),
    Excuse(
        "flush_undone: flush_takeoff()",
        "LUF.initfree.refuse LUF.diet.copy",
        Kind.UNREACHED,
        "LUF is not applied to the page, which was flushed before it was freed",
    ),
    Excuse(
        "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()",
        LAZY,
        Kind.UNREACHED,
        "MADV_DONTNEED finds nothing to gather",
    ),
    Excuse("call_many: wait_for_acks()", LAZY, Kind.UNREACHED, "reclaim has nothing to flush"),
    Excuse("catch_up: flush_tlb_local()", LAZY, Kind.UNREACHED, "one request, for one page"),
    Excuse(
        """flush_tlb_mm_range: flush_tlb_range()
        flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        "LUF.arm64.dsb",
        Kind.UNREACHED,
        DEFERS,
    ),
    Excuse(
        "zap_pte_range: folio_remove_rmap_pte()",
        LAZY,
        Kind.UNREACHED,
        "MADV_DONTNEED finds nothing to zap",
    ),
    Excuse(
        "tlb_flush_rmaps: folio_remove_rmap_pte()",
        "*",
        Kind.UNREACHED,
        "no dirty file page is zapped, so no mapcount waits for the flush",
    ),
    Excuse(
        "tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)",
        "*",
        Kind.REFUSED,
        "the count falls below zero at the end; no second gather is open, which would read it",
    ),
)
