"""Race diagrams for commit messages: ASCII, never wider than 75 characters, time goes down.

One column for each CPU that takes part; from four on a list of ``[Time N] CPU2: ...``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shootdown.check.trace import Trace
from shootdown.report.entries import LOOP, Entry, entries
from shootdown.report.text import WIDTH, ascii_text, wrap

LIST_FROM = 4  # columns
GAP = 2  # between columns
ROOM = 12  # what deep calls leave for text
NARROWEST = 14  # column
ARROW_GAP = 4


@dataclass(frozen=True, slots=True)
class Style:
    """How many spaces stand before everything, for each call, and before the rows of a line
    after its first."""

    margin: int
    deeper: int
    hanging: int


WIDE = Style(margin=4, deeper=2, hanging=4)
NARROW = (Style(margin=2, deeper=2, hanging=4), Style(margin=0, deeper=1, hanging=3))
LIST = Style(margin=2, deeper=2, hanging=4)


def diagram(trace: Trace) -> str:
    """The race as a diagram, without a trailing newline."""
    return laid_out(entries(trace), tuple(map(ascii_text, trace.system.columns)))


def laid_out(lines: Sequence[Entry], order: Sequence[str]) -> str:
    """Lines as a diagram; their columns stand in this order, others behind."""
    present = {line.column for line in lines if line.text != LOOP}
    known = [name for name in order if name in present]
    named = [line.column for line in lines if line.text != LOOP]
    columns = list(dict.fromkeys([*known, *named]))
    if not columns:
        return " " * WIDE.margin + "(no step: the initial state is the bad one)"
    rows = _list(lines) if len(columns) >= LIST_FROM else _columns(lines, columns)
    return "\n".join(row.rstrip() for row in rows)


# --------------------------------------------------------------------------- columns


def _columns(lines: Sequence[Entry], columns: Sequence[str]) -> list[str]:
    style = _style(lines, columns)
    widths = _widths(lines, columns, style)
    starts = [style.margin + sum(widths[:i]) for i in range(len(columns))]
    rooms = [width - GAP for width in widths[:-1]] + [widths[-1]]
    cells = dict(zip(columns, zip(starts, rooms, strict=True), strict=True))
    arrows = {name: _arrows_at(lines, name, *cells[name], style) for name in columns}
    out = _heading(cells)
    for line in lines:
        if line.text == LOOP:
            out.append(" " * style.margin + LOOP)
            continue
        start, room = cells[line.column]
        rows = [" " * start + row for row in _body(line, room, style)]
        indent = start + _indent(line, room, style)
        out.extend(_with_arrow(rows, line, indent, arrows[line.column]))
    return out


def _style(lines: Sequence[Entry], columns: Sequence[str]) -> Style:
    """The most generous style in which lines are broken only at spaces, else the narrowest."""
    for style in (WIDE, *NARROW) if len(columns) < LIST_FROM - 1 else NARROW:
        words = sum(_need_of_words(lines, name, style) for name in columns)
        if words <= WIDTH - style.margin + GAP:
            return style
    return NARROW[-1]


def _widths(lines: Sequence[Entry], columns: Sequence[str], style: Style) -> list[int]:
    """Equal widths where all fit; else what words need, and a fair share of the rest."""
    total = WIDTH + GAP - style.margin  # the last column has a gap too, outside
    needs = [_need(lines, name, style) for name in columns]
    widths = [total // len(columns)] * len(columns)
    widths[-1] = total - sum(widths[:-1])
    last = max(needs[-1], _with_arrows(lines, columns[-1], style) + GAP)
    wanted = [*needs[:-1], last]
    if any(want > width for want, width in zip(wanted, widths, strict=True)):
        widths = _shares([_need_of_words(lines, name, style) for name in columns], total)
        for wishes in (needs, wanted):
            lacking = [max(0, wish - width) for wish, width in zip(wishes, widths, strict=True)]
            more = _shares(lacking, total - sum(widths))
            widths = [width + extra for width, extra in zip(widths, more, strict=True)]
        widths[-1] += total - sum(widths)
    widths[-1] -= GAP
    return widths


def _shares(needs: Sequence[int], total: int) -> list[int]:
    """``total`` shared out: who needs less than an equal share leaves the rest to the others."""
    shares = [0] * len(needs)
    for served, i in enumerate(sorted(range(len(needs)), key=lambda i: needs[i])):
        shares[i] = min(needs[i], total // (len(needs) - served))
        total -= shares[i]
    return shares


def _need(lines: Sequence[Entry], column: str, style: Style) -> int:
    """The width in which no text of a column would be wrapped."""
    ends = [line.depth * style.deeper + len(line.text) for line in lines if line.column == column]
    return max([len(column), *ends]) + GAP


def _need_of_words(lines: Sequence[Entry], column: str, style: Style) -> int:
    """The width in which lines of a column are broken only at spaces."""
    ends = [NARROWEST]
    for line in lines:
        if line.column == column:
            first, *others = line.text.split(" ")
            longest = max([len(first), *(style.hanging + len(word) for word in others)])
            ends.append(line.depth * style.deeper + longest)
    return max(ends) + GAP


def _with_arrows(lines: Sequence[Entry], column: str, style: Style) -> int:
    """The width in which the arrows of the last column stand behind its text.

    Those of the other columns may stand over their neighbours: a row has only one text.
    """
    marked = [line for line in lines if line.column == column and line.arrow]
    text = max((line.depth * style.deeper + len(line.text) for line in marked), default=0)
    arrow = max((len("<-- ") + len(line.arrow) for line in marked), default=0)
    return text + ARROW_GAP + arrow


def _heading(cells: dict[str, tuple[int, int]]) -> list[str]:
    names = {name: wrap(name, room, 0) for name, (_, room) in cells.items()}
    out = []
    for row in range(max(map(len, names.values()))):
        text = ""
        for name, (start, _) in cells.items():
            text = text.ljust(start) + (names[name][row] if row < len(names[name]) else "")
        out.append(text)
    return out


def _arrows_at(lines: Sequence[Entry], column: str, start: int, room: int, style: Style) -> int:
    """Where the arrows of a column stand: behind the longest line that has one."""
    ends = [
        start + len(_body(line, room, style)[-1]) + ARROW_GAP
        for line in lines
        if line.column == column and line.arrow
    ]
    return max(ends, default=0)


def _body(line: Entry, room: int, style: Style) -> list[str]:
    indent = _indent(line, room, style)
    return [" " * indent + row for row in wrap(line.text, room - indent, style.hanging)]


def _indent(line: Entry, room: int, style: Style) -> int:
    return max(0, min(line.depth * style.deeper, room - ROOM))


def _with_arrow(rows: list[str], line: Entry, indent: int, arrow_at: int) -> list[str]:
    """Put the arrow behind the last row, or below where it does not fit."""
    if not line.arrow:
        return rows
    arrow = f"<-- {line.arrow}"
    for place in (arrow_at, len(rows[-1]) + GAP):
        if place > len(rows[-1]) and place + len(arrow) <= WIDTH:
            return [*rows[:-1], rows[-1].ljust(place) + arrow]
    margin = min(indent + GAP, WIDTH - ROOM)
    return [*rows, *(" " * margin + row for row in wrap(arrow, WIDTH - margin, len("<-- ")))]


# --------------------------------------------------------------------------- list


def _list(lines: Sequence[Entry]) -> list[str]:
    digits = len(str(max(line.step for line in lines)))
    names = max(len(line.column) for line in lines)
    margin = " " * LIST.margin
    out: list[str] = []
    before = -1
    for line in lines:
        if line.text == LOOP:
            out.append(margin + LOOP)
            continue
        time = f"[Time {line.step}]" if line.step and line.step != before else ""
        prefix = margin + time.ljust(digits + len("[Time ] ")) + f"{line.column}:".ljust(names + 2)
        before = line.step
        start = len(prefix)
        if start > WIDTH // 2:  # long names: a line of their own
            text_at = min(digits + len("[Time ] "), WIDTH // 2)
            rows = wrap(prefix.strip(), WIDTH - LIST.margin, text_at)
            out.extend(margin + row for row in rows)
            start = text_at + 2 * LIST.margin
            prefix = " " * start
        room = WIDTH - start
        rows = [" " * start + row for row in _body(line, room, LIST)]
        rows[0] = prefix + rows[0][start:]
        end = len(rows[-1]) + ARROW_GAP
        out.extend(_with_arrow(rows, line, start + _indent(line, room, LIST), end))
    return out
