"""The command line: ``shootdown VERB ...``, one small module per verb."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from shootdown.commands.check import CheckCommand
from shootdown.commands.list_scenarios import ListCommand
from shootdown.commands.replay import ReplayCommand
from shootdown.commands.show import ShowCommand
from shootdown.commands.version import VersionAction
from shootdown.commands.why import WhyCommand
from shootdown.errors import ShootdownError
from shootdown.interrupts import INTERRUPTED

BROKEN_PIPE = 141  # as the shell reports a program that SIGPIPE ended

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
    WhyCommand(),
    ShowCommand(),
    ReplayCommand(),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; gives the exit code."""
    try:
        arguments = _parse(_one_json_value(sys.argv[1:] if argv is None else argv))
        command: Command = arguments.command
        code = command.run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as finished:  # argparse: after --help, --version or an error
        code = finished.code if isinstance(finished.code, int) else 2
    except BrokenPipeError:
        _forget_stdout()
        code = BROKEN_PIPE
    except ShootdownError as error:
        from shootdown.commands.console import told

        _complain(told(error))
        code = error.exit_code
    except OSError as error:
        _complain(f"shootdown: cannot write the results: {error.strerror}")
        _forget_stdout()
        code = 2
    except MemoryError:
        _complain("shootdown: out of memory; use smaller bounds")
        code = 3
    except KeyboardInterrupt:
        _complain("shootdown: interrupted")
        code = INTERRUPTED
    return code


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Also takes names after options (``check A --quiet B``), which argparse alone does not."""
    parser = _parser()
    arguments, extra = parser.parse_known_args(words)
    if extra and (not hasattr(arguments, "names") or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra:
        arguments.names += extra
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
        command.prepare(verb)
        verb.set_defaults(command=command)
    return parser


def _one_json_value(argv: Sequence[str]) -> list[str]:
    """``--json`` with its optional value as one word, so that it never takes a scenario's name."""
    words, out = list(argv), list[str]()
    while words:
        word = words.pop(0)
        if word == "--":
            return [*out, word, *words]
        if word == "--json":
            takes = words and (words[0] == "-" or words[0].endswith(".json"))
            word = f"--json={words.pop(0) if takes else '-'}"
        out.append(word)
    return out


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """Nobody reads on: keep Python from trying again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
