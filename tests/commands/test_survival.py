"""Long searches: real kills, full disks, little memory, and what programs are told."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from command_line import Shootdown
from long_searches import RUN, Json, checked, facts, killed_after
from shootdown.check.native import keep
from shootdown.report.json import schema


def events(lines: str) -> list[Json]:
    """Events, each valid by the schema."""
    found = [json.loads(line) for line in lines.splitlines()]
    for event in found:
        jsonschema.validate(event, schema("events"), cls=jsonschema.Draft202012Validator)
    return found


@pytest.mark.parametrize(("name", "cpus"), [("safe", 11), ("race", 8)])
def test_kill_and_resume(models: Path, name: str, cpus: int) -> None:
    words = (f"mine.py::{name}", "--bound", f"cpus={cpus}", "--reduce", "none")
    killed_after("checkpoint", *words, "--checkpoint", "c", "--checkpoint-every", "0.05")
    content = Path("c").read_bytes()
    again = ("--resume", "c", "--checkpoint-every", "0.05")
    killed_after("checkpoint", *words, *again)
    assert Path("c").read_bytes() != content  # it was replaced
    resumed, whole = checked(*words, "--resume", "c"), checked(*words)
    assert resumed["results"][0]["seconds"] > 0
    assert facts(resumed) == facts(whole)


@pytest.mark.deep
def test_kills_at_many_moments(models: Path) -> None:
    """Also while a checkpoint is written: the one before is whole."""
    words = ("mine.py::safe", "--bound", "cpus=11", "--reduce", "none")
    killed_after("checkpoint", *words, "--checkpoint", "c", "--checkpoint-every", "0.001")
    for round_ in range(20):
        process = subprocess.Popen([*RUN, "check", *words, "--resume", "c", "--quiet"])
        try:
            process.wait(timeout=0.4 + 0.11 * round_)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            break
    assert facts(checked(*words, "--resume", "c")) == facts(checked(*words))


def test_a_limit_and_its_report(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=4")
    ran = shootdown(*words, "--max-states", "50", "--checkpoint", "a file")
    assert ran.code == 3
    assert ran.out.endswith(
        "go on: shootdown check mine.py::safe --bound cpus=4 --resume 'a file'\n"
    )
    ran = shootdown(*words, "--max-states", "50", "--checkpoint", "a long name of a file")
    assert ran.out.endswith(
        "go on: shootdown check mine.py::safe \\\n    --bound cpus=4 \\\n"
        "    --resume 'a long name of a file'\n"
    )
    document = json.loads(shootdown(*words, "--resume", "a file", "--json").out)
    assert facts(document) == facts(json.loads(shootdown(*words, "--json").out))
    assert shootdown(*words, "--resume", "a file", "--max-states", "60").code == 3


def test_a_search_that_ends_before_writes_no_file_and_says_so(shootdown: Shootdown) -> None:
    for name in ("safe", "race"):
        ran = shootdown("check", f"mine.py::{name}", "--checkpoint", "c")
        assert ran.err == (
            f"shootdown: mine.py::{name}: 'c' was not written: "
            "the search came to its end before a checkpoint was due\n"
        )
        assert not Path("c").exists()
    assert shootdown("check", "mine.py::safe", "--checkpoint", "c", "--quiet").err == ""
    # the events themselves go to the file descriptor
    words = ("check", "mine.py::safe", "--checkpoint", "c", "--json-events")
    assert shootdown(*words).err == ""
    assert shootdown("check", "mine.py::safe", "--checkpoint", "c", "--max-states", "9").err == ""
    due = ("--bound", "cpus=9", "--checkpoint-every", "1e-9", "--reduce", "none")
    ran = shootdown("check", "mine.py::safe", *due, "--checkpoint", "d")
    assert (ran.code, ran.err, Path("d").exists()) == (0, "", True)  # it was due


def test_interrupt_keeps_the_search(models: Path) -> None:
    words = ("mine.py::safe", "--bound", "cpus=11", "--reduce", "none")
    with subprocess.Popen(
        [*RUN, "check", *words, "--checkpoint", "c", "--json", "--json-events"],
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
        rest = events(process.stderr.read())
        document = json.loads(process.stdout.read())
    assert process.wait() == 3
    assert [event["event"] for event in rest] == ["checkpoint", "end"]
    assert document["results"][0]["stopped"] == "interrupt"
    assert document["results"][0]["checkpoint"] == "c"
    assert facts(checked(*words, "--resume", "c")) == facts(checked(*words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine.py::race",), "is a search of another scenario (safe; here: race)"),
        (("mine.py::safe", "--bound", "cpus=3"), "other bounds (cpus=2; here: cpus=3)"),
        (("mine.py::safe", "--without", "lock"), "other sites left out (none; here: mine.py:"),
        (("mine.py::safe", "--engine", "reference"), "--resume needs the native engine"),
        (("mine.py::safe", "mine.py::race"), "--resume takes one scenario"),
        (("mine.py",), "--resume takes one scenario"),
        (("--all",), "--resume takes one scenario"),
    ],
)
def test_foreign_files(shootdown: Shootdown, words: tuple[str, ...], said: str) -> None:
    shootdown("check", "mine.py::safe", "--checkpoint", "c", "--max-states", "9")
    content = Path("c").read_bytes()
    ran = shootdown("check", *words, "--resume", "c")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert Path("c").read_bytes() == content


def test_a_changed_model(shootdown: Shootdown) -> None:
    shootdown("check", "mine.py::safe", "--checkpoint", "c", "--max-states", "9")
    text = Path("mine.py").read_text()
    Path("mine.py").write_text("# a comment moves the lines\n" + text)
    assert shootdown("check", "mine.py::safe", "--resume", "c", "--max-states", "10").code == 3
    Path("mine.py").write_text(text.replace("mm.count += 1", "mm.count += choose(1, 2)"))
    ran = shootdown("check", "mine.py::safe", "--resume", "c")
    assert ran.code == 2
    assert "is a search of another state of the model" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "mine.py"), "cannot write the checkpoint"),
        (("--checkpoint", "."), "it is not a regular file"),
        (("--checkpoint", "none/c"), "there is no directory"),
        (("--checkpoint", "c", "--no-checkpoint"), "exclude each other"),
        (("--checkpoint", "c", "--engine", "reference"), "--checkpoint needs the native engine"),
        (("--checkpoint-every", "5m"), "--checkpoint-every needs --checkpoint"),
        (("--resume", "none"), "cannot read the checkpoint"),
        (("--resume", "mine.py"), "is no checkpoint of shootdown"),
        (("--json-events=none/c",), "cannot write 'none/c'"),
    ],
)
def test_wrong_places(shootdown: Shootdown, words: tuple[str, ...], said: str) -> None:
    ran = shootdown("check", "mine.py::safe", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_the_reductions_are_those_of_the_file(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=4")
    made = shootdown(*words, "--reduce", "none", "--checkpoint", "c", "--max-states", "50")
    assert made.code == 3
    ran = shootdown(*words, "--reduce", "symmetry", "--resume", "c")
    assert ran.code == 2
    assert "is a search with other reductions (none; here: symmetry)" in ran.err
    assert shootdown(*words, "--resume", "c").code == 0


def test_an_existing_checkpoint_is_not_replaced(shootdown: Shootdown) -> None:
    words = ("check", "mine.py::safe", "--checkpoint", "c", "--max-states", "9")
    assert shootdown(*words).code == 3
    ran = shootdown(*words)
    assert ran.code == 2
    assert "is a checkpoint already: go on from it with --resume" in ran.err
    assert shootdown(*words, "--resume", "c").code == 3


def test_a_search_of_a_minute_is_kept_unasked(
    shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ("check", "mine.py::safe", "--max-states", "9")
    assert "--resume" not in shootdown(*words).out
    monkeypatch.setattr(keep, "WORTH_IT", 0.0)
    assert "--resume" not in shootdown(*words, "--no-checkpoint").out
    ran = shootdown(*words)
    (file,) = (tmp_path / "cache" / "shootdown" / "searches").iterdir()
    assert ran.err.startswith("shootdown: mine.py::safe: keeping what was found in '")
    assert f"--resume {file}" in ran.out.replace("\\\n    ", "")
    assert shootdown("check", "mine.py::safe", "--resume", str(file)).code == 0
    assert not file.exists()


def test_a_full_disk(shootdown: Shootdown, small_disk: Path) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=9")
    file = small_disk / "c"
    assert shootdown(*words, "--checkpoint", str(file), "--max-states", "20000").code == 3
    content = file.read_bytes()
    (small_disk / "other").write_bytes(bytes(500_000))
    again = ("--resume", str(file), "--checkpoint-every", "0.001")
    ran = shootdown(*words, *again, "--max-states", "60000")
    assert ran.code == 3
    said = f"shootdown: mine.py::safe: cannot write the checkpoint '{file}': it takes "
    assert [line[: len(said)] for line in ran.err.splitlines()] in ([said], [said, said])
    assert f"--resume {file}" in ran.out  # the older one
    assert file.read_bytes() == content
    assert sorted(path.name for path in small_disk.iterdir()) == ["c", "other"]
    assert shootdown(*words, *again).code == 0  # the search goes on without


# ----------------------------------------------------------------------------------- events


def test_events(shootdown: Shootdown) -> None:
    ran = shootdown("check", "mine.py::safe", "mine.py::raises", "--json-events")
    assert ran.code == 2
    told = Path("e")
    assert shootdown("check", "mine.py::safe", f"--json-events={told}", "--quiet").code == 0
    shootdown("check", "mine.py::raises", "mine.py::race", f"--json-events={told}")
    found = events(told.read_text())
    assert [(e["event"], e.get("verdict")) for e in found] == [
        ("start", None), ("end", "HOLDS"),
        ("start", None), ("end", "ERROR"),
        ("start", None), ("end", "VIOLATED"),
    ]  # fmt: skip
    assert found[3]["error"].startswith("mine.py:")
    assert found[5]["exit_code"] == 1


def test_events_of_a_long_search(models: Path) -> None:
    words = ("check", "mine.py::safe", "--bound", "cpus=11", "--reduce", "none")
    done = subprocess.run(
        [*RUN, *words, "--json-events", "--checkpoint", "c", "--checkpoint-every", "0.05"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = events(done.stderr)
    assert {e["event"] for e in found} == {"start", "progress", "checkpoint", "end"}
    before = [e["states"] for e in found if e["event"] == "progress"]
    assert before == sorted(before)
    assert found[-1]["states"] > before[-1]


def test_events_of_several_jobs(models: Path) -> None:
    done = subprocess.run(
        [*RUN, "check", "mine.py", "--jobs", "3", "--json-events=e"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    found = events(Path("e").read_text())
    assert len({e["target"] for e in found}) == 7
    kinds = sorted(e["event"] for e in found if e["event"] != "progress")
    assert kinds == ["end"] * 7 + ["start"] * 7


def test_nobody_reads_the_events(started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("check", "mine.py::safe", "--json-events=/dev/fd/2")
    assert process.stderr is not None
    process.stderr.close()
    assert process.stdout is not None
    assert process.stdout.read().startswith("HOLDS")
    process.stdout.close()
    assert process.wait() == 0


# ----------------------------------------------------------------------------------- memory


# a process begins as large as the one that starts it: so a small one must
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss >> 10)
"""


def test_the_peak_stays_below_the_limit(models: Path) -> None:
    """A higher limit adds to the size of the process what it allows, and no more."""

    def peak(limit: int) -> int:
        words = ("mine.py::safe", "--bound", "cpus=12", "--reduce", "none", "--quiet")
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *RUN, "check", *words, "--max-memory", f"{limit}M"],
            capture_output=True,
            text=True,
            check=True,
        )
        code, most = map(int, done.stdout.split())
        assert code == 3
        return most

    peak(64)  # puts good code into the cache
    small, large = peak(16), peak(128)
    assert small < 16 + 160  # as docs/commands.md says
    assert large < small + 128 - 16 + 32


@pytest.mark.parametrize("room", [300, 350])
def test_under_an_address_space_limit(models: Path, room: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (room << 20, room << 20))

    words = ("mine.py::safe", "--bound", "cpus=12", "--reduce", "none", "--checkpoint", "c")
    done = subprocess.run(
        [*RUN, "check", *words],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert done.returncode == 3, done.stderr
    assert "the limit on memory was reached" in done.stdout
    assert "--resume" in done.stdout


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of the memory controller that this process may put others into."""
    first = Path("/sys/fs/cgroup/memory")  # version 1
    root = first if first.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"shootdown-test-{os.getpid()}"
    try:
        group.mkdir()
        limit = "memory.limit_in_bytes" if root is first else "memory.max"
        (group / limit).write_text(str(200 << 20))
    except OSError:
        if group.is_dir():
            group.rmdir()
        pytest.skip("no control group can be made here (it needs root)")
    yield group
    group.rmdir()


def test_in_a_control_group(models: Path, cgroup: Path) -> None:
    """What the group allows counts, also where the checkpoint fills the cache of files."""
    enter = (
        "import os, sys; open(sys.argv[1], 'w').write('0'); os.execv(sys.executable, sys.argv[2:])"
    )
    words = ("mine.py::safe", "--bound", "cpus=12", "--reduce", "none", "--checkpoint", "c")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            enter,
            str(cgroup / "cgroup.procs"),
            *RUN,
            "check",
            *words,
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["stopped"] == "memory"
    assert 32 << 20 < result["memory_bytes"] < 168 << 20
    assert result["checkpoint"] == "c"


def test_memory_that_others_take(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = iter([2 << 30, 1 << 30])  # for the limit, and at the first look
    monkeypatch.setattr("shootdown.check.memory._available", lambda: next(rooms, 10 << 20))
    words = ("mine.py::safe", "--bound", "cpus=12", "--reduce", "none", "--checkpoint", "c")
    ran = shootdown("check", *words)
    assert ran.code == 3
    assert "the limit on memory was reached" in ran.out
    assert "--resume" in ran.out
