from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from shootdown.cost import calibrate_machine as machine
from shootdown.cost.calibrate import ESSENTIAL, RULES, calibrate, judge, over, prices_of
from shootdown.cost.calibrate_machine import Pair, Place, RealTime, choose, interrupts
from shootdown.cost.calibrate_statistics import FEWEST, Value, stolen
from shootdown.cost.profile import Profile, names
from shootdown.cost.profile_file import parse, toml_text
from shootdown.errors import UsageError
from synthetic_machine import TRUE, SyntheticBench, install, medians

BASE = "skylake-2s"


@pytest.mark.parametrize("name", TRUE)
def test_known_prices_are_found_again(name: str) -> None:
    assert prices_of([medians()] * FEWEST)[name].ns == pytest.approx(TRUE[name])


def test_every_rule_is_a_price_and_needs_no_other_socket_unless_it_says_so() -> None:
    rules = {rule.name for rule in RULES}
    assert rules <= set(names("x86", geometry=False))
    assert set(ESSENTIAL) <= set(prices_of([medians()] * FEWEST)) == set(TRUE)
    assert rules - set(TRUE) == {"ipi_deliver_remote", "ack_remote", "line_transfer_remote"}


def test_the_page_says_what_is_not_measured() -> None:
    page = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
    told = page.partition("**What it cannot tell.**")[2].partition("are not measured")[0]
    measured = {rule.name for rule in RULES}
    not_measured = set(names("x86", geometry=False)) - measured
    assert set(re.findall(r"`(\w+)`", told)) == not_measured
    for check in calibrate_checks():
        assert f"`{check}`" in page


def calibrate_checks() -> list[str]:
    prices = prices_of([medians()] * FEWEST)
    bench = SyntheticBench()
    for _ in range(FEWEST):
        list(bench.round())
    checks = judge(bench.series, prices, [medians()] * FEWEST, stolen([0] * 8, [0] * 8))
    return [check.name for check in checks]


def test_another_socket() -> None:
    far = {"far.delay": 950.0, "far.bounce": 130.0}
    prices = prices_of([{**medians(), **far}] * FEWEST)
    assert prices["ipi_deliver_remote"].ns == 900
    assert prices["ack_remote"].ns == prices["line_transfer_remote"].ns == 130


def test_rounds_without_a_burst_do_not_count() -> None:
    without = {name: ns for name, ns in medians().items() if name != "bounce"}
    prices = prices_of([medians()] * (FEWEST - 1) + [without] * 5)
    assert "line_transfer" not in prices
    assert "kernel_entry" in prices


def test_the_error_of_rounds_shrinks_with_their_number() -> None:
    few, many = over([1, 2, 3, 4]), over([1, 2, 3, 4] * 16)
    assert few.ns == many.ns == 2.5
    assert 0 < many.error < few.error
    assert over([7]) == Value(7, 0)


# --------------------------------------------------------------------------- this machine


@pytest.mark.parametrize(
    ("where", "pair"),
    [
        ({0: (0, 0), 1: (0, 1)}, Pair(1, 0)),
        ({0: (0, 0), 1: (0, 1), 2: (0, 1)}, Pair(2, 0)),  # 1 is the same core as 2
        ({0: (0, 0), 1: (0, 0)}, Pair(1, 0)),
        ({0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}, Pair(3, 2, 1)),
        ({0: (0, 0), 9: (1, 0)}, Pair(9, 0, 0)),
    ],
)
def test_the_cpus_that_are_measured(where: Mapping[int, tuple[int, int]], pair: Pair) -> None:
    assert choose({cpu: Place(*place) for cpu, place in where.items()}) == pair


INTERRUPTS = """\
           CPU0       CPU2
  0:         12          0   IO-APIC   2-edge      timer
TLB:      18086      18418   TLB shootdowns
ERR:          0
"""


def test_a_number_of_proc_interrupts() -> None:
    assert interrupts(INTERRUPTS, "TLB", 2) == 18418
    assert interrupts(INTERRUPTS, "TLB", 0) == 18086


@pytest.mark.parametrize(("row", "cpu"), [("CAL", 0), ("TLB", 1), ("ERR", 2)])
def test_a_number_that_is_not_there(row: str, cpu: int) -> None:
    with pytest.raises(UsageError, match=rf"row {row} of /proc/interrupts, and CPU {cpu} has none"):
        interrupts(INTERRUPTS, row, cpu)
    with pytest.raises(UsageError):
        interrupts("", row, cpu)


def test_tlb_by_cpuid() -> None:
    assert machine.tlb_of_amd(0x6C004200) == (3072, 8)
    assert machine.tlb_of_amd(0x0C004200) is None
    first, second = (0, 0x00040001, 0x10, 0x21), (0, 0x000C0003, 0x80, 0x43)
    assert machine.tlb_of_intel([first, second]) == (1536, 12)
    assert machine.tlb_of_intel([(0, 0x00080001, 8, 0x22)]) is None  # for instructions


def test_cpu_times() -> None:
    assert machine.cpu_times("cpu  1 2 3 4\ncpu0 1\n") == [1, 2, 3, 4]


# --------------------------------------------------------------------------- refusals


@pytest.fixture
def synthetic(monkeypatch: pytest.MonkeyPatch) -> SyntheticBench:
    return install(monkeypatch)


@pytest.mark.usefixtures("synthetic")
def test_a_good_calibration() -> None:
    told: list[tuple[int, str]] = []
    done = calibrate("mine", Profile.load(BASE), 1e-9, lambda n, step, _: told.append((n, step)))
    assert [check.detail for check in done.checks if not check.passed] == []
    assert done.accepted
    assert told == [(1, "all"), (2, "all"), (3, "all")]
    profile = done.profile
    assert parse(toml_text(profile), "mine.toml") == profile
    assert {name: getattr(profile, name) for name in TRUE} == TRUE
    assert (profile.sockets, profile.cpus, profile.tlb_entries) == (1, 2, 2048)
    assert profile.entries["handler"].source.startswith("measured on a synthetic machine: ")
    assert profile.read_page == Profile.load(BASE).read_page
    assert profile.entries["read_page"].source.startswith(f"not measured, from {BASE}: ")
    assert profile.entries["ack_remote"].source == "not used, there is one socket: as ack"


@pytest.mark.parametrize(
    ("wrong", "noisy", "refused", "failed"),
    [
        ({}, (), ("shared.1", "shared.2", "shared.8", "shared.32", "shared.33"), "TLB row"),
        ({}, (), ("membarrier",), "CAL row"),
        ({}, (), ("signal.sent",), "RES row"),
        ({}, (), ("bounce",), "bursts"),
        ({"alone.2": 5.0}, (), (), "monotony"),
        ({"flush.8": 5.0}, (), (), "monotony"),
        ({"shared.1": 5.0}, (), (), "monotony"),
        ({}, ("getpid",), (), "spread"),
        ({}, ("shared.1",), (), "spread"),
        ({"signal.sent": 700.0}, (), (), "difference"),
        ({"shared.1": 90_000.0}, (), (), "sum"),
    ],
)
def test_what_is_refused(
    synthetic: SyntheticBench,
    wrong: dict[str, float],
    noisy: tuple[str, ...],
    refused: tuple[str, ...],
    failed: str,
) -> None:
    synthetic.wrong, synthetic.noisy, synthetic.refused = wrong, noisy, refused
    done = calibrate("mine", Profile.load(BASE), 0.001)
    assert not done.accepted
    assert failed in [check.name for check in done.checks if not check.passed]


@pytest.mark.usefixtures("synthetic")
def test_a_host_that_steals_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([[0] * 10, [90, 0, 0, 0, 0, 0, 0, 10, 0, 0]])
    monkeypatch.setattr(machine, "cpu_times", lambda _: next(times))
    done = calibrate("mine", Profile.load(BASE), 0.001)
    assert [check.name for check in done.checks if not check.passed] == ["steal"]


def test_what_is_lost_in_noise_comes_from_the_base(synthetic: SyntheticBench) -> None:
    synthetic.wrong = {"gap.membarrier": 2000.0}  # no time is left for the handler
    profile = calibrate("mine", Profile.load(BASE), 0.001).profile
    assert profile.handler == Profile.load(BASE).handler
    assert profile.entries["handler"].source.startswith(f"lost in noise, from {BASE}: ")


def test_the_base_must_be_of_the_same_architecture() -> None:
    with pytest.raises(UsageError, match="must be a profile of x86, and altra is not"):
        calibrate("mine", Profile.load("altra"), 1.0)


@pytest.fixture
def linux() -> None:
    try:
        machine.check_machine()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("linux")
def test_one_cpu_is_refused() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with pytest.raises(UsageError, match="needs two CPUs"):
            machine.check_machine()
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("linux")
def test_no_real_time_priority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", denied)
    before = os.sched_getaffinity(0)
    with pytest.raises(UsageError, match=r"SCHED_FIFO.*run it as root, or with CAP_SYS_NICE"):
        machine.check_machine()
    assert os.sched_getaffinity(0) == before


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(
    ("read", "message"),
    [
        ({"/proc/cpuinfo": "flags : tsc\n"}, "never stops"),
        ({"/proc/interrupts": "CPU0 CPU1\n"}, "the row TLB of /proc/interrupts"),
    ],
)
def test_other_machines_are_refused(
    read: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machine.read
    monkeypatch.setattr(machine, "read", lambda path: read.get(path) or real(path))
    with pytest.raises(UsageError, match=message):
        machine.check_machine()


@pytest.mark.usefixtures("linux")
def test_old_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "POPULATE_READ", 9999)  # no advice of any kernel
    with pytest.raises(UsageError, match=r"MADV_POPULATE_READ.*since 5\.14"):
        machine.check_machine()


def test_other_processors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UsageError, match=r"measures Linux on x86-64, and this is .* on aarch64"):
        machine.check_machine()


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nothing: No such file"):
        machine.read(str(tmp_path / "nothing"))


# --------------------------------------------------------------------------- for real


@pytest.mark.usefixtures("linux")
def test_real_time_ends_with_its_context() -> None:
    def state() -> tuple[set[int], int, int]:
        param = os.sched_getparam(0)
        return os.sched_getaffinity(0), os.sched_getscheduler(0), param.sched_priority

    before = state()
    with RealTime(min(before[0])):
        assert state() == ({min(before[0])}, os.SCHED_FIFO, machine.PRIORITY)
    assert state() == before


@pytest.mark.slow
@pytest.mark.usefixtures("linux")
def test_this_machine() -> None:
    threads, affinity = threading.active_count(), os.sched_getaffinity(0)
    done = calibrate("here", Profile.load(BASE), 0.1)
    assert (threading.active_count(), os.sched_getaffinity(0)) == (threads, affinity)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert done.rounds >= FEWEST
    # whether a busy machine passes its checks is not for a test; what is independent of it is
    assert parse(toml_text(done.profile), "here.toml") == done.profile
    for name in ("nothing", "getpid", "load", "atomics", "walk.far", "alone.1", "flush.2"):
        assert len(done.series[name].bursts) == done.rounds
        assert done.series[name].value > 0
    assert done.profile.entries["kernel_entry"].source.startswith("measured on ")
    if done.accepted:
        assert done.series["shared.1"].value > done.series["alone.1"].value
    else:
        assert any(check.detail for check in done.checks if not check.passed)
