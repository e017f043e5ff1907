"""Which kernel: how page tables are freed, and who walks them without a lock.

The defaults are the kernel of 2026 on x86. ``docs/x2.md`` says which variant of system X2 each
choice is.
"""

from __future__ import annotations

from shootdown.lang import Option

TLB_FLUSH = Option(
    "table_flush",
    "ipi",
    choices=("ipi", "broadcast", "skip-preempted"),
    doc="CPUs are told to flush by interrupt; by a broadcast that interrupts nobody (INVLPGB, "
    "arm64 TLBI); or by interrupt but for preempted vCPUs, which the hypervisor flushes.",
)

TABLE_FREE = Option(
    "table_free",
    "batch",
    choices=("batch", "page", "one-ipi", "one-rcu"),
    doc="page tables are collected and freed by RCU; or freed like any page after the flush (x86 "
    "without paravirt before 6.15); or there is no memory to collect them, and each is freed "
    "after an empty IPI to all (before 2026); or by RCU on its own (718b13861d22, 1fb3d8c20bfa).",
)

TABLE_INVALIDATE = Option(
    "table_invalidate",
    "yes",
    choices=("yes", "no"),
    doc="tlb_remove_table() flushes before it frees a table (d86564a2f085); or the flush comes "
    "only at the end of the gather (before 4.19).",
)

TABLE_SHORTCUT = Option(
    "table_shortcut",
    "none",
    choices=("none", "mm_users"),
    doc="tlb_remove_table() frees a table at once, without a flush, if the process has one user "
    "(36409f6353 on s390, 2011; removed there in 2012 and in generic code in 2018); or it does "
    "not.",
)

RANGE_FLUSH = Option(
    "range_flush",
    "cr3",
    choices=("cr3", "invlpg"),
    doc="a flush of a range of which tables are freed loads CR3 (on PAE: 4981d01eada5, 2011); or "
    "it is INVLPG of each page.",
)

GUP_RECHECK = Option(
    "gup_recheck",
    "pmd-pte",
    choices=("pmd-pte", "pte", "none"),
    doc="when gup-fast has its reference it looks again at the PMD and the PTE (70cbc3cc78a9, "
    "6.1); at the PTE only; or at neither (x86 before 4.13).",
)

COLLAPSE_SYNC = Option(
    "collapse_sync",
    "ipi",
    choices=("ipi", "rcu", "none"),
    doc="khugepaged sends an empty IPI to all after it has taken a page table out (2ba99c5e0881, "
    "6.1); or frees it by RCU (pte_free_defer(), 6.6); or does nothing (before).",
)

COLLAPSE_FLUSH = Option(
    "collapse_flush",
    "freed-tables",
    choices=("freed-tables", "leaves"),
    doc="the flush of khugepaged says that a table goes away (3ef938c35035, 6.15), so lazy CPUs "
    "are told too; or it does not.",
)

LAZY = Option(
    "lazy_cpus",
    "none",
    choices=("none", "skipped"),
    doc="no CPU is lazy; or lazy CPUs are left out of a flush unless a table goes away "
    "(145f573b89a6).",
)

UNSHARE = Option(
    "unshare",
    "flush-sync",
    choices=("flush-sync", "flush", "none"),
    doc="huge_pmd_unshare(): its callers flush before they drop i_mmap_rwsem (a4a118f2eead, "
    "5.16) and it waits for lockless walkers (1013af4f585f, 6.16); or the first only; or "
    "neither.",
)

PT_RECLAIM = Option(
    "pt_reclaim",
    "recheck",
    choices=("recheck", "trust"),
    doc="MADV_DONTNEED frees a table after it has looked at all entries again, if it had dropped "
    "the PTL; or without (6.14-rc1).",
)

WRITE_PROTECT_SEQ = Option(
    "write_protect_seq",
    "checked",
    choices=("checked", "none"),
    doc="gup-fast gives up if a fork write-protects pages meanwhile (57efa1fe5957, 5.11); or it "
    "does not look.",
)
