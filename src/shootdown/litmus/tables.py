"""A test as tables: every point that its programs can reach, and every value that they can make.

The tables are found together: a load leads to one point for each value that the location may hold,
and a store adds to what it may hold, until nothing is new. They say more than can happen (any order
of values), which is harmless: the search decides what does.

That must come to an end where a program adds to what it finds, so writes are counted. A point has
the least number of writes, of all processors, without which it is not reached, and the most that
its own processor can have done before; a value has the least number with which it is there. So a
load need not be followed for values that take more writes than there can have been. It is assumed
that each processor writes at most as often as its program has instructions that write. If a point
shows that this is wrong (in a loop), the tables are made without counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from shootdown.litmus.ahead import faults_ahead
from shootdown.litmus.attributes import check_attributes
from shootdown.litmus.compute import Word, cut
from shootdown.litmus.effects import Effect, Executor
from shootdown.litmus.errors import Unsupported
from shootdown.litmus.model import LitmusTest, Processor
from shootdown.litmus.propositions import Cause, Element
from shootdown.litmus.sizes import check_sizes
from shootdown.litmus.state import Local
from shootdown.litmus.values import Address, Par, Physical, Pte, PteAddress

MOST_POINTS = 4096
MOST_VALUES = 250

UNCOUNTED = 1 << 30

Location = tuple[str, int] | PteAddress
"""A physical page and an offset, or a descriptor."""


@dataclass(slots=True)
class Reaction:
    """A point: what it does, and what follows."""

    effect: Effect | None  # None: the end
    then: dict[Word, tuple[Word | None, Local]] = field(default_factory=dict)
    faults: dict[Cause, Local] = field(default_factory=dict)
    early: str | None = None
    ahead: str | None = None
    ahead_faults: dict[Cause, Local] = field(default_factory=dict)


class _WritesAgainError(Exception):
    """A processor may write more often than its program has instructions that write."""


class _Before(NamedTuple):
    """What was written before a point: at least so often by all, at most so often by its own
    processor."""

    least: int
    own: int

    def then(self, least: int, writes: int) -> _Before:
        """After an access to what takes at least so many writes, and so many more."""
        return _Before(max(self.least, least) + writes, self.own + writes)


class Tables:
    """The tables of one test. ``points`` by local state, ``values`` by location. ``run_ahead``:
    for a machine whose translations may be older than what an ISB does not wait for."""

    def __init__(self, test: LitmusTest, run_ahead: bool = False) -> None:
        self.test = test
        self.run_ahead = run_ahead
        self.executor = Executor(test, run_ahead)
        self.pages = self._pages()
        self.any_af = any(p.hardware_af for p in test.processors)
        self.any_dirty = any(p.hardware_dirty for p in test.processors)
        self.most = self.executor.most_writes()
        try:
            self._make()
        except _WritesAgainError:
            self.most = dict.fromkeys(self.most, UNCOUNTED)
            self._make()
        check_sizes(self)
        check_attributes(self)
        self._find_early()

    def _make(self) -> None:
        self.values: dict[Location, dict[Word, None]] = {}
        self.points: dict[Local, Reaction] = {}
        self.entries: list[Local] = []
        self.writes: dict[tuple[Location, Word], int] = {}
        self.negative: dict[Location, int] = {}  # initial values with a sign, and their bytes
        self.before: dict[Local, _Before] = {}
        self._start()
        self._close()

    # ------------------------------------------------------------------ beginning

    def _pages(self) -> list[str]:
        return list(self.test.variables())

    def _start(self) -> None:
        for name in self.pages:
            value = self.test.initial_value(PteAddress(name))
            assert isinstance(value, Pte)
            self._begin(PteAddress(name), value)
        for place, value in self.test.initial.items():
            if isinstance(place, Address):
                size = self.test.type_of(place).size
                wide = size if place in self.test.types else 8
                parts = value if isinstance(value, tuple) else (value,)
                for index, part in enumerate(parts):
                    self._content((place.name, place.offset + index * size), part, size, wide)
            elif isinstance(place, Element):
                size = self.test.type_of(place).size
                assert not isinstance(value, tuple)
                self._content((place.name, place.index * size), value, size, size)
        for processor in self.test.processors:
            entry = self.executor.start(processor)
            self.entries.append(entry)
            self._reach(entry, _Before(0, 0))

    def _content(self, place: Location, value: Word, size: int, wide: int) -> None:
        """What memory holds at first: a number of ``wide`` bytes, of ``size`` if it has a sign."""
        if isinstance(value, int):
            if value < 0:
                self.negative[place] = wide = size
            value = cut(value, 8 * wide)
        self._begin(place, value)

    def _begin(self, place: Location, value: Word) -> None:
        """What a location holds at first."""
        self.values[place] = {}
        self._add(place, value)

    def initial(self, place: Location) -> Word:
        """What a location holds at first."""
        if isinstance(place, PteAddress):
            found = self.test.initial_value(place)
            assert isinstance(found, Pte)
            return found
        return next(iter(self._held(place)))

    def _held(self, place: Location) -> dict[Word, None]:
        if place not in self.values:
            self.values[place] = {0: None}
        return self.values[place]

    def _add(self, place: Location, value: Word, writes: int = 0) -> bool:
        """A location may hold a value after so many writes; and what hardware makes of it."""
        held = self._held(place)
        if value in held and self.writes.get((place, value), 0) <= writes:
            return False
        self.writes[place, value] = writes
        held[self._checked(place, value)] = None
        if isinstance(value, Pte) and isinstance(place, PteAddress):
            for other in self._updated(value):
                self._add(place, other, writes)
        if sum(map(len, self.values.values())) > MOST_VALUES:
            raise Unsupported(f"more than {MOST_VALUES} values", file=self.test.file)
        return True

    def _checked(self, place: Location, value: Word) -> Word:
        if isinstance(place, PteAddress):
            if not isinstance(value, Pte):
                raise Unsupported(f"{value} as a descriptor", file=self.test.file)
            if value.valid and not isinstance(value.oa, Physical):
                raise Unsupported(f"the output address {value.oa}", file=self.test.file)
        return value

    def _updated(self, pte: Pte) -> Iterable[Pte]:
        if pte.valid and not pte.af and self.any_af:
            yield replace(pte, af=1)
        if pte.valid and not pte.db and pte.dbm and self.any_dirty:
            yield replace(pte, af=1, db=1)

    # ------------------------------------------------------------------ closure

    def _reach(self, local: Local, before: _Before) -> bool:
        """A point can be reached after so many writes. Whether that is news."""
        most = self.most[local.at.processor]
        if before.own > most:
            raise _WritesAgainError
        if local not in self.points:
            if len(self.points) >= MOST_POINTS:
                raise Unsupported(
                    f"more than {MOST_POINTS} points of its programs", file=self.test.file
                )
            ending = local.ended or local.impossible
            self.points[local] = Reaction(None if ending else self.executor.effect(local))
            self.before[local] = before
            return True
        if most == UNCOUNTED:
            return False
        known = self.before[local]
        both = _Before(min(known.least, before.least), max(known.own, before.own))
        self.before[local] = both
        return both != known

    def _close(self) -> None:
        grew = True
        while grew:
            grew = False
            done = 0
            while done < len(self.points):
                local = list(self.points)[done]
                grew |= self._react(local, self.points[local])
                done += 1

    def _react(self, local: Local, point: Reaction) -> bool:
        effect = point.effect
        if effect is None or effect.then is None:
            return False
        before = self.before[local]
        if effect.kind in ("tlbi", "dsb", "dsb local", "sync", "return"):
            return self._follow(point, 0, before)[1]
        assert effect.place is not None
        grew = False
        places = self.places(effect)
        for value, least in self._found(local, effect, places):
            written, new = self._follow(point, value, before.then(least, 0))
            grew |= new
            if written is not None:
                for place in places:
                    grew |= self._add(place, written, before.then(least, 1).least)
        grew |= self._react_ahead(local, point)
        for cause in self._causes(local, effect):
            if cause not in point.faults:
                assert effect.fault is not None
                point.faults[cause] = effect.fault(cause)
            grew |= self._reach(point.faults[cause], before)
        return grew

    def _found(
        self, local: Local, effect: Effect, places: list[Location]
    ) -> Iterator[tuple[Word, int]]:
        """What an access may find, and how many writes that takes at least."""
        if effect.kind.startswith("probe"):
            yield from ((Par(Physical(name)), 0) for name in self.frames(effect))
        elif effect.kind == "store":
            yield 0, 0
        elif effect.kind == "store exclusive":
            yield from ((0, 0), (1, 0))
        else:
            others = sum(self.most.values()) - self.most[local.at.processor]
            most = others + self.before[local].own
            for place in places:
                for value in list(self._held(place)):
                    least = self.writes.get((place, value), 0)
                    if least <= most:
                        yield value, least

    def _react_ahead(self, local: Local, point: Reaction) -> bool:
        """The first of the later accesses whose fault may be taken before this one is done."""
        if not self.run_ahead:
            return False
        grew = False
        for later in faults_ahead(self.executor, local):
            place = later.place
            kind = "store" if later.write else "load"
            effect = Effect(kind, place, unprivileged=local.el0)
            if point.ahead not in (None, place.name):
                continue
            for cause in self._causes(local, effect):
                if cause not in point.ahead_faults:
                    after = self.executor.faulted_ahead(local, later.at, cause, place)
                    point.ahead = place.name
                    point.ahead_faults[cause] = after
                grew |= self._reach(point.ahead_faults[cause], self.before[local])
            if point.ahead is not None:
                break
        return grew

    def _follow(self, point: Reaction, value: Word, before: _Before) -> tuple[Word | None, bool]:
        """What is written where a value is found, and whether what follows is news."""
        if value not in point.then:
            assert point.effect is not None
            assert point.effect.then is not None
            point.then[value] = point.effect.then(value)
        written, after = point.then[value]
        return written, self._reach(after, before.then(0, written is not None))

    def descriptors(self, name: str) -> list[Pte]:
        """What the descriptor of a page may be."""
        return [value for value in self._held(PteAddress(name)) if isinstance(value, Pte)]

    def frames(self, effect: Effect) -> list[str]:
        """The physical pages that an access may lead to."""
        assert isinstance(effect.place, Address)
        ptes = self.descriptors(self._page(effect.place))
        oas = [pte.oa for pte in ptes if pte.valid]
        return list(dict.fromkeys(oa.name for oa in oas if isinstance(oa, Physical)))

    def places(self, effect: Effect) -> list[Location]:
        """The locations that an access may lead to."""
        place = effect.place
        if isinstance(place, PteAddress):
            self._page(place)
            return [place]
        assert isinstance(place, Address)
        return [(name, place.offset) for name in self.frames(effect)]

    def _page(self, place: Address | PteAddress) -> str:
        if place.name not in self.pages:
            raise Unsupported(f"variable {place.name} of unknown place", file=self.test.file)
        return place.name

    def _causes(self, local: Local, effect: Effect) -> list[Cause]:
        if not isinstance(effect.place, Address):
            return []
        ptes = self.descriptors(effect.place.name)
        processor = self.executor.processors[local.at.processor]
        found = []
        if any(not pte.valid for pte in ptes):
            found.append(Cause.TRANSLATION)
        if any(not pte.af for pte in ptes) and not processor.hardware_af:
            found.append(Cause.ACCESS_FLAG)
        kinds = ("store", "update", "store exclusive", "probe for write")
        writes = effect.kind in kinds and any(not pte.db for pte in ptes)
        if writes or (effect.unprivileged and any(not pte.el0 for pte in ptes)):
            found.append(Cause.PERMISSION)
        return found

    # ------------------------------------------------------------------ early translation

    def _find_early(self) -> None:
        """For each point the page of the next store, if the store is certain whatever is read and
        nothing orders it: what comes before it are accesses to descriptors, which cannot fault, and
        neither barriers nor branches."""
        known: dict[Local, str | None] = {}

        def page(local: Local, depth: int) -> str | None:
            if local in known:
                return known[local]
            known[local] = None  # for loops
            effect = self.points[local].effect
            result: str | None = None
            if effect is not None and isinstance(effect.place, Address):
                result = effect.place.name if effect.writes_always else None
            elif effect is not None and isinstance(effect.place, PteAddress) and depth:
                after = {
                    page(next_, depth - 1) if self.executor.plain(local, next_) else None
                    for _, next_ in self.points[local].then.values()
                }
                result = after.pop() if len(after) == 1 else None
            known[local] = result
            return result

        for local, point in self.points.items():
            point.early = page(local, 8)

    # ------------------------------------------------------------------ for the machine

    def all_values(self) -> list[Word]:
        """Every value once; the first is 0."""
        found: dict[Word, None] = {0: None}
        for held in self.values.values():
            found.update(held)
        for point in self.points.values():  # also what is written where nothing is mapped
            found.update((new, None) for new, _ in point.then.values() if new is not None)
        found.update((Par(Physical(name)), None) for name in self.pages)
        return list(found)

    def effects(self) -> Iterator[Effect]:
        """What the points do."""
        for point in self.points.values():
            if point.effect is not None:
                yield point.effect

    def el0_pages(self) -> dict[str, bool]:
        """Whether EL0 may access each page."""
        found = {}
        asked = any(effect.unprivileged for effect in self.effects())
        for name in self.pages:
            allowed = {bool(pte.el0) for pte in self.descriptors(name)} if asked else {True}
            if len(allowed) > 1:
                raise Unsupported(f"a change of el0 in PTE({name})", file=self.test.file)
            found[name] = allowed.pop()
        return found

    def processor(self, local: Local) -> Processor:
        """Whose local state it is."""
        return self.executor.processors[local.at.processor]
