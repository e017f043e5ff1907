"""The flushes, locks and counters of LUF's safe variants that can be left out, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

NOT_COUNTED = (("*",), "nobody looks at reference and map counts here (S0 and X3 do)")
ALONE = "nobody else takes it here (S0, S2a and X3 have those who do)"
X1 = "memory is sequentially consistent, and these are for store buffers (system X1)"
LEAVES = "CPU1, the only one that matters, loses the page by leaving its process"
SAVED = "nothing is owed any more: that is the point"
THREE = "V1, tlb_end_vma() and the end of truncation each flush, and each is enough"
MIGRATE = ("LUF.noV2.copy", "LUF.V*.fault", "LUF.V11.ptl", "LUF.wpdefer.*")

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "tlb_flush_end: smp_mb()": (
        (
            ("*",),
            "the acknowledgement of the flush orders, and so does the exchange that marks a CPU; "
            "also with memory=tso",
        ),
    ),
    "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()": (
        (
            ("LUF.V11.munmap", "LUF.V11.munmap-V3", "LUF.V11.no-table-V3"),
            "tlb_end_vma() flushes all that LUF owes, so V1 has nothing left to do: it is needed "
            "where there is no V3 (LUF.V10.munmap, LUF.V11.no-table)",
        ),
        (("LUF.V11.punch", "LUF.noV4.punch"), THREE),
        (("LUF.noV1.punch",), "V1 is left out, and nobody else looks at the count"),
        (
            (
                *("LUF.V11", "LUF.initfree.refuse", "LUF.keyalias.fold", "LUF.noV2.copy"),
                *("LUF.V*.fault", "LUF.V11.ptl", "LUF.V11.swap*", "LUF.V11.write", "LUF.wrap.*"),
                "LUF.V11.reclaim",
                *("LUF.wpdefer.*", "LUF.arm64.dsb", "LUF.diet.copy", "LUF.lazymask.*"),
            ),
            "nobody decides from an empty PTE here (V1); LUF's other give-up points do not look at "
            "the count",
        ),
    ),
    "tlb_end_vma: luf_flush_mm()": (
        (
            ("LUF.V11.munmap",),
            "V1 has flushed before: either of the two is enough for munmap() (LUF.V11.munmap-V3)",
        ),
        (("LUF.V11.punch", "LUF.noV4.punch"), THREE),
    ),
    "truncate_inode_pages_range: luf_flush_mapping()": ((("LUF.V11.punch",), THREE),),
    "unmap_mapping_range: lock mm.i_mmap_rwsem.read()": ((("LUF.*.punch",), ALONE),),
    "try_to_unmap_flush: arch_tlbbatch_flush()": (
        (
            (
                *("LUF.V11", "LUF.keyalias.fold", "LUF.V1?.munmap", "LUF.V11.no-table"),
                *("LUF.noV2.copy", "LUF.lazymask.*", "LUF.wrap.*", "LUF.V11.reclaim"),
            ),
            "every folio is unmapped by LUF here, so nothing is left to flush before it is freed",
        ),
        (("LUF.V11.punch", "LUF.noV4.punch"), "V1 flushes without it, and is enough"),
    ),
    "luf_takeoff_end: flush_takeoff()": (
        (
            ("LUF.initfree.refuse", "LUF.diet.copy"),
            "LUF is not applied to the page, which was flushed before it was freed",
        ),
        (("LUF.V11.saved",), SAVED),
    ),
    "rmqueue: lock zone.lock": (
        (
            ("*",),
            "it keeps two takers from one page, which is looked at and taken in one step here",
        ),
    ),
    "generic_perform_write: lock found.lock": (
        (
            ("LUF.V11.write",),
            "it keeps reclaim from throwing the page away with what is written, which is not "
            "looked at here",
        ),
    ),
    "generic_perform_write: lock new.lock": (
        (("LUF.V11.write",), "nobody reclaims the new page here"),
    ),
    "flush_tlb_batched_pending: flush_tlb_mm_range()": (
        (
            ("LUF.wpdefer.*",),
            "the PTE is found empty after LUF has taken the folio: what the write protector owes "
            "to others is not looked at here",
        ),
        (
            ("LUF.lazymask.*",),
            "what is at stake is the page of the other process, which CPU1 cannot use while it "
            "runs this one, flushed or not (LUF.V10.munmap needs the flush)",
        ),
    ),
    "call_many: wait_for_acks()": (
        (("LUF.lazymask.*",), "reclaim has nothing to flush here"),
        (("LUF.V11.saved",), SAVED),
    ),
    "flush_tlb_multi: wait_for_acks()": ((("LUF.lazymask.loaded",), LEAVES),),
    "catch_up: flush_tlb_one_user()": ((("LUF.lazymask.*",), LEAVES),),
    "catch_up: flush_tlb_local()": ((("LUF.lazymask.*",), LEAVES),),
    "should_flush_tlb: smp_rmb()": ((("LUF.lazymask.*",), X1),),
    "keep_mm: smp_mb()": ((("LUF.lazymask.*",), X1),),
    "join_mask: smp_mb()": ((("LUF.lazymask.*",), X1),),
    "zap_pte_range: lock pte_lockptr(mm, pages[0])": (
        (("LUF.lazymask.*",), "nobody else touches that process's PTEs here"),
    ),
    "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()": (
        (
            ("LUF.wpdefer.clean",),
            "the PTE stays dirty, so LUF leaves it alone whether the protector flushes or not",
        ),
        (("LUF.lazymask.*",), "MADV_DONTNEED finds nothing to gather here"),
    ),
    "dup_mmap: flush_tlb_mm_range()": (
        (
            ("LUF.wpdefer.both",),
            "the PTE stays dirty, so LUF leaves it alone whether fork() flushes or not",
        ),
    ),
    "free_empty_table: lock mm.i_mmap_rwsem.read()": (
        (
            ("LUF.V11.no-table-V3",),
            "tlb_end_vma() flushes whoever frees the table, and whenever; without it this lock is "
            "what makes munmap() wait for the flush (LUF.V11.no-table)",
        ),
    ),
    "free_empty_table: lock pte_lockptr(mm, pages[0])": (
        (
            ("LUF.V11.no-table",),
            "the PTE is empty for good by then: reclaim does not put it back, and nobody faults",
        ),
    ),
    "finish_task_switch: luf_flush_mm()": (
        (("LUF.diet.copy",), "nothing is owed in the borrowed mm: that is the point (LUF.diet)"),
    ),
    "flush_tlb_mm_range: flush_tlb_range()": (
        (("LUF.arm64.dsb",), "nobody flushes at once here: reclaim always defers"),
    ),
    "flush_tlb_range: tlbi_is()": (
        (("LUF.arm64.dsb",), "nobody flushes at once here: reclaim always defers"),
    ),
    "flush_tlb_range: dsb_ish()": (
        (("LUF.arm64.dsb",), "nobody flushes at once here: reclaim always defers"),
    ),
    "ptep_clear_flush: flush_tlb_mm_range()": (
        (
            (
                *("LUF.V1*", "LUF.initfree.refuse", "LUF.keyalias.fold", "LUF.wpdefer.*"),
                *("LUF.wrap.*", "LUF.noV?.punch"),
                *("LUF.arm64.dsb", "LUF.diet.copy", "LUF.lazymask.loaded"),
            ),
            "reclaim and migration flush at once only if no other CPU runs the process",
        ),
    ),
    # ---- what belongs to the systems below
    "shrink_folios: lock folio.lock": ((("*",), ALONE),),
    "migrate_pages: lock src.lock": ((MIGRATE, ALONE),),
    "munmap: lock mm.mmap_lock.write()": ((("*",), ALONE),),
    "mwriteprotect_range: lock mm.mmap_lock.read()": ((("*",), ALONE),),
    "do_wp_page: lock mm.mmap_lock.read()": ((("*",), ALONE),),
    "free_pgtables: lock mm.i_mmap_rwsem.write()": (
        (("LUF.V*.munmap*", "LUF.V11.no-table-V3"), ALONE),
    ),
    "try_to_unmap_one: lock pte_lockptr(mm, page)": (
        (
            (
                *("LUF.V11", "LUF.initfree.refuse", "LUF.keyalias.fold", "LUF.V11.write"),
                *(
                    "LUF.wrap.*",
                    "LUF.V11.reclaim",
                    "LUF.arm64.dsb",
                    "LUF.diet.copy",
                    "LUF.lazymask.*",
                ),
            ),
            "nobody else touches the PTE here",
        ),
    ),
    "try_to_migrate_one: lock pte_lockptr(mm, page)": (
        (
            ("LUF.wpdefer.*", "LUF.noV2.copy"),
            "what the protector loses if both change the PTE at once is not looked at here; what "
            "LUF decides from is the PTE that it has taken out",
        ),
    ),
    "do_wp_page: lock pte_lockptr(mm, page)": (
        (("LUF.noV2.copy",), "nobody else changes the PTE once the page has moved"),
    ),
    "wp_page_copy: lock pte_lockptr(mm, page)": (
        (("LUF.noV2.copy",), "nobody else changes the PTE once the page has moved"),
    ),
    "remove_migration_pte: lock pte_lockptr(mm, page)": (
        (MIGRATE, "nobody else changes a migration entry here"),
    ),
    "change_pte_range: lock pte_lockptr(mm, page)": (
        (("LUF.wpdefer.*",), "what the protector loses is not looked at here"),
    ),
    "copy_present_ptes: lock pte_lockptr(mm, page)": (
        (("LUF.wpdefer.*",), "what fork() loses is not looked at here"),
    ),
    "madvise_free_pte_range: lock mm.ptl": (
        (("LUF.wpdefer.*",), "what MADV_FREE loses is not looked at here"),
    ),
    "try_to_unmap_one: folio_remove_rmap_pte()": (NOT_COUNTED,),
    "try_to_migrate_one: folio_remove_rmap_pte()": (NOT_COUNTED,),
    "zap_pte_range: folio_remove_rmap_pte()": (NOT_COUNTED,),
    "tlb_flush_rmaps: folio_remove_rmap_pte()": (NOT_COUNTED,),
    "wp_page_copy: folio_remove_rmap_pte()": (NOT_COUNTED,),
    "wp_page_copy: atomic_inc(copy.refcount)": (NOT_COUNTED,),
    "wp_page_copy: atomic_inc(copy.mapcount)": (NOT_COUNTED,),
    "remove_migration_pte: atomic_inc(dst.refcount)": (NOT_COUNTED,),
    "remove_migration_pte: atomic_inc(dst.mapcount)": (NOT_COUNTED,),
    "tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)": (
        (("*",), "no second gather is open; left out, the count goes below zero"),
    ),
    "tlb_finish_mmu: atomic_dec(mm.tlb_flush_pending)": (
        (("*",), "a count that stays too high makes others flush too often"),
    ),
}
