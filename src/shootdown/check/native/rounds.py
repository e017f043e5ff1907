"""A search by several threads, in the subset of Python of :mod:`shootdown.native.subset`.

The threads go in rounds and meet at a barrier after each part. A round takes the next states of one
level, and discovers what :func:`.core.run` would discover, in the same order:

1. Each thread expands its part of the states and lists the successors that are not known, in order
   (:func:`search_part`). Nobody writes what another one reads.
2. A state belongs to the thread in whose part of the table its bucket is. Each thread enters those
   of all lists that belong to it, in order (:func:`enter_part`). So of equal ones the first is new.
   Meanwhile the number of a new state is its place in its list, which lies behind the room for
   states.
3. Now it is known how many are new in each list, so which numbers they get. Each thread gives the
   new states of its list their numbers, stores and checks them (:func:`store_part`).

A round is done as a whole or not at all. Where anything is unusual (a violation, a failed outcome,
a deadlock, a limit, no room) all is taken back, and :func:`.core.run` does it again, alone. So what
happens then is defined in one place.

Each thread has a context of its own with the names of :mod:`.core` and those below. All compute the
counts after a round from the same numbers.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from shootdown.check.native import core
from shootdown.check.native.core import (
    append,
    bucket_of,
    enter,
    expand_some,
    hash_of,
    keep_level,
    keep_skip,
    look_up,
    next_level,
    put,
)
from shootdown.native import subset

CONTEXT = (
    *core.CONTEXT,
    "ME",  # the number of this thread
    "TEAM",  # how many there are
    "SHARE",  # a TEAM-th of 2**32
    "OTHERS",  # the address of the context of each thread
    "GATE",  # of the barrier: who has come; one line on, how often all have; one more, given up
    "YIELD",  # address of sched_yield
    "GRAIN",  # states of a round for each thread, at most
    "NARROW",  # rounds of less states are not worth it
    "MARKS",  # COVER, PROPERTY_COVER and GOALS of this thread, one after the other
    "KEPT_MARKS",  # ... of the rounds that are done
    "MARK_WORDS",  # how long each of the two is
    "FOUND",  # how many states there are in the list
    "FOUND_FIRST",  # the number of the first
    "FOUND_MOST",  # the most
    "FOUND_HASHES",
    "FOUND_SKIPS",  # their sets: see core.keep_skip
    "RECENT",  # a few places in the list, each where a part of the hash says
    "SENT",  # for each thread a list of the found states that belong to it
    "SENT_COUNTS",  # ... how long it is
    "ENTERED",  # for each thread's list: where the numbers of those are that belong to this one
    "NEW",  # ... how many of them are new
    "CURSORS",  # for store_part
    "MADE_ALL",  # outcomes of this thread's states of the round
    "TROUBLE",  # why the round must be taken back after part 1: see below
    "WRONG",  # ... after part 3
)

ODD_STEP = 1  # an outcome failed, or a deadlock
TOO_MANY = 2  # the list is full

RECENT = 1 << 13  # how many
SPINS = 2000  # looks at the gate, after which a thread lets others run
AHEAD = 12  # states before a bucket is needed


def rounds(context, budget):
    """Do rounds until about ``budget`` states are expanded, or as far as it goes."""
    end = context[EXPANDED] + budget
    while one_round(context, end):
        pass
    # behind this nobody looks at the context of another one
    return barrier(context)


def barrier(context):
    """Wait until all threads have come; 0 if the search is given up instead."""
    gate = context[GATE]
    times = atomic_load(gate + 64)
    if atomic_add(gate, 1) == context[TEAM] - 1:
        gate[0] = 0
        atomic_add(gate + 64, 1)
        return 1
    spins = 0
    while atomic_load(gate + 64) == times:
        if atomic_load(gate + 128):
            return 0
        spins += 1
        if spins > SPINS:
            call0(context[YIELD])
    return 1


def one_round(context, end):
    """Do a round; 0 if there was none."""
    first = context[EXPANDED]
    count = context[LEVEL_END] - first
    if first >= end or count < context[NARROW]:
        return 0
    team = context[TEAM]
    if count > context[GRAIN] * team:
        count = context[GRAIN] * team
    me = context[ME]
    stop = first + count
    if me + 1 < team:
        stop = first + ((count * (me + 1) * context[SHARE]) >> 32)
    search_part(context, first + ((count * me * context[SHARE]) >> 32), stop)
    if barrier(context) == 0:
        return 0

    known = context[KNOWN]
    total = known
    trouble = 0
    made = 0
    t = 0
    while t < team:
        other = context[OTHERS][t]
        total += other[FOUND]
        trouble = trouble | other[TROUBLE]
        made += other[MADE_ALL]
        t += 1
    if trouble or total > context[ROOM] or total > context[LIMIT]:
        return 0
    enter_part(context)
    if barrier(context) == 0:
        return 0

    number = known
    t = 0
    while t < team:
        owner = 0
        while owner < team:
            known += context[OTHERS][owner][NEW][t]
            owner += 1
        t += 1
        if t == me:
            number = known
    store_part(context, number)
    if barrier(context) == 0:
        return 0

    wrong = 0
    t = 0
    while t < team:
        wrong = wrong | context[OTHERS][t][WRONG]
        t += 1
    if wrong:
        take_back(context)
        return 0
    keep_marks(context)
    context[KNOWN] = known
    context[EXPANDED] = first + count
    context[TRANSITIONS] += made
    if context[EXPANDED] == context[LEVEL_END] and known > context[LEVEL_END]:
        if me == 0:
            keep_level(context, context[LEVEL_END])
        next_level(context)
    return 1


def search_part(context, first, stop):
    """Expand the states from ``first`` to ``stop``, and list what is not known."""
    context[FOUND] = 0
    context[TROUBLE] = 0
    context[MADE_ALL] = 0
    t = 0
    while t < context[TEAM]:
        context[SENT_COUNTS][t] = 0
        t += 1
    while first < stop:
        last = stop
        if last > first + BATCH:
            last = first + BATCH
        here = expand_some(context, first, last)
        if here >> 32:
            context[TROUBLE] = ODD_STEP
            return 0
        n = look_up(context, here - first)
        if context[FOUND] + n > context[FOUND_MOST]:
            context[TROUBLE] = TOO_MANY
            return 0
        list_unknown(context, here - first)
        first = here
    return 0


def list_unknown(context, count):
    """List the unknown successors of ``count`` states, but for those that are in ``RECENT``.

    No jumps: half of what is unknown was found in the same round before.
    """
    found = context[FOUND]
    list_first = context[STATES] + context[FOUND_FIRST] * (8 * W)
    n = 0
    i = 0
    while i < count:
        skipped = context[SKIPPED][i]
        end = context[LEFT][i]
        while n < end:
            k = context[UNKNOWN][n]
            h = context[HASHES][k]
            kind = context[KINDS][k]
            state = append(context, context[OUT] + k * (8 * W), context[FOUND_FIRST] + found)
            context[FOUND_HASHES][found] = h
            context[FOUND_SKIPS][found] = skipped & (kind >> 32)
            # what is there from an earlier round is the number of another state now, or too large
            recent = context[RECENT] + ((h >> 16) & RECENT_MASK) * 4
            there = load32(recent)
            again = same(list_first + there * (8 * W), state) & ((there - found) >> 63)
            store32(recent, there ^ ((there ^ found) & (again - 1)))
            owner = owner_of(context, h)
            sent = context[SENT_COUNTS][owner]
            context[SENT][owner * context[FOUND_MOST] + sent] = found
            context[SENT_COUNTS][owner] = sent + 1 - again
            found += 1 - again
            # known before the new ones that follow
            skipped = skipped | kind
            n += 1
        context[MADE_ALL] += context[MADE][i]
        i += 1
    context[FOUND] = found
    return 0


def owner_of(context, h):
    """The thread in whose part of the table a bucket is."""
    return ((h >> PART_SHIFT) * context[TEAM]) >> (64 - PART_SHIFT)


def enter_part(context):
    """Enter the states of all lists that belong to this thread."""
    me = context[ME]
    most = context[FOUND_MOST]
    context[WRONG] = 0
    t = 0
    while t < context[TEAM]:
        other = context[OTHERS][t]
        sent = other[SENT] + me * most * 8
        count = other[SENT_COUNTS][me]
        hashes = other[FOUND_HASHES]
        entered = context[ENTERED] + t * most * 8
        new = 0
        k = 0
        while k < count:
            if k + AHEAD < count:
                later = hashes[sent[k + AHEAD]]
                prefetch(bucket_of(context[TABLE], context[BUCKETS], later))
            number = other[FOUND_FIRST] + sent[k]
            place = enter(context, context[STATES] + number * (8 * W), hashes[sent[k]], number)
            entered[k] = place
            new += 1 - is_zero(place)
            k += 1
        context[NEW][t] = new
        t += 1
    return 0


def store_part(context, number):
    """Store and check the new states of this thread's list, from ``number`` on."""
    t = 0
    while t < context[TEAM]:
        context[CURSORS][t] = 0
        t += 1
    mine = context[ME] * context[FOUND_MOST]
    j = 0
    while j < context[FOUND]:
        owner = owner_of(context, context[FOUND_HASHES][j])
        at = context[CURSORS][owner]
        context[CURSORS][owner] = at + 1
        place = context[OTHERS][owner][ENTERED][mine + at]
        if place:
            store32(place, number)
            found = context[STATES] + (context[FOUND_FIRST] + j) * (8 * W)
            new = append(context, found, number)
            keep_skip(context, number, context[FOUND_SKIPS][j])
            number += 1
            if call3(context[CHECK], new, context[GOALS], context[PROPERTY_COVER]):
                context[WRONG] = 1
                return 0
        j += 1
    return 0


def take_back(context):
    """Remove from the table what this thread entered: in each bucket that is what came last."""
    t = 0
    while t < context[TEAM]:
        count = context[OTHERS][t][SENT_COUNTS][context[ME]]
        k = 0
        while k < count:
            place = context[ENTERED][t * context[FOUND_MOST] + k]
            if place:
                line = place & (0 - 64)
                store8(line + ((place - line - NUMBERS) >> 2), 0)
            k += 1
        t += 1
    return 0


def keep_marks(context):
    """Add what this thread covered and reached in the round."""
    k = 0
    while k < context[MARK_WORDS]:
        context[KEPT_MARKS][k] = context[KEPT_MARKS][k] | context[MARKS][k]
        k += 1
    return 0


def refill_part(context, start, stop):
    """Put those of the states from ``start`` to ``stop`` into a new table that belong to this
    thread."""
    me = context[ME]
    while start < stop:
        end = start + BATCH
        if end > stop:
            end = stop
        n = 0
        here = start
        while here < end:
            h = hash_of(context[STATES] + here * (8 * W))
            context[HASHES][n] = h
            context[UNKNOWN][n] = here
            n += is_zero(owner_of(context, h) - me)
            here += 1
        k = 0
        while k < n:
            prefetch(bucket_of(context[TABLE], context[BUCKETS], context[HASHES][k]))
            k += 1
        k = 0
        while k < n:
            put(context, context[HASHES][k], context[UNKNOWN][k])
            k += 1
        start = end
    return 0


EXPORTED = (rounds, refill_part)
FUNCTIONS = tuple(function.__name__ for function in EXPORTED)
HELPERS = (
    *(function for function in core.HELPERS if function.__name__ not in ("discover", "outcome_to")),
    owner_of,
    list_unknown,
    keep_marks,
)
PARTS = (barrier, search_part, enter_part, store_part, take_back, one_round)


@cache
def text(words: int) -> str:
    """LLVM IR of the functions for states of ``words`` words."""
    constants = core.constants(words) | {name: i for i, name in enumerate(CONTEXT)}
    constants |= {"ODD_STEP": ODD_STEP, "TOO_MANY": TOO_MANY, "SPINS": SPINS, "AHEAD": AHEAD}
    constants["RECENT_MASK"] = RECENT - 1
    constants["PART_SHIFT"] = 64 - (core.PARTS.bit_length() - 1)
    return subset.compile_functions(EXPORTED, HELPERS, constants, PARTS)
