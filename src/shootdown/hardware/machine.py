"""The machine that every model shares: CPUs, virtual pages, frames, address spaces.

These are the nouns; the verbs are in ``tlb`` and ``ipi``. A kernel adds its own fields to a
population by subclassing it (``class Mm(AddressSpace)``).
"""

from __future__ import annotations

import enum

from shootdown.lang import Array, Object, Option, Word, ghost, ranged

ARCH = Option(
    "arch",
    "x86",
    choices=("x86", "arm64"),
    doc="invalidation is by interrupts; or by broadcast (TLBI and DSB). The hardware says which.",
    tacit=True,
)


class Page(Object):
    """A virtual page: an address of which bits 12 and up matter."""


class Frame(Object, show="f{}"):
    """A page of physical memory.

    ``allocated`` and ``epoch`` belong to the properties: whether the frame has an owner, and which
    owner it is, counted from the start. ``pfn_low`` and ``pfn_high`` are no memory, either, but the
    frame's number, in the two halves that a PAE entry has.
    """

    allocated: bool = ghost(True)
    epoch: int = ghost(ranged(0, 3))
    pfn_low: int = ghost(ranged(0, 1))
    pfn_high: int = ghost(ranged(0, 7))


class Noted(enum.Enum):
    """What software may write down in an entry that is not present; hardware never looks at it
    (Intel SDM 3A, table 4-20: all bits but P are ignored). The other fields keep their meaning for
    software."""

    NOTHING = enum.auto()
    SWAP = enum.auto()
    MIGRATION = enum.auto()
    PROT_NONE = enum.auto()


class Pte(Word):
    """A last-level page-table entry, on every machine (Intel SDM 3A, table 4-20; Arm ARM D8.3.1,
    where it is called a descriptor: ``arm64_walker`` says which bits these are). ``Pte()`` is the
    empty one. ``contiguous`` is Arm's hint; nobody else sets it."""

    present: bool = False
    writable: bool = False
    accessed: bool = False
    dirty: bool = False
    frame: Frame = Frame(0)
    noted: Noted = Noted.NOTHING
    contiguous: bool = False

    def show(self) -> str:
        """As ``f0 W A D``, or ``migration f0 W``."""
        if not self.present and self.noted != Noted.NOTHING:
            return f"{self.noted.name.lower()} {self.frame}" + (" W" if self.writable else "")
        flags = (
            ("C", self.contiguous),
            ("W", self.writable),
            ("A", self.accessed),
            ("D", self.dirty),
        )
        letters = [letter for letter, on in flags if on]
        return " ".join([str(self.frame) if self.present else "none", *letters])


class TlbEntry(Word):
    """What a TLB keeps of a PTE (Intel SDM 3A 4.10.2): the frame, the right to write, and
    whether the dirty flag has been set already. The accessed flag is always set already."""

    writable: bool = False
    dirty: bool = False
    frame: Frame = Frame(0)

    def show(self) -> str:
        """As ``f0 W D``."""
        flags = (("W", self.writable), ("D", self.dirty))
        return " ".join([str(self.frame), *(letter for letter, on in flags if on)])


class AddressSpace(Object):
    """A page table. ``pte`` is its last level; upper levels join with the walk caches.

    A 32-bit kernel with PAE writes an entry as two halves, ``pte_low`` and ``pte_high``, which are
    there instead of ``pte`` (see ``pae``).
    """

    pte: Array[Page, Pte]
    pte_low: Array[Page, PteLow]
    pte_high: Array[Page, PteHigh]


class PteLow(Word):
    """The half of a PAE entry that holds the flags and the low bits of the frame number."""

    present: bool = False
    writable: bool = False
    accessed: bool = False
    dirty: bool = False
    pfn_low: int = ranged(0, 1)

    def show(self) -> str:
        """As ``low 0 W A D``."""
        flags = (("W", self.writable), ("A", self.accessed), ("D", self.dirty))
        letters = [letter for letter, on in flags if on]
        return " ".join([f"low {self.pfn_low}", *letters]) if self.present else "none"


class PteHigh(Word):
    """The half of a PAE entry that holds the frame number from 4 GiB up."""

    pfn_high: int = ranged(0, 7)

    def show(self) -> str:
        """As ``high 1``."""
        return f"high {self.pfn_high}"


class StealTime(Word):
    """What a hypervisor shares with a guest about one virtual CPU (KVM's ``preempted`` byte)."""

    preempted: bool = False
    flush: bool = False

    def show(self) -> str:
        """As ``preempted|flush``."""
        flags = (("preempted", self.preempted), ("flush", self.flush))
        return "|".join(name for name, on in flags if on) or "running"


class Cpu(Object, show="CPU{}"):
    """A processor.

    ``walks``: the page table that it uses (CR3; on Arm, TTBR0_EL1). ``tlb`` holds, per page, the
    entries that the CPU caches (explicit TLB) or may cache (may-set). Several for one page may
    coexist: there is one TLB for data and one for instructions, and x86 allows it (Intel SDM 3A
    4.10.2). ``elsewhere``: the pages for which it (possibly) caches the number of no frame, from
    halves of two PAE entries.
    """

    walks: AddressSpace | None = None
    tlb: Array[Page, set[TlbEntry]]
    elsewhere: set[Page]
    irq_on: bool = True
    call_pending: set[Cpu]
    call_pages: set[Page]
    steal: StealTime
