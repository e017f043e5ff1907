"""Files are written as a whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shootdown.errors import UsageError
from shootdown.files import write_whole


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_whole(str(file), "first")
    file.chmod(0o640)
    write_whole(str(file), "second")
    assert file.read_text() == "second"
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)
    write_whole(str(link), "new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_whole(str(file), "old")
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "from shootdown.files import write_whole\n"
        "from shootdown.errors import UsageError\n"
        "try:\n    write_whole(sys.argv[1], 'x' * 100)\n"
        "except UsageError as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"cannot write '{file}': File too large\n"
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_whole(str(pipe), "through")
    reader.join()
    assert read == ["through"]
    assert pipe.is_fifo()


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write '.*no/out': No such file or directory"):
        write_whole(str(tmp_path / "no" / "out"), "")
