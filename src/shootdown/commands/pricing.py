"""What ``cost`` and ``compare`` share: their options, and from words to priced variants."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shootdown.commands.options import bounds, pairs, whole_number
from shootdown.errors import UsageError
from shootdown.interrupts import Interruptible

if TYPE_CHECKING:
    from shootdown.cost.engine import Progress
    from shootdown.cost.workload import Workload
    from shootdown.workloads.pricing import Cost, Fitting, Variant

TODAY = "today"


def add_pricing(parser: argparse.ArgumentParser) -> None:
    """``--workload``, ``--cpus``, ``--set``, ``--profile``, ``--price``, ``--hardware``,
    ``--seed``, ``--csv``."""
    group = parser.add_argument_group("what is priced")
    group.add_argument(
        "--workload",
        metavar="NAME",
        help="who runs what; default: the one of the variant's system; --workloads lists them",
    )
    group.add_argument(
        "--cpus", metavar="N", type=whole_number, help="the workload's parameter cpus"
    )
    group.add_argument(
        "--set",
        metavar="NAME=N[,...]",
        action="append",
        type=bounds,
        default=[],
        help="other parameters of the workload",
    )
    group.add_argument(
        "--hardware",
        metavar="NAME=VALUE[,...]",
        action="append",
        type=pairs,
        default=[],
        help="other values of options of the hardware or the kernel",
    )
    group.add_argument("--seed", metavar="N", type=whole_number, default=1, help="default: 1")
    group = parser.add_argument_group("prices")
    group.add_argument(
        "--profile",
        metavar="NAME|FILE.toml",
        help="the machine's prices; default: those of the workload's machine, skylake-2s or altra "
        "(docs/profiles.md)",
    )
    group.add_argument(
        "--price",
        metavar="NAME=NS[,...]",
        action="append",
        type=bounds,
        default=[],
        help="other prices, as in ipi_deliver=900",
    )


def parameters_of(arguments: argparse.Namespace) -> dict[str, int]:
    """The workload's parameters that the user chose."""
    chosen = {name: value for given in arguments.set for name, value in given.items()}
    if arguments.cpus is not None:
        if chosen.get("cpus", arguments.cpus) != arguments.cpus:
            raise UsageError("--cpus and --set cpus= say different things")
        chosen["cpus"] = arguments.cpus
    return chosen


def find_variant(word: str) -> Variant:
    """The variant that a word names: a scenario, or ``today``."""
    from shootdown.commands.targets import find_one
    from shootdown.workloads import pricing

    if word == TODAY:
        return pricing.TODAY
    target = find_one(word)
    variant = pricing.variant_of(target.scenario)
    if target.path is not None and not variant.options:
        raise UsageError(
            f"{word} sets no option of the kernel, so it would be priced as 'today': a scenario is "
            "priced by its options; for functions of your own write a workload (docs/pricing.md)"
        )
    return variant


def workload_of(arguments: argparse.Namespace, variant: Variant) -> Workload:
    """The workload that the user named, or the one for the variant."""
    from shootdown.workloads.library import find_workload

    return find_workload(arguments.workload, variant.scenario)


def fitted(arguments: argparse.Namespace, variant: Variant, workload: Workload) -> Fitting:
    """What prices a variant, not begun; an error if the workload is not for it."""
    from shootdown.workloads.pricing import fitting

    return fitting(
        variant,
        workload,
        parameters_of(arguments),
        profile=arguments.profile,
        prices={name: value for given in arguments.price for name, value in given.items()},
        seed=arguments.seed,
        options=given_options(arguments),
    )


def priced(fit: Fitting, show: Callable[[Progress], None]) -> Cost:
    """Price one variant."""
    with Interruptible():
        return fit.price(show)


class PricingLine:
    """Progress of a run on standard error: every few seconds, or one line on a terminal."""

    FIRST = 1.0

    def __init__(self, quiet: bool) -> None:
        import sys

        self.quiet = quiet
        self.rewrite = sys.stderr is not None and sys.stderr.isatty()
        self.every = 0.2 if self.rewrite else 5.0
        self.next = time.monotonic() + (self.FIRST if self.rewrite else 2 * self.FIRST)
        self.name = ""
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Show how far a run is, if it is time to."""
        from shootdown.commands.streams import aside

        now = time.monotonic()
        if self.quiet or now < self.next or progress.seconds < self.FIRST:
            return
        self.next = now + self.every
        rate = progress.steps / max(progress.seconds, 1e-9) / 1e6
        text = (
            f"{self.name}: {progress.simulated_ns / 1e6:,.1f} ms simulated, "
            f"{progress.steps / 1e6:,.0f} M steps ({rate:.1f} M/s), {progress.left} threads left"
        )
        if self.rewrite:
            aside("\r" + text.ljust(self.width), end="")
            self.width = len(text)
        else:
            aside(text)

    def done(self) -> None:
        """Take the line away."""
        from shootdown.commands.streams import aside

        if self.width:
            aside("\r" + " " * self.width + "\r", end="")
            self.width = 0


def given_options(arguments: argparse.Namespace) -> Mapping[str, str]:
    """The options of hardware or kernel that the user chose."""
    return {name: value for given in arguments.hardware for name, value in given.items()}


def check_outputs(*paths: str | None) -> None:
    """Refuse two outputs to one file: one of them would be lost."""
    seen: set[str] = set()
    for path in paths:
        if path in (None, "-"):
            continue
        real = os.path.realpath(str(path))
        if real in seen:
            raise UsageError(f"two outputs go to '{path}': give each a file of its own")
        seen.add(real)
