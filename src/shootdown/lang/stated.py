"""What a library states besides its scenarios: invariants by name, and what it cannot decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name, the sentences that a report prints where it is broken (one for each place that
    states it), the names that refine it, and the scenarios that are expected to break it."""

    name: str
    texts: tuple[str, ...]
    refined: tuple[str, ...]
    broken_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotModelled:
    """A race that no scenario decides: ``needs`` is the mechanism that is missing, ``source`` the
    commit or page that describes it."""

    name: str
    needs: str
    title: str
    source: str
