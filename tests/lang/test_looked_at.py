"""``looked_at()``: a rule knows whether a thread is about to touch a place."""

from __future__ import annotations

import pytest

from lang.small import ONE, TWO, Compile, Small
from shootdown.check import native, reference
from shootdown.check.outcomes import outcomes
from shootdown.check.result import Verdict
from shootdown.errors import ModelError

RULE = """
@rule(looks=False)
def rise() -> None:
    when(looked_at(Mm(0).a) and Mm(0).a == 0)
    Mm(0).a = 1

RULES = (rise,)
"""


def raised_before(small: Small) -> set[str]:
    """The steps of the first thread before which the rule can move."""
    if not small.system.rules:
        return set()  # it can never move, and so is left out
    (rule,) = small.system.rules
    process = small.system.processes[0]
    found, todo = set(), [small.system.init]
    seen = set(todo)
    for state in todo:
        for outcome in outcomes(small.system, state):
            if outcome.action is rule:
                at = state[process.pc]
                found.add(process.actions[at].info.text if at < len(process.actions) else "end")
            if outcome.state is not None and outcome.state not in seen:
                seen.add(outcome.state)
                todo.append(outcome.state)
    return found


LOOKS = {
    "x = mm.a": {"read mm.a"},
    "x = READ_ONCE(mm.a)": {"read mm.a"},
    "WRITE_ONCE(mm.a, 2)": {"mm.a ="},
    "x = xchg(mm.a, 2)": {"xchg(mm.a)"},
    "x = try_cmpxchg(mm.a, 0, 2)": {"try_cmpxchg(mm.a)"},
    "wait_until(mm.a == 1)": {"wait_until(mm.a == 1)"},
    "while mm.a == 0:\n    event('again')": {"read mm.a"},
}


@pytest.mark.parametrize("source", LOOKS)
def test_a_thread_looks_where_it_touches_the_place(source: str, compiled: Compile) -> None:
    lines = ["mm.b = 1", *source.splitlines(), "mm.flag = True"]
    main = "@path\ndef main(mm: Mm) -> None:\n" + "".join(f"    {line}\n" for line in lines)
    assert raised_before(compiled(RULE + main)) == LOOKS[source]


INDIRECT = """
@atomic{}
def both(mm: Mm) -> int:
    mm.b = 1
    return mm.a

@path
def main(mm: Mm) -> None:
    event("first")
    both(mm)
    event("last")
"""


def test_an_atomic_function_looks_unless_it_says_that_it_does_not(compiled: Compile) -> None:
    assert raised_before(compiled(RULE + INDIRECT.format(""))) == {"both"}
    assert raised_before(compiled(RULE + INDIRECT.format("(looks=False)"))) == set()


ALWAYS = {
    "rule": "@rule\ndef other() -> None:\n    when(Mm(0).a == 1)\n    Mm(0).b = 1\n"
    "RULES = (other, rise)\n",
    "later rule": "@rule\ndef other() -> None:\n    when(Mm(0).a == 1)\n    Mm(0).b = 1\n"
    "RULES = (rise, other)\n",
    "invariant": '@invariant("LOW")\ndef low() -> bool:\n    return Mm(0).a < 9\n'
    "INVARIANTS = (low,)\n",
    "goal": '@goal("high")\ndef high() -> bool:\n    return Mm(0).a == 1\nGOALS = (high,)\n',
}
IDLE = "@path\ndef main(mm: Mm) -> None:\n    event('one')\n    mm.flag = True\n"


@pytest.mark.parametrize("who", ALWAYS)
def test_rules_and_properties_look_at_any_time(who: str, compiled: Compile) -> None:
    small = compiled(RULE + IDLE + ALWAYS[who])
    assert 1 in {state[small.names.index("mm.a")] for run in small.runs() for _, state in run}
    texts = [o.action.name for o in outcomes(small.system, small.system.init)]
    assert "rise()" in texts


def test_nobody_looks(compiled: Compile) -> None:
    small = compiled(RULE + IDLE)
    assert small.check().states == 3
    assert not any("looks at" in name for name in small.names)


def test_the_start_function_looks_at_nothing(compiled: Compile) -> None:
    source = RULE + IDLE + "@atomic\ndef begin() -> None:\n    Mm(0).a = 0\nSTART = begin\n"
    assert compiled(source).check().states == 3


GUARD = """
@atomic{}
def free() -> bool:
    return Mm(0).a == 0

@path
def main(mm: Mm) -> None:
    event("one")
    mm.flag = True
"""


def test_a_guard_looks_before_each_step(compiled: Compile) -> None:
    guarded = "Thread(main, Mm(0), on=Cpu(0), when=free)"
    assert raised_before(compiled(RULE + GUARD.format(""), guarded)) == {"one", "mm.flag ="}
    assert raised_before(compiled(RULE + GUARD.format("(looks=False)"), guarded)) == set()


def test_each_element_is_looked_at_by_itself(compiled: Compile) -> None:
    source = """
        @rule(looks=False)
        def rise(page: Page) -> None:
            when(looked_at(Mm(0).pte[page]) and not Mm(0).pte[page].dirty)
            Mm(0).pte[page] = replace(Mm(0).pte[page], dirty=True)

        @path
        def main(mm: Mm) -> None:
            event("first")
            x = mm.pte[Page(1)].dirty
            mm.flag = x

        RULES = (rise,)
        """
    small = compiled(source)
    names = {o.action.name for run in small.runs() for _, s in run
             for o in outcomes(small.system, s)}  # fmt: skip
    assert "rise(P1)" in names or any("rise(" in n and "1" in n for n in names)
    assert sum(name.startswith("rise") for name in names) == 1


def test_engines_agree_and_a_wait_for_hardware_that_may_never_come_is_a_deadlock(
    compiled: Compile,
) -> None:
    """The rule is not fair: nobody may count on it, although it comes only when somebody looks."""
    small = compiled(RULE + "@path\ndef main(mm: Mm) -> None:\n    wait_until(mm.a == 1)\n", TWO)
    slow, fast = reference.explore(small.system), native.explore(small.system)
    assert slow.verdict is fast.verdict is Verdict.VIOLATED
    assert slow.states == fast.states
    assert slow.violation is not None
    assert slow.violation.kind.value == "deadlock"


def test_a_buffered_store_is_looked_at_when_it_reaches_memory(compiled: Compile) -> None:
    main = "@path\ndef main(mm: Mm) -> None:\n    WRITE_ONCE(mm.a, 2)\n    event('after')\n"
    small = compiled(RULE + main, ONE, options={"memory": "tso"})
    drain = next(r for r in small.system.rules if "store buffer" in r.name)
    at = small.names.index("mm.a")
    ways = {
        tuple(state[at] for _, state in run)
        for run in small.runs()
        if any(label.startswith("mm.a = 2 reaches") for label, _ in run)
    }
    assert drain.fair
    assert any(1 in way and way[-1] == 2 for way in ways)


@pytest.mark.parametrize(
    "source",
    [
        "x = looked_at(mm.a)",
        "@atomic\ndef ask(mm: Mm) -> bool:\n    return looked_at(mm.a)\n"
        "@path\ndef main(mm: Mm) -> None:\n    ask(mm)\n",
    ],
)
def test_only_rules_may_ask(source: str, compiled: Compile) -> None:
    with pytest.raises(ModelError, match=r"looked_at\(\) stands in rules"):
        compiled(source)
