"""Programs whose races a careless partial order reduction does not find."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.check import native, reference
from shootdown.check.outcomes import outcomes
from shootdown.check.reduce import reductions
from shootdown.check.result import Engine, ViolationKind
from shootdown.lang.loader import load_file

BOX = """
from shootdown.lang import *

class Box(Object):
    a: int = ranged(0, 3, init=3)
    slot: int = ranged(0, 1, init=1)
    n: int = ranged(0, 1)
    x: bool
    y: bool
    z: bool
    r: bool
    w: bool

RULES = ()
INVARIANTS = ()
"""
SETUP = """
@scenario("box", expect="VIOLATED")
def box() -> Setup:
    threads = [Thread(path, Box(0)) for path in THREADS]
    return Setup(sizes={Box: 1}, threads=threads, hardware=Hardware("none", RULES, ()),
                 invariants=INVARIANTS)
"""
NEGATIVE = """
@atomic
def step(b: Box) -> None:
    when(b.a != -1)
    b.x = True

@path
def one(b: Box) -> None:
    step(b)

@path
def two(b: Box) -> None:
    b.z = True
    b.a = 3

@path
def three(b: Box) -> None:
    if READ_ONCE(b.x):
        b.a = 2

@invariant("INV")
def inv() -> bool:
    # x before z
    return all(not b.x or b.z for b in Box)

INVARIANTS = (inv,)
THREADS = (one, two, three)
"""
NEGATIVE_BRANCH = """
@path
def one(b: Box) -> None:
    if READ_ONCE(b.slot) != -1:
        b.x = True

@path
def two(b: Box) -> None:
    if READ_ONCE(b.x):
        b.r = True
    b.z = True
    b.slot = 0

@invariant("INV")
def inv() -> bool:
    # r before
    return all(not b.r for b in Box)

INVARIANTS = (inv,)
THREADS = (two, one)
"""
RISKY = """
@rule(fair=True)
def risky(b: Box) -> None:
    when(not b.z)
    {check}
    when(b.y)
    b.w = True

@path
def close(b: Box) -> None:
    b.z = True
    b.y = True

@path
def other(b: Box) -> None:
    b.x = True
    b.n = 1

RULES = (risky,)
THREADS = (close, other)
"""
CASES = {
    "a constant below zero": (NEGATIVE, ViolationKind.INVARIANT),
    "a branch on a constant below zero": (NEGATIVE_BRANCH, ViolationKind.INVARIANT),
    "an assertion before a guard": (
        RISKY.format(check='assert not b.x, "INV-X: x seen"'),
        ViolationKind.ASSERTION,
    ),
    "a range before a guard": (
        RISKY.format(check="m: int = ranged(0, 1)\n    m = b.n + b.n"),
        ViolationKind.MODEL_ERROR,
    ),
}


@pytest.mark.parametrize("explore", [reference.explore, native.explore])
@pytest.mark.parametrize("case", CASES)
def test_the_race_is_found(case: str, explore: Engine, tmp_path: Path) -> None:
    source, kind = CASES[case]
    file = tmp_path / "box.py"
    file.write_text(BOX + source + SETUP)
    system = load_file(str(file))[0].compile()
    for names in ((), ("order",), ("order", "merge"), ("symmetry", "order", "merge")):
        violation = explore(system, reduce=reductions(system, names)).violation
        assert violation is not None, names
        assert violation.kind is kind, names


POINTERS = """
class Item(Object):
    count: int = ranged(0, 1)

class List(Object):
    head: Item | None
    marked: set[Item]

@rule(fair=True)
def take(list: List, item: Item) -> None:
    when(item not in list.marked and list.head is None)
    list.marked.add(item)
    list.head = item

@path
def look(list: List) -> None:
    if READ_ONCE(list.head) is not None:
        list.marked = set()

@scenario("list", expect="HOLDS")
def items() -> Setup:
    return Setup(sizes={List: 1, Item: 3}, threads=[Thread(look, List(0))],
                 hardware=Hardware("none", (take,), ()))
"""


def test_the_height_of_images_is_the_same(tmp_path: Path) -> None:
    """Symmetry exchanges states of one height only, or a cycle could be left out for ever."""
    file = tmp_path / "items.py"
    file.write_text("from shootdown.lang import *\n" + POINTERS)
    system = load_file(str(file))[0].compile()
    found = reductions(system, ("symmetry", "order"))
    assert found.symmetry is not None
    assert found.order is not None
    assert found.order.up  # items that are not marked yet
    states, todo = {system.init}, [system.init]
    for state in todo:  # grows
        height = found.order.height(state)
        images = list(found.symmetry.images(state))
        assert {found.order.height(image) for image in images} == {height}
        for outcome in outcomes(system, state):
            if outcome.state is not None and outcome.state not in states:
                states.add(outcome.state)
                todo.append(outcome.state)
    assert max(len(set(found.symmetry.images(s))) for s in states) == 3
