"""What each reduction saves, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.result import Result
from shootdown.lang.scenario import Scenario
from shootdown.report.run import code_of_result
from shootdown.report.text import bounds_text, duration, factor


@dataclass(frozen=True, slots=True)
class Rung:
    """One search of a scenario; ``name`` says what it has more than the one before."""

    name: str
    result: Result

    @property
    def code(self) -> int:
        """The exit code of its verdict."""
        return code_of_result(self.result)


def factors_text(scenario: Scenario, rungs: list[Rung]) -> str:
    """The states of each search, by what the last reduction divides them, and all together.

    A search that did not finish has at least the states that it counted; what follows from that
    is a bound too.
    """
    bounds = bounds_text(rungs[0].result.system.bounds)
    wide = max(16, *(len(part) + 2 for rung in rungs for part in rung.name.split(", ")))
    heads = f"  {'':<{wide}}{'STATES':>14}{'FACTOR':>9}{'ALL':>9}{'TIME':>11}  VERDICT"
    lines = [f"{scenario.name} ({bounds})", heads]
    for number, rung in enumerate(rungs):
        result = rung.result
        step = _factor(rungs[number - 1].result, result) if number else ""
        whole = _factor(rungs[0].result, result) if number else ""
        states = f"{'>' if result.stopped else ''}{result.states:,}" if result.states else "-"
        *above, name = rung.name.split(", ")
        lines += [f"  {part}," for part in above]
        lines.append(
            f"  {name:<{wide}}{states:>14}{step:>9}{whole:>9}{duration(result.seconds):>11}"
            f"  {result.verdict.value}"
        )
    return "\n".join(lines)


def _factor(before: Result, after: Result) -> str:
    """How many times fewer states; nothing where the smaller number is not known."""
    if after.stopped:
        return "?"
    return f"{'>' if before.stopped else ''}{factor(before.states, after.states)}"
