from __future__ import annotations

import pytest

from dontneed_ir import dontneed
from scripted import Say, scripted, searched, traced
from shootdown.check.result import ViolationKind
from shootdown.check.trace import Change, trace_outcomes
from shootdown.errors import UsageError
from shootdown.lang.ir import NoteKind

SCRIPT = [
    Say("CPU0", "mm.count = 1", notes=("first",)),
    Say(None, "fill page0", marks=("stale",), column=1),
    Say("CPU1", "mm.count = 2", column=1),
]


def test_steps() -> None:
    trace = traced(scripted(SCRIPT))
    assert [step.number for step in trace.steps] == [1, 2, 3]
    assert [step.process for step in trace.steps] == [0, None, 1]
    first = trace.steps[0]
    assert first.notes == ((NoteKind.LABEL, "mm.count = 1"), (NoteKind.NOTE, "first"))
    assert first.changes == (Change("clock", "0", "1"),)  # and not where the thread stands
    assert first.after == trace.steps[1].before
    assert trace.final[0] == 3


@pytest.mark.parametrize("ending", ["invariant", "assertion", "model error", "deadlock"])
def test_the_numbers_give_the_same_trace(ending: str) -> None:
    trace = traced(scripted(SCRIPT, ending=ending))
    assert trace.ending.kind == ViolationKind(ending)
    again = trace_outcomes(trace.system, trace.numbers)
    assert again == trace


def test_a_failed_step_changes_nothing() -> None:
    trace = traced(scripted(SCRIPT, ending="assertion"))
    assert [step.failed for step in trace.steps] == [False, False, True]
    assert trace.steps[-1].before == trace.steps[-1].after
    assert (trace.ending.name, trace.ending.text) == ("INV-UAF", "a freed frame is mapped")


def test_a_deadlock_names_the_waiting() -> None:
    ending = traced(scripted(SCRIPT, ending="deadlock")).ending
    assert ending.text == "CPU0 and CPU1 wait for what can no longer happen"
    assert [w.action.name for w in ending.waiting] == ["spin_lock(CPU0.ptl)", "spin_lock(CPU1.ptl)"]


def test_a_trace_is_as_long_as_its_violation() -> None:
    system = dontneed(2, 1, nested=False)
    violation = searched(system).violation
    assert violation is not None
    trace = traced(system)
    assert len(trace.steps) == violation.length
    assert (*(step.before for step in trace.steps), trace.final) == violation.path


def test_steps_that_end_in_nothing_bad_are_refused() -> None:
    system = dontneed(2, 1)
    with pytest.raises(UsageError, match=r"^these 2 steps do not end in a violation$"):
        trace_outcomes(system, (0, 0))
    with pytest.raises(UsageError, match=r"^there is no step 1 with number 99$"):
        trace_outcomes(system, (99,))
