"""``--compact``: what it can be combined with, and what it asks the engine for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.check.omission import Fingerprints


def check_compact(arguments: argparse.Namespace) -> None:
    """Refuse what has no meaning together."""
    if not arguments.compact:
        if arguments.seed is not None:
            raise UsageError("--seed chooses the fingerprints of --compact: give that too")
        return
    if arguments.engine != "native":
        raise UsageError("--compact: only the native engine has fingerprints; leave out --engine")
    if arguments.lanes != "off":
        raise UsageError("--compact: lanes need the states; leave out --compact or --lanes")


def fingerprints(arguments: argparse.Namespace) -> Fingerprints | None:
    """What is kept instead of states, if the user asks for that."""
    if not getattr(arguments, "compact", False):
        return None
    from shootdown.check.omission import Fingerprints

    return Fingerprints(arguments.seed or 0)


def recorded(text: str, arguments: argparse.Namespace) -> None:
    """Ask for what a kept search was asked for, unless the user says something."""
    if text and not arguments.compact:
        arguments.compact, arguments.seed = True, int(text.rpartition(" ")[2])
