"""A processor between two effects: the place in its program together with the registers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shootdown.litmus.compute import (
    Code,
    Nzcv,
    Word,
    cut,
)
from shootdown.litmus.condition import Fault
from shootdown.litmus.instructions import (
    Register,
    SystemRegister,
)

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
