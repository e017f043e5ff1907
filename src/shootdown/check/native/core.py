"""The search loop, written in the subset of Python that :mod:`.subset` compiles.

Nothing here runs as Python. ``context`` is the address of an array of 64-bit words (the capital
names below are its indices) that holds the whole search between two calls of :func:`run`.

The states lie in an array in the order of their discovery, ``W`` words each, so the array is also
the queue. No parents are kept: the parent of a state is the first one that generates it, and
:func:`parent` finds it by expanding the level before again. ``levels`` says where that begins.

The table of known states has buckets of 64 bytes, one cache line each: 12 tags of one byte (0 is
free, the others come from the hash), a filter of 32 bits, and 12 numbers of states, of four bytes
each. The tags are compared all at once; where one is equal, the state itself decides, so the table
is exact. A bucket is filled from its beginning; what has no room goes into the next one, and sets
a bit in the filter of each bucket that it passed: a look-up goes on only where its bit is set. So
also a table that is nearly full needs few. The upper half of the hash chooses the bucket, among any
number of them.

Work goes in batches: expand some states, hash their successors and prefetch the buckets; then
prefetch the states that the buckets point to; then look up and insert in order.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from shootdown.check.native import subset

CONTEXT = (
    "EXPAND",  # address of the model's functions, see emit.py
    "CHECK",
    "STATES",  # addresses of the arrays
    "LEVELS",
    "TABLE",
    "OUT",  # successors of one batch
    "HASHES",  # their hashes
    "MADE",  # how many of them each state of the batch made
    "COVER",  # a byte for each line: covered by an action; by a property
    "PROPERTY_COVER",
    "GOALS",  # a byte for each goal
    "BUCKETS",  # number of buckets
    "ROOM",  # states that arrays and table can hold before they must grow
    "LIMIT",  # states that the user allows
    "KNOWN",  # states discovered
    "EXPANDED",
    "TRANSITIONS",
    "LEVEL_END",  # the first state that is farther away than the one expanded next
    "DEPTH",  # distance of the state expanded next
    "LEVELS_KEPT",  # entries of LEVELS: see keep_level
    "LAST_LEVEL",  # the last of them
    "NEEDED",  # GROW: room for how many more states
    "CODE",  # STOPPED: what check or expand returned
    "FAILED_AT",  # STOPPED: the number of the failing outcome
    "PARTIAL",  # LIMITED: how many outcomes of the state expanded next are counted already
)

STATUS = {
    "DONE": 0,  # every state is expanded
    "MORE": 1,  # the budget is used up
    "GROW": 2,  # no room for the next batch
    "BAD_STATE": 3,  # the last state violates a property: CODE is from check
    "BAD_STEP": 4,  # an outcome failed or a deadlock: CODE is from expand
    "LIMITED": 5,  # the next state would be one more than LIMIT
}

LEVEL_GAP = 16  # states between two entries of LEVELS: at most 2 bits a state
SLOTS = 12  # in a bucket
BATCH = 64  # successors (and states) after which a batch is looked up
DEADLOCK = 0xFFFF_FFFF  # what expand says instead of 1 + the failure


def run(context, budget):
    """Expand about ``budget`` states, or as far as it goes; a status."""
    end = context[EXPANDED] + budget
    while context[EXPANDED] < end and context[EXPANDED] < context[KNOWN]:
        first = context[EXPANDED]
        # a batch stays within one level, so that DEPTH is that of all its states
        last = context[LEVEL_END]
        if last > first + BATCH:
            last = first + BATCH
        here = first
        n = 0
        bad = 0
        while here < last and n < BATCH and bad == 0:
            result = expand(context, here, n)
            context[MADE][here - first] = result & 0xFFFF_FFFF
            bad = result >> 32
            n = announce(context, n, n + (result & 0xFFFF_FFFF))
            here += 1
        if context[KNOWN] + n > context[ROOM]:
            context[NEEDED] = n
            return GROW
        prefetch_states(context, n)
        status = discover(context, first, here, bad)
        if status != MORE:
            return status
        if context[EXPANDED] == context[LEVEL_END] and context[KNOWN] > context[LEVEL_END]:
            keep_level(context, context[LEVEL_END])
            context[LEVEL_END] = context[KNOWN]
            context[DEPTH] += 1
    if context[EXPANDED] == context[KNOWN]:
        return DONE
    return MORE


def keep_level(context, start):
    """Note where a level begins, unless it is near the last one noted: such levels are short."""
    if start >= context[LAST_LEVEL] + LEVEL_GAP:
        store32(context[LEVELS] + context[LEVELS_KEPT] * 4, start)
        context[LEVELS_KEPT] += 1
        context[LAST_LEVEL] = start
    return 0


def expand(context, here, n):
    """Write the successors of a state from position ``n`` on; the model's result."""
    state = context[STATES] + here * (8 * W)
    return call3(context[EXPAND], state, context[OUT] + n * (8 * W), context[COVER])


def replay(context, start, stop):
    """Cover what the expansion of the states from ``start`` to ``stop`` covers."""
    here = start
    while here < stop:
        expand(context, here, 0)
        here += 1
    return 0


def parent(context, target, span):
    """The first of the states from ``span >> 32`` to the lower half of ``span`` that generates
    state ``target``; -1 if none does."""
    here = span >> 32
    stop = span & 0xFFFF_FFFF
    wanted = context[STATES] + target * (8 * W)
    while here < stop:
        n = expand(context, here, 0) & 0xFFFF_FFFF
        successor = context[OUT]
        k = 0
        while k < n:
            if same(successor, wanted):
                return here
            successor += 8 * W
            k += 1
        here += 1
    return 0 - 1


def announce(context, start, stop):
    """Hash the successors from ``start`` to ``stop`` and prefetch their buckets."""
    hashes = context[HASHES]
    successor = context[OUT] + start * (8 * W)
    k = start
    while k < stop:
        h = hash_of(successor)
        hashes[k] = h
        prefetch(bucket_of(context, h))
        successor += 8 * W
        k += 1
    return stop


def hash_of(state):
    """A 64-bit hash of a state."""
    h = 0
    k = 0
    while k < W:
        h = (h ^ state[k]) * 0x9E37_79B9_7F4A_7C15
        h = h ^ (h >> 32)
        k += 1
    return h * 0xD6E8_FEB8_6659_FD93


def bucket_of(context, h):
    """The address of the bucket that a hash belongs to."""
    return context[TABLE] + ((((h >> 32) * context[BUCKETS]) >> 32) << 6)


def tag_of(h):
    """The tag, from 1 to 255; from the best of the bits that do not choose the bucket."""
    return (((h & 0xFFFF_FFFF) * 255) >> 32) + 1


def passing(h):
    """The bit that what overflows sets in the filters. It hardly depends on the bucket."""
    return 1 << ((h >> 32) & 31)


def next_bucket(context, line):
    """The address of the bucket after one."""
    line += 64
    if line == context[TABLE] + (context[BUCKETS] << 6):
        return context[TABLE]
    return line


def number_in(line, slot):
    """The number in a slot of a bucket."""
    return load32(line + NUMBERS + slot * 4)


def prefetch_states(context, n):
    """Prefetch the state that each successor will probably be compared with."""
    k = 0
    while k < n:
        h = context[HASHES][k]
        line = bucket_of(context, h)
        # any state if no tag is equal: a jump would often be mispredicted
        hits = equal16(line, tag_of(h)) | LAST_SLOT
        prefetch(context[STATES] + number_in(line, lowest_bit(hits)) * (8 * W))
        k += 1
    return 0


def discover(context, first, stop, bad):
    """Take the outcomes of the states from ``first`` to ``stop`` in order; a status.

    ``bad`` is not 0 where the last of them is a deadlock or has a failing outcome.
    """
    successor = context[OUT]
    hashes = context[HASHES]
    known = context[KNOWN]
    here = first
    while here < stop:
        count = context[MADE][here - first]
        if here == stop - 1 and bad == DEADLOCK:
            context[CODE] = bad
            return BAD_STEP
        k = 0
        while k < count:
            if insert(context, successor, hashes[k], known):
                if known == context[LIMIT]:
                    context[TRANSITIONS] += k
                    context[PARTIAL] = k
                    return LIMITED
                code = add(context, successor, known)
                known += 1
                if code:
                    context[TRANSITIONS] += k + 1
                    context[CODE] = code
                    return BAD_STATE
            successor += 8 * W
            k += 1
        hashes += count * 8
        context[TRANSITIONS] += count
        if here == stop - 1 and bad:
            context[TRANSITIONS] += 1
            context[CODE] = bad
            context[FAILED_AT] = count
            return BAD_STEP
        here += 1
        context[EXPANDED] = here
    return MORE


def add(context, state, known):
    """Append a state that is new and look at its properties; what the model's check says."""
    new = context[STATES] + known * (8 * W)
    k = 0
    while k < W:
        new[k] = state[k]
        k += 1
    context[KNOWN] = known + 1
    return call3(context[CHECK], new, context[GOALS], context[PROPERTY_COVER])


def insert(context, state, h, known):
    """Put a state into the table, as number ``known``; 0 where it is there already."""
    line = bucket_of(context, h)
    tag = tag_of(h)
    while 1:
        hits = equal16(line, tag) & SLOTS
        while hits:
            number = number_in(line, lowest_bit(hits))
            if same(context[STATES] + number * (8 * W), state):
                return 0
            hits = hits & (hits - 1)
        if (load32(line + FILTER) & passing(h)) == 0:
            put(context, line, h, known)
            return 1
        line = next_bucket(context, line)


def put(context, line, h, number):
    """Put a state that is not in the table into a bucket or behind it."""
    while 1:
        free = equal16(line, 0) & SLOTS
        if free:
            slot = lowest_bit(free)
            store8(line + slot, tag_of(h))
            store32(line + NUMBERS + slot * 4, number)
            return 0
        store32(line + FILTER, load32(line + FILTER) | passing(h))
        line = next_bucket(context, line)


def same(left, right):
    """Whether two states are equal."""
    different = 0
    k = 0
    while k < W:
        different = different | (left[k] ^ right[k])
        k += 1
    if different:
        return 0
    return 1


def refill(context, start, stop):
    """Put the states from ``start`` to ``stop`` into a new table (they are all different)."""
    while start < stop:
        end = start + BATCH
        if end > stop:
            end = stop
        here = start
        while here < end:
            h = hash_of(context[STATES] + here * (8 * W))
            context[HASHES][here - start] = h
            prefetch(bucket_of(context, h))
            here += 1
        here = start
        while here < end:
            h = context[HASHES][here - start]
            put(context, bucket_of(context, h), h, here)
            here += 1
        start = end
    return 0


EXPORTED = (run, replay, refill, parent)
HELPERS = (
    hash_of,
    bucket_of,
    tag_of,
    passing,
    next_bucket,
    number_in,
    same,
    expand,
    keep_level,
    announce,
    prefetch_states,
    put,
    insert,
    add,
    discover,
)


FUNCTIONS = tuple(function.__name__ for function in EXPORTED)


@cache
def text(words: int) -> str:
    """LLVM IR of the core for states of ``words`` words."""
    constants = {name: i for i, name in enumerate(CONTEXT)} | STATUS
    constants |= {"W": words, "BATCH": BATCH, "DEADLOCK": DEADLOCK, "LEVEL_GAP": LEVEL_GAP}
    constants |= {"FILTER": SLOTS, "NUMBERS": 16}  # where they begin in a bucket
    constants |= {"SLOTS": (1 << SLOTS) - 1, "LAST_SLOT": 1 << SLOTS - 1}  # as sets of slots
    return subset.compile_functions(EXPORTED, HELPERS, constants)
