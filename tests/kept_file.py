"""Searches that are kept in one file of a test's own."""

from __future__ import annotations

from pathlib import Path

from shootdown.check.native.keep import Keeper, Note, Place

ABOUT = {"scenario": "it"}


class KeptFile:
    """A file that searches are kept in, and what was said of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "c"
        self.notes: list[Note] = []

    def keeper(
        self, resume: bool = False, about: dict[str, str] = ABOUT, **place: object
    ) -> Keeper:
        """Keeps one search, which goes on from the file if it is to ``resume``; the rest is of
        :class:`Place`."""
        where = Place(self.file, **place)  # type: ignore[arg-type]
        return Keeper(lambda _: where, about, self.notes.append, self.file if resume else None)

    def said(self) -> list[type]:
        """What kinds of notes there were."""
        return [type(note) for note in self.notes]
