"""Refuses declarations that no scenario could use, when the file that holds them is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang.kinds import IntKind, Kind, Kinds
from shootdown.lang.types import Global, Object, Ranged, Record, Word


def check_definitions(namespace: Mapping[str, Any]) -> None:
    """Check the fields of a user's classes and the globals in a namespace.

    Raises :class:`ModelError` at the line of the first one that is wrong, whatever the sizes of the
    populations. Only annotated classes outside this package are looked at.
    """
    kinds = _AnySize({}, 1)
    for name, value in namespace.items():
        if isinstance(value, Global):
            _check_global(kinds, name, value)
        elif _is_users(value):
            for field in inspect.get_annotations(value):
                if field in kinds.hints(value):
                    kinds.field(value, field)


class _AnySize(Kinds):
    """Kinds where it is not known yet how many objects there are."""

    at_least = "at least "

    def count(self, cls: type[Object]) -> int:
        return 1

    def ranged(self, marker: Ranged, where: Callable[[str], ModelError]) -> IntKind:
        if not isinstance(marker.hi, int):
            most = max(marker.lo, marker.init)
            marker = Ranged(marker.lo, most, marker.init, marker.atomic)
        return super().ranged(marker, where)

    def encode(self, value: Any, kind: Kind, where: Callable[[str], ModelError]) -> int:
        return 0  # whether Frame(3) exists depends on the scenario


def _is_users(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, (Object, Word, Record))
        and not value.__module__.startswith("shootdown.")
    )


def _check_global(kinds: Kinds, name: str, variable: Global[Any]) -> None:
    at = variable.location

    def where(message: str) -> ModelError:
        said = f"global '{name}': {message}"
        return ModelError(said, file=at.file, line=at.line, text=at.text)

    kinds.declared(variable.declared, variable.default, variable.default is not None, where)
