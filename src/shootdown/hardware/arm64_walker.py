"""The Contiguous bit: N descriptors that may be cached as one TLB entry.

All pages of the model form one naturally aligned block, so N is the number of pages. A descriptor's
output address is given by the aligned run of N frames that it lies in (``frame``): the place in the
run is the page's place in the block. So "consecutive output addresses" means: the same ``frame``.

What hardware may do (Arm ARM DDI 0487, D8.7.1 "Contiguous bit"):

* cache the whole block from any one valid descriptor that has the bit, whatever the others say;
* set the access flag and the dirty state in any of them (ICQTNL: their values may differ);
* a range of descriptors that are each either invalid or valid with the bit is *not* misprogrammed
  (IPGVGZ); one in which valid descriptors disagree about the bit is (RQTRPM), and the TLB might
  then hold overlapping entries. The same happens when the bit changes without break-before-make.

What overlapping entries do is FEAT_BBM's business: :data:`BBM`.
"""

from __future__ import annotations

import enum

from shootdown.hardware.machine import AddressSpace, Frame, Page, TlbEntry
from shootdown.hardware.tlb import TLB
from shootdown.hardware.tlbi import STRAWMAN, Pe
from shootdown.lang import (
    Array,
    Option,
    Word,
    atomic,
    choose,
    given,
    note,
    on_write,
    replace,
    rule,
    when,
)

BBM = Option(
    "bbm",
    0,
    choices=(0, 2),
    doc="FEAT_BBM: at level 0 an address that matches a page entry and a block entry gives a "
    "conflict abort, or anything else; at level 2 (without aborts) it gives one of the two.",
)
BLOCKS = Option(
    "blocks",
    "cached",
    choices=("cached", "ignored"),
    doc="A descriptor with the Contiguous bit is cached as a block entry, or as an entry for its "
    "own page only, which an implementation may do.",
)


class Descriptor(Word):
    """A last-level descriptor (Arm ARM D8.3.1), as Linux programs it.

    ``writable`` is the DBM bit. A descriptor lets writes through if it is ``writable`` and
    ``dirty``; with ``writable`` alone AP[2] says read-only and hardware that manages dirty state
    clears it on the first write. ``dirty`` without ``writable`` is the software flag that Linux
    keeps when it takes the right to write away.
    """

    valid: bool = False
    contiguous: bool = False
    writable: bool = False
    accessed: bool = False
    dirty: bool = False
    frame: Frame = Frame(0)

    def show(self) -> str:
        """As ``f0 C W A D``."""
        flags = (
            ("C", self.contiguous),
            ("W", self.writable),
            ("A", self.accessed),
            ("D", self.dirty),
        )
        letters = [letter for letter, on in flags if on]
        if not self.valid:
            return " ".join(["none", *letters])
        return " ".join([str(self.frame), *letters])


class Fault(enum.Enum):
    """Why an access is not done (Arm ARM D8.15, the types of MMU fault that the model has)."""

    NONE = enum.auto()
    TRANSLATION = enum.auto()
    ACCESS_FLAG = enum.auto()
    PERMISSION = enum.auto()


class Translation(Word):
    """What comes of an address: a frame, or a fault."""

    fault: Fault = Fault.NONE
    frame: Frame = Frame(0)


class Arm64Space(AddressSpace):
    """A page table whose last level is one contiguous block."""

    table: Array[Page, Descriptor]


class Walker(Pe):
    """A PE, or a device behind an SMMU that takes part in broadcast TLB maintenance.

    ``blocks``: the block entries that it holds, or may hold; entries for single pages are in
    ``tlb``. ``walks``: the page table that it uses. ``manages_flags``: it sets the access flag by
    itself, and the dirty state too if it ``manages_dirty`` (FEAT_HAFDBS: TCR_EL1.HA and HD; HTTU in
    an SMMU). One that does not looks at the descriptor of the address and at no other, and takes a
    fault instead (Linux 97c5550b7631).
    """

    walks: Arm64Space | None = None
    blocks: set[TlbEntry]
    manages_flags: bool = given(True)
    manages_dirty: bool = given(True)


@atomic
def in_block(descriptor: Descriptor) -> bool:
    """Whether it may stand for the whole block."""
    return descriptor.valid and descriptor.contiguous


@atomic
def cached(descriptor: Descriptor) -> TlbEntry:
    """What a TLB keeps of a descriptor."""
    return TlbEntry(
        frame=descriptor.frame,
        writable=descriptor.writable,
        dirty=descriptor.writable and descriptor.dirty,
    )


@atomic
def cache(walker: Walker, page: Page, descriptor: Descriptor) -> None:
    """Keep an entry."""
    if descriptor.contiguous and BLOCKS == "cached":
        walker.blocks.add(cached(descriptor))
    else:
        walker.tlb[page].add(cached(descriptor))


@atomic
def holds(walker: Walker, page: Page, descriptor: Descriptor) -> bool:
    """Whether such an entry is cached."""
    if descriptor.contiguous and BLOCKS == "cached":
        return cached(descriptor) in walker.blocks
    return cached(descriptor) in walker.tlb[page]


@atomic
def cacheable(descriptor: Descriptor) -> bool:
    """Neither invalid descriptors nor those with a clear access flag are cached (Arm ARM RMBZQR,
    D8.5.1)."""
    return descriptor.valid and (descriptor.accessed or STRAWMAN == "caches-unaccessed")


@on_write(Arm64Space.table)
def remember(mm: Arm64Space, page: Page, old: Descriptor, new: Descriptor) -> None:
    """The may-set grows when a descriptor becomes cacheable."""
    if TLB == "may" and cacheable(new) and STRAWMAN != "fills-on-use":
        for walker in Walker:
            if walker.walks == mm:
                cache(walker, page, new)


@rule(show="TLB fill of {page}")
def fill(walker: Walker, page: Page) -> None:
    """A PE may load a translation at any time, also speculatively. It sets the access flag first,
    by an atomic update, if it manages it; if not, a clear flag is a fault and nothing is cached
    (Arm ARM D8.5.1)."""
    mm = walker.walks
    when(mm is not None and STRAWMAN != "flags-never-set")
    if mm is not None:
        descriptor = mm.table[page]
        when(descriptor.valid)
        when(descriptor.accessed or walker.manages_flags)
        if TLB == "may":
            when(not descriptor.accessed)
            mm.table[page] = replace(descriptor, accessed=True)
        else:
            loaded = replace(descriptor, accessed=True)
            when(not (descriptor.accessed and holds(walker, page, descriptor)))
            if not descriptor.accessed:
                mm.table[page] = loaded
            cache(walker, page, loaded)


@rule(show="TLB eviction of {page}")
def evict(walker: Walker, page: Page) -> None:
    """A PE may drop an entry at any time."""
    when(TLB == "explicit")
    if choose(False, True):
        when(page == Page(0))
        walker.blocks.discard(choose(walker.blocks))
    else:
        walker.tlb[page].discard(choose(walker.tlb[page]))


# ------------------------------------------------------------------ accesses through the TLB


@atomic
def walk(walker: Walker, page: Page, write: bool) -> Translation:
    """Translate by walking. The descriptor that is looked at, and updated, is the one of the
    address, or any other of the block that has the Contiguous bit: from it the block entry could
    have been loaded. A translation fault comes before an access flag fault, and that before a
    permission fault (Arm ARM D8.15.5)."""
    mm = walker.walks
    if mm is None:
        return Translation(fault=Fault.TRANSLATION)
    usable: set[Page] = {q for q in Page if in_block(mm.table[q])}
    source = page
    if walker.manages_flags and BLOCKS == "cached":
        source = choose(usable | {page})
    descriptor = mm.table[source]
    if not descriptor.valid:
        return Translation(fault=Fault.TRANSLATION)
    if not descriptor.accessed and not walker.manages_flags:
        if STRAWMAN != "ignores-access-flag":
            return Translation(fault=Fault.ACCESS_FLAG)
    if write and not (descriptor.writable and (descriptor.dirty or walker.manages_dirty)):
        if STRAWMAN != "ignores-permission":
            return Translation(fault=Fault.PERMISSION)
    found = replace(descriptor, accessed=True, dirty=descriptor.dirty or write)
    if STRAWMAN == "dirty-speculatively" and walker.manages_dirty and descriptor.writable:
        found = replace(descriptor, accessed=True, dirty=True)
    if found != descriptor and STRAWMAN != "flags-never-set":
        note("flags set in the PTE of {}", source)
        mm.table[source] = found
    if TLB == "explicit" or STRAWMAN == "fills-on-use":
        cache(walker, source, found)
    return Translation(frame=found.frame)


@atomic
def matches(walker: Walker, page: Page) -> set[TlbEntry]:
    """The entries that translate an address."""
    return walker.tlb[page] | walker.blocks


@atomic
def conflict(walker: Walker, page: Page) -> bool:
    """Two entries of different size translate one address, and that is an error: a TLB conflict
    abort, or an output address or permissions that were never programmed (Arm ARM RNGLXZ)."""
    return BBM == 0 and bool(walker.tlb[page]) and bool(walker.blocks)


@atomic
def translate(walker: Walker, page: Page, write: bool) -> Translation:
    """An access: through any entry that there is, else by a walk. A store through an entry that
    lets writes through touches no descriptor. Through one that lacks only the dirty state, and if
    hardware manages that, it walks, and so faults if the descriptor is gone or read-only by now.
    Through any other it faults at once, whatever the descriptor says by now: a fault does not drop
    the entry (Linux flush_tlb_fix_spurious_fault())."""
    hit = bool(matches(walker, page)) and STRAWMAN != "no-tlb"
    if TLB == "may" and hit:
        hit = choose(False, True)
    if not hit:
        return walk(walker, page, write)
    entry = choose(matches(walker, page))
    if not write or (entry.writable and (entry.dirty or STRAWMAN == "stale-dirty")):
        return Translation(frame=entry.frame)
    if entry.writable and walker.manages_dirty:
        return walk(walker, page, write)
    return Translation(fault=Fault.PERMISSION)


@atomic
def user_load(walker: Walker, page: Page) -> Frame | None:
    """A load. The frame, or ``None``: fault."""
    found = translate(walker, page, False)
    if found.fault != Fault.NONE:
        return None
    return found.frame


@atomic
def user_store(walker: Walker, page: Page) -> Frame | None:
    """A store. The frame, or ``None``: fault."""
    found = translate(walker, page, True)
    if found.fault != Fault.NONE:
        return None
    return found.frame


# ------------------------------------------------------------------ invalidation


@atomic
def serve(target: Walker, issuer: Pe) -> None:
    """What the PE ``issuer`` has posted takes effect. The block entry translates every page, so it
    goes with any of them. Afterwards the PE may hold only what it can load now."""
    pages = issuer.posted[target]
    if STRAWMAN == "tlbi-nothing":
        issuer.posted[target] = set()
        return
    for page in pages:
        target.tlb[page] = set()
    target.blocks = set()
    mm = target.walks
    if TLB == "may" and mm is not None:
        for page in Page:
            descriptor = mm.table[page]
            if cacheable(descriptor) and STRAWMAN != "fills-on-use":
                cache(target, page, descriptor)
    issuer.posted[target] = set()


@rule(fair=True, show="TLBI of {issuer} reaches {target}")
def tlbi_arrives(target: Walker, issuer: Pe) -> None:
    """A TLBI takes effect (as in ``tlbi.py``)."""
    when(issuer.posted[target])
    serve(target, issuer)
