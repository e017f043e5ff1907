"""What Linux keeps about page tables as pages of memory: ``struct ptdesc`` and their users.

``mm_types.py`` knows an address space as one array of entries; this is the address space as a tree
(``hardware/walker.py``), for models in which tables come and go.
"""

from __future__ import annotations

from shootdown.hardware.access import usable
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.walker import Space, Table
from shootdown.hardware.walker_remote import RemoteCpu, may_walk
from shootdown.lang import SpinLock, atomic, counter, ghost, note, path, ranged, when
from shootdown.linux.mm_types import Folio, Mm


class UserMm(Mm, Space):
    """An address space as a tree. ``pmd_lock`` protects the upper level (``pmd_lockptr()``);
    ``write_protect_seq`` is odd while a fork makes its pages read-only."""

    pmd_lock: SpinLock
    mm_users: int = ranged(0, 2, init=1)
    write_protect_seq: int = ranged(0, 2)


class PinnedFolio(Folio):
    """A folio that get_user_pages_fast() may give to a caller. ``pincount``: how many have it for
    DMA (in the kernel a part of the reference count). Ghosts: ``pinned``: it did;
    ``replaced``: the process has another page in its place, and goes on with that."""

    pincount: int = counter(0, 2)
    pinned: bool = ghost(False)
    replaced: bool = ghost(False)


class PageTable(Table):
    """``struct ptdesc``: a last-level table, with the lock of its entries in it.

    ``pt_share_count``: how many other address spaces use it (hugetlb). ``rcu_pending`` and
    ``rcu_wait``: call_rcu() was asked to free it, and has to wait for these CPUs. ``in_use``: it is
    somebody's page table, or was and is not freed yet.
    """

    ptl: SpinLock
    pt_share_count: int = counter(0, 2)
    rcu_pending: bool = False
    rcu_wait: set[RemoteCpu]
    in_use: bool = ghost(True)


class LocklessCpu(RemoteCpu):
    """A CPU on which code walks page tables that it does not own.

    ``is_lazy``: it runs a kernel thread, on a borrowed address space. ``rcu_nesting``:
    rcu_read_lock() is held. Ghosts: ``walking`` is the table that the code has
    found and may look into; ``gup_mm`` and ``gup_page`` what get_user_pages_fast() is about, while
    it looks; ``seen`` the pages that were mapped there since.
    """

    is_lazy: bool = False
    rcu_nesting: int = ranged(0, 1)
    walking: PageTable | None = ghost(None)
    gup_mm: UserMm | None = ghost(None)
    gup_page: Page = ghost(Page(0))
    seen: set[Frame] = ghost(set())


@atomic(show="folio_put()")
def put_folio(folio: Folio) -> None:
    """Drop a reference; the last one gives the frame back to the allocator."""
    assert folio.refcount > 0, "INV-UAF: a reference is dropped twice"
    folio.refcount -= 1
    if folio.refcount == 0:
        assert not any(
            leaf.frame == folio
            for cpu in RemoteCpu
            if usable(cpu)
            for page in Page
            for leaf in cpu.leaves[cpu.pcid][page]
        ), "INV-UAF: a frame is freed and a CPU can still use it"
        folio.allocated = False
        note("{} is free", folio)


@atomic(show="alloc_page()")
def reuse_frame(folio: Folio) -> None:
    """The allocator hands a free frame to somebody else, who has the only reference. From here on
    it is another page: what was mapped before is not it."""
    when(not folio.allocated)
    folio.allocated = True
    folio.refcount = 1
    for cpu in LocklessCpu:
        cpu.seen.discard(folio)


@path(show="another process")
def next_owner(folio: Folio) -> None:
    """Somebody who waits for memory."""
    reuse_frame(folio)


@atomic
def walkable(table: PageTable) -> bool:
    """Whether the hardware of some CPU may walk the table."""
    return any(may_walk(cpu, table) for cpu in RemoteCpu)


@atomic
def walked(table: PageTable) -> bool:
    """Whether software on some CPU is in the table."""
    return any(cpu.walking == table for cpu in LocklessCpu)
