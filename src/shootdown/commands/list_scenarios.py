"""``shootdown list``: what can be checked."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from shootdown.commands.options import add_output
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.lang.scenario import Scenario
    from shootdown.lang.stated import Invariant, NotModelled


class ListCommand:
    """Prints one line for each scenario with its expected verdict, or for each invariant."""

    name = "list"
    help = "list what can be checked, with the expected verdicts"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "what",
            metavar="FILE.py|TEXT",
            nargs="?",
            help="a model file instead of the library; a system (S0 to S4, X1 to X3); how the name "
            "of a scenario, or of the invariant that it breaks, begins (K.V, INV-S1); or a part of "
            "a title (contpte, 99baac21e458)",
        )
        parser.add_argument(
            "--invariants", action="store_true", help="list the invariants of the library instead"
        )
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """List them."""
        from shootdown.commands.console import Console
        from shootdown.commands.version import version
        from shootdown.report.json import invariants_document, list_document
        from shootdown.report.table import invariants_text, list_text

        console = Console(arguments)
        _check(arguments.what, invariants=arguments.invariants)
        if arguments.invariants:
            stated = _invariants(arguments.what)
            console.write(invariants_document(stated, version()) if console.json else {})
            console.say(invariants_text(stated, names_only=console.quiet))
        else:
            scenarios, beyond = _scenarios(arguments.what)
            console.write(list_document(scenarios, beyond, version()) if console.json else {})
            console.say(list_text(scenarios, beyond, names_only=console.quiet))
        return 0


def _check(what: str | None, *, invariants: bool) -> None:
    """Refuse what names nothing that could be listed."""
    from shootdown.commands.targets import is_file

    if what is None:
        return
    if not what.strip():
        raise UsageError(f"'{what}' names nothing: leave it out to list all")
    if "::" in what:
        raise UsageError(f"list takes a whole file, or a name, without '::': not '{what}'")
    if invariants and is_file(what):
        raise UsageError("--invariants lists those of the library, not those of a file")


def _scenarios(what: str | None) -> tuple[tuple[Scenario, ...], tuple[NotModelled, ...]]:
    from shootdown.commands.targets import in_file, is_file
    from shootdown.lang.loader import did_you_mean
    from shootdown.races import library
    from shootdown.races.beyond import BEYOND

    if what is not None and is_file(what):
        return tuple(target.scenario for target in in_file(what)), ()
    scenarios = tuple(
        s
        for s in library()
        if begins(what, s.name, *s.aliases, s.violates or s.name) or _about(what, s.title)
    )
    beyond = tuple(b for b in BEYOND if begins(what, b.name))
    if not scenarios and not beyond:
        if str(what).startswith("INV-"):
            raise UsageError(
                f"no scenario breaks '{what}' (`shootdown list --invariants` lists all invariants)"
            )
        if os.path.exists(str(what)):
            in_file(str(what))  # says what is wrong with it
        names = [name for s in library() for name in (s.name, *s.aliases)]
        raise UsageError(
            f"no name begins with '{what}', and no title says it (`shootdown list` shows all)"
            + did_you_mean(str(what), names)
        )
    return scenarios, beyond


def _invariants(what: str | None) -> tuple[Invariant, ...]:
    from shootdown.lang.loader import did_you_mean
    from shootdown.races.invariants import invariants

    beginning = (what or "").upper()
    found = tuple(
        i
        for i in invariants()
        if any(name.startswith(beginning) for name in (i.name, i.name.partition("-")[2]))
    )
    if not found:
        names = [i.name for i in invariants()]
        raise UsageError(
            f"no invariant begins with '{what}' (`shootdown list --invariants` shows all)"
            + did_you_mean(str(what), names)
        )
    return found


def _about(what: str | None, title: str) -> bool:
    """Whether a title has a word or a commit in it; short words are beginnings of names."""
    if what is None or len(what) <= SHORT or os.path.exists(what):
        return False
    return what.lower() in title.lower()


SHORT = 3
SYSTEMS = {
    "s1": ("k.", "pt."),
    "s2": ("s2a.", "luf."),
    "s2b": ("luf.",),
    "s3": ("s3.",),
    "s4": ("n.",),
}
"""Systems whose scenarios are not those that begin with the system's name: S390 is none."""


def begins(what: str | None, *names: str) -> bool:
    """Whether one of the names is of the system ``what``, or begins so."""
    if what is None:
        return True
    beginnings = SYSTEMS.get(what.lower(), (what.lower(),))
    return any(name.lower().startswith(beginnings) for name in names)
