"""An x86 machine to price the kernel's paths on.

The adversary of ``hardware/`` may do anything at any time; this machine does what an ordinary one
does, and each instruction takes its time. Every function here stands for one of the same name of
``hardware/`` or for an instruction wrapper of ``linux/arch/x86``; protocols are not here.
"""

from __future__ import annotations

from typing import cast

from shootdown.cost.workload import Machine
from shootdown.hardware import interrupt, pcid, tlb
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.hardware.pcid import Pcid, TaggedCpu
from shootdown.hardware.walker import Region
from shootdown.lang import atomic, on_write, path, replace
from shootdown.linux.arch.x86 import cr3
from shootdown.linux.arch.x86 import tlb as kernel_tlb
from shootdown.linux.arch.x86.tlb_func import flush_interrupts
from shootdown.linux.arch.x86.tlbflush import TlbState
from shootdown.linux.mm import memory, mmap, mmu_gather
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.options_size import FOLIO_PAGES
from shootdown.workloads.externs import (
    count,
    geometry,
    give_frame,
    irqs_off,
    irqs_on,
    send_ipis,
    spend,
    take_frame,
    take_ipi,
    tlb_drop_page,
    tlb_drop_span,
    tlb_drop_tag,
    tlb_insert,
    tlb_lookup,
)

# ------------------------------------------------------------------ translation


@atomic
def walk(cpu: Cpu, page: Page, write: bool) -> Frame | None:
    """A page walk, after a miss; it sets A and D (Intel SDM 3A 4.8). ``None``: a fault, which also
    drops what is cached for the page (4.10.4.1)."""
    mm = cpu.walks
    if mm is None:
        return None
    spend("tlb_walk", 1)
    pte = mm.pte[page]
    tag = cast(TaggedCpu, cpu).tag
    if not pte.present or (write and not pte.writable):
        tlb_drop_page(cpu, tag, page)
        return None
    found = replace(pte, accessed=True, dirty=pte.dirty or write)
    if found != pte:
        spend("atomic", 1)
        mm.pte[page] = found
    tlb_insert(cpu, tag, page, found)
    return found.frame


@atomic
def user_load(cpu: Cpu, page: Page) -> Frame | None:
    """A load of user space."""
    entry = tlb_lookup(cpu, cast(TaggedCpu, cpu).tag, page)
    if entry.present:
        return entry.frame
    return walk(cpu, page, False)


@atomic
def user_store(cpu: Cpu, page: Page) -> Frame | None:
    """A store of user space: through an entry with D set it touches no PTE."""
    entry = tlb_lookup(cpu, cast(TaggedCpu, cpu).tag, page)
    if entry.present and entry.writable and entry.dirty:
        return entry.frame
    return walk(cpu, page, True)


# ------------------------------------------------------------------ invalidation


@atomic(show="INVLPG", role="flush")
def flush_tlb_one_user(cpu: TlbState, pages: set[Page]) -> None:
    """INVLPG for each page."""
    tlb_drop_span(cpu, cpu.tag, pages)
    spend("invlpg", len(pages))
    count("invlpg", len(pages))


@atomic(show="flush_tlb_local()", role="flush")
def flush_tlb_local(cpu: TlbState) -> None:
    """A CR3 write that flushes the current tag."""
    tlb_drop_tag(cpu, cpu.tag)
    spend("flush_all", 1)


@atomic
def invalidate(cpu: Cpu, pages: set[Page]) -> None:
    """What other paths of the library flush."""
    tlb_drop_span(cpu, cast(TaggedCpu, cpu).tag, pages)
    spend("invlpg", len(pages))
    count("invlpg", len(pages))


@atomic(show="MOV to CR3")
def load_cr3(cpu: TaggedCpu, mm: AddressSpace | None, tag: Pcid, noflush: bool) -> None:
    """Walk another page table, under a tag."""
    if noflush:
        spend("cr3_switch", 1)
    else:
        tlb_drop_tag(cpu, tag)
        spend("flush_all", 1)
    cpu.tag = tag
    cpu.walks = mm


@path
def tlb_single_page_flush_ceiling() -> int:
    """The profile's."""
    return geometry("flush_ceiling")


# ------------------------------------------------------------------ interrupts


@atomic(show="send IPIs")
def send_interrupts(sender: Cpu, targets: set[Cpu], pages: set[Page]) -> None:
    """Queue the call on every target, and interrupt it."""
    sender.call_pages = pages
    sender.call_pending = targets
    send_ipis(sender, targets)


@atomic(show="IPI")
def take_interrupt(cpu: Cpu) -> Cpu:
    """Wait for an interrupt and take a call."""
    sender = take_ipi(cpu)
    spend("handler", 1)
    return sender


@atomic(show="acknowledge, IRET")
def end_of_interrupt(cpu: Cpu, sender: Cpu) -> None:
    """Tell the sender."""
    sender.call_pending.discard(cpu)


@atomic(show="local_irq_disable()", fence=False)
def irq_disable(cpu: Cpu) -> None:
    """CLI."""
    irqs_off(cpu)


@atomic(show="local_irq_enable()", fence=False)
def irq_enable(cpu: Cpu) -> None:
    """STI."""
    irqs_on(cpu)


# ------------------------------------------------------------------ page frames


@atomic(show="alloc_page()")
def alloc_page() -> Folio:
    """The frame that was freed last, as the lists of free pages of a CPU give it."""
    spend("alloc_page", 1)
    folio = Folio(take_frame().index)
    folio.refcount = 0
    return folio


@atomic(show="pte_free_tlb()")
def pte_free_tlb(mm: Mm, region: Region) -> None:
    """A page table is a page."""
    spend("free_page", 1)
    count("page_tables_freed", 1)


@atomic(show="folio_remove_rmap_pte()")
def folio_remove_rmap_pte(folio: Folio) -> None:
    """The counters of a mapping that goes."""
    if FOLIO_PAGES != "1":
        spend("atomic", 1)  # a page of a large folio has a counter of its own
    folio.mapcount -= 1
    spend("rmap", 1)


@atomic
def rmap_statistics(folio: Folio) -> None:
    """What is left of a reverse map's price where its counters are counted by themselves."""
    spend("rmap", 1)


@atomic
def found_nested() -> None:
    """A flush of more than the call's own pages."""
    count("nested_flushes", 1)


@atomic
def block_pages() -> int:
    """``folio_nr_pages()`` within one step."""
    if FOLIO_PAGES == "4":
        return 4
    if FOLIO_PAGES == "16":
        return 16
    if FOLIO_PAGES == "128":
        return 128
    return 512 if FOLIO_PAGES == "512" else 1


@on_write(Frame.allocated)
def given_back(frame: Frame, old: bool, new: bool) -> None:
    """A folio whose last reference is gone: the allocator takes it as one block."""
    if not new:
        spend("free_page", 1)
        for number in range(block_pages()):
            give_frame(Frame(frame.index + number))


X86 = Machine(
    name="x86-64",
    cpu=TlbState,
    frame=Frame,
    instead={
        tlb.user_load: user_load,
        tlb.user_store: user_store,
        tlb.invalidate: invalidate,
        cr3.flush_tlb_one_user: flush_tlb_one_user,
        cr3.flush_tlb_local: flush_tlb_local,
        kernel_tlb.tlb_single_page_flush_ceiling: tlb_single_page_flush_ceiling,
        pcid.load_cr3: load_cr3,
        interrupt.send_interrupts: send_interrupts,
        interrupt.take_interrupt: take_interrupt,
        interrupt.end_of_interrupt: end_of_interrupt,
        interrupt.irq_disable: irq_disable,
        interrupt.irq_enable: irq_enable,
        memory.alloc_page: alloc_page,
        mmap.pte_free_tlb: pte_free_tlb,
        mmu_gather.folio_remove_rmap_pte: folio_remove_rmap_pte,
        mmu_gather.rmap_statistics: rmap_statistics,
        mmu_gather.found_nested: found_nested,
    },
    observers=(given_back,),
    spans=frozenset({Page, Region}),
    lists=frozenset({Frame}),
    handler=flush_interrupts,
    options={
        "shootdown": "generations",
        "arch": "x86",
        "trim": "never",
        "flush_ceiling": "33",
        "ptl": "table",
        "gather_room": "batches",
        "vmas": "many",
        "madvise_lock": "vma",
        "munmap_lock": "downgrade",
    },
    only={"arch": "x86", "pte": "word"},
)
"""x86-64 with PCIDs, whose CPUs are told and find out as in ``linux/arch/x86`` (system X1)."""
