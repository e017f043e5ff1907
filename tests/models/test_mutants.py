"""Every flush, lock, barrier, acknowledgement and counter update of a safe scenario is needed, or
``models/redundant`` says why not; and what is said there is true."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase

import pytest

from models.excuses import Excuse, Kind
from models.mutants import SAFE, Outcome, is_step, outcomes, sites_of
from models.redundant import SYSTEMS, system_of
from models.results import LIBRARY
from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.races import MODULES

QUICK = ("S0.V6", "K.V3", "S2a.V8.dontneed", "LUF.V11", "S3.O2", "N.arch", "X2.ipi")
"""One of each system; the others are slow only because they are many."""

EXPECTED = {
    Outcome.SURVIVES: {Kind.NOT_NEEDED, Kind.TWICE, Kind.NOT_AT_STAKE, Kind.COST, Kind.MODEL},
    Outcome.GOAL: {Kind.GOAL},
    Outcome.REFUSED: {Kind.REFUSED},
    Outcome.UNREACHED: {Kind.UNREACHED},
    Outcome.UNCHANGED: set(Kind),
}
"""The excuses that fit what happens; what is needed has none. The same program may have any."""


def complaint(outcome: Outcome, excuses: list[Excuse]) -> str | None:
    """What is wrong with the excuses for one mutant."""
    if len(excuses) > 1:
        return "two excuses are about it: " + " / ".join(excuse.reason for excuse in excuses)
    fitting = EXPECTED.get(outcome, set())
    if excuses and excuses[0].kind not in fitting:
        return f"{outcome.value}, but it is excused as {excuses[0].kind.name}"
    if fitting and not excuses:
        return f"{outcome.value}, and no excuse says why"
    return None


def selected(name: str) -> object:
    quick = any(fnmatchcase(name, pattern) for pattern in QUICK)
    return name if quick else pytest.param(name, marks=pytest.mark.deep)


@pytest.mark.parametrize("name", [selected(name) for name in SAFE])
def test_what_is_left_out_is_needed_or_excused(name: str) -> None:
    system, sites = system_of(name), sites_of(name)
    complaints = {
        site: complaint(outcome, system.excuses_for(site, name))
        for site, outcome in outcomes(name).items()
        if is_step(name, sites[site])
    }
    assert {site: text for site, text in complaints.items() if text} == {}


def test_a_barrier_that_is_no_step_leaves_the_same_program() -> None:
    """Where memory is sequentially consistent; with store buffers it is another one."""
    for name, same in (("X1.current.lazy", True), ("X1.current.lazy-tso", False)):
        site = sites_of(name)["keep_mm: smp_mb()"]
        mutant = LIBRARY[name].compile(without=frozenset({site.id}))
        assert (mutant.fingerprint == LIBRARY[name].compile().fingerprint) is same
        assert is_step(name, site) is not same


MARK = "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()"
END_VMA = "tlb_end_vma: luf_flush_mm()"
RANGE_END = "mmu_notifier_invalidate_range_end: mmu_notifier_invalidate_range()"
PTL = "zap_pte_range: lock pte_lockptr(mm, pages[0])"
TOGETHER = {
    "LUF.V11.munmap": (MARK, END_VMA),
    "LUF.V11.punch": (MARK, END_VMA, "truncate_inode_pages_range: luf_flush_mapping()"),
    "N.ac": (RANGE_END, "notify_before_unlock: mmu_notifier_invalidate_range()"),
    "N.conly_end.mprotect": (RANGE_END, "notify_gather: mmu_notifier_invalidate_range()"),
    "S2a.V8.pageout": ("shrink_folio: lock folio.lock", "page_mkclean_one: lock *"),
    "S0.V4.munmap": ("munmap: lock mm.mmap_lock.write()", PTL),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_done_twice_must_be_done(name: str) -> None:
    """Each alone can be left out (or the first one can not); not all together."""
    left_out = {
        site.id
        for pattern in TOGETHER[name]
        for found, site in sites_of(name).items()
        if found == pattern or fnmatchcase(found, pattern)
    }
    assert len(left_out) == len(TOGETHER[name])
    mutant = LIBRARY[name].compile(without=frozenset(left_out))
    assert native.explore(mutant).verdict is Verdict.VIOLATED


def test_every_module_of_the_library_belongs_to_one_system() -> None:
    """A new one goes into ``SYSTEMS``."""
    owned = Counter(module for system in SYSTEMS for module in system.modules)
    assert owned == Counter(module.rpartition(".")[2] for module in MODULES)


def test_quick_names_safe_scenarios() -> None:
    assert [p for p in QUICK if not any(fnmatchcase(name, p) for name in SAFE)] == []


# --------------------------------------------------------------------------- this test itself


def excuse(kind: Kind) -> Excuse:
    return Excuse("f: lock a[0] #2\ng: *", "A B.* !B.c", kind, "so")


@pytest.mark.parametrize(
    ("site", "scenario", "about"),
    [
        ("f: lock a[0] #2", "A", True),
        ("f: lock a[0]", "A", False),
        ("f: lock a0 #2", "A", False),
        ("g: smp_mb()", "B.x.y", True),
        ("g: smp_mb()", "B", False),
        ("g: smp_mb()", "B.c", False),
        ("g: smp_mb()", "B.c.d", True),
        ("h: smp_mb()", "A", False),
    ],
)
def test_what_an_excuse_is_about(site: str, scenario: str, about: bool) -> None:
    assert excuse(Kind.COST).is_about(site, scenario) is about


def test_the_parts_of_an_excuse() -> None:
    sites, scenarios = "f: lock a[0] #2\ng: *", "A B.* !B.c"
    parts = [(part.sites, part.scenarios) for part in excuse(Kind.COST).parts()]
    each_site = [("f: lock a[0] #2", scenarios), ("g: *", scenarios)]
    assert parts == each_site + [(sites, one) for one in ("A", "B.*", "B.c")]


@pytest.mark.parametrize(
    ("outcome", "kinds", "good"),
    [
        (Outcome.NEEDED, [], True),
        (Outcome.NEEDED, [Kind.NOT_NEEDED], False),
        (Outcome.SURVIVES, [], False),
        (Outcome.SURVIVES, [Kind.TWICE], True),
        (Outcome.SURVIVES, [Kind.UNREACHED], False),
        (Outcome.SURVIVES, [Kind.COST, Kind.COST], False),
        (Outcome.GOAL, [Kind.COST], False),
        (Outcome.GOAL, [Kind.GOAL], True),
        (Outcome.REFUSED, [], False),
        (Outcome.UNREACHED, [Kind.NOT_AT_STAKE], False),
        (Outcome.UNCHANGED, [], False),
        (Outcome.UNCHANGED, [Kind.NOT_NEEDED], True),
    ],
)
def test_complaints(outcome: Outcome, kinds: list[Kind], good: bool) -> None:
    assert (complaint(outcome, [excuse(kind) for kind in kinds]) is None) is good


def test_sites_have_names_of_their_own() -> None:
    """Also where a function does the same several times."""
    names = sites_of("KHUGEPAGED-GUP.fixed")
    locks = [names[f"collapse_huge_page: lock mm.pmd_lock #{i}"] for i in (1, 2, 3)]
    assert [site.location.line for site in locks] == sorted({s.location.line for s in locks})
