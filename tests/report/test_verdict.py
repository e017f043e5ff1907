from __future__ import annotations

from dataclasses import replace

from scripted import Say, scripted, searched, traced
from shootdown.check.reference import explore
from shootdown.check.result import Limits, Verdict
from shootdown.check.tokens import encode_token
from shootdown.lang.ir import System
from shootdown.report.description import OptionValue, Removable, description_text
from shootdown.report.run import Broken, Run, Subject, as_expected, exit_code, worst
from shootdown.report.states import states_text
from shootdown.report.table import row_of, table_text
from shootdown.report.verdict import headline, replay_text, verdict_text

SUBJECT = Subject("S0.V4", "S0.V4", "Two MADV_DONTNEED", "VIOLATED", "INV-RET", hardware="x86")
SCRIPT = [
    Say("CPU0", "mm.count = 1", ("madvise()",)),
    Say(None, "load page0 via f0", marks=("stale",), column=1),
]
ASSUMPTIONS = ("x86", "An invalid entry is never cached (Intel SDM 3A 4.10.2.3).")


def run_of(ending: str, subject: Subject = SUBJECT) -> Run:
    system = scripted(SCRIPT, ending=ending, assumptions=ASSUMPTIONS)
    result = replace(searched(system), seconds=0.02, memory=340 << 20)
    if result.violation is None:
        return Run(subject, result)
    trace = traced(system)
    return Run(subject, result, trace, encode_token(system, trace.numbers))


def test_violated() -> None:
    run = run_of("invariant")
    assert verdict_text(run).splitlines() == [
        "VIOLATED  INV-RET: the old translation is still used",
        "shortest race: 2 steps (2 CPUs, 1 page, x86)",
        "",
        "    CPU0                                CPU1",
        "    madvise()",
        "      mm.count = 1",
        "                                        <load page0 via f0>    <-- stale",
        "",
        f"explored 3 states in 0.02 s; reproduce: shootdown replay S0.V4 --path {run.token}",
    ]
    assert (exit_code(run), as_expected(run)) == (1, True)


def test_a_long_command_is_broken_before_its_options() -> None:
    subject = replace(
        SUBJECT,
        target="models/mine.py::two_cpus",
        arguments=("--bound cpus=2", "--hardware tlb=explicit"),
        options=(("tlb", "explicit"),),
    )
    run = run_of("invariant", subject)
    lines = verdict_text(run).splitlines()
    assert lines[1] == "shortest race: 2 steps (2 CPUs, 1 page, x86, tlb=explicit)"
    assert lines[-5:] == [
        "explored 3 states in 0.02 s",
        "reproduce: shootdown replay models/mine.py::two_cpus \\",
        "    --bound cpus=2 \\",
        "    --hardware tlb=explicit \\",
        f"    --path {run.token}",
    ]


def test_an_unexpected_verdict_says_what_was_expected() -> None:
    run = run_of("invariant", replace(SUBJECT, expect="HOLDS", violates=None))
    assert verdict_text(run).splitlines()[-1] == "expected: HOLDS"
    assert not as_expected(run)
    changed = run_of("invariant", replace(run.subject, changed=True))
    assert "expected" not in verdict_text(changed)


def test_the_wrong_invariant_is_not_as_expected() -> None:
    assert not as_expected(run_of("invariant", replace(SUBJECT, violates="INV-UAF")))


def test_assertion_and_model_error_say_where() -> None:
    run = run_of("assertion")
    assert headline(run) == "VIOLATED  INV-UAF: a freed frame is mapped"
    assert "\n\nassertion at mm/tlb.py:40\n\n" in verdict_text(run)
    run = run_of("model error")
    assert headline(run) == "MODEL ERROR  INV-UAF: a freed frame is mapped"
    assert "\n\nmodel error at mm/tlb.py:40\n\n" in verdict_text(run)
    assert (exit_code(run), as_expected(run)) == (2, False)


def test_deadlock() -> None:
    run = run_of("deadlock", replace(SUBJECT, violates="deadlock"))
    assert headline(run) == "VIOLATED  deadlock: CPU0 waits for what can no longer happen"
    assert as_expected(run)


def test_holds() -> None:
    run = run_of("holds", replace(SUBJECT, expect="HOLDS", violates=None))
    assert verdict_text(run).splitlines() == [
        "HOLDS  S0.V4: Two MADV_DONTNEED",
        "  bounds        2 CPUs, 1 page",
        "  hardware      x86",
        "                An invalid entry is never cached (Intel SDM 3A 4.10.2.3).",
        "  explored      3 states, depth 2, in 0.02 s (reference engine, 340 MiB)",
        "  invariants    INV-RET, INV-UAF",
        "  goals         reached finished",
        "  not executed  1 line",
        "    mm/tlb.py",
        "       40: flush_tlb_mm(mm)",
    ]
    assert (exit_code(run), as_expected(run)) == (0, True)


def test_vacuous() -> None:
    run = run_of("vacuous", replace(SUBJECT, expect="VACUOUS", violates=None))
    lines = verdict_text(run).splitlines()
    assert lines[:3] == [
        "VACUOUS  S0.V4: Two MADV_DONTNEED",
        "  never reached: finished (all threads finish). No invariant was violated,",
        "    but that proves nothing.",
    ]
    assert "  goals         never reached finished" in lines
    assert exit_code(run) == 3


def test_unknown() -> None:
    system = scripted(SCRIPT, ending="vacuous")
    result = replace(explore(system, Limits(states=2)), seconds=0.02, memory=1000)
    run = Run(replace(SUBJECT, changed=True), result)
    lines = verdict_text(run).splitlines()
    assert result.verdict is Verdict.UNKNOWN
    assert lines[:6] == [
        "UNKNOWN  S0.V4: Two MADV_DONTNEED",
        "  the limit on states was reached; no violation in what was explored.",
        "  bounds        2 CPUs, 1 page",
        "  hardware      none",
        "  explored      2 states, depth 1, in 0.02 s; 1 of them still to be",
        "                  expanded (reference engine, 1000 B)",
    ]
    assert lines[-2:] == [
        "  goals         not reached yet: finished",
        "  not executed  1 line so far (--json lists them)",
    ]
    assert exit_code(run) == 3


def test_a_search_that_saw_all_states_says_never_though_it_is_unknown() -> None:
    system = scripted(SCRIPT, ending="vacuous")
    result = replace(searched(system), verdict=Verdict.UNKNOWN, stopped="progress")
    text = verdict_text(Run(replace(SUBJECT, changed=True), result))
    assert "never reached finished" in text
    assert "40: flush_tlb_mm(mm)" in text
    assert "yet" not in text
    assert "so far" not in text


def test_replay() -> None:
    assert replay_text(SUBJECT, traced(scripted(SCRIPT))).splitlines()[:2] == [
        "VIOLATED  INV-RET: the old translation is still used",
        "race: 2 steps (2 CPUs, 1 page, x86)",
    ]


def test_states() -> None:
    assert states_text(SUBJECT, traced(scripted(SCRIPT))).splitlines() == [
        "VIOLATED  INV-RET: the old translation is still used",
        "",
        "initial state",
        "      every variable has its first value",
        "",
        "step 1: CPU0: mm.count = 1",
        "      at mm/memory.py:12: pte = ptep_get(mm.pte[page])",
        "      in madvise()",
        "      clock: 0 -> 1",
        "",
        "step 2: CPU1: <load page0 via f0>",
        "      <-- stale",
        "      at mm/memory.py:12: pte = ptep_get(mm.pte[page])",
        "      clock: 1 -> 2",
    ]


def test_table() -> None:
    runs: list[Run | Broken] = [
        run_of("invariant"),
        run_of("holds", replace(SUBJECT, name="S0.V6", violates="INV-UAF")),
        Broken(replace(SUBJECT, name="S1"), "mine.py:3: no", 2),
    ]
    assert table_text([row_of(run) for run in runs], 5).splitlines() == [
        "NAME   VERDICT           EXPECTED          OK   STATES    TIME",
        "S0.V4  VIOLATED INV-RET  VIOLATED INV-RET  yes       3  0.02 s",
        "S0.V6  HOLDS             VIOLATED INV-UAF  NO        3  0.02 s",
        "S1     ERROR             VIOLATED INV-RET  NO        -       -",
        "",
        "1 of 5 as expected, 2 not checked",
    ]
    assert table_text([row_of(runs[0])], 1).splitlines()[-1] == "all 1 as expected"


def test_worst() -> None:
    assert [worst(codes) for codes in ([], [0, 3], [3, 1, 0], [1, 2, 3])] == [0, 3, 1, 2]


def description(system: System) -> list[str]:
    options = [OptionValue("tlb", "may", ("may", "explicit"), "how the TLB is modelled")]
    sites = [Removable("tlb.py:40 flush_tlb_mm", "flush_tlb_mm")]
    doc = "Two MADV_DONTNEED\n\nMore."
    return description_text(SUBJECT, system, doc, options, sites).splitlines()


def test_description() -> None:
    script = [*SCRIPT, Say("CPU1", "mm.count = 1", ("madvise()",), column=1)]
    script.append(Say("CPU0", "flush()", ("madvise()", "[flush()]")))
    assert description(scripted(script, assumptions=ASSUMPTIONS)) == [
        "S0.V4: Two MADV_DONTNEED",
        "",
        "  More.",
        "",
        "  expected      VIOLATED INV-RET",
        "  bounds        2 CPUs, 1 page",
        "  hardware      x86",
        "                An invalid entry is never cached (Intel SDM 3A 4.10.2.3).",
        "  options       tlb=may (may|explicit): how the TLB is modelled",
        "  state         3 variables, 8 bits",
        "  invariants    INV-RET: the old translation is still used",
        "  goals         finished: all threads finish",
        "",
        "thread CPU0: 2 steps",
        "       madvise()",
        "    1    mm.count = 1                           mm/memory.py:12",
        "    2    flush()                                mm/memory.py:12",
        "",
        "thread CPU1: 1 step",
        "       madvise()",
        "    1    mm.count = 1                           mm/memory.py:12",
        "",
        "hardware: 1 rule",
        "       <load page0 via f0> (fair)               mm/memory.py:12",
        "",
        "what --without can leave out",
        "       'tlb.py:40 flush_tlb_mm'",
    ]
