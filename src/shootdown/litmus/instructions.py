"""AArch64 instructions as litmus tests use them, one class for each way of acting.

Aliases are resolved: CMP is a SUBS without destination, CSET a CSINC, MVN an ORN. ``size`` is in
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

# ------------------------------------------------------------------------------- operands


@dataclass(frozen=True, slots=True)
class Register:
    """A general register: ``number`` 0 to 30, or 31 for the zero register; 32 or 64 ``bits``."""

    number: int
    bits: int

    @property
    def is_zero(self) -> bool:
        """XZR or WZR: reads as zero, forgets what is written."""
        return self.number == 31

    def __str__(self) -> str:
        return ("X" if self.bits == 64 else "W") + ("ZR" if self.is_zero else str(self.number))


class SystemRegister(Enum):
    """The system registers that tests may read or write."""

    ELR_EL1 = "ELR_EL1"
    ESR_EL1 = "ESR_EL1"
    FAR_EL1 = "FAR_EL1"
    PAR_EL1 = "PAR_EL1"


class Extend(Enum):
    """How an operand is shifted or extended before it is used."""

    LSL = "LSL"
    LSR = "LSR"
    ASR = "ASR"
    ROR = "ROR"
    UXTB = "UXTB"
    UXTH = "UXTH"
    UXTW = "UXTW"
    UXTX = "UXTX"
    SXTB = "SXTB"
    SXTH = "SXTH"
    SXTW = "SXTW"
    SXTX = "SXTX"


@dataclass(frozen=True, slots=True)
class Modified:
    """A register, shifted or extended; ``amount`` is the shift."""

    register: Register
    extend: Extend
    amount: int = 0


Operand: TypeAlias = int | Register | Modified


class Writeback(Enum):
    """Whether the base register takes the new address, and whether the access uses it already."""

    NO = ""
    PRE = "pre"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Addressing:
    """``[base]``, ``[base,#offset]``, ``[base,index,extend #amount]``."""

    base: Register
    offset: int | Modified = 0
    writeback: Writeback = Writeback.NO


class Cond(Enum):
    """A condition on the flags."""

    EQ = "EQ"
    NE = "NE"
    CS = "CS"
    CC = "CC"
    MI = "MI"
    PL = "PL"
    VS = "VS"
    VC = "VC"
    HI = "HI"
    LS = "LS"
    GE = "GE"
    LT = "LT"
    GT = "GT"
    LE = "LE"
    AL = "AL"

    @property
    def inverse(self) -> Cond:
        """The condition that holds when this one does not (AL has none and stays)."""
        return INVERSE.get(self, self)


_OPPOSITES = (
    (Cond.EQ, Cond.NE),
    (Cond.CS, Cond.CC),
    (Cond.MI, Cond.PL),
    (Cond.VS, Cond.VC),
    (Cond.HI, Cond.LS),
    (Cond.GE, Cond.LT),
    (Cond.GT, Cond.LE),
)
INVERSE: Final = dict((*_OPPOSITES, *((b, a) for a, b in _OPPOSITES)))


# ------------------------------------------------------------------------------- memory


class LoadOrder(Enum):
    """Plain, acquire (LDAR), or acquire as weakly as LDAPR."""

    PLAIN = ""
    ACQUIRE = "A"
    ACQUIRE_PC = "Q"


@dataclass(frozen=True, slots=True)
class Load:
    """LDR, LDUR, LDAR, LDAPR, LDXR, LDAXR and their B, H, SB, SH and SW forms."""

    target: Register
    address: Addressing
    size: int
    signed: bool = False
    order: LoadOrder = LoadOrder.PLAIN
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """STR, STUR, STLR and their B and H forms."""

    source: Register
    address: Addressing
    size: int
    release: bool = False


@dataclass(frozen=True, slots=True)
class LoadPair:
    """LDP, LDNP: two registers of ``size`` bytes each."""

    first: Register
    second: Register
    address: Addressing
    size: int


@dataclass(frozen=True, slots=True)
class StorePair:
    """STP, STNP: two registers of ``size`` bytes each."""

    first: Register
    second: Register
    address: Addressing
    size: int


@dataclass(frozen=True, slots=True)
class StoreExclusive:
    """STXR, STLXR: ``status`` becomes 0 if the store was done, 1 if not."""

    status: Register
    source: Register
    address: Addressing
    size: int
    release: bool = False


@dataclass(frozen=True, slots=True)
class CompareAndSwap:
    """CAS: ``expected`` gets what was read; if that was ``expected``, ``new`` is written."""

    expected: Register
    new: Register
    address: Addressing
    size: int
    acquire: bool = False
    release: bool = False


class AtomicOp(Enum):
    """What an atomic memory operation writes, from what it read and its operand."""

    SWP = "SWP"
    ADD = "ADD"
    CLR = "CLR"
    EOR = "EOR"
    SET = "SET"
    SMAX = "SMAX"
    SMIN = "SMIN"
    UMAX = "UMAX"
    UMIN = "UMIN"


@dataclass(frozen=True, slots=True)
class AtomicAccess:
    """SWP, LDADD and so on: ``target`` gets the old value. ST<op> is LD<op> to the zero register,
    without acquire."""

    op: AtomicOp
    operand: Register
    target: Register
    address: Addressing
    size: int
    acquire: bool = False
    release: bool = False


# ------------------------------------------------------------------------------- computation


@dataclass(frozen=True, slots=True)
class Move:
    """MOV, MOVZ and MOVN: ``target`` gets ``source`` (an ``int`` is final, already shifted)."""

    target: Register
    source: int | Register


@dataclass(frozen=True, slots=True)
class MoveKeep:
    """MOVK: 16 bits at ``shift`` change, the others stay."""

    target: Register
    value: int
    shift: int


class Alu(Enum):
    """What is computed from two operands."""

    ADD = "ADD"
    SUB = "SUB"
    AND = "AND"
    ORR = "ORR"
    EOR = "EOR"
    BIC = "BIC"
    ORN = "ORN"
    EON = "EON"
    LSL = "LSL"
    LSR = "LSR"
    ASR = "ASR"
    ROR = "ROR"


@dataclass(frozen=True, slots=True)
class Compute:
    """``target = left op right``; ``flags``: NZCV are set too (ADDS, SUBS, ANDS, BICS)."""

    op: Alu
    target: Register
    left: Register
    right: Operand
    flags: bool = False


@dataclass(frozen=True, slots=True)
class BitField:
    """UBFX, SBFX: ``width`` bits of ``source`` from bit ``low`` upwards."""

    target: Register
    source: Register
    low: int
    width: int
    signed: bool = False


class Otherwise(Enum):
    """What CSEL and its relatives do to the second operand."""

    SAME = "CSEL"
    INCREMENT = "CSINC"
    INVERT = "CSINV"
    NEGATE = "CSNEG"


@dataclass(frozen=True, slots=True)
class Select:
    """``target = left if cond else otherwise(right)``."""

    target: Register
    left: Register
    right: Register
    cond: Cond
    otherwise: Otherwise = Otherwise.SAME


# ------------------------------------------------------------------------------- control


@dataclass(frozen=True, slots=True)
class Branch:
    """B, and B.cond unless ``cond`` is AL; BL if ``link``."""

    target: str
    cond: Cond = Cond.AL
    link: bool = False


@dataclass(frozen=True, slots=True)
class BranchIfZero:
    """CBZ, or CBNZ if ``nonzero``."""

    register: Register
    nonzero: bool
    target: str


@dataclass(frozen=True, slots=True)
class BranchIfBit:
    """TBZ, or TBNZ if ``nonzero``."""

    register: Register
    bit: int
    nonzero: bool
    target: str


@dataclass(frozen=True, slots=True)
class BranchTo:
    """BR and RET; BLR if ``link``."""

    register: Register
    link: bool = False


@dataclass(frozen=True, slots=True)
class LabelAddress:
    """ADR."""

    register: Register
    target: str


@dataclass(frozen=True, slots=True)
class ExceptionReturn:
    """ERET."""


@dataclass(frozen=True, slots=True)
class SupervisorCall:
    """SVC."""

    number: int


@dataclass(frozen=True, slots=True)
class Undefined:
    """UDF."""

    number: int


@dataclass(frozen=True, slots=True)
class Nop:
    """NOP and HINT."""


# ------------------------------------------------------------------------------- system


@dataclass(frozen=True, slots=True)
class ReadSystem:
    """MRS."""

    target: Register
    source: SystemRegister


@dataclass(frozen=True, slots=True)
class WriteSystem:
    """MSR."""

    target: SystemRegister
    source: Register


class Domain(Enum):
    """How far a DMB, DSB or broadcast reaches."""

    SYSTEM = "SY"
    OUTER = "OSH"
    INNER = "ISH"
    LOCAL = "NSH"


class Access(Enum):
    """Which earlier accesses a DMB or DSB waits for."""

    ALL = ""
    LOADS = "LD"
    STORES = "ST"


@dataclass(frozen=True, slots=True)
class DataBarrier:
    """DMB, or DSB if ``completes``: only that one waits for TLB maintenance."""

    completes: bool
    domain: Domain
    access: Access


@dataclass(frozen=True, slots=True)
class InstructionBarrier:
    """ISB."""


class TlbScope(Enum):
    """What TLB maintenance invalidates: everything of EL1, an address space (ASID), or an address
    in one or in all address spaces."""

    ALL = "VMALL"
    ASID = "ASID"
    ADDRESS = "VA"
    ADDRESS_ALL_ASIDS = "VAA"


@dataclass(frozen=True, slots=True)
class TlbInvalidate:
    """TLBI at EL1. ``broadcast``: IS, all PEs of the inner shareable domain; else this PE.

    ``register`` holds the page number in its low bits (the address shifted right by 12), or is
    ``None`` for ``TlbScope.ALL``. ``last_level``: only last-level entries (VALE1, VAALE1).
    ``nxs``: the nXS form, whose completion need not wait for accesses with the XS attribute.
    """

    scope: TlbScope
    last_level: bool
    broadcast: bool
    nxs: bool
    register: Register | None


@dataclass(frozen=True, slots=True)
class TranslateAddress:
    """AT S1E0R and so on: a walk for an access from EL0 or EL1, its outcome in PAR_EL1."""

    el0: bool
    write: bool
    register: Register


Instruction: TypeAlias = (
    Load
    | Store
    | LoadPair
    | StorePair
    | StoreExclusive
    | CompareAndSwap
    | AtomicAccess
    | Move
    | MoveKeep
    | Compute
    | BitField
    | Select
    | Branch
    | BranchIfZero
    | BranchIfBit
    | BranchTo
    | LabelAddress
    | ExceptionReturn
    | SupervisorCall
    | Undefined
    | Nop
    | ReadSystem
    | WriteSystem
    | DataBarrier
    | InstructionBarrier
    | TlbInvalidate
    | TranslateAddress
)


def label_of(instruction: Instruction) -> str | None:
    """The label that an instruction names."""
    match instruction:
        case Branch() | BranchIfZero() | BranchIfBit() | LabelAddress():
            return instruction.target
        case _:
            return None
