"""Which lines are covered, with a byte for all lines that are covered together.

A body marks a line each time that it gets there, which takes as long as what it is about. Lines
between two operations that may end a way are marked together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shootdown.lang.bodies import block_targets
from shootdown.lang.ir import Block, Body, Check, Cover, Guard, Jump, Op


class Cells:
    """A number for each set of lines that are covered together."""

    def __init__(self) -> None:
        self.numbers: dict[frozenset[int], int] = {}

    def lines(self) -> tuple[tuple[int, ...], ...]:
        """The lines of each cell."""
        return tuple(tuple(sorted(lines)) for lines in self.numbers)

    def body(self, body: Body) -> Body:
        """The same body with numbers of cells instead of lines, each before what it is about."""
        straight = joined(body)
        blocks = tuple(Block(self.ops(block.ops), block.end) for block in straight.blocks)
        return Body(blocks, body.registers)

    def ops(self, ops: Sequence[Op]) -> tuple[Op, ...]:
        new: list[Op] = []
        part: list[Op] = []
        lines: set[int] = set()
        for op in ops:
            if isinstance(op, Cover):
                lines.add(op.line)
                continue
            part.append(op)
            if isinstance(op, Guard | Check):
                new += self.marked(lines, part)
                part, lines = [], set()
        return (*new, *self.marked(lines, part))

    def marked(self, lines: set[int], part: list[Op]) -> list[Op]:
        if not lines:
            return part
        number = self.numbers.setdefault(frozenset(lines), len(self.numbers))
        return [Cover(number), *part]


def joined(body: Body) -> Body:
    """The same body with blocks put together that only follow one another."""
    entries = [0] * len(body.blocks)
    for number in body.order():
        for target in block_targets(body.blocks[number]):
            entries[target] += 1
    blocks = list(body.blocks)
    for number in reversed(body.order()):
        end = blocks[number].end
        if isinstance(end, Jump) and entries[end.target] == 1:
            after = blocks[end.target]
            blocks[number] = Block((*blocks[number].ops, *after.ops), after.end)
    return Body(tuple(blocks), body.registers)


def covered(cells: Sequence[Sequence[int]], marks: Iterable[int], lines: int) -> tuple[bool, ...]:
    """Which of so many lines are covered, where some cells are marked."""
    found = {line for cell, mark in zip(cells, marks, strict=True) if mark for line in cell}
    return tuple(line in found for line in range(lines))
