"""Virtual CPUs: a hypervisor stops one at any instruction and may flush its TLB when it resumes.

A preempted virtual CPU executes nothing, accepts no interrupt and walks no page table; its entries
stay. One option chooses between two ways to write the same thing:

* ``preemption=explicit``: a CPU is preempted at any time.
* ``preemption=seen``: only while a thread is about to read or write its steal time.

To be preempted takes possibilities away from a CPU, and nothing else changes, until somebody finds
it so and leaves it out of a flush. So whatever happens with a CPU that is preempted early happens
as well if that comes just before somebody looks, or not at all if nobody does: meanwhile the CPU
need not do anything, and it holds all entries that it would have had. ``docs/hardware.md`` has the
argument in full; tests compare the two on every scenario.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page, StealTime
from shootdown.hardware.pae import forget_elsewhere
from shootdown.hardware.tlb import remember_all
from shootdown.lang import Option, atomic, looked_at, rule, when

PREEMPTION = Option(
    "preemption",
    "seen",
    choices=("seen", "explicit"),
    doc="a hypervisor preempts a virtual CPU just before somebody looks whether it has; or at any "
    "time.",
)


@atomic(looks="outside")
def runs(cpu: Cpu) -> bool:
    """Is this CPU running? The guard of every thread on a virtual CPU."""
    return not cpu.steal.preempted


@rule(show="hypervisor: preempt {cpu}", looks=False)
def preempt(cpu: Cpu) -> None:
    """The hypervisor takes the physical CPU away, interrupts on or off."""
    when(not cpu.steal.preempted)
    when(PREEMPTION == "explicit" or looked_at(cpu.steal))
    cpu.steal = StealTime(preempted=True)


@rule(fair=True, show="hypervisor: resume {cpu}", looks=False)
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
