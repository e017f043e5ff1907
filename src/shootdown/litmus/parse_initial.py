"""The initial state: what stands between the braces."""

from __future__ import annotations

from dataclasses import dataclass, field

from shootdown.litmus.model import INTEGER_SIZES, Type
from shootdown.litmus.parse_terms import at_processor, memory_place, register_place, value
from shootdown.litmus.propositions import Place, RegisterOf
from shootdown.litmus.tokens import Words
from shootdown.litmus.values import Address, Pte, PteAddress, Scalar, Value


@dataclass(slots=True)
class Initial:
    """What the initial state gives: values, and declared types."""

    values: dict[Place, Value] = field(default_factory=dict)
    types: dict[Place, Type] = field(default_factory=dict)


def parse_initial(words: Words) -> Initial:
    """Declarations ``[type] place [= value]``, with ``;`` between them."""
    found = Initial()
    while words.peek().kind != "end":
        if words.accept(";"):
            continue
        _declaration(words, found)
        if words.peek().kind != "end":
            words.expect(";")
    return found


def _declaration(words: Words, found: Initial) -> None:
    words.accept("_Atomic")
    given = _type(words)
    if words.peek().text == "%":
        words.unsupported("symbolic registers (%NAME)")
    pointer = words.accept("*")
    place = _place(words)
    if place in found.values:
        words.wrong(f"{place} is given twice")
    if words.peek().text == "[":
        _array(words, found, place, given)
        return
    content: Scalar = 0
    if words.accept("="):
        content = value(words, page=place.name if isinstance(place, PteAddress) else None)
    if isinstance(place, PteAddress) and not isinstance(content, Pte):
        words.wrong(f"{place} holds a descriptor, such as (oa:PA({place.name}), valid:0)")
    found.values[place] = content
    if pointer:
        found.types[place] = Type(given or "int", pointer=True)
    elif given is not None:
        found.types[place] = Type(given)


def _type(words: Words) -> str | None:
    """The type, if the declaration begins with one: two names in a row, or a name and a place."""
    if words.peek().kind != "name" or words.peek().text in ("PTE", "TTD", "PA"):
        return None
    behind = words.peek(1)
    declared = (
        behind.kind == "name"
        or behind.text in ("*", "%")
        or behind.kind == "number"
        or (behind.text == "[" and words.peek(2).kind == "name")
    )
    if not declared:
        return None
    name = words.take().text
    if name not in INTEGER_SIZES:
        words.unsupported(f"type {name}")
    return name


def _place(words: Words) -> RegisterOf | Address | PteAddress:
    processor = at_processor(words)
    if processor is None:
        return memory_place(words)
    words.take()
    words.take()
    return register_place(words, processor)


def _array(words: Words, found: Initial, place: Place, given: str | None) -> None:
    """``int x[2]`` or ``int x[2]={0,1}``."""
    if given is None or not isinstance(place, Address):
        words.wrong(f"an array is declared as: int {place}[2]={{0,1}}")
    words.expect("[")
    length = words.number("the length of an array")
    words.expect("]")
    if not 0 < length <= 64:
        words.wrong(f"an array has 1 to 64 elements, not {length}")
    content: tuple[Scalar, ...] = (0,) * length
    if words.accept("="):
        content = elements(words)
        if len(content) != length:
            words.wrong(f"{place} has {length} elements, but {len(content)} values")
    found.values[place] = content
    found.types[place] = Type(given, length=length)


def elements(words: Words) -> tuple[Scalar, ...]:
    """``{0,1}``."""
    words.expect("{")
    content = [value(words)]
    while words.accept(","):
        content.append(value(words))
    words.expect("}")
    return tuple(content)
