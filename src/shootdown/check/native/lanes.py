"""Search of many states at once: those that differ in a few variables only (the leaf).

The result is that of the ordinary search: the same verdict and the same counts, and of a violation
the same length. Which of several violations of that length is found may differ, and how many states
are known then.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shootdown.check.deadline import time_limit
from shootdown.check.memory import Watch, check_limits, memory_limit
from shootdown.check.native import engine, lanes_core
from shootdown.check.native.interface import FUNCTIONS
from shootdown.check.native.lanes_choose import choose_leaf
from shootdown.check.native.lanes_emit import Covering, emit_lanes, most_made
from shootdown.check.native.lanes_leaf import Leaf
from shootdown.check.native.lanes_split import Split, split
from shootdown.check.native.lanes_store import EntryStore, ones
from shootdown.check.native.layout import Layout, plan
from shootdown.check.outcomes import is_deadlock, judge_property, outcomes
from shootdown.check.result import Limits, Progress, Result, Verdict, Violation, ViolationKind
from shootdown.errors import UnfinishedError
from shootdown.lang.interpret import State
from shootdown.lang.ir import Action, Body, FailureKind, Note, System
from shootdown.native import jit
from shootdown.native.cache import sources

if TYPE_CHECKING:
    from shootdown.check.native.keep import Keeper

MORE, GROW, BAD_STATE, BAD_STEP, LIMITED = (
    lanes_core.STATUS[name] for name in ("MORE", "GROW", "BAD_STATE", "BAD_STEP", "LIMITED")
)
NO_LIMITS = Limits()
LATER = "lanes"
"""The part of a kept search that comes after ``SHORT`` states."""
SHORT = 200_000
"""States up to which a search is short: it is done in the ordinary way, without a plan."""

TO_CHOOSE = 0.25
"""The part of the time limit that choosing the lanes may take: the search is for the rest."""

_NO_LEAF, _HURRIED = "none", "hurried"  # as a file says it
_MOMENT = 0.3  # seconds
_SLICE = 0.05  # seconds in native code, after which signals and limits are looked at
_MOST_STATES = 1 << 62


@dataclass(frozen=True, slots=True)
class Plan:
    """A leaf, and the code for it: empty where it is still to be written."""

    leaf: Leaf
    bits: dict[int, int]  # of the variables that the leaf splits
    layout: Layout | None = None
    most_made: int = 0  # bounds what one entry makes
    covering: Covering = ((), ())
    code: bytes = b""

    @staticmethod
    def of(system: System, leaf: Leaf) -> Plan:
        """A plan with nothing but the leaf."""
        return Plan(leaf, split(system, leaf.split).bits)


def explore(
    system: System,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """Search ``system`` breadth-first, many states at a time if some variables make a leaf.

    Where none do, or where choosing them takes more than ``TO_CHOOSE`` of the time limit
    (``Result.hurried``), it is the ordinary search, and ``Result.keys`` is 0. ``keeper`` writes
    checkpoints, and lets the search go on from one.
    """
    check_limits(limits)
    began = time.perf_counter()
    file = _cache_file(system)
    hurried = False
    most = None if limits.time is None else limits.time * TO_CHOOSE
    try:
        recorded = "" if keeper is None else keeper.recorded("leaf")
        if keeper is not None and recorded:
            chosen = _recorded(system, recorded, file, keeper)
            hurried = recorded == _HURRIED
        else:
            with time_limit(most, "choosing the lanes"):
                chosen = _chosen(system, file)
    except UnfinishedError:
        chosen, hurried = None, True
    except KeyboardInterrupt:
        search = _Search(system, Plan.of(system, Leaf.of(system, ())), limits, None, good_code=True)
        search.stopped = "interrupt"
        return search.result()
    rest = _left(limits, began)
    if keeper is not None:
        none = _HURRIED if hurried else _NO_LEAF
        keeper.about["leaf"] = none if chosen is None else _leaf_text(chosen.leaf)
    if chosen is None:
        found = engine.explore(system, rest, on_progress, keeper=keeper)
        return replace(found, keys=0, hurried=hurried)
    search = _Search(system, chosen, rest, on_progress, good_code=True, keeper=keeper)
    result = search.finished()
    code = jit.read(jit.cache_file(search.ir)) if search.ir else None
    if code is not None:
        parts = (search.layout, search.most_made, search.covering, code)
        _keep(file, Plan(chosen.leaf, chosen.bits, *parts))
    return result


def explore_auto(
    system: System,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """The ordinary search up to ``SHORT`` states; if that is not all, many states at a time.

    A violation that is found so is searched for again in the ordinary way, as far as the limits
    allow: then the race and the counts are those of the ordinary search.
    """
    check_limits(limits)
    began = time.perf_counter()
    short = SHORT if limits.states is None else min(SHORT, limits.states)
    if keeper is None or keeper.recorded("part") != LATER:
        if keeper is not None:
            keeper.part("short", internal=None if short == limits.states else "states")
        first = engine.explore(system, replace(limits, states=short), on_progress, keeper=keeper)
        if first.stopped != "states" or short == limits.states:
            return first
    if keeper is not None:
        keeper.part(LATER)
    found = explore(system, _left(limits, began), on_progress, keeper)
    return with_ordinary_race(found, _left(limits, began), on_progress)


def with_ordinary_race(
    found: Result, limits: Limits, on_progress: Callable[[Progress], None] | None
) -> Result:
    """What ``explore`` found; but a violation is searched for again in the ordinary way."""
    if found.keys == 0:
        return found if found.hurried else replace(found, keys=None)
    if found.violation is None or not found.violation.real:
        return found
    again = engine.explore(found.system, limits, on_progress)
    return found if again.violation is None or not again.violation.real else again


def _left(limits: Limits, began: float) -> Limits:
    """What is left of some limits."""
    if limits.time is None:
        return limits
    return replace(limits, time=max(0.0, limits.time - (time.perf_counter() - began)))


def _cache_file(system: System) -> Path:
    """Where the plan for a system is kept, for these sources."""
    return jit.cache_file(_key(system))


def _key(system: System) -> str:
    """What a plan and its code are made for.

    It has all that a plan depends on. (The code of the ordinary search would say it as well,
    but writing it takes a tenth of the time that two million states take.)
    """
    key = (
        [(variable.size, variable.given) for variable in system.variables],
        [(process.pc, process.daemon, _actions(process.actions)) for process in system.processes],
        _actions(system.rules),
        [_operations(prop.body) for prop in system.invariants],
        [_operations(prop.body) for prop in system.goals],
    )
    # what writes its code is in lang, too
    return f"lanes {sources('native', 'check', 'lang')} {key}"


def _actions(actions: Sequence[Action]) -> list[object]:
    return [(action.fair, _operations(action.body)) for action in actions]


def _operations(body: Body) -> list[object]:
    """A body without its notes."""
    return [
        ([op for op in block.ops if not isinstance(op, Note)], block.end) for block in body.blocks
    ]


def _chosen(system: System, file: Path) -> Plan | None:
    """The plan that is kept, else a new one."""
    content = jit.read(file)
    if content is not None:
        kept: Plan | None = pickle.loads(content)
        return kept
    leaf = choose_leaf(system)
    chosen = None if leaf is None else Plan.of(system, leaf)
    _keep(file, chosen)
    return chosen


def _leaf_text(leaf: Leaf) -> str:
    return json.dumps([leaf.variables, leaf.sizes, leaf.inner, leaf.split])


def _recorded(system: System, recorded: str, file: Path, keeper: Keeper) -> Plan | None:
    """The plan with which a kept search began, whatever would be chosen now."""
    if recorded in (_NO_LEAF, _HURRIED):
        return None
    # the leaf of another system is none of this one
    keeper.compare(system, lambda: (_key(system), recorded))
    variables, sizes, inner, parts = json.loads(recorded)
    leaf = Leaf(tuple(variables), tuple(sizes), inner, tuple(parts))
    content = jit.read(file)
    kept: Plan | None = None if content is None else pickle.loads(content)
    return kept if kept is not None and kept.leaf == leaf else Plan.of(system, leaf)


def _keep(file: Path, chosen: Plan | None) -> None:
    jit.write(file, pickle.dumps(chosen, pickle.HIGHEST_PROTOCOL))


def explore_lanes(
    system: System,
    leaf: Leaf,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    good_code: bool = True,
    keeper: Keeper | None = None,
) -> Result:
    """Search ``system`` breadth-first with this leaf; ``good_code`` takes longer to compile."""
    check_limits(limits)
    return _Search(
        system, Plan.of(system, leaf), limits, on_progress, good_code=good_code, keeper=keeper
    ).finished()


class _Search:
    """One search."""

    def __init__(
        self,
        system: System,
        chosen: Plan,
        limits: Limits,
        on_progress: Callable[[Progress], None] | None,
        *,
        good_code: bool,
        keeper: Keeper | None = None,
    ) -> None:
        self.system = system
        self.leaf = chosen.leaf
        self.most_made = chosen.most_made
        self.covering = chosen.covering
        self.kept = chosen.code
        self.limits = limits
        self.on_progress = on_progress
        self.began = self.reported = time.perf_counter()
        self.good_code = good_code
        self.parts = Split(system, chosen.bits)
        self.layout = chosen.layout or plan(self.parts.system, self.leaf.variables)
        self.watch = Watch()
        self.keeper = keeper
        self.checkpoint: str | None = None
        self.earlier = 0.0  # seconds of the searches that this one goes on from
        self.ir = ""
        self.store: EntryStore | None = None
        self.violation: Violation | None = None
        self.stopped: str | None = None

    def finished(self) -> Result:
        """Search; what was found."""
        try:
            self.run()
        except KeyboardInterrupt:
            self.stopped = "interrupt"
        self.keep()
        return self.result()

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

    def run(self) -> None:
        limit = self.limits.time  # a moment more: every search should see its first state
        try:
            with time_limit(None if limit is None else limit + _MOMENT, "writing the code"):
                functions = self.code()
        except UnfinishedError:
            self.stopped = "time"
            return
        system = self.system
        if self.layout.given:
            engine.provide(functions, self.parts.system, self.layout)
        most = self.limits.states
        store = EntryStore(
            self.layout.words - 1,
            self.leaf.words,
            self.most_made,
            self.covering,
            len(system.goals),
            memory_limit(self.limits),
            _MOST_STATES if most is None else most,
            self.watch,
        )
        key, lane = self.split(system.init)
        store.begin(functions, key, lane)
        self.store = store
        if self.keeper is not None:

            def code() -> tuple[str, str]:
                return _key(system), _leaf_text(self.leaf)

            self.earlier = self.keeper.begin(system, code, (), store)
            if most is not None and store["KNOWN"] > most:
                self.stopped = "states"
                return
        status = self.search(store)
        store.violated = status in (BAD_STATE, BAD_STEP)
        if status == BAD_STEP:
            status = store.call("judge")
        if status in (BAD_STATE, BAD_STEP):
            self.violation = self.found(store, status)
        elif status == LIMITED:
            self.stopped = "states"

    def code(self) -> jit.Library:
        """The functions of the model: good ones unless there is no time to make them.

        Code is never changed later: what is linked when large memory is reserved already may lie
        too far from its constants.
        """
        if self.kept:
            return jit.Library(self.kept, FUNCTIONS)
        self.ir, self.covering = emit_lanes(self.parts.system, self.layout, self.leaf)
        self.most_made = most_made(self.parts.system, self.leaf)
        functions = jit.load_cached(self.ir, FUNCTIONS)
        if functions is not None:
            return functions
        good = self.good_code and self.time_for_good_code()
        return jit.load(self.ir, FUNCTIONS, jit.GOOD if good else jit.FAST)

    def time_for_good_code(self) -> bool:
        """Whether there is time to compile: up to 0.05 ms a line."""
        elapsed = time.perf_counter() - self.began
        most = self.limits.time
        return most is None or elapsed + self.ir.count("\n") * 5e-5 < most

    def search(self, store: EntryStore) -> int:
        """Run the core in slices until it ends or a limit is reached; the last status."""
        budget = 200  # states, then as many as fill a slice
        while not self.over_limit(store):
            began = time.perf_counter()
            status = store.call("run", budget)
            if status == GROW:
                if not store.grow():
                    self.stopped = "memory"
                    return status
            elif status == MORE:
                seconds = max(time.perf_counter() - began, 1e-6)
                budget = max(1, int(budget * min(4.0, _SLICE / seconds)))
                if self.keeper is not None:
                    self.keeper.look(store, time.perf_counter() - self.began)
            else:
                return status
        return MORE

    def over_limit(self, store: EntryStore) -> bool:
        """Whether time is up, or other programs have taken the memory; reports progress."""
        now = time.perf_counter()
        elapsed = now - self.began
        if self.on_progress and now - self.reported >= 0.1:
            self.reported = now
            counts = store["KNOWN"], store["EXPANDED"], store.depth()
            self.on_progress(Progress(*counts, self.earlier + elapsed, store.memory()))
        if self.watch.short(now):
            self.stopped = "memory"
            return True
        if self.limits.time is not None and elapsed >= self.limits.time:
            self.stopped = "time"
            return True
        return False

    # ------------------------------------------------------------------ states

    def split(self, state: State) -> tuple[list[int], int]:
        """The key and the lane of a state."""
        state = self.parts.to_bits(state)
        lane = self.leaf.lane((v, state[v]) for v in self.leaf.variables)
        return self.layout.pack(state)[:-1], lane

    def state(self, key: list[int], lane: int) -> State:
        """The state that a key and a lane make."""
        words = [*key, self.leaf.word(self.layout, self.leaf.values(lane))]
        return self.parts.from_bits(self.layout.unpack(words))

    # ------------------------------------------------------------------ violations

    def found(self, store: EntryStore, status: int) -> Violation:
        """The violation in the record that was expanded last."""
        record = store["HEAD"]
        key = store.key(store.address(record))
        judge = self.bad_state if status == BAD_STATE else self.bad_step
        for lane in ones(store.lanes(record)):
            state = self.state(key, lane)
            violation = judge(state)
            if violation is not None:
                kind, name, index, outcome = violation
                cut = None
                try:
                    before = self.path(store, store.address(record), lane)
                except KeyboardInterrupt:  # the verdict is known
                    before, cut = (), "interrupt"
                return Violation(kind, name, index, (*before, state), outcome, cut=cut)
        raise AssertionError("the compiled code found a violation that the meaning does not have")

    def bad_state(self, state: State) -> tuple[ViolationKind, str, int, None] | None:
        """The first property that a state violates."""
        properties = (*self.system.invariants, *self.system.goals)
        for index, prop in enumerate(properties):
            way = judge_property(prop, state)
            if way.failure is not None:
                return (*self.failed(way.failure), None)
            if index < len(self.system.invariants) and way.registers[0] == 0:
                return ViolationKind.INVARIANT, prop.name, index, None
        return None

    def bad_step(self, state: State) -> tuple[ViolationKind, str, int, int | None] | None:
        """The first failing outcome of a state, or that it is a deadlock."""
        found = []
        for outcome in outcomes(self.system, state):
            found.append(outcome)
            if outcome.failure is not None:
                return (*self.failed(outcome.failure), outcome.number)
        if is_deadlock(self.system, state, found):
            return ViolationKind.DEADLOCK, "deadlock", -1, None
        return None

    def failed(self, index: int) -> tuple[ViolationKind, str, int]:
        failure = self.system.failures[index]
        kind = {
            FailureKind.ASSERTION: ViolationKind.ASSERTION,
            FailureKind.MODEL_ERROR: ViolationKind.MODEL_ERROR,
        }[failure.kind]
        return kind, failure.name, index

    def path(self, store: EntryStore, key: int, lane: int) -> tuple[State, ...]:
        """The states of a shortest path to a state (the address of its key, and its lane), without
        the state itself.

        The state before one at some distance is among the records of the distance before: the first
        one that makes it.
        """
        backwards: list[State] = []
        for distance in reversed(range(store["DEPTH"])):
            key, lane = store.source(distance, key, lane)
            backwards.append(self.state(store.key(key), lane))
        return tuple(reversed(backwards))

    # ---------------------------------------------------------------------- result

    def result(self) -> Result:
        store = self.store
        goals = (False,) * len(self.system.goals) if store is None else store.goals()
        if self.violation is not None:
            verdict = Verdict.VIOLATED
        elif self.stopped is not None:
            verdict = Verdict.UNKNOWN
        else:
            verdict = Verdict.HOLDS if all(goals) else Verdict.VACUOUS
        lines = len(self.system.lines)
        states = 0 if store is None else store["KNOWN"]
        expanded = 0 if store is None else store["EXPANDED"]
        return Result(
            system=self.system,
            engine="native",
            verdict=verdict,
            states=states,
            expanded=expanded,
            transitions=0 if store is None else store["TRANSITIONS"],
            depth=0 if store is None else store.depth(),
            seconds=self.earlier + time.perf_counter() - self.began,
            memory=0 if store is None else store.memory(),
            goals=goals,
            covered=(False,) * lines if store is None else store.covered(lines),
            violation=self.violation,
            stopped=None if self.violation else self.stopped,
            frontier=states - expanded,
            checkpoint=self.checkpoint,
            keys=None if store is None else store["KEYS"],
        )
