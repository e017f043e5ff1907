"""``shootdown litmus``: AArch64 litmus tests with page tables."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shootdown.commands.options import add_limits, add_output
from shootdown.commands.streams import aside
from shootdown.errors import UsageError, shortened

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
        from shootdown.report.text import count

        if not arguments.names and arguments.expected is None:
            raise UsageError("litmus takes FILEs or DIRs of litmus tests, or --expected FILE")
        console = Console(arguments)
        asking = (_plain if arguments.expected is None else _expected)(arguments)
        questions = asking.questions
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
        if arguments.expected is not None:
            code = _compared(runs, interrupted=interrupted)
            text = comparison_text(runs, len(questions), show=arguments.show, quiet=arguments.quiet)
            left = asking.unanswered
            if left:
                text += f", {count(left, 'test')} without an answer for this machine"
            console.say(text)
        elif len(questions) > 1:
            console.say(summary_text(runs, len(questions)))
        if interrupted:
            aside("shootdown: interrupted")
        if console.json:
            console.write(
                litmus_document(runs, arguments.expected, asking.unanswered, code, version())
            )
        return code


def _compared(runs: list[Asked], *, interrupted: bool) -> int:
    """The exit code of a comparison: what is not modelled is named, and no failure."""
    from shootdown.litmus.compare import Agreement
    from shootdown.report.run import worst

    codes = {
        Agreement.DISAGREE: 1,
        Agreement.MALFORMED: 2,
        Agreement.UNFINISHED: 3,
        Agreement.EMPTY: 3,
    }
    found = [codes.get(run.comparison.agreement, 0) for run in runs if run.comparison]
    return worst(found + [3] * interrupted)


def _report(run: Asked, arguments: argparse.Namespace, console: Console, *, alone: bool) -> None:
    from shootdown.litmus.doubts import doubts
    from shootdown.report.litmus import observation, test_text

    if arguments.expected is not None:
        return
    if run.error is not None:
        aside(f"shootdown: {shortened(run.error)}")
        return
    for doubt in doubts(run.test) if run.test is not None else ():
        aside(f"shootdown: {doubt}")
    if arguments.quiet:
        console.say(observation(run))
        if run.empty is not None:
            aside(f"shootdown: {run.question.path}: {run.empty}")
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


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is asked; ``unanswered`` tests have answers, but none for the machine that is wanted."""

    questions: list[Question]
    unanswered: int = 0


def _plain(arguments: argparse.Namespace) -> _Asking:
    from shootdown.litmus.runs import Machine, Question

    machine = Machine(arguments.ets != "none", strawman(arguments))
    return _Asking([Question(path, machine) for path in _files(arguments.names)])


def _files(names: list[str]) -> list[Path]:
    """The tests that are named, those of a folder in the order of their names."""
    found: dict[Path, None] = {}
    for name in names:
        path = _existing(name)
        if path.is_dir():
            below = sorted(p for p in path.rglob(f"*{SUFFIX}") if not os.path.isdir(p))
            if not below:
                raise UsageError(f"there is no *{SUFFIX} in '{name}'")
            found.update(dict.fromkeys(below))
        else:
            found[path] = None
    return list(found)


def _existing(name: str) -> Path:
    """A file or folder that is there."""
    try:
        os.stat(name)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no name of a file"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise UsageError(f"there is no file or folder '{name}'") from None
        raise UsageError(f"cannot read '{shortened(name)}': {why}") from None
    return Path(name)


def _expected(arguments: argparse.Namespace) -> _Asking:
    """What the file has answers for, as far as the folders and files that are named have it."""
    from shootdown.litmus.expected import Answer, read_expected
    from shootdown.litmus.runs import Machine, Question

    file = Path(arguments.expected)
    known = read_expected(file)
    tests = _named(arguments.names, file, known)
    mistake = strawman(arguments)
    questions: list[Question] = []
    unanswered = 0
    for path, expected in tests:
        before = len(questions)
        for ets2, answer in ((True, expected.ets2), (False, expected.no_ets)):
            if answer != Answer() and arguments.ets in (None, "ets2" if ets2 else "none"):
                machine = Machine(ets2, mistake)
                questions.append(Question(path, machine, expected, expected.suite))
        unanswered += len(questions) == before
    if not questions:
        raise UsageError(
            f"'{file}' has no answer for --ets {arguments.ets}"
            if tests
            else f"'{file}' names no test: there is nothing to compare"
        )
    return _Asking(questions, unanswered)


def _named(
    names: list[str], file: Path, known: dict[str, ExpectedTest]
) -> list[tuple[Path, ExpectedTest]]:
    """Each test of the file that a name covers, whether it is there or not: a test that is missing
    is an error of its own. A copy of the folder elsewhere is known by the paths below it."""
    if not names:
        return [(file.parent / test.file, test) for test in known.values()]
    found: dict[str, tuple[Path, ExpectedTest]] = {}
    for name in names:
        path = _existing(name)
        here = Path(os.path.realpath(path))
        covers = False
        for test in known.values():
            place = Path(os.path.realpath(file.parent / test.file))
            covered = place.is_relative_to(here)
            copy = path / test.file
            if not covered and not os.path.exists(copy):
                continue
            covers = True
            original = path / place.relative_to(here) if covered and path.is_dir() else path
            use = covered and (os.path.exists(place) or not os.path.exists(copy))
            found.setdefault(test.file, (original if use else copy, test))
        if not covers:
            raise UsageError(f"'{file}' names no test of '{name}'")
    return list(found.values())
