"""Slips of the pen in a condition: refused where herdtools7 refuses them, else remarked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.check.result import Limits
from shootdown.litmus import parse_text
from shootdown.litmus.doubts import doubts
from shootdown.litmus.runs import Machine, Question, ask

TEST = """AArch64 a
{ 0:X1=x; 0:X4=1; 0:X9=0; }
 P0              | P0.F           ;
 LDP W2,W3,[X1]  | MRS X20,PAR_EL1;
 LDXR W5,[X1]    | ADR X21,L0     ;
 STXR W6,W4,[X1] | ERET           ;
 CAS W7,W4,[X1]  |                ;
 SWP W4,W8,[X1]  |                ;
 L0: BL L1       |                ;
 L1: NOP         |                ;
"""


@pytest.mark.parametrize(
    "condition",
    [
        "exists (x=1 /\\ z=1)", "exists ([x]=[z])", "exists (0:X2=z)", "exists ([PTE(z)]=(af:0))",
        "exists (0:X2=(oa:PA(z)))", "exists (0:X2=parel1_t:(oa:PA(z)))", "forall (fault(P0,z))",
    ],
)  # fmt: skip
def test_a_variable_of_the_condition_only(condition: str, tmp_path: Path) -> None:
    path = tmp_path / "a.litmus"
    path.write_text(TEST + condition, encoding="utf-8")
    asked = ask(Question(path, Machine(ets2=True)), Limits())
    assert asked.exit_code == 2
    wanted = f"{path}: the condition asks for z, which the initial state does not mention"
    assert asked.error == wanted


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 30])
def test_no_doubt(number: int) -> None:
    assert not list(doubts(parse_text(f"{TEST}exists (0:X{number}=0)", "a")))


def test_a_register_that_nothing_writes() -> None:
    test = parse_text(f"{TEST}locations [0:X10;] filter 0:X11=0 exists (0:W12=0)", "a")
    places = ["0:X10", "0:X12", "0:X11"]
    assert list(doubts(test)) == [
        f"a: nothing gives {place} a value, so it is 0" for place in places
    ]
