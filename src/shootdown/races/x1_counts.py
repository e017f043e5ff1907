"""Historic races of a count that decides how to flush: Xen's type count, s390's attached CPUs.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

import enum
from dataclasses import replace as copy_of

from shootdown.hardware.ipi import call_many
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.pcid import Pcid, TaggedCpu, drop, load_cr3, x86_pcid
from shootdown.hardware.tlb import TLB, user_store
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    ByOption,
    Scenario,
    Setup,
    Thread,
    Word,
    atomic,
    cmpxchg,
    event,
    goal,
    invariant,
    mark,
    note,
    path,
    ranged,
    replace,
    scenario,
    this,
    wait_until,
)
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.linux.user import return_to_user
from shootdown.races import x1_properties as x1
from shootdown.races.x1_elsewhere import race

# ------------------------------------------------------------------ XSA-401


class PageType(enum.Enum):
    """What Xen lets a guest do with a page: write to it, or use it as a page table."""

    WRITABLE = 0
    L1_TABLE = 1


class TypeInfo(Word):
    """``page->u.inuse.type_info``: how many references there are to the page as being of a type,
    and whether it was looked through (``PGT_validated``)."""

    count: int = ranged(0, 3)
    kind: PageType
    validated: bool = False

    def show(self) -> str:
        """As ``l1_table x1 valid``."""
        return f"{self.kind.name.lower()} x{self.count}" + " valid" * self.validated


class PageInfo(Frame):
    """``struct page_info``."""

    type_info: TypeInfo


@path(show="flush_tlb_mask()", role="flush")
def flush_tlb_mask() -> None:
    """Every CPU that the domain has run on."""
    call_many(set(Cpu), set(Page))


@path(show="_get_page_type()")
def get_page_type(page: PageInfo, kind: PageType, *, flush: str) -> bool:
    """xen/arch/x86/mm.c: refer to a page as being of a type, which may change while there is no
    reference. ``flush``: before the reference is taken (until 4.16), or after."""
    old = READ_ONCE(page.type_info)
    while True:
        new = replace(old, count=old.count + 1)
        if old.count == 0 and old.kind != kind:
            if flush == "before":
                flush_tlb_mask()
            early = flush == "before" and kind == PageType.WRITABLE
            new = TypeInfo(count=1, kind=kind, validated=early)
        elif old.kind != kind:
            note("it is of another type")
            return False
        found = cmpxchg(page.type_info, old, new)
        if found == old:
            break
        old = found
    if not new.validated:
        if flush == "after":
            flush_tlb_mask()
        event("validate")
        WRITE_ONCE(page.type_info, replace(new, validated=True))
    return True


@path(show="put_page_type()")
def put_page_type(page: PageInfo) -> None:
    """Drop a reference. The type stays until there is another one."""
    old = READ_ONCE(page.type_info)
    while True:
        found = cmpxchg(page.type_info, old, replace(old, count=old.count - 1))
        if found == old:
            break
        old = found


@path(show="MMUEXT_PIN_L1_TABLE")
def pin_table(page: PageInfo, *, flush: str) -> None:
    """A guest makes a page table of a page: it may only read it from now on."""
    get_page_type(page, PageType.L1_TABLE, flush=flush)


@atomic(show="store")
def write(page: Page) -> None:
    """An instruction of the guest."""
    user_store(this(Cpu), page)


@path(show="guest")
def map_and_write(mm: AddressSpace, page: Page, info: PageInfo, *, flush: str) -> None:
    """The guest maps the page writable, writes, and unmaps it."""
    if get_page_type(info, PageType.WRITABLE, flush=flush):
        WRITE_ONCE(mm.pte[page], Pte(present=True, writable=True, frame=info))
        write(page)
        WRITE_ONCE(mm.pte[page], Pte())
        put_page_type(info)


@invariant("INV-RO")
def tables_are_read_only() -> bool:
    """A page counts as a page table, and a guest can write to it."""
    return not any(
        info.type_info.kind == PageType.L1_TABLE
        and info.type_info.validated
        and entry.frame == info
        and entry.writable
        for info in PageInfo
        for cpu in Cpu
        for page in Page
        for entry in cpu.tlb[page]
    )


@goal("the page is a page table")
def is_table() -> bool:
    """The other CPU has written to it before, or is refused."""
    found = PageInfo(0).type_info
    return found.kind == PageType.L1_TABLE and found.validated


@goal("a guest has written to the page")
def was_written() -> bool:
    """Through a mapping that has gone."""
    return any(
        cpu.tlb[page] and not space.pte[page].present
        for cpu in Cpu
        for page in Page
        for space in AddressSpace
    )


@atomic
def nothing_mapped() -> None:
    """The page was writable before; nothing maps it."""
    for cpu in Cpu:
        cpu.walks = AddressSpace(0)
    PageInfo(0).type_info = TypeInfo(kind=PageType.WRITABLE, validated=True)


def typeref(name: str, title: str, flush: str, violates: str | None = None) -> Scenario:
    """A guest with two vCPUs: one makes a page table of a page, the other maps it writable."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 2) -> Setup:
        args = (AddressSpace(0), Page(0), PageInfo(0))
        return Setup(
            sizes={Cpu: cpus, Page: 1, PageInfo: 1, AddressSpace: 1},
            start=nothing_mapped,
            threads=[
                Thread(pin_table, PageInfo(0), flush=flush, on=Cpu(0)),
                *[Thread(map_and_write, *args, flush=flush, on=Cpu(c)) for c in range(1, cpus)],
            ],
            hardware=x86,
            invariants=[tables_are_read_only],
            goals=[is_table, was_written],
        )

    return build


XEN = (
    typeref(
        "XSA-401",
        "flushed before the type reference is taken: writable again in between (CVE-2022-26362)",
        "before",
        "INV-RO",
    ),
    typeref("XSA-401.fixed", "the reference first, then the flush (8cc5036bc385)", "after"),
)

# ------------------------------------------------------------------ S390-ATTACH

KERNEL, USER = Pcid(0), Pcid(1)
"""The kernel's address-space-control element, and the process's: what entries are tagged with."""


class Attach(Word):
    """``mm->context.attach_count``: in its low half the CPUs that have the mm, in its high half who
    is changing PTEs."""

    cpus: int = ranged(0, 3)
    flushers: int = ranged(0, 3)


class S390Mm(ContextMm):
    """``flush_mm``: whoever attaches next has to flush first."""

    attach: Attach
    flush_mm: bool = False


MM = S390Mm(0)


@atomic(show="atomic_add_return(0x10000, attach_count)", role="lock")
def begin_change(mm: S390Mm) -> Attach:
    """Say that a PTE is being changed, and look who has the mm, at once."""
    mm.attach = replace(mm.attach, flushers=mm.attach.flushers + 1)
    return mm.attach


@atomic(show="atomic_sub(0x10000, attach_count)")
def end_change(mm: S390Mm) -> None:
    """It is changed."""
    if mm.attach.flushers > 0:
        mm.attach = replace(mm.attach, flushers=mm.attach.flushers - 1)


@atomic(show="atomic_inc(attach_count)")
def attach(mm: S390Mm) -> None:
    """This CPU has the mm from now on."""
    mm.attach = replace(mm.attach, cpus=mm.attach.cpus + 1)


@atomic(show="IPTE", role="flush")
def ipte(mm: S390Mm, page: Page) -> None:
    """INVALIDATE PAGE TABLE ENTRY: the entry is made invalid and purged from the TLBs of all CPUs,
    before the instruction ends (Principles of Operation, chapter 10)."""
    mm.pte[page] = Pte()
    for cpu in TaggedCpu:
        drop(cpu, USER, {page})


@atomic(show="IDTE", role="flush")
def idte() -> None:
    """INVALIDATE DAT TABLE ENTRY: all that any CPU has under the process's tag is purged."""
    for cpu in TaggedCpu:
        drop(cpu, USER, set(Page))


@atomic(show="pte_val(*ptep) = _PAGE_TYPE_EMPTY")
def change_pte(mm: S390Mm, page: Page) -> None:
    """An ordinary store. A valid entry must not be changed by one while another CPU is attached to
    its table (Principles of Operation, chapter 3, Modification of Translation Tables)."""
    me = this(TaggedCpu)
    used = {cpu for cpu in TaggedCpu if cpu != me and cpu.tag == USER and cpu.tlb[page]}
    if mm.pte[page].present and used:
        mark("valid, and in use on {}", used)
    assert not (mm.pte[page].present and used), (
        "INV-BBM: a valid entry is changed while another CPU may use it"
    )
    mm.pte[page] = Pte()


@path(show="ptep_get_and_clear()")
def ptep_get_and_clear(mm: S390Mm, page: Page, *, counted: bool) -> None:
    """arch/s390/include/asm/pgtable.h: if nobody else has the mm, the entry is just cleared, and
    purged later. ``counted``: who attaches waits for that."""
    if counted:
        others = begin_change(mm).cpus > 1
    else:
        WRITE_ONCE(mm.flush_mm, True)
        others = READ_ONCE(mm.attach).cpus > 1
    if others:
        ipte(mm, page)
    else:
        change_pte(mm, page)
        if counted:
            WRITE_ONCE(mm.flush_mm, True)
    if counted:
        end_change(mm)


@path(show="__tlb_flush_mm_lazy()")
def tlb_flush_mm_lazy(mm: S390Mm) -> None:
    """Purge if there is anything to purge. The flag is cleared afterwards, so a second one may
    purge too."""
    if READ_ONCE(mm.flush_mm):
        idte()
        WRITE_ONCE(mm.flush_mm, False)


@path(show="munmap()")
def unmap(mm: S390Mm, page: Page, *, counted: bool) -> None:
    """One page."""
    ptep_get_and_clear(mm, page, counted=counted)
    tlb_flush_mm_lazy(mm)
    return_to_user(mm, (page,))


@path(show="switch_mm()")
def attach_and_read(mm: S390Mm, page: Page, *, counted: bool) -> None:
    """A task of the process comes back to this CPU, which has kept what it had. The tables can be
    walked from the load of the control register on (``update_mm()``)."""
    cpu = this(TaggedCpu)
    attach(mm)
    if counted:
        wait_until(mm.attach.flushers == 0)
        tlb_flush_mm_lazy(mm)
        load_cr3(cpu, mm, USER, True)
    else:
        if READ_ONCE(mm.flush_mm):
            idte()
        load_cr3(cpu, mm, USER, True)
    x1.use(mm, page)


@goal("the flush is put off")
def put_off() -> bool:
    """Nobody else had the mm."""
    return MM.flush_mm


@goal("a CPU that attaches waits")
def waits() -> bool:
    """An entry is being changed meanwhile."""
    return MM.attach.cpus > 1 and MM.attach.flushers > 0


@atomic
def has_left() -> None:
    """CPU0 runs the process. The others have run it before and have kept its translations."""
    for page in Page:
        MM.pte[page] = Pte(present=True, writable=True, accessed=True, dirty=True, frame=Frame(0))
    for cpu in TaggedCpu:
        if cpu.index == 0:
            load_cr3(cpu, MM, USER, True)
        else:
            for page in Page:
                cpu.parked[USER][page] = {TlbEntry(writable=True, dirty=True, frame=Frame(0))}
    MM.attach = Attach(cpus=1)


S390 = copy_of(
    x86_pcid,
    name="s390",
    assumptions=(
        "a page walk is one atomic access",
        ByOption(
            TLB,
            {
                "may": "a CPU may load any valid entry of the space that it is attached to, and "
                "keeps it",
                "explicit": "a CPU may load any valid entry of the space that it is attached to, "
                "and lose it at any time",
            },
        ),
        "cached entries are tagged with the space; IPTE and IDTE purge them on all CPUs at once",
    ),
)


def attaching(counted: bool) -> Setup:
    """CPU0 unmaps a page while a task of the process comes back to CPU1."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, S390Mm: 1, Pcid: 2},
        start=has_left,
        threads=[
            Thread(unmap, MM, Page(0), counted=counted, on=TaggedCpu(0)),
            Thread(attach_and_read, MM, Page(0), counted=counted, on=TaggedCpu(1)),
        ],
        hardware=S390,
        goals=[put_off, waits] if counted else [],
    )


ATTACH = (
    race(
        "S390-ATTACH",
        "nobody else has the mm, so a PTE is cleared by a store; then somebody has it (2012)",
        attaching(False),
        "INV-BBM",
    ),
    race(
        "S390-ATTACH.fixed",
        "who attaches waits while PTEs are changed (attach_count has a second half)",
        attaching(True),
    ),
)
