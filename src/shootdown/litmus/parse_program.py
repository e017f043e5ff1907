"""The program: one column for each processor, and for each fault handler."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from shootdown.litmus.assembly import assemble
from shootdown.litmus.errors import LitmusError, LitmusSyntaxError, Unsupported
from shootdown.litmus.instructions import label_of
from shootdown.litmus.model import Code, Step
from shootdown.litmus.tokens import line_of

_LABEL: Final = re.compile(r"([A-Za-z_.$][\w.$/]*)\s*:\s*")
_TITLE: Final = re.compile(r"P(\d{1,4})(\.F)?(\s*:.*)?", re.DOTALL)


@dataclass(slots=True)
class Column:
    """A column while it is being read. ``pending`` are labels without an instruction yet."""

    processor: int
    handler: bool
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)

    def code(self) -> Code:
        """The finished column."""
        return Code(tuple(self.steps), self.labels)


def parse_program(text: str, start: int, end: int, file: str) -> list[Column]:
    """The columns of the program that stands between two positions of a file."""
    position = counted = start
    line = line_of(text, start)
    columns: list[Column] = []
    for row in text[start:end].split(";"):
        # A row begins on the line of its first character that is not space.
        begins = position + len(row) - len(row.lstrip())
        line += text.count("\n", counted, begins)
        counted = begins
        position += len(row) + 1
        if position > end:
            # What is left behind the last semicolon.
            if row.strip():
                raise LitmusSyntaxError("a row of the program ends with ;", file=file, line=line)
            break
        cells = row.split("|")
        if not columns:
            if row.strip():
                columns = [_column(cell.strip(), file, line) for cell in cells]
                _check_titles(columns, file, line)
            continue
        if len(cells) != len(columns):
            message = f"{len(columns)} columns, but {len(cells)} cells in this row"
            raise LitmusSyntaxError(message, file=file, line=line)
        for column, cell in zip(columns, cells, strict=True):
            stripped = cell.strip()
            if stripped:
                _cell(column, stripped, columns, file, line)
    if not columns:
        message = "a program is expected, beginning with a row of processors: P0 | P1 ;"
        raise LitmusSyntaxError(message, file=file, line=line_of(text, start))
    for column in columns:
        _check_targets(column, columns, file)
    return columns


def _column(title: str, file: str, line: int) -> Column:
    found = _TITLE.fullmatch(title)
    if found is None:
        message = f"expected a processor such as P0 or a handler such as P0.F, not {title!r}"
        raise LitmusSyntaxError(message, file=file, line=line)
    if found[3]:
        raise Unsupported(f"annotations of processors ({title})", file=file, line=line)
    return Column(int(found[1]), found[2] is not None)


def _check_titles(columns: list[Column], file: str, line: int) -> None:
    mains = [column.processor for column in columns if not column.handler]
    if mains != list(range(len(mains))):
        message = "processors are P0, P1, ... in this order"
        raise LitmusSyntaxError(message, file=file, line=line)
    handlers = [column.processor for column in columns if column.handler]
    for number in handlers:
        if number not in mains or handlers.count(number) > 1:
            message = f"P{number}.F needs one P{number}, and is the only one"
            raise LitmusSyntaxError(message, file=file, line=line)


def _cell(column: Column, text: str, columns: list[Column], file: str, line: int) -> None:
    while found := _LABEL.match(text):
        label = found[1]
        if any(label in other.labels for other in columns if other.processor == column.processor):
            raise LitmusSyntaxError(f"label {label} is given twice", file=file, line=line)
        column.labels[label] = len(column.steps)
        column.pending.append(label)
        text = text[found.end() :]
    if not text:
        return
    try:
        instruction = assemble(text)
    except LitmusError as error:
        raise error.at(file, line) from None
    column.steps.append(Step(tuple(column.pending), instruction, text, line))
    column.pending.clear()


def _check_targets(column: Column, columns: list[Column], file: str) -> None:
    known = {
        label for other in columns if other.processor == column.processor for label in other.labels
    }
    for step in column.steps:
        label = label_of(step.instruction)
        if label is not None and label not in known:
            message = f"P{column.processor} has no label {label}"
            raise LitmusSyntaxError(message, file=file, line=step.line)
