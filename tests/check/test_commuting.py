"""Outcomes that are known to be known are left out, and nothing else changes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dontneed_ir import dontneed
from shootdown.check import reference
from shootdown.check.native import engine
from shootdown.check.native.commuting import commuting
from shootdown.check.result import Limits, Result
from shootdown.lang.ir import Block, Body, Check, Choice, Const, Cover, Done, Guard, Op, Reg, System
from small_ir import action, binary, body, load, process, prop, put, system

SIZE = 3


def facts(result: Result) -> Result:
    """What does not depend on the machine."""
    return replace(result, engine="", seconds=0.0, memory=0)


def loose(seed: int) -> System:
    """Rules over a few variables, most of which have nothing to do with each other."""
    pick = random.Random(seed).randrange
    count = 6 + pick(3)

    def rule(number: int) -> Body:
        mine, other = pick(count), pick(count)
        value = binary("mod", binary("add", load(mine), 1 + pick(2)), SIZE)
        ops: list[Op] = [
            Cover(pick(4)),
            Guard(binary(("ge", "ne")[pick(2)], load(mine), pick(2))),
            Cover(pick(4)),
            put(mine, value if pick(8) else pick(SIZE)),
        ]
        if not pick(5):
            ops.insert(1, Guard(binary("ne", load(other), pick(SIZE))))
        if not pick(4):
            ops.append(put(other, pick(SIZE)))
        if not pick(40):
            ops.insert(pick(2) * 2, Check(binary("ne", load(other), pick(SIZE)), 0))
        if not pick(6):
            return Body(
                (Block((), Choice(0, Const(3), 2, 1)), Block((put(mine, Reg(0)),), Done())), 4
            )
        return body(*(ops[2:] if not pick(6) else ops))

    rules = [action(f"rule {n}", rule(n), fair=not pick(3)) for n in range(8 + pick(6))]
    waits = process(count, body(Guard(binary("eq", load(pick(count)), SIZE)), put(count, 1)))
    total = binary("add", binary("add", load(0), load(1)), binary("add", load(2), load(3)))
    far = binary("lt", total, 7 + pick(3))
    return system(
        [SIZE] * count + [2],
        [0] * (count + 1),
        rules=rules,
        processes=[waits] if not pick(3) else [],
        invariants=[prop("not too far", far)],
    )


def test_the_result_is_the_reference_engines() -> None:
    some = 0
    for seed in range(120):
        made = loose(seed)
        limits = Limits(states=(60, 300, 600)[seed % 3])
        expected = reference.explore(made, limits)
        assert facts(engine.explore(made, limits, good_code_after=9)) == facts(expected), seed
        some += expected.states > 60
    assert some > 30


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("size", [(2, 1), (2, 2)])
def test_dontneed(size: tuple[int, int], nested: bool) -> None:
    made = dontneed(*size, nested=nested)
    assert facts(engine.explore(made)) == facts(reference.explore(made))


def test_what_commutes() -> None:
    one = action("one", body(put(0, 1)))
    two = action("two", body(put(1, load(2))))
    three = action("three", body(put(2, 1)))
    some = Body((Block((), Choice(0, Const(3), 2, 1)), Block((put(3, Reg(0)),), Done())), 1)
    four = action("four", some)
    found = commuting(system([2] * 4, [0] * 4, rules=[one, two, three, four]))
    bits = [found.bits.get(id(rule), 0) for rule in (one, two, three, four)]
    assert bits == [1, 2, 4, 0]  # what has a choice is not left out
    assert [found.others[id(rule)] for rule in (one, two, three, four)] == [6, 1, 1, 7]
