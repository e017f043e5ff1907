"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse

ENGINES = ("native", "reference")
REDUCTIONS = ("symmetry", "order", "merge")
LANES = ("off", "auto", "on")
MOST_THREADS = 16
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LARGEST = 1 << 62  # bytes
_LONGEST = 10**9  # seconds: timers take no more than some centuries
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_output(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """``--json``, ``--quiet``, ``--color``; the group that they are in."""
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
    return group


def add_events(group: argparse._ArgumentGroup) -> None:
    """``--json-events``."""
    group.add_argument(
        "--json-events",
        metavar="FILE",
        nargs="?",
        const="-",
        help="tell programs what happens: one JSON object on each line, to standard error instead "
        "of the progress, or with --json-events=FILE to the end of FILE",
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
    """The limits, ``--reduce``, ``--engine``, ``--lanes``, ``--threads``."""
    group = parser.add_argument_group("the search")
    add_limits(group)
    add_reduce(group)
    group.add_argument("--engine", choices=ENGINES, default="native", help="default: native")
    group.add_argument(
        "--lanes",
        choices=LANES,
        default="off",
        help="search states that differ in a few variables only (a TLB's entries) together: the "
        "same result, sooner and in less memory; auto: only if the search takes long; "
        "default: off. With on and auto nothing is reduced; not with --threads",
    )
    group.add_argument(
        "--threads",
        metavar="N",
        type=threads,
        default=1,
        help="let N threads do each search: the same result, sooner if there are N free CPUs and "
        "the search is large; default: 1. Not with --lanes",
    )


def add_reduce(group: argparse._ArgumentGroup) -> None:
    """``--reduce``."""
    group.add_argument(
        "--reduce",
        metavar="auto|none|LIST",
        type=reductions,
        help="search fewer states: some of symmetry,order,merge; auto (the default) uses symmetry "
        "once the ordinary search gets long, unless there are --lanes",
    )


def add_compact(parser: argparse.ArgumentParser) -> None:
    """``--compact`` and ``--seed``."""
    group = parser.add_argument_group("fingerprints")
    group.add_argument(
        "--compact",
        action="store_true",
        help="keep 64 bits for each state instead of the state: much less memory, but states may "
        "be omitted; the verdict says with which probability at most. Not with --lanes or "
        "--threads",
    )
    group.add_argument(
        "--seed",
        metavar="N",
        type=seed,
        help="with --compact: other fingerprints, so that a search can be repeated with them; "
        "default: 0",
    )


def add_survival(parser: argparse.ArgumentParser) -> None:
    """``--checkpoint``, ``--checkpoint-every``, ``--no-checkpoint``, ``--resume``."""
    group = parser.add_argument_group("long searches")
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="keep the search in FILE, from time to time and when a limit or Ctrl-C stops it; one "
        "that comes to its end before writes no FILE",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="TIME",
        type=seconds,
        help="how often, as in 10m, which is the default",
    )
    group.add_argument(
        "--no-checkpoint",
        action="store_true",
        help="keep nothing, not even in the cache what a stopped search of a minute or more found",
    )
    group.add_argument(
        "--resume",
        metavar="FILE",
        help="go on with the search in FILE, and keep it there again if it is stopped",
    )


def add_limits(group: argparse._ArgumentGroup) -> None:
    """``--max-states``, ``--max-memory``, ``--max-time``."""
    group.add_argument("--max-states", metavar="N", type=whole_number, help="stop after N states")
    group.add_argument("--max-memory", metavar="SIZE", type=memory, help="stop at SIZE, as in 4G")
    group.add_argument(
        "--max-time", metavar="SECONDS", type=seconds, help="stop after a time, as in 60 or 5m"
    )


def reductions(text: str) -> tuple[str, ...] | None:
    """``auto`` (None), ``none``, or some of the reductions."""
    if text.strip() == "auto":
        return None
    names = [] if text.strip() == "none" else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in REDUCTIONS:
            known = ", ".join(REDUCTIONS)
            raise argparse.ArgumentTypeError(
                f"'{name}' is no reduction: write auto, none, or some of {known}"
            )
    return tuple(name for name in REDUCTIONS if name in names)


def pairs(text: str) -> dict[str, str]:
    """``name=value[,name=value]``."""
    out: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not name or not equals or not value:
            raise argparse.ArgumentTypeError(f"'{part}' is not NAME=VALUE")
        if name in out:
            raise argparse.ArgumentTypeError(f"{name} is given twice")
        out[name] = value
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


def threads(text: str) -> int:
    """A number of threads: from 1 to ``MOST_THREADS``."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {MOST_THREADS}")
    return number


def seed(text: str) -> int:
    """A number that chooses fingerprints: 64 bits."""
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 to 2^64 - 1")
    return int(text)


def memory(text: str) -> int:
    """A size such as ``512M`` or ``4G``, in bytes."""
    spelt = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (spelt[:-1], spelt[-1]) if spelt[-1:] in _UNITS else (spelt, "")
    value = _positive(number, _UNITS[unit])
    if value is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size: write for example 512M or 4G")
    return int(value)


def seconds(text: str) -> float:
    """A time such as ``60``, ``60s``, ``5m`` or ``2h``, in seconds."""
    spelt = text.strip().lower()
    number, unit = (spelt[:-1], spelt[-1]) if spelt[-1:] in _SECONDS else (spelt, "")
    value = _positive(number, _SECONDS[unit])
    if value is None or value > _LONGEST:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time: write for example 60 or 5m")
    return value


def _positive(number: str, unit: int) -> float | None:
    try:
        value = float(number) * unit
    except ValueError:
        return None
    return value if 0 < value <= _LARGEST else None
