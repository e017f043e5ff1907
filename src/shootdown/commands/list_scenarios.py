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
            metavar="FILE.py|NAME",
            nargs="?",
            help="a model file instead of the library, or how a name begins: of a "
            "scenario (S1, K.V) or of the invariant that it breaks (INV-S1)",
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
        if arguments.invariants:
            stated = _invariants(arguments.what)
            console.write(invariants_document(stated, version()) if console.json else {})
            console.say(invariants_text(stated, names_only=console.quiet))
        else:
            scenarios, beyond = _scenarios(arguments.what)
            console.write(list_document(scenarios, beyond, version()) if console.json else {})
            console.say(list_text(scenarios, beyond, names_only=console.quiet))
        return 0


def _scenarios(what: str | None) -> tuple[tuple[Scenario, ...], tuple[NotModelled, ...]]:
    from shootdown.commands.targets import in_file, is_file
    from shootdown.lang.loader import did_you_mean
    from shootdown.races import library
    from shootdown.races.beyond import BEYOND

    if what is not None and is_file(what):
        return tuple(target.scenario for target in in_file(what)), ()
    scenarios = tuple(
        s for s in library() if _begins(what, s.name, *s.aliases, s.violates or s.name)
    )
    beyond = tuple(b for b in BEYOND if _begins(what, b.name))
    if not scenarios and not beyond:
        if os.path.exists(str(what)):
            in_file(str(what))  # says what is wrong with it
        names = [name for s in library() for name in (s.name, *s.aliases)]
        raise UsageError(f"no name begins with '{what}'" + did_you_mean(str(what), names))
    return scenarios, beyond


def _invariants(what: str | None) -> tuple[Invariant, ...]:
    from shootdown.lang.loader import did_you_mean
    from shootdown.races.invariants import invariants

    found = tuple(i for i in invariants() if _begins(what, i.name))
    if not found:
        names = [i.name for i in invariants()]
        raise UsageError(f"no invariant begins with '{what}'" + did_you_mean(str(what), names))
    return found


def _begins(what: str | None, *names: str) -> bool:
    return what is None or any(name.lower().startswith(what.lower()) for name in names)
