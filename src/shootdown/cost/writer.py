"""Writes lines of LLVM IR about the context that all threads share."""

from __future__ import annotations

from shootdown.cost import runtime

WORDS = {name: number for number, name in enumerate(runtime.CONTEXT)}


class Writer:
    """The lines of one function."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.serial = 0

    # ------------------------------------------------------------------ text

    def new(self, instruction: str) -> str:
        """A line that defines a value."""
        self.serial += 1
        self.lines.append(f"  %v{self.serial} = {instruction}")
        return f"%v{self.serial}"

    def do(self, instruction: str) -> None:
        """A line that defines none."""
        self.lines.append(f"  {instruction}")

    def label(self, name: str) -> str:
        """A name for a new block."""
        self.serial += 1
        return f"{name}.{self.serial}"

    # ------------------------------------------------------------------ the context

    def word(self, name: str) -> str:
        """The address of a word of the context."""
        return self.new(f"getelementptr i64, ptr %ctx, i64 {WORDS[name]}")

    def get(self, name: str) -> str:
        """A word of the context."""
        return self.new(f"load i64, ptr {self.word(name)}")

    def put(self, name: str, value: str) -> None:
        """Write a word of the context."""
        self.do(f"store i64 {value}, ptr {self.word(name)}")

    def add_to(self, array: str, index: int, value: str) -> None:
        """Add to an element of an array of the context."""
        base = self.new(f"inttoptr i64 {self.get(array)} to ptr")
        at = self.new(f"getelementptr i64, ptr {base}, i64 {index}")
        old = self.new(f"load i64, ptr {at}")
        self.do(f"store i64 {self.new(f'add i64 {old}, {value}')}, ptr {at}")

    def suspend(self) -> None:
        """Stop here; go on when resumed."""
        after = self.label("resumed")
        way = self.new("call i8 @llvm.coro.suspend(token none, i1 false)")
        self.do(f"switch i8 {way}, label %suspended [i8 0, label %{after} i8 1, label %cleanup]")
        self.lines.append(f"{after}:")

    def _set_word(self, name: str, value: str) -> list[str]:
        self.serial += 1
        return [
            f"  %w{self.serial} = getelementptr i64, ptr %ctx, i64 {WORDS[name]}",
            f"  store i64 {value}, ptr %w{self.serial}",
        ]
