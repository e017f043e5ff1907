"""Binary decision diagrams: Boolean functions in a form in which equal functions are one object.

Reduced and ordered (Bryant, "Graph-Based Algorithms for Boolean Function Manipulation", IEEE
Transactions on Computers, 1986). A function is a number: 0 and 1 are the constants. Integers are
vectors of functions, lowest bit first; the last one is the sign and repeats for ever (two's
complement), so arithmetic is exact, as ``lang.ir`` wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

Function: TypeAlias = int
Vector: TypeAlias = tuple[Function, ...]

FALSE, TRUE = 0, 1
ZERO: Vector = (FALSE,)


class TooLargeError(Exception):
    """The diagrams would take more than their limit."""


class Diagrams:
    """A set of diagrams over variables 0, 1, ... in this order."""

    def __init__(self, most: int = 400_000) -> None:
        self.most = most
        self.nodes: list[tuple[int, Function, Function]] = [(1 << 60, 0, 0), (1 << 60, 1, 1)]
        self.unique: dict[tuple[int, Function, Function], Function] = {}
        self.known: dict[tuple[Function, Function, Function], Function] = {}

    def node(self, variable: int, low: Function, high: Function) -> Function:
        """``high`` where the variable is 1, else ``low``."""
        if low == high:
            return low
        key = (variable, low, high)
        found = self.unique.get(key)
        if found is None:
            if len(self.nodes) >= self.most:
                raise TooLargeError
            found = self.unique[key] = len(self.nodes)
            self.nodes.append(key)
        return found

    def variable(self, number: int) -> Function:
        """The value of a variable."""
        return self.node(number, FALSE, TRUE)

    def select(self, condition: Function, then: Function, orelse: Function) -> Function:
        """``then`` where the condition is true, else ``orelse``."""
        if condition == TRUE or then == orelse:
            return then
        if condition == FALSE:
            return orelse
        if then == TRUE and orelse == FALSE:
            return condition
        if then == condition:
            then = TRUE
        if orelse == condition:
            orelse = FALSE
        key = (condition, then, orelse)
        found = self.known.get(key)
        if found is None:
            nodes = self.nodes
            top = min(nodes[condition][0], nodes[then][0], nodes[orelse][0])
            lows, highs = [], []
            for f in key:
                variable, low, high = nodes[f]
                lows.append(low if variable == top else f)
                highs.append(high if variable == top else f)
            found = self.node(top, self.select(*lows), self.select(*highs))
            self.known[key] = found
        return found

    def both(self, a: Function, b: Function) -> Function:
        """And."""
        return self.select(a, b, FALSE)

    def either(self, a: Function, b: Function) -> Function:
        """Or."""
        return self.select(a, TRUE, b)

    def no(self, a: Function) -> Function:
        """Not."""
        return self.select(a, FALSE, TRUE)

    def differ(self, a: Function, b: Function) -> Function:
        """Exclusive or."""
        return self.select(a, self.no(b), b)

    # ------------------------------------------------------------------ integers

    def constant(self, value: int) -> Vector:
        """A known integer."""
        bits = [value >> i & 1 for i in range(value.bit_length())]
        return (*bits, TRUE if value < 0 else FALSE)

    def bit(self, value: Vector, number: int) -> Function:
        """A bit of an integer."""
        return value[min(number, len(value) - 1)]

    def short(self, bits: Sequence[Function]) -> Vector:
        """The same integer without repetitions of its sign."""
        end = len(bits)
        while end > 1 and bits[end - 2] == bits[end - 1]:
            end -= 1
        return tuple(bits[:end])

    def each(
        self, operation: Callable[[Function, Function], Function], a: Vector, b: Vector
    ) -> Vector:
        """An operation on each pair of bits."""
        size = max(len(a), len(b))
        return self.short([operation(self.bit(a, i), self.bit(b, i)) for i in range(size)])

    def choose(self, condition: Function, then: Vector, orelse: Vector) -> Vector:
        """One of two integers."""
        return self.each(lambda x, y: self.select(condition, x, y), then, orelse)

    def add(self, a: Vector, b: Vector, carry: Function = FALSE) -> Vector:
        """Sum."""
        bits = []
        for i in range(max(len(a), len(b)) + 1):
            x, y = self.bit(a, i), self.bit(b, i)
            different = self.differ(x, y)
            bits.append(self.differ(different, carry))
            carry = self.select(different, carry, x)
        return self.short(bits)

    def invert(self, a: Vector) -> Vector:
        """``-1 - a``."""
        return tuple(self.no(x) for x in a)

    def subtract(self, a: Vector, b: Vector) -> Vector:
        """Difference."""
        return self.add(a, self.invert(b), TRUE)

    def multiply(self, a: Vector, b: Vector) -> Vector:
        """Product."""
        total = ZERO
        for i, bit in enumerate(b):
            part = (FALSE,) * i + a
            part = self.choose(bit, part, ZERO)
            last = i == len(b) - 1
            total = self.subtract(total, part) if last else self.add(total, part)
        return total

    def nonzero(self, a: Vector) -> Function:
        """Whether it is not 0."""
        found = FALSE
        for bit in a:
            found = self.either(found, bit)
        return found

    def equal(self, a: Vector, b: Vector) -> Function:
        """Whether two integers are the same."""
        return self.no(self.nonzero(self.each(self.differ, a, b)))

    def less(self, a: Vector, b: Vector) -> Function:
        """Whether ``a < b``."""
        return self.subtract(a, b)[-1]

    def popcount(self, a: Vector) -> Vector:
        """How many bits of ``a >= 0`` are set."""
        total = ZERO
        for bit in a[:-1]:
            total = self.add(total, (bit, FALSE))
        return total
