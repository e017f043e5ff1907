"""The flushes and acknowledgements of safe variants of system S1 that can be left out, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "on_cpus: wait_for_acks()": (
        (
            ("PT.V3",),
            "no CPU but the sender has the table in its root, so there is nobody to wait for",
        ),
    ),
    "ct_kernel_enter: flush_deferred()": (
        (
            ("PT.V0.nopti", "PT.V2"),
            "it is for leaf entries (K.V1.careful); here they were unmapped and flushed before, "
            "and the table is flushed by IPI, or never freed",
        ),
    ),
    "coalesce_tlbi: entry_flush()": (
        (
            ("PT.V0",),
            "it is for leaf entries (K.V3); here they were unmapped and flushed before, and the "
            "table is flushed by IPI",
        ),
    ),
    "coalesce_tlbi: switch_to_kernel_cr3_flush()": (
        (
            ("PT.V1.cr3-entry", "PT.V1.cr3-late"),
            "the switch goes with the flush, and without the switch the kernel's PCID is not used "
            "again; a switch that does not flush is PT.V1.pti",
        ),
    ),
}


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for patterns, text in REDUNDANT.get(site, ()):
        if any(fnmatchcase(scenario, pattern) for pattern in patterns):
            return text
    return None
