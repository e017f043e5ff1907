"""Expressions of ``lang.ir`` as LLVM IR text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from shootdown.check.native.layout import Dimension, Layout, Slot, elements, resolve
from shootdown.check.native.values import (
    ARITHMETIC,
    COMPARISON,
    ZERO,
    Value,
    bounded,
    constant,
    known,
    signed,
)
from shootdown.lang.ir import Binary, Const, Expr, Load, Place, Reg, Select, System, Unary


@dataclass(slots=True)
class Env:
    """What is current at a point of a body: the words of the working state and the registers.

    ``choice`` is the number of the choice to go back to from here, 0 for none: an int if it is
    known, else an operand. ``covered`` are the lines that are marked on every way to here.
    """

    words: list[str]
    registers: list[Value]
    choice: int | str = 0
    covered: frozenset[int] = frozenset()

    def copy(self) -> Env:
        return Env(self.words[:], self.registers[:], self.choice, self.covered)


class Writer:
    """The text of one LLVM function, with the constant tables that it needs."""

    def __init__(self, system: System, layout: Layout, tables: dict[str, str]) -> None:
        self.system = system
        self.layout = layout
        self.tables = tables
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.count = 0
        self.label_now = "entry"
        self.known: dict[str, str] = {}
        self.truths: dict[str, str] = {}  # of numbers that are 0 or 1: the operand of type i1
        self.negations: dict[str, str] = {}

    # ------------------------------------------------------------------- instructions

    def new(self, instruction: str) -> str:
        """Append an instruction; the name of its result."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def pure(self, instruction: str) -> str:
        """The same for one without effect: its result is used again within the block."""
        name = self.known.get(instruction)
        if name is None:
            name = self.known[instruction] = self.new(instruction)
        return name

    def do(self, instruction: str) -> None:
        self.lines.append("  " + instruction)

    def fresh(self, name: str) -> str:
        """A label that is not used yet."""
        self.count += 1
        return f"{name}.{self.count}"

    def label(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label_now = label
        self.known.clear()

    def jump(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch(self, condition: str, then: str, orelse: str) -> None:
        self.do(f"br i1 {condition}, label %{then}, label %{orelse}")

    def slot(self, kind: str = "i64") -> str:
        """A stack slot, which LLVM turns into registers."""
        self.slots.append(kind)
        return f"%slot{len(self.slots)}"

    def function(self, head: str) -> str:
        """The whole text."""
        slots = [f"  %slot{i} = alloca {kind}" for i, kind in enumerate(self.slots, 1)]
        return "\n".join([f"define i64 {head} {{", "entry:", *slots, *self.lines, "}", ""])

    # ------------------------------------------------------------------- expressions

    def value(self, expr: Expr, env: Env) -> Value:
        """An expression as a number."""
        match expr:
            case Const(number):
                return constant(number)
            case Reg(index):
                return env.registers[index]
            case Load(place):
                return self.load(place, env)
            case Binary(op, left, right) if op in ARITHMETIC:
                return self.arithmetic(op, self.value(left, env), self.value(right, env))
            case Unary("neg", operand):
                return self.arithmetic("sub", ZERO, self.value(operand, env))
            case Unary("popcount", operand):
                text = self.value(operand, env).text
                return Value(self.pure(f"call i64 @llvm.ctpop.i64(i64 {text})"), 0, 64)
            case Select(condition, then, orelse):
                return self.select(
                    self.condition(condition, env), self.value(then, env), self.value(orelse, env)
                )
            case _:
                return self.number(self.condition(expr, env))

    def number(self, condition: str) -> Value:
        """0 or 1 for an operand of type i1."""
        if condition in ("true", "false"):
            return constant(int(condition == "true"))
        number = self.pure(f"zext i1 {condition} to i64")
        self.truths[number] = condition
        return Value(number, 0, 1)

    def select(self, condition: str, then: Value, orelse: Value) -> Value:
        if condition in ("true", "false"):
            return then if condition == "true" else orelse
        if then.text == orelse.text:
            return then
        text = self.pure(f"select i1 {condition}, i64 {then.text}, i64 {orelse.text}")
        return Value(text, min(then.low, orelse.low), max(then.high, orelse.high))

    def condition(self, expr: Expr, env: Env) -> str:
        """Whether an expression is not 0, as an operand of type i1."""
        match expr:
            case Binary("land", left, right):
                return self.both(self.condition(left, env), self.condition(right, env))
            case Binary("lor", left, right):
                return self.either(self.condition(left, env), self.condition(right, env))
            case Unary("lnot", operand):
                return self.negated(self.condition(operand, env))
            case Binary(op, left, right) if op in COMPARISON:
                return self.compare(op, self.value(left, env), self.value(right, env))
            case _:
                return self.compare("ne", self.value(expr, env), ZERO)

    def both(self, left: str, right: str) -> str:
        if "false" in (left, right):
            return "false"
        if left == "true":
            return right
        return left if right == "true" else self.pure(f"and i1 {left}, {right}")

    def either(self, left: str, right: str) -> str:
        if "true" in (left, right):
            return "true"
        if left == "false":
            return right
        return left if right == "false" else self.pure(f"or i1 {left}, {right}")

    def negated(self, condition: str) -> str:
        if condition in ("true", "false"):
            return "false" if condition == "true" else "true"
        if condition in self.negations:
            return self.negations[condition]
        negation = self.pure(f"xor i1 {condition}, true")
        self.negations[negation] = condition
        return negation

    def compare(self, op: str, left: Value, right: Value) -> str:
        """A comparison, decided already if the bounds decide it."""
        apart = left.high < right.low or right.high < left.low
        equal = left.low == left.high == right.low == right.high
        always, never = {
            "eq": (equal, apart),
            "ne": (apart, equal),
            "lt": (left.high < right.low, left.low >= right.high),
            "le": (left.high <= right.low, left.low > right.high),
            "gt": (left.low > right.high, left.high <= right.low),
            "ge": (left.low >= right.high, left.high < right.low),
        }[op]
        if always or never:
            return "true" if always else "false"
        if right == ZERO and op in ("eq", "ne") and left.text in self.truths:
            truth = self.truths[left.text]
            return truth if op == "ne" else self.negated(truth)
        return self.pure(f"icmp {COMPARISON[op]} i64 {left.text}, {right.text}")

    def arithmetic(self, op: str, left: Value, right: Value) -> Value:
        low, high = ARITHMETIC[op](left, right)
        if low == high and left.low == left.high and right.low == right.high:
            return constant(low)
        if op in ("floordiv", "mod"):
            return self.divide(op, left, int(right.text))
        if op in ("shl", "shr") and right == ZERO:
            return left
        mask = right.low if right.low == right.high else -2
        if op == "and" and mask & mask + 1 == 0 and left.within(0, mask):
            return left
        if op in ("shl", "shr"):
            amount = right.text if right.within(0, 63) else self.pure(f"and i64 {right.text}, 63")
            name = "shl" if op == "shl" else "ashr"
            return bounded(self.pure(f"{name} i64 {left.text}, {amount}"), low, high)
        if op in ("min", "max"):
            name = f"llvm.s{op}.i64"
            text = self.pure(f"call i64 @{name}(i64 {left.text}, i64 {right.text})")
            return bounded(text, low, high)
        return bounded(self.pure(f"{op} i64 {left.text}, {right.text}"), low, high)

    def divide(self, op: str, left: Value, divisor: int) -> Value:
        """Quotient or rest, rounding down."""
        if left.within(0, divisor - 1):
            return left if op == "mod" else ZERO
        sign = "u" if left.low >= 0 else "s"
        if op == "floordiv":
            low, high = left.low // divisor, left.high // divisor
        else:
            low, high = 0, divisor - 1
        name = "div" if op == "floordiv" else "rem"
        text = self.pure(f"{sign}{name} i64 {left.text}, {divisor}")
        if sign == "s":
            rest = self.pure(f"srem i64 {left.text}, {divisor}")
            below = self.pure(f"icmp slt i64 {rest}, 0")
            other = f"sub i64 {text}, 1" if op == "floordiv" else f"add i64 {text}, {divisor}"
            text = self.pure(f"select i1 {below}, i64 {self.pure(other)}, i64 {text}")
        return Value(text, low, high)

    # ------------------------------------------------------------------------ places

    def load(self, place: Place, env: Env) -> Value:
        base, dimensions = resolve(place)
        if base is None:
            return ZERO
        high = self.system.variables[base].size - 1
        if high == 0:
            return ZERO
        if self.system.variables[base].given:
            return self.load_given(base, dimensions, high, env)
        if not dimensions:
            slot = self.layout.slots[base]
            text = self.extract(env.words[slot.word], str(slot.shift), slot.bits)
            number = known(text)
            return Value(text, 0, high) if number is None else constant(number)
        target = self.locate(base, dimensions, env)
        words = [env.words[w] for w in target.words]
        word = words[0]
        for number, other in zip(target.words[1:], words[1:], strict=True):
            here = self.pure(f"icmp eq i64 {target.word}, {number}")
            word = self.pure(f"select i1 {here}, i64 {other}, i64 {word}")
        text = self.extract(word, target.shift, target.bits)
        return self.select(target.inside, Value(text, 0, high), ZERO)

    def load_given(self, base: int, dimensions: list[Dimension], high: int, env: Env) -> Value:
        """A value of the table beside the code; 0 if an index is outside its extent."""
        number, inside = constant(base), "true"
        for expr, stride, extent in dimensions:
            step = self.value(expr, env)
            inside = self.both(inside, self.compare("ge", step, ZERO))
            inside = self.both(inside, self.compare("lt", step, constant(extent)))
            part = self.arithmetic("mul", step, constant(stride))
            number = self.arithmetic("add", number, part)
        at = self.select(inside, number, constant(base)).text
        kind = f"[{len(self.system.variables)} x i64]"
        address = self.pure(f"getelementptr {kind}, ptr @given, i64 0, i64 {at}")
        found = Value(self.pure(f"load i64, ptr {address}"), 0, high)
        return self.select(inside, found, ZERO)

    def extract(self, word: str, shift: str, bits: int) -> str:
        number, by = known(word), known(shift)
        if number is not None and by is not None:
            return str(number >> by & (1 << bits) - 1)
        if shift != "0":
            word = self.pure(f"lshr i64 {word}, {shift}")
        return self.pure(f"and i64 {word}, {(1 << bits) - 1}")

    def store(self, place: Place, value: Value, env: Env) -> None:
        """Change the words of ``env``; nothing if an index is outside its extent."""
        base, dimensions = resolve(place)
        if base is None or self.system.variables[base].size == 1:
            return
        if not dimensions:
            slot = self.layout.slots[base]
            keep, put = signed(~slot.mask), self.placed(value, str(slot.shift), slot.bits)
            env.words[slot.word] = self.combine(env.words[slot.word], keep, put)
            return
        target = self.locate(base, dimensions, env)
        mask = self.pure(f"shl i64 {(1 << target.bits) - 1}, {target.shift}")
        put = self.placed(value, target.shift, target.bits)
        for number in target.words:
            here = target.inside
            if len(target.words) > 1:
                here = self.both(here, self.pure(f"icmp eq i64 {target.word}, {number}"))
            here_mask, here_put = mask, put
            if here != "true":
                here_mask = self.pure(f"select i1 {here}, i64 {mask}, i64 0")
                here_put = self.pure(f"select i1 {here}, i64 {put}, i64 0")
            keep = self.pure(f"xor i64 {here_mask}, -1")
            env.words[number] = self.combine(env.words[number], keep, here_put)

    def placed(self, value: Value, shift: str, bits: int) -> str:
        """A value moved to its bits of a word."""
        mask = (1 << bits) - 1
        if value.low == value.high and shift.isdigit():
            return signed((value.low & mask) << int(shift))
        text = value.text if value.within(0, mask) else self.pure(f"and i64 {value.text}, {mask}")
        return text if shift == "0" else self.pure(f"shl i64 {text}, {shift}")

    def combine(self, word: str, keep: str, put: str) -> str:
        old, rest, new = known(word), known(keep), known(put)
        if old is not None and rest is not None and new is not None:
            return signed(old & rest | new)
        kept = self.pure(f"and i64 {word}, {keep}")
        return kept if put == "0" else self.pure(f"or i64 {kept}, {put}")

    def locate(self, base: int, dimensions: list[Dimension], env: Env) -> _Target:
        """Where the element of an array lies."""
        inside = "true"
        steps = []
        for expr, _, extent in dimensions:
            step = self.value(expr, env)
            inside = self.both(inside, self.compare("ge", step, ZERO))
            inside = self.both(inside, self.compare("lt", step, constant(extent)))
            steps.append(step)
        shape = [(stride, extent) for _, stride, extent in dimensions]
        slots = [self.layout.slots[v] for v in elements(base, shape)]
        words = sorted({slot.word for slot in slots})
        deltas = _equal_spacing(slots, [extent for _, extent in shape])
        if deltas is not None:
            shift = self.total(slots[0].shift, steps, deltas, inside)
            return _Target(words, str(words[0]), shift, slots[0].bits, inside)
        multipliers = [1] * len(shape)
        for i in reversed(range(len(shape) - 1)):
            multipliers[i] = multipliers[i + 1] * shape[i + 1][1]
        index = self.total(0, steps, multipliers, inside)
        entry = self.table([slot.word * 64 + slot.shift for slot in slots], index)
        shift = self.pure(f"and i64 {entry}, 63")
        word = self.pure(f"lshr i64 {entry}, 6")
        return _Target(words, word, shift, slots[0].bits, inside)

    def total(self, start: int, steps: list[Value], factors: list[int], inside: str) -> str:
        """``start + sum(step * factor)`` where ``inside``, else ``start``."""
        result = constant(start)
        for step, factor in zip(steps, factors, strict=True):
            part = self.arithmetic("mul", step, constant(factor))
            result = self.arithmetic("add", result, part)
        return self.select(inside, result, constant(start)).text

    def table(self, numbers: list[int], index: str) -> str:
        """An element of a constant table."""
        content = ", ".join(f"i32 {n}" for n in numbers)
        name = self.tables.setdefault(content, f"@table{len(self.tables)}")
        kind = f"[{len(numbers)} x i32]"
        address = self.pure(f"getelementptr {kind}, ptr {name}, i64 0, i64 {index}")
        return self.pure(f"zext i32 {self.pure(f'load i32, ptr {address}')} to i64")


class _Target(NamedTuple):
    """The element of an array: it may lie in each of ``words``; ``word`` and ``shift`` say where it
    is, ``inside`` whether it exists (else they name any element)."""

    words: list[int]
    word: str
    shift: str
    bits: int
    inside: str


def _equal_spacing(slots: Sequence[Slot], extents: list[int]) -> list[int] | None:
    """Bits from one element to the next in each dimension, if that is the same everywhere."""
    if len({slot.word for slot in slots}) > 1:
        return None
    deltas, size = [], len(slots)
    for extent in extents:
        size //= extent
        deltas.append(slots[size].shift - slots[0].shift if extent > 1 else 0)
    for slot, steps in zip(slots, product(*map(range, extents)), strict=True):
        offset = sum(step * delta for step, delta in zip(steps, deltas, strict=True))
        if slot.shift != slots[0].shift + offset:
            return None
    return deltas
