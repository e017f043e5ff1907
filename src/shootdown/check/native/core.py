"""The search loop, written in the subset of Python that :mod:`.subset` compiles.

Nothing here runs as Python. ``context`` is the address of an array of 64-bit words (the capital
names below are its indices) that holds the whole search between two calls of :func:`run`.

The states lie in an array in the order of their discovery, ``W`` words each, so the array is also
the queue. No parents are kept: the parent of a state is the first one that generates it, and
:func:`parent` finds it by expanding the level before again. ``levels`` says where that begins.

The table of known states has buckets of eight 64-bit entries, one cache line each, compared all at
once; a full bucket overflows into the next. An entry is 0 (free), or for ``W == 1`` the state
itself (its topmost bit set), otherwise a 31-bit tag and the 32-bit index of the state plus one.
Both are exact. The upper half of the hash chooses the bucket, in the order of the hashes: so a
table of any size can be moved to a larger one from its beginning to its end, without a jump.

Work goes in batches: expand some states, hash their successors and prefetch the buckets, then (for
``W > 1``) prefetch the states that the buckets point to, then look up and insert in order.
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
        if W > 1:
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
    """A 64-bit hash: the upper half is the tag. It is not 0, so no free entry has it."""
    h = 0
    k = 0
    while k < W:
        h = (h ^ state[k]) * 0x9E37_79B9_7F4A_7C15
        h = h ^ (h >> 32)
        k += 1
    return (h * 0xD6E8_FEB8_6659_FD93) | (1 << 32)


def bucket_of(context, h):
    """The address of the bucket that the tag of a hash (or of an entry) belongs to."""
    return context[TABLE] + ((((h >> 32) * context[BUCKETS]) >> 32) << 6)


def next_bucket(context, line):
    """The address of the bucket after one."""
    line += 64
    if line == context[TABLE] + (context[BUCKETS] << 6):
        return context[TABLE]
    return line


def prefetch_states(context, n):
    """Prefetch the state that each successor will probably be compared with."""
    k = 0
    while k < n:
        h = context[HASHES][k]
        bucket = bucket_of(context, h)
        hits = equal8(bucket, TAG_MASK, h & TAG_MASK)
        if hits:
            index = (bucket[lowest_bit(hits)] & 0xFFFF_FFFF) - 1
            prefetch(context[STATES] + index * (8 * W))
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
    if W == 1:
        return insert_word(context, state[0] | (1 << 63), h)
    return insert_tag(context, state, h, known)


def insert_word(context, entry, h):
    """Put an entry into the table of states of one word."""
    line = bucket_of(context, h)
    while 1:
        if equal8(line, NO_MASK, entry):
            return 0
        free = equal8(line, NO_MASK, 0)
        if free:
            line[lowest_bit(free)] = entry
            return 1
        line = next_bucket(context, line)


def insert_tag(context, state, h, known):
    """Put a tag and an index into the table of longer states."""
    line = bucket_of(context, h)
    tag = h & TAG_MASK
    while 1:
        hits = equal8(line, TAG_MASK, tag)
        while hits:
            index = (line[lowest_bit(hits)] & 0xFFFF_FFFF) - 1
            if same(context[STATES] + index * (8 * W), state):
                return 0
            hits = hits & (hits - 1)
        free = equal8(line, NO_MASK, 0)
        if free:
            line[lowest_bit(free)] = tag | (known + 1)
            return 1
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
            if W == 1:
                insert_new(context, context[STATES][here] | (1 << 63), h)
            else:
                insert_new(context, (h & TAG_MASK) | (here + 1), h)
            here += 1
        start = end
    return 0


def move(context, line, stop):
    """Put the entries of the buckets from address ``line`` to ``stop``, those of an old table,
    into a new one."""
    while line < stop:
        if line[0]:
            if W == 1:
                # only the hash of the state: the topmost bit is not part of it
                context[OUT][0] = line[0] & ((1 << 63) - 1)
                insert_new(context, line[0], hash_of(context[OUT]))
            else:
                insert_new(context, line[0], line[0])
        line += 8
    return 0


def insert_new(context, entry, h):
    """Put an entry that is not in the table into it.

    Word by word: what comes next often goes into the same bucket, and a load of eight words would
    wait for the store of one.
    """
    place = bucket_of(context, h)
    end = context[TABLE] + (context[BUCKETS] << 6)
    while place[0]:
        place += 8
        if place == end:
            place = context[TABLE]
    place[0] = entry
    return 0


EXPORTED = (run, replay, refill, move, parent)
HELPERS = (
    hash_of,
    bucket_of,
    next_bucket,
    same,
    expand,
    keep_level,
    announce,
    prefetch_states,
    insert_word,
    insert_tag,
    insert,
    insert_new,
    add,
    discover,
)


FUNCTIONS = tuple(function.__name__ for function in EXPORTED)


@cache
def text(words: int) -> str:
    """LLVM IR of the core for states of ``words`` words."""
    constants = {name: i for i, name in enumerate(CONTEXT)} | STATUS
    constants |= {"W": words, "BATCH": BATCH, "DEADLOCK": DEADLOCK, "LEVEL_GAP": LEVEL_GAP}
    constants |= {"NO_MASK": (1 << 64) - 1, "TAG_MASK": 0xFFFF_FFFF_0000_0000}
    return subset.compile_functions(EXPORTED, HELPERS, constants)
