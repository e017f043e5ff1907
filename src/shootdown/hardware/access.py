"""What an instruction of user space reaches, and what a TLB may still reach, on every machine.

Kernel paths and properties ask here, and so are written once: option ``arch``, which the hardware
of a scenario sets, decides whose walker answers (:mod:`shootdown.hardware.tlb` for x86,
:mod:`shootdown.hardware.arm64_walker` for arm64).
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware import arm64_walker, tlb
from shootdown.hardware.arm64_walker import Walker
from shootdown.hardware.machine import ARCH, Cpu, Frame, Page, TlbEntry
from shootdown.lang import atomic


@atomic
def user_load(cpu: Cpu, page: Page) -> Frame | None:
    """A load. The frame, or ``None``: fault."""
    if ARCH == "arm64":
        return arm64_walker.user_load(cast(Walker, cpu), page)
    return tlb.user_load(cpu, page)


@atomic
def user_store(cpu: Cpu, page: Page) -> Frame | None:
    """A store. The frame, or ``None``: fault."""
    if ARCH == "arm64":
        return arm64_walker.user_store(cast(Walker, cpu), page)
    return tlb.user_store(cpu, page)


@atomic
def entries(cpu: Cpu, page: Page) -> set[TlbEntry]:
    """What translates an address on this CPU, or may."""
    if ARCH == "arm64":
        return arm64_walker.matches(cast(Walker, cpu), page)
    return cpu.tlb[page]


@atomic
def lets_write(entry: TlbEntry) -> bool:
    """Whether a store through this entry touches no PTE."""
    if ARCH == "arm64":
        return arm64_walker.lets_write(entry)
    return tlb.lets_write(entry)


@atomic(looks=False)
def left_out(cpu: Cpu) -> bool:
    """A flush has left this CPU out: it does not run, and will be flushed before it does."""
    return cpu.steal.preempted and cpu.steal.flush


@atomic(looks=False)
def usable(cpu: Cpu) -> bool:
    """Can this CPU's entries still be used? Not if it does not run and will be flushed first."""
    return not (cpu.steal.preempted and cpu.steal.flush)


@atomic
def tlb_may_use(frame: Frame) -> bool:
    """Whether some CPU holds (or may hold) a usable translation to this frame."""
    return any(
        entry.frame == frame
        for cpu in Cpu
        if usable(cpu)
        for page in Page
        for entry in entries(cpu, page)
    )


@atomic
def tlb_may_write(frame: Frame) -> bool:
    """Whether some CPU holds (or may hold) a usable translation through which it can write to this
    frame without touching a PTE."""
    return any(
        entry.frame == frame and lets_write(entry)
        for cpu in Cpu
        if usable(cpu)
        for page in Page
        for entry in entries(cpu, page)
    )
