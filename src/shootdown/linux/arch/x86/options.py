"""Which kernel: who is told to invalidate, and how a CPU changes its address space, on x86.

The defaults are the kernel of 2026, but for the first: systems that are about something else are
modelled with all CPUs of ``mm_cpumask`` told, and none of them switching. ``docs/x1.md`` says which
variant of system X1, and which version, each choice is.
"""

from __future__ import annotations

from shootdown.lang import Option

SHOOTDOWN = Option(
    "shootdown",
    "everyone",
    choices=("everyone", "generations"),
    doc="flush_tlb_mm_range() tells every CPU in mm_cpumask, and each invalidates what it is told "
    "(before 4.14; also a good abstraction where no CPU switches); or CPUs are left out and find "
    "out from mm->context.tlb_gen that they have to flush (94b1b03b519b, 4.14).",
)

FLUSH_BARRIER = Option(
    "flush_barrier",
    "caller",
    choices=("caller", "smp_mb"),
    doc="shootdown=everyone: what orders the store to the PTE before the look at mm_cpumask: "
    "nothing but the caller's own locked access; or a barrier (71b3c126e611, 4.5).",
)

MASK = Option(
    "mm_cpumask",
    "lazy",
    choices=("lazy", "eager", "eager-late"),
    doc="a CPU that switches away stays in mm_cpumask until a flush finds it there "
    "(209954cbc7d0, 6.14); or leaves it before it writes CR3 (before 2011, and 4.14 to 6.13); or "
    "after (831d52bc1539, 2011 to 4.13).",
)

SHOULD_FLUSH = Option(
    "should_flush",
    "loaded-or-switching",
    choices=("loaded-or-switching", "loaded", "not-lazy"),
    doc="who in mm_cpumask gets an interrupt, unless page tables were freed: a CPU that has the mm "
    "loaded or is switching, and is not lazy (fea4e317f9e7, 6.15); that has it loaded, and is not "
    "lazy (6db2526c1d69, 6.14); or that is not lazy (145f573b89a6, 4.20).",
)

LAZY_READ = Option(
    "lazy_read",
    "second",
    choices=("second", "first"),
    doc="should_flush_tlb() reads is_lazy after loaded_mm (fea4e317f9e7), or before it.",
)

SWITCHING = Option(
    "switching",
    "before-mask",
    choices=("before-mask", "after-gen", "none"),
    doc="switch_mm_irqs_off() stores LOADED_MM_SWITCHING before it looks at mm_cpumask "
    "(fea4e317f9e7); or after it has read tlb_gen (before, and its backports to 6.1, 6.6 and "
    "6.12); or never (before 4.19).",
)

SWITCH_BARRIER = Option(
    "switch_barrier",
    "always",
    choices=("always", "set_bit"),
    doc="between the stores of LOADED_MM_SWITCHING and of the bit in mm_cpumask and the read of "
    "tlb_gen there is always a full barrier (83b0177a6c48, 6.18); or only if the bit was clear.",
)

GEN_READ = Option(
    "gen_read",
    "after-mask",
    choices=("after-mask", "before-mask"),
    doc="switch_mm_irqs_off() reads tlb_gen after it has set its bit in mm_cpumask, as in every "
    "kernel; or before.",
)

PARTIAL = Option(
    "partial",
    "next",
    choices=("next", "any"),
    doc="flush_tlb_func() flushes only the pages of the request if that brings it up to date, as "
    "in every kernel; or whenever the request is not for everything.",
)

HANDLER_GEN = Option(
    "handler_gen",
    "before-flush",
    choices=("before-flush", "after-flush"),
    doc="flush_tlb_func() reads the generation that it will claim to have before it flushes, as in "
    "every kernel; or after.",
)

FLUSH_CEILING = Option(
    "flush_ceiling",
    "all",
    choices=("all", "33"),
    doc="shootdown=generations: a flush is for everything if it is for all pages of the scenario, "
    "which stand for more than tlb_single_page_flush_ceiling; or if it is for more than 33 pages.",
    tacit=True,
)

BATCH_FLUSH = Option(
    "batch_flush",
    "call",
    choices=("call", "multi"),
    doc="arch_tlbbatch_flush() is a call that each CPU of the batch answers in one step; or "
    "flush_tlb_multi() without an mm: lazy CPUs are left out, and who is up to date flushes "
    "nothing.",
    tacit=True,
)

BATCH_GEN = Option(
    "batch_gen",
    "ignored",
    choices=("ignored", "compared"),
    doc="batch_flush=multi: the request of a batch has no generation, and flush_tlb_func() looks "
    "for none (8f1d56f64f8d, 6.0); or takes its 0 for one that it is past already (aa44284960d5).",
    tacit=True,
)

LAZY_TABLES = Option(
    "lazy_tables",
    "interrupt",
    choices=("interrupt", "skip"),
    doc="a CPU that is lazy is interrupted if page tables were freed (b956575bed91, 2ff6ddf19c0e); "
    "or never (94b1b03b519b as merged).",
)

TRIM = Option(
    "trim",
    "sometimes",
    choices=("sometimes", "never"),
    doc="shootdown=generations, mm_cpumask=lazy: once a second a flush interrupts also CPUs that "
    "have another mm loaded, which leave mm_cpumask then (6db2526c1d69); or that never happens.",
)

PCID = Option(
    "pcid",
    "on",
    choices=("on", "off"),
    doc="X86_FEATURE_PCID: CR3 writes may keep what is cached; or each flushes.",
)

INVLPGB = Option(
    "invlpgb",
    "off",
    choices=("off", "on"),
    doc="X86_FEATURE_INVLPGB: a busy mm gets one ASID on all CPUs, and flushes are broadcast "
    "(4afeb0ed1753, 6.15); or not.",
)

TLBSYNC = Option(
    "tlbsync",
    "wait",
    choices=("wait", "none"),
    doc="invlpgb=on: a flush waits until its INVLPGB is done everywhere; or not.",
)

TRANSITION = Option(
    "asid_transition",
    "interrupt",
    choices=("interrupt", "none", "no-wait"),
    doc="invlpgb=on: while an mm moves to its global ASID, CPUs that still use their own are "
    "interrupted (4afeb0ed1753); or are not; or they are, and nobody waits for one that switches.",
)

LAZY_TEST = Option(
    "lazy_test",
    "after-global",
    choices=("after-global", "before-global"),
    doc="invlpgb=on: flush_tlb_func() looks whether the CPU is lazy after it has moved to the "
    "global ASID (4afeb0ed1753); or before (proposed by Rik van Riel in May 2025).",
)

PAGING = Option(
    "paging",
    "flat",
    choices=("flat", "tree"),
    doc="a page table is one array of entries (hardware/tlb.py, pcid.py); or a tree, and CPUs "
    "cache its upper levels as well (hardware/walker.py).",
)
