"""Hand-built systems whose only race is a given script: for tests of traces and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shootdown.check.reference import explore
from shootdown.check.result import Result
from shootdown.check.trace import Trace, trace_violation
from shootdown.lang.ir import (
    Action,
    Binary,
    Block,
    Body,
    Call,
    Check,
    Const,
    Cover,
    Done,
    Failure,
    FailureKind,
    Guard,
    Load,
    Location,
    Note,
    NoteKind,
    Op,
    Place,
    Process,
    Property,
    Set,
    Shown,
    StepInfo,
    Store,
    System,
    Variable,
)

HERE = Location("mm/memory.py", 12, "pte = ptep_get(mm.pte[page])")
THERE = Location("mm/tlb.py", 40, "flush_tlb_mm(mm)")

LABEL, NOTE, MARK = NoteKind.LABEL, NoteKind.NOTE, NoteKind.MARK


@dataclass(frozen=True)
class Say:
    """One step of the script. ``who`` is a process, or None for a rule; ``calls`` are functions,
    in brackets where they are single steps."""

    who: str | None
    text: str
    calls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    column: int | None = 0


def scripted(
    script: Sequence[Say],
    *,
    columns: Sequence[str] = ("CPU0", "CPU1"),
    ending: str = "invariant",
    bounds: tuple[tuple[str, int], ...] = (("cpus", 2), ("pages", 1)),
    assumptions: tuple[str, ...] = (),
) -> System:
    """A system in which the script is the only run.

    ``ending`` is ``invariant``, ``assertion``, ``model error``, ``deadlock``, ``holds`` or
    ``vacuous``.
    """
    clock = Place(0)
    names = list(dict.fromkeys(say.who for say in script if say.who is not None))
    pcs = {name: number for number, name in enumerate(names, start=1)}
    failing = ending in ("assertion", "model error")
    actions: dict[str | None, list[Action]] = {name: [] for name in [*names, None]}
    for time, say in enumerate(script):
        actions[say.who].append(_action(say, time, clock, pcs, failing and time == len(script) - 1))
    if ending == "deadlock":
        for name in names:
            stuck = Say(name, f"spin_lock({name}.ptl)", column=columns.index(name))
            actions[name].append(_action(stuck, len(script) + 1, clock, pcs, False))
    never = Binary("ne", Load(clock), Const(len(script)))
    bad = never if ending == "invariant" else Const(1)
    goal = Const(0) if ending == "vacuous" else Const(1)
    kind = FailureKind.MODEL_ERROR if ending == "model error" else FailureKind.ASSERTION
    return System(
        name="SCRIPT",
        variables=(
            Variable("clock", len(script) + 2),
            *(Variable(f"pc.{name}", len(script) + 2) for name in names),
        ),
        init=(0,) * (1 + len(names)),
        processes=tuple(Process(name, pcs[name], tuple(actions[name])) for name in names),
        rules=tuple(actions[None]),
        invariants=(_property("INV-RET", "the old translation is still used", bad),),
        goals=(_property("finished", "all threads finish", goal),),
        failures=(Failure(kind, "INV-UAF", "a freed frame is mapped", THERE),),
        lines=(HERE, THERE),
        columns=tuple(columns),
        fingerprint=f"{ending} {script!r}",
        assumptions=assumptions,
        bounds=bounds,
    )


def _action(say: Say, time: int, clock: Place, pcs: dict[str, int], fails: bool) -> Action:
    calls = tuple(
        Call(name.strip("[]"), serial, name.startswith("["), THERE)
        for serial, name in enumerate(say.calls)
    )
    values = (Shown(Const(0), lambda _: say.text),)
    ops: list[Op] = [
        Guard(Binary("eq", Load(clock), Const(time))),
        Cover(0),
        Note(LABEL, "{}", values),
        *(Note(NOTE, text) for text in say.notes),
        *(Note(MARK, text) for text in say.marks),
        *([Check(Const(0), 0)] if fails else []),
        Store(clock, Const(time + 1)),
    ]
    if say.who is not None:
        pc = Place(pcs[say.who])
        ops.append(Store(pc, Binary("add", Load(pc), Const(1))))
    kind = "rule" if say.who is None else "load"
    info = StepInfo(kind, say.text, HERE, calls)
    body = Body((Block(tuple(ops), Done()),), 1)
    return Action(say.text, body, info, True, say.column)


def _property(name: str, text: str, condition: Const | Binary) -> Property:
    return Property(name, text, Body((Block((Set(0, condition),), Done()),), 1), HERE)


def searched(system: System) -> Result:
    """The result of the reference engine."""
    return explore(system)


def traced(system: System) -> Trace:
    """The race of a system that has one."""
    violation = searched(system).violation
    assert violation is not None
    return trace_violation(system, violation)
