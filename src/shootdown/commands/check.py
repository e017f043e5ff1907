"""``shootdown check``: the verdict on one or more scenarios."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shootdown.commands.options import (
    add_choices,
    add_compact,
    add_events,
    add_output,
    add_search,
    add_survival,
    whole_number,
)
from shootdown.commands.streams import BROKEN_PIPE, aside
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper
    from shootdown.check.result import Progress
    from shootdown.commands.console import Console, ProgressLine
    from shootdown.commands.targets import Compiled, Target
    from shootdown.report.run import Broken, Run
    from shootdown.report.table import Row


IDLE = 4  # scenarios that are named where an option does nothing


class CheckCommand:
    """Searches scenarios and prints their verdicts."""

    name = "check"
    help = "check scenarios: the shortest race, or the bounds within which there is none"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "names",
            metavar="NAME | FILE.py[::SCENARIO]",
            nargs="*",
            help="a scenario of the library, or the scenarios of a model file",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="the whole library; exit code 0 only if every verdict is the expected one",
        )
        parser.add_argument(
            "--jobs",
            metavar="N",
            type=whole_number,
            help="how many scenarios to check at the same time; default: one for each CPU, or for "
            "as many as --threads says",
        )
        parser.add_argument(
            "--all-invariants",
            action="store_true",
            help="go on after a race: show the shortest one for every invariant that can be broken",
        )
        parser.add_argument(
            "--factors",
            action="store_true",
            help="search each NAME without reductions and with more and more of them, and print "
            "how many states each one saves; each search stops at 20,000,000 states, or at the "
            "limits given",
        )
        add_choices(parser)
        add_search(parser)
        add_compact(parser)
        add_survival(parser)
        add_events(add_output(parser))

    def run(self, arguments: argparse.Namespace) -> int:
        """Check them, and print what they give in order."""
        from shootdown.commands.compact import check_compact
        from shootdown.commands.console import Console
        from shootdown.commands.targets import find_all, whole_library

        if bool(arguments.names) == arguments.all:
            raise UsageError("check takes NAMEs, or FILE.py[::SCENARIO], or --all")
        check_compact(arguments)
        console = Console(arguments)
        if arguments.factors:
            from shootdown.commands.factors import print_factors

            return print_factors(arguments, console)
        targets = whole_library() if arguments.all else find_all(arguments.names)
        return _Checks(targets, arguments, console).run()


@dataclass(frozen=True)
class Outcome:
    """What one check gives to print: plain values, that one process can send to another."""

    row: Row
    code: int
    interrupted: bool
    text: str  # for standard output
    error: str  # for standard error
    document: dict[str, Any] | None
    idle: tuple[str, ...] = ()  # options that do nothing there


class _Checks:
    """The checks of one command."""

    def __init__(
        self, targets: list[Target], arguments: argparse.Namespace, console: Console
    ) -> None:
        from shootdown.check.memory import shared
        from shootdown.commands.events import Events
        from shootdown.commands.jobs import usable_cpus
        from shootdown.commands.survival import check_arguments
        from shootdown.commands.targets import refuse_unknown_options

        check_arguments(arguments, targets)
        if len(targets) > 1:
            refuse_unknown_options(arguments)
        self.targets = targets
        self.arguments = argparse.Namespace(**vars(arguments), several=len(targets) > 1)
        self.console = console
        free = max(1, usable_cpus() // arguments.threads)
        wanted = min(arguments.jobs or free, len(targets))
        self.jobs, self.arguments.max_memory = shared(arguments.max_memory, wanted)
        self.events = Events(arguments.json_events)
        self.outcomes: list[Outcome] = []
        self.stopped = False  # with Ctrl-C

    def run(self) -> int:
        """Do them all; the exit code."""
        from shootdown.report.run import UNFINISHED, worst

        if not self.search():
            return BROKEN_PIPE
        code = worst([o.code for o in self.outcomes] + [UNFINISHED] * self.stopped)
        if self.arguments.all:
            good = sum(outcome.row.good for outcome in self.outcomes)
            code = 0 if good == len(self.targets) else 1
        self.conclude()
        documents = [o.document for o in self.outcomes if o.document is not None]
        if self.console.json:
            from shootdown.commands.version import version
            from shootdown.report.json import check_document

            self.console.write(check_document(documents, code, version()))
        return code

    def search(self) -> bool:
        """Collect what the checks give, and print it; False if nobody reads on."""
        from shootdown.commands.jobs import Work, in_order

        work = Work(len(self.targets), self.one, self.lost, self.progress)
        try:
            with closing(in_order(work, self.jobs)) as outcomes:
                for outcome in self.told(outcomes):
                    if self.console.deserted and len(self.outcomes) < len(self.targets):
                        return False
                    if outcome.interrupted:
                        break
        except KeyboardInterrupt:
            if self.jobs == 1:
                raise
            self.stopped = True
            aside("shootdown: interrupted")
        return True

    def told(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """The same, printed."""
        from shootdown.report.table import GrowingTable

        grows, several = self.arguments.all, len(self.targets) > 1
        table = GrowingTable([target.scenario for target in self.targets])
        if grows:
            self.console.say(table.line())
        for outcome in outcomes:
            self.outcomes.append(outcome)
            if grows:
                self.console.say(table.line(outcome.row.cells))
            elif outcome.text:
                self.console.say(outcome.text + ("\n" if several else ""))
            if outcome.error:
                aside(outcome.error)
            yield outcome

    def conclude(self) -> None:
        """The end of the report on several scenarios."""
        from shootdown.report.table import closing, table_text

        rows = [outcome.row for outcome in self.outcomes]
        if self.arguments.all:
            unexpected = [f"\n{outcome.text}" for outcome in self.outcomes if outcome.text]
            self.console.say("\n".join([*unexpected, "", closing(rows, len(self.targets))]))
        elif len(self.targets) > 1:
            self.console.say(table_text(rows, len(self.targets)))
        self.tell_idle()

    def tell_idle(self) -> None:
        """Say which options did nothing, and where."""
        if self.arguments.quiet or self.events.on_stderr:
            return
        for name in dict.fromkeys(name for outcome in self.outcomes for name in outcome.idle):
            at = [o.row.cells[0] for o in self.outcomes if name in o.idle]
            more = f" and {len(at) - IDLE} more" if len(at) > IDLE else ""
            where = ", ".join(at[:IDLE]) + more
            aside(f"shootdown: --hardware {name} does nothing in {where}")

    # ------------------------------------------------------------------ one check

    def one(self, number: int, show: Callable[[Progress], None]) -> Outcome:
        """Do one check."""
        from shootdown.commands.events import ended, on_reduced, reporting, started
        from shootdown.commands.search import check_target
        from shootdown.commands.survival import keeper, say_if_not_written

        target, arguments, events = self.targets[number], self.arguments, self.events
        alone = len(self.targets) == 1

        def looked_at(run: Run) -> bool:
            return self.console.json is not None or self.tells(run)

        keepers: list[Keeper] = []

        def kept(built: Compiled) -> Keeper | None:
            if alone:
                keepers.append(keeper(built, arguments, events))
            return keepers[0] if keepers else None

        started(events, target, arguments)
        reduced = on_reduced(events, target)
        shown = reporting(events, target, show)
        run = check_target(target, arguments, shown, looked_at, kept, reduced)
        for made in keepers:
            say_if_not_written(made, run, arguments)
        ended(events, target, run)
        return self.outcome(run)

    def lost(self, number: int, why: str) -> Outcome:
        """What there is to say of a check whose process was killed."""
        from shootdown.commands.events import ended
        from shootdown.commands.targets import subject_of
        from shootdown.report.run import UNFINISHED, Broken

        subject = subject_of(self.targets[number], self.arguments)
        said = f"shootdown: {subject.name}: {why}; it may need more memory: try --jobs 1"
        broken = Broken(subject, said, UNFINISHED)
        ended(self.events, self.targets[number], broken)
        return self.outcome(broken)

    def progress(self, number: int) -> ProgressLine:
        """Where the progress of a check is shown."""
        from shootdown.commands.console import ProgressLine

        quiet = self.arguments.quiet or self.events.on_stderr
        return ProgressLine(self.targets[number].scenario.name, quiet)

    def tells(self, run: Run | Broken) -> bool:
        """Whether the report on a run is printed."""
        from shootdown.report.run import as_expected

        if self.console.json == "-":
            return False
        if self.arguments.all:
            return not self.arguments.quiet and not as_expected(run)
        return not self.arguments.quiet or len(self.targets) == 1

    def outcome(self, run: Run | Broken) -> Outcome:
        """What a run gives to print."""
        from shootdown.commands.search import interrupted
        from shootdown.commands.targets import idle_options
        from shootdown.report.run import Broken, exit_code
        from shootdown.report.table import row_of
        from shootdown.report.verdict import headline, verdict_text

        error = run.error if isinstance(run, Broken) else ""
        text = ""
        if not isinstance(run, Broken) and self.tells(run):
            text = headline(run) if self.arguments.quiet else verdict_text(run)
        document = None
        if self.console.json:
            from shootdown.report.json import run_document

            document = run_document(run)
        idle = () if isinstance(run, Broken) else idle_options(run.system, run.subject.options)
        return Outcome(row_of(run), exit_code(run), interrupted(run), text, error, document, idle)
