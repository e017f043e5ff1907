"""The benchmark family ``dontneed(N, P)`` in the modelling language.

N CPUs of one process each run MADV_DONTNEED once over P pages. The steps are cut exactly as in the
SPIN and Rumur models under ``peers/``, so that all tools count the same states.
"""

from __future__ import annotations

from collections.abc import Callable

from shootdown.lang import (
    Array,
    Hardware,
    Object,
    Setup,
    SpinLock,
    Thread,
    atomic,
    atomic_dec,
    atomic_inc,
    choose,
    counter,
    ghost,
    invariant,
    path,
    ranged,
    rule,
    scenario,
    this,
    when,
)
from shootdown.lang.ir import System

NONE, CLEAN, DIRTY = 0, 1, 2


class Page(Object):
    """A page of the range; the frame behind it has the same number."""

    pte: int = ranged(0, 2, init=CLEAN)
    freed: bool = ghost(False)


class Cpu(Object, show="CPU{}"):
    """A CPU, its TLB and the CPUs that its flush still waits for."""

    tlb: Array[Page, int] = ranged(0, 2)
    mask: set[Cpu]


class Mm(Object):
    """The address space."""

    lock: SpinLock
    pending: int = counter(0, Cpu)
    returned: set[Cpu] = ghost(set())


@rule
def fill(cpu: Cpu, page: Page) -> None:
    """Cache the present translation."""
    when(cpu.tlb[page] == NONE and page.pte != NONE)
    cpu.tlb[page] = page.pte


@rule
def evict(cpu: Cpu, page: Page) -> None:
    """Forget a translation."""
    when(cpu.tlb[page] != NONE)
    cpu.tlb[page] = NONE


@rule
def write(cpu: Cpu, page: Page) -> None:
    """The first write through a clean entry walks again and sets the dirty bit."""
    when(cpu.tlb[page] == CLEAN and page.pte != NONE)
    cpu.tlb[page] = DIRTY
    page.pte = DIRTY


@atomic
def zap(page: Page) -> bool:
    """Clear a PTE, and tell whether there was one."""
    present = page.pte != NONE
    page.pte = NONE
    return present


@atomic
def decide(mm: Mm, cpu: Cpu, gather: set[Page], *, nested: bool) -> bool:
    """Ask every CPU, if a flush is needed."""
    if gather or (nested and mm.pending > 1):
        cpu.mask = set(Cpu)
        return True
    return False


@atomic
def invalidate(cpu: Cpu) -> bool:
    """One CPU of the mask drops its entries; tell whether it was the last."""
    target = choose(cpu.mask)
    for page in Page:
        target.tlb[page] = NONE
    cpu.mask.discard(target)
    return not cpu.mask


@atomic
def free(gather: set[Page]) -> None:
    """Give the frames back."""
    for page in Page:
        if page in gather:
            page.freed = True


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed(mm: Mm, *, nested: bool = True) -> None:
    """Zap every page, flush if need be, free."""
    cpu = this(Cpu)
    gather: set[Page] = set()
    atomic_inc(mm.pending)
    with mm.lock:
        for page in Page:
            if zap(page):
                gather.add(page)
    if decide(mm, cpu, gather, nested=nested):
        while not invalidate(cpu):
            pass
    free(gather)
    atomic_dec(mm.pending)
    mm.returned.add(cpu)


@invariant("no-stale-free")
def no_cached_freed() -> bool:
    """a CPU caches a freed page."""
    return not any(page.freed and cpu.tlb[page] != NONE for cpu in Cpu for page in Page)


@invariant("no-stale-return")
def none_after_return() -> bool:
    """somebody has returned while a CPU still caches a page."""
    return not any(
        mm.returned and cpu.tlb[page] != NONE for mm in Mm for cpu in Cpu for page in Page
    )


def family(nested: bool) -> Callable[..., Setup]:
    """The builder of the fixed or the buggy protocol."""

    def build(cpus: int = 2, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Mm: 1},
            threads=[
                Thread(madvise_dontneed, Mm(0), nested=nested, on=Cpu(c)) for c in range(cpus)
            ],
            hardware=Hardware("benchmark", rules=(fill, evict, write)),
            invariants=[no_cached_freed, none_after_return],
        )

    return build


dontneed = scenario("dontneed", expect="HOLDS", title="dontneed(N, P)")(family(nested=True))
nonest = scenario(
    "nonest", expect="VIOLATED", violates="no-stale-return", title="dontneed(N, P), buggy"
)(family(nested=False))


def system(cpus: int, pages: int, *, nested: bool = True) -> System:
    """The compiled benchmark."""
    return (dontneed if nested else nonest).compile({"cpus": cpus, "pages": pages})
