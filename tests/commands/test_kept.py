"""What is kept of the library between runs is what would be made again."""

from __future__ import annotations

import dataclasses
import linecache
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, MethodType

import pytest

import shootdown as shootdown_package
from command_line import Shootdown
from shootdown.check.native import starts
from shootdown.commands import kept, library_sources
from shootdown.lang import compiler
from shootdown.lang.ir import System
from shootdown.lang.scenario import Scenario
from shootdown.native import cache as disk
from shootdown.native import jit
from shootdown.native.pickles import packed
from shootdown.races import library

SAMPLE = ("MADV-PARALLEL", "S2a.V2.one", "PT.V0", "X1.current.tso")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "shootdown" / "code"


def scenario(name: str) -> Scenario:
    found = kept.library_scenario(name)
    assert found is not None
    return found


def plain(value: object) -> object:
    """A value as one that can be compared: functions by their names, methods with their objects."""
    if isinstance(value, MethodType):
        return value.__func__.__qualname__, plain(value.__self__)
    if isinstance(value, FunctionType):
        return value.__module__, value.__qualname__
    if dataclasses.is_dataclass(value):
        parts = [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
        return type(value), parts
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return value


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scenario, "compile", lambda *_: pytest.fail("compiled again"))


@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_kept_is_what_is_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, digest = kept.compiled_system(scenario(name), {}, {})
    assert digest
    refuse(monkeypatch)
    again, same = kept.compiled_system(scenario(name), {}, {})
    assert plain(again) == plain(made)
    assert again is not made
    assert same == digest


def test_every_choice_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    choices: list[tuple[dict[str, int], dict[str, str]]] = [
        ({}, {}),
        ({"cpus": 4}, {}),
        ({}, {"tlb": "explicit"}),
        ({"cpus": 4}, {"tlb": "explicit"}),
    ]
    first = [kept.compiled_system(scenario("S0.V0"), *choice) for choice in choices]
    assert len({digest for _, digest in first}) == 4
    refuse(monkeypatch)
    second = [kept.compiled_system(scenario("S0.V0"), *choice) for choice in choices]
    assert [system.fingerprint for system, _ in second] == [s.fingerprint for s, _ in first]


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (kept, "SOURCES", "others"),
        (kept, "_PACKAGE", "/elsewhere"),
        (sys, "version", "another"),
    ],
)
def test_other_sources_and_another_python_have_their_own(
    monkeypatch: pytest.MonkeyPatch, cache: Path, place: object, name: str, value: str
) -> None:
    kept.compiled_system(scenario("S0.V0"), {}, {})
    before = set(cache.iterdir())
    monkeypatch.setattr(place, name, value)
    _, digest = kept.compiled_system(scenario("S0.V0"), {}, {})
    assert digest
    assert len(set(cache.iterdir()) - before) == 2  # and where the scenarios are


def test_sources_that_are_edited_meanwhile(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(library_sources, "SOURCES", "what they were")
    monkeypatch.setattr(library_sources, "_verified", set())
    system, digest = kept.compiled_system(scenario("S0.V0"), {}, {})
    assert (type(system), digest) == (System, "")
    assert not cache.exists()


def test_sources_are_read_again_only_if_more_was_taken_from_them(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    reads = []

    def digest_of(*parts: str) -> str:
        reads.append(parts)
        return disk.digest_of(*parts)

    monkeypatch.setattr(library_sources, "digest_of", digest_of)
    monkeypatch.setattr(library_sources, "_verified", set())
    assert kept.compiled_system(scenario("S0.V0"), {}, {})[1]
    assert reads
    reads.clear()
    assert kept.compiled_system(scenario("S0.V0"), {"cpus": 4}, {})[1]
    assert not reads
    file = next(file for file in linecache.cache if file.endswith("linux/mm/memory.py"))
    monkeypatch.setitem(linecache.cache, file, (1, 2.0, [], file))  # as after an edit
    monkeypatch.setattr(library_sources, "SOURCES", "what they were")
    assert kept.compiled_system(scenario("S0.V0"), {"cpus": 5}, {})[1] == ""


def test_the_digest_is_of_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lang"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.py").write_text("a = 1\n")
    (folder / "b.py").write_text("b = 1\n")
    (folder / "note.txt").write_text("no source")
    monkeypatch.setattr(disk, "_PACKAGE", tmp_path)
    seen = {disk.digest_of("lang")}
    (folder / "note.txt").write_text("still none")
    assert disk.digest_of("lang") in seen
    for change in (
        lambda: (folder / "deep" / "a.py").write_text("a = 2\n"),
        lambda: (folder / "b.py").rename(folder / "c.py"),
        lambda: (folder / "d.py").write_text(""),
        lambda: (folder / "d.py").rename(folder / "deep" / "d.py"),
    ):
        change()
        assert disk.digest_of("lang") not in seen
        seen.add(disk.digest_of("lang"))


def test_the_sources_are_read_before_they_are_imported() -> None:
    code = "import sys, shootdown.commands.library_sources; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in run.stdout.split() if name.startswith("shootdown.")}
    parts = {name.split(".")[1] for name in loaded}
    assert parts == {"commands", "errors", "interrupts", "native"}


def test_a_users_model_is_compiled_each_time(shootdown: Shootdown, cache: Path) -> None:
    def kept_besides_code() -> int:
        return sum(not (jit.read(file) or b"").startswith(b"\x7fELF") for file in cache.iterdir())

    assert shootdown("check", "mine.py::safe").code == 0
    assert kept_besides_code() == 0
    assert shootdown("check", "S0.V0").code == 0  # it could have changed the library
    assert kept_besides_code() == 1  # where the scenarios are


def test_a_mutant_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scenario("S0.V0")
    site, *_ = kept.sites(found, {}, {})
    systems = [kept.compiled_system(found, {}, {}, frozenset(w))[0] for w in ((), (site.id,))]
    assert systems[0].fingerprint != systems[1].fingerprint
    refuse(monkeypatch)
    monkeypatch.setattr(compiler, "removable_sites", lambda *_: pytest.fail("compiled again"))
    assert kept.sites(found, {}, {})[0] == site
    again = [kept.compiled_system(found, {}, {}, frozenset(w))[0] for w in ((), (site.id,))]
    assert [plain(system) for system in again] == [plain(system) for system in systems]


class _Bad:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return int, ("no number",)


@pytest.mark.parametrize("content", [b"", b"nothing", packed(3), packed(_Bad())])
def test_whatever_else_is_there_is_replaced(
    shootdown: Shootdown, cache: Path, content: bytes
) -> None:
    first = shootdown("check", "MADV-PARALLEL")
    assert first.code == 1
    for file in cache.iterdir():
        jit.write(file, content)
    again = shootdown("check", "MADV-PARALLEL")
    assert again.out.partition("explored")[0] == first.out.partition("explored")[0]
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]


def test_the_report_is_the_same(shootdown: Shootdown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Races, tokens, coverage and goals, from what is kept."""
    for name in ("MADV-PARALLEL", "MADV-PARALLEL.fixed"):
        first = shootdown("check", name, "--max-states", "1000000")
        with monkeypatch.context() as patch:
            refuse(patch)
            patch.setattr(starts, "keep_start", lambda *_: pytest.fail("compiled again"))
            patch.setattr(jit, "compiled", lambda *_: pytest.fail("compiled again"))
            again = shootdown("check", name, "--max-states", "1000000")
        assert again.code == first.code
        assert _without_times(again.out) == _without_times(first.out)


def _without_times(text: str) -> list[str]:
    return [line for line in text.splitlines() if "explored" not in line]


def test_names_are_those_of_the_library() -> None:
    for found in library():
        for name in (found.name, *found.aliases):
            assert kept.library_scenario(name) is found
    assert kept.library_scenario("s0.v0") is None
    assert kept.library_scenario("nothing") is None


def test_an_unknown_option_is_refused_all_the_same(shootdown: Shootdown) -> None:
    assert shootdown("check", "S0.V0").code == 0
    ran = shootdown("check", "S0.V0", "--hardware", "nothing=1")
    assert ran.code == 2
    assert "nothing" in ran.err


def test_one_scenario_needs_a_part_of_the_library(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "shootdown", "check", "S0.V0"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    seen = []
    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        seen.append({line.rpartition("|")[2].strip() for line in run.stderr.splitlines()})
    everything, part = seen
    assert {
        "shootdown.races.s4_properties",
        "shootdown.lang.compiler",
        "shootdown.check.native.emit",
    } <= (everything - part)


def test_a_program_that_calls_the_command_line_keeps_nothing(cache: Path) -> None:
    """It may have changed the library."""
    program = (
        "import sys\nfrom shootdown.races import s0\nfrom shootdown.commands import main\n"
        "s0.VARIANTS['V5']['nested'] = 'none'\nsys.exit(main(['check', 'S0.V5', '-q']))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ran.stdout.startswith(b"VIOLATED")
    ran = subprocess.run(
        [sys.executable, "-m", "shootdown", "check", "S0.V5", "-q"],
        capture_output=True,
        check=False,
    )
    assert ran.stdout.startswith(b"HOLDS")


def test_stale_bytecode_is_not_kept(tmp_path: Path, cache: Path) -> None:
    """Python takes it for that of the source, which has its time and its size."""
    shutil.copytree(Path(shootdown_package.__file__).parent, tmp_path / "src" / "shootdown")
    file = tmp_path / "src" / "shootdown" / "races" / "s0.py"
    text = file.read_text()
    mistake = text.replace('"nested": "always"', '"nested": "none"  ')
    assert mistake != text
    assert len(mistake) == len(text)
    environment = {
        **os.environ, "PYTHONPATH": str(tmp_path / "src"),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }  # fmt: skip
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def verdict(words: str, folder: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "shootdown", "check", "S0.V5", "-q"],
            capture_output=True, text=True, check=False,
            env={**environment, "XDG_CACHE_HOME": str(tmp_path / folder)},
        )  # fmt: skip
        file.write_text(words)
        os.utime(file, (10**9, 10**9))
        return ran.stdout.split()[0]

    assert verdict(mistake, "first") == "HOLDS"
    assert verdict(text, "first") == "VIOLATED"
    assert verdict(text, "second") == "VIOLATED"  # Python's own mistake
    shutil.rmtree(tmp_path / "bytecode")
    assert verdict(text, "second") == "HOLDS"


@pytest.mark.parametrize("value", ["", "cache", "./cache", "../cache"])
def test_a_relative_cache_folder_does_not_count(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the XDG Base Directory Specification says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert disk.cache_folder() == tmp_path / ".cache" / "shootdown"
