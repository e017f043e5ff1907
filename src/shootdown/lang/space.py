"""The state vector: which declared fields a scenario uses, and which variable each one is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.kinds import (
    ArrayKind,
    EnumKind,
    FieldDecl,
    Kind,
    Kinds,
    LockKind,
    ObjectKind,
    OptKind,
    SetKind,
    WordKind,
    bits_for,
)
from shootdown.lang.limits import MAX_VARIABLES
from shootdown.lang.shapes import (
    PROCESS,
    UNNAMED,
    Maybe,
    Members,
    Naming,
    Part,
    Parts,
    Pointer,
    Shape,
)
from shootdown.lang.types import FieldRef, Global, Object, population


@dataclass(frozen=True)
class Storage:
    """Where a field lives: the variable of its first element, and the dimensions after it.

    ``dims`` are (kind of the index, stride), outermost first; ``element`` is the kind of each.
    """

    base: int
    dims: tuple[tuple[Kind, int], ...]
    kind: Kind
    element: Kind
    ghost: bool
    given: bool = False

    @property
    def length(self) -> int:
        """How many variables it takes."""
        length = 1
        for kind, _ in self.dims:
            length *= kind.size
        return length


class StateSpace:
    """Gives variables to fields when they are first mentioned."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.variables: list[ir.Variable] = []
        self.init: list[int] = []
        self._storage: dict[Any, Storage] = {}

    def scalar(
        self,
        name: str,
        size: int,
        init: int,
        show: Callable[[int], str] | None,
        *,
        hidden: bool = False,
        given: bool = False,
        naming: Naming = UNNAMED,
    ) -> int:
        """A variable of its own (a program counter, a thread's local)."""
        self.variables.append(ir.Variable(name, size, show, hidden, given, naming))
        self.init.append(init)
        return len(self.variables) - 1

    def field(self, ref: FieldRef, decl: FieldDecl) -> Storage:
        """The storage of a population's field."""
        root = population(ref.owner)
        key = (root, ref.name)
        if key not in self._storage:
            self._storage[key] = self._allocate([self.kinds.object(root)], ref.name, decl, dot=True)
        return self._storage[key]

    def shared(self, variable: Global[Any], name: str, decl: FieldDecl) -> Storage:
        """The storage of a global variable."""
        if variable not in self._storage:
            self._storage[variable] = self._allocate([], name, decl, dot=False)
        return self._storage[variable]

    def storages(self) -> Iterator[Storage]:
        """Every field and global that is in use."""
        return iter(self._storage.values())

    def named_storages(self) -> Iterator[tuple[Any, Storage]]:
        """Every field that is in use, as (population, name); a global as itself."""
        return iter(self._storage.items())

    def storage_of(self, variable: int) -> Storage:
        """The field or global that a variable belongs to."""
        for storage in self._storage.values():
            if storage.base <= variable < storage.base + storage.length:
                return storage
        raise KeyError(variable)

    def resize(self, variable: int, size: int) -> None:
        """Give a variable made by :meth:`scalar` its final size."""
        old = self.variables[variable]
        self.variables[variable] = replace(old, size=size)

    def _allocate(
        self, dims: list[ObjectKind], name: str, decl: FieldDecl, *, dot: bool
    ) -> Storage:
        keys: list[Kind] = list(dims)
        element = decl.kind
        while isinstance(element, ArrayKind):
            keys.append(element.key)
            element = element.element
        base = len(self.variables)
        if base + math.prod(key.size for key in keys) > MAX_VARIABLES:
            shape = " x ".join(str(key.size) for key in keys if key.size > 1)
            raise ModelError(
                f"'{name}' makes {shape} variables, and {base} there are already: "
                f"{MAX_VARIABLES} are the most",
                hint=f"use smaller bounds ({self.kinds.sizes_text()})",
            )
        for indices in itertools.product(*(range(key.size) for key in keys)):
            shown = [show_key(key, index) for key, index in zip(keys, indices, strict=True)]
            text = f"{shown.pop(0)}.{name}" if dot else name
            text += "".join(f"[{s}]" for s in shown)
            objects = [
                (population_name(key.cls), index)
                for key, index in zip(keys, indices, strict=True)
                if isinstance(key, ObjectKind)
            ]
            others = [
                index
                for key, index in zip(keys, indices, strict=True)
                if not isinstance(key, ObjectKind)
            ]
            self.scalar(
                text,
                element.size,
                decl.init,
                element.show,
                given=decl.given,
                naming=Naming(f"{base} {name} {others}", tuple(objects), shape_of(element)),
            )
        strides, stride = [], 1
        for key in reversed(keys):
            strides.append(stride)
            stride *= key.size
        pairs = tuple(zip(keys, reversed(strides), strict=True))
        return Storage(base, pairs, decl.kind, element, decl.ghost, decl.given)


def show_key(kind: Kind, index: int) -> str:
    """How an index is written in the name of a variable."""
    if isinstance(kind, ObjectKind):
        return kind.show(index)
    assert isinstance(kind, EnumKind)
    return kind.show(index)


def object_population(kind: Kind) -> type[Object] | None:
    """The population that a kind points into, if it is a pointer."""
    return population(kind.cls) if isinstance(kind, ObjectKind) else None


def population_name(cls: type[Object]) -> str:
    """The name of an object's population in :mod:`shootdown.lang.shapes`."""
    return population(cls).__name__


def shape_of(kind: Kind) -> Shape:
    """Where values of a kind name objects."""
    match kind:
        case ObjectKind(cls=cls, count=count):
            return Pointer(population_name(cls), count)
        case LockKind(processes):
            return Maybe(Pointer(PROCESS, processes))
        case OptKind(inner):
            shape = shape_of(inner)
            return None if shape is None else Maybe(shape)
        case SetKind(element) if element is not None:
            shape = shape_of(element)
            return None if shape is None else Members(shape, element.size)
        case WordKind(fields=fields):
            parts = tuple(
                Part(field.shift, bits_for(field.kind.size), shape)
                for field in fields
                if (shape := shape_of(field.kind)) is not None
            )
            return Parts(parts) if parts else None
    return None
