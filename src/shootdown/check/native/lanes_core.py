"""The search loop over entries, in the subset of Python of :mod:`shootdown.native.subset`.

There is an *entry* for each key: its ``K`` words, the lanes that are known, and the number of its
last record in the queue. The entries lie in the order of their discovery, so those that are needed
at the same time are near to each other. The table of keys has buckets of eight 64-bit words with a
31-bit tag and an index, as in :mod:`.core`.

The queue has a *record* for each time that an entry gets new lanes at a distance from the initial
state: the entry's index and these lanes. So the search is breadth-first as the ordinary one is,
level by level, and an entry is expanded again for the lanes that it gets later. The queue is kept:
races are found by walking it backwards.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from shootdown.check.native.core import hash_of, same
from shootdown.native import jit, subset

CONTEXT = (
    "EXPAND",  # address of the model's functions, see lanes_emit.py
    "CHECK",
    "ENTRIES",  # addresses of the arrays
    "TABLE",
    "QUEUE",
    "LEVELS",  # the first record at each distance
    "OUT",  # keys and lanes made by one batch
    "HASHES",  # the hashes of their keys, and what entry each probably has (an index plus one)
    "MADE",  # for each expansion of the batch: how many, lanes of the same key, outcomes
    "COVER",  # a byte for each line: covered by an action; by a property
    "PROPERTY_COVER",
    "GOALS",  # a byte for each goal
    "BUCKETS",  # number of buckets - 1
    "SHIFT",  # hash >> SHIFT is the first bucket
    "ROOM",  # entries that their array and the table can hold before they must grow
    "QUEUE_ROOM",  # records that the queue can hold
    "LIMIT",  # states that the user allows
    "KEYS",  # entries
    "KNOWN",  # states discovered
    "EXPANDED",
    "TRANSITIONS",
    "HEAD",  # the record expanded next
    "TAIL",  # records in the queue
    "LEVEL_END",  # the first record that is farther away than HEAD's
    "DEPTH",  # distance of HEAD's states
    "NEEDED",  # GROW: room for how many more entries and records
    "CODE",  # STOPPED: what check or expand returned
)

STATUS = {
    "DONE": 0,  # every state is expanded
    "MORE": 1,  # the budget is used up
    "GROW": 2,  # no room for the next batch
    "BAD_STATE": 3,  # a state of the record HEAD violates a property: CODE is from check
    "BAD_STEP": 4,  # an outcome of one failed, or a deadlock: CODE is from expand
    "LIMITED": 5,  # more states than LIMIT
}

BATCH = 64  # keys made (and records expanded) after which a batch is looked up
AHEAD = 6  # records from which on an entry is prefetched
NONE = (1 << 64) - 1


def run(context, budget):
    """Expand about ``budget`` states, or as far as it goes; a status."""
    end = context[EXPANDED] + budget
    while context[EXPANDED] < end and context[HEAD] < context[TAIL]:
        first = context[HEAD]
        # a batch stays within one level
        last = context[LEVEL_END]
        if last > first + BATCH:
            last = first + BATCH
        here = first
        n = 0
        bad = 0
        made = context[MADE]
        while here < last and n < BATCH and bad == 0:
            prefetch(entry_of(context, here + AHEAD))
            bad = expand(context, here, n, made)
            n = announce(context, n, n + made[0])
            made += 24
            here += 1
        room = context[QUEUE_ROOM] - context[TAIL] - BATCH
        if context[KEYS] + n > context[ROOM] or n > room:
            context[NEEDED] = n + BATCH
            return GROW
        prefetch_entries(context, n)
        status = discover(context, first, here, bad)
        if status != MORE:
            return status
        if context[HEAD] == context[LEVEL_END] and context[TAIL] > context[LEVEL_END]:
            context[DEPTH] += 1
            context[LEVELS][context[DEPTH]] = context[LEVEL_END]
            context[LEVEL_END] = context[TAIL]
    if context[HEAD] == context[TAIL]:
        return DONE
    return MORE


def entry_of(context, record):
    """The address of the entry of a record."""
    return context[ENTRIES] + context[QUEUE][record * 2] * (8 * E)


def expand(context, record, n, made):
    """Look at the states of a record and write what they make from ``n`` on; not 0: a violation."""
    key = entry_of(context, record)
    lanes = context[QUEUE][record * 2 + 1]
    made[0] = 0
    code = call4(context[CHECK], key, lanes, context[GOALS], context[PROPERTY_COVER])
    if code:
        context[CODE] = code
        return BAD_STATE
    out = context[OUT] + n * (8 * R)
    result = call5(context[EXPAND], key, lanes, out, context[COVER], made + 8)
    made[0] = result & 0xFFFF_FFFF
    if result >> 32:
        context[CODE] = result >> 32
        return BAD_STEP
    return 0


def announce(context, start, stop):
    """Hash the keys from ``start`` to ``stop`` and prefetch their buckets."""
    table = context[TABLE]
    shift = context[SHIFT]
    hashes = context[HASHES]
    made = context[OUT] + start * (8 * R)
    k = start
    while k < stop:
        h = hash_of(made)
        hashes[k * 2] = h
        prefetch(table + (h >> shift) * 64)
        made += 8 * R
        k += 1
    return stop


def tag_of(h):
    """The tag of a table's word, in the upper half. It is not 0, so no free word has it."""
    return (h << 32) | (1 << 63)


def prefetch_entries(context, n):
    """Guess the entry of each key by the first tag that is the same, and prefetch it."""
    table = context[TABLE]
    shift = context[SHIFT]
    hashes = context[HASHES]
    entries = context[ENTRIES]
    end = hashes + n * 16
    while hashes < end:
        h = hashes[0]
        bucket = table + (h >> shift) * 64
        hits = equal8(bucket, TAG_MASK, tag_of(h))
        guess = 0
        if hits:
            guess = bucket[lowest_bit(hits)] & 0xFFFF_FFFF
            prefetch(entries + guess * (8 * E) - 8 * E)
        hashes[1] = guess
        hashes += 16
    return 0


def discover(context, first, stop, bad):
    """Take what the records from ``first`` to ``stop`` made, in order; a status.

    ``bad`` is not 0 where the last of them is in a violation.
    """
    made = context[OUT]
    hashes = context[HASHES]
    counts = context[MADE]
    here = first
    while here < stop:
        if here == stop - 1 and bad:
            return bad
        if merge(context, context[QUEUE][here * 2], counts[1]):
            return LIMITED
        k = 0
        while k < counts[0]:
            index = find(context, made, hashes[0], hashes[1])
            if merge(context, index, made[K]):
                return LIMITED
            made += 8 * R
            hashes += 16
            k += 1
        context[TRANSITIONS] += counts[2]
        context[EXPANDED] += ones(context[QUEUE][here * 2 + 1])
        counts += 24
        here += 1
        context[HEAD] = here
    return MORE


def merge(context, index, lanes):
    """Discover some states of an entry; 1 where that would be too many."""
    entry = context[ENTRIES] + index * (8 * E)
    new = lanes & (entry[K] ^ ALL)
    if new == 0:
        return 0
    known = context[KNOWN] + ones(new)
    if known > context[LIMIT]:
        context[KNOWN] = context[LIMIT]
        return 1
    context[KNOWN] = known
    entry[K] = entry[K] | new
    last = entry[K + 1]
    if last >= context[LEVEL_END]:
        context[QUEUE][last * 2 + 1] |= new
        return 0
    tail = context[TAIL]
    record = context[QUEUE] + tail * 16
    record[0] = index
    record[1] = new
    entry[K + 1] = tail
    context[TAIL] = tail + 1
    return 0


def find(context, key, h, guess):
    """The index of the entry of a key; a new one if there is none."""
    if guess:
        if same(context[ENTRIES] + (guess - 1) * (8 * E), key):
            return guess - 1
    table = context[TABLE]
    bucket = h >> context[SHIFT]
    tag = tag_of(h)
    while 1:
        line = table + bucket * 64
        hits = equal8(line, TAG_MASK, tag)
        while hits:
            index = (line[lowest_bit(hits)] & 0xFFFF_FFFF) - 1
            if same(context[ENTRIES] + index * (8 * E), key):
                return index
            hits = hits & (hits - 1)
        free = equal8(line, NO_MASK, 0)
        if free:
            index = context[KEYS]
            line[lowest_bit(free)] = tag | (index + 1)
            context[KEYS] = index + 1
            entry = context[ENTRIES] + index * (8 * E)
            k = 0
            while k < K:
                entry[k] = key[k]
                k += 1
            return index
        bucket = (bucket + 1) & context[BUCKETS]


def refill(context, start, stop):
    """Put the entries from ``start`` to ``stop`` into a new table (their keys are different)."""
    table = context[TABLE]
    shift = context[SHIFT]
    while start < stop:
        end = start + BATCH
        if end > stop:
            end = stop
        here = start
        while here < end:
            h = hash_of(context[ENTRIES] + here * (8 * E))
            context[HASHES][here - start] = h
            prefetch(table + (h >> shift) * 64)
            here += 1
        here = start
        while here < end:
            put_in(context, here, context[HASHES][here - start])
            here += 1
        start = end
    return 0


def put_in(context, number, h):
    """Put an entry whose key is not in the table into it."""
    bucket = h >> context[SHIFT]
    while 1:
        line = context[TABLE] + bucket * 64
        free = equal8(line, NO_MASK, 0)
        if free:
            line[lowest_bit(free)] = tag_of(h) | (number + 1)
            return 0
        bucket = (bucket + 1) & context[BUCKETS]


def judge(context):
    """Whether a state that was to be expanded in this level, from HEAD's on, violates a property:
    such a race is one step shorter than one that ends in a failing outcome."""
    here = context[HEAD] + 1
    while here < context[LEVEL_END]:
        key = entry_of(context, here)
        lanes = context[QUEUE][here * 2 + 1]
        code = call4(context[CHECK], key, lanes, context[GOALS], context[PROPERTY_COVER])
        if code:
            context[HEAD] = here
            context[CODE] = code
            return BAD_STATE
        here += 1
    return BAD_STEP


def source(context, start, stop, key, lanes):
    """The first record from ``start`` to ``stop`` that made a state; NONE if there is none."""
    while start < stop:
        some = context[QUEUE][start * 2 + 1]
        if makes(context, entry_of(context, start), some, key, lanes):
            return start
        start += 1
    return NONE


def makes(context, here, some, key, lanes):
    """Whether a state with that key and a lane of ``lanes`` follows one of an entry, with a lane of
    ``some``."""
    made = context[MADE]
    out = context[OUT]
    result = call5(context[EXPAND], here, some, out, context[COVER], made)
    if same(here, key) and made[0] & lanes:
        return 1
    count = result & 0xFFFF_FFFF
    while count:
        if same(out, key) and out[K] & lanes:
            return 1
        out += 8 * R
        count -= 1
    return 0


EXPORTED = (run, refill, judge, source, makes)
HELPERS = (
    hash_of,
    tag_of,
    same,
    entry_of,
    expand,
    announce,
    prefetch_entries,
    find,
    merge,
    discover,
    put_in,
)
NAMES = tuple(function.__name__ for function in EXPORTED)


@cache
def load(words: int) -> jit.Library:
    """The code for keys of ``words`` words."""

    def text() -> str:
        constants = {name: i for i, name in enumerate(CONTEXT)} | STATUS
        constants |= {"W": words, "K": words, "R": words + 1, "E": words + 2, "BATCH": BATCH}
        constants |= {"AHEAD": AHEAD, "ALL": NONE, "NONE": NONE, "NO_MASK": NONE}
        constants |= {"TAG_MASK": 0xFFFF_FFFF_0000_0000}
        return subset.compile_functions(EXPORTED, HELPERS, constants)

    return jit.load_kept(f"lanes core {words}\0{jit.sources()}", NAMES, text)
