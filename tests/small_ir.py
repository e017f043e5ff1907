"""Short ways to write small systems by hand."""

from __future__ import annotations

from collections.abc import Sequence

from shootdown.lang.ir import (
    Action,
    Binary,
    Block,
    Body,
    Const,
    Done,
    Expr,
    Failure,
    FailureKind,
    Load,
    Location,
    Op,
    Place,
    Process,
    Property,
    Set,
    StepInfo,
    Store,
    System,
    Variable,
)

HERE = Location("small_ir.py", 1)
FAILURES = (
    Failure(FailureKind.ASSERTION, "claim", "the claim is false", HERE),
    Failure(FailureKind.MODEL_ERROR, "range", "out of range", HERE),
)


def load(variable: int) -> Load:
    """A variable's value."""
    return Load(Place(variable))


def put(variable: int, value: Expr | int) -> Store:
    """A store to a variable."""
    return Store(Place(variable), Const(value) if isinstance(value, int) else value)


def binary(op: str, left: Expr | int, right: Expr | int) -> Binary:
    """An operation on expressions or numbers."""
    left = Const(left) if isinstance(left, int) else left
    right = Const(right) if isinstance(right, int) else right
    return Binary(op, left, right)


def body(*ops: Op, registers: int = 4) -> Body:
    """One block."""
    return Body((Block(ops, Done()),), registers)


def action(name: str, code: Body, *, fair: bool = True) -> Action:
    """A step or a rule."""
    return Action(name, code, StepInfo("step", name, HERE), fair, None)


def process(pc: int, *bodies: Body, daemon: bool = False) -> Process:
    """A thread; the bodies store its next pc themselves."""
    steps = tuple(action(f"step {i}", code) for i, code in enumerate(bodies))
    return Process(f"thread {pc}", pc, steps, daemon)


def prop(name: str, truth: Expr, *before: Op) -> Property:
    """A property of one expression."""
    return Property(name, name, body(*before, Set(0, truth)), HERE)


def system(
    sizes: Sequence[int],
    init: Sequence[int],
    *,
    processes: Sequence[Process] = (),
    rules: Sequence[Action] = (),
    invariants: Sequence[Property] = (),
    goals: Sequence[Property] = (),
    lines: int = 4,
) -> System:
    """A system of some variables."""
    return System(
        name="small",
        variables=tuple(Variable(f"v{i}", size) for i, size in enumerate(sizes)),
        init=tuple(init),
        processes=tuple(processes),
        rules=tuple(rules),
        invariants=tuple(invariants),
        goals=tuple(goals),
        failures=FAILURES,
        lines=(HERE,) * lines,
        columns=(),
        fingerprint="small",
    )
