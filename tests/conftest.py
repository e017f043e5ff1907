"""Processes that tests start find the package compiled to bytecode, whatever
PYTHONDONTWRITEBYTECODE says: without, each would compile it for half a second. What the package
keeps between runs (compiled scenarios, machine code) all tests share, and nothing else."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shootdown import commands


def pytest_configure() -> None:
    """As in the command's own process (``shootdown.__main__``), and rarer still: here what is
    collected, and results that tests share, would be looked at again and again, which took a
    fifth of the time. In a background job of a shell, SIGINT is ignored, and processes that tests
    start would inherit that."""
    gc.set_threshold(500_000, 20, 100)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is collected stays to the end."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _kept(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # there is none with -p no:cacheprovider
    cache = getattr(pytestconfig, "cache", None)
    folder = tmp_path_factory.mktemp if cache is None else cache.mkdir
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(folder("bytecode")))
        patch.setenv("XDG_CACHE_HOME", str(folder("kept")))
        # what the tests change of the library they name otherwise
        patch.setattr(commands, "alone", True)
        yield


@pytest.fixture(autouse=True)
def _users_models() -> Iterator[None]:
    """A process that has loaded a user's model keeps nothing: the next test shall have none."""
    yield
    for name in [name for name in sys.modules if name.startswith("shootdown_model_")]:
        del sys.modules[name]


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on the disk after a crash of the machine is not seen here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not possible here (it needs root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)
