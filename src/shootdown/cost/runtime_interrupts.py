"""Interrupts of the machine under the threads of a priced run.

In the subset of Python that :mod:`shootdown.native.subset` compiles: none of it runs as Python. The
capital names are those of :mod:`.runtime`, which also says how time goes.
"""

# ruff: noqa: F821, PLR1730, SIM102
# mypy: ignore-errors

from __future__ import annotations


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
