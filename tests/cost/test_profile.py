from __future__ import annotations

import re
from pathlib import Path

import pytest

from shootdown.cost.profile import ARM64, X86, Entry, Profile, names, numbers
from shootdown.cost.profile_file import parse, toml_text, write
from shootdown.errors import UsageError

HEAD = 'name = "mine"\ndescription = "a test"\n'


@pytest.mark.parametrize("name", Profile.shipped())
def test_shipped_profiles_load_and_cite_every_number(name: str) -> None:
    profile = Profile.load(name)
    assert profile.name == name
    assert list(profile.entries) == names(profile.architecture)
    for number, entry in profile.entries.items():
        assert len(entry.source) >= 8, number
        priced = number not in names(profile.architecture, geometry=True)
        assert entry.uncertainty > 0 or not priced, number


def test_there_are_servers_of_both_architectures_and_a_guest() -> None:
    profiles = [Profile.load(name) for name in Profile.shipped()]
    assert {profile.architecture for profile in profiles} == {X86, ARM64}
    assert max(profile.sockets for profile in profiles) >= 4
    assert max(profile.cpus for profile in profiles) >= 120
    guest = Profile.load("kvm-guest")
    measured = [e for e in guest.entries.values() if e.source.startswith("measured on ")]
    assert len(measured) >= 20
    assert guest.ipi_send > 5 * Profile.load("skylake-2s").ipi_send


@pytest.mark.parametrize("name", Profile.shipped())
def test_a_written_profile_is_read_again(name: str, tmp_path: Path) -> None:
    profile = Profile.load(name)
    write(profile, str(tmp_path / "copy.toml"))
    assert Profile.load(str(tmp_path / "copy.toml")) == profile
    assert [path.name for path in tmp_path.iterdir()] == ["copy.toml"]


def test_strings_survive() -> None:
    profile = Profile.load("altra")
    entries = {**profile.entries, "tlbi": Entry(3, 'a "quote" \\ \x7f \x01 é 😀', 7)}
    strange = Profile("é\\", "d", ARM64, entries)
    assert parse(toml_text(strange), "file") == strange


def test_a_price_of_another_architecture_is_never_free() -> None:
    with pytest.raises(UsageError, match="altra is of arm64, where nothing costs 'invlpg'"):
        _ = Profile.load("altra").invlpg
    with pytest.raises(UsageError, match="use a profile of arm64"):
        _ = Profile.load("skylake-2s").tlbi


def test_override() -> None:
    profile = Profile.load("skylake-2s")
    other = profile.override(ipi_deliver=700, cpus=40)
    assert (other.ipi_deliver, other.cpus, other.handler) == (700, 40, profile.handler)
    assert other.entries["ipi_deliver"] == Entry(700, "given by the user", 0)
    assert profile.ipi_deliver != 700


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ipi_delivr": 1}, "did you mean 'ipi_deliver'"),
        ({"zzz": 1}, r"docs/profiles\.md"),
        ({"tlbi": 1}, "'tlbi' is of arm64, and this profile is of x86"),
        ({"handler": 0}, "'handler' must be a whole number of nanoseconds from 1"),
        ({"cpus": -2}, "'cpus' must be a whole number from 1"),
        ({"handler": True}, "not True"),
        ({"handler": 1.5}, r"not 1\.5"),
        ({"ipi_deliver": 10**9}, "another socket is never nearer"),
        ({"cpus": 81}, "not a multiple of 'sockets'"),
        ({"tlb_ways": 7}, "not a multiple of 'tlb_ways'"),
    ],
)
def test_wrong_overrides(values: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Profile.load("skylake-2s").override(**values)


def test_a_short_file_on_a_base() -> None:
    text = f'{HEAD}base = "skylake-2s"\n[prices.handler]\nns = 5\nuncertainty = 1\nsource = "s"\n'
    profile = parse(text, "mine.toml")
    assert (profile.name, profile.handler) == ("mine", 5)
    assert profile.entries["invlpg"] == Profile.load("skylake-2s").entries["invlpg"]


def test_a_base_is_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "base.toml").write_text(toml_text(Profile.load("altra")))
    (tmp_path / "a" / "mine.toml").write_text(f'{HEAD}base = "base.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert Profile.load("a/mine.toml").architecture == ARM64
    (tmp_path / "self.toml").write_text(f'{HEAD}base = "self.toml"\n')
    with pytest.raises(UsageError, match="made from itself"):
        Profile.load("self.toml")


ON_BASE = f'{HEAD}base = "skylake-2s"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = = 1", "not TOML: .*line 1"),
        ("[" * 5000, "not TOML"),
        (HEAD, "'architecture' of the file is missing"),
        (f'{HEAD}architecture = "mips"', "no architecture 'mips'; write x86 or arm64"),
        (
            f'{HEAD}architecture = "x86"',
            r"'kernel_entry' is missing \(and \d+ more\): add \[prices",
        ),
        (f"{ON_BASE}[prices.tlbi]\nns = 1", "'tlbi' is of arm64"),
        (f"{ON_BASE}[prices.cpus]\nns = 1", r"'cpus' belongs to \[geometry\.cpus\]"),
        (f"{ON_BASE}[geometry]\ncpus = 8", r"'cpus' must be a table: write \[geometry\.cpus\]"),
        (f"{ON_BASE}prices = 3", "'prices' must be tables"),
        (f"{ON_BASE}[prices.ack]\nn = 1", r"\[prices\.ack\] must not have 'n'; did you mean 'ns'"),
        (f'{ON_BASE}[prices.ack]\nsource = "s"', r"\[prices\.ack\] has no 'ns'"),
        (f"{ON_BASE}[prices.ack]\nns = 1.5", "'ack' must be a whole number of nanoseconds"),
        (f"{ON_BASE}[prices.ack]\nns = 1", r"'source' of \[prices\.ack\] is missing"),
        (f'{ON_BASE}[prices.ack]\nns = 1\nsource = " "', "'source' .* is ' '"),
        (f'{ON_BASE}[prices.ack]\nns = 1\nsource = "s"', "has no 'uncertainty'"),
        (f'{ON_BASE}[prices.ack]\nns = 1\nsource = "s"\nuncertainty = -1', "'uncertainty' -1"),
        (f'{ON_BASE}architecture = "arm64"', "the base skylake-2s is of x86"),
        (f"{ON_BASE}colour = 3", "the file must not have 'colour'"),
        (f'{HEAD}base = "skylak-2s"', "did you mean 'skylake-2s'"),
        ('base = "altra"\ndescription = "d"', "'name' of the file is missing"),
    ],
)
def test_errors_in_files_name_the_file_and_the_key(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        parse(text, "mine.toml")
    assert str(raised.value).startswith("mine.toml: ")
    assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.toml", "No such file"),
        ("./", "Is a directory"),
        ("bad\0.toml", "not a text file"),
        ("binary.toml", "not a text file in UTF-8"),
        ("long.toml", "too long"),
        ("skylake-3s", "did you mean 'skylake-"),
        ("qqqq", "there are altra, "),
    ],
)
def test_what_cannot_be_loaded(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "long.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(UsageError, match=message):
        Profile.load(name)


def test_nothing_is_left_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        write(Profile.load("altra"), str(tmp_path / "a.toml"))
    with pytest.raises(UsageError, match="cannot write"):
        write(Profile.load("altra"), str(tmp_path / "no" / "a.toml"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_meanings_are_short_and_different() -> None:
    meanings = [number.meaning for number in numbers()]
    assert len(set(meanings)) >= len(meanings) - 3  # "the same, to another socket"
    assert all(re.fullmatch(r"[\w].{3,70}", meaning) for meaning in meanings)
