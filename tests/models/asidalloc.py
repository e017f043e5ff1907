"""The algorithm of kernel-tla's ``asidalloc.tla`` as a plain program, one branch for each label.

Written apart from ``races/asid_labels.py`` and as differently as may be, to count its states: a
Python function from a state to the next ones, with ``cur_idx`` and the bit of ASID0. A process is
the label where it stands and what it still needs of its locals; CPUs come in any order in loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

Id: TypeAlias = tuple[int, int]  # ASID, generation
NULL: Id = (0, 0)


@dataclass(frozen=True, slots=True)
class State:
    """What there is. Tasks are numbered from 1, 0 is none."""

    tlb: frozenset[tuple[int, int, int]]  # task, ASID, CPU
    pte: tuple[str, ...]
    running: tuple[Id, ...]  # task, ASID
    locked: bool
    generation: int
    taken: frozenset[int]
    active: tuple[Id, ...]
    reserved: tuple[Id, ...]
    pending: frozenset[int]
    cur_idx: int
    contexts: tuple[Id, ...]
    processes: tuple[tuple[Any, ...], ...]


def put(row: tuple[Any, ...], index: int, value: object) -> tuple[Any, ...]:
    """A tuple with another element."""
    return (*row[:index], value, *row[index + 1 :])


@dataclass(frozen=True)
class Algorithm:
    """Its configuration. ``unmaps``: with ``try_to_unmap``."""

    cpus: int
    tasks: int
    asids: int
    generations: int
    unmaps: bool = False

    @property
    def every(self) -> frozenset[int]:
        """All CPUs."""
        return frozenset(range(self.cpus))

    def first(self) -> State:
        """After boot."""
        none = (NULL,) * self.cpus
        return State(
            tlb=frozenset(),
            pte=("mapped",) * (self.tasks + 1),
            running=none,
            locked=False,
            generation=1,
            taken=frozenset(),
            active=none,
            reserved=none,
            pending=frozenset(),
            cur_idx=1,
            contexts=(NULL,) * (self.tasks + 1),
            processes=(("loop",),) * self.cpus + (("ttu",),) * self.unmaps,
        )

    def search(self) -> tuple[int, int]:
        """How many states there are, and the distance of the farthest one."""
        known, level, depth = {self.first()}, {self.first()}, 0
        while True:
            level = {after for state in level for after in self.steps(state)} - known
            if not level:
                return len(known), depth
            known |= level
            depth += 1

    def steps(self, s: State) -> Iterator[State]:
        """The next states."""
        for me, (label, *locals_) in enumerate(s.processes):
            for part in (self.unmap, self.switch, self.new_context, self.flush_context):
                for after, here in part(s, me, label, locals_):
                    yield replace(after, processes=put(s.processes, me, here))

    def unmap(
        self, s: State, me: int, label: str, here: list[Any]
    ) -> Iterator[tuple[State, tuple[Any, ...]]]:
        """A step of ``ttu``."""
        match label, here:
            case "ttu", []:
                for task in range(1, self.tasks + 1):
                    yield s, ("pte_clear", task)
            case "pte_clear", [task]:
                yield replace(s, pte=put(s.pte, task, "unmapped")), ("read_asid", task)
            case "read_asid", [task]:
                yield s, ("tlbi", task, s.contexts[task][0])
            case "tlbi", [task, asid]:
                tlb = frozenset(e for e in s.tlb if e[1] != asid)
                yield replace(s, tlb=tlb), ("after_tlbi", task)
            case "after_tlbi", [task]:
                yield replace(s, pte=put(s.pte, task, "inval")), ("ttu",)

    def switch(
        self, s: State, me: int, label: str, here: list[Any]
    ) -> Iterator[tuple[State, tuple[Any, ...]]]:
        """A step of ``sched`` or ``check_and_switch_context``."""
        match label, here:
            case "loop", []:
                for task in range(1, self.tasks + 1):
                    if task != s.running[me][0]:
                        yield s, ("check_and_switch", task)
            case "check_and_switch", [task]:
                yield s, ("check_generation", task, s.contexts[task], s.active[me])
            case "check_generation", [task, own, old]:
                fast = old != NULL and own[1] == s.generation
                yield s, ("cmpxchg", task, own, old) if fast else ("slow", task)
            case "cmpxchg", [task, own, old]:
                found = s.active[me]
                after = replace(s, active=put(s.active, me, own)) if found == old else s
                yield after, ("roll_over", task, own[0], found != NULL)
            case "roll_over", [task, asid, fast]:
                yield s, ("switch_mm", task, asid) if fast else ("slow", task)
            case "slow", [task] if not s.locked:
                own = s.contexts[task]
                new = own[1] != s.generation
                yield replace(s, locked=True), ("new", task) if new else ("flush", task, own)
            case "set", [task, own]:
                yield replace(s, contexts=put(s.contexts, task, own)), ("flush", task, own)
            case "flush", [task, own]:
                after = s
                if me in s.pending:
                    mine = s.running[me][0]
                    tlb = frozenset(e for e in s.tlb if e[2] != me or e[0] == mine)
                    after = replace(s, tlb=tlb, pending=s.pending - {me})
                yield after, ("activate", task, own)
            case "activate", [task, own]:
                after = replace(s, active=put(s.active, me, own), locked=False)
                yield after, ("switch_mm", task, own[0])
            case "switch_mm", [task, asid]:
                new = {(task, s.contexts[task][0], me)} if s.pte[task] == "mapped" else set()
                running = put(s.running, me, (task, asid))
                yield replace(s, running=running, tlb=s.tlb | new), ("loop",)

    def new_context(
        self, s: State, me: int, label: str, here: list[Any]
    ) -> Iterator[tuple[State, tuple[Any, ...]]]:
        """A step of ``new_context`` or ``check_update_reserved_asid``."""
        match label, here:
            case "new", [task]:
                own = s.contexts[task]
                yield s, ("free", task) if own == NULL else ("update", task, own)
            case "update", [task, own]:
                yield s, ("update_each", task, own, False, self.every)
            case "update_each", [task, own, hit, left] if left:
                for cpu in left:
                    if s.reserved[cpu] == own:
                        kept = put(s.reserved, cpu, (own[0], s.generation))
                        after, there = replace(s, reserved=kept), True
                    else:
                        after, there = s, hit
                    yield after, ("update_each", task, own, there, left - {cpu})
            case "update_each", [task, own, hit, _]:
                yield s, ("updated", task, own, hit)
            case "updated", [task, own, hit]:
                yield s, ("set", task, (own[0], s.generation)) if hit else ("again", task, own)
            case "again", [task, own]:
                after = replace(s, taken=s.taken | {own[0]})
                again = own[0] not in s.taken
                yield after, ("return", task, own[0]) if again else ("free", task)
            case "return", [task, asid]:
                yield s, ("set", task, (asid, s.generation))
            case "free", [task]:
                free = [asid for asid in range(s.cur_idx, self.asids) if asid not in s.taken]
                yield s, ("take", task, free[0]) if free else ("out", task)
            case "take", [task, asid]:
                after = replace(s, taken=s.taken | {asid}, cur_idx=asid)
                yield after, ("set", task, (asid, s.generation))

    def flush_context(
        self, s: State, me: int, label: str, here: list[Any]
    ) -> Iterator[tuple[State, tuple[Any, ...]]]:
        """A step of a rollover."""
        match label, here:
            case "out", [task] if s.generation < self.generations:
                yield replace(s, generation=s.generation + 1), ("clear", task)
            case "clear", [task]:
                yield replace(s, taken=frozenset()), ("each", task, self.every)
            case "each", [task, left] if left:
                for cpu in left:
                    after = replace(s, active=put(s.active, cpu, NULL))
                    yield after, ("reserve", task, left - {cpu}, cpu, s.active[cpu])
            case "each", [task, _]:
                yield replace(s, pending=self.every), ("freed", task)
            case "reserve", [task, left, cpu, own]:
                own = s.reserved[cpu] if own == NULL else own
                after = replace(s, taken=s.taken | {own[0]}, reserved=put(s.reserved, cpu, own))
                yield after, ("each", task, left)
            case "freed", [task]:
                free = [asid for asid in range(1, self.asids) if asid not in s.taken]
                yield s, ("take", task, free[0])
