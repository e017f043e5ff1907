"""Flushes, barriers and counters of safe variants of system X1 that can be left out, and why.

Keys are ``function: what is left out``; each reason names the scenarios that it is about, as
patterns. Everything that is not listed here must make a safe variant VIOLATED when it is left out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

REDUNDANT: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "should_flush_tlb: smp_rmb()": (
        (
            ("*",),
            "x86 does not reorder loads; and the order is not needed either, X1.current.lazy-read "
            "is safe with the loads exchanged",
        ),
    ),
    "join_mask: smp_mb()": (
        (
            ("X1.current.trimmed-tso",),
            "a CPU that is not in mm_cpumask sets its bit, which is a barrier",
        ),
        (
            ("X1.current.lazy-tso", "X1.current.lazy-read", "X1.current.tables-tso"),
            "only a switch to init_mm comes by here, which has no user pages",
        ),
        (
            (
                "X1.current.two",
                "X1.current.tables-away",
                "X1.current.recycle",
                "X1.current.invlpgb",
                "X1.current.invlpgb-idle-fixed",
                "X1.current.invlpgb-lazy",
                "X1.S0.V6",
            ),
            "memory is sequentially consistent",
        ),
    ),
    "keep_mm: smp_mb()": (
        (
            (
                "X1.current.tso",
                "X1.current.trimmed-tso",
                "X1.current.v6.13-tso",
                "X1.current.lazy-mask-tso",
                "SWITCHMM-MISORDER.fixed",
                "X1.current.invlpgb-switch-tso",
            ),
            "no CPU is lazy here (X1.current.lazy-tso needs it)",
        ),
        (
            ("X1.current.tables-tso",),
            "a page table is freed, so lazy CPUs are interrupted: they have left the mm",
        ),
        (
            (
                "X1.current.two",
                "X1.current.tables-away",
                "X1.current.v6.13-tables",
                "X1.current.recycle",
                "X1.current.invlpgb",
                "X1.current.invlpgb-idle-fixed",
                "X1.current.invlpgb-lazy",
                "X1.S0.V6",
            ),
            "memory is sequentially consistent",
        ),
    ),
    "catch_up: flush_tlb_local()": (
        (
            (
                "X1.current.*tso",
                "SWITCHMM-MISORDER.fixed",
                "X1.current.lazy-read",
                "X1.current.v6.13-lazy",
                "X1.current.tables*",
                "X1.current.v6.13-tables",
                "X1.current.recycle",
            ),
            "never reached: one request, for one page (X1.current.two needs it)",
        ),
        (
            ("X1.current.invlpgb*",),
            "never reached: from the first flush on there is a global ASID",
        ),
    ),
    "catch_up: flush_tlb_one_user()": (
        (
            ("X1.current.invlpgb*",),
            "never reached: from the first flush on there is a global ASID",
        ),
    ),
    "zap_pte_range: folio_remove_rmap_pte()": (
        (("X1.S0.V6",), "a mapcount that stays too high makes rmap walks look in vain, no more"),
    ),
}


def reason(site: str, scenario: str) -> str | None:
    """Why a site may be left out of a scenario, if it is known."""
    for patterns, text in REDUNDANT.get(site, ()):
        if any(fnmatchcase(scenario, pattern) for pattern in patterns):
            return text
    return None
