"""Runs a plan: compiles its threads, lays out memory, runs the event loop, collects what happened.

The same input gives the same result to the byte: times are integers, chance comes from one seed,
and threads that are ready at the same time go in the order of their numbers.
"""

from __future__ import annotations

import copy
import ctypes
import mmap
import re
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shootdown.cost import runtime
from shootdown.cost.emit import Emitter, guarded_regions
from shootdown.cost.layout import Layout
from shootdown.cost.plans import check_plan
from shootdown.cost.profile import Profile, check_name
from shootdown.cost.sections import located
from shootdown.cost.spans import SPANS, wide_declarations
from shootdown.cost.stuck import deadlock, stuck
from shootdown.cost.workload import Plan
from shootdown.errors import ModelError
from shootdown.lang.builder import Unit
from shootdown.lang.cfg import Graph
from shootdown.lang.ir import Location
from shootdown.lang.kinds import Kind, SetKind
from shootdown.lang.large import (
    NUMBER,
    Large,
    LargeKinds,
    LargeSpace,
    Numbered,
    Parameter,
    Span,
)
from shootdown.lang.scenario import Setup, Thread, options_of
from shootdown.lang.setups import static
from shootdown.lang.source import source_of
from shootdown.lang.types import Object
from shootdown.lang.values import Value
from shootdown.native import jit, subset
from shootdown.native.room import available

CHUNK = 4_000_000
"""Steps between two looks at the clock and at Ctrl-C."""
QUICK_CHUNK = 200_000
"""The same in code that was compiled fast."""
LEAST_PATIENCE = 0.3
"""Seconds that a run goes on with code that was compiled fast, at least."""
TAGS = 64
MOST_THREADS = 1 << 16


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    steps: int
    simulated_ns: int
    seconds: float
    left: int  # main threads that have not finished


@dataclass(frozen=True)
class Priced:
    """What a run has counted and timed.

    ``counts`` are exact consequences of the protocol and the schedule: events by name.
    ``calls`` are calls of the kernel's functions by their text. ``times`` (ns, by function, sums
    over all CPUs, callees and waiting included), ``stalls`` (ns, by what is waited for),
    ``interrupted_ns`` (by CPU) and ``ns`` (from the beginning to the end of the last thread) are
    estimates. ``finished`` is false where a run was interrupted: then all of it is up to there.
    """

    counts: Mapping[str, int]
    calls: Mapping[str, int]
    times: Mapping[str, int]
    stalls: Mapping[str, int]
    interrupted_ns: tuple[int, ...]
    ns: int
    steps: int
    seconds: float
    finished: bool
    work: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Code:
    """One kind of thread."""

    key: Any
    name: str
    parameters: list[Parameter]
    graph: Graph
    at: Location


class _SlowError(Exception):
    """A run takes so long that good code pays."""


class Run:
    """One run of a plan with the prices of a machine; with ``later`` it is compiled, but takes no
    memory before :meth:`prepare`."""

    def __init__(self, plan: Plan, profile: Profile, seed: int = 1,
                 options: Mapping[str, Any] | None = None,
                 *, later: bool = False) -> None:  # fmt: skip
        self.plan = plan
        self.profile = profile
        machine = plan.machine
        check_plan(plan)
        setup = Setup(sizes=plan.sizes, threads=[],
                      options={**machine.options, **plan.options})  # fmt: skip
        self.kinds = LargeKinds(plan.sizes, machine.spans, machine.lists)
        self.space = LargeSpace(self.kinds)
        self.unit = Unit(
            kinds=self.kinds,
            space=self.space,
            options=options_of(setup, options or {}),
            observers=machine.observers,
            without=frozenset(),
        )
        self.numbered = Numbered()
        self.layout = Layout(self.kinds, self.space)
        self.codes: list[_Code] = []
        self.threads: list[tuple[_Code, list[int], int]] = []  # code, arguments, CPU
        self.cpus = self.kinds.count(machine.cpu)
        self._collect()
        self.seed = seed
        if not later:
            self.prepare()

    def prepare(self) -> None:
        """Make the code, and the memory that it works on."""
        self._link()
        self._memory(self.seed)

    # ------------------------------------------------------------------ compiling

    def _collect(self) -> None:
        plan = self.plan
        self.start: int | None = None
        if plan.start is not None:
            self.start = len(self.threads)
            self._add(plan.start)
        self.first_main = len(self.threads)
        self.daemons: list[int] = []
        for thread in plan.threads:
            if thread.daemon:
                self.daemons.append(len(self.threads))
            self._add(thread)
        self.first_handler = len(self.threads)
        if plan.machine.handler is not None:
            for cpu in range(self.cpus):
                self._add(Thread(plan.machine.handler, on=plan.machine.cpu(cpu)))
        if len(self.threads) > MOST_THREADS:
            raise ModelError(f"{len(self.threads)} threads are too many: {MOST_THREADS} at most")

    def again(self, profile: Profile, seed: int = 1) -> Run:
        """The same plan and options with other prices, without compiling it again."""
        other = copy.copy(self)
        other.profile = profile
        other.seed = seed
        other._memory(seed)
        return other

    def _add(self, thread: Thread) -> None:
        assert thread.on is not None
        source = source_of(thread.path)
        names = [a.arg for a in (*source.tree.args.posonlyargs, *source.tree.args.args)]
        given = dict(zip(names, thread.args, strict=False))
        given.update(thread.options)
        dynamic = {n: v for n, v in given.items() if _dynamic(v)}
        fixed = {n: v for n, v in given.items() if n not in dynamic}
        shape = tuple((n, type(v) if not isinstance(v, Span) else ("span", v.cls))
                      for n, v in dynamic.items())  # fmt: skip
        key = (thread.path, type(thread.on), shape, tuple(sorted(fixed.items(), key=repr)))
        code = next((c for c in self.codes if c.key == key), None)
        if code is None:
            code = self._compile(thread, key, dynamic, fixed)
            self.codes.append(code)
        values = [thread.on.index, *(_encoded(v) for v in dynamic.values())]
        self.threads.append((code, values, thread.on.index))

    def _compile(
        self, thread: Thread, key: Any, dynamic: dict[str, Any], fixed: dict[str, Any]
    ) -> _Code:
        function = thread.path
        source = source_of(function)
        assert thread.on is not None
        builder = Large(
            self.unit, function.name, type(thread.on), self.plan.machine.instead, self.numbered
        )
        arguments: dict[str, Value] = {}
        for name, value in dynamic.items():
            arguments[name] = builder.parameter(name, self._kind(value))
        for name, value in fixed.items():
            arguments[name] = static(value)
        defaults = {p.name: p.default for p in _signature(function) if p.default is not p.empty}
        for name, value in defaults.items():
            arguments.setdefault(name, static(value))
        builder.inline(function, source, arguments, source.tree, atomic=False)
        builder.jump(builder.exit)
        graph = Graph(builder.entry, builder.exit, builder.registers)
        name = f"thread{len(self.codes)}"
        return _Code(key, name, builder.parameters, graph, source.location(source.tree))

    def _kind(self, value: Any) -> Kind:
        if isinstance(value, Span):
            return SetKind(self.kinds.object(value.cls))
        if isinstance(value, Object):
            return self.kinds.object(type(value))
        return NUMBER

    def _link(self) -> None:
        self.layout.declared = self.unit.failures
        for code in self.codes:
            guarded_regions(code.graph, self.layout)
        bodies = [
            Emitter(code.name, code.graph, code.parameters, self.layout, code.at).text()
            for code in self.codes
        ]
        constants = {name: number for number, name in enumerate(runtime.CONTEXT)}
        constants.update(runtime.TIMES)
        constants.update({name.upper(): i for i, name in enumerate(runtime.PRICES)})
        constants.update({name.upper(): i for i, name in enumerate(runtime.COUNTS)})
        text = "\n".join(
            [
                _once(
                    subset.compile_functions(
                        (runtime.run,), runtime.INLINED, constants,
                        (runtime.set_ready, *runtime.HELPERS, *runtime.OPERATIONS),
                    )
                ),
                runtime.RESUME, SPANS, wide_declarations(self.layout.widths), *bodies,
            ]
        )  # fmt: skip
        self.text = text
        began = time.perf_counter()
        kept = jit.kept_coroutines(text)
        self.quick = kept is None and _simple(text)
        if self.quick:
            made, seconds = jit.quick_coroutines(text)
        else:
            made = jit.compile_coroutines(text, jit.GOOD) if kept is None else kept
            seconds = time.perf_counter() - began
        self._use(made)
        # good code takes about four times as long to make, so much may be spent without it
        self.patience = max(LEAST_PATIENCE, 4 * seconds)

    def _use(self, code: bytes) -> None:
        names = ("run", *(code.name for code in self.codes))
        self.library = jit.Library(code, names)

    # ------------------------------------------------------------------ memory

    def _memory(self, seed: int) -> None:
        threads, cpus = len(self.threads), self.cpus
        leaves = 1
        while leaves < threads:
            leaves *= 2
        frames = self.kinds.count(self.plan.machine.frame)
        sets = 1
        while sets * self.profile.tlb_ways < self.profile.tlb_entries:
            sets *= 2
        layout = self.layout
        sizes = {
            "STATE": self.space.size, "PRICES": len(layout.prices),
            "CALLS": len(self.numbered.functions), "TIMES": len(self.numbered.functions),
            "COUNTS": len(layout.counts), "STALLS": len(layout.stalls),
            "TREE": 2 * leaves, "READY": leaves, "HANDLES": threads, "CPU_OF": threads,
            "MAIN": cpus, "HANDLER": cpus, "REMAIN": threads, "STOPPED": threads,
            "QUEUES": cpus * cpus, "HEADS": cpus, "TAILS": cpus, "IRQ_OFF": cpus,
            "QUEUED": cpus, "ARRIVES": cpus, "IN_IRQ": cpus, "IRQ_FROM": cpus, "IRQ_END": cpus,
            "IRQ_TIME": cpus, "VITAL": threads, "QUEUE_OF": threads, "LINES": layout.line_count,
            "GRANTED": threads, "NEXT": threads, "MODE": threads,
            "QUEUE_HEADS": layout.lock_count, "QUEUE_TAILS": layout.lock_count,
            "WAITERS": layout.waited_count, "TLB": cpus * sets * self.profile.tlb_ways * 3,
            "TLB_TURN": cpus, "EPOCHS": cpus * TAGS, "FREE": frames,
            "BUSY": len(layout.units),
            "CELLS": threads * 2 * runtime.TIMES["CELL_RING"] if layout.lists else 0,
            "CELL_AT": threads, "FLAGS": cpus,
        }  # fmt: skip
        self._room(sizes)
        self.context = (ctypes.c_int64 * len(runtime.CONTEXT))()
        self.blocks: dict[str, mmap.mmap] = {}
        self.arrays: dict[str, Any] = {}
        for name, size in sizes.items():
            block = mmap.mmap(-1, max(size, 1) * 8)
            self.blocks[name] = block
            self.arrays[name] = (ctypes.c_int64 * max(size, 1)).from_buffer(block)
            self._set(name, ctypes.addressof(self.arrays[name]))
        for region in self.space.regions.values():
            if region.init:
                one = region.init.to_bytes(8 * region.width, "little", signed=region.init < 0)
                at, end = region.storage.base * 8, (region.storage.base + region.length) * 8
                piece = one * min(region.length // region.width, 1 << 16)
                while at < end:
                    piece = piece[: end - at]
                    self.blocks["STATE"][at : at + len(piece)] = piece
                    at += len(piece)
        for number, name in enumerate(layout.prices):
            self.arrays["PRICES"][number] = _price(self.profile, name)
        free = array("q", range(frames - 1, -1, -1)).tobytes()
        self.blocks["FREE"][: len(free)] = free
        never = array("q", [runtime.TIMES["NEVER"]] * leaves).tobytes()
        self.blocks["READY"][: len(never)] = never
        tree = self.arrays["TREE"]
        for node in range(leaves):
            tree[leaves + node] = node
        for node in range(leaves - 1, 0, -1):
            tree[node] = tree[2 * node]
        for name, value in {
            "FREE_TOP": frames, "FRAMES": frames, "LEAVES": leaves, "CPUS": cpus, "TLB_SETS": sets,
            "TLB_WAYS": self.profile.tlb_ways, "TAGS": TAGS, "RNG": _spread(seed),
            "SOCKET_CPUS": _socket_cpus(self.profile, cpus),
        }.items():  # fmt: skip
            self._set(name, value)
        self._threads()

    def _room(self, sizes: Mapping[str, int]) -> None:
        """Refuse what does not fit in memory, before any of it is used."""
        needed, there = 8 * sum(sizes.values()), available()
        if needed > there:
            regions = sorted(self.space.regions.values(), key=lambda r: -r.length)
            largest = ", ".join(f"{r.name} {_bytes(8 * r.length)}" for r in regions[:3])
            raise ModelError(
                f"the workload needs {_bytes(needed)} of memory, and {_bytes(there)} are left",
                hint=f"the largest fields: {largest}",
            )

    def _threads(self) -> None:
        """Make the coroutines; they stop before their first step."""
        make = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        context = ctypes.addressof(self.context)
        frame_sizes = {
            code.name: make(self.library.addresses[code.name])(None, context, None) or 0
            for code in self.codes
        }
        total = sum(_aligned(frame_sizes[code.name]) for code, _, _ in self.threads)
        self.frames = mmap.mmap(-1, max(total, 1) + 64)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.frames))
        at = _aligned(base)
        for number, (code, values, cpu) in enumerate(self.threads):
            arguments = (ctypes.c_int64 * len(values))(*values)
            handle = make(self.library.addresses[code.name])(at, context, arguments)
            self.arrays["HANDLES"][number] = handle
            self.arrays["CPU_OF"][number] = cpu
            at += _aligned(frame_sizes[code.name])
            if number >= self.first_handler:
                self.arrays["HANDLER"][cpu] = number + 1

    def _set(self, name: str, value: int) -> None:
        self.context[runtime.CONTEXT.index(name)] = value

    def _get(self, name: str) -> int:
        return int(self.context[runtime.CONTEXT.index(name)])

    # ------------------------------------------------------------------ running

    def _ready(self, thread: int, when: int) -> None:
        """Put a thread's time into the tree."""
        ready, tree = self.arrays["READY"], self.arrays["TREE"]
        ready[thread] = when
        node = (self._get("LEAVES") + thread) // 2
        while node:
            left, right = tree[2 * node], tree[2 * node + 1]
            tree[node] = right if ready[right] < ready[left] else left
            node //= 2

    def run(
        self,
        progress: Callable[[Progress], None] | None = None,
    ) -> Priced:
        """Run to the end of the last thread that is no daemon, or to Ctrl-C.

        It begins with code that is compiled fast. If the run takes longer than making good code
        does, it begins again with that: the same input gives the same result.
        """
        began = time.perf_counter()
        try:
            try:
                finished = self._phases(progress, began)
            except _SlowError:
                code = jit.compile_coroutines(self.text, jit.GOOD)
                self.quick = False
                self._use(code)
                self._memory(self.seed)
                finished = self._phases(progress, began)
        except KeyboardInterrupt:
            finished = False
        return self._result(time.perf_counter() - began, finished)

    def _phases(self, progress: Callable[[Progress], None] | None, began: float) -> bool:
        handlers = range(self.first_handler, len(self.threads))
        for thread in handlers:
            self._ready(thread, 0)
        if self.start is not None:
            self._main(self.start)
            self.arrays["VITAL"][self.start] = 1
            self._set("LIVE", 1)
            self._ready(self.start, 0)
            self._loop(progress, began)
            self._reset()
        mains = [t for t in range(self.first_main, self.first_handler) if t not in self.daemons]
        for thread in range(self.first_main, self.first_handler):
            self._main(thread)
            self._ready(thread, self._get("NOW"))
        for thread in mains:
            self.arrays["VITAL"][thread] = 1
        self._set("LIVE", len(mains))
        self.begin = self._get("NOW")
        self._loop(progress, began)
        return True

    def _main(self, thread: int) -> None:
        cpu = self.threads[thread][2]
        self.arrays["MAIN"][cpu] = thread + 1

    begin = 0

    def _reset(self) -> None:
        """Forget what the start has counted, and which lines its CPU has."""
        for name in ("CALLS", "TIMES", "COUNTS", "STALLS", "IRQ_TIME", "LINES"):
            ctypes.memset(ctypes.addressof(self.arrays[name]), 0, len(self.arrays[name]) * 8)
        self._set("STEPS", 0)
        ended = self._get("ENDED")
        self._set("NOW", ended)

    def _loop(self, progress: Callable[[Progress], None] | None, began: float) -> None:
        loop = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.library.addresses["run"])
        context = ctypes.addressof(self.context)
        while True:
            self._set("BUDGET", self._get("STEPS") + (QUICK_CHUNK if self.quick else CHUNK))
            status = loop(context)
            if status == 0:
                return
            if status == 1:
                raise ModelError(stuck(self))
            if status == 2:
                raise self._failure()
            if deadlock(self):
                raise ModelError(stuck(self))
            if self.quick and time.perf_counter() - began > self.patience:
                raise _SlowError
            if progress is not None:
                progress(
                    Progress(
                        self._get("STEPS"), self._get("NOW") - self.begin,
                        time.perf_counter() - began, self._get("LIVE"),
                    )
                )  # fmt: skip

    def _failure(self) -> ModelError:
        """What went wrong, at the user's line."""
        number = self._get("ERROR")
        if number < 0:
            return ModelError("the run takes more than 73 years of the machine's time")
        return located(*self.layout.failures[number - 1])

    def _result(self, seconds: float, finished: bool) -> Priced:
        arrays, layout = self.arrays, self.layout
        calls: dict[str, int] = {}
        times: dict[str, int] = {}
        for number, function in enumerate(self.numbered.functions):
            name = function.name
            calls[name] = calls.get(name, 0) + arrays["CALLS"][number]
            times[name] = times.get(name, 0) + arrays["TIMES"][number]
        end = self._get("ENDED") if finished else self._get("NOW")
        return Priced(
            counts={name: arrays["COUNTS"][i] for i, name in enumerate(layout.counts)},
            calls=calls,
            times=times,
            stalls={name: arrays["STALLS"][i] for i, name in enumerate(layout.stalls)},
            interrupted_ns=tuple(arrays["IRQ_TIME"][: self.cpus]),
            ns=end - self.begin,
            steps=self._get("STEPS"),
            seconds=seconds,
            finished=finished,
            work=dict(self.plan.work),
        )

    def state(self, field_of: Any, *index: int) -> int:
        """The value of a field after the run, for tests: ``run.state(Mm.tlb_gen, 0)``."""
        for region in self.space.regions.values():
            if region.name.endswith(f".{field_of.name}"):
                at = region.storage.base
                for (_, stride), number in zip(region.storage.dims, index, strict=True):
                    at += stride * number
                return int(self.arrays["STATE"][at])
        raise KeyError(field_of)


def _simple(text: str) -> bool:
    """Whether code that is compiled fast can be trusted: LLVM's fast selection of instructions
    makes code that crashes for some wide integers."""
    widths = {int(bits) for bits in re.findall(r"\bi(\d+)\b", text)}
    return all(bits <= 64 or bits in (128, 256) for bits in widths)


def _once(text: str) -> str:
    """The runtime's functions are called, not copied: copies would take seconds to compile."""
    return re.sub(r"^(define internal i64 @\w+\([^)]*\)) +{", r"\1 noinline {", text, flags=re.M)


def _bytes(number: int) -> str:
    """A number of bytes for people."""
    return f"{number / (1 << 30):,.1f} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"


def _price(profile: Profile, name: str) -> int:
    """A price by its name; ModelError for a name that no profile has."""
    check_name(name, profile.architecture)
    return int(getattr(profile, name))


def _socket_cpus(profile: Profile, cpus: int) -> int:
    """How many CPUs a socket has; more than the profile's where the run has more CPUs."""
    return max(profile.cpus, cpus + profile.sockets - 1) // profile.sockets


def _dynamic(value: Any) -> bool:
    """Whether threads that differ in a value have one code."""
    return isinstance(value, (Object, Span)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


def _encoded(value: Any) -> int:
    if isinstance(value, Span):
        return value.packed
    return value.index if isinstance(value, Object) else int(value)


def _signature(function: Any) -> Any:
    import inspect

    return inspect.signature(function.source).parameters.values()


def _aligned(size: int) -> int:
    return (size + 63) // 64 * 64


def _spread(seed: int) -> int:
    """A state of the generator: never 0, and different for seeds that are near each other."""
    value = (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & ((1 << 63) - 1)
    return value or 1


__all__ = ["Priced", "Progress", "Run"]
