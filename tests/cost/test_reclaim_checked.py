"""What the workloads of reclaim use at full size holds in the checker, too: the batched flush of
x86 as it is, and LUF with one flusher at a time."""

from __future__ import annotations

from typing import Any

import pytest

from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.pcid import Pcid, x86_pcid
from shootdown.lang import Setup, atomic, goal, scenario
from shootdown.linux.arch.x86.switch import switch_to_task
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio
from shootdown.linux.user import load
from shootdown.races import library, x1, x1_properties

MM, OTHER = ContextMm(0), ContextMm(1)
V8 = {"tlb_batched": "counted", "shootdown": "generations", "batch_flush": "multi"}


@atomic
def one_runs_one_comes() -> None:
    """CPU1 runs the process, which maps a clean page of a file. CPU2 runs another one, and has run
    this one before. CPU0, on which reclaim runs, runs none."""
    x1_properties.runs(TlbState(1), MM, Pcid(0))
    x1_properties.runs(TlbState(2), OTHER, Pcid(1))
    MM.pte[Page(0)] = Pte(present=True, accessed=True, frame=Folio(0))
    Folio(0).mapcount = 1
    Folio(0).refcount = 3


@goal("reclaimed")
def reclaimed() -> bool:
    """The page was freed."""
    return not Folio(0).allocated


def verdict(**options: Any) -> Any:
    """Reclaim unmaps and frees a page while one CPU reads it and another one begins to."""

    @scenario("reclaim-multi", expect="HOLDS", title="a batch that is flushed by flush_tlb_multi()")
    def build() -> Setup:
        return Setup(
            sizes={TlbState: 3, Page: 1, Frame: 1, ContextMm: 2, Pcid: 2},
            start=one_runs_one_comes,
            threads=[
                x1.main(0, shrink_folios, ((Folio(0), ((MM, Page(0)),)),)),
                x1.main(1, load, MM, Page(0)),
                x1.main(2, switch_to_task, MM),
                x1.handler(1),
                x1.handler(2),
            ],
            hardware=x86_pcid,
            goals=[reclaimed],
            options={**V8, **options},
        )

    return native.explore(build.compile())


def test_a_batch_flushed_by_flush_tlb_multi_is_safe() -> None:
    assert verdict().verdict is Verdict.HOLDS


def test_freeing_before_that_flush_is_not() -> None:
    result = verdict(ttu_flush="late-free")
    assert result.verdict is Verdict.VIOLATED
    assert result.violation.name == "INV-S2-1"


def test_leaving_out_the_generation_is_not() -> None:
    """Who is at the generation of its mm flushes nothing, so each unmap has to begin a new one."""
    result = verdict(shootdown="everyone", batch_flush="multi")
    assert result.verdict is Verdict.VIOLATED
    assert result.violation.name == "INV-S2-1"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LUF.V11", "HOLDS"), ("LUF.V11.noirq", "HOLDS"), ("LUF.noirq", "VIOLATED")],
)
def test_one_flusher_at_a_time_changes_no_verdict(name: str, expected: str) -> None:
    found = next(s for s in library() if s.name == name)
    result = native.explore(found.compile(options={"luf_flusher": "one"}))
    assert result.verdict is Verdict[expected]


@pytest.mark.parametrize("name", ["S2a.V1", "S2a.V8.flusher", "S2a.V8.aba"])
def test_without_batches_nothing_can_be_missed(name: str) -> None:
    """These races need a batch: without one its window is never open, and nothing is violated."""
    found = next(s for s in library() if s.name == name)
    result = native.explore(found.compile(options={"ttu_batch": "off"}))
    assert result.violation is None
    assert result.verdict is Verdict.VACUOUS
