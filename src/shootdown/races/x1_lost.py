"""Historic races in which a flush is asked for, and what was asked is overwritten or passed over:
sparc64, KVM, and the batches of x86.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

from shootdown.hardware.access import user_load
from shootdown.hardware.interrupt import not_interrupted, take_interrupt
from shootdown.hardware.machine import Cpu, Frame, Page, Pte, StealTime
from shootdown.hardware.pcid import Pcid, TaggedCpu, drop, load_cr3, x86_pcid
from shootdown.hardware.tlb import invalidate
from shootdown.hardware.vcpu import runs
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Setup,
    Thread,
    atomic,
    goal,
    mark,
    note,
    path,
    ranged,
    shared,
    this,
    wait_until,
    xchg,
)
from shootdown.linux.arch.x86.switch import switch_to_task
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.user import load, return_to_user
from shootdown.races import x1_properties as x1
from shootdown.races.x1 import handler, main
from shootdown.races.x1_elsewhere import TAGGED, AsidCpu, race

MAPPED = Pte(present=True, writable=True, accessed=True, dirty=True, frame=Frame(0))

# ------------------------------------------------------------------ SPARC64-BATCH


class SparcCpu(AsidCpu):
    """``tlb_batch``: the pages that are to be flushed. The cross call has no more than its address,
    and ``dispatched`` is all that the sender waits for: that the other CPU is in the trap."""

    batch: set[Page]
    dispatched: bool = False


PROCESS = ContextMm(0)


@atomic(show="xcall_deliver()")
def send_cross_call(sender: SparcCpu, targets: set[Cpu]) -> None:
    """A trap on other CPUs."""
    sender.dispatched = False
    sender.call_pending = targets


@path(show="flush_tlb_pending()")
def flush_tlb_pending(*, wait: str) -> None:
    """arch/sparc/mm/tlb.c: flush the batch on every CPU and begin a new one. ``wait``: until the
    others have taken the trap, or until they have flushed (f36391d2790d)."""
    me = this(SparcCpu)
    others = READ_ONCE(PROCESS.cpumask) - {me}
    send_cross_call(me, others)
    flush_here(me)
    if wait == "dispatched":
        wait_until(me.dispatched)
    else:
        wait_until(not me.call_pending)
    WRITE_ONCE(me.batch, set())


@atomic(show="flush here")
def flush_here(cpu: SparcCpu) -> None:
    """The sender's own part."""
    invalidate(cpu, cpu.batch)


@path(show="unmap")
def unmap_one_by_one(pages: tuple[Page, ...], *, wait: str) -> None:
    """Clear, put into the batch, flush; and so on with the next page."""
    me = this(SparcCpu)
    for page in pages:
        xchg(PROCESS.pte[page], Pte())
        me.batch.add(page)
        flush_tlb_pending(wait=wait)
        return_to_user(PROCESS, (page,))


@path(show="xcall_flush_tlb_pending")
def cross_call() -> None:
    """arch/sparc/mm/ultra.S: read the addresses from the sender's batch, flush them. What the CPU
    runs otherwise stands still meanwhile."""
    cpu = this(SparcCpu)
    while True:
        sender = take_interrupt(cpu)
        take_trap(SparcCpu(sender.index))
        pages = READ_ONCE(SparcCpu(sender.index).batch)
        invalidate(cpu, pages)
        end_trap(cpu, SparcCpu(sender.index))


@atomic(show="acknowledge the dispatch")
def take_trap(sender: SparcCpu) -> None:
    """The sender need not send it again."""
    sender.dispatched = True


@atomic(show="RETRY")
def end_trap(cpu: SparcCpu, sender: SparcCpu) -> None:
    """It is done."""
    sender.call_pending.discard(cpu)
    cpu.in_irq = False
    cpu.irq_on = True


@goal("both pages are gone")
def both_gone() -> bool:
    """The second call has returned."""
    return all(bool(PROCESS.revoked[page]) for page in Page)


@atomic
def two_pages() -> None:
    """Both CPUs run the process, which has two pages."""
    for page in Page:
        PROCESS.pte[page] = Pte(
            present=True, writable=True, accessed=True, dirty=True, frame=Frame(page.index)
        )
    for cpu in Cpu:
        cpu.walks = PROCESS
        PROCESS.cpumask.add(cpu)


def sparc64(wait: str) -> Setup:
    """CPU0 unmaps two pages, CPU1 reads the first."""
    return Setup(
        sizes={Cpu: 2, Page: 2, Frame: 2, ContextMm: 1, Pcid: 1},
        start=two_pages,
        threads=[
            Thread(unmap_one_by_one, (Page(0), Page(1)), wait=wait, on=SparcCpu(0)),
            Thread(load, PROCESS, Page(0), on=SparcCpu(1), when=not_interrupted),
            Thread(cross_call, on=SparcCpu(1), daemon=True, name="CPU1 trap"),
        ],
        hardware=TAGGED,
        goals=[both_gone],
    )


SPARC64 = (
    race(
        "SPARC64-BATCH",
        "the batch is used again before the cross call has read it",
        sparc64("dispatched"),
        "INV-S0-3",
    ),
    race(
        "SPARC64-BATCH.fixed",
        "the sender waits until the others have flushed (f36391d2790d)",
        sparc64("flushed"),
    ),
)

# ------------------------------------------------------------------ KVM-STEAL-FLUSH


GUEST = Mm(0)


@atomic(show="vcpu: off the CPU")
def leave_guest(cpu: Cpu) -> None:
    """It walks nothing; what it has cached stays."""
    cpu.walks = None


@atomic(show="vcpu: enter the guest")
def enter_guest(cpu: Cpu) -> None:
    """It runs again."""
    cpu.walks = GUEST


@path(show="kvm_steal_time_set_preempted()")
def set_preempted(cpu: Cpu, *, twice: str) -> None:
    """arch/x86/kvm/x86.c: tell the guest, when the vCPU leaves the physical CPU; again if it does
    so without having run. ``twice``: overwrite, or leave alone what was told (8c6de56a42e0)."""
    if twice == "kept":
        if READ_ONCE(cpu.steal).preempted:
            note("told already")
        else:
            WRITE_ONCE(cpu.steal, StealTime(preempted=True))
    else:
        WRITE_ONCE(cpu.steal, StealTime(preempted=True))


@atomic(show="kvm_vcpu_flush_tlb_guest()", role="flush")
def flush_guest(cpu: Cpu) -> None:
    """Everything that the vCPU has cached."""
    invalidate(cpu, set(Page))


@path(show="record_steal_time()")
def record_steal_time(cpu: Cpu, *, take: str) -> None:
    """Before the vCPU runs again: has the guest asked for a flush? ``take``: from a copy, which is
    written back as not preempted; or by an exchange of what the guest sees (b043138246a4)."""
    if take == "copy":
        state = READ_ONCE(cpu.steal)
        if state.flush:
            flush_guest(cpu)
        WRITE_ONCE(cpu.steal, StealTime())
    else:
        state = xchg(cpu.steal, StealTime())
        if state.flush:
            flush_guest(cpu)


@path(show="host")
def host(*, take: str, twice: str) -> None:
    """The host takes the physical CPU away from a vCPU, is taken away itself before it has given
    it back, and gives it back."""
    cpu = this(Cpu)
    leave_guest(cpu)
    set_preempted(cpu, twice=twice)
    set_preempted(cpu, twice=twice)
    record_steal_time(cpu, take=take)
    enter_guest(cpu)


@path(show="guest unmaps")
def guest_unmap(page: Page) -> None:
    """``kvm_flush_tlb_multi()`` leaves out who is preempted, and asks the host to flush it."""
    xchg(GUEST.pte[page], Pte())
    flush_tlb_mm_range(GUEST, {page})
    return_to_user(GUEST, (page,))


@atomic
def in_guest(cpu: Cpu) -> bool:
    """The guard of what a vCPU does itself."""
    return cpu.walks == GUEST and runs(cpu)


@goal("a vCPU was asked to flush")
def asked() -> bool:
    """It was left out of the flush."""
    return any(cpu.steal.flush for cpu in Cpu)


@atomic
def guest_mapped() -> None:
    """Both vCPUs run the process."""
    GUEST.pte[Page(0)] = MAPPED
    for cpu in Cpu:
        cpu.walks = GUEST
        GUEST.cpumask.add(cpu)


def steal(take: str, twice: str) -> Setup:
    """vCPU0 unmaps, vCPU1 is preempted meanwhile and reads."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, Mm: 1},
        start=guest_mapped,
        threads=[
            Thread(guest_unmap, Page(0), on=Cpu(0)),
            Thread(load, GUEST, Page(0), on=Cpu(1), when=in_guest),
            Thread(host, take=take, twice=twice, on=Cpu(1), name="CPU1 host"),
        ],
        hardware=x86,
        options={"pv_flush": "skip-preempted"},
        goals=[asked],
    )


KVM = (
    race(
        "KVM-STEAL-FLUSH",
        "a guest asks for a flush after the host has copied what it asked (CVE-2019-3016)",
        steal("copy", "kept"),
        "INV-S0-3",
    ),
    race(
        "KVM-STEAL-FLUSH.twice",
        "a vCPU is declared preempted twice, and what the guest asked is overwritten",
        steal("exchange", "overwritten"),
        "INV-S0-3",
    ),
    race(
        "KVM-STEAL-FLUSH.fixed",
        "exchanged, and told once (8c6de56a42e0, b043138246a4)",
        steal("exchange", "kept"),
    ),
)

# ------------------------------------------------------------------ SVM-ASID


class SvmVm(ContextMm):
    """A guest with one vCPU. ``asid`` and ``generation``: ``svm->asid`` and ``asid_generation``;
    ``loaded_on``: ``vcpu->cpu``."""

    asid: Pcid = Pcid(0)
    generation: int = ranged(0, 2)
    loaded_on: Cpu = Cpu(0)


class SvmCpu(TaggedCpu):
    """``struct svm_cpu_data``: each CPU hands out ASIDs of its own, from ASID 1 on."""

    generation: int = ranged(0, 2, init=1)
    next_asid: int = ranged(0, Pcid, init=1)


TURN = shared(int, ranged(0, 3))
"""Who runs now."""


@atomic(show="svm_vcpu_load()")
def svm_vcpu_load(vm: SvmVm, *, move: str) -> None:
    """arch/x86/kvm/svm.c: nobody else looks at what is the vCPU's, or this CPU's. ``move``: the
    vCPU keeps its ASID when it comes to another CPU, or loses it (4b656b120249, 2.6.31)."""
    cpu = this(SvmCpu)
    if vm.loaded_on != cpu:
        if move == "lost":
            vm.generation = 0
        vm.loaded_on = cpu


@atomic(show="pre_svm_run()")
def pre_svm_run(vm: SvmVm) -> None:
    """A new ASID if that of the vCPU is of another generation. When all are used up a generation
    begins, and everything is flushed (TLB_CONTROL_FLUSH_ALL_ASID)."""
    cpu = this(SvmCpu)
    if vm.generation != cpu.generation:
        if cpu.next_asid == len(Pcid):
            cpu.generation += 1
            cpu.next_asid = 1
            note("a new generation")
            for tag in Pcid:
                drop(cpu, tag, set(Page))
        vm.asid = Pcid(cpu.next_asid)
        cpu.next_asid += 1
        vm.generation = cpu.generation


@atomic(show="guest: load {page}")
def guest_load(vm: SvmVm, page: Page) -> None:
    """Each guest has a frame of its own."""
    frame = user_load(this(Cpu), page)
    if frame is not None:
        if frame != Frame(vm.index):
            mark("{}, which is another guest's", frame)
        assert frame == Frame(vm.index), "INV-X1-2: a guest uses what another guest has cached"


@atomic(show="VMRUN")
def vmrun(cpu: SvmCpu, vm: SvmVm) -> None:
    """The guest's page table, and what is cached under its ASID."""
    load_cr3(cpu, vm, vm.asid, True)


@path(show="vcpu_run()")
def run_once(vm: SvmVm, page: Page, *, move: str) -> None:
    """Load, enter, read, leave."""
    cpu = this(SvmCpu)
    svm_vcpu_load(vm, move=move)
    pre_svm_run(vm)
    vmrun(cpu, vm)
    guest_load(vm, page)
    load_cr3(cpu, None, Pcid(0), True)


@path(show="host")
def run_here(vm: SvmVm, page: Page, turn: int, *, move: str) -> None:
    """A vCPU gets a CPU when it is its turn."""
    wait_until(TURN == turn)
    run_once(vm, page, move=move)
    WRITE_ONCE(TURN, turn + 1)


@goal("the vCPU has moved")
def migrated() -> bool:
    """And has an ASID there."""
    vm = SvmVm(0)
    return vm.loaded_on == SvmCpu(1) and vm.generation == SvmCpu(1).generation


@atomic
def two_guests() -> None:
    """Neither guest has run."""
    for vm in SvmVm:
        vm.pte[Page(0)] = Pte(
            present=True, writable=True, accessed=True, dirty=True, frame=Frame(vm.index)
        )
        vm.loaded_on = SvmCpu(vm.index)


def svm(move: str) -> Setup:
    """A guest runs on each CPU; then the first comes to the second CPU."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 2, SvmVm: 2, Pcid: 2},
        start=two_guests,
        threads=[
            Thread(run_here, SvmVm(0), Page(0), 0, move=move, on=SvmCpu(0)),
            Thread(run_here, SvmVm(1), Page(0), 1, move=move, on=SvmCpu(1)),
            Thread(run_here, SvmVm(0), Page(0), 2, move=move, on=SvmCpu(1), name="CPU1 again"),
        ],
        hardware=TAGGED,
        goals=[migrated],
    )


SVM = (
    race(
        "SVM-ASID",
        "a vCPU comes to another CPU with its ASID, which another guest has there (2009)",
        svm("kept"),
        "INV-X1-2",
    ),
    race(
        "SVM-ASID.fixed",
        "it gets a new one (4b656b120249)",
        svm("lost"),
    ),
)

# ------------------------------------------------------------------ TLB-BATCH-GEN

BATCHED = {"tlb_batched": "counted", "shootdown": "generations", "batch_flush": "multi"}


@atomic
def one_runs_one_comes() -> None:
    """CPU1 runs the process, which maps a clean page of a file. CPU2 runs another one, and has run
    this one before. CPU0, on which reclaim runs, runs none."""
    x1.runs(TlbState(1), PROCESS, Pcid(0))
    x1.runs(TlbState(2), ContextMm(1), Pcid(1))
    PROCESS.pte[Page(0)] = Pte(present=True, accessed=True, frame=Folio(0))
    Folio(0).mapcount = 1
    Folio(0).refcount = 3


@goal("the page was reclaimed")
def reclaimed() -> bool:
    """It is free."""
    return not Folio(0).allocated


def batch(gen: str) -> Setup:
    """Reclaim unmaps and frees a page while one CPU reads it and another one begins to."""
    return Setup(
        sizes={TlbState: 3, Page: 1, Frame: 1, ContextMm: 2, Pcid: 2},
        start=one_runs_one_comes,
        threads=[
            main(0, shrink_folios, ((Folio(0), ((PROCESS, Page(0)),)),)),
            main(1, load, PROCESS, Page(0)),
            main(2, switch_to_task, PROCESS),
            handler(1),
            handler(2),
        ],
        hardware=x86_pcid,
        goals=[reclaimed],
        options={**BATCHED, "batch_gen": gen},
    )


GENERATION = (
    race(
        "TLB-BATCH-GEN",
        "a batch has no generation, which is taken for one that is past already (aa44284960d5)",
        batch("compared"),
        "INV-S2-1",
    ),
    race(
        "TLB-BATCH-GEN.fixed",
        "a generation of 0 is none (8f1d56f64f8d)",
        batch("ignored"),
    ),
)
