"""Expressions and places of a graph in LLVM IR, at whatever width they have.

Most values have one word. Sets of large populations have as many as they need; spans and lists are
words that :mod:`shootdown.cost.runtime` takes apart.
"""

from __future__ import annotations

from shootdown.cost import runtime
from shootdown.cost.fallible import FALLIBLE
from shootdown.cost.layout import Layout
from shootdown.cost.writer import Writer
from shootdown.lang import ir
from shootdown.lang.cfg import Graph
from shootdown.lang.kinds import Kind, LockKind, RwSemKind
from shootdown.lang.large import Region

COMPARISONS = {
    "below": "ult",
    "eq": "eq",
    "ne": "ne",
    "lt": "slt",
    "le": "sle",
    "gt": "sgt",
    "ge": "sge",
}
PLAIN = {
    "add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor",
    "land": "and", "lor": "or", "shl": "shl", "shr": "lshr",
}  # fmt: skip


class Values(Writer):
    """Writes what computes values; ``slots`` are the registers that it read."""

    def __init__(self, graph: Graph, layout: Layout) -> None:
        super().__init__()
        self.graph = graph
        self.layout = layout
        self.slots: set[int] = set()

    @property
    def place(self) -> ir.Location:
        """The line that is named where something fails."""
        raise NotImplementedError

    def fallible(self, name: str, *arguments: str) -> str:
        """Call a function of the runtime that can fail at the present line."""
        at = self.place
        self.put("PLACE", str(self.layout.failure(FALLIBLE[name], at)))
        return self.call(name, *arguments)

    def call(self, name: str, *arguments: str) -> str:
        """Call a function of the runtime."""
        values = ", ".join(["i64 %ctxi", *(f"i64 {a}" for a in arguments)])
        return self.new(f"call i64 @{name}({values})")

    # ------------------------------------------------------------------ places

    def element(self, place: ir.Place, region: Region) -> str:
        """Which element of its region a place is."""
        constant = (place.base - region.storage.base) // region.width
        total = str(constant)
        for expr, stride, _ in place.index:
            index, _ = self.value(expr)
            scaled = self.new(f"mul i64 {index}, {stride // region.width}")
            total = self.new(f"add i64 {total}, {scaled}")
        return total

    def address(self, place: ir.Place) -> str:
        """Where a place is in memory."""
        total = str(place.base)
        for expr, stride, _ in place.index:
            index, _ = self.value(expr)
            total = self.new(f"add i64 {total}, {self.new(f'mul i64 {index}, {stride}')}")
        return self.new(f"getelementptr i64, ptr %state, i64 {total}")

    # ------------------------------------------------------------------ expressions

    def bits(self, kind: Kind) -> int:
        """How wide a register is."""
        if isinstance(kind, (LockKind, RwSemKind)):
            return 64
        return self.layout.kinds.words(kind) * 64

    def resized(self, value: str, bits: int, width: int) -> str:
        """A value of another width."""
        if bits == width or not value.startswith("%"):
            return value
        return self.new(f"{'zext' if bits < width else 'trunc'} i{bits} {value} to i{width}")

    def truth(self, expr: ir.Expr) -> str:
        """An expression as a condition."""
        value, bits = self.value(expr)
        return self.new(f"icmp ne i{bits} {value}, 0")

    def value(self, expr: ir.Expr) -> tuple[str, int]:
        """An expression's value and width."""
        match expr:
            case ir.Const(number):
                return str(number), max(1, -(-number.bit_length() // 64)) * 64
            case ir.Reg(index):
                self.slots.add(index)
                bits = self.bits(self.graph.registers[index].kind)
                return self.new(f"load i{bits}, ptr %r{index}"), bits
            case ir.Load(place):
                return self.load(place)
            case ir.Select(condition, then, orelse):
                test = self.truth(condition)
                (a, abits), (b, bbits) = self.value(then), self.value(orelse)
                width = max(abits, bbits)
                a, b = self.resized(a, abits, width), self.resized(b, bbits, width)
                return self.new(f"select i1 {test}, i{width} {a}, i{width} {b}"), width
            case ir.Unary(op, operand):
                return self.unary(op, *self.value(operand)), self._unary_bits(op, operand)
            case ir.Binary(op, left, right):
                return self.binary(op, left, right)
        raise AssertionError(expr)

    def _unary_bits(self, op: str, operand: ir.Expr) -> int:
        if op == "without" and isinstance(operand, ir.Reg):
            return self.bits(self.graph.registers[operand.index].kind)
        return 64

    def load(self, place: ir.Place) -> tuple[str, int]:
        """Read memory."""
        region = self.layout.space.region_at(place.base)
        line = self.layout.line(region)
        if line is not None:
            element = self.element(place, region)
            self.call("line_read", self.new(f"add i64 {element}, {line}"))
        bits = region.width * 64
        return self.new(f"load i{bits}, ptr {self.address(place)}, align 8"), bits

    def unary(self, op: str, value: str, bits: int) -> str:
        """An operator with one operand."""
        match op:
            case "neg":
                return self.new(f"sub i64 0, {value}")
            case "lnot":
                return self.new(f"xor i64 {value}, 1")
            case "popcount":
                self.layout.widths.add(bits)
                ones = self.new(f"call i{bits} @llvm.ctpop.i{bits}(i{bits} {value})")
                return self.narrow(ones, bits)
            case "lowest":
                self.layout.widths.add(bits)
                counted = self.new(f"call i{bits} @llvm.cttz.i{bits}(i{bits} {value}, i1 false)")
                return self.narrow(counted, bits)
            case "without":
                return self.new(f"and i{bits} {value}, {self.new(f'sub i{bits} {value}, 1')}")
            case "span_first":
                return self.new(f"and i64 {value}, {runtime.TIMES['LOW']}")
            case "span_end":
                return self.new(f"lshr i64 {value}, 32")
            case "span_len":
                end = self.new(f"lshr i64 {value}, 32")
                return self.new(f"sub i64 {end}, {self.unary('span_first', value, bits)}")
            case "list_len":
                return self.new(f"lshr i64 {value}, {runtime.TIMES['CELL_COUNT']}")
            case "list_top" | "list_rest":
                return self.fallible(op, value)
        raise AssertionError(op)

    def narrow(self, value: str, bits: int) -> str:
        """A number that came out of a wide operation."""
        return self.resized(value, bits, 64)

    def binary(self, op: str, left: ir.Expr, right: ir.Expr) -> tuple[str, int]:
        """An operator with two operands."""
        if op == "bit":
            assert isinstance(left, ir.Const)
            width = left.value * 64
            index, bits = self.value(right)
            return self.shifted("shl", width, "1", self.resized(index, bits, width)), width
        if op == "widen":
            assert isinstance(left, ir.Const)
            value, bits = self.value(right)
            return self.resized(value, bits, left.value), left.value
        (a, abits), (b, bbits) = self.value(left), self.value(right)
        if op == "and" and abits > 64 and isinstance(right, ir.Const) and right.value < 1 << 63:
            return self.new(f"and i64 {self.narrow(a, abits)}, {b}"), 64
        if op == "in_bits":
            moved = self.shifted("lshr", abits, a, self.resized(b, bbits, abits))
            return self.new(f"and i64 {self.narrow(moved, abits)}, 1"), 64
        width = max(abits, bbits)
        a, b = self.resized(a, abits, width), self.resized(b, bbits, width)
        if op in COMPARISONS:
            test = self.new(f"icmp {COMPARISONS[op]} i{width} {a}, {b}")
            return self.new(f"zext i1 {test} to i64"), 64
        if op in ("shl", "shr") and not isinstance(right, ir.Const):
            return self.shifted(PLAIN[op], width, a, b), width
        if op in PLAIN:
            return self.new(f"{PLAIN[op]} i{width} {a}, {b}"), width
        return self.special(op, a, b), 64

    def shifted(self, op: str, width: int, a: str, b: str) -> str:
        """A shift, by any number: nothing is left where it is far."""
        near = self.new(f"icmp ult i{width} {b}, {width}")
        moved = self.new(f"{op} i{width} {a}, {b}")
        return self.new(f"select i1 {near}, i{width} {moved}, i{width} 0")

    def divided(self, op: str, a: str, b: str) -> str:
        """Division as in Python, by a number above 0: the remainder is not negative."""
        rest = self.new(f"srem i64 {a}, {b}")
        under = self.new(f"icmp slt i64 {rest}, 0")
        if op == "mod":
            more = self.new(f"add i64 {rest}, {b}")
            return self.new(f"select i1 {under}, i64 {more}, i64 {rest}")
        whole = self.new(f"sdiv i64 {a}, {b}")
        less = self.new(f"sext i1 {under} to i64")
        return self.new(f"add i64 {whole}, {less}")

    def special(self, op: str, a: str, b: str) -> str:
        """Division, extremes, spans and lists."""
        match op:
            case "floordiv" | "mod":
                return self.divided(op, a, b)
            case "min" | "max":
                test = self.new(f"icmp {'slt' if op == 'min' else 'sgt'} i64 {a}, {b}")
                return self.new(f"select i1 {test}, i64 {a}, i64 {b}")
            case "span":
                end = self.new(f"add i64 {a}, {b}")
                packed = self.new(f"or i64 {self.new(f'shl i64 {end}, 32')}, {a}")
                some = self.new(f"icmp ne i64 {b}, 0")
                return self.new(f"select i1 {some}, i64 {packed}, i64 0")
            case "push":
                self.layout.lists = True
                return self.fallible("push", a, b)
            case "in_list":
                self.layout.lists = True
                return self.fallible("list_has", a, b)
            case "hull" | "span_and" | "span_sub" | "in_span":
                return self.new(f"call i64 @{op}(i64 {a}, i64 {b})")
        raise AssertionError(op)
