"""How often devices are told, in each variant of system S4: counts that can be derived by hand."""

from __future__ import annotations

import pytest

from shootdown.cost.engine import Priced, Run
from shootdown.cost.profile import Profile
from shootdown.errors import UsageError
from shootdown.races.s4 import VARIANTS
from shootdown.workloads.sva import sva

ROUNDS = 10


def priced(variant: str, **parameters: int) -> Priced:
    options = {"notify": VARIANTS[variant], "tlb_batched": "counted"}
    plan = sva.plan({"cpus": 1, "pages": 3, "dontneed": ROUNDS, **parameters})
    return Run(plan, Profile.load("skylake-2s"), 1, options).run()


# MADV_DONTNEED of 3 pages; mprotect() of one; mprotect() and copy on write of one
TOLD = {
    "N.none": (0, 0, 0),
    "N.pre": (1, 1, 2),  # range_start
    "N.a": (3, 1, 2),  # each PTE
    "N.b": (1, 1, 2),
    "N.c": (1, 1, 2),  # range_end
    "N.ac": (3 + 2, 1 + 2, 3 + 2),  # each PTE, the gather's flush, range_end; a copy has no gather
    "N.conly_end": (2, 2, 2 + 1),  # the gather's flush and range_end; a copy under the PTL only
    "N.arch": (1, 1, 2),  # each flush of the CPUs
}


COMMON = ("N.conly_end", "N.arch")


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [v if v in COMMON else pytest.param(v, marks=pytest.mark.deep) for v in TOLD],
)
def test_how_often_a_device_is_told(variant: str) -> None:
    dontneed, protect, cow = TOLD[variant]
    found = priced(variant, protect=ROUNDS, cow=ROUNDS)
    expected = ROUNDS * (dontneed + 3 * protect + 3 * cow)
    assert found.counts.get("iotlb_flush", 0) == expected


def test_each_device_is_told() -> None:
    one, three = (priced("N.a", devices=devices) for devices in (1, 3))
    assert three.counts["iotlb_flush"] == 3 * one.counts["iotlb_flush"] == 3 * 3 * ROUNDS
    price = Profile.load("skylake-2s").iotlb_flush
    assert three.times["zap_pte_range"] - one.times["zap_pte_range"] >= 2 * 3 * ROUNDS * price


def test_workers_share_a_page_table() -> None:
    with pytest.raises(UsageError, match="fit in one page table: 512 pages at most"):
        sva.plan({"workers": 3, "pages": 200})
