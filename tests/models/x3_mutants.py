"""What can be left out of safe variants of system X3 and of its historic races, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

COUNT = "a count that stays too high keeps a folio from being freed, no more"
COPY = "nobody unmaps the copy in these scenarios, so nobody looks at its counts"
MMAP_LOCK = (
    "nobody takes the mmap lock in the other mode here; in the kernel it keeps out whoever changes "
    "the VMA"
)

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    # counts
    "zap_pte_range: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "tlb_flush_rmaps: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "try_to_migrate_one: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "migrate_vma_collect_pmd: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "replace_page: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "wp_page_copy: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "replace_page: atomic_inc(kpage.mapcount)": ((("*",), COPY),),
    "replace_page: atomic_inc(kpage.refcount)": ((("*",), COPY),),
    "wp_page_copy: atomic_inc(copy.mapcount)": ((("*",), COPY),),
    "wp_page_copy: atomic_inc(copy.refcount)": ((("*",), COPY),),
    "remove_migration_pte: atomic_inc(dst.mapcount)": (
        (("NUMA-MIGRATE.fixed", "PENDING-BOOL.fixed"), COPY),
    ),
    "remove_migration_pte: atomic_inc(dst.refcount)": (
        (("NUMA-MIGRATE.fixed", "PENDING-BOOL.fixed"), COPY),
    ),
    "do_wp_page: atomic_inc(page_folio(pte.frame).refcount)": (
        (("*",), "nobody else drops a reference on the page while it is copied"),
    ),
    # locks
    "change_prot_numa: lock mm.mmap_lock.read()": ((("*",), MMAP_LOCK),),
    "mwriteprotect_range: lock mm.mmap_lock.read()": ((("*",), MMAP_LOCK),),
    "clear_refs_write: lock mm.mmap_lock.read()": ((("*",), MMAP_LOCK),),
    "try_to_merge_one_page: lock mm.mmap_lock.read()": ((("*",), MMAP_LOCK),),
    "do_wp_page: lock mm.mmap_lock.read()": (
        (("UFFD-WP.fixed",), MMAP_LOCK + " (CLEARREFS-LOCK.fixed rests on it)"),
    ),
    "mremap: lock mm.mmap_lock.write()": (
        (("*",), "truncation, writeback and migration come through the rmap, not the mmap lock"),
    ),
    "munmap: lock mm.mmap_lock.write()": (
        (("*",), "the driver comes through the file, not through the mmap lock"),
    ),
    "free_pgtables: lock mm.i_mmap_rwsem.write()": (
        (
            ("MUNMAP-PFNMAP.fixed",),
            "with the flush at the end of the VMA nothing is owed any more when it is unlinked",
        ),
    ),
    "unmap_mapping_range: lock mm.i_mmap_rwsem.read()": (
        (("*",), "the same; and where nobody unlinks the VMA there is nothing to wait for"),
    ),
    "try_to_merge_one_page: lock folio.lock": ((("*",), "nobody else locks the folio here"),),
    "migrate_pages: lock src.lock": ((("*",), "nobody else locks the folio here"),),
    "write_folio: lock folio.lock": (
        (("MREMAP-MKCLEAN.*",), "nobody else locks the folio here: mremap() does not"),
    ),
    "move_ptes: lock pte_lockptr(mm, new)": (
        (
            ("X3.mremap-between.truncate",),
            "truncation visits the old place first, and waits for its PTL",
        ),
    ),
    "change_pte_range: lock pte_lockptr(mm, page)": (
        (
            ("UFFD-WP.fixed",),
            "the fault sees the count, raised before the PTE is touched, and compares the PTE "
            "again after the copy",
        ),
    ),
    "do_wp_page: lock pte_lockptr(mm, page)": (
        (("*",), "one fault; the PTE is compared again after the copy"),
    ),
    "wp_page_copy: lock pte_lockptr(mm, page)": (
        (("*",), "one fault; nobody else makes this PTE point elsewhere"),
    ),
    "clear_soft_dirty: lock pte_lockptr(mm, page)": (
        (
            ("CLEARREFS-LOCK.fixed", "SOFTDIRTY-NOFLUSH.fixed"),
            "the mmap lock keeps the fault out; otherwise nobody changes the PTE here",
        ),
    ),
    "write_protect_page: lock pte_lockptr(mm, page)": (
        (
            ("KSM-4CPU.*",),
            "replace_page() compares the PTE again, so a change in between makes the merge fail",
        ),
    ),
    "replace_page: lock pte_lockptr(mm, page)": (
        (("KSM-4CPU.*",), "the PTE is clean and read-only: nothing but A changes any more"),
    ),
    "remove_migration_pte: lock pte_lockptr(mm, page)": (
        (
            ("NUMA-MIGRATE.fixed", "PENDING-BOOL.fixed"),
            "NUMA balancing leaves a migration entry alone",
        ),
    ),
    "zap_pte_range: lock pte_lockptr(mm, pages[0])": (
        (
            ("MUNMAP-PFNMAP.fixed",),
            "two zappers of one page: either finds it, and flushes before the driver frees it",
        ),
        (("MREMAP-MKCLEAN.*",), "mremap() zaps its old range, which is empty by then"),
    ),
    # flushes
    "ptep_clear_flush: flush_tlb_mm_range()": (
        (
            ("UFFD-WP.fixed",),
            "against lost stores the flush before the copy is enough; this one is for threads that "
            "read the old page after the new one was written",
        ),
        (
            ("CLEARREFS-LOCK.fixed",),
            "the same: no CPU can write to the old page when a fault gets in",
        ),
    ),
    "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()": (
        (
            ("X3.mremap.migrate", "MREMAP-MKCLEAN.*"),
            "mremap() zaps its old range, which is empty: nothing is gathered",
        ),
        (
            ("KSM-4CPU.fixed",),
            "MADV_FREE has its own reason to flush (S0.V6.free); KSM finds the page read-only only "
            "after clear_refs, which flushes everything, and is counted until then",
        ),
    ),
    "mremap: flush_tlb_mm_range()": (
        (
            ("MREMAP-MKCLEAN.fixed",),
            "the late flush: no dirty page needs it (MREMAP-PTL is about the clean ones)",
        ),
    ),
}
