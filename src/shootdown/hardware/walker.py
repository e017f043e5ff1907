"""Page walks with more than one level, and the caches that hold parts of them.

``machine`` and ``tlb`` know a page table as one array of entries. Here it is a tree: a root
(:class:`Space`) has an entry for each :class:`Region` (2 MiB of addresses), which is empty, a large
page, or a :class:`Table` with an entry for each page. A CPU caches both levels, tagged with a
:class:`Pcid`: ``leaves`` are translations, ``tables`` are paging-structure cache entries (Intel SDM
3A 4.10.2 and 4.10.3). What removes them is in ``walker_flush``.

What a model needs to know:

* ``load_cr3(cpu, space, pcid)`` makes a CPU walk a root; nothing is walked before.
* ``Space.pmd[region]`` and ``Table.pte[page]`` are ordinary memory: write them in paths.
* ``load(cpu, page)`` is an instruction that reads, ``store(cpu, page)`` one that writes; the frame,
  or ``None`` for a page fault. Dirty flags are not modelled here, nor what a CPU caches of them.
* A table has an entry for each page, ``table.pte[page]``, which is enough as long as it stays in
  one place. If it is moved, or is in several, its entries are counted from its beginning:
  ``table_index=slot``, and ``table.pte[slot(page)]``.
* ``give_away(table)`` is the moment from which the table's frame is somebody else's memory. Its
  contents are arbitrary then: a walk that still comes by (:func:`walk_given_away`) sets an accessed
  flag in it (``table.trampled``) and may load any translation.
* The :class:`Hardware` is ``walker`` in :mod:`.walker_flush`, with interrupts ``x86_tables`` in
  :mod:`.walker_remote`; ``x86`` and they are not used together.

The option ``tlb`` is that of ``tlb.py``, with the same meaning and for the same reason: under
``tlb=may`` the two caches are sets of what a CPU *may* hold, under ``tlb=explicit`` entries come
and go. A walk that starts at a cached table reads the table's *current* entries, so a table that a
CPU may have cached counts as reachable until it is invalidated, whatever memory says.

A page walker sees memory and the store buffer of its own CPU, never another one's (``seen_by``).
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte
from shootdown.hardware.tlb import TLB
from shootdown.lang import (
    Array,
    Object,
    Option,
    Word,
    atomic,
    choose,
    ghost,
    on_write,
    path,
    replace,
    rule,
    seen_by,
    when,
)

TABLE_INDEX = Option(
    "table_index",
    "page",
    choices=("page", "slot"),
    doc="which entry of a table translates a page: the page's own; or that with its place in the "
    "region, so that a table that is moved to another region translates other pages.",
    tacit=True,
)


class Region(Object):
    """The addresses that one last-level table maps. Pages are shared out evenly among regions.

    ``glob``: the G flag is set in all its leaf entries, as Linux does for the kernel's half without
    page-table isolation. In an entry that refers to a table G means nothing (SDM 4.10.2.4).
    """

    glob: bool = False


class Pcid(Object, show="PCID{}"):
    """A process-context identifier: the tag of cached entries (SDM 3A 4.10.1)."""


class Table(Object, show="T{}"):
    """A last-level page table: a frame of memory that holds entries.

    ``given_away`` (ghost): the frame is somebody else's memory now. ``trampled`` (ghost): hardware
    has since taken it for a page table, and set accessed flags in it.
    """

    pte: Array[Page, Pte]
    given_away: bool = ghost(False)
    trampled: bool = ghost(False)


class Pmd(Word):
    """An entry of a root: nothing, a large page, or a table (SDM 3A tables 4-18 and 4-19)."""

    present: bool = False
    large: bool = False
    table: Table = Table(0)
    frame: Frame = Frame(0)

    def show(self) -> str:
        """As ``->T0``, or ``2M f1``."""
        if not self.present:
            return "none"
        return f"2M {self.frame}" if self.large else f"->{self.table}"


class Leaf(Word):
    """What a TLB keeps of a translation. ``large``: it stands for the whole region."""

    frame: Frame = Frame(0)
    writable: bool = False
    large: bool = False
    glob: bool = False

    def show(self) -> str:
        """As ``f0 G 2M``."""
        flags = (("W", self.writable), ("G", self.glob), ("2M", self.large))
        return " ".join([str(self.frame), *(letter for letter, on in flags if on)])


class Space(AddressSpace, show="root{}"):
    """The root of a page table, as CR3 names it."""

    pmd: Array[Region, Pmd]


class Walker(Cpu):
    """A CPU with both kinds of caches, and the two halves of its CR3."""

    root: Space | None = None
    pcid: Pcid = Pcid(0)
    leaves: Array[Pcid, Array[Page, set[Leaf]]]
    tables: Array[Pcid, Array[Region, set[Table]]]


# ------------------------------------------------------------------ addresses and entries


@path
def region_of(page: Page) -> Region:
    """The region that a page lies in."""
    return Region(page.index * len(Region) // len(Page))


@path
def slot(page: Page) -> Page:
    """Which entry of a table is this page's, wherever the table is."""
    if TABLE_INDEX == "slot":
        return Page(page.index % (len(Page) // len(Region)))
    return page


@atomic
def small(pte: Pte, region: Region) -> Leaf:
    """What a TLB keeps of a last-level entry."""
    return Leaf(frame=pte.frame, writable=pte.writable, glob=region.glob)


@atomic
def large(pmd: Pmd, region: Region) -> Leaf:
    """What a TLB keeps of a large page."""
    return Leaf(frame=pmd.frame, writable=True, large=True, glob=region.glob)


@atomic
def usable(cpu: Walker, page: Page) -> set[Leaf]:
    """The entries that an access may go through: those of the current PCID, and global ones of
    any (SDM 3A 4.10.2.4)."""
    found = cpu.leaves[cpu.pcid][page]
    return found | {
        leaf for pcid in Pcid if pcid != cpu.pcid for leaf in cpu.leaves[pcid][page] if leaf.glob
    }


# ------------------------------------------------------------------ what a CPU may cache


@atomic
def learn_table(cpu: Walker, table: Table, region: Region) -> None:
    """May-set: the CPU may walk this table from now on."""
    cpu.tables[cpu.pcid][region].add(table)
    for page in Page:
        if region_of(page) == region:
            pte = seen_by(cpu, table.pte[slot(page)])
            if pte.present and pte.accessed:
                cpu.leaves[cpu.pcid][page].add(small(pte, region))


@atomic
def learn_directory(cpu: Walker, region: Region, pmd: Pmd) -> None:
    """May-set: what the CPU can reach from an upper-level entry, or from a cached table."""
    if pmd.present and pmd.large:
        for page in Page:
            if region_of(page) == region:
                cpu.leaves[cpu.pcid][page].add(large(pmd, region))
    if pmd.present and not pmd.large:
        cpu.tables[cpu.pcid][region].add(pmd.table)
    for table in cpu.tables[cpu.pcid][region]:
        learn_table(cpu, table, region)


@atomic
def learn(cpu: Walker) -> None:
    """May-set: everything that the CPU can reach now, from its root or from a cached table."""
    space = cpu.root
    if TLB == "may" and space is not None:
        for region in Region:
            learn_directory(cpu, region, seen_by(cpu, space.pmd[region]))


@on_write(Walker.root)
def root_changed(cpu: Walker, old: Space | None, new: Space | None) -> None:
    """May-set: what can be reached from a root that the CPU begins to walk. Its PCID is written
    before."""
    if TLB == "may" and new is not None:
        for walker in Walker:  # whose store buffer it is must be known when compiling
            if walker == cpu:
                for region in Region:
                    learn_directory(walker, region, seen_by(walker, new.pmd[region]))


@on_write(Table.pte)
def entry_changed(table: Table, page: Page, old: Pte, new: Pte) -> None:
    """May-set: whoever may walk the table may load its new entry."""
    if TLB == "may" and new.present and new.accessed:
        if TABLE_INDEX == "slot":
            for other in Page:
                if slot(other) == page:
                    learn_entry(table, other, new)
        else:
            learn_entry(table, page, new)


@atomic
def learn_entry(table: Table, page: Page, new: Pte) -> None:
    """The entry of one page."""
    region = region_of(page)
    for cpu in Walker:
        if cpu.root is not None and table in cpu.tables[cpu.pcid][region]:
            cpu.leaves[cpu.pcid][page].add(small(new, region))


@on_write(Space.pmd)
def directory_changed(space: Space, region: Region, old: Pmd, new: Pmd) -> None:
    """May-set: whoever walks this root may load its new entry."""
    if TLB == "may" and new.present:
        for cpu in Walker:
            if cpu.root == space:
                if new.large:
                    for page in Page:
                        if region_of(page) == region:
                            cpu.leaves[cpu.pcid][page].add(large(new, region))
                else:
                    learn_table(cpu, new.table, region)


# ------------------------------------------------------------------ rules: entries come and go


@rule(show="walker caches the table of {region}")
def cache_table(cpu: Walker, region: Region) -> None:
    """A CPU may cache an upper-level entry at any time, also speculatively (SDM 3A 4.10.3)."""
    when(TLB == "explicit")
    space = cpu.root
    when(space is not None)
    if space is not None:
        pmd = seen_by(cpu, space.pmd[region])
        when(pmd.present and not pmd.large and pmd.table not in cpu.tables[cpu.pcid][region])
        cpu.tables[cpu.pcid][region].add(pmd.table)


@rule(show="TLB fill of {page}")
def fill_leaf(cpu: Walker, page: Page) -> None:
    """A CPU may load a translation at any time, from memory or from a cached table on; it sets the
    accessed flag first, with a locked access (SDM 3A 4.8, 4.10.2)."""
    space = cpu.root
    when(space is not None)
    if space is not None:
        region = region_of(page)
        pmd = seen_by(cpu, space.pmd[region])
        if TLB == "explicit" and pmd.present and pmd.large:
            when(large(pmd, region) not in cpu.leaves[cpu.pcid][page])
            cpu.leaves[cpu.pcid][page].add(large(pmd, region))
        else:
            reachable = cpu.tables[cpu.pcid][region]
            if TLB == "explicit" and pmd.present:
                reachable = reachable | {pmd.table}
            table = choose(reachable)
            when(not table.given_away)
            pte = seen_by(cpu, table.pte[slot(page)])
            when(pte.present)
            if TLB == "may":
                when(not pte.accessed)
            else:
                when(not pte.accessed or small(pte, region) not in cpu.leaves[cpu.pcid][page])
            if not pte.accessed:
                table.pte[slot(page)] = replace(pte, accessed=True)
            if TLB == "explicit":
                cpu.leaves[cpu.pcid][page].add(small(pte, region))


@rule(show="page walk through {table}, which is no page table any more")
def walk_given_away(cpu: Walker, table: Table) -> None:
    """A walk starts at a cached table, whatever became of it: it sets an accessed flag in memory
    that is somebody else's, and may load any translation from there (SDM 3A 4.10.3.2; Dave Hansen
    on deferred flushes of freed page tables: also for instructions that never execute)."""
    when(table.given_away and not table.trampled and cpu.root is not None)
    when(any(table in cpu.tables[cpu.pcid][region] for region in Region))
    table.trampled = True
    for region in Region:
        if table in cpu.tables[cpu.pcid][region]:
            for page in Page:
                if region_of(page) == region:
                    for frame in Frame:
                        loaded = TLB == "may" or choose(False, True)
                        if loaded:
                            cpu.leaves[cpu.pcid][page].add(Leaf(frame=frame, writable=True))


@rule(show="eviction of {page}")
def evict_leaf(cpu: Walker, page: Page) -> None:
    """A CPU may drop a translation at any time (SDM 3A 4.10.2)."""
    when(TLB == "explicit")
    leaf = choose(cpu.leaves[cpu.pcid][page])
    cpu.leaves[cpu.pcid][page].discard(leaf)


@rule(show="eviction of the table of {region}")
def evict_table(cpu: Walker, region: Region) -> None:
    """A CPU may drop a paging-structure cache entry at any time (SDM 3A 4.10.3)."""
    when(TLB == "explicit")
    table = choose(cpu.tables[cpu.pcid][region])
    cpu.tables[cpu.pcid][region].discard(table)


# ------------------------------------------------------------------ accesses


@atomic(fence=False)
def load(cpu: Walker, page: Page) -> Frame | None:
    """An instruction that reads: through any entry that the CPU has, else by a walk, which starts
    at a cached table or at the root. The frame, or ``None``: a page fault, which drops what is
    cached for the address (SDM 3A 4.10.4.1)."""
    entries = usable(cpu, page)
    hit = bool(entries)
    if TLB == "may" and hit:
        hit = choose(False, True)
    if hit:
        leaf = choose(entries)
        return leaf.frame
    return walk_tree(cpu, page, False)


@atomic
def store(cpu: Walker, page: Page) -> Frame | None:
    """An instruction that writes: through any writable entry that the CPU has, else by a walk. An
    entry that is read-only may make it fault although the page table would let it write (a spurious
    fault, SDM 3A 4.10.4.3). It waits until the store buffer is empty. ``None``: a page fault."""
    entries = usable(cpu, page)
    hit = bool(entries)
    if TLB == "may" and hit:
        hit = choose(False, True)
    if hit:
        leaf = choose(entries)
        if leaf.writable:
            return leaf.frame
        if choose(False, True):
            fault(cpu, page)
            return None
    return walk_tree(cpu, page, True)


@atomic
def fault(cpu: Walker, page: Page) -> None:
    """A page fault drops what the current PCID has cached for the address (SDM 3A 4.10.4.1)."""
    cpu.leaves[cpu.pcid][page] = set()
    cpu.tables[cpu.pcid][region_of(page)] = set()
    learn(cpu)


@atomic
def walk_tree(cpu: Walker, page: Page, write: bool) -> Frame | None:
    """Translate by a walk."""
    space = cpu.root
    if space is None:
        return None
    region = region_of(page)
    cached = cpu.tables[cpu.pcid][region]
    from_cache = bool(cached)
    if from_cache:
        from_cache = choose(False, True)
    pmd = seen_by(cpu, space.pmd[region])
    if not from_cache:
        if pmd.present and pmd.large:
            if TLB == "explicit":
                cpu.leaves[cpu.pcid][page].add(large(pmd, region))
            return pmd.frame
        cached = {pmd.table} if pmd.present else cached
    if from_cache or pmd.present:
        table = choose(cached)
        if table.given_away:
            table.trampled = True
            return choose(Frame)
        pte = seen_by(cpu, table.pte[slot(page)])
        if pte.present and (pte.writable or not write):
            if not pte.accessed:
                table.pte[slot(page)] = replace(pte, accessed=True)
            if TLB == "explicit":
                cpu.tables[cpu.pcid][region].add(table)
                cpu.leaves[cpu.pcid][page].add(small(pte, region))
            return pte.frame
    fault(cpu, page)
    return None


# ------------------------------------------------------------------ for models and properties


@atomic
def give_away(table: Table) -> None:
    """The table's frame goes back to the allocator, and to the next owner at once: the worst case,
    since it may stay free for any time."""
    table.given_away = True


@atomic
def holds(cpu: Walker, table: Table) -> bool:
    """Whether the CPU has (or may have) this table cached, under any PCID."""
    return any(table in cpu.tables[pcid][region] for pcid in Pcid for region in Region)
