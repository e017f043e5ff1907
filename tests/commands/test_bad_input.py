from __future__ import annotations

import os
from pathlib import Path

import pytest

from command_line import Shootdown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "missing.py"), "shootdown: there is no file 'missing.py'"),
        (("check", "no/such/place"), "shootdown: there is no file 'no/such/place'"),
        (("check", "./"), "shootdown: './' is a directory, not a model file (in it: mine.py)"),
        (("check", "."), "shootdown: '.' is a directory, not a model file (in it: mine.py)"),
        (("list", "empty"), "shootdown: 'empty' is a directory, not a model file"),
        (
            ("check", "prot.txt"),
            "shootdown: 'prot.txt' is not a model file: those are Python, and end in .py",
        ),
        (
            ("list", "./prot.txt"),
            "shootdown: './prot.txt' is not a model file: those are Python, and end in .py",
        ),
        (
            ("show", "prot.txt::safe"),
            "shootdown: 'prot.txt' is not a model file: those are Python, and end in .py",
        ),
        (
            ("check", "x" * 5000),
            f"shootdown: there is no scenario '{'x' * 59}...{'x' * 19}' (`shootdown list` shows "
            "all)",
        ),
        (
            ("check", "mine.py::race", "--hardware", f"speed={'x' * 5000}"),
            f"shootdown: hardware option 'speed' cannot be '{'x' * 59}...{'x' * 18}'; choose from: "
            "slow, quick",
        ),
        (
            ("check", "--json=/proc/x.json", "mine.py::race"),
            "shootdown: cannot write '/proc/x.json': No such file or directory",
        ),
        (
            ("check", "--json=/dev/full", "mine.py::race"),
            "shootdown: cannot write '/dev/full': No space left on device",
        ),
        (
            ("check", "mine.py::save"),
            "shootdown: mine.py has no scenario 'save' (it has: race, safe, empty, stuck, range, "
            "outside, raises); did you mean 'safe'?",
        ),
        (("check",), "shootdown: check takes NAMEs, or FILE.py[::SCENARIO], or --all"),
        (
            ("check", "--all", "mine.py"),
            "shootdown: check takes NAMEs, or FILE.py[::SCENARIO], or --all",
        ),
        (
            ("show", "mine.py"),
            "shootdown: mine.py has 7 scenarios (race, safe, empty, stuck, range, outside, "
            "raises): write mine.py::NAME",
        ),
        (
            ("check", "mine.py::race", "--bound", "pages=2"),
            "shootdown: race has no bound 'pages'; it has: cpus",
        ),
        (
            ("check", "mine.py::race", "--hardware", "speed=warp"),
            "shootdown: hardware option 'speed' cannot be 'warp'; choose from: slow, quick",
        ),
        (
            ("check", "KVM-VMID-GEN", "--hardware", "memry=sc"),
            "shootdown: --hardware memry: there is no such option; did you mean 'memory'?\n"
            "  KVM-VMID-GEN has: memory\n"
            "  `shootdown show KVM-VMID-GEN` says what they are",
        ),
        (
            ("check", "KVM-VMID-GEN", "--hardware", "preemption=explicit"),
            "shootdown: --hardware preemption: nothing in KVM-VMID-GEN depends on it\n"
            "  KVM-VMID-GEN has: memory\n"
            "  `shootdown show KVM-VMID-GEN` says what they are",
        ),
        (
            ("bounds", "mine.py::race", "--hardware", "memory=sc,speed=quick"),
            "shootdown: --hardware speed: nothing in race depends on it with these others\n"
            "  race has: memory\n"
            "  `shootdown show mine.py::race` says what they are",
        ),
        (
            ("check", "mine.py::race", "mine.py::safe", "--hardware", "sped=quick"),
            "shootdown: there is no hardware option 'sped'; did you mean 'speed'?",
        ),
        (
            ("check", "mine.py::outside"),
            "mine.py:48: an import inside a path is outside the language\n    import os\n"
            "  import at the top of the file",
        ),
        (
            ("show", "mine.py::raises"),
            "mine.py:120: building raises failed: ZeroDivisionError: integer division or modulo "
            "by zero\n    return setup(1 // (cpus - 1), [])",
        ),
        (
            ("check", "S1"),
            "shootdown: there is no scenario 'S1' (`shootdown list` shows all); "
            "`shootdown list S1` shows those that the name stands for",
        ),
        (
            ("check", "madv"),
            "shootdown: there is no scenario 'madv' (`shootdown list` shows all); "
            "`shootdown list madv` shows those that the name stands for",
        ),
        (
            ("check", "MADV-PARALLEL", "--hardware", "arch=arm64"),
            "shootdown: --hardware arch: x86 itself sets it (arch=x86), so it is no choice; "
            "`shootdown show MADV-PARALLEL` lists what is",
        ),
        (
            ("list", "--json=no/where.json"),
            "shootdown: cannot write 'no/where.json': there is no directory 'no'",
        ),
        (("list", "--json=."), "shootdown: cannot write '.': it is a directory"),
        (
            ("list", "--json=/dev/full"),
            "shootdown: cannot write '/dev/full': No space left on device",
        ),
    ],
)
def test_one_clear_message(shootdown: Shootdown, words: tuple[str, ...], message: str) -> None:
    os.mkdir("empty")
    Path("prot.txt").write_text("hello")
    ran = shootdown(*words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")


@pytest.mark.parametrize("verb", ["check", "why", "show"])
@pytest.mark.parametrize(
    ("option", "name", "values"), [("--bound", "cpus", "12"), ("--hardware", "speed", "ab")]
)
def test_what_is_given_twice_is_refused(
    shootdown: Shootdown, verb: str, option: str, name: str, values: str
) -> None:
    words = [word for value in values for word in (option, f"{name}={value}")]
    ran = shootdown(verb, "mine.py::safe", *words)
    assert ran.code == 2
    assert f"shootdown: argument {option}: {name} is given twice\n" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bound", "cpus"), "argument --bound: 'cpus' is not NAME=VALUE"),
        (("--bound", "cpus=two"), "argument --bound: cpus must be a whole number, not 'two'"),
        (("--bound", "cpus=-1"), "argument --bound: cpus must be a whole number, not '-1'"),
        (("--hardware", "x86"), "argument --hardware: 'x86' is not NAME=VALUE"),
        (("--bound", "cpus=1,cpus=2"), "argument --bound: cpus is given twice"),
        (("--hardware", "speed=slow,speed=quick"), "argument --hardware: speed is given twice"),
        (
            ("--reduce", "foo"),
            "argument --reduce: 'foo' is no reduction: write auto, none, or some",
        ),
        (("--lanes", "yes"), "argument --lanes: invalid choice: 'yes' (choose from"),
        (("--max-states", "0"), "argument --max-states: '0' is not a whole number from 1 on"),
        (
            ("--max-memory", "4X"),
            "argument --max-memory: '4X' is not a size: write for example 512M or 4G",
        ),
        (
            ("--max-time", "soon"),
            "argument --max-time: 'soon' is not a time: write for example 60 or 5m",
        ),
        (
            ("--max-memory", "1e300T"),
            "argument --max-memory: '1e300T' is not a size: write for example 512M or 4G",
        ),
        (
            ("--max-time", "1e300"),
            "argument --max-time: '1e300' is not a time: write for example 60 or 5m",
        ),
        (("--color", "x" * 5000), f"argument --color: invalid choice: '{'x' * 59}...{'x' * 19}'"),
        (
            ("--max-time", "nan"),
            "argument --max-time: 'nan' is not a time: write for example 60 or 5m",
        ),
    ],
)
def test_option_values(shootdown: Shootdown, words: tuple[str, ...], message: str) -> None:
    ran = shootdown("check", "mine.py::race", *words)
    assert (ran.code, ran.out) == (2, "")
    (said,) = ran.err.splitlines()
    assert said.startswith(f"shootdown check: error: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "shootdown: error: the following arguments are required: COMMAND"),
        (("check", "--frob"), "shootdown: error: unrecognized arguments: --frob"),
        (("list", "a.py", "b.py"), "shootdown: error: unrecognized arguments: b.py"),
        (("replay", "x"), "shootdown replay: error: the following arguments are required: --path"),
    ],
)
def test_command_lines(shootdown: Shootdown, words: tuple[str, ...], message: str) -> None:
    ran = shootdown(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == message


def test_memory_below_the_minimum(shootdown: Shootdown) -> None:
    for engine in ("reference", "native"):
        ran = shootdown("check", "mine.py::race", "--max-memory", "1K", "--engine", engine)
        assert ran.code in (2, 3)
        assert ran.out == ""
        assert len(ran.err.splitlines()) == 1
        assert "memory" in ran.err


@pytest.mark.parametrize("index", ["'x'", "1.5", "True"])
def test_an_object_that_is_not_numbered(shootdown: Shootdown, models: Path, index: str) -> None:
    text = (models / "mine.py").read_text()
    text = text.replace("Mm(0), on=Cpu(c)", f"Mm(0), on=Cpu({index})")
    (models / "mine.py").write_text(text)
    ran = shootdown("check", "mine.py::race")
    assert (ran.code, ran.err) == (
        2,
        f"mine.py:70: Cpu({index}): objects are numbered, as in Cpu(0)\n"
        f"    return [Thread(function, Mm(0), on=Cpu({index}), **options) for c in range(cpus)]\n",
    )


def test_a_file_that_raises(shootdown: Shootdown, models: Path) -> None:
    (models / "bad.py").write_text("x = 1\nraise ValueError('not today')\n")
    ran = shootdown("check", "bad.py")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "bad.py:2: importing it failed: ValueError: not today\n    raise ValueError('not today')\n"
    )


def test_no_scenario(shootdown: Shootdown, models: Path) -> None:
    (models / "none.py").write_text("x = 1\n")
    ran = shootdown("check", "none.py")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "none.py: no scenario in this file: decorate a function with @scenario\n"
