"""The peers' models follow the family's rules: same states, and the historic bug is seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from peers import STATES, Contestant, PeerError, Run, Size, ours, rumur, spin
from peers.process import first_line, measure, succeed

PEERS = (*spin.CONTESTANTS, *rumur.CONTESTANTS)


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("size", [Size(2, 1), Size(3, 1)], ids=str)
def test_peer_finds_every_state(peer: Contestant, size: Size, tmp_path: Path) -> None:
    if peer.version() is None:
        pytest.skip(f"{peer.name} is not installed")
    run = peer.prepare(size, tmp_path)()
    assert (run.states, run.violated) == (STATES[size.cpus, size.pages], False)
    assert 0 < run.whole < 60


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peer_sees_the_historic_bug(peer: Contestant, tmp_path: Path) -> None:
    if peer.version() is None:
        pytest.skip(f"{peer.name} is not installed")
    assert peer.prepare(Size(2, 1, nested=False), tmp_path)().violated


# The reference engine stands in for the fast one: what is under test is how it is called.
REFERENCE = "shootdown.check.reference:explore"


@pytest.mark.parametrize("nested", [True, False])
def test_our_own_run_is_measured_in_a_child(nested: bool, tmp_path: Path) -> None:
    size = Size(2, 1, nested=nested)
    run = ours.prepare(size, tmp_path, REFERENCE)()
    assert run.violated is not nested
    assert run.states == 546 or not nested
    assert run.seconds <= run.whole


def test_our_failure_is_one_line(tmp_path: Path) -> None:
    search = ours.prepare(Size(2, 1), tmp_path, "shootdown.errors:no_such_engine")
    with pytest.raises(PeerError, match=r"^our engine failed, saying AttributeError: .*$"):
        search()


PAN = """
State-vector 20 byte, depth reached 31, errors: {errors}
      546 states, stored
     1317 states, matched
     1863 transitions (= stored+matched)
"""


def test_spin_report_is_read() -> None:
    assert spin.parse(PAN.format(errors=0), 1.0, 2.0, 3) == Run(546, False, 1.0, 2.0, 3)
    assert spin.parse(PAN.format(errors=1), 1.0, 2.0, 3).violated


@pytest.mark.parametrize(
    "output",
    [
        "",
        "pan: out of memory",
        "error: max search depth too small\n" + PAN.format(errors=0),
    ],
)
def test_incomplete_spin_search_is_no_result(output: str) -> None:
    with pytest.raises(PeerError, match="SPIN"):
        spin.parse(output, 1.0, 2.0, 3)


def test_rumur_report_is_read() -> None:
    summary = "State Space Explored:\n\t546 states, 1862 rules fired in 0s.\n"
    good = rumur.parse("Status:\n\tNo error found.\n" + summary, 1.0, 2.0, 3)
    assert good == Run(546, False, 1.0, 2.0, 3)
    assert rumur.parse("Result:\n\tInvariant failed.\n" + summary, 1.0, 2.0, 3).violated
    with pytest.raises(PeerError, match="did not finish"):
        rumur.parse("out of memory", 1.0, 2.0, 3)


def test_a_child_is_charged_for_what_it_used() -> None:
    program = "x = b'x' * 100_000_000; y = sum(range(4_000_000)); print(len(x))"
    done = measure([sys.executable, "-c", program])
    assert (done.output, done.status) == ("100000000\n", 0)
    assert done.seconds > 0.01
    assert done.memory > 100_000_000


def test_environment_and_directory_reach_the_child(tmp_path: Path) -> None:
    done = measure(["sh", "-c", "echo $COLOUR; pwd"], tmp_path, {"COLOUR": "red"})
    assert done.output.split() == ["red", str(tmp_path)]


def test_failure_carries_the_output() -> None:
    with pytest.raises(PeerError, match=r"status 3\nbroken"):
        succeed(["sh", "-c", "echo broken >&2; exit 3"])


def test_missing_command_has_no_version() -> None:
    assert first_line(["no-such-model-checker", "--version"]) is None
    assert first_line(["sh", "-c", "echo one; echo two"]) == "one"
