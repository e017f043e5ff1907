"""Accesses of different sizes to one location.

A location here holds one value, which an access has as a whole. Reading less of it is right (its
lowest bytes come first), and writing less where the rest is 0. Other overlaps are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shootdown.litmus.values import Address

if TYPE_CHECKING:
    from shootdown.litmus.compute import Word
    from shootdown.litmus.local import Local
    from shootdown.litmus.tables import Tables

WRITING = ("store", "store exclusive", "update")


def check_sizes(tables: Tables) -> None:
    """:class:`~shootdown.litmus.errors.Unsupported` where a part of a value would be written, or
    two values together be read."""
    spans: dict[str, dict[tuple[int, int], Local]] = {}
    for local, point in tables.points.items():
        effect = point.effect
        if effect is None or not isinstance(effect.place, Address):
            continue
        for place in tables.places(effect):
            assert isinstance(place, tuple)
            name, offset = place
            spans.setdefault(name, {}).setdefault((offset, effect.size), local)
            held = tables.values.get(place, {})
            if effect.kind in WRITING and any(wider(tables, name, v, effect.size) for v in held):
                what = f"{effect.size} bytes written into a wider value of {name}"
                raise tables.executor.unsupported(local, what)
    for name, found in spans.items():
        for (low, size), local in found.items():
            if any(low < other < low + size for other, _ in found):
                what = f"{size} bytes of {name} that another access has a part of"
                raise tables.executor.unsupported(local, what)


def wider(tables: Tables, name: str, value: Word, size: int) -> bool:
    """Whether a value of a variable has more bytes than that."""
    if not isinstance(value, int):
        return size < 8
    whole = tables.test.type_of(Address(name)).size
    return bool((value & (1 << 8 * max(whole, size)) - 1) >> 8 * size)
