"""Cache lines and locks of the machine under the threads of a priced run.

In the subset of Python that :mod:`shootdown.native.subset` compiles: none of it runs as Python. The
capital names are those of :mod:`.runtime`, which also says how time goes.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

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
