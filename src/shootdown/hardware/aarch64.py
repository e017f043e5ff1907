"""PEs that run programs which are data, on the page tables and TLBs of :mod:`arm64_walker`.

What an instruction computes is no matter of hardware: registers, flags and the place in the program
make one :class:`Point`, and tables that the scenario provides say what each point does with memory
and which point follows (``shootdown.litmus`` makes them). What is modelled here is what another PE
or the walker can notice: translation, faults, hardware updates, TLB maintenance, barriers.

Memory is sequentially consistent: each access is one step, in program order, so DMB and the
acquire and release forms have nothing to do. What is out of order is translation:

* a PE may translate for an access as soon as nothing before it can prevent the access, and from
  then on does it (``early``); a TLBI waits for such an access (Arm ARM D8.17.5: a DSB after a TLBI
  waits for accesses that use the old translation);
* without FEAT_ETS2 it may also translate, and fault, for any access after the last context
  synchronization event (``ETS``; Arm ARM D8.2.5 RNNFPF);
* a hardware update of the access flag or the dirty state may become visible later than the access
  (``HW_UPDATES``); a full DSB waits for it, and until then nobody else writes the descriptor, since
  the update is atomic with the look at it (Arm ARM D8.5.2, D8.5.3).
"""

from __future__ import annotations

import enum
from typing import cast

from shootdown.hardware.arm64_walker import (
    Fault,
    Translation,
    Walker,
    begin_to_walk,
    cached,
    fault_of,
    fill,
    may_write,
    remember,
    serve,
    translate,
    walk,
)
from shootdown.hardware.machine import AddressSpace, Frame, Page, Pte, TlbEntry
from shootdown.hardware.tlbi import STRAWMAN, broadcast, complete, post
from shootdown.lang import (
    Array,
    Hardware,
    Object,
    Option,
    atomic,
    choose,
    given,
    on_write,
    replace,
    rule,
    when,
)

ETS = Option(
    "ets",
    "ets2",
    choices=("ets2", "none"),
    doc="FEAT_ETS2: a translation sees what is ordered before its access; without, it may run "
    "ahead to the last context synchronization event, faults too.",
)
HW_UPDATES = Option(
    "hw_updates",
    "late",
    choices=("late", "at-once"),
    doc="a hardware update of a descriptor may become visible after the access, until a full DSB.",
)


EXCLUSIVES = Option(
    "exclusives",
    "off",
    choices=("on", "off"),
    doc="Whether programs use exclusive accesses; without, the monitors are left out.",
)


class Op(enum.Enum):
    """What a point does. ``PTE`` forms access a descriptor, which needs no translation here.
    ``DSB_LOCAL`` is DSB NSH: it waits for what this PE has done to itself. ``SYNC`` is a context
    synchronization event, ``RETURN`` the one of a return from an exception."""

    END = enum.auto()
    LOAD = enum.auto()
    STORE = enum.auto()
    UPDATE = enum.auto()
    LOAD_EXCLUSIVE = enum.auto()
    STORE_EXCLUSIVE = enum.auto()
    PROBE = enum.auto()
    PROBE_WRITE = enum.auto()
    LOAD_PTE = enum.auto()
    STORE_PTE = enum.auto()
    UPDATE_PTE = enum.auto()
    LOAD_EXCLUSIVE_PTE = enum.auto()
    STORE_EXCLUSIVE_PTE = enum.auto()
    TLBI = enum.auto()
    TLBI_LOCAL = enum.auto()
    DSB = enum.auto()
    DSB_LOCAL = enum.auto()
    SYNC = enum.auto()
    RETURN = enum.auto()


class Flags(enum.Enum):
    """Access flag and dirty state of a descriptor."""

    NEITHER = enum.auto()
    ACCESSED = enum.auto()
    DIRTY = enum.auto()
    BOTH = enum.auto()


class Value(Object):
    """What a location or register can hold; the scenario numbers what its program can make.

    The fields decode one that is a descriptor; ``kind`` stands for all that the flags do not say.
    """

    descriptor: bool = given(False)
    valid: bool = given(False)
    writable: bool = given(False)
    accessed: bool = given(False)
    dirty: bool = given(False)
    frame: Frame = given()
    kind: Kind = given()


class Kind(Object):
    """Ptes that are equal but for the flags that hardware sets."""

    value: Array[Flags, Value] = given()


class Row(Object):
    """What a point that reads does with each value: where it goes on, and what it writes."""

    next: Array[Value, Point] = given()
    write: Array[Value, Value | None] = given()


class Cell(Object):
    """A location within a page."""


class Point(Object):
    """A place in a program together with the registers.

    ``page`` and ``cell`` are what it accesses, by a virtual address if ``translated``; ``pages``
    what it invalidates; ``row`` what a load or update does with what it finds; ``value`` what a
    store writes; ``next`` where a point goes on that reads nothing, ``otherwise`` where a store
    exclusive goes on that is not done, ``faults`` where each fault leads. ``unprivileged``: with
    the rights of EL0. ``resumes``: where a fault leads there has been a return from the exception.
    ``early``: the page of the next store, if nothing can prevent it any more. ``ahead``: where a
    fault leads that a later access to ``ahead_page`` takes before this one is done.
    """

    op: Op = given(Op.END)
    translated: bool = given(False)
    page: Page = given()
    cell: Cell = given()
    pages: set[Page] = given(set())
    row: Row = given()
    value: Value = given()
    next: Point = given()
    otherwise: Point = given()
    faults: Array[Fault, Point] = given()
    ahead_page: Page | None = given(None)
    ahead: Array[Fault, Point | None] = given()
    unprivileged: bool = given(False)
    resumes: bool = given(False)
    early: Page | None = given(None)


class Memory(Frame):
    """A physical page. ``probed``: what AT reports of it."""

    content: Array[Cell, Value]
    probed: Value = given()


class Tables(AddressSpace):
    """The descriptors, and what each is besides its flags. ``user``: EL0 may access the page."""

    kind: Array[Page, Kind]
    user: Array[Page, bool] = given()


class Core(Walker):
    """A PE. ``early``: the translation that its next store has got already, for ``early_page``.
    ``late``: pages whose access flag it has yet to set; ``late_dirty``: and the dirty state.
    ``faults`` and ``ahead``: the faults and
    entries that it may have met since its last context synchronization event. ``marked``,
    ``marked_page``: the exclusive monitor, for a location of a frame or for a descriptor."""

    at: Point
    marked: Frame | None = None
    marked_cell: Cell
    marked_page: Page | None = None
    early_page: Page | None = None
    early: Frame
    late: set[Page]
    late_dirty: set[Page]
    faults: Array[Page, set[Fault]]
    ahead: Array[Page, set[TlbEntry]]


# ------------------------------------------------------------------ descriptors as values


@atomic
def flags_of(descriptor: Pte) -> Flags:
    """The flags that hardware may set."""
    if descriptor.accessed:
        return Flags.BOTH if descriptor.dirty else Flags.ACCESSED
    return Flags.DIRTY if descriptor.dirty else Flags.NEITHER


@atomic
def read_descriptor(mm: Tables, page: Page) -> Value:
    """The value of a descriptor as a load sees it."""
    return mm.kind[page].value[flags_of(mm.pte[page])]


@atomic
def write_descriptor(mm: Tables, page: Page, value: Value) -> None:
    """A store to a descriptor."""
    assert value.descriptor, "a page table entry is overwritten with what is no descriptor"
    mm.kind[page] = value.kind
    mm.pte[page] = Pte(
        present=value.valid,
        writable=value.writable,
        accessed=value.accessed,
        dirty=value.dirty,
        frame=value.frame,
    )


# ------------------------------------------------------------------ translation out of order


@on_write(AddressSpace.pte)
def run_ahead(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """Without ETS2, an access that is still to come may have been translated by any descriptor that
    there was since the last context synchronization event; a permission fault is none for a load.
    """
    if ETS == "none" or STRAWMAN == "caches-invalid":
        for core in Core:
            core.faults[page].add(fault_of(core, new, True))
            if new.present and new.accessed:
                core.ahead[page].add(cached(new))


@atomic
def synchronize(core: Core) -> None:
    """A context synchronization event: ISB, an exception, a return from one."""
    mm = core.walks
    if ETS == "none" and mm is not None:
        for page in Page:
            core.faults[page] = {fault_of(core, mm.pte[page], True)}
            core.ahead[page] = core.tlb[page]


@atomic
def permitted(here: Point, page: Page, mm: Tables) -> bool:
    """Whether its exception level may access the page at all."""
    return mm.user[page] or not here.unprivileged


@rule(show="{core} translates early")
def translate_early(core: Core) -> None:
    """The next store is certain to be done, so its translation, and the dirty state with it, may
    come before what precedes it (Arm ARM D8.5.3: the dirty state is not set speculatively)."""
    page = core.at.early
    when(page is not None and core.early_page is None)
    if page is not None:
        when(permitted(core.at, page, cast(Tables, core.walks)))
        found = translate(core, page, True)
        when(found.fault == Fault.NONE)
        core.early_page = page
        core.early = found.frame


@rule(show="{core} takes a fault early")
def fault_ahead(core: Core) -> None:
    """Without ETS2 a fault is not ordered after the accesses before it (Arm ARM D8.2.5 RNNFPF)."""
    page = core.at.ahead_page
    when(ETS == "none" and page is not None)
    if page is not None:
        after = core.at.ahead[choose(core.faults[page])]
        when(after is not None)
        if after is not None:
            core.at = after
            synchronize(core)


@rule(fair=True, show="{core} updates the descriptor of {page} late")
def update_late(core: Core, page: Page) -> None:
    """A hardware update becomes visible."""
    when(HW_UPDATES == "late" and page in core.late)
    mm = core.walks
    if mm is not None:
        descriptor = mm.pte[page]
        dirty = descriptor.dirty or page in core.late_dirty
        core.late.discard(page)
        core.late_dirty.discard(page)
        if not (descriptor.accessed and descriptor.dirty == dirty):
            mm.pte[page] = replace(descriptor, accessed=True, dirty=dirty)


@atomic
def updated_late(core: Core, page: Page, write: bool) -> Translation:
    """A walk whose update of the descriptor is still to come."""
    mm = core.walks
    if mm is None:
        return Translation(fault=Fault.TRANSLATION)
    descriptor = mm.pte[page]
    when(descriptor.present and core.manages_flags)
    when(not descriptor.accessed or (write and not descriptor.dirty))
    when(not write or may_write(core, descriptor))
    core.late.add(page)
    if write:
        core.late_dirty.add(page)
    return Translation(frame=descriptor.frame)


@atomic
def settled(page: Page) -> bool:
    """Whether no hardware update of a descriptor is under way."""
    return not any(page in core.late for core in Core)


@rule(fair=True, show="TLBI of {issuer} reaches {target}")
def tlbi_arrives(target: Core, issuer: Core) -> None:
    """A TLBI takes effect: not before accesses that were translated are done. The PE's own later
    accesses may have run ahead of it all the same."""
    pages = issuer.posted[target]
    when(pages)
    when(target.early_page is None or target.early_page not in pages)
    serve(target, issuer)
    mm = issuer.walks
    if STRAWMAN == "caches-invalid" and mm is not None:
        for page in pages:
            target.faults[page] = {fault_of(target, mm.pte[page], True)}
    if ETS == "none" and target != issuer:
        for page in pages:
            target.ahead[page] = target.tlb[page]


# ------------------------------------------------------------------ exclusive accesses


@atomic
def written(core: Core, frame: Frame, cell: Cell) -> None:
    """A store takes the mark from the exclusive monitor of every other PE that has it. Whether it
    does so for its own is IMPLEMENTATION DEFINED (Arm ARM B2.12, the states of the monitors): the
    mark stays, as a store exclusive may fail all the same."""
    if EXCLUSIVES == "off":
        return
    for other in Core:
        if other != core and other.marked == frame and other.marked_cell == cell:
            other.marked = None


@on_write(AddressSpace.pte)
def table_written(mm: AddressSpace, page: Page, old: Pte, new: Pte) -> None:
    """The same for a descriptor, also when hardware updates it."""
    if EXCLUSIVES == "off":
        return
    for core in Core:
        if core.marked_page == page:
            core.marked_page = None


@atomic
def store_descriptor(core: Core, mm: Tables, page: Page, value: Value) -> None:
    """A store to a descriptor, which leaves the PE's own mark."""
    marked = core.marked_page
    write_descriptor(mm, page, value)
    if EXCLUSIVES == "on":
        core.marked_page = marked


@atomic
def unmark(core: Core) -> None:
    """The exclusive monitor of a PE has no mark any more. A return from an exception does that
    (Arm ARM, ClearExclusiveLocal() in AArch64.ExceptionReturn())."""
    if EXCLUSIVES == "on":
        core.marked = None
        core.marked_page = None


# ------------------------------------------------------------------ instructions


@atomic
def outcome(core: Core, page: Page, write: bool) -> Translation:
    """The translation that an access uses."""
    mm = core.walks
    if mm is None:
        return Translation(fault=Fault.TRANSLATION)
    if core.early_page is not None and write:
        core.early_page = None
        return Translation(frame=core.early)
    if STRAWMAN == "caches-invalid" and choose(False, True):
        when(Fault.TRANSLATION in core.faults[page])
        return Translation(fault=Fault.TRANSLATION)
    if ETS == "none":
        source = choose(0, 1, 2)
        if source == 1:
            fault = choose(core.faults[page])
            when(fault != Fault.NONE and (write or fault != Fault.PERMISSION))
            return Translation(fault=fault)
        if source == 2:
            entry = choose(core.ahead[page])
            when(not write or (entry.writable and entry.dirty))
            return Translation(frame=entry.frame)
    if HW_UPDATES == "late" and choose(False, True):
        return updated_late(core, page, write)
    return translate(core, page, write)


@atomic
def entry_for_write(core: Core, entry: TlbEntry) -> Translation:
    """What AT for a write makes of an entry."""
    if entry.writable and (entry.dirty or core.manages_dirty):
        return Translation(frame=entry.frame)
    return Translation(fault=Fault.PERMISSION)


@atomic
def probed_for_write(core: Core, page: Page) -> Translation:
    """AT for a write: as for a store, also through old entries, but that it never sets the dirty
    state (Arm ARM, AT S1E1W)."""
    mm = core.walks
    if mm is None:
        return Translation(fault=Fault.TRANSLATION)
    if ETS == "none":
        source = choose(0, 1, 2)
        if source == 1:
            fault = choose(core.faults[page])
            when(fault != Fault.NONE)
            return Translation(fault=fault)
        if source == 2:
            return entry_for_write(core, choose(core.ahead[page]))
    if STRAWMAN != "no-tlb" and choose(False, True):
        return entry_for_write(core, choose(core.tlb[page]))
    descriptor = mm.pte[page]
    refused = not may_write(core, descriptor)
    found = walk(core, page, False)
    if HW_UPDATES == "late" and choose(False, True):
        found = updated_late(core, page, False)
    if found.fault == Fault.NONE and refused:
        return Translation(fault=Fault.PERMISSION)
    return found


@atomic
def access(core: Core, here: Point, mm: Tables) -> None:
    """A load, store or update of memory. A CAS that fails needs the right to write; whether it sets
    the dirty state is up to the implementation (Arm ARM D8.5.3). So is whether a store exclusive
    looks at the monitor before it translates (Arm ARM, AArch64.ExclusiveMonitorsPass()), and a
    monitor may lose its mark at any time."""
    exclusive = EXCLUSIVES == "on" and here.op == Op.STORE_EXCLUSIVE
    allowed = permitted(here, here.page, mm)
    write = (here.op == Op.STORE or here.op == Op.UPDATE or exclusive) and allowed
    if exclusive and choose(False, True):
        unmark(core)
        core.at = here.otherwise
        return
    fails = here.op == Op.UPDATE and allowed and choose(False, True)
    if fails:
        write = False
        when(core.early_page is None)
        when(mm.pte[here.page].writable and core.manages_dirty)
    if here.op == Op.PROBE_WRITE and allowed:
        found = probed_for_write(core, here.page)
    else:
        found = outcome(core, here.page, write)
    fault = found.fault
    if fault == Fault.NONE and not allowed:
        fault = Fault.PERMISSION
    if fault != Fault.NONE:
        when(not fails)
        if here.resumes:
            unmark(core)
        core.at = here.faults[fault]
        if not (here.op == Op.PROBE or here.op == Op.PROBE_WRITE):
            synchronize(core)
    else:
        memory = cast(Memory, found.frame)
        if here.op == Op.PROBE or here.op == Op.PROBE_WRITE:
            core.at = here.row.next[memory.probed]
        elif here.op == Op.STORE or exclusive:
            done = True
            if exclusive:
                done = core.marked == found.frame and core.marked_cell == here.cell
                done = done and choose(True, False)
                unmark(core)
            if done:
                memory.content[here.cell] = here.value
                written(core, found.frame, here.cell)
                core.at = here.next
            else:
                core.at = here.otherwise
        else:
            old = memory.content[here.cell]
            if here.op == Op.UPDATE:
                new = here.row.write[old]
                when(not fails or new is None)
                if new is not None:
                    memory.content[here.cell] = new
                    written(core, found.frame, here.cell)
            if EXCLUSIVES == "on" and here.op == Op.LOAD_EXCLUSIVE:
                core.marked = found.frame
                core.marked_cell = here.cell
                core.marked_page = None
            core.at = here.row.next[old]


@rule(show="{core}")
def step(core: Core) -> None:
    """One instruction, with all that follows it and touches no memory."""
    here = core.at
    mm = cast(Tables, core.walks)
    op = here.op
    when(op != Op.END)
    if here.translated:
        access(core, here, mm)
    elif op == Op.LOAD_PTE or op == Op.LOAD_EXCLUSIVE_PTE:
        if EXCLUSIVES == "on" and op == Op.LOAD_EXCLUSIVE_PTE:
            core.marked = None
            core.marked_page = here.page
        core.at = here.row.next[read_descriptor(mm, here.page)]
    elif EXCLUSIVES == "on" and op == Op.STORE_EXCLUSIVE_PTE:
        done = core.marked_page == here.page and choose(True, False)
        unmark(core)
        if done:
            when(settled(here.page))
            write_descriptor(mm, here.page, here.value)
            core.at = here.next
        else:
            core.at = here.otherwise
    elif op == Op.STORE_PTE:
        when(settled(here.page))
        store_descriptor(core, mm, here.page, here.value)
        core.at = here.next
    elif op == Op.UPDATE_PTE:
        old = read_descriptor(mm, here.page)
        new = here.row.write[old]
        if new is not None:
            when(settled(here.page))
            store_descriptor(core, mm, here.page, new)
        core.at = here.row.next[old]
    else:
        if op == Op.TLBI:
            broadcast(core, here.pages)
        elif op == Op.TLBI_LOCAL:
            post(core, here.pages)
        elif op == Op.DSB_LOCAL:
            when(not core.posted[core] and not core.late)
        elif op == Op.DSB:
            when(complete(core) and not core.late)
            if STRAWMAN == "dsb-waits-for-all":
                when(all(complete(other) for other in Core))
        else:
            synchronize(core)
            if op == Op.RETURN:
                unmark(core)
        if STRAWMAN == "tlbi-at-issue" and (op == Op.TLBI or op == Op.TLBI_LOCAL):
            for target in Core:
                serve(target, core)
        core.at = here.next


# ------------------------------------------------------------------ the whole


@atomic
def power_up() -> None:
    """All PEs use the one set of tables."""
    for core in Core:
        core.walks = Tables(0)


aarch64 = Hardware(
    "aarch64",
    rules=(step, translate_early, fault_ahead, update_late, tlbi_arrives, fill),
    observers=(remember, begin_to_walk, run_ahead, table_written),
    options={"blocks": "ignored"},
    assumptions=(
        "memory is sequentially consistent; translations may come early, and hardware updates late",
        "a TLBI reaches each PE some time later; only a full DSB of the PE that issued it waits",
        "no entry is cached from a descriptor that is invalid or has its access flag clear",
    ),
)
