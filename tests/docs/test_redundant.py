"""``docs/redundant.md`` is what ``models/redundant`` says.

``UPDATE_DOCS=1 pytest tests/docs`` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.redundant_page import MARKER, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redundant.md"


@pytest.mark.slow
def test_the_page_lists_what_the_tables_say() -> None:
    head, marker, shown = PAGE.read_text(encoding="utf-8").partition(MARKER)
    assert marker, f"{PAGE.name} has no line {MARKER}"
    told = "\n" + page()
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(head + marker + told, encoding="utf-8")
    else:
        assert shown == told, f"UPDATE_DOCS=1 pytest {Path(__file__).name} writes {PAGE.name} anew"
