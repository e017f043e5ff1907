"""The choice of ``reduce.order`` in the subset of Python of :mod:`shootdown.native.subset`.

It is :meth:`shootdown.check.reduce.order.Order.chosen` on packed states and on the tables that
:mod:`.reduced` writes; that text says what each part is for. ``c`` is the address of an array of
64-bit words (the capital names of :data:`CONTEXT` are its indices) with the tables and the memory
for one call of ``expand``. Sets of cells are ``W`` words in the packing of the state.
"""

# ruff: noqa: F821, RET503, SIM102
# mypy: ignore-errors

from __future__ import annotations

from shootdown.check.native.futures import (
    begin,
    compute,
    go_on,
    go_through,
    look_ahead,
    look_alone,
    look_at,
    may_pass,
    place_of,
    result,
    used,
    widen,
)
from shootdown.check.native.settle import is_over, settle, stays, watch, watched
from shootdown.check.native.visible import closed, differs, matters, past, shows, shows_at
from shootdown.native import subset

CONTEXT = (
    "ACTIONS",  # tables: ``ACTION`` words for each action, and so on
    "SUPPORTS",  # for each agent: the cells that its actions look at
    "NODES",
    "EDGES",
    "FOLLOWING",  # places to which a process goes on
    "SEEN_PARTS",  # ``PART`` words for each part of an invariant or goal
    "VISIBLE",
    "KEPT",  # cells that are never dead
    "MEMO",  # ``RECORDS`` records for each action, or 0
    "RECORD",  # one record, where there is no memo
    "SEEN",  # for each node: the mark of the last walk that came there
    "MARK",  # of the latest walk
    "TODO",
    "ENTRIES",  # for each agent: the action where it stands, -1 for none
    "STARTS",  # for each agent: the number of its first outcome, with one more at the end
    "TRUTH",  # for each condition: 0 or 1
    "TRUTH_KNOWN",
    "BEFORE",  # the values of the parts
    "AFTER",
    "NOW",  # for each agent: the effect of its current action
    "NOW_ENDS",  # can it be done?
    "CHANGES",  # for each agent: the cells that its current action changes
    "ALONE",  # for each agent: the effect of what it can do by itself
    "THERE",  # for each agent: the places where it comes by itself
    "LOOKED",  # for each agent: what changed when that was looked at last
    "PART_OF",  # for each agent outside T: the same in the future of these
    "AHEAD",
    "LOOKED_AHEAD",
    "CLASHES",  # for each agent: whom its current action clashes with
    "CLASHES_KNOWN",
    "FUTURE",  # an effect: reads, ones, zeros, any, of W words each
    "WRITTEN",  # sets of cells
    "NOTHING",
    "USED",
    "CORNER",  # states
    "SETTLED",
    "WATCHED",  # cells
    "OVER",  # for each part: is it a root that is over?
    "FORWARD",  # for each agent: do all its outcomes go forward?
    "INSIDE",  # for each agent: is it in T?
    "TRIED",  # the sets T of this choice, a bit for each agent
    "TRIES",  # how many of them
    "BEST",
    "STATE",  # the state that is looked at
    "OUT",  # its outcomes
)

ACTION_FIELDS = (
    "ENTRY",  # its first node
    "FIRST",  # the number of the first action of its agent
    "FAIR",
    "SUPPORT",  # cells that its nodes look at: ``W`` words
)
NODE_FIELDS = (
    "EMPTY",
    "ENDS",
    "EDGE_FROM",
    "EDGE_TO",
    "NEXT_FROM",
    "NEXT_TO",
    "EFFECT",
)  # and USES: ``W`` words
PART_FIELDS = (
    "KNOWN",
    "SKIP",
    "HARMLESS",
    "ROOT",
    "WHOLE",
    "FACTOR",
    "CELLS",
)  # and SETS, CLEARS: ``W`` words each
EDGE_FIELDS = ("TARGET", "CONDITION", "VALUE", "READS")


def choose(c, state, out, count):
    """Which outcomes are enough: their number, plus 1 << 32 if they are; ``BEST`` has the agents.

    ``STARTS`` is filled in."""
    c[OUT] = out
    moving = 0
    a = 0
    while a < AGENTS:
        c[BEST][a] = 1
        if c[STARTS][a + 1] > c[STARTS][a]:
            moving += 1
        a += 1
    if count == 0:
        return 0
    look_at(c, state)
    useful = 0
    a = 0
    while a < AGENTS:
        c[FORWARD][a] = goes_forward(c, a)
        useful = useful | c[FORWARD][a]
        a += 1
    if useful == 0:
        return count
    parts(state, c[BEFORE])
    if moving == 1:
        clear(c[FUTURE], 4 * W)
        clear(c[WRITTEN], W)
        a = 0
        while a < AGENTS:
            c[INSIDE][a] = 1
            a += 1
        return count | (good(c) << 32)
    look_alone(c)
    c[TRIES] = 0
    best = count
    enough = 0
    agent = 0
    while agent < AGENTS:
        if c[FORWARD][agent]:
            taken = closure(c, agent)
            if taken:
                if enough == 0 or taken < best:
                    best = taken
                    enough = 1
                    a = 0
                    while a < AGENTS:
                        c[BEST][a] = c[INSIDE][a]
                        a += 1
                    if taken == 1:
                        agent = AGENTS
        agent += 1
    return best | (enough << 32)


def closure(c, agent):
    """A small T that has an agent, in ``INSIDE``: how many outcomes it has, 0 if it is good for
    nothing."""
    a = 0
    while a < AGENTS:
        c[INSIDE][a] = 0
        a += 1
    c[INSIDE][agent] = 2
    more = 1
    while more:
        close(c)
        if tried(c):
            return 0
        outside = 0
        taken = 0
        a = 0
        while a < AGENTS:
            made = c[STARTS][a + 1] - c[STARTS][a]
            if made:
                if c[INSIDE][a] == 0:
                    outside = 1
                elif c[FORWARD][a] == 0:
                    return 0
                else:
                    taken += made
            a += 1
        if outside == 0:
            return 0
        look_ahead(c)
        more = disturbed(c)
    if good(c) == 0:
        return 0
    return taken


def tried(c):
    """Whether T was tried before in this choice, on the way to the set of another agent: what
    comes of it is known, and no better a second time."""
    here = c[TRIED] + c[TRIES] * (8 * AGENT_WORDS)
    clear(here, AGENT_WORDS)
    a = 0
    while a < AGENTS:
        if c[INSIDE][a]:
            here[a >> 6] = here[a >> 6] | (1 << (a & 63))
        a += 1
    i = 0
    while i < c[TRIES]:
        other = 0
        k = 0
        while k < AGENT_WORDS:
            other = other | (here[k] ^ c[TRIED][i * AGENT_WORDS + k])
            k += 1
        if other == 0:
            return 1
        i += 1
    if c[TRIES] < MOST_TRIES - 1:
        c[TRIES] += 1
    return 0


def close(c):
    """Put agents into T that clash with it by themselves. In ``INSIDE``, 2 is for one whose clashes
    were not looked for yet."""
    again = 1
    while again:
        again = 0
        agent = 0
        while agent < AGENTS:
            if c[INSIDE][agent] == 2:
                c[INSIDE][agent] = 1
                clashes = c[CLASHES] + agent * (8 * AGENT_WORDS)
                if c[CLASHES_KNOWN][agent] == 0:
                    find_clashes(c, agent, clashes)
                a = 0
                while a < AGENTS:
                    if c[INSIDE][a] == 0 and (clashes[a >> 6] >> (a & 63)) & 1:
                        c[INSIDE][a] = 2
                        again = 1
                    a += 1
            agent += 1
    return 0


def find_clashes(c, agent, clashes):
    """The set of agents that the current action of one may not commute with."""
    c[CLASHES_KNOWN][agent] = 1
    clear(clashes, AGENT_WORDS)
    if c[ENTRIES][agent] >= 0:
        if c[NOW_ENDS][agent]:
            a = 0
            while a < AGENTS:
                if c[ENTRIES][a] >= 0:
                    mine = c[NOW] + agent * (32 * W)
                    if commutes(c, agent, mine, c[ALONE] + a * (32 * W)) == 0:
                        clashes[a >> 6] = clashes[a >> 6] | (1 << (a & 63))
                a += 1
    return 0


def disturbed(c):
    """Put agents into T whose actions may not commute with those of T; whether there were any."""
    more = 0
    agent = 0
    while agent < AGENTS:
        if c[INSIDE][agent] == 1 and c[ENTRIES][agent] >= 0:
            record = result(c, c[ENTRIES][agent], c[WRITTEN])
            if record[ENDS_HERE]:
                mine = record + 8 * RESULT
                change(c, agent, mine)
                if commutes(c, agent, mine, c[FUTURE]) == 0:
                    a = 0
                    while a < AGENTS:
                        if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
                            if commutes(c, agent, mine, c[PART_OF] + a * (32 * W)) == 0:
                                c[INSIDE][a] = 2
                                more = 1
                        a += 1
                change(c, agent, c[NOW] + agent * (32 * W))
        agent += 1
    return more


def change(c, agent, effect):
    """Put into ``CHANGES`` what the outcomes of an agent change; where it has none, what its action
    may write."""
    k = 0
    while k < W:
        changed = 0
        i = c[STARTS][agent]
        if i == c[STARTS][agent + 1]:
            changed = written_word(effect, k)
        while i < c[STARTS][agent + 1]:
            changed = changed | (c[OUT][i * W + k] ^ c[STATE][k])
            i += 1
        c[CHANGES][agent * W + k] = changed
        k += 1
    return 0


def commutes(c, agent, mine, other):
    """``mine``, what the action of an agent does, can change places with another effect."""
    changes = c[CHANGES] + agent * (8 * W)
    clash = 0
    k = 0
    while k < W:
        ones = other[W + k]
        zeros = other[2 * W + k]
        rest = other[3 * W + k]
        clash = clash | (mine[k] & changed_word(c, other, k))
        clash = clash | (mine[W + k] & (zeros | rest))
        clash = clash | (mine[2 * W + k] & (ones | rest))
        clash = clash | (mine[3 * W + k] & (ones | zeros | rest))
        clash = clash | (changes[k] & other[k])
        k += 1
    if clash:
        return 0
    return 1


def good(c):
    """C2, C3 and D for the outcomes of ``INSIDE`` and the future in ``FUTURE``."""
    seen = 0
    k = 0
    while k < W:
        seen = seen | (c[VISIBLE][k] & changed_word(c, c[FUTURE], k))
        k += 1
    steady = 0
    agent = 0
    while agent < AGENTS:
        if c[INSIDE][agent]:
            i = c[STARTS][agent]
            if i < c[STARTS][agent + 1] and c[FORWARD][agent] == 0:
                return 0
            while i < c[STARTS][agent + 1]:
                after = c[OUT] + i * (8 * W)
                if c[ACTIONS][c[ENTRIES][agent] * ACTION + FAIR]:
                    k = 0
                    while k < W:
                        if (after[k] ^ c[STATE][k]) & (c[WRITTEN][k] ^ ALL_BITS):
                            steady = 1
                        k += 1
                if seen:
                    if matters(c, after):
                        return 0
                i += 1
        agent += 1
    return steady


def goes_forward(c, agent):
    """Whether an agent has outcomes, and all go forward."""
    i = c[STARTS][agent]
    if i == c[STARTS][agent + 1]:
        return 0
    now = height(c[STATE])
    while i < c[STARTS][agent + 1]:
        if height(c[OUT] + i * (8 * W)) <= now:
            return 0
        i += 1
    return 1


def written_word(effect, k):
    """Word ``k`` of all that an effect may write."""
    return effect[W + k] | effect[2 * W + k] | effect[3 * W + k]


def changed_word(c, effect, k):
    """Word ``k`` of all that an effect may change in this state."""
    now = c[STATE][k]
    return (effect[W + k] & (now ^ ALL_BITS)) | (effect[2 * W + k] & now) | effect[3 * W + k]


def add_effect(effect, other):
    """Do both."""
    k = 0
    while k < 4 * W:
        effect[k] = effect[k] | other[k]
        k += 1
    return 0


def clear(words, count):
    """Set words to 0."""
    k = 0
    while k < count:
        words[k] = 0
        k += 1
    return 0


def take(c, out, count):
    """Move the outcomes of the agents in ``BEST`` to the front; how many they are."""
    n = 0
    agent = 0
    while agent < AGENTS:
        if c[BEST][agent]:
            i = c[STARTS][agent]
            while i < c[STARTS][agent + 1]:
                copy(out + n * (8 * W), out + i * (8 * W))
                n += 1
                i += 1
        agent += 1
    return n


def follow(c, target, scratch, cover):
    """Pass through states that need not be stored, from the one at ``target`` on. Each is judged
    before; the bytes behind those of the lines in ``cover`` are for the goals that are true."""
    while 1:
        found = everything(target, scratch, cover, c[STARTS])
        if found >> 32:
            return 0
        chosen = choose(c, target, scratch, found)
        if chosen >> 32 == 0:
            return 0
        count = take(c, scratch, found)
        wrong = 0
        i = 0
        while i < count:
            following = scratch + i * (8 * W)
            wrong = wrong | judge(following, cover + LINES, cover)
            settle(c, following)
            represent(following)
            if same_words(scratch, following) == 0:
                return 0
            i += 1
        copy(target, scratch)
        if wrong:
            return 0


def copy(target, source):
    """Copy a state."""
    return copy_words(target, source, W)


def copy_words(target, source, count):
    """Copy words."""
    k = 0
    while k < count:
        target[k] = source[k]
        k += 1
    return 0


def same_words(one, two):
    """Whether two states are the same."""
    other = 0
    k = 0
    while k < W:
        other = other | (one[k] ^ two[k])
        k += 1
    if other:
        return 0
    return 1


def edges(c, state, out, cover, memo):
    """What ``expand`` of :mod:`.emit` gives, for the reduced graph."""
    clear(c[NOTHING], W)
    area = claim(memo, c)
    found = everything(state, out, cover, c[STARTS])
    if found >> 32:
        count = found & 0xFFFF_FFFF
    else:
        count = found
        if ORDER:
            choose(c, state, out, found)
            count = take(c, out, found)
    i = 0
    while i < count:
        target = out + i * (8 * W)
        wrong = 0
        if MERGE:
            wrong = judge(target, cover + LINES, cover)
            settle(c, target)
        represent(target)
        if MERGE and wrong == 0:
            follow(c, target, out + MOST * (8 * W), cover)
        i += 1
    if area:
        area[1] = c[MARK]
        atomic_store(area, 0)
    return (found - (found & 0xFFFF_FFFF)) | count


def claim(memo, c):
    """Take one of the areas of the memo that no other thread has now: its address, or 0. It has a
    word that says whether it is taken, the last mark, the marks of the nodes, and the records."""
    tries = 0
    while tries < memo[1]:
        # threads have stacks of their own, so each mostly gets the same area again
        number = ((c >> 20) + tries) & (memo[1] - 1)
        area = memo[0] + number * AREA
        if atomic_swap(area, 1) == 0:
            c[MARK] = area[1]
            c[SEEN] = area + 16
            c[MEMO] = area + 16 + 8 * NODE_COUNT
            return area
        tries += 1
    c[MARK] = 0
    c[MEMO] = 0
    clear(c[SEEN], NODE_COUNT)
    return 0


HELPERS = (
    differs,
    shows,
    written_word,
    changed_word,
    add_effect,
    clear,
    copy,
    copy_words,
    same_words,
    may_pass,
    place_of,
    begin,
    look_at,
    widen,
)
FUNCTIONS = (
    claim,
    compute,
    result,
    go_through,
    go_on,
    look_alone,
    look_ahead,
    used,
    commutes,
    shows_at,
    stays,
    closed,
    past,
    is_over,
    watch,
    watched,
    goes_forward,
    change,
    disturbed,
    matters,
    good,
    tried,
    find_clashes,
    close,
    closure,
    choose,
    take,
    settle,
    follow,
)


def text(constants: dict[str, int]) -> str:
    """LLVM IR of ``edges`` and what it calls."""
    fixed = {name: i for i, name in enumerate(CONTEXT)}
    fixed |= {name: i for i, name in enumerate(ACTION_FIELDS)}
    fixed |= {name: i for i, name in enumerate(NODE_FIELDS)}
    fixed |= {name: i for i, name in enumerate(EDGE_FIELDS)}
    fixed |= {name: i for i, name in enumerate(PART_FIELDS)}
    fixed["ALL_BITS"] = (1 << 64) - 1
    return subset.compile_functions((edges,), HELPERS, fixed | constants, FUNCTIONS)
