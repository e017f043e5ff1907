"""Sites of system X2, and of the historic races about page tables, that do not make a safe scenario
VIOLATED when they are left out, and why.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "munmap: lock table.ptl": (
        (
            ("*",),
            "it keeps other zappers and page faults away, and the mmap lock has done that; "
            "gup-fast takes no lock",
        ),
    ),
    "gup_fast: local_irq_save()": (
        (
            ("KHUGEPAGED-GUP.fixed",),
            "the table is kept, and no interrupt is waited for: the second look at PMD and PTE is "
            "all that it takes",
        ),
        (("GUP-COW-FORK.fixed",), "no table goes away here"),
    ),
    "tlb_remove_table_one: tlb_remove_table_sync_one()": (
        (("TABLE-FREE-SLOWPATH.fixed",), "no software walks here (X2.sync)"),
    ),
    "zap_empty_pte_table: lock mm.pmd_lock": (
        (("X2.V5*",), "the same as for zap_pte_table_if_empty() below"),
    ),
    "zap_pte_table_if_empty: lock mm.pmd_lock": (
        (
            ("X2.V5*",),
            "the only one who puts a table there finds the old one until it has gone; it takes a "
            "second page fault or zapper to need it",
        ),
    ),
    "zap_pte_table_if_empty: lock table.ptl": (
        (
            ("X2.V5", "X2.V5.ipi", "X2.V5.one"),
            "never reached: nobody has the lock that is tried before (X2.V5.full)",
        ),
    ),
    "pte_alloc: lock mm.pmd_lock": (
        (("X2.V5*",), "one page fault: nobody else puts a table there (two would lose a page)"),
    ),
    "collapse_huge_page: lock mm.pmd_lock": (
        (("*",), "it keeps page faults away, and the mmap lock has done that"),
    ),
    "collapse_huge_page: lock table.ptl": (
        (("*",), "rmap walks and page faults are kept away by the anon_vma's and the mmap lock"),
    ),
    "copy_and_drop: lock table.ptl": (
        (("*",), "rmap walks and page faults are kept away by the anon_vma's and the mmap lock"),
    ),
    "retract_page_tables: lock mm.pmd_lock": ((("*",), "no page fault is about here"),),
    "unmap_hugepage_range: lock table.ptl": (
        (("*",), "i_mmap_rwsem keeps the other user of the table away; no page fault is about"),
    ),
    "remap: lock table.ptl": ((("*",), "no other page fault is about here"),),
    "huge_pmd_unshare: atomic_dec(table.pt_share_count)": (
        (("*",), "nobody takes the table for its own then: it leaks, and goals are not reached"),
    ),
    "copy_present_pte: lock table.ptl": ((("*",), "no other page fault or zapper is about here"),),
    "do_wp_page: lock table.ptl": ((("*",), "no other page fault or zapper is about here"),),
    "copy_present_pte: atomic_inc(folio.refcount)": (
        (("*",), "what becomes of the child's page is not looked at"),
    ),
    "copy_page_range: flush_tlb_mm_range()": (
        (("*",), "nobody writes through an old entry here (INV-ONE, system X3)"),
    ),
    "do_wp_page: flush_tlb_mm_range()": (
        (("*",), "nobody writes through an old entry here, and the page is not freed"),
    ),
    "call_walkers: wait_for_acks()": (
        (("GUP-COW-FORK.fixed",), "the flushes are not needed here either, see there"),
    ),
    "gup_put_folio: atomic_dec(folio.pincount)": (
        (("*",), "a pin that is never given back makes a fork copy without need"),
    ),
}


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for patterns, text in REDUNDANT.get(site, ()):
        if any(fnmatchcase(scenario, pattern) for pattern in patterns):
            return text
    return None
