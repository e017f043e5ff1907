"""Running a litmus test: its tables on the PEs of :mod:`shootdown.hardware.aarch64`.

The machine is compiled once for each size (number of PEs, points, values); a test is an initial
state of it and the contents of its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shootdown.check.native.kept import prepared
from shootdown.check.result import Limits, Result
from shootdown.errors import ModelError
from shootdown.hardware import aarch64 as hw
from shootdown.hardware.arm64_walker import Fault, Walker
from shootdown.hardware.machine import Frame, Page, TlbEntry
from shootdown.hardware.machine import Pte as Descriptor
from shootdown.lang import Setup, scenario
from shootdown.lang.ir import System
from shootdown.lang.kinds import Kinds
from shootdown.lang.types import FieldRef
from shootdown.litmus.compute import Code, Low, Unset, Word
from shootdown.litmus.condition import Fault as Happened
from shootdown.litmus.condition import FinalState
from shootdown.litmus.errors import Unsupported
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.propositions import Cause, Place, RegisterOf
from shootdown.litmus.state import Local
from shootdown.litmus.tables import Location, Reaction, Tables
from shootdown.litmus.values import Address, CodeLabel, Par, Physical, Pte, PteAddress

SIZES = {  # of the populations; a test takes the first that it fits in
    "small": {
        hw.Point: 64,
        hw.Row: 16,
        hw.Value: 16,
        hw.Kind: 8,
        Page: 4,
        hw.Memory: 4,
        hw.Cell: 1,
    },
    "large": {
        hw.Point: 512,
        hw.Row: 64,
        hw.Value: 64,
        hw.Kind: 32,
        Page: 7,
        hw.Memory: 7,
        hw.Cell: 4,
    },
}
MOST_PES = 5
READING = ("load", "load exclusive", "update", "probe", "probe for write")
FAULTS = {
    Cause.TRANSLATION: Fault.TRANSLATION,
    Cause.ACCESS_FLAG: Fault.ACCESS_FLAG,
    Cause.PERMISSION: Fault.PERMISSION,
}
TABLES: tuple[Any, ...] = (
    *(getattr(hw.Value, f) for f in (
        "descriptor", "valid", "writable", "accessed", "dirty", "frame", "kind",
    )),
    hw.Kind.value,
    hw.Row.next, hw.Row.write,
    *(getattr(hw.Point, f) for f in (
        "op", "translated", "page", "cell", "pages", "row", "value", "next", "otherwise", "faults",
        "unprivileged", "resumes", "early", "ahead_page", "ahead",
    )),
    hw.Memory.probed,
    hw.Tables.user,
    Walker.manages_flags, Walker.manages_dirty,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """All final states of a test, the nearest first, and how the search went. ``path`` gives the
    states of the machine on a shortest way to one of them, by its index."""

    states: tuple[FinalState, ...]
    result: Result
    loader: Loader
    path: Callable[[int], tuple[tuple[int, ...], ...]]


class Machine:
    """The machine for one size and one choice of options."""

    def __init__(self, size: str, pes: int, options: Mapping[str, str]) -> None:
        self.sizes: dict[Any, int] = {hw.Core: pes, hw.Tables: 1, **SIZES[size]}

        @scenario("litmus", expect="HOLDS")
        def build() -> Setup:
            """A litmus test."""
            return Setup(
                sizes=self.sizes,
                threads=[],
                hardware=hw.aarch64,
                start=hw.power_up,
                given=dict.fromkeys(TABLES),
            )

        sizes = {population.__name__: count for population, count in self.sizes.items()}
        key = f"litmus {sizes} {[str(table) for table in TABLES]} {sorted(options.items())}"
        self.prepared = prepared(key, lambda: build.compile(options=options))
        self.system: System = self.prepared.system
        self.numbers = {v.name: i for i, v in enumerate(self.system.variables)}
        self.kinds = Kinds(self.sizes, 0)
        self.decls: dict[Any, Any] = {}

    def encode(self, ref: Any, value: Any) -> int:
        """The number of a field's value."""
        if ref not in self.decls:
            self.decls[ref] = self.kinds.field(ref.owner, ref.name)

        def fail(message: str) -> ModelError:
            return ModelError(f"{ref.name}: {message}")

        return self.kinds.encode(value, self.decls[ref].kind, fail)


@cache
def machine(size: str, pes: int, options: tuple[tuple[str, str], ...]) -> Machine:
    """The machine, once per process."""
    return Machine(size, pes, dict(options))


class Loader:
    """Puts the tables of a test into an initial state of a machine."""

    def __init__(self, tables: Tables, options: tuple[tuple[str, str], ...]) -> None:
        self.tables = tables
        self.test = tables.test
        self.points = {local: i for i, local in enumerate(tables.points)}
        self.values = {value: i for i, value in enumerate(tables.all_values())}
        self.pages = {name: i for i, name in enumerate(tables.pages)}
        kinds: dict[Word, int] = {}
        for value in self.values:
            if isinstance(value, Pte):
                kinds.setdefault(self.kind_of(value), len(kinds))
        self.kinds = kinds
        offsets = {p[1]: None for p in tables.values if not isinstance(p, PteAddress)}
        self.cells = {offset: i for i, offset in enumerate(sorted(offsets))}
        self.rows = [local for local, p in tables.points.items() if reads(p)]
        self.row_of = {local: i for i, local in enumerate(self.rows)}
        self.strawman = dict(options)["strawman"]
        self.machine = machine(self.size(), len(self.test.processors), options)
        self.state = list(self.machine.system.init)

    @staticmethod
    def kind_of(pte: Pte) -> Word:
        """The descriptor without what hardware may change."""
        return Pte(pte.oa, 0, 0, pte.dbm, pte.valid, pte.el0, pte.x, pte.attributes)

    def size(self) -> str:
        """The first size that is large enough."""
        need = {
            hw.Point: len(self.points),
            hw.Row: len(self.rows),
            hw.Value: len(self.values),
            hw.Kind: len(self.kinds),
            Page: len(self.pages),
            hw.Cell: len(self.cells),
        }
        if len(self.test.processors) > MOST_PES:
            raise Unsupported(f"more than {MOST_PES} processors", file=self.test.file)
        for name, sizes in SIZES.items():
            if all(sizes[population] >= count for population, count in need.items()):
                return name
        most = SIZES["large"]
        what = next(p for p, count in need.items() if most[p] < count)
        raise Unsupported(
            f"{need[what]} {what.__name__.lower()}s: {most[what]} are the most", file=self.test.file
        )

    def put(self, ref: Any, name: str, value: Any) -> None:
        """Set one variable, if the machine has it."""
        number = self.machine.numbers.get(name)
        if number is not None:
            self.state[number] = self.machine.encode(ref, value)

    def load(self) -> tuple[int, ...]:
        """The initial state."""
        for value, index in self.values.items():
            if isinstance(value, Pte):
                self.put_value(value, index)
        for local, point in self.tables.points.items():
            self.put_point(local, point)
        for name, page in self.pages.items():
            self.put_page(name, page)
        for (name, offset), held in self.memory():
            place = f"f{self.pages[name]}.content[cell{self.cells[offset]}]"
            if self.machine.numbers.get(place) is None:
                place = f"f{self.pages[name]}.content[cell]"
            self.put(hw.Memory.content, place, hw.Value(self.values[held]))
        for number, processor in enumerate(self.test.processors):
            self.put(
                hw.Core.at, f"CPU{number}.at", hw.Point(self.points[self.tables.entries[number]])
            )
            self.put(Walker.manages_flags, f"CPU{number}.manages_flags", processor.hardware_af)
            self.put(Walker.manages_dirty, f"CPU{number}.manages_dirty", processor.hardware_dirty)
        return tuple(self.state)

    def memory(self) -> Iterable[tuple[tuple[str, int], Word]]:
        for place in self.tables.values:
            if not isinstance(place, PteAddress):
                yield place, self.tables.initial(place)

    def put_value(self, value: Pte, index: int) -> None:
        """How a descriptor is decoded."""
        name = f"value{index}"
        self.put(hw.Value.descriptor, f"{name}.descriptor", True)
        for field, ref in (
            ("valid", hw.Value.valid), ("accessed", hw.Value.accessed), ("dirty", hw.Value.dirty),
            ("writable", hw.Value.writable),
        ):  # fmt: skip
            found = {
                "valid": value.valid, "accessed": value.af, "dirty": value.db,
                "writable": value.db or value.dbm,
            }  # fmt: skip
            self.put(ref, f"{name}.{field}", bool(found[field]))
        self.put(hw.Value.frame, f"{name}.frame", self.frame(value))
        kind = self.kinds[self.kind_of(value)]
        self.put(hw.Value.kind, f"{name}.kind", hw.Kind(kind))
        flags = hw.Flags.NEITHER
        if value.af:
            flags = hw.Flags.BOTH if value.db else hw.Flags.ACCESSED
        elif value.db:
            flags = hw.Flags.DIRTY
        self.put(hw.Kind.value, f"kind{kind}.value[{flags.name}]", hw.Value(index))

    def frame(self, pte: Pte) -> Frame:
        """The frame that a descriptor leads to; any if it leads nowhere."""
        name = pte.oa.name if isinstance(pte.oa, Physical) else None
        return Frame(self.pages.get(name, 0) if name is not None else 0)

    def put_page(self, name: str, page: int) -> None:
        """The descriptor of a page at first, and what a TLB may hold of it."""
        pte = self.tables.initial(PteAddress(name))
        assert isinstance(pte, Pte)
        index = f"page{page}"
        descriptor = Descriptor(
            present=bool(pte.valid),
            writable=bool(pte.db or pte.dbm),
            accessed=bool(pte.af),
            dirty=bool(pte.db),
            frame=self.frame(pte),
        )
        self.put(hw.Tables.pte, f"tables.pte[{index}]", descriptor)
        self.put(hw.Tables.kind, f"tables.kind[{index}]", hw.Kind(self.kinds[self.kind_of(pte)]))
        self.put(hw.Tables.user, f"tables.user[{index}]", self.tables.el0_pages()[name])
        self.put(hw.Memory.probed, f"f{page}.probed", hw.Value(self.values[Par(Physical(name))]))
        entries = set()
        unaccessed = self.strawman == "caches-unaccessed"
        if pte.valid and (pte.af or unaccessed) and self.strawman != "fills-on-use":
            dirty = bool(pte.db)
            writable = bool(pte.db or pte.dbm)
            entries = {TlbEntry(writable=writable, dirty=dirty, frame=descriptor.frame)}
        for number, processor in enumerate(self.test.processors):
            core = f"CPU{number}"
            self.put(Walker.tlb, f"{core}.tlb[{index}]", entries)
            self.put(hw.Core.ahead, f"{core}.ahead[{index}]", entries)
            fault = Fault.NONE
            if not pte.valid:
                fault = Fault.TRANSLATION
            elif not pte.af and not processor.hardware_af:
                fault = Fault.ACCESS_FLAG
            elif not pte.db and not (pte.dbm and processor.hardware_dirty):
                fault = Fault.PERMISSION
            self.put(hw.Core.faults, f"{core}.faults[{index}]", {fault})

    def put_point(self, local: Local, point: Reaction) -> None:
        """What a point does."""
        name, effect = f"point{self.points[local]}", point.effect
        if effect is None:
            self.put(hw.Point.op, f"{name}.op", hw.Op.END)
            return
        pte = isinstance(effect.place, PteAddress)
        op = {
            "load": hw.Op.LOAD_PTE if pte else hw.Op.LOAD,
            "store": hw.Op.STORE_PTE if pte else hw.Op.STORE,
            "update": hw.Op.UPDATE_PTE if pte else hw.Op.UPDATE,
            "load exclusive": hw.Op.LOAD_EXCLUSIVE_PTE if pte else hw.Op.LOAD_EXCLUSIVE,
            "store exclusive": hw.Op.STORE_EXCLUSIVE_PTE if pte else hw.Op.STORE_EXCLUSIVE,
            "probe": hw.Op.PROBE,
            "probe for write": hw.Op.PROBE_WRITE,
            "tlbi": hw.Op.TLBI if effect.broadcast else hw.Op.TLBI_LOCAL,
            "dsb": hw.Op.DSB,
            "dsb local": hw.Op.DSB_LOCAL,
            "sync": hw.Op.SYNC,
            "return": hw.Op.RETURN,
        }[effect.kind]
        self.put(hw.Point.op, f"{name}.op", op)
        self.put(hw.Point.translated, f"{name}.translated", isinstance(effect.place, Address))
        if effect.place is not None:
            self.put(hw.Point.page, f"{name}.page", Page(self.pages[effect.place.name]))
        if isinstance(effect.place, Address):
            self.put(hw.Point.cell, f"{name}.cell", hw.Cell(self.cells.get(effect.place.offset, 0)))
        if effect.kind == "tlbi":
            pages = self.pages if effect.pages is None else effect.pages
            numbers = {Page(self.pages[p]) for p in pages if p in self.pages}
            self.put(hw.Point.pages, f"{name}.pages", numbers)
        if local in self.row_of:
            row = self.row_of[local]
            self.put(hw.Point.row, f"{name}.row", hw.Row(row))
            for value, (new, after) in point.then.items():
                at = f"value{self.values[value]}"
                self.put(hw.Row.next, f"row{row}.next[{at}]", hw.Point(self.points[after]))
                if new is not None:
                    self.put(hw.Row.write, f"row{row}.write[{at}]", hw.Value(self.values[new]))
        elif point.then:
            written, after = point.then.get(1) or next(iter(point.then.values()))
            if effect.kind == "store exclusive":
                other = hw.Point(self.points[point.then[0][1]])
                self.put(hw.Point.otherwise, f"{name}.otherwise", other)
            self.put(hw.Point.next, f"{name}.next", hw.Point(self.points[after]))
            if written in self.values:  # else the store always faults
                self.put(hw.Point.value, f"{name}.value", hw.Value(self.values[written]))
        for cause, after in point.faults.items():
            fault = FAULTS[cause]
            self.put(hw.Point.faults, f"{name}.faults[{fault.name}]", hw.Point(self.points[after]))
        if point.ahead is not None:
            page = Page(self.pages[point.ahead])
            self.put(hw.Point.ahead_page, f"{name}.ahead_page", page)
            for cause, after in point.ahead_faults.items():
                at = f"{name}.ahead[{FAULTS[cause].name}]"
                self.put(hw.Point.ahead, at, hw.Point(self.points[after]))
        self.put(hw.Point.unprivileged, f"{name}.unprivileged", effect.unprivileged)
        self.put(hw.Point.resumes, f"{name}.resumes", effect.resumes)
        early = None if point.early is None else Page(self.pages[point.early])
        self.put(hw.Point.early, f"{name}.early", early)


def reads(point: Reaction) -> bool:
    """Whether what follows depends on a value."""
    return point.effect is not None and point.effect.kind in READING


def run(
    test: LitmusTest, ets2: bool = True, limits: Limits | None = None, strawman: str = "none"
) -> Answer:
    """All final states of a test. :class:`Unsupported` if it needs what is not modelled.

    ``strawman`` gives the machine a mistake (:data:`shootdown.hardware.tlbi.STRAWMAN`).
    """
    tables = Tables(test, run_ahead=not ets2)
    exclusive = any("exclusive" in e.kind for e in tables.effects())
    options = (
        ("ets", "ets2" if ets2 else "none"),
        ("exclusives", "on" if exclusive else "off"),
        ("hw_updates", "late" if tables.any_af else "at-once"),
        ("strawman", strawman),
    )
    loader = Loader(tables, options)
    engine, init = loader.machine, loader.load()
    numbers = engine.numbers
    pes = range(len(test.processors))
    shown = [numbers[f"CPU{n}.at"] for n in pes]
    shown += [numbers[f"CPU{n}.late"] for n in pes if f"CPU{n}.late" in numbers]
    late = slice(len(pes), len(shown))
    places: list[Location] = list(tables.values)
    where: list[tuple[Location, int, int | None]] = []
    for place in places:
        if isinstance(place, PteAddress):
            page = loader.pages[place.name]
            table, kind = numbers[f"tables.pte[page{page}]"], numbers[f"tables.kind[page{page}]"]
            where.append((place, len(shown), len(shown) + 1))
            shown += [table, kind]
        else:
            cell = f"f{loader.pages[place[0]]}.content[cell{loader.cells[place[1]]}]"
            cell = cell if cell in numbers else cell.partition("[")[0] + "[cell]"
            where.append((place, len(shown), None))
            shown.append(numbers[cell])
    locals_ = list(tables.points)
    ended = {i for i, local in enumerate(locals_) if local.ended}

    def final(values: tuple[int, ...]) -> bool:
        return all(values[n] in ended for n in pes) and not any(values[late])

    reached = engine.prepared.reached(init, final, tuple(shown), limits or Limits())
    found = sorted(reached.found, key=reached.found.__getitem__)
    states = [decode(values, tables, loader, where, locals_) for values in found]
    return Answer(tuple(states), reached.result, loader, lambda index: reached.path(found[index]))


def decode(
    values: tuple[int, ...],
    tables: Tables,
    loader: Loader,
    where: list[tuple[Location, int, int | None]],
    locals_: list[Local],
) -> FinalState:
    """A final state in the test's own words."""
    words = list(loader.values)
    found: dict[Place, Any] = {}
    faults: set[Happened] = set()
    for number, processor in enumerate(tables.test.processors):
        local = locals_[values[number]]
        faults |= local.faults
        for register, value in local.registers:
            found[RegisterOf(processor.number, f"X{register}")] = external(value, tables)
        for name, value in local.system:
            found[RegisterOf(processor.number, name.value)] = external(value, tables)
    kind = loader.machine.kinds.word(Descriptor)
    for place, at, kind_at in where:
        if isinstance(place, PteAddress):
            assert kind_at is not None
            raw = values[at]
            accessed, dirty = (bits(kind, raw, name) for name in ("accessed", "dirty"))
            base = list(loader.kinds)[values[kind_at]]
            assert isinstance(base, Pte)
            found[place] = Pte(
                base.oa, accessed, dirty, base.dbm, base.valid, base.el0, base.x, base.attributes
            )
        else:
            found[Address(*place)] = external(words[values[at]], tables)
    for asked in tables.test.observed():
        if isinstance(found.get(asked), Low | Unset):
            message = f"{found[asked]} as the value of {asked}, which the test asks for"
            raise Unsupported(message, file=tables.test.file)
    return FinalState(found, frozenset(faults))


def bits(kind: Any, raw: int, name: str) -> int:
    """One field of a packed word."""
    field = next(f for f in kind.fields if f.name == name)
    return int(raw >> field.shift & 1)


def external(value: Word, tables: Tables) -> Any:
    """A value as tests write it: an instruction is its label."""
    if isinstance(value, Code):
        column = tables.executor.column(value)
        for label, index in column.labels.items():
            if index == value.index:
                return CodeLabel(value.processor, label)
        return CodeLabel(value.processor, f"+{value.index}")
    return value


__all__ = ["Answer", "FieldRef", "run"]
