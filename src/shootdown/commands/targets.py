"""From words on the command line to compiled scenarios."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

from shootdown.commands.kept import compiled_system, import_library, library_scenario, sites
from shootdown.errors import UsageError
from shootdown.lang.loader import did_you_mean, load, pick, user_code
from shootdown.lang.scenario import NoOptionError
from shootdown.races import library
from shootdown.report.run import Subject

if TYPE_CHECKING:
    from shootdown.lang.builder import Site
    from shootdown.lang.ir import System
    from shootdown.lang.scenario import Scenario, Setup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A scenario and how a command line names it; ``path`` is the user's file, if it has one.

    ``sites`` keeps what can be left out, by bounds and options: finding it takes a compilation.
    """

    text: str
    scenario: Scenario
    path: str | None = None
    sites: dict[object, tuple[Site, ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose for a run: bounds, options of the hardware, sites to leave out."""

    bounds: dict[str, int]
    options: dict[str, str]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A target with the user's choices applied; ``digest`` tells its system from all others, if
    that is kept."""

    target: Target
    subject: Subject
    setup: Setup
    system: System
    choices: Choices
    digest: str = ""


def find_all(words: list[str]) -> list[Target]:
    """The scenarios that words name, in order; a file without ``::`` names all of its own."""
    return [target for word in words for target in _find(word)]


def find_one(word: str) -> Target:
    """The one scenario that a word names."""
    targets = _find(word)
    if len(targets) > 1:
        names = ", ".join(target.scenario.name for target in targets)
        raise UsageError(f"{word} has {len(targets)} scenarios ({names}): write {word}::NAME")
    return targets[0]


def whole_library() -> list[Target]:
    """Every scenario of the library."""
    targets = [Target(scenario.name, scenario) for scenario in library()]
    if not targets:
        raise UsageError("the library has no scenarios")
    return targets


def is_file(word: str) -> bool:
    """Whether a word names a model file rather than a scenario."""
    return word.endswith(".py") or os.sep in word


def in_file(path: str) -> list[Target]:
    """Every scenario of a user's file."""
    scenarios = load(path).scenarios
    return [
        Target(path if len(scenarios) == 1 else f"{path}::{scenario.name}", scenario, path)
        for scenario in scenarios
    ]


def subject_of(target: Target, arguments: argparse.Namespace, hardware: str = "none") -> Subject:
    """What reports say about a target and the user's choices."""
    return _subject(target, _choices(arguments), hardware)


def import_for(target: Target, arguments: argparse.Namespace) -> None:
    """Import what :func:`compiled` needs: a time limit must not interrupt that."""
    choices = _choices(arguments)
    without = frozenset(choices.without)
    import_library(target.scenario, choices.bounds, choices.options, without)


def compiled(target: Target, arguments: argparse.Namespace) -> Compiled:
    """Build and compile a target."""
    choices, scenario = _choices(arguments), target.scenario
    with user_code(target.path or scenario.location.file, f"building {scenario.name}"):
        setup = scenario.setup(choices.bounds)
    _refuse_fixed(target, setup, choices.options)
    if choices.without:
        choices = replace(choices, without=_resolved(target, choices))
    try:
        system, digest = _system(scenario, choices)
    except NoOptionError:
        raise _no_option(target, setup, choices) from None
    lenient = choices.without or getattr(arguments, "several", False)
    if not lenient and idle_options(system, choices.options.items()):
        raise _no_option(target, setup, choices)
    subject = _subject(target, choices, setup.hardware.name)
    return Compiled(target, subject, setup, system, choices, digest)


def _system(scenario: Scenario, choices: Choices) -> tuple[System, str]:
    """What a scenario compiles to, and its digest if it is kept."""
    without = frozenset(choices.without)
    return compiled_system(scenario, choices.bounds, choices.options, without)


def sites_of(built: Compiled) -> tuple[Site, ...]:
    """The sites of a target that can be left out, and are not."""
    found = _all_sites(built.target, built.choices)
    return tuple(site for site in found if site.id not in built.choices.without)


def witness_options(built: Compiled) -> dict[str, Any]:
    """What makes a target's hardware concrete, but for what the user has chosen."""
    chosen, witness = built.choices.options, built.setup.hardware.witness
    return {name: value for name, value in witness.items() if name not in chosen}


def witness_system(built: Compiled) -> System | None:
    """The same scenario on the concrete hardware that shows its races, if it has another.

    The user's own choice of one of the options that make it concrete comes first.
    """
    choices, witness = built.choices, witness_options(built)
    if not witness:
        return None
    options = {**choices.options, **witness}
    return _system(built.target.scenario, replace(choices, options=options))[0]


def _subject(target: Target, choices: Choices, hardware: str) -> Subject:
    scenario = target.scenario
    changed = {**scenario.bounds, **choices.bounds} != dict(scenario.bounds)
    return Subject(
        target=quote(target.text),
        name=scenario.name,
        title=scenario.title,
        expect=scenario.expect,
        violates=scenario.violates,
        hardware=hardware,
        options=tuple(choices.options.items()),
        arguments=tuple(
            [f"--bound {quote(f'{name}={value}')}" for name, value in choices.bounds.items()]
            + [f"--hardware {quote(f'{name}={value}')}" for name, value in choices.options.items()]
            + [f"--without {quote(site)}" for site in choices.without]
        ),
        changed=changed or bool(choices.options or choices.without),
    )


def _refuse_fixed(target: Target, setup: Setup, options: dict[str, str]) -> None:
    """Refuse options whose value makes the hardware what it is: with another one, its rules and its
    assumptions would be those of no machine."""
    for name in options:
        if name in setup.hardware.options:
            raise UsageError(
                f"--hardware {name}: {setup.hardware.name} itself sets it "
                f"({name}={setup.hardware.options[name]}), so it is no choice; "
                f"`shootdown show {quote(target.text)}` lists what is"
            )


def refuse_unknown_options(arguments: argparse.Namespace) -> None:
    """Say once what each of several scenarios would say."""
    from shootdown.lang.types import Option

    for name in _choices(arguments).options:
        if name not in Option.registry:
            raise NoOptionError(name, Option.registry)


def idle_options(system: System, chosen: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The options that the user chose and nothing in the system depends on."""
    consulted = dict(system.options)
    return tuple(name for name, _ in chosen if name not in consulted)


def _no_option(target: Target, setup: Setup, choices: Choices) -> UsageError:
    """What to say of the first option that a scenario has not, or that does nothing there."""
    from shootdown.lang.types import Option
    from shootdown.report.text import paragraph

    known = {name: value for name, value in choices.options.items() if name in Option.registry}
    system, _ = _system(target.scenario, replace(choices, options=known))
    name = next(name for name in choices.options if name not in dict(system.options))
    has = [n for n, _ in system.options if n not in setup.hardware.options]
    why = f"there is no such option{did_you_mean(name, has)}"
    if name in known:
        others = " with these others" if len(known) > 1 else ""
        why = f"nothing in {target.scenario.name} depends on it{others}"
    return UsageError(
        f"--hardware {name}: {why}\n"
        + paragraph(f"{target.scenario.name} has: {', '.join(has)}", indent=2)
        + f"\n  `shootdown show {quote(target.text)}` says what they are"
    )


def _all_sites(target: Target, choices: Choices) -> tuple[Site, ...]:
    key = (tuple(choices.bounds.items()), tuple(choices.options.items()))
    if key not in target.sites:
        target.sites[key] = sites(target.scenario, choices.bounds, choices.options)
    return target.sites[key]


def _resolved(target: Target, choices: Choices) -> tuple[str, ...]:
    """Site names in full: a part of one is enough if it is a part of no other."""
    known = [site.id for site in _all_sites(target, choices)]
    found = []
    for text in choices.without:
        fitting = [name for name in known if text == name] or [n for n in known if text in n]
        if len(fitting) != 1:
            name = target.scenario.name
            what = "no site" if not fitting else f"{len(fitting)} sites"
            close = did_you_mean(text, known) if not fitting else ": " + ", ".join(fitting)
            raise UsageError(
                f"--without '{text}' names {what} of {name}{close}; "
                f"`shootdown show {quote(target.text)}` lists them"
            )
        found.append(fitting[0])
    return tuple(dict.fromkeys(found))


def _refuse_unmodelled(word: str) -> None:
    from shootdown.races.beyond import BEYOND

    for race in BEYOND:
        if race.name.lower() == word.lower():
            raise UsageError(
                f"{race.name} is not modelled: it needs {race.needs}, and memory here is "
                f"sequentially consistent or x86-TSO (`shootdown list {race.name}`)"
            )


def _choices(arguments: argparse.Namespace) -> Choices:
    bounds: dict[str, int] = _together("--bound", arguments.bound)
    options: dict[str, str] = _together("--hardware", arguments.hardware)
    return Choices(bounds, options, tuple(dict.fromkeys(arguments.without)))


def _together(option: str, given: list[dict[str, T]]) -> dict[str, T]:
    """What an option that can be repeated gives, each name once."""
    found: dict[str, T] = {}
    for values in given:
        for name, value in values.items():
            if name in found:
                raise UsageError(f"argument {option}: {name} is given twice")
            found[name] = value
    return found


def _find(word: str) -> list[Target]:
    path, separator, name = word.rpartition("::")
    if separator:
        return [Target(word, load(path).find(name), path)]
    if is_file(word):
        return in_file(word)
    scenario = library_scenario(word)
    if scenario is not None:
        return [Target(scenario.name, scenario)]
    from shootdown.commands.list_scenarios import begins

    scenarios = library()
    known = [(name, s) for s in scenarios for name in (s.name, *s.aliases)]
    found = pick(word, known)
    if found is None:
        _refuse_unmodelled(word)
        close = did_you_mean(word, (name for name, _ in known))
        if os.path.exists(word):
            return in_file(word)  # refused
        if any(begins(word, s.name, *s.aliases) for s in scenarios):
            close = f"; `shootdown list {quote(word)}` shows those that the name stands for"
        if os.path.isfile(f"{word}.py"):
            close = f"; did you mean the file {word}.py?"
        raise UsageError(f"there is no scenario '{word}' (`shootdown list` shows all){close}")
    return [Target(found.name, found)]
