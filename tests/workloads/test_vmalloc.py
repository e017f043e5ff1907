"""Kernel memory freed beside isolated CPUs: counts that follow from the parameters alone."""

from __future__ import annotations

from typing import Any

import pytest

from shootdown.cost.engine import Priced
from shootdown.cost.profile import Profile
from shootdown.errors import ModelError
from shootdown.lang.scenario import Scenario
from shootdown.races import library
from shootdown.workloads.library import find_workload
from shootdown.workloads.pricing import price, variant_of

S1: dict[str, Scenario] = {s.name: s for s in library() if s.name.startswith(("K.", "PT."))}
FREES = 100  # in 100 ms, by default
ISOLATED = 2


def priced(name: str, prices: dict[str, int] | None = None, **parameters: int) -> Priced:
    workload = find_workload(None, S1[name])
    profile = Profile.load("skylake-2s").override(**(prices or {}))
    return price(S1[name], workload, parameters, profile=profile, ranges=False).priced


def counted(run: Priced) -> dict[str, int]:
    names = ("isolated_interrupts", "deferred", "coalesced", "settled", "entry_flushes")
    return {name: run.counts[name] for name in names if run.counts.get(name)}


def test_everybody_is_interrupted_today() -> None:
    run = priced("K.V0", entries=0)
    assert run.calls["flush_tlb_kernel_range_deferrable"] == FREES
    assert run.counts["csd_queue_cpu"] == run.counts["interrupts"] == FREES * 3
    assert counted(run) == {"isolated_interrupts": FREES * ISOLATED}
    assert run.counts["invlpg"] == FREES * 4 * 4  # pages, CPUs


@pytest.mark.parametrize("name", ["K.V1.careful", "K.V3", "K.V4"])
def test_pure_user_mode_is_never_interrupted(name: str) -> None:
    run = priced(name, entries=0)
    assert run.counts["csd_queue_cpu"] == FREES  # the other housekeeping CPU
    assert counted(run) == {"deferred": FREES * ISOLATED, "coalesced": (FREES - 1) * ISOLATED}
    assert run.counts["stolen_ns"] == 0


def test_many_deferred_flushes_are_one() -> None:
    """Ten flushes between two entries."""
    run = priced("K.V3", entries=100)
    entries = 10
    assert counted(run) == {
        "deferred": FREES * ISOLATED,
        "coalesced": (FREES - entries) * ISOLATED,
        "settled": entries * ISOLATED,
        "entry_flushes": entries * ISOLATED,
    }


def test_an_unconditional_flush_is_paid_by_every_entry() -> None:
    """Ten entries for each flush: with context tracking the other nine cost nothing."""
    every, asked = (priced(name, frees=100, entries=1000) for name in ("K.V3", "K.V1.careful"))
    assert every.counts["entry_flushes"] == 100 * ISOLATED
    assert asked.counts["entry_flushes"] == asked.counts["settled"] == 10 * ISOLATED
    assert every.counts["settled"] == 10 * ISOLATED


@pytest.mark.parametrize(("name", "what"), [("K.V3", "flush_everything"), ("K.V4", "flush_all")])
def test_what_an_entry_pays(name: str, what: str) -> None:
    base = Profile.load("skylake-2s").values()[what]
    cheap = priced(name, entries=1000)
    dear = priced(name, {what: base + 1000}, entries=1000)
    assert dear.counts["stolen_ns"] == cheap.counts["stolen_ns"] + 100 * ISOLATED * 1000


def test_what_an_interrupt_takes() -> None:
    """The handler, the flush of more than 33 pages, and nothing at the entry."""
    base = Profile.load("skylake-2s").values()
    dear = {"handler": base["handler"] + 700, "flush_everything": base["flush_everything"] + 300}
    cheap, more = (priced("K.V0", p, entries=0, pages=40) for p in ({}, dear))
    assert cheap.counts.get("invlpg", 0) == 0
    assert more.counts["stolen_ns"] == cheap.counts["stolen_ns"] + FREES * ISOLATED * 1000


def test_addresses_are_collected() -> None:
    """1 MiB for each of the three bits of 4 are 768 pages: the 193rd area is too much."""
    run = priced("K.V0", mib=1, ms=1000, entries=0)
    assert run.calls["vfree"] == 1000
    assert run.calls["flush_tlb_kernel_range_deferrable"] == 1000 // 193
    assert run.counts["csd_queue_cpu"] == 3 * (1000 // 193)
    assert run.counts.get("invlpg", 0) == 0


def test_an_interrupt_that_is_late_comes_in_user_mode() -> None:
    """Q-S1-5: the CPU was told because it was in the kernel; it has left meanwhile."""
    run = priced("K.V3", {"ipi_deliver": 5000, "ipi_deliver_remote": 5000},
                 entries=50_000, chance=100, frees=2000)  # fmt: skip
    told = run.counts["csd_queue_cpu"] - 200  # the other housekeeping CPU
    assert told == 200 * ISOLATED - run.counts["deferred"]
    assert 0 < run.counts["isolated_interrupts"] <= told


def test_an_interrupt_is_not_early() -> None:
    """A CPU that turns interrupts off and on while one is on its way does not take it before."""
    run = priced("K.V0", {"ipi_deliver": 50_000, "ipi_deliver_remote": 50_000},
                 cpus=3, entries=100_000, frees=100)  # fmt: skip
    assert run.stalls["wait_for_acks()"] >= 10 * 50_000


def test_options_of_the_search_have_no_price() -> None:
    assert S1["K.V3"].setup().options["memory"] == "tso"
    assert "memory" not in variant_of(S1["K.V3"]).options


@pytest.mark.parametrize("parameters", [{"isolated": 4}, {"frees": 0}])
def test_somebody_frees_something(parameters: Any) -> None:
    with pytest.raises(ModelError, match="somebody must free something"):
        priced("K.V3", **parameters)
