"""Final states: what satisfies a condition, and how a state is printed."""

from __future__ import annotations

import pytest

from shootdown.litmus import FinalState, LitmusTest, holds, parse_text, show_state
from shootdown.litmus.condition import Fault, Outcome, judge
from shootdown.litmus.propositions import Cause, Element, FaultType, Place, RegisterOf
from shootdown.litmus.values import Address, CodeLabel, Par, Physical, Pte, PteAddress, Value

X1 = RegisterOf(0, "X1")
TRANSLATION = FaultType(Cause.TRANSLATION, "D")
FAULT = Fault(0, frozenset(("L0",)), Address("x", 4), TRANSLATION)


def ask(text: str, initial: str = "") -> LitmusTest:
    """A test of two processors with this end."""
    return parse_text(
        f"AArch64 T\n{{int x=7; int a[2]={{3,4}}; uint64_t 0:X5; {initial}}}\n"
        f" P0 | P1 ;\n L0: L1: NOP | L0: NOP ;\n{text}\n",
        "t",
    )


def is_true(text: str, values: dict[Place, Value], *faults: Fault) -> bool:
    """Whether this proposition holds in that final state."""
    test = ask(f"exists {text}")
    return holds(test, test.condition.proposition, FinalState(values, frozenset(faults)))


@pytest.mark.parametrize(
    ("text", "values", "wanted"),
    [
        ("0:X1=3", {X1: 3}, True),
        ("0:X1=3", {X1: 2}, False),
        ("0:X1=0", {}, True),
        ("[x]=7", {}, True),
        ("0:X1=-1", {X1: 0xFFFFFFFF}, True),
        ("0:X1=1", {X1: (1 << 32) + 1}, True),
        ("0:X5=1", {RegisterOf(0, "X5"): (1 << 32) + 1}, False),
        ("0:X5=-1", {RegisterOf(0, "X5"): (1 << 64) - 1}, True),
        ("0:X1=x", {X1: Address("x")}, True),
        ("0:X1=x", {X1: 7}, False),
        ("0:X1=PA(x)", {X1: Physical("x")}, True),
        ('0:X1=label:"P0:L0"', {X1: CodeLabel(0, "L0")}, True),
        ("0:X1=parel1_t:(f:1)", {X1: Par(None)}, True),
        ("[PTE(y)]=(oa:PA(y))", {}, True),
        ("[PTE(y)]=(valid:0)", {PteAddress("y"): Pte(Physical("y"), valid=0)}, True),
        ("[PTE(y)]=(valid:0)", {PteAddress("y"): Pte(Physical("y"), valid=0, db=0)}, False),
        ("[PTE(y)]=(valid:0)", {PteAddress("y"): Pte(Physical("x"), valid=0)}, False),
        ("0:X1=1:X2", {X1: 3, RegisterOf(1, "X2"): 3}, True),
        ("0:X1=[x]", {X1: 6}, False),
        ("a[1]=4", {}, True),
        ("a[1]=4", {Element("a", 1): 5}, False),
        ("a[1]=5", {Address("a", 4): 5}, True),
        ("a[1]=6", {Address("a"): (1, 6)}, True),
        ("a={3,4}", {}, True),
        ("a={3,5}", {}, False),
        ("~(0:X1=1)", {}, True),
        ("0:X1=1 => 0:X2=1", {}, True),
        ("0:X1=1 => 0:X2=1", {X1: 1}, False),
        ("true /\\ ~false", {}, True),
        ("0:X1=1 \\/ 0:X1=2", {X1: 2}, True),
        ("0:X1=1 /\\ 0:X1=2", {X1: 2}, False),
        ("0:X1=2 \\/ 0:X2=1 /\\ 0:X2=2", {X1: 2}, True),
    ],
)
def test_values(text: str, values: dict[Place, Value], wanted: bool) -> None:
    assert is_true(text, values) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fault(P0)", True),
        ("fault(P1)", False),
        ("fault(P0:L0)", True),
        ("fault(P0:L1)", False),
        ("fault(P0:L0,x)", True),
        ("fault(P0,y)", False),
        ("fault(P0,PTE(x))", False),
        ("fault(P0,x,MMU:Translation)", True),
        ("fault(P0,x,D-MMU:Translation)", True),
        ("fault(P0,x,I-MMU:Translation)", False),
        ("fault(P0,x,MMU:Permission)", False),
        ("fault(P0,MMU:Translation)", True),
        ("fault(P0,UndefinedInstruction)", False),
        ("~fault(P0)", False),
    ],
)
def test_faults(text: str, wanted: bool) -> None:
    assert is_true(text, {}, FAULT) is wanted
    assert is_true("fault(P0)", {}) is False


@pytest.mark.parametrize(
    ("quantifier", "ones", "outcome", "word"),
    [
        ("exists", [0, 0], Outcome(0, 2, ok=False), "Never"),
        ("exists", [0, 1], Outcome(1, 1, ok=True), "Sometimes"),
        ("exists", [1, 1], Outcome(2, 0, ok=True), "Always"),
        ("~exists", [0, 1], Outcome(1, 1, ok=False), "Sometimes"),
        ("~exists", [0], Outcome(0, 1, ok=True), "Never"),
        ("forall", [0, 1], Outcome(1, 1, ok=False), "Sometimes"),
        ("forall", [1], Outcome(1, 0, ok=True), "Always"),
        ("forall", [], Outcome(0, 0, ok=True), "Never"),
    ],
)
def test_all_states(quantifier: str, ones: list[int], outcome: Outcome, word: str) -> None:
    found = judge(ask(f"{quantifier} 0:X1=1"), (FinalState({X1: value}) for value in ones))
    assert found == outcome
    assert found.observation == word


def test_states_outside_the_filter_do_not_count() -> None:
    test = ask("filter 0:X2=1 forall 0:X1=1")
    two = RegisterOf(0, "X2")
    states = [FinalState({X1: 1, two: 1}), FinalState({X1: 0, two: 0})]
    assert judge(test, states) == Outcome(1, 0, ok=True)


@pytest.mark.parametrize(
    ("text", "values", "faults", "printed"),
    [
        ("exists 1:X2=0 /\\ 0:X1=1", {X1: 1}, [], "0:X1=1; 1:X2=0;"),
        ("locations [PTE(x); y; a; a[1]] exists x=1", {}, [],
         "a={3,4}; [x]=7; [y]=0; [PTE(x)]=(oa:PA(x)); a[1]=4;"),
        ("exists 0:X1=1", {X1: 0xFFFFFFFF}, [], "0:X1=-1;"),
        ("exists 0:X5=1", {RegisterOf(0, "X5"): -1}, [], "0:X5=18446744073709551615;"),
        ("exists 0:X1=1", {X1: Pte(None, af=0)}, [], "0:X1=(oa:PA(), af:0);"),
        ("exists 0:X1=1", {X1: Address("x", 4)}, [], "0:X1=x+4;"),
        ("exists 0:X1=1", {}, [FAULT], "0:X1=0; "),
        ("exists 0:X1=1 /\\ ~fault(P0,x)", {}, [FAULT],
         "0:X1=0; Fault(P0:L0,x+4,D-MMU:Translation);"),
        ("exists 0:X1=1 /\\ fault(P0:L0,y)", {}, [FAULT], "0:X1=0;  ~Fault(P0:L0,y);"),
        ("exists fault(P0,x,MMU:Translation) /\\ fault(P0) /\\ fault(P1:L0) /\\ fault(P1,x)", {},
         [FAULT, Fault(0, frozenset(), None, FaultType(Cause.UNDEFINED))],
         " Fault(P0,UndefinedInstruction); Fault(P0:L0,x+4,MMU:Translation);"
         " ~Fault(P1:L0); ~Fault(P1,x);"),
        ("exists fault(P0,pte_x)", {},
         [Fault(0, frozenset(), PteAddress("x"), FaultType(Cause.PERMISSION, "D"), "EL0")],
         " Fault(P0,PTE(x),D-MMU:Permission,EL0);"),
        ("exists fault(P0:L1)", {},
         [Fault(0, frozenset(("L1", "L0")), None, FaultType(Cause.SUPERVISOR_CALL))],
         " Fault(P0:{L0,L1},SupervisorCall);"),
    ],
)  # fmt: skip
def test_printed_states(
    text: str, values: dict[Place, Value], faults: list[Fault], printed: str
) -> None:
    assert show_state(ask(text), FinalState(values, frozenset(faults))) == printed
