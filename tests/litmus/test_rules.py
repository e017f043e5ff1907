"""The machine on litmus tests of our own, and which of them notice that a rule of it is missing.

``own/expected.json`` says what must come out. It was decided from the Arm ARM before the tests were
run; each test says in its comment what it is about.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import shootdown
from shootdown.check.result import Limits
from shootdown.hardware.tlbi import STRAWMAN
from shootdown.litmus.compare import Agreement
from shootdown.litmus.expected import ExpectedTest, read_expected
from shootdown.litmus.runs import Machine, Question, ask

OWN = Path(__file__).parent / "own"
EXPECTED = read_expected(OWN / "expected.json")
WEAK = {"message-passing"}
WALKER = "hardware/arm64_walker.py"
PE = "hardware/aarch64.py"


def question(test: ExpectedTest, ets2: bool) -> Question:
    return Question(OWN / test.file, Machine(ets2), test)


@pytest.mark.parametrize("ets2", [True, False], ids=["ets2", "none"])
@pytest.mark.parametrize("test", EXPECTED.values(), ids=lambda test: test.name)
def test_own_tests(test: ExpectedTest, ets2: bool) -> None:
    asked = ask(question(test, ets2), Limits())
    assert asked.comparison is not None
    wanted = Agreement.NOT_REACHABLE if test.name in WEAK else Agreement.AGREE
    assert asked.comparison.agreement is wanted, asked.comparison.reasons
    assert asked.name == test.name


def test_every_own_test_is_expected() -> None:
    assert {path.name for path in OWN.glob("*.litmus")} == set(EXPECTED)
    assert len(EXPECTED) >= 60


@dataclass(frozen=True)
class Mutant:
    """A rule that is left out: a text of a module and what stands there instead, and the test that
    must notice it, on the machine that it is about."""

    test: str
    file: str
    old: str
    new: str
    ets2: bool = True

    def __str__(self) -> str:
        return (
            f"{self.test}: {' '.join(self.old.split())[:50]} -> {' '.join(self.new.split())[:50]}"
        )


MUTANTS = [
    Mutant("stale-load", WALKER, "hit = bool(matches(walker, page))", "hit = False"),
    Mutant("af0-not-cached", WALKER, "(descriptor.accessed or STRAWMAN", "(True or STRAWMAN"),
    Mutant("af-not-of-invalid", WALKER, "when(descriptor.present)\n", "when(True)\n"),
    Mutant(
        "af-by-software", WALKER, "when(descriptor.accessed or walker.manages_flags)", "when(True)"
    ),
    Mutant(
        "fault-translation-first",
        WALKER,
        "if not descriptor.present:",
        "if not descriptor.present and descriptor.accessed:",
    ),
    Mutant(
        "fault-access-flag-second",
        WALKER,
        "if not descriptor.accessed and not walker.manages_flags:",
        "if not descriptor.accessed and not walker.manages_flags and not write:",
    ),
    Mutant(
        "dirty-needs-hd",
        WALKER,
        "descriptor.writable and (descriptor.dirty or walker.manages_dirty)",
        "descriptor.writable",
    ),
    Mutant(
        "dirty-needs-dbm",
        WALKER,
        "descriptor.writable and (descriptor.dirty or walker.manages_dirty)",
        "(descriptor.dirty or walker.manages_dirty)",
    ),
    Mutant(
        "read-only",
        WALKER,
        "if write and not may_write",
        "if not write and not may_write",
    ),
    Mutant(
        "af-by-hardware",
        WALKER,
        "accessed=True, dirty=desc",
        "accessed=descriptor.accessed, dirty=desc",
    ),
    Mutant("dirty-not-by-load", WALKER, "dirty=descriptor.dirty or write)", "dirty=True)"),
    Mutant("dirty-by-hardware", WALKER, "dirty=descriptor.dirty or write)", "dirty=False)"),
    Mutant(
        "dirty-walks-again",
        WALKER,
        "(entry.dirty or STRAWMAN",
        "(True or STRAWMAN",
    ),
    Mutant(
        "dirty-cached-clean", WALKER, "if entry.writable and walker.manages_dirty:", "if not write:"
    ),
    Mutant(
        "read-only-stale",
        WALKER,
        "page, write)\n    return Translation(fault=Fault.PERMISSION)",
        "page, write)\n    return walk(walker, page, write)",
    ),
    Mutant("stale-load-tlbi", WALKER, "        target.tlb[page] = set()\n", "        pass\n"),
    Mutant(
        "invalid-for-a-moment",
        PE,
        "            core.faults[page].add(fault_of(core, new, True))\n",
        "",
        False,
    ),
    Mutant(
        "valid-for-a-moment",
        PE,
        "                core.ahead[page].add(cached(new))\n",
        "                pass\n",
        False,
    ),
    Mutant(
        "invalid-not-cached",
        PE,
        "            core.faults[page] = {fault_of(core, mm.pte[page], True)}\n",
        "",
        False,
    ),
    Mutant("stale-load-tlbi", PE, "            core.ahead[page] = core.tlb[page]\n", "", False),
    Mutant("tlbi-done-no-isb", PE, "and target != issuer:", "and target == issuer:", False),
    Mutant("dirty-early", PE, "rules=(step, translate_early,", "rules=(step,"),
    Mutant(
        "early-before-tlbi",
        PE,
        "when(target.early_page is None or target.early_page not in pages)",
        "when(pages)",
    ),
    Mutant(
        "late-flag",
        PE,
        'HW_UPDATES == "late" and choose(False, True):\n        return',
        "False:\n        return",
    ),
    Mutant("late-flag-dsb", PE, "when(complete(core) and not core.late)", "when(complete(core))"),
    Mutant(
        "late-dirty",
        PE,
        "when(not descriptor.accessed or (write and not descriptor.dirty))",
        "when(not descriptor.accessed)",
    ),
    Mutant("dirty-cached-clean", PE, "        core.late_dirty.add(page)\n", "        pass\n"),
    Mutant(
        "late-flag-atomic", PE, "return not any(page in core.late for core in Core)", "return True"
    ),
    Mutant("tlbi-done", PE, "when(complete(core) and not core.late)", "when(not core.late)"),
    Mutant("tlbi-local-there", PE, "post(core, here.pages)", "broadcast(core, here.pages)"),
    Mutant("tlbi-local-here", "hardware/tlbi.py", "issuer.posted[issuer] | pages", "set()"),
    Mutant(
        "exclusive-atomic", PE, "and other.marked == frame and", "and other.marked != frame and"
    ),
    Mutant(
        "exclusive-descriptor", PE, "if core.marked_page == page:", "if core.marked_page is None:"
    ),
    Mutant("exclusive-fails-first", PE, "if exclusive and choose(False, True):", "if False:"),
    Mutant("exclusive-fails-dirty", PE, "done = done and choose(True, False)", "done = bool(done)"),
    Mutant("exclusive-own-store", PE, "if other != core and other.m", "if other.m"),
    Mutant("exclusive-own-descriptor", PE, "        core.marked_page = marked\n", "        pass\n"),
    Mutant("exclusive-return", PE, "if op == Op.RETURN:", "if op == Op.DSB:"),
    Mutant("exclusive-skip", PE, "if here.resumes:", "if False:"),
    Mutant("el0-page", PE, "or not here.unprivileged", "or True"),
    Mutant("el0-page-from-el1", PE, "or not here.unprivileged", ""),
    Mutant("el0-not-dirty", PE, "or exclusive) and allowed", "or exclusive)"),
    Mutant("at-el0", "litmus/effects.py", "failed, unprivileged=el0", "failed"),
    Mutant("at-el1", "litmus/effects.py", "failed, unprivileged=el0", "failed, unprivileged=True"),
    Mutant(
        "cas-fails-dirty",
        PE,
        "fails = here.op == Op.UPDATE and allowed and choose(False, True)",
        "fails = False",
    ),
    Mutant("cas-fails-read-only", PE, "here.op == Op.UPDATE or exclusive", "exclusive"),
    Mutant("at-write-read-only", PE, "here.op == Op.PROBE_WRITE and all", "False and all"),
    Mutant(
        "at-write-stale",
        PE,
        'if STRAWMAN != "no-tlb" and choose(False, True):\n        return entry',
        "if False:\n        return entry",
    ),
    Mutant(
        "at-write-stale-permits",
        PE,
        "if entry.writable and (entry.dirty or core.manages_dirty):",
        "if entry.writable and core.manages_dirty:",
    ),
    Mutant(
        "at-write-clean", PE, "found = walk(core, page, False)", "found = walk(core, page, True)"
    ),
    Mutant(
        "at-fails-no-isb",
        PE,
        "not (here.op == Op.PROBE or here.op == Op.PROBE_WRITE)",
        "True",
        False,
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, somewhere else."""
    there = tmp_path_factory.mktemp("copy")
    here = Path(shootdown.__file__).parent
    shutil.copytree(here, there / "shootdown", ignore=shutil.ignore_patterns("__pycache__"))
    return there


@pytest.mark.deep
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_missing_rule_is_noticed(mutant: Mutant, copy: Path, tmp_path: Path) -> None:
    file = copy / "shootdown" / mutant.file
    source = file.read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1, "the text of the mutant is not there once"
    file.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    program = "import sys; from shootdown.__main__ import main; sys.exit(main())"
    words = ["litmus", f"{OWN}/{mutant.test}.litmus", "--expected", f"{OWN}/expected.json"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *words, "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(copy),
                "PYTHONDONTWRITEBYTECODE": "1",
                "XDG_CACHE_HOME": str(tmp_path),
            },
        )
    finally:
        file.write_text(source, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    results = json.loads(done.stdout)["results"]
    name = "ets2" if mutant.ets2 else "none"
    (noticed,) = [r for r in results if r["ets"] == name]
    assert noticed["comparison"]["agreement"] == "disagree"


STRAWMEN = {
    "no-tlb": "stale-load",
    "fills-on-use": "moved",
    "caches-invalid": "invalid-not-cached",
    "caches-unaccessed": "af0-not-cached",
    "stale-dirty": "dirty-walks-again",
    "ignores-permission": "read-only",
    "ignores-access-flag": "af-by-software",
    "flags-never-set": "af-by-hardware",
    "dirty-speculatively": "dirty-not-by-load",
    "tlbi-local": "tlbi-done",
    "tlbi-everywhere": "tlbi-local-there",
    "tlbi-at-issue": "tlbi-nobody-waits",
    "tlbi-nothing": "stale-load-tlbi",
    "dsb-waits-for-nothing": "moved-tlbi",
    "dsb-waits-for-all": "tlbi-under-way",
}
"""Hardware with a mistake, and a test that notices it."""


@pytest.mark.parametrize("strawman", [s for s in STRAWMAN.choices if s != "none"])
def test_hardware_with_a_mistake_is_caught(strawman: str) -> None:
    test = next(t for t in EXPECTED.values() if t.name == STRAWMEN[strawman])
    for machine, wanted in [
        (Machine(ets2=True), Agreement.AGREE),
        (Machine(ets2=True, strawman=strawman), Agreement.DISAGREE),
    ]:
        asked = ask(Question(OWN / test.file, machine, test), Limits())
        assert asked.comparison is not None
        assert asked.comparison.agreement is wanted
