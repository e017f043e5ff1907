"""Run ``workloads.c`` and count the flushes and interrupts that the running kernel makes for it.

The program says when it works (see its first comment), so all numbers here are of the work alone.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernel import tracing
from kernel.tracing import LOCAL_MM, SEND, Events

SOURCE = Path(__file__).with_name("workloads.c")
KILOBYTES = 1 << 12  # of trace buffer for each CPU: some 100,000 events
NAME = "workloads"


@dataclass(frozen=True)
class Work:
    """A mode and a setting of ``workloads.c``, with how often each worker does it, on how many
    pages. ``file``: how many pages the file has (pageout, filereclaim); ``memory``: the limit on
    the program's memory, in megabytes (filereclaim)."""

    mode: str
    setting: str
    iterations: int
    pages: int = 1
    file: int = 0
    memory: int = 0

    @property
    def workers(self) -> int:
        """How many threads do the work."""
        return 2 if self.setting == "both" else 1

    @property
    def steps(self) -> int:
        """The iterations of all workers together."""
        return self.iterations * self.workers

    def __str__(self) -> str:
        return f"{self.mode} {self.setting} {self.iterations}x{self.pages}p"


@dataclass(frozen=True)
class Measured:
    """The counts of one run, over all of its bursts and nothing else.

    ``faults``: page faults without I/O. ``rows``: flush interrupts handled, for each CPU (the TLB
    row of /proc/interrupts). ``events``: what tracefs recorded at the same time. ``own``: the part
    of it that the program did itself; the rest is others', if it slept. ``stolen``: ticks of 10 ms
    that the hypervisor took from all CPUs while the program ran; to a CPU that is stopped it sends
    no interrupt.
    """

    work: Work
    faults: int
    rows: tuple[int, ...]
    events: Events
    own: Events
    stolen: int

    @property
    def ipis(self) -> int:
        """Flush interrupts on all CPUs."""
        return sum(self.rows)

    @property
    def sends(self) -> int:
        """Calls of flush_tlb_multi(): flushes with some other CPU in their mask."""
        return self.own.reason(SEND)

    @property
    def flushes(self) -> int:
        """Calls of flush_tlb_mm_range() for a program with one thread: each flushes this CPU."""
        return self.own.reason(LOCAL_MM)

    @property
    def send_pages(self) -> Counter[int]:
        """How many of these had which number of pages; ``tracing.FULL`` for a full flush."""
        counts = self.own.flushes.items()
        return Counter({pages: count for (why, pages), count in counts if why == SEND})

    def whole(self) -> str | None:
        """What is wrong with the recording: the identities that hold in every run without losses.
        One that fails says that this is no measurement; None if all hold."""
        events = self.events
        if events.lost:
            return f"{events.lost} events lost"
        if not events.queued == events.handled == self.ipis:
            return f"queued {events.queued}, handled {events.handled}, TLB row {self.ipis}"
        if events.reason(SEND) != events.local:
            return f"sent {events.reason(SEND)}, handled by the sender {events.local}"
        return None


def why_not() -> str | None:
    """Why nothing can be measured here; None if it can."""
    if platform.machine() != "x86_64":
        return "the counts are those of x86"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two CPUs"
    if compiler() is None:
        return "needs a C compiler"
    if "TLB:" not in Path("/proc/interrupts").read_text():
        return "/proc/interrupts has no TLB row"
    return tracing.why_not() or unable()


def unable() -> str | None:
    """Whether root may not do here what root may elsewhere."""
    try:
        old = os.sched_getscheduler(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, old, os.sched_param(0))
    except OSError as error:
        return f"no real-time priority: {error}"
    return None


def compiler() -> str | None:
    """A C compiler of this machine."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@cache
def program() -> Path:
    """The compiled workloads, made once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="shootdown-kernel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = folder / NAME
    cc = compiler()
    assert cc is not None
    subprocess.run([cc, "-O2", "-pthread", "-o", built, SOURCE], check=True)
    return built


def command(work: Work, control: str, file: str = "-") -> list[str]:
    """How to run it on the first two CPUs that we may use."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    numbers = [work.iterations, work.pages, first, second]
    return [str(program()), work.mode, work.setting, *map(str, numbers), control, file]


def measure(work: Work, *, kilobytes: int = KILOBYTES, timeout: float = 60) -> Measured:
    """Run it once. Raises CalledProcessError with what the program says if it fails."""
    with (
        alone(),
        tracing.instance(kilobytes) as place,
        surroundings(work) as (file, before),
    ):
        stolen = steal()
        done = subprocess.run(
            [*before, *command(work, str(place / "tracing_on"), file)],
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout,
        )
        events = tracing.read(place)
        own = tracing.read(place, NAME)
        stolen = steal() - stolen
    _, faults, rows = done.stdout.splitlines()
    return Measured(work, int(faults), tuple(map(int, rows.split())), events, own, stolen)


def overhead(setting: str) -> Events:
    """What the program does outside its bursts: all its flushes if it has no work at all."""
    with alone(), tracing.instance(KILOBYTES) as place:
        (place / "tracing_on").write_text("1")
        subprocess.run(
            command(Work("dontneed", setting, 0), "-"), capture_output=True, check=True, timeout=60
        )
        (place / "tracing_on").write_text("0")
        return tracing.read(place, NAME)


@contextmanager
def alone() -> Iterator[None]:
    """Only one at a time on this machine: two that hold CPUs would wait for each other."""
    with (Path(tempfile.gettempdir()) / "shootdown-kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def steal() -> int:
    """Ticks that the hypervisor took from our CPUs since the start of the machine."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])


@contextmanager
def surroundings(work: Work) -> Iterator[tuple[str, list[str]]]:
    """The file that a mode maps ("-" for none), and words that go before the command."""
    if not work.file:
        yield "-", []
        return
    # Not in a folder that may be memory: its pages could not be dropped.
    with tempfile.NamedTemporaryFile(dir=SOURCE.parent, prefix=".file-") as file:
        file.write(bytes(work.file * 4096))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if not work.memory:
            yield file.name, []
            return
        with memory_group(work.memory) as procs:
            yield file.name, ["sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh"]


def memory_controller() -> tuple[Path, str] | None:
    """Where a group with a limit on its memory can be made, and the name of the limit."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(place), "memory.limit_in_bytes"
        if kind == "cgroup2":
            control = Path(place) / "cgroup.subtree_control"
            if control.exists() and "memory" in control.read_text().split():
                return Path(place), "memory.max"
    return None


@contextmanager
def memory_group(megabytes: int) -> Iterator[Path]:
    """A memory cgroup with this limit: the file by which a process joins it."""
    found = memory_controller()
    assert found is not None
    root, limit = found
    group = root / f"shootdown-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(megabytes << 20))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()
