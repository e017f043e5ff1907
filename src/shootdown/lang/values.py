"""What an expression of a model is while it is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from shootdown.lang import ir
from shootdown.lang.kinds import FieldKind, Kind
from shootdown.lang.types import FieldRef, Global, Record


@dataclass(frozen=True)
class Static:
    """A Python value known when the program is compiled."""

    value: Any


@dataclass(frozen=True)
class Dyn:
    """A value known when the step runs: a pure expression over registers, and its kind."""

    expr: ir.Expr
    kind: Kind


@dataclass(frozen=True)
class Text:
    """Text for the report with values filled in at run time: ``template.format(*shown)``."""

    template: str
    values: tuple[ir.Shown, ...] = ()

    def __add__(self, other: Text | str) -> Text:
        if isinstance(other, str):
            return Text(self.template + escape(other), self.values)
        return Text(self.template + other.template, self.values + other.values)

    def render(self) -> str:
        """The text with ``..`` for values that are not known yet."""
        return self.template.format(*[".." for _ in self.values])


def escape(text: str) -> str:
    """Protect braces from ``str.format``."""
    return text.replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True)
class PlaceV:
    """Shared state that has not been read: a variable or array element.

    ``field`` and ``keys`` (the object and array indices as expressions with kinds) tell which
    ``@on_write`` functions apply.
    """

    place: ir.Place
    kind: Kind
    text: Text
    ghost: bool
    field: FieldRef | Global[Any]
    keys: tuple[Dyn, ...]
    given: bool = False


@dataclass(frozen=True)
class FieldV:
    """One field of a shared word."""

    base: PlaceV
    field: FieldKind

    @property
    def text(self) -> Text:
        """``mm.pte[page0].dirty``."""
        return self.base.text + f".{self.field.name}"


@dataclass(frozen=True)
class TupleV:
    """A tuple or list of values."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class RecordV:
    """A thread's own structure; its fields live in the environment under ``prefix``."""

    cls: type[Record]
    prefix: str


@dataclass(frozen=True)
class SemSideV:
    """``sem.read()`` or ``sem.write()``, to be taken by ``with``."""

    place: PlaceV
    write: bool


Value: TypeAlias = Static | Dyn | PlaceV | FieldV | TupleV | RecordV | SemSideV
