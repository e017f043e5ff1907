"""The MMU of arm64: what a PE loads from page tables, what its TLB keeps, what takes it away.

Everything that runs on arm64 uses this one: kernel paths (``arm64`` and ``arm64_contiguous`` in
:mod:`shootdown.hardware.arm64`) and litmus tests (:mod:`shootdown.hardware.aarch64`). ARM is the
Arm Architecture Reference Manual, DDI 0487.

============  ======================================================================  ==========
section       rules
============  ======================================================================  ==========
a PE          :class:`Walker`, and how it reads a page-table entry                    ARM D8.3.1
fills         :func:`remember`, :func:`fill`, :func:`evict`                           ARM D8.5.1
accesses      :func:`translate`: through the TLB, or by a :func:`walk`                ARM D8.15
invalidation  :func:`tlbi_arrives`; TLBI and DSB themselves: :mod:`.tlbi`             ARM D8.17
blocks        the Contiguous bit, as option ``blocks`` and ``bbm`` say                ARM D8.7.1
============  ======================================================================  ==========

A :class:`Pte` is a last-level descriptor, as Linux programs it. ``present`` is the valid bit.
``writable`` is the DBM bit. A descriptor lets writes through if it is ``writable`` and ``dirty``;
with ``writable`` alone AP[2] says read-only, and hardware that manages dirty state clears it on the
first write. ``dirty`` without ``writable`` is the software flag that Linux keeps when it takes the
right to write away. ``noted`` is software's: hardware looks at nothing but the valid bit of an
invalid descriptor.
"""

from __future__ import annotations

import enum

from shootdown.hardware.machine import AddressSpace, Frame, Page, Pte, TlbEntry
from shootdown.hardware.tlb import TLB
from shootdown.hardware.tlbi import STRAWMAN, Pe
from shootdown.lang import (
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


# ------------------------------------------------------------------ a PE


class Walker(Pe):
    """A PE, or a device behind an SMMU that takes part in broadcast TLB maintenance.

    ``blocks``: the block entries that it holds, or may hold; entries for single pages are in
    ``tlb``. ``manages_flags``: it sets the access flag by itself, and the dirty state too if it
    ``manages_dirty`` (FEAT_HAFDBS: TCR_EL1.HA and HD; HTTU in an SMMU). One that does not looks at
    the descriptor of the address and at no other, and takes a fault instead (Linux 97c5550b7631).
    """

    blocks: set[TlbEntry]
    manages_flags: bool = given(True)
    manages_dirty: bool = given(True)


class Fault(enum.Enum):
    """Why an access is not done (ARM D8.15, the types of MMU fault that the model has)."""

    NONE = enum.auto()
    TRANSLATION = enum.auto()
    ACCESS_FLAG = enum.auto()
    PERMISSION = enum.auto()


class Translation(Word):
    """What comes of an address: a frame, or a fault."""

    fault: Fault = Fault.NONE
    frame: Frame = Frame(0)


# ------------------------------------------------------------------ fills


@atomic
def cacheable(descriptor: Pte) -> bool:
    """Neither invalid descriptors nor those with a clear access flag are cached (ARM RMBZQR,
    D8.5.1)."""
    return descriptor.present and (descriptor.accessed or STRAWMAN == "caches-unaccessed")


@atomic
def cached(descriptor: Pte) -> TlbEntry:
    """What a TLB keeps of a descriptor."""
    return TlbEntry(
        frame=descriptor.frame,
        writable=descriptor.writable,
        dirty=descriptor.writable and descriptor.dirty,
    )


@atomic
def cache(walker: Walker, page: Page, descriptor: Pte) -> None:
    """Keep an entry."""
    if descriptor.contiguous and BLOCKS == "cached":
        walker.blocks.add(cached(descriptor))
    else:
        walker.tlb[page].add(cached(descriptor))


@atomic
def holds(walker: Walker, page: Page, descriptor: Pte) -> bool:
    """Whether such an entry is cached."""
    if descriptor.contiguous and BLOCKS == "cached":
        return cached(descriptor) in walker.blocks
    return cached(descriptor) in walker.tlb[page]


@on_write(AddressSpace.pte)
def remember(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The may-set grows when a descriptor becomes cacheable."""
    if TLB == "may" and cacheable(new) and STRAWMAN != "fills-on-use":
        for walker in Walker:
            if walker.walks == mm:
                cache(walker, page, new)


@atomic
def learn(walker: Walker, mm: AddressSpace | None) -> None:
    """The may-set gets what there is in a table that the PE walks."""
    if TLB == "may" and mm is not None and STRAWMAN != "fills-on-use":
        for page in Page:
            descriptor = mm.pte[page]
            if cacheable(descriptor):
                cache(walker, page, descriptor)


@on_write(Walker.walks)
def begin_to_walk(walker: Walker, old: AddressSpace | None, new: AddressSpace | None) -> None:
    """It begins to walk another one."""
    learn(walker, new)


@rule(show="TLB fill of {page}")
def fill(walker: Walker, page: Page) -> None:
    """A PE may load a translation at any time, also speculatively. It sets the access flag first,
    by an atomic update, if it manages it; if not, a clear flag is a fault and nothing is cached
    (ARM D8.5.1)."""
    mm = walker.walks
    when(mm is not None and STRAWMAN != "flags-never-set")
    if mm is not None:
        descriptor = mm.pte[page]
        when(descriptor.present)
        when(descriptor.accessed or walker.manages_flags)
        if TLB == "may":
            when(not descriptor.accessed)
            mm.pte[page] = replace(descriptor, accessed=True)
        else:
            loaded = replace(descriptor, accessed=True)
            when(not (descriptor.accessed and holds(walker, page, descriptor)))
            if not descriptor.accessed:
                mm.pte[page] = loaded
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


# ------------------------------------------------------------------ accesses


@atomic
def may_write(walker: Walker, descriptor: Pte) -> bool:
    """Whether a store may go through a valid descriptor: one that is writable, and dirty already
    or made so by hardware (ARM D8.5.2)."""
    return descriptor.writable and (descriptor.dirty or walker.manages_dirty)


@atomic
def fault_of(walker: Walker, descriptor: Pte, write: bool) -> Fault:
    """What a walk meets. A translation fault comes before an access flag fault, and that before a
    permission fault (ARM D8.15.5)."""
    if not descriptor.present:
        return Fault.TRANSLATION
    if not descriptor.accessed and not walker.manages_flags:
        if STRAWMAN != "ignores-access-flag":
            return Fault.ACCESS_FLAG
    if write and not may_write(walker, descriptor):
        if STRAWMAN != "ignores-permission":
            return Fault.PERMISSION
    return Fault.NONE


@atomic
def walk(walker: Walker, page: Page, write: bool) -> Translation:
    """Translate by walking, and update the descriptor that was looked at, atomically with the look
    (ARM D8.5.2)."""
    mm = walker.walks
    if mm is None:
        return Translation(fault=Fault.TRANSLATION)
    source = page
    if walker.manages_flags and BLOCKS == "cached":
        source = choose(block_of(mm) | {page})
    descriptor = mm.pte[source]
    fault = fault_of(walker, descriptor, write)
    if fault != Fault.NONE:
        return Translation(fault=fault)
    found = replace(descriptor, accessed=True, dirty=descriptor.dirty or write)
    if STRAWMAN == "dirty-speculatively" and walker.manages_dirty and descriptor.writable:
        found = replace(descriptor, accessed=True, dirty=True)
    if found != descriptor and STRAWMAN != "flags-never-set":
        note("flags set in the PTE of {}", source)
        mm.pte[source] = found
    if TLB == "explicit" or STRAWMAN == "fills-on-use":
        cache(walker, source, found)
    return Translation(frame=found.frame)


@atomic
def matches(walker: Walker, page: Page) -> set[TlbEntry]:
    """The entries that translate an address."""
    return walker.tlb[page] | walker.blocks


@atomic
def lets_write(entry: TlbEntry) -> bool:
    """Whether a store through this entry touches no descriptor."""
    return entry.writable and (entry.dirty or STRAWMAN == "stale-dirty")


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
    if not write or lets_write(entry):
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
    learn(target, target.walks)
    issuer.posted[target] = set()


@rule(fair=True, show="TLBI of {issuer} reaches {target}")
def tlbi_arrives(target: Walker, issuer: Pe) -> None:
    """A TLBI takes effect. It cannot be put off for ever."""
    when(issuer.posted[target])
    serve(target, issuer)


# ------------------------------------------------------------------ blocks
#
# With the Contiguous bit N descriptors may be cached as one TLB entry. All pages of the model form
# one naturally aligned block, so N is the number of pages. A descriptor's output address is given
# by the aligned run of N frames that it lies in (``frame``): the place in the run is the page's
# place in the block. So "consecutive output addresses" means: the same ``frame``.
#
# What hardware may do (ARM D8.7.1 "Contiguous bit"):
#
# * cache the whole block from any one valid descriptor that has the bit, whatever the others say;
# * set the access flag and the dirty state in any of them (ICQTNL: their values may differ);
# * a range of descriptors that are each either invalid or valid with the bit is *not* misprogrammed
#   (IPGVGZ); one in which valid descriptors disagree about the bit is (RQTRPM), and the TLB might
#   then hold overlapping entries. The same happens when the bit changes without break-before-make.
#
# What overlapping entries do is FEAT_BBM's business: option ``bbm``.


@atomic
def block_of(mm: AddressSpace) -> set[Page]:
    """The pages whose descriptors may stand for the whole block: a walk may look at any of them,
    and update it, since from it the block entry could have been loaded."""
    return {page for page in Page if mm.pte[page].present and mm.pte[page].contiguous}


@atomic
def conflict(walker: Walker, page: Page) -> bool:
    """Two entries of different size translate one address, and that is an error: a TLB conflict
    abort, or an output address or permissions that were never programmed (ARM RNGLXZ)."""
    return BBM == 0 and bool(walker.tlb[page]) and bool(walker.blocks)
