"""This machine, as calibrate needs it: its CPUs, real-time priority, counters of the kernel.

Functions that take text are pure; the others read /proc and /sys or change the calling thread.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shootdown.cost.calibrate_native import Native
from shootdown.errors import UsageError

POPULATE_READ = 22  # MADV_POPULATE_READ
PRIORITY = 5  # of SCHED_FIFO: above everything ordinary, below the kernel's own threads


@dataclass(frozen=True, slots=True)
class Place:
    """Where a CPU is."""

    socket: int
    core: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The CPUs that are measured; ``far`` is in another socket, where there is one."""

    initiator: int
    target: int
    far: int | None = None


def choose(places: Mapping[int, Place]) -> Pair:
    """Two CPUs of one socket, on different cores if possible, and one of another socket.

    The last ones: CPU 0 has more to do than others. UsageError if there is only one CPU.
    """
    if len(places) < 2:
        raise UsageError(
            "calibrate needs two CPUs, and this process may use only one; without a second CPU "
            "nothing is ever shot down"
        )
    initiator = max(places)
    here = places[initiator]
    others = [cpu for cpu in sorted(places, reverse=True) if cpu != initiator]

    def distance(cpu: int) -> int:
        place = places[cpu]
        return 2 if place.socket != here.socket else 1 if place.core == here.core else 0

    far = next((cpu for cpu in others if places[cpu].socket != here.socket), None)
    return Pair(initiator, min(others, key=distance), far)


def places() -> dict[int, Place]:
    """The CPUs that this process may use."""
    return {cpu: Place(*_topology(cpu)) for cpu in sorted(os.sched_getaffinity(0))}


def _topology(cpu: int) -> tuple[int, int]:
    numbers = []
    for name, otherwise in (("physical_package_id", 0), ("core_id", cpu)):
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/{name}", encoding="ascii") as f:
                numbers.append(int(f.read()))
        except (OSError, ValueError):
            numbers.append(otherwise)
    return numbers[0], numbers[1]


class RealTime:
    """A context in which the calling thread has one CPU, and that for itself.

    The kernel gives real-time threads 0.95 s of each second; nobody stays here that long.
    """

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu

    def __enter__(self) -> None:
        self.before = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setaffinity(0, {self.cpu})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except BaseException:
            os.sched_setaffinity(0, self.before[0])
            raise

    def __exit__(self, *_: object) -> None:
        affinity, policy, param = self.before
        os.sched_setscheduler(0, policy, param)
        os.sched_setaffinity(0, affinity)


def check_machine() -> None:
    """UsageError, unless calibrate can measure here."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise UsageError(
            f"calibrate measures Linux on x86-64, and this is {platform.system()} on "
            f"{platform.machine()}; write a profile by hand (docs/profiles.md)"
        )
    flags = read("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split()
    if "constant_tsc" not in flags or "nonstop_tsc" not in flags:
        raise UsageError(
            "calibrate needs a time stamp counter that never stops nor changes its speed, and "
            "/proc/cpuinfo shows no constant_tsc and nonstop_tsc"
        )
    if not populates():
        raise UsageError(
            "calibrate needs madvise(MADV_POPULATE_READ), which Linux has since 5.14, and here it "
            "fails; use a newer kernel, or write a profile by hand (docs/profiles.md)"
        )
    choose(places())
    try:
        with RealTime(max(os.sched_getaffinity(0))):
            pass
    except PermissionError:
        raise UsageError(
            "calibrate needs real-time priority (SCHED_FIFO), which this process may not have: "
            "run it as root, or with CAP_SYS_NICE, or with a limit of 5 or more in `ulimit -r`; "
            "without it the scheduler is what would be measured"
        ) from None
    for row in ("TLB", "CAL", "RES"):
        interrupts(read("/proc/interrupts"), row, max(os.sched_getaffinity(0)))


def populates() -> bool:
    """Whether the kernel can map pages without a page fault for each."""
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        try:
            page.madvise(POPULATE_READ)
        except OSError:
            return False
    return True


def read(path: str) -> str:
    """The text of a file of /proc; UsageError if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"calibrate cannot read {path}: {error.strerror}") from None


def interrupts(text: str, row: str, cpu: int) -> int:
    """A number of /proc/interrupts; UsageError if it is not there."""
    head, *rows = text.splitlines() or [""]
    columns = head.split()
    for line in rows:
        name, _, rest = line.partition(":")
        if name.strip() == row and f"CPU{cpu}" in columns:
            cells = rest.split()
            at = columns.index(f"CPU{cpu}")
            if at < len(cells) and cells[at].isdigit():
                return int(cells[at])
    raise UsageError(
        f"calibrate checks itself by the row {row} of /proc/interrupts, and CPU {cpu} has none "
        "there; this kernel cannot be calibrated"
    )


def cpu_times(text: str) -> list[int]:
    """The numbers of the first line of /proc/stat: user, nice, system, idle, ..., steal, ..."""
    first = text.split("\n", 1)[0].split()
    return [int(word) for word in first[1:]]


def ticks_per_ns(native: Native) -> float:
    """How fast the time stamp counter is."""
    rates = []
    space = (ctypes.c_int64 * 2)()
    nothing = native.address["nothing"]
    for _ in range(5):
        begin = _now(native, space, nothing)
        time.sleep(0.005)
        end = _now(native, space, nothing)
        rates.append((end[0] - begin[0]) / (end[1] - begin[1]))
    return sorted(rates)[2]


def _now(native: Native, space: ctypes.Array[ctypes.c_int64], nothing: int) -> tuple[int, float]:
    """Ticks and ns of one moment: the closest of some pairs."""
    pairs = []
    for _ in range(9):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        native.drive(ctypes.addressof(space), 1, 0, nothing, 0, 0, 0, nothing, 0, 0, 0)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        pairs.append((after - before, space[0], (before + after) / 2))
    _, ticks, ns = min(pairs)
    return ticks, ns


# Of CPUID 80000006H: the code of the associativity (AMD64 Architecture Programmer's Manual, vol. 3)
_WAYS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 16, 10: 32, 11: 48, 12: 64, 13: 96, 14: 128}


def tlb_of_amd(ebx: int) -> tuple[int, int] | None:
    """Entries and ways of the second-level data TLB for 4 KiB pages: CPUID 80000006H, EBX."""
    entries, ways = ebx >> 16 & 0xFFF, _WAYS.get(ebx >> 28)
    return (entries, ways) if entries and ways and entries % ways == 0 else None


def tlb_of_intel(parts: Sequence[tuple[int, int, int, int]]) -> tuple[int, int] | None:
    """The same from the parts of CPUID 18H: the largest data or unified TLB for 4 KiB pages."""
    found = [
        (ecx * (ebx >> 16 & 0xFFFF), ebx >> 16 & 0xFFFF)
        for _, ebx, ecx, edx in parts
        if edx & 0x1F in (1, 3) and ebx & 1  # data or unified; 4 KiB
    ]
    return max(found, default=None)


def tlb(native: Native) -> tuple[int, int] | None:
    """Entries and ways of the last TLB level, as CPUID tells; None if it does not."""
    out = (ctypes.c_uint32 * 4)()

    def ask(leaf: int, part: int = 0) -> tuple[int, int, int, int]:
        native.cpuid(leaf, part, ctypes.addressof(out))
        return out[0], out[1], out[2], out[3]

    if ask(0x80000000)[0] >= 0x80000006 and (known := tlb_of_amd(ask(0x80000006)[1])):
        return known
    if ask(0)[0] >= 0x18:
        parts = [ask(0x18, part) for part in range(min(ask(0x18)[0], 31) + 1)]
        return tlb_of_intel(parts)
    return None


def describe() -> str:
    """Processor and kernel in a few words."""
    model = read("/proc/cpuinfo").partition("model name")[2].partition("\n")[0].strip(" \t:")
    guest = " virtual" if "hypervisor" in read("/proc/cpuinfo") else ""
    count = len(os.sched_getaffinity(0))
    version = re.match(r"[\d.]*\d", platform.release())
    return f"{model or 'x86-64'}, {count}{guest} CPUs, Linux {version[0] if version else '?'}"
