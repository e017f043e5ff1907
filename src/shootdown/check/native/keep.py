"""When a search is kept in a file, and how it goes on from there."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shootdown.errors import UsageError

if TYPE_CHECKING:
    from shootdown.check.native.interface import Snapshots
    from shootdown.lang.ir import System

WORTH_IT = 60.0
"""Seconds that a search must have taken to be kept unasked."""

_SHARE = 0.1  # of the time of a search: the most that its periodic checkpoints may take
_SPARED = 0.5  # of the free space: what is not taken unasked
_DIFFERS = {
    "scenario": "is a search of another scenario",
    "bounds": "is a search with other bounds",
    "options": "is a search with other options",
    "without": "is a search with other sites left out",
    "reduce": "is a search with other reductions",
    "compact": "is a search with other fingerprints",
    "lanes": "is a search with other lanes",
    "part": "is another part of the search",
    "reductions": "is a search with other reductions",
    "version": "was written by another version of shootdown",
    "model": "is a search of another state of the model",
    "code": "was written by another state of shootdown",
}


_TAKEN_OVER = ("reduce", "compact", "lanes")
"""Options that a file has and a search that goes on from it need not name."""

_LATER = ("part", "reductions")
"""What is not known before the search is prepared."""


def difference(file: Path, name: str, there: str, here: str) -> UsageError:
    """What to say where a file is of another search than what is asked for."""
    shown = f" ({there or 'none'}; here: {here or 'none'})"
    if name in _TAKEN_OVER:
        shown += f": leave out --{name}, and it goes on as it began"
    return UsageError(f"'{file}' {_DIFFERS[name]}{'' if name == 'code' else shown}")


@dataclass(frozen=True, slots=True)
class Unasked:
    """A checkpoint of about so many bytes is going to be written, which nobody asked for."""

    file: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """A checkpoint was written; ``seconds`` is how long that took."""

    file: Path
    bytes: int
    states: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NotWritten:
    """A checkpoint could not be written; an older one is as it was."""

    file: Path
    why: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A search goes on from a file; ``seconds`` is how long it took until then."""

    file: Path
    states: int
    expanded: int
    seconds: float


Note: TypeAlias = Unasked | Written | NotWritten | Resumed


@dataclass(frozen=True)
class Place:
    """Where a search is kept: in ``file``, every ``every`` seconds and when it is stopped.

    Unasked it is kept only if it has lasted for a while, and if that leaves half of the disk's free
    space.
    """

    file: Path
    every: float = math.inf
    unasked: bool = False


class Keeper:
    """Keeps one search.

    ``place`` is None where nothing is to be kept; it may depend on the system. ``about`` says in
    words what is searched; with what the engine adds it must be the same when the search goes on.
    ``slow`` says the rest of that: it is asked only if there is a file to read or to write.
    """

    def __init__(
        self,
        place: Callable[[System], Place | None],
        about: Mapping[str, str],
        tell: Callable[[Note], None],
        resume: Path | None = None,
        slow: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._place_of = place
        self.about = dict(about)
        self.slow = slow
        self.tell = tell
        self.resume = resume
        self._place: Place | None = None
        self._code: Callable[[], Sequence[str]] = tuple
        self._kept = False  # there is a checkpoint in the place
        self._earlier = 0.0  # seconds of the searches that this one goes on from
        self._internal: str | None = None
        self._next = math.inf
        self._failed = False

    @property
    def wrote_or_said(self) -> bool:
        """Whether there is a checkpoint in the place, or it was told why there is none."""
        return self._kept or self._failed

    def recorded(self, name: str) -> str:
        """What the file that the search goes on from says about it; empty where there is none."""
        if self.resume is None:
            return ""
        from shootdown.check.native.checkpoint import Reader

        with Reader(self.resume) as reader:
            return str(reader.description["about"].get(name, ""))

    def compare(self, system: System, code: Callable[[], Sequence[str]] | None = None) -> None:
        """Refuse the file if it is of another search, as far as that is known before one begins:
        whatever comes next may take long. ``code`` is as for :meth:`begin`, where it is known."""
        self.about["model"] = system.fingerprint
        if self.resume is not None:
            from shootdown.check.native.checkpoint import Reader

            with Reader(self.resume) as reader:
                theirs = reader.description["about"]
            if code is None:
                self._compare(theirs, {**self.slow(), **self.about}, (*_LATER, "code"))
            else:
                self._code = code
                self._compare(theirs, self._all_about(), _LATER)

    def part(self, name: str, internal: str | None = None) -> None:
        """What is searched next is one of several parts; what comes after the first one that is
        resumed begins anew. A search that stops because of ``internal`` is not kept: the next part
        follows."""
        self._internal = internal
        self._place = None
        self._earlier = 0.0
        if self.about.get("part"):
            self.resume = None
        self.about["part"] = name

    def begin(
        self,
        system: System,
        code: Callable[[], Sequence[str]],
        reductions: Sequence[str],
        store: Snapshots,
    ) -> float:
        """Go on from the file, if there is one; the seconds that the search took until then.
        ``code`` gives the texts of the functions that search: it is asked when ``slow`` is."""
        self.about["reductions"] = ",".join(reductions)
        self.about["model"] = system.fingerprint
        self._code = code
        if self.resume is not None:
            from shootdown.check.native.checkpoint import Reader

            with Reader(self.resume) as reader:
                self._compare(reader.description["about"], self._all_about())
                numbers = reader.description["numbers"]
                reader.read(store.restore(numbers))
            store.restored(numbers)
            self._earlier = reader.description["seconds"]
            counts = store.counts()
            self.tell(Resumed(self.resume, counts.states, counts.expanded, self._earlier))
        self._place = self._place_of(system)  # not before: what is half read must not be written
        if self._place is not None:
            self._next = self._place.every
            self._kept = self._place.file == self.resume
        return self._earlier

    def look(self, store: Snapshots, seconds: float) -> None:
        """Write a checkpoint if it is time to; ``seconds`` is the age of this search."""
        if seconds < self._next or self._place is None:
            return
        took = self._write(self._place, store, seconds)
        self._next = seconds + took + max(self._place.every, took / _SHARE)

    def stopped(self, store: Snapshots, why: str, seconds: float) -> str | None:
        """Keep a search that ends before its end: where, if it is kept."""
        if self._place is None or why == self._internal:
            return None
        if self._place.unasked and seconds + self._earlier < WORTH_IT:
            return None
        self._failed = False  # said again: now it counts
        try:
            self._write(self._place, store, seconds)
        except KeyboardInterrupt:
            self.tell(NotWritten(self._place.file, "interrupted"))
        return str(self._place.file) if self._kept else None

    def finished(self) -> None:
        """The search has a verdict: what was kept of it unasked is of no use any more."""
        if self._place is not None and self._place.unasked:
            with contextlib.suppress(OSError):
                self._place.file.unlink(missing_ok=True)

    def _write(self, place: Place, store: Snapshots, seconds: float) -> float:
        """Write a checkpoint, or say once why that is not possible; how long it took."""
        from shootdown.check.native.checkpoint import write

        began = time.perf_counter()
        snapshot = store.snapshot()
        if snapshot is None:
            return 0.0
        numbers, parts = snapshot
        about = self._all_about()
        description = {"about": about, "numbers": numbers, "seconds": self._earlier + seconds}
        try:
            if place.unasked:
                self.tell(Unasked(place.file, sum(part.nbytes for part in parts)))
                place.file.parent.mkdir(parents=True, exist_ok=True)
            size = write(place.file, description, parts, _SPARED if place.unasked else 0.0)
        except OSError as error:
            if not self._failed:
                self.tell(NotWritten(place.file, error.strerror or str(error)))
            self._failed = True
        else:
            self._failed, self._kept = False, True
            took = time.perf_counter() - began
            self.tell(Written(place.file, size, store.counts().states, took))
        return time.perf_counter() - began

    def _all_about(self) -> Mapping[str, str]:
        """What is searched, in full."""
        code = sha256("\0".join(self._code()).encode()).hexdigest()
        return {**self.slow(), **self.about, "code": code}

    def _compare(
        self, theirs: Mapping[str, str], ours: Mapping[str, str], later: Sequence[str] = ()
    ) -> None:
        for name in _DIFFERS:
            there, here = theirs.get(name, ""), ours.get(name, "")
            if there != here and name not in later:
                assert self.resume is not None
                raise difference(self.resume, name, there, here)
