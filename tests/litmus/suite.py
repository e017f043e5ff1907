"""Where litmus tests by other people are, on machines that have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

OWN = Path(__file__).parent / "own"
VARIABLE = "SHOOTDOWN_LITMUS"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "litmus"


def folder() -> Path:
    """The folder with the tests and ``expected.json``, or skip."""
    found = Path(os.environ.get(VARIABLE) or BESIDE)
    if not (found / "expected.json").is_file():
        pytest.skip(f"no litmus tests of other people: set {VARIABLE} to their folder")
    return found
