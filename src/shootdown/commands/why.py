"""``shootdown why``: what each flush, lock and barrier of a safe scenario is for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shootdown.commands.options import add_choices, add_output, add_search
from shootdown.commands.streams import aside
from shootdown.errors import UnfinishedError, UsageError

if TYPE_CHECKING:
    from shootdown.commands.targets import Target
    from shootdown.lang.builder import Site
    from shootdown.report.run import Run
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
        """Explain it: 0 if it could be explained, 3 if a site is undecided."""
        from shootdown.commands.console import Console, ProgressLine
        from shootdown.commands.search import check_target
        from shootdown.commands.targets import compiled, find_one, sites_of
        from shootdown.commands.version import version
        from shootdown.report.json import why_document
        from shootdown.report.run import Broken
        from shootdown.report.why import why_text

        console = Console(arguments)
        target = find_one(arguments.scenario)
        with ProgressLine(target.scenario.name, arguments.quiet) as show:
            base = check_target(target, arguments, show)
        if isinstance(base, Broken):
            aside(base.error)
            return base.exit_code
        sites = sites_of(compiled(target, arguments))
        _refuse_unless_it_holds(base, sites)
        mutants = _mutants(target, base, sites, arguments)
        console.say(why_text(base, mutants, full=arguments.full, known=target.path is None))
        code = 3 if any(mutant.needed is None for mutant in mutants) else 0
        if console.json:
            console.write(why_document(base, mutants, code, version()))
        return code


def _refuse_unless_it_holds(base: Run, sites: tuple[Site, ...]) -> None:
    from shootdown.report.run import verdict_name
    from shootdown.report.verdict import stopped_because
    from shootdown.report.why import undecided_text

    verdict, name = verdict_name(base), base.subject.name
    if verdict == "UNKNOWN":
        said = f"{name} is UNKNOWN: {stopped_because(base.result)} before it was known to hold"
        raise UnfinishedError("\n".join([said, *undecided_text(sites)]))
    if verdict != "HOLDS":
        raise UsageError(
            f"{name} is {verdict}: only what holds can be asked why; "
            f"see `shootdown check {base.subject.target}`"
        )


def _mutants(
    target: Target, base: Run, sites: tuple[Site, ...], arguments: argparse.Namespace
) -> tuple[Mutant, ...]:
    """Each site with a check without it; none any more after Ctrl-C."""
    from shootdown.commands.console import ProgressLine
    from shootdown.commands.search import check_target, interrupted
    from shootdown.report.why import Mutant

    mutants: list[Mutant] = []
    for site in sites:
        if mutants and interrupted(mutants[-1].run):
            mutants += [Mutant(left, None, base.result) for left in sites[len(mutants) :]]
            break
        given = {**vars(arguments), "without": [*arguments.without, site.id]}
        with ProgressLine(target.scenario.name, arguments.quiet) as show:
            run = check_target(target, argparse.Namespace(**given), show)
        mutants.append(Mutant(site, run, base.result))
    return tuple(mutants)
