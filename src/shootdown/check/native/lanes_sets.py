"""Sets of lanes as operands of the generated code: a word, or a vector of words.

Lane ``n`` is bit ``n % 64`` of word ``n // 64``.
"""

from __future__ import annotations

from shootdown.check.native.expressions import Writer
from shootdown.check.native.lanes_leaf import LANES, Leaf
from shootdown.check.native.values import Value, constant, known, signed

_WORD = (1 << LANES) - 1


class SetWriter:
    """Writes operations on sets of lanes; constant ones are folded."""

    def __init__(self, writer: Writer, leaf: Leaf) -> None:
        self.writer = writer
        self.leaf = leaf
        self.words = leaf.words
        self.kind = "i64" if self.words == 1 else f"<{self.words} x i64>"
        self.none = self.constant(0)
        self.all = self.constant((1 << LANES * self.words) - 1)

    # ------------------------------------------------------------------ constants

    def constant(self, lanes: int) -> str:
        """A set that is known."""
        words = [lanes >> LANES * i & _WORD for i in range(self.words)]
        if self.words == 1:
            return signed(words[0])
        return self.vector([signed(word) for word in words])

    def vector(self, words: list[str]) -> str:
        if all(word == "0" for word in words):
            return "zeroinitializer"
        return f"<{', '.join(f'i64 {word}' for word in words)}>"

    def number(self, lanes: str) -> int | None:
        """The set that an operand is, if it is a constant."""
        if self.words == 1:
            value = known(lanes)
            return None if value is None else value & _WORD
        if lanes == "zeroinitializer":
            return 0
        if not lanes.startswith("<"):
            return None
        words = [int(part.split()[1]) & _WORD for part in lanes[1:-1].split(",")]
        return sum(word << LANES * i for i, word in enumerate(words))

    # ------------------------------------------------------------------ operations

    def both(self, left: str, right: str) -> str:
        if self.none in (left, right):
            return self.none
        if left in (self.all, right):
            return right
        if right == self.all:
            return left
        return self.folded("and", left, right)

    def either(self, left: str, right: str) -> str:
        if self.all in (left, right):
            return self.all
        if left in (self.none, right):
            return right
        if right == self.none:
            return left
        return self.folded("or", left, right)

    def folded(self, op: str, left: str, right: str) -> str:
        a, b = self.number(left), self.number(right)
        if a is not None and b is not None:
            return self.constant(a & b if op == "and" else a | b)
        return self.writer.pure(f"{op} {self.kind} {left}, {right}")

    def negated(self, lanes: str) -> str:
        number = self.number(lanes)
        if number is not None:
            return self.constant(~number & (1 << LANES * self.words) - 1)
        return self.writer.pure(f"xor {self.kind} {lanes}, {self.all}")

    def without(self, lanes: str, others: str) -> str:
        return self.both(lanes, self.negated(others))

    def select(self, condition: str, then: str, orelse: str) -> str:
        if condition in ("true", "false"):
            return then if condition == "true" else orelse
        if then == orelse:
            return then
        kind = self.kind
        return self.writer.pure(f"select i1 {condition}, {kind} {then}, {kind} {orelse}")

    def spread(self, condition: str) -> str:
        """All lanes or none, for an operand of type i1."""
        if condition in ("true", "false"):
            return self.all if condition == "true" else self.none
        return self.splat(self.writer.pure(f"sext i1 {condition} to i64"))

    def splat(self, word: str) -> str:
        """The same word everywhere."""
        if self.words == 1:
            return word
        if known(word) is not None:
            return self.vector([word] * self.words)
        first = self.writer.pure(f"insertelement {self.kind} poison, i64 {word}, i64 0")
        return self.writer.pure(
            f"shufflevector {self.kind} {first}, {self.kind} poison, "
            f"<{self.words} x i32> zeroinitializer"
        )

    def any(self, lanes: str) -> str:
        """Whether there is one, as an operand of type i1."""
        if self.words == 1:
            return self.writer.pure(f"icmp ne i64 {lanes}, 0")
        bits = LANES * self.words
        whole = self.writer.pure(f"bitcast {self.kind} {lanes} to i{bits}")
        return self.writer.pure(f"icmp ne i{bits} {whole}, 0")

    def counts(self, lanes: str) -> str:
        """How many there are in each word."""
        name = "i64" if self.words == 1 else f"v{self.words}i64"
        return self.writer.pure(f"call {self.kind} @llvm.ctpop.{name}({self.kind} {lanes})")

    def total(self, counts: str) -> str:
        """The sum of the words."""
        if self.words == 1:
            return counts
        name = f"llvm.vector.reduce.add.v{self.words}i64"
        return self.writer.pure(f"call i64 @{name}({self.kind} {counts})")

    def add(self, left: str, right: str) -> str:
        return self.writer.pure(f"add {self.kind} {left}, {right}")

    def load(self, address: str) -> str:
        return self.writer.new(f"load {self.kind}, ptr {address}, align 8")

    def store(self, lanes: str, address: str) -> None:
        self.writer.do(f"store {self.kind} {lanes}, ptr {address}, align 8")

    # ------------------------------------------------------------------ moving

    def within(self, values: tuple[tuple[int, int], ...], lanes: str) -> str:
        """Those of some lanes that have these values."""
        return self.both(lanes, self.constant(self.leaf.masks(values)))

    def projected(self, variable: int, lanes: str) -> str:
        """The lanes with the variable 0 instead of what it is."""
        parts = self.none
        for value in range(self.leaf.size_of[variable]):
            mask = self.constant(self.leaf.mask(variable, value))
            parts = self.either(
                parts, self.moved(self.both(lanes, mask), [(variable, value, constant(0))])
            )
        return parts

    def moved(self, lanes: str, changes: list[tuple[int, int, Value]]) -> str:
        """Lanes, that all have these old values, with new ones: (variable, old, new)."""
        leaf = self.leaf
        shift = 0  # within a word
        words = 0  # from word to word
        unknown: list[tuple[int, Value]] = []
        for variable, old, new in changes:
            number = known(new.text)
            if number is None:
                unknown.append((variable, new))
                number = 0
            if leaf.is_outer(variable):
                words += (number - old) * (leaf.strides[variable] // LANES)
            else:
                shift += (number - old) * leaf.strides[variable]
        lanes = self.words_moved(self.shifted(lanes, shift), words)
        for variable, new in unknown:
            stride = leaf.strides[variable]
            if leaf.is_outer(variable):
                result = self.none
                for value in range(leaf.size_of[variable]):
                    here = self.words_moved(lanes, value * (stride // LANES))
                    same = self.writer.pure(f"icmp eq i64 {new.text}, {value}")
                    result = self.select(same, here, result)
                lanes = result
            else:
                by = self.writer.arithmetic("mul", new, constant(stride)).text
                lanes = self.writer.pure(f"shl {self.kind} {lanes}, {self.splat(by)}")
        return lanes

    def shifted(self, lanes: str, by: int) -> str:
        if by == 0 or lanes == self.none:
            return lanes
        op = "shl" if by > 0 else "lshr"
        return self.writer.pure(f"{op} {self.kind} {lanes}, {self.splat(str(abs(by)))}")

    def words_moved(self, lanes: str, by: int) -> str:
        if by == 0 or lanes == self.none:
            return lanes
        places = [i - by if 0 <= i - by < self.words else self.words for i in range(self.words)]
        return self.writer.pure(
            f"shufflevector {self.kind} {lanes}, {self.kind} zeroinitializer, "
            f"<{self.words} x i32> <{', '.join(f'i32 {i}' for i in places)}>"
        )
