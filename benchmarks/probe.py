"""The limit of a plain table: random reads with prefetch from memory on huge pages.

``python benchmarks/probe.py MEGABYTES`` prints million reads per CPU second, one thread.
"""

from __future__ import annotations

import ctypes
import sys
import time

from shootdown.check.native import store
from shootdown.native import jit, subset

READS = 20_000_000
BATCH = 64


# ruff: noqa: F821
def reads(table, lines, count):  # type: ignore[no-untyped-def]
    """Read a word from each of ``count`` random cache lines; their sum."""
    total = 0
    seed = 1
    done = 0
    while done < count:
        again = seed
        k = 0
        while k < BATCH:
            seed = seed * 0x5851_F42D_4C95_7F2D + 0x1405_7B7E_F767_814F
            prefetch(table + ((((seed >> 32) * lines) >> 32) << 6))  # type: ignore[name-defined]
            k += 1
        k = 0
        while k < BATCH:
            again = again * 0x5851_F42D_4C95_7F2D + 0x1405_7B7E_F767_814F
            place = table + ((((again >> 32) * lines) >> 32) << 6)
            total += place[0]
            k += 1
        done += BATCH
    return total


def rate(size: int) -> float:
    """Reads per CPU second from ``size`` bytes."""
    code = jit.load(subset.compile_functions((reads,), (), {"BATCH": BATCH}), ("reads",), jit.GOOD)
    memory = store.Memory(size)
    probe = store._THREE(code.addresses["reads"])
    ctypes.memset(memory.address, 1, size)  # what was never written is all one page
    began = time.process_time()
    probe(memory.address, size // 64, READS)
    return READS / (time.process_time() - began)


if __name__ == "__main__":
    print(f"{rate(int(sys.argv[1]) << 20) / 1e6:.1f} million reads/s")
