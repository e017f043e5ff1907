"""A parsed litmus test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from shootdown.litmus.instructions import Instruction
from shootdown.litmus.propositions import (
    Condition,
    Element,
    Equal,
    FaultAtom,
    Place,
    Proposition,
    RegisterOf,
    Same,
    atoms,
)
from shootdown.litmus.values import Address, Par, Physical, Pte, PteAddress, Scalar, Value

# ------------------------------------------------------------------------------- types

# Bytes; unsigned types are those that begin with u, and pteval_t.
INTEGER_SIZES: Final = {
    "int": 4,
    "long": 4,
    "atomic_t": 4,
    "int32_t": 4,
    "uint32_t": 4,
    "char": 1,
    "int8_t": 1,
    "uint8_t": 1,
    "short": 2,
    "int16_t": 2,
    "uint16_t": 2,
    "int64_t": 8,
    "uint64_t": 8,
    "intptr_t": 8,
    "uintptr_t": 8,
    "pteval_t": 8,
}
UNSIGNED: Final = frozenset(
    ("atomic_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "uintptr_t", "pteval_t")
)


@dataclass(frozen=True, slots=True)
class Type:
    """The declared type of a place, ``int`` if there is none. It decides how integers are compared
    and printed. ``length`` is that of an array of ``name``."""

    name: str = "int"
    pointer: bool = False
    length: int | None = None

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return 8 if self.pointer else INTEGER_SIZES[self.name]

    @property
    def signed(self) -> bool:
        """Whether the top bit is a sign."""
        return not self.pointer and self.name not in UNSIGNED

    def cut(self, number: int) -> int:
        """``number`` as this type holds it."""
        bits = 8 * self.size
        number &= (1 << bits) - 1
        return number - (1 << bits) if self.signed and number >> (bits - 1) else number


INT: Final = Type()


# ------------------------------------------------------------------------------- header


class FaultHandling(Enum):
    """What a fault does when the processor has no handler: end the thread, go to the next
    instruction, or try the same instruction again."""

    FATAL = "fatal"
    SKIP = "skip"
    HANDLED = "handled"


class Ets(Enum):
    """Enhanced translation synchronization that a test asks for."""

    NONE = ""
    ETS = "ets"
    ETS2 = "ets2"
    ETS3 = "ets3"


@dataclass(frozen=True, slots=True)
class Variants:
    """The ``Variant`` key. ``entry_unordered`` and ``exit_unordered``: taking an exception, or
    returning from one, is no context synchronization event (FEAT_ExS)."""

    vmsa: bool = False
    handling: FaultHandling = FaultHandling.FATAL
    ets: Ets = Ets.NONE
    entry_unordered: bool = False
    exit_unordered: bool = False


# ------------------------------------------------------------------------------- program


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction with all labels before it. ``text`` is its source, ``line`` where it is."""

    labels: tuple[str, ...]
    instruction: Instruction
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Code:
    """A column. ``labels`` gives the index in ``steps``; a label at the end has their number."""

    steps: tuple[Step, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Processor:
    """A thread, its fault handler (``P0.F``), and what ``EL0`` and ``TTHM`` say about it.

    ``hardware_af`` and ``hardware_dirty``: its walks set the access flag, its writes the dirty
    state (HD includes HA). Labels of program and handler are in one name space.
    """

    number: int
    code: Code
    handler: Code | None = None
    el0: bool = False
    hardware_af: bool = False
    hardware_dirty: bool = False


# ------------------------------------------------------------------------------- test


@dataclass(frozen=True, slots=True)
class LitmusTest:
    """A test as it was written. ``info`` holds all header lines ``KEY = VALUE``.

    ``initial`` and ``types`` hold what the test gives; :meth:`initial_value` and :meth:`type_of`
    know the defaults. ``locations`` and ``watched`` are the places and faults of a ``locations``
    clause: final states show them besides those of the condition. States that do not satisfy
    ``filter`` do not count.
    """

    name: str
    file: str
    info: Mapping[str, str]
    variants: Variants
    processors: tuple[Processor, ...]
    initial: Mapping[Place, Value]
    types: Mapping[Place, Type]
    locations: tuple[Place, ...]
    watched: tuple[FaultAtom, ...]
    filter: Proposition | None
    condition: Condition

    def type_of(self, place: Place) -> Type:
        """The declared type, that of the array for an element, else ``int``."""
        if isinstance(place, Element):
            return Type(self.types.get(Address(place.name), INT).name)
        return self.types.get(place, INT)

    def initial_value(self, place: Place) -> Value:
        """What ``place`` holds at first: 0, or a descriptor for the page of its own name."""
        if isinstance(place, Element):
            array = self.initial.get(Address(place.name), ())
            return array[place.index] if isinstance(array, tuple) else 0
        if isinstance(place, PteAddress):
            return self.initial.get(place, Pte(Physical(place.name)))
        return self.initial.get(place, 0)

    def shown_places(self) -> tuple[Place, ...]:
        """The places that a final state shows, in the order in which it shows them."""
        found: dict[Place, None] = dict.fromkeys(self.locations)
        for atom in atoms(self.condition.proposition):
            match atom:
                case Equal(place):
                    found[place] = None
                case Same(left, right):
                    found[left] = found[right] = None
        return tuple(sorted(found, key=_rank))

    def observed(self) -> tuple[Place, ...]:
        """The places on which something depends: those that are shown, and those of the filter."""
        found = dict.fromkeys(self.shown_places())
        for atom in atoms(self.filter) if self.filter is not None else ():
            match atom:
                case Equal(place):
                    found[place] = None
                case Same(left, right):
                    found[left] = found[right] = None
        return tuple(found)

    def shown_faults(self) -> tuple[FaultAtom, ...]:
        """The faults whose occurrence, or absence, a final state shows."""
        found = dict.fromkeys(self.watched)
        found.update(
            (atom, None)
            for atom in atoms(self.condition.proposition)
            if isinstance(atom, FaultAtom)
        )
        return tuple(found)

    def declared(self) -> set[str]:
        """The names of the variables that the initial state mentions."""
        found = {name for place in self.initial for name in _names(place)}
        for value in self.initial.values():
            for scalar in value if isinstance(value, tuple) else (value,):
                found.update(_names(scalar))
        return found

    def undeclared(self) -> tuple[str, ...]:
        """The names of the variables that only the condition mentions."""
        found: set[str] = set()
        for atom in atoms(self.condition.proposition):
            match atom:
                case Equal(place, value):
                    found.update(_names(place))
                    for scalar in value if isinstance(value, tuple) else (value,):
                        found.update(_names(scalar))
                case Same(left, right):
                    found.update((*_names(left), *_names(right)))
                case FaultAtom(_, _, address) if address is not None:
                    found.update(_names(address))
        return tuple(sorted(found - self.declared()))

    def variables(self) -> tuple[str, ...]:
        """The names of all variables, hence of all virtual pages and of all physical ones."""
        found = self.declared()
        found.update(name for place in self.locations for name in _names(place))
        for proposition in (self.condition.proposition, self.filter):
            for atom in atoms(proposition) if proposition is not None else ():
                match atom:
                    case Equal(place, value):
                        found.update(_names(place))
                        if not isinstance(value, tuple):
                            found.update(_names(value))
                    case Same(left, right):
                        found.update((*_names(left), *_names(right)))
        return tuple(sorted(found))


def _names(item: Place | Scalar) -> Iterator[str]:
    match item:
        case Address(name) | PteAddress(name) | Physical(name) | Element(name):
            yield name
        case Pte(oa) | Par(oa) if oa is not None:
            yield oa.name


def _rank(place: Place) -> tuple[int, int, int, str, int]:
    """Registers by processor and number, memory by name, descriptors, elements."""
    match place:
        case RegisterOf(processor, name):
            general = name[1:].isdecimal()
            return (0, processor, int(name[1:]) if general else 99, name, 0)
        case Address(name, offset):
            return (1, 0, 0, name, offset)
        case PteAddress(name):
            return (2, 0, 0, name, 0)
        case Element(name, index):
            return (3, 0, 0, name, index)
