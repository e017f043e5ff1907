"""What a processor does by itself: from one access, barrier or TLB operation to the next.

A :class:`Local` is the place in the program together with the registers. :func:`settle` runs
instructions that touch neither memory nor another processor; :func:`effect` says what the next one
does, and which local state follows for each value read and for each fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from shootdown.litmus.compute import (
    Code,
    Nzcv,
    PageNumber,
    UnknownResultError,
    Unset,
    Word,
    compare,
    compute,
    cut,
    extended,
    in_page,
    same,
    signed,
)
from shootdown.litmus.condition import Fault
from shootdown.litmus.errors import Unsupported
from shootdown.litmus.instructions import (
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
    Instruction,
    InstructionBarrier,
    LabelAddress,
    Load,
    LoadPair,
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
    SupervisorCall,
    SystemRegister,
    TlbInvalidate,
    TlbScope,
    TranslateAddress,
    Undefined,
    Writeback,
    WriteSystem,
)
from shootdown.litmus.model import Code as Column
from shootdown.litmus.model import FaultHandling, LitmusTest, Processor
from shootdown.litmus.propositions import Cause, FaultType, RegisterOf
from shootdown.litmus.values import Address, CodeLabel, Par, Pte, PteAddress

LONGEST = 1000  # instructions in a row without an effect
RETURN = 30  # the link register
ZERO = 31  # the zero register
NO_FLAGS = Nzcv()
FLAGS = -1  # stands for NZCV where registers are numbered


@dataclass(frozen=True, slots=True)
class Local:
    """A processor between two effects. ``registers`` holds those that were written or given;
    ``part`` counts the accesses of a pair that are done.

    ``deferred``: a fault was taken before the accesses from a local state up to an instruction were
    done (:mod:`shootdown.litmus.ahead`); they follow the handler, up to ``stop``, and leave the
    registers that the handler has written (``kept``). ``impossible``: such an access has faulted,
    so that the other fault was none.

    ``under_way`` are the accesses (loads as their place in the program, stores as -1 less that)
    that may still be incomplete, as nothing has waited for them: an ISB waits for none of them.
    ``depends`` says on which of those loads a register depends; number -1 stands for the flags.
    """

    at: Code
    registers: tuple[tuple[int, Word], ...]
    flags: Nzcv = NO_FLAGS
    el0: bool = False
    saved_el0: bool = False
    system: tuple[tuple[SystemRegister, Word], ...] = ()
    faults: frozenset[Fault] = frozenset()
    part: int = 0
    ended: bool = False
    deferred: tuple[Local, int] | None = None
    stop: int | None = None
    kept: tuple[tuple[int, Word], ...] = ()
    impossible: bool = False
    under_way: frozenset[int] = frozenset()
    depends: tuple[tuple[int, frozenset[int]], ...] = ()

    def get(self, register: Register) -> Word:
        """What a register holds: 0 if nobody gave it a value."""
        return (
            0
            if register.is_zero
            else cut(dict(self.registers).get(register.number, 0), register.bits)
        )

    def put(self, register: Register, value: Word) -> Local:
        """With another value in a register."""
        if register.is_zero:
            return self
        registers = {**dict(self.registers), register.number: cut(value, register.bits)}
        return replace(self, registers=tuple(sorted(registers.items(), key=lambda item: item[0])))

    def loads(self, sources: Iterable[int]) -> frozenset[int]:
        """The loads under way on which some registers depend."""
        known = dict(self.depends)
        found: frozenset[int] = frozenset()
        for source in sources:
            found |= known.get(source, frozenset())
        return found & self.under_way

    def depending(self, number: int, loads: frozenset[int]) -> Local:
        """With a register that depends on some loads."""
        known = {**dict(self.depends), number: loads}
        kept = ((n, still) for n, on in known.items() if (still := on & self.under_way))
        return replace(self, depends=tuple(sorted(kept, key=lambda item: item[0])))

    def done(self, accesses: frozenset[int]) -> Local:
        """Something has waited for some accesses."""
        if not self.under_way & accesses:
            return self
        after = replace(self, under_way=self.under_way - accesses)
        return after.depending(FLAGS, dict(self.depends).get(FLAGS, frozenset()))

    def put_system(self, register: SystemRegister, value: Word) -> Local:
        """With another value in a system register."""
        found = {**dict(self.system), register: value}
        return replace(self, system=tuple(sorted(found.items(), key=lambda item: item[0].value)))

    def next(self, count: int = 1) -> Local:
        """After this instruction."""
        return replace(self, at=replace(self.at, index=self.at.index + count), part=0)


@dataclass(frozen=True, slots=True)
class Effect:
    """What an instruction does outside of the processor.

    ``kind`` is ``load``, ``store``, ``update``, ``load exclusive``, ``store exclusive``, ``probe``
    or ``probe for write`` (AT), ``tlbi``, ``dsb``, ``dsb local``, ``sync`` or ``return`` (from an
    exception).
    ``then`` gives, for the value read (0 where nothing is), what is written (``None``: nothing) and
    the local state that follows; for a store exclusive 1 stands for done, 0 for not. ``fault`` is
    what follows a fault. ``unprivileged``: the access needs the rights of EL0. ``resumes``: no
    handler of the test is between a fault and what follows it.
    """

    kind: str
    place: Address | PteAddress | None = None
    size: int = 8
    then: Callable[[Word], tuple[Word | None, Local]] | None = None
    fault: Callable[[Cause], Local] | None = None
    pages: frozenset[str] | None = None
    broadcast: bool = True
    writes_always: bool = False
    unprivileged: bool = False
    resumes: bool = False


class Executor:
    """Runs the programs of one test. ``tracking``: whether it matters which accesses may be
    incomplete at an ISB."""

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

    def faulted_ahead(
        self, before: Local, at: Local, cause: Cause, place: Address | PteAddress
    ) -> Local:
        """A fault of a later access is taken before those from ``before`` on are done."""
        entry = self.raised(at, cause, place)
        return self.settle(replace(entry, deferred=(before, at.at.index)))

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

    # ------------------------------------------------------------------ effects

    def effect(self, local: Local) -> Effect:
        """What the next instruction of a settled local state does."""
        instruction = self.instruction(local)
        try:
            self._allowed(local, instruction)
            return self._effect(local, instruction)
        except UnknownResultError as error:
            raise self.unsupported(local, str(error)) from None

    def _allowed(self, local: Local, instruction: Instruction) -> None:
        """TLB maintenance, AT, ERET and the system registers of EL1 are UNDEFINED at EL0 (Arm ARM
        C5); tests that do them there do not mean the exception."""
        if local.el0 and isinstance(instruction, PRIVILEGED):
            raise UnknownResultError("what is undefined at EL0")

    def _effect(self, local: Local, instruction: Instruction) -> Effect:
        match instruction:
            case Load(target, address, size, is_signed, _, exclusive):
                place, local_after = self.address(local, address)

                def loaded(old: Word) -> tuple[None, Local]:
                    value = cut(old, 8 * size)
                    if is_signed:
                        if not isinstance(value, int):
                            raise self.unsupported(local, f"the sign of {value}")
                        value = signed(value, 8 * size)
                    found = self.issued(local, local_after.put(target, value), target)
                    return None, self.settle(found.next())

                kind = "load exclusive" if exclusive else "load"
                return self.memory(kind, local, place, size, loaded)
            case Store(source, address, size):
                place, local_after = self.address(local, address)
                value = cut(local.get(source), 8 * size)
                after = self.settle_later(self.issued(local, local_after))
                return self.memory("store", local, place, size, lambda _: (value, after()))
            case LoadPair(first, second, address, size):
                return self.pair(local, (first, second), address, size, True)
            case StorePair(first, second, address, size):
                return self.pair(local, (first, second), address, size, False)
            case CompareAndSwap(expected, new, address, size):
                place, local = self.address(local, address)
                wanted, written = cut(local.get(expected), 8 * size), cut(local.get(new), 8 * size)

                def swapped(old: Word) -> tuple[Word | None, Local]:
                    found = cut(old, 8 * size)
                    after = self.issued(local, local.put(expected, found), expected)
                    after = self.settle(after.next())
                    try:
                        return (written if same(found, wanted) else None), after
                    except UnknownResultError as error:
                        raise self.unsupported(local, str(error)) from None

                return self.memory("update", local, place, size, swapped)
            case AtomicAccess(op, operand, target, address, size):
                place, local = self.address(local, address)
                given = local.get(operand)

                def updated(old: Word) -> tuple[Word, Local]:
                    found = cut(old, 8 * size)
                    after = self.issued(local, local.put(target, found), target)
                    after = self.settle(after.next())
                    try:
                        return atomic(op, found, given, 8 * size), after
                    except UnknownResultError as error:
                        raise self.unsupported(local, str(error)) from None

                return self.memory("update", local, place, size, updated, always=True)
            case TlbInvalidate():
                after = self.settle_later(local)
                pages = None
                if instruction.scope is TlbScope.ASID:
                    raise UnknownResultError("which entries belong to an address space")
                if instruction.register is not None:
                    pages = self.invalidated(local, local.get(instruction.register))
                return Effect(
                    "tlbi",
                    then=lambda _: (None, after()),
                    pages=pages,
                    broadcast=instruction.broadcast,
                )
            case DataBarrier(_, domain):
                after = self.settle_later(local.done(local.under_way))
                kind = "dsb local" if domain is Domain.LOCAL else "dsb"
                return Effect(kind, then=lambda _: (None, after()))
            case InstructionBarrier():
                after = self.settle_later(local)
                return Effect("sync", then=lambda _: (None, after()))
            case SupervisorCall():
                called = self.settle(self.raised(local, Cause.SUPERVISOR_CALL, None))
                return Effect(self.exception(local), then=lambda _: (None, called))
            case Undefined():
                undefined = self.settle(self.raised(local, Cause.UNDEFINED, None))
                return Effect(self.exception(local), then=lambda _: (None, undefined))
            case ExceptionReturn():
                to = dict(local.system).get(SystemRegister.ELR_EL1)
                if not isinstance(to, Code) or not self.exists(to, local):
                    raise UnknownResultError(f"a return to {to}")
                back = self.settle(replace(local, at=to, el0=local.saved_el0))
                return Effect("return", then=lambda _: (None, back))
            case TranslateAddress(el0, write, register):
                return self.probe(local, local.get(register), write, el0)
            case StoreExclusive(status, source, address, size):
                place, _ = self.address(local, address)
                value = cut(local.get(source), 8 * size)

                def tried(done: Word) -> tuple[Word | None, Local]:
                    after = self.issued(local, local.put(status, 0 if done else 1))
                    return (value if done else None), self.settle(after.next())

                return self.memory("store exclusive", local, place, size, tried)
            case _:
                raise UnknownResultError("this instruction")

    def settle_later(self, local: Local) -> Callable[[], Local]:
        """What follows, when it is asked for."""
        return lambda: self.settle(local.next())

    def memory(
        self,
        kind: str,
        local: Local,
        place: Address | PteAddress,
        size: int,
        then: Callable[[Word], tuple[Word | None, Local]],
        *,
        always: bool = False,
    ) -> Effect:
        """An access. Descriptors are out of bounds for EL0."""
        if local.el0 and isinstance(place, PteAddress):
            refused = self.settle(self.raised(local, Cause.PERMISSION, place))
            return Effect(self.exception(local), then=lambda _: (None, refused))
        if isinstance(place, Address):
            if place.offset % size:
                raise UnknownResultError(f"an access to {place}, which is not aligned,")
            if not in_page(place):
                raise UnknownResultError(f"an access to {place}, which is outside of the page,")
        elif size < 8 and kind in ("store", "store exclusive", "update"):
            raise UnknownResultError(f"{size} bytes written into a descriptor")
        return Effect(
            kind,
            place,
            size,
            then,
            lambda cause: self.settle(self.raised(local, cause, place)),
            writes_always=always or kind == "store",
            unprivileged=local.el0,
            resumes=self.exception(local) == "return",
        )

    def exception(self, local: Local) -> str:
        """What an exception does: without a handler in the test, whatever handles it returns."""
        processor = self.processors[local.at.processor]
        resumes = (
            processor.handler is None and self.test.variants.handling is not FaultHandling.FATAL
        )
        return "return" if resumes else "sync"

    def pair(
        self,
        local: Local,
        registers: tuple[Register, Register],
        address: Addressing,
        size: int,
        load: bool,
    ) -> Effect:
        """LDP and STP are two accesses, in no order: into its own base LDP loads last."""
        place, moved = self.address(local, address)
        if not isinstance(place, Address):
            raise UnknownResultError("a pair of descriptors")
        turned = load and registers[0].number == address.base.number
        part = 1 - local.part if turned else local.part
        register = registers[part]
        place = Address(place.name, place.offset + part * size)

        def after(done: Local) -> Local:
            if local.part == 0:
                return replace(done, part=1)
            if address.writeback is not Writeback.NO:
                done = done.put(address.base, dict(moved.registers)[address.base.number])
            return self.settle(done.next())

        def then(old: Word) -> tuple[Word | None, Local]:
            if load:
                done = self.issued(local, local.put(register, cut(old, 8 * size)), register)
                return None, after(done)
            return cut(local.get(register), 8 * size), after(self.issued(local, local))

        return self.memory("load" if load else "store", local, place, size, then)

    def address(self, local: Local, address: Addressing) -> tuple[Address | PteAddress, Local]:
        """The place that is accessed, and the local state with its base register changed."""
        base = local.get(address.base)
        offset: Word = (
            address.offset
            if isinstance(address.offset, int)
            else extended(
                local.get(address.offset.register), address.offset.extend, address.offset.amount, 64
            )
        )
        moved = compute(Alu.ADD, base, cut(offset, 64), 64)
        place = base if address.writeback is Writeback.POST else moved
        if not isinstance(place, Address | PteAddress):
            raise UnknownResultError(f"an access to address {place}")
        if address.writeback is not Writeback.NO:
            local = local.put(address.base, moved)
        return place, local

    def invalidated(self, local: Local, operand: Word) -> frozenset[str]:
        """The pages of the test that TLBI names: a number that is no page number of one names
        none."""
        if isinstance(operand, PageNumber):
            return frozenset((operand.name,))
        if isinstance(operand, int | Address | PteAddress):
            return frozenset()
        raise UnknownResultError(f"TLB maintenance of {operand}")

    def probe(self, local: Local, operand: Word, write: bool, el0: bool) -> Effect:
        """AT: the outcome goes to PAR_EL1."""
        if not isinstance(operand, Address) or not in_page(operand):
            raise UnknownResultError(f"AT of {operand}")

        def found(value: Word) -> tuple[None, Local]:
            return None, self.settle(local.put_system(SystemRegister.PAR_EL1, value).next())

        kind = "probe for write" if write else "probe"

        def failed(_: Cause) -> Local:
            return found(Par(None))[1]

        return Effect(kind, operand, 8, found, failed, unprivileged=el0)

    # ------------------------------------------------------------------ exceptions

    def raised(self, local: Local, cause: Cause, place: Address | PteAddress | None) -> Local:
        """After an exception: in the handler, or where the test goes on without one."""
        if local.stop is not None:
            return replace(local, impossible=True)
        if local.at.handler and self.processors[local.at.processor].el0:
            raise self.unsupported(local, "an exception in a handler of EL0")
        processor = self.processors[local.at.processor]
        step = self.column(local.at).steps[local.at.index]
        fault = Fault(
            processor.number, frozenset(step.labels), place, FaultType(cause, side(cause))
        )
        local = replace(local, faults=local.faults | {fault}, under_way=frozenset(), depends=())
        if processor.handler is not None:
            elr = local.next().at if cause is Cause.SUPERVISOR_CALL else local.at
            local = local.put_system(SystemRegister.ELR_EL1, elr)
            address = place if isinstance(place, Address) else Unset()
            local = local.put_system(SystemRegister.FAR_EL1, address)
            local = local.put_system(SystemRegister.ESR_EL1, Unset())
            entry = Code(processor.number, True, 0)
            return replace(local, at=entry, el0=False, saved_el0=local.el0, part=0)
        match self.test.variants.handling:
            case FaultHandling.FATAL:
                return replace(local, ended=True)
            case FaultHandling.SKIP:
                return local.next()
            case FaultHandling.HANDLED:
                again = replace(local, part=0)  # the whole of a pair
                return again if cause is not Cause.SUPERVISOR_CALL else local.next()


PRIVILEGED = TlbInvalidate | TranslateAddress | ExceptionReturn | ReadSystem | WriteSystem
WRITING = Store | StorePair | StoreExclusive | CompareAndSwap | AtomicAccess


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


def side(cause: Cause) -> str:
    """Data accesses are all that is modelled."""
    data = (Cause.TRANSLATION, Cause.ACCESS_FLAG, Cause.PERMISSION)
    return "D" if cause in data else ""


def atomic(op: AtomicOp, old: Word, operand: Word, bits: int) -> Word:
    """What an atomic operation writes."""
    operand = cut(operand, bits)
    match op:
        case AtomicOp.SWP:
            return operand
        case AtomicOp.ADD:
            return compute(Alu.ADD, old, operand, bits)
        case AtomicOp.CLR:
            return compute(Alu.BIC, old, operand, bits)
        case AtomicOp.EOR:
            return compute(Alu.EOR, old, operand, bits)
        case AtomicOp.SET:
            return compute(Alu.ORR, old, operand, bits)
    if not isinstance(old, int) or not isinstance(operand, int):
        raise UnknownResultError(f"{op.value} of {old} and {operand}")
    if op in (AtomicOp.SMAX, AtomicOp.SMIN):
        pick = max if op is AtomicOp.SMAX else min
        return cut(pick(signed(old, bits), signed(operand, bits)), bits)
    return max(old, operand) if op is AtomicOp.UMAX else min(old, operand)


__all__ = ["Effect", "Executor", "Local", "Pte"]
