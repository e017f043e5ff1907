"""The part of the search loop (:mod:`.core`) that differs where fingerprints are kept, not states.

The states lie in order of discovery here too, but those that are expanded are given back.

The table holds 64-bit fingerprints (0 is free), sorted as signed numbers. A fingerprint's place is
proportional to it, or the first one behind that is not taken by a smaller one (linear probing, kept
in order). So a table grows where it lies: its content is moved to the end of the larger one and
from there to its places, which never overtake what is still to be moved.

For races, each state leaves a byte of its fingerprint in ``WAYS``, and ``TREE`` has one bit for
each state discovered or expanded, in the order in which that happens: 1 where a state is found, 0
where all outcomes of one are known. State ``c`` with parent ``p`` has ``c - 1`` ones and ``p``
zeros before its own.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations

from functools import cache

from shootdown.check.native import core
from shootdown.native import subset

CONTEXT = (
    *core.CONTEXT,
    "SEED",  # two words that fingerprints begin with
    "SEED_2",
    "MASK",  # the bits of a fingerprint that are kept
    "TOP",  # the address behind the last fingerprint; BUCKETS counts places
    "TREE",
    "WAYS",
)


def announce(context, start, stop):
    """Compute the fingerprints of the successors from ``start`` to ``stop``, prefetch places."""
    hashes = context[HASHES]
    successor = context[OUT] + start * (8 * W)
    k = start
    while k < stop:
        h = fingerprint(context, successor)
        hashes[k] = h
        prefetch(place_of(context, h))
        successor += 8 * W
        k += 1
    return stop


def fingerprint(context, state):
    """The fingerprint of a state, which is not 0.

    Two chains of multiplications, which see each word with its halves in different order, make 128
    bits; only these are mixed down to 64 (with the constants of MurmurHash3, and of Stafford's
    variant 13 of its finalizer).
    """
    a = context[SEED]
    b = context[SEED_2]
    k = 0
    while k < W:
        word = state[k]
        a = (a ^ word) * 0x9E37_79B9_7F4A_7C15
        b = (b ^ ((word >> 32) | (word << 32))) * 0xD6E8_FEB8_6659_FD93
        a = (a ^ (a >> 32)) * 0xFF51_AFD7_ED55_8CCD
        b = (b ^ (b >> 32)) * 0xC4CE_B9FE_1A85_EC53
        a = a ^ (a >> 29)
        b = b ^ (b >> 29)
        k += 1
    h = mixed(a + mixed(b)) & context[MASK]
    if h == 0:
        return 1
    return h


def mixed(h):
    """A bijection that lets each bit depend on each."""
    h = (h ^ (h >> 30)) * 0xBF58_476D_1CE4_E5B9
    h = (h ^ (h >> 27)) * 0x94D0_49BB_1331_11EB
    return h ^ (h >> 31)


def place_of(context, h):
    """The address of the place of a fingerprint: the larger it is, the farther."""
    return context[TABLE] + high(h ^ 0x8000_0000_0000_0000, context[BUCKETS]) * 8


def point_out(context, n):
    """There is nothing else to prefetch."""
    return 0


def look_up(context, count):
    """As in the core, without candidates."""
    kinds = context[KINDS]
    hashes = context[HASHES]
    unknown = context[UNKNOWN]
    n = 0
    k = 0
    i = 0
    while i < count:
        skipped = context[SKIPPED][i]
        end = context[ENDS][i]
        while k < end:
            known = is_known(context, 0, hashes[k])
            skipped = skipped | (kinds[k] & (0 - known))
            unknown[n] = k
            n += 1 - known
            k += 1
        context[SKIPPED][i] = skipped
        context[LEFT][i] = n
        i += 1
    return n


def enter(context, state, h, number):
    """Put a fingerprint into the table unless it is known; whether it was put there."""
    if is_known(context, state, h):
        return 0
    put(context, h, number)
    return 1


def is_known(context, state, h):
    """1 if a fingerprint is in the table, else 0."""
    place = place_of(context, h)
    # mostly it is in the same cache line, which takes no jump that depends on where
    if equal8(place & 0xFFFF_FFFF_FFFF_FFC0, 0xFFFF_FFFF_FFFF_FFFF, h):
        return 1
    while 1:
        there = place[0]
        if there == h:
            return 1
        if there == 0:
            return 0
        if there > h:
            return 0
        place += 8


def put(context, h, number):
    """Put a fingerprint that is not in the table into it, and note how the state was found."""
    store8(context[WAYS] + number, way_of(h))
    if number:
        bit = number - 1 + context[EXPANDED]
        word = context[TREE] + (bit >> 6) * 8
        word[0] = word[0] | (1 << (bit & 63))
    place = place_of(context, h)
    while place[0] != 0 and place[0] < h:
        place += 8
    while h:
        there = place[0]
        place[0] = h
        h = there
        place += 8
    if place > context[TOP]:
        context[TOP] = place
    return 0


def way_of(h):
    """The byte of a fingerprint that is kept for races."""
    return h >> 56


def refill(context, start, stop):
    """Put the states from ``start`` to ``stop`` into the table."""
    while start < stop:
        put(context, fingerprint(context, context[STATES] + start * (8 * W)), start)
        start += 1
    return 0


def widen(context, places):
    """Let the table have so many places, which are more than now."""
    begin = context[TABLE]
    end = context[TOP]
    context[BUCKETS] = places
    # how far the larger table will reach
    to = begin
    read = begin
    while read < end:
        if read[0]:
            to = later(place_of(context, read[0]), to) + 8
        read += 8
    last = later(to, end)
    write = last
    while read > begin:
        read -= 8
        h = read[0]
        if h:
            write -= 8
            read[0] = 0
            write[0] = h
    to = begin
    while write < last:
        h = write[0]
        write[0] = 0
        to = later(place_of(context, h), to)
        to[0] = h
        to += 8
        write += 8
    context[TOP] = to
    return 0


def later(left, right):
    """The larger one of two addresses."""
    if left > right:
        return left
    return right


def found_at(context, number, stop, before):
    """The bit in TREE that belongs to state ``number``; it lies before bit ``stop``, and there are
    ``before`` ones before that."""
    tree = context[TREE]
    word = stop >> 6
    bits = tree[word] & ((1 << (stop & 63)) - 1)
    while before - ones(bits) >= number:
        before -= ones(bits)
        word -= 1
        bits = tree[word]
    before -= ones(bits)
    while before + 1 < number:
        bits = bits & (bits - 1)
        before += 1
    return word * 64 + lowest_bit(bits)


def successors(context, state, cover):
    """Write the successors of any state to OUT and their fingerprints to HASHES; how many."""
    out = context[OUT]
    n = call5(context[EXPAND], state, out, cover, 0, context[KINDS]) & 0xFFFF_FFFF
    return announce(context, 0, n)


EXPORTED = (core.run, core.replay, refill, widen, found_at, successors)
OWN = (
    announce,
    fingerprint,
    mixed,
    place_of,
    point_out,
    look_up,
    enter,
    is_known,
    put,
    way_of,
    later,
)
REPLACED = {function.__name__ for function in OWN}
HELPERS = (*OWN, *(function for function in core.HELPERS if function.__name__ not in REPLACED))

FUNCTIONS = tuple(function.__name__ for function in EXPORTED)


@cache
def text(words: int) -> str:
    """LLVM IR of the core for states of ``words`` words."""
    constants = core.constants(words) | {name: i for i, name in enumerate(CONTEXT)}
    return subset.compile_functions(EXPORTED, HELPERS, constants)
