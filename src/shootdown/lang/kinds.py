"""Kinds: the finite types of the language, and how each value is one small integer.

| kind | encoding |
|---|---|
| bool | 0, 1 |
| integer ``lo..hi`` | itself |
| enum member | its position |
| object | its index |
| optional | 0 for ``None``, else 1 + the value |
| set | bit ``e`` for the element encoded as ``e`` |
| word | its fields' bits, the first field lowest |
| lock | 0 free, else 1 + the holder's process number |
| rwsem | 0 free, ``n`` readers, or (processes + 1) for a writer |
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from shootdown.errors import ModelError
from shootdown.lang.types import (
    Array,
    Ghost,
    Given,
    Object,
    Ranged,
    Record,
    RwSem,
    SpinLock,
    Word,
    population,
)

MAX_BITS = 62  # values are 64-bit signed integers in every engine


class Kind:
    """A finite type. ``size`` is the number of encodings: 0 <= encoded < size."""

    @property
    def size(self) -> int:
        """The number of encodings."""
        raise NotImplementedError

    def decode(self, value: int) -> Any:
        """The Python value that an encoding stands for."""
        raise NotImplementedError

    def show(self, value: int) -> str:
        """Text for the report."""
        return str(self.decode(value))

    def __str__(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class BoolKind(Kind):
    """A flag."""

    @property
    def size(self) -> int:
        return 2

    def decode(self, value: int) -> bool:
        return bool(value)

    def show(self, value: int) -> str:
        return str(value)

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class IntKind(Kind):
    """Integers from ``lo`` to ``hi``; stored only where ``lo >= 0``."""

    lo: int
    hi: int
    atomic: bool = False

    @property
    def size(self) -> int:
        return self.hi + 1

    def decode(self, value: int) -> int:
        return value

    def __str__(self) -> str:
        return f"int {self.lo}..{self.hi}"


@dataclass(frozen=True)
class EnumKind(Kind):
    """A member of an enumeration."""

    cls: type[enum.Enum]

    @property
    def size(self) -> int:
        return len(self.cls)

    def decode(self, value: int) -> enum.Enum:
        return list(self.cls)[value]

    def encode(self, member: enum.Enum) -> int:
        """The position of a member."""
        return list(self.cls).index(member)

    def show(self, value: int) -> str:
        return self.decode(value).name if value < self.size else f"?{value}"

    def __str__(self) -> str:
        return self.cls.__name__


@dataclass(frozen=True)
class ObjectKind(Kind):
    """A pointer to one object of a population.

    ``cls`` is the class as declared (for its fields), ``named`` the one that the scenario sizes
    (for its text in reports).
    """

    cls: type[Object]
    count: int
    named: type[Object]

    @property
    def size(self) -> int:
        return self.count

    def decode(self, value: int) -> Object:
        return self.cls(value)

    def show(self, value: int) -> str:
        return show_object(self.named, value, self.count)

    def __str__(self) -> str:
        return self.cls.__name__


def show_object(cls: type[Object], index: int, count: int) -> str:
    """``CPU1``; a class without a text of its own is written without number where there is one."""
    if count == 1 and not cls._named:
        return cls._show.replace("{}", "")
    return cls._show.format(index)


@dataclass(frozen=True)
class NoneKind(Kind):
    """The kind of ``None`` itself, before it meets an optional kind."""

    @property
    def size(self) -> int:
        return 1

    def decode(self, value: int) -> None:
        return None

    def __str__(self) -> str:
        return "None"


@dataclass(frozen=True)
class OptKind(Kind):
    """``inner | None``."""

    inner: Kind

    @property
    def size(self) -> int:
        return self.inner.size + 1

    def decode(self, value: int) -> Any:
        return None if value == 0 else self.inner.decode(value - 1)

    def show(self, value: int) -> str:
        return "none" if value == 0 else self.inner.show(value - 1)

    def __str__(self) -> str:
        return f"{self.inner} | None"


@dataclass(frozen=True)
class SetKind(Kind):
    """A set of values of one kind (``None`` for the empty display before it meets one)."""

    element: Kind | None

    @property
    def size(self) -> int:
        return 1 if self.element is None else 1 << self.element.size

    def decode(self, value: int) -> frozenset[Any]:
        if self.element is None:
            return frozenset()
        return frozenset(self.element.decode(i) for i in range(self.element.size) if value >> i & 1)

    def show(self, value: int) -> str:
        if self.element is None or value == 0:
            return "{}"
        shown = [self.element.show(i) for i in range(self.element.size) if value >> i & 1]
        return "{" + ", ".join(shown) + "}"

    def __str__(self) -> str:
        return f"set[{self.element}]"


@dataclass(frozen=True)
class FieldKind:
    """One field of a word: its kind, first bit and default encoding."""

    name: str
    kind: Kind
    shift: int
    default: int

    @property
    def mask(self) -> int:
        """The field's bits, moved down to bit 0."""
        return (1 << bits_for(self.kind.size)) - 1


def bits_for(size: int) -> int:
    """How many bits hold ``0 .. size - 1``."""
    return (size - 1).bit_length()


@dataclass(frozen=True)
class WordKind(Kind):
    """A word of packed fields."""

    cls: type[Word]
    fields: tuple[FieldKind, ...]
    width: int

    @property
    def size(self) -> int:
        return 1 << self.width

    @property
    def default(self) -> int:
        """The encoding of the word with all fields at their defaults."""
        return sum(f.default << f.shift for f in self.fields)

    def field(self, name: str) -> FieldKind | None:
        """The field of that name."""
        return next((f for f in self.fields if f.name == name), None)

    def decode(self, value: int) -> Word:
        fields = {f.name: f.kind.decode(value >> f.shift & f.mask) for f in self.fields}
        word = self.cls.__new__(self.cls)
        word.__dict__.update(fields)
        return word

    def show(self, value: int) -> str:
        if "show" in {name for c in self.cls.__mro__[:-2] for name in c.__dict__}:
            try:
                return str(self.cls.show(self.decode(value)))
            except (Exception, SystemExit) as error:
                raise class_error(
                    self.cls, f"{self.cls.__name__}.show() failed: {type(error).__name__}: {error}"
                ) from None
        parts = []
        for f in self.fields:
            part = value >> f.shift & f.mask
            if part != f.default:
                is_flag = isinstance(f.kind, BoolKind)
                parts.append(f.name if is_flag and part else f"{f.name}={f.kind.show(part)}")
        return " ".join(parts) or "none"

    def __str__(self) -> str:
        return self.cls.__name__


@dataclass(frozen=True)
class LockKind(Kind):
    """A spinlock."""

    processes: int

    @property
    def size(self) -> int:
        return self.processes + 1

    def decode(self, value: int) -> int | None:
        return None if value == 0 else value - 1

    def show(self, value: int) -> str:
        return "free" if value == 0 else f"held by thread {value - 1}"

    def __str__(self) -> str:
        return "SpinLock"


@dataclass(frozen=True)
class RwSemKind(Kind):
    """A reader-writer lock."""

    processes: int

    @property
    def size(self) -> int:
        return self.processes + 2

    @property
    def writer(self) -> int:
        """The encoding of: held for writing."""
        return self.processes + 1

    def decode(self, value: int) -> int:
        return value

    def show(self, value: int) -> str:
        if value == self.writer:
            return "held for writing"
        return "free" if value == 0 else f"{value} reader" + "s" * (value > 1)

    def __str__(self) -> str:
        return "RwSem"


@dataclass(frozen=True)
class ArrayKind(Kind):
    """One element for each value of ``key`` (an object or enum kind). Not a scalar."""

    key: Kind
    element: Kind

    @property
    def size(self) -> int:
        raise TypeError("an array is not one value")

    def __str__(self) -> str:
        return f"Array[{self.key}, {self.element}]"


@dataclass(frozen=True)
class FieldDecl:
    """A declared field: its kind, initial encoding, and whether it is ghost state, or given (and
    then ghost state too, as far as steps go)."""

    kind: Kind
    init: int
    ghost: bool
    given: bool = False


_HINTS: dict[type, dict[str, Any]] = {}  # evaluating annotations is slow, and they do not change


class Kinds:
    """Turns annotations into kinds for given population sizes.

    Raises :class:`ModelError` for annotations that are not finite types of the language.
    """

    at_least = ""  # before a number that is larger where populations are
    word_bits = MAX_BITS  # how many bits a word may have

    def __init__(self, sizes: Mapping[type[Object], int], processes: int) -> None:
        self.sizes = {population(cls): size for cls, size in sizes.items()}
        self.named = {population(cls): cls for cls in sizes}
        self.processes = processes
        self._words: dict[type[Word], WordKind] = {}
        self._objects: dict[type[Object], ObjectKind] = {}
        self._fields: dict[tuple[type, str], FieldDecl | None] = {}

    def hints(self, cls: type) -> dict[str, Any]:
        """The annotations of a class, evaluated, inherited ones first."""
        if cls not in _HINTS:
            try:
                found = typing.get_type_hints(cls, include_extras=True)
            except Exception as error:
                message = f"cannot evaluate the annotations of {cls.__name__}: {error}"
                raise class_error(cls, message, _naming(cls, error)) from None
            _HINTS[cls] = {
                name: hint
                for name, hint in found.items()
                if not name.startswith("_")
                and typing.get_origin(hint) is not ClassVar
                and not (name == "index" and issubclass(cls, Object))
            }
        return _HINTS[cls]

    def count(self, cls: type[Object]) -> int:
        """The size of a population in this scenario."""
        root = population(cls)
        if root not in self.sizes:
            raise ModelError(
                f"the scenario gives no size for the population {cls.__name__}",
                hint=f"add {cls.__name__}: N to Setup(sizes={{...}})",
            )
        return self.sizes[root]

    def sizes_text(self) -> str:
        """The populations as ``4 Cpu, 9 Frame``."""
        return ", ".join(f"{size} {cls.__name__}" for cls, size in self.sizes.items())

    def object(self, cls: type[Object]) -> ObjectKind:
        """The kind of a pointer into a population."""
        if cls not in self._objects:
            named = self.named.get(population(cls), cls)
            self._objects[cls] = ObjectKind(cls, self.count(cls), named)
        return self._objects[cls]

    def of(
        self,
        annotation: Any,
        where: Callable[[str], ModelError],
        integer: IntKind | None = None,
    ) -> Kind:
        """The kind that an annotation means.

        ``where`` makes the error; ``integer`` is what ``int`` in it stands for (from ``ranged()``).
        """
        if annotation is bool:
            return BoolKind()
        if isinstance(annotation, Ranged):
            return self.ranged(annotation, where)
        if isinstance(annotation, type):
            if issubclass(annotation, enum.Enum):
                return EnumKind(annotation)
            if issubclass(annotation, Object):
                return self.object(annotation)
            if issubclass(annotation, Word):
                return self.word(annotation)
            if annotation is SpinLock:
                return LockKind(self.processes)
            if annotation is RwSem:
                return RwSemKind(self.processes)
            if annotation is int and integer is not None:
                return integer
            if annotation is int:
                raise where("an int needs its bounds: write '= ranged(0, 3)' or '= counter(0, 3)'")
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is set and len(arguments) == 1:
            element = self.of(arguments[0], where, integer)
            if element.size > MAX_BITS:
                raise where(
                    f"a set of {element} has {element.size} possible elements; {MAX_BITS} is the "
                    f"most: use smaller bounds ({self.sizes_text()})"
                )
            return SetKind(element)
        if origin is Array and len(arguments) == 2:
            key = self.of(arguments[0], where, integer)
            if not isinstance(key, (ObjectKind, EnumKind)):
                raise where(f"an Array is indexed by a population or an enum, not by {key}")
            return ArrayKind(key, self.of(arguments[1], where, integer))
        some = [a for a in arguments if a is not type(None)]
        if type(None) in arguments and len(some) == 1:
            return OptKind(self.of(some[0], where, integer))
        name = getattr(annotation, "__name__", None) or str(annotation)
        raise where(
            f"'{name}' is not a finite type of the language: use bool, ranged(), counter(), "
            "an Enum, an Object, a Word, set[...], Array[...], SpinLock or RwSem"
        )

    def ranged(self, marker: Ranged, where: Callable[[str], ModelError]) -> IntKind:
        """The kind of an integer field."""
        hi = marker.hi if isinstance(marker.hi, int) else self.count(marker.hi)
        if marker.lo < 0:
            raise where("integers of the state start at 0 or above")
        if hi < marker.lo:
            raise where(f"the range {marker.lo}..{hi} is empty")
        if bits_for(hi + 1) > MAX_BITS:
            raise where(f"the range {marker.lo}..{hi} is too large: {MAX_BITS} bits are the most")
        if not marker.lo <= marker.init <= hi:
            raise where(f"the initial value {marker.init} is not in {marker.lo}..{hi}")
        return IntKind(marker.lo, hi, marker.atomic)

    def field(self, cls: type, name: str) -> FieldDecl | None:
        """A declared field of an object, word or record class."""
        if (cls, name) not in self._fields:
            self._fields[cls, name] = self._field(cls, name)
        return self._fields[cls, name]

    def _field(self, cls: type, name: str) -> FieldDecl | None:
        hint = self.hints(cls).get(name)
        if hint is None:
            return None
        defaults = [base.__dict__[name] for base in cls.__mro__ if name in base.__dict__]
        given, default = bool(defaults), defaults[0] if defaults else None

        def where(message: str) -> ModelError:
            owner = next((c for c in cls.__mro__ if name in inspect.get_annotations(c)), cls)
            return class_error(owner, f"field {owner.__name__}.{name}: {message}", name)

        declared = self.declared(hint, default, given, where)
        self._same_above(cls, name, declared, where)
        return declared

    def _same_above(
        self, cls: type, name: str, declared: FieldDecl, where: Callable[[str], ModelError]
    ) -> None:
        """A population has one field of a name, whatever class it is looked at as."""
        for base in cls.__mro__[1:]:
            if issubclass(base, Object) and name in self.hints(base):
                above = self.field(base, name)
                if above is not None and above != declared:
                    owner = next(c for c in base.__mro__ if name in inspect.get_annotations(c))
                    of = population(base).__name__
                    raise where(
                        f"{owner.__name__} declares it as well, differently, and all {of} objects "
                        f"have one field '{name}': give this one another name"
                    )
                return

    def declared(
        self, hint: Any, default: Any, given: bool, where: Callable[[str], ModelError]
    ) -> FieldDecl:
        """Kind and initial value of a field or global from annotation and default."""
        provided = isinstance(default, Given)
        ghost = isinstance(default, (Ghost, Given))
        if isinstance(default, Given):
            given = default.has
        if isinstance(default, (Ghost, Given)):
            default = default.default
        if isinstance(default, Ranged):
            if "int" not in str(hint):
                raise where("ranged() and counter() are for int")
            kind = self.of(hint, where, self.ranged(default, where))
            plain = isinstance(kind, (IntKind, ArrayKind))
            return FieldDecl(kind, default.init if plain else 0, ghost, provided)
        kind = self.of(hint, where)
        if not given or default is None:
            if given and not isinstance(kind, OptKind):
                raise where(f"None is not a {kind}: write '{kind} | None'")
            init = kind.default if isinstance(kind, WordKind) else 0
            inner = kind
            while isinstance(inner, ArrayKind):
                inner = inner.element
            if isinstance(inner, WordKind):
                init = inner.default
            return FieldDecl(kind, init, ghost, provided)
        return FieldDecl(kind, self.encode(default, kind, where), ghost, provided)

    def encode(self, value: Any, kind: Kind, where: Callable[[str], ModelError]) -> int:
        """The encoding of a Python value (a default, a scenario's argument)."""
        while isinstance(kind, ArrayKind):
            kind = kind.element
        if isinstance(kind, OptKind):
            return 0 if value is None else 1 + self.encode(value, kind.inner, where)
        if isinstance(kind, NoneKind) and value is None:
            return 0
        if isinstance(kind, BoolKind) and isinstance(value, bool):
            return int(value)
        if isinstance(kind, IntKind) and isinstance(value, int) and kind.lo <= value <= kind.hi:
            return int(value)
        if isinstance(kind, EnumKind) and isinstance(value, kind.cls):
            return kind.encode(value)
        if (
            isinstance(kind, ObjectKind)
            and isinstance(value, Object)
            and population(type(value)) is population(kind.cls)
            and 0 <= value.index < kind.count
        ):
            return value.index
        element = kind.element if isinstance(kind, SetKind) else None
        if element is not None and isinstance(value, (set, frozenset)):
            return sum(1 << self.encode(v, element, where) for v in value)
        if isinstance(kind, WordKind) and type(value) is kind.cls:
            return sum(
                self.encode(getattr(value, f.name), f.kind, where) << f.shift
                if f.name in value.__dict__
                else f.default << f.shift
                for f in kind.fields
            )
        raise where(f"{value!r} is not a value of {kind}")

    def word(self, cls: type[Word]) -> WordKind:
        """The kind of a word class: its fields packed from bit 0 up."""
        if cls not in self._words:
            fields, shift = [], 0
            for name in self.hints(cls):
                declared = self.field(cls, name)
                assert declared is not None
                if isinstance(declared.kind, (ArrayKind, LockKind, RwSemKind)):
                    raise class_error(
                        cls, f"field {cls.__name__}.{name}: a word holds only plain values", name
                    )
                fields.append(FieldKind(name, declared.kind, shift, declared.init))
                shift += bits_for(declared.kind.size)
            if shift > self.word_bits:
                bits = f"{self.at_least}{shift} bits"
                raise class_error(cls, f"{cls.__name__} has {bits}; {self.word_bits} is the most")
            self._words[cls] = WordKind(cls, tuple(fields), shift)
        return self._words[cls]

    def record_fields(self, cls: type[Record]) -> dict[str, FieldDecl]:
        """The declared fields of a record class."""
        found = {name: self.field(cls, name) for name in self.hints(cls)}
        return {name: decl for name, decl in found.items() if decl is not None}


def _naming(cls: type, error: Exception) -> str | None:
    """The field whose annotation uses the name that an error is about."""
    for field, annotation in inspect.get_annotations(cls).items():
        name = error.name if isinstance(error, NameError) else None
        if name is not None and re.search(rf"\b{re.escape(name)}\b", str(annotation)):
            return str(field)
    return None


def class_error(cls: type, message: str, field: str | None = None) -> ModelError:
    """An error at a class (or one of its fields, annotated or not) in the user's file."""
    try:
        file = inspect.getsourcefile(cls)
        lines, first = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return ModelError(message)
    for offset, line in enumerate(lines):
        if field is not None and re.match(rf"\s*{re.escape(field)}\s*(:|=[^=])", line):
            return ModelError(message, file=file, line=first + offset, text=line)
    return ModelError(message, file=file, line=first, text=lines[0])
