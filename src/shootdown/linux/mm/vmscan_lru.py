"""mm/vmscan.c and mm/swap.c: which folios reclaim takes, and when.

With ``rmap=file``. One list, in the order in which the folios came into memory, and in front of it
a batch for each CPU (``lru_add``), so that pages of one reader follow each other. Left out: the
active list and the second chance of a folio that was accessed, which change what a list of folios
contains and not what is done with it.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Array,
    Object,
    SpinLock,
    atomic,
    path,
    ranged,
    this,
    wait_until,
)
from shootdown.linux.mm.vmscan import shrink_isolated
from shootdown.linux.mm_types import Folio


class Pgdat(Object, show="node{}"):
    """``struct pglist_data``: a node's list of folios, a ring, and its kswapd."""

    lru_lock: SpinLock
    lru: Array[Frame, Folio]
    lru_first: int = ranged(0, Frame)
    lru_count: int = ranged(0, Frame)
    kswapd_wanted: bool = False


class BatchSlot(Object):
    """A place in a ``struct folio_batch``: there are PAGEVEC_SIZE of them (14 in 4.2, 15 from 4.16,
    31 from 6.10 on)."""


class LruCpu(Cpu):
    """``cpu_fbatches.lru_add``."""

    lru_add: Array[BatchSlot, Folio]
    lru_added: int = ranged(0, BatchSlot)


@atomic
def lru_add(node: Pgdat, folio: Folio) -> None:
    """The folio is the youngest of the list."""
    at = (node.lru_first + node.lru_count) % len(Frame)
    node.lru[Frame(at)] = folio
    node.lru_count += 1


@atomic(show="folio_batch_add()")
def folio_batch_add(cpu: LruCpu, folio: Folio) -> bool:
    """Put it into the CPU's own batch; whether that is full."""
    cpu.lru_add[BatchSlot(cpu.lru_added)] = folio
    cpu.lru_added += 1
    return cpu.lru_added == len(BatchSlot)


@atomic(show="folio_batch_move_lru()")
def folio_batch_move_lru(node: Pgdat, cpu: LruCpu) -> None:
    """All of a batch, with the lock of the list."""
    for slot in BatchSlot:
        lru_add(node, cpu.lru_add[slot])
    cpu.lru_added = 0


@path(show="folio_add_lru()")
def folio_add_lru(node: Pgdat, folio: Folio) -> None:
    """mm/swap.c: a new folio."""
    me = this(LruCpu)
    if folio_batch_add(me, folio):
        with node.lru_lock:
            folio_batch_move_lru(node, me)


@atomic(show="take from the list")
def isolate_folio(node: Pgdat) -> tuple[bool, Folio]:
    """Whether there is one, and the oldest, with a reference for reclaim."""
    folio = node.lru[Frame(node.lru_first)]
    found = node.lru_count > 0
    if found:
        node.lru_first = (node.lru_first + 1) % len(Frame)
        node.lru_count -= 1
        folio.refcount += 1
    return found, folio


@path(show="isolate_lru_folios()")
def isolate_lru_folios(node: Pgdat, number: int) -> set[Frame]:
    """Up to so many folios, oldest first (``SWAP_CLUSTER_MAX``)."""
    taken: set[Frame] = set()
    with node.lru_lock:
        for _ in range(number):
            found, folio = isolate_folio(node)
            if found:
                taken.add(folio)
    return taken


@path(show="shrink_inactive_list()")
def shrink_inactive_list(node: Pgdat, number: int) -> None:
    """One round of reclaim."""
    taken = isolate_lru_folios(node, number)
    shrink_isolated(taken)


@path(show="wakeup_kswapd()")
def wakeup_kswapd(node: Pgdat) -> None:
    """Memory is low."""
    if not READ_ONCE(node.kswapd_wanted):
        WRITE_ONCE(node.kswapd_wanted, True)


@path(show="kswapd_try_to_sleep()")
def kswapd_try_to_sleep(node: Pgdat) -> None:
    """Until it is wanted."""
    wait_until(node.kswapd_wanted)
    WRITE_ONCE(node.kswapd_wanted, False)
