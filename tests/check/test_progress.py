"""Progress: loops that never let something happen are found, and shown as prefix and loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.check.native import explore
from shootdown.check.progress import with_progress
from shootdown.check.result import Result, Verdict, ViolationKind
from shootdown.check.tokens import decode_token, encode_token
from shootdown.check.trace import trace_outcomes, trace_violation
from shootdown.commands import main
from shootdown.lang.loader import load_file

MODEL = '''
from shootdown.lang import *


class Iommu(Object):
    """A device that waits for a PTE, and the CPU that should fix it."""

    pte: bool
    fault: bool
    served: bool = ghost(False)
    patience: int = counter(0, 2)


@path
def device(iommu: Iommu) -> None:
    event("start")
    while not iommu.pte:
        iommu.fault = True
        wait_until(not iommu.fault)
    event("access")
    iommu.served = True


@path
def handler(iommu: Iommu, *, fix: str = "never") -> None:
    while True:
        wait_until(iommu.fault)
        if fix == "always":
            iommu.pte = True
        if fix == "at-last":
            if iommu.patience == 2:
                iommu.pte = True
            else:
                iommu.patience += 1
        iommu.fault = False


@rule
def luck(iommu: Iommu) -> None:
    when(not iommu.pte)
    iommu.pte = True


@progress("INV-LIVE")
def served() -> bool:
    """the device faults for ever."""
    return all(iommu.served for iommu in Iommu)


def build(fix: str, *rules):
    def setup() -> Setup:
        return Setup(
            sizes={Iommu: 1},
            threads=[
                Thread(device, Iommu(0), name="DEV"),
                Thread(handler, Iommu(0), fix=fix, daemon=True, name="CPU0"),
            ],
            hardware=Hardware("plain", rules=rules),
            progress=[served],
        )

    return setup


never = scenario("never", expect="VIOLATED", violates="INV-LIVE", title="t")(build("never"))
lucky = scenario("lucky", expect="VIOLATED", violates="INV-LIVE", title="t")(build("never", luck))
always = scenario("always", expect="HOLDS", title="t")(build("always"))
at_last = scenario("at-last", expect="HOLDS", title="t")(build("at-last"))
'''


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "live.py"
    file.write_text(MODEL)
    return file


def checked(model: Path, name: str) -> Result:
    (scenario,) = [s for s in load_file(str(model)) if s.name == name]
    return with_progress(explore(scenario.compile()))


@pytest.mark.parametrize("name", ["always", "at-last"])
def test_a_loop_that_can_be_left_is_no_violation(model: Path, name: str) -> None:
    assert checked(model, name).verdict is Verdict.HOLDS


@pytest.mark.parametrize("name", ["never", "lucky"])
def test_an_endless_loop_is_found_even_if_hardware_might_help(model: Path, name: str) -> None:
    result = checked(model, name)
    assert result.verdict is Verdict.VIOLATED
    violation = result.violation
    assert violation is not None
    assert (violation.kind, violation.name) == (ViolationKind.NO_PROGRESS, "INV-LIVE")
    assert violation.loop is not None
    assert violation.path[violation.loop] == violation.path[-1]
    assert violation.length - violation.loop == 5  # read, fault, see, clear, wait


def test_the_race_is_walked_again_from_its_token(model: Path) -> None:
    result = checked(model, "never")
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    token = encode_token(result.system, trace.numbers)
    again = trace_outcomes(result.system, decode_token(result.system, token))
    assert again == trace
    assert again.ending.text == "the device faults for ever"


def test_the_diagram_shows_where_it_begins_to_repeat(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{model}::never"]) == 1
    text = capsys.readouterr().out
    before, loop = text.split("--- for ever: ---")
    assert "INV-LIVE: the device faults for ever" in before
    for label in ("iommu.fault = 1", "wait_until(iommu.fault)", "iommu.fault = 0"):
        assert loop.count(label) == 1


def test_one_cycle_of_states_only_through_spontaneous_hardware_is_no_loop(model: Path) -> None:
    """What only an eviction or fill repeats is not forced."""
    result = checked(model, "always")
    assert result.violation is None
