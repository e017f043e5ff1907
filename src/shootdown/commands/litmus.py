"""``shootdown litmus``: AArch64 litmus tests with page tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from shootdown.commands.options import add_limits, add_output
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.commands.console import Console
    from shootdown.litmus.expected import ExpectedTest
    from shootdown.litmus.runs import Asked, Question

SUFFIX = ".litmus"


class LitmusCommand:
    """Runs litmus tests and prints their final states."""

    name = "litmus"
    help = "run AArch64 litmus tests with page tables: all their final states"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "names",
            metavar="FILE | DIR",
            nargs="*",
            help=f"a test in the format of herdtools7, or a folder: all *{SUFFIX} below it",
        )
        group = parser.add_argument_group("the machine")
        group.add_argument(
            "--ets",
            choices=("ets2", "none"),
            help="with FEAT_ETS2 (the default) or without; "
            "with --expected: only this one, else those that FILE has answers for",
        )
        group.add_argument(
            "--strawman",
            metavar="MISTAKE",
            help="give the hardware a mistake; docs/litmus.md has the list",
        )
        parser.add_argument(
            "--expected",
            metavar="FILE",
            help="compare with the answers of this JSON file; without DIR: all tests that it names",
        )
        parser.add_argument(
            "--show",
            action="store_true",
            help="print a shortest history of a final state that decides the condition",
        )
        add_limits(parser.add_argument_group("the search, of each test"))
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Run them one after the other."""
        from shootdown.check.memory import check_limits
        from shootdown.check.result import Limits
        from shootdown.commands.console import Console
        from shootdown.commands.version import version
        from shootdown.litmus.runs import ask
        from shootdown.report.litmus import comparison_text, summary_text
        from shootdown.report.litmus_json import litmus_document
        from shootdown.report.run import worst

        if not arguments.names and not arguments.expected:
            raise UsageError("litmus takes FILEs or DIRs of litmus tests, or --expected FILE")
        console = Console(arguments)
        questions = list(_expected(arguments) if arguments.expected else _plain(arguments))
        limits = Limits(arguments.max_states, arguments.max_memory, arguments.max_time)
        check_limits(limits)
        runs: list[Asked] = []
        interrupted = False
        try:
            for question in questions:
                runs.append(ask(question, limits, show=arguments.show))
                _report(runs[-1], arguments, console, alone=len(questions) == 1)
                if runs[-1].stopped == "interrupt":
                    break
        except KeyboardInterrupt:
            interrupted = True
        interrupted |= len(runs) < len(questions)
        code = worst([run.exit_code for run in runs] + [3] * interrupted)
        if arguments.expected:
            code = _compared(runs, interrupted=interrupted)
            console.say(
                comparison_text(runs, len(questions), show=arguments.show, quiet=arguments.quiet)
            )
        elif len(questions) > 1:
            console.say(summary_text(runs, len(questions)))
        if interrupted:
            print("shootdown: interrupted", file=sys.stderr, flush=True)
        if console.json:
            console.write(litmus_document(runs, arguments.expected, code, version()))
        return code


def _compared(runs: list[Asked], *, interrupted: bool) -> int:
    """The exit code of a comparison: what is not modelled is named, and no failure."""
    from shootdown.litmus.compare import Agreement
    from shootdown.report.run import worst

    codes = {
        Agreement.DISAGREE: 1,
        Agreement.MALFORMED: 2,
        Agreement.UNFINISHED: 3,
    }
    found = [codes.get(run.comparison.agreement, 0) for run in runs if run.comparison]
    return worst(found + [3] * interrupted)


def _report(run: Asked, arguments: argparse.Namespace, console: Console, *, alone: bool) -> None:
    from shootdown.litmus.doubts import doubts
    from shootdown.report.litmus import observation, test_text

    if arguments.expected:
        return
    if run.error is not None:
        print(f"shootdown: {run.error}", file=sys.stderr, flush=True)
        return
    for doubt in doubts(run.test) if run.test is not None else ():
        print(f"shootdown: {doubt}", file=sys.stderr, flush=True)
    if arguments.quiet:
        console.say(observation(run))
    else:
        console.say(test_text(run, show=arguments.show) + ("" if alone else "\n"))


# --------------------------------------------------------------------------- which tests


def strawman(arguments: argparse.Namespace) -> str:
    """The mistake that the hardware is to have."""
    from shootdown.hardware.tlbi import STRAWMAN

    chosen = "none" if arguments.strawman is None else str(arguments.strawman)
    if chosen not in STRAWMAN.choices:
        known = ", ".join(map(str, STRAWMAN.choices))
        raise UsageError(f"--strawman: there is no mistake '{chosen}' (there are: {known})")
    return chosen


def _plain(arguments: argparse.Namespace) -> Iterator[Question]:
    from shootdown.litmus.runs import Machine, Question

    for path in _files(arguments.names):
        yield Question(path, Machine(arguments.ets != "none", strawman(arguments)))


def _files(names: list[str]) -> list[Path]:
    """The tests that are named, those of a folder in the order of their names."""
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            below = sorted(path.rglob(f"*{SUFFIX}"))
            if not below:
                raise UsageError(f"there is no *{SUFFIX} in '{name}'")
            found.update(dict.fromkeys(below))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"there is no file or folder '{name}'")
    return list(found)


def _expected(arguments: argparse.Namespace) -> Iterator[Question]:
    """What the file has answers for, as far as the folders and files that are named have it."""
    from shootdown.litmus.expected import Answer, read_expected
    from shootdown.litmus.runs import Machine, Question

    file = Path(arguments.expected)
    known = read_expected(file)
    tests = list(_named(arguments.names or [str(file.parent)], file.parent, known))
    if not tests:
        raise UsageError(f"'{arguments.expected}' names none of these tests")
    for path, expected in tests:
        for ets2, answer in ((True, expected.ets2), (False, expected.no_ets)):
            if answer != Answer() and arguments.ets in (None, "ets2" if ets2 else "none"):
                yield Question(path, Machine(ets2, strawman(arguments)), expected, expected.suite)


def _named(
    names: list[str], home: Path, known: dict[str, ExpectedTest]
) -> Iterator[tuple[Path, ExpectedTest]]:
    """Each test of the file that a name covers, whether it is there or not: a test that is missing
    is an error of its own. A copy of the folder elsewhere is known by the paths below it."""
    done = set()
    for name in names:
        path = Path(name)
        if not path.exists():
            raise UsageError(f"there is no file or folder '{name}'")
        here = path.resolve()
        for test in known.values():
            place = (home / test.file).resolve()
            covered = place.is_relative_to(here)
            copy = path / test.file
            if (covered or copy.exists()) and test.file not in done:
                done.add(test.file)
                original = path / place.relative_to(here) if covered and path.is_dir() else path
                yield (
                    (original if covered and (place.exists() or not copy.exists()) else copy),
                    test,
                )
