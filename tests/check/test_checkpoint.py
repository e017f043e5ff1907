"""The file of a search: written whole or not at all, and whatever is wrong with it is said."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from shootdown.check.native import checkpoint
from shootdown.check.native.checkpoint import Reader, refuse_unwritable, write
from shootdown.errors import UsageError

PARTS = (b"ab", b"", bytes(range(200, 216)))


def put(file: Path, number: int = 1, parts: tuple[bytes, ...] = PARTS) -> int:
    return write(file, {"number": number}, [memoryview(part) for part in parts])


def got(file: Path) -> tuple[int, tuple[bytes, ...]]:
    with Reader(file) as reader:
        parts = [bytearray(size) for size in reader.description["sizes"]]
        reader.read([memoryview(part) for part in parts])
        return reader.description["number"], tuple(map(bytes, parts))


def said(file: Path) -> str:
    with pytest.raises(UsageError) as error:
        got(file)
    assert str(file) in str(error.value)
    return str(error.value).replace(str(file), "FILE")


def beside(file: Path) -> list[str]:
    return sorted(path.name for path in file.parent.iterdir())


def test_what_is_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_CHUNK", 5)
    file = tmp_path / "c"
    assert put(file) == file.stat().st_size
    put(file, 2)
    assert got(file) == (2, PARTS)
    assert beside(file) == ["c"]


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    file = tmp_path / "c"
    put(file)
    content = file.read_bytes()
    words = set()
    for at in range(len(content)):
        flip = 0x01 if at % 2 else 0xFF
        file.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        words.add(said(file).split(":")[0].split("(")[0].strip())
    assert words == {
        "'FILE' is no checkpoint of shootdown",
        "'FILE' is damaged",
        "'FILE' is cut off",  # a length is larger than the file
        *(f"'FILE' has version {1 ^ f << 8 * b} of the format of checkpoints, and this shootdown "
          "reads version 1" for b in range(4) for f in [0x01 if b % 2 else 0xFF]),
    }  # fmt: skip


def test_every_truncated_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "c"
    put(file)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert said(file) == "'FILE' is cut off: its end is missing; start the search again"
    file.write_bytes(content + b"x")
    assert "is damaged" in said(file)


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("a model, perhaps, and longer than a head\n")
    assert said(file) == "'FILE' is no checkpoint of shootdown"
    assert said(tmp_path) == "cannot read the checkpoint 'FILE': it is not a regular file"
    os.mkfifo(tmp_path / "fifo")
    assert "it is not a regular file" in said(tmp_path / "fifo")
    assert "No such file" in said(tmp_path / "none")
    assert "it is not a regular file" in said(Path("/dev/zero"))


def test_another_byte_order_and_version_are_named(tmp_path: Path) -> None:
    file = tmp_path / "c"
    put(file)
    content = file.read_bytes()
    order, version = struct.unpack("=II", content[16:24])
    file.write_bytes(content[:16] + struct.pack("=I", order)[::-1] + content[20:])
    assert "another byte order" in said(file)
    file.write_bytes(content[:20] + struct.pack("=I", version + 1) + content[24:])
    assert "has version 2 of the format" in said(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_forbidden_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "c"
    put(file)
    file.chmod(0)
    assert "Permission denied" in said(file)
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        refuse_unwritable(tmp_path / "d")
    tmp_path.chmod(0o700)


def test_places_where_something_would_be_lost(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "empty").write_text("")
    put(tmp_path / "c")
    for name, why in (
        ("mine", "it is another file"),
        ("c", "is a checkpoint already: go on from it with --resume"),
        (".", "it is not a regular file"),
        ("none/c", "there is no directory"),
    ):
        with pytest.raises(UsageError, match=why):
            refuse_unwritable(tmp_path / name)
    with pytest.raises(UsageError, match="it is not a regular file"):
        refuse_unwritable(Path("/dev/null"))
    refuse_unwritable(tmp_path / "empty")
    refuse_unwritable(tmp_path / "new")
    assert beside(tmp_path / "c") == ["c", "empty", "mine"]


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".c.partial").write_text("mine")
    with pytest.raises(FileExistsError):
        put(tmp_path / "c")
    assert (tmp_path / ".c.partial").read_text() == "mine"
    assert beside(tmp_path / "c") == [".c.partial"]


def test_what_a_killed_writer_left_is_used_again(tmp_path: Path) -> None:
    (tmp_path / ".c.partial").write_bytes(checkpoint.MAGIC + b"and more" * 1000)
    put(tmp_path / "c")
    assert got(tmp_path / "c") == (1, PARTS)
    assert beside(tmp_path / "c") == ["c"]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    with checkpoint._partial(tmp_path / "c"), pytest.raises(BlockingIOError):
        put(tmp_path / "c")


@pytest.mark.parametrize("known_before", [True, False], ids=["asked", "written"])
def test_a_full_disk_leaves_the_old_file(
    small_disk: Path, known_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known_before:  # as where another program takes the space meanwhile

        class Free:
            f_bavail, f_frsize = 1 << 40, 1

        monkeypatch.setattr("os.fstatvfs", lambda _: Free)
    file = small_disk / "c"
    put(file)
    with pytest.raises(OSError, match=r"free there|No space left"):
        put(file, 2, (bytes(2 << 20),))
    assert got(file) == (1, PARTS)
    assert beside(file) == ["c"]


def test_a_file_size_limit_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "c"
    put(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            put(file, 2, (bytes(2 << 20),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert got(file) == (1, PARTS)
    assert beside(file) == ["c"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c"
    put(file)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(file, 2)
    assert got(file) == (1, PARTS)
    assert beside(file) == ["c"]


WRITER = """
import sys
from pathlib import Path
from shootdown.check.native.checkpoint import write

number = 0
while True:
    number += 1
    write(Path(sys.argv[1]), {"number": number}, [memoryview(bytes([number % 256]) * 3_000_000)])
    print(number, flush=True)
"""


def test_kills_at_any_moment_leave_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "c"
    for kill in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            for _ in range(kill + 1):
                writer.stdout.readline()
            try:
                writer.wait(timeout=0.003 * kill)
            except subprocess.TimeoutExpired:
                writer.kill()
        number, (content,) = got(file)
        assert number >= kill + 1
        assert content == bytes([number % 256]) * 3_000_000
