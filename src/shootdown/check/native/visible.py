"""What :mod:`shootdown.check.reduce.visible` says of a step, on packed states: a part of
:mod:`.choose`, with its context and its helpers."""

# ruff: noqa: F821, SIM102
# mypy: ignore-errors

from __future__ import annotations


def matters(c, after):
    """Whether the step to ``after`` may make an invariant true or a goal false, here or after the
    effect in ``FUTURE``, which changes ``WRITTEN``."""
    parts(after, c[AFTER])
    a = 0
    while a < PARTS:
        part = c[SEEN_PARTS] + a * (8 * PART)
        touched = 0
        unsure = 1 - part[KNOWN]
        k = 0
        while k < W:
            touched = touched | (part[CELLS + k] & (after[k] ^ c[STATE][k]))
            unsure = unsure | (part[CELLS + k] & c[WRITTEN][k])
            k += 1
        if touched == 0 or past(c, part, a):
            a = part[SKIP]
        elif unsure == 0:
            if differs(part[HARMLESS], c[BEFORE][a], c[AFTER][a]):
                return 1
            a = part[SKIP]
        elif part[SKIP] == a + 1:
            return 1
        else:
            a += 1
    return 0


def past(c, part, a):
    """Whether part ``a`` is a whole or a root that shows already, or a root that does not show
    after ``FUTURE``."""
    if (part[ROOT] | part[WHOLE]) == 0:
        return 0
    if part[KNOWN]:
        if shows(part[HARMLESS], c[BEFORE][a]):
            return 1
    if part[WHOLE]:
        return 0
    return closed(c, part, a, c[BEFORE])


def closed(c, part, a, values):
    """Whether root ``a``, where it does not show, does not after ``FUTURE`` either."""
    effect = c[FUTURE]
    may_show = 0
    k = 0
    while k < W:
        now = c[STATE][k]
        if part[SETS + k] & (effect[W + k] | effect[3 * W + k]) & (now ^ ALL_BITS):
            may_show = 1
        if part[CLEARS + k] & (effect[2 * W + k] | effect[3 * W + k]) & now:
            may_show = 1
        k += 1
    if may_show == 0:
        return 1
    if shows_at(c, part, a, 1) == 0:
        return 1
    stop = part[SKIP]
    while a < stop:
        factor = c[SEEN_PARTS] + a * (8 * PART)
        if factor[FACTOR] & factor[KNOWN]:
            changing = 0
            k = 0
            while k < W:
                changing = changing | (factor[CELLS + k] & c[WRITTEN][k])
                k += 1
            if changing == 0:
                if shows(factor[HARMLESS], values[a]) == 0:
                    return 1
        a += 1
    return 0


def shows_at(c, part, a, most):
    """Whether root ``a`` may show after ``FUTURE`` (``most``), or does so for certain."""
    if part[KNOWN] == 0:
        return most
    effect = c[FUTURE]
    unsure = 0
    k = 0
    while k < W:
        now = c[STATE][k]
        sets = (effect[W + k] | effect[3 * W + k]) & (now ^ ALL_BITS)
        clears = (effect[2 * W + k] | effect[3 * W + k]) & now
        unsure = unsure | (part[SETS + k] & part[CLEARS + k] & part[CELLS + k] & (sets | clears))
        if most:
            sets = part[SETS + k] & sets
            clears = part[CLEARS + k] & clears
        else:
            sets = part[CLEARS + k] & sets
            clears = part[SETS + k] & clears
        c[CORNER][k] = (now | sets) & (clears ^ ALL_BITS)
        k += 1
    if unsure:
        return most
    return shows(part[HARMLESS], part_at(c[CORNER], a))


def shows(harmless, value):
    """Whether a part that matters where it is true (1) or false (-1) has such a value."""
    if harmless > 0:
        if value != 0:
            return 1
        return 0
    if value == 0:
        return 1
    return 0


def differs(harmless, before, after):
    """Whether a change of a value matters."""
    if harmless == 0:
        if before != after:
            return 1
        return 0
    if harmless < 0:
        if before == 0 and after != 0:
            return 1
        return 0
    if before != 0 and after == 0:
        return 1
    return 0
