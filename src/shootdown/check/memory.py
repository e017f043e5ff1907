"""How much memory a search may use."""

from __future__ import annotations

import time
from pathlib import Path

from shootdown.check.result import Limits
from shootdown.errors import UnfinishedError

MINIMUM = 16 << 20
_SHARE = 0.8  # of what is available: the rest is for the system and for the report
_MOST_SPARED = 256 << 20


def memory_limit(limits: Limits) -> int:
    """The bytes that a search may use: the user's limit, else 80 % of what is available."""
    if limits.memory is None:
        return max(MINIMUM, int(_available() * _SHARE))
    if limits.memory < MINIMUM:
        raise UnfinishedError(
            f"a memory limit of {limits.memory:,} bytes is too small to start a check: "
            f"give --max-memory {MINIMUM >> 20}M or more"
        )
    return limits.memory


def shared(memory: int | None, jobs: int) -> tuple[int, int | None]:
    """How many searches may run at the same time, and what each may use: equal parts of the
    user's limit, or of 80 % of what is available. A single search needs no limit now."""
    if jobs > 1:
        total = memory_limit(Limits(memory=memory))
        jobs = min(jobs, total // MINIMUM)
        if jobs > 1:
            return jobs, total // jobs
    return jobs, memory


class Watch:
    """Looks now and then at what the machine still has: other programs use it, too.

    Some of it is left alone: a 20th of what there was in the beginning, at most 256 MiB.
    """

    EVERY = 0.2
    """Seconds between two looks, since each takes a tenth of a millisecond."""

    def __init__(self) -> None:
        self._next = time.perf_counter() + self.EVERY
        self._reserve: int | None = None

    def short(self, now: float) -> bool:
        """Whether memory runs out; ``now`` as ``time.perf_counter()`` gives it."""
        if now < self._next:
            return False
        self._next = now + self.EVERY
        return not self.has(0)

    def has(self, size: int) -> bool:
        """Whether there is room for ``size`` more bytes."""
        available = _available()
        if self._reserve is None:
            self._reserve = min(_MOST_SPARED, available // 20)
        return size + self._reserve <= available


def check_limits(limits: Limits) -> None:
    """Refuse limits under which no search can begin."""
    if limits.memory is not None:
        memory_limit(limits)
    if limits.states is not None and limits.states < 1:
        raise UnfinishedError(
            f"a limit of {limits.states} states is too small to start a check: "
            "give --max-states 1 or more"
        )


def _available() -> int:
    """Bytes that this process can still get, by the machine and by its control groups."""
    return min([_meminfo_available(), *_cgroup_rooms()])


def _meminfo_available() -> int:
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 4 << 30


def _cgroup_rooms() -> list[int]:
    """What is left below the memory limits of this process's control groups (v1 and v2)."""
    rooms = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit_name, usage_name = "/sys/fs/cgroup", "memory.max", "memory.current"
            files = ("active_file", "inactive_file")
        elif "memory" in controllers.split(","):
            root = "/sys/fs/cgroup/memory"
            limit_name, usage_name = "memory.limit_in_bytes", "memory.usage_in_bytes"
            files = ("total_active_file", "total_inactive_file")
        else:
            continue
        # inside a container the path may be the host's, while the group itself is the root
        group = Path(root + path)
        for folder in [group, *group.parents]:
            if not folder.is_relative_to(root):
                break
            limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
            if limit.isdigit() and usage.isdigit():
                # what is cached of files counts as used, but gives way
                stat = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
                cached = sum(int(stat.get(name, 0)) for name in files)
                rooms.append(max(0, int(limit) - max(0, int(usage) - cached)))
    return rooms


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
