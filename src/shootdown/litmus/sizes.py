"""Accesses of different sizes to one location.

A location here holds one value, which an access has as a whole. Reading less of it is right (its
lowest bytes come first), reading more where the rest of the page is 0, and writing less where the
rest of the value is 0. Other overlaps, also with initial values and with what the test asks for,
are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shootdown.litmus.compute import Low
from shootdown.litmus.errors import Unsupported
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.propositions import Element, Place
from shootdown.litmus.values import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shootdown.litmus.compute import Word
    from shootdown.litmus.state import Local
    from shootdown.litmus.tables import Tables

WRITING = ("store", "store exclusive", "update")
Span = tuple[int, int]
"""Offset and size, in bytes."""


def check_sizes(tables: Tables) -> None:
    """:class:`~shootdown.litmus.errors.Unsupported` where a part of a value would be written, or
    two values together be read."""
    spans = _known(tables)
    accesses: dict[str, dict[Span, Local]] = {}
    exclusive: dict[tuple[int, str, int], int] = {}
    for local, point in tables.points.items():
        effect = point.effect
        if effect is None or not isinstance(effect.place, Address):
            continue
        for place in tables.places(effect):
            assert isinstance(place, tuple)
            name, offset = place
            accesses.setdefault(name, {}).setdefault((offset, effect.size), local)
            held = tables.values.get(place, {})
            if effect.kind in WRITING and any(wider(v, effect.size) for v in held):
                what = f"{effect.size} bytes written into a wider value of {name}"
                raise tables.executor.unsupported(local, what)
            if place in tables.negative and effect.size > tables.negative[place]:
                what = f"{effect.size} bytes of {name}, which has {tables.negative[place]}"
                raise tables.executor.unsupported(local, what)
            if "exclusive" in effect.kind:
                key = (local.at.processor, name, offset)
                if exclusive.setdefault(key, effect.size) != effect.size:
                    what = f"exclusive accesses of different sizes to {name}"
                    raise tables.executor.unsupported(local, what)
    for name, found in accesses.items():
        parts = spans.get(name, set()) | set(found)
        for (low, size), local in found.items():
            if any(low < other < low + size for other, _ in parts):
                what = f"{size} bytes of {name} that another access or value has a part of"
                raise tables.executor.unsupported(local, what)
            if any(other < low < other + wide for other, wide in spans.get(name, ())):
                what = f"{size} bytes of {name} from the middle of a value"
                raise tables.executor.unsupported(local, what)


def _known(tables: Tables) -> dict[str, set[Span]]:
    """Where initial values are, if not 0, and what final states show."""
    spans: dict[str, set[Span]] = {}
    for place, held in tables.values.items():
        first = next(iter(held))
        if isinstance(place, tuple) and first != 0:
            size = tables.test.type_of(Address(place[0])).size
            wide = 8 if not isinstance(first, int) else (first.bit_length() + 7) // 8
            spans.setdefault(place[0], set()).add((place[1], max(size, wide)))
    for shown in tables.test.observed():
        for name, offset, size in _shown(tables.test, shown):
            spans.setdefault(name, set()).add((offset, size))
    return spans


def _shown(test: LitmusTest, place: Place) -> Iterator[tuple[str, int, int]]:
    kind = test.type_of(place)
    match place:
        case Element(name, index):
            length = test.type_of(Address(name)).length or 1
            if index >= length:
                raise Unsupported(f"{place}, which is no element of an array,", file=test.file)
            yield name, index * kind.size, kind.size
        case Address(name, offset):
            for index in range(kind.length or 1):
                yield name, offset + index * kind.size, kind.size


def wider(value: Word, size: int) -> bool:
    """Whether a value has more bytes than that."""
    if isinstance(value, int):
        return value.bit_length() > 8 * size
    return size < (value.bits // 8 if isinstance(value, Low) else 8)
