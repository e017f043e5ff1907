"""The operations of the modelling language, as typed names for model files.

Each is compiled, never run: the compiler recognises the function object. Memory-order names are the
Linux kernel memory model's (tools/memory-model/Documentation/explanation.txt); atomics are named as
in Documentation/atomic_t.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar, overload

from shootdown.lang.types import Object, RwSem, SpinLock

T = TypeVar("T")
O = TypeVar("O", bound=Object)  # noqa: E741
F = TypeVar("F", bound=Callable[..., Any])

INTRINSICS: dict[Callable[..., Any], str] = {}


def _intrinsic(function: F) -> F:
    INTRINSICS[function] = function.__name__
    return function


def _compiled(name: str) -> NoReturn:
    raise TypeError(f"{name}() has a meaning only inside a path, a rule or a property")


@_intrinsic
def READ_ONCE(place: T) -> T:
    """Read a place: one step."""
    _compiled("READ_ONCE")


@_intrinsic
def WRITE_ONCE(place: T, value: T) -> None:
    """Write a place: one step."""
    _compiled("WRITE_ONCE")


@_intrinsic
def smp_load_acquire(place: T) -> T:
    """Read with acquire order: one step."""
    _compiled("smp_load_acquire")


@_intrinsic
def smp_store_release(place: T, value: T) -> None:
    """Write with release order: one step."""
    _compiled("smp_store_release")


@_intrinsic
def smp_mb() -> None:
    """Full barrier."""
    _compiled("smp_mb")


@_intrinsic
def smp_rmb() -> None:
    """Read barrier."""
    _compiled("smp_rmb")


@_intrinsic
def smp_wmb() -> None:
    """Write barrier."""
    _compiled("smp_wmb")


@_intrinsic
def xchg(place: T, value: T) -> T:
    """Write ``value``, give what was there: one atomic step."""
    _compiled("xchg")


@_intrinsic
def cmpxchg(place: T, old: T, new: T) -> T:
    """Write ``new`` if the place holds ``old``; give what was there: one atomic step."""
    _compiled("cmpxchg")


@_intrinsic
def try_cmpxchg(place: T, old: T, new: T) -> bool:
    """Write ``new`` if the place holds ``old``; did it? One atomic step."""
    _compiled("try_cmpxchg")


@_intrinsic
def atomic_inc(place: int) -> None:
    """Add 1: one atomic step."""
    _compiled("atomic_inc")


@_intrinsic
def atomic_dec(place: int) -> None:
    """Subtract 1: one atomic step."""
    _compiled("atomic_dec")


@_intrinsic
def atomic_add(place: int, value: int) -> None:
    """Add ``value``: one atomic step."""
    _compiled("atomic_add")


@_intrinsic
def atomic_sub(place: int, value: int) -> None:
    """Subtract ``value``: one atomic step."""
    _compiled("atomic_sub")


@_intrinsic
def atomic_inc_return(place: int) -> int:
    """Add 1 and give the new value: one atomic step."""
    _compiled("atomic_inc_return")


@_intrinsic
def atomic_dec_return(place: int) -> int:
    """Subtract 1 and give the new value: one atomic step."""
    _compiled("atomic_dec_return")


@_intrinsic
def atomic_dec_and_test(place: int) -> bool:
    """Subtract 1; is it now 0? One atomic step."""
    _compiled("atomic_dec_and_test")


@_intrinsic
def set_bit(place: bool) -> None:
    """Set a flag (also one of a shared word): one atomic step."""
    _compiled("set_bit")


@_intrinsic
def clear_bit(place: bool) -> None:
    """Clear a flag (also one of a shared word): one atomic step."""
    _compiled("clear_bit")


@_intrinsic
def test_and_set_bit(place: bool) -> bool:
    """Set a flag and give its old value: one atomic step."""
    _compiled("test_and_set_bit")


@_intrinsic
def test_and_clear_bit(place: bool) -> bool:
    """Clear a flag and give its old value: one atomic step."""
    _compiled("test_and_clear_bit")


@_intrinsic
def spin_lock(lock: SpinLock) -> None:
    """Take a lock; wait while it is held: one step."""
    _compiled("spin_lock")


@_intrinsic
def spin_unlock(lock: SpinLock) -> None:
    """Release a lock: one step."""
    _compiled("spin_unlock")


@_intrinsic
def spin_trylock(lock: SpinLock) -> bool:
    """Take a lock if it is free; was it? One step."""
    _compiled("spin_trylock")


@_intrinsic
def down_read(lock: RwSem) -> None:
    """Take for reading; wait while a writer holds it: one step."""
    _compiled("down_read")


@_intrinsic
def up_read(lock: RwSem) -> None:
    """Release after reading: one step."""
    _compiled("up_read")


@_intrinsic
def down_write(lock: RwSem) -> None:
    """Take for writing; wait while anyone holds it: one step."""
    _compiled("down_write")


@_intrinsic
def up_write(lock: RwSem) -> None:
    """Release after writing: one step."""
    _compiled("up_write")


@_intrinsic
def downgrade_write(lock: RwSem) -> None:
    """Go on holding for reading what was taken for writing; readers come in: one step."""
    _compiled("downgrade_write")


@_intrinsic
def wait_until(condition: object) -> None:
    """Wait for a condition on one shared access: one step."""
    _compiled("wait_until")


@_intrinsic
def when(condition: object) -> None:
    """In an atomic function or rule: impossible unless the condition holds."""
    _compiled("when")


@_intrinsic
def seen_by(owner: Object, place: T) -> T:
    """In an atomic function: read a place as one CPU sees it, its own buffered stores included."""
    _compiled("seen_by")


@_intrinsic
def stores_drained(owner: Object) -> bool:
    """In an atomic function: whether all stores of a CPU have reached memory."""
    _compiled("stores_drained")


@_intrinsic
def looked_at(place: object) -> bool:
    """In a rule: whether the next step of some thread may read or write a place. Accesses in
    functions with ``looks=False`` do not count; a rule or property that looks does so always."""
    _compiled("looked_at")


@overload
def choose(one: type[O], /) -> O: ...
@overload
def choose(one: Iterable[T], /) -> T: ...
@overload
def choose(one: T, another: T, /, *more: T) -> T: ...
@_intrinsic
def choose(*options: Any) -> Any:
    """Any one of the arguments, or of the elements of one set, sequence or population."""
    _compiled("choose")


@_intrinsic
def event(text: str) -> None:
    """A step without a shared access, named in the report."""
    _compiled("event")


@_intrinsic
def note(text: str, *values: object) -> None:
    """A remark on the step before; braces take the values."""
    _compiled("note")


@_intrinsic
def mark(text: str, *values: object) -> None:
    """Mark the step before as the access that the race is about."""
    _compiled("mark")


@_intrinsic
def this(population: type[O]) -> O:
    """The object of a population that the thread runs on."""
    _compiled("this")


@_intrinsic
def replace(word: T, **fields: Any) -> T:
    """The same word with some fields changed."""
    _compiled("replace")


INTRINSICS[choose] = "choose"
