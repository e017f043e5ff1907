"""Refuses declarations that no scenario could use, when the file that holds them is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang.kinds import IntKind, Kind, Kinds, class_error
from shootdown.lang.types import (
    Ghost,
    Given,
    Global,
    Object,
    Ranged,
    Record,
    RwSem,
    SpinLock,
    Word,
)


def check_definitions(namespace: Mapping[str, Any]) -> None:
    """Check the fields of a user's classes and the globals in a namespace.

    Raises :class:`ModelError` at the line of the first one that is wrong, whatever the sizes of the
    populations. Only classes outside this package are looked at.
    """
    kinds = _AnySize({}, 1)
    for name, value in namespace.items():
        if isinstance(value, Global):
            _check_global(kinds, name, value)
        elif _is_users(value):
            for field, annotation in inspect.get_annotations(value).items():
                if field in kinds.hints(value):
                    kinds.field(value, field)
                elif field.startswith("_") and "ClassVar" not in str(annotation):
                    raise _hidden(value, field)
            for field, content in vars(value).items():
                _check_annotated(kinds, value, field, content)
            if issubclass(value, Object) and "__init__" in vars(value):
                said = "objects are made by the scenario's sizes: __init__ has no place here"
                raise class_error(value, f"class {value.__name__}: {said}")


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


def _check_annotated(kinds: Kinds, cls: type, name: str, value: object) -> None:
    """Refuse what looks like a field and would be ignored, since it has no type. A word or a record
    may give an inherited field another default so; what is no data (methods, properties, classes)
    is something else, but a lambda is what a default is written as elsewhere."""
    if name in inspect.get_annotations(cls) or _is_internal(name) or _is_code(cls, name, value):
        return
    if name.startswith("_"):
        raise _hidden(cls, name)
    if name in kinds.hints(cls):
        if not issubclass(cls, Object):
            return
        owner = next(c for c in cls.__mro__ if name in inspect.get_annotations(c))
        message = (
            f"{owner.__name__} declares it, and its first value is the one there: leave this "
            "out, or give it another name and a type"
        )
    else:
        message = (
            f"it has no type, so it is no field: write '{name}: {_annotated(value)}', or, if it is "
            "a constant, put it outside of the class"
        )
    raise class_error(cls, f"field {cls.__name__}.{name}: {message}", name)


def _hidden(cls: type, name: str) -> ModelError:
    said = f"field {cls.__name__}.{name}: no field's name begins with _: give it another one"
    return class_error(cls, said, name)


def _is_internal(name: str) -> bool:
    """Whether Python or this package keeps something under that name in each class."""
    return name in ("_show", "_named") or (name.startswith("__") and name.endswith("__"))


def _is_code(cls: type, name: str, value: object) -> bool:
    """Whether a class attribute is a method, a property or a class that stands in the class."""
    if isinstance(value, FunctionType) and value.__name__ == "<lambda>":
        return name == "show" and issubclass(cls, Word)
    if isinstance(value, type):
        return value.__qualname__.startswith(f"{cls.__qualname__}.")
    return hasattr(type(value), "__get__") and not isinstance(value, Object)


def _annotated(value: object) -> str:
    """The annotation, and the default, that a value without one was probably meant to have."""
    if isinstance(value, FunctionType):
        return "... = ..."
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Ranged):
        return f"int = {'counter' if value.atomic else 'ranged'}(...)"
    if isinstance(value, Ghost):
        kind, _, default = _annotated(value.default).partition(" = ")
        return f"{kind} = ghost({default})"
    if isinstance(value, Given):
        return "... = given(...)"
    if isinstance(value, bool):
        return f"bool = {value}"
    if isinstance(value, int):
        return f"int = ranged(0, {max(value, 1)}, init={value})"
    if isinstance(value, SpinLock | RwSem):
        return type(value).__name__
    return f"{type(value).__name__} = ..."


def _check_global(kinds: Kinds, name: str, variable: Global[Any]) -> None:
    at = variable.location

    def where(message: str) -> ModelError:
        said = f"global '{name}': {message}"
        return ModelError(said, file=at.file, line=at.line, text=at.text)

    kinds.declared(variable.declared, variable.default, variable.default is not None, where)
