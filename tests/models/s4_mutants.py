"""The flushes, locks and counters of safe variants of system S4 that can be left out, and why.

Each entry is a pattern for ``function: what is left out``, patterns for scenarios, and the reason.
Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

ONE = (
    *("N.a", "N.b", "N.c", "N.ac", "N.conly_end", "N.arch", "N.a.alone", "N.arch.alone"),
    *("N.arch.batch", "N.conly_end.full", "N.arch.full", "N.arch.once"),
)
"""Only one thread of the kernel: a device takes no lock."""

RECLAIM = ("N.*.reclaim", "N.*.reclaim-mprotect")
UFFD = ("N.*.protect", "N.*.merge")
PROTECT = (*UFFD, "N.*.mprotect", "N.*.softdirty")
NUMA = ("N.*.numa",)
COPY = ("N.*.copy", "NOTIFIER-COW.fixed")
MIGRATE = ("N.*.migrate",)
GUEST = ("N.range", "N.range.dontneed", "N.range.protect")
HISTORIC = ("KHUGEPAGED-NOTIFIER.fixed", "I915-BACKING.fixed", "HUGETLB-FREE-FIRST.fixed")

NO_CPU = (
    "the property is about devices, and no CPU has a translation that could be used too late "
    "(systems S0 and S2a look at that)"
)
KEPT = "a count that stays too high keeps the page, or makes rmap walks look in vain, no more"
COPIES = "nobody unmaps the new page in these scenarios, so nobody drops the count"
COUNT = (
    "below zero is a model error, found first; a count that stays too high makes others flush "
    "more. INV-S0-6 looks at the count itself, and N.arch.unasked shows who does not ask for it"
)
SC = "memory is sequentially consistent, and one CPU's stores are in order on x86"

REDUNDANT: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("*: lock *", (*ONE, *HISTORIC), "nobody else takes the lock"),
    (
        "shrink_folios: lock folio.lock",
        (*RECLAIM, "N.range"),
        "nobody else takes the folio lock: MADV_DONTNEED, mprotect() and KVM go by the PTL",
    ),
    (
        "try_to_unmap_one: lock pte_lockptr(mm, page)",
        ("N.range",),
        "KVM reads the PTE in one access, and takes a reference before it looks whether an "
        "invalidation is under way",
    ),
    (
        "kvm_faultin_pfn: lock pte_lockptr(mm, page)",
        GUEST,
        "a page that is taken without the PTL is let go again, since an invalidation is under way "
        "or has ended; what must not be done is to map it",
    ),
    (
        "*: lock mm.mmap_lock.*",
        (*RECLAIM, *UFFD, *COPY, *GUEST, *NUMA),
        "nobody takes it for writing and somebody else at all",
    ),
    (
        "*: lock pte_lockptr(mm, page)",
        (*PROTECT, *COPY, *MIGRATE),
        "each change is one exchange of the PTE, and who finds it changed begins again; that the "
        "PTL keeps the steps of two changes apart is not what INV-S4-2 and INV-S4-3 rest on",
    ),
    (
        "change_pte_range: lock pte_lockptr(mm, page)",
        ("N.range.protect",),
        "one thread changes the PTE, and KVM looks at it in one access",
    ),
    ("wp_page_reuse: lock pte_lockptr(mm, page)", ("N.*.upgrade*",), "both set the same PTE"),
    ("*: lock folio.lock", PROTECT, "nobody else takes the folio lock"),
    ("migrate_pages: lock src.lock", MIGRATE, "nobody else takes the folio lock"),
    ("kvm_mmu_notifier_invalidate_range_end: lock *", GUEST, "two counters, each one atomic step"),
    ("ptep_clear_flush: flush_tlb_mm_range()", (*ONE, *RECLAIM, *MIGRATE, *HISTORIC), NO_CPU),
    ("ptep_clear_flush: flush_tlb_mm_range()", ("N.range", *PROTECT, *COPY), NO_CPU),
    ("flush_tlb_batched_pending: flush_tlb_mm_range()", ("N.range.protect",), NO_CPU),
    ("tlb_flush_mmu_tlbonly: flush_tlb_mm_range()", ("N.range.protect",), NO_CPU),
    ("call_many: wait_for_acks()", ("N.range.protect",), NO_CPU),
    ("tlb_flush_mmu_tlbonly: flush_tlb_mm_range()", (*PROTECT, "N.c.reclaim-mprotect"), NO_CPU),
    ("call_many: wait_for_acks()", (*ONE, *PROTECT, *COPY, *HISTORIC, "N.*.upgrade"), NO_CPU),
    ("try_to_unmap_flush: arch_tlbbatch_flush()", ONE, NO_CPU),
    ("do_wp_page: flush_tlb_mm_range()", ("N.a.protect",), NO_CPU),
    (
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        (*RECLAIM, "N.range.dontneed"),
        "devices were told when the batch was queued, or are told by whoever asks; no CPU uses "
        "the page (system S2a looks at that)",
    ),
    (
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        ("N.*",),
        "the same: the count of batches is there for the CPUs",
    ),
    (
        "change_huge_pmd: flush_tlb_mm_range()",
        ("THP-DONTNEED-NUMA.fixed",),
        "a hint that comes late; MADV_DONTNEED flushes for itself",
    ),
    (
        "mmu_notifier_invalidate_range_end: mmu_notifier_invalidate_range()",
        ("N.ac", "N.ac.copy", "N.conly_end.full"),
        "devices were told before: the double call of Andrea Arcangeli's mail (N.ac.twice)",
    ),
    (
        "notify_before_unlock: mmu_notifier_invalidate_range()",
        ("N.ac",),
        "devices are told again in range_end, and somebody has a reference until then. N.ac.copy "
        "needs it",
    ),
    (
        "notify_gather: mmu_notifier_invalidate_range()",
        ("N.conly_end.dontneed", "N.conly_end.merge"),
        "range_end has told devices. N.conly_end.full needs it",
    ),
    (
        "notify_gather: mmu_notifier_invalidate_range()",
        ("N.conly_end.mprotect", "N.conly_end.numa"),
        "range_end has told devices, before the mmap lock is dropped, or before migration copies",
    ),
    (
        "mmu_notifier_invalidate_range_end: mmu_notifier_invalidate_range()",
        ("N.conly_end.mprotect",),
        "the gather tells devices, before the mmap lock is dropped (N.conly_end.twice). "
        "N.conly_end.softdirty has no gather",
    ),
    (
        "notify_before_unlock: mmu_notifier_invalidate_range()",
        ("N.conly_end.mprotect", "N.conly_end.softdirty"),
        "it tells of the copy; that nobody writes to the old page is known since the protection. "
        "N.conly_end.copy needs it",
    ),
    ("clear_refs_walk: flush_tlb_mm_range()", ("N.conly_end.softdirty",), NO_CPU),
    ("clear_refs_walk: atomic_*(mm.tlb_flush_pending)", ("N.*.softdirty",), COUNT),
    (
        "flush_tlb_batched_pending: flush_tlb_mm_range()",
        NUMA,
        "migration flushes, and tells devices, before it copies, whoever else does",
    ),
    ("ptep_clear_flush: flush_tlb_mm_range()", NUMA, "another CPU runs the process: not reached"),
    ("migrate_pages: lock src.lock", NUMA, "nobody else takes the folio lock"),
    (
        "remove_migration_pte: lock pte_lockptr(mm, page)",
        NUMA,
        "NUMA balancing passes over a migration entry, so only one of the two changes the PTE",
    ),
    ("remove_migration_pte: atomic_inc(dst.*", NUMA, COPIES),
    ("*: folio_remove_rmap_pte()", ("*",), KEPT),
    ("do_wp_page: atomic_inc(page_folio(pte.frame).refcount)", ("*",), "others have references"),
    ("finish_fault: atomic_inc(*", ("N.*.again*",), COPIES),
    ("wp_page_copy: atomic_inc(copy.*", (*PROTECT, *COPY), COPIES),
    ("replace_page: atomic_inc(kpage.*", PROTECT, COPIES),
    ("remove_migration_pte: atomic_inc(dst.*", MIGRATE, COPIES),
    ("tlb_gather_mmu: atomic_inc(mm.tlb_flush_pending)", ("*",), COUNT),
    ("tlb_finish_mmu: atomic_dec(mm.tlb_flush_pending)", ("*",), COUNT),
    (
        "kvm_faultin_pfn: atomic_inc(page_folio(pte.frame).refcount)",
        ("N.range",),
        "the reference that is dropped afterwards is then somebody else's, and the count goes "
        "below zero, which is a model error. N.range.dontneed shows what it leads to",
    ),
    (
        "kvm_mmu_notifier_invalidate_range_start: atomic_inc(kvm.mmu_invalidate_in_progress)",
        (*GUEST, *HISTORIC),
        "below zero at the end is a model error, found first; N.range.sequence shows what becomes "
        "of a page fault that does not look at the count",
    ),
    (
        "mmu_notifier_invalidate_range_start: kvm_mmu_notifier_invalidate_range_start()",
        (*GUEST, *HISTORIC),
        "the same; KHUGEPAGED-NOTIFIER shows what becomes of who is told neither start nor end",
    ),
    (
        "kvm_mmu_notifier_invalidate_range_end: atomic_dec(kvm.mmu_invalidate_in_progress)",
        ("N.range", "N.range.dontneed", *HISTORIC),
        "the guest's page faults start again until the page is gone, which it is in the end. Where "
        "it stays they would for ever (N.range.protect, INV-S4-5)",
    ),
    (
        "kvm_mmu_notifier_invalidate_range_end: atomic_inc(kvm.mmu_invalidate_seq)",
        HISTORIC,
        "the guest does not fault here (N.range.in-progress does)",
    ),
    ("*: smp_wmb()", ("*",), SC),
    ("*: smp_rmb()", ("*",), SC),
)


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for pattern, scenarios, text in REDUNDANT:
        if fnmatchcase(site, pattern) and any(fnmatchcase(scenario, one) for one in scenarios):
            return text
    return None
