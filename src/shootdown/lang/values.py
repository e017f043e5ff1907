"""What an expression of a model is while it is compiled."""

from __future__ import annotations

from typing import Any, TypeAlias

from shootdown.lang import ir
from shootdown.lang.frozen import value
from shootdown.lang.kinds import FieldKind, Kind
from shootdown.lang.types import FieldRef, Global, Record


@value
class Static:
    """A Python value known when the program is compiled."""

    value: Any


@value
class Dyn:
    """A value known when the step runs: a pure expression over registers, and its kind."""

    expr: ir.Expr
    kind: Kind


@value
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


@value
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


@value
class FieldV:
    """One field of a shared word."""

    base: PlaceV
    field: FieldKind

    @property
    def text(self) -> Text:
        """``mm.pte[page0].dirty``."""
        return self.base.text + f".{self.field.name}"


@value
class TupleV:
    """A tuple or list of values."""

    items: tuple[Value, ...]


@value
class RecordV:
    """A thread's own structure; its fields live in the environment under ``prefix``."""

    cls: type[Record]
    prefix: str


@value
class SemSideV:
    """``sem.read()`` or ``sem.write()``, to be taken by ``with``."""

    place: PlaceV
    write: bool


Value: TypeAlias = Static | Dyn | PlaceV | FieldV | TupleV | RecordV | SemSideV
