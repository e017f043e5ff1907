"""The state that the language tests write their small models about."""

import enum

from shootdown.lang import (
    Array,
    Object,
    Option,
    Record,
    RwSem,
    SpinLock,
    Word,
    counter,
    ghost,
    ranged,
    shared,
)


class Mode(enum.Enum):
    OFF = 0
    SLOW = 1
    FAST = 2


class Page(Object):
    pass


class Frame(Object, show="f{}"):
    free: bool = ghost(False)
    uses: int = ranged(0, 3)


class Pte(Word):
    present: bool = False
    dirty: bool = False
    frame: Frame = Frame(0)

    def show(self) -> str:
        return f"{self.frame}{' dirty' * self.dirty}" if self.present else "none"


class AddressSpace(Object):
    pte: Array[Page, Pte]


class Mm(AddressSpace):
    a: int = ranged(0, 3)
    b: int = ranged(0, 3)
    c: int = counter(0, 3)
    flag: bool
    mode: Mode
    owner: Frame | None
    pages: set[Page]
    small: set[Pte]
    by_mode: Array[Mode, int] = ranged(0, 3)
    ptl: SpinLock
    lru: SpinLock
    sem: RwSem
    seen: int = ghost(ranged(0, 7))
    never: int = ranged(0, 3)


class Cpu(Object, show="CPU{}"):
    mm: Mm | None = Mm(0)
    on: bool
    count: int = ranged(0, 3)


class Gather(Record):
    pages: set[Page]
    n: int = ranged(0, 3)
    pte: Pte
    start: Page | None


class Huge(Object):
    """More of them than a set can hold."""


total: int = shared(int, ranged(0, 3))
ready: bool = shared(bool)
TLB = Option("zoo-tlb", "may", choices=("may", "explicit"), doc="how a TLB is modelled")
NESTED = True
EMPTY = Pte()
SIZES = {Cpu: 2, Page: 2, Frame: 2, Mm: 1, Huge: 63}
RULES = ()
OBSERVERS = ()
INVARIANTS = ()
GOALS = ()
START = None


def plain(number: int) -> int:
    """Not a model function."""
    return number
