"""arch/x86/entry/calling.h and entry_64.S: from user mode into the kernel and back.

With page-table isolation both ways switch CR3, with NOFLUSH set (``ADJUST_KERNEL_CR3``). The flush
and the signal of an entry are ``COALESCE_TLBI`` of the series of 2025 (v6 27/29, v7 29/31) and
``TRACK_CR3`` of 2026 (v8 08/10); which of them exist, and in what order, are options.

Interrupts are off until the deferred work is done, and from before the signal is taken back until
user mode is reached.
"""

from __future__ import annotations

from shootdown.hardware.ipi import local_irq_disable, local_irq_enable
from shootdown.hardware.machine import Page
from shootdown.hardware.walker_flush import (
    invpcid_all,
    invpcid_all_relaxed,
    load_cr3,
    load_cr3_noflush,
)
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, path, smp_mb, this
from shootdown.linux.kernel.context_tracking import ct_kernel_enter, ct_user_enter
from shootdown.linux.kernel_cpu import (
    USER,
    USER_ROOT,
    KernelCpu,
    housekeeping_cpu,
    kernel_access,
    settle_all,
)
from shootdown.linux.options_entry import (
    DEFER,
    EARLY_ENTRY,
    ENTRY_BARRIER,
    ENTRY_FLUSH,
    NMI,
    PTI,
    SIGNAL,
    SIGNAL_END,
)


@atomic(show="interrupt", fence=False)
def interrupt_gate(cpu: KernelCpu) -> None:
    """The CPU leaves user mode with interrupts off."""
    cpu.user_mode = False
    cpu.irq_on = False


@atomic(show="IRET")
def iret(cpu: KernelCpu) -> None:
    """To user mode, interrupts on. IRET is serialising."""
    cpu.user_mode = True
    cpu.irq_on = True


@atomic(show="SWITCH_TO_KERNEL_CR3")
def switch_to_kernel_cr3(cpu: KernelCpu) -> None:
    """E1. The kernel's root, and its PCID with whatever that has cached."""
    load_cr3_noflush(cpu, cpu.kernel_root, cpu.kernel_pcid)


@atomic(show="SWITCH_TO_KERNEL_CR3, flush", role="flush")
def switch_to_kernel_cr3_flush(cpu: KernelCpu) -> None:
    """E1 without NOFLUSH: the PCID starts empty, but for global translations."""
    load_cr3(cpu, cpu.kernel_root, cpu.kernel_pcid)
    settle_all(cpu)


@atomic(show="SWITCH_TO_USER_CR3")
def switch_to_user_cr3(cpu: KernelCpu) -> None:
    """X2'."""
    load_cr3_noflush(cpu, USER_ROOT, USER)


@atomic(show="flush everything", role="flush")
def entry_flush(cpu: KernelCpu) -> None:
    """E2'. INVPCID of all contexts with globals, or CR4.PGE off and on; serialising."""
    invpcid_all(cpu)
    settle_all(cpu)


@atomic(show="flush everything", role="flush", fence=False)
def entry_flush_relaxed(cpu: KernelCpu) -> None:
    """E2', on a CPU where the flush does not wait for earlier stores."""
    invpcid_all_relaxed(cpu)
    settle_all(cpu)


@path
def coalesce_tlbi(cpu: KernelCpu) -> None:
    """Switch to the kernel's CR3, say so, and flush: in the order of the variant. Only CPUs in
    ``nohz_full=`` flush; all say so."""
    signals = DEFER == "cr3-signal"
    flushes = signals and not housekeeping_cpu(cpu)
    if signals and SIGNAL == "before-switch":
        WRITE_ONCE(cpu.kernel_cr3_loaded, True)
    if ENTRY_FLUSH == "cr3" and flushes:
        switch_to_kernel_cr3_flush(cpu)
    elif PTI == "on":
        switch_to_kernel_cr3(cpu)
    if signals and SIGNAL == "before-flush":
        WRITE_ONCE(cpu.kernel_cr3_loaded, True)
    if ENTRY_BARRIER == "smp_mb":
        smp_mb()
    if ENTRY_FLUSH == "invpcid" and flushes:
        entry_flush(cpu)
    if ENTRY_FLUSH == "invpcid-relaxed" and flushes:
        entry_flush_relaxed(cpu)
    if signals and SIGNAL == "after-flush":
        WRITE_ONCE(cpu.kernel_cr3_loaded, True)


@path(show="enter from user mode")
def enter_from_user_mode(page: Page) -> None:
    """E1..E4. Early entry code uses memory like any other: stacks are in vmalloc memory
    (VMAP_STACK), and so may be what an interrupt handler's entry reads."""
    cpu = this(KernelCpu)
    interrupt_gate(cpu)
    coalesce_tlbi(cpu)
    if EARLY_ENTRY == "touches":
        kernel_access(page)
    if DEFER == "context-tracking":
        ct_kernel_enter()
    local_irq_enable(cpu)


@path(show="exit to user mode")
def exit_to_user_mode() -> None:
    """X1, X2."""
    cpu = this(KernelCpu)
    local_irq_disable(cpu)
    if DEFER == "context-tracking":
        ct_user_enter()
    if DEFER == "cr3-signal" and SIGNAL_END == "before-switch":
        WRITE_ONCE(cpu.kernel_cr3_loaded, False)
    if PTI == "on":
        switch_to_user_cr3(cpu)
    if DEFER == "cr3-signal" and SIGNAL_END == "after-switch":
        WRITE_ONCE(cpu.kernel_cr3_loaded, False)
    iret(cpu)


@atomic(show="paranoid_entry: CR3 is the user's")
def take_nmi(cpu: KernelCpu) -> bool:
    """An NMI comes at any instruction, whatever is masked. Whether CR3 is the user's."""
    cpu.in_nmi = True
    return cpu.root == USER_ROOT


@atomic(show="return from NMI")
def leave_nmi(cpu: KernelCpu) -> None:
    """IRET."""
    cpu.in_nmi = False


@path(show="NMI")
def asm_exc_nmi(page: Page) -> None:
    """Only the CR3 register says whether the kernel's root is loaded.

    ``SAVE_AND_SWITCH_TO_KERNEL_CR3`` of paranoid_entry skips COALESCE_TLBI if it is;
    ``RESTORE_CR3`` takes the signal back if it returns to the user's CR3.
    """
    cpu = this(KernelCpu)
    from_user_cr3 = take_nmi(cpu)
    signal = True
    if NMI == "saved":
        signal = READ_ONCE(cpu.kernel_cr3_loaded)
    if from_user_cr3 or NMI == "saved":
        coalesce_tlbi(cpu)
    kernel_access(page)
    if NMI == "saved":
        if not signal:
            WRITE_ONCE(cpu.kernel_cr3_loaded, False)
    elif from_user_cr3:
        WRITE_ONCE(cpu.kernel_cr3_loaded, False)
    if from_user_cr3:
        switch_to_user_cr3(cpu)
    leave_nmi(cpu)
