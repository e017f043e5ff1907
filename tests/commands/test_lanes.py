"""``--lanes``: what is said of them, and searches that survive: real kills, full disks, limits."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from command_line import Shootdown
from long_searches import RUN, checked, facts, killed_after
from shootdown.check.native import keep

BITS = '''
from shootdown.lang import (
    Hardware, Object, Setup, Thread, invariant, path, ranged, rule, scenario, this,
)


class Cpu(Object, show="CPU{}"):
    count: int = ranged(0, 20)


class Bit(Object):
    on: bool


@rule
def flip(bit: Bit) -> None:
    bit.on = not bit.on


@path
def count() -> None:
    for _ in range(20):
        this(Cpu).count += 1


@invariant("INV-BITS")
def below() -> bool:
    """all have counted, and all bits are on"""
    return not all(cpu.count == 20 for cpu in Cpu) or not all(bit.on for bit in Bit)


def setup(bits, cpus, invariants):
    return Setup(
        sizes={Cpu: cpus, Bit: bits},
        threads=[Thread(count, on=Cpu(c)) for c in range(cpus)],
        hardware=Hardware(name="bits", rules=(flip,)),
        invariants=invariants,
    )


@scenario("race", expect="VIOLATED", violates="INV-BITS")
def race(bits: int = 8, cpus: int = 2) -> Setup:
    """Bits come and go, while CPUs count."""
    return setup(bits, cpus, [below])


@scenario("safe", expect="HOLDS")
def safe(bits: int = 8, cpus: int = 2) -> Setup:
    """The same, and nobody looks at it."""
    return setup(bits, cpus, [])
'''


@pytest.fixture(autouse=True)
def model(models: Path) -> None:
    (models / "bits.py").write_text(BITS)


@pytest.mark.parametrize("name", [pytest.param("safe", marks=pytest.mark.deep), "race"])
def test_kill_and_resume(name: str) -> None:
    words = (f"bits.py::{name}", "--bound", "bits=16", "--lanes", "on")
    killed_after("checkpoint", *words, "--checkpoint", "c", "--checkpoint-every", "0.02")
    content = Path("c").read_bytes()
    again = ("--resume", "c", "--checkpoint-every", "0.02")
    killed_after("checkpoint", *words, *again)
    assert Path("c").read_bytes() != content  # it was replaced
    whole, resumed = checked(*words), checked(*words[:3], "--resume", "c")  # it has its lanes
    assert whole["results"][0]["states"] > 100_000_000
    assert facts(resumed) == facts(whole)


def test_an_interrupt_keeps_the_search() -> None:
    words = ("bits.py::safe", "--bound", "bits=18", "--lanes", "on")
    with subprocess.Popen(
        [*RUN, "check", *words, "--checkpoint", "c", "--json-events"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if json.loads(line)["event"] == "progress":
                process.send_signal(signal.SIGINT)
                break
        told = process.stdout.read()
        process.stderr.read()
    assert process.wait() == 3
    assert "interrupted; no violation in what was explored" in told
    assert "go on: shootdown check bits.py::safe --bound bits=18 --resume c" in told
    assert Path("c").stat().st_size > 0


def test_a_limit_and_its_report(shootdown: Shootdown) -> None:
    words = ("check", "bits.py::safe", "--lanes", "on")
    ran = shootdown(*words, "--max-states", "50000", "--checkpoint", "c")
    assert ran.code == 3
    assert "\ngo on: shootdown check bits.py::safe --resume c\n" in ran.out
    again = ("check", "bits.py::safe", "--resume", "c")
    document = json.loads(shootdown(*again, "--json").out)
    assert facts(document) == facts(json.loads(shootdown(*words, "--json").out))
    assert "states at a time" in " ".join(shootdown(*again).out.split())


def test_the_limit_on_memory_keeps_the_search(shootdown: Shootdown) -> None:
    words = ("check", "bits.py::safe", "--lanes", "on", "--bound", "bits=17")
    ran = shootdown(*words, "--max-memory", "16M", "--checkpoint", "c")
    assert ran.code == 3
    assert "the limit on memory was reached" in ran.out
    assert "--resume c" in ran.out
    ran = shootdown("check", "bits.py::safe", "--bound", "bits=17", "--resume", "c", "--quiet")
    assert ran.code == 0


def test_a_long_one_is_kept_unasked(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(keep, "WORTH_IT", 0.0)
    words = ("check", "bits.py::safe", "--lanes", "on", "--max-states", "9999")
    ran = shootdown(*words)
    (file,) = (tmp_path / "cache" / "shootdown" / "searches").iterdir()
    assert file.name.endswith("-lanes-on")
    assert ran.err.startswith("shootdown: bits.py::safe: keeping what was found in '")
    assert shootdown("check", "bits.py::safe", "--resume", str(file)).code == 0
    assert not file.exists()


LEAVE = "leave out --lanes, and it goes on as it began"


@pytest.mark.parametrize(
    ("kept", "words", "said"),
    [
        ("on", ("bits.py::race",), "is a search of another scenario (safe; here: race)"),
        ("on", ("bits.py::safe", "--bound", "bits=7"), "other bounds (bits=8,cpus=2; here: bits=7"),
        ("off", ("bits.py::safe", "--lanes", "on"), f"with other lanes (none; here: on): {LEAVE}"),
        ("off", ("bits.py::safe", "--lanes", "auto"), "with other lanes (none; here: auto): "),
        ("auto", ("bits.py::safe", "--lanes", "on"), "with other lanes (auto; here: on): "),
        ("on", ("bits.py::safe", "--compact"), "with other fingerprints (none; here: 64 bits"),
        ("on", ("bits.py::safe", "--reduce", "order"), "with other reductions (auto; here: order)"),
        ("on", ("bits.py::safe", "--threads", "2"), "--threads: a search with lanes has one"),
    ],
)
def test_foreign_files(shootdown: Shootdown, kept: str, words: tuple[str, ...], said: str) -> None:
    made = ("bits.py::safe", "--lanes", kept, "--checkpoint", "c", "--max-states", "999")
    assert shootdown("check", *made).code == 3
    content = Path("c").read_bytes()
    if "reductions" in said or "lanes (" in said or "fingerprints" in said:
        words += ("--max-time", "1e-5")  # it is said before anything is done
    ran = shootdown("check", *words, "--resume", "c")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert Path("c").read_bytes() == content


@pytest.mark.parametrize(("kept", "asked"), [("on", "auto"), ("auto", "on"), ("auto", "auto")])
@pytest.mark.parametrize("name", ["safe", "race"])
def test_the_same_search_by_another_name(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, kept: str, asked: str, name: str
) -> None:
    """Once a search has lanes, it goes on as with ``on`` and as with ``auto``; with ``auto`` a race
    is the ordinary one."""
    monkeypatch.setattr("shootdown.check.native.lanes.SHORT", 20)
    made = (f"bits.py::{name}", "--lanes", kept, "--checkpoint", "c", "--max-states", "40")
    assert shootdown("check", *made).code == 3
    ran = shootdown("check", made[0], "--lanes", asked, "--resume", "c", "--json", "there.json")
    whole = shootdown("check", made[0], "--json", "whole.json")
    assert (ran.code, ran.err) == (whole.code, "")
    facts = []
    for file in ("there.json", "whole.json"):
        (result,) = json.loads(Path(file).read_text())["results"]
        facts.append((result["verdict"], result["states"], result["depth"]))
    if name == "safe":
        assert facts[0] == facts[1]
    else:
        token = whole.out.split("--path ")[1]
        assert ran.out.split("--path ")[1] == token


def test_a_damaged_and_a_cut_file(shootdown: Shootdown) -> None:
    made = ("bits.py::safe", "--lanes", "on", "--checkpoint", "c", "--max-states", "9999")
    assert shootdown("check", *made).code == 3
    content = Path("c").read_bytes()
    damaged = content[:-999] + bytes([content[-999] ^ 1]) + content[-998:]
    for wrong, said in ((damaged, "is damaged"), (content[:-999], "is cut off")):
        Path("c").write_bytes(wrong)
        ran = shootdown("check", "bits.py::safe", "--resume", "c")
        assert ran.code == 2
        assert said in ran.err
        assert Path("c").read_bytes() == wrong


def test_a_full_disk(shootdown: Shootdown, small_disk: Path) -> None:
    words = ("check", "bits.py::safe", "--lanes", "on", "--bound", "bits=16")
    file = small_disk / "c"
    assert shootdown(*words, "--checkpoint", str(file), "--max-states", "200000").code == 3
    content = file.read_bytes()
    (small_disk / "other").write_bytes(bytes(1000_000 - len(content)))
    again = ("--resume", str(file), "--checkpoint-every", "0.001")
    ran = shootdown(*words, *again, "--max-states", "30000000")
    assert ran.code == 3
    said = f"shootdown: bits.py::safe: cannot write the checkpoint '{file}': it takes "
    assert [line[: len(said)] for line in ran.err.splitlines()] in ([said], [said, said])
    assert f"--resume {file}" in ran.out  # the older one
    assert file.read_bytes() == content
    assert sorted(path.name for path in small_disk.iterdir()) == ["c", "other"]


def test_no_time_to_choose_is_said(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("shootdown.check.native.lanes._chosen", lambda system, _: for_ever(system))
    monkeypatch.setattr("shootdown.check.native.lanes.TO_CHOOSE", 1e-4)
    ran = shootdown("check", "bits.py::safe", "--lanes", "on", "--max-time", "500")
    assert ran.code == 0
    assert "one state at a time: there was no time to choose lanes" in " ".join(ran.out.split())
