"""What a search that keeps fingerprints instead of states may have missed.

Two states with the same fingerprint count as one: the second one, and what only it leads to, is
omitted. Let the fingerprints be those of a random function with ``2^bits`` values. While ``i``
states are known, the search meets at most one new state: it is omitted, or it becomes number
``i + 1``. It is omitted with probability ``i / 2^bits`` at most. So the probability that a search
ends with ``n`` states or fewer, and has omitted something, is at most ``(1 + 2 + ... + n) /
2^bits``. That is the expected number of equal pairs among ``n + 1`` states (the birthday bound;
Wolper and Leroy, "Reliable Hashing without Collision Detection", CAV 1993; Stern and Dill,
"Improved Probabilistic Verification by Hash Compaction", CHARME 1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BITS = 64


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """That a search keeps fingerprints: how many ``bits`` each has (tests have fewer than 64), and
    the ``seed``, from 0 to ``2^64 - 1``, that chooses the function."""

    seed: int = 0
    bits: int = BITS

    @property
    def text(self) -> str:
        """In words: ``64 bits, seed 0``."""
        return f"{self.bits} bits, seed {self.seed}"


def omission_bound(states: int, bits: int = BITS) -> float:
    """An upper bound of the probability that a search that found so many states omitted any."""
    pairs, possible = states * (states + 1) // 2, 1 << bits
    return 1.0 if pairs >= possible else math.nextafter(pairs / possible, 1.0)


def bound_text(bound: float) -> str:
    """A bound with two digits, rounded up: ``3.1e-07``; ``1`` where there is none."""
    if bound >= 0.995:
        return "1"
    text = f"{bound:.1e}"
    return text if float(text) >= bound else f"{bound + 0.05 * 10.0 ** int(text[4:]):.1e}"
