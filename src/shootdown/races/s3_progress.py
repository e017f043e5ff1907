"""System S3: what can go round for ever. Lockless readers, and faults of a device.

INV-S3-9 is about progress: a violation is a loop that nothing forces the system to leave, and the
report shows the way into it and the loop.
"""

from __future__ import annotations

from shootdown.hardware.arm64_walker import Walker
from shootdown.hardware.ipi import handle_call, send_calls, wait_for_acks
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.lang import (
    WRITE_ONCE,
    Scenario,
    Setup,
    Thread,
    atomic,
    ghost,
    goal,
    path,
    progress,
    scenario,
    this,
    wait_until,
    when,
)
from shootdown.linux.arch.arm64.contpte import ptep_get, ptep_get_lockless, ptep_set_access_flags
from shootdown.linux.arch.arm64.pgtable import pte_mkdirty, pte_mkyoung
from shootdown.races import s3_properties as s3
from shootdown.races import s3_start as start
from shootdown.races.s3 import ALWAYS, Options, Pages, observed
from shootdown.races.s3_callers import (
    load_anywhere,
    read_page,
    store_anywhere,
    write_page,
    zap,
)
from shootdown.races.s3_lockless import (
    begin_lockless,
    changed,
    end_lockless,
    read_lockless,
    reader_ends,
)


class FaultMm(s3.ReadMm):
    """``request``: a device waits for a page fault to be handled (the page request interface).

    ``device_done`` (ghost): the device's access has got through.
    """

    request: bool = False
    device_done: bool = ghost(False)


MM = FaultMm(0)


# ------------------------------------------------------------------ readers that wait for writers


@path(show="tlb_remove_table_sync_one()")
def tlb_remove_table_sync_one() -> None:
    """mm/mmu_gather.c: an interrupt to every CPU, which those that read without a lock put off."""
    me = this(Cpu)
    send_calls(me, set(Cpu) - {me}, set())
    wait_for_acks(me)


@path(show="exit_mmap()")
def exit_in_two(mm: FaultMm, first: Pages, rest: Pages) -> None:
    """The gather is full after the first page, and before the rest is zapped an interrupt is
    waited for."""
    zap(mm, first, monotone=False)
    tlb_remove_table_sync_one()
    zap(mm, rest, monotone=False)


@atomic
def runs_here(cpu: Cpu) -> bool:
    """The reader, which has interrupts off, does not have this CPU."""
    return cpu.irq_on


@path(show="gup_fast()")
def read_as_preemptor(mm: FaultMm, page: Page, *, lock_preemptible: bool) -> None:
    """The reader takes the CPU from the writer; where holding a spin lock disables preemption, not
    while the writer holds the PTL."""
    preempt(mm, page, lock_preemptible)
    pte = ptep_get_lockless(mm, page)
    end_lockless(mm, pte, False)


@atomic(show="preempt; local_irq_disable()")
def preempt(mm: FaultMm, page: Page, lock_preemptible: bool) -> None:
    """The scheduler runs the reader."""
    when(lock_preemptible or not mm.ptl.locked)
    begin_lockless(mm, page)


def spinning(name: str, title: str, options: Options, *, violates: str | None = None) -> Scenario:
    """A reader with interrupts off, and a writer that waits for an interrupt between two parts of
    a block."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: 2, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.read_block,
            threads=[
                Thread(exit_in_two, MM, given[:1], given[1:], on=Cpu(0)),
                Thread(
                    read_lockless, MM, Page(pages - 1), together=False, on=Cpu(1), name="reader"
                ),
            ],
            hardware=observed(s3.flags_set, s3.viewed).and_rules(handle_call),
            options=options,
            progress=[reader_ends],
            goals=[changed, s3.first_empty],
        )

    return build


def preempting(
    name: str, title: str, *, preemptible: bool, violates: str | None = None
) -> Scenario:
    """The reader preempts the writer on the same CPU."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(pages: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={Cpu: 1, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.read_block,
            threads=[
                Thread(zap, MM, given, on=Cpu(0), when=runs_here, name="writer"),
                Thread(
                    read_as_preemptor,
                    MM,
                    Page(pages - 1),
                    lock_preemptible=preemptible,
                    on=Cpu(0),
                    name="reader",
                ),
            ],
            hardware=observed(s3.flags_set, s3.viewed),
            progress=[reader_ends],
            goals=[s3.first_empty],
        )

    return build


WAITING = (
    spinning(
        "S3.LIVE",
        "whole blocks: a writer that waits for an interrupt has no block in an odd state",
        {},
    ),
    spinning(
        "S3.LIVE.O4",
        "one by one: the reader waits for the writer, which waits for the reader's CPU",
        {"clear_full": "keep"},
        violates="INV-S3-9",
    ),
    preempting(
        "S3.LIVE.same-cpu", "the reader preempts the writer, the lock held: not", preemptible=False
    ),
    preempting(
        "S3.LIVE.rt",
        "a reader that preempts the holder of the PTL (PREEMPT_RT) waits for it for ever",
        preemptible=True,
        violates="INV-S3-9",
    ),
)


# ------------------------------------------------------------------ faults that repeat


@path(show="device")
def device_access(mm: FaultMm, page: Page, *, write: bool) -> None:
    """A device without hardware management of A and D: it asks the kernel, and tries again."""
    done = False
    while not done:
        done = write_page(mm, page) if write else read_page(mm, page)
        if not done:
            WRITE_ONCE(mm.request, True)
            wait_until(not mm.request)
    mm.device_done = True


@path(show="iommu_sva_handle_mm()")
def handle_faults(mm: FaultMm, page: Page, *, write: bool) -> None:
    """mm/memory.c handle_pte_fault(): the PTE is present, and a write may be allowed."""
    while True:
        wait_until(mm.request)
        with mm.ptl:
            entry = pte_mkyoung(ptep_get(mm, page))
            if write:
                entry = pte_mkdirty(entry)
            ptep_set_access_flags(mm, page, entry, dirty=write)
        WRITE_ONCE(mm.request, False)


@progress("INV-S3-9")
def device_ends() -> bool:
    """A page fault is handled and comes again, for ever."""
    return all(mm.device_done for mm in FaultMm)


@goal("the device faults while another PTE has D")
def faults_beside_dirty() -> bool:
    """The gathered value says that all is well."""
    return any(mm.request and any(mm.pte[page].dirty for page in Page) for mm in FaultMm)


@goal("the device faults while another PTE has A")
def faults_beside_young() -> bool:
    """The same for A."""
    return any(mm.request and any(mm.pte[page].accessed for page in Page) for mm in FaultMm)


def fault(
    name: str,
    title: str,
    option: str,
    *,
    write: bool,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Scenario:
    """A CPU that sets A and D in hardware, and a device that does not, use one block.

    The may-set is exact for what must not be reached, not for what must stay within reach: the
    device *may* hold an entry that the CPU's flag made possible, but nothing makes it load one.
    """

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(pages: int = 2) -> Setup:
        last = Page(pages - 1)
        user = store_anywhere if write else load_anywhere
        return Setup(
            sizes={Cpu: 3, Page: start.pages_of_block(pages), Frame: 1, AddressSpace: 1},
            start=start.shared_with_device if write else start.shared_unread,
            threads=[
                Thread(handle_faults, MM, last, write=write, on=Cpu(0), daemon=True),
                Thread(user, MM, times=1, on=Cpu(1)),
                Thread(device_access, MM, last, write=write, on=Cpu(2), name="SMMU"),
            ],
            hardware=observed(s3.flags_set),
            options={"access_flags_noop": option, "tlb": "explicit"},
            invariants=[*ALWAYS, s3.uniform],
            progress=[device_ends],
            goals=[faults_beside_dirty if write else faults_beside_young],
            given={  # the SMMU does neither
                Walker.manages_flags: [True, True, False],
                Walker.manages_dirty: [True, True, False],
            },
        )

    return build


FAULTS = (
    fault(
        "S3.SETNOOP",
        "the gathered value says that nothing is to be done, and a device faults for ever",
        "gathered",
        write=True,
        violates="INV-S3-9",
        aliases=("BAD-S3-5", "CONTPTE-ATS"),
    ),
    fault(
        "S3.SETNOOP.read",
        "the same with the access flag",
        "gathered",
        write=False,
        violates="INV-S3-9",
    ),
    fault(
        "S3.SETEACH",
        "each PTE is looked at (97c5550b7631)",
        "each",
        write=True,
        aliases=("CONTPTE-ATS.fixed",),
    ),
    fault("S3.SETEACH.read", "the same with the access flag", "each", write=False),
)
