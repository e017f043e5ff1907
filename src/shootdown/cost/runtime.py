"""The event loop and the machine under the threads, in the subset of Python that
:mod:`shootdown.native.subset` compiles. Nothing here runs as Python.

``ctx`` is the address of an array of 64-bit words; the capital names of :data:`CONTEXT` are its
indices. Times are nanoseconds, CPUs and threads are numbered from 0, and *one more* than a number
is kept where 0 means none.

A thread is a coroutine. It runs while its time is not later than the earliest of all others
(``HORIZON``), so accesses to memory happen in the order of their times, and in the order of the
threads' numbers where times are equal. A *winner tree* over the threads' times finds the earliest.

Each CPU has at most one thread of the workload (its *main*) and one interrupt handler. The handler
runs when an interrupt has arrived and the CPU accepts it; what the main thread still had to do
then (``REMAIN``) is done after it.

A cache line is owned by the CPU that wrote it last, and may be shared by readers. Only what several
CPUs use is looked at (see ``emit.py``): fields of CPUs and address spaces, and locks.
"""

# ruff: noqa: F821, PLR1730, SIM102
# mypy: ignore-errors

from __future__ import annotations

from shootdown.cost.runtime_interrupts import (
    arrive,
    irqs_off,
    irqs_on,
    send_ipis,
    stop,
    take_ipi,
)
from shootdown.cost.runtime_locks import (
    down_read,
    down_write,
    downgrade_write,
    enqueue,
    grant,
    hand_over,
    line_read,
    line_write,
    socket,
    spin_lock,
    spin_trylock,
    spin_unlock,
    transfer,
    up_read,
    up_write,
)
from shootdown.cost.runtime_memory import (
    cell_at,
    clock,
    compute,
    free_frames,
    give_frame,
    give_frame_last,
    list_has,
    list_rest,
    list_top,
    occupy,
    push,
    random,
    set_flag,
    spend,
    take_frame,
    tlb_drop_all,
    tlb_drop_page,
    tlb_drop_span,
    tlb_drop_tag,
    tlb_insert,
    tlb_lookup,
    tlb_set,
)

CONTEXT = (
    "NOW",  # the running thread's time
    "HORIZON",  # it yields when it is later than this
    "THREAD",
    "CPU",
    "BLOCKED",  # why the thread has stopped: 0 it yields, 1 it waits, 2 it has finished
    "RNG",
    "ERROR",  # 1 + the number of the failed check
    "PLACE",  # 1 + the number of the check that fails if the present operation does
    "STEPS",
    "BUDGET",  # stop after so many steps
    "LIVE",  # main threads that have not finished
    "STATE",
    "PRICES",
    "CALLS",  # by function
    "TIMES",
    "COUNTS",  # by name
    "STALLS",  # by kind of step: waiting for it
    "LEAVES",  # first leaf of the tree: a power of 2, at least the number of threads
    "TREE",  # for each node, the thread that is next
    "READY",  # for each thread, when
    "HANDLES",
    "CPU_OF",
    "MAIN",  # for each CPU, its main thread + 1
    "HANDLER",  # ... its interrupt handler + 1
    "REMAIN",  # what a stopped thread has still to do; -1 if it waits
    "STOPPED",  # whether an interrupt has stopped it
    "QUEUES",  # for each CPU, a ring of senders
    "HEADS",
    "TAILS",
    "QUEUED",  # for each CPU, how many calls wait
    "ARRIVES",  # ... when the last interrupt gets to it
    "IRQ_OFF",
    "IN_IRQ",
    "IRQ_FROM",  # when it began
    "IRQ_END",  # when the last one ended
    "IRQ_TIME",  # all of them
    "LINES",  # for each cache line, 1 + its owner, and SHARED
    "GRANTED",  # whether a thread was given the lock that it waits for
    "NEXT",  # in the queue of a lock, or among those that wait for a word
    "MODE",  # how it waits for a semaphore: 1 to write
    "QUEUE_HEADS",  # by lock
    "QUEUE_TAILS",
    "WAITERS",  # by word that somebody may wait for
    "CPUS",
    "SOCKET_CPUS",
    "TLB",
    "TLB_SETS",
    "TLB_WAYS",
    "TLB_TURN",  # for each CPU, the way that is replaced next
    "EPOCHS",  # for each CPU and tag: how often all of it was flushed
    "TAGS",
    "FREE",  # a ring of free frames
    "FREE_FIRST",  # where the one begins that is taken last
    "FREE_TOP",  # how many there are
    "CELLS",  # for each thread, a ring of list cells: element, rest
    "CELL_AT",
    "FRAMES",  # how many there are
    "VITAL",  # for each thread, whether the run goes on until it has finished
    "QUEUE_OF",  # for each thread, 1 + the lock that it waits for
    "ENDED",  # when the last main thread finished
    "BUSY",  # for each unit that all CPUs share, until when
    "FLAGS",  # for each CPU, the machine's own
)

TIMES = {
    "SHARED": 1 << 32,
    "NEVER": 1 << 62,
    "WRITER": 1 << 40,
    "MUST_WAIT": -1,
    "WAITS": -1,
    "TOO_LATE": -1,
    "LATEST": 1 << 61,  # no run takes as long (73 years)
    "LONGEST": 1 << 60,  # nor one step
    "MOST": 1 << 31,  # greatest number to choose below
    "SLICE": 1 << 20,  # how long a thread runs alone before the loop looks at the budget
    "CELL_RING": 1 << 15,
    "LOW": (1 << 32) - 1,
    "CELL_MASK": (1 << 15) - 1,
    "CELL_COUNT": 48,  # where the number of elements is in a list
    "CELL_SERIAL": (1 << 48) - 1,
}

PRICES = (
    "mem_load", "mem_store", "atomic", "line_transfer", "line_transfer_remote", "lock_handover",
    "ipi_send", "ipi_send_more", "ipi_deliver", "ipi_deliver_remote",
    "interrupt_entry", "interrupt_return",
)  # fmt: skip
"""Prices that the runtime itself uses: the first of the array of prices, in this order."""

COUNTS = (
    "csd_queue_cpu", "ipi_send_cpu", "interrupts", "tlb_hit", "tlb_miss", "line_transfers",
)  # fmt: skip
"""Counts that the runtime itself makes: the first of the array of counts, in this order."""

RESUME = """\
declare void @llvm.coro.resume(ptr)
define internal i64 @resume(i64 %h) alwaysinline {
  %p = inttoptr i64 %h to ptr
  call void @llvm.coro.resume(ptr %p)
  ret i64 0
}
"""


def set_ready(ctx: int, thread: int, time: int) -> int:
    """A thread's time: it is next if no other is earlier."""
    ready = ctx[READY]
    tree = ctx[TREE]
    ready[thread] = time
    if time < ctx[HORIZON]:
        ctx[HORIZON] = time
    node = (ctx[LEAVES] + thread) >> 1
    while node > 0:
        left = tree[node + node]
        right = tree[node + node + 1]
        winner = left
        if ready[right] < ready[left]:
            winner = right
        tree[node] = winner
        node = node >> 1
    return 0


def run(ctx: int) -> int:
    """Run threads until all main ones have finished (0), none can go on (1), a check has failed
    (2), or the budget is used up (3)."""
    while 1:
        tree = ctx[TREE]
        ready = ctx[READY]
        thread = tree[1]
        time = ready[thread]
        if time >= NEVER:
            return 1
        ctx[THREAD] = thread
        ctx[CPU] = ctx[CPU_OF][thread]
        if time >= LATEST:
            ctx[ERROR] = TOO_LATE
            return 2
        ctx[NOW] = time
        ctx[BLOCKED] = 0
        set_ready(ctx, thread, NEVER)
        horizon = ready[tree[1]]
        if horizon > time + SLICE:
            horizon = time + SLICE
        ctx[HORIZON] = horizon
        resume(ctx[HANDLES][thread])
        if ctx[ERROR] != 0:
            return 2
        if ctx[BLOCKED] == 0:
            set_ready(ctx, thread, ctx[NOW])
        if ctx[BLOCKED] == 2:
            if ctx[VITAL][thread] != 0:
                ctx[VITAL][thread] = 0
                ctx[LIVE] -= 1
                if ctx[ENDED] < ctx[NOW]:
                    ctx[ENDED] = ctx[NOW]
                if ctx[LIVE] == 0:
                    return 0
        if ctx[STEPS] >= ctx[BUDGET]:
            return 3
    return 0


def fail(ctx: int) -> int:
    """The present operation fails: the thread stops at its next step, and the run ends."""
    ctx[ERROR] = ctx[PLACE]
    ctx[HORIZON] = 0 - 1
    return 0


def wake(ctx: int, thread: int, time: int) -> int:
    """A thread that waits may go on, unless its CPU is in an interrupt: then after that."""
    if ctx[STOPPED][thread] != 0:
        ctx[REMAIN][thread] = 0
    else:
        set_ready(ctx, thread, time)
    return 0


def wait_for(ctx: int, word: int) -> int:
    """The running thread waits for a word of memory to be written."""
    ctx[NEXT][ctx[THREAD]] = ctx[WAITERS][word]
    ctx[WAITERS][word] = ctx[THREAD] + 1
    ctx[BLOCKED] = 1
    return 0


def written(ctx: int, word: int) -> int:
    """A word was written that somebody may wait for."""
    waiting = ctx[WAITERS][word]
    ctx[WAITERS][word] = 0
    while waiting != 0:
        following = ctx[NEXT][waiting - 1]
        wake(ctx, waiting - 1, ctx[NOW])
        waiting = following
    return 0


LOOP = (set_ready, run)
HELPERS = (
    wake, wait_for, written, socket, transfer, line_read, line_write, enqueue, grant, hand_over,
    arrive, stop, tlb_set, fail,
)  # fmt: skip
INLINED = (cell_at,)
WAITING = ("spin_lock", "down_read", "down_write", "take_ipi")
"""Operations that give -1 where the thread must wait, and are tried again when it is woken."""
IDLE = ("take_ipi",)
"""Those of them in which to wait is to have nothing to do."""
LOCKS = (spin_lock, spin_trylock, spin_unlock, down_read, down_write, up_read, up_write,
         downgrade_write)  # fmt: skip
OPERATIONS = (
    *LOCKS, send_ipis, take_ipi, irqs_off, irqs_on, tlb_lookup, tlb_insert, tlb_drop_page,
    tlb_drop_span, tlb_drop_tag, tlb_drop_all, take_frame, give_frame, give_frame_last, free_frames,
    random, compute, spend, clock, occupy, set_flag, push, list_top, list_rest, list_has,
)  # fmt: skip
