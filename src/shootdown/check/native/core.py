"""The search loop, written in the subset of Python that :mod:`shootdown.native.subset` compiles.

Nothing here runs as Python. ``context`` is the address of an array of 64-bit words (the capital
names below are its indices) that holds the whole search between two calls of :func:`run`.

The states lie in an array in the order of their discovery, ``W`` words each, so the array is also
the queue. No parents are kept: the parent of a state is the first one that generates it, and
:func:`parent` finds it by expanding the level before again. ``levels`` says where that begins.

The table of known states has buckets of 64 bytes, one cache line each: 12 tags of one byte (0 is
free, the others come from the hash), a filter of 32 bits, and 12 numbers of states, of four bytes
each. The tags are compared all at once; where one is equal, the state itself decides, so the table
is exact. A bucket is filled from its beginning; what has no room goes into another one, which a
second hash chooses, and so on, and sets a bit in the filter of each bucket that it passed: a
look-up goes on only where its bit is set. So also a table that is nearly full needs few. The upper
half of the hash chooses the bucket, among any number of them.

Work goes in batches: expand some states, hash their successors and prefetch the buckets; then
prefetch the states that the buckets point to; then look up all successors and list those that are
not known; at last look up and insert these, in order.

``skips`` has a 32-bit set for each state that waits to be expanded: the outcomes that are known
to be known (see :mod:`.commuting`). States that are too far ahead have the empty set.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from shootdown.native import subset

CONTEXT = (
    "EXPAND",  # address of the model's functions, see emit.py
    "CHECK",
    "STATES",  # addresses of the arrays
    "LEVELS",
    "TABLE",
    "OUT",  # successors of one batch
    "HASHES",  # their hashes
    "KINDS",  # their rules: see emit.py
    "CANDIDATES",  # what the table says of them: see point_out
    "UNKNOWN",  # the numbers of those that are not known
    "MADE",  # for each state of the batch: how many outcomes it has
    "ENDS",  # ... where its successors end
    "LEFT",  # ... where its part of UNKNOWN ends
    "SKIPPED",  # ... the outcomes that are known
    "SKIPS",
    "MOST_SKIPS",  # how far ahead of the state expanded next they are kept
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

LEVEL_GAP = 64  # states between two entries of LEVELS: at most half a bit a state
SLOTS = 12  # in a bucket
PARTS = 16  # of the table: what has no room in a bucket stays within the part
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
        here = expand_some(context, first, last)
        bad = here >> 32
        here = here & 0xFFFF_FFFF
        n = look_up(context, here - first)
        if context[KNOWN] + n > context[ROOM]:
            context[NEEDED] = n
            return GROW
        status = discover(context, first, here, bad)
        if status != MORE:
            return status
        if context[EXPANDED] == context[LEVEL_END] and context[KNOWN] > context[LEVEL_END]:
            keep_level(context, context[LEVEL_END])
            next_level(context)
    if context[EXPANDED] == context[KNOWN]:
        return DONE
    return MORE


def expand_some(context, first, last):
    """Expand states from ``first`` on, as many as are a batch, and ask for what their look-up
    needs. The state after them, plus in the upper half what is wrong with the last one, or 0."""
    here = first
    n = 0
    bad = 0
    while here < last and n < BATCH and bad == 0:
        skip = load32(context[SKIPS] + here * 4)
        result = expand(context, here, n, skip)
        bad = result >> 32
        context[SKIPPED][here - first] = skip
        context[MADE][here - first] = (result & 0xFFFF_FFFF) + ones(skip)
        n = announce(context, n, n + (result & 0xFFFF_FFFF))
        context[ENDS][here - first] = n
        here += 1
    point_out(context, n)
    return here | (bad << 32)


def next_level(context):
    """The states known now are the end of the next level."""
    context[LEVEL_END] = context[KNOWN]
    context[DEPTH] += 1
    return 0


def keep_level(context, start):
    """Note where a level begins, unless it is near the last one noted: such levels are short."""
    if start >= context[LAST_LEVEL] + LEVEL_GAP:
        store32(context[LEVELS] + context[LEVELS_KEPT] * 4, start)
        context[LEVELS_KEPT] += 1
        context[LAST_LEVEL] = start
    return 0


def expand(context, here, n, skip):
    """Write the successors of a state from position ``n`` on; the model's result."""
    state = context[STATES] + here * (8 * W)
    out = context[OUT] + n * (8 * W)
    return call5(context[EXPAND], state, out, context[COVER], skip, context[KINDS] + n * 8)


def replay(context, start, stop):
    """Cover what the expansion of the states from ``start`` to ``stop`` covers."""
    here = start
    while here < stop:
        expand(context, here, 0, 0)
        here += 1
    return 0


def parent(context, target, span):
    """The first of the states from ``span >> 32`` to the lower half of ``span`` that generates
    state ``target``; -1 if none does."""
    here = span >> 32
    stop = span & 0xFFFF_FFFF
    while here < stop:
        if outcome_to(context, here, target) >= 0:
            return here
        here += 1
    return 0 - 1


def outcome_to(context, here, target):
    """The number of the first outcome of state ``here`` that leads to state ``target``, or -1."""
    n = expand(context, here, 0, 0) & 0xFFFF_FFFF
    wanted = context[STATES] + target * (8 * W)
    successor = context[OUT]
    k = 0
    while k < n:
        if same(successor, wanted):
            return k
        successor += 8 * W
        k += 1
    return 0 - 1


def announce(context, start, stop):
    """Hash the successors from ``start`` to ``stop`` and prefetch their buckets."""
    hashes = context[HASHES]
    table = context[TABLE]
    buckets = context[BUCKETS]
    successor = context[OUT] + start * (8 * W)
    k = start
    while k < stop:
        h = hash_of(successor)
        hashes[k] = h
        prefetch(bucket_of(table, buckets, h))
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


def bucket_of(table, buckets, h):
    """The address of the bucket that a hash belongs to."""
    return table + ((((h >> 32) * buckets) >> 32) << 6)


def tag_of(h):
    """The tag, from 1 to 255; from the best of the bits that do not choose the bucket."""
    return (((h & 0xFFFF_FFFF) * 255) >> 32) + 1


def passing(h):
    """The bit that what overflows sets in the filters. It hardly depends on the bucket."""
    return 1 << ((h >> 32) & 31)


def further(h):
    """The hash that chooses the bucket for what has no room in that of ``h``.

    Its highest bits are the same, so a part of the table is a table by itself. The others are those
    of a generator with the longest period: every bucket of the part gets its turn.
    """
    return h ^ (((h * 0x9E37_79B9_7F4A_7C15 + 1) ^ h) & LOWER)


def number_in(line, slot):
    """The number in a slot of a bucket."""
    return load32(line + NUMBERS + slot * 4)


def point_out(context, n):
    """Find for each successor the first state with its tag, and prefetch it, or the next bucket if
    there is none and the search goes on there.

    Into ``CANDIDATES`` goes its address, plus 1 if others are possible. Where no tag is the same,
    it is the address of some state: if that is the successor, it is known as well.
    """
    hashes = context[HASHES]
    candidates = context[CANDIDATES]
    states = context[STATES]
    table = context[TABLE]
    buckets = context[BUCKETS]
    k = 0
    while k < n:
        h = hashes[k]
        line = bucket_of(table, buckets, h)
        hits = equal16(line, tag_of(h)) & SLOTS
        passed = (load32(line + FILTER) >> ((h >> 32) & 31)) & 1
        several = (0 - (hits & (hits - 1))) >> 63
        state = states + number_in(line, lowest_bit(hits | LAST_SLOT)) * (8 * W)
        prefetch(state)
        candidates[k] = state | passed | several
        if passed > hits:
            prefetch(bucket_of(table, buckets, further(h)))
        k += 1
    return 0


def look_up(context, count):
    """Look up the successors of ``count`` states; how many are not known.

    An outcome whose successor is known is known before all that are new.
    """
    kinds = context[KINDS]
    candidates = context[CANDIDATES]
    unknown = context[UNKNOWN]
    successor = context[OUT]
    n = 0
    k = 0
    i = 0
    while i < count:
        skipped = context[SKIPPED][i]
        end = context[ENDS][i]
        while k < end:
            candidate = candidates[k]
            state = candidate & (0 - 2)
            known = same(state, successor) & comes_before(context, state)
            if known < (candidate & 1):
                known = is_known(context, successor, context[HASHES][k])
            skipped = skipped | (kinds[k] & (0 - known))
            unknown[n] = k
            n += 1 - known
            successor += 8 * W
            k += 1
        context[SKIPPED][i] = skipped
        context[LEFT][i] = n
        i += 1
    return n


def is_known(context, state, h):
    """1 if a state is in the table, else 0."""
    tag = tag_of(h)
    bit = passing(h)
    while 1:
        line = bucket_of(context[TABLE], context[BUCKETS], h)
        hits = equal16(line, tag) & SLOTS
        while hits:
            there = context[STATES] + number_in(line, lowest_bit(hits)) * (8 * W)
            if same(there, state) & comes_before(context, there):
                return 1
            hits = hits & (hits - 1)
        if (load32(line + FILTER) & bit) == 0:
            return 0
        h = further(h)


def comes_before(context, state):
    """Whether a known state comes before those that are found next, as 1 or 0."""
    return 1


def enter(context, state, h, number):
    """Put a state into the table unless it is known; whether it was new, as 1 or 0."""
    tag = tag_of(h)
    bit = passing(h)
    while 1:
        line = bucket_of(context[TABLE], context[BUCKETS], h)
        hits = equal16(line, tag) & SLOTS
        while hits:
            known = number_in(line, lowest_bit(hits))
            if same(context[STATES] + known * (8 * W), state):
                return 0
            hits = hits & (hits - 1)
        free = equal16(line, 0) & SLOTS
        if free:
            slot = lowest_bit(free)
            store8(line + slot, tag)
            store32(line + NUMBERS + slot * 4, number)
            return 1
        # where it is known further on, the bit is set already
        store32(line + FILTER, load32(line + FILTER) | bit)
        h = further(h)


def discover(context, first, stop, bad):
    """Take the unknown successors of the states from ``first`` to ``stop`` in order; a status.

    ``bad`` is not 0 where the last of them is a deadlock or has a failing outcome.
    """
    known = context[KNOWN]
    here = first
    n = 0
    while here < stop:
        if here == stop - 1 and bad == DEADLOCK:
            context[CODE] = bad
            return BAD_STEP
        skipped = context[SKIPPED][here - first]
        end = context[LEFT][here - first]
        while n < end:
            k = context[UNKNOWN][n]
            successor = context[OUT] + k * (8 * W)
            h = context[HASHES][k]
            kind = context[KINDS][k]
            if known == context[LIMIT]:
                if is_known(context, successor, h) == 0:
                    append(context, successor, known)
                    context[PARTIAL] = outcome_to(context, here, known)
                    context[TRANSITIONS] += context[PARTIAL]
                    return LIMITED
            # another successor of the batch may be the same
            elif enter(context, successor, h, known):
                new = append(context, successor, known)
                keep_skip(context, known, skipped & (kind >> 32))
                known += 1
                context[KNOWN] = known
                code = call3(context[CHECK], new, context[GOALS], context[PROPERTY_COVER])
                if code:
                    context[TRANSITIONS] += outcome_to(context, here, known - 1) + 1
                    context[CODE] = code
                    return BAD_STATE
            # known before the new ones that follow
            skipped = skipped | kind
            n += 1
        if here == stop - 1 and bad:
            count = expand(context, here, 0, 0) & 0xFFFF_FFFF
            context[TRANSITIONS] += count + 1
            context[CODE] = bad
            context[FAILED_AT] = count
            return BAD_STEP
        context[TRANSITIONS] += context[MADE][here - first]
        here += 1
        context[EXPANDED] = here
    return MORE


def append(context, state, known):
    """Put a state that is new behind the others; its address there."""
    new = context[STATES] + known * (8 * W)
    k = 0
    while k < W:
        new[k] = state[k]
        k += 1
    return new


def keep_skip(context, new, skip):
    """Keep the set of a new state, unless too many wait."""
    if new < context[EXPANDED] + context[MOST_SKIPS]:
        store32(context[SKIPS] + new * 4, skip)
    return 0


def put(context, h, number):
    """Put a state that is not in the table into the first bucket that has room."""
    tag = tag_of(h)
    bit = passing(h)
    while 1:
        line = bucket_of(context[TABLE], context[BUCKETS], h)
        free = equal16(line, 0) & SLOTS
        if free:
            slot = lowest_bit(free)
            store8(line + slot, tag)
            store32(line + NUMBERS + slot * 4, number)
            return 0
        store32(line + FILTER, load32(line + FILTER) | bit)
        h = further(h)


def same(left, right):
    """Whether two states are equal, as 1 or 0."""
    different = 0
    k = 0
    while k < W:
        different = different | (left[k] ^ right[k])
        k += 1
    return is_zero(different)


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
            prefetch(bucket_of(context[TABLE], context[BUCKETS], h))
            here += 1
        here = start
        while here < end:
            put(context, context[HASHES][here - start], here)
            here += 1
        start = end
    return 0


EXPORTED = (run, replay, refill, parent)
HELPERS = (
    hash_of,
    bucket_of,
    tag_of,
    passing,
    further,
    number_in,
    same,
    expand,
    keep_level,
    next_level,
    keep_skip,
    outcome_to,
    announce,
    point_out,
    expand_some,
    comes_before,
    is_known,
    look_up,
    append,
    enter,
    put,
    discover,
)


FUNCTIONS = tuple(function.__name__ for function in EXPORTED)


@cache
def text(words: int) -> str:
    """LLVM IR of the core for states of ``words`` words."""
    return subset.compile_functions(EXPORTED, HELPERS, constants(words))


def constants(words: int) -> dict[str, int]:
    """What the capital names are."""
    constants = {name: i for i, name in enumerate(CONTEXT)} | STATUS
    constants |= {"W": words, "BATCH": BATCH, "DEADLOCK": DEADLOCK, "LEVEL_GAP": LEVEL_GAP}
    constants["LOWER"] = (1 << 64) // PARTS - 1
    constants |= {"FILTER": SLOTS, "NUMBERS": 16}  # where they begin in a bucket
    constants |= {"SLOTS": (1 << SLOTS) - 1, "LAST_SLOT": 1 << SLOTS - 1}  # as sets of slots
    return constants
