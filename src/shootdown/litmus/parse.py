"""A litmus test from its file: header, initial state, program, condition.

Sources: the format that herdtools7 reads (its documentation and the tests of its catalogue), for
AArch64 with page tables (``Variant=vmsa``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from shootdown.litmus.errors import LitmusSyntaxError
from shootdown.litmus.files import read_text
from shootdown.litmus.model import LitmusTest, Processor
from shootdown.litmus.parse_condition import Ending, parse_ending
from shootdown.litmus.parse_header import (
    hardware_management,
    parse_header,
    unprivileged,
    variants,
)
from shootdown.litmus.parse_initial import Initial, parse_initial
from shootdown.litmus.parse_program import Column, parse_program
from shootdown.litmus.propositions import (
    Element,
    Equal,
    FaultAtom,
    Place,
    Proposition,
    RegisterOf,
    Same,
    atoms,
)
from shootdown.litmus.tokens import Words, line_of
from shootdown.litmus.values import Address, CodeLabel

_COMMENT: Final = re.compile(r"\(\*|\*\)")
_BRACE: Final = re.compile(r"[{}]")
_ENDING: Final = re.compile(
    r"(?<![\w/.$-])(?:~\s*exists|exists|forall|final|[oO]bserved|locations|filter)(?![\w/.-])"
)


def parse_file(path: Path) -> LitmusTest:
    """Read a test.

    Raises :class:`LitmusSyntaxError` if it is malformed or cannot be read, and
    :class:`~shootdown.litmus.errors.Unsupported` if it uses what is not modelled.
    """
    return parse_text(read_text(path, "the test"), str(path))


def parse_text(text: str, file: str) -> LitmusTest:
    """Read a test from its text; ``file`` is for messages. Errors as :func:`parse_file`."""
    text = without_comments(text, file)
    opening, closing = _braces(text, file)
    header = parse_header(text, opening, file)
    kind = variants(header, file)
    found = _ENDING.search(text, closing)
    program_end = found.start() if found else len(text)
    behind = text.find("<<", program_end)
    end = behind if behind >= 0 else len(text)
    initial = parse_initial(Words(text, opening + 1, closing, file=file, what="the initial state"))
    columns = parse_program(text, closing + 1, program_end, file)
    words = Words(text, program_end, end, file=file, what="the condition")
    ending = parse_ending(words)
    processors = 1 + max(column.processor for column in columns)
    _check_names(initial, ending, columns, file, line_of(text, opening), line_of(text, program_end))
    el0 = unprivileged(header, processors, file)
    hardware_af, hardware_dirty = hardware_management(header, processors, file)
    codes = {(column.processor, column.handler): column.code() for column in columns}
    return LitmusTest(
        name=header.name,
        file=file,
        info=header.info,
        variants=kind,
        processors=tuple(
            Processor(
                number,
                codes[number, False],
                codes.get((number, True)),
                number in el0,
                number in hardware_af,
                number in hardware_dirty,
            )
            for number in range(processors)
        ),
        initial=initial.values,
        types=initial.types,
        locations=tuple(ending.locations),
        watched=tuple(ending.watched),
        filter=ending.filter,
        condition=ending.condition,
    )


def without_comments(text: str, file: str) -> str:
    """The text with comments ``(* ... *)``, which nest, blanked out; lines stay where they are."""
    if "(*" not in text:
        return text
    kept: list[str] = []
    depth = 0
    start = opened = 0
    for found in _COMMENT.finditer(text):
        if found.group() == "(*":
            if depth == 0:
                kept.append(text[start : found.start()])
                opened = found.start()
            depth += 1
        elif depth > 0:
            depth -= 1
            if depth == 0:
                start = found.end()
                kept.append(re.sub(r"[^\n]", " ", text[opened:start]))
    if depth:
        raise LitmusSyntaxError("a comment is not closed", file=file, line=line_of(text, opened))
    kept.append(text[start:])
    return "".join(kept)


def _braces(text: str, file: str) -> tuple[int, int]:
    """Where the initial state begins and ends."""
    depth = 0
    opening = -1
    for found in _BRACE.finditer(text):
        if found.group() == "{":
            if depth == 0:
                opening = found.start()
            depth += 1
        elif depth > 0:
            depth -= 1
            if depth == 0:
                return opening, found.start()
    if opening < 0:
        parse_header(text, len(text), file)  # a file that is no test at all says so
        message = "no initial state: a test has one between { and }, perhaps empty"
        raise LitmusSyntaxError(message, file=file, line=line_of(text, len(text.rstrip())))
    raise LitmusSyntaxError(
        "the initial state is not closed by }", file=file, line=line_of(text, opening)
    )


def _check_names(
    initial: Initial,
    ending: Ending,
    columns: list[Column],
    file: str,
    initial_line: int,
    ending_line: int,
) -> None:
    """Processors, labels and elements that the test mentions must exist."""
    processors = {column.processor for column in columns}
    labels = {(column.processor, label) for column in columns for label in column.labels}

    def check(item: object, line: int) -> None:
        match item:
            case RegisterOf(number) | FaultAtom(number) if number not in processors:
                message = f"{item}: there is no processor P{number}"
                raise LitmusSyntaxError(message, file=file, line=line)
            case FaultAtom(number, str(label)) if (number, label) not in labels:
                message = f"{item}: there is no label {label} on P{number}"
                raise LitmusSyntaxError(message, file=file, line=line)
            case CodeLabel(number, label) if (number, label) not in labels:
                message = f"there is no label {label} on P{number}"
                raise LitmusSyntaxError(message, file=file, line=line)

    def length(place: Place) -> int | None:
        return initial.types[place].length if place in initial.types else None

    def same_shape(place: Place, other: int | None) -> None:
        """A whole array is compared with as many elements, all else with one value."""
        own = length(place)
        if own == other:
            return
        message = f"{place} is no array" if own is None else f"{place} has {own} elements"
        if other is not None:
            message += f", but is compared with {other}"
        elif own is not None:
            message += f": compare one of them, such as {place}[0], or all"
        raise LitmusSyntaxError(message, file=file, line=ending_line)

    def check_index(item: object) -> None:
        if not isinstance(item, Element):
            return
        count = length(Address(item.name))
        if count is None:
            message = f"{item}: {item.name} is not declared as an array, as int {item.name}[2]"
        elif not 0 <= item.index < count:
            message = f"{item}: {item.name} has {count} elements, from 0 on"
        else:
            return
        raise LitmusSyntaxError(message, file=file, line=ending_line)

    for place, value in initial.values.items():
        check(place, initial_line)
        check(value, initial_line)
    for mentioned in (*ending.locations, *ending.watched):
        check(mentioned, ending_line)
        check_index(mentioned)
    propositions: list[Proposition] = [ending.condition.proposition]
    if ending.filter is not None:
        propositions.append(ending.filter)
    for proposition in propositions:
        for atom in atoms(proposition):
            parts: tuple[Place | FaultAtom, ...]
            match atom:
                case Equal(place, value):
                    parts = (place,)
                    check(value, ending_line)
                    same_shape(place, len(value) if isinstance(value, tuple) else None)
                case Same(left, right):
                    parts = (left, right)
                    same_shape(left, length(right))
                case FaultAtom():
                    parts = (atom,)
            for part in parts:
                check(part, ending_line)
                check_index(part)
