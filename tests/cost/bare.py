"""The runtime of the pricing engine without threads: its functions, called one by one."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from shootdown.cost import runtime
from shootdown.native import jit, subset

FUNCTIONS = (
    runtime.set_ready,
    runtime.run,
    *runtime.HELPERS,
    *runtime.INLINED,
    *runtime.OPERATIONS,
)
PRICE = 10


def text() -> str:
    """The runtime in LLVM's words."""
    constants = {name: number for number, name in enumerate(runtime.CONTEXT)}
    constants.update(runtime.TIMES)
    constants.update({name.upper(): i for i, name in enumerate(runtime.PRICES)})
    constants.update({name.upper(): i for i, name in enumerate(runtime.COUNTS)})
    return subset.compile_functions(FUNCTIONS, (), constants) + runtime.RESUME


@cache
def library() -> jit.Library:
    names = tuple(f.__name__ for f in FUNCTIONS)
    return jit.Library(jit.compile_coroutines(text(), jit.GOOD), names)


class Bare:
    """Memory for the runtime; every price is 10 ns unless ``prices`` says something else."""

    def __init__(self, threads: int = 4, cpus: int = 4, *, sets: int = 4, ways: int = 3,
                 frames: int = 5, socket: int = 2, prices: dict[str, int] | None = None
                 ) -> None:  # fmt: skip
        leaves = 1
        while leaves < threads:
            leaves *= 2
        self.cpus, self.threads = cpus, threads
        self.context = (ctypes.c_int64 * len(runtime.CONTEXT))()
        self.arrays: dict[str, Any] = {}
        sizes = {
            "STATE": 64, "PRICES": len(runtime.PRICES), "COUNTS": len(runtime.COUNTS), "STALLS": 1,
            "TREE": 2 * leaves, "READY": leaves, "HANDLES": threads, "CPU_OF": threads,
            "MAIN": cpus, "HANDLER": cpus, "REMAIN": threads, "STOPPED": threads,
            "QUEUES": cpus * cpus, "HEADS": cpus, "TAILS": cpus, "QUEUED": cpus, "ARRIVES": cpus,
            "IRQ_OFF": cpus, "IN_IRQ": cpus, "IRQ_FROM": cpus, "IRQ_END": cpus, "IRQ_TIME": cpus,
            "LINES": 64, "GRANTED": threads, "NEXT": threads, "MODE": threads, "QUEUE_OF": threads,
            "QUEUE_HEADS": 8, "QUEUE_TAILS": 8, "WAITERS": 8, "VITAL": threads,
            "TLB": cpus * sets * ways * 3, "TLB_TURN": cpus, "EPOCHS": cpus * 64, "FREE": frames,
            "CELLS": min(threads, 3) * 2 * runtime.TIMES["CELL_RING"], "CELL_AT": threads,
        }  # fmt: skip
        for name, size in sizes.items():
            self.arrays[name] = (ctypes.c_int64 * size)()
            self.put(name, ctypes.addressof(self.arrays[name]))
        for i, name in enumerate(runtime.PRICES):
            self.arrays["PRICES"][i] = (prices or {}).get(name, PRICE)
        for i in range(leaves):
            self.arrays["READY"][i] = runtime.TIMES["NEVER"]
            self.arrays["TREE"][leaves + i] = i
        for node in range(leaves - 1, 0, -1):
            self.arrays["TREE"][node] = self.arrays["TREE"][2 * node]
        for i in range(frames):
            self.arrays["FREE"][i] = frames - 1 - i
        for thread in range(threads):
            self.arrays["CPU_OF"][thread] = thread % cpus
        for name, value in {
            "LEAVES": leaves, "CPUS": cpus, "SOCKET_CPUS": socket, "TLB_SETS": sets,
            "TLB_WAYS": ways, "TAGS": 64, "FREE_TOP": frames, "FRAMES": frames, "RNG": 12345,
            "HORIZON": runtime.TIMES["NEVER"], "PLACE": 7,
        }.items():  # fmt: skip
            self.put(name, value)

    def put(self, name: str, value: int) -> None:
        self.context[runtime.CONTEXT.index(name)] = value

    def get(self, name: str) -> int:
        return int(self.context[runtime.CONTEXT.index(name)])

    def on(self, thread: int) -> None:
        """This thread runs now, and has not stopped."""
        self.put("THREAD", thread)
        self.put("CPU", thread % self.cpus)
        self.put("BLOCKED", 0)

    def count(self, name: str) -> int:
        return int(self.arrays["COUNTS"][runtime.COUNTS.index(name)])

    def __call__(self, name: str, *arguments: int) -> int:
        types = [ctypes.c_int64] * (len(arguments) + 1)
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(library().addresses[name])
        return int(function(ctypes.addressof(self.context), *arguments))

    def send(self, sender: int, targets: set[int]) -> None:
        """Interrupt some CPUs."""
        words = (ctypes.c_int64 * -(-self.cpus // 64))()
        for cpu in targets:
            word = words[cpu // 64] | 1 << cpu % 64
            words[cpu // 64] = word - (1 << 64) if word >> 63 else word
        self("send_ipis", sender, ctypes.addressof(words))
