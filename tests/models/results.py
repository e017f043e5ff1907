"""What the native engine finds in the scenarios of the library: each is compiled and searched once
for all tests, which ``conftest.py`` brings into an order in which that is possible."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from shootdown.check import native
from shootdown.check.progress import with_progress
from shootdown.check.result import Limits, Result
from shootdown.commands.kept import compiled_system
from shootdown.lang import Scenario, order
from shootdown.lang.scenario import options_of
from shootdown.races import library

LIMITS = Limits(time=120)
MEMORY = order.MEMORY
"""Options are known once the module that has them is imported; this one is the language's own."""
LIBRARY: dict[str, Scenario] = {scenario.name: scenario for scenario in library()}

_KEPT = 8  # results, of which tests of one scenario need some; a scenario takes a few megabytes
_results: OrderedDict[tuple[str, frozenset[tuple[str, object]]], Result] = OrderedDict()


def explored(
    scenario: Scenario,
    options: Mapping[str, Any] | None = None,
    bounds: Mapping[str, int] | None = None,
    limits: Limits = LIMITS,
) -> Result:
    """What a search of a scenario of the library finds; compiled and written once for all runs of
    the tests, as long as the sources are the same."""
    system, digest = compiled_system(scenario, bounds or {}, options or {})
    return native.explore(system, limits, digest=digest)


def run(scenario: Scenario | str, tlb: str | None = "may") -> Result:
    """The result for a scenario of the library; ``None``: with the TLB that it asks for itself."""
    name = scenario if isinstance(scenario, str) else scenario.name
    options = {} if tlb is None else {"tlb": tlb}
    key = name, frozenset(options_of(LIBRARY[name].setup(), options).items())
    if key not in _results:
        _results[key] = with_progress(explored(LIBRARY[name], options))
        if len(_results) > _KEPT:
            _results.popitem(last=False)
    _results.move_to_end(key)
    return _results[key]
