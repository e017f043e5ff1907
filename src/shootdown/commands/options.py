"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse

ENGINES = ("native", "reference")
LANES = ("off", "auto", "on")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_output(parser: argparse.ArgumentParser) -> None:
    """``--json``, ``--quiet``, ``--color``."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json",
        metavar="FILE",
        nargs="?",
        const="-",
        help="also write a JSON document to FILE (its name ends in .json, else write --json=FILE); "
        "with - or no FILE write it to standard output instead of the text",
    )
    group.add_argument("--quiet", "-q", action="store_true", help="no progress, the shortest text")
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    """``--bound``, ``--hardware``, ``--without``."""
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--bound",
        metavar="NAME=N[,...]",
        action="append",
        type=bounds,
        default=[],
        help="other bounds, as in cpus=3,pages=2",
    )
    group.add_argument(
        "--hardware",
        metavar="NAME=VALUE[,...]",
        action="append",
        type=pairs,
        default=[],
        help="other values of hardware options; `show` lists them",
    )
    group.add_argument(
        "--without",
        metavar="SITE",
        action="append",
        default=[],
        help="leave out one flush, lock or counter update: a mutant; `show` lists the sites",
    )


def add_search(parser: argparse.ArgumentParser) -> None:
    """``--max-states``, ``--max-memory``, ``--max-time``, ``--engine``, ``--lanes``."""
    group = parser.add_argument_group("the search")
    add_limits(group)
    group.add_argument("--engine", choices=ENGINES, default="native", help="default: native")
    group.add_argument(
        "--lanes",
        choices=LANES,
        default="off",
        help="search states that differ in a few variables only (a TLB's entries) together: the "
        "same result, sooner and in less memory; auto: only if the search takes long; "
        "default: off",
    )


def add_limits(group: argparse._ArgumentGroup) -> None:
    """``--max-states``, ``--max-memory``, ``--max-time``."""
    group.add_argument("--max-states", metavar="N", type=whole_number, help="stop after N states")
    group.add_argument("--max-memory", metavar="SIZE", type=memory, help="stop at SIZE, as in 4G")
    group.add_argument(
        "--max-time", metavar="SECONDS", type=seconds, help="stop after a time, as in 60 or 5m"
    )


def pairs(text: str) -> dict[str, str]:
    """``name=value[,name=value]``."""
    out = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not name.strip() or not equals or not value.strip():
            raise argparse.ArgumentTypeError(f"'{part}' is not NAME=VALUE")
        out[name.strip()] = value.strip()
    return out


def bounds(text: str) -> dict[str, int]:
    """``name=number[,name=number]``."""
    out = {}
    for name, value in pairs(text).items():
        if not (value.isascii() and value.isdigit()):
            raise argparse.ArgumentTypeError(f"{name} must be a whole number, not '{value}'")
        out[name] = int(value)
    return out


def whole_number(text: str) -> int:
    """A number of states: at least 1; ``_`` and ``,`` may group digits."""
    digits = text.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(digits)


def memory(text: str) -> int:
    """A size such as ``512M`` or ``4G``, in bytes."""
    spelt = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (spelt[:-1], spelt[-1]) if spelt[-1:] in _UNITS else (spelt, "")
    value = _positive(number)
    if value is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size: write for example 512M or 4G")
    return int(value * _UNITS[unit])


def seconds(text: str) -> float:
    """A time such as ``60``, ``60s``, ``5m`` or ``2h``, in seconds."""
    spelt = text.strip().lower()
    number, unit = (spelt[:-1], spelt[-1]) if spelt[-1:] in _SECONDS else (spelt, "")
    value = _positive(number)
    if value is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time: write for example 60 or 5m")
    return value * _SECONDS[unit]


def _positive(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
