"""Which kernel: the places where versions of Linux, and proposals for it, differ.

An option is fixed when a scenario is compiled and costs nothing in the model. The defaults are the
kernel of 2026 (but for ``pae_clear``: the reference has the older order, which allows more).
``docs/s0.md`` says which variant of system S0 each choice is.
"""

from __future__ import annotations

from shootdown.lang import Option

ZAP_FLUSH = Option(
    "zap_flush",
    "batched",
    choices=("batched", "each", "forced"),
    doc="zap_pte_range() leaves the flush to the gather; or flushes each PTE; or flushes under the "
    "PTL whenever MADV_DONTNEED cleared one (ZAP_FLAG_FORCE_FLUSH, proposed in October 2022).",
)

ZAP_DIRTY = Option(
    "zap_dirty",
    "delay-rmap",
    choices=("delay-rmap", "flush", "late"),
    doc="a dirty file page: flush under the PTL, then drop the rmap (5df397dec7c4, 6.2); drop the "
    "rmap, then flush under the PTL (1cf35d47712d, 3.15); or no flush under the PTL (before).",
)

PENDING = Option(
    "pending",
    "counted",
    choices=("counted", "leaked", "flag", "vma", "table", "none"),
    doc="mm->tlb_flush_pending counts open gathers; or is never decremented (the first posting of "
    "56236a59556c); or is a flag (20841405940e to 16af97dc5a89, 4.13); or each VMA, or each page "
    "table, has a count of the gathers that have been there (asked about in October 2022); or "
    "gathers are not counted (before 4.13).",
)

NESTED = Option(
    "nested",
    "check",
    choices=("check", "always", "none"),
    doc="tlb_finish_mmu() flushes everything if another gather is open (99baac21e458); or always "
    "flushes the range of the call (4647706ebeee); or only what it gathered itself (before 4.13).",
)

FAULT_FLUSH = Option(
    "fault_flush",
    "none",
    choices=("none", "pending", "batched"),
    doc="a page fault flushes the address before it sets the PTE if a gather is open (proposed by "
    "Nadav Amit in October 2022); or if an unmap in a batch is not flushed yet, too (proposed "
    "here).",
)

PV_FLUSH = Option(
    "pv_flush",
    "ipi",
    choices=("ipi", "skip-preempted"),
    doc="every CPU is interrupted; or a preempted vCPU is left out and flushed when it resumes "
    "(KVM f38a7b75267f; Hyper-V and Xen alike).",
)

PAE_SET = Option(
    "pae_set",
    "high-first",
    choices=("high-first", "low-first"),
    doc="a PTE of two halves is made present: the high half is written first (every kernel); or "
    "the low half, which has the present bit.",
)

PAE_CLEAR = Option(
    "pae_clear",
    "low-first",
    choices=("low-first", "whole", "load-store", "high-first"),
    doc="a PTE of two halves is removed: the low half first, by an exchange (to 4.18); both at "
    "once (b2d7a075a1cc, 4.19); the low half first, by a load and a store, as where there is one "
    "CPU; or the high half first, as a compiler may order *ptep = __pte(0), which pte_clear() was "
    "until 2.6.17.",
)

TLB_BATCHED = Option(
    "tlb_batched",
    "none",
    choices=("none", "counted", "flag"),
    doc="who holds a PTL learns of unmaps in a batch that are not flushed yet: not at all (before "
    "4.13, or nobody unmaps in batches); mm->tlb_flush_batched counts what is pending and what "
    "was flushed (5ee2fa2f0636, 5.17); or it is one flag (3ea277194daa, 4.13).",
)

TTU_MARK = Option(
    "ttu_mark",
    "after-clear",
    choices=("after-clear", "before-clear"),
    doc="try_to_unmap_one() notes in mm->tlb_flush_batched that a flush is owed after it has "
    "cleared the PTE, as in every kernel; or before (asked about in 2017).",
)

TTU_FLUSH = Option(
    "ttu_flush",
    "both",
    choices=("both", "late-io", "late-free"),
    doc="reclaim flushes what it has unmapped in a batch before it writes a dirty folio to disk, "
    "and before it frees; or forgets the first; or the second.",
)

PTL = Option(
    "ptl",
    "one",
    choices=("one", "split", "table"),
    doc="all pages of a scenario are in one page table, with one lock; or each page is in a table "
    "of its own, with a lock of its own (CONFIG_SPLIT_PTE_PTLOCKS); or the pages are shared out "
    "evenly among tables, each with a lock.",
)

PAGEOUT = Option(
    "pageout",
    "write",
    choices=("write", "keep", "keep-flushed"),
    doc="reclaim that finds a file folio dirty after it has unmapped it: writes it to disk; or "
    "leaves it to the flusher threads, as it does nearly always (ee72886d8ed5); or does that after "
    "a flush (proposed here).",
)
