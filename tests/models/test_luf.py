"""System S2b (LUF): every scenario has its verdict, both TLBs and both engines agree."""

from __future__ import annotations

import itertools

import pytest

from models.checks import (
    LIMITS,
    assert_engines_agree,
    assert_expected,
    assert_told,
    belonging,
    explored,
    named,
    run,
    some_slow,
)
from models.mutants import sites_of
from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.check.trace import trace_violation

LUF = belonging("LUF.*")
SAFE = named(LUF, "HOLDS")
UNSAFE = named(LUF, "VIOLATED")
QUICK = {
    *("LUF.V11", "LUF.V11.write", "LUF.noV1", "LUF.noV2", "LUF.noV4", "LUF.arm64", "LUF.diet"),
    *("LUF.V11.third", "LUF.wpdefer", "LUF.V11.noirq", "LUF.noirq"),
}


def quick(name: str) -> bool:
    return name in QUICK


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("name", LUF)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(LUF[name], "may")


@pytest.mark.parametrize("name", some_slow(LUF, quick))
def test_explicit_tlb_gives_the_same_verdict(name: str) -> None:
    assert_expected(LUF[name], "explicit")


@pytest.mark.parametrize("name", some_slow(LUF, quick))
def test_engines_agree(name: str) -> None:
    assert_engines_agree(LUF[name])


BAD = {
    "BAD-S2-3": ("LUF.noV1", "INV-S2-11"),
    "BAD-S2-4": ("LUF.noV2", "INV-S2-8"),
    "BAD-S2-5": ("LUF.noV4", "INV-S2-8"),
    "BAD-S2-6": ("LUF.wpdefer", "INV-S2-6"),
    "BAD-S2-7": ("LUF.initfree", "INV-S2-7"),
    "BAD-S2-8": ("LUF.noirq", "INV-S2-10"),
    "BAD-S2-9": ("LUF.lazymask", "INV-S2-5"),
    "BAD-S2-10": ("LUF.arm64", "INV-S2-5"),
}


@pytest.mark.parametrize(("alias", "shown"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, shown: tuple[str, str]) -> None:
    (scenario,) = [s for s in LUF.values() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown


def test_every_invariant_and_variant_has_scenarios() -> None:
    assert {f"INV-S2-{i}" for i in range(5, 12)} <= {s.violates for s in LUF.values()}
    names = {*LUF, *(alias for s in LUF.values() for alias in s.aliases)}
    variants = (
        *("V10", "V11", "V12", "noV1", "noV2", "noV4", "initfree", "wpdefer", "keyalias"),
        *("noirq", "arm64"),
    )
    assert {f"LUF.{variant}" for variant in variants} <= names


# ------------------------------------------------------------------ give-up points (Q-S2-2)

POINTS = {
    "V1": ("tlb_batched", "counted", "none"),
    "V2": ("luf_fault", "ptl", "none"),
    "V3": ("luf_vma", "end", "none"),
    "V4": ("luf_file", "flush", "none"),
}
"""Each give-up point as an option, there and left out. V2 is under the PTL, as it must be."""
NEEDED = {
    "LUF.V11.ptl": [{"V2"}],
    "LUF.V11.swap-ptl": [{"V2"}],
    "LUF.noV2.copy": [set[str]()],
    "LUF.V11.write": [{"V4"}],
    "LUF.V11.punch": [{"V1"}, {"V3"}, {"V4"}],
    "LUF.V11.munmap": [{"V1"}, {"V3"}],
    "LUF.V11.no-table-V3": [{"V3"}],
}
"""Who changes what a reader must see, and the smallest sets of give-up points that are enough."""


@pytest.mark.deep
@pytest.mark.parametrize("name", NEEDED)
def test_which_give_up_points_are_needed(name: str) -> None:
    """All sixteen sets of them: those that hold are those that contain a smallest one."""
    for there in itertools.product((False, True), repeat=len(POINTS)):
        given = {point for point, on in zip(POINTS, there, strict=True) if on}
        options = {
            option: with_it if point in given else without
            for point, (option, with_it, without) in POINTS.items()
        }
        result = explored(LUF[name], options)
        enough = any(smallest <= given for smallest in NEEDED[name])
        assert result.verdict is (Verdict.HOLDS if enough else Verdict.VIOLATED), given


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", some_slow(UNSAFE, quick))
def test_race_can_be_told(name: str) -> None:
    assert_told(LUF[name], 60)


def test_third_thread_writes_before_the_flush_of_the_page_fault() -> None:
    """The finding on v12: its flush comes after the PTE, and others write in between."""
    result = run(LUF["LUF.V11.third"])
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    told = [(step.process, str(note)) for step in trace.steps for _, note in step.notes]
    assert not any("arch_tlbbatch_flush" in note for _, note in told)
    stale = [i for i, (_, note) in enumerate(told) if note.startswith("stale")]
    store = [i for i, (cpu, note) in enumerate(told) if cpu == 3 and "store page" in note]
    assert store
    assert stale
    assert store[0] < stale[-1]


@pytest.mark.parametrize("name", ["LUF.V11", "LUF.V11.munmap"])
def test_barrier_of_tlb_flush_end_is_not_needed_with_store_buffers(name: str) -> None:
    """Where memory is sequentially consistent it is no step at all, so this says more."""
    site = sites_of(name)["tlb_flush_end: smp_mb()"]
    mutant = LUF[name].compile(options={"memory": "tso"}, without=frozenset({site.id}))
    assert mutant.fingerprint != LUF[name].compile(options={"memory": "tso"}).fingerprint
    assert native.explore(mutant, LIMITS).verdict is Verdict.HOLDS
