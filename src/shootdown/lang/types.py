"""The declarations that model files use: populations, words, records, arrays and field markers.

These classes exist for two readers: the compiler, which looks at their annotations, and type
checkers, for which a model is ordinary typed Python. See ``docs/language.md``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform, overload

from shootdown.errors import ModelError
from shootdown.lang.ir import Location
from shootdown.lang.locations import caller

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
O = TypeVar("O", bound="Object")  # noqa: E741


@dataclass(frozen=True, slots=True)
class Ranged:
    """Marks an integer field or local: ``lo <= value <= hi`` (``hi`` may be a population: its
    size), initially ``init``; ``atomic`` for an ``atomic_t``; ``ghost`` for ghost state."""

    lo: int
    hi: int | type[Object]
    init: int
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Ghost:
    """Marks a ghost field; ``default`` is its initial value or a :class:`Ranged`."""

    default: Any


@dataclass(frozen=True, slots=True)
class Given:
    """Marks a field that the scenario provides; ``default`` is for elements that it does not, if
    it ``has`` one."""

    default: Any
    has: bool


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field named on its class, as in ``@on_write(AddressSpace.pte)``."""

    owner: type[Object]
    name: str


@functools.cache
def declared_in(cls: type) -> frozenset[str]:
    """The names that a class itself annotates."""
    return frozenset(inspect.get_annotations(cls))


class _ObjectMeta(type):
    """Makes a population iterable (``for cpu in Cpu``) and its fields nameable on the class."""

    def __iter__(cls: type[O]) -> Iterator[O]:  # type: ignore[misc]
        raise TypeError(f"{cls.__name__} can be iterated only inside a path or a rule")

    def __len__(cls) -> int:
        raise TypeError(f"len({cls.__name__}) is known only inside a path or a rule")

    def __getattribute__(cls, name: str) -> Any:
        if not name.startswith("_"):
            for base in cls.__mro__:
                if name in declared_in(base):
                    return FieldRef(base, name)
        return super().__getattribute__(name)

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(f"{cls.__name__} has no field '{name}'")

    def __bool__(cls) -> bool:
        return True


class Object(metaclass=_ObjectMeta):
    """A population of shared objects; subclass it and annotate fields.

    ``Cpu(0)`` is the first instance. ``class Cpu(Object, show="CPU{}")`` gives the text that
    the report prints for an instance (default: the class name in small letters, and the number if
    there are several).
    """

    _show: ClassVar[str]
    _named: ClassVar[bool] = False  # a class above said how instances are shown
    index: int

    def __init__(self, index: int) -> None:
        if type(index) is not int:
            name = type(self).__name__
            raise ModelError(f"{name}({index!r}): objects are numbered, as in {name}(0)")
        self.__dict__["index"] = index

    def __init_subclass__(cls, show: str | None = None) -> None:
        super().__init_subclass__()
        for name in ("_show", "_named"):
            if name in vars(cls):
                said = f"field {cls.__name__}.{name}: no field's name begins with _"
                raise ModelError(f"{said}: give it another one")
        if show is not None:
            cls._show, cls._named = show, True
        elif not cls._named:
            cls._show = cls.__name__.lower() + "{}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Object)
            and population(type(self)) is population(type(other))
            and self.index == other.index
        )

    def __hash__(self) -> int:
        return hash((population(type(self)), self.index))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.index})"

    def __str__(self) -> str:
        return self._show.format(self.index)


@functools.lru_cache(maxsize=1024)
def population(cls: type[Object]) -> type[Object]:
    """The class that a population was first declared with: ``AddressSpace`` for ``Mm``."""
    for base in reversed(cls.__mro__):
        if issubclass(base, Object) and base is not Object:
            return base
    raise ModelError(f"{cls.__name__} is no population", hint="write class Cpu(Object)")


@dataclass_transform(kw_only_default=True)
class Word:
    """Fields that are read and written together, in one access (a page-table entry).

    Define ``def show(self) -> str`` for the text in race diagrams.
    """

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __repr__(self) -> str:
        fields = (f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({', '.join(fields)})"

    def show(self) -> str:
        """The fields that differ from their defaults."""
        raise NotImplementedError


@dataclass_transform(kw_only_default=True)
class Record:
    """A thread's own structure, passed by reference (an ``mmu_gather``)."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Array(Generic[K, V]):
    """One element for each object of a population, or each member of an enumeration."""

    def __getitem__(self, key: K) -> V:
        raise TypeError("shared state has values only inside paths, rules and properties")

    def __setitem__(self, key: K, value: V) -> None:
        raise TypeError("shared state has values only inside paths, rules and properties")


class SpinLock:
    """A lock: ``with mm.ptl:``. Taking it when held waits; ``locked`` tells if it is."""

    locked: bool

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


class RwSem:
    """A reader-writer lock: ``with mm.mmap_lock.read():``."""

    def read(self) -> SpinLock:
        """Hold it for reading."""
        raise TypeError("locks are taken only inside paths")

    def write(self) -> SpinLock:
        """Hold it for writing."""
        raise TypeError("locks are taken only inside paths")


class _RefMarker:
    """Says that a parameter is passed the place, not its value."""


Ref = Annotated[T, _RefMarker()]


def ranged(lo: int, hi: int | type[Object], *, init: int | None = None) -> Any:
    """An integer field (or local) from ``lo`` to ``hi``, both included."""
    return _bounded("ranged", lo, hi, init, atomic=False)


def counter(lo: int, hi: int | type[Object], *, init: int | None = None) -> Any:
    """An ``atomic_t`` field from ``lo`` to ``hi``: ``+=`` is one atomic step."""
    return _bounded("counter", lo, hi, init, atomic=True)


def _bounded(name: str, lo: object, hi: object, init: object, *, atomic: bool) -> Ranged:
    first = lo if init is None else init
    if isinstance(lo, int) and isinstance(first, int):
        if isinstance(hi, int):
            return Ranged(lo, hi, first, atomic)
        if isinstance(hi, type) and issubclass(hi, Object):
            return Ranged(lo, hi, first, atomic)
    raise TypeError(f"{name}() takes whole numbers, or a population as the upper bound")


def ghost(default: T) -> T:
    """A ghost field: part of the property, not of the kernel; it costs no step."""
    return Ghost(default)  # type: ignore[return-value]


@overload
def given() -> Any: ...
@overload
def given(default: T, /) -> T: ...
def given(*default: Any) -> Any:
    """A field that nothing writes and that ``Setup(given=...)`` provides: a table, as a program for
    a machine that is a model itself. To read it costs no step, and it is no part of the state."""
    return Given(default[0] if default else None, bool(default))


class Global(Generic[T]):
    """A global variable, made by :func:`shared` at ``location``. Its name is that of the variable
    that holds it."""

    def __init__(self, declared: Any, default: Any, location: Location) -> None:
        self.declared = declared
        self.default = default
        self.location = location


@overload
def shared(declared: type[T]) -> T: ...
@overload
def shared(declared: type[T], default: T) -> T: ...
def shared(declared: Any, default: Any = None) -> Any:
    """A global shared variable of a field type, at module level."""
    return Global(declared, default, caller())


class Option:
    """A switch that is fixed when the program is compiled; hardware assumptions are options.

    ``doc`` says in one sentence what each choice assumes; it is printed with the verdict. One that
    is ``tacit`` is not named there while it has its default.
    """

    registry: ClassVar[dict[str, Option]] = {}

    def __init__(
        self,
        name: str,
        default: Any,
        *,
        choices: tuple[Any, ...],
        doc: str = "",
        tacit: bool = False,
    ) -> None:
        if default not in choices:
            raise ValueError(f"option '{name}': default {default!r} is not among {choices!r}")
        self.name = name
        self.default = default
        self.choices = choices
        self.doc = doc
        self.tacit = tacit
        Option.registry[name] = self

    def __eq__(self, other: object) -> bool:
        raise TypeError(f"option '{self.name}' has a value only inside a path or a rule")

    __hash__ = object.__hash__


Show = Callable[[int], str]
