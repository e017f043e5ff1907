"""Small systems whose counts can be worked out by hand, on both engines.

What a search means is the same for both, so most tests here run on each of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dontneed_ir import dontneed
from shootdown.check import native, reference
from shootdown.check.native import engine
from shootdown.check.outcomes import holds, outcomes
from shootdown.check.result import Limits, Result, Verdict, ViolationKind
from shootdown.errors import UnfinishedError
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
    Note,
    NoteKind,
    Place,
    Reg,
    Select,
    Set,
    Shown,
    Store,
    System,
    Unary,
)
from small_ir import action, binary, body, load, process, prop, put, system

Explore = Callable[..., Result]


def native_good(system: System, limits: Limits = reference.NO_LIMITS) -> Result:
    return native.explore(system, limits, good_code_after=0)


@pytest.fixture(
    params=[reference.explore, native.explore, native_good], ids=["ref", "fast", "good"]
)
def explore(request: pytest.FixtureRequest) -> Explore:
    chosen: Explore = request.param
    return chosen


def counts(result: Result) -> tuple[int, int, int, int]:
    return result.states, result.expanded, result.transitions, result.depth


# --------------------------------------------------------------------------- known systems


def counter(limit: int) -> Action:
    """Count variable 0 up to ``limit``."""
    more = binary("lt", load(0), limit)
    return action("count", body(Cover(0), Guard(more), Cover(1), put(0, binary("add", load(0), 1))))


def test_binary_clock(explore: Explore) -> None:
    tick = action("tick", body(put(0, binary("sub", 1, load(0)))))
    result = explore(system([2], [0], rules=[tick]))
    assert result.verdict is Verdict.HOLDS
    assert counts(result) == (2, 2, 2, 1)


def test_counter(explore: Explore) -> None:
    result = explore(system([11], [0], rules=[counter(10)]))
    assert counts(result) == (11, 11, 10, 10)
    assert result.frontier == 0
    assert result.covered == (True, True, False, False)


def test_linear_equation(explore: Explore) -> None:
    """stateright's: find x, y with 2x + 10y = 14 (mod 256) by steps of x + 1, then y + 1."""

    def bump(v: int) -> Action:
        return action(f"bump {v}", body(put(v, binary("mod", binary("add", load(v), 1), 256))))

    left = binary("add", binary("mul", 2, load(0)), binary("mul", 10, load(1)))
    solved = binary("eq", binary("mod", left, 256), 14)
    goal = prop("not solved", Unary("lnot", solved))
    result = explore(system([256, 256], [0, 0], rules=[bump(0), bump(1)], invariants=[goal]))
    assert result.verdict is Verdict.VIOLATED
    assert result.violation is not None
    assert result.violation.path == ((0, 0), (1, 0), (2, 0), (2, 1))
    assert (result.states, result.depth) == (8, 3)


def test_dontneed(explore: Explore) -> None:
    result = explore(dontneed(2, 1))
    assert result.verdict is Verdict.HOLDS
    assert counts(result) == (546, 546, 1862, 16)
    assert all(result.covered)


def test_dontneed_without_the_nested_check(explore: Explore) -> None:
    result = explore(dontneed(2, 1, nested=False))
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.INVARIANT
    assert (result.violation.index, result.violation.length) == (1, 12)
    assert counts(result) == (427, 373, 1310, 12)


# --------------------------------------------------------------------------- expressions

NUMBERS = (-9, -8, -3, -1, 0, 1, 2, 7, 8, 200)

OPERATIONS: list[tuple[str, Callable[[int, int], int]]] = [
    ("add", lambda a, b: a + b),
    ("sub", lambda a, b: a - b),
    ("mul", lambda a, b: a * b),
    ("and", lambda a, b: a & b),
    ("or", lambda a, b: a | b),
    ("xor", lambda a, b: a ^ b),
    ("eq", lambda a, b: a == b),
    ("ne", lambda a, b: a != b),
    ("lt", lambda a, b: a < b),
    ("le", lambda a, b: a <= b),
    ("gt", lambda a, b: a > b),
    ("ge", lambda a, b: a >= b),
    ("min", min),
    ("max", max),
]


def holds_everywhere(explore: Explore, claims: list[tuple[Expr, int]], shift: int = 20) -> None:
    """Check that each expression has its value where variable 0 is 0 and variable 1 is shift."""
    invariants = [prop(f"{expr} = {value}", binary("eq", expr, value)) for expr, value in claims]
    result = explore(system([2, 1 << 40], [0, shift], invariants=invariants))
    assert result.violation is None, result.violation


def known(number: int) -> Expr:
    """A number that no compiler can know: variable 1 is 20."""
    return binary("add", load(1), number - 20)


@pytest.mark.parametrize(("op", "meaning"), OPERATIONS, ids=[op for op, _ in OPERATIONS])
def test_binary_operation(explore: Explore, op: str, meaning: Callable[[int, int], int]) -> None:
    claims: list[tuple[Expr, int]] = []
    for a in NUMBERS:
        for b in NUMBERS:
            claims.append((binary(op, known(a), known(b)), int(meaning(a, b))))
            claims.append((binary(op, known(a), b), int(meaning(a, b))))
            claims.append((binary(op, a, b), int(meaning(a, b))))
    holds_everywhere(explore, claims)


@pytest.mark.parametrize("op", ["floordiv", "mod"])
def test_division_rounds_down(explore: Explore, op: str) -> None:
    claims: list[tuple[Expr, int]] = []
    for a in (*NUMBERS, -(1 << 62), (1 << 62) + 5):
        for b in (1, 2, 3, 7, 8, 1 << 33):
            value = a // b if op == "floordiv" else a % b
            claims += [(binary(op, known(a), b), value), (binary(op, a, b), value)]
    holds_everywhere(explore, claims)


def test_shifts(explore: Explore) -> None:
    claims: list[tuple[Expr, int]] = [
        (binary("shl", known(1), known(62)), 1 << 62),
        (binary("shl", known(-3), 5), -96),
        (binary("shr", known(-1), known(63)), -1),
        (binary("shr", known(-9), 1), -5),
        (binary("shr", known(1 << 62), known(62)), 1),
        (binary("shr", known(77), known(0)), 77),
    ]
    holds_everywhere(explore, claims)


def test_logic_and_unary(explore: Explore) -> None:
    yes, no = binary("eq", load(1), 20), binary("ne", load(1), 20)
    claims: list[tuple[Expr, int]] = [
        (Unary("lnot", yes), 0),
        (Unary("lnot", no), 1),
        (Unary("neg", known(5)), -5),
        (Unary("neg", known(-(1 << 62))), 1 << 62),
        (Unary("popcount", known(0)), 0),
        (Unary("popcount", known((1 << 62) - 1)), 62),
        (Select(yes, known(3), known(4)), 3),
        (Select(no, known(3), known(4)), 4),
        (Select(known(-2), Const(3), Const(4)), 3),
    ]
    for a, b in ((yes, yes), (yes, no), (no, yes), (no, no)):
        claims.append((binary("land", a, b), int(a is yes and b is yes)))
        claims.append((binary("lor", a, b), int(a is yes or b is yes)))
    holds_everywhere(explore, claims)


# --------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    "sizes",
    [
        [6, 4, 4, 4, 4, 4],
        [6, 3, 1 << 40, 3, 1 << 40, 3],
        [6, 1 << 40, 1 << 40, 1 << 40, 1 << 40, 1 << 40],
        [6, 1, 1, 1, 1, 1],
    ],
    ids=["one word", "taking turns", "many words", "no bits"],
)
def test_computed_index(explore: Explore, sizes: list[int]) -> None:
    """Write and read back each element; reading outside gives 0."""
    stride = 2 if sizes[2] != sizes[1] else 1
    extent = 3 if stride == 2 else 5
    top = sizes[1] - 1
    element = Place(1, ((load(0), stride, extent),))
    inside = binary("lt", load(0), extent)
    write = action("write", body(Guard(inside), Store(element, Const(top))))
    move = action("move", body(put(0, binary("mod", binary("add", load(0), 1), 6))))
    total: Expr = Const(0)
    for i in range(extent):
        total = binary("add", total, Load(Place(1, ((Const(i), stride, extent),))))
    outside = prop("outside", binary("lor", inside, binary("eq", Load(element), 0)))
    below = Load(Place(1, ((binary("sub", load(0), 9), stride, extent),)))
    small = prop("below", binary("eq", below, 0))
    full = prop("full", binary("eq", total, extent * top))
    found = explore(
        system(sizes, [0] * 6, rules=[write, move], invariants=[outside, small], goals=[full])
    )
    subsets = 1 if top == 0 else 1 << extent
    assert found.verdict is Verdict.HOLDS
    assert found.states == 6 * subsets
    assert found.transitions == found.states + extent * subsets


def test_matrix(explore: Explore) -> None:
    """Three rows of two, numbered with a gap; both indices are computed."""
    row, column = load(0), load(1)
    cell = Place(2, ((row, 3, 3), (column, 1, 2)))
    toggle = action("toggle", body(Store(cell, binary("sub", 1, Load(cell)))))
    rows = action("row", body(put(0, binary("mod", binary("add", row, 1), 3))))
    columns = action("column", body(put(1, binary("sub", 1, column))))
    result = explore(system([3, 2, *[2] * 8], [0] * 10, rules=[toggle, rows, columns]))
    assert result.states == 6 * 2**6


def test_index_by_an_element(explore: Explore) -> None:
    """An index that is itself an element with a computed index: a walk along pointers."""
    step = Load(Place(1, ((load(0), 1, 4),)))
    follow = action("follow", body(put(0, step)))
    result = explore(system([4] * 5, [0, 2, 0, 3, 1], rules=[follow]))
    assert [result.states, result.depth] == [4, 3]


# --------------------------------------------------------------------------- choices


def choose(mask: Expr, width: int, *then: Set | Store | Guard) -> Body:
    return Body((Block((), Choice(1, mask, width, 1)), Block(then, Done())), 4)


def test_choice_takes_the_bits_of_its_mask_in_order(explore: Explore) -> None:
    pick = action("pick", choose(Const(0b1_0101_1001), 7, put(0, Reg(1))))
    result = explore(system([8], [7], rules=[pick]))
    assert counts(result) == (5, 5, 5 * 4, 1)
    order = [o.state for o in outcomes(system([8], [7], rules=[pick]), (7,))]
    assert order == [(0,), (3,), (4,), (6,)]


def test_choice_of_nothing_is_not_enabled(explore: Explore) -> None:
    covered = Body((Block((Cover(2),), Choice(0, Const(8), 3, 1)), Block((), Done())), 1)
    result = explore(system([2], [0], rules=[action("none", covered)]))
    assert counts(result) == (1, 1, 0, 0)
    assert result.covered == (False, False, True, False)


def test_each_way_of_a_choice_has_its_own_state_and_registers(explore: Explore) -> None:
    """Two nested choices; the inner way changes what the outer one saved."""
    code = Body(
        (
            Block((Set(2, Const(1)),), Choice(0, Const(7), 3, 1)),
            Block(
                (Set(2, binary("add", Reg(2), Reg(0))), put(0, Reg(2))),
                Choice(1, binary("shr", Const(7), Reg(0)), 3, 2),
            ),
            Block(
                (
                    Set(2, binary("add", binary("mul", Reg(2), 10), Reg(1))),
                    Set(3, binary("add", Reg(3), 1)),
                    put(0, binary("add", load(0), Reg(1))),
                    put(1, binary("add", Reg(2), binary("mul", Reg(3), 100))),
                ),
                Done(),
            ),
        ),
        4,
    )
    made = system([10, 1000], [0, 0], rules=[action("nest", code)])
    expected = [(1 + i + j, 100 + 10 * (1 + i) + j) for i in range(3) for j in range(3 - i)]
    assert [o.state for o in outcomes(made, (0, 0))] == expected
    result = explore(made)
    assert (result.states, result.transitions) == (7, 7 * 6)


def test_choices_that_share_their_end(explore: Explore) -> None:
    """Ways from different choices, and one without, meet in one block with a choice of its own."""
    code = Body(
        (
            Block((), Branch(binary("eq", load(0), 0), 1, 2)),
            Block((), Choice(0, Const(3), 2, 4)),
            Block((), Branch(binary("eq", load(0), 1), 3, 4)),
            Block((Set(1, Const(5)),), Choice(0, Const(6), 3, 4)),
            Block((Guard(binary("ne", Reg(0), 9)),), Choice(2, Const(5), 3, 5)),
            Block((Guard(binary("lt", load(1), 900)),), Jump(6)),
            Block(
                (
                    put(0, binary("mod", binary("add", load(0), 1), 4)),
                    put(
                        1, binary("add", binary("mul", Reg(0), 100), binary("add", Reg(1), Reg(2)))
                    ),
                ),
                Done(),
            ),
        ),
        4,
    )
    made = system([4, 1000], [0, 0], rules=[action("meet", code)])
    ends = [[o.state for o in outcomes(made, (v, 0))] for v in range(3)]
    assert ends == [
        [(1, 0), (1, 2), (1, 100), (1, 102)],
        [(2, 105), (2, 107), (2, 205), (2, 207)],
        [(3, 0), (3, 2)],
    ]
    result = explore(made)
    assert counts(result) == counts(reference.explore(made))


# --------------------------------------------------------------------------- verdicts


def test_vacuous(explore: Explore) -> None:
    goals = [prop("three", binary("eq", load(0), 3)), prop("four", binary("eq", load(0), 4))]
    result = explore(system([9], [0], rules=[counter(3)], goals=goals))
    assert result.verdict is Verdict.VACUOUS
    assert result.goals == (True, False)
    assert explore(system([9], [0], rules=[counter(4)], goals=goals)).verdict is Verdict.HOLDS


def test_more_than_64_goals(explore: Explore) -> None:
    goals = [prop(f"{i}", binary("eq", load(0), i)) for i in range(100)]
    result = explore(system([100], [0], rules=[counter(70)], goals=goals))
    assert result.goals == (True,) * 71 + (False,) * 29


def test_first_false_invariant_of_the_first_bad_state(explore: Explore) -> None:
    invariants = [
        prop("below 5", binary("lt", load(0), 5)),
        prop("below 3", binary("lt", load(0), 3)),
        prop("still below 3", binary("lt", load(0), 3)),
    ]
    goal = prop("three", binary("eq", load(0), 3))
    made = system([9], [0], rules=[counter(8)], invariants=invariants, goals=[goal])
    result = explore(made)
    assert result.violation is not None
    assert (result.violation.name, result.violation.index) == ("below 3", 1)
    assert result.violation.path == ((0,), (1,), (2,), (3,))
    assert counts(result) == (4, 2, 3, 3)
    assert result.goals == (False,)


def test_violation_in_the_initial_state(explore: Explore) -> None:
    never = prop("never", Const(0), Cover(3))
    result = explore(system([9], [4], rules=[counter(8)], invariants=[never]))
    assert result.violation is not None
    assert result.violation.path == ((4,),)
    assert result.violation.length == 0
    assert counts(result) == (1, 0, 0, 0)
    assert result.covered == (False, False, False, True)


@pytest.mark.parametrize(
    ("failure", "kind", "name"),
    [(0, ViolationKind.ASSERTION, "claim"), (1, ViolationKind.MODEL_ERROR, "range")],
)
def test_failed_check_in_an_action(
    explore: Explore, failure: int, kind: ViolationKind, name: str
) -> None:
    bad = action("bad", body(Guard(binary("eq", load(0), 2)), Check(Const(0), failure), Cover(2)))
    later = action("later", body(Cover(3), put(0, 7)))
    result = explore(system([9], [0], rules=[counter(8), bad, later]))
    assert result.violation is not None
    assert (result.violation.kind, result.violation.name) == (kind, name)
    assert result.violation.index == failure
    assert result.violation.path == ((0,), (1,), (2,))
    assert result.violation.failing_outcome == 1  # after the count from 2 to 3
    assert result.violation.length == 3
    # 0: 1, 7; 1: 2, 7; 7: 8, 7; 2: 3, failure
    assert counts(result) == (6, 3, 8, 3)
    assert result.covered == (True, True, False, True)


def test_an_earlier_successor_is_judged_before_a_failed_check(explore: Explore) -> None:
    bad = action("bad", body(Check(Const(0), 0)))
    small = prop("small", binary("lt", load(0), 1))
    result = explore(system([9], [0], rules=[counter(8), bad], invariants=[small]))
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.INVARIANT
    assert counts(result) == (2, 0, 1, 1)


@pytest.mark.parametrize("goal", [False, True])
def test_failed_check_in_a_property(explore: Explore, goal: bool) -> None:
    checked = prop("checked", Const(1), Check(binary("lt", load(0), 2), 1))
    invariants, goals = ([], [checked]) if goal else ([checked], [])
    result = explore(system([9], [0], rules=[counter(8)], invariants=invariants, goals=goals))
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.MODEL_ERROR
    assert (result.violation.index, result.violation.failing_outcome) == (1, None)
    assert result.violation.path == ((0,), (1,), (2,))
    assert counts(result) == (3, 1, 2, 2)


def test_property_with_branches(explore: Explore) -> None:
    code = Body(
        (
            Block((Set(1, Const(1)),), Branch(binary("lt", load(0), 3), 1, 2)),
            Block((Cover(2), Set(0, Const(1))), Done()),
            Block((Set(2, binary("add", Reg(1), 3)),), Branch(binary("eq", load(0), Reg(2)), 3, 4)),
            Block((Set(0, Const(0)),), Jump(5)),
            Block((Set(0, Const(-1)),), Jump(5)),
            Block((Cover(3),), Done()),
        ),
        3,
    )
    fine = prop("not 4", Const(1))
    branched = type(fine)("not 4", "", code, fine.location)
    result = explore(system([9], [0], rules=[counter(8)], invariants=[branched]))
    assert result.violation is not None
    assert result.violation.path[-1] == (4,)
    assert all(result.covered)


# --------------------------------------------------------------------------- deadlock


def waiter(pc: int, flag: int, *, daemon: bool = False) -> object:
    return process(pc, body(Guard(load(flag)), put(pc, 1)), daemon=daemon)


def test_deadlock(explore: Explore) -> None:
    """Two threads wait for each other's flag, which each sets only after its wait."""
    first = process(0, body(put(0, 1)), body(Guard(load(2)), put(0, 2)))
    second = process(1, body(put(1, 1)), body(Guard(load(3)), put(1, 2)))
    result = explore(system([3, 3, 2, 2], [0] * 4, processes=[first, second]))
    assert result.violation is not None
    assert (result.violation.kind, result.violation.name) == (ViolationKind.DEADLOCK, "deadlock")
    assert result.violation.index == -1
    assert result.violation.path[-1] == (1, 1, 0, 0)
    assert counts(result) == (4, 3, 4, 2)


def test_no_deadlock_when_all_have_finished(explore: Explore) -> None:
    result = explore(system([2], [0], processes=[process(0, body(put(0, 1)))]))
    assert result.verdict is Verdict.HOLDS
    assert counts(result) == (2, 2, 1, 1)


def test_a_daemon_may_wait_for_ever(explore: Explore) -> None:
    wait = body(Guard(load(1)), put(0, 1))
    assert (
        explore(system([2, 2], [0, 0], processes=[process(0, wait, daemon=True)])).verdict
        is Verdict.HOLDS
    )
    assert explore(system([2, 2], [0, 0], processes=[process(0, wait)])).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("fair", [False, True])
def test_only_fair_actions_prevent_a_deadlock(explore: Explore, fair: bool) -> None:
    wait = process(0, body(Guard(load(1)), put(0, 1)))
    flip = action("flip", body(Cover(0), put(1, 1)), fair=fair)
    result = explore(system([2, 2], [0, 0], processes=[wait], rules=[flip]))
    assert (result.verdict is Verdict.HOLDS) == fair
    if not fair:
        assert counts(result) == (1, 0, 0, 0)
        assert result.covered[0]


def test_a_step_that_changes_nothing_does_not_prevent_a_deadlock(explore: Explore) -> None:
    spin = process(0, body(put(0, 0)))
    result = explore(system([2], [0], processes=[spin]))
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.DEADLOCK


def test_a_failed_check_is_not_a_deadlock(explore: Explore) -> None:
    stuck = process(0, body(Check(Const(0), 0)))
    result = explore(system([2], [0], processes=[stuck]))
    assert result.violation is not None
    assert result.violation.kind is ViolationKind.ASSERTION


# --------------------------------------------------------------------------- limits


@pytest.mark.parametrize("states", [1, 2, 5, 10])
def test_state_limit(explore: Explore, states: int) -> None:
    result = explore(system([11], [0], rules=[counter(10)]), Limits(states=states))
    assert (result.verdict, result.stopped) == (Verdict.UNKNOWN, "states")
    assert counts(result) == (states, states - 1, states - 1, states - 1)
    assert result.frontier == 1


def test_state_limit_that_is_just_enough(explore: Explore) -> None:
    result = explore(system([11], [0], rules=[counter(10)]), Limits(states=11))
    assert (result.verdict, result.stopped) == (Verdict.HOLDS, None)


def test_time_limit(explore: Explore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_MOMENT", 60.0)  # on a busy machine, too, there is a first state
    result = explore(dontneed(3, 1), Limits(time=0))
    assert (result.verdict, result.stopped) == (Verdict.UNKNOWN, "time")
    assert counts(result) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(memory=1 << 20), ["16M", "--max-memory"]),
        (Limits(states=0), ["--max-states"]),
    ],
)
def test_limits_that_do_not_allow_a_start(
    explore: Explore, limits: Limits, words: list[str]
) -> None:
    with pytest.raises(UnfinishedError) as caught:
        explore(system([11], [0], rules=[counter(10)]), limits)
    assert all(word in str(caught.value) for word in words)


# --------------------------------------------------------------------------- replaying


def test_outcomes_carry_notes_and_lines() -> None:
    note = Note(NoteKind.LABEL, "now {}, was {}", (Shown(Reg(0), hex), Shown(load(0), str)))
    guarded = action("never", body(Cover(0), Guard(Const(0)), Cover(1)))
    noted = action("noted", body(Cover(2), Set(0, Const(31)), note, put(0, 5)))
    failing = action("failing", body(Cover(3), Check(Const(0), 1)))
    made = system([9], [4], rules=[guarded, noted, failing])
    covered: set[int] = set()
    first, second = outcomes(made, (4,), notes=True, covered=covered)
    assert (first.number, first.action, first.process) == (0, noted, None)
    assert (first.state, first.failure, first.covered) == ((5,), None, (2,))
    assert first.notes == ((NoteKind.LABEL, "now 0x1f, was 4"),)
    assert (second.number, second.state, second.failure) == (1, None, 1)
    assert covered == {0, 2, 3}
    assert next(outcomes(made, (4,))).notes == ()


def test_outcomes_of_a_process_name_it() -> None:
    made = system([3, 3], [0, 1], processes=[process(0), process(1, body(), body(put(1, 2)))])
    (only,) = outcomes(made, (0, 1))
    assert (only.process, only.state) == (1, (0, 2))
    assert list(outcomes(made, (0, 2))) == []


def test_holds() -> None:
    small = prop("small", binary("lt", load(0), 3))
    checked = prop("checked", Const(1), Check(binary("lt", load(0), 3), 1))
    made = system([9], [0], invariants=[small, checked])
    assert [holds(made, p, (2,)) for p in (small, checked)] == [True, True]
    assert [holds(made, p, (3,)) for p in (small, checked)] == [False, False]
