"""Historic races of who is told to flush: a mask that is set, cleared or copied at the wrong time,
on s390, OpenBSD, FreeBSD and powerpc.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

from shootdown.hardware.interrupt import (
    end_of_interrupt,
    not_interrupted,
    send_interrupts,
    take_interrupt,
)
from shootdown.hardware.iommu import Device, dma_write, iotlb_invalidate, with_iommu
from shootdown.hardware.ipi import wait_for_acks
from shootdown.hardware.machine import Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.pcid import Pcid, TaggedCpu, drop, load_cr3
from shootdown.hardware.tlb import invalidate
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Setup,
    Thread,
    atomic,
    atomic_dec,
    atomic_inc,
    counter,
    goal,
    mark,
    note,
    path,
    ranged,
    smp_mb,
    this,
    wait_until,
    xchg,
)
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.linux.user import return_to_user
from shootdown.races import x1_properties as x1
from shootdown.races.x1_counts import KERNEL, S390, USER
from shootdown.races.x1_elsewhere import TAGGED, AsidCpu, race

PAGE = Page(0)
ENTRY = TlbEntry(writable=True, dirty=True, frame=Frame(0))
MAPPED = Pte(present=True, writable=True, accessed=True, dirty=True, frame=Frame(0))

# ------------------------------------------------------------------ S390-DETACH


class AttachMm(ContextMm):
    """``mm->context``: ``attach_mask`` are the CPUs that have the mm now (``cpu_attach_mask``),
    ``cpumask`` those that may have cached something since everybody was flushed; ``flush_count``
    keeps CPUs from attaching."""

    attach_mask: set[Cpu]
    flush_count: int = counter(0, 2)


S390_MM = AttachMm(0)


@atomic(show="IDTE", role="flush")
def idte() -> None:
    """All that any CPU has cached of the address space is purged."""
    for cpu in TaggedCpu:
        drop(cpu, USER, set(Page))


@atomic(show="IPTE")
def ipte(mm: AttachMm, page: Page) -> None:
    """The entry is made invalid, and purged on all CPUs."""
    mm.pte[page] = Pte()
    for cpu in TaggedCpu:
        drop(cpu, USER, {page})


@atomic(show="IPTE local")
def ipte_local(mm: AttachMm, page: Page) -> None:
    """The same with the local-clearing control (zEC12): it is purged on this CPU only."""
    mm.pte[page] = Pte()
    drop(this(TaggedCpu), USER, {page})


@path(show="__tlb_flush_mm()")
def tlb_flush_mm(mm: AttachMm, *, copy: str) -> None:
    """arch/s390/include/asm/tlbflush.h: purge everywhere; from then on only those who have the mm
    can have anything of it. ``copy``: they are noted after the purge, or before it
    (b3e5dc45fd1e)."""
    atomic_inc(mm.flush_count)
    if copy == "before":
        WRITE_ONCE(mm.cpumask, READ_ONCE(mm.attach_mask))
    idte()
    if copy == "after":
        WRITE_ONCE(mm.cpumask, READ_ONCE(mm.attach_mask))
    atomic_dec(mm.flush_count)


@path(show="ptep_flush_direct()")
def ptep_flush_direct(mm: AttachMm, page: Page, *, look: str) -> None:
    """arch/s390/mm/pgtable.c: a local purge is enough if nobody else can have anything cached.
    ``look``: at those who may have something cached (since 64f31d5802af, 4.8), or at those who
    have the mm as well (``attach_count``, since 1b948d6caec4)."""
    me = {this(Cpu)}
    atomic_inc(mm.flush_count)
    alone = True
    if look == "both":
        alone = READ_ONCE(mm.attach_mask) == me
    if alone and READ_ONCE(mm.cpumask) == me:
        ipte_local(mm, page)
    else:
        ipte(mm, page)
    atomic_dec(mm.flush_count)


@path(show="mprotect(); munmap()")
def flush_then_unmap(mm: AttachMm, page: Page, *, copy: str, look: str) -> None:
    """A flush of everything, then one page goes."""
    tlb_flush_mm(mm, copy=copy)
    ptep_flush_direct(mm, page, look=look)
    return_to_user(mm, (page,))


@path(show="switch_mm()")
def detach_and_attach(mm: AttachMm, page: Page) -> None:
    """A CPU leaves the process and comes back to it; it keeps what it has cached. It waits for
    those who flush before it joins the mask (``finish_arch_post_lock_switch()``), as before
    64f31d5802af and since b3e5dc45fd1e; 4.9 joins first, in ``switch_mm()``."""
    cpu = this(TaggedCpu)
    load_cr3(cpu, None, KERNEL, True)
    mm.attach_mask.discard(cpu)
    mm.attach_mask.add(cpu)
    wait_until(mm.flush_count == 0)
    mm.cpumask.add(cpu)
    load_cr3(cpu, mm, USER, True)
    x1.use(mm, page)


@goal("a local purge was enough")
def purged_locally() -> bool:
    """Nobody else is in the mask, and the page is gone."""
    return S390_MM.cpumask == {Cpu(0)} and not S390_MM.pte[PAGE].present


@atomic
def both_attached() -> None:
    """Both CPUs run the process."""
    S390_MM.pte[PAGE] = MAPPED
    for cpu in TaggedCpu:
        load_cr3(cpu, S390_MM, USER, True)
        S390_MM.attach_mask.add(cpu)
        S390_MM.cpumask.add(cpu)


def detaching(copy: str, look: str = "both") -> Setup:
    """CPU0 flushes and unmaps while CPU1 leaves and comes back."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, AttachMm: 1, Pcid: 2},
        start=both_attached,
        threads=[
            Thread(flush_then_unmap, S390_MM, PAGE, copy=copy, look=look, on=TaggedCpu(0)),
            Thread(detach_and_attach, S390_MM, PAGE, on=TaggedCpu(1)),
        ],
        hardware=S390,
        goals=[purged_locally],
    )


DETACH = (
    race(
        "S390-DETACH",
        "the mask is reset after the purge: a CPU has cached more meanwhile, and left (2017)",
        detaching("after"),
        "INV-X1-1",
    ),
    race(
        "S390-DETACH.fixed",
        "the mask is reset before the purge (b3e5dc45fd1e), with the look of before 4.8",
        detaching("before"),
    ),
    race(
        "S390-DETACH.mask",
        "as since b3e5dc45fd1e: a CPU joins the mask between the look at it and the local purge",
        detaching("before", "mask"),
        "INV-X1-1",
    ),
)

# ------------------------------------------------------------------ OPENBSD-PMCPUS


@path(show="cpu_switchto()")
def switch_thread(pmap: ContextMm, page: Page, *, same: str) -> None:
    """sys/arch/amd64/amd64/locore.S: to another thread of the same process. Its page table is
    loaded already, so CR3 stays. ``same``: the CPU leaves ``pm_cpus`` and joins it again all the
    same, or does neither (revision 1.124 of 2021, 9f1181d59de3)."""
    cpu = this(Cpu)
    if same == "left":
        pmap.cpumask.discard(cpu)
        pmap.cpumask.add(cpu)
    x1.use(pmap, page)


@path(show="pmap_remove()")
def pmap_remove(pmap: ContextMm, page: Page) -> None:
    """Clear the entry, interrupt who is in ``pm_cpus``, wait."""
    me = this(AsidCpu)
    xchg(pmap.pte[page], Pte())
    targets = READ_ONCE(pmap.cpumask) - {me}
    if targets:
        send_interrupts(me, targets, {page})
        wait_for_acks(me)
    return_to_user(pmap, (page,))


@path(show="IPI")
def flush_pages() -> None:
    """INVLPG of what is asked."""
    cpu = this(AsidCpu)
    while True:
        sender = take_interrupt(cpu)
        flush_asked(cpu, sender)
        end_of_interrupt(cpu, sender)


@atomic(show="INVLPG")
def flush_asked(cpu: AsidCpu, sender: Cpu) -> None:
    """Of the current tag."""
    invalidate(cpu, sender.call_pages)


PMAP = ContextMm(0)


@goal("the removal has returned")
def removed() -> bool:
    """User space may rely on it."""
    return bool(PMAP.revoked[PAGE])


@atomic
def both_run() -> None:
    """Both CPUs run the process."""
    PMAP.pte[PAGE] = MAPPED
    for cpu in Cpu:
        cpu.walks = PMAP
        PMAP.cpumask.add(cpu)


def openbsd(same: str) -> Setup:
    """CPU0 removes a page while CPU1 switches to another thread of the process."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, ContextMm: 1, Pcid: 1},
        start=both_run,
        threads=[
            Thread(pmap_remove, PMAP, PAGE, on=AsidCpu(0)),
            Thread(switch_thread, PMAP, PAGE, same=same, on=AsidCpu(1), when=not_interrupted),
            Thread(flush_pages, on=AsidCpu(1), daemon=True, name="CPU1 irq"),
        ],
        hardware=TAGGED,
        goals=[removed],
    )


OPENBSD = (
    race(
        "OPENBSD-PMCPUS",
        "a switch between threads of a process takes the CPU out of the mask for a moment",
        openbsd("left"),
        "INV-X1-1",
    ),
    race(
        "OPENBSD-PMCPUS.fixed",
        "the mask is left alone if CR3 stays (9f1181d59de3)",
        openbsd("kept"),
    ),
)

# ------------------------------------------------------------------ FREEBSD-PCID-GEN


class Pmap(ContextMm):
    """``struct pmap``: ``pm_active`` is ``cpumask``. ``pm_gen``: for CPU1, whether what it has
    cached under the map's PCID may be used again; 0 if not (``pm_pcids[cpuid].pm_gen``)."""

    pm_gen: int = ranged(0, 1)


FREEBSD_PMAP = Pmap(0)


@path(show="pmap_invalidate_page()")
def pmap_invalidate_page(pmap: Pmap, page: Page, *, order: str) -> None:
    """sys/amd64/amd64/pmap.c: who has the map active is interrupted, who has not must not use what
    is cached. ``order``: the generation is zeroed before the mask is looked at, or after the
    interrupts (r362031)."""
    me = this(AsidCpu)
    xchg(pmap.pte[page], Pte())
    if order == "before":
        WRITE_ONCE(pmap.pm_gen, 0)
        smp_mb()
    targets = READ_ONCE(pmap.cpumask) - {me}
    if targets:
        send_interrupts(me, targets, {page})
    if order == "after":
        WRITE_ONCE(pmap.pm_gen, 0)
    if targets:
        wait_for_acks(me)
    return_to_user(pmap, (page,))


@path(show="pmap_activate_sw()")
def pmap_activate(pmap: Pmap, page: Page) -> None:
    """Join ``pm_active``, then see whether the PCID is still good, and load CR3 accordingly."""
    cpu = this(AsidCpu)
    pmap.cpumask.add(cpu)
    good = READ_ONCE(pmap.pm_gen) == 1
    if not good:
        WRITE_ONCE(pmap.pm_gen, 1)
    load_cr3(cpu, pmap, Pcid(1), good)
    x1.use(pmap, page)


@path(show="invlpg_invpcid_handler()")
def flush_pcid() -> None:
    """INVPCID of what is asked, under the map's PCID: CR3 may not name it yet."""
    cpu = this(AsidCpu)
    while True:
        sender = take_interrupt(cpu)
        flush_asked_pcid(cpu, sender)
        end_of_interrupt(cpu, sender)


@atomic(show="INVPCID")
def flush_asked_pcid(cpu: AsidCpu, sender: Cpu) -> None:
    """Of that tag, current or not."""
    drop(cpu, Pcid(1), sender.call_pages)


@atomic
def active_before() -> None:
    """CPU0 runs the process; CPU1 has run it, and keeps its translations under the PCID."""
    AsidCpu(0).walks = FREEBSD_PMAP
    FREEBSD_PMAP.cpumask = {Cpu(0)}
    FREEBSD_PMAP.pm_gen = 1
    FREEBSD_PMAP.pte[PAGE] = MAPPED
    AsidCpu(1).parked[Pcid(1)][PAGE] = {ENTRY}


@goal("a CPU takes the process up, and may not use what it has cached")
def outdated() -> bool:
    """It was not interrupted."""
    return any(
        cpu.parked[Pcid(1)][PAGE] and FREEBSD_PMAP.pm_gen == 0 and cpu in FREEBSD_PMAP.cpumask
        for cpu in AsidCpu
    )


def freebsd(order: str, *, memory: str = "sc") -> Setup:
    """CPU0 removes a page while CPU1 takes up the process again."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, Pmap: 1, Pcid: 2},
        start=active_before,
        threads=[
            Thread(pmap_invalidate_page, FREEBSD_PMAP, PAGE, order=order, on=AsidCpu(0)),
            Thread(pmap_activate, FREEBSD_PMAP, PAGE, on=AsidCpu(1), when=not_interrupted),
            Thread(flush_pcid, on=AsidCpu(1), daemon=True, name="CPU1 irq"),
        ],
        hardware=TAGGED,
        options={"memory": memory},
        goals=[outdated],
    )


FREEBSD = (
    race(
        "FREEBSD-PCID-GEN",
        "a map's PCIDs are declared outdated after the look who is to be interrupted (r362031)",
        freebsd("after"),
        "INV-X1-1",
    ),
    race(
        "FREEBSD-PCID-GEN.fixed",
        "before it, as it was before (3fd989da9118)",
        freebsd("before"),
    ),
    race(
        "FREEBSD-PCID-GEN.fixed-tso",
        "the same with store buffers: the fence between the two is needed",
        freebsd("before", memory="tso"),
    ),
)

# ------------------------------------------------------------------ COPRO-LOCAL


class RadixMm(ContextMm):
    """``mm->context``: ``copros`` counts coprocessors that use the address space, ``active_cpus``
    the CPUs, and a coprocessor as one more."""

    copros: int = counter(0, 1)
    active_cpus: int = counter(0, 2)


NMMU = Device(0)
RADIX = RadixMm(0)


@path(show="radix__flush_all_mm()", role="flush")
def flush_all_mm(mm: RadixMm) -> None:
    """arch/powerpc/mm/tlb-radix.c: ``tlbiel`` if one CPU uses the address space and nobody else,
    which the nest MMU does not hear; else ``tlbie``."""
    if READ_ONCE(mm.copros) == 0 and READ_ONCE(mm.active_cpus) == 1:
        note("local")
        tlbiel(mm)
    else:
        tlbie(mm)


@atomic(show="tlbiel", role="flush")
def tlbiel(mm: RadixMm) -> None:
    """This CPU forgets."""
    invalidate(this(Cpu), set(Page))


@atomic(show="tlbie", role="flush")
def tlbie(mm: RadixMm) -> None:
    """Everybody forgets."""
    for cpu in Cpu:
        invalidate(cpu, set(Page))
    for page in Page:
        NMMU.iotlb[page] = set()
    iotlb_invalidate(NMMU, mm, set(Page))


@path(show="mm_context_remove_copro()")
def mm_context_remove_copro(mm: RadixMm, *, order: str) -> None:
    """arch/powerpc/include/asm/mmu_context.h: a context of the coprocessor goes away; the next
    flush may be local, so what the nest MMU has must go before. ``order``: after the count, which
    the flush itself looks at, or before it (cca19f0b684f)."""
    if order == "count-first":
        atomic_dec(mm.copros)
        atomic_dec(mm.active_cpus)
        flush_all_mm(mm)
    else:
        flush_all_mm(mm)
        atomic_dec(mm.copros)
        atomic_dec(mm.active_cpus)


@atomic(show="terminate the context")
def stop_copro() -> None:
    """The coprocessor translates nothing for it any more; what was cached is tagged with the
    process and stays."""
    NMMU.attached = None


@atomic(show="attach the context")
def start_copro(mm: RadixMm) -> None:
    """It does again."""
    NMMU.attached = mm


@atomic(show="DMA write")
def copro_writes(mm: RadixMm, page: Page) -> None:
    """The coprocessor works on the process's memory."""
    frame = dma_write(NMMU, page)
    if frame is not None:
        if frame in mm.revoked[page]:
            mark("stale, via {}", frame)
        assert frame not in mm.revoked[page], (
            "INV-S4-1: a device goes on with what a flush should have removed"
        )


@path(show="process")
def use_copro_twice(mm: RadixMm, page: Page, *, order: str) -> None:
    """Close the device, give a page back, open the device again; use the page from both."""
    stop_copro()
    mm_context_remove_copro(mm, order=order)
    xchg(mm.pte[page], Pte())
    flush_all_mm(mm)
    return_to_user(mm, (page,))
    atomic_inc(mm.active_cpus)
    atomic_inc(mm.copros)
    start_copro(mm)
    copro_writes(mm, page)
    x1.use(mm, page)


@goal("a flush was local")
def local_is_enough() -> bool:
    """No coprocessor is attached, and the page is gone."""
    return RADIX.copros == 0 and not RADIX.pte[PAGE].present


@atomic
def copro_attached() -> None:
    """One CPU and the coprocessor run the process."""
    RADIX.copros = 1
    RADIX.active_cpus = 2
    RADIX.pte[PAGE] = MAPPED
    Cpu(0).walks = RADIX
    NMMU.attached = RADIX


def copro(order: str) -> Setup:
    """One CPU, and a coprocessor behind the nest MMU."""
    return Setup(
        sizes={Cpu: 1, Page: 1, Frame: 1, RadixMm: 1, Device: 1},
        start=copro_attached,
        threads=[Thread(use_copro_twice, RADIX, PAGE, order=order, on=Cpu(0))],
        hardware=with_iommu(x86),
        goals=[local_is_enough],
    )


COPRO = (
    race(
        "COPRO-LOCAL",
        "the last coprocessor is counted out, then flushed: by a flush that looks at the count",
        copro("count-first"),
        "INV-S4-1",
    ),
    race(
        "COPRO-LOCAL.fixed",
        "flushed while it is counted (cca19f0b684f)",
        copro("flush-first"),
    ),
)
