"""arch/arm64/mm/context.c: which ASID a process has, and arch/arm64/include/asm/tlbflush.h with it.

ASIDs are few, so they come in generations. When none is free, the generation is increased
(*rollover*): every ASID is free again but those that some CPU is using, and each CPU flushes its
own TLB before it runs a process with an ASID of the new generation. A process keeps its ASID for as
long as the generation lasts, and longer if it was running at the rollover. A switch to a process
whose ASID is of the current generation takes no lock.

Written from v5.15, with what came before as options. ``asid_map``, ``reserved_asids``, ``cur_idx``
and ``tlb_flush_pending`` are touched only with ``cpu_asid_lock`` held, so nobody sees them between
two accesses: what only touches them is one step here. ``active_asids``, ``asid_generation`` and
``mm->context.id`` are also read without the lock, and each access to them is a step.

A generation is a number up to the size of ``Generation``; a rollover beyond it does not happen. The
kernel's has 48 bits or more, and cannot wrap in practice.
"""

from __future__ import annotations

from shootdown.hardware.arm64_asid import (
    CNP,
    Asid,
    AsidPe,
    OnePageSpace,
    dsb_ish,
    tlbi_vale1is,
    tlbi_vmalle1,
    write_reserved_ttbr,
    write_ttbr,
)
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Object,
    Option,
    SpinLock,
    Word,
    atomic,
    choose,
    cmpxchg,
    ghost,
    path,
    ranged,
    shared,
    smp_mb,
    this,
    when,
    xchg,
)
from shootdown.linux.mm_types import Mm

FAST_PATH = Option(
    "asid_fast_path",
    "cmpxchg",
    choices=("cmpxchg", "xchg"),
    doc="active_asids is replaced without the lock only if it is not 0 (a8ffaaa060b8); or in any "
    "case (before v4.16).",
)
ASID_READ = Option(
    "asid_read",
    "after-dsb",
    choices=("after-dsb", "before-dsb", "before-clear"),
    doc="a flush reads mm->context.id after the DSB that makes the cleared PTE visible "
    "(5e10f9887ed8); before it (until v5.14); or before the PTE is cleared, which is what an early "
    "read amounts to.",
)
CNP_SWITCH = Option(
    "cnp_switch",
    "reserved",
    choices=("reserved", "direct"),
    doc="with CnP a CPU walks the reserved table from before it gives up its ASID "
    "(5ffdfaedfa0a); or keeps the old one until the end of the switch.",
)
ASID_CHOICE = Option(
    "asid_choice",
    "next",
    choices=("next", "any"),
    doc="a free ASID is the next one after cur_idx; or any, so that no ASID is special.",
)


class Generation(Object):
    """How many generations there are: only their number matters."""


class Context(Word):
    """``mm->context.id``: an ASID and its generation. All zero: none."""

    asid: Asid = Asid(0)
    generation: int = ranged(0, Generation)

    def show(self) -> str:
        """As ``ASID2 of generation 1``."""
        return f"{self.asid} of generation {self.generation}" if self.generation else "none"


class AsidMm(Mm, OnePageSpace, show="mm{}"):
    """``context_id``: ``mm->context.id``. ``flushed`` (ghost): its page was unmapped and the flush
    has returned."""

    context_id: Context
    flushed: bool = ghost(False)


class AsidCpu(AsidPe):
    """What the allocator keeps for each CPU. ``switching`` (ghost): between the beginning and the
    end of ``check_and_switch_context()``."""

    active_asid: Context
    reserved_asid: Context
    switching: bool = ghost(False)


class Reclaim(Object, show="kswapd"):
    """A CPU that runs no process while it reclaims memory, so it has no translations to lose."""


cpu_asid_lock = shared(SpinLock)
asid_generation = shared(int, ranged(0, Generation, init=1))
asid_map = shared(set[Asid])
tlb_flush_pending = shared(set[AsidCpu])
cur_idx = shared(Asid, Asid(1))


# ------------------------------------------------------------------ with cpu_asid_lock held


@atomic(show="check_update_reserved_asid()")
def check_update_reserved_asid(old: Context, new: Context) -> bool:
    """Was this ASID in use at a rollover? Then its process keeps it, and every copy of the old one
    becomes the new one."""
    hit = False
    for cpu in AsidCpu:
        if cpu.reserved_asid == old:
            hit = True
            cpu.reserved_asid = new
    return hit


@atomic(show="__test_and_set_bit(asid_map)")
def take_again(asid: Asid) -> bool:
    """Take the ASID that the process had before, if nobody has it now."""
    if asid in asid_map:
        return False
    asid_map.add(asid)
    return True


@atomic(show="find_next_zero_bit(asid_map)")
def take_free() -> Asid | None:
    """Take a free ASID, if there is one. None below ``cur_idx`` is free: they are given out
    upwards, and none is given back before the next rollover."""
    free: set[Asid] = {asid for asid in Asid if asid != Asid(0) and asid not in asid_map}
    if not free:
        return None
    found = choose(free)
    if ASID_CHOICE == "next":
        when(all(found.index <= asid.index for asid in free))
    asid_map.add(found)
    return found


@atomic(show="atomic64_add_return(asid_generation)")
def next_generation() -> int:
    """Begin a generation: no ASID is taken."""
    when(asid_generation < len(Generation))
    generation: int = asid_generation + 1
    WRITE_ONCE(asid_generation, generation)
    WRITE_ONCE(asid_map, set())
    return generation


@atomic(show="keep the ASID of {cpu}")
def preserve(cpu: AsidCpu) -> None:
    """Take the ASID that a CPU is using; from now on its next switch needs the lock. One that was
    here before and has not switched since has a 0, and the reserved ASID tells what it runs."""
    context = cpu.active_asid
    cpu.active_asid = Context()
    if context == Context():
        context = cpu.reserved_asid
    asid_map.add(context.asid)
    cpu.reserved_asid = context


@atomic(show="cpumask_setall(tlb_flush_pending)")
def all_must_flush() -> None:
    """Every CPU flushes before it runs a process again."""
    WRITE_ONCE(tlb_flush_pending, set(AsidCpu))


@atomic(show="cpumask_test_and_clear_cpu(tlb_flush_pending)")
def must_flush(cpu: AsidCpu) -> bool:
    """Whether this CPU has not flushed since the last rollover."""
    pending = cpu in tlb_flush_pending
    tlb_flush_pending.discard(cpu)
    return pending


@path(show="flush_context()")
def flush_context() -> None:
    """A rollover. The order of the CPUs does not matter, so there is none."""
    left = set(AsidCpu)
    while left:
        cpu = choose(left)
        left.discard(cpu)
        preserve(cpu)
    all_must_flush()


@path(show="new_context()")
def new_context(old: Context, generation: int) -> Context:
    """An ASID of the current generation: the one that the process has, if it was in use at the last
    rollover; or if nobody else has it; or a free one; or one that a rollover frees."""
    if old != Context():
        new = Context(asid=old.asid, generation=generation)
        if check_update_reserved_asid(old, new):
            return new
        if take_again(old.asid):
            return new
    asid = take_free()
    if asid is not None:
        return Context(asid=asid, generation=generation)
    now = next_generation()
    flush_context()
    found = take_free()
    assert found is not None, "INV-ASID-5: a rollover has freed no ASID"
    return Context(asid=found, generation=now)


# ------------------------------------------------------------------ a switch


@path
def fast_path(cpu: AsidCpu, mm: AsidMm) -> bool:
    """Take up an ASID of the current generation without the lock, unless there was a rollover
    since this CPU's last switch."""
    context = READ_ONCE(mm.context_id)
    if FAST_PATH == "xchg":
        if context.generation != READ_ONCE(asid_generation):
            return False
        return xchg(cpu.active_asid, context) != Context()
    old = READ_ONCE(cpu.active_asid)
    if old == Context() or context.generation != READ_ONCE(asid_generation):
        return False
    return cmpxchg(cpu.active_asid, old, context) != Context()


@path
def slow_path(cpu: AsidCpu, mm: AsidMm) -> None:
    """Everything else."""
    with cpu_asid_lock:
        context = READ_ONCE(mm.context_id)
        generation = READ_ONCE(asid_generation)
        if context.generation != generation:
            context = new_context(context, generation)
            WRITE_ONCE(mm.context_id, context)
        if must_flush(cpu):
            tlbi_vmalle1()
        WRITE_ONCE(cpu.active_asid, context)


@path(show="check_and_switch_context()")
def check_and_switch_context(mm: AsidMm) -> None:
    """Run ``mm`` on this CPU."""
    cpu = this(AsidCpu)
    cpu.switching = True
    if CNP == "on" and CNP_SWITCH == "reserved":
        write_reserved_ttbr()
    if not fast_path(cpu, mm):
        slow_path(cpu, mm)
    context = READ_ONCE(mm.context_id)  # cpu_switch_mm() reads it again
    write_ttbr(mm, context.asid)
    cpu.switching = False


# ------------------------------------------------------------------ a flush


@path(show="ASID()")
def mm_asid(mm: AsidMm) -> Asid:
    """The ASID that a process has now, without any lock."""
    return READ_ONCE(mm.context_id).asid


@path(show="dsb(ishst)", role="barrier")
def dsb_ishst() -> None:
    """Wait until the stores before it are visible to every page walk."""
    smp_mb()


@path(show="flush_tlb_page()", role="flush")
def flush_tlb_page(mm: AsidMm, early: Asid) -> None:
    """Invalidate the page of a process everywhere."""
    if ASID_READ == "before-clear":
        asid = early
    elif ASID_READ == "before-dsb":
        asid = mm_asid(mm)
        dsb_ishst()
    else:
        dsb_ishst()
        asid = mm_asid(mm)
    tlbi_vale1is(asid)
    dsb_ish()


@path(show="try_to_unmap_one()")
def try_to_unmap_one(mm: AsidMm) -> None:
    """Clear the PTE of a process that may run anywhere, and flush. The exchange that clears a PTE
    is relaxed: it orders nothing, so it is a plain store here."""
    early = Asid(0)
    if ASID_READ == "before-clear":
        early = mm_asid(mm)
    WRITE_ONCE(mm.mapped, False)
    flush_tlb_page(mm, early)
    mm.flushed = True
