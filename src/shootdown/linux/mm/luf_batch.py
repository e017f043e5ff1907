"""LUF: requests for a flush that is put off, their numbers, and who has done what.

Lazy Unmap Flush (Byungchul Park, RFC v12 of February 2025, not merged; "mm/rmap: ..." and
"x86/tlb, riscv/tlb, arm64/tlbflush, mm: remove cpus from tlb shootdown that already have been
done"): a read-only mapping that reclaim or migration removes is not flushed, not even when its
frame is freed, but when the frame is allocated again, or when somebody would notice. ``luf`` has
the flushes, ``page_alloc`` the allocator, ``rmap_batch`` the unmapping.

Every request has a number (``ugen``) and every CPU the number up to which it has flushed
(``ugen_done``). A ``struct luf_batch`` is read and changed only under its own lock, and nothing
else happens under it: such a section is one step here.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import tlb_may_write
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.lang import (
    READ_ONCE,
    Array,
    Object,
    Option,
    Word,
    atomic,
    atomic_inc_return,
    cmpxchg,
    counter,
    ghost,
    path,
    ranged,
    shared,
    smp_mb,
)
from shootdown.linux.mm_types import Folio, Mm

# ------------------------------------------------------------------ which kernel

LUF_IF = Option(
    "luf_if",
    "off",
    choices=("off", "readonly", "clean", "settled", "both"),
    doc="unmapping by reclaim and migration leaves the flush to the allocator: never (no LUF); if "
    "all mappings were read-only (v12); read-only and clean (v9); read-only in an mm that owes no "
    "flush (tlb_flush_pending is 0; proposed here); or both of these.",
)

INIT_ON_FREE = Option(
    "init_on_free",
    "off",
    choices=("off", "refuse", "write"),
    doc="a page is not written when it is freed; or it is (init_on_free=1, poisoning, KASAN), and "
    "LUF is not applied (v12); or it is, and LUF is applied all the same.",
)

LUF_KEY = Option(
    "luf_key",
    "fold",
    choices=("fold", "overwrite"),
    doc="a luf_key that is used again keeps what its last user asked for (v12); or forgets it.",
)

LUF_MARK = Option(
    "luf_mark",
    "cpumask",
    choices=("cpumask", "loaded"),
    doc="after flush_tlb_mm() the CPUs of mm_cpumask() count as having flushed all requests (v12); "
    "or those of them that have the mm loaded (proposed here).",
)

LUF_PAGES = Option(
    "luf_pages",
    "anon",
    choices=("anon", "file"),
    doc="the folios that LUF unmaps are anonymous; or of a file (of which there is one).",
)

PAGE_TABLE = Option(
    "page_table",
    "kept",
    choices=("kept", "freed"),
    doc="page tables stay until munmap(); or an empty one may be freed before.",
)

LUF_ARM64 = Option(
    "luf_arm64",
    "done",
    choices=("done", "key", "dsb"),
    doc="arch=arm64 sends the TLBI when it unmaps and keeps no mask of CPUs. LUF is told that "
    "nothing is left to do (v12); or that only when it asks in the allocator; or it executes the "
    "DSB before it frees, and so puts nothing off.",
)


LUF_UGEN = Option(
    "luf_ugen",
    "wide",
    choices=("wide", "narrow"),
    doc="the numbers of requests never come round; or have three bits, and are compared by the "
    "sign of their difference (ugen_before()), as v12 does with all the bits of a long.",
)


# ------------------------------------------------------------------ what there is


class LufBatch(Word):
    """``struct luf_batch``: the CPUs that must flush, and the number of the newest request."""

    cpus: set[Cpu] = set()  # noqa: RUF012
    ugen: int = ranged(0, 7)

    def show(self) -> str:
        """As ``CPU1 CPU2, request 3``."""
        return f"{' '.join(sorted(map(str, self.cpus))) or 'nobody'}, request {self.ugen}"


class LufKey(Object, show="key{}"):
    """An entry of ``luf_batch[]``. Each of the 65535 is used again, in a state in which pages that
    have it may still be free."""

    batch: LufBatch


class LufMm(Mm, show="mm{}"):
    """``struct mm_struct`` with LUF. ``table_gone``: the page table was empty and was freed, so the
    upper entry is empty. ``newest`` (ghost): what an instruction that reads the page
    must find: what was written last."""

    luf_batch: LufBatch
    table_gone: bool = False
    newest: Array[Page, int] = ghost(ranged(0, 3))


class File(Object, show="file{}"):
    """``struct address_space`` of a file of one page. ``folio`` is what the page cache holds."""

    luf_batch: LufBatch
    folio: Folio | None = None


class LufPage(Folio):
    """``struct page`` with LUF. ``luf_key``: while it is free, where its request is filed.

    ``data`` (ghost): the contents. ``unmapped`` (ghost): the number of the request that its
    unmapping made, while it is free without a flush.
    """

    luf_key: LufKey | None = None
    data: int = ghost(ranged(0, 3))
    unmapped: int = ghost(ranged(0, 7))


class LufCpu(Cpu):
    """Per-CPU ``ugen_done``: all requests up to this one have been flushed here."""

    ugen_done: int = ranged(0, 7)


luf_ugen = shared(int, counter(0, 7, init=1))
"""The number of the newest request (a long in v12; 16 bits in v10 and v11). Request 1 is for
starting states; nobody has flushed for it unless they say so."""


# ------------------------------------------------------------------ numbers


@path
def ugen_before(one: int, other: int) -> bool:
    """``ugen_before()``: whether request ``one`` is older than ``other``."""
    return (one - other) % 8 >= 4 if LUF_UGEN == "narrow" else one < other


@atomic
def older(one: int, other: int) -> bool:
    """The same, where it is a part of one step."""
    return (one - other) % 8 >= 4 if LUF_UGEN == "narrow" else one < other


@atomic
def newest(one: int, other: int) -> int:
    """The newer one of two requests; 0 is none."""
    return other if one == 0 or older(one, other) else one


# ------------------------------------------------------------------ arch/x86/mm/tlb.c


@path(show="arch_tlbbatch_diet()")
def arch_tlbbatch_diet(cpus: set[Cpu], ugen: int) -> set[Cpu]:
    """Those of these CPUs that have not flushed since request ``ugen``."""
    left = cpus
    for cpu in LufCpu:
        if cpu in cpus and not ugen_before(READ_ONCE(cpu.ugen_done), ugen):
            left = left - {cpu}
    return left


@path(show="arch_tlbbatch_mark_ugen()")
def arch_tlbbatch_mark_ugen(cpus: set[Cpu], ugen: int) -> None:
    """These CPUs have flushed everything up to ``ugen``. Against somebody who marks the same CPU
    the smaller number may win: one flush too many, no more. ``arch_mm_mark_ugen()`` is the same."""
    for cpu in LufCpu:
        if cpu in cpus:
            done = READ_ONCE(cpu.ugen_done)
            if ugen_before(done, ugen):
                cmpxchg(cpu.ugen_done, done, ugen)


# ------------------------------------------------------------------ mm/rmap.c


@path(show="tlb_flush_start()", role="counter")
def tlb_flush_start() -> int:
    """Take a number before a flush. Taking one is a full barrier: whatever was unmapped under a
    smaller number is seen as unmapped by the CPUs that flush afterwards."""
    return atomic_inc_return(luf_ugen)


@path
def tlb_flush_end(cpus: set[Cpu], ugen: int) -> None:
    """Publish who has flushed, after they have."""
    smp_mb()
    arch_tlbbatch_mark_ugen(cpus, ugen)


@atomic(show="fold_luf_batch_mm()")
def fold_luf_batch_mm(mm: LufMm, cpus: set[Cpu], ugen: int) -> None:
    """L1: Add to ``mm->luf_batch``."""
    mm.luf_batch = LufBatch(cpus=mm.luf_batch.cpus | cpus, ugen=newest(mm.luf_batch.ugen, ugen))


@atomic(show="fold_luf_batch_mm()")
def fold_luf_batch_file(file: File, cpus: set[Cpu], ugen: int) -> None:
    """L1: Add to ``mapping->luf_batch``."""
    file.luf_batch = LufBatch(
        cpus=file.luf_batch.cpus | cpus, ugen=newest(file.luf_batch.ugen, ugen)
    )


@path
def fold_unmap_request(mm: Mm, cpus: set[Cpu]) -> None:
    """L1: Who takes part in ``mm``, or in the file, can ask for the flush from now on."""
    fold_luf_batch_mm(cast(LufMm, mm), cpus, atomic_inc_return(luf_ugen))
    if LUF_PAGES == "file":
        fold_luf_batch_file(File(0), cpus, atomic_inc_return(luf_ugen))


@path
def copy_contents(src: Folio, dst: Folio) -> None:
    """(Ghost) The new frame has what the old one has now."""
    cast(LufPage, dst).data = cast(LufPage, src).data


@path
def luf_init_allows() -> bool:
    """``can_luf_init()``: LUF is not applied at all if free pages are written to.

    Nor to large folios and hugetlb, which are not modelled.
    """
    return INIT_ON_FREE != "refuse"


@path
def luf_allows(mm: Mm, pte: Pte) -> bool:
    """L0: ``can_luf_fail()`` if a mapping could be written. v12 looks at the PTE's write flag; its
    comments, and v9, speak of dirty PTEs too.
    """
    if pte.writable:
        return False
    if LUF_IF in ("clean", "both") and pte.dirty:
        return False
    if LUF_IF in ("settled", "both"):
        return READ_ONCE(mm.tlb_flush_pending) == 0
    return True


@atomic(show="__fold_luf_batch()")
def fold_luf_batch(key: LufKey, cpus: set[Cpu], ugen: int, folios: set[Frame]) -> None:
    """L2: Add to ``luf_batch[key]``. What an earlier user of the key asked for and is not done
    stays, under the newer number.

    Ghost: ``folios`` are free without a flush from here on.
    """
    old = key.batch
    kept: set[Cpu] = {cpu for cpu in LufCpu if cpu in old.cpus and older(cpu.ugen_done, old.ugen)}
    if LUF_KEY == "overwrite":
        kept = set()
    key.batch = LufBatch(cpus=kept | cpus, ugen=newest(old.ugen, ugen))
    for folio in LufPage:
        if folio in folios:
            folio.unmapped = ugen
            assert not tlb_may_write(folio), (
                "INV-S2-6: LUF takes a folio as read-only that a CPU can still write"
            )
