"""What :meth:`shootdown.check.reduce.order.Order.settled` does, on packed states: a part of
:mod:`.choose`, with its context and its helpers."""

# ruff: noqa: F821, SIM102
# mypy: ignore-errors

from __future__ import annotations


def settle(c, state):
    """Make those cells of a state 0 that nobody will look at."""
    used(c, state)
    parts(state, c[BEFORE])
    watched(c)
    unsure = 1
    while unsure:
        k = 0
        while k < W:
            c[SETTLED][k] = state[k] & (c[USED][k] | c[WATCHED][k])
            k += 1
        c[STATE] = c[SETTLED]
        parts(c[SETTLED], c[AFTER])
        widen(c, c[FUTURE])
        unsure = 0
        a = 0
        while a < PARTS:
            if c[OVER][a]:
                if is_over(c, a, c[AFTER]) == 0:
                    unsure = 1
                    c[OVER][a] = 0
                    watch(c, c[SEEN_PARTS] + a * (8 * PART))
            a += 1
    copy(state, c[SETTLED])
    return 0


def watch(c, part):
    """Add the cells of a part to ``WATCHED``."""
    k = 0
    while k < W:
        c[WATCHED][k] = c[WATCHED][k] | part[CELLS + k]
        k += 1
    return 0


def watched(c):
    """Put the cells of what invariants and goals may still show into ``WATCHED``, and which roots
    are over into ``OVER``."""
    clear(c[WATCHED], W)
    clear(c[OVER], PARTS)
    a = 0
    while a < PARTS:
        part = c[SEEN_PARTS] + a * (8 * PART)
        if part[WHOLE] & part[KNOWN]:
            if stays(c, part, a):
                a = part[SKIP]
            else:
                a += 1
        else:
            if part[ROOT]:
                c[OVER][a] = is_over(c, a, c[BEFORE])
            if c[OVER][a] == 0:
                watch(c, part)
            a = part[SKIP]
    return 0


def stays(c, whole, a):
    """Whether the goal ``whole`` (part ``a``) is true and stays so."""
    if whole[HARMLESS] == 1:
        stop = whole[SKIP]
        while a < stop:
            part = c[SEEN_PARTS] + a * (8 * PART)
            if part[ROOT]:
                if shows_at(c, part, a, 0):
                    return 1
            a += 1
    return 0


def is_over(c, a, values):
    """Whether root ``a`` shows neither in this state, where the parts have ``values``, nor after
    ``FUTURE``."""
    part = c[SEEN_PARTS] + a * (8 * PART)
    if part[KNOWN] == 0:
        return 0
    if shows(part[HARMLESS], values[a]):
        return 0
    return closed(c, part, a, values)
