"""How much memory this process can still get."""

from __future__ import annotations

from pathlib import Path


def available() -> int:
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
