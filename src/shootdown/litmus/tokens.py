"""Words of the initial state and of conditions, and the places where they stand."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from shootdown.litmus.errors import LitmusSyntaxError, Unsupported

# Names may hold dots, dashes and slashes (Device-GRE), but not the slash of a conjunction.
_WORDS: Final = re.compile(
    r"""[ \t\r\n\f]+
    | (?P<number> 0[xX][0-9a-fA-F]+ | -?[0-9]+ )
    | (?P<name> [A-Za-z_.$] (?: [\w.$-] | /(?!\\) )* )
    | (?P<string> "[^"\n]*" )
    | (?P<sign> => | == | != | <> | /\\ | \\/ | [(){}\[\]:;,=~&*+%`] )
    | (?P<other> . )
    """,
    re.VERBOSE,
)


class Word(NamedTuple):
    """``kind`` is number, name, string, sign, or end."""

    kind: str
    text: str
    position: int


def line_of(text: str, position: int) -> int:
    """The number of the line of a position, from 1."""
    return text.count("\n", 0, position) + 1


class Words:
    """A part of a file as words, read from left to right.

    All errors that it raises name the line of the word at hand.
    """

    def __init__(self, text: str, start: int, end: int, *, file: str, what: str) -> None:
        self.text = text
        self.file = file
        self.what = what
        self._words: list[Word] = []
        self._next = 0
        for found in _WORDS.finditer(text, start, end):
            kind = found.lastgroup
            if kind is not None:
                self._words.append(Word(kind, found.group(), found.start()))
                if kind == "other":
                    self._next = len(self._words) - 1
                    self.wrong(f"unexpected character {found.group()!r}")
        self._end = Word("end", "", end)

    def peek(self, ahead: int = 0) -> Word:
        """The word at hand, or one behind it; at the end a word of kind ``end``."""
        at = self._next + ahead
        return self._words[at] if at < len(self._words) else self._end

    def take(self) -> Word:
        """The word at hand, and go on."""
        word = self.peek()
        self._next += 1
        return word

    def accept(self, text: str) -> bool:
        """Whether the word at hand is this one; if so, go on."""
        if self.peek().text == text:
            self._next += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Go on if the word at hand is this one, else fail."""
        if not self.accept(text):
            self.wrong(f"expected {text!r}, not {self.shown()}")

    def name(self, what: str) -> str:
        """Take a name, or fail."""
        if self.peek().kind != "name":
            self.wrong(f"expected {what}, not {self.shown()}")
        return self.take().text

    def number(self, what: str) -> int:
        """Take a number, or fail."""
        if self.peek().kind != "number":
            self.wrong(f"expected {what}, not {self.shown()}")
        try:
            return number_of(self.take().text)
        except LitmusSyntaxError as error:
            raise error.at(self.file, self.line()) from None

    def shown(self) -> str:
        """The word at hand, for a message."""
        word = self.peek()
        return f"the end of {self.what}" if word.kind == "end" else repr(word.text)

    def line(self) -> int:
        """The line of the word at hand."""
        return line_of(self.text, self.peek().position)

    def wrong(self, message: str) -> NoReturn:
        """The text is malformed here."""
        raise LitmusSyntaxError(message, file=self.file, line=self.line())

    def unsupported(self, thing: str) -> NoReturn:
        """The text is well-formed here, but about something that is not modelled."""
        raise Unsupported(thing, file=self.file, line=self.line())


def number_of(text: str) -> int:
    """A decimal or hexadecimal number. A leading zero means nothing. Fails, without a place, for
    one that fits into nothing."""
    if len(text) > 40:
        raise LitmusSyntaxError(f"a number of {len(text)} digits")
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)
