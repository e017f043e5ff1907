from __future__ import annotations

import json
import signal
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from shootdown.report.json import schema

ENGINE = ("--engine", "reference")


@pytest.mark.parametrize(
    ("name", "code"),
    [("race", 1), ("safe", 0), ("empty", 3), ("stuck", 1), ("range", 2), ("outside", 2)],
)
@pytest.mark.parametrize("engine", ["reference", "native"])
def test_exit_codes(shootdown: Shootdown, name: str, code: int, engine: str) -> None:
    assert shootdown("check", f"mine.py::{name}", "--engine", engine).code == code


def test_the_race(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::race", *ENGINE)
    head, _, reproduce = ran.out.partition("\nexplored ")
    assert head.splitlines() == [
        "VIOLATED  INV-COUNT: an increment was lost",
        "shortest race: 6 steps (2 CPUs)",
        "",
        "    CPU0                                CPU1",
        "    bump(mm)",
        "      read mm.count -> 0",
        "                                        bump(mm)",
        "                                          read mm.count -> 0",
        "      mm.count = 1",
        "      return to user",
        "                                          mm.count = 1",
        "                                          return to user    <-- INV-COUNT",
    ]
    assert reproduce.startswith("24 states in 0.0")
    assert "reproduce: shootdown replay mine.py::race --path " in reproduce
    assert ran.err == ""


def test_any_limit_is_unknown(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "--max-states", "5", *ENGINE)
    assert ran.code == 3
    assert ran.out.startswith(
        "UNKNOWN  safe: Two CPUs count under a lock.\n"
        "  the limit on states was reached; no violation in what was explored.\n"
    )
    assert ran.out.endswith("expected: HOLDS\n")


def test_bounds_and_hardware(shootdown: Shootdown) -> None:
    ran = shootdown(
        "check", "mine.py::safe", "--bound", "cpus=3", "--hardware", "memory=tso", *ENGINE
    )
    assert ran.code == 0
    assert "  bounds        3 CPUs\n" in ran.out
    assert "memory=tso" in ran.out


def test_quiet(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::race", "--quiet", *ENGINE)
    assert (ran.code, ran.out) == (1, "VIOLATED  INV-COUNT: an increment was lost\n")


def test_several_end_in_a_table_and_the_worst_code(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", *ENGINE, "--quiet", "mine.py::empty")
    lines = ran.out.splitlines()
    assert ran.code == 3
    assert [line.split("  ")[0] for line in lines] == [
        "NAME",
        "safe",
        "empty",
        "",
        "all 2 as expected",
    ]
    ran = shootdown("check", "mine.py", *ENGINE)
    assert ran.code == 2
    assert ran.out.startswith("VIOLATED  INV-COUNT")
    assert ran.out.endswith("4 of 7 as expected\n")
    assert ran.err.splitlines() == [
        "mine.py:48: an import inside a path is outside the language",
        "    import os",
        "  import at the top of the file",
        "mine.py:120: building raises failed: ZeroDivisionError: "
        "integer division or modulo by zero",
        "    return setup(1 // (cpus - 1), [])",
    ]


def library_of(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    from shootdown.lang.loader import load

    found = tuple(load("mine.py").find(name) for name in names)
    monkeypatch.setattr("shootdown.commands.targets.library", lambda: found)


def test_all(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(monkeypatch, "race", "safe", "empty")
    ran = shootdown("check", "--all", *ENGINE)
    assert ran.code == 0  # each as expected, whatever its own exit code
    assert [line.split("  ")[0].rstrip() for line in ran.out.splitlines()] == [
        "NAME",
        "race",
        "safe",
        "empty",
        "",
        "all 3 as expected",
    ]
    library_of(monkeypatch, "range", "safe")
    ran = shootdown("check", "--all", *ENGINE)
    assert ran.code == 1
    table, report = ran.out.split("\n\n", 1)
    assert [line.split()[0] for line in table.splitlines()] == ["NAME", "range", "safe"]
    assert report.startswith("MODEL ERROR  ")
    assert report.endswith("1 of 2 as expected\n")


def test_names_of_the_library(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    library_of(monkeypatch, "race", "safe")
    assert shootdown("check", "SAFE", *ENGINE).code == 0
    assert shootdown("check", "bad-1", *ENGINE).code == 1
    ran = shootdown("check", "bad-2", *ENGINE)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "shootdown: there is no scenario 'bad-2' (`shootdown list` shows all); "
        "did you mean 'BAD-1'?\n"
    )


def test_json_to_stdout_is_nothing_but_json(shootdown: Shootdown) -> None:
    ran = shootdown("check", "--json", "mine.py::race", *ENGINE, "--color", "always")
    document = json.loads(ran.out)
    jsonschema.validate(document, schema("check"))
    assert document["results"][0]["violation"]["name"] == "INV-COUNT"
    assert (ran.code, document["exit_code"]) == (1, 1)


def test_json_to_a_file_beside_the_text(shootdown: Shootdown, models: Path) -> None:
    ran = shootdown("check", "mine.py", "--json", "out.json", *ENGINE, "--color", "always")
    text = (models / "out.json").read_text()
    assert "\x1b" not in text
    assert "\x1b[1;31mVIOLATED\x1b[0m" in ran.out
    document = json.loads(text)
    jsonschema.validate(document, schema("check"))
    assert [r["verdict"] for r in document["results"]] == [
        "VIOLATED",
        "HOLDS",
        "VACUOUS",
        "VIOLATED",
        "MODEL ERROR",
        "ERROR",
        "ERROR",
    ]


def test_no_color_outside_a_terminal(shootdown: Shootdown) -> None:
    assert "\x1b" not in shootdown("check", "mine.py::race", *ENGINE).out


def test_a_mutant(shootdown: Shootdown) -> None:
    ran = shootdown("show", "mine.py::safe", "--json")
    (site,) = json.loads(ran.out)["sites"]
    ran = shootdown("check", "mine.py::safe", "--without", site["id"], *ENGINE)
    assert ran.code == 1
    assert f"--without '{site['id']}' \\\n    --path " in ran.out
    assert "expected" not in ran.out


INTERRUPTS = """
from shootdown.hardware import AddressSpace, Cpu, Frame, Page, ipi
from shootdown.lang import Hardware, Setup, Thread, path, scenario, this


@path
def flush() -> None:
    ipi.call_many({Cpu(0), Cpu(1)}, {Page(0)})
    assert not this(Cpu).irq_on, "INV-OFF: interrupts are on"


def setup(hardware: Hardware) -> Setup:
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, AddressSpace: 1},
        threads=[Thread(flush, on=Cpu(0))],
        hardware=hardware,
    )


@scenario("none", expect="VIOLATED", violates="deadlock")
def none() -> Setup:
    return setup(Hardware("none"))


@scenario("some", expect="VIOLATED", violates="INV-OFF")
def some() -> Setup:
    return setup(Hardware("ipi", rules=(ipi.handle_call,)))
"""


def test_a_rule_is_drawn_where_it_happens(models: Path, shootdown: Shootdown) -> None:
    """Also on a CPU that runs no thread, not under the sender."""
    (models / "ipi.py").write_text(INTERRUPTS)
    rows = shootdown("check", "ipi.py::some").out.splitlines()
    (heading,) = [row for row in rows if row.split() == ["CPU0", "CPU1"]]
    (interrupt,) = [row for row in rows if "<IPI from CPU0: invalidate>" in row]
    assert interrupt.index("<") == heading.index("CPU1")


def test_a_deadlock_without_hardware_has_a_hint(models: Path, shootdown: Shootdown) -> None:
    (models / "ipi.py").write_text(INTERRUPTS)
    hint = "\n\nhint: this scenario has no hardware that could answer, as by taking an IPI:\n"
    ran = shootdown("check", "ipi.py::none")
    assert hint in ran.out
    token = ran.out.split()[-1]
    assert hint.rstrip() in shootdown("replay", "ipi.py::none", "--path", token).out
    assert "hint" not in shootdown("check", "mine.py::stuck").out


def test_reductions_by_name(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "--reduce", "fast", *ENGINE)
    assert ran.code == 2
    assert "'fast' is no reduction: write auto, none, or some of symmetry, order, merge" in ran.err
    assert shootdown("check", "mine.py::safe", "--reduce", "none", *ENGINE).code == 0


def test_lanes(shootdown: Shootdown) -> None:
    """The same verdict; the line of the states says how they were searched."""
    usual, lanes = (shootdown("check", "mine.py::safe", "--lanes", how) for how in ("off", "on"))
    assert usual.code == lanes.code == 0
    assert "no variables make lanes" in " ".join(lanes.out.split())
    assert "lanes" not in usual.out
    assert shootdown("check", "mine.py::race", "--lanes", "on").code == 1


def test_threads(shootdown: Shootdown) -> None:
    """The same text but for the time and the memory."""
    one, two = (shootdown("check", "mine.py::race", "--threads", n) for n in ("1", "2"))
    assert one.code == two.code == 1
    assert two.out.splitlines()[-1] == one.out.splitlines()[-1]  # the token
    assert "reproduce: " in one.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["0"], "'0' is not a number from 1 to 16"),
        (["two"], "'two' is not a number from 1 to 16"),
        (["17"], "'17' is not a number from 1 to 16"),
        (["2", "--lanes", "on"], "leave out --lanes"),
        (["2", "--engine", "reference"], "leave out --engine"),
        (["2", "--factors"], "leave out --threads"),
    ],
)
def test_threads_that_cannot_be(words: list[str], says: str, shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "--threads", *words)
    assert ran.code == 2
    assert says in ran.err


def test_lanes_need_the_native_engine(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "--lanes", "on", *ENGINE)
    assert ran.code == 2
    assert "only the native engine has lanes" in ran.err


def test_help_says_what_excludes_threads(shootdown: Shootdown) -> None:
    said = " ".join(shootdown("check", "--help").out.split())
    assert "default: 1. Not with --lanes" in said
    assert "Not with --lanes or --threads" in said  # --compact


def late(*_: object) -> None:
    """What takes until the time limit that covers it; without one, this ends the tests."""
    signal.raise_signal(signal.SIGALRM)


def pressed(*_: object) -> None:
    """Somebody presses Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


SHOWING = [
    ("check.trace.trace_violation", ()),
    ("check.tokens.encode_token", ()),
    ("check.native.store.Store._first_parent", ()),
    ("check.native.compact_store.CompactStore._ways_to", ("--compact",)),
    ("check.reduce.concretize.real_violation", ("--reduce", "symmetry,order,merge")),
]


@pytest.mark.parametrize(("where", "words"), SHOWING)
def test_ctrl_c_while_a_race_is_shown_leaves_the_verdict(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, where: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(f"shootdown.{where}", pressed)
    two = ("mine.py::race", "mine.py::safe") if words == () else ("mine.py::race",)
    ran = shootdown("check", *two, "--jobs", "1", *words, "--json", "race.json")
    assert ran.code == 1
    assert ran.out.startswith("VIOLATED  INV-COUNT: an increment was lost\n")
    assert "; interrupted before they were known one by one" in ran.out.replace("\n  ", " ")
    document = json.loads(Path("race.json").read_text())
    jsonschema.validate(document, schema("check"), cls=jsonschema.Draft202012Validator)
    (result,) = document["results"]  # the others are not checked
    found = result["violation"]
    assert (result["verdict"], found["name"]) == ("VIOLATED", "INV-COUNT")
    assert (found["steps"], found["token"], found["cut"]) == ([], None, "interrupt")


@pytest.mark.parametrize("words", [(), ("--all-invariants",)])
def test_ctrl_c_while_the_steps_of_the_hardware_are_looked_for(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("shootdown.check.witness.concrete_trace", pressed)
    ran = shootdown("check", "MADV-PARALLEL", *words)
    assert ran.code == 1
    assert "takes for it: interrupted\n" in ran.out.replace("\n  ", " ")
    assert "madvise(MADV_DONTNEED)" in ran.out


def test_ctrl_c_while_symmetry_is_looked_for_leaves_what_was_searched(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shootdown.check.reduce.auto.FIRST", 20)
    monkeypatch.setattr("shootdown.check.reduce.auto.reductions", pressed)
    ran = shootdown("check", "mine.py::safe")
    assert ran.code == 3
    assert "\n  interrupted; no violation" in ran.out
    assert "explored      20 states" in ran.out


@pytest.mark.parametrize("where", ["check.trace.trace_violation", "check.tokens.encode_token"])
def test_no_time_to_show_a_race(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(f"shootdown.{where}", late)
    ran = shootdown("check", "mine.py::race", "--max-time", "500", "--json", "race.json")
    assert ran.code == 1
    assert ran.out.startswith("VIOLATED  INV-COUNT: an increment was lost\n")
    assert (
        "shortest race: 6 steps; the limit on time was reached before they were known one by one"
        in " ".join(ran.out.split())
    )
    document = json.loads(Path("race.json").read_text())
    jsonschema.validate(document, schema("check"), cls=jsonschema.Draft202012Validator)
    (result,) = document["results"]
    found = result["violation"]
    assert (result["verdict"], found["name"], found["length"]) == ("VIOLATED", "INV-COUNT", 6)
    assert (found["steps"], found["token"], found["diagram"]) == ([], None, "")
    assert found["cut"] == "time"


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_no_time_for_the_path_of_a_reduced_race(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr("shootdown.check.reduce.concretize.real_violation", late)
    words = ("--reduce", "symmetry,order,merge", "--engine", engine, "--max-time", "500")
    ran = shootdown("check", "mine.py::race", *words, "--json", "race.json")
    assert ran.code == 1
    assert ran.out.startswith("VIOLATED  INV-COUNT: an increment was lost\na race: its steps; ")
    document = json.loads(Path("race.json").read_text())
    jsonschema.validate(document, schema("check"), cls=jsonschema.Draft202012Validator)
    found = document["results"][0]["violation"]
    assert (found["length"], found["cut"]) == (None, "time")
    ran = shootdown("check", "mine.py::stuck", *words)
    assert ran.code == 1
    assert ran.out.startswith("VIOLATED  deadlock")


def test_no_time_for_a_race_of_the_concrete_hardware(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is the race that was found, and the report says so."""
    whole = shootdown("check", "MADV-PARALLEL", "--max-time", "500", "--json", "whole.json")
    assert "shown without" not in whole.out
    monkeypatch.setattr("shootdown.check.witness.concrete_trace", late)
    ran = shootdown("check", "MADV-PARALLEL", "--max-time", "500", "--json", "cut.json")
    assert ran.code == 1
    assert "shortest race: 11 steps (2 CPUs" in ran.out
    assert (
        "shown without the steps that the hardware takes for it: the limit on time was reached\n"
        in ran.out.replace("\n  ", " ")
    )
    cuts = {}
    for name in ("whole", "cut"):
        document = json.loads(Path(f"{name}.json").read_text())
        jsonschema.validate(document, schema("check"), cls=jsonschema.Draft202012Validator)
        cuts[name] = document["results"][0]["violation"]["cut"]
    assert cuts == {"whole": None, "cut": "time"}
    (command,) = [line for line in ran.out.splitlines() if line.startswith("reproduce: ")]
    again = shootdown(*command.split()[2:])
    assert again.code == 1


def test_options_that_do_nothing_in_some_of_several_scenarios(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "KVM-VMID-GEN.fixed", "X2.V3.pv", "--max-states", "9")
    ran = shootdown(*words, "--hardware", "preemption=explicit")
    assert ran.err == "shootdown: --hardware preemption does nothing in safe, KVM-VMID-GEN.fixed\n"
    assert shootdown(*words, "--hardware", "preemption=explicit", "--quiet").err == ""
    assert shootdown(*words, "--hardware", "memory=tso").err == ""


def test_no_time_for_the_analysis_of_factors(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shootdown.check.reduce.auto.chosen", late)
    ran = shootdown("check", "mine.py::safe", "--factors", "--max-time", "500")
    assert ran.code == 3
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[2][:4] == ["as", "it", "is", "27"]
    assert rows[3][:3] == ["and", "symmetry", "-"]
    assert rows[3][-1] == "UNKNOWN"
