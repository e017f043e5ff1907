"""kernel/rcu: just enough of it to free a page table.

A grace period waits for every CPU that was in a read-side section when it began. Interrupts off,
preemption off and ``rcu_read_lock()`` are all such sections since the flavours were merged
(consolidation of 4.20: 3e31009898699). That a grace period takes longer than this makes nothing
unsafe, so the shortest possible one is modelled.
"""

from __future__ import annotations

from shootdown.lang import atomic, note, rule, this, when
from shootdown.linux.mm_tables import LocklessCpu, PageTable
from shootdown.linux.table_checks import free_table


@atomic
def reading(cpu: LocklessCpu) -> bool:
    """Whether the CPU is in a section that a grace period waits for."""
    return not cpu.irq_on or cpu.rcu_nesting > 0


@atomic(show="rcu_read_lock()", role="lock")
def rcu_read_lock() -> None:
    """A grace period that begins now waits for this CPU. Interrupts still arrive."""
    this(LocklessCpu).rcu_nesting = 1


@atomic(show="rcu_read_unlock()")
def rcu_read_unlock() -> None:
    """What was found may be freed now."""
    cpu = this(LocklessCpu)
    cpu.rcu_nesting = 0
    cpu.walking = None


@atomic(show="local_irq_save()", role="lock")
def local_irq_save() -> None:
    """From here on this CPU takes no interrupt, and holds up grace periods."""
    this(LocklessCpu).irq_on = False


@atomic(show="local_irq_restore()")
def local_irq_restore() -> None:
    """What was found may be freed now."""
    cpu = this(LocklessCpu)
    cpu.irq_on = True
    cpu.walking = None


@atomic(show="call_rcu()")
def call_rcu(table: PageTable) -> None:
    """Free the table after a grace period."""
    table.rcu_pending = True
    table.rcu_wait = {cpu for cpu in LocklessCpu if reading(cpu)}


@rule(fair=True, show="{cpu} has left its read-side section")
def quiescent_state(cpu: LocklessCpu, table: PageTable) -> None:
    """``rcu_qs()``: the CPU was seen outside."""
    when(cpu in table.rcu_wait and not reading(cpu))
    table.rcu_wait.discard(cpu)


@rule(fair=True, show="RCU: free {table}")
def rcu_callback(table: PageTable) -> None:
    """``tlb_remove_table_rcu()``, when all have been seen."""
    when(table.rcu_pending and not table.rcu_wait)
    table.rcu_pending = False
    free_table(table)
    note("after a grace period")
