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

# ruff: noqa: F821, PLR1730, SIM102, PLR5501
# mypy: ignore-errors

from __future__ import annotations

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


# ------------------------------------------------------------------ cache lines


def transfer(ctx: int, other: int) -> int:
    """A line comes from another CPU (one more than its number)."""
    ctx[COUNTS][LINE_TRANSFERS] += 1
    price = ctx[PRICES][LINE_TRANSFER]
    if socket(ctx, other - 1) != socket(ctx, ctx[CPU]):
        price = ctx[PRICES][LINE_TRANSFER_REMOTE]
    ctx[NOW] += price
    return 0


def socket(ctx: int, cpu: int) -> int:
    """The socket that a CPU is in."""
    first = 0
    number = 0
    size = ctx[SOCKET_CPUS]
    while first + size <= cpu:
        first += size
        number += 1
    return number


def line_read(ctx: int, line: int) -> int:
    """Read a cache line that several CPUs use."""
    owner = ctx[LINES][line]
    me = ctx[CPU] + 1
    if owner != 0 and owner < SHARED and owner != me:
        transfer(ctx, owner)
        ctx[LINES][line] = owner + SHARED
    return 0


def line_write(ctx: int, line: int) -> int:
    """Write a cache line that several CPUs use."""
    owner = ctx[LINES][line]
    me = ctx[CPU] + 1
    if owner != me:
        if owner != 0:
            transfer(ctx, owner & LOW)
        ctx[LINES][line] = me
    return 0


# ------------------------------------------------------------------ locks


def enqueue(ctx: int, lock: int, mode: int) -> int:
    """Wait in the queue of a lock."""
    me = ctx[THREAD]
    ctx[NEXT][me] = 0
    ctx[MODE][me] = mode
    ctx[QUEUE_OF][me] = lock + 1
    if ctx[QUEUE_HEADS][lock] == 0:
        ctx[QUEUE_HEADS][lock] = me + 1
    else:
        ctx[NEXT][ctx[QUEUE_TAILS][lock] - 1] = me + 1
    ctx[QUEUE_TAILS][lock] = me + 1
    ctx[BLOCKED] = 1
    return MUST_WAIT


def grant(ctx: int, lock: int) -> int:
    """The first in the queue gets the lock."""
    first = ctx[QUEUE_HEADS][lock] - 1
    ctx[QUEUE_HEADS][lock] = ctx[NEXT][first]
    ctx[GRANTED][first] = 1
    ctx[QUEUE_OF][first] = 0
    wake(ctx, first, ctx[NOW] + ctx[PRICES][LOCK_HANDOVER])
    return first


def spin_lock(ctx: int, word: int, lock: int, line: int) -> int:
    """Take a lock in the order of arrival (kernel/locking/qspinlock.c)."""
    line_write(ctx, line)
    state = ctx[STATE]
    if ctx[GRANTED][ctx[THREAD]] != 0:
        ctx[GRANTED][ctx[THREAD]] = 0
        return 0
    if state[word] == 0:
        state[word] = ctx[THREAD] + 1
        return 0
    return enqueue(ctx, lock, 1)


def spin_trylock(ctx: int, word: int, lock: int, line: int) -> int:
    """Take a lock if it is free."""
    line_write(ctx, line)
    state = ctx[STATE]
    if state[word] == 0:
        state[word] = ctx[THREAD] + 1
        return 1
    return 0


def spin_unlock(ctx: int, word: int, lock: int, line: int) -> int:
    """Release a lock, or hand it to the first that waits."""
    line_write(ctx, line)
    state = ctx[STATE]
    state[word] = 0
    if ctx[QUEUE_HEADS][lock] != 0:
        state[word] = grant(ctx, lock) + 1
    return 0


def down_read(ctx: int, word: int, lock: int, line: int) -> int:
    """Hold a semaphore for reading; who waits already goes first (kernel/locking/rwsem.c)."""
    line_write(ctx, line)
    state = ctx[STATE]
    if ctx[GRANTED][ctx[THREAD]] != 0:
        ctx[GRANTED][ctx[THREAD]] = 0
        return 0
    if state[word] < WRITER and ctx[QUEUE_HEADS][lock] == 0:
        state[word] += 1
        return 0
    return enqueue(ctx, lock, 0)


def down_write(ctx: int, word: int, lock: int, line: int) -> int:
    """Hold a semaphore for writing."""
    line_write(ctx, line)
    state = ctx[STATE]
    if ctx[GRANTED][ctx[THREAD]] != 0:
        ctx[GRANTED][ctx[THREAD]] = 0
        return 0
    if state[word] == 0 and ctx[QUEUE_HEADS][lock] == 0:
        state[word] = WRITER
        return 0
    return enqueue(ctx, lock, 1)


def hand_over(ctx: int, word: int, lock: int) -> int:
    """A semaphore is free: to one writer, or to all readers up to the next writer."""
    state = ctx[STATE]
    more = ctx[QUEUE_HEADS][lock]
    while more != 0:
        if ctx[MODE][more - 1] != 0:
            more = 0
            if state[word] == 0:
                grant(ctx, lock)
                state[word] = WRITER
        else:
            grant(ctx, lock)
            state[word] += 1
            more = ctx[QUEUE_HEADS][lock]
    return 0


def up_read(ctx: int, word: int, lock: int, line: int) -> int:
    """Release after reading."""
    line_write(ctx, line)
    state = ctx[STATE]
    state[word] -= 1
    if state[word] == 0:
        hand_over(ctx, word, lock)
    return 0


def up_write(ctx: int, word: int, lock: int, line: int) -> int:
    """Release after writing."""
    line_write(ctx, line)
    state = ctx[STATE]
    state[word] = 0
    hand_over(ctx, word, lock)
    return 0


def downgrade_write(ctx: int, word: int, lock: int, line: int) -> int:
    """Hold for reading what was held for writing; readers that wait first come in."""
    line_write(ctx, line)
    ctx[STATE][word] = 1
    hand_over(ctx, word, lock)
    return 0


# ------------------------------------------------------------------ interrupts


def send_ipis(ctx: int, sender: int, targets: int) -> int:
    """Queue a call on each CPU of a bit set (at an address), and interrupt those whose queue was
    empty. Arrival is later by the distance."""
    word = 0
    sent = 0
    while word << 6 < ctx[CPUS]:
        rest = targets[word]
        while rest != 0:
            cpu = (word << 6) + lowest_bit(rest)
            rest = rest & (rest - 1)
            ctx[COUNTS][CSD_QUEUE_CPU] += 1
            idle = 0
            if ctx[QUEUED][cpu] == 0:
                idle = 1
            if ctx[QUEUED][cpu] == ctx[CPUS]:
                fail(ctx)
                return 0
            ctx[QUEUED][cpu] += 1
            ctx[QUEUES][(cpu * ctx[CPUS]) + ctx[TAILS][cpu]] = sender
            tail = ctx[TAILS][cpu] + 1
            if tail == ctx[CPUS]:
                tail = 0
            ctx[TAILS][cpu] = tail
            if idle != 0:
                ctx[COUNTS][IPI_SEND_CPU] += 1
                if sent == 0:
                    ctx[NOW] += ctx[PRICES][IPI_SEND]
                else:
                    ctx[NOW] += ctx[PRICES][IPI_SEND_MORE]
                sent += 1
                delay = ctx[PRICES][IPI_DELIVER]
                if socket(ctx, cpu) != socket(ctx, sender):
                    delay = ctx[PRICES][IPI_DELIVER_REMOTE]
                ctx[ARRIVES][cpu] = ctx[NOW] + delay
                arrive(ctx, cpu, ctx[NOW] + delay)
        word += 1
    return 0


def arrive(ctx: int, cpu: int, time: int) -> int:
    """An interrupt arrives: its handler is next, unless it runs already. Where the CPU accepts none
    then, it waits until the CPU does."""
    handler = ctx[HANDLER][cpu]
    if time < ctx[IRQ_END][cpu]:
        time = ctx[IRQ_END][cpu]
    if handler != 0 and ctx[IN_IRQ][cpu] == 0 and ctx[IRQ_OFF][cpu] == 0:
        if time < ctx[READY][handler - 1]:
            set_ready(ctx, handler - 1, time)
    return 0


def take_ipi(ctx: int, cpu: int) -> int:
    """The handler waits for an interrupt and takes the oldest call: its sender, or -1. What the CPU
    did before is stopped, and goes on when no call is left."""
    if ctx[QUEUED][cpu] == 0:
        if ctx[IN_IRQ][cpu] != 0:
            ctx[IN_IRQ][cpu] = 0
            ctx[NOW] += ctx[PRICES][INTERRUPT_RETURN]
            ctx[IRQ_TIME][cpu] += ctx[NOW] - ctx[IRQ_FROM][cpu]
            ctx[IRQ_END][cpu] = ctx[NOW]
            main = ctx[MAIN][cpu]
            if main != 0 and ctx[STOPPED][main - 1] != 0:
                ctx[STOPPED][main - 1] = 0
                if ctx[REMAIN][main - 1] >= 0:
                    set_ready(ctx, main - 1, ctx[NOW] + ctx[REMAIN][main - 1])
        ctx[BLOCKED] = 1
        return MUST_WAIT
    if ctx[IN_IRQ][cpu] == 0:
        if ctx[IRQ_OFF][cpu] != 0:
            ctx[BLOCKED] = 1
            return MUST_WAIT
        ctx[IN_IRQ][cpu] = 1
        ctx[IRQ_FROM][cpu] = ctx[NOW]
        ctx[COUNTS][INTERRUPTS] += 1
        stop(ctx, cpu)
        ctx[NOW] += ctx[PRICES][INTERRUPT_ENTRY]
    head = ctx[HEADS][cpu]
    sender = ctx[QUEUES][(cpu * ctx[CPUS]) + head]
    head += 1
    if head == ctx[CPUS]:
        head = 0
    ctx[HEADS][cpu] = head
    ctx[QUEUED][cpu] -= 1
    return sender


def stop(ctx: int, cpu: int) -> int:
    """The main thread of a CPU stops for an interrupt."""
    main = ctx[MAIN][cpu]
    if main != 0:
        ctx[STOPPED][main - 1] = 1
        time = ctx[READY][main - 1]
        if time >= NEVER:
            ctx[REMAIN][main - 1] = WAITS
        else:
            left = time - ctx[NOW]
            if left < 0:
                left = 0
            ctx[REMAIN][main - 1] = left
            set_ready(ctx, main - 1, NEVER)
    return 0


def irqs_off(ctx: int, cpu: int) -> int:
    """No interrupt is taken any more."""
    ctx[IRQ_OFF][cpu] = 1
    return 0


def irqs_on(ctx: int, cpu: int) -> int:
    """Interrupts are taken, also one that waits; one that is on its way comes when it arrives."""
    ctx[IRQ_OFF][cpu] = 0
    if ctx[QUEUED][cpu] != 0:
        time = ctx[NOW]
        if time < ctx[ARRIVES][cpu]:
            time = ctx[ARRIVES][cpu]
        arrive(ctx, cpu, time)
    return 0


# ------------------------------------------------------------------ TLBs


def tlb_set(ctx: int, cpu: int, page: int) -> int:
    """Where the set of a page begins."""
    index = (page ^ (page >> 9)) & (ctx[TLB_SETS] - 1)
    return ctx[TLB] + (((cpu * ctx[TLB_SETS]) + index) * ctx[TLB_WAYS] * 24)


def tlb_lookup(ctx: int, cpu: int, tag: int, page: int) -> int:
    """What the TLB has for a page under a tag, 0 if nothing."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    entry = tlb_set(ctx, cpu, page)
    end = entry + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    epoch = ctx[EPOCHS][cpu * ctx[TAGS] + tag]
    while entry < end:
        if entry[0] == key and entry[1] == epoch:
            ctx[COUNTS][TLB_HIT] += 1
            return entry[2]
        entry += 24
    ctx[COUNTS][TLB_MISS] += 1
    return 0


def tlb_insert(ctx: int, cpu: int, tag: int, page: int, data: int) -> int:
    """Keep a translation, in the place of an old one of the page, of an invalid one, or in turn."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    first = tlb_set(ctx, cpu, page)
    end = first + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    epoch = ctx[EPOCHS][cpu * ctx[TAGS] + tag]
    entry = first
    place = 0
    while entry < end:
        if entry[0] == key:
            place = entry
        if place == 0:
            old = entry[0] - 1
            if entry[0] == 0:
                place = entry
            else:
                if entry[1] != ctx[EPOCHS][cpu * ctx[TAGS] + (old & 255)]:
                    place = entry
        entry += 24
    if place == 0:
        turn = ctx[TLB_TURN][cpu]
        place = first + turn * 24
        turn += 1
        if turn == ctx[TLB_WAYS]:
            turn = 0
        ctx[TLB_TURN][cpu] = turn
    place[0] = key
    place[1] = epoch
    place[2] = data
    return 0


def tlb_drop_page(ctx: int, cpu: int, tag: int, page: int) -> int:
    """Forget a page of a tag."""
    entry = tlb_set(ctx, cpu, page)
    end = entry + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    while entry < end:
        if entry[0] == key:
            entry[0] = 0
        entry += 24
    return 0


def tlb_drop_span(ctx: int, cpu: int, tag: int, span: int) -> int:
    """Forget some pages of a tag."""
    page = span & LOW
    while page < span >> 32:
        tlb_drop_page(ctx, cpu, tag, page)
        page += 1
    return 0


def tlb_drop_tag(ctx: int, cpu: int, tag: int) -> int:
    """Forget all of a tag."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    ctx[EPOCHS][cpu * ctx[TAGS] + tag] += 1
    return 0


def tlb_drop_all(ctx: int, cpu: int) -> int:
    """Forget everything."""
    tag = 0
    while tag < ctx[TAGS]:
        ctx[EPOCHS][cpu * ctx[TAGS] + tag] += 1
        tag += 1
    return 0


# ------------------------------------------------------------------ memory, numbers, time


def take_frame(ctx: int) -> int:
    """A free frame: the one that was freed last. An error if there is none."""
    if ctx[FREE_TOP] == 0:
        fail(ctx)
        return 0
    ctx[FREE_TOP] -= 1
    at = ctx[FREE_FIRST] + ctx[FREE_TOP]
    if at >= ctx[FRAMES]:
        at -= ctx[FRAMES]
    return ctx[FREE][at]


def give_frame(ctx: int, frame: int) -> int:
    """A frame is free, and is the next one to be taken."""
    if ctx[FREE_TOP] >= ctx[FRAMES]:
        fail(ctx)
        return 0
    at = ctx[FREE_FIRST] + ctx[FREE_TOP]
    if at >= ctx[FRAMES]:
        at -= ctx[FRAMES]
    ctx[FREE][at] = frame
    ctx[FREE_TOP] += 1
    return 0


def give_frame_last(ctx: int, frame: int) -> int:
    """A frame is free, and is taken after all others that are free now."""
    if ctx[FREE_TOP] >= ctx[FRAMES]:
        fail(ctx)
        return 0
    if ctx[FREE_FIRST] == 0:
        ctx[FREE_FIRST] = ctx[FRAMES]
    ctx[FREE_FIRST] -= 1
    ctx[FREE][ctx[FREE_FIRST]] = frame
    ctx[FREE_TOP] += 1
    return 0


def free_frames(ctx: int) -> int:
    """How many frames are free."""
    return ctx[FREE_TOP]


def random(ctx: int, count: int) -> int:
    """A number below ``count`` (xorshift64*, its upper half)."""
    if count <= 0 or count > MOST:
        fail(ctx)
        return 0
    x = ctx[RNG]
    x = x ^ (x >> 12)
    x = x ^ (x << 25)
    x = x ^ (x >> 27)
    ctx[RNG] = x
    return (((x * 2685821657736338717) >> 32) * count) >> 32


def compute(ctx: int, time: int) -> int:
    """Time passes."""
    if time < 0 or time > LONGEST or ctx[NOW] > LATEST:
        fail(ctx)
        return 0
    ctx[NOW] += time
    return 0


def spend(ctx: int, price: int, times: int) -> int:
    """A price (by its number) passes several times."""
    each = ctx[PRICES][price]
    if times < 0 or times > MOST or (each >> 20 != 0 and times >> 20 != 0) or ctx[NOW] > LATEST:
        fail(ctx)
        return 0
    ctx[NOW] += each * times
    return 0


def clock(ctx: int) -> int:
    """What time it is."""
    return ctx[NOW]


def cell_at(ctx: int, cell: int) -> int:
    """The address of a list's last cell. An error if the thread has made so many since then that
    the cell is another's."""
    serial = cell & CELL_SERIAL
    if ctx[CELL_AT][ctx[THREAD]] - serial > CELL_MASK:
        fail(ctx)
    return ctx[CELLS] + (((ctx[THREAD] * CELL_RING) + (serial & CELL_MASK)) << 4)


def occupy(ctx: int, unit: int, time: int) -> int:
    """Wait for a unit of the machine that serves one CPU after the other, and be served. How long
    it was waited for."""
    waited = ctx[BUSY][unit] - ctx[NOW]
    if waited < 0:
        waited = 0
    ctx[NOW] += waited + time
    ctx[BUSY][unit] = ctx[NOW]
    return waited


def set_flag(ctx: int, cpu: int, on: int) -> int:
    """A CPU's flag for the machine's books: what it was."""
    old = ctx[FLAGS][cpu]
    ctx[FLAGS][cpu] = on
    return old


def push(ctx: int, rest: int, element: int) -> int:
    """A list with one element more. A list is the serial number of its last cell, and how many
    there are in its highest bits."""
    if rest >> CELL_COUNT >= CELL_MASK:
        fail(ctx)
        return rest
    serial = ctx[CELL_AT][ctx[THREAD]] + 1
    ctx[CELL_AT][ctx[THREAD]] = serial
    cells = ctx[CELLS] + (((ctx[THREAD] * CELL_RING) + (serial & CELL_MASK)) << 4)
    cells[0] = element
    cells[1] = rest
    return (((rest >> CELL_COUNT) + 1) << CELL_COUNT) + serial


def list_top(ctx: int, cell: int) -> int:
    """The element that was added last."""
    return cell_at(ctx, cell)[0]


def list_rest(ctx: int, cell: int) -> int:
    """The list without it."""
    return cell_at(ctx, cell)[1]


def list_has(ctx: int, cell: int, element: int) -> int:
    """Whether an element is in a list."""
    while cell != 0:
        if cell_at(ctx, cell)[0] == element:
            return 1
        cell = cell_at(ctx, cell)[1]
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
