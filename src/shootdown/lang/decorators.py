"""The decorators that mark what the compiler reads: paths, atomic functions, rules, properties."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

from shootdown.lang.types import FieldRef

P = ParamSpec("P")
R = TypeVar("R")


Looks: TypeAlias = bool | Literal["outside"]


@dataclass(frozen=True, eq=False)
class Function(Generic[P, R]):
    """A function of the modelling language: its source is compiled, it is never run as Python.

    ``kind`` is ``path``, ``atomic``, ``extern``, ``rule``, ``on_write``, ``invariant``, ``goal`` or
    ``progress``. ``role`` says what a call of it is for (``flush``, ``barrier``, ...), so that
    mutants can leave it out. ``looks``: its accesses count for ``looked_at()``; ``"outside"``:
    those on behalf of rules and properties that look do.
    """

    source: Callable[P, R]
    kind: str
    name: str
    show: str | None = None
    role: str | None = None
    fair: bool = False
    fence: bool = True
    looks: Looks = True
    field: FieldRef | None = None
    doc: str = ""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        raise TypeError(
            f"{self.name}() is a model function: it is compiled, not called; "
            "use it in a Thread or from another path"
        )


_kept: list[Any] = [None]  # the names of the module whose text was kept last


def _make(source: Callable[P, R], kind: str, **more: Any) -> Function[P, R]:
    name = more.pop("name", None) or source.__name__
    code = getattr(source, "__code__", None)
    if code is not None and _kept[0] is not source.__globals__:
        # keep the text that is being imported, should the file change later
        linecache.checkcache(code.co_filename)
        linecache.getlines(code.co_filename, source.__globals__)
        _kept[0] = source.__globals__
    return Function(source, kind, name, doc=(source.__doc__ or "").strip(), **more)


@overload
def path(source: Callable[P, R], /) -> Function[P, R]: ...
@overload
def path(
    *, show: str | None = None, role: str | None = None
) -> Callable[[Callable[P, R]], Function[P, R]]: ...
def path(source: Any = None, /, *, show: str | None = None, role: str | None = None) -> Any:
    """A kernel path: one step for each shared access.

    ``show`` is how the report writes a call (``"madvise(MADV_DONTNEED)"``; braces take parameters).
    ``role`` (``"flush"``, ``"barrier"``, ``"lock"``, ``"counter"``, ``"ack"``) makes calls of it
    removable one at a time by mutants.
    """
    if source is not None:
        return _make(source, "path")
    return lambda function: _make(function, "path", show=show, role=role)


@overload
def atomic(source: Callable[P, R], /) -> Function[P, R]: ...
@overload
def atomic(
    *, show: str | None = None, role: str | None = None, fence: bool = True, looks: Looks = True
) -> Callable[[Callable[P, R]], Function[P, R]]: ...
def atomic(
    source: Any = None,
    /,
    *,
    show: str | None = None,
    role: str | None = None,
    fence: bool = True,
    looks: Looks = True,
) -> Any:
    """An action that is one step whatever it touches: an instruction, a hardware primitive.

    As a step of a thread it waits until the CPU's stores have reached memory, as a locked or
    serialising instruction does; ``fence=False``: it does not (an ordinary load or store).
    ``looks=False``: what it accesses does not count for ``looked_at()``; ``looks="outside"``: only
    where a rule or property calls it that looks itself, as all do that do not say otherwise.
    """
    if source is not None:
        return _make(source, "atomic")
    return lambda function: _make(
        function, "atomic", show=show, role=role, fence=fence, looks=looks
    )


def extern(source: Callable[P, R], /) -> Function[P, R]:
    """Something that an engine implements: only its parameters and what it returns are read. The
    checker has none."""
    return _make(source, "extern")


@overload
def rule(source: Callable[P, R], /) -> Function[P, R]: ...
@overload
def rule(
    *, fair: bool = False, show: str | None = None, looks: bool = True
) -> Callable[[Callable[P, R]], Function[P, R]]: ...
def rule(
    source: Any = None, /, *, fair: bool = False, show: str | None = None, looks: bool = True
) -> Any:
    """Something that hardware may do at any time, for all values of the parameters.

    ``fair`` rules cannot be put off for ever. ``looks=False``: what it accesses does not count for
    ``looked_at()``.
    """
    if source is not None:
        return _make(source, "rule")
    return lambda function: _make(function, "rule", fair=fair, show=show, looks=looks)


def on_write(field: Any) -> Callable[[Callable[P, R]], Function[P, R]]:
    """Make an atomic function part of every step that writes ``field`` (``AddressSpace.pte``).

    Its parameters are the object, the array indices, then ``old`` and ``new``.
    """
    if not isinstance(field, FieldRef):
        raise TypeError(f"@on_write takes a field of a population, as in Mm.pte, not {field!r}")
    return lambda function: _make(function, "on_write", field=field)


def invariant(name: str) -> Callable[[Callable[P, R]], Function[P, R]]:
    """A property that must hold in every state; the docstring says what is wrong otherwise."""
    if not isinstance(name, str):
        raise TypeError('an invariant has a name: write @invariant("INV-NAME")')
    return lambda function: _make(function, "invariant", name=name)


def goal(name: str) -> Callable[[Callable[P, R]], Function[P, R]]:
    """A property that some state must have, or the verdict is VACUOUS."""
    if not isinstance(name, str):
        raise TypeError('a goal has a name: write @goal("what is reached")')
    return lambda function: _make(function, "goal", name=name)


def progress(name: str) -> Callable[[Callable[P, R]], Function[P, R]]:
    """A property that stays within reach: from every state, steps that cannot be put off for ever
    can lead to a state in which it holds. The docstring says what is wrong otherwise."""
    if not isinstance(name, str):
        raise TypeError('a progress property has a name: write @progress("INV-LIVE")')
    return lambda function: _make(function, "progress", name=name)
