"""The program that every consumer runs: atomic actions over a vector of small integers.

The compiler in this package turns paths and hardware rules into one :class:`System`. An engine
needs nothing else: it never sees Python source, types or kernel names except as text to show.

Meaning, exactly (the reference engine is this text, executable):

* A *state* is a vector of integers, one for each of ``System.variables``; the start is
  ``System.init``. Variable ``v`` holds ``0 <= value < variables[v].size``.
* In a state the *actions* that may be tried are, in this order: for each process (in order) the
  action ``process.actions[pc]`` where ``pc`` is the value of ``process.pc`` (none once
  ``pc == len(process.actions)``: the process has finished), then every action of
  ``System.rules`` in order.
* An action's *body* is an acyclic graph of blocks, entered at block 0 with all registers 0. Its
  operations run in order on the working copy of the state. A body has no effect until it is
  *done*: each way through it that reaches :class:`Done` is one *outcome*, and gives one successor.
  :class:`Guard` with a false condition abandons the way. :class:`Choice` takes each allowed value,
  in ascending order, as a way of its own. :class:`Check` with a false condition ends the way as a
  *failure*, which is a violation (or a model error) and ends the search.
* The outcomes of a state, in the order above, number its successors: that order fixes the
  breadth-first search, so all engines find the same first violation, the same number of states
  and the same path.
* Arithmetic is on mathematical integers that fit in 64 signed bits. ``floordiv`` and ``mod``
  round down as in Python and have a positive constant as right operand. Shift amounts are
  0..63. Comparison and logical operators give 0 or 1; ``land``, ``lor`` and ``lnot`` take 0 or 1.
  A :class:`Load` whose index is outside its extent gives 0 (the compiler puts a ``Check`` before
  any index that could be outside).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from shootdown.lang.frozen import value
from shootdown.lang.shapes import UNNAMED, Naming

# --------------------------------------------------------------------------- expressions


@value
class Const:
    """An integer constant."""

    value: int


@value
class Reg:
    """A register: local to one execution of a body, 0 at its beginning."""

    index: int


@value
class Place:
    """A variable, or an element of an array of variables.

    The variable number is ``base + sum(expr * stride)`` over ``index``; each ``expr`` is in
    ``0 <= expr < extent`` wherever the place is used: a check stands before it. All variables that
    one place can name have the same size.
    """

    base: int
    index: tuple[tuple[Expr, int, int], ...] = ()  # (expression, stride, extent)

    def variables(self) -> Iterator[int]:
        """Every variable number that this place can name."""
        numbers = [self.base]
        for expr, stride, extent in self.index:
            steps = [within(expr.value, extent)] if isinstance(expr, Const) else range(extent)
            numbers = [n + step * stride for n in numbers for step in steps]
        return iter(numbers)


def within(index: int, extent: int) -> int:
    """A constant index as it may be folded: one that is out of range is never used."""
    return min(max(index, 0), extent - 1)


@value
class Load:
    """The present value of a place."""

    place: Place


@value
class Binary:
    """``op`` is one of :data:`BINARY_OPS`."""

    op: str
    left: Expr
    right: Expr


@value
class Unary:
    """``op`` is ``neg``, ``lnot`` (1 - x for x in 0, 1) or ``popcount`` (x >= 0)."""

    op: str
    operand: Expr


@value
class Select:
    """``then`` where ``condition`` is not 0, else ``orelse``. Both are total, so both may run."""

    condition: Expr
    then: Expr
    orelse: Expr


Expr: TypeAlias = Const | Reg | Load | Binary | Unary | Select

BINARY_OPS = (
    "add", "sub", "mul", "floordiv", "mod",
    "and", "or", "xor", "shl", "shr",
    "eq", "ne", "lt", "le", "gt", "ge",
    "land", "lor", "min", "max",
)  # fmt: skip

# --------------------------------------------------------------------------- operations


@value
class Set:
    """Put the value of an expression into a register."""

    reg: int
    value: Expr


@value
class Store:
    """Write a value to a place of the working state.

    The value is within the variable's size: the compiler puts a ``Check`` before any that could
    be outside.
    """

    place: Place
    value: Expr


@value
class Guard:
    """Abandon this way through the body unless the condition holds: the action is not enabled."""

    condition: Expr


@value
class Check:
    """End the search with ``System.failures[failure]`` unless the condition holds."""

    condition: Expr
    failure: int


@value
class Cover:
    """Record that ``System.lines[line]`` was executed (also where the way is abandoned later)."""

    line: int


class NoteKind(Enum):
    """What a note tells the report."""

    LABEL = "label"  # what this step does, in the kernel's words
    NOTE = "note"  # a remark of the path's author
    MARK = "mark"  # the access that the race is about: shown with an arrow


@value
class Shown:
    """A value to put into a note: an expression and how to print it (``show`` is a pure function
    of the integer; engines never call it)."""

    value: Expr
    show: object  # Callable[[int], str]


@value
class Note:
    """Text for the report: ``template.format(*values)``. No effect on the search."""

    kind: NoteKind
    template: str
    values: tuple[Shown, ...] = ()


Op: TypeAlias = Set | Store | Guard | Check | Cover | Note

# --------------------------------------------------------------------------- control flow


@value
class Jump:
    """Go on with block ``target``."""

    target: int


@value
class Branch:
    """Go on with ``then`` where the condition is not 0, else with ``orelse``."""

    condition: Expr
    then: int
    orelse: int


@value
class Choice:
    """Go on with ``target`` once for each ``i`` in ``0 <= i < width`` whose bit is set in ``mask``,
    with register ``reg`` holding ``i``. Each has its own copy of the registers and the state."""

    reg: int
    mask: Expr
    width: int
    target: int


@value
class Done:
    """The outcome is complete."""


Terminator: TypeAlias = Jump | Branch | Choice | Done


@value
class Block:
    """Operations, then where to go. Targets are indices into ``Body.blocks``; acyclic."""

    ops: tuple[Op, ...]
    end: Terminator


@value
class Body:
    """A guarded atomic command; block 0 is the entry."""

    blocks: tuple[Block, ...]
    registers: int  # how many registers the body uses: 0 .. registers - 1

    def order(self) -> list[int]:
        """The blocks that can be reached, each before the ones it leads to."""
        seen = {0}
        order: list[int] = []
        stack = [(0, iter(_targets(self.blocks[0])))]
        while stack:
            number, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                order.append(number)
                stack.pop()
            elif target not in seen:
                seen.add(target)
                stack.append((target, iter(_targets(self.blocks[target]))))
        return order[::-1]


def _targets(block: Block) -> tuple[int, ...]:
    match block.end:
        case Jump(target) | Choice(_, _, _, target):
            return (target,)
        case Branch(_, then, orelse):
            return (orelse, then)
        case Done():
            return ()


# --------------------------------------------------------------------------- actions and systems


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a user's source."""

    file: str
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call on the way from a thread's path to a step.

    ``serial`` tells apart two calls of the same function: steps of one activation share it.
    ``location`` is where the function begins, ``site`` where it is called; ``None`` for the path
    of the thread itself.
    """

    function: str  # as it is shown: "flush_tlb_mm_range()"
    serial: int
    single: bool  # the function is one step: shown as one line with its result
    location: Location
    site: Location | None = None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What an action is, for people: its kind, its source line and the calls around it.

    ``order`` ascends among the steps of a process as the source is read from top to bottom, calls
    and rounds of unrolled loops in place. (``Process.actions`` follow the ways through the code.)
    """

    kind: str  # load, store, xchg, cmpxchg, lock, unlock, wait, event, rule, ...
    text: str  # source text of the access
    location: Location
    calls: tuple[Call, ...] = ()  # outermost first
    order: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a process, or one hardware rule with its parameters bound.

    ``fair`` says that the step cannot be put off for ever: a state in which unfinished threads
    wait and no fair action leads to another state is a deadlock. Steps of threads are fair;
    spontaneous hardware (fills, evictions) is not; interrupt delivery is.
    """

    name: str
    body: Body
    info: StepInfo
    fair: bool
    column: int | None  # index into System.columns: where the report puts it
    reads: frozenset[int] = frozenset()  # variables the body may read (the process's own pc apart)
    writes: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Process:
    """A thread or a daemon: ``actions[pc]`` is its next step, ``pc == len(actions)`` is the end."""

    name: str
    pc: int  # variable number
    actions: tuple[Action, ...]
    daemon: bool = False  # may wait for ever without that being a deadlock


@dataclass(frozen=True, slots=True)
class Property:
    """An invariant or goal: run the body (it has no Choice, Guard or Store) and look at register
    0: not 0 means that the property holds in the state."""

    name: str
    text: str  # one sentence: what it says
    body: Body
    location: Location


class FailureKind(Enum):
    """Whether a failed check is a verdict or a mistake in the model."""

    ASSERTION = "assertion"
    MODEL_ERROR = "model error"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed :class:`Check` means."""

    kind: FailureKind
    name: str  # the invariant that the assertion names, or "assert"
    message: str
    location: Location


@dataclass(frozen=True, slots=True)
class Variable:
    """One element of the state vector."""

    name: str
    size: int  # 0 <= value < size, size >= 1
    show: object = None  # Callable[[int], str] | None
    hidden: bool = False  # of no interest to people: where a thread stands, a compiler's temporary
    given: bool = False  # no action writes it: a table that the scenario provides
    naming: Naming = UNNAMED  # the objects that it belongs to, and that its values name


@dataclass(frozen=True, slots=True)
class System:
    """A compiled scenario: everything an engine needs."""

    name: str
    variables: tuple[Variable, ...]
    init: tuple[int, ...]
    processes: tuple[Process, ...]
    rules: tuple[Action, ...]
    invariants: tuple[Property, ...]
    goals: tuple[Property, ...]
    failures: tuple[Failure, ...]
    lines: tuple[Location, ...]
    columns: tuple[str, ...]  # "CPU0", "CPU1", ...
    fingerprint: str  # changes whenever the meaning changes
    assumptions: tuple[str, ...] = ()  # the hardware's, one sentence each
    progress: tuple[Property, ...] = ()  # must stay within reach of fair steps
    bounds: tuple[tuple[str, int], ...] = field(default=())
    options: tuple[tuple[str, str], ...] = field(default=())  # that the code consulted
