"""What a verdict says that it assumes is what the chosen options do."""

from __future__ import annotations

import pytest

from models.results import LIBRARY


@pytest.mark.parametrize("name", ["S0.V5", "S2a.V8.arm64", "K.V3", "S390-ATTACH.fixed"])
def test_entries_are_kept_only_in_the_may_set(name: str) -> None:
    may, explicit = (
        LIBRARY[name].compile(options={"tlb": tlb}).assumptions[1:] for tlb in ("may", "explicit")
    )
    told = [(one, other) for one, other in zip(may, explicit, strict=True) if one != other]
    assert told
    assert all("keeps it" in one or "until it" in one for one, _ in told)
    assert all(other.endswith("lose it at any time") for _, other in told)
    assert not any("keeps it" in other or "until it" in other for other in explicit)
