"""Bad input: one clear error with file and line, whatever is wrong."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shootdown.litmus import LitmusError, LitmusSyntaxError, Unsupported, parse_text

GOOD = """AArch64 good
Variant=vmsa
TTHM=P0:HA
EL0=P1
{
 int x=1; [PTE(y)]=(oa:PA(x), valid:0, attrs:(Normal,ISH));
 0:X1=x; 0:X2=PTE(y); int a[2]={1,2};
}
 P0          | P1              | P1.F ;
 LDR W0,[X1] | L0: LDR W3,[X2] | ERET ;
 B end       | DSB ISH         |      ;
 end:        | TLBI VAAE1IS,X9 |      ;
locations [x; fault(P1:L0,x);]
filter 0:X0=1 \\/ 0:X0=0
exists (0:X0=1 /\\ ~fault(P1:L0,x,MMU:Translation))
"""


def refuse(text: str) -> LitmusError:
    """The error that this text causes."""
    with pytest.raises(LitmusError) as caught:
        parse_text(text, "bad.litmus")
    return caught.value


def test_the_good_one_is_good() -> None:
    assert parse_text(GOOD, "good.litmus").name == "good"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        # The header.
        ("AArch64 good", "", 1, "begins with its architecture and its name"),
        ("AArch64 good", "AArch64", 1, "begins with its architecture and its name"),
        ("AArch64 good", "Aarch65 good", 1, "Aarch65 is no known architecture"),
        ("Variant=vmsa", "Variant=vmsa\nvariant=fatal", 3, "given twice, with different values"),
        ("TTHM=P0:HA", "TTHM=P0:XX", 3, "TTHM lists HA, HD or SW"),
        ("TTHM=P0:HA", "TTHM=P7:HA", 3, "not 'P7:HA'"),
        ("TTHM=P0:HA", "TTHM=", 3, "TTHM lists HA"),
        ("EL0=P1", "EL0=P2", 4, "EL0 lists processors of the test, such as P0, not 'P2'"),
        ("EL0=P1", "EL0=", 4, "EL0 lists processors"),
        # Comments and braces.
        ("EL0=P1", "EL0=P1 (* open", 4, "a comment is not closed"),
        ("0:X2=PTE(y);", "0:X2=PTE(y); {", 5, "the initial state is not closed by }"),
        # The initial state.
        ("int x=1;", "int x=1 2;", 6, "expected ';', not '2'"),
        ("int x=1;", "int x=;", 6, "expected a value, not ';'"),
        ("int x=1;", "int x=1; x=2;", 6, "x is given twice"),
        ("int x=1;", "=1;", 6, "expected a name, not '='"),
        ("int x=1;", "int x=99999999999999999999;", 6, "does not fit into 64 bits"),
        ("int x=1;", "int x=?;", 6, "unexpected character '?'"),
        ("int x=1;", 'int x="1";', 6, "expected a value"),
        ("int x=1;", "[x=1;", 6, "expected ']', not '='"),
        ("0:X1=x", "0:X31=x", 7, "'X31' is no register"),
        ("0:X1=x", "0:=x", 7, "'=' is no register"),
        ("0:X1=x", "5:X1=x", 5, "5:X1: there is no processor P5"),
        ("0:X1=x", "0:X1=P0:nowhere", 5, "there is no label nowhere on P0"),
        ("0:X1=x", '0:X1=label:"P0"', 7, 'expected label:"P0:NAME"'),
        ("0:X1=x", "0:X1=label:P0", 7, "expected a string"),
        ("0:X2=PTE(y)", "0:X2=PTE()", 7, "expected a variable, not ')'"),
        ("0:X2=PTE(y)", "0:X2=PTE(y", 7, "expected ')', not ';'"),
        ("0:X2=PTE(y)", "pte_z", 7, "PTE(z) holds a descriptor"),
        ("(oa:PA(x), valid:0,", "(oa:x, valid:0,", 6, "an output address is PA(x) or PTE(x)"),
        ("valid:0,", "valid:2,", 6, "field valid is 0 or 1, not 2"),
        ("valid:0,", "valid:x,", 6, "expected 0 or 1 for valid, not 'x'"),
        ("valid:0,", "valid:0, valid:0,", 6, "field valid is given twice"),
        ("valid:0,", "oa:PA(x),", 6, "field oa is given twice"),
        ("valid:0,", "valid:0", 6, "expected ',', not 'attrs'"),
        ("Normal,ISH", "NSH,ISH", 6, "memory attribute shareability is given twice"),
        ("Normal,ISH", "Device-GRE,ISH", 6, "exclude all others"),
        ("Normal,ISH", "", 6, "expected a memory attribute, not ')'"),
        ("int a[2]={1,2}", "a[2]={1,2}", 7, "an array is declared as"),
        ("int a[2]={1,2}", "int a[3]={1,2}", 7, "a has 3 elements, but 2 values"),
        ("int a[2]={1,2}", "int a[2]={1,2", 5, "the initial state is not closed"),
        ("int a[2]={1,2}", "int a[0]", 7, "an array has 1 to 64 elements, not 0"),
        # The program.
        ("P0          | P1 ", "P0          | P2 ", 9, "processors are P0, P1, ..."),
        ("P1.F", "P2.F", 9, "P2.F needs one P2"),
        ("P1.F", "P1", 9, "processors are P0, P1"),
        ("P1.F", "Q", 9, "expected a processor such as P0 or a handler such as P0.F, not 'Q'"),
        ("| ERET ;", ";", 10, "3 columns, but 2 cells in this row"),
        ("| ERET ;", "| ERET", 10, "3 columns, but 5 cells"),
        ("|      ;\nlocations", "|      \nlocations", 12, "a row of the program ends with ;"),
        ("B end", "B nowhere", 11, "P0 has no label nowhere"),
        (" end: ", " L0:   ", 11, "P0 has no label end"),
        ("DSB ISH ", "L0: NOP ", 11, "label L0 is given twice"),
        ("LDR W0,[X1]", "LDR W0,X1  ", 10, "expected '[', not 'X1'"),
        ("LDR W0,[X1]", "???", 10, "'???' is no instruction"),
        # The condition.
        ("locations [x", "locations [x x", 13, "not modelled: type of x"),
        ("locations [x;", "locations [x,", 13, "expected ';', not ','"),
        ("P1:L0,x);]", "P1:L0,x);", 14, "expected ';', not '0'"),
        ("filter 0:X0=1", "filter 0:X0", 14, "expected = or != behind 0:X0"),
        ("filter", "filtre", 14, "expected 'forall', not 'filtre'"),
        ("exists (", "exists ", 15, "expected the end of the condition, not ')'"),
        ("exists (", "exists ((", 16, "expected ')', not the end of the condition"),
        ("exists (0:X0=1", "exists (3:X0=1", 13, "3:X0: there is no processor P3"),
        ("exists (0:X0=1", "exists (0:L0=1", 15, "'L0' is no register that a test can observe"),
        ("exists (0:X0=1", "exists (fault(Q)", 15, "a fault happens on a processor"),
        ("exists (0:X0=1", "exists (fault(P9)", 13, "there is no processor P9"),
        ("x,MMU:Translation", "x,MMU:Transition", 15, "Transition is no kind of translation"),
        ("x,MMU:Translation", "x,MMU:Translation,EL0", 15, "expected ')', not 'EL0'"),
        ("x,MMU:Translation", "x,Nothing", 15, "'Nothing' is no kind of fault"),
        ("=1 /\\ ~", "=1 /\\ /\\", 15, "expected a name, not"),
        ("=1 /\\ ~", "=1 | ~", 15, "unexpected character '|'"),
        ("=1 /\\ ~", "=1 /\\ a[2]=0 /\\ ~", 13, "a[2]: a has 2 elements, from 0 on"),
        ("=1 /\\ ~", "=1 /\\ a[-1]=0 /\\ ~", 13, "a[-1]: a has 2 elements, from 0 on"),
        ("=1 /\\ ~", "=1 /\\ x[0]=0 /\\ ~", 13, "x[0]: x is not declared as an array"),
        ("=1 /\\ ~", "=1 /\\ a={1,2,3} /\\ ~", 13, "a has 2 elements, but is compared with 3"),
        ("=1 /\\ ~", "=1 /\\ x={1} /\\ ~", 13, "x is no array, but is compared with 1"),
        ("=1 /\\ ~", "=1 /\\ a=1 /\\ ~", 13, "compare one of them, such as a[0], or all"),
        ("=1 /\\ ~", "=1 /\\ x=[a] /\\ ~", 13, "x is no array, but is compared with 2"),
        ("[x; fault", "[x; a[2]; fault", 13, "a[2]: a has 2 elements"),
        ("filter 0:X0=1", "filter a[9]=1", 13, "a[9]: a has 2 elements"),
        ("=1 /\\ ~", "= /\\ ~", 15, "expected a value, not"),
    ],
)
def test_malformed(old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    error = refuse(GOOD.replace(old, new, 1))
    assert str(error).startswith(f"bad.litmus:{line}: "), error
    assert message in str(error)
    assert "\n" not in str(error)
    unsupported = message.startswith("not modelled")
    assert isinstance(error, Unsupported if unsupported else LitmusSyntaxError)
    assert error.exit_code == (3 if unsupported else 2)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "begins with its architecture and its name"),
        ("AArch64 T\n", 1, "no initial state"),
        ("AArch64 T\nexists x=1\n", 2, "no initial state"),
        ("AArch64 T\n{", 2, "the initial state is not closed"),
        ("AArch64 T\n{}\n", 2, "a program is expected"),
        ("AArch64 T\n{}\nexists x=1", 2, "a program is expected"),
        ("AArch64 T\n{}\nP0 exists x=1", 3, "a row of the program ends with ;"),
        ("AArch64 T\n{} P0; NOP;\nexists", 3, "expected a name, not the end of the condition"),
        ("AArch64 T\n{} P0; NOP;\nlocations [", 3, "expected a name, not the end"),
        ("AArch64 T\n{} P0; NOP;\nlocations x", 3, "expected '[', not 'x'"),
        ("AArch64 T\n{} P0; NOP;\nforall (*)\n", 3, "a comment is not closed"),
    ],
)
def test_pieces(text: str, line: int, message: str) -> None:
    error = refuse(text)
    assert isinstance(error, LitmusSyntaxError)
    assert error.line == line
    assert message in str(error)


@pytest.mark.parametrize(
    ("old", "new", "line", "thing"),
    [
        ("AArch64 good", "X86_64 good", 1, "architecture X86_64"),
        ("Variant=vmsa", "Variant=vmsa,mte", 2, "variant mte"),
        ("Variant=vmsa", "Variant=foo", 2, "variant foo"),
        ("Variant=vmsa", "CacheType=DIC", 2, "header CacheType=DIC"),
        ("Variant=vmsa", "MT=x", 2, "header MT=x"),
        ("int x=1", "float x=1", 6, "type float"),
        ("valid:0", "pxn:0", 6, "field pxn of a descriptor"),
        ("Normal,ISH", "TaggedNormal", 6, "memory tags (TaggedNormal)"),
        ("Normal,ISH", "Shiny", 6, "Shiny in a descriptor"),
        ("Normal,ISH", "Device-X", 6, "Device-X in a descriptor"),
        ("0:X1=x", "0:X1=x:green", 7, "memory tags and capabilities (x:...)"),
        ("0:X1=x", "0:X1=NOP", 7, "instructions as data"),
        ("0:X1=x", '0:X1=instr:"NOP"', 7, "instructions as data"),
        ("0:X1=x", "0:X1=a[1]", 7, "addresses of array elements (a[...])"),
        ("0:X1=x", "0:X1=pacda(x,1)", 7, "pacda(...)"),
        ("0:X1=x", "0:SP=x", 7, "register SP in a state"),
        ("0:X1=x", "0:%a=x", 7, "symbolic registers (%NAME)"),
        ("0:X1=x", "int %a=x", 7, "symbolic registers (%NAME)"),
        ("0:X1=x", "PA(x)=1", 7, "physical memory as a place (PA(x))"),
        ("PTE(y);", "PTE(PTE(y));", 7, "descriptors of page tables (PTE(PTE(x)))"),
        ("PTE(y);", "PTE(P0:L0);", 7, "pages of instructions (PTE(P0:L0))"),
        ("| P1 ", "| P1:x ", 9, "annotations of processors (P1:x)"),
        ("DSB ISH", "FROBNICATE", 11, "instruction FROBNICATE"),
        ("x,MMU:Translation", "x,TagCheck", 15, "fault TagCheck"),
        ("exists (", "observed (", 15, "observed states as a condition"),
        ("exists (0:X0=1", "exists (0:X0=parel1_t:(z:1)", 15, "field z of PAR_EL1"),
    ],
)
def test_not_modelled(old: str, new: str, line: int, thing: str) -> None:
    error = refuse(GOOD.replace(old, new, 1))
    assert str(error) == f"bad.litmus:{line}: not modelled: {thing}"
    assert isinstance(error, Unsupported)


def test_conditions_for_several_architectures() -> None:
    error = refuse(GOOD + "with A: forall; B: exists\n")
    assert str(error).endswith("not modelled: conditions for several architectures (with ...)")


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exists (", "exists (" + "~" * 101),
        ("exists (", "exists " + "(" * 5000),
        ("exists (", "exists (" + "~" * 5000),
        ("exists (", "exists (" + "0:X1=1 => " * 5000),
        ("int x=1", f"int x={LONG}"),
        ("int x=1", f"int x=0x{LONG}"),
        ("0:X1=x", f"{LONG}:X1=x"),
        ("0:X1=x", f'0:X1=label:"P{LONG}:x"'),
        ("0:X1=x", f"0:X1=P{LONG}:x"),
        ("fault(P1", f"fault(P{LONG}"),
        ("P1.F", f"P{LONG}"),
        ("EL0=P1", f"EL0=P{LONG}"),
        ("TTHM=P0", f"TTHM=P{LONG}"),
        ("LDR W0,[X1]", f"LDR W0,[X1,#{LONG}]"),
    ],
)
def test_far_too_much_of_something(old: str, new: str) -> None:
    assert len(str(refuse(GOOD.replace(old, new, 1)))) < 250


def test_large_files_are_read_in_linear_time() -> None:
    """Each of them would take minutes if every line, or space, were looked at for every other."""
    before = time.process_time()
    parse_text(GOOD.replace("EL0=P1", "Info=" + " " * 1_000_000 + "x\nEL0=P1"), "f")
    parse_text("AArch64 T\n{}\nP0;\n" + ("NOP;" + " " * 400 + "\n") * 20_000, "f")
    assert time.process_time() - before < 10


def test_a_condition_may_be_nested_deeply() -> None:
    assert parse_text(GOOD.replace("exists (", "exists " + "~" * 98 + "("), "f").name == "good"


# ------------------------------------------------------------------------------- anything at all

PIECES = st.sampled_from(
    [*"{}()[]|;:,=~&*+%`\"#!?P01X \n\t\\/é\0", "(*", "*)", "exists", "0:X1", "PTE(x)", "fault(P0",
     "label:\"", "instr:\"a\"", "<<", "-", "0x", "99999999999999999999999", "locations [", "=>",
     "not", "TTHM=", "Variant=", "int a[", "valid:", "oa:", "attrs:(", "P0.F", "TLBI ", "LDR W0,",
     "MOV W0,#0x", "filter ", "B.", "parel1_t:("]
)  # fmt: skip


@given(at=st.integers(0, len(GOOD)), drop=st.integers(0, 12), piece=PIECES, twice=st.booleans())
@settings(max_examples=1500, deadline=None)
def test_a_damaged_test_is_read_or_refused(at: int, drop: int, piece: str, twice: bool) -> None:
    check(GOOD[:at] + piece * (2 if twice else 1) + GOOD[at + drop :])


@given(text=st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
@settings(max_examples=500, deadline=None)
def test_rubbish_is_refused(text: str) -> None:
    for before in ("", "AArch64 T\n", "AArch64 T\n{", "AArch64 T\n{} P0; NOP;\n"):
        check(before + text)


def check(text: str) -> None:
    """Either a test, or one error that names file and line."""
    error = None
    try:
        parse_text(text, "f")
    except LitmusError as caught:
        error = caught
    if error is not None:
        assert error.line is not None
        assert 1 <= error.line <= text.count("\n") + 1
        assert str(error).startswith(f"f:{error.line}: ")
