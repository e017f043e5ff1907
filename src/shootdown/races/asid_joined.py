"""kernel-tla's ``asidalloc.tla`` in as few steps as show everything: ``docs/asid.md``.

:mod:`.asid_labels` has a step for each label. Here labels are joined where nothing that a property
asks for can get lost. What may be joined follows Lipton ("Reduction: A Method of Proving Properties
of Parallel Programs", CACM 1975); the TLB's part is the argument of :mod:`.asid_labels`: a schedule
in which the TLB has the same entries or more at each step, and PTEs are invalidated no later,
breaks whatever the other one breaks.

* With ``cpu_asid_lock`` held nobody else touches ``asid_map``, ``reserved_asids``,
  ``tlb_flush_pending`` and this CPU's element of ``active_asids``, nor writes ``mm_context_id`` and
  ``asid_generation``. So what only touches those (and the lock) moves to a neighbouring step of the
  lock's holder. Steps of their own are what others look at: the new generation, the other CPUs'
  ``active_asids``, ``mm_context_id``. The CPU that rolls over is the first one of the loop.
  (The steps before the new generation are three, not one: one is too large to prove symmetries of.)
* A local TLB flush is made as late as it can be: with the release of the lock. If none is pending,
  there is none, and the lock is released with the step before.
* The next process is chosen when its context is read.
* ``check_current_generation`` goes with ``check_and_switch_context``. If the ASID is of an older
  generation then, it is so for ever. If a rollover begins in between, the CPU goes to ``slow_path``
  and waits there until the lock is released, and before that happens its ``active_asids`` is 0. It
  may as well wait before the ``cmpxchg``, which then fails.
* That ``cmpxchg`` finds what was read or 0: nobody else writes anything but 0. So what was read is
  not kept.
* ``pte_clear`` goes with ``read_asid``, as late as it can be. With the bug, where that comes before
  it, it goes with ``tlbi``. ``after_tlbi`` goes with ``tlbi``, as early as it can be.
"""

from __future__ import annotations

from shootdown.hardware.arm64_asid import Asid
from shootdown.lang import WRITE_ONCE, atomic, choose, path, this, when
from shootdown.linux.arch.arm64.context import (
    AsidCpu,
    AsidMm,
    Context,
    asid_generation,
    asid_map,
    tlb_flush_pending,
)
from shootdown.races.asid_labels import (
    Unmaps,
    after_tlbi,
    asidalloc,
    clear_map,
    cpu_asid_lock,
    cpu_switch_mm,
    first_free,
    local_flush_tlb_all,
    next_generation,
    preserve,
    pte_clear,
    read_asid,
    sched_loop,
    set_active_and_unlock,
    take_active,
    take_again,
    tlbi,
    update_reserved,
)

# ------------------------------------------------------------------ a switch


@atomic(show="check_and_switch_context, check_current_generation")
def read_contexts(cpu: AsidCpu) -> tuple[AsidMm, Context, bool]:
    """The next process, what it has, and whether no lock is needed."""
    mm = sched_loop(cpu)
    context = mm.context_id
    current = cpu.active_asid != Context() and context.generation == asid_generation
    return mm, context if current else Context(), current


@atomic(show="cmpxchg_active_asids, check_roll_over")
def replace_active(cpu: AsidCpu, context: Context) -> bool:
    """Use it, unless there was a rollover since."""
    if cpu.active_asid == Context():
        return False
    cpu.active_asid = context
    return True


@atomic
def finish(cpu: AsidCpu, mm: AsidMm, context: Context) -> bool:
    """The process has an ASID of the current generation. Whether a flush is pending; else the CPU
    uses it."""
    mm.context_id = context
    if cpu in tlb_flush_pending:
        return True
    set_active_and_unlock(cpu, context)
    return False


@atomic
def free_one() -> Context:
    """A free ASID, or none."""
    asid = first_free()
    if asid is None:
        return Context()
    asid_map.add(asid)
    return Context(asid=asid, generation=asid_generation)


@atomic(show="slow_path")
def lock(cpu: AsidCpu, mm: AsidMm) -> tuple[Context, bool]:
    """Take the lock. If the process has an ASID of the current generation, whether a flush is
    pending."""
    when(not cpu_asid_lock)
    WRITE_ONCE(cpu_asid_lock, True)
    context = mm.context_id
    if context.generation != asid_generation:
        return Context(), True
    return context, finish(cpu, mm, context)


@atomic(show="new_context to new_context_ret_from_check_update_reserved_asid_end")
def same_again(cpu: AsidCpu, mm: AsidMm) -> tuple[Context, bool]:
    """The ASID that the process had, if it may. Then whether a flush is pending."""
    old = mm.context_id
    if old == Context():
        return old, True
    new = Context(asid=old.asid, generation=asid_generation)
    hit = False
    for c in AsidCpu:
        if update_reserved(c, old, new):
            hit = True
    if not hit and not take_again(old.asid):
        return Context(), True
    return new, finish(cpu, mm, new)


@atomic(show="new_context_allocate_free_asid, new_context_out_of_asids")
def another(cpu: AsidCpu, mm: AsidMm) -> tuple[Context, bool]:
    """A free ASID, and whether a flush is pending. If there is none a rollover begins: all others
    must give back theirs."""
    context = free_one()
    if context != Context():
        return context, finish(cpu, mm, context)
    next_generation()
    clear_map()
    preserve(cpu, take_active(cpu))
    return context, True


@atomic(show="flush_context_for_each_cpu {cpu}")
def take_back(cpu: AsidCpu) -> None:
    """It keeps its ASID; its next switch needs the lock."""
    preserve(cpu, take_active(cpu))


@atomic(show="tlb_flush_pending to check_and_switch_context_ret_new_context")
def after_rollover(mm: AsidMm) -> Context:
    """Every CPU must flush. The process has a new ASID."""
    WRITE_ONCE(tlb_flush_pending, set(AsidCpu))
    context = free_one()
    assert context != Context(), "INV-ASID-5: a rollover has freed no ASID"
    mm.context_id = context
    return context


@atomic(show="tlb_flush_pending, set_active_asids")
def flush_and_unlock(cpu: AsidCpu, context: Context) -> None:
    """Flush, then use it."""
    local_flush_tlb_all(cpu)
    set_active_and_unlock(cpu, context)


@path(show="slow_path")
def slow_path(cpu: AsidCpu, mm: AsidMm) -> Asid:
    """With the lock."""
    context, pending = lock(cpu, mm)
    if context == Context():
        context, pending = same_again(cpu, mm)
    if context == Context():
        context, pending = another(cpu, mm)
    if context == Context():
        left = set(AsidCpu)
        left.discard(cpu)
        while left:
            other = choose(left)
            left.discard(other)
            take_back(other)
        context = after_rollover(mm)
    if pending:
        flush_and_unlock(cpu, context)
    return context.asid


@path(show="sched")
def sched() -> None:
    """One process after the other."""
    cpu = this(AsidCpu)
    while True:
        mm, context, current = read_contexts(cpu)
        asid = context.asid
        if not (current and replace_active(cpu, context)):
            asid = slow_path(cpu, mm)
        cpu_switch_mm(cpu, mm, asid)


# ------------------------------------------------------------------ an unmap


@atomic(show="pte_clear, read_asid")
def clear_and_read(mm: AsidMm) -> Asid:
    """The right order."""
    pte_clear(mm)
    return read_asid(mm)


@atomic(show="tlbi {asid}, after_tlbi")
def flush(mm: AsidMm, asid: Asid) -> None:
    """The page is invalidated."""
    tlbi(asid)
    after_tlbi(mm)


@atomic(show="pte_clear, tlbi {asid}, after_tlbi")
def clear_and_flush(mm: AsidMm, asid: Asid) -> None:
    """The same after the wrong order."""
    pte_clear(mm)
    flush(mm, asid)


@path(show="try_to_unmap()")
def try_to_unmap(mm: AsidMm, *, early: bool) -> None:
    """Unmap the page of a process. ``early``: the bug, the ASID is read first."""
    if early:
        clear_and_flush(mm, read_asid(mm))
    else:
        flush(mm, clear_and_read(mm))


JOINED = (
    asidalloc(
        "ASID.asidalloc-joined",
        "ASID.asidalloc-one in fewer steps",
        unmaps=Unmaps.ONE,
        paths=(sched, try_to_unmap),
    ),
    asidalloc(
        "ASID.asidalloc-joined-early",
        "the same with the bug of 50c387f",
        unmaps=Unmaps.ONE,
        early=True,
        generations=3,
        paths=(sched, try_to_unmap),
    ),
)
