"""``shootdown replay``: a finished race again, without searching."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shootdown.commands.options import add_choices, add_output

if TYPE_CHECKING:
    from shootdown.check.trace import Trace
    from shootdown.commands.targets import Compiled


class ReplayCommand:
    """Walks the race of a token and prints its diagram."""

    name = "replay"
    help = "print a race again from the token that `check` printed"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("scenario", metavar="NAME | FILE.py[::SCENARIO]")
        parser.add_argument("--path", metavar="TOKEN", required=True, help="which race")
        add_choices(parser)
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Replay it."""
        from shootdown.commands.console import Console
        from shootdown.commands.targets import compiled, find_one
        from shootdown.commands.version import version
        from shootdown.report.json import replay_document
        from shootdown.report.run import code_of
        from shootdown.report.verdict import headline_of, replay_text

        console = Console(arguments)
        built = compiled(find_one(arguments.scenario), arguments)
        trace = walk(built, arguments.path)
        code = code_of(trace)
        text = headline_of if console.quiet else replay_text
        console.say(text(built.subject, trace))
        if console.json:
            token = arguments.path.strip().lower()
            console.write(replay_document(built.subject, trace, token, code, version()))
        return code


def walk(built: Compiled, token: str) -> Trace:
    """The race of a token; a usage error if it is not one of this scenario.

    A race may have been shown on the scenario's concrete hardware: then its token is one of that.
    """
    from shootdown.check.tokens import WrongSystemError, decode_token
    from shootdown.check.trace import trace_outcomes
    from shootdown.commands.targets import witness_system
    from shootdown.lang.loader import user_code

    target = built.subject.target
    path = built.target.path or built.target.scenario.location.file
    with user_code(path, "showing a value"):
        try:
            return trace_outcomes(built.system, decode_token(built.system, token, target))
        except WrongSystemError:
            concrete = witness_system(built)
            if concrete is None:
                raise
            return trace_outcomes(concrete, decode_token(concrete, token, target))
