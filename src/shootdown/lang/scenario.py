"""Scenarios: who runs what, on which hardware, and what must hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shootdown.errors import ModelError, UsageError
from shootdown.lang.decorators import Function
from shootdown.lang.ir import Location, System
from shootdown.lang.limits import MAX_BOUND
from shootdown.lang.locations import caller
from shootdown.lang.types import Object, Option

VERDICTS = ("HOLDS", "VIOLATED", "UNKNOWN", "VACUOUS")


class Thread:
    """One thread of a scenario: a path with its arguments, on an object (usually a CPU).

    ``name`` heads its column in the report (default: the object's own text). A ``daemon`` may wait
    for ever. ``when`` is an atomic function without parameters, or with the object that the thread
    runs on as its only one, that must hold for each step of the thread. ``location`` is where it
    was made.
    """

    def __init__(
        self,
        path: Function[..., Any],
        *args: Any,
        on: Object | None = None,
        name: str | None = None,
        daemon: bool = False,
        when: Function[..., Any] | None = None,
        **options: Any,
    ) -> None:
        self.path = path
        self.args = args
        self.on = on
        self.name = name
        self.daemon = daemon
        self.when = when
        self.options = options
        self.location = caller()

    def __repr__(self) -> str:
        return f"Thread({getattr(self.path, 'name', self.path)}, ...)"


@dataclass(frozen=True, eq=False)
class ByOption:
    """A sentence that depends on an option: one for each of its choices."""

    option: Option
    sentences: Mapping[Any, str]

    def sentence(self, options: Mapping[str, Any]) -> str:
        """The one for the value that is chosen."""
        return self.sentences[options[self.option.name]]


@dataclass(frozen=True)
class Hardware:
    """A named set of assumptions: rules that may fire, observers, and values of options.

    ``assumptions`` are sentences that a verdict prints. ``witness`` are options under which a race
    is shown in concrete steps, where this hardware is an exact abstraction (a may-set).
    """

    name: str
    rules: tuple[Function[..., Any], ...] = ()
    observers: tuple[Function[..., Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    assumptions: tuple[str | ByOption, ...] = ()
    witness: Mapping[str, Any] = field(default_factory=dict)

    def with_options(self, **options: Any) -> Hardware:
        """The same hardware with other option values."""
        return replace(self, options={**self.options, **options})

    def without(self, *rules: Function[..., Any]) -> Hardware:
        """The same hardware without some rules."""
        return replace(self, rules=tuple(r for r in self.rules if r not in rules))

    def and_rules(self, *rules: Function[..., Any]) -> Hardware:
        """The same hardware with more rules."""
        return replace(self, rules=self.rules + rules)


@dataclass(frozen=True)
class Setup:
    """What one instance of a scenario consists of; see ``docs/language.md``."""

    sizes: Mapping[type[Object], int]
    threads: Sequence[Thread]
    hardware: Hardware = field(default_factory=lambda: Hardware("none"))
    start: Function[..., Any] | None = None
    invariants: Sequence[Function[..., Any]] = ()
    goals: Sequence[Function[..., Any]] = ()
    progress: Sequence[Function[..., Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """A configuration that can be checked: name, expected verdict and how to build it.

    ``bounds`` are the builder's integer parameters with their defaults. ``aliases`` are further
    names (``BAD-S0-3``). ``title`` is one line.
    """

    name: str
    title: str
    expect: str
    violates: str | None
    build: Callable[..., Setup]
    bounds: Mapping[str, int]
    location: Location
    aliases: tuple[str, ...] = ()
    doc: str = ""

    def setup(self, bounds: Mapping[str, int] | None = None) -> Setup:
        """Build it for some bounds (the defaults for those not given)."""
        unknown = set(bounds or {}) - set(self.bounds)
        if unknown:
            name = sorted(unknown)[0]
            known = ", ".join(self.bounds) or "none"
            raise UsageError(f"{self.name} has no bound '{name}'; it has: {known}")
        for name, value in (bounds or {}).items():
            if value > MAX_BOUND:
                raise UsageError(f"the bound {name}={value} is too large: {MAX_BOUND} is the most")
        setup = self.build(**{**self.bounds, **(bounds or {})})
        if not isinstance(setup, Setup):
            raise ModelError(
                f"scenario {self.name} returned {type(setup).__name__}, not Setup(...)",
                file=self.location.file,
                line=self.location.line,
            )
        return setup

    def compile(
        self,
        bounds: Mapping[str, int] | None = None,
        options: Mapping[str, Any] | None = None,
        without: frozenset[str] = frozenset(),
    ) -> System:
        """Compile it to what an engine runs.

        ``options`` override the hardware's (unknown names and values are usage errors).
        ``without`` names removable sites (see :func:`shootdown.lang.compiler.removable_sites`) to
        leave out: a mutant.
        """
        from shootdown.lang.compiler import compile_setup

        return compile_setup(
            self, self.setup(bounds), {**self.bounds, **(bounds or {})}, options or {}, without
        )


def scenario(
    name: str,
    *,
    expect: str,
    violates: str | None = None,
    aliases: Sequence[str] = (),
    title: str | None = None,
) -> Callable[[Callable[..., Setup]], Scenario]:
    """Make a scenario of a function that returns a :class:`Setup`.

    ``expect`` is one of HOLDS, VIOLATED, UNKNOWN, VACUOUS; a VIOLATED one names the invariant in
    ``violates``. The title is the first line of the docstring unless given.
    """
    if expect not in VERDICTS:
        raise UsageError(
            f"scenario '{name}': expect={expect!r} is not one of {', '.join(VERDICTS)}"
        )

    def decorate(build: Callable[..., Setup]) -> Scenario:
        bounds: dict[str, int] = {}
        for parameter in inspect.signature(build).parameters.values():
            if not isinstance(parameter.default, int):
                raise ModelError(
                    f"scenario '{name}': parameter '{parameter.name}' needs an integer default "
                    "(it is a bound)",
                    file=build.__code__.co_filename,
                    line=build.__code__.co_firstlineno,
                )
            bounds[parameter.name] = parameter.default
        doc = inspect.cleandoc(build.__doc__ or "")
        return Scenario(
            name=name,
            title=title or (doc.splitlines() or [name])[0],
            expect=expect,
            violates=violates,
            build=build,
            bounds=bounds,
            location=Location(build.__code__.co_filename, build.__code__.co_firstlineno),
            aliases=tuple(aliases),
            doc=doc,
        )

    return decorate


class NoOptionError(UsageError):
    """An option that no model has declared."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        super().__init__(
            f"there is no hardware option '{name}'"
            + (f"; did you mean '{close[0]}'?" if close else "")
        )


def options_of(setup: Setup, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every option for one run: defaults, hardware, scenario, then the user's."""
    values = {name: option.default for name, option in Option.registry.items()}
    for layer in (setup.hardware.options, setup.options, overrides):
        for name, value in layer.items():
            option = Option.registry.get(name)
            if option is None:
                raise NoOptionError(name, Option.registry)
            by_text = {str(choice): choice for choice in option.choices}
            if value not in option.choices and str(value) not in by_text:
                raise UsageError(
                    f"hardware option '{name}' cannot be '{value}'; choose from: "
                    + ", ".join(by_text)
                )
            values[name] = value if value in option.choices else by_text[str(value)]
    return values
