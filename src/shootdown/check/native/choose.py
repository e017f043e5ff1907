"""The choice of ``reduce.order`` in the subset of Python of :mod:`shootdown.native.subset`.

It is :meth:`shootdown.check.reduce.order.Order.chosen` on packed states and on the tables that
:mod:`.reduced` writes; that text says what each part is for. ``c`` is the address of an array of
64-bit words (the capital names of :data:`CONTEXT` are its indices) with the tables and the memory
for one call of ``expand``. Sets of cells are ``W`` words in the packing of the state.
"""

# ruff: noqa: F821, RET503, SIM102
# mypy: ignore-errors

from __future__ import annotations

from shootdown.check.native.settle import is_over, rest, settle, stays, used, watch, watched
from shootdown.check.native.visible import closed, differs, matters, past, shows, shows_at
from shootdown.native import subset

CONTEXT = (
    "NODES",  # tables: ``NODE`` words for each node, ``EDGE`` words for each edge
    "EDGES",
    "FOLLOWING",  # the node of the next step of a process
    "SEEN_PARTS",  # ``PART`` words for each part of an invariant or goal
    "VISIBLE",
    "KEPT",  # cells that are never dead
    "ENTRIES",  # for each agent: the node where it stands, -1 for none
    "STARTS",  # for each agent: the number of its first outcome, with one more at the end
    "TRUTH",  # for each condition: 0 or 1
    "BEFORE",  # the values of the parts
    "AFTER",
    "SEEN",  # for each node: the mark of the last walk that came there
    "SEEN_NOW",  # the same for walks through one action
    "MARK",  # of the latest walk
    "ALONE_MARK",  # of the walks of :func:`look_alone`
    "TODO",
    "WAITING",  # edges whose literal is false; those of an agent alone, then those of all
    "HELD",  # how many of them
    "HELD_FROM",  # for each agent: its first one; with one more at the end
    "ALONE",  # for each agent: the effect of what it can do by itself
    "MORE",  # for each agent: the effect of what it can do besides, because of the others
    "MORE_MARK",  # for each agent: the walk that MORE is of
    "NOW",  # for each agent: the effect of its current action
    "NOW_ENDS",  # can it be done?
    "CHANGES",  # for each agent: the cells that its current action changes
    "FUTURE",  # effects: reads, ones, zeros, any, of W words each
    "MINE",
    "WRITTEN",  # sets of cells
    "NOTHING",
    "USED",
    "CORNER",  # states
    "SETTLED",
    "WATCHED",  # cells
    "OVER",  # for each part: is it a root that is over?
    "FORWARD",  # for each agent: do all its outcomes go forward?
    "INSIDE",  # for each agent: is it in T?
    "BEST",
    "STATE",  # the state that is looked at
    "OUT",  # its outcomes
)

NODE_FIELDS = (
    "AGENT",
    "EMPTY",
    "ENDS",
    "FAIR",
    "EDGE_FROM",
    "EDGE_TO",
    "NEXT_FROM",
    "NEXT_TO",
    "EFFECT",
)
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
    c[STATE] = state
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
    conditions(state, c[TRUTH])
    parts(state, c[BEFORE])
    entries(state, c[ENTRIES])
    useful = 0
    a = 0
    while a < AGENTS:
        c[FORWARD][a] = goes_forward(c, a)
        useful = useful | c[FORWARD][a]
        a += 1
    if useful == 0:
        return count
    if moving == 1:
        clear(c[FUTURE], 4 * W)
        clear(c[WRITTEN], W)
        a = 0
        while a < AGENTS:
            c[INSIDE][a] = 1
            a += 1
        return count | (good(c) << 32)
    look_alone(c)
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
                if c[ENTRIES][agent] >= 0:
                    if c[NOW_ENDS][agent]:
                        a = 0
                        while a < AGENTS:
                            if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
                                if (
                                    commutes(
                                        c, agent, c[NOW] + agent * (32 * W), c[ALONE] + a * (32 * W)
                                    )
                                    == 0
                                ):
                                    c[INSIDE][a] = 2
                                    again = 1
                            a += 1
            agent += 1
    return 0


def look_alone(c):
    """What each agent can do if all others stand still, a part of every future; and what its
    current action does."""
    c[MARK] += 1
    c[ALONE_MARK] = c[MARK]
    held = 0
    a = 0
    while a < AGENTS:
        c[HELD_FROM][a] = held
        effect = c[ALONE] + a * (32 * W)
        if c[ENTRIES][a] >= 0:
            c[TODO][0] = c[ENTRIES][a]
            c[HELD] = held
            walk(c, c[SEEN], effect, c[NOTHING], 1)
            held = c[HELD]
        a += 1
    c[HELD_FROM][AGENTS] = held
    c[HELD] = held
    c[MARK] += 1
    a = 0
    while a < AGENTS:
        if c[ENTRIES][a] >= 0:
            c[TODO][0] = c[ENTRIES][a]
            c[NOW_ENDS][a] = walk(c, c[SEEN_NOW], c[NOW] + a * (32 * W), c[NOTHING], 0)
            c[HELD] = held
            change(c, a, c[NOW] + a * (32 * W))
        a += 1
    return 0


def walk(c, seen, effect, written, onward):
    """What can be done from the node in ``TODO`` on, added up in ``effect``; the edges that cannot
    be passed are held. Whether an outcome can end."""
    clear(effect, 4 * W)
    mark = c[MARK]
    todo = c[TODO]
    waiting = c[WAITING] + c[HELD] * 8
    n = 1
    held = 0
    ends = 0
    while n > 0:
        while n > 0:
            n -= 1
            number = todo[n]
            if seen[number] != mark:
                seen[number] = mark
                node = c[NODES] + number * (8 * NODE)
                if node[EMPTY] == 0:
                    add_effect(effect, node + 8 * EFFECT)
                    ends = ends | node[ENDS]
                    if onward:
                        n = go_on(c, node, n)
                i = node[EDGE_FROM]
                stop = node[EDGE_TO]
                while i < stop:
                    edge = c[EDGES] + i * (8 * EDGE)
                    if true_now(c, edge):
                        add_reads(effect, edge)
                        todo[n] = edge[TARGET]
                        n += 1
                    else:
                        waiting[held] = i
                        held += 1
                    i += 1
        kept = 0
        i = 0
        while i < held:
            number = waiting[i]
            edge = c[EDGES] + number * (8 * EDGE)
            if may_turn(c, edge, effect, written, onward):
                add_reads(effect, edge)
                todo[n] = edge[TARGET]
                n += 1
            else:
                waiting[kept] = number
                kept += 1
            i += 1
        held = kept
    c[HELD] += held
    return ends


def go_on(c, node, n):
    """Put the next steps of a process into ``TODO``; how many are there then."""
    i = node[NEXT_FROM]
    while i < node[NEXT_TO]:
        c[TODO][n] = c[FOLLOWING][i]
        n += 1
        i += 1
    return n


def look_ahead(c):
    """The future of the agents outside T: what each can do alone, and what follows from that."""
    clear(c[FUTURE], 4 * W)
    a = 0
    while a < AGENTS:
        if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
            add_effect(c[FUTURE], c[ALONE] + a * (32 * W))
        a += 1
    c[MARK] += 1
    held_from = c[HELD_FROM][AGENTS]
    held = held_from
    fresh = 1
    while fresh:
        n = 0
        a = 0
        while a < AGENTS:
            if c[INSIDE][a] == 0:
                n = pass_on(c, c[HELD_FROM][a], c[HELD_FROM][a + 1], n)
            a += 1
        n = pass_on(c, held_from, held, n)
        fresh = 0
        while n > 0:
            n -= 1
            number = c[TODO][n]
            if c[SEEN][number] != c[MARK] and c[SEEN][number] != c[ALONE_MARK]:
                c[SEEN][number] = c[MARK]
                fresh = 1
                node = c[NODES] + number * (8 * NODE)
                if node[EMPTY] == 0:
                    add_effect(c[FUTURE], node + 8 * EFFECT)
                    add_effect(more_of(c, node[AGENT]), node + 8 * EFFECT)
                    n = go_on(c, node, n)
                i = node[EDGE_FROM]
                stop = node[EDGE_TO]
                while i < stop:
                    edge = c[EDGES] + i * (8 * EDGE)
                    if true_now(c, edge):
                        add_reads(c[FUTURE], edge)
                        add_reads(more_of(c, node[AGENT]), edge)
                        c[TODO][n] = edge[TARGET]
                        n += 1
                    else:
                        c[WAITING][held] = i
                        held += 1
                    i += 1
    c[HELD] = held
    k = 0
    while k < W:
        c[WRITTEN][k] = changed_word(c, c[FUTURE], k)
        k += 1
    return 0


def more_of(c, agent):
    """The effect in ``MORE`` of an agent, for this walk."""
    effect = c[MORE] + agent * (32 * W)
    if c[MORE_MARK][agent] != c[MARK]:
        c[MORE_MARK][agent] = c[MARK]
        clear(effect, 4 * W)
    return effect


def pass_on(c, start, stop, n):
    """Put where some of the held edges lead into ``TODO``, if they can be passed now."""
    i = start
    while i < stop:
        edge = c[EDGES] + c[WAITING][i] * (8 * EDGE)
        if may_turn(c, edge, c[FUTURE], c[NOTHING], 1):
            add_reads(c[FUTURE], edge)
            node = c[NODES] + edge[TARGET] * (8 * NODE)
            add_reads(more_of(c, node[AGENT]), edge)
            c[TODO][n] = edge[TARGET]
            n += 1
        i += 1
    return n


def add_reads(effect, edge):
    """An edge that is passed reads the cells of its condition."""
    k = 0
    while k < W:
        effect[k] = effect[k] | edge[READS + k]
        k += 1
    return 0


def true_now(c, edge):
    """Whether the literal of an edge is true."""
    condition = edge[CONDITION]
    if condition < 0:
        return 1
    if c[TRUTH][condition] == edge[VALUE]:
        return 1
    return 0


def may_turn(c, edge, effect, written, onward):
    """Whether the literal of an edge may become true, while the cells ``written`` change, and with
    ``onward`` those that ``effect`` changes."""
    changing = 0
    k = 0
    while k < W:
        others = written[k]
        if onward:
            others = others | changed_word(c, effect, k)
        changing = changing | (edge[READS + k] & others)
        k += 1
    if changing:
        return 1
    return 0


def disturbed(c):
    """Put agents into T whose actions may not commute with those of T; whether there were any."""
    more = 0
    ahead = c[MARK]
    agent = 0
    while agent < AGENTS:
        if c[INSIDE][agent] == 1 and c[ENTRIES][agent] >= 0:
            c[TODO][0] = c[ENTRIES][agent]
            c[MARK] += 1
            held = c[HELD]
            ends = walk(c, c[SEEN_NOW], c[MINE], c[WRITTEN], 0)
            c[HELD] = held
            if ends:
                change(c, agent, c[MINE])
                if commutes(c, agent, c[MINE], c[FUTURE]) == 0:
                    more = more | blame(c, agent, ahead)
                change(c, agent, c[NOW] + agent * (32 * W))
        agent += 1
    return more


def blame(c, agent, ahead):
    """Put into T whom the action of an agent in ``MINE`` does not commute with."""
    more = 0
    a = 0
    while a < AGENTS:
        if c[INSIDE][a] == 0 and c[ENTRIES][a] >= 0:
            clash = 1
            if commutes(c, agent, c[MINE], c[ALONE] + a * (32 * W)):
                clash = 0
                if c[MORE_MARK][a] == ahead:
                    if commutes(c, agent, c[MINE], c[MORE] + a * (32 * W)) == 0:
                        clash = 1
            if clash:
                c[INSIDE][a] = 2
                more = 1
        a += 1
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
                if c[NODES][c[ENTRIES][agent] * NODE + FAIR]:
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
    k = 0
    while k < W:
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


def edges(c, state, out, cover):
    """What ``expand`` of :mod:`.emit` gives, for the reduced graph."""
    clear(c[SEEN], NODE_COUNT)
    clear(c[SEEN_NOW], NODE_COUNT)
    clear(c[MORE_MARK], AGENTS)
    clear(c[NOTHING], W)
    c[MARK] = 0
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
    return (found - (found & 0xFFFF_FFFF)) | count


HELPERS = (
    more_of,
    differs,
    shows,
    written_word,
    changed_word,
    add_effect,
    add_reads,
    go_on,
    clear,
    copy,
    same_words,
    true_now,
    may_turn,
)
FUNCTIONS = (
    commutes,
    shows_at,
    stays,
    closed,
    past,
    is_over,
    rest,
    used,
    watch,
    watched,
    pass_on,
    walk,
    look_alone,
    look_ahead,
    goes_forward,
    change,
    blame,
    disturbed,
    matters,
    good,
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
    fixed |= {name: i for i, name in enumerate(NODE_FIELDS)}
    fixed |= {name: i for i, name in enumerate(EDGE_FIELDS)}
    fixed |= {name: i for i, name in enumerate(PART_FIELDS)}
    fixed["ALL_BITS"] = (1 << 64) - 1
    return subset.compile_functions((edges,), HELPERS, fixed | constants, FUNCTIONS)
