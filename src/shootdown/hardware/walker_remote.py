"""Invalidating the caches of ``walker`` on other CPUs: by interrupt, by broadcast, by a hypervisor.

``call_walkers()`` asks for all that the target's address space has cached, ``call_walkers_pages()``
for INVLPG of some pages, on a machine that answers that (``x86_tables_pages``).

An interrupt waits until its target has interrupts on; a broadcast does not, and that is the whole
difference for software that walks page tables with interrupts off. Only the CPU's current PCID is
looked at: a CPU runs one address space here.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from shootdown.hardware.ipi import wait_for_acks
from shootdown.hardware.machine import AddressSpace, Cpu, Page, StealTime
from shootdown.hardware.vcpu import preempt
from shootdown.hardware.walker import Region, Table, Walker, holds, learn, walk_given_away
from shootdown.hardware.walker_flush import ANY_ENTRY, drop_all, drop_page, drop_pcid, walker
from shootdown.lang import Option, atomic, note, path, rule, this, wait_until, when

PDPTE = Option(
    "pdpte",
    "memory",
    choices=("memory", "registers"),
    doc="upper-level entries are read by each walk; or, with PAE, loaded into registers by MOV to "
    "CR3 and used from there until the next one (Intel SDM 3A 4.4.1).",
)


class Call(enum.Enum):
    """What an interrupt asks its target to do: no more than to take it; to invalidate page by page;
    to invalidate all by loading CR3."""

    NOTHING = 0
    INVLPG = 1
    CR3 = 2


class RemoteCpu(Walker):
    """A CPU that can be interrupted. ``call_what``: what the call that it has sent asks for.
    ``pdpte``: the tables that its PDPTE registers refer to. ``pages_pending``: who has not answered
    its call for INVLPG of ``call_pages`` yet."""

    call_what: Call
    pages_pending: set[Cpu]
    pdpte: set[Table]


@atomic
def load_pdptes(cpu: RemoteCpu) -> None:
    """MOV to CR3 loads the registers from memory."""
    space = cpu.root
    cpu.pdpte = set()
    if space is not None:
        for region in Region:
            pmd = space.pmd[region]
            if pmd.present and not pmd.large:
                cpu.pdpte.add(pmd.table)


@atomic
def flush_here(cpu: RemoteCpu, what: Call) -> None:
    """Forget what the current PCID has cached. INVLPG of each page does as well as MOV to CR3, for
    it drops all paging-structure caches; but not the registers (Intel SDM 3A 4.10.4.1)."""
    if what != Call.NOTHING:
        drop_pcid(cpu, cpu.pcid)
        learn(cpu)
    if PDPTE == "registers" and what == Call.CR3:
        load_pdptes(cpu)


@atomic(show="flush here")
def flush_own(cpu: RemoteCpu, what: Call) -> None:
    """The sender's own part."""
    flush_here(cpu, what)


@atomic(show="send IPIs")
def send_walker_calls(sender: RemoteCpu, targets: set[Cpu], what: Call) -> None:
    """Queue the call on every target and interrupt it."""
    sender.call_pending = targets
    sender.call_what = what


@rule(fair=True, show="IPI from {sender}", looks=False)
def handle_walker_call(cpu: RemoteCpu, sender: RemoteCpu) -> None:
    """The target takes the interrupt, invalidates if that is what it was asked, and acknowledges
    (Intel SDM 3A 10.8.4: delivered only while the target accepts interrupts)."""
    when(cpu in sender.call_pending)
    when(cpu.irq_on and not cpu.steal.preempted)
    if sender.call_what != Call.NOTHING:
        note("flush")
    flush_here(cpu, sender.call_what)
    sender.call_pending.discard(cpu)


@path
def call_walkers(targets: set[Cpu], what: Call) -> None:
    """Interrupt the targets and return when all have taken it; this CPU does its part meanwhile."""
    me = this(RemoteCpu)
    others = targets - {me}
    if others:
        send_walker_calls(me, others, what)
    if what != Call.NOTHING and me in targets:
        flush_own(me, what)
    if others:
        wait_for_acks(me)


@atomic
def drop_pages(cpu: RemoteCpu, pages: set[Page]) -> None:
    """INVLPG of each page: other pages stay, tables go (Intel SDM 3A 4.10.4.1)."""
    for page in pages:
        drop_page(cpu, page)
    learn(cpu)


@atomic(show="INVLPG here")
def drop_own_pages(cpu: RemoteCpu, pages: set[Page]) -> None:
    """The sender's own part."""
    drop_pages(cpu, pages)


@atomic(show="send IPIs")
def send_page_calls(sender: RemoteCpu, targets: set[Cpu], pages: set[Page]) -> None:
    """Queue the call on every target and interrupt it."""
    sender.pages_pending = targets
    sender.call_pages = pages


@rule(fair=True, show="IPI from {sender}: INVLPG", looks=False)
def handle_page_call(cpu: RemoteCpu, sender: RemoteCpu) -> None:
    """The target takes the interrupt, invalidates and acknowledges (as ``handle_walker_call``)."""
    when(cpu in sender.pages_pending)
    when(cpu.irq_on and not cpu.steal.preempted)
    drop_pages(cpu, sender.call_pages)
    sender.pages_pending.discard(cpu)


@path
def call_walkers_pages(targets: set[Cpu], pages: set[Page]) -> None:
    """Interrupt the targets for INVLPG of some pages, and return when all have done it; this CPU
    does its part meanwhile."""
    me = this(RemoteCpu)
    others = targets - {me}
    if others:
        send_page_calls(me, others, pages)
    if me in targets:
        drop_own_pages(me, pages)
    if others:
        wait_until(not me.pages_pending)


@atomic(show="INVLPGB; TLBSYNC")
def invalidate_broadcast(space: AddressSpace) -> None:
    """Invalidate one address space everywhere and wait for it: no CPU is interrupted, so none can
    put it off (AMD APM 3, INVLPGB and TLBSYNC; Arm TLBI of the inner-shareable domain and DSB)."""
    for cpu in RemoteCpu:
        if cpu.root == space:
            flush_here(cpu, Call.INVLPG)


@rule(fair=True, show="hypervisor: resume {cpu}", looks=False)
def resume_walker(cpu: Walker) -> None:
    """It runs again; a flush that was asked for meanwhile is done first (KVM record_steal_time(),
    f38a7b75267f)."""
    when(cpu.steal.preempted)
    if cpu.steal.flush:
        drop_all(cpu)
    cpu.steal = StealTime()
    learn(cpu)


@atomic(looks=False)
def may_walk(cpu: RemoteCpu, table: Table) -> bool:
    """Whether a page walk of this CPU may start at a table: it may have the table cached, and will
    not be flushed before it runs again."""
    if PDPTE == "registers" and table in cpu.pdpte:
        return True
    return holds(cpu, table) and not (cpu.steal.preempted and cpu.steal.flush)


x86_tables = replace(
    walker.without(walk_given_away).and_rules(handle_walker_call),
    name="x86 tables",
    assumptions=(
        ANY_ENTRY,
        "a walk may start at a cached table, whatever became of the table since",
        "a table that was given away holds anything",
        "an IPI reaches its target only while the target has its interrupts on",
    ),
)
"""Walks through a table that was given away are not taken: that one is possible is an error
already, which :func:`may_walk` tells."""

x86_tables_pages = replace(
    x86_tables.and_rules(handle_page_call),
    name="x86 tables, by page",
    assumptions=(
        *x86_tables.assumptions,
        "INVLPG leaves the translations of other pages alone",
    ),
)
"""The same, with flushes of some pages (``call_walkers_pages()``)."""

x86_tables_virtual = replace(
    x86_tables.and_rules(preempt, resume_walker),
    name="x86 tables, virtual",
    witness={**x86_tables.witness, "preemption": "explicit"},
    assumptions=(
        *x86_tables.assumptions,
        "a hypervisor may preempt any CPU at any instruction and flushes it on resume if asked to",
    ),
)
