"""System S1: deferred invalidation of kernel mappings, and the kernel's page tables."""

from __future__ import annotations

from models.excuses import Excuse, Kind

LEAVES = "it is for leaf entries (K.V3, K.V1.careful), which were unmapped and flushed before"

S1 = (
    Excuse(
        "coalesce_tlbi: entry_flush()",
        "PT.V0",
        Kind.NOT_AT_STAKE,
        LEAVES + "; the table is flushed by IPI",
    ),
    Excuse(
        "coalesce_tlbi: switch_to_kernel_cr3_flush()",
        "PT.V1.cr3-entry PT.V1.cr3-late",
        Kind.MODEL,
        "what is left out is the switch with its flush, and without the switch the kernel's PCID "
        "is not used again; a switch that does not flush is PT.V1.pti, which is VIOLATED",
    ),
    Excuse(
        "ct_kernel_enter: flush_deferred()",
        "PT.V0.nopti PT.V2",
        Kind.UNREACHED,
        LEAVES + "; the table is flushed by IPI, or never freed",
    ),
    Excuse(
        "on_cpus: wait_for_acks()",
        "PT.V3",
        Kind.UNREACHED,
        "no CPU but the sender has the table in its root, so there is nobody to wait for",
    ),
)
