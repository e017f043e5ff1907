from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.report.json import schema


@pytest.fixture
def token(shootdown: Shootdown) -> str:
    ran = shootdown("check", "mine.py::race", "--engine", "reference")
    return ran.out.split("--path ")[1].strip()


def test_list(shootdown: Shootdown) -> None:
    ran = shootdown("list", "mine.py")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[:4] == [
        "NAME     EXPECTED            WHAT",
        "race     VIOLATED INV-COUNT  Two CPUs count. (also BAD-1)",
        "safe     HOLDS               Two CPUs count under a lock.",
        "empty    VACUOUS             Two CPUs never reach three.",
    ]
    assert shootdown("list", "mine.py", "--quiet").out.split() == [
        "race", "safe", "empty", "stuck", "range", "outside", "raises",
    ]  # fmt: skip


def test_list_json(shootdown: Shootdown) -> None:
    document = json.loads(shootdown("list", "mine.py", "--json").out)
    jsonschema.validate(document, schema("list"))
    assert document["scenarios"][0]["aliases"] == ["BAD-1"]


@pytest.mark.parametrize(
    ("begin", "scenarios"),
    [
        ("k.v2", {"K.V2", "BAD-S1-2"}),
        ("bad-s1-2", {"K.V2", "BAD-S1-2"}),
        ("INV-S4-4", {"N.pre", "BAD-S4-2"}),
    ],
)
def test_list_by_the_beginning_of_a_name(
    shootdown: Shootdown, begin: str, scenarios: set[str]
) -> None:
    ran = shootdown("list", begin, "--json")
    listed = json.loads(ran.out)["scenarios"]
    assert scenarios <= {name for s in listed for name in (s["name"], *s["aliases"])}
    for scenario in listed:
        names = [scenario["name"], *scenario["aliases"], scenario["expected"]["violates"] or ""]
        assert any(name.lower().startswith(begin.lower()) for name in names)


def test_list_says_what_is_not_modelled(shootdown: Shootdown) -> None:
    listed = shootdown("list").out.split("\n\n")[-1].splitlines()
    assert listed[0].startswith("NOT MODELLED")
    named = {line.split()[0] for line in listed[1:]}
    assert {"PENDING-ORDER", "ARM64-NOISB"} <= named
    known = shootdown("list", "--quiet").out.split()
    assert not named & set(known)
    ran = shootdown("list", "PENDING-ORDER", "--json")
    document = json.loads(ran.out)
    jsonschema.validate(document, schema("list"))
    assert [race["name"] for race in document["not_modelled"]] == ["PENDING-ORDER"]
    assert shootdown("check", "PENDING-ORDER").err == (
        "shootdown: PENDING-ORDER is not modelled: it needs store-store reordering, and memory "
        "here is sequentially consistent or x86-TSO (`shootdown list PENDING-ORDER`)\n"
    )


def test_list_of_an_unknown_name(shootdown: Shootdown) -> None:
    ran = shootdown("list", "S0.V66")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "shootdown: no name begins with 'S0.V66', and no title says it "
        "(`shootdown list` shows all); did you mean 'S0.V6'?\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("",), "'' names nothing: leave it out to list all"),
        (("--invariants", " "), "' ' names nothing: leave it out to list all"),
        (
            ("mine.py::race",),
            "list takes a whole file, or a name, without '::': not 'mine.py::race'",
        ),
        (
            ("--invariants", "mine.py"),
            "--invariants lists those of the library, not those of a file",
        ),
        (
            ("--invariants", "S9"),
            "no invariant begins with 'S9' (`shootdown list --invariants` shows all)",
        ),
    ],
)
def test_list_of_nothing(shootdown: Shootdown, words: tuple[str, ...], message: str) -> None:
    ran = shootdown("list", *words)
    assert (ran.code, ran.out, ran.err) == (2, "", f"shootdown: {message}\n")


def test_a_system_is_not_the_beginning_of_another_name(shootdown: Shootdown) -> None:
    names = shootdown("list", "S3", "-q").out.split()
    assert "S3.BBM" in names
    assert "S390-CRST" not in names
    assert "S390-CRST" in shootdown("list", "S39", "-q").out.split()


def test_list_of_the_invariants_of_a_system(shootdown: Shootdown) -> None:
    named = shootdown("list", "--invariants", "INV-S3", "-q").out
    assert "INV-S3-1" in named.split()
    assert shootdown("list", "--invariants", "s3", "-q").out.split()[: len(named.split())] == (
        named.split()
    )


def test_list_of_invariants(shootdown: Shootdown) -> None:
    document = json.loads(shootdown("list", "--invariants", "--json").out)
    jsonschema.validate(document, schema("invariants"))
    stated = {invariant["name"]: invariant for invariant in document["invariants"]}
    assert stated["INV-S0-7"]["broken_by"] == ["S0.V1.rmap", "S0.V2.rmap"]
    assert stated["INV-LOCKLESS"]["refined"] == ["INV-S0-5", "INV-S3-7"]
    assert set(stated["INV-LOCKLESS"]["refined"]) <= set(stated)
    ran = shootdown("list", "--invariants", "INV-S0-7")
    assert [line[:8].strip() for line in ran.out.splitlines()] == ["NAME", "INV-S0-7", ""]
    assert shootdown("list", "--invariants", "INV-S9").code == 2


def test_replay(shootdown: Shootdown, token: str) -> None:
    checked = shootdown("check", "mine.py::race", "--engine", "reference")
    ran = shootdown("replay", "mine.py::race", "--path", token)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.replace("race: ", "shortest race: ", 1) == checked.out.split("\nexplored ")[0]


def test_replay_with_other_bounds_as_printed(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::race", "--bound", "cpus=3")
    command = ran.out.split("reproduce: shootdown ")[1].split()
    assert (
        shootdown(*command).out.splitlines()[1:]
        == [line.replace("shortest ", "") for line in ran.out.split("\nexplored ")[0].splitlines()][
            1:
        ]
    )


@pytest.mark.parametrize(("name", "code"), [("stuck", 1), ("range", 2)])
def test_replay_of_other_endings(shootdown: Shootdown, name: str, code: int) -> None:
    ran = shootdown("check", f"mine.py::{name}", "--engine", "reference")
    command = ran.out.split("reproduce: shootdown ")[1].split("\n")[0].split()
    again = shootdown(*command)
    assert again.code == code
    assert again.out.splitlines()[0] == ran.out.splitlines()[0]


def test_replay_json(shootdown: Shootdown, token: str) -> None:
    ran = shootdown("replay", "mine.py::race", "--path", token, "--json", "-")
    document = json.loads(ran.out)
    jsonschema.validate(document, schema("replay"))
    assert document["violation"]["token"] == token


def test_replay_refuses_other_tokens(shootdown: Shootdown, token: str) -> None:
    ran = shootdown("replay", "mine.py::safe", "--path", token)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "shootdown: this token was made for another version of mine.py::safe (or other "
        "bounds/hardware): run `shootdown check mine.py::safe` for a new one\n"
    )
    ran = shootdown("replay", "mine.py::race", "--path", token[:-1])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"shootdown: '{token[:-1]}' is not a token: copy all of what `shootdown check` printed\n"
    )


def test_show(shootdown: Shootdown) -> None:
    ran = shootdown("show", "mine.py::safe")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:2] == ["safe: Two CPUs count under a lock.", ""]
    assert not any("speed=" in line for line in lines)  # nothing in it consults that option
    start = lines.index("thread CPU0: 5 steps")
    assert lines[start + 1 :] == [
        "       bump(mm)",
        "    1    spin_lock(mm.ptl)                      mine.py:23",
        "    2    read mm.count                          mine.py:24",
        "    3    mm.count =                             mine.py:24",
        "    4    spin_unlock(mm.ptl)                    mine.py:23",
        "    5    return to user                         mine.py:27",
        "",
        "thread CPU1: 5 steps, the same as CPU0",
        "",
        "what --without can leave out",
        "       'mine.py:23 lock mm.ptl'",
    ]


def test_show_tells_the_docstring(shootdown: Shootdown) -> None:
    assert shootdown("show", "mine.py::race").out.startswith(
        "race: Two CPUs count.\n\n  Neither takes the lock.\n\n"
    )


def test_show_json(shootdown: Shootdown) -> None:
    document = json.loads(shootdown("show", "mine.py::safe", "--json").out)
    jsonschema.validate(document, schema("show"))
    assert [len(thread["steps"]) for thread in document["threads"]] == [5, 5]


def test_show_a_race_state_by_state(shootdown: Shootdown, token: str) -> None:
    ran = shootdown("show", "mine.py::race", "--path", token)
    assert (ran.code, ran.err) == (1, "")  # as for replay
    assert "step 1: CPU0: read mm.count -> 0\n" in ran.out
    step = ran.out.split("step 3: ")[1].split("\n\n")[0].splitlines()
    assert step[:4] == [
        "CPU0: mm.count = 1",
        "      at mine.py:26: mm.count += 1",
        "      in bump(mm)",
        "      mm.count: 0 -> 1",
    ]
    document = json.loads(shootdown("show", "mine.py::race", "--path", token, "--json").out)
    jsonschema.validate(document, schema("replay"))


TWICE = """
from shootdown.lang import Object, Setup, Thread, path, scenario


class Cell(Object):
    flag: bool
    left: bool
    right: bool


@path
def fill() -> None:
    Cell(0).left = True
    Cell(0).right = True


@path
def clear() -> None:
    Cell(0).left = False


@path
def twice() -> None:
    if Cell(0).flag:
        fill()
    else:
        clear()
    fill()
    Cell(0).flag = True


@scenario("twice", expect="HOLDS")
def fill_twice() -> Setup:
    return Setup(sizes={Cell: 1}, threads=[Thread(twice)])
"""


def test_show_reads_as_the_source_does(models: Path, shootdown: Shootdown) -> None:
    """Both ways of a branch come before what follows them; each call names its own line."""
    (models / "twice.py").write_text(TWICE)
    lines = shootdown("show", "twice.py").out.splitlines()
    start = lines.index("thread T0: 7 steps")
    assert lines[start + 1 : start + 11] == [
        "       twice()",
        "    1    read cell.flag                         twice.py:24",
        "         fill()                                 twice.py:25",
        "    2      cell.left =                          twice.py:13",
        "    3      cell.right =                         twice.py:14",
        "    4    clear()                                twice.py:27",
        "         fill()                                 twice.py:28",
        "    5      cell.left =                          twice.py:13",
        "    6      cell.right =                         twice.py:14",
        "    7    cell.flag =                            twice.py:29",
    ]
    document = json.loads(shootdown("show", "twice.py", "--json").out)
    jsonschema.validate(document, schema("show"))
    sites = [[call["site"] for call in s["calls"]] for s in document["threads"][0]["steps"]]
    assert [at[-1] and at[-1]["line"] for at in sites] == [None, 25, 25, 27, 28, 28, None]


def test_show_a_race_says_which_call(models: Path, shootdown: Shootdown) -> None:
    (models / "twice.py").write_text(
        TWICE.replace("    Cell(0).flag = True\n", "    assert not Cell(0).right\n")
    )
    token = shootdown("check", "twice.py").out.split("--path ")[1].split()[0]
    shown = shootdown("show", "twice.py", "--path", token).out
    assert "in twice() > clear() (twice.py:27)\n" in shown
    assert "in twice() > fill() (twice.py:28)\n" in shown


def test_show_of_a_thread_that_begins_with_a_choice(models: Path, shootdown: Shootdown) -> None:
    """Its first step is no access, and has a place in the source all the same."""
    (models / "toss.py").write_text(
        "from shootdown.lang import Object, Setup, Thread, choose, path, scenario\n\n\n"
        "class Coin(Object):\n    up: bool\n\n\n"
        "@path\ndef toss() -> None:\n"
        "    if choose(False, True):\n        Coin(0).up = True\n    assert not Coin(0).up\n\n\n"
        '@scenario("toss", expect="VIOLATED")\n'
        "def toss_it() -> Setup:\n"
        "    return Setup(sizes={Coin: 1}, threads=[Thread(toss)])\n"
    )
    ran = shootdown("show", "toss.py")
    assert ran.code == 0
    (row,) = [row for row in ran.out.splitlines() if row.split()[1:2] == ["start"]]
    assert row.endswith("toss.py:9")
