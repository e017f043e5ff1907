"""What large compilations are made of: kinds without limits, regions of memory, operations."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.decorators import Function
from shootdown.lang.kinds import (
    ArrayKind,
    FieldDecl,
    IntKind,
    Kind,
    Kinds,
    ObjectKind,
    SetKind,
    WordKind,
)
from shootdown.lang.space import StateSpace, Storage
from shootdown.lang.types import Object, Ranged, population

WIDE = (1 << 30) - 1
"""The greatest integer of a field; two of them fit in one word."""
UNROLLED = 8
"""Loops over at most so many known values are unrolled."""
NUMBER = IntKind(0, WIDE)


@dataclass(frozen=True)
class Extern:
    """An operation that the engine implements.

    ``args`` are expressions, or texts that are known when compiling. ``wide`` says for each
    argument how many 64-bit words a bit set has, 0 for anything else. ``reg`` takes the result.
    ``place`` is the lock of a lock operation. ``open`` are the registers of the calls around it
    (see :class:`Enter`).
    """

    name: str
    args: tuple[ir.Expr | str, ...]
    wide: tuple[int, ...] = ()
    reg: int | None = None
    place: ir.Place | None = None
    open: tuple[int, ...] = ()


@dataclass(frozen=True)
class Enter:
    """A call of a function that is counted begins: the time goes into a register."""

    function: int
    reg: int


@dataclass(frozen=True)
class Leave:
    """The call ends."""

    function: int
    reg: int


@dataclass(frozen=True)
class Span:
    """Consecutive objects of a population, as an argument of a thread."""

    cls: type[Object]
    first: int
    count: int

    @property
    def packed(self) -> int:
        """How a span is kept: one past the last in the upper half, the first in the lower; 0 if
        there are none."""
        return (self.first + self.count) << 32 | self.first if self.count else 0


@dataclass(frozen=True)
class Region:
    """A field in memory: ``base`` and ``length`` in 64-bit words, ``width`` of them an element."""

    name: str
    storage: Storage
    width: int
    length: int
    init: int


class LargeKinds(Kinds):
    """Kinds without the limits of a search."""

    word_bits = 4096

    def __init__(
        self,
        sizes: Mapping[type[Object], int],
        spans: frozenset[type[Object]],
        lists: frozenset[type[Object]],
    ) -> None:
        super().__init__(sizes, 1)
        self.spans = frozenset(population(cls) for cls in spans)
        self.lists = frozenset(population(cls) for cls in lists)

    def of(
        self, annotation: Any, where: Callable[[str], ModelError], integer: IntKind | None = None
    ) -> Kind:
        """The kind that an annotation means; sets of any size."""
        arguments = typing.get_args(annotation)
        if typing.get_origin(annotation) is set and len(arguments) == 1:
            return SetKind(self.of(arguments[0], where, integer))
        if annotation is int and integer is None:
            return NUMBER
        return super().of(annotation, where, integer)

    def encode(self, value: Any, kind: Kind, where: Callable[[str], ModelError]) -> int:
        """The number that stands for a value; integers may be any."""
        if isinstance(kind, IntKind) and isinstance(value, int):
            return int(value)
        return super().encode(value, kind, where)

    def ranged(self, marker: Ranged, where: Callable[[str], ModelError]) -> IntKind:
        """An integer field: as wide as any."""
        kind = super().ranged(marker, where)
        if isinstance(marker.hi, int):
            return IntKind(kind.lo, max(kind.hi, WIDE), kind.atomic)
        return kind

    def form(self, kind: Kind) -> str:
        """How a set is kept: ``span``, ``list`` or ``bits``."""
        assert isinstance(kind, SetKind)
        if isinstance(kind.element, ObjectKind):
            root = population(kind.element.cls)
            if root in self.spans:
                return "span"
            if root in self.lists:
                return "list"
        return "bits"

    def words(self, kind: Kind) -> int:
        """How many 64-bit words a value of a kind takes."""
        if isinstance(kind, SetKind) and kind.element is not None and self.form(kind) == "bits":
            if kind.element.size > 4096:
                raise ModelError(
                    f"a set of {kind.element} has {kind.element.size} possible elements",
                    hint="say whether such sets are spans or lists",
                )
            return -(-kind.element.size // 64)
        if isinstance(kind, WordKind):
            return max(1, -(-kind.width // 64))
        return 1


class LargeSpace(StateSpace):
    """Gives regions of memory to fields when they are first mentioned."""

    kinds: LargeKinds

    def __init__(self, kinds: LargeKinds) -> None:
        super().__init__(kinds)
        self.size = 0
        self.regions: dict[int, Region] = {}

    def _allocate(
        self, dims: list[ObjectKind], name: str, decl: FieldDecl, *, dot: bool
    ) -> Storage:
        keys: list[Kind] = list(dims)
        element = decl.kind
        while isinstance(element, ArrayKind):
            keys.append(element.key)
            element = element.element
        width = self.kinds.words(element)
        if isinstance(element, SetKind) and not decl.ghost and self.kinds.form(element) == "list":
            raise ModelError(
                f"{name} is shared, and sets of {element.element} are lists here, which only "
                "locals and records hold"
            )
        strides, stride = [], width
        for key in reversed(keys):
            strides.append(stride)
            stride *= key.size
        pairs = tuple(zip(keys, reversed(strides), strict=True))
        storage = Storage(self.size, pairs, decl.kind, element, decl.ghost, decl.given)
        if not decl.ghost:
            owner = f"{dims[0].cls.__name__}." if dims else ""
            region = Region(owner + name, storage, width, stride, decl.init)
            self.regions[self.size] = region
            self.size += stride
        return storage

    def region_at(self, base: int) -> Region:
        """The region that a word belongs to."""
        starts = [start for start in self.regions if start <= base]
        return self.regions[max(starts)]


@dataclass
class Numbered:
    """Functions whose calls are counted, in the order in which they were met.

    ``compiled`` are all that a run consists of, and ``written`` which of them writes which field
    (or takes which lock): so it can be told what is the kernel's and what is not.
    """

    functions: list[Function[..., Any]] = field(default_factory=list)
    compiled: set[Function[..., Any]] = field(default_factory=set)
    written: set[tuple[Function[..., Any], Any]] = field(default_factory=set)
    translation: Kind | None = None  # what TLBs hold

    def number(self, function: Function[..., Any]) -> int:
        """The number of a function."""
        if function not in self.functions:
            self.functions.append(function)
        return self.functions.index(function)


@dataclass
class Parameter:
    """A register that a thread gets its value for: the kind of the value."""

    reg: int
    kind: Kind
