"""Locks, and leaving one out: then neither the taking nor the release that ends it is a step.

Which release ends a critical section is found while compiling, along each way through the calls:
it may stand in another function, and one release may end sections that begin in different places.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from shootdown.lang import ir
from shootdown.lang.builder import CRITICAL, Site
from shootdown.lang.kinds import BoolKind, LockKind, RwSemKind
from shootdown.lang.operations import Operations
from shootdown.lang.source import short_file
from shootdown.lang.values import Dyn, PlaceV, SemSideV, Static, Text, Value

ONE = ir.Const(1)
TAKING = {"spin_lock", "spin_trylock", "down_read", "down_write"}


class Locks(Operations):
    """Compiles locks."""

    # ------------------------------------------------------------------ mutants

    def site(self, node: ast.AST, role: str, text: str) -> bool:
        """Register a removable site; True if this mutant leaves it out."""
        if self.atomic_depth or self.process < 0:
            return False
        at = self.at(node)
        name = f"{short_file(at.file)}:{at.line} {text}"
        self.unit.sites.setdefault(name, Site(name, role, text, at))
        return name in self.unit.without

    def opened(self, place: PlaceV, side: str, *, left_out: bool) -> None:
        """Remember that a critical section begins here, and whether its lock is left out."""
        if self.unit.without:
            key = self._section(place, side)
            self.env.pop(key, None)  # the one begun last comes last
            self.env[key] = Static(left_out)

    def closed(self, place: PlaceV, side: str) -> Value:
        """Whether the lock of the critical section that ends here was left out: a flag."""
        key = self._section(place, side)
        if key not in self.env:
            prefix = self._section(place, side, exact=False)
            begun = [k for k in self.env if k.startswith(prefix)]
            # two constant places are two locks; else it is the section begun last
            key = next((k for k in reversed(begun) if place.place.index or not _constant(k)), key)
        return self.env.pop(key, Static(False))

    def _section(self, place: PlaceV, side: str, *, exact: bool = True) -> str:
        """The environment's name for a critical section of a lock: its field, then which one."""
        storage = self.unit.space.storage_of(place.place.base)
        prefix = f"{CRITICAL}{storage.base} {side} "
        if not exact:
            return prefix
        which = repr(place.place.index) if place.place.index else "constant"
        return f"{prefix}{place.place.base} {which}.left_out"

    # ------------------------------------------------------------------ taking and releasing

    def lock_intrinsic(self, name: str, node: ast.Call) -> Value:
        """spin_lock and its family."""
        self.arity(node, name, 1)
        place = self.place_argument(node, name)
        wanted = LockKind if name.startswith("spin") else RwSemKind
        if not isinstance(place, PlaceV) or not isinstance(place.kind, wanted):
            what = "a SpinLock" if wanted is LockKind else "an RwSem"
            raise self.error(node, f"{name}() needs {what}, not {place.text.render()}")
        if self.atomic_depth:
            raise self.helper or self.error(
                node, f"{name}() inside an atomic step", "take locks in a path"
            )
        lock: PlaceV | SemSideV = place
        text = f"lock {self.frame.source.segment(node.args[0])}"
        if wanted is RwSemKind:
            lock = SemSideV(place, name.endswith("write"))
            text += ".write()" if lock.write else ".read()"
        if name == "downgrade_write":
            self.downgrade(place, node)
            return Static(None)
        if name not in TAKING:
            self.release(lock, node)
            return Static(None)
        return self.acquire(lock, text, node, trying=name == "spin_trylock")

    def acquire(
        self, lock: PlaceV | SemSideV, text: str, node: ast.AST, *, trying: bool = False
    ) -> Value:
        """Take a lock; ``text`` names its critical section. Whether it was taken, if ``trying``."""
        place, side = _parts(lock)
        left_out = self.site(node, "lock", text)
        result: Value = Static(True if trying else None)
        if not left_out:
            if trying:
                result = self.trylock(place, node)
            elif side:
                self.semaphore(place, f"down_{side}", node)
            else:
                self.lock(place, node)
        self.opened(place, side, left_out=left_out)
        return result

    def release(self, lock: PlaceV | SemSideV, node: ast.AST) -> None:
        """Release a lock; nothing where it was left out."""
        place, side = _parts(lock)
        left_out = self.closed(place, side)
        self._unless(left_out, lambda: self._release(place, side, node))

    def downgrade(self, place: PlaceV, node: ast.AST) -> None:
        """The critical section goes on, for reading; nothing where its lock was left out."""
        left_out = self.closed(place, "write")
        self._unless(left_out, lambda: self.semaphore(place, "downgrade_write", node))
        if self.unit.without:
            self.env[self._section(place, "read")] = left_out

    def _unless(self, left_out: Value, operation: Callable[[], None]) -> None:
        """An operation on a lock, where it was not left out."""
        if isinstance(left_out, Static):
            if not left_out.value:
                operation()
            return
        assert isinstance(left_out, Dyn)
        without, held = self.branch(left_out.expr)
        env = self.env
        self.block, self.env = held, dict(env)
        operation()
        ways = [self.leave()]
        self.block, self.env = without, dict(env)
        self.join([*ways, self.leave()])

    def _release(self, place: PlaceV, side: str, node: ast.AST) -> None:
        if side:
            self.semaphore(place, f"up_{side}", node)
        else:
            self.unlock(place, node)

    def _holder(self, node: ast.AST, what: str) -> int:
        if self.process < 0:
            raise self.error(node, f"{what} in a rule or property: only threads take locks")
        return self.process + 1

    def lock(self, place: PlaceV, node: ast.AST) -> None:
        """spin_lock: one step, possible when the lock is free."""
        holder = self._holder(node, "a lock")
        self.step(node, "lock", f"spin_lock({place.text.render()})")
        self.fence()
        old = self.register("lock", place.kind)
        self.emit(ir.Set(old, ir.Load(place.place)))
        self.emit(ir.Guard(ir.Binary("eq", ir.Reg(old), ir.Const(0))))
        self.emit(ir.Store(place.place, ir.Const(holder)))
        self.label(Text("spin_lock(") + short(place.text) + ")")

    def trylock(self, place: PlaceV, node: ast.AST) -> Dyn:
        """spin_trylock: one step, always possible."""
        holder = self._holder(node, "a lock")
        self.step(node, "trylock", f"spin_trylock({place.text.render()})")
        self.fence()
        old = self.register("lock", place.kind)
        self.emit(ir.Set(old, ir.Load(place.place)))
        free = self.temp(ir.Binary("eq", ir.Reg(old), ir.Const(0)), BoolKind(), "free")
        self.emit(ir.Store(place.place, ir.Select(free.expr, ir.Const(holder), ir.Reg(old))))
        self.label(Text("spin_trylock(") + short(place.text) + ") -> " + self.shown(free))
        return free

    def unlock(self, place: PlaceV, node: ast.AST) -> None:
        """spin_unlock: one step; releasing a lock that one does not hold is a model error."""
        holder = self._holder(node, "a lock")
        self.step(node, "unlock", f"spin_unlock({place.text.render()})")
        old = self.register("lock", place.kind)
        self.emit(ir.Set(old, self.load(place)))
        self.check(
            ir.Binary("eq", ir.Reg(old), ir.Const(holder)), ir.FailureKind.MODEL_ERROR, "lock",
            f"{place.text.render()} is released by a thread that does not hold it", node,
        )  # fmt: skip
        self.plain_store(place, ir.Const(0), node)
        self.label(Text("spin_unlock(") + short(place.text) + ")")

    def semaphore(self, place: PlaceV, operation: str, node: ast.AST) -> None:
        """down_read, up_read, down_write, up_write, downgrade_write: one step."""
        self._holder(node, "a semaphore")
        kind = place.kind
        assert isinstance(kind, RwSemKind)
        self.step(node, operation, f"{operation}({place.text.render()})")
        self.fence()
        reg = self.register("sem", kind)
        old = ir.Reg(reg)
        self.emit(ir.Set(reg, ir.Load(place.place)))
        if operation == "down_read":
            self.emit(ir.Guard(ir.Binary("ne", old, ir.Const(kind.writer))))
            self.check(
                ir.Binary("lt", old, ir.Const(kind.writer - 1)),
                ir.FailureKind.MODEL_ERROR, "lock",
                f"{place.text.render()} has more readers than there are threads: "
                "one takes it twice", node,
            )  # fmt: skip
            new: ir.Expr = ir.Binary("add", old, ONE)
        elif operation == "down_write":
            self.emit(ir.Guard(ir.Binary("eq", old, ir.Const(0))))
            new = ir.Const(kind.writer)
        else:
            held = (
                ir.Binary("eq", old, ir.Const(kind.writer))
                if operation in ("up_write", "downgrade_write")
                else ir.Binary(
                    "land",
                    ir.Binary("ne", old, ir.Const(0)),
                    ir.Binary("ne", old, ir.Const(kind.writer)),
                )
            )
            self.check(
                held, ir.FailureKind.MODEL_ERROR, "lock",
                f"{operation}({place.text.render()}) without holding it", node,
            )  # fmt: skip
            if operation == "up_read":
                new = ir.Binary("sub", old, ONE)
            else:
                new = ir.Const(0) if operation == "up_write" else ONE
        self.emit(ir.Store(place.place, new))
        self.label(Text(f"{operation}(") + short(place.text) + ")")


def short(text: Text) -> Text:
    """The last name of a place: ``ptl`` of ``mm.ptl``."""
    if text.values or "[" in text.template:
        return text
    return Text(text.template.rsplit(".", 1)[-1])


def _parts(lock: PlaceV | SemSideV) -> tuple[PlaceV, str]:
    """The place of a lock, and which side of it: ``read``, ``write`` or nothing."""
    if isinstance(lock, SemSideV):
        return lock.place, "write" if lock.write else "read"
    return lock, ""


def _constant(section: str) -> bool:
    return section.endswith(" constant.left_out")
