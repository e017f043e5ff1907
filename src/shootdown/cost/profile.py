"""What things cost on a machine: a profile is a set of prices in nanoseconds, each with where it
comes from and how sure it is.

A price that a machine does not have (INVLPG on arm64) cannot be read: an unpriced step must be an
error, never free.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, overload

from shootdown.errors import UsageError

X86, ARM64 = "x86", "arm64"
ARCHITECTURES = (X86, ARM64)
GIVEN = "given by the user"  # the source of a number that was overridden
LARGEST = 10**12  # ns: a quarter of an hour; whoever needs more has mistaken the unit


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a profile.

    ``value`` is in nanoseconds for a price, and a count for geometry. ``uncertainty`` is in
    percent: the true value is within that of ``value``, as far as is known.
    """

    value: int
    source: str
    uncertainty: int = 0


class _Number:
    """An attribute of a profile that is one of its entries."""

    def __init__(self, meaning: str, *, only: str | None = None, geometry: bool = False) -> None:
        self.meaning = meaning
        self.architectures = ARCHITECTURES if only is None else (only,)
        self.geometry = geometry

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, profile: None, owner: type) -> _Number: ...

    @overload
    def __get__(self, profile: Profile, owner: type) -> int: ...

    def __get__(self, profile: Profile | None, owner: type) -> int | _Number:
        if profile is None:
            return self
        entry = profile.entries.get(self.name)
        if entry is None:
            raise UsageError(
                f"profile {profile.name} is of {profile.architecture}, where nothing costs "
                f"'{self.name}' ({self.meaning}); use a profile of "
                f"{' or '.join(self.architectures)}"
            )
        return entry.value


@dataclass(frozen=True)
class Profile:
    """The prices of one machine, as attributes: ``profile.ipi_send`` is a whole number of ns.

    The smallest price is 1 ns: nothing that is priced is free. ``entries`` says for each number
    where it comes from.
    """

    name: str
    description: str
    architecture: str
    entries: Mapping[str, Entry] = field(hash=False)

    # ---- into the kernel and out again
    kernel_entry = _Number("a system call into the kernel and back, without what it does")
    page_fault = _Number("a page fault's exception and its return, without the handler")
    interrupt_entry = _Number("from where a target stops until its interrupt handler begins")
    interrupt_return = _Number("from the end of a handler until the target goes on")
    context_switch = _Number("a switch to another thread of the same address space")
    cr3_switch = _Number("changing to other page tables, without a flush")
    idle_exit = _Number("a CPU leaves the idle state to take an interrupt")

    # ---- interrupts between CPUs
    ipi_send = _Number("the sender is busy sending to its first target")
    ipi_send_more = _Number("the sender is busy sending to each further target")
    ipi_deliver = _Number("from the start of sending until the target stops what it does")
    ipi_deliver_remote = _Number("the same, to a target in another socket")
    ack = _Number("from the target's last store until the sender sees it")
    ack_remote = _Number("the same, from a target in another socket")
    handler = _Number("what the target does besides the flush itself (flush_tlb_func)")

    # ---- translations
    invlpg = _Number("invalidate one page (INVLPG)", only=X86)
    flush_all = _Number("flush one address space (CR3 write, INVPCID)", only=X86)
    flush_everything = _Number("flush everything, with global entries", only=X86)
    tlbi = _Number("issue one TLBI", only=ARM64)
    tlbi_deliver = _Number("from a TLBI until all CPUs have done it", only=ARM64)
    dsb = _Number("DSB ISH, if nothing is outstanding", only=ARM64)
    iotlb_flush = _Number("flush a device's TLB and wait for it")
    tlb_walk = _Number("a page walk with its tables in the cache")

    # ---- memory
    mem_load = _Number("a load from a line that the CPU has")
    mem_store = _Number("a store to a line that the CPU has")
    atomic = _Number("an atomic read-modify-write of a line that the CPU has")
    barrier = _Number("a full memory barrier (smp_mb)")
    line_transfer = _Number("a line comes from another core")
    line_transfer_remote = _Number("a line comes from another socket")
    lock_handover = _Number("a lock goes to a CPU that spins for it")

    # ---- pages
    alloc_page = _Number("allocate a page, without clearing it")
    free_page = _Number("free a page, one of many")
    clear_page = _Number("clear a page")
    copy_page = _Number("copy a page")
    rmap = _Number("reverse map and counters of one page")
    read_page = _Number("read a page from the disk")

    # ---- geometry
    sockets = _Number("sockets", geometry=True)
    cpus = _Number("CPUs", geometry=True)
    tlb_entries = _Number("entries of the last TLB level, for small pages", geometry=True)
    tlb_ways = _Number("its ways", geometry=True)
    flush_ceiling = _Number("pages above which all is flushed", geometry=True)
    store_buffer = _Number("stores that can wait in a store buffer", geometry=True)

    @staticmethod
    def load(name_or_path: str) -> Profile:
        """A shipped profile by its name, or a file (with a ``/``, or ending in ``.toml``)."""
        from shootdown.cost.profile_file import load

        return load(name_or_path)

    @staticmethod
    def shipped() -> tuple[str, ...]:
        """The names of the profiles that come with shootdown, sorted."""
        from shootdown.cost.profile_file import shipped

        return shipped()

    def override(self, **values: int) -> Profile:
        """The same with other values; they count as exact."""
        entries = dict(self.entries)
        for name, value in values.items():
            check_name(name, self.architecture)
            check_value(name, value)
            entries[name] = Entry(value, GIVEN)
        return checked(replace(self, entries=entries))

    def values(self) -> dict[str, int]:
        """All numbers by name, in the order of this class."""
        return {name: self.entries[name].value for name in names(self.architecture)}


def numbers() -> Iterator[_Number]:
    """Everything that a profile can have, in the order of ``Profile``."""
    return (number for number in vars(Profile).values() if isinstance(number, _Number))


def names(architecture: str, *, geometry: bool | None = None) -> list[str]:
    """The numbers that a profile of an architecture has: all, prices only, or geometry only."""
    return [
        number.name
        for number in numbers()
        if architecture in number.architectures and geometry in (None, number.geometry)
    ]


def check_name(name: str, architecture: str) -> None:
    """UsageError, unless profiles of that architecture have that number."""
    known = {number.name: number for number in numbers()}
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean '{close[0]}'?" if close else "; docs/profiles.md lists them"
        raise UsageError(f"a profile has no '{name}'{hint}")
    if architecture not in known[name].architectures:
        there = " or ".join(known[name].architectures)
        raise UsageError(f"'{name}' is of {there}, and this profile is of {architecture}")


def check_value(name: str, value: Any) -> None:
    """UsageError, unless it is a whole number in range."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        unit = "" if getattr(Profile, name).geometry else " of nanoseconds"
        raise UsageError(
            f"'{name}' must be a whole number{unit} from 1 to {LARGEST:,}, not {value!r}"
        )


def checked(profile: Profile) -> Profile:
    """The profile itself; UsageError if its numbers contradict each other."""
    value = profile.values()
    for near in ("ipi_deliver", "ack", "line_transfer"):
        far = f"{near}_remote"
        if value[near] > value[far]:
            raise UsageError(
                f"'{near}' ({value[near]}) is more than '{far}' ({value[far]}): another socket "
                "is never nearer"
            )
    for whole, part in (("cpus", "sockets"), ("tlb_entries", "tlb_ways")):
        if value[whole] % value[part]:
            raise UsageError(
                f"'{whole}' ({value[whole]}) is not a multiple of '{part}' ({value[part]})"
            )
    return profile
