"""What depends on the numbers of addresses, or on parts of values: computed rightly, or refused."""

from __future__ import annotations

import pytest

from shootdown.litmus import LitmusError, LitmusSyntaxError, Unsupported, parse_text
from shootdown.litmus.condition import judge
from shootdown.litmus.machine import run

INITIAL = "0:X1=x; 0:X2=y; 0:X3=PTE(x); 0:X4=1; 0:X5=(oa:PA(x), valid:0);"


def text(initial: str, program: str, condition: str, head: str = "") -> str:
    rows = "".join(f" {row} ;\n" for row in program.split(";"))
    return f"AArch64 a\n{head}{{ {initial} {INITIAL} }}\n P0 ;\n{rows}{condition}\n"


@pytest.mark.parametrize(
    ("initial", "program", "condition"),
    [
        # Attributes that forbid nothing.
        ("[PTE(x)]=(attrs:(Device-GRE));", "LDR W0,[X1]", "forall (0:X0=0)"),
        ("[PTE(x)]=(attrs:(OSH));", "LDADD W4,W0,[X1]", "forall ([x]=1)"),
        ("[PTE(x)]=(valid:0, attrs:(NSH));", "CAS W4,W7,[X1]", "forall (fault(P0,x))"),
        # Arrays as a whole.
        ("int z[2]={3,4};", "NOP", "forall (z={3,4})"),
        ("int z[2]={3,4}; 0:X6=z;", "STR W4,[X6,#4]", "forall (z={3,1})"),
        ("int z[2]={3,4}; 0:X6=z;", "LDP W7,W8,[X6]", "forall (0:X7=3 /\\ 0:X8=4)"),
        ("int z[2]; 0:X6=z;", "LDR X7,[X6]", "forall (0:X7=0)"),
        # Flags of what is no integer.
        ("", "CMP X1,X2;CSET W0,EQ", "forall (0:X0=0)"),
        ("", "CMP X1,X1;CSET W0,LS", "forall (0:X0=1)"),
        ("", "CMP X1,#0;CSET W0,NE", "forall (0:X0=1)"),
        ("", "ADD X6,X1,#8;CMP X6,X1;CSET W0,HI", "forall (0:X0=1)"),
        ("", "ADD X6,X1,#8;CMP X1,X6;CSET W0,LT", "forall (0:X0=1)"),
        ("", "ADD X6,X1,#8;SUB X0,X6,X1", "forall (0:X0=8)"),
        ("", "TST X5,#128;CSET W0,EQ", "forall (0:X0=1)"),
        ("", "TST X5,#1024;CSET W0,PL", "forall (0:X0=1)"),
        ("", "CBZ X1,end;MOV W0,#1;end:", "forall (0:X0=1)"),
        # Halves of what is no integer.
        ("", "EOR W0,W1,W1", "forall (0:X0=0)"),
        ("", "AND W0,W5,#1024", "forall (0:X0=1024)"),
        ("", "LDR W6,[X3];TBNZ W6,#0,end;MOV W0,#1;end:", "forall (0:X0=0)"),
        ("", "MOV W6,W1;MOV X0,X1", "forall (0:X0=x)"),
        # A pair into its own base.
        ("int64_t z[2]={3,4}; 0:X6=z;", "LDP X6,X7,[X6]", "forall (0:X6=3 /\\ 0:X7=4)"),
        ("int64_t z[2]={3,4}; 0:X6=z;", "LDP X7,X6,[X6]", "forall (0:X6=4 /\\ 0:X7=3)"),
        # Less than the register.
        ("int z=257; 0:X6=z; 0:X7=1;", "CASB W7,W4,[X6]", None),
        ("uint8_t z=2; 0:X6=z; 0:X7=258;", "CASB W7,W4,[X6]", "forall ([z]=1 /\\ 0:X7=2)"),
        ("int16_t z=-2; 0:X6=z;", "LDRSH W7,[X6]", "forall (0:X7=-2)"),
        ("int16_t z=-2; 0:X6=z;", "LDRH W7,[X6]", "forall (0:X7=65534)"),
        ("int z=-1; 0:X6=z;", "LDR W7,[X6]", "forall (0:X7=[z])"),
        ("int z=-1; 0:X6=z; uint64_t 0:X7;", "LDR W7,[X6]", "forall (~0:X7=[z])"),
        # A label is as good as another one of its instruction.
        ("", "ADR X0,L1;L0: L1: NOP", "forall (0:X0=P0:L1 /\\ 0:X0=P0:L0)"),
    ],
)
def test_what_is_known(initial: str, program: str, condition: str | None) -> None:
    test = parse_text(text(initial, program, condition or "forall (true)"), "a")
    if condition is None:
        with pytest.raises(Unsupported):
            run(test)
        return
    answer = run(test)
    assert len(answer.states) == 1
    assert judge(test, answer.states).ok


@pytest.mark.parametrize(
    ("initial", "program", "condition", "message"),
    [
        # Parts of values.
        ("int z[2]={3,4}; 0:X6=z;", "LDR X7,[X6]", "forall (true)", "8 bytes of z that another"),
        ("int z[2]; 0:X6=z;", "STR X4,[X6]", "forall (z={1,0})", "8 bytes of z that another"),
        ("int z=0x1234; 0:X6=z;", "LDRB W7,[X6,#1]", "forall (true)", "1 bytes of z from the mid"),
        ("int64_t z; 0:X6=z;", "STR W4,[X6,#4]", "forall ([z]=0)", "4 bytes of z from the middle"),
        ("int64_t z; 0:X6=z;", "STR W4,[X6,#4]", "filter [z]=0 forall (true)", "from the middle"),
        ("int z=-1; 0:X6=z;", "LDR X7,[X6]", "forall (true)", "8 bytes of z, which has 4"),
        ("z=y; 0:X6=z;", "LDR W7,[X6];ADD X7,X7,#1", "forall (true)", "ADD of the low 32 bits of"),
        ("", "STR W4,[X3]", "forall (true)", "4 bytes written into a descriptor"),
        ("", "LDXR W7,[X1];STXRB W0,W4,[X1]", "forall (true)", "exclusive accesses of different"),
        # Accesses that some memory does not have.
        ("[PTE(x)]=(attrs:(Device-GRE));", "LDXR W7,[X1]", "forall (true)", "is Device-GRE"),
        ("[PTE(x)]=(attrs:(iNC));", "SWP W4,W7,[X1]", "forall (true)", "an exclusive or atomic"),
        ("[PTE(x)]=(attrs:(NSH));", "CAS W4,W7,[X1]", "forall (true)", "is Normal,NSH"),
        ("", "LDXR W7,[X1]", "exists (fault(P0,x,MMU:Exclusive))", "fault MMU:Exclusive"),
        # Halves of addresses and descriptors.
        ("", "MOV W0,W1", "forall (0:X0=x)", "the low 32 bits of x as the value of 0:X0"),
        ("", "MOV W0,W1", "filter 0:X0=x forall (true)", "the low 32 bits of x as the value"),
        (
            "z=0; 0:X6=z;",
            "STR W1,[X6]",
            "forall ([z]=x)",
            r"the low 32 bits of x as the value of z",
        ),
        ("", "LDRSW X0,[X3]", "forall (true)", "the sign of the low 32 bits"),
        ("", "CBZ W1,end;MOV W0,#1;end:", "forall (true)", "whether the low 32 bits of x is 0"),
        ("", "LDR W0,[X3];AND X0,X0,#0x8000000000000", "forall (true)", "AND of the low 32 bits"),
        # Flags that depend on where pages are.
        ("", "CMP X1,X2;CSET W0,LO", "forall (true)", "condition CS, which depends on an addr"),
        ("", "CMP X1,X2;B.GT end;MOV W0,#1;end:", "forall (true)", "condition GT"),
        ("", "CMP X5,#1;CSEL W0,W4,WZR,MI", "forall (true)", "condition MI"),
        ("", "CMP W1,W2;CSET W0,EQ", "forall (true)", "condition NE"),
        ("", "CMP X1,#8192;CSET W0,EQ", "forall (true)", "condition NE"),
        ("", "SUBS X0,X1,#8;CSET W0,CS", "forall (true)", "condition CC"),
        # Outside of the page, and across.
        ("", "LDR W0,[X1,#4096]", "forall (true)", r"an access to x\+4096, which is outside"),
        ("", "STR W4,[X1,#-4]", "forall (true)", "an access to x.*, which is outside"),
        ("", "ADD X6,X1,#4092;LDP W0,W7,[X6]", "forall (true)", "which is outside of the page"),
        ("", "LDR W0,[X1,#2]", "forall (true)", r"an access to x\+2, which is not aligned"),
        ("", "LDR X0,[X1,#4]", "forall (true)", r"an access to x\+4, which is not aligned"),
        ("", "ADD X6,X1,#4096;LSR X6,X6,#12;TLBI VAE1,X6", "forall (true)", r"LSR of x\+4096"),
        ("", "ADD X6,X1,#4096;AT S1E1R,X6", "forall (true)", r"AT of x\+4096"),
        ("", "ADR X6,L0;ADD X6,X6,#400;BR X6;L0: NOP", "forall (true)", "a jump to"),
        ("", "LSR X6,X3,#12;LDR X0,[X6]", "forall (true)", "an access to address the page number"),
        ("", "TLBI ASIDE1IS,X4", "forall (true)", "which entries belong to an address space"),
    ],
)
def test_what_is_refused(initial: str, program: str, condition: str, message: str) -> None:
    test = parse_text(text(initial, program, condition), "a")
    with pytest.raises(Unsupported, match=message):
        judge(test, run(test).states)


@pytest.mark.parametrize(
    "instruction",
    ["TLBI VMALLE1IS", "TLBI VAE1IS,X1", "AT S1E1R,X1", "AT S1E0R,X1", "ERET", "MRS X0,PAR_EL1",
     "MSR ELR_EL1,X1"],
)  # fmt: skip
def test_what_el0_may_not_do(instruction: str) -> None:
    test = parse_text(text("", f"NOP;{instruction}", "forall (true)", "EL0=P0\n"), "a")
    with pytest.raises(Unsupported, match=r"a:6: .*undefined at EL0"):
        run(test)


def test_the_handler_of_el0_may_do_all() -> None:
    source = (
        "AArch64 a\nEL0=P0\n{ 0:X3=PTE(x); }\n P0 | P0.F ;\n L0: LDR X0,[X3] | TLBI VMALLE1 ;\n"
        "forall (fault(P0:L0))\n"
    )
    test = parse_text(source, "a")
    assert judge(test, run(test).states).ok


@pytest.mark.parametrize("register", ["ESR_EL1", "FAR_EL1"])
def test_an_exception_changes_system_registers(register: str) -> None:
    """Without a data abort the fault address is as unknown as the syndrome is here."""
    rows = f" MSR {register},X1 | MRS X0,{register} ;\n SVC #0 | ;\n"
    test = parse_text(f"AArch64 a\n{{ 0:X1=x; }}\n P0 | P0.F ;\n{rows}forall (0:X0=x)\n", "a")
    with pytest.raises(Unsupported, match=f"{register}, which nobody has set"):
        run(test)


def test_a_system_register_that_is_unknown_is_not_shown() -> None:
    rows = " SVC #0 | NOP ;\n"
    test = parse_text(f"AArch64 a\n{{ }}\n P0 | P0.F ;\n{rows}forall (0:ESR_EL1=0)\n", "a")
    with pytest.raises(Unsupported, match="what an exception has left as the value of 0:ESR_EL1"):
        run(test)


@pytest.mark.parametrize(
    "instruction",
    ["LDR X1,[X1],#8", "STR X1,[X1,#8]!", "LDP X1,X6,[X1],#16", "STP X6,X1,[X1,#16]!",
     "LDP X6,X6,[X1]", "STXR W4,X4,[X1]", "STXR W1,X4,[X1]", "LDRSW X1,[X1],#8"],
)  # fmt: skip
def test_what_is_constrained_unpredictable(instruction: str) -> None:
    with pytest.raises(Unsupported, match="a:4: "):
        parse_text(text("", instruction, "forall (true)"), "a")


def test_a_pair_is_tried_again_as_a_whole() -> None:
    """The page changes, goes away between the two loads of a pair, and comes back."""
    source = (
        "AArch64 a\nVariant=vmsa,handled\n"
        "{ int x[2]={0,0}; 0:X1=x; 1:X1=x; 1:X3=PTE(x); 1:X4=1; 1:X5=(oa:PA(x),valid:0);"
        " 1:X6=(oa:PA(x)); 1:X7=x; }\n"
        " P0              | P1              ;\n"
        " LDP W2,W3,[X1]  | STR W4,[X1]     ;\n"
        "                 | DSB ISH         ;\n"
        "                 | STR X5,[X3]     ;\n"
        "                 | DSB ISH         ;\n"
        "                 | LSR X9,X7,#12   ;\n"
        "                 | TLBI VAE1IS,X9  ;\n"
        "                 | DSB ISH         ;\n"
        "                 | STR X6,[X3]     ;\n"
        "forall (fault(P0,x) => 0:X2=1)\n"
    )
    test = parse_text(source, "a")
    assert judge(test, run(test).states).ok


@pytest.mark.parametrize("atom", ["fault(P0:L9,x)", "~fault(P0:L9)"])
def test_a_label_that_is_not_there(atom: str) -> None:
    with pytest.raises(LitmusSyntaxError, match="there is no label L9 on P0") as caught:
        parse_text(text("", "NOP", f"exists ({atom})"), "a")
    assert isinstance(caught.value, LitmusError)
