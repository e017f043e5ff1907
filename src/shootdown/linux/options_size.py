"""Which kernel: what matters only where there are many pages, many VMAs, or folios of many pages.

A search does without: its pages are few, in one VMA, and fit into any gather. Machines that paths
are priced on set these (``workloads/x86.py``). The values are those of Linux 6.18.
"""

from __future__ import annotations

from shootdown.lang import Option

GATHER = Option(
    "gather_room",
    "unbounded",
    choices=("unbounded", "batches"),
    doc="an mmu_gather has room for all pages; or for 8 and then 19 batches of 510 (one place of "
    "each stays free), and for one batch while rmaps wait (mm/mmu_gather.c).",
    tacit=True,
)

VMAS = Option(
    "vmas",
    "one",
    choices=("one", "many"),
    doc="a scenario is about one VMA, which is there or not; or each call is about VMAs of its "
    "caller's own, which nobody else unmaps.",
    tacit=True,
)

MADVISE_LOCK = Option(
    "madvise_lock",
    "none",
    choices=("none", "mmap", "vma"),
    doc="MADV_DONTNEED and MADV_FREE: the lock that keeps the VMA is left out; or they hold the "
    "mmap lock for reading; or the lock of the VMA (a6fde7add78d, 6.17). Faults hold that too.",
    tacit=True,
)

MUNMAP_LOCK = Option(
    "munmap_lock",
    "write",
    choices=("write", "downgrade"),
    doc="munmap() holds the mmap lock for writing until its end (before 4.20); or downgrades it "
    "when the VMA is out of the tree (dd2283f2605e).",
    tacit=True,
)

FOLIO_PAGES = Option(
    "folio_pages",
    "1",
    choices=("1", "4", "16", "128", "512"),
    doc="how many pages a folio of anonymous memory has.",
    tacit=True,
)

ZAP_BATCH = Option(
    "zap_batch",
    "folio",
    choices=("folio", "page"),
    doc="zap_pte_range() removes all PTEs of a large folio at once (10ebac4f95e7, 6.9); or one "
    "by one (before).",
    tacit=True,
)

RMAP = Option(
    "rmap",
    "given",
    choices=("given", "file"),
    doc="where a folio is mapped: in a table that belongs to the scenario; or at its place in its "
    "file, in every process that maps the file (folio->mapping->i_mmap).",
    tacit=True,
)

TTU_BATCH = Option(
    "ttu_batch",
    "on",
    choices=("on", "off"),
    doc="reclaim unmaps with TTU_BATCH_FLUSH (72b252aed506, 4.3); or flushes each PTE as it is "
    "removed (before).",
    tacit=True,
)

FREE_BATCH = Option(
    "free_batch",
    "list",
    choices=("list", "31"),
    doc="reclaim flushes and frees when it is through with its list of folios; or also when it "
    "has 31 of them (PAGEVEC_SIZE, as in 6.18).",
    tacit=True,
)

PENDING_LARGE = Option(
    "pending_large",
    "2",
    choices=("2", "16383"),
    doc="TLB_FLUSH_BATCH_PENDING_LARGE, from which on the count of pending unmaps starts again; "
    "the kernel's is 16383.",
)
