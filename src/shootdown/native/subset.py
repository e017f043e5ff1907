"""A tiny compiler from a subset of Python functions to LLVM IR text, for the search core.

It lets :mod:`~shootdown.check.native.core` be read as Python. The subset:

* every value is a 64-bit word; arithmetic wraps around, ``>>`` shifts in zeros, ``<`` and its like
  compare as signed numbers;
* ``pointer[i]`` is the ``i``-th 64-bit word at an address; ``load32`` and ``store32`` reach 32-bit
  ones, ``store8`` bytes;
* statements: assignment, augmented assignment, ``if``, ``while``, ``return``, ``pass``,
  ``continue`` and calls; every function ends in ``return``;
* ``and``, ``or`` and ``not`` are for conditions; both sides are evaluated;
* calls name another function of the set or one of :data:`INTRINSICS`;
* a capital name is a constant of the set.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping

Function = Callable[..., int | None]

_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "lshr",
}

_COMPARISON: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "slt",
    ast.LtE: "sle",
    ast.Gt: "sgt",
    ast.GtE: "sge",
}

INTRINSICS = {
    # prefetch(address): bring its cache line near
    "prefetch": """\
define internal i64 @prefetch(i64 %a) alwaysinline {
  %p = inttoptr i64 %a to ptr
  call void @llvm.prefetch.p0(ptr %p, i32 0, i32 3, i32 1)
  ret i64 0
}
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
""",
    # load32(address) and store32(address, value)
    "load32": """\
define internal i64 @load32(i64 %a) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %v = load i32, ptr %p
  %w = zext i32 %v to i64
  ret i64 %w
}
""",
    "store32": """\
define internal i64 @store32(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %w = trunc i64 %v to i32
  store i32 %w, ptr %p
  ret i64 0
}
""",
    # store8(address, value)
    "store8": """\
define internal i64 @store8(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %w = trunc i64 %v to i8
  store i8 %w, ptr %p
  ret i64 0
}
""",
    # high(a, b): the upper half of a product, both without a sign
    "high": """\
define internal i64 @high(i64 %a, i64 %b) alwaysinline {
  %x = zext i64 %a to i128
  %y = zext i64 %b to i128
  %xy = mul i128 %x, %y
  %h = lshr i128 %xy, 64
  %r = trunc i128 %h to i64
  ret i64 %r
}
""",
    # lowest_bit(x): the number of the lowest set bit of x, which is not 0
    "lowest_bit": """\
define internal i64 @lowest_bit(i64 %x) alwaysinline {
  %r = call i64 @llvm.cttz.i64(i64 %x, i1 true)
  ret i64 %r
}
declare i64 @llvm.cttz.i64(i64, i1)
""",
    # equal8(address, mask, value): bit i says whether word i of 8, masked, is value
    "equal8": """\
define internal i64 @equal8(i64 %a, i64 %mask, i64 %value) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %line = load <8 x i64>, ptr %p, align 64
  %m0 = insertelement <8 x i64> poison, i64 %mask, i64 0
  %m = shufflevector <8 x i64> %m0, <8 x i64> poison, <8 x i32> zeroinitializer
  %v0 = insertelement <8 x i64> poison, i64 %value, i64 0
  %v = shufflevector <8 x i64> %v0, <8 x i64> poison, <8 x i32> zeroinitializer
  %masked = and <8 x i64> %line, %m
  %same = icmp eq <8 x i64> %masked, %v
  %bits = bitcast <8 x i1> %same to i8
  %r = zext i8 %bits to i64
  ret i64 %r
}
""",
    # equal16(address, value): bit i says whether byte i of 16 is value
    "equal16": """\
define internal i64 @equal16(i64 %a, i64 %value) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %line = load <16 x i8>, ptr %p, align 16
  %byte = trunc i64 %value to i8
  %v0 = insertelement <16 x i8> poison, i8 %byte, i64 0
  %v = shufflevector <16 x i8> %v0, <16 x i8> poison, <16 x i32> zeroinitializer
  %same = icmp eq <16 x i8> %line, %v
  %bits = bitcast <16 x i1> %same to i16
  %r = zext i16 %bits to i64
  ret i64 %r
}
""",
    # ones(x): how many bits of x are set
    "ones": """\
define internal i64 @ones(i64 %x) alwaysinline {
  %r = call i64 @llvm.ctpop.i64(i64 %x)
  ret i64 %r
}
declare i64 @llvm.ctpop.i64(i64)
""",
    # is_zero(x): 1 or 0
    "is_zero": """\
define internal i64 @is_zero(i64 %x) alwaysinline {
  %c = icmp eq i64 %x, 0
  %r = zext i1 %c to i64
  ret i64 %r
}
""",
    # atomic_add(address, value): the word at an address before value is added; all threads agree on
    # the order of such steps, and see what was written before
    "atomic_add": """\
define internal i64 @atomic_add(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %r = atomicrmw add ptr %p, i64 %v seq_cst
  ret i64 %r
}
""",
    # atomic_swap(address, value): what was at an address before
    "atomic_swap": """\
define internal i64 @atomic_swap(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %r = atomicrmw xchg ptr %p, i64 %v seq_cst
  ret i64 %r
}
""",
    # atomic_load(address)
    "atomic_load": """\
define internal i64 @atomic_load(i64 %a) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %r = load atomic i64, ptr %p acquire, align 8
  ret i64 %r
}
""",
    # atomic_store(address, value): whoever sees it sees what was written before
    "atomic_store": """\
define internal i64 @atomic_store(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  store atomic i64 %v, ptr %p release, align 8
  ret i64 0
}
""",
    # atomic_store8(address, value): the same for a byte
    "atomic_store8": """\
define internal i64 @atomic_store8(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %w = trunc i64 %v to i8
  store atomic i8 %w, ptr %p release, align 1
  ret i64 0
}
""",
    # atomic_or32(address, value): set bits of a 32-bit word
    "atomic_or32": """\
define internal i64 @atomic_or32(i64 %a, i64 %v) alwaysinline {
  %p = inttoptr i64 %a to ptr
  %w = trunc i64 %v to i32
  %old = atomicrmw or ptr %p, i32 %w seq_cst
  ret i64 0
}
""",
    # prefetch_to_write(address): bring its cache line near, and away from others
    "prefetch_to_write": """\
define internal i64 @prefetch_to_write(i64 %a) alwaysinline {
  %p = inttoptr i64 %a to ptr
  call void @llvm.prefetch.p0(ptr %p, i32 1, i32 3, i32 1)
  ret i64 0
}
""",
    # call0(function address): the same for a function without arguments
    "call0": """\
define internal i64 @call0(i64 %f) alwaysinline {
  %p = inttoptr i64 %f to ptr
  %r = call i32 %p()
  ret i64 0
}
""",
    # call3(function address, a, b, c); call4, call5 and call6 in the same way
    "call3": """\
define internal i64 @call3(i64 %f, i64 %a, i64 %b, i64 %c) alwaysinline {
  %p = inttoptr i64 %f to ptr
  %r = call i64 %p(i64 %a, i64 %b, i64 %c)
  ret i64 %r
}
""",
    "call4": """\
define internal i64 @call4(i64 %f, i64 %a, i64 %b, i64 %c, i64 %d) alwaysinline {
  %p = inttoptr i64 %f to ptr
  %r = call i64 %p(i64 %a, i64 %b, i64 %c, i64 %d)
  ret i64 %r
}
""",
    "call5": """\
define internal i64 @call5(i64 %f, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e) alwaysinline {
  %p = inttoptr i64 %f to ptr
  %r = call i64 %p(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e)
  ret i64 %r
}
""",
    "call6": """\
define internal i64 @call6(i64 %f, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %g) alwaysinline {
  %p = inttoptr i64 %f to ptr
  %r = call i64 %p(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %g)
  ret i64 %r
}
""",
}


def compile_functions(
    exported: Iterable[Function],
    helpers: Iterable[Function],
    constants: Mapping[str, int],
    functions: Iterable[Function] = (),
) -> str:
    """LLVM IR text of a module with ``exported`` functions, inlined ``helpers``, and ``functions``
    that are not seen outside."""
    parts = list(INTRINSICS.values())
    parts += [_compile(f, constants, "internal", "") for f in functions]
    parts += [_compile(f, constants, "internal", "alwaysinline") for f in helpers]
    parts += [_compile(f, constants, "", "") for f in exported]
    return "\n".join(parts)


def _compile(function: Function, constants: Mapping[str, int], linkage: str, end: str) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return _FunctionCompiler(tree, constants).text(linkage, end)


class _FunctionCompiler:
    """Locals live in stack slots, which LLVM turns into registers."""

    def __init__(self, tree: ast.FunctionDef, constants: Mapping[str, int]) -> None:
        self.tree = tree
        self.constants = constants
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.count = 0
        self.loops: list[str] = []

    def text(self, linkage: str, end: str) -> str:
        names = [arg.arg for arg in self.tree.args.args]
        for name in names:
            self.lines.append(f"  store i64 %arg.{name}, ptr {self.slot(name)}")
        self.block(self.tree.body)
        arguments = ", ".join(f"i64 %arg.{name}" for name in names)
        head = f"define {linkage} i64 @{self.tree.name}({arguments}) {end} {{"
        slots = [f"  %{slot} = alloca i64" for slot in self.slots]
        return "\n".join([head, *slots, *self.lines, "  unreachable", "}", ""])

    def slot(self, name: str) -> str:
        if name not in self.slots:
            self.slots.append(name)
        return f"%{name}"

    def new(self, instruction: str) -> str:
        self.count += 1
        self.lines.append(f"  %.{self.count} = {instruction}")
        return f"%.{self.count}"

    def labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}.{self.count}" for name in names]

    def jump(self, label: str) -> None:
        self.lines.append(f"  br label %{label}")

    # ------------------------------------------------------------------- statements

    def block(self, statements: list[ast.stmt]) -> bool:
        """Compile statements; False where the end cannot be reached."""
        return all(self.statement(statement) for statement in statements)

    def statement(self, node: ast.stmt) -> bool:
        match node:
            case ast.Assign([target], value):
                self.assign(target, self.value(value))
            case ast.AugAssign(target, op, value):
                old = self.value(ast.parse(ast.unparse(target), mode="eval").body)
                self.assign(target, self.arithmetic(op, old, self.value(value)))
            case ast.Expr(ast.Constant()) | ast.Pass():
                pass
            case ast.Expr(value):
                self.value(value)
            case ast.Return(ast.expr() as value):
                self.lines.append(f"  ret i64 {self.value(value)}")
                return False
            case ast.Continue():
                self.jump(self.loops[-1])
                return False
            case ast.While(test, body, []):
                self.loop(test, body)
            case ast.If(test, then, orelse):
                return self.branch(test, then, orelse)
            case _:
                raise NotImplementedError(ast.unparse(node))
        return True

    def assign(self, target: ast.expr, value: str) -> None:
        match target:
            case ast.Name(name):
                self.lines.append(f"  store i64 {value}, ptr {self.slot(name)}")
            case ast.Subscript(pointer, index):
                self.lines.append(f"  store i64 {value}, ptr {self.element(pointer, index)}")
            case _:
                raise NotImplementedError(ast.unparse(target))

    def loop(self, test: ast.expr, body: list[ast.stmt]) -> None:
        head, inside, after = self.labels("while", "do", "done")
        self.jump(head)
        self.lines.append(f"{head}:")
        self.lines.append(f"  br i1 {self.condition(test)}, label %{inside}, label %{after}")
        self.lines.append(f"{inside}:")
        self.loops.append(head)
        if self.block(body):
            self.jump(head)
        self.loops.pop()
        self.lines.append(f"{after}:")

    def branch(self, test: ast.expr, then: list[ast.stmt], orelse: list[ast.stmt]) -> bool:
        yes, no, after = self.labels("then", "else", "endif")
        self.lines.append(f"  br i1 {self.condition(test)}, label %{yes}, label %{no}")
        reached = False
        for label, statements in ((yes, then), (no, orelse)):
            self.lines.append(f"{label}:")
            if self.block(statements):
                self.jump(after)
                reached = True
        if reached:
            self.lines.append(f"{after}:")
        return reached

    # ------------------------------------------------------------------ expressions

    def value(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(int() as number):
                return _signed(number)
            case ast.Name(name) if name in self.constants:
                return _signed(self.constants[name])
            case ast.Name(name):
                return self.new(f"load i64, ptr {self.slot(name)}")
            case ast.BinOp(left, op, right):
                return self.arithmetic(op, self.value(left), self.value(right))
            case ast.Subscript(pointer, index):
                return self.new(f"load i64, ptr {self.element(pointer, index)}")
            case ast.Call(ast.Name(name), arguments, []):
                values = ", ".join(f"i64 {self.value(a)}" for a in arguments)
                return self.new(f"call i64 @{name}({values})")
            case _:
                raise NotImplementedError(ast.unparse(node))

    def arithmetic(self, op: ast.operator, left: str, right: str) -> str:
        return self.new(f"{_ARITHMETIC[type(op)]} i64 {left}, {right}")

    def element(self, pointer: ast.expr, index: ast.expr) -> str:
        base = self.new(f"inttoptr i64 {self.value(pointer)} to ptr")
        return self.new(f"getelementptr i64, ptr {base}, i64 {self.value(index)}")

    def condition(self, node: ast.expr) -> str:
        match node:
            case ast.Compare(left, [op], [right]):
                predicate = _COMPARISON[type(op)]
                return self.new(f"icmp {predicate} i64 {self.value(left)}, {self.value(right)}")
            case ast.BoolOp(op, values):
                word = "and" if isinstance(op, ast.And) else "or"
                result, *rest = [self.condition(v) for v in values]
                for other in rest:
                    result = self.new(f"{word} i1 {result}, {other}")
                return result
            case ast.UnaryOp(ast.Not(), operand):
                return self.new(f"xor i1 {self.condition(operand)}, true")
            case _:
                return self.new(f"icmp ne i64 {self.value(node)}, 0")


def _signed(number: int) -> str:
    return str((number + (1 << 63)) % (1 << 64) - (1 << 63))
