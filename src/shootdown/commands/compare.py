"""``shootdown compare``: variants side by side, what they save and what they risk."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from shootdown.commands.options import add_output, seconds
from shootdown.commands.pricing import add_pricing
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.lang.ir import System
    from shootdown.workloads.pricing import Variant

CHECK_TIME = 60.0


class CompareCommand:
    """Prints one row for each variant: verdict within bounds, counts, times."""

    name = "compare"
    help = "compare variants on one workload: are they safe, and what do they cost"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "names",
            metavar="NAME",
            nargs="+",
            help="scenarios, or 'today'; the first one is the baseline",
        )
        add_pricing(parser)
        group = parser.add_argument_group("verdicts")
        group.add_argument(
            "--max-time",
            metavar="TIME",
            type=seconds,
            default=CHECK_TIME,
            help="for each check; default: 1m",
        )
        group.add_argument(
            "--no-check", action="store_true", help="only prices; nothing is said about safety"
        )
        group = add_output(parser)
        group.add_argument("--csv", metavar="FILE", help="also write the rows to FILE")
        group.add_argument("--plot", metavar="FILE.svg", help="draw the rows into FILE.svg")

    def run(self, arguments: argparse.Namespace) -> int:
        """Price and check each; what does not fit is refused before that."""
        from shootdown.commands.console import Console
        from shootdown.commands.pricing import (
            PricingLine,
            check_outputs,
            find_variant,
            fitted,
            priced,
            workload_of,
        )
        from shootdown.commands.version import version
        from shootdown.files import write_whole
        from shootdown.report.cost import compare_document, compare_text
        from shootdown.report.plot import plot
        from shootdown.workloads.pricing import compare, comparison_table

        console = Console(arguments)
        if arguments.plot and not arguments.plot.endswith(".svg"):
            raise UsageError(
                f"--plot draws SVG: name a file that ends in .svg, not '{arguments.plot}'"
            )
        check_outputs(arguments.csv, arguments.plot, console.json)
        variants = [find_variant(word) for word in arguments.names]
        first = next((v for v in variants if v.scenario is not None), variants[0])
        workload = workload_of(arguments, first)
        runs = [fitted(arguments, variant, workload) for variant in variants]
        systems = [_system(variant, arguments) for variant in variants]
        line = PricingLine(console.quiet)
        costs, verdicts = [], []
        for variant, run, system in zip(variants, runs, systems, strict=True):
            line.name = variant.name
            try:
                costs.append(priced(run, line))
            finally:
                line.done()
            verdicts.append(_verdict(variant, system, arguments))
            if not costs[-1].priced.finished:
                break
        rows = compare(costs, verdicts)
        code = 0 if all(cost.priced.finished for cost in costs) else 3
        console.say(compare_text(rows, short=console.quiet))  # first: files may fail
        console.write(compare_document(rows, code, version()) if console.json else {})
        if arguments.csv:
            write_whole(arguments.csv, comparison_table(rows).csv())
        if arguments.plot:
            write_whole(arguments.plot, plot(rows))
        return code


def _system(variant: Variant, arguments: argparse.Namespace) -> System | None:
    """What there is to check of a variant."""
    from shootdown.commands.pricing import given_options

    if arguments.no_check or variant.scenario is None:
        return None
    return variant.scenario.compile(None, given_options(arguments))


def _verdict(
    variant: Variant, system: System | None, arguments: argparse.Namespace
) -> tuple[str, str | None, Mapping[str, int]]:
    """What the checker says of a variant within the scenario's own bounds."""
    from shootdown.check.native import explore
    from shootdown.check.result import Limits

    if system is None or variant.scenario is None:
        return "", None, {}
    result = explore(system, Limits(time=arguments.max_time))
    name = result.violation.name if result.violation is not None else None
    return result.verdict.value, name, variant.scenario.bounds
