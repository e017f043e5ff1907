"""Measure us and the installed peers side by side; writes ``benchmarks/RESULTS.md``.

``python benchmarks/run.py --size 3,3 --size 4,1 --repeat 3``
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from peers import Contestant, PeerError, Run, Size, ours, rumur, spin
from peers.report import Row, StartUp, page, table, wrong
from probe import rate

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
CONTESTANTS = (*ours.CONTESTANTS, *spin.CONTESTANTS, *rumur.CONTESTANTS)
START_UP_RUNS = 5
PROBED = 96 << 20  # bytes: the table of dontneed(3,3)


def size(text: str) -> Size:
    """``N,P`` as the command line gives it."""
    cpus, _, pages = text.partition(",")
    try:
        found = Size(int(cpus), int(pages))
    except ValueError:
        found = Size(0, 0)
    if not (1 <= found.cpus <= 8 and 1 <= found.pages <= 8):
        raise argparse.ArgumentTypeError(f"{text!r} is not CPUS,PAGES, such as 3,3")
    return found


def contest(
    member: Size, contestants: Sequence[Contestant], repeat: int, directory: Path
) -> list[Row]:
    """Prepare everyone, then let them run in turn, ``repeat`` times around."""
    searches: dict[str, Callable[[], Run]] = {}
    trouble: dict[str, str] = {}
    runs: dict[str, list[Run]] = {c.name: [] for c in contestants}
    versions = {c.name: c.version() for c in contestants}
    for number, contestant in enumerate(contestants):
        if versions[contestant.name] is None:
            continue
        place = directory / f"{number}-{member.cpus}-{member.pages}"
        place.mkdir()
        try:
            searches[contestant.name] = contestant.prepare(member, place)
        except PeerError as error:
            trouble[contestant.name] = str(error)
    for _ in range(repeat):
        for name, search in list(searches.items()):
            try:
                run = search()
            except PeerError as error:
                trouble[name] = str(error)
                del searches[name]
                continue
            runs[name].append(run)
            print(f"{member} {name}: {run.states:,} states, {run.seconds:.2f} s", file=sys.stderr)
    return [
        Row(c.name, c.how, versions[c.name], tuple(runs[c.name]), trouble.get(c.name, ""), c.ours)
        for c in contestants
    ]


def start_up(scenario: str) -> StartUp:
    """Wall time of a small check, from the shell's point of view, with a warm cache."""
    program = Path(sys.executable).with_name("shootdown")
    shown = f"shootdown check {scenario}"
    if not program.exists():
        return StartUp(shown, trouble="shootdown is not installed beside this Python")
    seconds = []
    for _ in range(1 + START_UP_RUNS):
        begin = time.perf_counter()
        done = subprocess.run([program, "check", scenario], capture_output=True, check=False)
        seconds.append(time.perf_counter() - begin)
        answered = done.stdout.startswith((b"HOLDS", b"VIOLATED"))
        if done.returncode not in {0, 1} or not answered:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            last = said[-1] if said else "nothing"
            return StartUp(shown, trouble=f"it exits with {done.returncode}, saying {last}")
    return StartUp(shown, tuple(seconds[1:]))


def machine() -> Iterator[str]:
    """What the numbers depend on, one line each."""
    model = platform.processor() or platform.machine()
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GiB"
    huge = _read("/sys/kernel/mm/transparent_hugepage/enabled").strip() or "unknown"
    yield f"{platform.system()} {platform.release()}, transparent huge pages: {huge}"
    yield f"Python {platform.python_version()}"
    load = os.getloadavg()
    yield f"load average at the beginning: {load[0]:.2f} (1 min), {load[1]:.2f} (5 min)"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the contest; 1 if anybody installed gave a wrong answer or none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--size", action="append", type=size, metavar="N,P", help="CPUs and pages (3,3 and 4,1)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each tool (%(default)s)")
    parser.add_argument("--only", action="append", metavar="WORD", help="tools whose name has it")
    parser.add_argument("--start-up", default="MADV-PARALLEL", metavar="SCENARIO")
    parser.add_argument("--output", type=Path, default=RESULTS, help="file to write")
    arguments = parser.parse_args(argv)
    sizes = arguments.size or [Size(3, 3), Size(4, 1)]
    words = [w.lower() for w in arguments.only or [""]]
    chosen = [c for c in CONTESTANTS if any(w in c.name.lower() for w in words)]

    begin = list(machine())
    reads = rate(PROBED)
    begin.append(
        f"random reads with prefetch, {PROBED >> 20} MiB on huge pages, one thread: "
        f"{reads / 1e6:.0f} million/s"
    )
    results = []
    with tempfile.TemporaryDirectory(prefix="shootdown-bench-") as directory:
        for member in sizes:
            rows = contest(member, chosen, arguments.repeat, Path(directory))
            print(table(member, rows))
            results.append((member, rows))
    start = start_up(arguments.start_up)
    command = " ".join(["python benchmarks/run.py", *(sys.argv[1:] if argv is None else argv)])
    arguments.output.write_text(page(command, begin, results, start), encoding="utf-8")
    print(f"Wrote {arguments.output}")
    failures = [
        f"{row.name} at {member}: {wrong(member, row)}"
        for member, rows in results
        for row in rows
        if wrong(member, row)
    ]
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
