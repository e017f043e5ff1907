"""The modelling language as ordinary Python: one thread, run directly.

A generated program's source is rewritten a little (places become objects, sets and words are copied
where they are passed on) and executed against the classes here. ``run_all`` gives what
the program can end in, for every sequence of choices.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

SIZES = {"Page": 2, "Frame": 2, "Cpu": 2, "Mm": 1}


class RangeError(Exception):
    """A value left its range."""


class Mode(enum.Enum):
    OFF = 0
    SLOW = 1
    FAST = 2


class Population(type):
    """A class with a fixed number of instances."""

    made: list[Any]

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls.made)

    def __reversed__(cls) -> Iterator[Any]:
        return iter(cls.made[::-1])

    def __call__(cls, index: int) -> Any:
        if not 0 <= index < len(cls.made):
            raise RangeError
        return cls.made[index]


class Thing(metaclass=Population):
    """An object whose fields are checked when they are set."""

    index: int

    def __init__(self, index: int) -> None:
        raise TypeError("see Population.__call__")

    limits: ClassVar[dict[str, int]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        limit = self.limits.get(name)
        if limit is not None and not 0 <= value <= limit:
            raise RangeError
        self.__dict__[name] = copied(value)


class Page(Thing):
    pass


class Frame(Thing):
    limits: ClassVar[dict[str, int]] = {"uses": 3}


class Cpu(Thing):
    pass


class Word:
    """A value: compared by its fields."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Pte(Word):
    def __init__(self, present: bool = False, dirty: bool = False, frame: Any = None) -> None:
        self.present, self.dirty, self.frame = present, dirty, frame or Frame(0)


class Counters(dict[Mode, int]):
    def __setitem__(self, key: Mode, value: int) -> None:
        if not 0 <= value <= 3:
            raise RangeError
        super().__setitem__(key, value)


class Ptes(dict[Page, Pte]):
    def __getitem__(self, key: Page) -> Pte:
        return copied(super().__getitem__(key))  # type: ignore[no-any-return]

    def __setitem__(self, key: Page, value: Pte) -> None:
        super().__setitem__(key, copied(value))


class StuckError(Exception):
    """A lock is taken twice."""


class Lock:
    """A lock, or one side of a semaphore: ``held`` is shared by both sides."""

    def __init__(self, held: list[str] | None = None, how: str = "alone") -> None:
        self.held = [] if held is None else held
        self.how = how

    def __enter__(self) -> None:
        if self.held and (self.how == "alone" or "alone" in self.held):
            raise StuckError
        if self.held:
            raise LockError
        self.held.append(self.how)

    def __exit__(self, *exc: object) -> None:
        self.held.pop()

    def read(self) -> Lock:
        return Lock(self.held, "shared")

    def write(self) -> Lock:
        return self


class LockError(Exception):
    """A semaphore has more readers than there are threads."""


class Mm(Thing):
    by_mode: Counters
    pte: Ptes
    limits: ClassVar[dict[str, int]] = {"a": 3, "b": 3, "c": 3, "seen": 7}


class Gather:
    def __init__(self) -> None:
        self.__dict__.update(pages=set(), n=0, pte=Pte())

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "n" and not 0 <= value <= 3:
            raise RangeError
        self.__dict__[name] = copied(value)


class Globals:
    """Holds ``total``."""

    total = 0


def copied(value: Any) -> Any:
    """Sets and words are values."""
    if isinstance(value, Word):
        new = object.__new__(type(value))
        new.__dict__.update(vars(value))
        return new
    if isinstance(value, set):
        return set(value)
    if isinstance(value, tuple):
        return tuple(copied(v) for v in value)
    return value


def in_order(values: Any) -> list[Any]:
    """What is looped over; sets in the order of their elements' encodings."""
    return sorted(values, key=lambda v: v.index) if isinstance(values, set) else list(values)


class Place:
    """Where a value is."""

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None]) -> None:
        self.get, self.put = get, put


def attribute(base: Any, name: str) -> Place:
    """``base.name``, where ``base`` may be a place with a word in it."""
    if isinstance(base, Place):

        def put(value: Any) -> None:
            word = copied(base.get())
            setattr(word, name, value)
            base.put(word)

        return Place(lambda: getattr(base.get(), name), put)
    return Place(lambda: copied(getattr(base, name)), lambda value: setattr(base, name, value))


def item(base: Any, key: Any) -> Place:
    return Place(lambda: base[key], lambda value: base.__setitem__(key, value))


def whole() -> Place:
    def put(value: int) -> None:
        if not 0 <= value <= 3:
            raise RangeError
        Globals.total = value

    return Place(lambda: Globals.total, put)


# ------------------------------------------------------------------------- operations


def xchg(place: Place, value: Any) -> Any:
    old = place.get()
    place.put(value)
    return old


def cmpxchg(place: Place, old: Any, new: Any) -> Any:
    found = place.get()
    if found == old:
        place.put(new)
    return found


def try_cmpxchg(place: Place, old: Any, new: Any) -> bool:
    return bool(cmpxchg(place, old, new) == old)


def add_return(place: Place, number: int) -> int:
    place.put(place.get() + number)
    return int(place.get())


def member(place: Place, name: str, value: Any) -> None:
    """``place.add(value)``."""
    elements = set(place.get())
    getattr(elements, name)(value)
    place.put(elements)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "READ_ONCE": lambda place: place.get(),
    "WRITE_ONCE": lambda place, value: place.put(value),
    "xchg": xchg,
    "cmpxchg": cmpxchg,
    "try_cmpxchg": try_cmpxchg,
    "atomic_inc": lambda place: add_return(place, 1),
    "atomic_dec": lambda place: add_return(place, -1),
    "atomic_inc_return": lambda place: add_return(place, 1),
    "atomic_dec_and_test": lambda place: add_return(place, -1) == 0,
    "set_bit": lambda place: place.put(True),
    "test_and_set_bit": lambda place: xchg(place, True),
    "test_and_clear_bit": lambda place: xchg(place, False),
}
REFS = {**dict.fromkeys(OPERATIONS, 0), "bump": 0, "mark_dirty": 0}


class Rewrite(ast.NodeTransformer):
    """Makes places and copies explicit."""

    def __init__(self) -> None:
        self.refs: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.refs = {
            a.arg for a in node.args.args
            if a.annotation is not None and ast.unparse(a.annotation).startswith("Ref")
        }  # fmt: skip
        for a in (*node.args.args, *node.args.kwonlyargs):
            a.annotation = None
        node.returns = None
        node.decorator_list = []
        self.generic_visit(node)
        return node

    def place(self, node: ast.expr) -> ast.expr:
        """An expression for the place that a node names."""
        match node:
            case ast.Name(name) if name in self.refs:
                return ast.Name(name, ast.Load())
            case ast.Name("total"):
                return call("whole")
            case ast.Attribute(ast.Subscript() | ast.Attribute() as base, name) if name in (
                "present", "dirty",
            ):  # fmt: skip
                return call("attribute", self.place(base), ast.Constant(name))
            case ast.Attribute(ast.Name(ref), name) if ref in self.refs:
                return call("attribute", ast.Name(ref, ast.Load()), ast.Constant(name))
            case ast.Attribute(base, name):
                return call("attribute", self.visit(base), ast.Constant(name))
            case ast.Subscript(base, key):
                return call("item", self.visit(base), self.visit(key))
        raise AssertionError(ast.unparse(node))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.refs or node.id == "total":
            return ast.Call(ast.Attribute(self.place(node), "get", ast.Load()), [], [])
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node.func:
            case ast.Name(name) if name in REFS:
                rest = [copy_of(self.visit(a)) for a in node.args[1:]]
                return ast.Call(node.func, [self.place(node.args[0]), *rest], [])
            case ast.Attribute(ast.Attribute() as base, "add" | "discard" as name):
                return call(
                    "member", self.place(base), ast.Constant(name), self.visit(node.args[0])
                )
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id.startswith("step"):
            node.args = [copy_of(a) for a in node.args]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        value = copy_of(self.visit(node.value))
        match node.targets[0]:
            case ast.Attribute(ast.Attribute(), "present" | "dirty") | ast.Name("total") as target:
                place = self.place(target)
                return ast.Expr(ast.Call(ast.Attribute(place, "put", ast.Load()), [value], []))
            case target:
                return ast.Assign([self.visit(target)], value)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = call("in_order", node.iter)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], ast.Constant(0))

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return ast.Return(copy_of(self.visit(node.value)) if node.value else None)


def call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def copy_of(node: ast.expr) -> ast.expr:
    return call("copied", node)


# ------------------------------------------------------------------------- running

POPULATIONS = (Page, Frame, Cpu, Mm)


def reset() -> Mm:
    """The initial state."""
    for cls in POPULATIONS:
        cls.made = []
        for index in range(SIZES[cls.__name__]):
            thing = object.__new__(cls)
            thing.__dict__["index"] = index
            cls.made.append(thing)
    for frame in Frame:
        frame.uses = 0
    mm = Mm(0)
    mm.__dict__.update(
        a=0, b=0, c=0, flag=False, mode=Mode.OFF, owner=None, pages=set(), seen=0,
        by_mode=Counters(), pte=Ptes(), ptl=Lock(), lru=Lock(), sem=Lock(),
    )  # fmt: skip
    for mode in Mode:
        mm.by_mode[mode] = 0
    for page in Page:
        mm.pte[page] = Pte()
    Globals.total = 0
    return mm


def encoded(mm: Any) -> dict[str, int]:
    """The state as the compiler's variables have it."""
    state = {
        "mm.a": mm.a, "mm.b": mm.b, "mm.c": mm.c, "mm.seen": mm.seen, "total": Globals.total,
        "mm.flag": int(mm.flag), "mm.mode": mm.mode.value,
        "mm.owner": 0 if mm.owner is None else mm.owner.index + 1,
        "mm.pages": sum(1 << page.index for page in mm.pages),
    }  # fmt: skip
    for mode in Mode:
        state[f"mm.by_mode[{mode.name}]"] = mm.by_mode[mode]
    for frame in Frame:
        state[f"f{frame.index}.uses"] = frame.uses
    for page in Page:
        pte = mm.pte[page]
        word = pte.present | pte.dirty << 1 | pte.frame.index << 2
        state[f"mm.pte[page{page.index}]"] = int(word)
    return state


class Chooser:
    """Replays a sequence of choices, then takes the first and remembers how many there were."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.taken: list[tuple[int, int]] = []

    def __call__(self, *options: Any) -> Any:
        among = list(options) if len(options) > 1 else in_order(options[0])
        at = len(self.taken)
        number = self.script[at] if at < len(self.script) else 0
        self.taken.append((number, len(among)))
        return among[number]


def run_all(source: str, limit: int = 2000) -> set[Any] | None:
    """What ``main(Mm(0))`` can end in: states as sorted pairs, or the name of a failure.

    ``None`` if there are too many sequences of choices.
    """
    tree = ast.fix_missing_locations(Rewrite().visit(ast.parse(source)))
    code = compile(tree, "<generated>", "exec")
    found: set[Any] = set()
    scripts: list[list[int]] = [[]]
    while scripts:
        limit -= 1
        if not limit:
            return None
        chooser = Chooser(scripts.pop())
        mm = reset()
        names = {**globals(), **OPERATIONS, "choose": chooser, "NESTED": True, "EMPTY": Pte()}
        names |= {
            "replace": lambda word, **fields: replaced(word, fields),
            "this": lambda cls: cls(0),
            "note": lambda *_: None,
            "event": lambda *_: None,
        }
        exec(code, names)
        try:
            names["main"](mm)
            found.add(tuple(sorted(encoded(mm).items())))
        except RangeError:
            found.add("range")
        except StuckError:
            found.add("stuck")
        except LockError:
            found.add("lock")
        except AssertionError:
            found.add("INV-R")
        except AttributeError as error:
            if "NoneType" not in str(error):
                raise
            found.add("None")
        at = len(chooser.script)
        for i, (_, count) in list(enumerate(chooser.taken))[at:]:
            taken = [number for number, _ in chooser.taken[:i]]
            scripts += [[*taken, number] for number in range(1, count)]
    return found


def replaced(word: Word, fields: dict[str, Any]) -> Any:
    new = copied(word)
    new.__dict__.update(fields)
    return new
