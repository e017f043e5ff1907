"""kernel-tla's ``asidalloc.tla`` label by label: ``docs/asid.md``.

A label of PlusCal is one atomic step. Here each label of the algorithm (Catalin Marinas, commit
50c387f, ``CnP = FALSE``) is one step, in its order and with its name, so that the two can be
compared step for step; ``ASID.forever`` has finer ones. The TLB is theirs too: it gets an entry
when a CPU begins to run a process whose page is mapped, and at no other time; a TLBI takes effect
on all CPUs at once.

Three things differ, and none of them changes what can happen:

* ``AnyElem(cpus)`` takes a fixed CPU there, any one here. Else CPUs could not be exchanged.
* ``cur_idx`` is left out. ``asid_map`` is cleared only before a search from 1, and each search
  takes the first free ASID, so none below ``cur_idx`` is ever free. Bit 0 of ``asid_map``, which
  nobody looks at, is not set.
* Locals, ``ret_new_context`` and ``ret_check_update_reserved_asid`` end with their last use.

``ASID.asidalloc`` unmaps any page at any time, again and again; ``ASID.asidalloc-one`` one page,
once, or not at all. That is enough, for the bug as well:

* No CPU looks at the TLB, or at a PTE but to add an entry while it is mapped. So without some of
  the calls of ``try_to_unmap`` the CPUs can do the same steps, and the TLB has the same entries at
  each of them, or more: adding an entry and removing some, whatever the others are, keep what is
  the larger set the larger one.
* More entries break no invariant less. INV-ASID-1 and INV-ASID-3 do not look at PTEs, so what
  breaks them does so without any call. INV-ASID-2 is broken for a process whose page is
  invalidated. Of all calls only the first one for this process is needed: its page is mapped until
  then, and invalidated from its end on, with every other call or without.
* Processes can be exchanged, so it may as well be the first one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from shootdown.hardware.arm64_asid import Asid
from shootdown.lang import (
    WRITE_ONCE,
    Hardware,
    Scenario,
    Setup,
    Thread,
    atomic,
    choose,
    cmpxchg,
    event,
    invariant,
    path,
    scenario,
    shared,
    this,
    when,
)
from shootdown.linux.arch.arm64.context import (
    AsidCpu,
    AsidMm,
    Context,
    Generation,
    Reclaim,
    asid_generation,
    asid_map,
    tlb_flush_pending,
)
from shootdown.races import asid_properties as prop
from shootdown.races.asid import sizes

cpu_asid_lock = shared(bool, False)


# ------------------------------------------------------------------ flush_context


@atomic(show="flush_context")
def clear_map() -> None:
    """No ASID is taken."""
    WRITE_ONCE(asid_map, set())


@atomic(show="flush_context_for_each_cpu {cpu}")
def take_active(cpu: AsidCpu) -> Context:
    """What the CPU uses; its next switch needs the lock."""
    context = cpu.active_asid
    cpu.active_asid = Context()
    return context


@atomic(show="flush_context_asid0_check {cpu}")
def preserve(cpu: AsidCpu, active: Context) -> None:
    """It keeps its ASID."""
    context = cpu.reserved_asid if active == Context() else active
    if context != Context():
        asid_map.add(context.asid)
    cpu.reserved_asid = context


@atomic(show="flush_context_for_each_cpu: tlb_flush_pending")
def all_must_flush() -> None:
    """The loop ends: every CPU flushes before it runs a process again."""
    WRITE_ONCE(tlb_flush_pending, set(AsidCpu))


@path(show="flush_context()")
def flush_context() -> None:
    """A rollover."""
    clear_map()
    left = set(AsidCpu)
    while left:
        cpu = choose(left)
        left.discard(cpu)
        preserve(cpu, take_active(cpu))
    all_must_flush()


# ------------------------------------------------------------------ check_update_reserved_asid


@atomic(show="check_update_reserved_asid_for_each_cpu {cpu}")
def update_reserved(cpu: AsidCpu, old: Context, new: Context) -> bool:
    """Whether it keeps this ASID; then in the new generation."""
    if cpu.reserved_asid != old:
        return False
    cpu.reserved_asid = new
    return True


@path(show="check_update_reserved_asid()")
def check_update_reserved_asid(old: Context, new: Context) -> bool:
    """Whether this ASID was in use at a rollover."""
    event("check_update_reserved_asid")
    hit = False
    left = set(AsidCpu)
    while left:
        cpu = choose(left)
        left.discard(cpu)
        if update_reserved(cpu, old, new):
            hit = True
    event("check_update_reserved_asid_for_each_cpu: return")
    return hit


# ------------------------------------------------------------------ new_context


@atomic(show="new_context")
def old_context(mm: AsidMm) -> tuple[Context, int]:
    """What the process has, and the current generation."""
    return mm.context_id, asid_generation


@atomic(show="new_context_ret_from_check_update_reserved_asid_end")
def take_again(asid: Asid) -> bool:
    """Take the ASID that the process had, if nobody has it."""
    taken = asid in asid_map
    asid_map.add(asid)
    return not taken


@atomic(show="new_context_allocate_free_asid")
def first_free() -> Asid | None:
    """The first free ASID."""
    free: set[Asid] = {asid for asid in Asid if asid != Asid(0) and asid not in asid_map}
    if not free:
        return None
    found = choose(free)
    when(all(found.index <= asid.index for asid in free))
    return found


@atomic(show="new_context_out_of_asids")
def next_generation() -> int:
    """Begin a generation, but none too many: ``Constr``."""
    when(asid_generation < len(Generation))
    generation: int = asid_generation + 1
    WRITE_ONCE(asid_generation, generation)
    return generation


@atomic(show="new_context_ret_flush_context")
def freed() -> Asid | None:
    """The first ASID that the rollover has freed."""
    return first_free()


@atomic(show="set_asid")
def set_asid(asid: Asid) -> None:
    """Take it."""
    asid_map.add(asid)


@path(show="new_context()")
def new_context(mm: AsidMm) -> Context:
    """An ASID of the current generation."""
    old, generation = old_context(mm)
    if old != Context():
        new = Context(asid=old.asid, generation=generation)
        hit = check_update_reserved_asid(old, new)
        event("new_context_ret_from_check_update_reserved_asid")
        if hit:
            return new
        if take_again(old.asid):
            event("new_context_return")
            return new
    asid = first_free()
    if asid is not None:
        set_asid(asid)
        return Context(asid=asid, generation=generation)
    now = next_generation()
    flush_context()
    found = freed()
    assert found is not None, "INV-ASID-5: a rollover has freed no ASID"
    set_asid(found)
    return Context(asid=found, generation=now)


# ------------------------------------------------------------------ check_and_switch_context


@atomic(show="sched_loop")
def sched_loop(cpu: AsidCpu) -> AsidMm:
    """Any other process is to run."""
    cpu.switching = True
    return choose({mm for mm in AsidMm if mm != cpu.ttbr})


@atomic(show="check_and_switch_context")
def read_contexts(cpu: AsidCpu, mm: AsidMm) -> tuple[Context, Context]:
    """What the process has, and what the CPU uses."""
    return mm.context_id, cpu.active_asid


@atomic(show="check_current_generation")
def is_current(context: Context, active: Context) -> bool:
    """Whether no lock is needed."""
    return active != Context() and context.generation == asid_generation


@path(show="cmpxchg_active_asids")
def replace_active(cpu: AsidCpu, active: Context, context: Context) -> bool:
    """Use it, unless there was a rollover since."""
    return cmpxchg(cpu.active_asid, active, context) != Context()


@atomic(show="slow_path")
def lock(mm: AsidMm) -> tuple[Context, bool]:
    """Take the lock; what the process has, and whether it is of the current generation."""
    when(not cpu_asid_lock)
    WRITE_ONCE(cpu_asid_lock, True)
    return mm.context_id, mm.context_id.generation == asid_generation


@atomic(show="check_and_switch_context_ret_new_context")
def set_context(mm: AsidMm, context: Context) -> None:
    """The process has an ASID of the current generation."""
    mm.context_id = context


@atomic(show="tlb_flush_pending")
def local_flush_tlb_all(cpu: AsidCpu) -> None:
    """After a rollover: all entries but those of the process that the CPU is leaving."""
    if cpu in tlb_flush_pending:
        tlb_flush_pending.discard(cpu)
        for asid in Asid:
            cpu.holds[asid] = {mm for mm in cpu.holds[asid] if mm == cpu.ttbr}


@atomic(show="set_active_asids")
def set_active_and_unlock(cpu: AsidCpu, context: Context) -> None:
    """Use it, and release the lock."""
    cpu.active_asid = context
    WRITE_ONCE(cpu_asid_lock, False)


@atomic(show="fast_path: cpu_switch_mm")
def cpu_switch_mm(cpu: AsidCpu, mm: AsidMm, asid: Asid) -> None:
    """The TLB entry has the ASID that the process has now."""
    cpu.ttbr = mm
    cpu.current = asid
    if mm.mapped:
        cpu.holds[mm.context_id.asid].add(mm)
    cpu.switching = False


@path(show="check_and_switch_context()")
def check_and_switch_context(cpu: AsidCpu, mm: AsidMm) -> None:
    """Run a process."""
    context, active = read_contexts(cpu, mm)
    fast = False
    if is_current(context, active):
        fast = replace_active(cpu, active, context)
        event("check_roll_over")
    if not fast:
        context, current = lock(mm)
        if not current:
            context = new_context(mm)
            set_context(mm, context)
        local_flush_tlb_all(cpu)
        set_active_and_unlock(cpu, context)
    cpu_switch_mm(cpu, mm, context.asid)


@path(show="sched")
def sched() -> None:
    """One process after the other."""
    cpu = this(AsidCpu)
    while True:
        mm = sched_loop(cpu)
        check_and_switch_context(cpu, mm)


# ------------------------------------------------------------------ try_to_unmap


@atomic(show="ttu")
def any_process() -> AsidMm:
    """Any process loses its page, for ever, perhaps once more."""
    return choose(AsidMm)


@atomic(show="pte_clear")
def pte_clear(mm: AsidMm) -> None:
    """It is unmapped."""
    mm.mapped = False
    mm.flushed = False


@atomic(show="read_asid")
def read_asid(mm: AsidMm) -> Asid:
    """The ASID to flush."""
    return mm.context_id.asid


@atomic(show="tlbi {asid}")
def tlbi(asid: Asid) -> None:
    """No CPU has entries with this ASID any more."""
    for cpu in AsidCpu:
        cpu.holds[asid] = set()


@atomic(show="after_tlbi")
def after_tlbi(mm: AsidMm) -> None:
    """It is invalidated."""
    mm.flushed = True


@path(show="try_to_unmap()")
def try_to_unmap(mm: AsidMm, *, early: bool) -> None:
    """Unmap the page of a process. ``early``: the bug, the ASID is read first."""
    asid = Asid(0)
    if early:
        asid = read_asid(mm)
    pte_clear(mm)
    if not early:
        asid = read_asid(mm)
    tlbi(asid)
    after_tlbi(mm)


@path(show="ttu")
def ttu(*, early: bool) -> None:
    """Unmap pages, one after the other."""
    while True:
        try_to_unmap(any_process(), early=early)


# ------------------------------------------------------------------ properties and scenarios


@invariant("INV-ASID-2")
def tlb_empty() -> bool:
    """A flush has returned, and there is a TLB entry of a process that runs."""
    return not any(
        mm.flushed
        and any(cpu.ttbr == mm for cpu in AsidCpu)
        and any(mm in cpu.holds[mm.context_id.asid] for cpu in AsidCpu)
        for mm in AsidMm
    )


tables = Hardware(
    "asidalloc",
    assumptions=(
        "a CPU loads a translation when it begins to run the process, and at no other time",
        "a TLBI is one step on all CPUs",
    ),
)


class Unmaps(Enum):
    """Which pages are unmapped."""

    NONE = "none"
    ANY = "any, for ever"
    ONE = "one, once"


def asidalloc(
    name: str,
    title: str,
    *,
    unmaps: Unmaps = Unmaps.ANY,
    early: bool = False,
    generations: int = 2,
    paths: tuple[Any, Any] = (sched, try_to_unmap),
) -> Scenario:
    """The algorithm from boot on. ``early``: the bug. ``paths``: of a CPU, and of one unmap."""
    default = generations
    invariants = [prop.one_space_per_asid, prop.same_asid_everywhere]
    invariants += [] if unmaps is Unmaps.NONE else [tlb_empty]

    @scenario(
        name,
        expect="VIOLATED" if early else "HOLDS",
        violates="INV-ASID-2" if early else None,
        title=title,
    )
    def build(cpus: int = 1, tasks: int = 3, asids: int = 3, generations: int = default) -> Setup:
        threads = [Thread(paths[0], on=AsidCpu(c), daemon=True) for c in range(cpus)]
        if unmaps is Unmaps.ANY:
            threads.append(Thread(ttu, on=Reclaim(0), early=early, daemon=True))
        elif unmaps is Unmaps.ONE:
            threads.append(Thread(paths[1], AsidMm(0), on=Reclaim(0), early=early))
        return Setup(
            sizes=sizes(cpus, tasks, asids, generations),
            threads=threads,
            hardware=tables,
            invariants=invariants,
            goals=[prop.rolled_over, prop.kept],
        )

    return build


LABELS = (
    asidalloc(
        "ASID.asidalloc-2018",
        "kernel-tla's asidalloc.tla label by label, as its README timed it: no page is unmapped",
        unmaps=Unmaps.NONE,
    ),
    asidalloc(
        "ASID.asidalloc",
        "kernel-tla's asidalloc.tla label by label, since 50c387f: pages are unmapped",
    ),
    asidalloc(
        "ASID.asidalloc-early",
        "the same with the bug of 50c387f: the ASID is read before the PTE is cleared",
        early=True,
        generations=3,
    ),
    asidalloc(
        "ASID.asidalloc-one",
        "ASID.asidalloc where one page is unmapped once, which is enough",
        unmaps=Unmaps.ONE,
    ),
    asidalloc(
        "ASID.asidalloc-one-early",
        "the same with the bug of 50c387f",
        unmaps=Unmaps.ONE,
        early=True,
        generations=3,
    ),
)
