"""From words on the command line to compiled scenarios."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from shootdown.errors import UsageError
from shootdown.lang.loader import did_you_mean, load, pick, user_code
from shootdown.races import library
from shootdown.report.run import Subject

if TYPE_CHECKING:
    from shootdown.lang.ir import System
    from shootdown.lang.scenario import Scenario, Setup


@dataclass(frozen=True, slots=True)
class Target:
    """A scenario and how a command line names it; ``path`` is the user's file, if it has one."""

    text: str
    scenario: Scenario
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A target with the user's choices applied."""

    target: Target
    subject: Subject
    setup: Setup
    system: System


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


def in_file(path: str) -> list[Target]:
    """Every scenario of a user's file."""
    scenarios = load(path).scenarios
    return [
        Target(path if len(scenarios) == 1 else f"{path}::{scenario.name}", scenario, path)
        for scenario in scenarios
    ]


def subject_of(target: Target, arguments: argparse.Namespace, hardware: str = "none") -> Subject:
    """What reports say about a target and the user's choices."""
    bounds, options, without = _choices(arguments)
    scenario = target.scenario
    changed = {**scenario.bounds, **bounds} != dict(scenario.bounds) or bool(options or without)
    return Subject(
        target=quote(target.text),
        name=scenario.name,
        title=scenario.title,
        expect=scenario.expect,
        violates=scenario.violates,
        hardware=hardware,
        options=tuple(options.items()),
        arguments=tuple(
            [f"--bound {quote(f'{name}={value}')}" for name, value in bounds.items()]
            + [f"--hardware {quote(f'{name}={value}')}" for name, value in options.items()]
            + [f"--without {quote(site)}" for site in without]
        ),
        changed=changed,
    )


def compiled(target: Target, arguments: argparse.Namespace) -> Compiled:
    """Build and compile a target."""
    bounds, options, without = _choices(arguments)
    scenario = target.scenario
    with user_code(target.path or scenario.location.file, f"building {scenario.name}"):
        setup = scenario.setup(bounds)
    system = scenario.compile(bounds, options, frozenset(without))
    return Compiled(target, subject_of(target, arguments, setup.hardware.name), setup, system)


def witness_system(built: Compiled, arguments: argparse.Namespace) -> System | None:
    """The same scenario on the concrete hardware that shows its races, if it has another.

    The user's own choice of one of the options that make it concrete comes first.
    """
    bounds, options, without = _choices(arguments)
    witness = built.setup.hardware.witness
    if not witness or set(options) & set(witness):
        return None
    chosen = {**options, **witness}
    return built.target.scenario.compile(bounds, chosen, frozenset(without))


def _choices(
    arguments: argparse.Namespace,
) -> tuple[dict[str, int], dict[str, str], tuple[str, ...]]:
    bounds: dict[str, int] = {}
    options: dict[str, str] = {}
    for given in arguments.bound:
        bounds |= given
    for given in arguments.hardware:
        options |= given
    return bounds, options, tuple(dict.fromkeys(arguments.without))


def _find(word: str) -> list[Target]:
    path, separator, name = word.rpartition("::")
    if separator:
        return [Target(word, load(path).find(name), path)]
    if word.endswith(".py") or os.sep in word:
        return in_file(word)
    scenarios = library()
    known = [(name, s) for s in scenarios for name in (s.name, *s.aliases)]
    found = pick(word, known)
    if found is None:
        close = did_you_mean(word, (name for name, _ in known))
        raise UsageError(f"there is no scenario '{word}' (`shootdown list` shows all){close}")
    return [Target(found.name, found)]
