"""What can be left out of safe variants of system S2a, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

COUNT = "a count that stays too high keeps the folio from being reclaimed, no more"

PARTS = ("S2a.V8.parts",)
ISOLATED = "PG_lru keeps the two reclaimers apart, and nobody else touches the folio or its PTEs"
BELOW = "the count goes below zero, which is a model error, found first"

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "unmap_a_part: lock folio.lock": ((PARTS, ISOLATED),),
    "unmap_a_part: atomic_inc(folio.refcount)": ((PARTS, BELOW),),
    "reclaim_the_rest: atomic_inc(folio.refcount)": ((PARTS, BELOW),),
    "try_to_unmap_one: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "try_to_migrate_one: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "zap_pte_range: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "tlb_flush_rmaps: folio_remove_rmap_pte()": ((("*",), COUNT),),
    "remove_migration_pte: atomic_inc(dst.mapcount)": (
        (("*",), "nobody unmaps the copy in these scenarios"),
    ),
    "remove_migration_pte: atomic_inc(dst.refcount)": (
        (("*",), "nobody unmaps the copy in these scenarios"),
    ),
    "remove_migration_pte: lock pte_lockptr(mm, page)": (
        (("*",), "nobody else changes the migration entry here (X3.mremap.migrate does)"),
    ),
    "try_to_migrate_one: lock pte_lockptr(mm, page)": (
        (("S2a.V0.migrate",), "nobody else takes the PTL here"),
    ),
    "migrate_pages: lock src.lock": ((("*",), "nobody else locks the folio here"),),
    "shrink_folios: lock folio.lock": (
        (
            (
                "S2a.V[23].one",
                "S2a.V7.fixed",
                "S2a.V5.dirty",
                "S2a.V8",
                "S2a.V8.a*",
                "S2a.V8.m*",
                "S2a.V8.d*",
                "S2a.V8.clean",
                "S2a.V8.no-table",
                "S2a.V8.pages",
                "S2a.V8.wrap",
                "S2a.V8.two",
            ),
            "nobody else locks the folio here (S2a.V8.pageout does)",
        ),
        (PARTS, ISOLATED),
    ),
    "mprotect: lock mm.mmap_lock.write()": (
        (("*",), "one caller; reclaim does not take the mmap lock"),
    ),
    "munmap: lock mm.mmap_lock.write()": (
        (("*",), "one caller; reclaim does not take the mmap lock"),
    ),
    "free_empty_table: lock pte_lockptr(mm, pages[0])": (
        (("*",), "it keeps page faults from mapping something meanwhile, and there are none"),
    ),
    "free_pgtables: lock mm.i_mmap_rwsem.write()": (
        (("S2a.V8.munmap",), "nobody comes from the file here (S0.V4.munmap-truncate does)"),
    ),
    "ptep_clear_flush: flush_tlb_mm_range()": (
        (
            ("S2a.V[2357]*", "S2a.V8", "S2a.V8.[acdmntw]*", "S2a.V8.pa[gr]*"),
            "reached only if no other CPU runs the process, and then there is nobody to tell; in "
            "these scenarios others always do",
        ),
    ),
    "flush_tlb_mm_range: flush_tlb_range()": (
        (("S2a.V8.dirty-arm64", "S2a.V8.two", *PARTS), "the same: the path without a batch"),
    ),
    "flush_tlb_range: tlbi_is()": (
        (("S2a.V8.dirty-arm64", "S2a.V8.two", *PARTS), "the same: the path without a batch"),
    ),
    "flush_tlb_range: dsb_ish()": (
        (("S2a.V8.dirty-arm64", "S2a.V8.two", *PARTS), "the same: the path without a batch"),
    ),
    "try_to_unmap_one: lock pte_lockptr(mm, page)": ((PARTS, ISOLATED),),
    "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()": (
        (PARTS, "nobody decides from an empty PTE here"),
    ),
    "page_mkclean_one: lock pte_lockptr(mm, page)": (
        (
            ("S2a.V8.flusher-fixed", "S2a.V8.pageout"),
            "the folio lock keeps reclaim and writeback apart",
        ),
    ),
}
