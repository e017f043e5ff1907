"""System X3 and its historic races: every scenario has its verdict, both TLBs and both engines
agree, races read well."""

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

HISTORIC = (
    "MREMAP-PTL",
    "MREMAP-MKCLEAN",
    "MUNMAP-PFNMAP",
    "MIGRATE-DEVICE-PTL",
    "NUMA-MIGRATE",
    "PENDING-BOOL",
    "UFFD-WP",
    "CLEARREFS-LOCK",
    "SOFTDIRTY-NOFLUSH",
    "KSM-4CPU",
    "MREMAP-RMAP-ORDER",
    "SWAPIN-ABA",
    "OOM-FULLMM",
    "MIPS-BUDDY",
)
X3 = belonging("X3.*", *(f"{name}*" for name in HISTORIC))
SAFE = named(X3, "HOLDS")
UNSAFE = named(X3, "VIOLATED")
QUICK = {"MIGRATE-DEVICE-PTL.fixed", "UFFD-WP.fixed", "NUMA-MIGRATE.fixed", "X3.mremap-late"}


def quick(name: str) -> bool:
    return name in QUICK


@pytest.mark.parametrize("name", X3)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(X3[name], "may")


@pytest.mark.parametrize("name", some_slow(X3, quick))
def test_explicit_tlb_gives_the_same_verdict(name: str) -> None:
    assert_expected(X3[name], "explicit")


@pytest.mark.parametrize("name", some_slow(X3, quick))
def test_engines_agree(name: str) -> None:
    assert_engines_agree(X3[name])


@pytest.mark.parametrize("name", HISTORIC)
def test_historic_race_is_found_and_its_repair_holds(name: str) -> None:
    assert run(X3[name]).verdict is Verdict.VIOLATED
    assert run(X3[f"{name}.fixed"]).verdict is Verdict.HOLDS


def test_bad_interleaving_breaks_the_right_invariant() -> None:
    (scenario,) = [s for s in X3.values() if "BAD-X3-1" in s.aliases]
    assert (scenario.name, scenario.violates) == ("MREMAP-PTL", "INV-UAF")
    assert "INV-X3" in {s.violates for s in X3.values()}


@pytest.mark.parametrize("name", some_slow(UNSAFE, quick))
def test_race_can_be_told(name: str) -> None:
    assert_told(X3[name], 45)
