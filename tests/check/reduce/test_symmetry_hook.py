"""What a symmetry is to the engines: the smallest one, of two threads that take turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shootdown.check import native, reference
from shootdown.check.native.layout import Layout
from shootdown.check.reduce import Reduction
from shootdown.check.result import Engine, Verdict
from shootdown.check.trace import trace_violation
from shootdown.lang.interpret import State
from shootdown.lang.ir import Body, Guard, System
from small_ir import binary, body, load, process, prop, put, system

ENGINES = [reference.explore, native.explore]


class Swap:
    """Variables 0 and 1, and the processes that stand there, are interchangeable."""

    text = "threads"

    def canonical(self, state: State) -> State:
        return (*sorted(state[:2]), *state[2:])

    def images(self, state: State) -> Iterator[State]:
        yield state
        yield (state[1], state[0], *state[2:])

    def native(self, system: System, layout: Layout) -> str:
        one, two = layout.slots[:2]
        assert layout.words == 1
        assert one.bits == two.bits
        return f"""
define internal i64 @canonical(ptr noalias %state) {{
  %word = load i64, ptr %state
  %up = lshr i64 %word, {one.shift}
  %a = and i64 %up, {(1 << one.bits) - 1}
  %down = lshr i64 %word, {two.shift}
  %b = and i64 %down, {(1 << two.bits) - 1}
  %less = icmp ult i64 %a, %b
  %least = select i1 %less, i64 %a, i64 %b
  %most = select i1 %less, i64 %b, i64 %a
  %rest = and i64 %word, {-1 - (one.mask | two.mask)}
  %first = shl i64 %least, {one.shift}
  %second = shl i64 %most, {two.shift}
  %some = or i64 %rest, %first
  %all = or i64 %some, %second
  store i64 %all, ptr %state
  ret i64 0
}}
"""


def turns(limit: int) -> System:
    """Two threads of three steps that count together; ``limit`` is what the count stays below."""

    def steps(pc: int) -> list[Body]:
        return [body(put(2, binary("add", load(2), 1)), put(pc, i + 1)) for i in range(3)]

    return system(
        [4, 4, 8],
        [0, 0, 0],
        processes=[process(0, *steps(0)), process(1, *steps(1))],
        invariants=[prop("few", binary("lt", load(2), limit))],
    )


@pytest.mark.parametrize("explore", ENGINES)
def test_one_state_of_each_orbit(explore: Engine) -> None:
    whole, half = explore(turns(7)), explore(turns(7), reduce=Reduction(symmetry=Swap()))
    assert (whole.states, half.states) == (16, 10)  # 4 * 4 pairs; 10 unordered ones
    assert half.verdict is Verdict.HOLDS
    assert (half.reductions, half.shortest, whole.reductions) == (("symmetry",), True, ())


@pytest.mark.parametrize("explore", ENGINES)
def test_the_race_is_one_of_the_system(explore: Engine) -> None:
    found = explore(turns(5), reduce=Reduction(symmetry=Swap()))
    assert found.violation is not None
    assert found.violation.length == 5
    trace = trace_violation(found.system, found.violation)
    assert trace.final[2] == 5


@pytest.mark.parametrize("explore", ENGINES)
def test_a_step_to_an_equal_state_is_still_progress(explore: Engine) -> None:
    """Each of two threads waits for the other to be ahead: (0, 1) and (1, 0) are one orbit."""

    def swap(pc: int, other: int) -> list[Body]:
        return [
            body(Guard(binary("eq", load(other), 1)), put(pc, 1), put(other, 0)),
            body(Guard(binary("eq", load(other), 2)), put(pc, 2)),
        ]

    made = system(
        [3, 3],
        [0, 1],
        processes=[process(0, *swap(0, 1)), process(1, *swap(1, 0))],
    )
    found = explore(made, reduce=Reduction(symmetry=Swap()))
    assert (found.states, found.violation) == (1, None)
