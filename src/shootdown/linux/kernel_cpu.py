"""What Linux keeps for each CPU about user mode, isolation and deferred work; and ``init_mm``.

Ghost fields belong to the properties of system S1.
"""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.walker import Pcid, Space, Table, Walker, load
from shootdown.lang import Array, SpinLock, Word, atomic, ghost, mark, note, path, ranged, this

KERNEL = Pcid(0)
USER = Pcid(1)


class ContextState(Word):
    """``context_tracking.state``: is the CPU in user mode, and what work waits for it to leave."""

    user: bool = False
    work: bool = False

    def show(self) -> str:
        """As ``USER|TLBI``."""
        return ("USER" if self.user else "KERNEL") + ("|TLBI" if self.work else "")


class KernelSpace(Space):
    """A root with the kernel's half.

    ``lazy_nr``, ``lazy_max``, ``purge_list`` and ``purge_lock`` are what ``mm/vmalloc.c`` keeps
    about addresses that wait for a flush. ``revoked`` (ghost): frames that were unmapped before a
    call that promised so returned.
    """

    lazy_nr: int = ranged(0, 3)
    lazy_max: int = ranged(0, 3)
    purge_list: set[Page]
    purge_lock: SpinLock
    revoked: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]


class KernelCpu(Walker):
    """A CPU as the kernel sees it.

    ``isolated``: in ``nohz_full=`` (a constant of the boot, so looking at it is no step).
    ``user_mode`` and ``in_nmi`` are what the CPU itself knows. Ghosts: ``owed`` are the
    translations that the CPU was spared to flush; ``used_stale``, ``used_owing``, ``disturbed``:
    see the invariants; ``paid``: it has flushed what it owed.
    """

    kernel_root: Space = Space(0)
    kernel_pcid: Pcid = Pcid(0)
    kernel_cr3_loaded: bool = True
    ct_state: ContextState
    invalidate_other: bool = False
    deferred_pages: set[Page]
    call_all: bool = False
    isolated: bool = ghost(False)
    user_mode: bool = ghost(False)
    in_nmi: bool = ghost(False)
    owed: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    used_stale: bool = ghost(False)
    used_owing: bool = ghost(False)
    disturbed: bool = ghost(False)
    paid: bool = ghost(False)


INIT_MM = KernelSpace(0)
"""The kernel's own page table. Without isolation user mode runs on it, too."""

USER_ROOT = Space(1)
"""The root of user mode under page-table isolation: nothing of what is modelled is in it."""


@path
def housekeeping_cpu(cpu: KernelCpu) -> bool:
    """Whether a CPU is not in ``nohz_full=``: a constant of the boot, so looking is no step."""
    return not cpu.isolated


@path
def user_mode(cpu: KernelCpu) -> bool:
    """``user_mode(regs)``: whether an interrupt came in user mode, as its stack frame says."""
    return cpu.user_mode


@atomic
def owes(cpu: KernelCpu) -> bool:
    """Whether a flush that the CPU was spared is still to come."""
    return any(cpu.owed[page] for page in Page)


@atomic
def settle(cpu: KernelCpu, pages: set[Page]) -> None:
    """The CPU has flushed these pages: what it still owes of them are translations that memory
    still has, and that it may load again."""
    for page in pages:
        left: set[Frame] = {
            frame
            for frame in cpu.owed[page]
            if any(table.pte[page].present and table.pte[page].frame == frame for table in Table)
        }
        if left != cpu.owed[page]:
            cpu.paid = True
        cpu.owed[page] = left


@atomic
def settle_all(cpu: KernelCpu) -> None:
    """The CPU has flushed everything."""
    settle(cpu, set(Page))


@atomic(show="kernel reads {page}", fence=False)
def kernel_access(page: Page) -> None:
    """Kernel code reads vmalloc memory."""
    cpu = this(KernelCpu)
    frame = load(cpu, page)
    if owes(cpu):
        cpu.used_owing = True
    if frame is None:
        note("not mapped")
    elif frame in INIT_MM.revoked[page]:
        mark("stale, via {}", frame)
        cpu.used_stale = True
