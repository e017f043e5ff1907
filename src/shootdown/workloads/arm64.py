"""An arm64 machine to price the kernel's paths on: no interrupts, but TLBI and DSB.

As in :mod:`shootdown.workloads.x86`, every function here stands for one of the same name of
``hardware/``; protocols are not here.

A TLBI takes ``tlbi`` to issue. A DSB takes ``dsb``, and if its CPU has issued TLBIs since its last
one, ``tlbi_deliver`` until all CPUs have answered. Option ``dvm`` says whether such
synchronisations of several CPUs take place one after the other: the interconnect of a Neoverse N1
has a single DVM node to which all of them go (Arm CoreLink CMN-600 TRM, "DVM node").
"""

from __future__ import annotations

from typing import cast

from shootdown.cost.workload import Machine
from shootdown.hardware import arm64_walker, tlbi
from shootdown.hardware.arm64_walker import Walker
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.pcid import Pcid
from shootdown.lang import Option, atomic, on_write, replace, this
from shootdown.linux.mm import memory
from shootdown.linux.mm_types import Folio, Pages
from shootdown.workloads.externs import (
    count,
    give_frame,
    occupy,
    spend,
    take_frame,
    tlb_drop_page,
    tlb_drop_span,
    tlb_drop_tag,
    tlb_insert,
    tlb_lookup,
)

DVM = Option(
    "dvm",
    "serial",
    choices=("serial", "parallel"),
    doc="DSBs of several CPUs that wait for their TLBIs are served one after the other; or at the "
    "same time.",
)
TLBI_RANGE = Option(
    "tlbi_range",
    "no",
    choices=("no", "yes"),
    doc="FEAT_TLBIRANGE (Armv8.4): one instruction invalidates many pages; or there is none "
    "(Neoverse N1).",
)
BLOCK = 16
"""The pages of a block entry of the TLB."""
TAGS = 62
"""Tags of the TLB: two for each ASID, one for pages and one for blocks (under their first page)."""


class Core(Walker):
    """A CPU that issues TLBIs.

    ``outstanding``: it has issued TLBIs since its last one.
    """

    outstanding: bool = False


# ------------------------------------------------------------------ translation


@atomic
def first_of(page: Page) -> Page:
    """The first page of a page's block."""
    return Page(page.index - page.index % BLOCK)


@atomic
def tag_of(walker: Walker) -> Pcid:
    """The tag of page entries of what a CPU runs; that of block entries is the next one. Processes
    whose numbers are 31 apart share them."""
    mm = walker.walks
    return Pcid(0) if mm is None else Pcid(mm.index % 31 * 2)


@atomic
def block_tag_of(walker: Walker) -> Pcid:
    """The tag of block entries."""
    return Pcid(tag_of(walker).index + 1)


@atomic
def lookup(walker: Walker, page: Page) -> Pte:
    """A page entry, or a block entry."""
    entry = tlb_lookup(walker, tag_of(walker), page)
    if entry.present:
        return entry
    return tlb_lookup(walker, block_tag_of(walker), first_of(page))


@atomic
def walk(walker: Walker, page: Page, write: bool) -> Frame | None:
    """A page walk, after a miss; hardware sets A and D (FEAT_HAFDBS) in the PTE of the page."""
    mm = walker.walks
    if mm is None:
        return None
    spend("tlb_walk", 1)
    pte = mm.pte[page]
    if not pte.present or (write and not pte.writable):
        return None
    found = replace(pte, accessed=True, dirty=pte.dirty or write)
    if found != pte:
        spend("atomic", 1)
        mm.pte[page] = found
    if found.contiguous:
        tlb_insert(walker, block_tag_of(walker), first_of(page), found)
    else:
        tlb_insert(walker, tag_of(walker), page, found)
    return found.frame


@atomic
def user_load(walker: Walker, page: Page) -> Frame | None:
    """A load of user space."""
    entry = lookup(walker, page)
    if entry.present:
        return entry.frame
    return walk(walker, page, False)


@atomic
def user_store(walker: Walker, page: Page) -> Frame | None:
    """A store of user space: through an entry with D set it touches no PTE."""
    entry = lookup(walker, page)
    if entry.present and entry.writable and entry.dirty:
        return entry.frame
    return walk(walker, page, True)


# ------------------------------------------------------------------ invalidation


@atomic
def drop(me: Core, pages: Pages) -> None:
    """Forget what translates some pages of a CPU's process, on every CPU; all of them: by ASID."""
    tag, block_tag = tag_of(me), block_tag_of(me)
    for core in Core:
        if len(pages) == len(Page):
            tlb_drop_tag(core, tag)
            tlb_drop_tag(core, block_tag)
        else:
            tlb_drop_span(core, tag, set(pages))
            for number in range(pages[0].index // BLOCK, pages[len(pages) - 1].index // BLOCK + 1):
                tlb_drop_page(core, block_tag, Page(number * BLOCK))


@atomic
def tlbis_for(pages: Pages) -> int:
    """How many instructions ``__flush_tlb_range_op()`` needs: one for each page; or with ranges one
    for an odd page and one for each of the scales 0 to 3 that has a part (a number of five bits)
    of half the number of pages."""
    number = len(pages)
    if TLBI_RANGE == "no":
        return number
    instructions = number % 2
    half = number // 2
    for _ in range(4):
        if half % 32 > 0:
            instructions += 1
        half = half // 32
    return instructions


@atomic(show="tlbi", role="flush")
def tlbi_is(pages: Pages) -> None:
    """ASIDE1IS for all pages; VALE1IS or RVALE1IS for others."""
    me = cast(Core, this(Cpu))
    me.outstanding = True
    drop(me, pages)
    if len(pages) == len(Page):
        spend("tlbi", 1)
        count("tlbi", 1)
        count("tlbi aside1is", 1)
    else:
        instructions = tlbis_for(pages)
        spend("tlbi", instructions)
        count("tlbi", instructions)
        if TLBI_RANGE == "no":
            count("tlbi vale1is", instructions)
        else:
            count("tlbi rvale1is", instructions)


@atomic(show="dsb(ish)", role="ack")
def dsb_ish() -> None:
    """Wait for the answers of all CPUs to the TLBIs of this one."""
    me = cast(Core, this(Cpu))
    spend("dsb", 1)
    count("dsb", 1)
    if me.outstanding:
        me.outstanding = False
        if DVM == "serial":
            occupy("dvm", "tlbi_deliver")
        else:
            spend("tlbi_deliver", 1)


# ------------------------------------------------------------------ page frames


@atomic(show="alloc_page()")
def alloc_page() -> Folio:
    """The frame that was freed last, as the lists of free pages of a CPU give it."""
    spend("alloc_page", 1)
    folio = Folio(take_frame().index)
    folio.refcount = 0
    return folio


@on_write(Frame.allocated)
def given_back(frame: Frame, old: bool, new: bool) -> None:
    """A frame, or a folio of several, whose last reference is gone."""
    if not new:
        spend("free_page", 1)
        count("free_page", 1)
        give_frame(frame)


ARM64 = Machine(
    name="arm64",
    cpu=Core,
    frame=Frame,
    instead={
        arm64_walker.user_load: user_load,
        arm64_walker.user_store: user_store,
        tlbi.tlbi_is: tlbi_is,
        tlbi.dsb_ish: dsb_ish,
        memory.alloc_page: alloc_page,
    },
    observers=(given_back,),
    spans=frozenset({Page}),
    lists=frozenset({Frame}),
    options={"arch": "arm64", "cont_ptes": "16", "max_dvm_ops": "512"},
    only={"arch": "arm64", "pte": "word"},
    columns={"tlbis": "tlbi", "dsbs": "dsb"},
    profile="altra",
)
"""Neoverse N1 with 4 KiB pages: A and D are set by hardware, no TLBIs of ranges."""
