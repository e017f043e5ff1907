"""What :meth:`shootdown.check.reduce.order.Order.settled` does, on packed states: a part of
:mod:`.choose`, with its context and its helpers."""

# ruff: noqa: F821
# mypy: ignore-errors

from __future__ import annotations


def settle(c, state):
    """Make those cells of a state 0 that nobody will look at."""
    c[STATE] = state
    conditions(state, c[TRUTH])
    entries(state, c[ENTRIES])
    k = 0
    while k < W:
        c[USED][k] = c[KEPT][k]
        k += 1
    clear(c[FUTURE], 4 * W)
    c[MARK] += 1
    n = 0
    a = 0
    while a < AGENTS:
        if c[ENTRIES][a] >= 0:
            c[TODO][n] = c[ENTRIES][a]
            n += 1
        a += 1
    held = 0
    while n > 0:
        while n > 0:
            n -= 1
            number = c[TODO][n]
            if c[SEEN][number] != c[MARK]:
                c[SEEN][number] = c[MARK]
                node = c[NODES] + number * (8 * NODE)
                k = 0
                while k < W:
                    c[USED][k] = c[USED][k] | node[USES + k]
                    k += 1
                if node[EMPTY] == 0:
                    add_effect(c[FUTURE], node + 8 * EFFECT)
                    n = go_on(c, node, n)
                i = node[EDGE_FROM]
                stop = node[EDGE_TO]
                while i < stop:
                    edge = c[EDGES] + i * (8 * EDGE)
                    if true_now(c, edge):
                        c[TODO][n] = edge[TARGET]
                        n += 1
                    else:
                        c[WAITING][held] = i
                        held += 1
                    i += 1
        kept = 0
        i = 0
        while i < held:
            edge = c[EDGES] + c[WAITING][i] * (8 * EDGE)
            if may_turn(c, edge, c[FUTURE], c[NOTHING], 1):
                c[TODO][n] = edge[TARGET]
                n += 1
            else:
                c[WAITING][kept] = c[WAITING][i]
                kept += 1
            i += 1
        held = kept
    k = 0
    while k < W:
        state[k] = state[k] & c[USED][k]
        k += 1
    return 0
