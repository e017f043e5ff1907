"""Partial order reduction: in a state, some of its actions are enough.

Two actions of different threads that do not touch the same data give the same state in either
order, so one order is enough. In each state this chooses a set T of *agents* (processes and rules)
and leaves for later what the others do. Agents move by their current action: a process by the step
where it stands, a rule by itself. With F, all that agents outside T can still do while those in T
stand still (:class:`Future`), T is chosen so that

* C1: every current action of T is independent of every action in F, or cannot be enabled by F: T is
  a persistent set. Godefroid, Partial-Order Methods for the Verification of Concurrent Systems
  (LNCS 1032, 1996), chapter 4 and its theorem 4.3: a path to a deadlock may begin with an action of
  T, and by C3 so may every path that is long enough. How T grows until C1 holds is Overman's
  algorithm there; that F is found from what the values of now allow is his conditional dependency.
  An action reads what its tests look at on the way that the values of now allow, in any state that
  F leads to (:mod:`.decisions`). It is disturbed by what F *changes*, not by all that F may write:
  a cell that is 0 and that F only clears is 0 for as long as T stands still. For two writes all
  counts, since T's may have come first.
* C2: for each invariant and each goal, the outcomes of T do not make it true (false), also after
  F; or F does not make it false (true); or it is so already in this state. The states on the way to
  T's action are left out, but what they show is shown after it, or here. An invariant that is "a
  and b" is two of them, and a goal "a and b" is not made true by F if "a" is false and F does not
  change it (:mod:`.visible`).
  For steps that change nothing visible this is C2 of Peled, Combining Partial Order Reductions
  with On-the-fly Model-Checking (CAV 1994); for an F that changes nothing visible it is the
  condition V of Valmari, The State Explosion Problem (LNCS 1491, 1998). That a step may do harm
  early is the same argument: let w of F lead from s to a state that violates an invariant; the
  step t of T commutes with w, so t and then w leads to that state changed by t, and t makes no
  invariant true.
* C3: every outcome of T goes *forward*: it raises :attr:`Order.height`. So a cycle has a step that
  was not taken from a reduced state, and nothing is put off for ever: the static form of the cycle
  condition, Kurshan, Levin, Minea, Peled, Yenigun, Static Partial Order Reduction (TACAS 1998).
  It needs no look at the states of the search, so the smaller graph does not depend on the order
  in which it is searched.
* D: one outcome of T is of a fair action and changes a cell that F does not write. A deadlock
  (``check.outcomes.is_deadlock``: no fair action leads to another state) that is reached without T
  would still have that step; so a path to a deadlock has an action of T. (Godefroid's theorem has
  this for all enabled actions; here only these count.)

A failing check is an outcome that ends: C1 keeps it too. Where some outcome of a state fails, all
are taken, so the search ends there as the ordinary one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shootdown.check.outcomes import Outcome
from shootdown.check.reduce.cells import Effect
from shootdown.check.reduce.flow import Edge, Flow, IrregularError
from shootdown.check.reduce.visible import parts_of
from shootdown.lang.interpret import State, Way, value_of
from shootdown.lang.ir import System
from shootdown.lang.shapes import PROCESS, Members, renamed

if TYPE_CHECKING:
    from shootdown.check.reduce.swaps import Swap


@dataclass(slots=True)
class Future:
    """What agents can do while others stand still: each of them, and all together. ``ends``: some
    action comes to its end, or may fail a check."""

    parts: dict[int, Effect] = field(default_factory=dict)
    effect: Effect = field(default_factory=Effect)
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Some outcomes of a state. ``enough`` says that they satisfy C1, C2, C3 and D; else they are
    all of the state."""

    outcomes: list[Outcome]
    enough: bool


def order_of(system: System) -> Order | None:
    """The analysis of a system, None where its program counters are used as data."""
    try:
        return Order(system)
    except IrregularError:
        return None


class Order:
    """The analysis of a system. :class:`IrregularError` where program counters are used as data."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.flow = Flow(system)
        self.parts = parts_of(self.flow)
        self.ranks = [_ranks(self.flow, p) for p in range(len(system.processes))]
        self.up, self.down = _tokens(self.flow)
        self.visible = 0  # all that invariants and goals read
        for part in self.parts:
            self.visible |= part.cells

    def respect(self, swaps: Sequence[Swap]) -> bool:
        """Let the height of a state be that of its images, too: only tokens that every swap takes
        to tokens count. False where that cannot be."""
        for swap in swaps:
            for process, image in enumerate(swap.renaming[PROCESS]):
                if self.ranks[process] != self.ranks[image]:
                    return False
        before = None
        while before != (self.up, self.down):
            before = (self.up, self.down)
            for swap in swaps:
                self.up &= _image(self.flow, self.up, swap)
                self.down &= _image(self.flow, self.down, swap)
        return True

    # ------------------------------------------------------------------- the choice

    def chosen(self, state: State, found: list[Outcome]) -> Choice:
        """Which outcomes of a state are enough, ``found`` being all of them in order."""
        best = Choice(found, False)
        if not found or found[-1].failure is not None:
            return best
        look = _Look(self, state, found)
        if len(look.moving) == 1:
            return Choice(found, look.good(found, Effect()))
        for agent in look.moving:
            taken = look.enough(agent)
            if taken is not None and (not best.enough or len(taken) < len(best.outcomes)):
                best = Choice(taken, True)
                if len(taken) == 1:
                    break
        return best

    def matters(self, before: State, after: State, effect: Effect) -> bool:
        """Whether a step may make an invariant true or a goal false, in these states or in others
        that an effect leads to.

        Otherwise what is seen before it is seen after it as well: an invariant that is false then,
        a goal that is true. ``before`` is a state that the search looks at: what shows there, or
        not after the effect, need not be seen again.
        """
        now = self.flow.cells.pack(before)
        written = effect.changes(now)
        one, two = Way(list(before), [], [], []), Way(list(after), [], [], [])
        changed = now ^ self.flow.cells.pack(after)
        at = 0
        while at < len(self.parts):
            part = self.parts[at]
            if not part.cells & changed or self._past(at, one, effect, now):
                at = part.skip
            elif part.expr is not None and not part.cells & written:
                if part.differs(value_of(part.expr, one), value_of(part.expr, two)):
                    return True
                at = part.skip
            elif part.skip == at + 1:
                return True
            else:
                at += 1
        return False

    def _past(self, number: int, way: Way, effect: Effect, now: int) -> bool:
        """Whether what an effect does to a whole or a root shows nothing new."""
        part = self.parts[number]
        if not part.whole and not part.root:
            return False
        if part.expr is not None and part.shows(value_of(part.expr, way)):
            return True
        return part.root and self._closed(number, way, effect, now)

    def _closed(self, number: int, way: Way, effect: Effect, now: int) -> bool:
        """Whether a root, where it does not show, does not after an effect either."""
        part, changes = self.parts[number], effect.changes(now)
        if not part.may_show(effect, now):
            return True
        if not self._shows_at(number, way, effect, now, most=True):
            return True
        return any(
            factor.factor
            and factor.expr is not None
            and not factor.cells & changes
            and not factor.shows(value_of(factor.expr, way))
            for factor in self.parts[number : part.skip]
        )

    def _shows_at(self, number: int, way: Way, effect: Effect, now: int, *, most: bool) -> bool:
        """Whether a root may show after an effect (``most``), or does so for certain."""
        part = self.parts[number]
        corner = part.corner(effect, now, most)
        if corner is None or part.expr is None:
            return most
        values = self.flow.cells.unpack(corner, tuple(way.state))
        return part.shows(value_of(part.expr, Way(values, [], [], [])))

    @property
    def kept(self) -> int:
        """Cells that are never dead: where the processes stand, and the tokens, since a height
        must not change when a cell is cleared."""
        kept = self.up | self.down
        for process in self.system.processes:
            kept |= self.flow.cells.variable(process.pc)
        return kept

    def settled(self, state: State, *, goals: bool = True) -> State:
        """A state without what is dead: such cells are 0 in it.

        Dead is what no action looks at that may still be done by anybody, unless it is among
        :attr:`kept`, or a property that is not over (:meth:`_over`) looks at it. A state and the
        settled one are bisimilar: :meth:`_Look.used` counts every test that it comes to, passed or
        not, so it comes to the same ones in both; the same can be done in both, with the same
        effect on what is not dead; and what is dead stays dead, since after a step no test is come
        to that was not before it. So settled states of a search are those of the system, at the
        same distances. They are deadlocks alike: where a fair way may leave all living cells as
        they are, what it writes is alive, too. (Bozga, Fernandez, Ghirvu, State Space Reduction
        Based on Live Variables Analysis, SAS 1999; there what may still be done depends on places
        in the code alone.)

        Of the properties it keeps whether they show from now on. A root that is over shows neither
        in this state nor later; it is looked at again without what is dead, and if it is not over
        there, its cells stay. So it shows after neither of the two states. A goal that is true and
        stays so is reached, as each state is judged before this. (One that is true now is reached
        as well, but then the same cells would be dead in some states and alive in others: there
        would be more states, not fewer.) What is over in a state is over after each of its steps,
        as less can be done from there: so a settled path and that of the system say the same of
        each root that is not. Without ``goals`` only what checks and invariants look at is
        watched: who follows a path to a violation needs no goal.
        """
        where = self.flow.cells
        uses, effect = _Look(self, state, []).used()
        now = where.pack(state)
        watched, over = self._over(state, effect, goals)
        while True:
            after = where.unpack(now & (self.kept | uses | watched), state)
            unsure = [number for number in over if not self._is_over(number, after, effect)]
            if not unsure:
                return tuple(after)
            over = [number for number in over if number not in unsure]
            for number in unsure:
                watched |= self.parts[number].cells

    def _over(self, state: State, effect: Effect, goals: bool = True) -> tuple[int, list[int]]:
        """The cells of what invariants and goals may still show, ``effect`` being all that may
        still be done, and the roots that are over."""
        way, now = Way(list(state), [], [], []), self.flow.cells.pack(state)
        watched, over = 0, []
        at = 0
        while at < len(self.parts):
            part = self.parts[at]
            if part.is_goal and not goals:
                at = part.skip
            elif part.whole and part.expr is not None:
                reached = part.is_goal and any(
                    self.parts[root].root and self._shows_at(root, way, effect, now, most=False)
                    for root in range(at, part.skip)
                )
                at = part.skip if reached else at + 1
            else:
                if part.root and self._is_over(at, state, effect):
                    over.append(at)
                else:
                    watched |= part.cells
                at = part.skip
        return watched, over

    def _is_over(self, number: int, state: Sequence[int], effect: Effect) -> bool:
        """Whether a root shows neither in a state nor after an effect."""
        expr, way = self.parts[number].expr, Way(list(state), [], [], [])
        if expr is None or self.parts[number].shows(value_of(expr, way)):
            return False
        return self._closed(number, way, effect, self.flow.cells.pack(tuple(state)))

    def height(self, state: State) -> tuple[int, int]:
        """What a step of T must raise: how far the processes are, then the tokens spent."""
        far = sum(
            ranks[state[process.pc]]
            for ranks, process in zip(self.ranks, self.system.processes, strict=True)
        )
        cells = self.flow.cells.pack(state)
        return far, (cells & self.up).bit_count() - (cells & self.down).bit_count()


class _Look:
    """One state."""

    def __init__(self, order: Order, state: State, found: list[Outcome]) -> None:
        self.order = order
        self.flow = order.flow
        self.state = state
        self.cells = order.flow.cells.pack(state)
        way = Way(list(state), [], [], [])
        self.truth = [
            bool(value_of(condition, way)) if cell is None else bool(self.cells >> cell & 1)
            for condition, cell in zip(order.flow.conditions, order.flow.cell, strict=True)
        ]
        self.outcomes: dict[int, list[Outcome]] = {}
        for outcome in found:
            self.outcomes.setdefault(agent_of(order.system, outcome), []).append(outcome)
        self.moving = list(self.outcomes)
        height = order.height(state)
        self.forward = {
            agent: all(o.state is not None and order.height(o.state) > height for o in made)
            for agent, made in self.outcomes.items()
        }
        self.entries: dict[int, int] = {}
        for number, process in enumerate(order.system.processes):
            pc = state[process.pc]
            if pc < len(process.actions):
                self.entries[number] = order.flow.steps[number][pc]
        for number, entry in enumerate(order.flow.rules, len(order.system.processes)):
            self.entries[number] = entry
        self._now: dict[int, Future] = {}
        self._alone: dict[int, Effect] = {}

    def alone(self, agent: int) -> Effect:
        """What an agent can do while all others stand still."""
        if agent not in self._alone:
            self._alone[agent] = self.future([self.entries[agent]], True, 0).effect
        return self._alone[agent]

    def now(self, agent: int) -> Future:
        """What the current action of an agent can do now."""
        if agent not in self._now:
            self._now[agent] = self.future([self.entries[agent]], False, 0)
        return self._now[agent]

    def enough(self, agent: int) -> list[Outcome] | None:
        """The outcomes of a small T that has ``agent``, if it is good for anything."""
        inside = {agent}
        while True:
            self.close(inside)
            if not all(self.forward[a] for a in inside if a in self.forward):
                return None
            if inside.issuperset(self.moving):
                return None
            future = self.future([e for a, e in self.entries.items() if a not in inside], True, 0)
            more = self.disturbed(inside, future)
            if not more:
                break
            inside |= more
        taken = [o for a in self.moving if a in inside for o in self.outcomes[a]]
        return taken if self.good(taken, future.effect) else None

    def close(self, inside: set[int]) -> None:
        """Put into T whom its actions may not commute with, whatever the rest of T is: what an
        agent can do alone is in F, unless it is in T."""
        todo = sorted(inside)
        while todo:
            agent = todo.pop()
            if agent not in self.entries or not self.now(agent).ends:
                continue  # it stays disabled
            for other in self.entries:
                if other not in inside and self.clash(agent, self.now(agent), self.alone(other)):
                    inside.add(other)
                    todo.append(other)

    def clash(self, agent: int, mine: Future, their: Effect) -> bool:
        """Whether the current action of an agent may not commute with an effect."""
        if not mine.ends:
            return False  # it stays disabled
        changed = self.changed(agent)
        if changed is None:  # it is disabled now, and may be enabled
            changed = mine.effect.writes
        return not mine.effect.commutes(their, changed, self.cells)

    def future(self, entries: list[int], onward: bool, written: int) -> Future:
        """What can be done from some nodes on. ``written`` are cells that change meanwhile; with
        ``onward`` processes go on to their next steps."""
        out = Future()
        effect, parts = out.effect, out.parts
        seen: set[int] = set()
        todo = list(entries)
        fresh: list[tuple[Effect, Edge]] = []
        blocked: list[tuple[Effect, Edge]] = []
        nodes, truth, changing = self.flow.nodes, self.truth, written
        while todo:
            while todo:
                number = todo.pop()
                if number in seen:
                    continue
                seen.add(number)
                node = nodes[number]
                part = parts.get(node.agent)
                if part is None:
                    part = parts[node.agent] = Effect()
                part.add(node.effect)
                effect.add(node.effect)
                out.ends |= node.ends
                if onward and node.following:
                    steps = self.flow.steps[node.agent]
                    todo += [steps[pc] for pc in node.following if pc < len(steps)]
                for edge in node.edges:
                    fresh.append((part, edge))
            if onward:
                changes = written | effect.changes(self.cells)
                if changes != changing:  # else those that were blocked still are
                    changing = changes
                    fresh += blocked
                    blocked = []
            for part, edge in fresh:
                literal = edge.literal
                if (
                    literal is None
                    or edge.reads & changing
                    or truth[literal.condition] == literal.value
                ):
                    part.reads |= edge.reads
                    effect.reads |= edge.reads
                    todo.append(edge.target)
                else:
                    blocked.append((part, edge))
            fresh = []
        return out

    def used(self) -> tuple[int, Effect]:
        """The cells whose values matter to what anybody may still do, and its effect."""
        effect = Effect()
        seen: set[int] = set()
        todo, uses = list(self.entries.values()), 0
        fresh: list[Edge] = []
        blocked: list[Edge] = []
        nodes, truth, changing = self.flow.nodes, self.truth, 0
        while todo:
            while todo:
                number = todo.pop()
                if number in seen:
                    continue
                seen.add(number)
                node = nodes[number]
                effect.add(node.effect)
                uses |= node.uses
                if node.following:
                    steps = self.flow.steps[node.agent]
                    todo += [steps[pc] for pc in node.following if pc < len(steps)]
                fresh += node.edges
            changes = effect.changes(self.cells)
            if changes != changing:  # else those that were blocked still are
                changing = changes
                fresh += blocked
                blocked = []
            for edge in fresh:
                literal = edge.literal
                if (
                    literal is None
                    or edge.reads & changing
                    or truth[literal.condition] == literal.value
                ):
                    todo.append(edge.target)
                else:
                    blocked.append(edge)
            fresh = []
        return uses, effect

    def disturbed(self, inside: set[int], future: Future) -> set[int]:
        """The agents outside T with an action that an action of T may not commute with."""
        more: set[int] = set()
        for agent in inside & self.entries.keys():
            changes = future.effect.changes(self.cells)
            mine = self.future([self.entries[agent]], False, changes)
            more |= {b for b, their in future.parts.items() if self.clash(agent, mine, their)}
        return more

    def changed(self, agent: int) -> int | None:
        """The cells that the current action of an agent changes; None if it is not enabled."""
        if agent not in self.outcomes:
            return None
        out = 0
        for outcome in self.outcomes[agent]:
            assert outcome.state is not None
            out |= self.flow.cells.pack(outcome.state) ^ self.cells
        return out

    @staticmethod
    def fair(outcome: Outcome) -> bool:
        """Whether a deadlock would have to take this step."""
        return outcome.action.fair

    def good(self, taken: list[Outcome], future: Effect) -> bool:
        """C2 and D (and C3, where T is all there is)."""
        order = self.order
        changes = future.changes(self.cells)
        steady = False
        for outcome in taken:
            assert outcome.state is not None
            if not self.forward[agent_of(order.system, outcome)]:
                return False
            changed = self.flow.cells.pack(outcome.state) ^ self.cells
            if self.fair(outcome) and changed & ~changes:
                steady = True
            if order.visible & changes and order.matters(self.state, outcome.state, future):
                return False
        return steady


def agent_of(system: System, outcome: Outcome) -> int:
    """The agent of an outcome: a process, or after them a rule."""
    if outcome.process is not None:
        return outcome.process
    return len(system.processes) + next(
        i for i, rule in enumerate(system.rules) if rule is outcome.action
    )


# --------------------------------------------------------------------------- forward


def _ranks(flow: Flow, process: int) -> list[int]:
    """A number for each place of a process that grows along its steps, but for those that close a
    loop (found depth first from the beginning)."""
    entries = flow.steps[process]
    following = [_following(flow, entry, len(entries)) for entry in entries] + [[]]
    ranks = [0] * (len(entries) + 1)
    height: dict[int, int] = {}
    open_: set[int] = set()

    def visit(pc: int) -> int:
        open_.add(pc)
        best = 0
        for target in following[pc]:
            if target not in open_:
                best = max(best, 1 + (height[target] if target in height else visit(target)))
        open_.discard(pc)
        height[pc] = best
        return best

    for pc in range(len(following)):
        if pc not in height:
            visit(pc)
    for pc in range(len(following)):
        ranks[pc] = -height[pc]
    return ranks


def _following(flow: Flow, entry: int, end: int) -> list[int]:
    found: list[int] = []
    seen = set()
    todo = [entry]
    while todo:
        number = todo.pop()
        if number in seen:
            continue
        seen.add(number)
        node = flow.nodes[number]
        found += [pc for pc in node.following if pc <= end]
        todo += [edge.target for edge in node.edges]
    return sorted(set(found))


def _tokens(flow: Flow) -> tuple[int, int]:
    """Cells that some rule needs to be 0 and sets to 1, and those that it needs to be 1 and clears:
    what it spends. Of a cell that is both, that counts which only fair rules do (any choice is
    right; unfair rules take part in most sets less often)."""
    up = down = fair_up = fair_down = 0
    for entry in flow.rules:
        todo, seen = [entry], set()
        need0 = need1 = ones = zeros = 0
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            node = flow.nodes[number]
            ones |= node.effect.ones | node.effect.any
            zeros |= node.effect.zeros | node.effect.any
            for edge in node.edges:
                todo.append(edge.target)
                if edge.literal is not None and edge.reads.bit_count() == 1:
                    if edge.literal.value:
                        need1 |= edge.reads
                    else:
                        need0 |= edge.reads
        up |= need0 & ones
        down |= need1 & zeros
        if flow.nodes[entry].fair:
            fair_up |= need0 & ones
            fair_down |= need1 & zeros
    both, fair = up & down, fair_up ^ fair_down
    return up & ~down | both & fair & fair_up, down & ~up | both & fair & fair_down


def _image(flow: Flow, cells: int, swap: Swap) -> int:
    """Where a swap takes some cells. What it does to a pointer, or to locals, is not said of cells:
    these go nowhere."""
    where, out = flow.cells, 0
    for variable, to in enumerate(swap.moves):
        bits = cells >> where.shift[variable] & where.mask[variable]
        changing = swap.changing(variable)
        if not changing:
            out |= bits << where.shift[to]
        elif len(changing) == 1 and changing[0].counter is None:
            shape = changing[0].shape
            if isinstance(shape, Members):
                out |= renamed(shape, bits, swap.renaming) << where.shift[to]
    return out
