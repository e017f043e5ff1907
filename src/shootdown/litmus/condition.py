"""Final states: whether they satisfy a condition, and how herdtools7 prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from shootdown.litmus.model import LitmusTest, Type
from shootdown.litmus.propositions import (
    And,
    Element,
    Equal,
    FaultAtom,
    FaultType,
    Implies,
    Not,
    Or,
    Place,
    Proposition,
    Quantifier,
    Same,
    show_place,
)
from shootdown.litmus.values import Address, CodeLabel, PteAddress, Value, show_value

_Key: TypeAlias = tuple[int, tuple[str, ...], str, str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that happened: ``labels`` are all labels of the instruction, ``address`` is what it
    accessed (``None`` if it was no access). ``message`` is printed, no condition asks for it:
    ``EL0`` where an access to a descriptor from EL0 was refused."""

    processor: int
    labels: frozenset[str]
    address: Address | PteAddress | None
    type: FaultType
    message: str | None = None

    def fits(self, atom: FaultAtom) -> bool:
        """Whether ``atom`` speaks about this fault. The offset of an address does not matter."""
        same_page = atom.address is None or _page(self.address) == _page(atom.address)
        return (
            self.processor == atom.processor
            and (atom.label is None or atom.label in self.labels)
            and (atom.type is None or atom.type.includes(self.type))
            and same_page
        )


def _page(address: Address | PteAddress | None) -> Address | PteAddress | None:
    return Address(address.name) if isinstance(address, Address) else address


@dataclass(frozen=True, slots=True)
class FinalState:
    """The end of one execution. Places without a value still have their initial one.

    Integers need not be cut to the width of their place.
    """

    values: Mapping[Place, Value]
    faults: frozenset[Fault] = frozenset()


def value_at(test: LitmusTest, state: FinalState, place: Place) -> Value:
    """What ``place`` holds. An element is looked for under its own name, then at its address, then
    in its array. A whole array is made of its elements."""
    length = None if isinstance(place, Element) else test.type_of(place).length
    if length is not None and not isinstance(state.values.get(place), tuple):
        assert isinstance(place, Address)
        parts = (value_at(test, state, Element(place.name, i)) for i in range(length))
        return tuple(part for part in parts if not isinstance(part, tuple))
    if place in state.values:
        return state.values[place]
    if isinstance(place, Element):
        offset = place.index * test.type_of(place).size
        if Address(place.name, offset) in state.values:
            return state.values[Address(place.name, offset)]
        array = state.values.get(Address(place.name))
        if isinstance(array, tuple):
            return array[place.index]
    return test.initial_value(place)


def cut(kind: Type, found: Value) -> Value:
    """Integers as ``kind`` holds them; all else as it is."""
    if isinstance(found, int):
        return kind.cut(found)
    if isinstance(found, tuple):
        return tuple(kind.cut(part) if isinstance(part, int) else part for part in found)
    return found


def holds(test: LitmusTest, proposition: Proposition, state: FinalState) -> bool:
    """Whether a final state satisfies a proposition of its test."""
    match proposition:
        case Equal(place, wanted):
            kind = test.type_of(place)
            held = cut(kind, value_at(test, state, place))
            return _instruction(test, held) == _instruction(test, cut(kind, wanted))
        case Same(left, right):
            one, other = (cut(test.type_of(p), value_at(test, state, p)) for p in (left, right))
            return _instruction(test, one) == _instruction(test, other)
        case FaultAtom():
            return any(fault.fits(proposition) for fault in state.faults)
        case Not(part):
            return not holds(test, part, state)
        case And(parts):
            return all(holds(test, part, state) for part in parts)
        case Or(parts):
            return any(holds(test, part, state) for part in parts)
        case Implies(premise, conclusion):
            return not holds(test, premise, state) or holds(test, conclusion, state)


def _instruction(test: LitmusTest, value: Value) -> Value:
    """The first of all labels that an instruction has stands for it."""
    if isinstance(value, CodeLabel) and value.processor < len(test.processors):
        processor = test.processors[value.processor]
        for column in filter(None, (processor.code, processor.handler)):
            if value.label in column.labels:
                index = column.labels[value.label]
                first = next(label for label, at in column.labels.items() if at == index)
                return CodeLabel(value.processor, first)
    return value


def counts(test: LitmusTest, state: FinalState) -> bool:
    """Whether the ``filter`` of the test admits a final state."""
    return test.filter is None or holds(test, test.filter, state)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test says about all final states.

    ``observation`` is whether they satisfy the proposition: ``Never``, ``Sometimes`` or ``Always``
    (``Never`` if there are none). ``ok`` is whether the quantified condition is true.
    """

    positive: int
    negative: int
    ok: bool

    @property
    def observation(self) -> str:
        """In herdtools7's word."""
        if self.positive == 0:
            return "Never"
        return "Sometimes" if self.negative else "Always"


def judge(test: LitmusTest, states: Iterable[FinalState]) -> Outcome:
    """Count the final states that satisfy the proposition, those that the filter admits."""
    positive = negative = 0
    for state in states:
        if not counts(test, state):
            continue
        if holds(test, test.condition.proposition, state):
            positive += 1
        else:
            negative += 1
    match test.condition.quantifier:
        case Quantifier.EXISTS:
            ok = positive > 0
        case Quantifier.NOT_EXISTS:
            ok = positive == 0
        case Quantifier.FORALL:
            ok = negative == 0
    return Outcome(positive, negative, ok)


# ------------------------------------------------------------------------------- printing


def show_state(test: LitmusTest, state: FinalState) -> str:
    """One line of herdtools7's list of states.

    It names the places and faults of the condition and of ``locations``, whether or not they were
    reached: ``0:X1=1; [PTE(x)]=(oa:PA(x), af:0);  ~Fault(P0:L0,x);``.
    """
    places = []
    for place in test.shown_places():
        kind = test.type_of(place)
        whole = kind.length is not None and not isinstance(place, Element)
        where = str(place) if whole else show_place(place)
        shown = show_value(cut(kind, value_at(test, state, place)))
        places.append(f"{where}={shown};")
    text = " ".join(places)
    watched = test.shown_faults()
    if not watched and not state.faults:
        return text
    happened = sorted(
        (fault for fault in state.faults if any(fault.fits(atom) for atom in watched)), key=_key
    )
    absent = sorted(
        (atom for atom in watched if not any(fault.fits(atom) for fault in state.faults)),
        key=lambda atom: (atom.processor, atom.label or "", str(atom.address), str(atom.type)),
        reverse=True,
    )
    text += " " + " ".join(f"{_show_fault(fault, watched)};" for fault in happened)
    return text + "".join(f" ~Fault({atom.arguments()});" for atom in absent)


def _key(fault: Fault) -> _Key:
    labels = tuple(sorted(fault.labels))
    return (fault.processor, labels, str(fault.address), str(fault.type), fault.message or "")


def _show_fault(fault: Fault, watched: Iterable[FaultAtom]) -> str:
    """A fault, with its type in the words of the test where the test has any."""
    said = (atom.type for atom in watched if atom.type is not None and fault.fits(atom))
    labels = sorted(fault.labels)
    where = f"P{fault.processor}"
    if labels:
        where += ":" + (labels[0] if len(labels) == 1 else f"{{{','.join(labels)}}}")
    parts = (where, fault.address, next(said, fault.type), fault.message)
    return f"Fault({','.join(str(part) for part in parts if part is not None)})"
