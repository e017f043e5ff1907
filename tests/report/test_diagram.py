from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripted import Say, scripted, traced
from shootdown.report.diagram import diagram
from shootdown.report.text import WIDTH, ascii_text

MADV = "madvise(MADV_DONTNEED)"
CPU0, CPU1 = ("CPU0", (MADV,), 0), ("CPU1", (MADV,), 1)


def say(cpu: tuple[str, tuple[str, ...], int], text: str, *more: str, mark: str = "") -> Say:
    who, calls, column = cpu
    return Say(who, text, (*calls, *more), (), (mark,) if mark else (), column)


def test_two_columns() -> None:
    """The race of the design, section 2."""
    user = ("CPU1", (), 1)
    script = [
        say(CPU0, "spin_lock(ptl)"),
        say(CPU0, "ptep_get_and_clear() = f0", "[ptep_get_and_clear()]"),
        say(CPU0, "spin_unlock(ptl)"),
        say(CPU1, "spin_lock(ptl)"),
        say(CPU1, "pte_none -> skip"),
        say(CPU1, "spin_unlock(ptl)"),
        say(user, "return to user", mark="no flush"),
        say(user, "load page 0 via f0", mark="stale"),
        say(CPU0, "flush_tlb_mm_range()", "[flush_tlb_mm_range()]"),
    ]
    assert diagram(traced(scripted(script))).splitlines() == [
        "    CPU0                                CPU1",
        "    madvise(MADV_DONTNEED)",
        "      spin_lock(ptl)",
        "      ptep_get_and_clear() = f0",
        "      spin_unlock(ptl)",
        "                                        madvise(MADV_DONTNEED)",
        "                                          spin_lock(ptl)",
        "                                          pte_none -> skip",
        "                                          spin_unlock(ptl)",
        "                                        return to user        <-- no flush",
        "                                        load page 0 via f0    <-- stale",
        "      flush_tlb_mm_range()    <-- INV-RET",
    ]


def test_three_columns_with_hardware_and_a_note() -> None:
    script = [
        Say("CPU0", "mm.count = 1", (MADV, "gather"), ("first of two",), column=0),
        Say(None, "fill page0", column=2),
        Say("CPU1", "mm.pte[page0] = f0 RW", ("fault()",), column=1),
        Say(None, "load page0 via f0", marks=("stale",), column=2),
    ]
    names = ("CPU0", "CPU1", "CPU2")
    assert diagram(traced(scripted(script, columns=names))).splitlines() == [
        "  CPU0                           CPU1                   CPU2",
        "  madvise(MADV_DONTNEED)",
        "    gather",
        "      mm.count = 1 (first of",
        "          two)",
        "                                                        <fill page0>",
        "                                 fault()",
        "                                   mm.pte[page0] = f0",
        "                                       RW",
        "                                                        <load page0 via f0>",
        "                                                          <-- stale",
    ]


def test_only_columns_that_take_part() -> None:
    script = [Say("CPU2", "mm.count = 1", column=2)]
    names = ("CPU0", "CPU1", "CPU2")
    assert (
        diagram(traced(scripted(script, columns=names)))
        == "    CPU2\n    mm.count = 1    <-- INV-RET"
    )


def test_list_form_from_four_columns_on() -> None:
    names = ("CPU0", "CPU1", "CPU2", "CPU3")
    script = [
        *(Say(name, f"mm.count = {i}", (MADV,), column=i) for i, name in enumerate(names)),
        Say("CPU2", "mm.mask = {CPU0, CPU1}", (MADV, "flush()"), column=2),
        Say(None, "fill page0", ("unused",), marks=("stale",), column=1),
    ]
    assert diagram(traced(scripted(script, columns=names))).splitlines() == [
        "  [Time 1] CPU0: madvise(MADV_DONTNEED)",
        "           CPU0:   mm.count = 0",
        "  [Time 2] CPU1: madvise(MADV_DONTNEED)",
        "           CPU1:   mm.count = 1",
        "  [Time 3] CPU2: madvise(MADV_DONTNEED)",
        "           CPU2:   mm.count = 2",
        "  [Time 4] CPU3: madvise(MADV_DONTNEED)",
        "           CPU3:   mm.count = 3",
        "  [Time 5] CPU2:   flush()",
        "           CPU2:     mm.mask = {CPU0, CPU1}",
        "  [Time 6] CPU1: <fill page0>    <-- stale",
    ]


def test_long_lines_wrap_with_a_hanging_indent() -> None:
    long = "cmpxchg(mm.context.tlb_gen[page0].generation, 3, 4) = 3"
    script = [say(CPU0, long), say(CPU1, "mm.count = 1", mark="a long explanation " * 3)]
    assert diagram(traced(scripted(script))).splitlines() == [
        "    CPU0                                             CPU1",
        "    madvise(MADV_DONTNEED)",
        "      cmpxchg(mm.context.tlb_gen[page0].generation,",
        "          3, 4) = 3",
        "                                                     madvise(MADV_DONTNEED)",
        "                                                       mm.count = 1",
        "                                                         <-- a long",
        "                                                             explanation a",
        "                                                             long",
        "                                                             explanation a",
        "                                                             long",
        "                                                             explanation",
    ]


def test_deep_calls_in_three_columns_take_less_indentation() -> None:
    calls = ("madvise()", "zap_page_range()", "zap_pte_range()")
    names = ("CPU0", "CPU1", "CPU2")
    script = [Say(name, "ptep_get_and_clear()", calls, column=i) for i, name in enumerate(names)]
    assert diagram(traced(scripted(script, columns=names))).splitlines() == [
        "CPU0                     CPU1                     CPU2",
        "madvise()",
        " zap_page_range()",
        "  zap_pte_range()",
        "   ptep_get_and_clear()",
        "                         madvise()",
        "                          zap_page_range()",
        "                           zap_pte_range()",
        "                            ptep_get_and_clear()",
        "                                                  madvise()",
        "                                                   zap_page_range()",
        "                                                    zap_pte_range()",
        "                                                     ptep_get_and_clear()",
        "                                                       <-- INV-RET",
    ]


def test_two_threads_of_one_cpu() -> None:
    script = [
        Say("CPU0", "mm.count = 1", (MADV,)),
        Say("irq", "ack", ("flush_tlb_func()",)),
        Say("CPU0", "mm.count = 2", (MADV,)),
    ]
    assert diagram(traced(scripted(script))).splitlines() == [
        "    CPU0",
        "    madvise(MADV_DONTNEED)",
        "      mm.count = 1",
        "    flush_tlb_func()",
        "      ack",
        "    madvise(MADV_DONTNEED) ...",
        "      mm.count = 2    <-- INV-RET",
    ]


def test_hardware_without_a_cpu_has_its_own_column() -> None:
    script = [Say("CPU0", "mm.count = 1"), Say(None, "device reads f0", column=None)]
    assert diagram(traced(scripted(script))).splitlines() == [
        "    CPU0                                hardware",
        "    mm.count = 1",
        "                                        <device reads f0>    <-- INV-RET",
    ]


def test_deadlock_shows_who_waits() -> None:
    script = [say(CPU0, "spin_lock(a)"), say(CPU1, "spin_lock(b)")]
    assert diagram(traced(scripted(script, ending="deadlock"))).splitlines() == [
        "    CPU0                    CPU1",
        "    madvise(MADV_DONTNEED)",
        "      spin_lock(a)",
        "                            madvise(MADV_DONTNEED)",
        "                              spin_lock(b)",
        "    spin_lock(CPU0.ptl)    <-- waits for ever",
        "                            spin_lock(CPU1.ptl)    <-- waits for ever",
    ]


def test_no_step() -> None:
    assert diagram(traced(scripted([]))) == "    (no step: the initial state is the bad one)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve → flush", "na\\xefve \\u2192 flush"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("two\nlines\t", "two lines"),
    ],
)
def test_ascii_only(text: str, shown: str) -> None:
    assert shown in diagram(traced(scripted([Say("CPU0", text)])))


texts = st.text(string.ascii_letters + "()[]._=,  é\x1b\n", min_size=1, max_size=120)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[tuple[str, ...], list[Say]]:
    names = tuple(draw(st.lists(texts, min_size=1, max_size=6, unique=True)))
    column = st.integers(0, len(names) - 1)
    script = []
    for _ in range(draw(st.integers(1, 8))):
        at = draw(column)
        calls = tuple(draw(st.lists(texts, max_size=4)))
        notes = tuple(draw(st.lists(texts, max_size=2)))
        marks = tuple(draw(st.lists(texts, max_size=1)))
        who = draw(st.sampled_from([names[at], None]))
        script.append(Say(who, draw(texts), calls, notes, marks, at))
    return names, script


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(case=scripts())
def test_never_too_wide_and_never_cut(case: tuple[tuple[str, ...], list[Say]]) -> None:
    names, script = case
    text = diagram(traced(scripted(script, columns=names)))
    assert text.isascii()
    for line in text.splitlines():
        assert len(line) <= WIDTH
        assert line == line.rstrip()
    if len({say.column for say in script}) == 1:  # rows of one column: the text reads on
        for say in script:
            assert squeezed(ascii_text(say.text)) in squeezed(text)
