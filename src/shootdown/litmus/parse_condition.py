r"""The end of a test: ``locations``, ``filter`` and the condition.

Precedence is that of herdtools7: ``~`` binds closest, then ``=>``, ``/\``, ``\/``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shootdown.litmus.model import INTEGER_SIZES
from shootdown.litmus.parse_initial import elements
from shootdown.litmus.parse_terms import (
    at_processor,
    memory_place,
    register_name,
    register_place,
    value,
)
from shootdown.litmus.propositions import (
    MMU_CAUSES,
    And,
    Cause,
    Condition,
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
)
from shootdown.litmus.tokens import Words
from shootdown.litmus.values import Address, PteAddress, Value

_FAULT = ("fault", "Fault")
# Kinds of faults that herdtools7 has for extensions which are not modelled.
_OTHER_FAULTS = ("TagCheck", "PacCheck", "GCS")
_DEEPEST = 100  # of nested propositions: whoever judges them recurses, too


@dataclass(slots=True)
class Ending:
    """What follows the program."""

    locations: list[Place] = field(default_factory=list)
    watched: list[FaultAtom] = field(default_factory=list)
    filter: Proposition | None = None
    condition: Condition = field(default_factory=lambda: Condition(Quantifier.FORALL, And(())))


def parse_ending(words: Words) -> Ending:
    """``locations [...] filter PROP exists PROP``, each part optional; without a condition, all
    final states are wanted (``forall true``)."""
    found = Ending()
    if words.accept("locations"):
        _locations(words, found)
    if words.accept("filter"):
        found.filter = _or(words)
    if words.peek().kind != "end":
        found.condition = Condition(_quantifier(words), _or(words))
        words.accept(";")
    if words.peek().text == "with":
        words.unsupported("conditions for several architectures (with ...)")
    if words.peek().kind != "end":
        words.wrong(f"expected the end of the condition, not {words.shown()}")
    return found


def _quantifier(words: Words) -> Quantifier:
    if words.peek().text == "(":
        return Quantifier.EXISTS
    if words.peek().text in ("observed", "Observed"):
        words.unsupported("observed states as a condition")
    if words.accept("~") or words.accept("not"):
        words.expect("exists")
        return Quantifier.NOT_EXISTS
    if words.accept("exists") or words.accept("final"):
        return Quantifier.EXISTS
    words.expect("forall")
    return Quantifier.FORALL


def _locations(words: Words, found: Ending) -> None:
    words.expect("[")
    while not words.accept("]"):
        if words.peek().text in _FAULT:
            found.watched.append(_fault(words))
        else:
            found.locations.append(_place(words))
            # A type may follow; those of the initial state are the ones that count.
            if words.peek().kind == "name" and words.take().text not in INTEGER_SIZES:
                words.unsupported(f"type of {found.locations[-1]}")
            words.accept("*")
        if words.peek().text != "]":
            words.expect(";")


# ------------------------------------------------------------------------------- propositions


def _or(words: Words, depth: int = 0) -> Proposition:
    parts = [_and(words, depth)]
    while words.accept("\\/"):
        parts.append(_and(words, depth))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _and(words: Words, depth: int) -> Proposition:
    parts = [_implies(words, depth)]
    while words.accept("/\\"):
        parts.append(_implies(words, depth))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _implies(words: Words, depth: int) -> Proposition:
    premise = _not(words, depth)
    return Implies(premise, _implies(words, depth + 1)) if words.accept("=>") else premise


def _not(words: Words, depth: int) -> Proposition:
    if depth > _DEEPEST:
        words.wrong("the condition is nested too deeply")
    if words.accept("~") or words.accept("not"):
        return Not(_not(words, depth + 1))
    if words.accept("("):
        inside = _or(words, depth + 1)
        words.expect(")")
        return inside
    match words.peek().text:
        case "true":
            words.take()
            return And(())
        case "false":
            words.take()
            return Or(())
        case "fault" | "Fault":
            return _fault(words)
    return _comparison(words)


def _comparison(words: Words) -> Proposition:
    place = _place(words)
    sign = words.take().text
    if sign not in ("=", "==", "!=", "<>"):
        words.wrong(f"expected = or != behind {place}")
    found: Proposition = _right_side(words, place)
    return found if sign in ("=", "==") else Not(found)


def _right_side(words: Words, place: Place) -> Equal | Same:
    """A value, or a second place: ``1:X0``, ``[x]``, ``*x``."""
    processor = at_processor(words)
    if processor is not None and (
        words.peek(2).text == "%" or register_name(words.peek(2).text) is not None
    ):
        return Same(place, _place(words))
    if words.peek().text == "[":
        return Same(place, memory_place(words))
    if words.accept("*"):
        return Same(place, _place(words))
    return Equal(place, _content(words, place))


def state_item(words: Words) -> Equal:
    """``0:X1=3`` or ``[PTE(x)]=(oa:PA(y))``, as in a printed state."""
    place = _place(words)
    words.expect("=")
    return Equal(place, _content(words, place))


def _content(words: Words, place: Place) -> Value:
    if words.peek().text == "{" and words.peek(1).text != ":":
        return elements(words)
    return value(words, page=place.name if isinstance(place, PteAddress) else None)


def _place(words: Words) -> Place:
    processor = at_processor(words)
    if processor is not None:
        words.take()
        words.take()
        return register_place(words, processor)
    place = memory_place(words)
    if isinstance(place, Address) and words.peek().text == "[":
        words.take()
        index = words.number("an index")
        words.expect("]")
        return Element(place.name, index)
    return place


# ------------------------------------------------------------------------------- faults


def _fault(words: Words) -> FaultAtom:
    """``fault(P0:L0,x,MMU:Translation)``; all but the processor is optional."""
    words.take()
    processor, labels, address, kind, message = fault_arguments(words)
    if message is not None:
        words.wrong(f"expected ')', not {message!r}")
    return FaultAtom(processor, next(iter(labels), None), address, kind)


def fault_arguments(
    words: Words,
) -> tuple[int, frozenset[str], Address | PteAddress | None, FaultType | None, str | None]:
    """``(P0:L0,x,MMU:Translation)``: processor, labels, address, kind. In a printed state there
    may be several labels, as ``{L0,L1}``, and a message behind the kind."""
    words.expect("(")
    who = words.name("a processor, such as P0")
    if who[0] != "P" or not who[1:].isdecimal() or len(who) > 5:
        words.wrong(f"a fault happens on a processor, such as P0, not {who}")
    labels: list[str] = []
    if words.accept(":"):
        several = words.accept("{")
        labels.append(words.name("a label"))
        while several and words.accept(","):
            labels.append(words.name("a label"))
        if several:
            words.expect("}")
    address: Address | PteAddress | None = None
    kind: FaultType | None = None
    if words.accept(","):
        kind = _fault_type(words)
        if kind is None:
            address = memory_place(words)
            if words.accept(","):
                kind = _fault_type(words)
                if kind is None:
                    words.wrong(f"{words.shown()} is no kind of fault (such as MMU:Translation)")
    message = None
    if kind is not None and words.accept(","):
        message = words.name("a message")
    words.expect(")")
    return int(who[1:]), frozenset(labels), address, kind, message


def _fault_type(words: Words) -> FaultType | None:
    """The kind of fault at hand; ``None``, and nothing taken, if it is something else."""
    name = words.peek().text
    if name in ("MMU", "D-MMU", "I-MMU") and words.peek(1).text == ":":
        words.take()
        words.take()
        cause = words.name("a kind of translation fault")
        for known in MMU_CAUSES:
            if known.value == cause:
                return FaultType(known, name[0] if "-" in name else "")
        words.wrong(f"{cause} is no kind of translation fault (such as Translation)")
    if name in _OTHER_FAULTS:
        words.unsupported(f"fault {name}")
    for known in Cause:
        if known not in MMU_CAUSES and known.value == name:
            words.take()
            return FaultType(known)
    return None
