"""The flushes and locks of safe variants of system S3 that can be left out, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

NO_TLB = (
    "the property is about what software reads, and nobody goes through a TLB here (S3.BBM, "
    "S3.O2 and S3.SET look at the same paths with somebody who does)"
)
NOT_REACHED = "the paths that would execute it are not taken in this scenario"
FLAGS = (
    "the property is about flags only: nothing is given up, so nothing that is stale does harm, "
    "and there is one writer (S3.O2 and S3.O2.break look at the rest)"
)
ANYHOW = ("S3.O1b.anyhow", "S3.ADJ.anyhow", "S3.ADJ.anyhow-*")
READERS = ("S3.LOCKLESS", "S3.LOCKLESS.*", "S3.EARLY", "S3.EARLY.*", "S3.LIVE", "S3.LIVE.*")

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "zap_ptes: lock mm.ptl": (
        (
            (
                *("S3.O2.break", "S3.O4.*alone", "S3.SET", "S3.SET.bbml2", "S3.LIVE"),
                "S3.*.tlbi",
            ),
            "one writer, and hardware takes no lock. INV-S3-4, which speaks of the lock, is not "
            "looked at",
        ),
    ),
    "exit_mmap_anyhow: lock addressspace.ptl": ((ANYHOW, FLAGS),),
    "exit_mmap_anyhow: flush_tlb_range()": ((ANYHOW, FLAGS),),
    "map_folio: lock mm.ptl": ((("S3.SET", "S3.SET.bbml2"), "one writer"),),
    "madvise_free: lock mm.ptl": ((("S3.LOCKLESS.clean-each",), "one writer"),),
    "handle_faults: lock mm.ptl": ((("S3.SETEACH", "S3.SETEACH.read"), "one writer"),),
    "mprotect_page: flush_tlb_range()": (
        (
            ("S3.BBM",),
            "mprotect() completes a block, and folding it has flushed all of it already, after the "
            "right to write was gone (a comment of 2025 in contpte_convert() says so)",
        ),
        (READERS, NO_TLB),
    ),
    "exit_mmap: flush_tlb_range()": (
        (("S3.O4.*alone",), "nobody uses the page table any more: that is its point"),
    ),
    "replace_folio: flush_tlb_range()": ((READERS, NO_TLB),),
    "contpte_convert: flush_tlb_range()": (
        (READERS, NO_TLB),
        (("S3.SETEACH", "S3.SETEACH.read"), NOT_REACHED),
    ),
    "ptep_set_access_flags: flush_tlb_range()": (
        (("S3.SETEACH",), "that of a single PTE, which no block is: " + NOT_REACHED),
    ),
    "flush_tlb_range: tlbi_is()": (
        (ANYHOW, FLAGS),
        (("S3.O4.*alone",), "nobody uses the page table any more: that is its point"),
        (READERS, NO_TLB),
        (
            ("S3.SETEACH.read",),
            "an entry whose access flag is clear is never cached, so there is nothing to flush",
        ),
    ),
    "flush_tlb_range: dsb_ish()": (
        (ANYHOW, FLAGS),
        (("S3.O4.*alone",), "nobody uses the page table any more: that is its point"),
        (READERS, NO_TLB),
        (
            ("S3.SETEACH", "S3.SETEACH.read"),
            "the TLBI arrives in the end, and a device that faults once more comes to no harm",
        ),
    ),
    "tlb_remove_table_sync_one: wait_for_acks()": (
        (("S3.LIVE",), "nothing is freed here; the scenario asks whether the wait ends"),
    ),
}

SPECIFIC = {
    ("S3.SETEACH", "ptep_set_access_flags: flush_tlb_range()"): 1,
}
"""Sites with one name: how many of them may be left out."""


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for patterns, text in REDUNDANT.get(site, ()):
        if any(fnmatchcase(scenario, pattern) for pattern in patterns):
            return text
    return None
