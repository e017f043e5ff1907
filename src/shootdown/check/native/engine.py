"""The native engine: compiles a system to machine code and runs the search there.

It gives the same result as :mod:`shootdown.check.reference`, whose text defines the search.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from shootdown.check.deadline import time_limit
from shootdown.check.estimate import LEVELS
from shootdown.check.memory import Watch, check_limits, memory_limit
from shootdown.check.native import core
from shootdown.check.native.interface import FAILURE, FUNCTIONS, INVARIANT, Counts, StateStore
from shootdown.check.native.layout import WORD, Layout, plan
from shootdown.check.native.starts import Start, keep_start, kept_start
from shootdown.check.native.store import Memory, Store, load_core
from shootdown.check.reduce.reduction import NONE, Reduction
from shootdown.check.result import (
    Limits,
    Progress,
    Represented,
    Result,
    Verdict,
    Violation,
    ViolationKind,
)
from shootdown.errors import UnfinishedError
from shootdown.lang.ir import FailureKind, System
from shootdown.native import jit
from shootdown.native.cache import kept_file

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper
    from shootdown.check.omission import Fingerprints

NO_LIMITS = Limits()
"""Search to the end."""

MORE, GROW, BAD_STATE, BAD_STEP, LIMITED = (
    core.STATUS[name] for name in ("MORE", "GROW", "BAD_STATE", "BAD_STEP", "LIMITED")
)
Path: TypeAlias = tuple[tuple[int, ...], ...]

_MOMENT = 0.3  # seconds
_SLICE = 0.05  # seconds in native code, after which signals and limits are looked at
_LINE = 5e-5  # seconds that LLVM takes for good code of a line, about
_PATIENCE = 2.0  # how often longer than that an ordinary search runs before it makes it


def explore(  # noqa: PLR0913
    system: System,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    reduce: Reduction = NONE,
    good_code_after: float = 1.0,
    keeper: Keeper | None = None,
    threads: int = 1,
    compact: Fingerprints | None = None,
    digest: str = "",
) -> Result:
    """Search ``system`` breadth-first.

    The search begins with code that LLVM compiles fast; if it takes longer than
    ``good_code_after`` seconds, it goes on with good code (kept on disk for the next time).
    ``Result.memory`` and ``Limits.memory`` are about the states and their table. ``keeper`` writes
    checkpoints, and lets the search go on from one. ``threads`` changes the time only, not what is
    found. With ``compact`` it keeps fingerprints instead of states, and may omit some: see
    :mod:`shootdown.check.omission`. Under ``digest``, which must be another one for every other
    system, the start of the search is kept for the next time: see :mod:`.starts`.
    """
    check_limits(limits)
    search = _Search(system, limits, on_progress, good_code_after, reduce=reduce, keeper=keeper)
    search.threads = threads
    search.compact = compact
    search.digest = digest
    try:
        search.run()
    except KeyboardInterrupt:
        search.stopped = "interrupt"
    search.keep()
    result = search.result()
    if result.violation is None or not reduce:
        return result
    from shootdown.check.reduce.concretize import with_real_path

    most = limits.time
    left = None if most is None else most - (time.perf_counter() - search.began)
    return with_real_path(result, reduce, left)


@dataclass(frozen=True, slots=True)
class Reached:
    """What a search of :class:`Prepared` found: for each combination of the variables asked for the
    number of the first state, nearest to the initial one, that has it."""

    found: Mapping[tuple[int, ...], int]
    result: Result
    _search: _Search

    def path(self, values: tuple[int, ...]) -> Path:
        """The states of a shortest path from the initial one to a combination in ``found``."""
        search, init = self._search, self.result.system.init
        assert search.store is not None
        provide(search.functions, search.system, search.layout)  # others have used it since
        given = [number for number, _ in search.layout.given]
        path = []
        for state in map(list, search.path(search.store, self.found[values])):
            for number in given:
                state[number] = init[number]
            path.append(tuple(state))
        return tuple(path)


class Prepared:
    """A system with its code: for many searches that differ in the initial state only. The code is
    quickly made, until they have taken longer together than to make good code does, unless they
    are ``short``."""

    def __init__(self, system: System, *, short: bool = False) -> None:
        self.system = system
        from shootdown.check.native.bodies import most_outcomes
        from shootdown.check.native.emit import emit

        self.short = short
        self.layout = plan(system)
        self.outcomes = most_outcomes(system)
        self.ir = emit(system, self.layout)
        self.lines = self.ir.count("\n")
        self.code = jit.compiled(self.ir, jit.FAST)
        self.load()

    def load(self) -> None:
        """Get the code: after unpickling, too."""
        self.memory = memory_limit(NO_LIMITS)
        self.core = load_core(self.layout.words)
        good = None if self.short else jit.load_cached(self.ir, FUNCTIONS)
        self.functions = good or jit.Library(self.code, FUNCTIONS)
        self.good_code_after = math.inf if self.short or good is not None else 0.0
        """Seconds that a search may take before it costs more than good code; less than 0 after
        others."""

    def improve(self) -> jit.Library:
        """Make good code, for this search and those that follow."""
        self.good_code_after = math.inf
        self.functions = jit.load(self.ir, FUNCTIONS, jit.GOOD)
        return self.functions

    def __getstate__(self) -> dict[str, object]:
        return {
            name: value for name, value in vars(self).items() if name not in ("functions", "core")
        }

    def reached(
        self,
        init: tuple[int, ...],
        final: Callable[[tuple[int, ...]], bool],
        shown: tuple[int, ...],
        limits: Limits = NO_LIMITS,
    ) -> Reached:
        """What the variables ``shown`` can be, from one initial state, in those of the states that
        ``final`` accepts. ``final`` is asked once for each combination of these variables."""
        check_limits(limits)
        if limits.memory is None:
            limits = replace(limits, memory=self.memory)
        cost = self.lines * _LINE
        if self.good_code_after <= -_PATIENCE * cost and cost < (limits.time or math.inf):
            self.improve()
        search = _Search(replace(self.system, init=init), limits, None, 0.0, self)
        found: dict[tuple[int, ...], int] = {}
        try:
            search.run()
            slots = [self.layout.slots[v] for v in shown]
            masks: dict[int, int] = {}
            for slot in slots:
                masks[slot.word] = masks.get(slot.word, 0) | slot.mask
            store = search.store
            for words, first in store.distinct(sorted(masks.items())) if store else ():
                values = tuple((words[s.word] & s.mask) >> s.shift for s in slots)
                if final(values):
                    found[values] = first
        except KeyboardInterrupt:
            search.stopped = "interrupt"
        result = search.result()
        self.good_code_after -= result.seconds
        return Reached(found, result, search)


def provide(functions: jit.Library, system: System, layout: Layout) -> None:
    """Put the values that no action writes into the table beside the code."""
    if layout.given:
        table = ctypes.c_int64 * len(system.init)
        table.from_address(functions.addresses["given"])[:] = list(system.init)


class _Search:
    """One search; the counts live in the store, so an interrupt at any point finds them whole."""

    threads = 1
    compact: Fingerprints | None = None
    digest = ""
    lines = 0
    """Of the text of the functions."""
    patience = _PATIENCE

    def __init__(
        self,
        system: System,
        limits: Limits,
        on_progress: Callable[[Progress], None] | None,
        good_code_after: float,
        prepared: Prepared | None = None,
        reduce: Reduction = NONE,
        keeper: Keeper | None = None,
    ) -> None:
        self.system = system
        self.reduce = reduce
        self.limits = limits
        self.on_progress = on_progress
        self.began = self.reported = time.perf_counter()
        self.good_code_after = good_code_after
        self.prepared = prepared
        self.keeper = keeper
        self.checkpoint: str | None = None
        self.preparing = 0.0  # seconds without a search
        self.earlier = 0.0  # seconds of the searches that this one goes on from
        self.watch = Watch()
        self.store: StateStore | None = None
        self.violation: Violation | None = None
        self.stopped: str | None = None

    def run(self) -> None:
        system = self.system
        limit = self.limits.time  # a moment more: every search should see its first state
        try:
            with time_limit(None if limit is None else limit + _MOMENT, "writing the code"):
                functions = self.code()
        except UnfinishedError:
            self.stopped = "time"
            return
        layout = self.layout
        self.functions = functions
        self.provide(functions)
        lines, goals = len(system.lines), len(system.goals)
        self.memory_limit = memory_limit(self.limits)
        prepared = self.prepared
        outcomes = self.outcomes
        if self.reduce.merge is not None:
            outcomes *= 2  # those of the states that are passed through come behind
            lines += goals  # so do the goals that are true in these states
        sizes = (layout.words, outcomes, lines, goals, self.memory_limit)
        core_code = None if prepared is None else prepared.core
        store: Store
        text = core.text
        if self.compact is not None:
            from shootdown.check.native import compact_core
            from shootdown.check.native.compact_store import CompactStore

            store, text = CompactStore(*sizes, self.compact, self.watch), compact_core.text
        elif self.threads > 1:
            from shootdown.check.native.team import TeamStore

            store = TeamStore(*sizes, core_code, self.watch, threads=self.threads)
        else:
            store = Store(*sizes, core_code, self.watch)
        code = store.begin(functions, layout.pack(self.initial()), self.limits.states)
        self.preparing = time.perf_counter() - self.began
        self.store = store
        if code:
            self.violation = self.bad_state(store, code)
            return
        if self.keeper is not None:

            def texts() -> tuple[str, str]:
                return self.ir, text(layout.words)

            self.earlier = self.keeper.begin(system, texts, self.reduce.names, store)
            if store.counts().states > (self.limits.states or math.inf):
                self.stopped = "states"
                return
        status = self.search(store)
        if status in (BAD_STATE, BAD_STEP, LIMITED):
            store.settle()
        if status == BAD_STATE:
            self.violation = self.bad_state(store, store.stop()[0])
        elif status == BAD_STEP:
            self.violation = self.bad_step(store, *store.stop())
        elif status == LIMITED:
            self.stopped = "states"

    def initial(self) -> tuple[int, ...]:
        """The state where the search begins."""
        if not self.reduce:
            return self.system.init
        from shootdown.check.reduce.graph import Graph

        return Graph(self.system, self.reduce).initial

    def code(self) -> jit.Library:
        """The functions of the model: good ones if they are at hand, else quick ones."""
        if self.prepared is not None:
            self.good_code_after = self.prepared.good_code_after
            self.layout, self.outcomes = self.prepared.layout, self.prepared.outcomes
            self.lines = self.prepared.lines
            return self.prepared.functions
        digest = self.digest if self.reduce == NONE else ""
        start = kept_start(digest) if digest else None
        if start is not None:
            self.layout, self.outcomes, self.lines = start.layout, start.outcomes, start.lines
            file = start.good
        else:
            from shootdown.check.native.bodies import most_outcomes

            self.layout, self.outcomes = plan(self.system), most_outcomes(self.system)
            self.lines = self.ir.count("\n")
            file = jit.cache_file(self.ir).name
        functions = jit.load_file(kept_file(file), self.names)
        if functions is None and self.good_code_after > 0:
            if self.reduce.order is not None or self.reduce.merge is not None:
                # the choice of outcomes takes most of the time: good code as soon as it pays
                self.good_code_after, self.patience = 0.0, 1.0
            code = jit.compiled(self.ir, jit.FAST) if start is None else start.code
            if digest and start is None:
                keep_start(digest, Start(self.layout, self.outcomes, self.lines, file, code))
            return jit.Library(code, self.names)
        self.good_code_after = math.inf
        return functions or jit.load(self.ir, self.names, jit.GOOD)

    @property
    def names(self) -> tuple[str, ...]:
        """What the code offers."""
        chooses = self.reduce.order is not None or self.reduce.merge is not None
        return (*FUNCTIONS, "memo") if chooses else FUNCTIONS

    def provide(self, functions: jit.Library) -> None:
        """Give the code what it needs of this search."""
        provide(functions, self.system, self.layout)
        if "memo" in functions.addresses:
            memo = (ctypes.c_int64 * 3).from_address(functions.addresses["memo"])
            areas = 1 << (self.threads - 1).bit_length()
            with contextlib.suppress(OSError):  # it is slower without
                memory = Memory(areas * memo[2])
                memo[:2] = [memory.address, areas]
                functions.memory = memory

    @cached_property
    def ir(self) -> str:
        """The text of the functions of the model."""
        from shootdown.check.native.emit import emit

        return emit(self.system, self.layout, self.reduce)

    def search(self, store: StateStore) -> int:
        """Run the core in slices until it ends or a limit is reached; the last status."""
        budget = 200  # states, then as many as fill a slice
        while not self.over_limit(store):
            began = time.perf_counter()
            status = store.run(budget)
            if status == GROW:
                if not store.grow():
                    self.stopped = "memory"
                    return status
            elif status == MORE:
                seconds = max(time.perf_counter() - began, 1e-6)
                budget = max(1, int(budget * min(4.0, _SLICE / seconds)))
                store.mark()
                self.improve(store)
                if self.keeper is not None:
                    self.keeper.look(store, time.perf_counter() - self.began)
            else:
                return status
        return MORE

    def cost(self) -> float:
        """Seconds that LLVM takes for good code, about."""
        return self.lines * _LINE

    def improve(self, store: StateStore) -> None:
        """Go over to good code if the search takes long enough."""
        cost = self.cost()  # which a short search would not win back
        elapsed = time.perf_counter() - self.began
        if self.limits.time is not None and elapsed + cost >= self.limits.time:
            return
        if elapsed >= self.good_code_after + self.patience * cost:
            self.good_code_after = math.inf
            prepared = self.prepared
            functions = prepared.improve() if prepared else jit.load(self.ir, self.names, jit.GOOD)
            self.preparing += time.perf_counter() - self.began - elapsed
            self.provide(functions)
            store.use(functions)

    def over_limit(self, store: StateStore) -> bool:
        """Whether time is up, or other programs have taken the memory; reports progress."""
        now = time.perf_counter()
        elapsed = now - self.began
        if self.on_progress and now - self.reported >= 0.1:
            self.reported = now
            at = store.counts()
            memory, levels = (store.memory(), self.memory_limit), store.level_ends(LEVELS)
            seconds = self.earlier + elapsed
            self.on_progress(Progress(at.states, at.expanded, at.depth, seconds, *memory, levels))
        if self.watch.short(now):
            self.stopped = "memory"
            return True
        if self.limits.time is not None and elapsed >= self.limits.time:
            self.stopped = "time"
            return True
        return False

    def keep(self) -> None:
        """Keep what was found, if the search was stopped; what is kept of a violation without a
        path stays, since that can be found with it."""
        if self.keeper is None or self.store is None:
            return
        if self.violation is None and self.stopped is not None:
            seconds = time.perf_counter() - self.began
            self.checkpoint = self.keeper.stopped(self.store, self.stopped, seconds)
        elif self.violation is None or self.violation.real:
            self.keeper.finished()

    # ------------------------------------------------------------------ violations

    def bad_state(self, store: StateStore, code: int) -> Violation:
        """The violation in the state discovered last, from what ``check`` returned."""
        path, cut = self.race(store, store.counts().states - 1)
        if code >= FAILURE:
            return self.failed(code - FAILURE, path, None, cut)
        index = code - INVARIANT
        name = self.system.invariants[index].name
        return Violation(ViolationKind.INVARIANT, name, index, path, cut=cut)

    def bad_step(self, store: StateStore, code: int, outcome: int) -> Violation:
        """The violation in the state that was to be expanded, from what ``expand`` returned."""
        path, cut = self.race(store, store.counts().expanded)
        if code == core.DEADLOCK:
            return Violation(ViolationKind.DEADLOCK, "deadlock", -1, path, cut=cut)
        return self.failed(code - 1, path, outcome, cut)

    def failed(self, index: int, path: Path, outcome: int | None, cut: str | None) -> Violation:
        failure = self.system.failures[index]
        kind = {
            FailureKind.ASSERTION: ViolationKind.ASSERTION,
            FailureKind.MODEL_ERROR: ViolationKind.MODEL_ERROR,
        }[failure.kind]
        return Violation(kind, failure.name, index, path, outcome, cut=cut)

    def race(self, store: StateStore, number: int) -> tuple[Path, str | None]:
        """The states of a path, which ends with what is known of it when Ctrl-C is pressed: the
        verdict is known."""
        ways = store.path(number)
        backwards = [next(ways)]
        try:
            backwards += ways
            cut = None
        except KeyboardInterrupt:
            cut = "interrupt"
        return tuple(self.layout.unpack(words) for words in backwards)[::-1], cut

    def path(self, store: StateStore, number: int) -> Path:
        """The states of a path, from the initial one on."""
        return tuple(self.layout.unpack(words) for words in store.path(number))[::-1]

    # ---------------------------------------------------------------------- result

    def result(self) -> Result:
        store = self.store
        lines = len(self.system.lines)
        covered = (False,) * lines if store is None else store.covered()
        goals = (False,) * len(self.system.goals) if store is None else store.goals()
        if self.reduce.merge is not None and store is not None:
            from shootdown.check.reduce.graph import Graph

            passed, first = covered[lines:], Graph(self.system, self.reduce).reached
            goals = tuple(a or passed[i] or i in first for i, a in enumerate(goals))
        if self.violation is not None:
            verdict = Verdict.VIOLATED
        elif self.stopped is not None:
            verdict = Verdict.UNKNOWN
        else:
            verdict = Verdict.HOLDS if all(goals) else Verdict.VACUOUS
        at = Counts(0, 0, 0, 0) if store is None else store.counts()
        return Result(
            system=self.system,
            engine="native",
            verdict=verdict,
            states=at.states,
            expanded=at.expanded,
            transitions=at.transitions,
            depth=at.depth,
            seconds=self.earlier + time.perf_counter() - self.began,
            memory=0 if store is None else store.memory(),
            goals=goals,
            covered=covered[:lines],
            violation=self.violation,
            stopped=None if self.violation else self.stopped,
            frontier=at.states - at.expanded,
            checkpoint=self.checkpoint,
            reductions=self.reduce.names,
            fingerprints=self.compact,
            represented=self.represented(),
            preparing=self.preparing,
        )

    def represented(self) -> Represented | None:
        """What the states stand for by symmetry."""
        symmetry, store = self.reduce.symmetry, self.store
        if symmetry is None or store is None or self.violation is not None:
            return None
        if self.compact is not None:
            return None  # the states are gone
        from shootdown.check.native.represented import represented

        return represented(self.system, self.layout, symmetry, store, self.stopped is not None)


def sample(prepared: Prepared, init: tuple[int, ...], states: int) -> list[int]:
    """The first so many states that a search discovers (or all, or those up to a violation): the
    words of each, the first one lowest."""
    limits = Limits(states=states, memory=prepared.memory)
    search = _Search(replace(prepared.system, init=init), limits, None, math.inf, prepared)
    search.run()
    if search.store is None:
        return []
    masks = [(word, (1 << WORD) - 1) for word in range(search.layout.words)]
    return [
        sum(value << WORD * word for word, value in words.items())
        for words, _ in search.store.distinct(masks)
    ]
