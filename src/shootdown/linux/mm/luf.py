"""LUF: filing what an unmap owes, and giving up early where somebody could notice.

The names are those of RFC v12 ("mm, fs: skip tlb flushes for luf'd filemap that already has been
done", "mm: perform luf tlb shootdown per zone in batched manner" left out). Versions differ in the
give-up points, V1 to V4 of the reference:

* V1: ``flush_tlb_batched_pending()``, as without LUF (``rmap_batch``).
* V2: a page fault that makes a PTE writable.
* V3: the end of a VMA in munmap(), mprotect() and the like (v12); a writable mmap() (v10).
* V4: the contents of a file change.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import ARCH
from shootdown.lang import READ_ONCE, Option, choose, note, path
from shootdown.linux.mm.luf_batch import (
    LUF_ARM64,
    LUF_IF,
    File,
    LufBatch,
    LufKey,
    LufMm,
    arch_tlbbatch_diet,
    fold_luf_batch,
    tlb_flush_start,
)
from shootdown.linux.mm.rmap_batch import TlbUbc, try_to_unmap_flush
from shootdown.linux.mm_types import Mm

LUF_FAULT = Option(
    "luf_fault",
    "none",
    choices=("none", "end", "ptl", "wp"),
    doc="V2, a page fault that makes a PTE writable flushes what LUF owes: never; at its end "
    "(v12); under the PTL, before it sets the PTE (proposed here); or there, but only if the PTE "
    "was present (v10, do_wp_page()).",
)

LUF_VMA = Option(
    "luf_vma",
    "none",
    choices=("none", "end", "mmap"),
    doc="V3: no flush; tlb_end_vma() flushes what LUF owes (v12); or mmap() of a writable mapping "
    "does (v10).",
)

LUF_FILE = Option(
    "luf_file",
    "none",
    choices=("none", "flush"),
    doc="V4, the contents of a file change: LUF's flushes for the file are done first (v12); or "
    "are not.",
)

LUF_SWITCH = Option(
    "luf_switch",
    "none",
    choices=("none", "borrowed"),
    doc="a task that reclaims is not preempted between its unmaps and its flush; or is, and "
    "comes back from a kernel thread that has borrowed another mm.",
)

LUF_DIET = Option(
    "luf_diet",
    "task",
    choices=("task", "copy"),
    doc="luf_flush_mm() drops CPUs that have flushed from the task's whole batch (v12); or only "
    "from what it adds to it (proposed here).",
)


@path(show="fold_unmap_luf()")
def fold_unmap_luf(ubc: TlbUbc) -> LufKey | None:
    """L2: File the flush of the folios so far under a new key; ``None`` if they need none that
    ``try_to_unmap_flush()``, which always follows, will not do. The arm64 of v12 has no mask, and
    says that ``try_to_unmap_flush()`` will do it (``arch_tlbbatch_done()``)."""
    if LUF_IF == "off" or (ARCH == "arm64" and LUF_ARM64 == "dsb"):
        return None
    cpus = ubc.luf - ubc.cpumask
    if ARCH == "arm64" and LUF_ARM64 == "done":
        cpus = set()
        ubc.luf = set()
    if not cpus:
        return None
    ugen = tlb_flush_start()
    key = choose(LufKey)
    fold_luf_batch(key, cpus, ugen, ubc.luf_folios)
    ubc.luf = set()
    ubc.luf_folios = set()
    return key


@path
def flush_filed(ubc: TlbUbc, batch: LufBatch) -> None:
    """Let those CPUs flush that were asked to and have not. v12 puts them into the task's own batch
    *before* it drops those that have: a CPU goes that the task has queued something newer for."""
    if LUF_DIET == "task":
        ubc.cpumask = arch_tlbbatch_diet(ubc.cpumask | batch.cpus, batch.ugen)
        if ubc.cpumask:
            try_to_unmap_flush(ubc)
        else:
            note("all have flushed since")
    else:
        cpus = arch_tlbbatch_diet(batch.cpus, batch.ugen)
        if cpus:
            ubc.cpumask = ubc.cpumask | cpus
            try_to_unmap_flush(ubc)
        else:
            note("all have flushed since")


@path(show="luf_flush_mm()", role="flush")
def luf_flush_mm(mm: Mm, ubc: TlbUbc) -> None:
    """Nothing that LUF has unmapped in this mm is usable any more."""
    flush_filed(ubc, READ_ONCE(cast(LufMm, mm).luf_batch))


@path(show="luf_flush_mapping()", role="flush")
def luf_flush_mapping(file: File, ubc: TlbUbc) -> None:
    """Nothing that LUF has unmapped of this file is usable any more."""
    flush_filed(ubc, READ_ONCE(file.luf_batch))


@path
def finish_task_switch(ubc: TlbUbc) -> None:
    """kernel/sched/core.c: back in a task that has an mm, from a kernel thread that had borrowed
    another one; v12 lets go of that mm only when nothing is owed in it. ``ubc`` is the task's own,
    which may be in the middle of direct reclaim."""
    if LUF_SWITCH == "borrowed":
        luf_flush_mm(LufMm(1), ubc)


@path
def do_mmap(mm: Mm) -> None:
    """V3 of v10: a writable mmap() flushes what LUF owes, and then makes room for the mapping."""
    if LUF_VMA == "mmap":
        luf_flush_mm(mm, TlbUbc())


@path(show="tlb_end_vma()")
def tlb_end_vma(mm: Mm) -> None:
    """V3: Whoever has gone through the PTEs of a VMA, whatever was found there."""
    if LUF_VMA == "end":
        luf_flush_mm(mm, TlbUbc())
