"""The operands of one instruction, read from left to right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from shootdown.litmus.errors import LitmusSyntaxError, Unsupported
from shootdown.litmus.instructions import (
    Addressing,
    Cond,
    Extend,
    Instruction,
    Modified,
    Operand,
    Register,
    Writeback,
)
from shootdown.litmus.tokens import number_of

_PARTS: Final = re.compile(
    r"[A-Za-z_.$&][\w.$%/]*|#?[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)\b|[\[\],!:]|\S"
)
_NUMBER: Final = re.compile(r"#?[+-]?[0-9]")
_LABEL: Final = re.compile(r"[A-Za-z_$.][\w.$/]*")
REGISTERS: Final = {
    **{f"X{number}": Register(number, 64) for number in range(31)},
    **{f"W{number}": Register(number, 32) for number in range(31)},
    "XZR": Register(31, 64),
    "WZR": Register(31, 32),
    "LR": Register(30, 64),
}
_VECTOR: Final = re.compile(r"[BCDHQSVZP][0-9]+(\..*)?|C?SP|WSP|[XWC]?%.*|ZA.*")
_CONDITIONS: Final = {**Cond.__members__, "HS": Cond.CS, "LO": Cond.CC}
_SHIFTS: Final = (Extend.LSL, Extend.LSR, Extend.ASR, Extend.ROR)


class Operands:
    """The text behind a mnemonic. Errors come without a place: the caller adds it."""

    def __init__(self, text: str) -> None:
        self._parts: list[str] = _PARTS.findall(text)
        self._next = 0

    def wrong(self, message: str) -> NoReturn:
        """The operands are malformed."""
        raise LitmusSyntaxError(message)

    def peek(self) -> str:
        """The part at hand, empty at the end."""
        return self._parts[self._next] if self._next < len(self._parts) else ""

    def shown(self) -> str:
        """The part at hand, for a message."""
        return repr(self.peek()) if self.peek() else "the end of the instruction"

    def accept(self, part: str) -> bool:
        """Whether the part at hand is this one; if so, go on."""
        if self.peek() == part:
            self._next += 1
            return True
        return False

    def expect(self, part: str) -> None:
        """Go on if the part at hand is this one, else fail."""
        if not self.accept(part):
            self.wrong(f"expected {part!r}, not {self.shown()}")

    def end(self) -> None:
        """Fail unless all has been read."""
        if self.peek():
            self.wrong(f"expected the end of the instruction, not {self.shown()}")

    def word(self, what: str) -> str:
        """A word in capitals, such as an option or a condition."""
        part = self.peek()
        if not part or not (part[0].isalpha() or part[0] == "_"):
            self.wrong(f"expected {what}, not {self.shown()}")
        self._next += 1
        return part.upper()

    def number(self, low: int | None = None, high: int | None = None) -> int:
        """An immediate, with or without ``#``, within bounds."""
        part = self.peek()
        if not _NUMBER.match(part):
            if part.startswith("&"):
                raise Unsupported(f"constants by name ({part})")
            self.wrong(f"expected a number, not {self.shown()}")
        text = part.removeprefix("#").removeprefix("+")
        found = -number_of(text[1:]) if text[0] == "-" else number_of(text)
        if (low is not None and found < low) or (high is not None and found > high):
            self.wrong(f"expected a number from {low} to {high}, not {found}")
        self._next += 1
        return found

    def is_number(self) -> bool:
        """Whether a number is at hand."""
        return _NUMBER.match(self.peek()) is not None

    def register(self, bits: int | None = None) -> Register:
        """A general register, of the given width if one is given."""
        found = REGISTERS.get(self.peek().upper())
        if found is None:
            if _VECTOR.fullmatch(self.peek().upper()):
                raise Unsupported(f"register {self.peek()}")
            self.wrong(f"expected a register, not {self.shown()}")
        if bits is not None and found.bits != bits:
            self.wrong(f"expected a register of {bits} bits, not {found}")
        self._next += 1
        return found

    def is_register(self) -> bool:
        """Whether a general register is at hand."""
        return self.peek().upper() in REGISTERS

    def label(self) -> str:
        """The label that a branch goes to."""
        part = self.peek()
        if part == ".":
            raise Unsupported("branches to an offset")
        if not _LABEL.fullmatch(part):
            self.wrong(f"expected a label, not {self.shown()}")
        self._next += 1
        return part

    def condition(self) -> Cond:
        """``EQ`` and so on."""
        return condition(self.word("a condition, such as EQ"))

    def extend(self) -> tuple[Extend, int]:
        """``LSL #3`` or ``SXTW``, behind the comma."""
        text = self.word("a shift or extension")
        if text not in Extend.__members__:
            self.wrong(f"{text} is no shift or extension")
        kind = Extend[text]
        if kind in _SHIFTS or self.is_number():
            return kind, self.number(0, 63)
        return kind, 0

    def operand(self, bits: int) -> Operand:
        """The last operand of a computation: a number, or a register, each perhaps shifted."""
        if self.is_number():
            number = self.number()
            if self.accept(","):
                kind, amount = self.extend()
                if kind is not Extend.LSL:
                    self.wrong(f"a number can be shifted by LSL, not by {kind.value}")
                number <<= amount
            return number
        register = self.register()
        if not self.accept(","):
            if register.bits != bits:
                self.wrong(f"expected a register of {bits} bits, not {register}")
            return register
        kind, amount = self.extend()
        if register.bits > bits or (register.bits < bits and kind in _SHIFTS):
            self.wrong(f"expected a register of {bits} bits, not {register}")
        return register if (kind, amount) == (Extend.LSL, 0) else Modified(register, kind, amount)

    def address(self) -> Addressing:
        """``[X1]``, ``[X1,#8]``, ``[X1,W2,SXTW #2]``, ``[X1,#8]!``, ``[X1],#8``."""
        self.expect("[")
        base = self.register(64)
        if self.accept("]"):
            if self.accept(","):
                return Addressing(base, self.number(), Writeback.POST)
            return Addressing(base)
        self.expect(",")
        if not self.is_register():
            offset = self.number()
            self.expect("]")
            return Addressing(base, offset, Writeback.PRE if self.accept("!") else Writeback.NO)
        index = self.register()
        kind, amount = (Extend.LSL, 0) if index.bits == 64 else (Extend.UXTW, 0)
        if self.accept(","):
            kind, amount = self.extend_index()
        elif index.bits == 32:
            self.wrong(f"an index {index} needs SXTW or UXTW")
        self.expect("]")
        return Addressing(base, Modified(index, kind, amount))

    def extend_index(self) -> tuple[Extend, int]:
        """How an index register is extended; the shift of LSL may be left out here."""
        text = self.word("LSL, SXTW, UXTW or SXTX")
        if text not in ("LSL", "SXTW", "UXTW", "SXTX"):
            self.wrong(f"an index can be extended by LSL, SXTW, UXTW or SXTX, not by {text}")
        return Extend[text], self.number(0, 4) if self.is_number() else 0

    def base_only(self) -> Addressing:
        """``[X1]`` or ``[X1,#0]``: what atomic and ordered accesses take."""
        found = self.address()
        if found != Addressing(found.base):
            self.wrong("this instruction takes an address without offset: [Xn]")
        return found


def condition(text: str) -> Cond:
    """A condition by name; fails without a place."""
    found = _CONDITIONS.get(text)
    if found is None:
        raise LitmusSyntaxError(f"{text} is no condition (such as EQ)")
    return found


# Reads the operands of one mnemonic.
Reader: TypeAlias = Callable[[Operands], Instruction]
