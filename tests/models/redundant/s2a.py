"""System S2a: batched unmap in reclaim and migration."""

from __future__ import annotations

from models.excuses import Excuse, Kind

COUNT = "a count that stays too high keeps the folio from being reclaimed, no more"
NOT_BATCHED = "the path without a batch: reached only if no other CPU runs the process"
RECLAIM = (
    "S2a.V2.one S2a.V3.one S2a.V5.dirty S2a.V7.fixed S2a.V8 S2a.V8.*arm64 S2a.V8.munmap "
    "S2a.V8.dontneed S2a.V8.no-table S2a.V8.dirty S2a.V8.clean S2a.V8.pages S2a.V8.wrap "
    "S2a.V8.mms S2a.V8.two "
)
"""Reclaim alone has the folio: all but S2a.V8.flusher-fixed, .pageout and .parts."""

S2A = (
    Excuse(
        "page_mkclean_one: lock pte_lockptr(mm, page)",
        "S2a.V8.flusher-fixed S2a.V8.pageout",
        Kind.TWICE,
        "the folio lock keeps reclaim and writeback apart",
    ),
    Excuse(
        """unmap_a_part: lock folio.lock
        shrink_folio: lock folio.lock""",
        "S2a.V8.parts",
        Kind.TWICE,
        "PG_lru keeps the two reclaimers apart, and nobody else touches the folio",
    ),
    Excuse(
        "try_to_unmap_one: lock pte_lockptr(mm, page)",
        "S2a.V8.parts",
        Kind.NOT_AT_STAKE,
        "PG_lru keeps the two reclaimers apart, and nobody else touches the PTEs",
    ),
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "S2a.V8.parts",
        Kind.NOT_AT_STAKE,
        "nobody decides from an empty PTE",
    ),
    Excuse(
        "shrink_folio: lock folio.lock",
        RECLAIM,
        Kind.NOT_AT_STAKE,
        "nobody else locks the folio",
    ),
    Excuse("migrate_pages: lock src.lock", "*", Kind.NOT_AT_STAKE, "nobody else locks the folio"),
    Excuse(
        """mprotect: lock mm.mmap_lock.write()
        munmap: lock mm.mmap_lock.write()""",
        "*",
        Kind.NOT_AT_STAKE,
        "one caller, and reclaim does not take the mmap lock",
    ),
    Excuse(
        "free_pgtables: lock mm.i_mmap_rwsem.write()",
        "S2a.V8.munmap",
        Kind.NOT_AT_STAKE,
        "nobody comes from the file, and nobody frees the page table",
    ),
    Excuse(
        "free_empty_table: lock pte_lockptr(mm, pages[0])",
        "*",
        Kind.NOT_AT_STAKE,
        "it keeps page faults from mapping something meanwhile, and there are none",
    ),
    Excuse(
        "remove_migration_pte: lock pte_lockptr(mm, page)",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody else changes the migration entry",
    ),
    Excuse(
        "try_to_migrate_one: lock pte_lockptr(mm, page)",
        "S2a.V0.migrate",
        Kind.NOT_AT_STAKE,
        "nobody else takes the PTL",
    ),
    Excuse(
        """remove_migration_pte: atomic_inc(dst.mapcount)
        remove_migration_pte: atomic_inc(dst.refcount)""",
        "*",
        Kind.NOT_AT_STAKE,
        "nobody unmaps the copy, so nobody looks at its counts",
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "S2a.V2.one S2a.V3.one S2a.V7.fixed S2a.V8 S2a.V8.arm64 S2a.V8.munmap S2a.V8.dontneed "
        "S2a.V8.no-table",
        Kind.COST,
        COUNT,
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "S2a.V5.dirty S2a.V8.dirty S2a.V8.dirty-arm64 S2a.V8.clean S2a.V8.pages S2a.V8.wrap "
        "S2a.V8.mms S2a.V8.two S2a.V8.parts",
        Kind.GOAL,
        "a folio whose count stays too high is never freed",
    ),
    Excuse(
        """try_to_migrate_one: folio_remove_rmap_pte()
        tlb_flush_rmaps: folio_remove_rmap_pte()""",
        "*",
        Kind.COST,
        COUNT,
    ),
    Excuse(
        "ptep_clear_flush: flush_tlb_mm_range()",
        RECLAIM + "S2a.V8.migrate S2a.V8.parts",
        Kind.UNREACHED,
        NOT_BATCHED,
    ),
    Excuse(
        """flush_tlb_mm_range: flush_tlb_range()
        flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        "S2a.V8.dirty-arm64 S2a.V8.two S2a.V8.parts",
        Kind.UNREACHED,
        NOT_BATCHED,
    ),
    Excuse(
        "zap_pte_range: folio_remove_rmap_pte()",
        "*",
        Kind.UNREACHED,
        "the page is dirty, so its mapcount waits for the flush, in tlb_flush_rmaps()",
    ),
    Excuse(
        """unmap_a_part: atomic_inc(folio.refcount)
        reclaim_the_rest: atomic_inc(folio.refcount)""",
        "*",
        Kind.REFUSED,
        "the count falls below zero when the reference is dropped",
    ),
)
