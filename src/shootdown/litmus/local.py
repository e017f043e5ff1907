"""What a processor does by itself: instructions that touch neither memory nor another processor.

What the next one of the others does is said in :mod:`shootdown.litmus.effects`.
"""

from __future__ import annotations

from dataclasses import replace

from shootdown.litmus.compute import (
    Code,
    UnknownResultError,
    Unset,
    Word,
    compare,
    compute,
    cut,
    extended,
    same,
    signed,
)
from shootdown.litmus.errors import Unsupported
from shootdown.litmus.instructions import (
    Access,
    Addressing,
    Alu,
    AtomicAccess,
    BitField,
    Branch,
    BranchIfBit,
    BranchIfZero,
    BranchTo,
    CompareAndSwap,
    Compute,
    Cond,
    DataBarrier,
    ExceptionReturn,
    Instruction,
    InstructionBarrier,
    LabelAddress,
    Load,
    Modified,
    Move,
    MoveKeep,
    Nop,
    Operand,
    Otherwise,
    ReadSystem,
    Register,
    Select,
    Store,
    StoreExclusive,
    StorePair,
    TlbInvalidate,
    TranslateAddress,
    WriteSystem,
)
from shootdown.litmus.model import Code as Column
from shootdown.litmus.model import LitmusTest, Processor
from shootdown.litmus.propositions import RegisterOf
from shootdown.litmus.state import FLAGS, NO_FLAGS, Local
from shootdown.litmus.values import CodeLabel

LONGEST = 1000  # instructions in a row without an effect
RETURN = 30  # the link register
ZERO = 31  # the zero register
PRIVILEGED = TlbInvalidate | TranslateAddress | ExceptionReturn | ReadSystem | WriteSystem
WRITING = Store | StorePair | StoreExclusive | CompareAndSwap | AtomicAccess


class LocalExecutor:
    """Runs the programs of one test from one effect to the next. ``tracking``: whether it matters
    which accesses may be incomplete at an ISB."""

    def __init__(self, test: LitmusTest, tracking: bool = False) -> None:
        self.test = test
        self.tracking = tracking
        self.processors = {processor.number: processor for processor in test.processors}

    # ------------------------------------------------------------------ beginning

    def start(self, processor: Processor) -> Local:
        """Before the first instruction, settled."""
        registers: dict[int, Word] = {}
        for place, value in self.test.initial.items():
            if isinstance(place, RegisterOf) and place.processor == processor.number:
                if place.name[0] != "X" or not place.name[1:].isdecimal():
                    raise Unsupported(f"an initial value of {place.name}", file=self.test.file)
                if isinstance(value, tuple):
                    raise Unsupported("an array in a register", file=self.test.file)
                registers[int(place.name[1:])] = cut(self.resolve(value), 64)
        local = Local(
            Code(processor.number, False, 0), tuple(sorted(registers.items())), el0=processor.el0
        )
        return self.settle(local)

    def resolve(self, value: Word) -> Word:
        """A label as the instruction it stands before."""
        if isinstance(value, CodeLabel):
            return self.label(value.processor, value.label)
        return value

    def label(self, number: int, name: str) -> Code:
        """The instruction that a label stands before."""
        processor = self.processors[number]
        for handler, column in ((False, processor.code), (True, processor.handler)):
            if column is not None and name in column.labels:
                return Code(number, handler, column.labels[name])
        raise Unsupported(f"label P{number}:{name}", file=self.test.file)

    def column(self, at: Code) -> Column:
        """The program or the handler."""
        processor = self.processors[at.processor]
        column = processor.handler if at.handler else processor.code
        assert column is not None
        return column

    def exists(self, to: Code, local: Local) -> bool:
        """Whether a processor may go on at an instruction, or at the end of its program."""
        here = to.processor == local.at.processor
        return here and 0 <= to.index <= len(self.column(to).steps)

    def ended(self, local: Local) -> bool:
        """Whether there is nothing left to do."""
        if local.stop is not None and local.at.index >= local.stop:
            return True
        return local.ended or not 0 <= local.at.index < len(self.column(local.at).steps)

    def instruction(self, local: Local) -> Instruction:
        """The next one."""
        return self.column(local.at).steps[local.at.index].instruction

    def unsupported(self, local: Local, what: str) -> Unsupported:
        """At the line of the next instruction."""
        step = self.column(local.at).steps[local.at.index]
        return Unsupported(f"{what} ({step.text})", file=self.test.file, line=step.line)

    def most_writes(self) -> dict[int, int]:
        """How often the program of each processor writes, if no instruction is done twice."""
        return {
            number: sum(
                isinstance(step.instruction, WRITING) + isinstance(step.instruction, StorePair)
                for column in filter(None, (processor.code, processor.handler))
                for step in column.steps
            )
            for number, processor in self.processors.items()
        }

    # ------------------------------------------------------------------ local instructions

    def settle(self, local: Local) -> Local:
        """Run to the next effect or the end."""
        for _ in range(LONGEST):
            if local.impossible:
                return local
            if self.ended(local):
                if local.deferred is not None:
                    return self.resumed(local)
                registers = tuple(sorted({**dict(local.registers), **dict(local.kept)}.items()))
                return replace(local, ended=True, flags=NO_FLAGS, part=0, registers=registers)
            try:
                after = self.step(local)
            except UnknownResultError as error:
                raise self.unsupported(local, str(error)) from None
            if after is None:
                return local
            local = self.waited(local, after) if self.tracking else after
        raise self.unsupported(local, self._without_access(local))

    def _without_access(self, local: Local) -> str:
        """What keeps a processor from its next access."""
        try:
            after = self.step(local)
            for _ in range(LONGEST):
                if after is None or after == local or self.ended(after):
                    break
                after = self.step(after)
        except UnknownResultError:
            after = None
        if after == local:
            return "an endless loop without an access"
        return f"more than {LONGEST} instructions in a row without an access"

    def resumed(self, local: Local) -> Local:
        """At the end of a handler that came early: what was put off is next."""
        assert local.deferred is not None
        before, stop = local.deferred
        handler = self.processors[local.at.processor].handler
        assert handler is not None
        written = {target(step.instruction) for step in handler.steps}
        kept = tuple((number, value) for number, value in local.registers if number in written)
        return replace(before, faults=local.faults, system=local.system, stop=stop, kept=kept)

    def waited(self, before: Local, after: Local) -> Local:
        """After a local instruction: what its target depends on, and what it has waited for. A
        conditional branch before an ISB waits for the loads that decide it (Arm ARM B2.3.8)."""
        if not before.under_way:
            return after
        instruction = self.instruction(before)
        loads = before.loads(sources(instruction))
        match instruction:
            case Branch(_, Cond.AL):
                return after
            case Branch() | BranchIfZero() | BranchIfBit() | BranchTo():
                return after.done(loads)
            case DataBarrier(True, _, access):
                stores = access is Access.STORES
                return after.done(frozenset(a for a in before.under_way if (a < 0) == stores))
            case Compute(flags=True):
                after = after.depending(FLAGS, loads)
        number = target(instruction)
        return after if number is None else after.depending(number, loads)

    def issued(self, local: Local, after: Local, *targets: Register) -> Local:
        """After an access: it is under way, and what it has loaded depends on it."""
        if not self.tracking:
            return after
        access = local.at.index if targets else -1 - local.at.index
        after = replace(after, under_way=after.under_way | {access})
        for register in targets:
            after = after.depending(register.number, frozenset((access,)))
        return after

    def step(self, local: Local) -> Local | None:  # noqa: PLR0912 - a case for each instruction
        """One instruction, or ``None`` if it has an effect."""
        instruction = self.instruction(local)
        self._allowed(local, instruction)
        match instruction:
            case Move(target, source):
                value = local.get(source) if isinstance(source, Register) else source
                return local.put(target, value).next()
            case MoveKeep(target, part, shift):
                old = local.get(target)
                if not isinstance(old, int):
                    raise UnknownResultError(f"MOVK of {old}")
                return local.put(target, old & ~(0xFFFF << shift) | part << shift).next()
            case Compute(op, target, left, right, flags):
                a, b = local.get(left), self.operand(local, right, target.bits)
                bits = left.bits
                if flags:
                    local = replace(local, flags=compare(op, a, b, bits))
                    if target.is_zero:
                        return local.next()
                return local.put(target, compute(op, a, b, bits)).next()
            case BitField(target, source, low, width, is_signed):
                value = local.get(source)
                if not isinstance(value, int):
                    if low == 0 and width == 64:
                        return local.put(target, value).next()
                    raise UnknownResultError(f"bits of {value}")
                value = value >> low & (1 << width) - 1
                return local.put(target, signed(value, width) if is_signed else value).next()
            case Select():
                return self.select(local, instruction).next()
            case Branch(target, cond, link):
                if link:
                    local = local.put(Register(RETURN, 64), local.next().at)
                return self.jump(local, target) if local.flags.hold(cond) else local.next()
            case BranchIfZero(register, nonzero, target):
                taken = same(local.get(register), 0) != nonzero
                return self.jump(local, target) if taken else local.next()
            case BranchIfBit(register, bit, nonzero, target):
                tested = compute(Alu.AND, local.get(register), 1 << bit, 64)
                taken = same(tested, 0) != nonzero
                return self.jump(local, target) if taken else local.next()
            case BranchTo(register, link):
                to = local.get(register)
                if not isinstance(to, Code) or not self.exists(to, local):
                    raise UnknownResultError(f"a jump to {to}")
                if link:
                    local = local.put(Register(RETURN, 64), local.next().at)
                return replace(local, at=to)
            case LabelAddress(register, target):
                return local.put(register, self.label(local.at.processor, target)).next()
            case ReadSystem(target, source):
                found = dict(local.system).get(source)
                if found is None or isinstance(found, Unset):
                    raise UnknownResultError(f"{source.value}, which nobody has set,")
                return local.put(target, found).next()
            case WriteSystem(target, source):
                return local.put_system(target, local.get(source)).next()
            case Nop():
                return local.next()
            case DataBarrier(completes) if not completes:
                return local.next()
            case DataBarrier(_, _, access) if access is not Access.ALL:
                return local.next()
            case InstructionBarrier() if local.under_way:
                return local.next()  # later translations may be older than it
            case _:
                return None

    def _allowed(self, local: Local, instruction: Instruction) -> None:
        """TLB maintenance, AT, ERET and the system registers of EL1 are UNDEFINED at EL0 (Arm ARM
        C5); tests that do them there do not mean the exception."""
        if local.el0 and isinstance(instruction, PRIVILEGED):
            raise UnknownResultError("what is undefined at EL0")

    def operand(self, local: Local, operand: Operand, bits: int) -> Word:
        """A second operand."""
        match operand:
            case int():
                return cut(operand, bits)
            case Register():
                return local.get(operand)
            case Modified(register, extend, amount):
                return extended(local.get(register), extend, amount, bits)

    def select(self, local: Local, instruction: Select) -> Local:
        """CSEL and its relatives."""
        target = instruction.target
        if local.flags.hold(instruction.cond):
            return local.put(target, local.get(instruction.left))
        value = local.get(instruction.right)
        match instruction.otherwise:
            case Otherwise.INCREMENT:
                value = compute(Alu.ADD, value, 1, target.bits)
            case Otherwise.INVERT:
                value = compute(Alu.EOR, value, (1 << target.bits) - 1, target.bits)
            case Otherwise.NEGATE:
                value = compute(Alu.SUB, 0, value, target.bits)
        return local.put(target, value)

    def jump(self, local: Local, label: str) -> Local:
        """To a label of the same processor."""
        return replace(local, at=self.label(local.at.processor, label))

    def plain(self, before: Local, after: Local) -> bool:
        """Whether two points of one column have neither a barrier nor a branch between them."""
        if after.ended or (before.at.handler != after.at.handler):
            return False
        between = self.column(before.at).steps[before.at.index : after.at.index]
        return bool(between) and not any(
            isinstance(
                step.instruction,
                DataBarrier | InstructionBarrier | Branch | BranchIfZero | BranchIfBit | BranchTo,
            )
            for step in between
        )


def registers_read(instruction: Instruction) -> set[int]:
    """What an instruction reads, addresses included."""
    found = sources(instruction)
    address = getattr(instruction, "address", None)
    if isinstance(address, Addressing):
        found.add(address.base.number)
        if isinstance(address.offset, Modified):
            found.add(address.offset.register.number)
    return found - {ZERO}


def target(instruction: Instruction) -> int | None:
    """The general register that a load or a local instruction writes."""
    match instruction:
        case Load(register):
            return register.number
        case Move(to) | MoveKeep(to) | Compute(_, to) | BitField(to) | Select(to) | ReadSystem(to):
            return to.number
    return None


def sources(instruction: Instruction) -> set[int]:
    """What a local instruction reads: numbers of registers, and ``FLAGS``."""
    found = set()
    for name in ("source", "left", "right", "register"):
        operand = getattr(instruction, name, None)
        if isinstance(operand, Modified):
            operand = operand.register
        if isinstance(operand, Register):
            found.add(operand.number)
    match instruction:
        case MoveKeep(to):
            found.add(to.number)
        case Select():
            found.add(FLAGS)
        case Branch(_, cond) if cond is not Cond.AL:
            found.add(FLAGS)
    return found
