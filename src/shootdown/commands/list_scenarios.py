"""``shootdown list``: what can be checked."""

from __future__ import annotations

import argparse

from shootdown.commands.options import add_output


class ListCommand:
    """Prints one line for each scenario with its expected verdict."""

    name = "list"
    help = "list what can be checked, with the expected verdicts"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "file", metavar="FILE.py", nargs="?", help="a model file instead of the library"
        )
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """List them."""
        from shootdown.commands.console import Console
        from shootdown.commands.targets import in_file
        from shootdown.commands.version import version
        from shootdown.races import library
        from shootdown.report.json import list_document
        from shootdown.report.table import list_text

        console = Console(arguments)
        if arguments.file is None:
            scenarios = library()
        else:
            scenarios = tuple(target.scenario for target in in_file(arguments.file))
        console.write(list_document(scenarios, version()) if console.json else {})
        console.say(list_text(scenarios, names_only=console.quiet))
        return 0
