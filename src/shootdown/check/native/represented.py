"""How many states the canonical states in a store stand for."""

from __future__ import annotations

from shootdown.check.native.canonical import emit_orbits
from shootdown.check.native.interface import StateStore
from shootdown.check.native.layout import Layout
from shootdown.check.reduce.represented import each_order_is_one, estimated
from shootdown.check.reduce.swaps import Symmetry as Swaps
from shootdown.check.result import Represented
from shootdown.lang.ir import System
from shootdown.native import jit

FEW = 1 << 18
"""States for which code is not worth compiling well."""
MOST = 1 << 20
"""States of a stopped search that are looked at: its time is over."""


def represented(
    system: System, layout: Layout, symmetry: object, store: StateStore, stopped: bool
) -> Represented | None:
    """The sum over all states; of a search that was stopped, over some. None where it is not known.

    It takes less time than the search: that has brought every successor to its canonical form,
    which is the same work for each.
    """
    if not isinstance(symmetry, Swaps) or not each_order_is_one(symmetry):
        return None
    known = store.counts().states
    step = -(-known // MOST) if stopped else 1
    level = jit.FAST if known < FEW else jit.GOOD
    code = jit.load(emit_orbits(system, layout, symmetry), ("orbits",), level)
    sums = store.sums(code.addresses["orbits"], step)
    return estimated(symmetry, known, -(-known // step), sums)
