"""System S3: contiguous PTEs of arm64."""

from __future__ import annotations

from models.excuses import Excuse, Kind

NO_TLB = "the property is about what software reads, and nobody goes through a TLB"
READERS = "S3.LOCKLESS S3.LOCKLESS.unfold S3.LOCKLESS.same S3.EARLY S3.EARLY.same-any S3.LIVE"
ONE_WRITER = "one writer, and hardware takes no lock"

S3 = (
    Excuse(
        "flush_tlb_range: dsb_ish()",
        "S3.SETEACH",
        Kind.NOT_NEEDED,
        "the TLBI arrives in the end, and a device that faults once more comes to no harm: only "
        "the TLBI is needed for progress",
    ),
    Excuse(
        "mprotect_page: flush_tlb_range()",
        "S3.BBM",
        Kind.TWICE,
        "mprotect() completes a block, and folding it has flushed all of it already, after the "
        "right to write was gone (a comment of 2025 in contpte_convert() says so)",
    ),
    Excuse(
        "zap_ptes: lock mm.ptl",
        "S3.O2.break S3.O4.break-alone S3.SET S3.SET.bbml2 S3.LIVE",
        Kind.NOT_AT_STAKE,
        ONE_WRITER + "; INV-S3-4, which speaks of the lock, is not looked at",
    ),
    Excuse(
        """exit_mmap_anyhow: lock mm.ptl*
        exit_mmap_anyhow: flush_tlb_range()*
        flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        "S3.O1b.anyhow S3.ADJ.anyhow*",
        Kind.NOT_AT_STAKE,
        "the property is about flags: nothing is given up, so nothing that is stale does harm, and "
        "there is one writer",
    ),
    Excuse("map_folio: lock mm.ptl", "S3.SET S3.SET.bbml2", Kind.NOT_AT_STAKE, ONE_WRITER),
    Excuse(
        """madvise_free: lock mm.ptl
        handle_faults: lock mm.ptl""",
        "*",
        Kind.NOT_AT_STAKE,
        ONE_WRITER,
    ),
    Excuse(
        """exit_mmap: flush_tlb_range()*
        flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        "S3.O4.break-alone S3.O4.clean-alone",
        Kind.NOT_AT_STAKE,
        "nobody uses the page table any more: that is the point of this scenario",
    ),
    Excuse(
        """flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        READERS,
        Kind.NOT_AT_STAKE,
        NO_TLB,
    ),
    Excuse(
        "contpte_convert: flush_tlb_range()",
        "S3.LOCKLESS.unfold S3.LIVE",
        Kind.NOT_AT_STAKE,
        NO_TLB,
    ),
    Excuse("mprotect_page: flush_tlb_range()", "S3.LOCKLESS.unfold", Kind.NOT_AT_STAKE, NO_TLB),
    Excuse(
        "replace_folio: flush_tlb_range()",
        "S3.LOCKLESS S3.LOCKLESS.same S3.EARLY S3.EARLY.same-any",
        Kind.NOT_AT_STAKE,
        NO_TLB,
    ),
    Excuse(
        "tlb_remove_table_sync_one: wait_for_acks()",
        "S3.LIVE",
        Kind.NOT_AT_STAKE,
        "nothing is freed; the scenario asks whether the wait ends",
    ),
    Excuse(
        "contpte_convert: flush_tlb_range()",
        "S3.SETEACH S3.SETEACH.read",
        Kind.UNREACHED,
        "the right to write stays what it is, so no block is folded or unfolded",
    ),
    Excuse(
        "ptep_set_access_flags: flush_tlb_range() #1",
        "S3.SETEACH",
        Kind.UNREACHED,
        "it is for a single PTE, and all are in a block",
    ),
    Excuse(
        """flush_tlb_range: tlbi_is()
        flush_tlb_range: dsb_ish()""",
        "S3.SETEACH.read",
        Kind.UNREACHED,
        "nobody flushes after a read fault: an entry whose access flag is clear is never cached",
    ),
)
