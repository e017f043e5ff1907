"""Each condition of the partial order reduction, on the smallest system that needs it."""

from __future__ import annotations

import pytest

from shootdown.check import native, reference
from shootdown.check.outcomes import outcomes
from shootdown.check.reduce import order, reductions
from shootdown.check.reduce.order import Order, order_of
from shootdown.check.result import Engine, Verdict, ViolationKind
from shootdown.lang.interpret import State
from shootdown.lang.ir import (
    Block,
    Body,
    Choice,
    Const,
    Done,
    Expr,
    Guard,
    Load,
    Place,
    Process,
    Reg,
    Store,
    System,
)
from small_ir import action, binary, body, load, process, prop, put, system

ENGINES = [reference.explore, native.explore]


def chosen(made: System, state: State) -> list[State | None]:
    """Where the outcomes lead that are enough in a state."""
    found = list(outcomes(made, state))
    return [o.state for o in Order(made).chosen(state, found).outcomes]


def thread(pc: int, *ops: list[Store | Guard], daemon: bool = False) -> Process:
    bodies: list[Body] = [body(*step, put(pc, i + 1)) for i, step in enumerate(ops)]
    return process(pc, *bodies, daemon=daemon)


def grow(variable: int, size: int = 4) -> Store:
    return put(variable, binary("mod", binary("add", load(variable), 1), size))


def bit(variable: int, number: int) -> Expr:
    return binary("and", binary("shr", load(variable), number), 1)


def test_private_steps_come_in_one_order_only() -> None:
    made = system(
        [3, 3, 4, 4],
        [0, 0, 0, 0],
        processes=[thread(0, [grow(2)], [grow(2)]), thread(1, [grow(3)], [grow(3)])],
    )
    assert chosen(made, (0, 0, 0, 0)) == [(1, 0, 1, 0)]
    whole = reference.explore(made)
    for explore in ENGINES:
        ordered = explore(made, reduce=reductions(made, ("order",)))
        merged = explore(made, reduce=reductions(made, ("order", "merge")))
        assert (whole.states, ordered.states, merged.states) == (9, 5, 2)
        assert merged.verdict is Verdict.HOLDS


def test_steps_on_one_variable_are_taken_in_both_orders() -> None:
    made = system([2, 2, 4], [0, 0, 0], processes=[thread(0, [grow(2)]), thread(1, [put(2, 3)])])
    assert len(chosen(made, (0, 0, 0))) == 2


def test_setting_bits_commutes_and_reading_them_does_not() -> None:
    def setting(number: int) -> Store:
        return put(2, binary("or", load(2), 1 << number))

    both = [thread(0, [setting(0)]), thread(1, [setting(1)])]
    assert len(chosen(system([2, 2, 4], [0, 0, 0], processes=both), (0, 0, 0))) == 1
    reader = thread(1, [put(3, bit(2, 0))])
    made = system([2, 2, 4, 2], [0, 0, 0, 0], processes=[both[0], reader])
    assert len(chosen(made, (0, 0, 0, 0))) == 2
    other = thread(1, [put(3, bit(2, 1))])
    made = system([2, 2, 4, 2], [0, 0, 0, 0], processes=[both[0], other])
    assert len(chosen(made, (0, 0, 0, 0))) == 1


def test_a_later_step_of_the_other_thread_counts() -> None:
    late = thread(1, [grow(3)], [put(2, 3)])
    made = system([2, 3, 4, 4], [0, 0, 0, 0], processes=[thread(0, [grow(2)]), late])
    # the other thread's own step may come first; this one's may not
    assert chosen(made, (0, 0, 0, 0)) == [(0, 1, 0, 1)]
    assert len(chosen(made, (0, 1, 0, 1))) == 2


def test_who_waits_for_a_lock_can_do_nothing() -> None:
    """The holder's access to what the lock protects is taken alone."""

    def locker(pc: int, owner: int) -> Process:
        free = Guard(binary("eq", load(2), 0))
        return thread(pc, [free, put(2, owner)], [grow(3)], [put(2, 0)])

    made = system([4, 4, 3, 4], [0, 0, 0, 0], processes=[locker(0, 1), locker(1, 2)])
    assert len(chosen(made, (0, 0, 0, 0))) == 2
    assert chosen(made, (1, 0, 1, 0)) == [(2, 0, 1, 1)]
    assert chosen(made, (1, 1, 0, 0)) != [(2, 1, 0, 1)]  # both inside: broken, and seen


@pytest.mark.parametrize("explore", ENGINES)
def test_what_an_invariant_reads_is_not_passed_by(explore: Engine) -> None:
    """Steps on 2 and 3 commute, but their order decides whether (0, 1) is seen."""
    invariant = prop("never", binary("lor", binary("ne", load(2), 0), binary("ne", load(3), 1)))
    made = system(
        [2, 2, 2, 2],
        [0, 0, 0, 0],
        processes=[thread(0, [put(2, 1)]), thread(1, [put(3, 1)])],
        invariants=[invariant],
    )
    for names in (("order",), ("merge",), ("order", "merge")):
        assert explore(made, reduce=reductions(made, names)).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("explore", ENGINES)
def test_a_state_that_is_passed_through_has_no_goal(explore: Engine) -> None:
    """One thread alone reaches 1 and goes on to 2: nothing else moves, and yet 1 must be seen."""
    made = system(
        [3, 3],
        [0, 0],
        processes=[thread(0, [put(1, 1)], [put(1, 2)])],
        goals=[prop("one", binary("eq", load(1), 1))],
    )
    found = explore(made, reduce=reductions(made, ("order", "merge")))
    assert found.verdict is Verdict.HOLDS


def test_the_sign_of_a_shifted_number_is_read() -> None:
    """Bit 10 of ``(v2 - 1) >> 60`` is the sign, which all of ``v2`` decides."""
    below = binary("shr", binary("sub", load(2), 1), 60)
    sign = binary("and", binary("shr", below, 10), 1)
    made = system(
        [2, 2, 2, 2],
        [0, 0, 0, 0],
        processes=[thread(0, [put(3, sign)]), thread(1, [put(2, 1)])],
    )
    assert len(chosen(made, (0, 0, 0, 0))) == 2


def test_an_element_outside_an_array_is_0() -> None:
    """Also where the last element was stored before in the same step."""
    outside = Load(Place(2, ((Const(1), 1, 1),)))
    goes_on: list[Store | Guard] = [put(2, 1), Guard(binary("eq", outside, 0)), put(3, 1)]
    made = system(
        [2, 2, 2, 2],
        [0, 0, 0, 0],
        processes=[thread(0, goes_on), thread(1, [put(3, 0)])],
    )
    assert len(chosen(made, (0, 0, 0, 0))) == 2


def looping() -> System:
    """A daemon that goes round in private, and a thread whose only step breaks the invariant."""
    spin = process(0, body(grow(2), put(0, 1)), body(grow(2), put(0, 0)), daemon=True)
    return system(
        [3, 2, 4, 2],
        [0, 0, 0, 0],
        processes=[spin, thread(1, [put(3, 1)])],
        invariants=[prop("zero", binary("eq", load(3), 0))],
    )


@pytest.mark.parametrize("explore", ENGINES)
def test_a_loop_does_not_put_off_others_for_ever(explore: Engine) -> None:
    made = looping()
    found = explore(made, reduce=reductions(made, ("order", "merge")))
    assert found.verdict is Verdict.VIOLATED


def test_without_the_condition_on_cycles_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    made = looping()
    steps = iter(range(10**6))
    monkeypatch.setattr(Order, "height", lambda self, state: (next(steps), 0))
    assert reference.explore(made, reduce=reductions(made, ("order",))).violation is None


def stuck() -> System:
    """A thread that waits for ever, once the other one has ended; hardware sets a bit meanwhile,
    which frees it, but need not."""
    waits = thread(0, [Guard(binary("eq", load(2), 1))])
    sets = action("set", body(Guard(binary("eq", load(2), 0)), put(2, 1)), fair=False)
    return system([2, 2, 2], [0, 0, 0], processes=[waits, thread(1, [])], rules=[sets])


@pytest.mark.parametrize("explore", ENGINES)
def test_what_need_not_happen_does_not_hide_a_deadlock(explore: Engine) -> None:
    made = stuck()
    whole = explore(made)
    found = explore(made, reduce=reductions(made, ("order", "merge")))
    assert whole.violation is not None
    assert found.violation is not None
    assert whole.violation.kind is found.violation.kind is ViolationKind.DEADLOCK


def test_counters_used_as_data_are_left_alone() -> None:
    from_data = process(0, body(Store(Place(0), load(1))))
    found = order_of(system([2, 2], [0, 0], processes=[from_data]))
    assert found is not None  # all places are known to which it may go
    nodes = found.flow.nodes
    assert sorted(pc for node in nodes for pc in node.following) == [0, 1]
    wide = Body((Block((), Choice(1, Const(3), 65, 1)), Block((put(0, Reg(1)),), Done())), 4)
    assert order_of(system([2], [0], processes=[process(0, wide)])) is None
    of_another = process(0, body(put(1, 1), put(0, 1)))
    made = system([2, 2], [0, 0], processes=[of_another, process(1, body(put(1, 1)))])
    assert order_of(made) is None
    assert not reductions(made, ("order", "merge"))
    assert order.order_of(looping()) is not None
