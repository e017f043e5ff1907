r"""Conditions on final states: places, faults, propositions, and how they are printed.

The printed form is what herdtools7 prints and reads: ``exists (0:X1=1 /\ not (fault(P0:L0,x)))``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from shootdown.litmus.values import Address, PteAddress, Value, show_value

# ------------------------------------------------------------------------------- places


@dataclass(frozen=True, slots=True)
class RegisterOf:
    """Register ``name`` (``X3``, ``ELR_EL1``) of a processor. ``W3`` is ``X3`` here."""

    processor: int
    name: str

    def __str__(self) -> str:
        return f"{self.processor}:{self.name}"


@dataclass(frozen=True, slots=True)
class Element:
    """``name[index]`` of an array."""

    name: str
    index: int

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


Place: TypeAlias = RegisterOf | Address | PteAddress | Element


def show_place(place: Place) -> str:
    """As in a condition: ``0:X1``, ``[x]``, ``[PTE(x)]``, ``x[1]``."""
    return f"[{place}]" if isinstance(place, Address | PteAddress) else str(place)


# ------------------------------------------------------------------------------- faults


class Cause(Enum):
    """Why an access or instruction did not complete."""

    TRANSLATION = "Translation"
    ACCESS_FLAG = "AccessFlag"
    PERMISSION = "Permission"
    EXCLUSIVE = "Exclusive"
    UNDEFINED = "UndefinedInstruction"
    SUPERVISOR_CALL = "SupervisorCall"


MMU_CAUSES = frozenset((Cause.TRANSLATION, Cause.ACCESS_FLAG, Cause.PERMISSION, Cause.EXCLUSIVE))


@dataclass(frozen=True, slots=True)
class FaultType:
    """A kind of fault. ``side`` is for translation only: ``D`` for data, ``I`` for instruction
    fetches, empty in a condition for either."""

    cause: Cause
    side: str = ""

    def __str__(self) -> str:
        if self.cause not in MMU_CAUSES:
            return self.cause.value
        return f"{self.side}-MMU:{self.cause.value}" if self.side else f"MMU:{self.cause.value}"

    def includes(self, actual: FaultType) -> bool:
        """Whether a fault of type ``actual`` is one of this type."""
        return self.cause == actual.cause and self.side in ("", actual.side)


@dataclass(frozen=True, slots=True)
class FaultAtom:
    """``fault(P0:L0,x,MMU:Translation)``: such a fault happened. ``None`` fits any."""

    processor: int
    label: str | None = None
    address: Address | PteAddress | None = None
    type: FaultType | None = None

    def __str__(self) -> str:
        return f"fault({self.arguments()})"

    def arguments(self) -> str:
        """What stands between the parentheses."""
        where = f"P{self.processor}" + (f":{self.label}" if self.label is not None else "")
        rest = (str(part) for part in (self.address, self.type) if part is not None)
        return ",".join((where, *rest))


# ------------------------------------------------------------------------------- propositions


@dataclass(frozen=True, slots=True)
class Equal:
    """``place=value``. A descriptor is compared whole: fields left out have their defaults."""

    place: Place
    value: Value


@dataclass(frozen=True, slots=True)
class Same:
    """Two places hold the same."""

    left: Place
    right: Place


@dataclass(frozen=True, slots=True)
class Not:
    """Negation."""

    part: Proposition


@dataclass(frozen=True, slots=True)
class And:
    """Conjunction; of nothing: true."""

    parts: tuple[Proposition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Disjunction; of nothing: false."""

    parts: tuple[Proposition, ...]


@dataclass(frozen=True, slots=True)
class Implies:
    """Implication."""

    premise: Proposition
    conclusion: Proposition


Atom: TypeAlias = Equal | Same | FaultAtom
Proposition: TypeAlias = Atom | Not | And | Or | Implies


class Quantifier(Enum):
    """What is asked about the set of final states."""

    EXISTS = "exists"
    NOT_EXISTS = "~exists"
    FORALL = "forall"


@dataclass(frozen=True, slots=True)
class Condition:
    """A quantified proposition: what the test asks."""

    quantifier: Quantifier
    proposition: Proposition

    def __str__(self) -> str:
        return f"{self.quantifier.value} ({show_proposition(self.proposition)})"


def atoms(proposition: Proposition) -> Iterator[Atom]:
    """The atoms of a proposition, from left to right."""
    match proposition:
        case Not(part):
            yield from atoms(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from atoms(part)
        case Implies(premise, conclusion):
            yield from atoms(premise)
            yield from atoms(conclusion)
        case Equal() | Same() | FaultAtom():
            yield proposition


def show_proposition(proposition: Proposition) -> str:
    """With the parentheses that are needed, and around an implication that is a part."""
    return _show(proposition, None)


def _show(proposition: Proposition, above: type[And] | type[Or] | type[Implies] | None) -> str:
    match proposition:
        case Equal(place, value):
            where = str(place) if isinstance(value, tuple) else show_place(place)
            return f"{where}={show_value(value)}"
        case Same(left, right):
            return f"{show_place(left)}={show_place(right)}"
        case FaultAtom():
            return str(proposition)
        case Not(part):
            return f"not ({_show(part, None)})"
        case And(()):
            return "true"
        case Or(()):
            return "false"
        case And(parts):
            text = " /\\ ".join(_show(part, And) for part in parts)
            return f"({text})" if above is Implies else text
        case Or(parts):
            text = " \\/ ".join(_show(part, Or) for part in parts)
            return f"({text})" if above in (And, Implies) else text
        case Implies(premise, conclusion):
            text = f"{_show(premise, Implies)} => {_show(conclusion, Implies)}"
            return text if above is None else f"({text})"
