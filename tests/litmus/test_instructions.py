"""Instructions: what is read from the text of one."""

from __future__ import annotations

import pytest

from shootdown.litmus.assembly import assemble
from shootdown.litmus.errors import LitmusSyntaxError, Unsupported
from shootdown.litmus.instructions import (
    INVERSE,
    Access,
    Addressing,
    Alu,
    AtomicAccess,
    AtomicOp,
    BitField,
    Branch,
    BranchIfBit,
    BranchIfZero,
    BranchTo,
    CompareAndSwap,
    Compute,
    Cond,
    DataBarrier,
    Domain,
    ExceptionReturn,
    Extend,
    Instruction,
    InstructionBarrier,
    LabelAddress,
    Load,
    LoadOrder,
    LoadPair,
    Modified,
    Move,
    MoveKeep,
    Nop,
    Otherwise,
    ReadSystem,
    Register,
    Select,
    Store,
    StoreExclusive,
    StorePair,
    SupervisorCall,
    SystemRegister,
    TlbInvalidate,
    TlbScope,
    TranslateAddress,
    Undefined,
    Writeback,
    WriteSystem,
    label_of,
)


def x(number: int) -> Register:
    return Register(number, 64)


def w(number: int) -> Register:
    return Register(number, 32)


XZR, WZR = x(31), w(31)
AT1 = Addressing(x(1))

LOADS_AND_STORES: list[tuple[str, Instruction]] = [
    ("LDR W0,[X1]", Load(w(0), AT1, 4)),
    ("ldr x0, [x1]", Load(x(0), AT1, 8)),
    ("LDR\tWZR , [ X1 ]", Load(WZR, AT1, 4)),
    ("LDR W0,[X1,#4]", Load(w(0), Addressing(x(1), 4), 4)),
    ("LDR W0,[X1,-0x4]", Load(w(0), Addressing(x(1), -4), 4)),
    ("LDR W0,[X1,X2]", Load(w(0), Addressing(x(1), Modified(x(2), Extend.LSL)), 4)),
    ("LDR W0,[X1,W2,SXTW]", Load(w(0), Addressing(x(1), Modified(w(2), Extend.SXTW)), 4)),
    ("LDR W0,[X1,X2,LSL #2]", Load(w(0), Addressing(x(1), Modified(x(2), Extend.LSL, 2)), 4)),
    ("LDR W0,[X1],#8", Load(w(0), Addressing(x(1), 8, Writeback.POST), 4)),
    ("LDR W0,[X1,#8]!", Load(w(0), Addressing(x(1), 8, Writeback.PRE), 4)),
    ("LDRB W0,[X1]", Load(w(0), AT1, 1)),
    ("LDURH W0,[X1,#2]", Load(w(0), Addressing(x(1), 2), 2)),
    ("LDRSB X0,[X1]", Load(x(0), AT1, 1, signed=True)),
    ("LDRSW X0,[X1]", Load(x(0), AT1, 4, signed=True)),
    ("LDAR W0,[X1]", Load(w(0), AT1, 4, order=LoadOrder.ACQUIRE)),
    ("LDAPRH W0,[X1]", Load(w(0), AT1, 2, order=LoadOrder.ACQUIRE_PC)),
    ("LDAPUR X0,[X1,#8]", Load(x(0), Addressing(x(1), 8), 8, order=LoadOrder.ACQUIRE_PC)),
    ("LDXR X0,[X1]", Load(x(0), AT1, 8, exclusive=True)),
    ("LDAXRB W0,[X1]", Load(w(0), AT1, 1, order=LoadOrder.ACQUIRE, exclusive=True)),
    ("LDP W0,W2,[X1,#8]", LoadPair(w(0), w(2), Addressing(x(1), 8), 4)),
    ("STR WZR,[X1]", Store(WZR, AT1, 4)),
    ("STURB W0,[X1,#1]", Store(w(0), Addressing(x(1), 1), 1)),
    ("STLR X0,[X1]", Store(x(0), AT1, 8, release=True)),
    ("STLURH W0,[X1,#2]", Store(w(0), Addressing(x(1), 2), 2, release=True)),
    ("STNP X0,X2,[X1],#16", StorePair(x(0), x(2), Addressing(x(1), 16, Writeback.POST), 8)),
    ("STXR W3,X0,[X1]", StoreExclusive(w(3), x(0), AT1, 8)),
    ("STLXRB W3,W0,[X1]", StoreExclusive(w(3), w(0), AT1, 1, release=True)),
]
ATOMICS: list[tuple[str, Instruction]] = [
    ("CAS W0,W2,[X1]", CompareAndSwap(w(0), w(2), AT1, 4)),
    ("CASALH W0,W2,[X1]", CompareAndSwap(w(0), w(2), AT1, 2, acquire=True, release=True)),
    ("CASA X0,X2,[X1,#0]", CompareAndSwap(x(0), x(2), AT1, 8, acquire=True)),
    ("SWP X7, X0,[X1]", AtomicAccess(AtomicOp.SWP, x(7), x(0), AT1, 8)),
    ("SWPL W7,WZR,[X1]", AtomicAccess(AtomicOp.SWP, w(7), WZR, AT1, 4, release=True)),
    ("SWPAB W7,W0,[X1]", AtomicAccess(AtomicOp.SWP, w(7), w(0), AT1, 1, acquire=True)),
    ("LDADD W7,W0,[X1]", AtomicAccess(AtomicOp.ADD, w(7), w(0), AT1, 4)),
    ("LDCLRAL X7,X0,[X1]",
     AtomicAccess(AtomicOp.CLR, x(7), x(0), AT1, 8, acquire=True, release=True)),
    ("LDSETLB W7,W0,[X1]", AtomicAccess(AtomicOp.SET, w(7), w(0), AT1, 1, release=True)),
    ("STCLR X7,[X1]", AtomicAccess(AtomicOp.CLR, x(7), XZR, AT1, 8)),
    ("STEORLH W7,[X1]", AtomicAccess(AtomicOp.EOR, w(7), WZR, AT1, 2, release=True)),
    ("LDUMAXA W7,W0,[X1]", AtomicAccess(AtomicOp.UMAX, w(7), w(0), AT1, 4, acquire=True)),
]  # fmt: skip
COMPUTATIONS: list[tuple[str, Instruction]] = [
    ("MOV W0,#1", Move(w(0), 1)),
    ("MOV W0,2", Move(w(0), 2)),
    ("MOV X0,#-1", Move(x(0), -1)),
    ("MOV X0,X1", Move(x(0), x(1))),
    ("MOVZ X0,#1,LSL #16", Move(x(0), 1 << 16)),
    ("MOVN W0,#1", Move(w(0), 0xFFFFFFFE)),
    ("MOVK X0,#2,LSL #48", MoveKeep(x(0), 2, 48)),
    ("ADD W0,W1,#1", Compute(Alu.ADD, w(0), w(1), 1)),
    ("ADD X0,X1,#1,LSL #12", Compute(Alu.ADD, x(0), x(1), 4096)),
    ("SUB W0,W1,W2", Compute(Alu.SUB, w(0), w(1), w(2))),
    ("ADD X7,X5,W6,SXTW", Compute(Alu.ADD, x(7), x(5), Modified(w(6), Extend.SXTW))),
    ("BIC X3,X2,X1,LSL 10", Compute(Alu.BIC, x(3), x(2), Modified(x(1), Extend.LSL, 10))),
    ("AND X3,X2,X1,LSL #0", Compute(Alu.AND, x(3), x(2), x(1))),
    ("ANDS X5,X4,X1,LSL 6", Compute(Alu.AND, x(5), x(4), Modified(x(1), Extend.LSL, 6), True)),
    ("EON W0,W1,W2", Compute(Alu.EON, w(0), w(1), w(2))),
    ("LSR X9,X3,#12", Compute(Alu.LSR, x(9), x(3), 12)),
    ("LSL X9,X3,X4", Compute(Alu.LSL, x(9), x(3), x(4))),
    ("CMP W7,#0", Compute(Alu.SUB, WZR, w(7), 0, flags=True)),
    ("CMN X7,X1", Compute(Alu.ADD, XZR, x(7), x(1), flags=True)),
    ("TST W7,#1", Compute(Alu.AND, WZR, w(7), 1, flags=True)),
    ("NEG W0,W1", Compute(Alu.SUB, w(0), WZR, w(1))),
    ("MVN X0,X1", Compute(Alu.ORN, x(0), XZR, x(1))),
    ("SXTW X0,W1", Compute(Alu.ADD, x(0), XZR, Modified(w(1), Extend.SXTW))),
    ("UBFX X0,X1,#12,#36", BitField(x(0), x(1), 12, 36)),
    ("SBFX W0,W1,#0,#1", BitField(w(0), w(1), 0, 1, signed=True)),
    ("CSEL W4,WZR,WZR,EQ", Select(w(4), WZR, WZR, Cond.EQ)),
    ("CSINC X4,X1,X2,HS", Select(x(4), x(1), x(2), Cond.CS, Otherwise.INCREMENT)),
    ("CSET W6,NE", Select(w(6), WZR, WZR, Cond.EQ, Otherwise.INCREMENT)),
    ("CSETM W6,LO", Select(w(6), WZR, WZR, Cond.CS, Otherwise.INVERT)),
    ("CINC W6,W7,EQ", Select(w(6), w(7), w(7), Cond.NE, Otherwise.INCREMENT)),
    ("CNEG W6,W7,GT", Select(w(6), w(7), w(7), Cond.LE, Otherwise.NEGATE)),
]
CONTROL: list[tuple[str, Instruction]] = [
    ("B L0", Branch("L0")),
    ("B.EQ over", Branch("over", Cond.EQ)),
    ("b.ne Lout", Branch("Lout", Cond.NE)),
    ("BL f", Branch("f", link=True)),
    ("CBZ W0,L0", BranchIfZero(w(0), False, "L0")),
    ("CBNZ X0,L0", BranchIfZero(x(0), True, "L0")),
    ("TBZ X0,#63,L0", BranchIfBit(x(0), 63, False, "L0")),
    ("TBNZ W0,#0,L0", BranchIfBit(w(0), 0, True, "L0")),
    ("BR X3", BranchTo(x(3))),
    ("BLR X3", BranchTo(x(3), link=True)),
    ("RET", BranchTo(x(30))),
    ("RET X3", BranchTo(x(3))),
    ("ADR X4,L0", LabelAddress(x(4), "L0")),
    ("ERET", ExceptionReturn()),
    ("SVC #0", SupervisorCall(0)),
    ("UDF #7", Undefined(7)),
    ("NOP", Nop()),
    ("HINT #34", Nop()),
]
SYSTEM: list[tuple[str, Instruction]] = [
    ("DMB SY", DataBarrier(False, Domain.SYSTEM, Access.ALL)),
    ("DMB LD", DataBarrier(False, Domain.SYSTEM, Access.LOADS)),
    ("DSB ST", DataBarrier(True, Domain.SYSTEM, Access.STORES)),
    ("DSB  ISH", DataBarrier(True, Domain.INNER, Access.ALL)),
    ("DSB ISHST", DataBarrier(True, Domain.INNER, Access.STORES)),
    ("DMB OSHLD", DataBarrier(False, Domain.OUTER, Access.LOADS)),
    ("DSB NSH", DataBarrier(True, Domain.LOCAL, Access.ALL)),
    ("ISB", InstructionBarrier()),
    ("ISB SY", InstructionBarrier()),
    ("TLBI VAAE1IS,X9", TlbInvalidate(TlbScope.ADDRESS_ALL_ASIDS, False, True, False, x(9))),
    ("TLBI VAALE1, X9", TlbInvalidate(TlbScope.ADDRESS_ALL_ASIDS, True, False, False, x(9))),
    ("TLBI VAE1IS,X9", TlbInvalidate(TlbScope.ADDRESS, False, True, False, x(9))),
    ("TLBI VALE1ISnXS,X9", TlbInvalidate(TlbScope.ADDRESS, True, True, True, x(9))),
    ("TLBI ASIDE1IS,X9", TlbInvalidate(TlbScope.ASID, False, True, False, x(9))),
    ("TLBI VMALLE1IS", TlbInvalidate(TlbScope.ALL, False, True, False, None)),
    ("tlbi vmalle1", TlbInvalidate(TlbScope.ALL, False, False, False, None)),
    ("AT S1E0R, X1", TranslateAddress(True, False, x(1))),
    ("AT S1E1W, X1", TranslateAddress(False, True, x(1))),
    ("MRS X2,ELR_EL1", ReadSystem(x(2), SystemRegister.ELR_EL1)),
    ("MRS X2, FAR_EL1", ReadSystem(x(2), SystemRegister.FAR_EL1)),
    ("MSR ELR_EL1,X4", WriteSystem(SystemRegister.ELR_EL1, x(4))),
]


@pytest.mark.parametrize(
    ("text", "wanted"), LOADS_AND_STORES + ATOMICS + COMPUTATIONS + CONTROL + SYSTEM
)
def test_instructions(text: str, wanted: Instruction) -> None:
    assert assemble(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LDR", "expected a register, not the end of the instruction"),
        ("LDR W0", "expected ',', not the end"),
        ("LDR W0,X1", r"expected '\[', not 'X1'"),
        ("LDR W0,[W1]", "expected a register of 64 bits, not W1"),
        ("LDR W0,[X1", "expected ',', not the end"),
        ("LDR W0,[X1]]", r"expected the end of the instruction, not ']'"),
        ("LDR W0,[X1,W2]", "an index W2 needs SXTW or UXTW"),
        ("LDR W0,[X1,W2,ROR #1]", "by LSL, SXTW, UXTW or SXTX, not by ROR"),
        ("LDR W31,[X1]", "expected a register, not 'W31'"),
        ("LDRB X0,[X1]", "expected a register of 32 bits, not X0"),
        ("LDAR W0,[X1,#4]", r"without offset: \[Xn\]"),
        ("LDUR W0,[X1],#4", r"address \[Xn\] or \[Xn,#NUMBER\]"),
        ("LDP W0,W1,[X1,X2]", r"a pair is at an address"),
        ("LDP W0,X1,[X1]", "expected a register of 32 bits, not X1"),
        ("CAS W0,X2,[X1]", "expected a register of 32 bits, not X2"),
        ("STXR X3,X0,[X1]", "expected a register of 32 bits, not X3"),
        ("MOV W0,X1", "expected a register of 32 bits, not X1"),
        ("MOV W0,#", "expected a number, not '#'"),
        ("MOVZ W0,#70000", "expected a number from 0 to 65535, not 70000"),
        ("MOVK W0,#1,LSL #32", "shifted by LSL #0"),
        ("ADD W0,W1", "expected ',', not the end"),
        ("ADD W0,W1,X2", "expected a register of 32 bits, not X2"),
        ("ADD X0,X1,W2,LSL #1", "expected a register of 64 bits, not W2"),
        ("ADD X0,X1,X2,FOO", "FOO is no shift or extension"),
        ("ADD X0,X1,#1,LSR #1", "shifted by LSL, not by LSR"),
        ("LSR W0,W1,#32", "from 0 to 31, not 32"),
        ("NEG W0,#1", "expected a register, not a number"),
        ("CSEL W0,W1,W2,XX", "XX is no condition"),
        ("B.XX L0", "XX is no condition"),
        ("B #4", "expected a label, not '#4'"),
        ("CBZ W0", "expected ','"),
        ("TBZ W0,#32,L", "from 0 to 31, not 32"),
        ("SVC", "expected a number, not the end"),
        ("ERET X1", "expected the end of the instruction, not 'X1'"),
        ("DMB", "expected an option of DMB"),
        ("DSB FOO", "FOO is no option of DSB"),
        ("TLBI", "expected what to invalidate"),
        ("TLBI VAAE1IS", "expected ',', not the end"),
        ("TLBI VMALLE1IS,X1", "expected the end of the instruction"),
        ("MSR X1,ELR_EL1", None),
        ("X0=1", "'X0=1' is no instruction"),
        ("(", "is no instruction"),
    ],
)
def test_malformed(text: str, message: str | None) -> None:
    if message is None:
        with pytest.raises(Unsupported, match="system register X1"):
            assemble(text)
        return
    with pytest.raises(LitmusSyntaxError, match=message):
        assemble(text)


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("FROB X1", "instruction FROB"),
        ("frob_x X1", "instruction FROB_X"),
        ("LDG X0,[X1]", "instruction LDG"),
        ("DC CVAU,X1", "instruction DC CVAU"),
        ("IC IVAU,X1", "instruction IC IVAU"),
        ("IC IALLU", "instruction IC IALLU"),
        ("AT S12E1R,X1", "instruction AT S12E1R"),
        ("TLBI ALLE2IS", "instruction TLBI ALLE2IS"),
        ("TLBI VAE2IS,X1", "instruction TLBI VAE2IS"),
        ("TLBI IPAS2E1IS,X1", "instruction TLBI IPAS2E1IS"),
        ("TLBI ASIDLE1,X1", "instruction TLBI ASIDLE1"),
        ("DSB ISHnXS", "DSB ISHNXS"),
        ("MRS X0,CTR_EL0", "system register CTR_EL0"),
        ("MSR TTBR0_EL1,X0", "system register TTBR0_EL1"),
        ("LDR W0,[SP]", "register SP"),
        ("LDR Q0,[X1]", "register Q0"),
        ("LDR W%a,[X1]", "register W%a"),
        ("MOV W0,&n", r"constants by name \(&n\)"),
        ("B .+8", "branches to an offset"),
        (".pagealign", r"instruction .PAGEALIGN"),
        ("codevar:f", "instruction CODEVAR:F"),
    ],
)
def test_not_modelled(text: str, thing: str) -> None:
    with pytest.raises(Unsupported, match=f"not modelled: {thing}$"):
        assemble(text)


def test_labels_that_are_named() -> None:
    assert label_of(assemble("ADR X1,L0")) == "L0"
    assert label_of(assemble("B.EQ L0")) == "L0"
    assert label_of(assemble("BR X1")) is None


def test_conditions_have_opposites() -> None:
    assert all(INVERSE[INVERSE[cond]] is cond for cond in INVERSE)
    assert set(INVERSE) == set(Cond) - {Cond.AL}


def test_registers_print_as_they_are_written() -> None:
    assert [str(register) for register in (x(3), w(30), XZR, WZR)] == ["X3", "W30", "XZR", "WZR"]
