"""What the next access, barrier or TLB operation of a processor does outside of it, and which local
state follows for each value read and for each fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from shootdown.litmus.compute import (
    Code,
    PageNumber,
    UnknownResultError,
    Unset,
    Word,
    compute,
    cut,
    extended,
    in_page,
    same,
    signed,
)
from shootdown.litmus.condition import Fault
from shootdown.litmus.instructions import (
    Addressing,
    Alu,
    AtomicAccess,
    AtomicOp,
    CompareAndSwap,
    DataBarrier,
    Domain,
    ExceptionReturn,
    Instruction,
    InstructionBarrier,
    Load,
    LoadPair,
    Register,
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
)
from shootdown.litmus.local import LocalExecutor
from shootdown.litmus.model import FaultHandling
from shootdown.litmus.propositions import Cause, FaultType
from shootdown.litmus.state import Local
from shootdown.litmus.values import Address, Par, PteAddress


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


class Executor(LocalExecutor):
    """Runs the programs of one test."""

    def effect(self, local: Local) -> Effect:
        """What the next instruction of a settled local state does."""
        instruction = self.instruction(local)
        try:
            self._allowed(local, instruction)
            return self._effect(local, instruction)
        except UnknownResultError as error:
            raise self.unsupported(local, str(error)) from None

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

    def faulted_ahead(
        self, before: Local, at: Local, cause: Cause, place: Address | PteAddress
    ) -> Local:
        """A fault of a later access is taken before those from ``before`` on are done."""
        entry = self.raised(at, cause, place)
        return self.settle(replace(entry, deferred=(before, at.at.index)))


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
