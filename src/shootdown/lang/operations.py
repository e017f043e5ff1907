"""The operations of the language: what ``intrinsics.py`` names, compiled."""

from __future__ import annotations

import ast
import string

from shootdown.lang import ir
from shootdown.lang.accesses import extract
from shootdown.lang.bodies import simplify
from shootdown.lang.builder import describe, descriptions, join_kinds
from shootdown.lang.finite import as_bool
from shootdown.lang.folding import Folding
from shootdown.lang.kinds import (
    BoolKind,
    IntKind,
    LockKind,
    RwSemKind,
    SetKind,
    WordKind,
)
from shootdown.lang.order import StoreBuffer
from shootdown.lang.types import Object, population
from shootdown.lang.values import (
    Dyn,
    FieldV,
    PlaceV,
    Static,
    Text,
    TupleV,
    Value,
    escape,
)

COUNTERS = {"atomic_inc": 1, "atomic_dec": -1, "atomic_inc_return": 1, "atomic_dec_return": -1}
BARRIERS = ("smp_mb", "smp_rmb", "smp_wmb")
ROLES = {
    "atomic_inc": "counter", "atomic_dec": "counter",
    "atomic_add": "counter", "atomic_sub": "counter",
    "smp_mb": "barrier", "smp_rmb": "barrier", "smp_wmb": "barrier",
}  # fmt: skip


class Operations(Folding):
    """Compiles intrinsics."""

    def argument_text(self, value: Value) -> Text:
        """An argument in a call's text."""
        if isinstance(value, (PlaceV, FieldV)):
            return value.text
        if isinstance(value, TupleV):
            text = Text("")
            for i, item in enumerate(value.items):
                text = text + (", " if i else "") + self.argument_text(item)
            return text
        return self.shown(value) if isinstance(value, (Static, Dyn)) else Text("..")

    def _keyword(self, keyword: ast.keyword, node: ast.AST) -> str:
        if keyword.arg is None:
            raise self.error(node, "'**' is outside the language", "write the arguments out")
        return keyword.arg

    def argument(self, node: ast.Call, position: int, name: str) -> Value:
        """A positional argument's value."""
        if len(node.args) <= position:
            raise self.error(node, f"argument {position + 1} ({name}) is missing")
        return self.evaluate(node.args[position])

    def place_argument(self, node: ast.Call, name: str) -> PlaceV | FieldV:
        """The first argument as a place."""
        if not node.args:
            raise self.error(node, f"{name}() needs a place, such as mm.pte[page]")
        place = self.reference(node.args[0])
        if not isinstance(place, (PlaceV, FieldV)):
            raise self.error(
                node, f"{name}() works on shared state, not on {describe(place)}",
                "use the value itself",
            )  # fmt: skip
        return place

    def arity(self, node: ast.Call, name: str, count: int) -> None:
        """Check the number of arguments of an intrinsic."""
        if len(node.args) != count or (node.keywords and name != "replace"):
            plural = "" if count == 1 else "s"
            raise self.error(node, f"{name}() takes {count} argument{plural}, not {len(node.args)}")

    def intrinsic(self, name: str, node: ast.Call) -> Value:
        """An operation of the language."""
        handler = getattr(self, f"do_{name}", None)
        if handler is not None:
            value: Value = handler(node)
            return value
        none = Static(None)
        if name in BARRIERS:
            self.arity(node, name, 0)
            if name == "smp_mb" and self.buffer is not None:
                self.step(node, "barrier", "smp_mb()")
                self.fence()
                self.label(Text("smp_mb()"))
            return none
        if name in ("READ_ONCE", "smp_load_acquire"):
            self.arity(node, name, 1)
            return self.read(self.place_argument(node, name), node, name)
        if name in ("WRITE_ONCE", "smp_store_release"):
            self.arity(node, name, 2)
            place = self.place_argument(node, name)
            self.write(place, self.evaluate(node.args[1]), node, name)
            return none
        if name in COUNTERS:
            self.arity(node, name, 1)
            return self.atomic_add(
                self.place_argument(node, name), Static(COUNTERS[name]), node, name
            )
        if name in ("atomic_add", "atomic_sub"):
            self.arity(node, name, 2)
            place = self.place_argument(node, name)
            amount = self.evaluate(node.args[1])
            if name == "atomic_sub":
                amount = self.arithmetic(Static(0), ast.Sub(), amount, node)
            return self.atomic_add(place, amount, node, name)
        if name == "atomic_dec_and_test":
            self.arity(node, name, 1)
            new = self.atomic_add(self.place_argument(node, name), Static(-1), node, name)
            return as_bool(simplify(ir.Binary("eq", new.expr, ir.Const(0))))
        if name in ("set_bit", "clear_bit", "test_and_set_bit", "test_and_clear_bit"):
            self.arity(node, name, 1)
            old = self.bit(self.place_argument(node, name), "set" in name, node, name)
            return old if name.startswith("test") else none
        return self.lock_intrinsic(name, node)

    def lock_intrinsic(self, name: str, node: ast.Call) -> Value:
        """spin_lock and its family; see ``locks.py``."""
        raise NotImplementedError

    def do_xchg(self, node: ast.Call) -> Value:
        """xchg(place, value)."""
        self.arity(node, "xchg", 2)
        return self.exchange(self.place_argument(node, "xchg"), self.evaluate(node.args[1]), node)

    def do_cmpxchg(self, node: ast.Call) -> Value:
        """cmpxchg(place, old, new)."""
        self.arity(node, "cmpxchg", 3)
        place = self.place_argument(node, "cmpxchg")
        old, new = self.evaluate(node.args[1]), self.evaluate(node.args[2])
        return self.compare_exchange(place, old, new, node, "cmpxchg")[0]

    def do_try_cmpxchg(self, node: ast.Call) -> Value:
        """try_cmpxchg(place, old, new)."""
        self.arity(node, "try_cmpxchg", 3)
        place = self.place_argument(node, "try_cmpxchg")
        old, new = self.evaluate(node.args[1]), self.evaluate(node.args[2])
        return self.compare_exchange(place, old, new, node, "try_cmpxchg")[1]

    def do_wait_until(self, node: ast.Call) -> Value:
        """wait_until(condition): one guarded access."""
        self.arity(node, "wait_until", 1)
        text = self.frame.source.segment(node.args[0])
        if self.atomic_depth:
            raise self.helper or self.error(
                node, "wait_until() inside an atomic step", "use when()"
            )
        self.step(node, "wait", f"wait_until({text})")
        begun, first = self.block, 0 if self.block is None else len(self.block.ops)
        self.waiting, reads = True, self.reads_made
        condition = self.condition(node.args[0])
        self.waiting, reads = False, self.reads_made - reads
        if begun is not None:
            if reads > 1 or self.block is not begun:
                asked, what = node.args[0], "this condition"
                if isinstance(asked, ast.Call):
                    what = f"{self.frame.source.segment(asked.func)}()"
                raise self.error(
                    node,
                    f"wait_until() may look at one shared variable; {what} reads more",
                    "wait for one after the other, or call an @atomic function that begins with "
                    "when(...)",
                )
            if reads == 0:
                raise self.error(node, "wait_until() needs a condition on shared state")
            begun.ops[first:] = [o for o in begun.ops[first:] if not isinstance(o, ir.Note)]
        self.emit(ir.Guard(condition))
        self.label(Text(escape(f"wait_until({text})")))
        return Static(None)

    def do_when(self, node: ast.Call) -> Value:
        """when(condition): the action is impossible otherwise."""
        self.arity(node, "when", 1)
        if not self.atomic_depth:
            raise self.error(
                node, "when() stands in atomic functions and rules", "use wait_until()"
            )
        self.emit(ir.Guard(self.condition(node.args[0])))
        return Static(None)

    def do_seen_by(self, node: ast.Call) -> Value:
        """seen_by(cpu, place): the value that a CPU sees, its own buffered stores included."""
        self.arity(node, "seen_by", 2)
        owner, place = self.evaluate(node.args[0]), self.reference(node.args[1])
        if not self.atomic_depth:
            raise self.error(node, "seen_by() stands in atomic functions and rules")
        fields = place.base if isinstance(place, FieldV) else place
        if not isinstance(fields, PlaceV):
            raise self.error(node, f"seen_by() reads shared state, not {describe(place)}")
        value = self.read(fields, node)
        buffer = self.buffer_of(owner, node)
        if buffer is not None:
            reg = self.register("seen", fields.kind)
            self.emit(ir.Set(reg, self.unit.memory.seen(buffer, fields)))
            value = Dyn(ir.Reg(reg), fields.kind)
        if isinstance(place, FieldV):
            return Dyn(extract(value.expr, place.field), place.field.kind)
        return value

    def do_stores_drained(self, node: ast.Call) -> Value:
        """stores_drained(cpu): whether all its stores have reached memory."""
        self.arity(node, "stores_drained", 1)
        buffer = self.buffer_of(self.evaluate(node.args[0]), node)
        if buffer is None:
            return Static(True)
        reg = self.register("drained", BoolKind())
        self.emit(ir.Set(reg, self.unit.memory.empty(buffer)))
        return Dyn(ir.Reg(reg), BoolKind())

    def do_looked_at(self, node: ast.Call) -> Value:
        """looked_at(place): whether a thread stands before a step that may access the place; or a
        rule or property may, at any time."""
        self.arity(node, "looked_at", 1)
        place = self.place_argument(node, "looked_at")
        if self.process >= 0 or not self.frames[0].source.function.kind == "rule":
            raise self.error(node, "looked_at() stands in rules")
        self.unit.asked = True
        base = place.base if isinstance(place, FieldV) else place
        if base.ghost or isinstance(base.kind, (LockKind, RwSemKind)):
            raise self.error(
                node,
                "looked_at() is about memory: nobody stands before an access to a lock or to ghost "
                "state",
            )
        wanted = set(base.place.variables())
        if wanted & self.unit.looked or any(self.observes(o, base) for o in self.unit.observers):
            return Static(True)
        looked: ir.Expr | None = None
        for process, cut in enumerate(self.unit.cuts):
            for variable in sorted(wanted & frozenset[int]().union(*cut.looks)):
                flag = ir.Load(ir.Place(self.unit.flag(process, variable)))
                looked = flag if looked is None else ir.Binary("lor", looked, flag)
        return Static(False) if looked is None else self.temp(looked, BoolKind(), "looked")

    def buffer_of(self, owner: Value, node: ast.AST) -> StoreBuffer | None:
        """The store buffer of an object that threads run on, if it has one."""
        if not isinstance(owner, Static) or not isinstance(owner.value, Object):
            if not self.unit.memory.depth:
                return None
            raise self.error(node, "which CPU this is must be known when compiling")
        return self.unit.memory.buffer_of(owner.value)

    def do_choose(self, node: ast.Call) -> Value:
        """choose(...): any one."""
        if not node.args or node.keywords:
            raise self.error(node, "choose() needs something to choose from")
        if len(node.args) == 1:
            value = self.evaluate(node.args[0])
            if isinstance(value, Dyn) and isinstance(value.kind, SetKind):
                if value.kind.element is None:
                    raise self.error(node, "choose() from a set that is always empty")
                return self.choice(value.expr, value.kind.element.size, value.kind.element)
            options = list(self.iterate(value, node))
        else:
            options = [self.evaluate(a) for a in node.args]
        if not options:
            raise self.error(node, "choose() needs something to choose from")
        if len(options) == 1:
            return options[0]
        kind = join_kinds([self.kind_of(o) for o in options])
        if kind is None:
            shown = descriptions(options)
            raise self.error(node, f"the values to choose from do not agree: {shown}")
        picked = self.choice(
            ir.Const((1 << len(options)) - 1), len(options), IntKind(0, len(options) - 1)
        )
        chosen = self.widen(options[-1], kind)
        for i in range(len(options) - 2, -1, -1):
            is_i = ir.Binary("eq", picked.expr, ir.Const(i))
            chosen = ir.Select(is_i, self.widen(options[i], kind), chosen)
        return self.temp(chosen, kind, "choice")

    def do_event(self, node: ast.Call) -> Value:
        """event(text): a step of its own."""
        text = self.note_text(node)
        self.step(node, "event", text.render())
        self.emit(ir.Note(ir.NoteKind.LABEL, text.template, text.values))
        return Static(None)

    def do_note(self, node: ast.Call) -> Value:
        """note(text, values)."""
        text = self.note_text(node)
        self.emit(ir.Note(ir.NoteKind.NOTE, text.template, text.values))
        return Static(None)

    def do_mark(self, node: ast.Call) -> Value:
        """mark(text, values)."""
        text = self.note_text(node)
        self.emit(ir.Note(ir.NoteKind.MARK, text.template, text.values))
        return Static(None)

    def note_text(self, node: ast.Call) -> Text:
        """The text of a note: a constant with braces for values, or an f-string."""
        reads = self.reads_made
        text = self._note_text(node)
        if self.reads_made > reads and not self.atomic_depth:
            raise self.error(
                node, "a note cannot read shared state: it is no step",
                "read it into a local first",
            )  # fmt: skip
        return text

    def _note_text(self, node: ast.Call) -> Text:
        if node.keywords:
            raise self.error(node, "a note's values are given by position")
        if node.args and isinstance(node.args[0], ast.JoinedStr) and len(node.args) == 1:
            text = Text("")
            for part in node.args[0].values:
                if isinstance(part, ast.Constant):
                    text = text + str(part.value)
                elif isinstance(part, ast.FormattedValue):
                    text = text + self.argument_text(self.evaluate(part.value))
            return text
        first = self.evaluate(node.args[0]) if node.args else None
        if not isinstance(first, Static) or not isinstance(first.value, str):
            raise self.error(node, "the first argument is a text in quotes")
        values = [self.evaluate(a) for a in node.args[1:]]
        text = Text("")
        used = 0
        try:
            pieces = list(string.Formatter().parse(first.value))
        except ValueError as error:
            raise self.error(node, f"this text cannot be formatted: {error}") from None
        for literal, name, _, _ in pieces:
            text = text + (literal or "")
            if name is not None:
                if used >= len(values):
                    raise self.error(node, "there are more braces than values")
                text = text + self.argument_text(values[used])
                used += 1
        if used < len(values):
            raise self.error(node, "there are more values than braces")
        return text

    def do_this(self, node: ast.Call) -> Value:
        """this(Cpu): the object that the thread runs on."""
        value = self.argument(node, 0, "a population")
        cls = value.value if isinstance(value, Static) else None
        if not isinstance(cls, type) or not issubclass(cls, Object):
            raise self.error(node, "this() takes a population, as in this(Cpu)")
        if self.on is None or population(type(self.on)) is not population(cls):
            raise self.error(
                node, f"this thread does not run on a {cls.__name__}",
                "give Thread(..., on=Cpu(0)) in the scenario",
            )  # fmt: skip
        return Static(cls(self.on.index))

    def do_replace(self, node: ast.Call) -> Value:
        """replace(word, field=value)."""
        self.arity(node, "replace", 1)
        word = self.evaluate(node.args[0])
        kind = self.kind_of(word)
        if not isinstance(kind, WordKind):
            raise self.error(node, f"replace() changes fields of a word, not of {describe(word)}")
        fields = {self._keyword(k, node): self.evaluate(k.value) for k in node.keywords}
        return self.with_fields(self.widen(word, kind), kind, fields, node)
