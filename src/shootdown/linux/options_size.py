"""Which kernel, as far as only many pages show it: how large things are, and how they are found.

A scenario of the checker has a handful of pages. What the kernel looks up in trees is a table there
that the scenario gives, and what it does once in 31 pages never happens. The defaults are that; a
priced run has the other choice.
"""

from __future__ import annotations

from shootdown.lang import Option

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
    doc="TLB_FLUSH_BATCH_PENDING_LARGE, from which on the count of pending unmaps starts again.",
    tacit=True,
)
