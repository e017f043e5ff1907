"""Long searches: where they are kept, and what there is to say of that."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shootdown.commands.streams import aside
from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper, Note, Place
    from shootdown.commands.events import Events
    from shootdown.commands.targets import Compiled, Target
    from shootdown.lang.ir import System
    from shootdown.report.run import Broken, Run

EVERY = 600.0
"""Seconds between two checkpoints in a file that the user named."""


def check_arguments(arguments: argparse.Namespace, targets: list[Target]) -> None:
    """Refuse combinations without a meaning, and places that cannot be written; a search that goes
    on does so with the reductions and fingerprints that it had, unless the user says which."""
    named = arguments.checkpoint or arguments.resume
    if arguments.no_checkpoint and arguments.checkpoint:
        raise UsageError("--checkpoint and --no-checkpoint exclude each other")
    if arguments.checkpoint_every is not None and not named:
        raise UsageError("--checkpoint-every needs --checkpoint FILE")
    if not named:
        return
    option = "--checkpoint" if arguments.checkpoint else "--resume"
    if arguments.engine != "native":
        raise UsageError(f"{option} needs the native engine")
    if len(targets) != 1 or arguments.all:
        raise UsageError(f"{option} takes one scenario: one file is for one search")
    if arguments.checkpoint and not _same(arguments.checkpoint, arguments.resume):
        from shootdown.check.native.checkpoint import refuse_unwritable

        refuse_unwritable(_real(arguments.checkpoint))
    if arguments.resume:
        _as_recorded(_real(arguments.resume), arguments, targets[0])


def keeper(built: Compiled, arguments: argparse.Namespace, events: Events) -> Keeper:
    """What keeps the search of a compiled scenario. A file of another search is refused now."""
    from shootdown.check.native.keep import Keeper
    from shootdown.commands.version import version

    system = built.system
    about = {
        "scenario": system.name,
        "bounds": ",".join(f"{name}={value}" for name, value in system.bounds),
        "options": ",".join(f"{name}={value}" for name, value in system.options),
        "without": ", ".join(built.choices.without),
        **_asked(arguments),
    }
    resume = None if arguments.resume is None else _real(arguments.resume)

    def slow() -> dict[str, str]:
        return {"version": version()}

    def place(system: System) -> Place | None:
        return _place(system, arguments)

    made = Keeper(place, about, _teller(built, arguments, events), resume, slow)
    made.compare(system)
    return made


def say_if_not_written(keeper: Keeper, run: Run | Broken, arguments: argparse.Namespace) -> None:
    """Say why there is no file where the user asked for one, unless that is known."""
    from shootdown.report.run import Run

    if arguments.checkpoint is None or arguments.quiet or keeper.wrote_or_said:
        return
    if arguments.json_events == "-":
        return  # there is nothing but events on stderr
    if isinstance(run, Run):
        ended = "the search came to its end before a checkpoint was due"
        why = ended if run.result.states else "nothing was searched yet"
        text, file = run.subject.target, _real(arguments.checkpoint)
        aside(f"shootdown: {text}: '{file}' was not written: {why}")


def _asked(arguments: argparse.Namespace) -> dict[str, str]:
    """How is searched, as a file says it."""
    from shootdown.commands.compact import fingerprints

    compact = fingerprints(arguments)
    return {
        "reduce": "auto" if arguments.reduce is None else ",".join(arguments.reduce) or "none",
        "compact": "" if compact is None else compact.text,
        "lanes": "" if arguments.lanes == "off" else arguments.lanes,
    }


def _as_recorded(file: Path, arguments: argparse.Namespace, target: Target) -> None:
    """Take over how the kept search was done; what is asked for and differs from that is refused
    here, before anything is done that may take long."""
    from shootdown.check.native.checkpoint import Reader
    from shootdown.check.native.keep import difference
    from shootdown.commands import compact
    from shootdown.commands.options import LANES, reductions

    with Reader(file) as reader:
        about = reader.description["about"]
    here = {
        "scenario": target.scenario.name,
        **{name: value for name, value in _asked(arguments).items() if value not in ("", "auto")},
    }
    if arguments.lanes == "auto":
        here["lanes"] = "auto"
    arguments.ordinary_race = False
    if _many_at_once(about) and arguments.lanes != "off":  # the same search from here on
        arguments.ordinary_race = arguments.lanes == "auto"
        del here["lanes"]
    for name, value in here.items():
        if about.get(name, "") != value:
            raise difference(file, name, about.get(name, ""), value)
    compact.recorded(about.get("compact", ""), arguments)
    if about.get("lanes") in LANES:
        arguments.lanes = about["lanes"]
    if arguments.reduce is None:
        with contextlib.suppress(argparse.ArgumentTypeError):  # another version's: refused soon
            arguments.reduce = reductions(about.get("reduce", "auto"))


def _many_at_once(about: Mapping[str, str]) -> bool:
    """Whether the search in a file has lanes already, and not only later, if it lasts."""
    from shootdown.check.native.lanes import LATER

    return about.get("lanes") == "on" or about.get("part") == LATER


def _real(name: str) -> Path:
    """The file that is replaced: where the name is that of a symbolic link, what it points to."""
    return Path(os.path.realpath(name) if os.path.islink(name) else name)


def _same(name: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(name) == os.path.realpath(other)


def _place(system: System, arguments: argparse.Namespace) -> Place | None:
    from shootdown.check.native.keep import Place

    if arguments.no_checkpoint:
        return None
    every = arguments.checkpoint_every or EVERY
    named = arguments.checkpoint or arguments.resume
    if named:
        return Place(_real(named), every, unasked=_same(named, str(_cached(system, arguments))))
    return Place(_cached(system, arguments), unasked=True)


def _cached(system: System, arguments: argparse.Namespace) -> Path:
    """Where a search is kept unasked: one file for each scenario with its bounds and options, and
    others for searches with fingerprints or lanes."""
    from shootdown.native.jit import cache_folder

    name = "".join(c if c.isalnum() or c in ".-_" else "_" for c in system.name)
    what = "-compact" if arguments.compact else ""
    if arguments.lanes != "off":
        what = f"-lanes-{arguments.lanes}"
    return cache_folder() / "searches" / f"{name}-{system.fingerprint}{what}"


def _teller(
    built: Compiled, arguments: argparse.Namespace, events: Events
) -> Callable[[Note], None]:
    """Says, and tells the events, what became of a checkpoint."""
    from shootdown.check.native.keep import NotWritten, Resumed, Unasked, Written
    from shootdown.report.text import size

    target = built.target.text

    def tell(note: Note) -> None:
        where = str(note.file)
        match note:
            case Unasked():
                aside(
                    f"shootdown: {target}: keeping what was found in '{where}' "
                    f"({size(note.bytes)}; --no-checkpoint keeps nothing)"
                )
            case Written():
                events.tell(
                    "checkpoint",
                    target,
                    file=where,
                    bytes=note.bytes,
                    states=note.states,
                    seconds=round(note.seconds, 3),
                )
            case NotWritten():
                events.tell("checkpoint_failed", target, file=where, error=note.why)
                aside(f"shootdown: {target}: cannot write the checkpoint '{where}': {note.why}")
            case Resumed():
                events.tell(
                    "resumed",
                    target,
                    file=where,
                    states=note.states,
                    expanded=note.expanded,
                    seconds=round(note.seconds, 3),
                )

    return tell
