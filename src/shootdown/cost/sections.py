"""Which blocks belong to which step, and what a step may wait for.

A step that must wait is tried again from its beginning. So nothing may have happened before the
last condition of a step: no write, no choice, nothing that takes time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shootdown.cost import runtime
from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import expr_loads
from shootdown.lang.cfg import Graph, MBlock, MBranch, MChoice
from shootdown.lang.large import Extern


@dataclass(eq=False)
class Section:
    """A step and the blocks that belong to it: all that runs before the next step.

    ``places`` is what decides whether a guard in it holds; ``waiting`` says how many operations of
    it may wait; ``first`` whether the only one is in the step's own block.
    """

    block: MBlock
    blocks: list[MBlock] = field(default_factory=list)
    places: list[ir.Place] = field(default_factory=list)
    waiting: int = 0
    first: bool = True

    @property
    def late_price(self) -> bool:
        """Whether the step pays when what it waits for has come: it surely comes there once."""
        return self.waiting == 1 and self.first

    @property
    def guarded(self) -> bool:
        """Whether it begins again after it has waited."""
        return bool(self.places)


def sections(graph: Graph) -> dict[int, Section]:
    """For each block (by id) the step that it belongs to. A block that several steps go on with,
    and one before the first step, belong to none.

    Raises :class:`ModelError` where a guard cannot be tried again.
    """
    owners: dict[int, MBlock | None] = {}
    todo: list[tuple[MBlock, MBlock | None]] = [(graph.entry, None)]
    while todo:
        block, step = todo.pop()
        owner = block if block.step is not None else step
        if id(block) in owners:
            if owners[id(block)] is owner or owners[id(block)] is None:
                continue
            owner = None  # several steps lead here
        owners[id(block)] = owner
        todo += [(target, owner) for target in block.targets()]
    made: dict[int, Section] = {}
    for block in graph.blocks:
        step = owners[id(block)]
        if step is not None:
            made.setdefault(id(step), Section(step)).blocks.append(block)
    for section in made.values():
        _look_at(section)
    for block in graph.blocks:
        if owners[id(block)] is None and any(isinstance(op, ir.Guard) for op in block.ops):
            raise ModelError("a condition before the first step of a thread has no price")
    return {
        id(block): made[id(step)]
        for block in graph.blocks
        if (step := owners[id(block)]) is not None
    }


def _look_at(section: Section) -> None:
    """Find out what a section waits for."""
    guards = [b for b in section.blocks if any(isinstance(op, ir.Guard) for op in b.ops)]
    waits = [
        (block, op)
        for block in section.blocks
        for op in block.ops
        if isinstance(op, ir.Guard) or (isinstance(op, Extern) and op.name in runtime.WAITING)
    ]
    section.waiting = len(waits)
    section.first = all(block is section.block for block, _ in waits)
    if not guards:
        return
    before = _before(section, guards)
    for block in section.blocks:
        if id(block) not in before:
            continue
        ops = block.ops
        if before[id(block)]:
            last = max(i for i, op in enumerate(ops) if isinstance(op, ir.Guard))
            ops = ops[: last + 1]
        for op in ops:
            section.places += _loads(op)
            if isinstance(op, (ir.Store, Extern)):
                raise _cannot_undo(section.block, "a write")
        if not before[id(block)]:
            if isinstance(block.end, MBranch):
                section.places += expr_loads(block.end.condition)
            if isinstance(block.end, MChoice):
                raise _cannot_undo(section.block, "a choice")


def _before(section: Section, guards: list[MBlock]) -> dict[int, bool]:
    """The blocks (by id) after which a guard of the section may come; true for those that end
    with one, after which no other comes."""
    mine = {id(block): block for block in section.blocks}
    found: dict[int, bool] = {id(block): True for block in guards}
    grown = True
    while grown:
        grown = False
        for block in section.blocks:
            following = [t for t in block.targets() if t is not section.block and id(t) in mine]
            if any(id(t) in found for t in following) and found.get(id(block), True):
                found[id(block)] = False
                grown = True
    return found


def _loads(op: object) -> list[ir.Place]:
    """The places that an operation reads."""
    match op:
        case ir.Set(_, value):
            return expr_loads(value)
        case ir.Guard(condition) | ir.Check(condition):
            return expr_loads(condition)
    return []


def _cannot_undo(block: MBlock, what: str) -> ModelError:
    """The error for a step that has done something before it finds that it is not possible."""
    assert block.step is not None
    return located(
        f"when() after {what} in one step has no price: it cannot be undone",
        block.step.location,
        "begin the atomic function with when()",
    )


def located(message: str, at: ir.Location | None, hint: str | None = None) -> ModelError:
    """An error at a line of the model."""
    if at is None:
        return ModelError(message, hint=hint)
    return ModelError(message, file=at.file, line=at.line, text=at.text, hint=hint)
