"""Historic races of tagged TLBs outside arch/x86: other architectures, Xen, Haiku.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shootdown.hardware.interrupt import (
    InterruptibleCpu,
    end_of_interrupt,
    irq_disable,
    irq_enable,
    not_interrupted,
    send_interrupts,
    take_interrupt,
)
from shootdown.hardware.ipi import wait_for_acks
from shootdown.hardware.machine import Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.pcid import Pcid, TaggedCpu, drop, load_cr3, x86_pcid
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Option,
    Scenario,
    Setup,
    Thread,
    atomic,
    goal,
    path,
    ranged,
    scenario,
    shared,
    this,
    wait_until,
    xchg,
)
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.linux.mm_types import Mm
from shootdown.linux.user import return_to_user
from shootdown.races import x1_properties as x1


class AsidCpu(TaggedCpu, InterruptibleCpu):
    """``active_mm``: ``current->active_mm``. ``asid_valid``: what the CPU has under the second tag
    may be used."""

    active_mm: Mm | None = None
    asid_valid: bool = True


CLEAR_ON_SWITCH = Option(
    "clear_on_switch",
    "no",
    choices=("no", "yes"),
    doc="RISC-V: a CPU that switches away stays in mm_cpumask (82dd33fde026); or leaves it.",
)
FLUSH_ID = Option(
    "flush_id",
    "any",
    choices=("any", "cr3"),
    doc="Haiku: the kernel's map is flushed under any tag; or under the one found in CR3.",
)
TOGGLE = Option(
    "toggle",
    "flush",
    choices=("flush", "noflush"),
    doc="Xen: a switch between a guest's kernel and user mode flushes; or sets bit 63 of CR3.",
)

TAGGED = replace(x86_pcid, name="tagged-tlb")
MM = ContextMm(0)
ENTRY = TlbEntry(writable=True, dirty=True, frame=Frame(0))


def race(
    name: str,
    title: str,
    setup: Any,
    violates: str | None = None,
) -> Scenario:
    """A scenario with everything but its name in ``setup``."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build() -> Setup:
        found: Setup = setup
        return found

    return build


@atomic
def mapped_once(mm: Mm) -> None:
    """The first page maps the first frame."""
    mm.pte[Page(0)] = Pte(present=True, writable=True, accessed=True, dirty=True, frame=Frame(0))


@path(show="unmap")
def unmap(mm: Mm, targets: set[Cpu]) -> None:
    """Clear the PTE, interrupt some CPUs, wait."""
    me = this(AsidCpu)
    xchg(mm.pte[Page(0)], Pte())
    if targets:
        send_interrupts(me, targets, {Page(0)})
        wait_for_acks(me)
    return_to_user(mm, (Page(0),))


@goal("the flush has returned")
def returned() -> bool:
    """User space may rely on it."""
    return bool(MM.revoked[Page(0)])


# ------------------------------------------------------------------ USE-MM-IPI


@atomic(show="switch_mm()")
def switch_asn(cpu: AsidCpu, mm: Mm) -> None:
    """The mm's address-space number on this CPU, with what is cached under it, if it is valid."""
    load_cr3(cpu, mm, Pcid(1), cpu.asid_valid)
    cpu.asid_valid = True


@path(show="kthread_use_mm()")
def kthread_use_mm(mm: Mm, *, irqs_off: bool) -> None:
    """kernel/kthread.c: a kernel thread borrows an address space (38cf307c1f20)."""
    cpu = this(AsidCpu)
    if irqs_off:
        irq_disable(cpu)
    WRITE_ONCE(cpu.active_mm, mm)
    switch_asn(cpu, mm)
    if irqs_off:
        irq_enable(cpu)
    x1.use(MM, Page(0))


@path(show="ipi_flush_tlb_mm()")
def flush_by_active_mm(mm: Mm) -> None:
    """arch/alpha/kernel/smp.c: flush what the CPU runs, if that is the mm; else give its number
    up, so that the next switch takes a new one."""
    cpu = this(AsidCpu)
    while True:
        sender = take_interrupt(cpu)
        active = READ_ONCE(cpu.active_mm)
        if active == mm:
            flush_current(cpu)
        else:
            give_up_asn(cpu)
        end_of_interrupt(cpu, sender)


@atomic(show="flush_tlb_current()")
def flush_current(cpu: AsidCpu) -> None:
    """Everything of the current tag."""
    drop(cpu, cpu.tag, set(Page))


@atomic(show="flush_tlb_other()")
def give_up_asn(cpu: AsidCpu) -> None:
    """What is cached for the mm is not used again."""
    cpu.asid_valid = False


@atomic
def borrowed_before() -> None:
    """CPU1 has run the process, whose translations it keeps under the second tag, and runs a
    kernel thread."""
    mapped_once(MM)
    AsidCpu(1).parked[Pcid(1)][Page(0)] = {ENTRY}


def use_mm(irqs_off: bool) -> Setup:
    """CPU0 unmaps a page; a kernel thread on CPU1 borrows the address space."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, ContextMm: 1, Pcid: 2},
        start=borrowed_before,
        threads=[
            Thread(unmap, MM, {Cpu(1)}, on=AsidCpu(0)),
            Thread(kthread_use_mm, MM, irqs_off=irqs_off, on=AsidCpu(1), when=not_interrupted),
            Thread(flush_by_active_mm, MM, on=AsidCpu(1), daemon=True, name="CPU1 irq"),
        ],
        hardware=TAGGED,
        goals=[returned],
    )


USE_MM = (
    race(
        "USE-MM-IPI",
        "an IPI between active_mm and switch_mm() flushes the wrong address space",
        use_mm(False),
        "INV-X1-1",
    ),
    race(
        "USE-MM-IPI.fixed",
        "kthread_use_mm() with interrupts off (38cf307c1f20)",
        use_mm(True),
    ),
)

# ------------------------------------------------------------------ RISCV-ASID-CPUMASK

migrations = shared(int, ranged(0, 2))


@path(show="task")
def task_here(mm: Mm) -> None:
    """The task reads, moves to another CPU, comes back and reads again. A CPU keeps what it has
    cached under the ASID; before 82dd33fde026 it left mm_cpumask all the same."""
    cpu = this(AsidCpu)
    x1.use(MM, Page(0))
    load_cr3(cpu, None, Pcid(0), True)
    if CLEAR_ON_SWITCH == "yes":
        mm.cpumask.discard(cpu)
    WRITE_ONCE(migrations, 1)
    wait_until(migrations == 2)
    mm.cpumask.add(cpu)
    load_cr3(cpu, mm, Pcid(1), True)
    x1.use(MM, Page(0))


@path(show="task")
def task_there(mm: Mm) -> None:
    """The task writes there: copy-on-write puts another frame in place."""
    cpu = this(AsidCpu)
    wait_until(migrations == 1)
    mm.cpumask.add(cpu)
    load_cr3(cpu, mm, Pcid(1), True)
    targets = READ_ONCE(mm.cpumask)
    unmap(mm, targets - {cpu})
    drop_here(cpu)
    load_cr3(cpu, None, Pcid(0), True)
    WRITE_ONCE(migrations, 2)


@atomic(show="SFENCE.VMA")
def drop_here(cpu: AsidCpu) -> None:
    """This CPU's own part."""
    drop(cpu, Pcid(1), {Page(0)})


@path(show="__ipi_flush_tlb_range_asid()")
def flush_asid() -> None:
    """Flush what the CPU has under the ASID, current or not."""
    cpu = this(AsidCpu)
    while True:
        sender = take_interrupt(cpu)
        drop_here(cpu)
        end_of_interrupt(cpu, sender)


@atomic
def runs_on_first() -> None:
    """The task runs on CPU0."""
    cpu = AsidCpu(0)
    cpu.tag = Pcid(1)
    cpu.walks = MM
    MM.cpumask = {Cpu(0)}
    mapped_once(MM)


def riscv(clear: str) -> Setup:
    """One task, two CPUs."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, ContextMm: 1, Pcid: 2},
        start=runs_on_first,
        threads=[
            Thread(task_here, MM, on=AsidCpu(0), when=not_interrupted),
            Thread(task_there, MM, on=AsidCpu(1)),
            Thread(flush_asid, on=AsidCpu(0), daemon=True, name="CPU0 irq"),
        ],
        hardware=TAGGED,
        options={"clear_on_switch": clear},
        goals=[returned],
    )


RISCV = (
    race(
        "RISCV-ASID-CPUMASK",
        "a CPU leaves mm_cpumask and keeps its ASID (before 82dd33fde026)",
        riscv("yes"),
        "INV-X1-1",
    ),
    race(
        "RISCV-ASID-CPUMASK.fixed",
        "with ASIDs a CPU stays in mm_cpumask (82dd33fde026)",
        riscv("no"),
    ),
)

# ------------------------------------------------------------------ HAIKU-PCID


@path(show="kernel unmaps")
def kernel_unmap(mm: Mm) -> None:
    """X86VMTranslationMap::Flush() for the kernel's map, which is in every address space: whose tag
    is to be flushed is read from CR3, and then compared with CR3."""
    cpu = this(AsidCpu)
    xchg(mm.pte[Page(0)], Pte())
    if FLUSH_ID == "cr3":
        tag = READ_ONCE(cpu.tag)
        invalidate_list(cpu, tag)
    else:
        invalidate_any(cpu)
    return_to_user(mm, (Page(0),))
    x1.use(MM, Page(0))


@atomic(show="arch_cpu_invalidate_list()")
def invalidate_list(cpu: AsidCpu, tag: Pcid) -> None:
    """Nothing to do for an address space that is not loaded: its user half will be flushed when it
    is. But this was the kernel's half."""
    if cpu.tag == tag:
        for other in Pcid:
            drop(cpu, other, {Page(0)})


@atomic(show="arch_cpu_invalidate_list(any)")
def invalidate_any(cpu: AsidCpu) -> None:
    """INVLPG of a global page is for all tags (Intel SDM 3A 4.10.4.1)."""
    for other in Pcid:
        drop(cpu, other, {Page(0)})


@path(show="reschedule")
def reschedule(mm: Mm) -> None:
    """The thread is preempted and goes on in another team's address space."""
    load_cr3(this(AsidCpu), mm, Pcid(1), True)


def haiku(flush_id: str) -> Setup:
    """One CPU."""
    return Setup(
        sizes={Cpu: 1, Page: 1, Frame: 1, ContextMm: 1, Pcid: 2},
        start=kernel_mapped,
        threads=[
            Thread(kernel_unmap, MM, on=AsidCpu(0), name="thread"),
            Thread(reschedule, MM, on=AsidCpu(0), name="scheduler"),
        ],
        hardware=TAGGED,
        options={"flush_id": flush_id},
        goals=[returned],
    )


@atomic
def kernel_mapped() -> None:
    """The page is mapped in the kernel's half, and cached under both tags."""
    AsidCpu(0).walks = MM
    mapped_once(MM)
    AsidCpu(0).parked[Pcid(1)][Page(0)] = {ENTRY}


HAIKU = (
    race(
        "HAIKU-PCID",
        "whom to flush is read from CR3, which changes before the flush",
        haiku("cr3"),
        "INV-X1-1",
    ),
    race(
        "HAIKU-PCID.fixed",
        "the kernel's map is flushed whatever CR3 is (ddff61f30e)",
        haiku("any"),
    ),
)

# ------------------------------------------------------------------ XSA-294


@path(show="toggle_guest_pt()")
def toggle(old: Mm, new: Mm) -> None:
    """The shadow of a guest's page table is thrown away for want of memory and made anew; the next
    toggle between guest kernel and user loads the new root under the old tag."""
    cpu = this(AsidCpu)
    x1.use(MM, Page(0))
    xchg(old.pte[Page(0)], Pte())
    return_to_user(old, (Page(0),))
    load_cr3(cpu, new, Pcid(0), TOGGLE == "noflush")
    x1.use(MM, Page(0))


@atomic
def shadowed() -> None:
    """The vCPU runs on the first root; the second is empty."""
    AsidCpu(0).walks = MM
    mapped_once(MM)


def xen(how: str) -> Setup:
    """One CPU."""
    return Setup(
        sizes={Cpu: 1, Page: 1, Frame: 1, ContextMm: 2, Pcid: 1},
        start=shadowed,
        threads=[Thread(toggle, MM, ContextMm(1), on=AsidCpu(0))],
        hardware=TAGGED,
        options={"toggle": how},
        goals=[returned],
    )


XEN = (
    race(
        "XSA-294",
        "a CR3 write keeps what is cached although the root is another one",
        xen("noflush"),
        "INV-X1-1",
    ),
    race("XSA-294.fixed", "each toggle flushes (329b00e4d4)", xen("flush")),
)
