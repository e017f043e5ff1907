"""What the native engine finds in the scenarios of the library: each is compiled and searched once
for all tests, which ``conftest.py`` brings into an order in which that is possible."""

from __future__ import annotations

from collections import OrderedDict

from shootdown.check import native
from shootdown.check.progress import with_progress
from shootdown.check.result import Limits, Result
from shootdown.lang import Scenario, order
from shootdown.lang.scenario import options_of
from shootdown.races import library

LIMITS = Limits(time=120)
MEMORY = order.MEMORY
"""Options are known once the module that has them is imported; this one is the language's own."""
LIBRARY: dict[str, Scenario] = {scenario.name: scenario for scenario in library()}

_KEPT = 60  # results; a compiled scenario takes a few megabytes
_results: OrderedDict[tuple[str, frozenset[tuple[str, object]]], Result] = OrderedDict()


def run(scenario: Scenario | str, tlb: str | None = "may") -> Result:
    """The result for a scenario of the library; ``None``: with the TLB that it asks for itself."""
    name = scenario if isinstance(scenario, str) else scenario.name
    options = {} if tlb is None else {"tlb": tlb}
    key = name, frozenset(options_of(LIBRARY[name].setup(), options).items())
    if key not in _results:
        system = LIBRARY[name].compile(options=options)
        _results[key] = with_progress(native.explore(system, LIMITS))
        if len(_results) > _KEPT:
            _results.popitem(last=False)
    _results.move_to_end(key)
    return _results[key]
