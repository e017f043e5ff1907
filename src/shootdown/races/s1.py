"""System S1: flushes of kernel mappings that isolated CPUs are spared while in user mode (K.*).

A housekeeping CPU unmaps a vmalloc page and frees it; an isolated CPU leaves the kernel and enters
it again. The variants K.V0 to K.V4 differ in how the isolated CPU is spared the IPI and when it
flushes instead. Page tables that are freed (PT.*) are in ``s1_tables.py``; ``docs/s1.md`` explains
the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.walker import Pcid, Region, Space, Table
from shootdown.hardware.walker_flush import walker
from shootdown.lang import Hardware, Scenario, Setup, Thread, atomic, path, scenario
from shootdown.linux.arch.x86.entry import asm_exc_nmi, enter_from_user_mode, exit_to_user_mode
from shootdown.linux.arch.x86.tlb_kernel import do_kernel_range_flush
from shootdown.linux.kernel_cpu import KernelCpu, kernel_access
from shootdown.linux.mm.vmalloc import remap, vfree_each
from shootdown.races import s1_properties as s1

Options = Mapping[str, str]

TSO: Options = {"memory": "tso"}
SIGNAL: Options = {"pti": "on", "defer": "cr3-signal"}

VARIANTS: dict[str, Options] = {
    "K.V0": {},
    "K.V1": {"defer": "context-tracking"},
    "K.V2": {**SIGNAL, "signal": "after-flush"},
    "K.V3": {**SIGNAL, "signal": "before-flush"},
    "K.V4": {**SIGNAL, "signal": "before-switch", "entry_flush": "cr3"},
}
"""The variants of the reference, as changes to the kernel of today."""

linux_kernel: Hardware = walker.and_rules(do_kernel_range_flush)
"""The walker, with the interrupt that flushes kernel mappings."""


@path(show="task")
def leave_and_enter(page: Page) -> None:
    """A task on an isolated CPU: out of the kernel, and some time later in again."""
    kernel_access(page)
    exit_to_user_mode()
    enter_from_user_mode(page)
    kernel_access(page)


@path(show="task")
def enter(page: Page) -> None:
    """A task on an isolated CPU that has been in user mode for long."""
    enter_from_user_mode(page)
    kernel_access(page)


@path(show="task")
def leave(page: Page) -> None:
    """A task on an isolated CPU that leaves the kernel and stays in user mode."""
    exit_to_user_mode()


@atomic
def not_in_nmi(cpu: KernelCpu) -> bool:
    """What an NMI interrupts does not go on until it is over."""
    return not cpu.in_nmi


def kernel(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    check: Sequence[Any] = (s1.no_stale_kernel_access, s1.no_lost_deferral, s1.coalesced),
    goals: Sequence[Any] = (),
    nmi: bool = False,
    task: Any = leave_and_enter,
    pages: int = 1,
    more: Options | None = None,
) -> Scenario:
    """One CPU remaps a page, or frees several; the last one leaves the kernel and comes back."""
    options = {**VARIANTS[variant], **(more or {})}
    spares = "defer" in options

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 2, pages: int = pages) -> Setup:
        last = cpus - 1
        given = tuple(Page(p) for p in range(pages))
        unmap = Thread(remap, Page(0), Frame(pages), on=KernelCpu(0))
        if pages > 1:
            unmap = Thread(vfree_each, given, on=KernelCpu(0))
        threads = [
            unmap,
            Thread(task, Page(0), on=KernelCpu(last), when=not_in_nmi if nmi else None),
        ]
        if nmi:
            threads.append(Thread(asm_exc_nmi, Page(0), on=KernelCpu(last), name="NMI"))
        return Setup(
            sizes={
                Cpu: cpus,
                Page: pages,
                Frame: pages + 1,
                Region: 1,
                Table: 1,
                Pcid: 2 if options.get("pti") == "on" else 1,
                Space: 2 if options.get("pti") == "on" else 1,
            },
            start=s1.mapped_in_user_mode if task == enter else s1.mapped,
            threads=threads,
            hardware=linux_kernel,
            options=options,
            invariants=[*check],
            goals=[
                s1.freed,
                *([s1.remapped] if pages == 1 else []),
                *([s1.deferred, s1.held_while_free] if spares and not nmi else []),
                *([s1.done_later] if spares and not nmi else []),
                *goals,
            ],
        )

    return build


STALE = (s1.no_stale_kernel_access,)

KERNEL = (
    kernel("K.V0", "K.V0", "every CPU is interrupted"),
    kernel("K.V0.tso", "K.V0", "every CPU is interrupted; store buffers", more=TSO),
    kernel(
        "K.V1",
        "K.V1",
        "context tracking: early entry code runs before the deferred flush (danger zone)",
        violates="INV-S1-1",
        aliases=("BAD-S1-1",),
        check=STALE,
    ),
    kernel(
        "K.V1.pti",
        "K.V1",
        "the same with page-table isolation",
        violates="INV-S1-1",
        check=STALE,
        more={"pti": "on"},
    ),
    kernel(
        "K.V1.deferral",
        "K.V1",
        "the same, seen by what was promised",
        violates="INV-S1-3",
        check=(s1.no_lost_deferral,),
    ),
    kernel(
        "K.V1.careful",
        "K.V1",
        "entry code that touches nothing that may be remapped",
        more={"early_entry": "careful", **TSO},
    ),
    kernel(
        "K.V1.careful-store",
        "K.V1",
        "the same, PTEs cleared by plain stores: the atomic state orders them",
        more={"early_entry": "careful", "clear": "store", **TSO},
    ),
    kernel(
        "K.V2",
        "K.V2",
        "kernel_cr3_loaded is set after the flush of the entry (v7)",
        violates="INV-S1-1",
        aliases=("BAD-S1-2",),
        check=STALE,
        more=TSO,
    ),
    kernel(
        "K.V2.sc",
        "K.V2",
        "the same, memory sequentially consistent",
        violates="INV-S1-1",
        check=STALE,
    ),
    kernel(
        "K.V2.deferral",
        "K.V2",
        "the same, seen by what was promised",
        violates="INV-S1-3",
        check=(s1.no_lost_deferral,),
    ),
    kernel("K.V3", "K.V3", "kernel_cr3_loaded is set before the flush of the entry", more=TSO),
    kernel("K.V3.sc", "K.V3", "the same, memory sequentially consistent"),
    kernel(
        "K.V3.store",
        "K.V3",
        "PTEs cleared by a plain store, which passes the look at kernel_cr3_loaded",
        violates="INV-S1-1",
        check=STALE,
        more={"clear": "store", **TSO},
    ),
    kernel(
        "K.V3.store-sc",
        "K.V3",
        "the same, memory sequentially consistent",
        more={"clear": "store"},
    ),
    kernel(
        "K.V3.store-mb",
        "K.V3",
        "the same with a barrier",
        more={"clear": "store", "clear_barrier": "smp_mb", **TSO},
    ),
    kernel(
        "K.V3.relaxed",
        "K.V3",
        "a flush that does not wait for the store to kernel_cr3_loaded",
        violates="INV-S1-1",
        check=STALE,
        more={"entry_flush": "invpcid-relaxed", **TSO},
    ),
    kernel(
        "K.V3.relaxed-sc",
        "K.V3",
        "the same, memory sequentially consistent",
        more={"entry_flush": "invpcid-relaxed"},
    ),
    kernel(
        "K.V3.relaxed-mb",
        "K.V3",
        "the same with a barrier",
        more={"entry_flush": "invpcid-relaxed", "entry_barrier": "smp_mb", **TSO},
    ),
    kernel("K.V4", "K.V4", "kernel_cr3_loaded, then a CR3 switch that flushes (v8)", more=TSO),
    kernel("K.V4.sc", "K.V4", "the same, memory sequentially consistent"),
    kernel(
        "K.V4.invpcid",
        "K.V4",
        "the same with a flush that global mappings do not survive, were there any",
        more={"entry_flush": "invpcid", "kernel_global": "all", **TSO},
    ),
    kernel(
        "K.V4.store",
        "K.V4",
        "PTEs cleared by a plain store, which passes the look at kernel_cr3_loaded",
        violates="INV-S1-1",
        check=STALE,
        more={"clear": "store", **TSO},
    ),
    kernel(
        "K.V4.global",
        "K.V4",
        "the same, were kernel mappings global: a CR3 switch does not flush them",
        violates="INV-S1-1",
        check=STALE,
        more={"kernel_global": "all"},
    ),
)

NMIS = (
    kernel(
        "K.V3.nmi-entry",
        "K.V3",
        "an NMI between CR3 switch and flush finds the kernel's CR3, and does not flush",
        violates="INV-S1-1",
        check=STALE,
        task=enter,
        nmi=True,
    ),
    kernel(
        "K.V3.nmi-exit",
        "K.V3",
        "an NMI between the end of the signal and the CR3 switch is spared the IPI",
        violates="INV-S1-1",
        check=STALE,
        nmi=True,
    ),
    kernel(
        "K.V4.nmi-entry",
        "K.V4",
        "an NMI between signal and CR3 switch takes the signal back",
        violates="INV-S1-1",
        check=STALE,
        task=enter,
        nmi=True,
    ),
    kernel(
        "K.V4.nmi-exit",
        "K.V4",
        "an NMI between the end of the signal and the CR3 switch is spared the IPI",
        violates="INV-S1-1",
        check=STALE,
        nmi=True,
    ),
    kernel(
        "K.V4.nmi-late",
        "K.V4",
        "the signal ends after the CR3 switch: no window in the exit",
        task=leave,
        nmi=True,
        more={"signal_end": "after-switch"},
    ),
    kernel(
        "K.V3.nmi-saved",
        "K.V3",
        "an NMI that always flushes, and saves and restores the signal",
        nmi=True,
        more={"nmi": "saved"},
        goals=(s1.nmi_in_entry,),
    ),
    kernel(
        "K.V4.nmi-saved",
        "K.V4",
        "an NMI that always flushes, and saves and restores the signal",
        nmi=True,
        more={"nmi": "saved"},
        goals=(s1.nmi_in_entry,),
    ),
)

NOISE = (
    kernel(
        "K.V0.noise",
        "K.V0",
        "interrupts in user mode",
        violates="INV-S1-4",
        check=(s1.undisturbed,),
    ),
    kernel(
        "K.V1.noise",
        "K.V1",
        "an IPI that was sent in time for the kernel arrives in user mode",
        violates="INV-S1-4",
        check=(s1.undisturbed,),
        more={"early_entry": "careful"},
    ),
    kernel(
        "K.V3.noise",
        "K.V3",
        "an IPI that was sent in time for the kernel arrives in user mode",
        violates="INV-S1-4",
        check=(s1.undisturbed,),
    ),
)

QUIET = (
    kernel(
        "K.V1.quiet",
        "K.V1",
        "no IPI for a CPU that is in user mode already",
        check=(s1.undisturbed, s1.no_stale_kernel_access, s1.no_lost_deferral, s1.coalesced),
        task=enter,
        more={"early_entry": "careful"},
    ),
    kernel(
        "K.V3.quiet",
        "K.V3",
        "no IPI for a CPU that is in user mode already",
        check=(s1.undisturbed, s1.no_stale_kernel_access, s1.no_lost_deferral, s1.coalesced),
        task=enter,
    ),
)

COALESCED = (
    kernel(
        "K.V1.coalesce",
        "K.V1",
        "two deferred flushes, one bit",
        pages=2,
        more={"early_entry": "careful"},
    ),
    kernel(
        "K.V1.range",
        "K.V1",
        "two deferred flushes, one range: the first is forgotten",
        violates="INV-S1-5",
        check=(s1.coalesced,),
        pages=2,
        more={"early_entry": "careful", "deferred_work": "last-range"},
    ),
    kernel("K.V3.coalesce", "K.V3", "two deferred flushes, no memory at all", pages=2),
)
