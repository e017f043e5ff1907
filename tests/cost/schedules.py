"""Random programs of several threads that lock, wait and choose, for the pricing engine.

``oracle`` explores all their schedules under the reference semantics; ``priced`` runs one.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from random import Random

from lang.generate import Generator
from lang.small import IMPORT, SETUP
from lang.zoo import Cpu, Frame, Page
from shootdown.check.outcomes import outcomes
from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.cost.workload import Machine, Plan
from shootdown.errors import ModelError
from shootdown.lang.ir import System
from shootdown.lang.scenario import Scenario
from shootdown.lang.space import show_key

BITS = Machine("bits", Cpu, Frame, {}, frozenset(), frozenset())
SPANS = Machine("spans", Cpu, Frame, {}, frozenset({Page}), frozenset())
WAITING = """
@atomic
def take(mm: Mm, n: int) -> int:
    when(mm.a > 0 and mm.flag)
    mm.a = mm.a - 1
    return mm.a + n

@atomic
def take_either(mm: Mm, page: Page) -> bool:
    if mm.flag:
        when(mm.pte[page].present or mm.c == 0)
        mm.flag = False
        return True
    when(mm.b < 2)
    when(page in mm.pages or mm.owner is None)
    mm.b = (mm.b + 1) % 4
    return False

@atomic(show="until()")
def until(mm: Mm, mode: Mode) -> int:
    when(mm.by_mode[mode] < 3 and mm.mode != mode)
    mm.by_mode[mode] = mm.by_mode[mode] + 1
    return mm.by_mode[mode]

@atomic
def count(mm: Mm, up: bool) -> int:
    if up and mm.c < 3:
        mm.c += 1
    elif not up and mm.c > 0:
        mm.c -= 1
    return mm.c

@atomic
def pick(mm: Mm) -> Page:
    if mm.pages == set():
        return Page(1)
    return choose(mm.pages)
"""
KEEP = """
@invariant("KEEP")
def keep() -> bool:
    mm = Mm(0)
    whole = mm.a + mm.b + mm.c + len(mm.pages) + sum(mm.by_mode[m] for m in Mode) + total
    return (mm.flag or mm.owner is None or mm.mode == Mode.OFF or whole < 99
            or any(mm.pte[p] == Pte() for p in Page) or any(f.uses == 3 for f in Frame)
            or any(c.count == 3 for c in Cpu))
"""


class Threads(Generator):
    """Adds what threads do to each other."""

    def atomic_operation(self) -> str:
        if self.rng.random() < 0.5:
            return super().atomic_operation()
        of = self.of
        return self.pick(
            "wait_until(mm.flag)",
            f"wait_until(mm.a {self.pick('<', '>', '!=')} {self.pick('1', '2', 'i0')})",
            "wait_until(mm.owner is not None)",
            f"wait_until({of('page', 1)} in mm.pages)",
            f"i0 = take(mm, {of('int', 1)}) % 8",
            f"b0 = take_either(mm, {of('page', 1)})",
            "i1 = until(mm, m0)",
            "i1 = count(mm, b0)",
            "p0 = pick(mm)",
            "this(Cpu).count = (this(Cpu).count + 1) % 4",
            "for c in Cpu:\n    c.count = (c.count + 1) % 4",
            f"for i1 in range({of('int', 1)} % 4):\n    count(mm, b0)",
            "mm.flag = True",
            "mm.a = 2",
        )

    def with_(self, depth: int) -> str:
        if self.rng.random() < 0.8 or "lru" in self.held:
            return super().with_(depth)
        self.held.append("lru")
        body = self.block(2, depth)
        self.held.pop()
        inner = "\n".join(f"    {line}" for line in [*body.splitlines(), "spin_unlock(mm.lru)"])
        return f"if spin_trylock(mm.lru):\n{inner}"

    def change(self) -> str:
        text = super().change()
        return "count(mm, b0)" if "mm.c" in text else text

    def jump(self) -> str:
        return self.pick("break", "continue") if self.in_loop and "lru" not in self.held else "pass"


def program(rng: Random) -> str:
    """Two or three threads, one on each CPU."""
    count = rng.choice((2, 2, 3))
    generator = Threads(rng, wild=0)
    text = generator.program(3, 2, helpers=rng.randint(0, 1))
    names = ["main"]
    for i in range(1, count):
        names.append(f"other{i}")
        text += generator.main(3, 2, f"other{i}")
    # a priced run knows no ghost state
    text = re.sub(r"mm\.seen = (.*) % 8", r"mm.b = \1 % 4", text).replace("mm.seen", "mm.b")
    text = f"{WAITING}{text}{KEEP}INVARIANTS = (keep,)\nSIZES = {{**SIZES, Cpu: {count}}}\n"
    threads = ", ".join(f"Thread({n}, Mm(0), on=Cpu({i}))" for i, n in enumerate(names))
    return IMPORT + text + SETUP.format(threads=threads)


@dataclass(frozen=True)
class Ends:
    """How a system can end: the states in which all threads have finished, by the names of their
    variables, and whether they can get stuck. ``failing``: a check can fail."""

    names: tuple[str, ...]
    states: frozenset[tuple[int, ...]]
    stuck: bool
    failing: bool


def oracle(system: System, limit: int) -> Ends | None:
    """Explore all schedules; ``None`` if there are more than ``limit`` states."""
    seen = {system.init}
    todo = [system.init]
    ends = set()
    stuck = failing = False
    while todo:
        state = todo.pop()
        moved = False
        for way in outcomes(system, state):
            moved = True
            if way.state is None:
                failing = True
            elif way.state not in seen:
                seen.add(way.state)
                todo.append(way.state)
        if len(seen) > limit:
            return None
        if not moved:
            if all(state[p.pc] == len(p.actions) for p in system.processes):
                ends.add(state)
            else:
                stuck = True
    return Ends(tuple(v.name for v in system.variables), frozenset(ends), stuck, failing)


def prices(rng: Random) -> Profile:
    """A machine with other prices, so that steps come in another order."""
    profile = Profile.load("skylake-2s")
    names = ("mem_load", "mem_store", "atomic", "lock_handover", "line_transfer", "barrier")
    values = {name: rng.choice((1, 1, 2, 3, 7, 20, 60)) for name in names}
    values["line_transfer_remote"] = values["line_transfer"] + rng.choice((0, 5, 100))
    return profile.override(**values, cpus=2, sockets=rng.choice((1, 2)))


def priced(scenario: Scenario, profile: Profile, seed: int, machine: Machine = BITS
           ) -> dict[str, int] | None:  # fmt: skip
    """What memory holds after a priced run, by the names of the checker's variables; ``None`` if
    its threads wait for ever."""
    setup = scenario.setup()
    run = Run(Plan(machine, setup.sizes, setup.threads), profile, seed)
    try:
        run.run()
    except ModelError as error:
        if "wait for ever" in error.message:
            return None
        raise
    return memory(run)


def memory(run: Run) -> dict[str, int]:
    """The state of a run by the names of the checker's variables."""
    found: dict[str, int] = {}
    for region in run.space.regions.values():
        dims = region.storage.dims
        name = region.name.partition(".")[2] or region.name
        for indices in itertools.product(*(range(kind.size) for kind, _ in dims)):
            shown = [show_key(k, i) for (k, _), i in zip(dims, indices, strict=True)]
            text = f"{shown.pop(0)}.{name}" if "." in region.name else name
            text += "".join(f"[{s}]" for s in shown)
            at = region.storage.base
            at += sum(i * stride for i, (_, stride) in zip(indices, dims, strict=True))
            words = [run.arrays["STATE"][at + i] & (1 << 64) - 1 for i in range(region.width)]
            found[text] = sum(word << 64 * i for i, word in enumerate(words))
    return found


def disagreement(ends: Ends, found: dict[str, int] | None) -> str:
    """What a priced run does that no schedule does; empty if there is nothing."""
    if found is None:
        return "" if ends.stuck else "waits for ever"
    shared = [(i, name) for i, name in enumerate(ends.names) if name in found]
    mine = tuple(found[name] for _, name in shared)
    if any(tuple(state[i] for i, _ in shared) == mine for state in ends.states):
        return ""
    return f"ends in {dict(zip([n for _, n in shared], mine, strict=True))}"
