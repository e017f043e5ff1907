"""``shootdown litmus``: what it prints, what it compares, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from command_line import Shootdown
from litmus.suite import folder
from shootdown.litmus import machine, runs
from shootdown.litmus.machine import Answer
from shootdown.report.json import schema

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests" / "litmus" / "own"


@pytest.fixture
def tests(models: Path) -> Path:
    """The current directory, with some of our own tests in ``own``."""
    (models / "own").mkdir()
    for name in ("moved-back-and-forth", "late-flag", "read-only", "tlbi-done"):
        shutil.copy(OWN / f"{name}.litmus", models / "own")
    return models


def expecting(**changes: object) -> list[dict[str, object]]:
    """The content of an expected.json that is about one test."""
    entry: dict[str, object] = {
        "file": "own/tlbi-done.litmus",
        "name": Path(str(changes.get("file", "tlbi-done"))).stem,
        "suite": "own",
        "quantifier": "exists",
        "herd7_observation_ets2": "Never",
    }
    return [{**entry, **changes}]


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def untimed(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"^(Time \S+) \d+\.\d\d$", r"\1 T", text, flags=re.MULTILINE)


def valid(text: str) -> dict[str, Any]:
    """The document, valid by its schema."""
    read: dict[str, Any] = json.loads(text)
    jsonschema.validate(read, schema("litmus"), cls=jsonschema.Draft202012Validator)
    return read


# --------------------------------------------------------------------------- what is printed


def test_it_prints_what_herdtools7_prints(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own/moved-back-and-forth.litmus")
    assert (ran.code, ran.err) == (0, "")
    assert (
        untimed(ran.out)
        == """\
Test moved-back-and-forth Allowed
States 4
0:X0=1; 0:X2=1;
0:X0=1; 0:X2=2;
0:X0=2; 0:X2=1;
0:X0=2; 0:X2=2;
Ok
Witnesses
Positive: 1 Negative: 3
Condition exists (0:X0=2 /\\ 0:X2=1)
Observation moved-back-and-forth Sometimes 1 3
Time moved-back-and-forth T
"""
    )


def test_a_register_that_nothing_writes_is_remarked_on(models: Path, shootdown: Shootdown) -> None:
    (models / "a.litmus").write_text("AArch64 a\n{ }\n P0 ;\n NOP ;\nexists (0:X1=0)\n")
    ran = shootdown("litmus", "a.litmus", "--quiet")
    assert (ran.code, ran.out) == (0, "Observation a Always 1 0\n")
    assert ran.err == "shootdown: a.litmus: nothing gives 0:X1 a value, so it is 0\n"


def test_show_prints_a_shortest_history(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own/moved-back-and-forth.litmus", "--show")
    assert ran.out.endswith(
        """
shortest history of a final state that satisfies the proposition:

    P0
    STR X5,[X3]
    DSB ISH
    ISB
    LDR W0,[X1] -> 2
    LDR W2,[X1] -> 1    <-- old translation

final state: 0:X0=2; 0:X2=1;
"""
    )


def test_show_has_steps_of_the_hardware_and_faults(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own/late-flag.litmus", "--show")
    assert [" ".join(row.split()) for row in ran.out.partition("P0 ")[2].splitlines()][:9] == [
        "P1",
        "LDR W0,[X1] -> 0",
        "DMB SY",
        "STR W4,[X6]",
        "LDR W0,[X6] -> 1",
        "DMB SY",
        "LDR X2,[X3] -> (oa:PA(x), af:0)",
        "<P0 updates the descriptor of x late>",
        "",
    ]
    (tests / "f.litmus").write_text(
        (tests / "own/read-only.litmus").read_text().replace("forall (0:X0=7", "exists (0:X0=7")
    )
    ran = shootdown("litmus", "f.litmus", "--show")
    assert "\n    L0" not in ran.out
    assert "    STR W4,[X1] -> fault(x, Permission)\n" in ran.out


def test_show_says_that_there_is_nothing_to_show(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own/tlbi-done.litmus", "--show")
    assert ran.out.endswith("\n\nno final state satisfies the proposition\n")
    ran = shootdown("litmus", "own/read-only.litmus", "--show")
    assert ran.out.endswith("\n\nno final state violates the proposition\n")


def test_a_folder_is_searched(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "b").mkdir()
    (tests / "own" / "late-flag.litmus").rename(tests / "own" / "b" / "late-flag.litmus")
    ran = shootdown("litmus", "own", "own/b/late-flag.litmus", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
Observation late-flag Sometimes 1 3
Observation moved-back-and-forth Sometimes 1 3
Observation read-only Always 1 0
Observation tlbi-done Never 0 3
OBSERVATION  TESTS
Never            1
Sometimes        2
Always           1

4 tests
"""
    )


def test_the_machine_without_ets2(shootdown: Shootdown) -> None:
    words = ["litmus", str(OWN / "invalid-no-barrier.litmus"), "--quiet"]
    assert shootdown(*words).out == "Observation invalid-no-barrier Never 0 1\n"
    without = "Observation invalid-no-barrier Sometimes 1 1\n"
    assert shootdown(*words, "--ets", "none").out == without


@pytest.mark.parametrize(
    ("condition", "said", "code"),
    [
        ("exists (1:X2=1)", "Ok", 0),
        ("exists (1:X2=2)", "No", 0),
        ("~exists (1:X2=2)", "Ok", 0),
        ("~exists (1:X2=1)", "No", 1),
        ("forall (1:X2=1 \\/ 1:X2=0)", "Ok", 0),
        ("forall (1:X2=1)", "No", 1),
    ],
)
def test_conditions_on_all_states_are_claims(
    tests: Path, shootdown: Shootdown, condition: str, said: str, code: int
) -> None:
    text = (tests / "own" / "tlbi-done.litmus").read_text()
    (tests / "a.litmus").write_text(text.partition("exists")[0] + condition + "\n")
    ran = shootdown("litmus", "a.litmus")
    assert f"\n{said}\nWitnesses\n" in ran.out
    assert ran.code == code


# --------------------------------------------------------------------------- JSON


def test_json(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own", "--show", "--json", "out.json")
    document = valid((tests / "out.json").read_text())
    assert document["schema"] == "shootdown/litmus/1"
    assert "Observation tlbi-done" in ran.out
    named = {result["name"]: result for result in document["results"]}
    answer = named["moved-back-and-forth"]["answer"]
    assert answer["final_states"][0] == "0:X0=1; 0:X2=1;"
    assert (answer["observation"], answer["verdict"], answer["ok"]) == (
        "Sometimes",
        "Allowed",
        True,
    )
    history = named["moved-back-and-forth"]["history"]
    assert [event["old_translation"] for event in history["events"]] == [False] * 4 + [True]
    assert history["diagram"].splitlines()[0] == "    P0"
    assert named["tlbi-done"]["history"] is None
    assert named["read-only"]["answer"]["verdict"] == "Required"


def test_json_instead_of_text(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "x.litmus").write_text("X86 x\n{}\n")
    write(tests / "e.json", expecting() + expecting(file="own/x.litmus"))
    document = valid(shootdown("litmus", "--expected", "e.json", "--json").out)
    assert document["agreement"] == {
        "agree": 1,
        "disagree": 0,
        "unsupported": 1,
        "not_reachable": 0,
        "empty": 0,
        "unfinished": 0,
        "malformed": 0,
        "unanswered": 0,
    }
    assert document["results"][1]["error"] == "own/x.litmus:1: not modelled: architecture X86"
    assert document["results"][1]["answer"] is None


# --------------------------------------------------------------------------- comparing


def test_agreement(tests: Path, shootdown: Shootdown) -> None:
    write(tests / "e.json", expecting(expected_no_ets="Forbidden"))
    ran = shootdown("litmus", "own", "--expected", "e.json")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
SUITE  MACHINE  TESTS  AGREE  DISAGREE  UNSUPPORTED  NOT REACHABLE UNDER SC
own    ETS2         1      1         0            0                       0
own    no ETS2      1      1         0            0                       0

2 agree, 0 disagree, 0 unsupported, 0 not reachable under SC
"""
    )
    ran = shootdown("litmus", "--expected", "e.json", "--ets", "none", "--quiet")
    assert ran.out.endswith("\n1 agree, 0 disagree, 0 unsupported, 0 not reachable under SC\n")


def test_what_only_we_reach_is_a_disagreement(tests: Path, shootdown: Shootdown) -> None:
    moved: dict[str, object] = {"file": "own/moved-back-and-forth.litmus"}
    states = ["0:X0=1; 0:X2=1;", "0:X0=1; 0:X2=2;", "0:X0=2; 0:X2=2;", "0:X0=3; 0:X2=3;"]
    write(
        tests / "e.json",
        expecting(**moved, herd7_states_ets2=states, needs_weak_memory=True),
    )
    ran = shootdown("litmus", "own", "--expected", "e.json", "--show")
    assert ran.code == 1
    assert ran.out.startswith(
        """\
disagree
  own/moved-back-and-forth.litmus (ETS2)
      observation Sometimes, expected Never
      only we have
        0:X0=2; 0:X2=1;
      only they have
        0:X0=3; 0:X2=3;

shortest history of a final state that satisfies the proposition:

    P0
    STR X5,[X3]
"""
    )


@pytest.mark.parametrize(
    ("weak", "code", "said"),
    [
        (True, 0, "the test needs weak memory"),
        (False, 1, "disagree"),
        (None, 0, "P0: STR W4,[X1] (line 8) and STR W4,[X2] (line 9): memory that is weaker may"),
    ],
)
def test_what_only_they_reach(
    tests: Path, shootdown: Shootdown, weak: bool | None, code: int, said: str
) -> None:
    shutil.copy(OWN / "message-passing.litmus", tests / "own")
    weaker = {} if weak is None else {"needs_weak_memory": weak}
    file = {"file": "own/message-passing.litmus", "herd7_observation_ets2": "Sometimes"}
    write(tests / "e.json", expecting(**file, **weaker))
    ran = shootdown("litmus", "own", "--expected", "e.json")
    assert ran.code == code
    assert ran.out.startswith("disagree\n" if code else "not reachable under SC\n")
    assert said in " ".join(ran.out.split())


def test_what_no_reordering_explains_is_a_disagreement(tests: Path, shootdown: Shootdown) -> None:
    """One access on each processor: there is nothing to reorder."""
    text = "AArch64 a\n{ 0:X1=x; 0:X4=1; 1:X1=x; }\nP0|P1;\nSTR W4,[X1]|LDR W0,[X1];\n"
    (tests / "own" / "a.litmus").write_text(text + "exists (1:X0=2)\n")
    write(tests / "e.json", expecting(file="own/a.litmus", herd7_observation_ets2="Sometimes"))
    ran = shootdown("litmus", "own", "--expected", "e.json")
    assert ran.code == 1
    assert ran.out.startswith("disagree\n  own/a.litmus (ETS2)\n      observation Never, expected")


def test_accesses_with_a_dsb_between_them_are_ordered(tests: Path, shootdown: Shootdown) -> None:
    text = (OWN / "message-passing.litmus").read_text()
    program = text.replace("STR W4,[X2]", "DSB SY|DSB SY;STR W4,[X2]")
    (tests / "own" / "a.litmus").write_text(program)
    entry: dict[str, object] = {"file": "own/a.litmus", "name": "message-passing"}
    write(tests / "e.json", expecting(**entry, herd7_observation_ets2="Sometimes"))
    assert shootdown("litmus", "own", "--expected", "e.json").code == 1


def test_what_is_not_modelled_is_named(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "x.litmus").write_text("AArch64 x\n{}\nP0;\nHLT #1;\nforall (true)\n")
    write(tests / "e.json", expecting(file="own/x.litmus", quantifier="forall"))
    ran = shootdown("litmus", "--expected", "e.json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(
        "unsupported\n  own/x.litmus (ETS2)\n      own/x.litmus:4: not modelled"
    )


def test_missing_and_different_tests_are_errors(tests: Path, shootdown: Shootdown) -> None:
    write(
        tests / "e.json",
        [*expecting(file="own/gone.litmus"), *expecting(quantifier="forall")],
    )
    ran = shootdown("litmus", "--expected", "e.json")
    assert ran.code == 2
    said = " ".join(ran.out.split())
    assert "own/gone.litmus: cannot read the test: No such file or directory" in said
    assert "the condition begins with exists, the expected one with forall" in said
    assert ran.out.endswith(", 2 malformed\n")
    write(tests / "e.json", expecting(name="tlbi-dome"))
    ran = shootdown("litmus", "--expected", "e.json")
    assert ran.code == 2
    assert "the test is called 'tlbi-done', the expected one 'tlbi-dome'" in " ".join(
        ran.out.split()
    )


def test_without_a_folder_all_that_the_file_names_is_asked(
    tests: Path, shootdown: Shootdown
) -> None:
    (tests / "answers").mkdir()
    write(tests / "answers" / "e.json", expecting(file="../own/tlbi-done.litmus"))
    ran = shootdown("litmus", "--expected", "answers/e.json", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("\n1 agree, 0 disagree, 0 unsupported, 0 not reachable under SC\n")


def test_answers_for_the_other_machine_are_counted(tests: Path, shootdown: Shootdown) -> None:
    flag: dict[str, object] = {"file": "own/read-only.litmus"}
    other = expecting(
        **flag, quantifier="forall", herd7_observation_ets2=None, expected_no_ets="Required"
    )
    write(tests / "e.json", expecting() + other)
    words = ("litmus", "--expected", "e.json", "--ets", "ets2")
    ran = shootdown(*words)
    assert ran.code == 0
    assert ran.out.endswith(
        "\n1 agree, 0 disagree, 0 unsupported, 0 not reachable under SC, "
        "1 test without an answer for this machine\n"
    )
    assert valid(shootdown(*words, "--json").out)["agreement"]["unanswered"] == 1


def test_a_name_that_the_terminal_cannot_show(tests: Path, shootdown: Shootdown) -> None:
    write(tests / "e.json", expecting(file="own/\udcff", suite="\ud800"))
    ran = shootdown("litmus", "--expected", "e.json")
    assert ran.code == 2
    assert ran.out.startswith("malformed\n  own/\\udcff (ETS2)\n")


# --------------------------------------------------------------------------- nothing to judge

SPIN = "AArch64 a\n{ 0:X1=x; }\nP0;\nL: LDR W0,[X1];\nCBZ W0,L;\n"
ONCE = "AArch64 a\n{ 0:X1=x; }\nP0;\nLDR W0,[X1];\nfilter 0:X0=1\n"


@pytest.mark.parametrize("condition", ["forall (0:X0=7)", "~exists (true)", "exists (0:X0=0)"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SPIN, "no final state: no execution comes to an end"),
        (ONCE, "no final state: the filter does not admit the only final state"),
    ],
)
def test_no_final_state_is_no_success(
    tests: Path, shootdown: Shootdown, text: str, why: str, condition: str
) -> None:
    (tests / "a.litmus").write_text(text + condition)
    ran = shootdown("litmus", "a.litmus")
    assert ran.code == 3
    assert f"\nNote: {why}, so whatever is said of all of them is true\n" in ran.out
    ran = shootdown("litmus", "a.litmus", "--quiet")
    assert (ran.code, ran.err) == (3, f"shootdown: a.litmus: {why}\n")
    ran = shootdown("litmus", "a.litmus", "own/read-only.litmus", "--json", "out.json")
    assert ran.code == 3
    assert ran.out.endswith("\nAlways              1\nno final state      1\n\n2 tests\n")
    first, second = valid((tests / "out.json").read_text())["results"]
    assert (first["answer"]["empty"], second["answer"]["empty"]) == (why, None)


def test_no_final_state_is_no_agreement(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "a.litmus").write_text(SPIN + "~exists (0:X0=7)")
    entry: dict[str, object] = {"file": "own/a.litmus", "quantifier": "~exists"}
    write(tests / "e.json", expecting(**entry, expected_ets2="Forbidden"))
    ran = shootdown("litmus", "--expected", "e.json")
    assert ran.code == 3
    assert ran.out.startswith("no final state\n  own/a.litmus (ETS2)\n      there is no final")
    assert ran.out.endswith(", 0 not reachable under SC, 1 no final state\n")
    write(tests / "e.json", expecting(**entry, herd7_states_ets2=[]))
    assert shootdown("litmus", "--expected", "e.json").code == 0
    write(
        tests / "e.json", expecting(**entry, herd7_states_ets2=["0:X0=7;"], needs_weak_memory=False)
    )
    assert shootdown("litmus", "--expected", "e.json").code == 1


# --------------------------------------------------------------------------- no regular files


@pytest.mark.parametrize("words", [["pipe.litmus"], ["own", "--expected", "pipe.litmus"], ["."]])
def test_a_pipe_is_refused(tests: Path, shootdown: Shootdown, words: list[str]) -> None:
    os.mkfifo(tests / "pipe.litmus")
    ran = shootdown("litmus", *words, "--quiet")
    assert ran.code == 2
    assert re.fullmatch(
        r"shootdown: pipe\.litmus: cannot read (it|the test): it is no regular file\n", ran.err
    )


def test_a_folder_may_be_called_like_a_test(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "more.litmus").mkdir()
    assert shootdown("litmus", "own", "--quiet").code == 0


def test_a_byte_order_mark_is_no_text(tests: Path, shootdown: Shootdown) -> None:
    for file, text in (("b.litmus", SPIN + "exists (0:X0=1)"), ("e.json", None)):
        content = json.dumps(expecting()) if text is None else text
        (tests / file).write_text(content, encoding="utf-8-sig")
    assert shootdown("litmus", "b.litmus").out.startswith("Test a Allowed\n")
    assert shootdown("litmus", "--expected", "e.json").code == 0


@pytest.mark.parametrize("verb", ["check", "why", "replay", "show", "list"])
@pytest.mark.parametrize("name", ["pipe", "./pipe", "pipe.py"])
def test_other_commands_refuse_a_pipe(
    models: Path, shootdown: Shootdown, verb: str, name: str
) -> None:
    os.mkfifo(models / "pipe")
    os.mkfifo(models / "pipe.py")
    ran = shootdown(verb, name, *(("--path", "x") if verb == "replay" else ()))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"shootdown: '{name}' is not a regular file\n"


def test_a_copy_elsewhere_is_known(tests: Path, shootdown: Shootdown) -> None:
    (tests / "answers").mkdir()
    write(tests / "answers" / "e.json", expecting())
    ran = shootdown("litmus", ".", "--expected", "answers/e.json", "--quiet")
    assert ran.out.endswith("\n1 agree, 0 disagree, 0 unsupported, 0 not reachable under SC\n")


def test_an_unfinished_search_is_no_agreement(tests: Path, shootdown: Shootdown) -> None:
    write(tests / "e.json", expecting())
    ran = shootdown("litmus", "--expected", "e.json", "--max-states", "3")
    assert ran.code == 3
    assert ran.out.startswith("unfinished\n  own/tlbi-done.litmus (ETS2)\n")


def test_other_peoples_tests(shootdown: Shootdown) -> None:
    """Each of them agrees, on each machine, and the page for users has the numbers."""
    ran = shootdown("litmus", "--expected", str(folder() / "expected.json"))
    assert ran.code == 0
    assert ran.out.startswith("SUITE")
    assert ran.out.endswith("\n176 agree, 0 disagree, 0 unsupported, 0 not reachable under SC\n")
    page = (ROOT / "docs" / "litmus.md").read_text()
    said = re.findall(r"^\| (?:\w+: .*) \| (ETS2|no ETS2) \| (.*) \|$", page, re.MULTILINE)
    printed = [re.split(r"  +", row) for row in ran.out.splitlines()[1:5]]
    assert sorted((machine, *counts.split(" | ")) for machine, counts in said) == sorted(
        tuple(row[1:]) for row in printed
    )


# --------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 2, ":1: a litmus test begins with its architecture and its name: AArch64 NAME"),
        ("X86 a\n{}\nP0;\n", 3, ":1: not modelled: architecture X86"),
        ("AArch64 a\n{}\nP0;\nHLT #1;\nforall (true)\n", 3, ":4: not modelled: instruction HLT"),
        ("AArch64 a\n{}\nP0;\nLDR;\nforall (true)\n", 2, ":4: "),
        ("\udcff", 2, ": cannot read the test: it is not text in UTF-8"),
    ],
)
def test_a_bad_test_is_named(
    tests: Path, shootdown: Shootdown, text: str, code: int, said: str
) -> None:
    (tests / "a.litmus").write_bytes(text.encode("utf-8", "surrogateescape"))
    ran = shootdown("litmus", "a.litmus")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"shootdown: a.litmus{said}")
    assert ran.err.count("\n") == 1


def test_of_several_the_worst_counts(tests: Path, shootdown: Shootdown) -> None:
    (tests / "own" / "a.litmus").write_text("X86 a\n{}\n")
    ran = shootdown("litmus", "own", "-q")
    assert ran.code == 3
    assert ran.err == "shootdown: own/a.litmus:1: not modelled: architecture X86\n"
    assert ran.out.endswith("not modelled      1\n\n5 tests\n")
    (tests / "own" / "b.litmus").write_text("no test\n")
    ran = shootdown("litmus", "own", "-q")
    assert ran.code == 2
    assert ran.out.endswith("not modelled      1\nmalformed         1\n\n6 tests\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "litmus takes FILEs or DIRs of litmus tests, or --expected FILE"),
        (["nothing"], "there is no file or folder 'nothing'"),
        (["empty"], "there is no *.litmus in 'empty'"),
        (["own", "--expected", "none.json"], "none.json: cannot read it: No such file"),
        (["own", "--expected", "mine.py"], "mine.py: it is not JSON"),
        (["own", "--expected", "none"], "none: a list of tests is expected"),
        (["--expected", "[]"], "'[]' names no test: there is nothing to compare"),
        (["--expected", "e.json", "--ets", "none"], "'e.json' has no answer for --ets none"),
        (["own", "empty", "--expected", "e.json"], "'e.json' names no test of 'empty'"),
        (["own", "--expected", ""], ".: cannot read it: it is a folder"),
        (["own", "--expected", "own"], "own: cannot read it: it is a folder"),
        (["a" * 300], f"cannot read '{'a' * 60}...{'a' * 20}': File name too long"),
        (["a/" * 3000], f"cannot read '{'a/' * 30}...{'a/' * 10}': File name too long"),
        (["own", "--expected", "a" * 300], f"{'a' * 60}...{'a' * 11}"),
        (["own/tlbi-done.litmus/a"], "there is no file or folder 'own/tlbi-done.litmus/a'"),
        (["loop"], "cannot read 'loop': Too many levels of symbolic links"),
        (["empty", "--expected", "e.json"], "'e.json' names no test of 'empty'"),
        (["gone", "--expected", "e.json"], "there is no file or folder 'gone'"),
        (["own", "--json", "gone/a.json"], "cannot write 'gone/a.json'"),
    ],
)
def test_wrong_usage(tests: Path, shootdown: Shootdown, words: list[str], said: str) -> None:
    (tests / "empty").mkdir()
    (tests / "loop").symlink_to("loop")
    write(tests / "none", {})
    write(tests / "[]", [])
    write(tests / "e.json", expecting())
    ran = shootdown("litmus", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"shootdown: {said}")
    assert ran.err.count("\n") == 1


def test_limits(tests: Path, shootdown: Shootdown) -> None:
    ran = shootdown("litmus", "own/late-flag.litmus", "--max-states", "5")
    assert ran.code == 3
    assert "\nUnknown\nWitnesses\n" in ran.out
    assert "\nObservation late-flag Unknown 0 " in ran.out
    assert ran.out.endswith(
        "\nUnfinished: the limit on states was reached after 5 states; there may be more\n"
    )
    ran = shootdown("litmus", "own", "--max-memory", "1K")
    assert (ran.code, ran.out) == (3, "")


def interrupted(after: int) -> Callable[..., Answer]:
    """``run`` until Ctrl-C comes."""
    done: list[object] = []
    real = machine.run

    def run(*words: Any) -> Answer:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(words)
        return real(*words)

    return run


def test_ctrl_c_gives_what_was_done(
    tests: Path, shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "run", interrupted(2))
    ran = shootdown("litmus", "own", "--quiet", "--json", "out.json")
    assert (ran.code, ran.err) == (3, "shootdown: interrupted\n")
    assert ran.out.count("Observation ") == 2
    assert ran.out.endswith("\n2 tests, 2 not asked\n")
    assert len(valid((tests / "out.json").read_text())["results"]) == 2
