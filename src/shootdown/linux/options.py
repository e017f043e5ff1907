"""Which kernel: the places where versions of Linux, and proposals for it, differ.

An option is fixed when a scenario is compiled and costs nothing in the model. The defaults are the
kernel of 2026. ``docs/s0.md`` says which variant of system S0 each choice is.
"""

from __future__ import annotations

from shootdown.lang import Option

ZAP_FLUSH = Option(
    "zap_flush",
    "batched",
    choices=("batched", "each", "forced"),
    doc="zap_pte_range() leaves the flush to the gather; or flushes each PTE; or flushes under the "
    "PTL whenever MADV_DONTNEED cleared one (ZAP_FLAG_FORCE_FLUSH, proposed in October 2022).",
)

ZAP_DIRTY = Option(
    "zap_dirty",
    "delay-rmap",
    choices=("delay-rmap", "flush", "late"),
    doc="a dirty file page: flush under the PTL, then drop the rmap (5df397dec7c4, 6.2); drop the "
    "rmap, then flush under the PTL (1cf35d47712d, 3.15); or no flush under the PTL (before).",
)

PENDING = Option(
    "pending",
    "counted",
    choices=("counted", "leaked", "none"),
    doc="mm->tlb_flush_pending counts open gathers; or is never decremented (the first posting of "
    "56236a59556c); or gathers are not counted (before 4.13).",
)

NESTED = Option(
    "nested",
    "check",
    choices=("check", "always", "none"),
    doc="tlb_finish_mmu() flushes everything if another gather is open (99baac21e458); or always "
    "flushes the range of the call (4647706ebeee); or only what it gathered itself (before 4.13).",
)

FAULT_FLUSH = Option(
    "fault_flush",
    "none",
    choices=("none", "pending"),
    doc="a page fault flushes the address before it sets the PTE if a gather is open (proposed by "
    "Nadav Amit in October 2022).",
)

PV_FLUSH = Option(
    "pv_flush",
    "ipi",
    choices=("ipi", "skip-preempted"),
    doc="every CPU is interrupted; or a preempted vCPU is left out and flushed when it resumes "
    "(KVM f38a7b75267f; Hyper-V and Xen alike).",
)

PTE_WIDTH = Option(
    "pte",
    "word",
    choices=("word", "pae"),
    doc="a PTE is one word; or two that are written one after the other (x86-32 with PAE).",
)
