"""What can make an invariant or a goal show."""

from __future__ import annotations

import random
from itertools import product

import pytest

from random_steps import Steps
from shootdown.check.reduce.cells import Effect
from shootdown.check.reduce.flow import Flow, known
from shootdown.check.reduce.order import Order
from shootdown.check.reduce.visible import _turns
from shootdown.lang.interpret import Way, value_of
from shootdown.lang.ir import Expr
from small_ir import binary, body, load, process, prop, put, system


def bit(variable: int, number: int) -> Expr:
    return binary("and", binary("shr", load(variable), number), 1)


@pytest.mark.parametrize("start", range(0, 400, 200))
def test_what_is_said_of_a_condition_is_true_in_every_state(start: int) -> None:
    """Setting a cell that is not among those that make it true does not make it true, and so on."""
    compared = one_way = 0
    for seed in range(start, start + 200):
        steps = Steps(seed)
        steps.own = []
        truth = steps.truth(2)
        made = system(steps.sizes, steps.init)
        cells = Flow(made).cells
        if not known(truth) or sum(mask.bit_length() for mask in cells.mask) > 9:
            continue
        rising, falling = _turns(cells, truth)
        one_way += rising != falling
        values = {}
        for state in product(*map(range, steps.sizes)):
            values[cells.pack(state)] = bool(value_of(truth, Way(list(state), [], [], [])))
        for low, before in values.items():
            for number in range(9):
                high = low | 1 << number
                if high == low or high not in values or values[high] == before:
                    continue
                compared += 1
                # true by setting, or false by setting: true by clearing
                assert (rising if values[high] else falling) >> number & 1, (seed, truth)
    assert compared > 100
    assert one_way > 10


@pytest.mark.parametrize("start", range(0, 400, 200))
def test_a_corner_shows_if_anything_does(start: int) -> None:
    """Where most is done for a root it shows, if it does in any state that an effect leads to; and
    where least is done for it, only if it does in all of them."""
    shown = hidden = 0
    for seed in range(start, start + 200):
        steps = Steps(seed)
        steps.own = []
        truth = steps.truth(2)
        made = system(steps.sizes, steps.init, goals=[prop("goal", truth)])
        flow = Flow(made)
        bits = sum(mask.bit_length() for mask in flow.cells.mask)
        if not known(truth) or bits > 9:
            continue
        draw = random.Random(seed)
        for root in (part for part in Order(made).parts if part.root):
            assert root.expr is not None
            effect = Effect(ones=draw.getrandbits(bits), zeros=draw.getrandbits(bits))
            now = flow.cells.pack(made.init)
            sets, clears = effect.ones & ~now, effect.zeros & now
            found = {
                root.shows(
                    value_of(root.expr, Way(flow.cells.unpack(after, made.init), [], [], []))
                )
                for after in range(1 << bits)
                if not (after & ~now & ~sets or now & ~after & ~clears)
            }
            for most in (True, False):
                corner = root.corner(effect, now, most)
                if corner is None:
                    continue
                way = Way(flow.cells.unpack(corner, made.init), [], [], [])
                assert root.shows(value_of(root.expr, way)) == (
                    most if len(found) == 2 else max(found)
                )
                shown += True in found
                hidden += found == {False}
    assert shown > 50
    assert hidden > 20


def test_parts_of_an_invariant_are_looked_at_alone() -> None:
    """Each thread makes its own half true; that hides nothing of the other half."""
    halves = [binary("lor", bit(2, i), binary("ne", load(3 + i), 1)) for i in (0, 1)]
    whole = binary("land", *halves)
    threads = [
        process(pc, body(put(2, binary("or", load(2), 1 << pc)), put(pc, 1)), body(put(3 + pc, 1)))
        for pc in (0, 1)
    ]
    made = system([3, 3, 4, 2, 2], [0] * 5, processes=threads, invariants=[prop("both", whole)])
    roots = [part for part in Order(made).parts if part.root]
    assert [part.harmless for part in roots] == [-1, -1]
    for number, root in enumerate(roots):
        cells = Order(made).flow.cells
        assert root.clears == cells.variable(2, 1 << number)
        assert root.sets == cells.variable(3 + number)
