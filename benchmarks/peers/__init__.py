"""The benchmark family ``dontneed(N, P)`` in the languages of other model checkers, and in ours.

N CPUs of one process each run MADV_DONTNEED once over P pages while adversarial hardware fills,
evicts and writes through TLB entries. The rules, on which every state count depends:

* State: ``pte[p]`` none, clean or dirty (at first clean); ``freed[p]``; ``lock`` free or its
  holder; ``pending``; for each CPU ``tlb[p]`` invalid, cached clean (the first write must walk) or
  cached dirty, ``pc``, ``mask`` (CPUs still to invalidate) and ``gather`` (pages).
* Hardware, always enabled: fill (entry invalid, PTE present: copy the PTE), evict (entry valid:
  invalid), write (entry clean, PTE present: both dirty).
* CPU: begin (pending + 1); lock; for each page zap (a present PTE becomes none and the page is
  gathered; one step either way); unlock; decide (gathered anything, or pending > 1: flush every
  CPU, else go on to free); flush any one CPU of the mask (the last one goes on to free); free the
  gathered pages; leave (pending - 1) and return.
* Always: no CPU caches a freed page; once any CPU has returned, no CPU caches any page.

The historic bug (``nested=False``) decides by the gathered pages alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STATES = {
    (2, 1): 546,
    (3, 1): 21_451,
    (3, 2): 301_531,
    (4, 1): 1_924_508,
    (3, 3): 8_074_183,
}
"""Distinct states by (CPUs, pages): the same for every tool that follows the rules."""


@dataclass(frozen=True, slots=True)
class Size:
    """One member of the family."""

    cpus: int
    pages: int
    nested: bool = True

    def __str__(self) -> str:
        return f"{self.cpus},{self.pages}"


@dataclass(frozen=True, slots=True)
class Run:
    """One measured search: CPU seconds of the search alone, and the process's peak memory.

    ``whole`` is the CPU time from the model's source to the answer (generating and compiling a
    verifier, or starting Python and compiling a kernel, included).
    """

    states: int
    violated: bool
    seconds: float
    whole: float
    memory: int


class PeerError(Exception):
    """A peer that did not answer as it should: its output is in the message."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A tool in one mode.

    ``version`` says which tool is installed, or None. ``prepare`` writes and compiles a model into
    a fresh directory and returns the function that searches it once.
    """

    name: str
    how: str  # the flags that matter, for the table
    version: Callable[[], str | None]
    prepare: Callable[[Size, Path], Callable[[], Run]]
    ours: bool = False
