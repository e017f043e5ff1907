"""Values as bytes and back, for the cache: small, and quickly read."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from io import BytesIO
from operator import attrgetter
from typing import Any


def packed(value: object) -> bytes | None:
    """A value as bytes; None where that is not possible."""
    stream = BytesIO()
    try:
        _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # writing a pickle can fail in any way, as reading one can
        return None
    return zlib.compress(stream.getvalue(), 1)


def unpacked(content: bytes | None) -> object:
    """What some bytes were made of; None if they are no such bytes. It runs code that they name."""
    try:
        return None if content is None else pickle.loads(zlib.decompress(content))
    except Exception:
        return None


class _Pickler(pickle.Pickler):
    """Writes dataclasses as calls of their constructors, which are read three times as fast as
    what frozen ones with slots are written as."""

    def reducer_override(self, value: Any) -> Any:
        """How to make the value again."""
        cls = value.__class__
        parts, alone = _parts(cls)
        if parts is None:
            return NotImplemented
        return (cls, (parts(value),)) if alone else (cls, parts(value))


@cache
def _parts(cls: type) -> tuple[Callable[[object], Any] | None, bool]:
    """Gives the arguments that make a value of a class again, if that is so simple; and whether
    there is one only."""
    if not is_dataclass(cls) or hasattr(cls, "__post_init__"):
        return None, False
    found = fields(cls)
    if not found or not all(field.init and not field.kw_only for field in found):
        return None, False
    return attrgetter(*[field.name for field in found]), len(found) == 1
