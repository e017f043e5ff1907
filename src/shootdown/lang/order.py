"""Memory order: sequential consistency, or x86-TSO store buffers.

Under ``memory=tso`` each CPU (each object that threads run ``on``) has a FIFO of at most
``store_buffer`` stores that only it can see (Sewell et al., "x86-TSO", CACM 2010; Intel SDM 3A,
Memory Ordering). A plain store, WRITE_ONCE, smp_store_release and spin_unlock go into it; a fair
rule writes the oldest to memory; the CPU's own reads look there first. Atomic read-modify-writes,
taking a lock, smp_mb and ``@atomic`` instructions (unless ``fence=False``) wait until it is empty.
A hardware rule reads memory, or with ``seen_by(cpu, place)`` what that CPU sees: its own page
walker, for example.

The depth is a bound: a store waits while the buffer is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shootdown.lang import ir
from shootdown.lang.bodies import simplify
from shootdown.lang.space import StateSpace
from shootdown.lang.types import Option
from shootdown.lang.values import PlaceV

MEMORY = Option(
    "memory",
    "sc",
    choices=("sc", "tso"),
    doc="Memory order: sequentially consistent, or x86-TSO store buffers.",
)
STORE_BUFFER = Option(
    "store_buffer",
    1,
    choices=(1, 2, 3),
    doc="How many stores a buffer holds under memory=tso.",
)
ZERO = ir.Const(0)


@dataclass
class StoreBuffer:
    """One CPU's buffer: for each slot, oldest first, a location (0 is none) and a value."""

    name: str
    locations: list[int]  # variables
    values: list[int]
    stored: dict[int, PlaceV] = field(default_factory=dict)  # by the storage's first variable


class Memory:
    """The store buffers of a system being compiled; there are none under ``memory=sc``."""

    def __init__(self, space: StateSpace, options: Any) -> None:
        self.space = space
        self.options = {MEMORY.name: options[MEMORY.name]}
        self.depth = 0
        if options[MEMORY.name] == "tso":
            self.depth = self.options[STORE_BUFFER.name] = options[STORE_BUFFER.name]
        self.owners: dict[Any, str] = {}  # the objects that threads run on, and how they are shown
        self.buffers: dict[Any, StoreBuffer] = {}
        self.first: dict[int, int] = {}  # storage -> its first location number
        self.count = 0  # location numbers given
        self.widest = 1

    @property
    def assumption(self) -> str:
        """What a verdict says about memory order."""
        if not self.depth:
            return "memory is sequentially consistent"
        stores = "one store" if self.depth == 1 else f"{self.depth} stores"
        return f"memory is x86-TSO: each CPU's store buffer holds at most {stores}"

    def buffer(self, owner: Any, name: str) -> StoreBuffer | None:
        """The buffer of a CPU, made when first needed; ``None`` if memory is consistent."""
        if not self.depth:
            return None
        if owner not in self.buffers:

            def slots(part: str) -> list[int]:
                names = [f"{name}.buffer[{i}].{part}" for i in range(self.depth)]
                return [self.space.scalar(slot, 1, 0, None, hidden=True) for slot in names]

            self.buffers[owner] = StoreBuffer(name, slots("place"), slots("value"))
        return self.buffers[owner]

    def buffer_of(self, owner: Any) -> StoreBuffer | None:
        """The buffer of an object, also if its threads are compiled later; ``None`` if it has none,
        or memory is consistent."""
        return self.buffer(owner, self.owners[owner]) if owner in self.owners else None

    def location(self, place: PlaceV) -> ir.Expr:
        """The number of the location that a place names: 1 and up."""
        storage = self.space.storage_of(place.place.base)
        if storage.base not in self.first:
            self.first[storage.base] = 1 + self.count
            self.count += storage.length
            self.widest = max(self.widest, place.kind.size)
        number: ir.Expr = ir.Const(self.first[storage.base] + place.place.base - storage.base)
        for expr, stride, _ in place.place.index:
            offset = simplify(ir.Binary("mul", expr, ir.Const(stride)))
            number = simplify(ir.Binary("add", number, offset))
        return number

    def seen(self, buffer: StoreBuffer, place: PlaceV) -> ir.Expr:
        """What the buffer's CPU reads: its newest store to the place, else memory."""
        where = self.location(place)
        value: ir.Expr = ir.Load(place.place)
        for location, stored in zip(buffer.locations, buffer.values, strict=True):
            here = ir.Binary("eq", ir.Load(ir.Place(location)), where)
            value = ir.Select(here, ir.Load(ir.Place(stored)), value)
        return value

    def full(self, buffer: StoreBuffer) -> ir.Expr:
        """Whether no slot is free."""
        return ir.Binary("ne", ir.Load(ir.Place(buffer.locations[-1])), ZERO)

    def empty(self, buffer: StoreBuffer) -> ir.Expr:
        """Whether every store has reached memory."""
        return ir.Binary("eq", ir.Load(ir.Place(buffer.locations[0])), ZERO)

    def push(self, buffer: StoreBuffer, place: PlaceV, value: ir.Expr) -> Iterator[ir.Op]:
        """Put a store into the first free slot (there is one), newest slots first."""
        where = self.location(place)
        storage = self.space.storage_of(place.place.base)
        buffer.stored.setdefault(storage.base, place)
        for i in range(self.depth - 1, -1, -1):
            here = ir.Load(ir.Place(buffer.locations[i]))
            free: ir.Expr = ir.Binary("eq", here, ZERO)
            if i > 0:
                before = ir.Load(ir.Place(buffer.locations[i - 1]))
                free = ir.Binary("land", free, ir.Binary("ne", before, ZERO))
            held = ir.Load(ir.Place(buffer.values[i]))
            yield ir.Store(ir.Place(buffer.values[i]), ir.Select(free, value, held))
            yield ir.Store(ir.Place(buffer.locations[i]), ir.Select(free, where, here))

    def shift(self, buffer: StoreBuffer) -> Iterator[ir.Op]:
        """Drop the oldest store."""
        for slots in (buffer.locations, buffer.values):
            for i, slot in enumerate(slots):
                following = slots[i + 1 :][:1]
                value: ir.Expr = ir.Load(ir.Place(following[0])) if following else ZERO
                yield ir.Store(ir.Place(slot), value)

    def finish(self) -> None:
        """Give the buffers' variables their sizes, when all locations are known."""
        for buffer in self.buffers.values():
            for variable in buffer.locations:
                self.space.resize(variable, self.count + 1)
            for variable in buffer.values:
                self.space.resize(variable, self.widest)
