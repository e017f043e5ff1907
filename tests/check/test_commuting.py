"""Outcomes that are known to be known are left out, and nothing else changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dontneed_ir import dontneed
from shootdown.check import reference
from shootdown.check.native import engine
from shootdown.check.native.commuting import ITEMS, commuting
from shootdown.check.result import Limits, Result, ViolationKind
from shootdown.lang.ir import (
    Action,
    Block,
    Body,
    Branch,
    Check,
    Choice,
    Const,
    Cover,
    Done,
    Expr,
    Guard,
    Jump,
    Load,
    Op,
    Place,
    Reg,
    Set,
    Store,
    System,
)
from small_ir import action, binary, body, load, process, prop, put, system

SIZE = 3
CHOSEN = Reg(1)


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


def chooses(mask: int, width: int, *ops: Op, then: tuple[Block, ...] = ()) -> Body:
    """Take one of the elements of a variable, which is in register 1 then, and go on with ``ops``;
    behind these a jump to the first of the blocks ``then``."""
    first = Block((Cover(0), Set(0, load(mask))), Choice(1, Reg(0), width, 1))
    return Body((first, Block(ops, Jump(2) if then else Done()), *then), 4)


def at(base: int, width: int, value: int, index: Expr = CHOSEN) -> Store:
    """A store to the element of an array that register 1 names."""
    return Store(Place(base, ((index, 1, width),)), Const(value))


def masks(seed: int) -> System:
    """Threads that each go through a set, in any order, and write to an array; rules beside."""
    pick = random.Random(seed).randrange
    width, threads = 2 + pick(2), 2 + pick(2)
    array, full = 2 * threads, (1 << width) - 1
    sizes = [v for _ in range(threads) for v in (3, 1 << width)] + [3] * width + [2, 2]
    first, second = len(sizes) - 2, len(sizes) - 1

    def flush(pc: int) -> Body:
        left = binary("and", load(pc + 1), binary("xor", binary("shl", 1, Reg(1)), full))
        ops: list[Op] = [at(array, width, pick(2)), put(pc + 1, left)]
        if not pick(4):
            ops.append(at(array, width, pick(2), binary("sub", width - 1, Reg(1))))
        if not pick(4):
            ops.append(put(first, pick(2)))
        if not pick(6):
            ops.append(Guard(binary("ne", Reg(1), pick(3))))
        if not pick(12):
            ops.insert(pick(3), Set(1, Const(pick(width))))  # the value is lost
        if not pick(30):
            ops.insert(0, Check(binary("eq", Load(Place(array, ((Reg(1), 1, width),))), 1), 0))
        if pick(2):
            ends = binary("ne", Load(Place(pc + 1)), 0)
            done = Block((Cover(1), put(pc, 2)), Done())
            return Body(
                (
                    Block((Cover(0),), Choice(1, load(pc + 1), width, 1)),
                    Block(tuple(ops), Branch(ends, 3, 2)),
                    done,
                    Block((), Done()),
                ),
                4,
            )
        end = binary("add", 1, binary("eq", load(pc + 1), 0))
        return chooses(pc + 1, width, *ops, put(pc, end))

    processes = [
        process(
            pc,
            body(put(pc, 1), put(pc + 1, 1 + pick(full))),
            flush(pc),
            daemon=pick(3) > 0,
        )
        for pc in range(0, array, 2)
    ]
    rules = []
    for n in range(2 + pick(3)):
        where = array + pick(width)
        ops: list[Op] = [Guard(binary("ne", load(where), pick(2))), put(where, pick(3))]
        if not pick(3):
            ops[0] = Guard(binary("eq", load(second), 0))
            ops.append(put(second, 1))
        if not pick(3):
            ops.append(put(first, pick(2)))
        rules.append(action(f"rule {n}", body(*ops[pick(4) // 3 :]), fair=not pick(3)))
    if pick(2):
        mask = Const(1 + pick(full))
        rest = Block((at(array, width, pick(3)),), Done())
        some = Body((Block((), Choice(1, mask, width, 1)), rest), 4)
        rules.append(action("some", some, fair=not pick(3)))
    far = binary("lt", binary("add", load(array), load(array + 1)), 5 if pick(4) else 4)
    init = [0] * len(sizes)
    init[array : array + width] = [pick(2) for _ in range(width)]
    return system(sizes, init, rules=rules, processes=processes, invariants=[prop("far", far)])


@pytest.mark.parametrize("make", [loose, masks])
def test_the_result_is_the_reference_engines(make: Callable[[int], System]) -> None:
    some = 0
    for seed in range(120):
        made = make(seed)
        limits = Limits(states=(60, 300, 600)[seed % 3])
        expected = reference.explore(made, limits)
        assert facts(engine.explore(made, limits, good_code_after=9)) == facts(expected), seed
        some += expected.states > 60
    assert some > 30


@pytest.mark.parametrize("write", [body(put(2, 0)), chooses(4, 2, at(1, 2, 0))])
def test_what_only_repeats_a_write_is_no_progress(write: Body) -> None:
    """The second rule changes something in the initial state, but not after the first."""
    repeats = action("repeats", write)
    once = action("once", body(Guard(binary("eq", load(3), 0)), put(2, 0), put(3, 1)))
    waits = process(0, body(Guard(load(2)), Guard(load(3))))
    made = system([2, 2, 2, 2, 4], [0, 0, 1, 0, 2], rules=[repeats, once], processes=[waits])
    expected = reference.explore(made)
    assert expected.violation is not None
    assert expected.violation.kind is ViolationKind.DEADLOCK
    assert facts(engine.explore(made)) == facts(expected)


def test_a_thread_takes_one_step_of_those_that_it_can_choose() -> None:
    made = system(
        [2, 4, 2, 2], [0, 3, 0, 0], processes=[process(0, chooses(1, 2, at(2, 2, 1), put(0, 1)))]
    )
    assert kinds(made, made.processes[0].actions[0]) == [[(1, 0), (2, 0)]]
    assert facts(engine.explore(made)) == facts(reference.explore(made))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("size", [(2, 1), (2, 2)])
def test_dontneed(size: tuple[int, int], nested: bool) -> None:
    made = dontneed(*size, nested=nested)
    assert facts(engine.explore(made)) == facts(reference.explore(made))


def kinds(made: System, *actions: Action) -> list[list[tuple[int, int]]]:
    """For each action, for each of its values: its bit and those that commute with it."""
    ways = commuting(made).ways
    return [[(k % (1 << ITEMS), k >> ITEMS) for k in ways[id(a)].kinds()] for a in actions]


def test_what_commutes() -> None:
    one = action("one", body(put(0, 1)))
    two = action("two", body(put(1, load(2))))
    three = action("three", body(put(2, 1)))
    made = system([2] * 3, [0] * 3, rules=[one, two, three])
    assert kinds(made, one, two, three) == [[(1, 6)], [(2, 1)], [(4, 1)]]


def test_writes_of_one_constant_commute() -> None:
    one, two, three = (action(f"{n}", body(put(0, n // 2), put(n, 1))) for n in (1, 2, 3))
    made = system([2] * 4, [0] * 4, rules=[one, two, three])
    assert kinds(made, one, two, three) == [[(1, 0)], [(2, 4)], [(4, 2)]]
    twice = action("twice", body(put(0, 0), put(0, 1)))
    made = system([2] * 4, [0] * 4, rules=[two, twice])
    assert kinds(made, two, twice) == [[(1, 0)], [(2, 0)]]


def test_each_value_of_a_choice_has_a_bit() -> None:
    """Variables 1 and 2 are an array."""
    some = action("some", chooses(0, 2, at(1, 2, 0)))
    first = action("first", body(put(1, 0)))
    second = action("second", body(Guard(load(2)), put(2, 0)))
    other = action("other", body(put(0, 3)))
    made = system([4, 2, 2], [3, 1, 1], rules=[some, first, second, other])
    assert kinds(made, some, first, second, other) == [
        [(1, 2 | 4 | 8), (2, 1 | 4)],
        [(4, 1 | 2 | 8 | 16)],
        [(8, 1 | 4 | 16)],
        [(16, 4 | 8)],
    ]


def test_a_value_that_is_lost_has_no_bit() -> None:
    lost = action("lost", chooses(0, 2, Set(1, Const(0)), at(1, 2, 0)))
    beside = action("beside", chooses(0, 2, at(1, 2, 0), then=(Block((), Done()),)))
    assert len(kinds(system([4, 2, 2], [3, 1, 1], rules=[beside]), beside)[0]) == 2
    ways = Block((), Branch(load(1), 1, 2))
    around = Body((ways, Block((), Choice(1, Const(3), 2, 2)), Block((put(2, Reg(1)),), Done())), 2)
    some = action("around", around)
    made = system([4, 2, 2], [3, 1, 1], rules=[lost, some])
    assert kinds(made, lost, some) == [[(0, 0)], [(0, 0)]]


def test_more_outcomes_than_bits() -> None:
    """Rules come before steps, and of the last choice the first values."""
    rules = [action(f"rule {n}", body(put(n, 1))) for n in range(30)]
    steps = [process(30 + n, chooses(32 + n, 3, put(30 + n, 1))) for n in range(2)]
    made = system([2] * 32 + [8, 8], [0] * 32 + [7, 7], rules=rules, processes=steps)
    one, two = kinds(made, *(p.actions[0] for p in steps))
    assert [bit for bit, _ in one + two] == [1 << 30, 1 << 31, 0, 0, 0, 0]
    limits = Limits(states=300)
    assert facts(engine.explore(made, limits)) == facts(reference.explore(made, limits))
