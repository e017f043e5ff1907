"""``shootdown show``: what a scenario consists of, or a race state by state."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shootdown.commands.options import add_choices, add_output

if TYPE_CHECKING:
    from shootdown.commands.targets import Compiled
    from shootdown.report.description import OptionValue, Removable


class ShowCommand:
    """Describes a scenario; with a token shows what each step of its race changes."""

    name = "show"
    help = "describe a scenario, or with --path show a race state by state"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("scenario", metavar="NAME | FILE.py[::SCENARIO]")
        parser.add_argument("--path", metavar="TOKEN", help="show this race state by state")
        add_choices(parser)
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Show it."""
        from shootdown.commands.console import Console
        from shootdown.commands.replay import walk
        from shootdown.commands.targets import compiled, find_one
        from shootdown.commands.version import version
        from shootdown.report.description import description_text
        from shootdown.report.json import replay_document, show_document
        from shootdown.report.run import code_of
        from shootdown.report.states import states_text

        console = Console(arguments)
        built = compiled(find_one(arguments.scenario), arguments)
        subject, system, doc = built.subject, built.system, built.target.scenario.doc
        if arguments.path is None:
            options, sites = _options(built), _sites(built)
            console.say(description_text(subject, system, doc, options, sites))
            if console.json:
                console.write(show_document(subject, system, doc, options, sites, version()))
            return 0
        trace = walk(built, arguments.path)
        code = code_of(trace)
        console.say(states_text(subject, trace))
        if console.json:
            token = arguments.path.strip().lower()
            console.write(replay_document(subject, trace, token, code, version()))
        return code


def _options(built: Compiled) -> tuple[OptionValue, ...]:
    from shootdown.lang.scenario import options_of
    from shootdown.lang.types import Option
    from shootdown.report.description import OptionValue

    consulted = dict(built.system.options)
    values = options_of(built.setup, dict(built.subject.options))
    return tuple(
        OptionValue(name, str(values[name]), tuple(map(str, option.choices)), option.doc)
        for name, option in Option.registry.items()
        if name in consulted and name not in built.setup.hardware.options
    )


def _sites(built: Compiled) -> tuple[Removable, ...]:
    from shootdown.commands.targets import sites_of
    from shootdown.report.description import Removable

    return tuple(Removable(site.id, site.text) for site in sites_of(built))
