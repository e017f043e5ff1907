"""Every arm64 model runs on one walker: kernel paths on either machine, and litmus tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.checks import explored
from shootdown.hardware.aarch64 import aarch64
from shootdown.hardware.arm64 import arm64, arm64_contiguous
from shootdown.lang.ir import System
from shootdown.races import library

ON_ARM = {s.name: s for s in library() if s.setup().hardware.options.get("arch") == "arm64"}
S2 = {name: s for name, s in ON_ARM.items() if not name.startswith("S3.")}
MMU = {"tlb.py", "tlbi.py", "arm64_walker.py", "walker.py", "pcid.py", "ipi.py"}


def mmus(system: System) -> set[str]:
    """The modules of hardware that can do something in a model."""
    files = {Path(line.file) for line in system.lines}
    return {file.name for file in files if file.parent.name == "hardware"} & MMU


def test_the_scenarios_are_there() -> None:
    assert {"S2a.V7", "S2a.V8.two", "LUF.arm64", "S3.O2"} <= set(ON_ARM)
    assert len(S2) == 12


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("name", S2)
def test_batched_flushes_run_on_the_one_walker(name: str, tlb: str) -> None:
    found = mmus(S2[name].compile(options={"tlb": tlb}))
    tlbi = set() if name == "OOM-FULLMM" else {"tlbi.py"}  # whose bug is that nobody flushes
    assert found == {"arm64_walker.py"} | tlbi


@pytest.mark.parametrize("name", ["S3.O2", "S3.BBM"])
def test_contpte_runs_on_the_one_walker(name: str) -> None:
    assert mmus(ON_ARM[name].compile()) == {"arm64_walker.py", "tlbi.py"}


def test_litmus_tests_run_on_the_one_walker() -> None:
    """They add what is out of order; what a PE loads and what may be cached is the same rule."""
    (fill,) = [rule for rule in aarch64.rules if rule.name == "fill"]
    (remember,) = [observer for observer in aarch64.observers if observer.name == "remember"]
    for hardware in (arm64, arm64_contiguous):
        assert fill in hardware.rules
        assert remember in hardware.observers


def test_x86_has_another() -> None:
    (x86,) = [s for s in library() if s.name == "S2a.V8.dirty"]
    assert mmus(x86.compile()) == {"tlb.py", "ipi.py"}


MISTAKES = {
    ("S2a.V7", "no-tlb"): None,
    ("S2a.V7.fixed", "ignores-permission"): "INV-S2-3",
    ("S2a.V7.fixed", "tlbi-nothing"): "INV-S2-3",
    ("S2a.V8.two", "stale-dirty"): "INV-DIRTY",
    ("S2a.V8.two", "flags-never-set"): "INV-DIRTY",
    ("S2a.V8.two", "tlbi-local"): "INV-S2-1",
    ("LUF.arm64.dsb", "dsb-waits-for-nothing"): "INV-S2-5",
}
"""A mistake of the walker, as litmus tests know it, and what a batched flush makes of it."""


@pytest.mark.parametrize(("name", "strawman"), MISTAKES)
def test_a_mistake_of_the_walker_is_one_here_too(name: str, strawman: str) -> None:
    broken = explored(S2[name], {"strawman": strawman}).violation
    assert (broken.name if broken else None) == MISTAKES[name, strawman]
