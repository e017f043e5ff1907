"""Virtual CPUs: a hypervisor stops one at any instruction and may flush its TLB when it resumes.

A preempted virtual CPU executes nothing, accepts no interrupt and walks no page table; its entries
stay.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page, StealTime
from shootdown.hardware.pae import forget_elsewhere
from shootdown.hardware.tlb import remember_all
from shootdown.lang import atomic, rule, when


@atomic
def runs(cpu: Cpu) -> bool:
    """Is this CPU running? The guard of every thread on a virtual CPU."""
    return not cpu.steal.preempted


@rule(show="hypervisor: preempt {cpu}")
def preempt(cpu: Cpu) -> None:
    """The hypervisor takes the physical CPU away, interrupts on or off."""
    when(not cpu.steal.preempted)
    cpu.steal = StealTime(preempted=True)


@rule(fair=True, show="hypervisor: resume {cpu}")
def resume(cpu: Cpu) -> None:
    """It runs again; a flush that was asked for meanwhile is done first (KVM record_steal_time(),
    f38a7b75267f: one exchange of the byte, then kvm_vcpu_flush_tlb_guest())."""
    when(cpu.steal.preempted)
    if cpu.steal.flush:
        for page in Page:
            cpu.tlb[page] = set()
        forget_elsewhere(cpu, set(Page))
    cpu.steal = StealTime()
    mm = cpu.walks
    if mm is not None:
        remember_all(cpu, mm)
