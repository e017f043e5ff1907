"""What agents can still do: :class:`shootdown.check.reduce.order.Future`, on packed states; a part
of :mod:`.choose`, with its context and its helpers.

The nodes of one action are walked by :func:`compute`. What comes of that depends on the action, on
the cells that it looks at and on which of these change meanwhile, so it is remembered in a *record*
under these (:func:`result`): most of what a search asks it has asked before. A record has the
cells' values and which change, the effect, the cells that are used, whether an outcome can end, and
the set of places to which the process goes on. Which records are at hand changes nothing.
"""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations


def look_at(c, state):
    """Let ``STATE`` be the state."""
    c[STATE] = state
    c[TRUTH_KNOWN] = 0
    entries(state, c[ENTRIES])
    return 0


def result(c, number, written):
    """The record of an action, while the cells ``written`` change."""
    action = c[ACTIONS] + number * (8 * ACTION)
    if c[MEMO] == 0:
        compute(c, action, written, c[RECORD])
        return c[RECORD]
    h = 0
    k = 0
    while k < W:
        still = action[SUPPORT + k] & (written[k] ^ ALL_BITS)
        h = (h ^ (c[STATE][k] & still)) * MIX
        h = (h ^ (h >> 32) ^ (written[k] & action[SUPPORT + k])) * MIX
        h = h ^ (h >> 32)
        k += 1
    record = c[MEMO] + (number * RECORDS + (h & (RECORDS - 1))) * (8 * RECORD_WORDS)
    other = record[VALID] ^ 1
    k = 0
    while k < W:
        still = action[SUPPORT + k] & (written[k] ^ ALL_BITS)
        other = other | (record[KEY + k] ^ (c[STATE][k] & still))
        other = other | (record[KEY + W + k] ^ (written[k] & action[SUPPORT + k]))
        k += 1
    if other:
        record[VALID] = 1
        k = 0
        while k < W:
            still = action[SUPPORT + k] & (written[k] ^ ALL_BITS)
            record[KEY + k] = c[STATE][k] & still
            record[KEY + W + k] = written[k] & action[SUPPORT + k]
            k += 1
        compute(c, action, written, record)
    return record


def compute(c, action, written, record):
    """Walk the nodes of an action."""
    if c[TRUTH_KNOWN] == 0:
        conditions(c[STATE], c[TRUTH])
        c[TRUTH_KNOWN] = 1
    effect = record + 8 * RESULT
    clear(effect, RECORD_WORDS - RESULT)
    c[MARK] += 1
    mark = c[MARK]
    seen = c[SEEN]
    todo = c[TODO]
    todo[0] = action[ENTRY]
    n = 1
    while n > 0:
        n -= 1
        number = todo[n]
        if seen[number] != mark:
            seen[number] = mark
            node = c[NODES] + number * (8 * NODE)
            k = 0
            while k < W:
                record[USED_HERE + k] = record[USED_HERE + k] | node[USES + k]
                k += 1
            if node[EMPTY] == 0:
                add_effect(effect, node + 8 * EFFECT)
                record[ENDS_HERE] = record[ENDS_HERE] | node[ENDS]
                i = node[NEXT_FROM]
                while i < node[NEXT_TO]:
                    place = c[FOLLOWING][i]
                    word = record + (8 * PLACES) + (place >> 6) * 8
                    word[0] = word[0] | (1 << (place & 63))
                    i += 1
            i = node[EDGE_FROM]
            while i < node[EDGE_TO]:
                edge = c[EDGES] + i * (8 * EDGE)
                if may_pass(c, edge, written):
                    k = 0
                    while k < W:
                        effect[k] = effect[k] | edge[READS + k]
                        k += 1
                    todo[n] = edge[TARGET]
                    n += 1
                i += 1
    return 0


def may_pass(c, edge, written):
    """Whether the literal of an edge is true, or may become so while the cells ``written``
    change."""
    condition = edge[CONDITION]
    if condition < 0:
        return 1
    if c[TRUTH][condition] == edge[VALUE]:
        return 1
    changing = 0
    k = 0
    while k < W:
        changing = changing | (edge[READS + k] & written[k])
        k += 1
    if changing:
        return 1
    return 0


def begin(c, agent, places):
    """Let ``places`` be where an agent stands."""
    clear(places, PLACE_WORDS)
    place = place_of(c, agent)
    word = places + (place >> 6) * 8
    word[0] = 1 << (place & 63)
    return 0


def place_of(c, agent):
    """The place where an agent stands."""
    entry = c[ENTRIES][agent]
    return entry - c[ACTIONS][entry * ACTION + FIRST]


def go_through(c, agent, places, effect, looked):
    """Add up in ``effect`` what an agent can do from some places on while ``WRITTEN`` changes, and
    add to the places those where it comes to. ``looked`` is for what changes."""
    copy(looked, c[WRITTEN])
    first = c[ENTRIES][agent] - place_of(c, agent)
    again = 1
    while again:
        again = 0
        k = 0
        while k < PLACE_WORDS:
            left = places[k]
            while left:
                place = lowest_bit(left)
                left = left & (left - 1)
                record = result(c, first + k * 64 + place, c[WRITTEN])
                add_effect(effect, record + 8 * RESULT)
                j = 0
                while j < W:
                    c[USED][j] = c[USED][j] | record[USED_HERE + j]
                    j += 1
                j = 0
                while j < PLACE_WORDS:
                    more = record[PLACES + j] & (places[j] ^ ALL_BITS)
                    places[j] = places[j] | more
                    if more:
                        if j == k:
                            left = left | more
                        elif j < k:
                            again = 1
                    j += 1
            k += 1
    return 0


def go_on(c, agent, places, effect, looked):
    """The same after more has come to change, if it matters to the agent."""
    matters_here = 0
    k = 0
    while k < W:
        support = c[SUPPORTS][agent * W + k]
        matters_here = matters_here | (support & (looked[k] ^ c[WRITTEN][k]))
        k += 1
    if matters_here:
        go_through(c, agent, places, effect, looked)
    return 0


def widen(c, effect):
    """Put into ``WRITTEN`` what an effect may change; whether that is something else now."""
    other = 0
    k = 0
    while k < W:
        word = changed_word(c, effect, k)
        other = other | (word ^ c[WRITTEN][k])
        c[WRITTEN][k] = word
        k += 1
    if other:
        return 1
    return 0


def look_alone(c):
    """What each agent can do if all others stand still, a part of every future; and what its
    current action does."""
    a = 0
    while a < AGENTS:
        if c[ENTRIES][a] >= 0:
            now = result(c, c[ENTRIES][a], c[NOTHING])
            c[NOW_ENDS][a] = now[ENDS_HERE]
            copy_words(c[NOW] + a * (32 * W), now + 8 * RESULT, 4 * W)
            change(c, a, c[NOW] + a * (32 * W))
            effect = c[ALONE] + a * (32 * W)
            places = c[THERE] + a * (8 * PLACE_WORDS)
            looked = c[LOOKED] + a * (8 * W)
            clear(effect, 4 * W)
            clear(c[WRITTEN], W)
            begin(c, a, places)
            go_through(c, a, places, effect, looked)
            while widen(c, effect):
                go_on(c, a, places, effect, looked)
        c[CLASHES_KNOWN][a] = 0
        a += 1
    return 0


def look_ahead(c):
    """The future of the agents outside T: what each can do alone, and what follows from that."""
    clear(c[FUTURE], 4 * W)
    a = 0
    while a < AGENTS:
        if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
            copy_words(c[PART_OF] + a * (32 * W), c[ALONE] + a * (32 * W), 4 * W)
            add_effect(c[FUTURE], c[ALONE] + a * (32 * W))
            copy(c[LOOKED_AHEAD] + a * (8 * W), c[LOOKED] + a * (8 * W))
            places = a * (8 * PLACE_WORDS)
            copy_words(c[AHEAD] + places, c[THERE] + places, PLACE_WORDS)
        a += 1
    clear(c[WRITTEN], W)
    while widen(c, c[FUTURE]):
        a = 0
        while a < AGENTS:
            if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
                places = c[AHEAD] + a * (8 * PLACE_WORDS)
                part = c[PART_OF] + a * (32 * W)
                go_on(c, a, places, part, c[LOOKED_AHEAD] + a * (8 * W))
                add_effect(c[FUTURE], part)
            a += 1
    return 0


def used(c, state):
    """Put the cells into ``USED`` that somebody may still look at, into ``FUTURE`` all that may
    still be done, and into ``WRITTEN`` what that may change."""
    look_at(c, state)
    copy(c[USED], c[KEPT])
    clear(c[FUTURE], 4 * W)
    clear(c[WRITTEN], W)
    a = 0
    while a < AGENTS:
        if c[ENTRIES][a] >= 0:
            places = c[THERE] + a * (8 * PLACE_WORDS)
            begin(c, a, places)
            go_through(c, a, places, c[FUTURE], c[LOOKED] + a * (8 * W))
        a += 1
    while widen(c, c[FUTURE]):
        a = 0
        while a < AGENTS:
            if c[ENTRIES][a] >= 0:
                places = c[THERE] + a * (8 * PLACE_WORDS)
                go_on(c, a, places, c[FUTURE], c[LOOKED] + a * (8 * W))
            a += 1
    return 0
