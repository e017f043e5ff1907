"""Files: header, initial state, program, and what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.litmus import LitmusSyntaxError, LitmusTest, parse_file, parse_text
from shootdown.litmus.instructions import Addressing, BranchIfZero, Load, Register
from shootdown.litmus.model import Ets, FaultHandling, Type, Variants
from shootdown.litmus.propositions import (
    Cause,
    Element,
    FaultAtom,
    FaultType,
    Place,
    Quantifier,
    RegisterOf,
)
from shootdown.litmus.values import Address, Attributes, CodeLabel, Physical, Pte, PteAddress, Value

SMALL = """AArch64 small
(* a comment (* in a comment *) *)
Variant=vmsa,ETS2
TTHM=P1:HD P0:HA
EL0=P1
Orig = whatever {0}
{
  [PTE(x)]=(oa:PA(y), valid:0);
  0:X1=x; P1:W2=PTE(x);
}
 P0            | P1         | P1.F ;
 L0: L1:       | CBZ W0,End | NOP  ;
   LDR W0,[X1] |            | ERET ;
               | End:       |      ;
exists (0:X0=1 /\\ fault(P0:L0,x))
""".replace(" {0}", "")


def initial(text: str) -> LitmusTest:
    """A test with this initial state."""
    return parse_text(f"AArch64 T\n{{{text}}}\n P0 ;\n NOP ;\n", "t")


def header(text: str) -> LitmusTest:
    """A test of three processors with this header."""
    return parse_text(f"AArch64 T\n{text}\n{{}}\n P0 | P1 | P2 ;\n NOP | | ;\n", "t")


def ending(text: str) -> LitmusTest:
    """A test of two processors with this end, and an array."""
    return parse_text(f"AArch64 T\n{{int a[3];}}\n P0 | P1 ;\n L0: NOP | L1: NOP ;\n{text}", "t")


def test_a_small_file() -> None:
    test = parse_text(SMALL, "small.litmus")
    assert (test.name, test.file) == ("small", "small.litmus")
    assert test.info["Orig"] == "whatever"
    assert test.variants == Variants(vmsa=True, ets=Ets.ETS2)
    first, second = test.processors
    assert (first.number, first.el0, first.hardware_af, first.hardware_dirty) == (
        0,
        False,
        True,
        False,
    )
    assert (second.el0, second.hardware_af, second.hardware_dirty) == (True, True, True)
    assert first.handler is None
    assert first.code.labels == {"L0": 0, "L1": 0}
    (step,) = first.code.steps
    assert step.labels == ("L0", "L1")
    assert step.instruction == Load(Register(0, 32), Addressing(Register(1, 64)), 4)
    assert (step.text, step.line) == ("LDR W0,[X1]", 13)
    assert second.code.labels == {"End": 1}
    assert second.code.steps[0].instruction == BranchIfZero(Register(0, 32), False, "End")
    assert second.handler is not None
    assert [step.text for step in second.handler.steps] == ["NOP", "ERET"]
    assert test.initial == {
        PteAddress("x"): Pte(Physical("y"), valid=0),
        RegisterOf(0, "X1"): Address("x"),
        RegisterOf(1, "X2"): PteAddress("x"),
    }
    assert test.variables() == ("x", "y")
    assert str(test.condition) == "exists (0:X0=1 /\\ fault(P0:L0,x))"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.litmus"
    path.write_text(SMALL)
    assert parse_file(path) == parse_text(SMALL, str(path))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.litmus"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LitmusSyntaxError, match=r"bad\.litmus: cannot read the test: ."):
        parse_file(path)


# ------------------------------------------------------------------------------- header


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Variants()),
        ("a remark, no key", Variants()),
        ("Variant=vmsa", Variants(vmsa=True)),
        ("variant = kvm , imprecise", Variants(vmsa=True, handling=FaultHandling.HANDLED)),
        ("Variant=precise", Variants(handling=FaultHandling.FATAL)),
        ("Variant=Fatal", Variants(handling=FaultHandling.FATAL)),
        ("Variant=faultToNext", Variants(handling=FaultHandling.SKIP)),
        ("Variant=vmsa,skip", Variants(vmsa=True, handling=FaultHandling.SKIP)),
        ("Variant=ets3", Variants(ets=Ets.ETS3)),
        ("Variant=exs", Variants(entry_unordered=True, exit_unordered=True)),
        ("Variant=exs,eis", Variants(exit_unordered=True)),
        ("Variant=eos,exs", Variants(entry_unordered=True)),
        ("Variant=eis", Variants()),
        ("Variant=vmsa\nVariant=vmsa", Variants(vmsa=True)),
    ],
)
def test_variants(text: str, wanted: Variants) -> None:
    assert header(text).variants == wanted


@pytest.mark.parametrize(
    ("text", "flags", "dirty"),
    [
        ("", [], []),
        ("TTHM=HA", [0, 1, 2], []),
        ("TTHM=HD", [0, 1, 2], [0, 1, 2]),
        ("TTHM=HA HD", [0, 1, 2], [0, 1, 2]),
        ("TTHM=P0:HA P2:HD", [0, 2], [2]),
        ("tthm = 1:ha", [1], []),
        ("TTHM=HD P1:SW", [0, 2], [0, 2]),
    ],
)
def test_hardware_management(text: str, flags: list[int], dirty: list[int]) -> None:
    processors = header(text).processors
    assert [p.number for p in processors if p.hardware_af] == flags
    assert [p.number for p in processors if p.hardware_dirty] == dirty


def test_unprivileged_processors() -> None:
    assert [p.el0 for p in header("EL0=P0, P2").processors] == [True, False, True]
    assert [p.el0 for p in header("el0=P1").processors] == [False, True, False]


@pytest.mark.parametrize("first", ["AArch64 a+b.c-[d]:e", "\n AArch64 a+b.c-[d]:e (tex)"])
def test_first_line(first: str) -> None:
    text = f'{first}\n"PodRW Rfe {{x}}"\n{{}} P0 ; NOP ;'.replace("{x}", "")
    assert parse_text(text, "t").name == "a+b.c-[d]:e"


# ------------------------------------------------------------------------------- initial state

X, Y = Address("x"), Address("y")


@pytest.mark.parametrize(
    ("text", "place", "value", "kind"),
    [
        ("x", X, 0, None),
        ("x=1", X, 1, None),
        ("[x]=-1;", X, -1, None),
        (";;x=0x1F;;", X, 31, None),
        ("x=0xFFFFFFFFFFFFFFFF", X, -1, None),
        ("int x", X, 0, "int"),
        ("int x=2", X, 2, "int"),
        ("int64_t 0:X3=2", RegisterOf(0, "X3"), 2, "int64_t"),
        ("_Atomic int x=2", X, 2, "int"),
        ("uint64_t [x]=2", X, 2, "uint64_t"),
        ("0:X3=x", RegisterOf(0, "X3"), X, None),
        ("P0:w30=y", RegisterOf(0, "X30"), Y, None),
        ("0:X3=&x", RegisterOf(0, "X3"), X, None),
        ("0:X3=PTE(x)", RegisterOf(0, "X3"), PteAddress("x"), None),
        ("0:X3=TTD(x)", RegisterOf(0, "X3"), PteAddress("x"), None),
        ("0:X3=pte_x", RegisterOf(0, "X3"), PteAddress("x"), None),
        ("0:X3=PA(x)", RegisterOf(0, "X3"), Physical("x"), None),
        ("0:X3=phy_x", RegisterOf(0, "X3"), Physical("x"), None),
        ("0:ELR_EL1=1", RegisterOf(0, "ELR_EL1"), 1, None),
        ("[x]=y", X, Y, None),
        ("pte_x=(valid:0)", PteAddress("x"), Pte(Physical("x"), valid=0), None),
        ("PTE(x) = (oa:PA(y))", PteAddress("x"), Pte(Physical("y")), None),
        ("TTD(x)=(oa:PTE(y))", PteAddress("x"), Pte(PteAddress("y")), None),
        ("[PTE(x)]=(oa:phy_y,af:0 , db:0)", PteAddress("x"), Pte(Physical("y"), af=0, db=0), None),
        ("0:X1=(valid:0)", RegisterOf(0, "X1"), Pte(None, valid=0), None),
        ("pteval_t 0:X1=(oa:PA(x), dbm:1, el0:0, x:0)", RegisterOf(0, "X1"),
         Pte(Physical("x"), dbm=1, el0=0, x=0), "pteval_t"),
        ("[PTE(x)]=(attrs:(Normal,iNC,oNC))", PteAddress("x"),
         Pte(Physical("x"), attributes=Attributes(inner="NC", outer="NC")), None),
        ("[PTE(x)]=(Non-shareable, Outer-write-through)", PteAddress("x"),
         Pte(Physical("x"), attributes=Attributes("NSH", outer="WT")), None),
        ("[PTE(x)]=(oa:PA(x),attrs:(Device-nGnRE))", PteAddress("x"),
         Pte(Physical("x"), attributes=Attributes(device="nGnRE")), None),
    ],
)  # fmt: skip
def test_initial_state(text: str, place: Place, value: Value, kind: str | None) -> None:
    test = initial(text)
    assert dict(test.initial) == {place: value}
    assert dict(test.types) == ({} if kind is None else {place: Type(kind)})
    assert test.initial_value(place) == value


def test_pointers_and_arrays() -> None:
    test = initial("int *p = &x; int a[3]; int64_t b[2]={1,-1}; 0:X1=p")
    assert test.initial[Address("p")] == X
    assert test.types[Address("p")] == Type("int", pointer=True)
    assert test.initial[Address("a")] == (0, 0, 0)
    assert test.initial_value(Element("b", 1)) == -1
    assert test.type_of(Element("b", 1)) == Type("int64_t")
    assert test.types[Address("b")] == Type("int64_t", length=2)
    assert test.variables() == ("a", "b", "p", "x")


def test_labels_are_values() -> None:
    test = parse_text("AArch64 T {0:X1=P0:L0; 0:X2=0:L0;} P0 ; L0: NOP ;", "t")
    assert set(test.initial.values()) == {CodeLabel(0, "L0")}
    assert str(CodeLabel(0, "L0")) == 'label:"P0:L0"'


def test_what_is_not_given_has_a_default() -> None:
    test = initial("")
    assert test.initial_value(X) == 0
    assert test.initial_value(PteAddress("x")) == Pte(Physical("x"))
    assert test.initial_value(RegisterOf(0, "X1")) == 0
    assert test.type_of(X) == Type("int")


@pytest.mark.parametrize(
    ("name", "number", "held"),
    [("int", 0xFFFFFFFF, -1), ("uint32_t", -1, 0xFFFFFFFF), ("int8_t", 0x80, -128),
     ("int64_t", 1 << 63, -(1 << 63)), ("pteval_t", -1, (1 << 64) - 1), ("int", 1 << 32, 0)],
)  # fmt: skip
def test_types_cut_integers(name: str, number: int, held: int) -> None:
    assert Type(name).cut(number) == held


# ------------------------------------------------------------------------------- program


def test_a_label_at_the_end_and_an_empty_column() -> None:
    test = parse_text("AArch64 T {} P0 | P1 ; B end | ; end: | ;", "t")
    assert test.processors[0].code.labels == {"end": 1}
    assert test.processors[1].code.steps == ()


def test_a_handler_and_its_program_share_labels() -> None:
    test = parse_text("AArch64 T {} P0 | P0.F ; a: NOP | b: ADR X1,a ; B b | ERET ;", "t")
    (processor,) = test.processors
    assert processor.handler is not None
    assert processor.handler.labels == {"b": 0}


# ------------------------------------------------------------------------------- condition


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", "forall (true)"),
        ("exists 0:X1=3", "exists (0:X1=3)"),
        ("~exists (0:X1=3)", "~exists (0:X1=3)"),
        ("~ exists x=1", "~exists ([x]=1)"),
        ("not exists x=1", None),
        ("forall(true);", "forall (true)"),
        ("final false", "exists (false)"),
        ("exists P0:X1=0x10", "exists (0:X1=16)"),
        ("exists [x]=1 /\\ [y]=-2", "exists ([x]=1 /\\ [y]=-2)"),
        ("exists x=1/\\y=2", "exists ([x]=1 /\\ [y]=2)"),
        ("exists ~x=1", "exists (not ([x]=1))"),
        ("exists not (x!=1)", "exists (not (not ([x]=1)))"),
        ("exists x<>y", "exists (not ([x]=y))"),
        ("exists x==1", "exists ([x]=1)"),
        ("exists 0:X1=x", "exists (0:X1=x)"),
        ("exists 0:X1=1:X2", "exists (0:X1=1:X2)"),
        ("exists [x]=[y]", "exists ([x]=[y])"),
        ("exists 0:X1=*y", "exists (0:X1=[y])"),
        ("exists a[1]=2", "exists (a[1]=2)"),
        ("exists a={1,2,3}", "exists (a={1,2,3})"),
        ('exists 0:X1=label:"P0:L0"', 'exists (0:X1=label:"P0:L0")'),
        ("exists 0:X1=P1:L1", 'exists (0:X1=label:"P1:L1")'),
        ("exists 0:X1=(oa:PA(x),af:1,db:0)", "exists (0:X1=(oa:PA(x), db:0))"),
        ("exists pte_x=(dbm:1, valid:0)", "exists ([PTE(x)]=(oa:PA(x), dbm:1, valid:0))"),
        ("exists [PTE(x)]=(attrs:(Device-GRE))",
         "exists ([PTE(x)]=(oa:PA(x), attrs:(Device-GRE)))"),
        ("exists [PTE(x)]=(el0:0,attrs:(OSH))",
         "exists ([PTE(x)]=(oa:PA(x), el0:0, attrs:(Normal,OSH,iWB,oWB)))"),
        ("exists 0:X1=parel1_t:(oa:PA(x))", "exists (0:X1=(parel1_t:(oa:PA(x))))"),
        ("exists 0:X1=parel1_t:(f:1)", "exists (0:X1=(parel1_t:(f:1)))"),
        ("exists fault(P0)", "exists (fault(P0))"),
        ("exists Fault(P0:L0)", "exists (fault(P0:L0))"),
        ("exists fault(P0,x)", "exists (fault(P0,x))"),
        ("exists fault(P0,pte_x)", "exists (fault(P0,PTE(x)))"),
        ("exists fault(P0,SupervisorCall)", "exists (fault(P0,SupervisorCall))"),
        ("exists fault(P0:L0,x,MMU:AccessFlag)", "exists (fault(P0:L0,x,MMU:AccessFlag))"),
        ("exists fault(P0,I-MMU:Permission)", "exists (fault(P0,I-MMU:Permission))"),
        ("exists x=1 \\/ y=1 /\\ z=1", "exists ([x]=1 \\/ [y]=1 /\\ [z]=1)"),
        ("exists (x=1 \\/ y=1) /\\ z=1", "exists (([x]=1 \\/ [y]=1) /\\ [z]=1)"),
        ("exists x=1 /\\ y=1 => z=1", "exists ([x]=1 /\\ ([y]=1 => [z]=1))"),
        ("exists x=1 => y=1 => z=1", "exists ([x]=1 => ([y]=1 => [z]=1))"),
        ("exists (x=1 /\\ y=1) => z=1", "exists (([x]=1 /\\ [y]=1) => [z]=1)"),
        ("exists x=1 << machine-made remarks", "exists ([x]=1)"),
    ],
)  # fmt: skip
def test_conditions(text: str, printed: str | None) -> None:
    if printed is None:
        with pytest.raises(LitmusSyntaxError):
            ending(text)
        return
    condition = ending(text).condition
    assert str(condition) == printed
    assert ending(str(condition)).condition == condition


def test_locations_and_filter() -> None:
    test = ending(
        "locations [x; 0:X1 int64_t; PTE(y); p*; a[1]; fault(P0:L0,x)]\n"
        "filter x=1 \\/ x=2\nforall y=1"
    )
    assert test.locations == (
        X,
        RegisterOf(0, "X1"),
        PteAddress("y"),
        Address("p"),
        Element("a", 1),
    )
    assert test.watched == (FaultAtom(0, "L0", X),)
    assert test.filter is not None
    assert test.condition.quantifier is Quantifier.FORALL
    assert test.shown_places() == (
        RegisterOf(0, "X1"),
        Address("p"),
        X,
        Y,
        PteAddress("y"),
        Element("a", 1),
    )
    assert test.variables() == ("a", "p", "x", "y")


def test_registers_are_shown_by_number() -> None:
    test = ending("exists 1:X2=0 /\\ 0:X10=0 /\\ 0:X2=0 /\\ [b]=0 /\\ 0:ELR_EL1=0")
    assert [str(place) for place in test.shown_places()] == [
        "0:X2",
        "0:X10",
        "0:ELR_EL1",
        "1:X2",
        "b",
    ]


def test_shown_faults_come_once() -> None:
    test = ending("locations [fault(P0,x);] exists fault(P0,x) \\/ fault(P1:L1,x,MMU:Translation)")
    assert test.shown_faults() == (
        FaultAtom(0, None, X),
        FaultAtom(1, "L1", X, FaultType(Cause.TRANSLATION)),
    )
