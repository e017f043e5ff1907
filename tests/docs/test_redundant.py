"""``docs/redundant.md`` is what ``models/redundant`` says.

``UPDATE_DOCS=1 pytest -m deep tests/docs/test_redundant.py`` writes it anew. What looks at the
sites of all safe scenarios is here, one after the other, since finding them takes long. They are
deep: by default ``models/test_mutants.py`` holds the tables to what the checker finds, for some
scenarios.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.excuses import System
from models.mutants import SAFE, sites_of
from models.redundant import SYSTEMS, system_of
from models.redundant_page import MARKER, page

pytestmark = pytest.mark.deep

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redundant.md"


def test_the_page_lists_what_the_tables_say() -> None:
    head, marker, shown = PAGE.read_text(encoding="utf-8").partition(MARKER)
    assert marker, f"{PAGE.name} has no line {MARKER}"
    told = "\n" + page()
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(head + marker + told, encoding="utf-8")
    else:
        assert shown == told, (
            f"UPDATE_DOCS=1 pytest -m deep {Path(__file__).name} writes {PAGE.name} anew"
        )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_no_excuse_is_out_of_date(system: System) -> None:
    """Every site and every scenario that an entry names exists."""
    known = [(site, name) for name in SAFE if system_of(name) is system for site in sites_of(name)]
    unused = [
        (part.sites, part.scenarios)
        for excuse in system.excuses
        for part in excuse.parts()
        if not any(part.is_about(site, name) for site, name in known)
    ]
    assert unused == []
