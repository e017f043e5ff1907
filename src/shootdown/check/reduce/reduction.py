"""Which reductions a search uses, and what each of them knows of the system.

An engine stores *canonical* states only and, with ``order`` and ``merge``, not all of them:

* ``symmetry`` maps each state to one that stands for all that are equal to it but for the names of
  CPUs, pages and the like. It is applied to the initial state and to every successor before it is
  looked up.
* ``order`` chooses in a state some of its actions, such that the others may come later.
* ``merge`` passes through states in which ``order`` leaves outcomes to one state only, without
  storing them (each is judged), and makes those equal that differ in what nobody will look at any
  more.

So the search sees a smaller graph; :mod:`.graph` defines it, and both engines search it in the
order that ``check.reference`` defines. A path through it is no race yet: :mod:`.concretize` turns
it into one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shootdown.lang.ir import System

if TYPE_CHECKING:
    from shootdown.check.native.layout import Layout
    from shootdown.check.reduce.order import Order
    from shootdown.lang.interpret import State

NAMES = ("symmetry", "order", "merge")


class Symmetry(Protocol):
    """Automorphisms of a system, and how to choose one state of each orbit.

    An automorphism maps the outcomes of a state one to one to those of its image (keeping which
    action is fair, which check fails, which processes are daemons), and keeps the value of every
    invariant and goal. The initial state need not be mapped to itself.
    """

    @property
    def text(self) -> str:
        """What is interchangeable, for people: ``CPUs 0-1, pages``."""
        ...

    def canonical(self, state: State) -> State:
        """The state that stands for the orbit of ``state``, or at least the same one for some of
        its members. ``canonical(canonical(s)) == canonical(s)``."""
        ...

    def images(self, state: State) -> Iterator[State]:
        """The state and all its images."""
        ...

    def native(self, system: System, layout: Layout) -> str:
        """LLVM IR that defines ``define internal i64 @canonical(ptr noalias %state)``: puts the
        packed words of the canonical state in place of those at ``state`` (returns 0). It gives
        what :meth:`canonical` gives."""
        ...


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is on. ``NONE`` is the ordinary search."""

    symmetry: Symmetry | None = None
    order: Order | None = None
    merge: Order | None = None  # what says which states can be passed through
    given_up: int | None = field(default=None, compare=False)
    """Pairs of objects that may be interchangeable, and whose symmetry got too large; None where
    none was looked for."""

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The reductions that are on, in the order of ``NAMES``."""
        return tuple(name for name in NAMES if getattr(self, name) is not None)


NONE = Reduction()


def reductions(system: System, names: Collection[str] = NAMES) -> Reduction:
    """Those of the named reductions that apply to a system."""
    from shootdown.check.reduce.order import order_of
    from shootdown.check.reduce.symmetry import find_symmetry

    symmetry, given_up = find_symmetry(system) if "symmetry" in names else (None, None)
    order = order_of(system) if {"order", "merge"} & set(names) else None
    if order is not None and symmetry is not None and not order.respect(symmetry.swaps):
        order = None
    return Reduction(
        symmetry=symmetry,
        order=order if "order" in names else None,
        merge=order if "merge" in names else None,
        given_up=given_up,
    )
