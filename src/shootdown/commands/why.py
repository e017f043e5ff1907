"""``shootdown why``: what each flush, lock and barrier of a safe scenario is for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shootdown.commands.options import add_choices, add_output, add_search
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.commands.targets import Target
    from shootdown.lang.builder import Site
    from shootdown.report.why import Mutant


class WhyCommand:
    """Leaves out one site at a time and checks what is left."""

    name = "why"
    help = "for each flush, lock and barrier of a safe scenario: the race without it"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("scenario", metavar="NAME | FILE.py[::SCENARIO]")
        parser.add_argument("--full", action="store_true", help="print the diagram of every race")
        add_choices(parser)
        add_search(parser)
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Explain it: 0 if it could be explained, 3 if a limit stopped one of the searches."""
        from shootdown.commands.check import check_target
        from shootdown.commands.console import Console
        from shootdown.commands.targets import compiled, find_one, sites_of
        from shootdown.commands.version import version
        from shootdown.report.json import why_document
        from shootdown.report.run import Broken, exit_code, verdict_name
        from shootdown.report.why import why_text

        console = Console(arguments)
        target = find_one(arguments.scenario)
        base = check_target(target, arguments)
        if isinstance(base, Broken):
            raise UsageError(base.error.removeprefix("shootdown: "))
        if verdict_name(base) != "HOLDS":
            raise UsageError(
                f"{base.subject.name} is {verdict_name(base)}: only what holds can be asked why; "
                f"see `shootdown check {base.subject.target}`"
            )
        sites = sites_of(compiled(target, arguments))
        mutants = tuple(_mutant(target, site, arguments) for site in sites)
        console.say(why_text(base, mutants, full=arguments.full))
        unfinished = any(
            exit_code(m.run) == 3 and verdict_name(m.run) == "UNKNOWN" for m in mutants
        )
        code = 3 if unfinished else 0
        if console.json:
            console.write(why_document(base, mutants, code, version()))
        return code


def _mutant(target: Target, site: Site, arguments: argparse.Namespace) -> Mutant:
    from shootdown.commands.check import check_target
    from shootdown.report.why import Mutant

    without = argparse.Namespace(**{**vars(arguments), "without": [*arguments.without, site.id]})
    run = check_target(target, without)
    return Mutant(site, run)
