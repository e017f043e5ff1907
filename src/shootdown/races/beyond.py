"""Races that need a memory order weaker than x86-TSO: they are named, and not modelled.

Memory here is sequentially consistent, or has x86-TSO store buffers (``memory=tso``). A verdict on
one of these would be HOLDS for want of the mechanism, which is why there is none.
"""

from __future__ import annotations

from shootdown.lang.stated import NotModelled

BEYOND: tuple[NotModelled, ...] = (
    NotModelled(
        "PENDING-ORDER",
        "store-store reordering",
        "tlb_flush_pending becomes visible after the PTE that it is set for; safe on x86",
        "af2c1401e6f9, reworked in 8b1b436dd1cc and 0a2c40487f3e",
    ),
    NotModelled(
        "ARM64-NOISB",
        "translations ahead of program order",
        "set_pte() without ISB: the next load was translated before, and faults",
        "d0b7a302d58a",
    ),
    NotModelled(
        "ARM64-NODSB",
        "a TLBI ahead of an earlier store",
        "no DSB ISHST before TLBI: the table is walked again before the store is visible",
        "Arm ARM DDI 0487, D8.17; arch/arm64/include/asm/tlbflush.h",
    ),
    NotModelled(
        "ARM64-REPEAT-TLBI",
        "accesses translated, but not performed",
        "TLBI and DSB end before an access through the old translation is performed (erratum)",
        "ARM64_WORKAROUND_REPEAT_TLBI: Arm 1286807, Qualcomm Falkor E1009",
    ),
    NotModelled(
        "GUP-COW-FORK.arm",
        "load-load reordering",
        "write_protect_seq is read after the PTE that it is to cover",
        "57efa1fe5957",
    ),
)
