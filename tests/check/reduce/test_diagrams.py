"""Decision diagrams compute what Python computes, and bodies mean what the interpreter does."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from random_ir import Generator, Group
from shootdown.check.reduce.bdd import FALSE, TRUE, Diagrams, TooLargeError, Vector
from shootdown.check.reduce.symbolic import Symbolic, UnknownError, choices_of
from shootdown.lang.interpret import ways
from shootdown.lang.ir import Body, System

OPERATORS: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
    "lt": lambda a, b: int(a < b),
    "le": lambda a, b: int(a <= b),
    "gt": lambda a, b: int(a > b),
    "ge": lambda a, b: int(a >= b),
    "min": min,
    "max": max,
}


def number(vector: Vector) -> int:
    """The integer in a vector of constants."""
    assert set(vector) <= {FALSE, TRUE}
    return sum(bit << i for i, bit in enumerate(vector[:-1])) - (vector[-1] << len(vector) - 1)


@given(a=st.integers(-300, 300), b=st.integers(-300, 300), op=st.sampled_from(sorted(OPERATORS)))
def test_constants(a: int, b: int, op: str) -> None:
    d = Diagrams()
    symbolic = Symbolic(d, lambda _: (FALSE,), {})
    assert number(symbolic.binary(op, d.constant(a), d.constant(b))) == OPERATORS[op](a, b)


@given(a=st.integers(-300, 300), b=st.integers(1, 12))
def test_division_shifts_and_bits(a: int, b: int) -> None:
    d = Diagrams()
    symbolic = Symbolic(d, lambda _: (FALSE,), {})
    x, y = d.constant(a), d.constant(b)
    assert number(symbolic.binary("floordiv", x, y)) == a // b
    assert number(symbolic.binary("mod", x, y)) == a % b
    assert number(symbolic.binary("shl", x, y)) == a << b
    assert number(symbolic.binary("shr", x, y)) == a >> b
    assert number(d.popcount(d.constant(abs(a)))) == abs(a).bit_count()


def test_equal_functions_are_one() -> None:
    d = Diagrams()
    x, y, z = map(d.variable, range(3))
    one = d.either(d.both(x, y), d.both(x, z))
    assert one == d.both(x, d.either(y, z))
    assert d.no(d.no(one)) == one
    assert d.differ(one, one) == FALSE


def test_a_limit_is_an_error() -> None:
    d = Diagrams(most=20)
    with pytest.raises(TooLargeError):
        d.multiply(tuple(map(d.variable, range(6))), tuple(map(d.variable, range(6, 12))))


def bits_of(system: System, state: tuple[int, ...]) -> dict[int, int]:
    """The values of the diagrams' variables: 40 for each of the system's."""
    return {40 * v + i: value >> i & 1 for v, value in enumerate(state) for i in range(40)}


def outcomes_of(system: System, body: Body, state: tuple[int, ...]) -> list[str]:
    """What the diagrams say that a body does in a state."""
    d = Diagrams()
    base = 40 * len(system.variables)
    chosen: dict[int, Vector] = {}
    for k, (block, _) in enumerate(choices_of(body)):
        bits = [d.variable(base + 2 * k + i) for i in range(2)]
        chosen[block] = (*bits, FALSE)

    def before(v: int) -> Vector:
        size = (system.variables[v].size - 1).bit_length()
        return (*(d.variable(40 * v + i) for i in range(size)), FALSE)

    meaning = Symbolic(d, before, chosen).run(body)
    found: list[object] = []
    for choice in range(4 ** len(chosen)):
        values = bits_of(system, state) | {base + i: choice >> i & 1 for i in range(8)}

        def value(f: int, values: dict[int, int] = values) -> int:
            while f > 1:
                bit, low, high = d.nodes[f]
                f = high if values[bit] else low
            return f

        for failure, where in meaning.failures.items():
            if value(where):
                found.append(("fails", failure))
        if value(meaning.enabled):
            after = list(state)
            for v, vector in meaning.after.items():
                after[v] = number(tuple(map(value, vector)))
            found.append(tuple(after))
    return sorted(map(repr, found))


@settings(max_examples=60, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_bodies(rng: Random) -> None:
    generator = Generator(rng.randrange)
    for size in (2, 3, 4):
        base = generator.declare(3, size)
        generator.groups.append(Group(base, ((1, 3),), size))
    body = generator.body()
    system = Generator(rng.randrange).system()
    small = replace(system, variables=tuple(generator.variables))
    state = tuple(rng.randrange(v.size) for v in small.variables)
    try:
        found = outcomes_of(small, body, state)
    except (UnknownError, TooLargeError):
        event("not followed")
        return
    wanted: list[object] = []
    for way in ways(body, state, notes=False):
        if not way.abandoned:
            fails = way.failure is not None
            wanted.append(("fails", way.failure) if fails else tuple(way.state))
    assert found == sorted(map(repr, wanted))
