"""``shootdown cost`` and ``shootdown compare``."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import nanoarrow
import pytest

from command_line import Shootdown
from shootdown.cost.table import Table
from shootdown.cost.workload import Plan, Workload
from shootdown.report.json import schema

SMALL = ("--cpus", "4", "--set", "rounds=200")
OWN = '''
from shootdown.cost.workload import Plan, workload
from shootdown.lang import Thread, path
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm_types import Mm, Pages
from shootdown.workloads.memory import Places
from shootdown.workloads.user import enter, spin, touch_all
from shootdown.workloads.x86 import X86


@path
def once(mm: Mm, pages: Pages) -> None:
    enter(mm)
    touch_all(mm, pages)
    madvise_dontneed(mm, pages)


@workload("mine")
def mine(pages: int = 3) -> Plan:
    """One call."""
    mm, places = ContextMm(0), Places(1, pages)
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=2),
        threads=[
            Thread(once, mm, places.area(0), on=TlbState(0)),
            Thread(spin, mm, on=TlbState(1), daemon=True),
        ],
        work={"calls": 1},
    )
'''


def valid(name: str, text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, schema(name), cls=jsonschema.Draft202012Validator)
    return document


def test_counts_and_times(shootdown: Shootdown) -> None:
    ran = shootdown("cost", "S0.V6", *SMALL)
    assert ran.code == 0
    assert "S0.V6 on dontneed (cpus=4, workers=1, pages=1, rounds=200" in ran.out
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["ipis", "600", "3"] in lines
    assert ["flushes", "200", "1"] in lines


def test_the_same_input_gives_the_same_bytes(shootdown: Shootdown) -> None:
    words = ("cost", "S0.V8", *SMALL, "--json")
    first, again = shootdown(*words), shootdown(*words)
    assert first.out == again.out
    document = valid("cost", first.out)
    assert document["options"] == {"zap_flush": "forced"}
    assert document["summary"]["ipis"] == document["counts"]["csd_queue_cpu"] == 600
    assert document["low_ns"] < document["elapsed_ns"] < document["high_ns"]


def test_a_workload_is_planned_once(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    plan = Workload.plan

    def counted(self: Workload, parameters: Mapping[str, int] | None = None) -> Plan:
        plans.append(self.name)
        return plan(self, parameters)

    monkeypatch.setattr(Workload, "plan", counted)
    assert shootdown("cost", "S0.V8", *SMALL, "--price", "invlpg=100").code == 0
    assert plans == ["dontneed"]


def test_prices_change_times_and_not_counts(shootdown: Shootdown) -> None:
    today = ("cost", "today", "--workload", "dontneed", *SMALL)
    cheap = valid("cost", shootdown(*today, "--json").out)
    far = "ipi_deliver=5000,ipi_deliver_remote=5000"
    slow = valid("cost", shootdown(*today, "--price", far, "--json").out)
    assert slow["summary"] == cheap["summary"]
    assert slow["elapsed_ns"] > cheap["elapsed_ns"] + 200 * 4000


def test_compare(shootdown: Shootdown, models: Path) -> None:
    ran = shootdown(
        "compare", "S0.V6", "S0.V0", "S0.V4", *SMALL, "--set", "pages=4", "--csv", "out.csv",
        "--plot", "out.svg", "--json", "out.json",
    )  # fmt: skip
    assert ran.code == 0
    document = valid("compare", Path("out.json").read_text())
    v6, v0, v4 = document["rows"]
    assert (v6["verdict"], v0["verdict"]) == ("HOLDS", "HOLDS")
    assert (v4["verdict"], v4["violates"]) == ("VIOLATED", "INV-S0-3")
    assert (v6["frontier"], v0["frontier"], v4["frontier"]) == (True, False, False)
    assert v0["summary"]["ipis"] == 4 * v6["summary"]["ipis"]
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert [row["variant"] for row in rows] == ["S0.V6", "S0.V0", "S0.V4"]
    assert rows[1]["ipis"] == str(v0["summary"]["ipis"])
    picture = ElementTree.fromstring(Path("out.svg").read_text())
    texts = [e.text for e in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "VIOLATED INV-S0-3" in texts
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2 * 3


def test_workloads_are_described_in_whole_sentences(shootdown: Shootdown) -> None:
    ran = shootdown("cost", "--workloads")
    assert ran.code == 0
    assert "`" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 75
    said = " ".join(ran.out.split())
    document = valid("workloads", shootdown("cost", "--workloads", "--json").out)
    for described in document["workloads"]:
        assert described["title"].endswith(".")
        assert " ".join(described["doc"].split()).startswith(described["title"])
        assert f"{described['name']} {' '.join(described['doc'].split())} " in said


def test_rows_that_say_the_same_are_named(shootdown: Shootdown) -> None:
    """One kernel with two names, and a difference that the workload does not show."""
    words = ("compare", "S0.V6", "S0.V6.full", "S0.V6.vma", *SMALL, "--no-check")
    said = " ".join(shootdown(*words).out.split())
    assert "as S0.V6: S0.V6.full (the same options of the kernel, so the same price)" in said
    assert "as S0.V6: S0.V6.vma (other options of the kernel, which make no difference" in said
    rows = valid("compare", shootdown(*words, "--json").out)["rows"]
    assert [row["like"] for row in rows] == [None, "S0.V6", "S0.V6"]


def test_a_kernel_with_a_race_is_not_recommended_under_another_name(shootdown: Shootdown) -> None:
    words = ("compare", "S0.V6", "S0.V8.alone", *SMALL, "--json")
    rows = valid("compare", shootdown(*words).out)["rows"]
    assert [(row["verdict"], row["frontier"]) for row in rows] == [
        ("HOLDS", False),
        ("HOLDS", True),
    ]
    rows = valid("compare", shootdown(*words, "S0.V8.protect").out)["rows"]
    assert rows[1]["options"] == rows[2]["options"]
    assert [row["verdict"] for row in rows] == ["HOLDS", "HOLDS", "VIOLATED"]
    assert [row["frontier"] for row in rows] == [True, False, False]


def test_a_scenario_of_no_option_is_priced_as_today(shootdown: Shootdown) -> None:
    note = "(sets no option of the kernel: priced as today)"
    assert note in shootdown("cost", "S0.V6.full", *SMALL).out
    assert note not in shootdown("cost", "S0.V8", *SMALL).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("S0.V6.pae",), "dontneed, x86-64, has pte=word only"),
        (("S0.V6", "--hardware", "pte=pae"), "dontneed, x86-64, has pte=word only"),
        (("S2a.V8.two",), "S2a.V8.two with arch=arm64 is not priced: the machine of workload"),
        (("S0.V6", "--hardware", "memory=tso"), "memory=tso says what a search lets happen"),
    ],
)
def test_what_a_machine_has_not_is_not_priced(
    shootdown: Shootdown, words: tuple[str, ...], said: str
) -> None:
    ran = shootdown("cost", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("S0.V6", "K.V3"), "workload dontneed does not run what K.V3 changes"),
        (("today", "S0.V6", "N.a"), "no size for the population Device"),
        (("S0.V6", "S0.V4", "--hardware", "memory=none"), "memory"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_priced(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    def priced(*_: object) -> None:
        raise AssertionError("priced before all variants were looked at")

    monkeypatch.setattr("shootdown.workloads.pricing.Fitting.price", priced)
    ran = shootdown("compare", *words, *SMALL, "--workload", "dontneed")
    assert ran.code == 2
    assert said in ran.err


def test_a_workload_of_ones_own(shootdown: Shootdown) -> None:
    Path("load.py").write_text(OWN)
    document = valid("cost", shootdown("cost", "today", "--workload", "load.py", "--json").out)
    assert document["workload"] == "mine"
    assert document["summary"]["ipis"] == 1
    assert document["summary"]["pages_invalidated"] == 2 * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cost",), "name a variant"),
        (("cost", "today"), "name a workload with --workload: dontneed"),
        (("cost", "today", "--workload", "dontned"), "did you mean 'dontneed'?"),
        (("cost", "S0.V6", "--set", "page=3"), "has no parameter 'page'; it has: cpus"),
        (("cost", "S0.V6", "--profile", "skylake"), "skylake"),
        (("cost", "S0.V6", "--price", "invlgp=3"), "did you mean 'invlpg'?"),
        (("cost", "S0.V6", "--cpus", "3", "--set", "cpus=4"), "say different things"),
        (("cost", "S0.V6", "--cpus", "100000000"), "4096 is the most"),
        (("cost", "S0.V6", "--csv", "a.out", "--json=./a.out", *SMALL), "two outputs go to"),
        (("compare", "S0.V6", "--plot", "x.png", *SMALL), "ends in .svg"),
        (("cost", "S9.V1"), "there is no scenario 'S9.V1'"),
        (("compare", "S0.V6", "S1.V0", "--workload", "dontneed"), "S1.V0"),
        (("cost", "today", "--workload", "mine.py"), "no workload in this file"),
        (("cost", "S0.V6", "--csv", "/nowhere/x.csv", *SMALL), "cannot write '/nowhere/x.csv'"),
    ],
)
def test_mistakes(shootdown: Shootdown, words: tuple[str, ...], said: str) -> None:
    ran = shootdown(*words)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_variant_that_the_workload_does_not_run(shootdown: Shootdown) -> None:
    ran = shootdown("cost", "S0.V10", *SMALL)
    assert ran.code == 2
    assert "does not run what S0.V10 changes (pv_flush)" in ran.err


def test_too_few_frames_is_one_clear_error(shootdown: Shootdown) -> None:
    Path("load.py").write_text(
        OWN.replace("places.sizes(cpus=2)", "{**places.sizes(cpus=2), Frame: 2}").replace(
            "from shootdown.lang import",
            "from shootdown.hardware.machine import Frame\nfrom shootdown.lang import",
        )
    )
    ran = shootdown("cost", "today", "--workload", "load.py")
    assert ran.code == 2
    assert "no free frame left" in ran.err


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_computed(started: Callable[..., subprocess.Popen[str]]) -> None:
    child = started("cost", "S0.V6", "--set", "rounds=500000000", "--json")
    assert child.stderr is not None
    assert "simulated" in child.stderr.readline()  # the first progress
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 3
    document = valid("cost", out)
    assert document["finished"] is False
    assert document["summary"]["ipis"] > 0


def test_tables_open_as_dataframes() -> None:
    table = Table({"name": ["a", "b"], "ipis": [1, None], "share": [0.5, 2], "safe": [True, False]})
    rows = nanoarrow.Array(table).to_pylist()
    assert rows == [
        {"name": "a", "ipis": 1, "share": 0.5, "safe": True},
        {"name": "b", "ipis": None, "share": 2.0, "safe": False},
    ]
    assert nanoarrow.ArrayStream(table).read_all().to_pylist() == rows
    assert table.csv().splitlines() == ["name,ipis,share,safe", "a,1,0.5,true", "b,,2,false"]
    assert "<td>b</td>" in table._repr_html_()


def test_a_verdict_is_of_the_options_that_are_priced(shootdown: Shootdown) -> None:
    words = ("compare", "S0.V6", *SMALL, "--hardware", "nested=none", "--json")
    (row,) = valid("compare", shootdown(*words).out)["rows"]
    assert (row["verdict"], row["violates"]) == ("VIOLATED", "INV-S0-3")
    assert row["frontier"] is False
    assert row["hardware"] == {"nested": "none"}


def test_the_flush_ceiling_is_the_profiles(shootdown: Shootdown) -> None:
    words = ("cost", "S0.V6", *SMALL, "--set", "pages=40", "--json")
    assert valid("cost", shootdown(*words).out)["summary"]["full_flushes"] == 4 * 200
    higher = valid("cost", shootdown(*words, "--price", "flush_ceiling=64").out)
    assert higher["summary"]["full_flushes"] == 0
    assert higher["prices"] == {"flush_ceiling": 64}


def test_a_loop_without_a_step_can_be_interrupted(
    started: Callable[..., subprocess.Popen[str]], models: Path
) -> None:
    (models / "load.py").write_text(
        OWN.replace("    madvise_dontneed", "    while True:\n        pass\n    madvise_dontneed")
    )
    child = started("cost", "today", "--workload", "load.py", "--json")
    assert child.stderr is not None
    assert "simulated" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 3
    assert valid("cost", out)["finished"] is False
