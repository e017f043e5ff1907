"""System S2a: every scenario has its verdict, both TLBs and both engines agree, races read well."""

from __future__ import annotations

import pytest

from models.checks import (
    assert_engines_agree,
    assert_expected,
    assert_told,
    belonging,
    named,
    run,
    some_slow,
)
from shootdown.check.result import Verdict

S2A = belonging("S2a.*")
SAFE = named(S2A, "HOLDS")
UNSAFE = named(S2A, "VIOLATED")
QUICK = {"S2a.V1", "S2a.V2.one", "S2a.V4", "S2a.V5", "S2a.V7", "S2a.V8.dontneed", "S2a.V8.dirty"}


def quick(name: str) -> bool:
    return name in QUICK


@pytest.mark.parametrize("name", S2A)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(S2A[name], "may")


@pytest.mark.parametrize("name", some_slow(S2A, quick))
def test_explicit_tlb_gives_the_same_verdict(name: str) -> None:
    assert_expected(S2A[name], "explicit")


@pytest.mark.parametrize("name", some_slow(S2A, quick))
def test_engines_agree(name: str) -> None:
    assert_engines_agree(S2A[name])


BAD = {
    "BAD-S2-1": ("S2a.V1", "INV-S2-3"),
    "BAD-S2-2": ("S2a.V2", "INV-S2-3"),
    "BATCH-MPROTECT": ("S2a.V1", "INV-S2-3"),
}


@pytest.mark.parametrize(("alias", "shown"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, shown: tuple[str, str]) -> None:
    (scenario,) = [s for s in S2A.values() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown


def test_every_invariant_and_variant_has_scenarios() -> None:
    assert {f"INV-S2-{i}" for i in range(1, 5)} <= {s.violates for s in S2A.values()}
    assert {f"S2a.V{i}" for i in range(1, 9)} <= set(S2A)


@pytest.mark.parametrize("name", some_slow(UNSAFE, quick))
def test_race_can_be_told(name: str) -> None:
    assert_told(S2A[name], 90)


def test_one_page_table_hides_the_mistakes_of_two() -> None:
    """Who clears the flag, and who counts too early, can go wrong only while somebody holds another
    PTL."""
    for variant in ("V2", "V3"):
        assert run(S2A[f"S2a.{variant}"]).verdict is Verdict.VIOLATED
        assert run(S2A[f"S2a.{variant}.one"]).verdict is Verdict.HOLDS
