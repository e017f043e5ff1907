"""Page-table entries of two halves: x86-32 with PAE.

An entry has eight bytes, which a 32-bit kernel writes four at a time. The walker knows no halves:
it reads an aligned entry at once (Intel SDM 3A 9.1.1) and so finds whatever mixture the writes have
left at that moment; if the present bit, which is in the low half, is set, it uses the mixture
and caches it ("the processor may prefetch entries into the TLB in the middle of an operation which
clears a page table entry": x86/PAE: Fix pte_clear for the >4GB RAM case, Linux 2.6.17).

The rights and the flags that hardware sets (A, D) are in the low half, too. Which frame an entry
names is told by both. A mixture may be the number of no frame of the scenario. In a real machine it
is the number of some page all the same, or of a device's registers: what is translated so goes
``elsewhere``.

With ``pte=word`` nothing of this is left in a model.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte, PteHigh, PteLow
from shootdown.lang import Option, atomic, note, replace, seen_by
from shootdown.lang.order import MEMORY

PTE_WIDTH = Option(
    "pte",
    "word",
    choices=("word", "pae"),
    doc="a PTE is one word; or two that are written one after the other (x86-32 with PAE).",
)


@atomic
def names(frame: Frame, low: PteLow, high: PteHigh) -> bool:
    """Whether the halves are, together, the number of a frame."""
    return frame.pfn_low == low.pfn_low and frame.pfn_high == high.pfn_high


@atomic
def joined(low: PteLow, high: PteHigh) -> Pte:
    """The entry that two halves make. ``Pte()`` if it is not present, or goes elsewhere."""
    if low.present:
        for frame in Frame:
            if names(frame, low, high):
                return Pte(
                    present=True,
                    writable=low.writable,
                    accessed=low.accessed,
                    dirty=low.dirty,
                    frame=frame,
                )
    return Pte()


@atomic
def goes_elsewhere(low: PteLow, high: PteHigh) -> bool:
    """Whether the halves make a present entry with the number of no frame."""
    return low.present and not any(names(frame, low, high) for frame in Frame)


@atomic
def entry_of(mm: AddressSpace, page: Page) -> Pte:
    """What a walk of the page table finds, whichever way entries are written."""
    if PTE_WIDTH == "pae":
        return joined(mm.pte_low[page], mm.pte_high[page])
    return mm.pte[page]


@atomic
def on_its_way(mm: AddressSpace, page: Page, frame: Frame) -> bool:
    """For properties: whether an entry that names the frame was stored, and is still in a store
    buffer, where no walk finds it. Nobody has seen that store, so it could as well be made later:
    who looks at what comes after it loses no race."""
    return MEMORY == "tso" and any(
        entry_seen(cpu, mm, page).present and entry_seen(cpu, mm, page).frame == frame
        for cpu in Cpu
    )


@atomic
def right_on_its_way(mm: AddressSpace, page: Page) -> bool:
    """The same for an entry that lets write."""
    return MEMORY == "tso" and any(
        entry_seen(cpu, mm, page).present and entry_seen(cpu, mm, page).writable for cpu in Cpu
    )


@atomic
def entry_seen(cpu: Cpu, mm: AddressSpace, page: Page) -> Pte:
    """The entry as loads of that CPU find it: its own stores first."""
    if PTE_WIDTH == "pae":
        return joined(seen_by(cpu, mm.pte_low[page]), seen_by(cpu, mm.pte_high[page]))
    return seen_by(cpu, mm.pte[page])


@atomic
def tell_halves(mm: AddressSpace, page: Page, made: Pte) -> None:
    """Which entry a walk has found, and of what it is made, for the report."""
    if PTE_WIDTH == "pae":
        note("{} and {} make {}", mm.pte_low[page], mm.pte_high[page], made.frame)


@atomic
def tell_no_frame(mm: AddressSpace, page: Page) -> None:
    """The same where the halves go elsewhere."""
    note("{} and {} make no frame", mm.pte_low[page], mm.pte_high[page])


@atomic
def set_flags(mm: AddressSpace, page: Page, found: Pte) -> None:
    """A walk sets A and D of the entry that it has found, with a locked access."""
    if PTE_WIDTH == "pae":
        low = mm.pte_low[page]
        mm.pte_low[page] = replace(low, accessed=found.accessed, dirty=found.dirty)
    else:
        mm.pte[page] = found


@atomic
def put_entry(mm: AddressSpace, page: Page, pte: Pte) -> None:
    """Make a present entry at once, in starting states."""
    if PTE_WIDTH == "pae":
        mm.pte_high[page] = PteHigh(pfn_high=pte.frame.pfn_high)
        mm.pte_low[page] = PteLow(
            present=True,
            writable=pte.writable,
            accessed=pte.accessed,
            dirty=pte.dirty,
            pfn_low=pte.frame.pfn_low,
        )
    else:
        mm.pte[page] = pte


@atomic
def forget_elsewhere(cpu: Cpu, pages: set[Page]) -> None:
    """What goes elsewhere is removed like any other translation."""
    if PTE_WIDTH == "pae":
        cpu.elsewhere = cpu.elsewhere - pages


@atomic
def learn_elsewhere(cpu: Cpu, page: Page, low: PteLow, high: PteHigh) -> None:
    """The may-set grows by a translation that goes elsewhere, if the halves make one."""
    if low.accessed and goes_elsewhere(low, high):
        cpu.elsewhere.add(page)


@atomic
def stays_here(cpu: Cpu, page: Page) -> None:
    """An access must not go elsewhere: what it does there is not modelled, and is an error in any
    case."""
    if PTE_WIDTH == "pae":
        mm = cpu.walks
        leaves = page in cpu.elsewhere
        if mm is not None and goes_elsewhere(mm.pte_low[page], mm.pte_high[page]):
            leaves = True
            tell_no_frame(mm, page)
        assert not leaves, "INV-TORN: an access goes where halves of two entries lead"
