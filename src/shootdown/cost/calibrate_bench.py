"""What calibrate measures: one burst of some milliseconds of each kind, again and again.

The rules: both threads are pinned, and at SCHED_FIFO for the burst only; a burst counts only if the
target took its interrupts (/proc/interrupts); what a shootdown adds is the difference between a
burst with a second thread that runs and one without.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import random
import signal
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from shootdown.cost.calibrate_machine import POPULATE_READ, Pair, RealTime, interrupts, read
from shootdown.cost.calibrate_native import PAGE, Native
from shootdown.cost.calibrate_statistics import HANDLED, Series, Span, burst, meet

# Pages of a flush: below and above the ceiling of Linux, which is 33.
FEW, MANY = (2, 8, 16, 24, 32), (34, 64, 96, 128)
SHOT = (1, 2, 8, 32, 33, 34, 128)  # pages of a shootdown
REPEAT = 256  # of what takes a few ns
SIZES = (16, 128)  # pages, where the difference of two sizes counts
WALKED = 8192  # pages: more than a TLB has entries, where that is not known
LARGEST = 512  # pages of a region
SAMPLES = 10_000

GETPID, YIELD, TGKILL, MEMBARRIER, MADVISE = 39, 24, 234, 324, 28
DONTNEED, POPULATE_WRITE = 4, 23
EXPEDITED, REGISTER = 8, 16  # MEMBARRIER_CMD_PRIVATE_EXPEDITED, and its registration
SIGNAL = signal.SIGRTMIN + 3
QUEUED = 500  # signals that wait at a time
HANDED = 500  # times that a line goes to and fro
AGAIN = 7  # such runs in a burst
HOLD = 500.0  # ns that a lock is kept
GAP = 150.0  # ns that the spinning thread must lose for an interruption


Before = tuple[str] | tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int]


class Bench:
    """The measurements of one machine; ``series`` has what came of them, in ns."""

    def __init__(
        self, native: Native, pair: Pair, rate: float, milliseconds: float, tlb: int | None
    ) -> None:
        self.native = native
        self.pair = pair
        self.rate = rate  # ticks per ns
        self.limit = round(milliseconds * 1e6 * rate)
        self.series: dict[str, Series] = defaultdict(Series)
        self.medians: dict[str, float] = {}  # of this round
        self.driven = 0  # how often the last action ran
        self.nothing = 0.0
        self._out = (ctypes.c_int64 * (2 * SAMPLES))()
        self._words = (ctypes.c_int64 * 256)()
        self._line = (ctypes.addressof(self._words) + 255) & ~255
        self._blocks: dict[tuple[int, ...], ctypes.Array[ctypes.c_int64]] = {}
        self._regions: list[mmap.mmap] = []
        self._anonymous = self._map(LARGEST)
        self._file = self._map(LARGEST, file=True)
        self._source = self._map(64)
        # not many more pages: where they are scattered, their tables must fit into the cache, too
        self._walked = WALKED if tlb is None else 1 << (tlb * 4 // 3 - 1).bit_length()
        self._near, self._far = self._chains(self._walked)
        self._call(MEMBARRIER, REGISTER)

    def round(self) -> Iterator[str]:
        """One burst of each kind; yields the name of each before it is measured."""
        steps: list[tuple[str, Callable[[], None]]] = [
            ("the clock", self._clock),
            ("instructions", self._instructions),
            ("page tables", self._walks),
            ("pages", self._pages),
            ("unmapping", self._unmapping),
            ("flushes", self._flushes),
            ("shootdowns", self._shootdowns),
            ("interrupts", lambda: self._interrupts("", self.pair.target)),
            ("signals", self._signals),
            ("cache lines", lambda: self._lines("", self.pair.target)),
            ("switches", self._switches),
        ]
        if self.pair.far is not None:
            far = self.pair.far
            steps.append(("the other socket", lambda: self._interrupts("far.", far)))
            steps.append(("the other socket's lines", lambda: self._lines("far.", far)))
        self.medians = {}
        for name, step in steps:
            yield name
            step()

    # ---------------------------------------------------------------- alone

    def _clock(self) -> None:
        self.nothing = 0.0
        self.nothing = self._add("nothing", self._drive("nothing"))

    def _instructions(self) -> None:
        line = self._line
        getpid = self._block(GETPID)
        self._add("getpid", self._drive("call", getpid))
        self._words[(line - ctypes.addressof(self._words)) // 8] = line
        self._add("load", self._drive("chase", line, REPEAT), REPEAT)
        for action in ("stores", "atomics", "fences"):
            self._add(action, self._drive(action, line, REPEAT), REPEAT)
        # 64 pages stay in the second-level cache, as pages do that were freed just now
        at = self._source
        self._add("clear", self._drive("clear", at, 32 * PAGE), 32)
        self._add("copy", self._drive("copy", at, 32 * PAGE, at + 32 * PAGE), 32)

    def _walks(self) -> None:
        for name, chain in (("walk.near", self._near), ("walk.far", self._far)):
            self._add(name, self._drive("chase", chain, self._walked), self._walked)

    def _pages(self) -> None:
        for pages in SIZES:
            length = pages * PAGE
            drop = ("call", self._madvise(self._anonymous, pages, DONTNEED))
            touched = self._drive("write_pages", self._anonymous, length, PAGE, drop)
            self._add(f"touch.{pages}", touched)
            for name, advice in (("write", POPULATE_WRITE), ("read", POPULATE_READ)):
                populate = self._madvise(self._anonymous, pages, advice)
                self._add(f"populate.{name}.{pages}", self._drive("call", populate, 0, 0, drop))

    def _unmapping(self) -> None:
        kinds = (
            ("zero", self._anonymous, POPULATE_READ),
            ("file", self._file, POPULATE_READ),
            ("anon", self._anonymous, POPULATE_WRITE),
        )
        for name, region, advice in kinds:
            for pages in (64, 256):
                fill = ("call", self._madvise(region, pages, advice))
                drop = self._madvise(region, pages, DONTNEED)
                self._add(f"unmap.{name}.{pages}", self._drive("call", drop, 0, 0, fill))

    def _flushes(self) -> None:
        """The first and the last page of a range are mapped, so all but the flush is alike."""
        at = self._anonymous
        for pages in (*FEW, *MANY):
            last = (pages - 1) * PAGE
            drop = self._madvise(at, pages, DONTNEED)
            fill = ("read_pages", at, last + 1, last)
            self._add(f"flush.{pages}", self._drive("call", drop, 0, 0, fill))

    # ---------------------------------------------------------------- two threads

    def _shootdowns(self) -> None:
        for pages in SHOT:
            fill = ("write_pages", self._anonymous, pages * PAGE, PAGE)
            drop = self._madvise(self._anonymous, pages, DONTNEED)
            self._add(f"alone.{pages}", self._drive("call", drop, 0, 0, fill))
            with self._spinner(self.pair.target) as spinner:
                drive = partial(self._drive, "call", drop, 0, 0, fill, real_time=False)
                samples = spinner.count("TLB", drive)
            self._both(f"shared.{pages}", f"gap.{pages}", samples, spinner)

    def _interrupts(self, prefix: str, target: int) -> None:
        barrier = self._block(MEMBARRIER, EXPEDITED)
        with self._spinner(target) as spinner:
            samples = spinner.count("CAL", lambda: self._drive("call", barrier, real_time=False))
        self._both(f"{prefix}membarrier", f"{prefix}gap.membarrier", samples, spinner)
        met = meet(samples, spinner.gaps)
        delays = [gap[0] - sample[0] for sample, gap in met]
        counts = spinner.good(len(samples), len(met))
        self._keep_burst(f"{prefix}delay", delays, counts=counts)
        acked = [sample[1] - gap[0] for sample, gap in met]
        self._keep_burst(f"{prefix}acked", acked, counts=counts)

    def _both(self, name: str, gap: str, samples: Sequence[Span], spinner: _Spinner) -> None:
        met = meet(samples, spinner.gaps)
        counts = spinner.good(len(samples), len(met))
        self._keep_burst(name, [end - begin for begin, end in samples], counts=counts)
        self._keep_burst(gap, [end - begin for _, (begin, end) in met], counts=counts)

    def _signals(self) -> None:
        """Sending a signal that interrupts the other thread, and one that waits."""
        before = signal.signal(SIGNAL, lambda *_: None)
        try:
            for name, block in (("signal.blocked", True), ("signal.sent", False)):
                with self._spinner(self.pair.target, block=block) as spinner:
                    kill = self._block(TGKILL, os.getpid(), spinner.thread_id, SIGNAL)
                    pause = ("wait", 0, round(10_000 * self.rate))  # until it was handled
                    drive = partial(
                        self._drive, "call", kill, 0, 0, pause, most=QUEUED, real_time=False
                    )
                    samples = spinner.count("RES", drive)
                good = block or spinner.good(len(samples), len(samples))
                self._keep_burst(name, [end - begin for begin, end in samples], counts=good)
        finally:
            signal.signal(SIGNAL, before)

    def _lines(self, prefix: str, target: int) -> None:
        hold = round(HOLD * self.rate)
        self._add(f"{prefix}hold", self._drive("wait", 0, hold))
        for name, function, mine, other in (
            ("bounce", self.native.bounce, (0,), (1,)),
            ("ticket", self.native.ticket, (hold,), (hold,)),
        ):
            times = [self._together(function, mine, other, target) for _ in range(AGAIN)]
            took = [ticks / (2 * HANDED) for ticks in times if ticks]
            self._keep_burst(f"{prefix}{name}", took, subtract=False)

    def _together(
        self,
        function: Callable[..., int],
        mine: tuple[int, ...],
        other: tuple[int, ...],
        target: int,
    ) -> int:
        """Run a loop on two CPUs at once; the ticks that it took here, or 0."""
        ctypes.memset(self._line, 0, 512)
        ready = threading.Event()

        def run() -> None:
            with RealTime(target):
                ready.set()
                function(self._line, *other, HANDED, self.limit)

        thread = threading.Thread(target=run)
        with RealTime(self.pair.initiator):
            thread.start()
            ready.wait()
            took = function(self._line, *mine, HANDED, self.limit)
            thread.join()
        return took

    def _switches(self) -> None:
        """Two threads, then two processes, that yield to each other on one CPU."""
        yields = self._block(YIELD)
        with RealTime(self.pair.initiator):
            # real-time from the start: an ordinary thread would never run beside a real-time one
            ready = threading.Event()

            def other() -> None:
                ready.set()
                self._drive("call", yields, out=(ctypes.c_int64 * (2 * SAMPLES))(), longer=3)

            thread = threading.Thread(target=other)
            thread.start()
            ready.wait()
            samples = self._drive("call", yields, real_time=False)
            thread.join()
        self._add("yield.threads", samples)
        with RealTime(self.pair.initiator):
            child = self._fork(yields)
            samples = self._drive("call", yields, real_time=False)
            os.waitpid(child, 0)
        self._add("yield.processes", samples)

    def _fork(self, yields: int) -> int:
        with warnings.catch_warnings():
            # the child runs native code and ends: what other threads hold is of no use to it
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                self._drive("call", yields, real_time=False, longer=3)
            finally:
                os._exit(0)
        return child

    # ---------------------------------------------------------------- how

    def _spinner(self, cpu: int, *, block: bool = False) -> _Spinner:
        home = self.pair.initiator
        gap = round(GAP * self.rate)
        return _Spinner(self, (home, cpu), self.limit * 4, gap, block=block)

    def _drive(  # noqa: PLR0913 - as the native loop
        self,
        action: str,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        before: Before = ("nothing",),
        *,
        most: int = SAMPLES,
        real_time: bool = True,
        out: ctypes.Array[ctypes.c_int64] | None = None,
        longer: int = 1,
    ) -> list[Span]:
        """Begin and end of each time that an action ran, in ticks."""
        out = self._out if out is None else out
        first, *rest = before
        words = [*rest, 0, 0, 0][:3]
        with RealTime(self.pair.initiator) if real_time else contextlib.nullcontext():
            count = self.native.drive(
                ctypes.addressof(out),
                most,
                self.limit * longer,
                self.native.address[str(first)],
                *words,
                self.native.address[action],
                a,
                b,
                c,
            )
        self.driven = count
        if real_time:
            time.sleep(0.0005)  # others may run
        flat = out[: 2 * count]
        # the first ones find cold caches
        return list(zip(flat[0::2], flat[1::2], strict=True))[min(count // 10, 20) :]

    def _add(self, name: str, samples: Sequence[Span], repeat: int = 1) -> float:
        return self._keep_burst(name, [(end - begin) for begin, end in samples], repeat)

    def _keep_burst(
        self,
        name: str,
        ticks: Sequence[float],
        repeat: int = 1,
        *,
        counts: bool = True,
        subtract: bool = True,
    ) -> float:
        """Add a burst to a series; its median, in ns."""
        series = self.series[name]
        if not counts or not ticks:
            series.refused += 1
            return 0.0
        less = self.nothing if subtract else 0.0
        kept = burst([(t / self.rate - less) / repeat for t in ticks])
        series.bursts.append(kept)
        self.medians[name] = kept.median
        return kept.median

    def _map(self, pages: int, *, file: bool = False) -> int:
        size = pages * PAGE
        if file:
            handle = os.memfd_create("calibrate")
            os.ftruncate(handle, size)
            region = mmap.mmap(handle, size)
            os.close(handle)
            region.write(b"x" * size)
        else:
            region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            region.madvise(mmap.MADV_NOHUGEPAGE)
        self._regions.append(region)
        return ctypes.addressof(ctypes.c_char.from_buffer(region))

    def _chains(self, number: int) -> tuple[int, int]:
        """Two cycles of as many lines, in random order: in few pages, and each in its own page."""
        chance = random.Random(1)
        near, far = self._map(number * 64 // PAGE), self._map(number)
        lines = [near + 64 * i for i in range(number)]
        # one line of each page, all sets of the cache in turn
        spread = [far + PAGE * i + i * 7 % 64 * 64 for i in range(number)]
        for chain in (lines, spread):
            chance.shuffle(chain)
            for at, after in zip(chain, [*chain[1:], chain[0]], strict=True):
                ctypes.c_int64.from_address(at).value = after
        return lines[0], spread[0]

    def _madvise(self, region: int, pages: int, advice: int) -> int:
        return self._block(MADVISE, region, pages * PAGE, advice)

    def _block(self, *words: int) -> int:
        """The arguments of a system call, in memory."""
        block = self._blocks.setdefault(words, (ctypes.c_int64 * 4)(*words))
        return ctypes.addressof(block)

    def _call(self, *words: int) -> None:
        self.native.drive(
            ctypes.addressof(self._out),
            1,
            0,
            self.native.address["nothing"],
            0,
            0,
            0,
            self.native.address["call"],
            self._block(*words),
            0,
            0,
        )


class _Spinner:
    """A thread that runs on another CPU and notes when it was interrupted.

    The calling thread is at real-time priority too meanwhile: it must be there when the other is.
    """

    def __init__(
        self, bench: Bench, cpus: tuple[int, int], limit: int, gap: int, *, block: bool
    ) -> None:
        self.bench = bench
        home, self.cpu = cpus
        self._home = RealTime(home)
        self.gaps: list[Span] = []
        self.share = 0.0
        self.thread_id = 0
        self._limit, self._gap, self._block = limit, gap, block
        self._flags = (ctypes.c_int64 * 32)()  # stop and started, in lines of their own
        self._out = (ctypes.c_int64 * (2 * SAMPLES))()
        self._thread = threading.Thread(target=self._spin)

    def _spin(self) -> None:
        self.thread_id = threading.get_native_id()
        how = signal.SIG_BLOCK if self._block else signal.SIG_UNBLOCK
        signal.pthread_sigmask(how, {SIGNAL})
        flags = ctypes.addressof(self._flags)
        with RealTime(self.cpu):
            count = self.bench.native.spin(
                ctypes.addressof(self._out), SAMPLES, self._limit, flags, flags + 128, self._gap
            )
        flat = self._out[: 2 * count]
        self.gaps = list(zip(flat[0::2], flat[1::2], strict=True))

    def __enter__(self) -> _Spinner:
        self._home.__enter__()
        self._thread.start()
        while not self._flags[16]:
            time.sleep(0.0001)
        return self

    def __exit__(self, *_: object) -> None:
        self._flags[0] = 1
        self._thread.join()
        self._home.__exit__()
        time.sleep(0.0005)  # others may run

    def count(self, row: str, drive: Callable[[], list[Span]]) -> list[Span]:
        """Drive something, and see how many interrupts the spinning CPU took for it."""
        before = interrupts(read("/proc/interrupts"), row, self.cpu)
        samples = drive()
        taken = interrupts(read("/proc/interrupts"), row, self.cpu) - before
        self.share = taken / self.bench.driven
        return samples

    def good(self, sent: int, met: int) -> bool:
        """Whether the burst counts: the interrupts were taken, and seen by the thread."""
        return self.share >= HANDLED and met >= HANDLED * sent
