"""The same paths for populations of any size: loops stay loops, and threads share their code.

The checker's front end unrolls what is finite and gives every element a variable of its own. That
is what a search needs, and impossible for millions of pages. Here the same front end makes one
graph for each kind of thread:

* a loop over a population, a set or a ``range()`` is a loop of the graph;
* a field is a region of memory (:class:`~shootdown.lang.large.parts.Region`), addressed by index;
* a set of the populations named in ``spans`` (pages, whose sets are ranges of addresses in a
  kernel, too) is its hull, ``first`` and one past the ``last``; one of those in ``lists`` (frames,
  as an ``mmu_gather`` collects them) is a list in the order of adding; any other is a bit set;
* the objects, numbers and spans that a thread is given are registers, so threads that differ in
  them only have one code;
* ghost state, properties and notes are left out: they belong to checking. A loop that does nothing
  without them is left out as well;
* locks, and functions declared with :func:`~shootdown.lang.decorators.extern`, are operations of
  their own (:class:`~shootdown.lang.large.parts.Extern`) that the engine implements;
* functions of the hardware's adversary are exchanged for those of a machine (``instead``).

Integers are not checked against their declared ranges, which bound a search, not a kernel.
"""

from shootdown.lang.large.loops import Large
from shootdown.lang.large.parts import (
    NUMBER,
    Enter,
    Extern,
    LargeKinds,
    LargeSpace,
    Leave,
    Numbered,
    Parameter,
    Region,
    Span,
)

__all__ = [
    "NUMBER",
    "Enter",
    "Extern",
    "Large",
    "LargeKinds",
    "LargeSpace",
    "Leave",
    "Numbered",
    "Parameter",
    "Region",
    "Span",
]
