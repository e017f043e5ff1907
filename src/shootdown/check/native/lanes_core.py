"""The search loop over entries, in the subset of Python of :mod:`shootdown.native.subset`.

There is an *entry* for each key: its ``K`` words, the number of its last record, and ``B`` words
for the lanes that are known. The entries lie in the order of their discovery, so those that are
needed at the same time are near to each other. The table of keys has buckets of eight 64-bit words
with a 31-bit tag and an index.

There is a *record* for each time that an entry gets new lanes at a distance from the initial state:
the entry's index, above it a set of outcomes (see :func:`merge`), and these lanes. So the search is
breadth-first as the ordinary one is, level by level, and an entry is expanded again for the lanes
that it gets later. The records of two levels are at hand: those that are expanded, and those that
are found then. Those of a level that is done are kept, packed (see :func:`keep`): races are found
by walking them backwards.
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
    "HERE",  # the records of the level that is expanded
    "NEXT",  # those of the next one
    "KEPT",  # those of the levels before, packed
    "LEVELS",  # where the packed records of each level begin
    "OUT",  # keys and lanes made by one batch
    "HASHES",  # the hashes of their keys, and what entry each probably has (an index plus one)
    "MADE",  # for each expansion of the batch: how many, what expand leaves at extra
    "COVER",  # a byte for each line: covered by an action; by a property
    "PROPERTY_COVER",
    "GOALS",  # a byte for each goal
    "BUCKETS",  # number of buckets - 1
    "SHIFT",  # hash >> SHIFT is the first bucket
    "ROOM",  # entries that their array and the table can hold before they must grow
    "NEXT_ROOM",  # records that NEXT can hold
    "KEPT_ROOM",  # words that KEPT can hold
    "LIMIT",  # states that the user allows
    "KEYS",  # entries
    "KNOWN",  # states discovered
    "EXPANDED",
    "TRANSITIONS",
    "HEAD",  # the record expanded next
    "TAIL",  # records
    "LEVEL_START",  # the first record of HEAD's level
    "LEVEL_END",  # the first record that is farther away
    "KEPT_WORDS",  # in use in KEPT
    "DEPTH",  # distance of HEAD's states
    "NEEDED",  # GROW: room for how many more entries and records
    "CODE",  # STOPPED: what check or expand returned
    "UNFOUND",  # LIMITED: how many of the states that KNOWN counts are not among the entries
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
            near(entry_of(context, here + AHEAD))
            bad = expand(context, here, n, made)
            if bad == 0:
                n = announce(context, n, n + made[0])
            made += 8 * M
            here += 1
        room = context[NEXT_ROOM] - (context[TAIL] - context[LEVEL_END]) - BATCH
        kept = context[KEPT_WORDS] + BATCH * Q
        if context[KEYS] + n > context[ROOM] or n > room or kept > context[KEPT_ROOM]:
            context[NEEDED] = n + BATCH
            return GROW
        prefetch_entries(context, n)
        status = discover(context, first, here, bad)
        if status != MORE:
            return status
        if context[HEAD] == context[LEVEL_END] and context[TAIL] > context[LEVEL_END]:
            next_level(context)
    if context[HEAD] == context[TAIL]:
        return DONE
    return MORE


def next_level(context):
    """Go on with the next level."""
    context[DEPTH] += 1
    context[LEVELS][context[DEPTH]] = context[KEPT_WORDS]
    context[LEVEL_START] = context[LEVEL_END]
    context[LEVEL_END] = context[TAIL]
    here = context[HERE]
    context[HERE] = context[NEXT]
    context[NEXT] = here
    return 0


def entry_of(context, record):
    """The address of the entry of a record."""
    return context[ENTRIES] + (record_of(context, record)[0] & LOWER) * (8 * E)


def near(entry):
    """Prefetch an entry: the ends of it, which is most."""
    prefetch(entry)
    prefetch(entry + 8 * E - 8)
    return 0


def record_of(context, record):
    """The address of a record of HEAD's level."""
    return context[HERE] + (record - context[LEVEL_START]) * (8 * Q)


def expand(context, here, n, made):
    """Look at the states of a record and write what they make from ``n`` on; not 0: a violation."""
    record = record_of(context, here)
    key = context[ENTRIES] + (record[0] & LOWER) * (8 * E)
    lanes = record + 8
    made[0] = 0
    code = call4(context[CHECK], key, lanes, context[GOALS], context[PROPERTY_COVER])
    if code:
        context[CODE] = code
        return BAD_STATE
    out = context[OUT] + n * (8 * R)
    skip = record[0] >> 32
    result = call6(context[EXPAND], key, lanes, out, context[COVER], made + 8, skip)
    made[0] = result & LOWER
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
            guess = bucket[lowest_bit(hits)] & LOWER
            entry = entries + guess * (8 * E) - 8 * E
            near(entry)
        hashes[1] = guess
        hashes += 16
    return 0


def discover(context, first, stop, bad):
    """Take what the records from ``first`` to ``stop`` made, in order; a status.

    ``bad`` is not 0 where the last of them is in a violation: nothing of that one is taken.
    """
    made = context[OUT]
    hashes = context[HASHES]
    counts = context[MADE]
    if bad:
        stop -= 1
    here = first
    while here < stop:
        record = record_of(context, here)
        if merge(context, record[0] & LOWER, counts + 8, counts[B + 2]):
            return LIMITED
        end = made + counts[0] * (8 * R)
        while made < end:
            index = find(context, made, hashes[0], hashes[1])
            if merge(context, index, made + 8 * K, made[K + B]):
                return LIMITED
            made += 8 * R
            hashes += 16
        context[TRANSITIONS] += counts[B + 1]
        context[EXPANDED] += set_size(record + 8)
        keep(context, record)
        counts += 8 * M
        here += 1
        context[HEAD] = here
    if bad:
        return bad
    return MORE


def keep(context, record):
    """Keep a record, packed: its index and, above that, a bit for each word of its lanes that is
    not 0; then these words."""
    packed = context[KEPT] + context[KEPT_WORDS] * 8
    some = set_words(record + 8)
    left = some
    n = 1
    while left:
        packed[n] = record[lowest_bit(left) + 1]
        n += 1
        left = left & (left - 1)
    packed[0] = (record[0] & LOWER) | (some << 32)
    context[KEPT_WORDS] += n
    return 0


def merge(context, index, lanes, skip):
    """Discover some states of an entry; 1 where that would be too many.

    ``skip`` are outcomes that lead from them to states that are known before a record that begins
    now is expanded (see lanes_emit.py). That may not be so for one that was there before.
    """
    entry = context[ENTRIES] + index * (8 * E)
    known = entry + LANES
    if set_has(known, lanes):
        return 0
    count = context[KNOWN] + set_news(known, lanes)
    if count > context[LIMIT]:
        context[UNFOUND] = context[LIMIT] - context[KNOWN]
        context[KNOWN] = context[LIMIT]
        return 1
    context[KNOWN] = count
    last = entry[K]
    if last < context[LEVEL_END]:
        last = context[TAIL]
        entry[K] = last
        context[TAIL] = last + 1
        record = context[NEXT] + (last - context[LEVEL_END]) * (8 * Q)
        record[0] = index | (skip << 32)
        set_begin(known, lanes, record + 8)
        return 0
    record = context[NEXT] + (last - context[LEVEL_END]) * (8 * Q)
    record[0] = index
    set_take(known, lanes, record + 8)
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
            index = (line[lowest_bit(hits)] & LOWER) - 1
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
        lanes = record_of(context, here) + 8
        code = call4(context[CHECK], key, lanes, context[GOALS], context[PROPERTY_COVER])
        if code:
            context[HEAD] = here
            context[CODE] = code
            return BAD_STATE
        here += 1
    return BAD_STEP


def source(context, at, stop, key, lanes, record):
    """The first packed record from word ``at`` to ``stop`` that made a state is unpacked to
    ``record``; 0 if there is none."""
    while at < stop:
        at = unpack(context, at, record)
        entry = context[ENTRIES] + record[0] * (8 * E)
        if makes(context, entry, record + 8, key, lanes):
            return 1
    return 0


def unpack(context, at, record):
    """Unpack a record; where the next one begins."""
    packed = context[KEPT] + at * 8
    record[0] = packed[0] & LOWER
    some = packed[0] >> 32
    n = 1
    k = 0
    while k < B:
        record[k + 1] = 0
        if (some >> k) & 1:
            record[k + 1] = packed[n]
            n += 1
        k += 1
    return at + n


def makes(context, here, some, key, lanes):
    """Whether a state with that key and a lane of the set at ``lanes`` follows one of an entry and
    the set at ``some``."""
    made = context[MADE]
    out = context[OUT]
    result = call6(context[EXPAND], here, some, out, context[COVER], made, 0)
    if same(here, key) and set_meets(made, lanes):
        return 1
    count = result & LOWER
    while count:
        if same(out, key) and set_meets(out + 8 * K, lanes):
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
    near,
    record_of,
    next_level,
    keep,
    unpack,
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
def load(words: int, sets: int) -> jit.Library:
    """The code for keys of ``words`` words, and sets of lanes of ``sets`` words."""

    def text() -> str:
        constants = {name: i for i, name in enumerate(CONTEXT)} | STATUS
        constants |= {"W": words, "K": words, "B": sets, "BATCH": BATCH, "AHEAD": AHEAD}
        constants |= {"R": words + sets + 1, "E": words + 1 + sets, "LANES": 8 * (words + 1)}
        constants |= {"Q": sets + 1, "M": sets + 3, "LOWER": 0xFFFF_FFFF, "NO_MASK": NONE}
        constants |= {"TAG_MASK": 0xFFFF_FFFF_0000_0000}
        functions = subset.compile_functions(EXPORTED, HELPERS, constants)
        return set_functions(sets) + functions

    return jit.load_kept(f"lanes core {words} {sets}\0{jit.sources()}", NAMES, text)


def set_functions(words: int) -> str:
    """Functions on sets of lanes at addresses, as LLVM IR text.

    ``set_has(a, b)``: whether all of b are in a; ``set_meets(a, b)``: whether some are;
    ``set_news(a, b)``: how many are not; ``set_size(a)``; ``set_words(a)``: which words are not 0;
    ``set_take(a, b, c)`` adds to c those of b that are not in a, and then to a; ``set_begin`` is
    the same for a c that is empty, whatever is there.
    """
    kind = "i64" if words == 1 else f"<{words} x i64>"
    name = "i64" if words == 1 else f"v{words}i64"
    bits = f"i{64 * words}"
    flags = "i1" if words == 1 else f"<{words} x i1>"

    def function(name: str, arguments: str, *lines: str) -> str:
        head = ", ".join(f"i64 %{a}" for a in arguments)
        loads = []
        for a in arguments:
            loads.append(f"%p{a} = inttoptr i64 %{a} to ptr")
            loads.append(f"%s{a} = load {kind}, ptr %p{a}, align 8")
        body = "".join(f"  {line}\n" for line in (*loads, *lines))
        return f"define internal i64 @{name}({head}) alwaysinline {{\n{body}}}\n"

    def counted(of: str) -> list[str]:
        lines = [f"%ones = call {kind} @llvm.ctpop.{name}({kind} {of})"]
        if words == 1:
            return [*lines, "ret i64 %ones"]
        return [*lines, f"%n = call i64 @llvm.vector.reduce.add.{name}({kind} %ones)", "ret i64 %n"]

    all_lanes = "-1" if words == 1 else "<" + ", ".join(["i64 -1"] * words) + ">"
    new = [f"%not = xor {kind} %sa, {all_lanes}", f"%new = and {kind} %sb, %not"]

    def tested(of: str, comparison: str) -> list[str]:
        return [
            f"%all = bitcast {kind} {of} to {bits}",
            f"%c = icmp {comparison} {bits} %all, 0",
            "%r = zext i1 %c to i64",
            "ret i64 %r",
        ]

    text = [
        function("set_has", "ab", *new, *tested("%new", "eq")),
        function("set_meets", "ab", f"%both = and {kind} %sa, %sb", *tested("%both", "ne")),
        function("set_news", "ab", *new, *counted("%new")),
        function("set_size", "a", *counted("%sa")),
        function(
            "set_words",
            "a",
            f"%full = icmp ne {kind} %sa, {'0' if words == 1 else 'zeroinitializer'}",
            f"%bits = bitcast {flags} %full to i{words}",
            f"%r = zext i{words} %bits to i64",
            "ret i64 %r",
        ),
        function(
            "set_take",
            "abc",
            *new,
            f"%more = or {kind} %sc, %new",
            f"store {kind} %more, ptr %pc, align 8",
            f"%known = or {kind} %sa, %new",
            f"store {kind} %known, ptr %pa, align 8",
            "ret i64 0",
        ),
    ]
    text += [
        function(
            "set_begin",
            "abc",
            *new,
            f"store {kind} %new, ptr %pc, align 8",
            f"%known = or {kind} %sa, %new",
            f"store {kind} %known, ptr %pa, align 8",
            "ret i64 0",
        ),
    ]
    if words > 1:
        text.append(f"declare {kind} @llvm.ctpop.{name}({kind})\n")
        text.append(f"declare i64 @llvm.vector.reduce.add.{name}({kind})\n")
    return "".join(text)
