"""The command line: ``shootdown VERB ...``, one small module per verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from shootdown.commands.bounds import BoundsCommand
from shootdown.commands.calibrate import CalibrateCommand
from shootdown.commands.check import CheckCommand
from shootdown.commands.compare import CompareCommand
from shootdown.commands.cost import CostCommand
from shootdown.commands.list_scenarios import ListCommand
from shootdown.commands.litmus import LitmusCommand
from shootdown.commands.replay import ReplayCommand
from shootdown.commands.show import ShowCommand
from shootdown.commands.streams import aside, forget_stdout
from shootdown.commands.version import VersionAction
from shootdown.commands.why import WhyCommand
from shootdown.errors import ShootdownError, shortened
from shootdown.interrupts import INTERRUPTED

DESCRIPTION = """\
Is this TLB flush needed, and is it enough? Checks every interleaving of kernel
paths with adversarial hardware and prints the shortest race, or says within
which bounds there is none."""

EPILOG = """\
examples:
  shootdown list                     what can be checked
  shootdown check MADV-PARALLEL      find a race, or that there is none
  shootdown check mine.py::two_cpus  the same for your own model file
  shootdown check --all              the whole library against what is expected
  shootdown why MADV-PARALLEL.fixed  what each of its flushes and locks is for
  shootdown compare S0.V6 S0.V8      what each costs, and whether it is safe

exit codes: 0 holds, 1 violated, 2 usage or model error, 3 unfinished or vacuous"""


class Command(Protocol):
    """A verb. Modules of verbs import nothing heavy until they run."""

    name: str
    help: str

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; gives the exit code."""
        ...


COMMANDS: tuple[Command, ...] = (
    ListCommand(),
    CheckCommand(),
    BoundsCommand(),
    WhyCommand(),
    ShowCommand(),
    ReplayCommand(),
    LitmusCommand(),
    CostCommand(),
    CompareCommand(),
    CalibrateCommand(),
)


alone = False
"""Whether this process is a command line and nothing else: no other code may have changed the
library, so what it compiles to can be kept."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; gives the exit code."""
    try:
        arguments = _parse(_one_json_value(sys.argv[1:] if argv is None else argv))
        command: Command = arguments.command
        code = command.run(arguments)
    except SystemExit as finished:  # argparse: after --help, --version or an error
        code = finished.code if isinstance(finished.code, int) else 2
    except ShootdownError as error:
        from shootdown.commands.console import error_text

        aside(error_text(error))
        code = error.exit_code
    except OSError as error:
        code = _cannot_write(error)
    except MemoryError:
        aside("shootdown: out of memory; use smaller bounds")
        code = 3
    except KeyboardInterrupt:
        aside("shootdown: interrupted")
        code = INTERRUPTED
    return _flushed(code)


def _flushed(code: int) -> int:
    """The exit code when the last results have gone out."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
    except OSError as error:
        code = _cannot_write(error)
    return code


def _cannot_write(error: OSError) -> int:
    aside(f"shootdown: cannot write the results: {error.strerror}")
    forget_stdout()
    return 2


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Also takes names after options (``check A --quiet B``), which argparse alone does not."""
    parser = _parser(words)
    arguments, extra = parser.parse_known_args(words)
    if extra and (not hasattr(arguments, "names") or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra:
        arguments.names += extra
    return arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose errors do not repeat very long words, and are one line where it is a value
    that is wrong: how to write the option is known then."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("argument -"):
            self.exit(2, f"{self.prog}: error: {shortened(message)}\n")
        super().error(shortened(message))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser for a command line; of the verbs only the one that is there has its arguments."""
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = _Parser(
        prog="shootdown",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=VersionAction)
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in COMMANDS:
        verb = verbs.add_parser(
            command.name, help=command.help, description=command.help, allow_abbrev=False
        )
        if command.name == chosen:
            command.prepare(verb)
        verb.set_defaults(command=command)
    return parser


def _one_json_value(argv: Sequence[str]) -> list[str]:
    """Options with an optional value as one word, so that they never take a scenario's name."""
    words, out = list(argv), list[str]()
    while words:
        word = words.pop(0)
        if word == "--":
            return [*out, word, *words]
        if word == "--json-events":
            word = "--json-events=-"
        elif word == "--json":
            takes = words and (words[0] == "-" or words[0].endswith(".json"))
            word = f"--json={words.pop(0) if takes else '-'}"
        out.append(word)
    return out
