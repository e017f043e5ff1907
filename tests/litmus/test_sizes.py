"""Accesses of different sizes to one location: right, or refused."""

from __future__ import annotations

import pytest

from shootdown.litmus import Unsupported, parse_text
from shootdown.litmus.condition import judge
from shootdown.litmus.machine import run


def text(initial: str, program: str, condition: str) -> str:
    rows = "".join(f" {row} ;\n" for row in program.split(";"))
    return f"AArch64 a\n{{ {initial} 0:X1=x; 0:X4=1; }}\n P0 ;\n{rows}{condition}\n"


@pytest.mark.parametrize(
    ("initial", "program", "condition"),
    [
        ("int x=4660;", "LDRB W0,[X1]", "forall (0:X0=52)"),
        ("int x=4660;", "LDR W0,[X1];STR W4,[X1]", "forall (0:X0=4660 /\\ [x]=1)"),
        ("int64_t x=7;", "STR W4,[X1];LDR X0,[X1]", "forall (0:X0=1)"),
        ("int64_t x=7;", "STR X4,[X1];LDR W0,[X1]", "forall (0:X0=1)"),
        ("int x=-1;", "STR W4,[X1];LDR W0,[X1]", "forall (0:X0=1)"),
        ("int x[2]={3,4};", "LDR W0,[X1,#4];STR W4,[X1]", "forall (0:X0=4)"),
    ],
)
def test_what_is_right(initial: str, program: str, condition: str) -> None:
    test = parse_text(text(initial, program, condition), "a")
    answer = run(test)
    assert len(answer.states) == 1
    assert judge(test, answer.states).ok


@pytest.mark.parametrize(
    ("initial", "program", "message"),
    [
        ("int x=4660;", "STRB W4,[X1]", r"a:4: .* 1 bytes written into a wider value of x"),
        ("int x=-1;", "STRH W4,[X1]", "2 bytes written into a wider value"),
        ("uint64_t x=4294967297;", "NOP;STR W4,[X1]", r"a:5: .* 4 bytes written"),
        ("uint64_t x=4294967297;", "CAS W0,W4,[X1]", "4 bytes written"),
        (
            "int64_t x=0;",
            "STR W4,[X1,#4];LDR X0,[X1]",
            "8 bytes of x that another access or value has",
        ),
        (
            "int64_t x=0;",
            "STRB W4,[X1,#1];LDR W0,[X1]",
            "4 bytes of x that another access or value has",
        ),
    ],
)
def test_what_is_refused(initial: str, program: str, message: str) -> None:
    test = parse_text(text(initial, program, "forall (true)"), "a")
    with pytest.raises(Unsupported, match=message):
        run(test)
