"""The two ways in which a litmus test can be refused."""

from __future__ import annotations

from typing import Self

from shootdown.errors import ShootdownError

LONGEST = 200  # characters


class LitmusError(ShootdownError):
    """A test that cannot be used. ``str(error)`` is ``FILE:LINE: what is wrong``.

    Whoever knows less than the place raises it without; :meth:`at` adds the place.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        # A message quotes the source, which may be anything.
        self.message = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
        self.file = file
        self.line = line
        where = "".join(f"{part}:" for part in (file, line) if part is not None)
        super().__init__(f"{where} {self.sentence()}".strip())

    def sentence(self) -> str:
        """What is wrong, without the place."""
        return self.message

    def at(self, file: str, line: int) -> Self:
        """The same error with its place, unless it has one."""
        return self if self.line is not None else type(self)(self.message, file=file, line=line)


class LitmusSyntaxError(LitmusError):
    """The text is not a litmus test, or contradicts itself."""


class Unsupported(LitmusError):  # noqa: N818 - the test is not wrong
    """A well-formed test that uses something which is not modelled; ``message`` names it.

    There is no verdict for such a test, hence the exit code of an unfinished check.
    """

    exit_code = 3

    def sentence(self) -> str:
        """What is not modelled, without the place."""
        return f"not modelled: {self.message}"
