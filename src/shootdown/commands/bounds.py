"""``shootdown bounds``: a scenario at growing bounds, until limits."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from shootdown.commands.options import (
    add_choices,
    add_limits,
    add_output,
    add_reduce,
    seconds,
    whole_number,
)
from shootdown.commands.streams import BROKEN_PIPE
from shootdown.errors import ModelError, UsageError

if TYPE_CHECKING:
    from shootdown.check.result import Result
    from shootdown.commands.console import Console
    from shootdown.commands.growth import Growth, Predicted, Size, Vector
    from shootdown.commands.targets import Target
    from shootdown.report.bounds import Grown, Row, Untried

ROW_TIME = 60.0
TOTAL_TIME = 600.0
ENOUGH = 10_000  # states, from which on their price can be told from what a search costs anyway


class BoundsCommand:
    """Prints a table: bounds, verdict, states, depth, time."""

    name = "bounds"
    help = "check a scenario at growing bounds until limits: the table of what holds"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("scenario", metavar="NAME | FILE.py[::SCENARIO]")
        parser.add_argument(
            "--grow",
            metavar="NAME[,...]",
            help="the bounds that grow; default: all that the scenario has. --bound gives the "
            "values with which they begin, and those of the others",
        )
        add_choices(parser)
        group = parser.add_argument_group("limits of each row; the time is 60 s unless given")
        add_limits(group)
        add_reduce(group)
        group = parser.add_argument_group("limits of the whole table")
        group.add_argument(
            "--total-time",
            metavar="SECONDS",
            type=seconds,
            default=TOTAL_TIME,
            help="begin no row after that, and end the last one then; default: 10m",
        )
        group.add_argument(
            "--total-states", metavar="N", type=whole_number, help="of all rows together"
        )
        add_output(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the table, row by row."""
        from shootdown.commands.console import Console
        from shootdown.commands.targets import find_one

        console = Console(arguments)
        return _Table(find_one(arguments.scenario), arguments, console).run()


class _Table:
    """The rows of one command."""

    def __init__(self, target: Target, arguments: argparse.Namespace, console: Console) -> None:
        self.target = target
        self.console = console
        self.arguments = argparse.Namespace(**vars(arguments))
        self.arguments.engine = "native"
        self.arguments.lanes = "off"
        self.row_time: float = arguments.max_time or ROW_TIME
        self.began = time.monotonic()
        self.states = 0
        self.stopped = False  # with Ctrl-C
        self.rows: list[Row] = []
        self.untried: list[Untried] = []
        self.growth = _growth(target, arguments)

    def run(self) -> int:
        """All rows; the exit code."""
        from shootdown.commands.version import version
        from shootdown.report.bounds import bounds_document, closing, heading, table_code
        from shootdown.report.run import UNFINISHED, worst

        self.impossible(self.growth.start)  # an error, if it is
        self.check_options()
        self.console.say(heading(self.growth.names))
        if not self.search():
            return BROKEN_PIPE
        code = worst([table_code(self.rows), *[UNFINISHED] * self.stopped])
        self.console.say("\n" + closing(self.grown()))
        if self.console.json:
            document = bounds_document(self.grown(), self.limits(), code, version())
            self.console.write(document)
        return code

    def check_options(self) -> None:
        """Refuse options that there are not, rather than print a table of that."""
        from shootdown.commands.targets import compiled

        if self.arguments.hardware:
            given = argparse.Namespace(**vars(self.arguments))
            given.bound = [self.growth.bounds(self.growth.start)]
            with suppress(ModelError):  # which is a row
                compiled(self.target, given)

    def search(self) -> bool:
        """Rows until there are no more; False if nobody reads on."""
        from shootdown.commands.search import interrupted
        from shootdown.report.bounds import line

        while (vector := self.growth.next()) is not None:
            if self.impossible(vector) or self.too_much(vector):
                continue
            row = self.row(vector)
            self.rows.append(row)
            self.console.say(line(row))
            if self.console.deserted:
                return False
            self.stopped = interrupted(row.run)
            if row.verdict == "VIOLATED" or self.stopped:
                break
        return True

    def impossible(self, vector: Vector) -> bool:
        """Whether the scenario refuses these bounds; its own ones may not be refused."""
        try:
            self.target.scenario.setup(self.growth.bounds(vector))
        except UsageError as error:
            if vector == self.growth.start:
                raise
            self.growth.refuse(vector, str(error))
            return True
        except Exception:  # said where it is compiled
            return False
        return False

    def too_much(self, vector: Vector) -> bool:
        """Whether these bounds are predicted to exceed a limit, or all time is used up."""
        from shootdown.report.bounds import Untried

        predicted = self.growth.predicted(vector)
        limit = self.exceeded(vector, predicted)
        if limit is None:
            return False
        bounds = self.growth.bounds(vector)
        if predicted is None or self.time_left() <= 0:
            self.untried.append(Untried(bounds, limit))
        else:
            self.untried.append(Untried(bounds, limit, predicted.states, predicted.reduced))
        self.growth.end(vector)
        return True

    def exceeded(self, vector: Vector, predicted: Predicted | None) -> str | None:
        """The limit that a search would exceed."""
        if self.time_left() <= 0:
            return "total"
        like = self.growth.like(vector)
        if predicted is None or like is None:
            return None
        states = predicted.states
        if states > (self.arguments.max_states or states):
            return "states"
        if self.states + states > (self.arguments.total_states or self.states + states):
            return "total"
        if like.states < ENOUGH:
            return None
        needed = like.before + states * like.seconds / like.states
        if needed > self.row_time:
            return "time"
        if needed > self.time_left():
            return "total"
        return "memory" if states * like.memory / like.states > self.memory() else None

    def row(self, vector: Vector) -> Row:
        """Search at some bounds."""
        from shootdown.commands.console import ProgressLine
        from shootdown.commands.search import check_target
        from shootdown.report.bounds import Row
        from shootdown.report.run import Run
        from shootdown.report.text import bounds_text

        bounds = self.growth.bounds(vector)
        arguments = argparse.Namespace(**vars(self.arguments))
        arguments.bound = [bounds]
        arguments.max_time = min(self.row_time, self.time_left())
        if arguments.total_states:
            left = max(1, arguments.total_states - self.states)
            arguments.max_states = min(arguments.max_states or left, left)
        name = f"{self.target.scenario.name}, {bounds_text(bounds.items())}"
        with ProgressLine(name, arguments.quiet) as show:
            run = check_target(self.target, arguments, show, lambda _: False)
        row = Row(bounds, run)
        if isinstance(run, Run):
            result = run.result
            self.states += result.states
            if row.verdict == "HOLDS":
                self.growth.held(vector, _size(result))
                return row
        self.growth.end(vector)
        return row

    def time_left(self) -> float:
        """Seconds for the rest of the table."""
        total: float = self.arguments.total_time
        return total - (time.monotonic() - self.began)

    def memory(self) -> int:
        """Bytes that a search may use."""
        from shootdown.check.memory import memory_limit
        from shootdown.check.result import Limits

        return memory_limit(Limits(memory=self.arguments.max_memory))

    def limits(self) -> dict[str, float | int | None]:
        """The limits as the JSON document has them."""
        return {
            "row_seconds": self.row_time,
            "row_states": self.arguments.max_states,
            "row_memory_bytes": self.arguments.max_memory,
            "total_seconds": self.arguments.total_time,
            "total_states": self.arguments.total_states,
        }

    def grown(self) -> Grown:
        """What is known at the end."""
        from shootdown.commands.targets import subject_of
        from shootdown.report.bounds import Grown

        growth = self.growth
        return Grown(
            subject=subject_of(self.target, self.arguments),
            rows=self.rows,
            largest=[growth.bounds(vector) for vector in growth.largest()],
            untried=self.untried,
            refused=[(growth.bounds(vector), why) for vector, why in growth.refused.items()],
            unchanged=[(growth.bounds(vector), name) for vector, name in growth.unchanged()],
        )


def _size(result: Result) -> Size:
    """How large a search was that holds."""
    from shootdown.commands.growth import Size

    represented = result.represented
    return Size(
        result.states,
        result.depth,
        result.seconds - result.preparing,
        result.memory,
        None if represented is None else represented.states,
        result.reductions,
        result.preparing if result.reductions else 0.0,
    )


def _growth(target: Target, arguments: argparse.Namespace) -> Growth:
    """Where it begins, and which bounds grow."""
    from shootdown.commands.growth import Growth

    scenario = target.scenario
    if not scenario.bounds:
        raise UsageError(
            f"{scenario.name} has no bounds that could grow: its builder takes no parameters; "
            f"`shootdown check {target.text}` is all there is"
        )
    start = dict(scenario.bounds)
    for given in arguments.bound:
        start |= given
    wanted = list(scenario.bounds)
    if arguments.grow is not None:
        wanted = [name.strip() for name in arguments.grow.split(",")]
    for name in [*start, *wanted]:
        if name not in scenario.bounds:
            known = ", ".join(scenario.bounds)
            raise UsageError(f"{scenario.name} has no bound '{name}'; it has: {known}")
    return Growth(tuple(start), start, wanted)
