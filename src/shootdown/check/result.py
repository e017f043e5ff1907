"""What a check returns, whichever engine ran it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from shootdown.check.omission import Fingerprints, omission_bound
from shootdown.lang.ir import System

if TYPE_CHECKING:
    from shootdown.check.reduce.reduction import Reduction


class Verdict(Enum):
    """The four answers. Never a bool: a HOLDS is always within stated bounds."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNKNOWN = "UNKNOWN"
    VACUOUS = "VACUOUS"


class ViolationKind(Enum):
    """How a race shows itself."""

    INVARIANT = "invariant"
    ASSERTION = "assertion"
    DEADLOCK = "deadlock"
    NO_PROGRESS = "no progress"  # a loop that nothing forces the system to leave
    MODEL_ERROR = "model error"  # a value left its declared range: the model is wrong


@dataclass(frozen=True, slots=True)
class Limits:
    """Where to stop: ``None`` means no limit. ``memory`` in bytes, ``time`` in seconds."""

    states: int | None = None
    memory: int | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a running search; ``elapsed`` in seconds, ``memory`` and its limit in bytes.

    ``levels`` are the numbers of states known at the ends of the last complete levels (a level is
    the states at the same distance), for :mod:`.estimate`.
    """

    states: int
    expanded: int
    depth: int
    elapsed: float
    memory: int
    memory_limit: int | None = None
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """The first violation in breadth-first order, so no shorter one exists (but for a deadlock,
    which is seen one step later than what breaks an invariant).

    ``path`` lists the states from the start to the last one (state vectors). For a failed check
    inside an action the failing outcome has no successor: ``path`` ends with the state in which the
    action began, and ``failing_outcome`` is the number of that outcome in that state (see
    ``lang.ir``: outcomes are numbered across all actions). ``name`` is the invariant's or the
    assertion's name; ``index`` is its index in ``System.invariants`` or ``System.failures`` (-1 for
    a deadlock) or in ``System.progress``. ``loop``: from ``path[loop]`` on the path goes round for
    ever. ``cut``: why there is no path of the system, only one of a reduced search, or its end:
    ``time`` (the limit was reached before one was made) or ``interrupt``. ``length`` is the number
    of steps of the race, if there is a path.
    """

    kind: ViolationKind
    name: str
    index: int
    path: tuple[tuple[int, ...], ...]
    failing_outcome: int | None = None
    loop: int | None = None
    cut: str | None = None

    @property
    def real(self) -> bool:
        """Whether the path is one of the system."""
        return self.cut is None

    @property
    def length(self) -> int:
        return len(self.path) - 1 + (self.failing_outcome is not None)


@dataclass(frozen=True, slots=True)
class Covered:
    """What an ordinary search had seen when a reduced one took its place."""

    states: int
    depth: int


@dataclass(frozen=True, slots=True)
class Represented:
    """What the states of a search with ``symmetry`` stand for: ``states``, all their images.

    ``reachable``: the initial state is its own only image, so without ``order`` and ``merge`` the
    ordinary search finds as many; else some of them may be out of its reach. ``error`` is one
    standard error of an estimate, 0 of a count.
    """

    states: int
    reachable: bool
    error: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A finished or stopped search.

    ``states`` counts distinct states discovered (the initial one included), ``expanded`` those
    whose successors were all generated, ``transitions`` the outcomes generated. ``depth`` is
    the largest distance from the initial state at which a state was discovered. ``covered`` has
    one entry for each of ``System.lines``; ``goals`` one for each of ``System.goals``: was it
    true in some discovered state? ``stopped`` says why an UNKNOWN search ended: ``states``,
    ``memory``, ``time``, ``interrupt``, or ``progress``: too many states to look for endless loops.
    ``checkpoint`` is the file from which the search can go on, if it is stopped and there is one.
    ``preparing``: how many of the seconds passed before the search began or while its code was
    made; they are few where the code is kept. ``keys`` counts what was stored where states were
    searched together (``check.native.lanes``); ``hurried``: they were not, since choosing which
    would have taken too much of the time limit. ``before``: this search with reductions took the
    place of an ordinary one, which had seen that. ``fingerprints``: what was kept instead of
    states, if it was: then states may be omitted. ``represented`` is what the states stand for by
    symmetry, None where that is not known or the search ended with a violation.
    """

    system: System
    engine: str
    verdict: Verdict
    states: int
    expanded: int
    transitions: int
    depth: int
    seconds: float
    memory: int
    goals: tuple[bool, ...]
    covered: tuple[bool, ...]
    violation: Violation | None = None
    stopped: str | None = None
    frontier: int = field(default=0)  # discovered but not expanded
    keys: int | None = None  # of the lanes; 0: asked for, but there is no leaf
    hurried: bool = False
    preparing: float = field(default=0.0, compare=False)
    checkpoint: str | None = None
    reductions: tuple[str, ...] = ()  # that were on: the counts are those of the smaller graph
    asked: tuple[str, ...] = ()  # the reductions that the user named: not all of them may apply
    given_up: int | None = None  # of symmetry: see Reduction.given_up
    before: Covered | None = None
    fingerprints: Fingerprints | None = None
    represented: Represented | None = None

    @property
    def unfinished(self) -> bool:
        """Whether there are states that it did not come to: what it has not seen may still come.

        (A search that is UNKNOWN since its endless loops were not looked for has seen all.)
        """
        return self.frontier > 0 and self.violation is None

    @property
    def omission(self) -> float:
        """An upper bound of the probability that reachable states were taken for others."""
        kept = self.fingerprints
        return 0.0 if kept is None else omission_bound(self.states, kept.bits)

    @property
    def shortest(self) -> bool:
        """Whether no violation is shorter than the one that was found, but for the probability that
        states were omitted."""
        return self.keeps_distances and self.omission < 1

    @property
    def keeps_distances(self) -> bool:
        """Whether the reductions do: automorphisms keep distances; fewer or longer steps do not."""
        return set(self.reductions) <= {"symmetry"}


class Engine(Protocol):
    """``explore`` searches breadth-first until the end, a violation or a limit.

    ``on_progress`` is called now and then (about ten times a second at most). A KeyboardInterrupt
    during the search ends it as UNKNOWN with ``stopped="interrupt"``. With ``reduce`` it searches
    the smaller graph (:mod:`shootdown.check.reduce`). Raises
    :class:`~shootdown.errors.UnfinishedError` if the limits do not even allow a start.
    """

    def __call__(
        self,
        system: System,
        limits: Limits = ...,
        on_progress: Callable[[Progress], None] | None = ...,
        *,
        reduce: Reduction = ...,
    ) -> Result: ...
