"""``shootdown cost``: what a variant of the kernel costs on a workload."""

from __future__ import annotations

import argparse

from shootdown.commands.options import add_output
from shootdown.commands.pricing import add_pricing
from shootdown.errors import UsageError


class CostCommand:
    """Prints counts and times of one variant on one workload."""

    name = "cost"
    help = "price a variant on a workload: flushes, IPIs, stalls, from the paths that are checked"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument(
            "variant",
            metavar="NAME",
            nargs="?",
            help="a scenario, whose options of the kernel are priced (S0.V8); or 'today', which "
            "has none",
        )
        parser.add_argument(
            "--workloads", action="store_true", help="list the workloads and their parameters"
        )
        add_pricing(parser)
        group = add_output(parser)
        group.add_argument("--csv", metavar="FILE", help="also write all numbers to FILE")

    def run(self, arguments: argparse.Namespace) -> int:
        """Price it."""
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
        from shootdown.report.cost import (
            cost_document,
            cost_text,
            workloads_document,
            workloads_text,
        )
        from shootdown.workloads.library import workloads

        console = Console(arguments)
        if arguments.workloads:
            console.write(workloads_document(workloads(), version()) if console.json else {})
            console.say(workloads_text(workloads(), names_only=console.quiet))
            return 0
        if arguments.variant is None:
            raise UsageError("name a variant (a scenario, or 'today'); --workloads lists workloads")
        check_outputs(arguments.csv, console.json)
        variant = find_variant(arguments.variant)
        fit = fitted(arguments, variant, workload_of(arguments, variant))
        line = PricingLine(console.quiet)
        line.name = variant.name
        try:
            cost = priced(fit, line)
        finally:
            line.done()
        code = 0 if cost.priced.finished else 3
        console.say(cost_text(cost, short=console.quiet))  # first: files may fail
        console.write(cost_document(cost, code, version()) if console.json else {})
        if arguments.csv:
            write_whole(arguments.csv, cost.table().csv())
        return code
