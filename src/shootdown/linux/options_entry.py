"""Which kernel: entry from user mode, and invalidation of kernel mappings.

The defaults are the kernel of 2026 without page-table isolation. The proposals to defer flushes of
kernel mappings on NOHZ_FULL CPUs differ in ``defer``, ``signal`` and ``entry_flush``
(``docs/s1.md``); v6, v7 and v8 are the versions of Valentin Schneider's series.
"""

from __future__ import annotations

from shootdown.lang import Option

PTI = Option(
    "pti",
    "off",
    choices=("off", "on"),
    doc="page-table isolation: user mode runs on a root of its own, which lacks vmalloc memory, "
    "and kernel mappings are not global; CR3 is loaded with NOFLUSH set.",
)

KERNEL_GLOBAL = Option(
    "kernel_global",
    "no-pti",
    choices=("no-pti", "all"),
    doc="kernel mappings have the G flag unless page-table isolation is on; or always.",
)

DEFER = Option(
    "defer",
    "none",
    choices=("none", "context-tracking", "cr3-signal"),
    doc="flush_tlb_kernel_range_deferrable() interrupts every CPU; or sets a work bit of an "
    "isolated CPU that is in user mode (RFC of 2023); or skips an isolated CPU that does not say "
    "that it has the kernel's CR3 loaded (v6 and later).",
)

SIGNAL = Option(
    "signal",
    "before-flush",
    choices=("after-flush", "before-flush", "before-switch"),
    doc="an entry from user mode sets kernel_cr3_loaded after its flush (v6, v7), before it, or "
    "before CR3 is switched (v8).",
)

SIGNAL_END = Option(
    "signal_end",
    "before-switch",
    choices=("before-switch", "after-switch"),
    doc="an exit to user mode clears kernel_cr3_loaded before it switches CR3 (v6, v7, v8); or "
    "after.",
)

ENTRY_FLUSH = Option(
    "entry_flush",
    "invpcid",
    choices=("invpcid", "invpcid-relaxed", "cr3"),
    doc="the flush of an entry: INVPCID of everything (or CR4.PGE); the same, taken not to wait "
    "for earlier stores; or the CR3 switch itself, without NOFLUSH (v8).",
)

ENTRY_BARRIER = Option(
    "entry_barrier",
    "none",
    choices=("none", "smp_mb"),
    doc="a full barrier between the store to kernel_cr3_loaded and the flush of the entry.",
)

EARLY_ENTRY = Option(
    "early_entry",
    "touches",
    choices=("touches", "careful"),
    doc="entry code touches memory that may have been remapped before context tracking runs the "
    "deferred work (the danger zone); or takes care not to.",
)

DEFERRED_WORK = Option(
    "deferred_work",
    "all",
    choices=("all", "last-range"),
    doc="what is deferred coalesces into one flush of everything; or the last range is remembered.",
)

CLEAR = Option(
    "clear",
    "xchg",
    choices=("xchg", "store"),
    doc="a kernel PTE is removed by ptep_get_and_clear(), an exchange; or by a plain store, as "
    "pmd_clear() and set_pte() do.",
)

CLEAR_BARRIER = Option(
    "clear_barrier",
    "none",
    choices=("none", "smp_mb"),
    doc="a full barrier between the removal of kernel PTEs, or of a PMD whose flush is deferred, "
    "and the look at who needs an IPI.",
)

VMAP_PURGE = Option(
    "vmap_purge",
    "at-once",
    choices=("at-once", "lazy"),
    doc="an address that is unmapped is flushed at once; or addresses are collected, and flushed "
    "together when there are more than lazy_max_pages().",
    tacit=True,
)

TABLE_FLUSH = Option(
    "kernel_table_flush",
    "page",
    choices=("page", "all", "deferred", "kept"),
    doc="before a kernel page table is freed: INVLPG of one page on every CPU; a flush of "
    "everything on every CPU (Jann Horn, May 2025); a deferrable flush; or it is never freed.",
)

ROOTS = Option(
    "roots",
    "shared",
    choices=("shared", "per-cpu"),
    doc="all CPUs have the kernel's half of init_mm; or isolated CPUs have a root of their own, "
    "and only CPUs whose root has a table are told when it is freed.",
)

ROOT_FLUSH = Option(
    "root_flush",
    "none",
    choices=("none", "ipi"),
    doc="when a table is taken out of the root of an isolated CPU, that CPU is not flushed; or is.",
)

NMI = Option(
    "nmi",
    "as-posted",
    choices=("as-posted", "saved"),
    doc="an NMI switches CR3, flushes and signals only if it finds the user's CR3 (v6, v7, v8); or "
    "it always flushes, and saves and restores the signal.",
)

SVA = Option(
    "sva",
    "none",
    choices=("none", "invalidate"),
    doc="kernel page tables are freed without telling devices that walk them; or after the IOMMU's "
    "caches of kernel addresses were invalidated (CVE-2025-71202, iommu_sva_invalidate_kva_range).",
)
