"""What the running kernel says of its TLB flushes: a private tracefs instance and its records.

Event meanings: ``include/trace/events/tlb.h`` and ``include/trace/events/csd.h``; the reasons are
``enum tlb_flush_reason`` of ``include/linux/mm_types.h``.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SWITCH, REMOTE, LOCAL, LOCAL_MM, SEND, WRONG_CPU = range(6)
REASONS = {
    SWITCH: "switch",
    REMOTE: "remote",
    LOCAL: "local, no mm",
    LOCAL_MM: "local",
    SEND: "send",
    WRONG_CPU: "wrong CPU",
}
FULL = -1  # in place of a number of pages
EVENTS = ("tlb/tlb_flush", "csd/csd_queue_cpu", "csd/csd_function_entry")


@dataclass(frozen=True)
class Events:
    """What was recorded. ``flushes`` counts (reason, pages) of ``tlb_flush``; pages is FULL for a
    full flush. ``queued`` flush requests for other CPUs, ``handled`` there; ``local`` ones that
    flush_tlb_multi() ran on the CPU that sent. ``lost`` events that the buffer had no room for."""

    flushes: Counter[tuple[int, int]]
    queued: int
    handled: int
    local: int
    lost: int

    def reason(self, reason: int) -> int:
        """How many flushes there were for this reason."""
        return sum(count for (why, _), count in self.flushes.items() if why == reason)


def why_not() -> str | None:
    """Why this machine cannot record flushes; None if it can."""
    if os.geteuid() != 0:
        return "needs root, for tracefs and real-time priority"
    try:
        with tracefs() as root:
            for event in EVENTS:
                if not (root / "events" / event).is_dir():
                    return f"this kernel has no event {event}"
    except OSError as error:
        return f"tracefs cannot be used: {error}"
    return None


@contextmanager
def tracefs() -> Iterator[Path]:
    """Where tracefs is mounted; for as long as needed, if it is not."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "tracefs":
            yield Path(place)
            return
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            ["mount", "-t", "tracefs", "none", place], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr.strip() or "mount failed")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


@contextmanager
def instance(kilobytes: int, triggers: tuple[tuple[str, str], ...] = ()) -> Iterator[Path]:
    """A private instance that is not recording yet, with room for ``kilobytes`` on each CPU. It is
    removed at the end, so nothing of the machine's own tracing is changed."""
    with tracefs() as root:
        place = root / "instances" / f"shootdown-{os.getpid()}"
        place.mkdir()
        try:
            (place / "tracing_on").write_text("0")
            (place / "buffer_size_kb").write_text(str(kilobytes))
            (place / "options" / "hash-ptr").write_text("0")
            (place / "events/csd/filter").write_text("func.function == flush_tlb_func")
            for event, trigger in triggers:
                (place / "events" / event / "trigger").write_text(trigger)
            for event in EVENTS:
                (place / "events" / event / "enable").write_text("1")
            yield place
        finally:
            (place / "tracing_on").write_text("0")
            (place / "events/enable").write_text("0")
            place.rmdir()


FLUSH = re.compile(r" tlb_flush: pages:(-?\d+) .*\((\d)\)$")
ENTRY = re.compile(r" csd_function_entry: .* csd=(\S+)$")
NOBODY = re.compile(r"^(0x)?0+$|^\(null\)$")


def read(place: Path, program: str = "") -> Events:
    """What an instance recorded; only what programs of that name did, if one is given (and those
    whose name the kernel has not kept: most of them are ours)."""
    flushes: Counter[tuple[int, int]] = Counter()
    queued = handled = local = 0
    with (place / "trace").open() as lines:
        for line in lines:
            if program and not line.lstrip().startswith((program, "<...>")):
                continue
            if found := FLUSH.search(line):
                flushes[int(found[2]), int(found[1])] += 1
            elif " csd_queue_cpu: " in line:
                queued += 1
            elif found := ENTRY.search(line):
                if NOBODY.match(found[1]):
                    local += 1
                else:
                    handled += 1
    return Events(flushes, queued, handled, local, lost(place))


def lost(place: Path) -> int:
    """How many events were not kept."""
    total = 0
    for stats in (place / "per_cpu").glob("cpu*/stats"):
        for line in stats.read_text().splitlines():
            name, _, number = line.partition(":")
            if name in {"overrun", "dropped events", "commit overrun"}:
                total += int(number)
    return total
