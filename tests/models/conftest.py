"""Tests of one scenario come one after the other: so one process runs them, and its result serves
all of them (``results.py``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.results import LIBRARY

HERE = Path(__file__).parent


def _scenario(item: pytest.Item) -> str | None:
    """The scenario that a test is about, if it is about one."""
    name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
    return name if isinstance(name, str) and name in LIBRARY else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort those of this folder, by the order of the library; the others stay where they are."""
    places = [i for i, item in enumerate(items) if HERE in item.path.parents]
    order = {name: number for number, name in enumerate(LIBRARY)}

    def key(item: pytest.Item) -> int:
        name = _scenario(item)
        return len(order) if name is None else order[name]

    for place, item in zip(places, sorted((items[i] for i in places), key=key), strict=True):
        items[place] = item
