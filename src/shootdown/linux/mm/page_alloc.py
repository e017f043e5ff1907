"""mm/page_alloc.c with LUF: a page that leaves the free lists is flushed first if it owes a flush.

``luf_takeoff_start()`` and ``luf_takeoff_end()`` are around every place that takes pages off a free
list, ``luf_takeoff_check_and_fold()`` at the page itself ("mm: introduce APIs to check if the page
allocation is tlb shootdownable"). The free lists are the ghost flag ``allocated`` of each folio,
under one lock. Left out: the rule that keeps some pages without a luf_key in each zone.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import tlb_may_use, usable
from shootdown.hardware.ipi import local_irq_disable, local_irq_enable
from shootdown.hardware.machine import ARCH, Cpu, Frame, Page
from shootdown.lang import (
    READ_ONCE,
    Object,
    Option,
    Record,
    SpinLock,
    atomic,
    atomic_dec_and_test,
    mark,
    note,
    path,
    ranged,
    this,
)
from shootdown.linux.arch.x86.tlb_batch import flush_tlb_batch
from shootdown.linux.mm.luf_batch import (
    INIT_ON_FREE,
    LufCpu,
    LufKey,
    LufPage,
    arch_tlbbatch_diet,
    older,
    tlb_flush_end,
    tlb_flush_start,
    ugen_before,
)
from shootdown.linux.mm_types import Folio

LUF_TAKEOFF = Option(
    "luf_takeoff",
    "checked",
    choices=("checked", "unchecked", "flush"),
    doc="an allocation with interrupts off refuses a page that owes a flush (v12); or takes it and "
    "does not flush; or takes it and flushes, with interrupts off.",
)


LUF_FLUSHER = Option(
    "luf_flusher",
    "each",
    choices=("each", "one"),
    doc="who takes a page that owes a flush does the flush, though another CPU may be doing it "
    "for another page (v12 up to its last patch); or one at a time, and who has waited looks again "
    "(luf_on_flushing of v10; zone_ugen of v12's last patch).",
    tacit=True,
)


class Zone(Object, show="zone"):
    """``struct zone``: the lock of its free lists. ``flusher``: held by the one who flushes."""

    lock: SpinLock
    flusher: SpinLock


class Takeoff(Record):
    """The fields of ``current`` for taking pages: the CPUs to flush, up to which request, and
    whether that is possible at all."""

    cpus: set[Cpu] = set()  # noqa: RUF012
    ugen: int = ranged(0, 7)
    no_shootdown: bool = False


@atomic
def in_use(page: Frame) -> bool:
    """Whether a user instruction of some CPU can use this frame.

    A CPU with interrupts off is in the kernel; what it still has when it leaves is looked at then
    (``not_used_after_takeoff()``).
    """
    return any(
        entry.frame == page
        for cpu in Cpu
        if cpu.irq_on and usable(cpu)
        for user_page in Page
        for entry in cpu.tlb[user_page]
    )


# ------------------------------------------------------------------ free


@atomic(show="free_unref_folios()")
def free_unref_folio_luf(folio: Folio, key: LufKey | None) -> None:
    """L3: The frame goes back to the allocator, with the key of its request."""
    page = cast(LufPage, folio)
    if INIT_ON_FREE == "write":
        assert not tlb_may_use(folio), (
            "INV-S2-7: a free page is written to, and a CPU can still read it"
        )
    page.luf_key = key
    folio.allocated = False


@path(show="folio_put()")
def folio_put_luf(folio: Folio, key: LufKey | None) -> None:
    """Drop the last reference but keep the flush for later: ``page_cache_release()``."""
    if atomic_dec_and_test(folio.refcount):
        free_unref_folio_luf(folio, key)


# ------------------------------------------------------------------ take


@atomic
def unfinished(key: LufKey) -> bool:
    """Whether some CPU still has to flush for this key."""
    batch = key.batch
    return any(cpu in batch.cpus and older(cpu.ugen_done, batch.ugen) for cpu in LufCpu)


@path(show="luf_takeoff_start()")
def luf_takeoff_start(off: Takeoff, *, irqs_off: bool) -> None:
    """A1: With interrupts off this CPU could not answer to the flush of another one that waits."""
    off.no_shootdown = irqs_off


@path(show="luf_takeoff_check_and_fold()")
def luf_takeoff_check_and_fold(off: Takeoff, page: LufPage) -> bool:
    """A2..A5, with the lock of the free list: whether this page may be taken.

    The flush that it owes is done when the lock has been dropped. On the arm64 of v12 no CPU ever
    has anything left to do (``arch_tlbbatch_check_done()``).
    """
    key = READ_ONCE(page.luf_key)
    if key is None or ARCH == "arm64":
        return True
    batch = READ_ONCE(key.batch)
    left = arch_tlbbatch_diet(batch.cpus, batch.ugen)
    if not left:
        note("flushed since")
        return True
    if off.no_shootdown and LUF_TAKEOFF == "checked":
        note("cannot flush here: refused")
        return False
    off.cpus = off.cpus | batch.cpus
    if off.ugen == 0 or ugen_before(off.ugen, batch.ugen):
        off.ugen = batch.ugen
    return True


@path(show="arch_tlbbatch_flush()", role="flush")
def flush_takeoff(cpus: set[Cpu]) -> None:
    """F2 for the pages that were taken."""
    flush_tlb_batch(cpus)


@path(show="luf_takeoff_end()")
def luf_takeoff_end(off: Takeoff) -> None:
    """A6: Flush what the pages owe, on the CPUs that have not flushed since."""
    if not off.no_shootdown or LUF_TAKEOFF == "flush":
        if LUF_FLUSHER == "one" and off.cpus:
            with Zone(0).flusher:
                flush_undone(off)
        else:
            flush_undone(off)


@path
def flush_undone(off: Takeoff) -> None:
    """Whatever has not been done meanwhile."""
    cpus = arch_tlbbatch_diet(off.cpus, off.ugen)
    if cpus:
        ugen = tlb_flush_start()
        flush_takeoff(cpus)
        tlb_flush_end(cpus, ugen)


@path(show="rmqueue()")
def rmqueue(zone: Zone, off: Takeoff) -> LufPage | None:
    """The first free page that may be taken."""
    with zone.lock:
        for page in LufPage:
            if not page.allocated and luf_takeoff_check_and_fold(off, page):
                page.allocated = True
                return page
    return None


@atomic(show="prep_new_page()")
def prep_new_page(page: LufPage, off: Takeoff) -> None:
    """A7: The new owner has it and writes to it."""
    key = page.luf_key
    if in_use(page):
        mark("{} is still mapped", page)
    assert not (off.no_shootdown and key is not None and unfinished(key)), (
        "INV-S2-10: a page is taken where nobody can flush, and owes a flush"
    )
    assert not in_use(page), "INV-S2-5: a page is allocated that a CPU can still use"
    page.luf_key = None
    page.unmapped = 0
    page.data = 3


@path(show="alloc_page()")
def alloc_page(zone: Zone, *, irqs_off: bool = False) -> LufPage | None:
    """A1..A7. ``irqs_off``: from a context in which nothing can be flushed."""
    off = Takeoff()
    me = this(Cpu)
    if irqs_off:
        local_irq_disable(me)
    luf_takeoff_start(off, irqs_off=irqs_off)
    page = rmqueue(zone, off)
    luf_takeoff_end(off)
    if page is not None:
        prep_new_page(page, off)
    if irqs_off:
        local_irq_enable(me)
    return page
