"""What can be left out of safe scenarios: the form of the tables in ``models/redundant``.

There is one table for each system of the reference, a tuple of :class:`Excuse`. A flush, lock,
barrier, acknowledgement or counter update of a safe scenario is either needed (without it the
scenario is VIOLATED), or exactly one excuse says why not. ``models/test_mutants.py`` holds the
tables to what the checker finds, in both directions; ``docs/redundant.md`` is printed from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache


class Kind(Enum):
    """Why something can be left out; those that say something about the protocol come first."""

    NOT_NEEDED = "not needed"
    """The protocol is as safe without it: no other scenario of this protocol asks for it."""
    TWICE = "done twice"
    """Something else in the same scenario does its work: either may go, not both."""
    NOT_AT_STAKE = "not at stake"
    """Nobody in this scenario does what it is against, or what it protects is not looked at."""
    COST = "costs only"
    """Something leaks or is done too often; nothing unsafe happens."""
    GOAL = "goal lost"
    """Safe, but something that should be able to happen no longer can: the verdict is VACUOUS."""
    MODEL = "artefact"
    """The model does in one step, or leaves away, what makes it necessary in the kernel."""
    UNREACHED = "never executed"
    """This scenario never comes by."""
    REFUSED = "refused"
    """What is left is no program: a count falls below zero (an error of the model)."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """One reason for leaving something out.

    ``sites`` are names as :func:`models.mutants.site_name` gives them
    (``zap_pte_range: lock mm.ptl``), one for each line; ``scenarios`` are names, separated by white
    space. In both ``*`` stands for anything; a scenario after ``!`` is excepted (``S0.* !S0.V9``).
    """

    sites: str
    scenarios: str
    kind: Kind
    reason: str

    def is_about(self, site: str, scenario: str) -> bool:
        """Whether it is about this site in this scenario."""
        names = self.scenarios.split()
        excepted = tuple(name[1:] for name in names if name.startswith("!"))
        return (
            _matches(site, tuple(self.sites.splitlines()))
            and _matches(scenario, tuple(name for name in names if not name.startswith("!")))
            and not _matches(scenario, excepted)
        )

    def parts(self) -> list[Excuse]:
        """The same for each of its sites alone, and for each of its scenarios alone, the excepted
        ones too."""
        sites = [site.strip() for site in self.sites.splitlines()]
        return [replace(self, sites=site) for site in sites] + [
            replace(self, scenarios=name.removeprefix("!")) for name in self.scenarios.split()
        ]


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return _any(patterns).fullmatch(text) is not None if patterns else False


@cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(one.strip()).replace(r"\*", ".*") for one in patterns))


@dataclass(frozen=True, slots=True)
class System:
    """A system of the reference with its table.

    ``modules`` are those of ``shootdown.races`` whose scenarios belong to it.
    """

    name: str
    title: str
    page: str
    modules: tuple[str, ...]
    excuses: tuple[Excuse, ...]

    def excuses_for(self, site: str, scenario: str) -> list[Excuse]:
        """The entries about a site in a scenario: one, or none where it is needed."""
        return [excuse for excuse in self.excuses if excuse.is_about(site, scenario)]
