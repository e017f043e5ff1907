"""The version, looked up only when it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from shootdown.commands.streams import tell


def version() -> str:
    """The installed version; ``unknown`` in a tree that is not installed."""
    from importlib import metadata

    try:
        return metadata.version("shootdown")
    except metadata.PackageNotFoundError:
        return "unknown"


class VersionAction(argparse.Action):
    """Prints the version and ends."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        tell(f"shootdown {version()}")
        parser.exit()
