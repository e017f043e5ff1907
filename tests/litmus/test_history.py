"""Histories: what is said of the way to a final state."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from shootdown.check.result import Limits
from shootdown.litmus.history import Event
from shootdown.litmus.runs import Asked, Machine, Question, ask

OWN = Path(__file__).parent / "own"


def asked(name: str, ets2: bool = True) -> Asked:
    return ask(Question(OWN / f"{name}.litmus", Machine(ets2)), Limits(), show=True)


def events(name: str, ets2: bool = True) -> list[str]:
    found = asked(name, ets2).witness
    assert found is not None
    return [
        f"P{e.processor}: <{e.text}>" if e.hardware else f"P{e.processor}: {e.text}"
        for e in found.events
    ]


def test_hardware_has_the_names_of_the_test() -> None:
    assert events("af-speculative") == ["P0: <P0 sets AF of x>", "P0: LDR X0,[X3] -> (oa:PA(x))"]
    assert "P0: <P0 translates early>" in events("dirty-early")
    assert "P0: <P0 updates the descriptor of x late>" in events("late-dirty")


def test_a_tlbi_arrives() -> None:
    told = events("stale-load-tlbi-no-isb", ets2=False)
    assert "P0: <TLBI of P0 reaches P0>" in told
    assert told[-1] == "P0: LDR W0,[X1] -> 0"


def test_instructions_that_touch_no_memory_are_there() -> None:
    told = events("tlbi-under-way")
    assert told.index("P0: LSR X9,X1,#12") == told.index("P0: DSB ISH") + 1


def test_a_store_exclusive_says_whether_it_was_done() -> None:
    assert events("exclusive-may-fail")[-1] == "P0: STXR W5,W4,[X1] -> not done"


def written(tmp_path: Path, text: str) -> list[Event]:
    (tmp_path / "a.litmus").write_text(text)
    found = ask(Question(tmp_path / "a.litmus", Machine(True)), Limits(), show=True)
    assert found.error is None
    assert found.witness is not None
    return list(found.witness.events)


def test_a_handler_and_its_fault(tmp_path: Path) -> None:
    text = (OWN / "handler-repairs.litmus").read_text().replace("forall", "exists")
    assert [event.text for event in written(tmp_path, text)] == [
        "LDR W0,[X1] -> fault(x, Translation)",
        "STR X5,[X3]",
        "DSB ISH",
        "ERET",
        "LDR W0,[X1] -> 7",
    ]


def test_a_fault_without_an_address(tmp_path: Path) -> None:
    text = (OWN / "supervisor-call.litmus").read_text().replace("forall", "exists")
    assert [event.text for event in written(tmp_path, text)] == [
        "SVC #0 -> SupervisorCall",
        "ADD W0,W0,#1",
    ]


def test_updates_by_hardware_and_other_pages_are_said(tmp_path: Path) -> None:
    text = """AArch64 a
TTHM=HD
{ [PTE(x)]=(oa:PA(y), db:0, dbm:1); 0:X1=x; 0:X4=1; }
P0;
STR W4,[X1];
exists (true)
"""
    (event,) = written(tmp_path, text)
    assert event.text == "STR W4,[X1] (in PA(y)) (hardware updates PTE(x))"
    assert not event.old


def test_old_translations_are_marked() -> None:
    for name in ("stale-load", "stale-store", "moved", "tlbi-under-way"):
        found = asked(name).witness
        assert found is not None
        assert [event.old for event in found.events].index(True) == len(found.events) - 1


def test_a_history_is_as_short_as_can_be() -> None:
    found = asked("moved-back-and-forth")
    assert found.witness is not None
    assert found.witness.events[-1].step == 5
    assert found.witness.state == "0:X0=2; 0:X2=1;"


TOKEN = re.compile(r"\w+|[^\w\s]|\s+")


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.deep) for n in (2, 3))])
def test_whatever_a_file_says_there_is_an_answer_or_an_error(seed: int, tmp_path: Path) -> None:
    """Our own tests with tokens left out, doubled, exchanged or replaced by others."""
    numbers = random.Random(seed)
    texts = [path.read_text() for path in sorted(OWN.glob("*.litmus"))]
    words = [word for text in texts for word in TOKEN.findall(text)]
    file = tmp_path / "a.litmus"
    ran = 0
    for _ in range(200):
        tokens = TOKEN.findall(numbers.choice(texts))
        at, other = numbers.randrange(len(tokens)), numbers.randrange(len(tokens))
        change = numbers.randrange(4)
        if change == 0:
            del tokens[at]
        elif change == 1:
            tokens.insert(at, tokens[other])
        elif change == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        else:
            tokens[at] = numbers.choice(words)
        file.write_text("".join(tokens))
        limits = Limits(states=20_000)
        found = ask(Question(file, Machine(bool(numbers.randrange(2)))), limits, show=True)
        assert (found.error is None) == (found.outcome is not None)
        assert found.error is None or found.error.startswith(f"{file}:")
        ran += found.error is None
    assert ran > 20
