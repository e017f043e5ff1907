"""Which arm64 kernel: what was merged, and what was posted or discussed.

The defaults are the kernel of 2026 on hardware that needs break-before-make. ``docs/s3.md`` says
which variant of system S3 each choice is.
"""

from __future__ import annotations

from shootdown.lang import Option

CLEAR_FULL = Option(
    "clear_full",
    "batch",
    choices=(
        "batch",
        "unfold",
        "keep",
        "gather-posted",
        "gather",
        "gather-atomic",
        "next",
        "next-atomic",
        "last-atomic",
        "first",
    ),
    doc="how a contpte block is torn down: whole blocks in one call (6.9); unfold at the first "
    "PTE; one by one, leaving the others contiguous (v2); the same after copying the gathered A "
    "and D to the others (v1: as posted without the store, with it, or with an atomic update); the "
    "same and then copying A and D of the cleared PTE to the next one (plainly or atomically), the "
    "last one or the first one.",
)

CONT_PTES = Option(
    "cont_ptes",
    "all",
    choices=("all", "16"),
    doc="a contpte block is all pages of the model; or 16 PTEs, naturally aligned (4 KiB pages).",
    tacit=True,
)

CONTPTE = Option(
    "contpte",
    "on",
    choices=("on", "off"),
    doc="set_ptes() makes contpte blocks (CONFIG_ARM64_CONTPTE, 6.9); or there are none (before).",
    tacit=True,
)

MAX_DVM_OPS = Option(
    "max_dvm_ops",
    "none",
    choices=("none", "512"),
    doc="a range of any size is invalidated page by page; or one of 512 pages and more by ASID "
    "(MAX_DVM_OPS, 05ac65305437), which matters only at the size of real machines.",
    tacit=True,
)

UNFOLD_PARTIAL = Option(
    "unfold_partial",
    "yes",
    choices=("yes", "no"),
    doc="a contpte block that a batch operation covers in part is unfolded first; or not.",
)

CONVERT_FLUSH = Option(
    "convert_flush",
    "always",
    choices=("always", "never"),
    doc="contpte_convert() invalidates between clearing and repainting; or not (merged for "
    "BBML2 without conflict aborts).",
)

ACCESS_FLAGS_NOOP = Option(
    "access_flags_noop",
    "each",
    choices=("each", "gathered"),
    doc="ptep_set_access_flags() does nothing if every PTE of the block has the flags "
    "(97c5550b7631); or if the gathered value has them (before).",
)

GATHER = Option(
    "gather",
    "all",
    choices=("all", "early"),
    doc="the getters look at every PTE of a block; or stop once A and D are both found (2025).",
)

LOCKLESS = Option(
    "lockless",
    "check",
    choices=("check", "none"),
    doc="ptep_get_lockless() starts again if a PTE of the block does not fit; or does not look.",
)

GET_ASSERT = Option(
    "get_assert",
    "none",
    choices=("none", "scan"),
    doc="option 3 of November 2023: getters that report A and D assert that no full clear is under "
    "way, which they tell from an empty PTE among contiguous ones.",
)

BATCHED_PENDING = Option(
    "batched_pending",
    "flush",
    choices=("flush", "dsb"),
    doc="arch_flush_tlb_batched_pending() flushes the mm (4b634918384c); or executes a DSB, "
    "which does not wait for TLBIs of other CPUs (6.6 to 6.15).",
)
