"""The TLB of x86: how entries get into it, what uses them, what removes them. That of arm64 is
:mod:`shootdown.hardware.arm64_walker`.

One option chooses, for both, between two ways to write the same thing:

* ``tlb=explicit``: entries appear and disappear by themselves (:func:`fill`, :func:`evict`).
* ``tlb=may``: no such steps. ``cpu.tlb[page]`` is the set of all entries that the CPU *may* hold:
  the values that the PTE has had, while this CPU could walk it, since the CPU last invalidated the
  page.

Fills are silent (but for the accessed flag, which :func:`fill` sets in both), no fill is ever
forced, and any entry may be evicted, so the TLB contents that the explicit rules reach are exactly
the subsets of the may-set. A property that is broken by *holding* or *using* an entry is therefore
broken under one exactly when it is broken under the other. Tests compare the two on every scenario.

A store through an entry that does not let writes through walks again, and a fault drops the entry;
neither is so on Arm.

With ``pte=pae`` the walker reads the two halves that software has written as one entry: see
:mod:`shootdown.hardware.pae`.
"""

from __future__ import annotations

from shootdown.hardware.machine import (
    AddressSpace,
    Cpu,
    Frame,
    Page,
    Pte,
    PteHigh,
    PteLow,
    TlbEntry,
)
from shootdown.hardware.pae import (
    PTE_WIDTH,
    entry_of,
    forget_elsewhere,
    goes_elsewhere,
    joined,
    learn_elsewhere,
    set_flags,
    stays_here,
    tell_halves,
    tell_no_frame,
)
from shootdown.lang import Option, atomic, choose, on_write, replace, rule, when

TLB = Option(
    "tlb",
    "may",
    choices=("may", "explicit"),
    doc="TLB contents: the set of entries that a CPU may hold, or entries that come and go.",
)

CLEAN_STORE = Option(
    "clean_store",
    "walks",
    choices=("walks", "silent"),
    doc="a store through a cached entry whose dirty flag is clear: walks again, and faults if the "
    "PTE is gone (Intel SDM 3A 4.8); or just writes, as no x86 does.",
)


# ------------------------------------------------------------------ what a CPU may cache


@atomic(looks="outside")
def can_walk(cpu: Cpu, mm: AddressSpace) -> bool:
    """Can this CPU walk that page table now? A virtual CPU that does not run walks nothing."""
    return cpu.walks == mm and not cpu.steal.preempted


@atomic
def cached(pte: Pte) -> TlbEntry:
    """What a TLB keeps of a PTE."""
    return TlbEntry(frame=pte.frame, writable=pte.writable, dirty=pte.dirty)


@on_write(AddressSpace.pte)
def remember(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The may-set grows when a PTE becomes cacheable: present, and with its accessed flag set
    (Intel SDM 3A 4.10.2: nothing is cached while an accessed flag on the way to it is clear)."""
    assert PTE_WIDTH != "pae", "pte=pae: this model writes mm.pte, and no pte_low and pte_high"
    if TLB == "may" and new.present and new.accessed:
        for cpu in Cpu:
            if can_walk(cpu, mm):
                cpu.tlb[page].add(cached(new))


@on_write(AddressSpace.pte_low)
def remember_low(mm: AddressSpace, page: Page, old: PteLow, new: PteLow) -> None:
    """The same for an entry of two halves, of which one is written."""
    if TLB == "may":
        remember_halves(mm, page, new, mm.pte_high[page])


@on_write(AddressSpace.pte_high)
def remember_high(mm: AddressSpace, page: Page, old: PteHigh, new: PteHigh) -> None:
    """The same for the other half."""
    if TLB == "may":
        remember_halves(mm, page, mm.pte_low[page], new)


@atomic
def remember_halves(mm: AddressSpace, page: Page, low: PteLow, high: PteHigh) -> None:
    """What the halves make now."""
    pte = joined(low, high)
    for cpu in Cpu:
        if can_walk(cpu, mm):
            if pte.present and pte.accessed:
                cpu.tlb[page].add(cached(pte))
            learn_elsewhere(cpu, page, low, high)


@atomic
def learn(cpu: Cpu, mm: AddressSpace, page: Page) -> None:
    """The may-set gets what the CPU can load now."""
    pte = entry_of(mm, page)
    if pte.present and pte.accessed:
        cpu.tlb[page].add(cached(pte))
    if PTE_WIDTH == "pae":
        learn_elsewhere(cpu, page, mm.pte_low[page], mm.pte_high[page])


@atomic
def remember_all(cpu: Cpu, mm: AddressSpace) -> None:
    """The CPU can walk ``mm`` from now on (CR3 was loaded, or a virtual CPU resumed)."""
    if TLB == "may":
        for page in Page:
            learn(cpu, mm, page)


@on_write(Cpu.walks)
def begin_to_walk(cpu: Cpu, old: AddressSpace | None, new: AddressSpace | None) -> None:
    """The may-set gets what there is in a page table that the CPU begins to walk."""
    if new is not None and can_walk(cpu, new):
        remember_all(cpu, new)


@rule(show="TLB fill of {page}", looks=False)
def fill(cpu: Cpu, page: Page) -> None:
    """A CPU may load a translation at any time, for any address, also speculatively; it sets the
    accessed flag first, with a locked access (Intel SDM 3A 4.8, 4.10.2)."""
    mm = cpu.walks
    when(mm is not None and not cpu.steal.preempted)
    if mm is not None:
        pte = entry_of(mm, page)
        when(pte.present)
        if TLB == "may":
            when(not pte.accessed)
            set_flags(mm, page, replace(pte, accessed=True))
        else:
            when(not (pte.accessed and cached(pte) in cpu.tlb[page]))
            if not pte.accessed:
                set_flags(mm, page, replace(pte, accessed=True))
            cpu.tlb[page].add(cached(pte))
        tell_halves(mm, page, pte)


@rule(show="TLB fill of {page} from two halves")
def fill_elsewhere(cpu: Cpu, page: Page) -> None:
    """The same where the halves of a PAE entry lead to no frame of the scenario."""
    when(PTE_WIDTH == "pae")
    if PTE_WIDTH == "pae":
        mm = cpu.walks
        when(mm is not None and not cpu.steal.preempted)
        if mm is not None:
            low = mm.pte_low[page]
            when(goes_elsewhere(low, mm.pte_high[page]))
            when(not low.accessed or (TLB == "explicit" and page not in cpu.elsewhere))
            if not low.accessed:
                mm.pte_low[page] = replace(low, accessed=True)
            cpu.elsewhere.add(page)
            tell_no_frame(mm, page)


@rule(show="TLB eviction of {page}")
def evict(cpu: Cpu, page: Page) -> None:
    """A CPU may drop an entry at any time (Intel SDM 3A 4.10.2)."""
    when(TLB == "explicit")
    entry = choose(cpu.tlb[page])
    cpu.tlb[page].discard(entry)


@rule(show="TLB eviction of {page} from two halves")
def evict_elsewhere(cpu: Cpu, page: Page) -> None:
    """The same for a translation that goes elsewhere."""
    when(PTE_WIDTH == "pae" and TLB == "explicit")
    if PTE_WIDTH == "pae":
        when(page in cpu.elsewhere)
        cpu.elsewhere.discard(page)


# ------------------------------------------------------------------ accesses through the TLB


@atomic
def walk(cpu: Cpu, page: Page, write: bool) -> Frame | None:
    """Translate by walking the page table: a locked read-modify-write of the *current* PTE sets the
    accessed flag, and the dirty flag for a write (Intel SDM 3A 4.8). ``None`` is a page fault; a
    fault also drops what is cached for its address (4.10.4.1)."""
    mm = cpu.walks
    if mm is None:
        return None
    pte = entry_of(mm, page)
    if not pte.present or (write and not pte.writable):
        cpu.tlb[page] = set()
        if TLB == "may" and pte.present and pte.accessed:
            cpu.tlb[page].add(cached(pte))
        return None
    tell_halves(mm, page, pte)
    found = replace(pte, accessed=True, dirty=pte.dirty or write)
    if found != pte:
        set_flags(mm, page, found)
    if TLB == "explicit":
        cpu.tlb[page].add(cached(found))
    return found.frame


@atomic
def lets_write(entry: TlbEntry) -> bool:
    """Whether a store through this entry touches no PTE."""
    return entry.writable and (entry.dirty or CLEAN_STORE == "silent")


@atomic
def user_load(cpu: Cpu, page: Page) -> Frame | None:
    """A load: through any entry that the CPU has, else by a walk. The frame, or ``None``: fault."""
    stays_here(cpu, page)
    hit = bool(cpu.tlb[page])
    if TLB == "may" and hit:
        hit = choose(False, True)
    if not hit:
        return walk(cpu, page, False)
    entry = choose(cpu.tlb[page])
    return entry.frame


@atomic
def user_store(cpu: Cpu, page: Page) -> Frame | None:
    """A store. Through an entry whose dirty flag is set it touches no PTE; through any other it
    walks again, so it faults if the PTE is gone or read-only by now (Intel SDM 3A 4.8;
    Linux relies on it in 72b252aed506)."""
    stays_here(cpu, page)
    hit = bool(cpu.tlb[page])
    if TLB == "may" and hit:
        hit = choose(False, True)
    if not hit:
        return walk(cpu, page, True)
    entry = choose(cpu.tlb[page])
    if not lets_write(entry):
        return walk(cpu, page, True)
    return entry.frame


# ------------------------------------------------------------------ invalidation


@atomic(looks=False)
def invalidate(cpu: Cpu, pages: set[Page]) -> None:
    """INVLPG for each page, or a CR3 write for all of them (Intel SDM 3A 4.10.4.1). Afterwards
    the CPU may hold only what it can load now. Walks are atomic here, so none that began before is
    still under way."""
    for page in pages:
        cpu.tlb[page] = set()
    forget_elsewhere(cpu, pages)
    mm = cpu.walks
    if TLB == "may" and mm is not None:
        for page in pages:
            if not cpu.steal.preempted:
                learn(cpu, mm, page)
