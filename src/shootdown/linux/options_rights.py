"""Which kernel: the paths that take rights from PTEs without giving pages up (system X3).

The defaults are the kernel of 2026; ``docs/x3.md`` has the dates.
"""

from __future__ import annotations

from shootdown.lang import Option

MREMAP_FLUSH = Option(
    "mremap_flush",
    "locked",
    choices=("locked", "between", "dirty", "dirty-before", "late"),
    doc="move_ptes() flushes the old range with both PTLs held (eb66ae030829, 4.19); after it has "
    "dropped the new one; only if the PTE it took out was dirty (a2ce2666aa8a, 4.9); only if the "
    "PTE was dirty when it looked first (5d1904204c99); or after both are dropped (before).",
)

MIGRATE_FLUSH = Option(
    "migrate_flush",
    "before-copy",
    choices=("before-copy", "late"),
    doc="migration flushes what it has unmapped in a batch before it copies (7e12beb8ca2a, 6.3); "
    "or after.",
)

COLLECT_FLUSH = Option(
    "collect_flush",
    "locked",
    choices=("locked", "late"),
    doc="migrate_vma_collect_pmd() flushes before it drops the PTL (60bae7370896, 6.1); or after.",
)

ACCESSIBLE = Option(
    "accessible",
    "pending",
    choices=("pending", "present"),
    doc="pte_accessible(): a PROT_NONE entry may be cached while a flush is pending "
    "(20841405940e, 3.13); or never.",
)

CLEAR_REFS = Option(
    "clear_refs",
    "write-locked",
    choices=("write-locked", "read-locked", "gather", "uncounted"),
    doc="clear_refs holds the mmap lock for writing (29a951dfb3c3, 5.11); or for reading; flushes "
    "nothing, since nothing was put in its gather (912efa17e512 repairs it); or flushes and does "
    "not count (before b3a81d0841a9, 4.13).",
)

KSM_PROTECT = Option(
    "ksm_protect",
    "pending",
    choices=("pending", "pte"),
    doc="write_protect_page() flushes also a PTE that is clean and read-only already if a flush is "
    "pending (b3a81d0841a9, 4.13); or does not.",
)

UFFD_WP = Option(
    "uffd_wp",
    "pending",
    choices=("pending", "none"),
    doc="a write fault in a VMA of userfaultfd flushes before it copies if a flush is pending "
    "(6ce64428d62, 5.12); or not.",
)

PFNMAP_FLUSH = Option(
    "pfnmap_flush",
    "end-vma",
    choices=("end-vma", "late"),
    doc="munmap() of a VMA whose pages are not counted flushes before the VMA is unlinked from its "
    "file (b67fbebd4cf9, 5.19); or at its end.",
)

UAF = Option(
    "uaf",
    "free",
    choices=("free", "use"),
    doc="use after free is looked for where a frame is freed: no CPU may have a translation; or "
    "where it is used: none may go to a frame that is free.",
)
"""For scenarios: which of the two forms is asserted. They find the same mistakes."""
