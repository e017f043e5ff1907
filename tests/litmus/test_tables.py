"""The tables of a test: all values that its programs can make, and no end of them refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litmus.suite import OWN
from shootdown.litmus import Unsupported, effects, parse_file, parse_text, show_state, tables
from shootdown.litmus.machine import run

REGISTERS = "0:X1=x; 0:X6=y; "


def text(program: str, condition: str, initial: str = REGISTERS) -> str:
    rows = "".join(f" {row} ;\n" for row in program.split(";"))
    return f"AArch64 a\n{{ {initial} }}\n{rows}{condition}\n"


def states(source: str) -> set[str]:
    test = parse_text(source, "a")
    return {show_state(test, state).strip() for state in run(test).states}


# --------------------------------------------------------------------------- counting


def steps(program: str) -> list[tuple[str, ...]]:
    """Instructions as words: ``l X`` loads, ``s X`` stores, ``a 1`` adds."""
    return [tuple(part.split()) for part in program.split(",")]


ASSEMBLY = {"l": "LDR W0,[{}]", "s": "STR W0,[{}]", "a": "ADD W0,W0,#{}"}
PLACES = {"x": "X1", "y": "X6"}


def assembled(programs: list[str]) -> str:
    columns = [
        [ASSEMBLY[op].format(PLACES.get(what, what)) for op, what in steps(p)] for p in programs
    ]
    length = max(map(len, columns))
    rows = [" | ".join(f"P{n}" for n in range(len(columns)))]
    rows += [" | ".join(c[i] if i < len(c) else "" for c in columns) for i in range(length)]
    return ";".join(rows)


def interleavings(programs: list[str]) -> Iterator[str]:
    """The final states of all interleavings, found without any table."""
    code = [steps(p) for p in programs]
    seen = set()
    first = ((0,) * len(code), (0,) * len(code), (0, 0))
    todo = [first]
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        at, registers, memory = state
        running = [n for n in range(len(code)) if at[n] < len(code[n])]
        if not running:
            parts = [f"{n}:X0={registers[n]};" for n in range(len(code))]
            yield " ".join([*parts, f"[x]={memory[0]};", f"[y]={memory[1]};"])
        for n in running:
            op, what = code[n][at[n]]
            new, cells = list(registers), list(memory)
            if op == "l":
                new[n] = cells["xy".index(what)]
            elif op == "s":
                cells["xy".index(what)] = new[n]
            else:
                new[n] += int(what)
            moved = tuple(a + (i == n) for i, a in enumerate(at))
            todo.append((moved, tuple(new), (cells[0], cells[1])))


@pytest.mark.parametrize(
    "programs",
    [
        ["l x,a 1,s x"],
        ["l x,a 1,s x,l x,a 1,s x"],
        ["l x,a 1,s x", "l x,a 1,s x"],
        ["l x,a 1,s x,l x,a 1,s x", "l x,a 1,s x"],
        ["l x,a 1,s x,l x,a 1,s x", "l x,a 1,s x,l x,a 1,s x"],
        ["l x,a 1,s y", "l y,a 1,s x"],
        ["l x,a 1,s y,l x,a 2,s y", "l y,a 1,s x,l y,a 3,s x"],
        ["l x,a 1,s x", "l x,a 1,s x", "l x,a 1,s x", "l x,a 1,s x"],
        ["a 5,s x,l y", "l x,a 1,s x,l x", "l x,a 1,s y"],
    ],
)
def test_increments_have_all_their_values_and_no_others(programs: list[str]) -> None:
    registers = "".join(f"{n}:X1=x; {n}:X6=y; " for n in range(len(programs)))
    shown = "; ".join(f"{n}:X0" for n in range(len(programs)))
    source = text(assembled(programs), f"locations [{shown}; x; y;] forall (true)", registers)
    assert states(source) == set(interleavings(programs))


def test_one_increment_makes_one_value() -> None:
    test = parse_text(text("P0;LDR W0,[X1];ADD W0,W0,#1;STR W0,[X1]", "forall (x=1)"), "a")
    found = tables.Tables(test)
    assert list(found.values["x", 0]) == [0, 1]
    assert len(found.points) == 3


def test_an_increment_of_a_descriptor() -> None:
    """Each store toggles a bit of what was loaded: two stores give two descriptors."""
    program = "P0;LDR X0,[X3];EOR X0,X0,#1024;STR X0,[X3];LDR X2,[X3];EOR X2,X2,#1;STR X2,[X3]"
    found = states(text(program, "locations [PTE(x);] forall (true)", "0:X3=PTE(x);"))
    assert found == {"[PTE(x)]=(oa:PA(x), af:0, valid:0);"}


def test_increments_in_a_loop_that_writes_once() -> None:
    """A loop around an exclusive pair is left once it has written."""
    loop = "L: LDXR W0,[X1];ADD W0,W0,#1;STXR W2,W0,[X1];CBNZ W2,L"
    both = ";".join(f"{row} | {row}" for row in ("P@;" + loop).split(";"))
    program = both.replace("P@", "P0", 1).replace("P@", "P1", 1)
    assert states(text(program, "locations [x;] forall (true)", "0:X1=x; 1:X1=x;")) == {"[x]=2;"}


def test_a_loop_that_counts_its_rounds() -> None:
    """Three writes by one instruction."""
    program = "P0;MOV W3,#3;L: LDR W0,[X1];STR W3,[X1];SUBS W3,W3,#1;B.NE L"
    shown = "locations [0:X0; x;] forall (true)"
    assert states(text(program, shown)) == {"0:X0=2; [x]=1;"}


def test_a_handler_that_goes_back_writes_again() -> None:
    """The handler repairs the descriptor and goes back to before the store: it is done twice."""
    program = (
        "P0                            | P0.F           ;"
        "B: LDR X0,[X6]                | STR X5,[X3]    ;"
        "STR X7,[X6]                   | MOV X7,#2      ;"
        "L: LDR W2,[X1]                | B B            "
    )
    initial = "0:X1=x; 0:X6=y; 0:X7=1; 0:X3=PTE(x); 0:X5=(oa:PA(x)); [PTE(x)]=(oa:PA(x), valid:0);"
    found = states(text(program, "locations [0:X0; y;] forall (true)", initial))
    assert found == {"0:X0=1; [y]=2;"}


def test_a_loop_that_adds_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_VALUES", 20)
    program = "P0;L: LDR W0,[X1];ADD W0,W0,#1;STR W0,[X1];B L"
    with pytest.raises(Unsupported, match="more than 20 values"):
        states(text(program, "forall (true)"))


@pytest.mark.parametrize("file", sorted(OWN.glob("*.litmus")), ids=lambda f: f.stem)
def test_counting_leaves_no_state_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = parse_file(file)
    counted = {show_state(test, state) for state in run(test, ets2=False).states}
    monkeypatch.setattr(
        effects.Executor, "most_writes", lambda e: dict.fromkeys(e.processors, tables.UNCOUNTED)
    )
    assert counted == {show_state(test, state) for state in run(test, ets2=False).states}


# --------------------------------------------------------------------------- no access for long


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("P0;L: B L", r"a:4: .*: an endless loop without an access \(B L\)"),
        ("P0;L: NOP;NOP;B L", "an endless loop without an access"),
        ("P0;MOV W3,#600;L: SUBS W3,W3,#1;B.NE L", "more than 1000 instructions in a row without"),
        ("P0;" + "NOP;" * 1001 + "LDR W0,[X1]", "more than 1000 instructions in a row without an"),
        ("P0;L: ADD X3,X3,#1;B L", "more than 1000 instructions in a row without an access"),
    ],
)
def test_no_access_for_long(program: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        states(text(program, "forall (true)"))


def test_a_thousand_instructions_without_an_access_are_no_loop() -> None:
    program = "P0;" + "ADD W0,W0,#1;" * 999 + "LDR W2,[X1]"
    assert states(text(program, "locations [0:X0;] forall (true)")) == {"0:X0=999;"}


# --------------------------------------------------------------------------- whole arrays


def test_a_whole_array_is_all_of_its_elements() -> None:
    program = "P0;STR W4,[X1,#4];LDR W0,[X1]"
    initial = "int x[3]={3,4,5}; 0:X1=x; 0:X4=7;"
    found = states(text(program, "locations [x;] forall (x={3,7,5})", initial))
    assert found == {"x={3,7,5};"}
