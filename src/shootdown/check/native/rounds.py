"""A search by several threads, in the subset of Python of :mod:`shootdown.native.subset`.

The threads go in rounds. A round takes the next states of one level in chunks, and discovers what
:func:`.core.run` would discover, in the same order:

1. Each thread takes the next chunk that nobody has, expands its states, and enters into the table
   what is not known (:func:`search_chunk`). It writes only into slots that are its own in this
   round. So nothing is locked and nothing gets lost, but two chunks may enter the same state. Until
   step 2 a new state has a number that says where it is from: its place in the list of the chunk,
   which lies behind the room for states.
2. When all earlier chunks are numbered, the thread looks up the new states of its chunk once more,
   removes what an earlier one has entered as well, and gives those that stay their numbers
   (:func:`number_chunk`). So in the end each new state is that of the chunk that is first by the
   order of the states, whoever was first in time. Meanwhile the others are ahead with their chunks.

Who looks up may miss what is entered at that time, so it enters the state itself, and step 2 finds
it. At the end of a round all threads meet at a barrier.

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
    expand_some,
    further,
    hash_of,
    keep_level,
    keep_skip,
    look_up,
    next_level,
    passing,
    put,
    same,
    tag_of,
)
from shootdown.native import subset

CONTEXT = (
    *core.CONTEXT,
    "ME",  # the number of this thread
    "TEAM",  # how many there are
    "OTHERS",  # the address of the context of each thread
    "GATE",  # of the barrier: who has come; one line on, how often all have; one more, given up
    "SHARED",  # of the round: TAKEN, one line on NUMBERED, one more TROUBLE
    "YIELD",  # address of sched_yield
    "MOST",  # states of a round, at most
    "LEAD",  # of 2**32: how much of it is the first chunk
    "LEADING",  # states of the first chunk of this round
    "CHUNK",  # ... of each other one, but for the last
    "EACH",  # new states that there is room for, for each of them
    "NARROW",  # rounds of less states are not worth it
    "MARKS",  # COVER, PROPERTY_COVER and GOALS of this thread, one after the other
    "KEPT_MARKS",  # ... of the rounds that are done
    "MARK_WORDS",  # how long each of the two is
    "ROUND",  # how many rounds are done
    "OWN_SLOTS",  # 16 sets of slots that are this thread's: see own_slots
    "MINE",  # the chunks of the round that this thread has taken
    "FOUND",  # for each chunk, one line each: how many states are in its list
    "FOUND_FIRST",  # the number of the first in the list of the first chunk
    "FOUND_MOST",  # how many a list may have
    "LEAD_MOST",  # ... and the first chunk
    "LEAD_PLACES",  # where the table has the numbers of what that has found
    "FOUND_PLACES",  # ... of what is in the lists; 0 for what is removed
    "FOUND_HASHES",
    "FOUND_SKIPS",  # their sets: see core.keep_skip
    "BEFORE",  # addresses in the list from here on come later: see comes_before
    "LISTS",  # of this thread, to fill a table: twice, for each thread a count and so many hashes
    "MADE_ALL",  # outcomes of this thread's states of the round
)

# in SHARED
TAKEN = 0  # how many chunks somebody has taken
NUMBERED = 8  # how many are numbered
NEXT = 9  # the number of the next state
TROUBLE = 16  # why the round must be taken back: see below

ODD_STEP = 1  # an outcome failed, or a deadlock
TOO_MANY = 2  # a list is full
NO_ROOM = 3  # there may be no room in the table
BAD = 4  # a state violates a property

CHUNKS = 16  # of a round, at most, besides the first

SPINS = 2000  # looks at the gate or at another thread, after which a thread lets others run
LEAST = 4  # new states that there must be room for, for each that is expanded
LEAST_BUCKETS = 1 << 12  # of a table: each of its parts must have many times TRIES
MANY = 1 << 10  # more of them are not expected
TRIES = 32  # buckets in which a slot is looked for
NOWHERE = 1  # not an address
LINE = 8  # words of a cache line
SLICE = 1 << 12  # states that a thread hashes before they are put into a table
FILL_AHEAD = 24  # states before a bucket is needed there
LIST_BYTES = 16 * (1 + SLICE + FILL_AHEAD)
AHEAD = 8  # states before a bucket is needed


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
    stop = context[LEVEL_END]
    if first >= end or stop - first < context[NARROW]:
        return 0
    if stop > first + context[MOST]:
        stop = first + context[MOST]
    count = stop - first
    room = context[ROOM]
    if room > context[LIMIT]:
        room = context[LIMIT]
    room -= context[KNOWN]
    if room < count * LEAST or context[BUCKETS] < LEAST_BUCKETS:
        return 0
    context[EACH] = LEAST
    while context[EACH] < MANY and room >= count * context[EACH] * 2:
        context[EACH] *= 2
    context[LEADING] = (count * context[LEAD]) >> 32
    context[CHUNK] = (count - context[LEADING] + CHUNKS - 1) >> CHUNKS_SHIFT
    shared = context[SHARED]
    mine = do_chunks(context, first, stop)
    if barrier(context) == 0:
        return 0

    trouble = shared[TROUBLE]
    known = shared[NEXT]
    made = 0
    t = 0
    while t < context[TEAM]:
        made += context[OTHERS][t][MADE_ALL]
        t += 1
    if trouble:
        take_back(context, mine)
    # what follows changes what the others have read here
    if barrier(context) == 0:
        return 0
    if context[ME] == 0:
        shared[TAKEN] = 0
        shared[NUMBERED] = 0
    if trouble:
        return 0
    context[ROUND] += 1
    keep_marks(context)
    context[KNOWN] = known
    context[EXPANDED] = stop
    context[TRANSITIONS] += made
    if stop == context[LEVEL_END] and known > stop:
        if context[ME] == 0:
            keep_level(context, stop)
        next_level(context)
    return barrier(context)


def do_chunks(context, first, stop):
    """Do chunks of the states from ``first`` to ``stop`` as long as there are some; how many."""
    shared = context[SHARED]
    context[MADE_ALL] = 0
    left = 1
    done = 0
    mine = 0
    spins = 0
    while (left or done < mine) and atomic_load(shared + TROUBLE * 8) == 0:
        if done < mine and atomic_load(shared + NUMBERED * 8) == context[MINE][done]:
            number_chunk(context, context[MINE][done])
            done += 1
        elif left:
            chunk = atomic_add(shared + TAKEN * 8, 1)
            end = first + context[LEADING] + chunk * context[CHUNK]
            start = end - context[CHUNK]
            if chunk == 0:
                start = first
            if start < stop:
                context[MINE][mine] = chunk
                mine += 1
                if end > stop:
                    end = stop
                trouble = search_chunk(context, chunk, start, end)
                if trouble:
                    atomic_store(shared + TROUBLE * 8, trouble)
            else:
                left = 0
        else:
            spins += 1
            if spins > SPINS:
                call0(context[YIELD])
            if atomic_load(context[GATE] + 128):
                return mine
    return mine


def search_chunk(context, chunk, first, stop):
    """Expand the states from ``first`` to ``stop``, and enter what is not known; what is wrong, or
    0."""
    context[FOUND][chunk * LINE] = 0
    later = context[FOUND_FIRST] + list_of(context, chunk + 1)
    context[BEFORE] = context[STATES] + later * (8 * W)
    most = (stop - first) * context[EACH]
    while first < stop:
        last = stop
        if last > first + BATCH:
            last = first + BATCH
        here = expand_some(context, first, last)
        if here >> 32:
            return ODD_STEP
        n = look_up(context, here - first)
        if context[FOUND][chunk * LINE] + n > most:
            return NO_ROOM
        if chunk and context[FOUND][chunk * LINE] + n > context[FOUND_MOST]:
            return TOO_MANY
        if context[FOUND][chunk * LINE] + n > context[LEAD_MOST]:
            return TOO_MANY
        trouble = enter_unknown(context, chunk, here - first)
        if trouble:
            return trouble
        first = here
    return 0


def comes_before(context, state):
    """Whether a known state comes before those that are found next, as 1 or 0."""
    return (state - context[BEFORE]) >> 63


def enter_unknown(context, chunk, count):
    """Enter the unknown successors of ``count`` states into the table, in order; what is wrong, or
    0."""
    found = context[FOUND][chunk * LINE]
    at = list_of(context, chunk)
    base = context[FOUND_FIRST] + at
    if chunk == 0:
        base = context[KNOWN]
    ask_for_room(context, context[LEFT][count - 1], context[STATES] + (base + found) * (8 * W))
    n = 0
    i = 0
    while i < count:
        skipped = context[SKIPPED][i]
        end = context[LEFT][i]
        while n < end:
            k = context[UNKNOWN][n]
            h = context[HASHES][k]
            kind = context[KINDS][k]
            number = base + found
            # what others may read is there before they can find it
            state = append(context, context[OUT] + k * (8 * W), number)
            place = enter_own(context, state, h, number)
            if place == NOWHERE:
                context[FOUND][chunk * LINE] = found
                return NO_ROOM
            # another successor of the batch may be the same
            if place:
                if chunk:
                    context[FOUND_PLACES][at + found] = place
                    context[FOUND_HASHES][at + found] = h
                    context[FOUND_SKIPS][at + found] = skipped & (kind >> 32)
                else:
                    context[LEAD_PLACES][found] = place
                    keep_skip(context, number, skipped & (kind >> 32))
                found += 1
                if call3(context[CHECK], state, context[GOALS], context[PROPERTY_COVER]):
                    context[FOUND][chunk * LINE] = found
                    return BAD
            # known before the new ones that follow
            skipped = skipped | kind
            n += 1
        context[MADE_ALL] += context[MADE][i]
        i += 1
    context[FOUND][chunk * LINE] = found
    return 0


def ask_for_room(context, n, place):
    """Prefetch what is written when ``n`` states are entered."""
    hashes = context[HASHES]
    unknown = context[UNKNOWN]
    table = context[TABLE]
    buckets = context[BUCKETS]
    k = 0
    while k < n:
        prefetch_to_write(bucket_of(table, buckets, hashes[unknown[k]]))
        prefetch_to_write(place)
        place += 8 * W
        k += 1
    return 0


def list_of(context, chunk):
    """Where the list of a chunk begins. The first one has none, as its numbers are known."""
    return (chunk - 1) * context[FOUND_MOST]


def enter_own(context, state, h, number):
    """Put a state into a slot that is this thread's, unless it is known; where its number is, 0 if
    it is known, NOWHERE if the slots are full that others may leave free."""
    tag = tag_of(h)
    home = h
    tries = 0
    while tries < TRIES:
        line = bucket_of(context[TABLE], context[BUCKETS], h)
        hits = equal16(line, tag) & SLOTS
        while hits:
            there = context[STATES] + number_in(line, lowest_bit(hits)) * (8 * W)
            if same(there, state) & comes_before(context, there):
                return 0
            hits = hits & (hits - 1)
        free = equal16(line, 0) & own_slots(context, line)
        if free:
            pass_over(context, home, tries)
            slot = lowest_bit(free)
            place = line + NUMBERS + slot * 4
            store32(place, number)
            atomic_store8(line + slot, tag)
            return place
        h = further(h)
        tries += 1
    return NOWHERE


def pass_over(context, h, count):
    """Set the filters of the first ``count`` buckets for a hash. Only for a state that is entered
    behind them: where all were set, a look-up would not end."""
    bit = passing(h)
    while count:
        line = bucket_of(context[TABLE], context[BUCKETS], h)
        if (load32(line + FILTER) & bit) == 0:
            atomic_or32(line + FILTER, bit)
        h = further(h)
        count -= 1
    return 0


def own_slots(context, line):
    """The slots of a bucket into which this thread may write. They change from round to round, so
    that what each can fill does not depend on what it has filled before."""
    return context[OWN_SLOTS][((line >> 6) + context[ROUND]) & 15]


def number_chunk(context, chunk):
    """Remove from a chunk's new states those that an earlier one has found as well, give the others
    their numbers, and store them."""
    shared = context[SHARED]
    count = context[FOUND][chunk * LINE]
    if chunk == 0:
        shared[NEXT] = context[KNOWN] + count
        atomic_store(shared + NUMBERED * 8, 1)
        return 0
    number = shared[NEXT]
    at = list_of(context, chunk)
    places = context[FOUND_PLACES] + at * 8
    hashes = context[FOUND_HASHES] + at * 8
    skips = context[FOUND_SKIPS] + at * 8
    state = context[STATES] + (context[FOUND_FIRST] + at) * (8 * W)
    context[BEFORE] = state
    j = 0
    while j < count:
        prefetch(places[j + AHEAD])
        if is_known(context, state, hashes[j]):
            remove(places[j])
            places[j] = 0
        else:
            append(context, state, number)
            store32(places[j], number)
            keep_skip(context, number, skips[j])
            number += 1
        state += 8 * W
        j += 1
    shared[NEXT] = number
    atomic_store(shared + NUMBERED * 8, chunk + 1)
    return 0


def remove(place):
    """Make the slot free again where a number is."""
    line = place & (0 - 64)
    atomic_store8(line + ((place - line - NUMBERS) >> 2), 0)
    store32(place, 0)
    return 0


def take_back(context, mine):
    """Remove from the table what this thread entered in its ``mine`` chunks."""
    while mine:
        mine -= 1
        chunk = context[MINE][mine]
        places = context[LEAD_PLACES]
        if chunk:
            places = context[FOUND_PLACES] + list_of(context, chunk) * 8
        j = 0
        while j < context[FOUND][chunk * LINE]:
            if places[j]:
                remove(places[j])
            j += 1
    return 0


def keep_marks(context):
    """Add what this thread covered and reached in the round."""
    k = 0
    while k < context[MARK_WORDS]:
        context[KEPT_MARKS][k] = context[KEPT_MARKS][k] | context[MARKS][k]
        k += 1
    return 0


def refill_together(context, start, stop):
    """Put the states from ``start`` to ``stop`` into a new table (they are all different): each
    thread hashes some of them, and fills a part of the table with what all have hashed."""
    odd = 0
    while start < stop:
        hash_slice(context, start + context[ME] * SLICE, stop, odd)
        if barrier(context) == 0:
            return 0
        t = 0
        while t < context[TEAM]:
            other = context[OTHERS][t]
            lists = other[LISTS] + odd * (context[TEAM] * LIST_BYTES)
            put_all(context, lists + context[ME] * LIST_BYTES)
            t += 1
        # the lists that are filled next have been read before the last barrier
        odd = 1 - odd
        start += context[TEAM] * SLICE
    return barrier(context)


def hash_slice(context, here, stop, odd):
    """List the states of a slice with their hashes, for each thread those that it puts into the
    table."""
    team = context[TEAM]
    lists = context[LISTS] + odd * (team * LIST_BYTES)
    t = 0
    while t < team:
        lists[t * LIST_WORDS] = 0
        t += 1
    if stop > here + SLICE:
        stop = here + SLICE
    state = context[STATES] + here * (8 * W)
    while here < stop:
        h = hash_of(state)
        mine = lists + (((h >> PART_SHIFT) * team) >> (64 - PART_SHIFT)) * LIST_BYTES
        n = mine[0]
        mine[0] = n + 1
        mine[2 + 2 * n] = h
        mine[3 + 2 * n] = here
        state += 8 * W
        here += 1
    return 0


def put_all(context, listed):
    """Put the states of a list into the table."""
    table = context[TABLE]
    buckets = context[BUCKETS]
    count = listed[0]
    entry = listed + 16
    n = 0
    while n < count + FILL_AHEAD:
        prefetch_to_write(bucket_of(table, buckets, entry[2 * n]))
        if n >= FILL_AHEAD:
            put(context, entry[2 * (n - FILL_AHEAD)], entry[2 * (n - FILL_AHEAD) + 1])
        n += 1
    return 0


EXPORTED = (rounds, refill_together)
FUNCTIONS = tuple(function.__name__ for function in EXPORTED)
# the same as in core, but for what is not shared there
HELPERS = (
    *(
        function
        for function in core.HELPERS
        if function.__name__ not in ("comes_before", "enter", "discover", "outcome_to")
    ),
    comes_before,
    ask_for_room,
    list_of,
    own_slots,
    pass_over,
    enter_own,
    remove,
    keep_marks,
)
PARTS = (
    barrier,
    hash_slice,
    put_all,
    enter_unknown,
    search_chunk,
    number_chunk,
    take_back,
    do_chunks,
    one_round,
)


@cache
def text(words: int) -> str:
    """LLVM IR of the functions for states of ``words`` words."""
    constants = core.constants(words) | {name: i for i, name in enumerate(CONTEXT)}
    constants |= {"TAKEN": TAKEN, "NUMBERED": NUMBERED, "NEXT": NEXT, "TROUBLE": TROUBLE}
    constants |= {"ODD_STEP": ODD_STEP, "TOO_MANY": TOO_MANY, "NO_ROOM": NO_ROOM, "BAD": BAD}
    constants |= {"CHUNKS": CHUNKS, "SPINS": SPINS, "AHEAD": AHEAD, "LEAST": LEAST, "MANY": MANY}
    constants |= {"TRIES": TRIES, "NOWHERE": NOWHERE, "LEAST_BUCKETS": LEAST_BUCKETS, "LINE": LINE}
    constants |= {"SLICE": SLICE, "FILL_AHEAD": FILL_AHEAD, "LIST_BYTES": LIST_BYTES}
    constants["LIST_WORDS"] = LIST_BYTES // 8
    constants["CHUNKS_SHIFT"] = CHUNKS.bit_length() - 1
    constants["PART_SHIFT"] = 64 - (core.PARTS.bit_length() - 1)
    return subset.compile_functions(EXPORTED, HELPERS, constants, PARTS)
