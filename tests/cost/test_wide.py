"""Words that hold large sets, membership in lists, and the order of free frames."""

from __future__ import annotations

from typing import Any

import pytest

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.cost.workload import Plan
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.lang import READ_ONCE, WRITE_ONCE, Object, Thread, Word, path, ranged, replace
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.workloads.externs import count, give_frame, give_frame_last, take_frame
from shootdown.workloads.x86 import X86


class Request(Word):
    cpus: set[Cpu] = set()  # noqa: RUF012
    number: int = ranged(0, 7)
    urgent: bool = False


class Board(Object):
    request: Request


def run(what: Any, cpus: int) -> Priced:
    sizes = {TlbState: cpus, Page: 1, Frame: 8, ContextMm: 1, Pcid: 2, Board: 2}
    plan = Plan(X86, sizes, [Thread(what, on=TlbState(0))])
    return Run(plan, Profile.load("skylake-2s")).run()


@path
def a_word() -> None:
    board = Board(1)
    chosen: set[Cpu] = {cpu for cpu in Cpu if cpu.index % 3 == 0}
    WRITE_ONCE(board.request, Request(cpus=chosen, number=12345, urgent=True))
    found = READ_ONCE(board.request)
    WRITE_ONCE(board.request, replace(found, cpus=found.cpus | {Cpu(1)}, number=found.number + 1))
    after = READ_ONCE(board.request)
    count("cpus", len(after.cpus))
    count("number", after.number)
    count("urgent", 1 if after.urgent else 0)
    count("has 1", 1 if Cpu(1) in after.cpus else 0)
    count("has 2", 1 if Cpu(2) in after.cpus else 0)
    for cpu in after.cpus:
        count("sum", cpu.index)
    count("other", len(READ_ONCE(Board(0).request).cpus))


@pytest.mark.parametrize("cpus", [3, 40, 64, 65, 130])
def test_a_word_may_hold_a_set_of_many_cpus(cpus: int) -> None:
    counts = run(a_word, cpus).counts
    chosen = {cpu for cpu in range(cpus) if cpu % 3 == 0} | {1}
    assert counts["cpus"] == len(chosen)
    assert counts["sum"] == sum(chosen)
    assert (counts["number"], counts["urgent"], counts["other"]) == (12346, 1, 0)
    assert (counts["has 1"], counts["has 2"]) == (1, 0)


@path
def a_list() -> None:
    some: set[Frame] = set()
    for number in range(5):
        some.add(Frame(number + 1))
    for frame in Frame:
        if frame in some:
            count("in", frame.index)
        else:
            count("out", frame.index)


def test_membership_in_a_list() -> None:
    counts = run(a_list, 2).counts
    assert (counts["in"], counts["out"]) == (1 + 2 + 3 + 4 + 5, 0 + 6 + 7)


@path
def frames() -> None:
    for _ in range(8):
        take_frame()
    give_frame(Frame(3))
    give_frame_last(Frame(4))
    give_frame_last(Frame(5))
    give_frame(Frame(6))
    count("first", take_frame().index)
    count("second", take_frame().index)
    count("third", take_frame().index)
    count("fourth", take_frame().index)


def test_frames_that_are_given_back_last_are_taken_last() -> None:
    counts = run(frames, 2).counts
    assert [counts[n] for n in ("first", "second", "third", "fourth")] == [6, 3, 4, 5]
