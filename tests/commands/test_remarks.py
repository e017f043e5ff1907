"""What a report says of mistakes that are easily made in a model of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.commands import main

NOBODY_WALKS = """
from shootdown.hardware import Cpu, Frame, Page, x86
from shootdown.hardware.machine import AddressSpace, Pte
from shootdown.lang import Setup, Thread, WRITE_ONCE, atomic, path, scenario

@path
def unmap(mm: AddressSpace) -> None:
    WRITE_ONCE(mm.pte[Page(0)], Pte())

@atomic
def start() -> None:
    {walks}
    AddressSpace(0).pte[Page(0)] = Pte(present=True, accessed=True)

@scenario("unmapping", expect="HOLDS")
def unmapping() -> Setup:
    return Setup(
        sizes={{Cpu: 1, Page: 1, Frame: 1, AddressSpace: 1}},
        start=start,
        threads=[Thread(unmap, AddressSpace(0), on=Cpu(0))],
        hardware=x86,
    )
"""

WAITING = """
from shootdown.lang import Hardware, Object, Setup, Thread, path, rule, scenario, wait_until, when

class Cpu(Object, show="CPU{{}}"):
    called: bool = True
    noise: bool = False

@rule({fair})
def answer(cpu: Cpu) -> None:
    when(cpu.called)
    cpu.called = False

@rule
def anything(cpu: Cpu) -> None:
    cpu.noise = not cpu.noise

@path
def wait(cpu: Cpu) -> None:
    wait_until(not cpu.called)

@scenario("waiting", expect="HOLDS")
def waiting() -> Setup:
    return Setup(
        sizes={{Cpu: 1}},
        threads=[Thread(wait, Cpu(0), on=Cpu(0))],
        hardware=Hardware("calls", rules=(anything, answer)),
    )
"""


def check(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    main(("check", str(file)))
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize(
    ("walks", "remark"), [("pass", True), ("Cpu(0).walks = AddressSpace(0)", False)]
)
def test_no_cpu_walks_the_page_table(
    walks: str, tlb: str, remark: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = NOBODY_WALKS.format(walks=walks)
    text = text.replace("hardware=x86", f"hardware=x86.with_options(tlb={tlb!r})")
    out = check(text, tmp_path, capsys)
    assert out.startswith("HOLDS")
    assert ("remark no TLB had a translation in any state" in out) is remark


def test_a_model_without_tlbs_gets_no_such_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "remark" not in check(WAITING.format(fair="fair=True"), tmp_path, capsys)


def test_a_rule_that_is_not_fair_need_not_end_a_deadlock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; one that may happen and is no help is not."""
    said = "waits for what can no longer happen; answer(CPU0) would end that, and is not fair: it"
    assert said in check(WAITING.format(fair=""), tmp_path, capsys)
    assert check(WAITING.format(fair="fair=True"), tmp_path, capsys).startswith("HOLDS")
