"""What a :class:`~shootdown.lang.scenario.Setup` may hold; errors name the line of the scenario, or
of the ``Thread(...)`` in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from shootdown.errors import ModelError
from shootdown.lang.builder import counted
from shootdown.lang.decorators import Function
from shootdown.lang.ir import Location
from shootdown.lang.kinds import Kinds
from shootdown.lang.scenario import ByOption, Hardware, Setup, Thread
from shootdown.lang.source import Source, source_of
from shootdown.lang.types import Object, Option, population
from shootdown.lang.values import Static, TupleV, Value


class Fail(Protocol):
    """Makes an error of the scenario, or of a place in it."""

    def __call__(
        self, message: str, hint: str | None = None, at: Location | None = None
    ) -> ModelError: ...


def check_setup(setup: Setup, fail: Fail) -> None:
    """Refuse values of the wrong type (a model need not be type-checked)."""
    _check_sizes(setup.sizes, fail)
    for name in ("threads", "invariants", "goals", "progress"):
        value = getattr(setup, name)
        if not is_a(value, (list, tuple)):
            raise fail(f"{name}= takes a list, not {named(value)}", f"write {name}=[...]")
    for thread in setup.threads:
        if not is_a(thread, Thread):
            raise fail(f"threads= takes Thread(path, ...), not {named(thread)}")
        _check_thread(thread, fail)
    _check_dict("options=", setup.options, "{'memory': 'tso'}", fail)
    _check_dict("given=", setup.given, "{Insn.op: [Op.LOAD, Op.STORE]}", fail)
    if not is_a(setup.hardware, Hardware):
        raise fail(f"hardware= takes a Hardware(...), not {named(setup.hardware)}")
    _check_hardware(setup.hardware, fail)
    for observer in setup.hardware.observers:
        if not is_function(observer, "on_write"):
            shown = getattr(observer, "name", repr(observer))
            raise fail(f"observer {shown} is not decorated with @on_write")


def _check_dict(what: str, value: Any, example: str, fail: Fail) -> None:
    if not is_a(value, Mapping):
        raise fail(f"{what} takes a dict, not {named(value)}", f"write {example}")


def _check_hardware(hardware: Hardware, fail: Fail) -> None:
    if not is_a(hardware.name, str):
        raise fail(f"Hardware(...) begins with its name, not {named(hardware.name)}")
    for name in ("rules", "observers", "assumptions"):
        value = getattr(hardware, name)
        if not is_a(value, (list, tuple)):
            raise fail(f"Hardware({name}=...) takes a tuple, not {named(value)}")
    for sentence in hardware.assumptions:
        if is_a(sentence, ByOption):
            _check_by_option(sentence, fail)
        elif not is_a(sentence, str):
            raise fail(f"Hardware(assumptions=...) takes sentences, not {named(sentence)}")
    for name in ("options", "witness"):
        _check_dict(f"Hardware({name}=...)", getattr(hardware, name), "{'memory': 'tso'}", fail)


def _check_by_option(depending: Any, fail: Fail) -> None:
    if not is_a(depending.option, Option):
        raise fail(f"ByOption(...) begins with an Option, not {named(depending.option)}")
    name, choices = depending.option.name, depending.option.choices
    example = f"ByOption({name.upper()}, {{{choices[0]!r}: 'a sentence'}})"
    _check_dict("ByOption(...)", depending.sentences, example, fail)
    for choice in choices:
        if not is_a(depending.sentences.get(choice), str):
            raise fail(f"ByOption(...) has no sentence for {name}={choice}")


def _check_sizes(sizes: Any, fail: Fail) -> None:
    if not is_a(sizes, Mapping):
        raise fail(f"sizes= takes a dict, not {named(sizes)}", "write {Cpu: 2, Page: 1}")
    sized: dict[type[Object], type[Object]] = {}
    for cls, size in sizes.items():
        if not (is_a(cls, type) and issubclass(cls, Object) and cls is not Object):
            raise fail(f"sizes= takes populations, not {named(cls)}", "write {Cpu: 2, Page: 1}")
        if not is_a(size, int) or is_a(size, bool) or size < 1:
            raise fail(f"the size of {cls.__name__} is {size!r}: at least 1 is needed")
        other = sized.setdefault(population(cls), cls)
        if other is not cls:
            raise fail(
                f"{other.__name__} and {cls.__name__} are the same population: size one of them"
            )


def _check_thread(thread: Thread, fail: Fail) -> None:
    at, path = thread.location, thread.path
    if not is_function(path, "path", "atomic"):
        shown = getattr(path, "name", None) or getattr(path, "__name__", repr(path))
        raise fail(f"Thread({shown}): a thread runs a @path function", at=at)
    if path.kind == "atomic":
        raise fail(f"Thread({path.name}): a thread runs a @path, this is @atomic", at=at)
    if thread.name is not None and not is_a(thread.name, str):
        raise fail(f"name={named(thread.name)}: the name of a thread is a text", at=at)
    if thread.on is not None and not is_a(thread.on, Object):
        shown = named(thread.on)
        raise fail(f"on={shown}: a thread runs on an object, such as Cpu(0)", at=at)
    guard = thread.when
    if guard is None:
        return
    if not is_function(guard, "atomic"):
        shown = getattr(guard, "name", repr(guard))
        raise fail(f"when={shown}: a thread's guard is an @atomic function", at=at)
    source = source_of(guard)
    if len(source.tree.args.args) > (thread.on is not None):
        raise source.error(
            source.tree,
            "a thread's guard takes no parameters, or the object that the thread runs on",
        )


def check_objects(setup: Setup, kinds: Kinds, fail: Fail) -> None:
    """Refuse threads that run on objects, or get objects, that the scenario does not have."""
    for thread in setup.threads:
        for item in _objects((thread.on, thread.args, *thread.options.values())):
            count = kinds.count(type(item))
            if not 0 <= item.index < count:
                missing = f"{item!r} does not exist: the scenario has {count} of them"
                raise fail(f"Thread({thread.path.name}, ...): {missing}", at=thread.location)


def _objects(value: Any) -> Iterator[Object]:
    if isinstance(value, Object):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _objects(item)


def thread_arguments(thread: Thread, source: Source, fail: Fail) -> dict[str, Value]:
    """The values of a thread's parameters, the defaults included."""
    parameters, name, at = source.tree.args, thread.path.name, thread.location
    names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
    only = [a.arg for a in parameters.kwonlyargs]
    if len(thread.args) > len(names):
        takes = f"takes {counted(len(names), 'argument')}, not {len(thread.args)}"
        raise fail(f"Thread({name}, ...): {name}() {takes}", at=at)
    values = {n: static(v) for n, v in zip(names, thread.args, strict=False)}
    for option, value in thread.options.items():
        if option not in names and option not in only:
            raise fail(f"Thread({name}, ...): {name}() has no parameter '{option}'", at=at)
        values[option] = static(value)
    defaults = {**(thread.path.source.__kwdefaults__ or {})}
    positional = thread.path.source.__defaults__ or ()
    defaults.update(zip(names[len(names) - len(positional) :], positional, strict=True))
    for parameter in names + only:
        if parameter not in values:
            if parameter not in defaults:
                raise fail(f"Thread({name}, ...): '{parameter}' of {name}() is missing", at=at)
            values[parameter] = static(defaults[parameter])
    return values


def static(value: Any) -> Value:
    """A Python value of the scenario as a value of the compiler."""
    if isinstance(value, (tuple, list)):
        return TupleV(tuple(static(v) for v in value))
    return Static(value)


def is_a(value: object, cls: type | tuple[type, ...]) -> bool:
    """Whether a user's value is what its annotation says."""
    return isinstance(value, cls)


def is_function(value: object, *kinds: str) -> bool:
    """Whether a user's value is a model function of one of these kinds."""
    return isinstance(value, Function) and value.kind in kinds


def named(value: object) -> str:
    """A user's value in an error message."""
    said = getattr(value, "name", None) or getattr(value, "__name__", None)
    return said if isinstance(said, str) else repr(value)
