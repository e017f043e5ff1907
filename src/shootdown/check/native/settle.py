"""What :meth:`shootdown.check.reduce.order.Order.settled` does, on packed states: a part of
:mod:`.choose`, with its context and its helpers."""

# ruff: noqa: F821, SIM102
# mypy: ignore-errors

from __future__ import annotations


def settle(c, state):
    """Make those cells of a state 0 that nobody will look at."""
    used(c, state)
    parts(state, c[BEFORE])
    rest(c)
    watched(c)
    unsure = 1
    while unsure:
        k = 0
        while k < W:
            c[SETTLED][k] = state[k] & (c[USED][k] | c[WATCHED][k])
            k += 1
        c[STATE] = c[SETTLED]
        parts(c[SETTLED], c[AFTER])
        rest(c)
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


def used(c, state):
    """Put the cells into ``USED`` that somebody may still look at, and into ``FUTURE`` all that may
    still be done."""
    c[STATE] = state
    conditions(state, c[TRUTH])
    entries(state, c[ENTRIES])
    k = 0
    while k < W:
        c[USED][k] = c[KEPT][k]
        k += 1
    clear(c[FUTURE], 4 * W)
    c[MARK] += 1
    n = 0
    a = 0
    while a < AGENTS:
        if c[ENTRIES][a] >= 0:
            c[TODO][n] = c[ENTRIES][a]
            n += 1
        a += 1
    held = 0
    while n > 0:
        while n > 0:
            n -= 1
            number = c[TODO][n]
            if c[SEEN][number] != c[MARK]:
                c[SEEN][number] = c[MARK]
                node = c[NODES] + number * (8 * NODE)
                k = 0
                while k < W:
                    c[USED][k] = c[USED][k] | node[USES + k]
                    k += 1
                if node[EMPTY] == 0:
                    add_effect(c[FUTURE], node + 8 * EFFECT)
                    n = go_on(c, node, n)
                i = node[EDGE_FROM]
                stop = node[EDGE_TO]
                while i < stop:
                    edge = c[EDGES] + i * (8 * EDGE)
                    if true_now(c, edge):
                        c[TODO][n] = edge[TARGET]
                        n += 1
                    else:
                        c[WAITING][held] = i
                        held += 1
                    i += 1
        kept = 0
        i = 0
        while i < held:
            edge = c[EDGES] + c[WAITING][i] * (8 * EDGE)
            if may_turn(c, edge, c[FUTURE], c[NOTHING], 1):
                c[TODO][n] = edge[TARGET]
                n += 1
            else:
                c[WAITING][kept] = c[WAITING][i]
                kept += 1
            i += 1
        held = kept
    return 0


def rest(c):
    """Put into ``WRITTEN`` what may still change."""
    k = 0
    while k < W:
        c[WRITTEN][k] = changed_word(c, c[FUTURE], k)
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
