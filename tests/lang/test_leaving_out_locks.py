"""Leaving out a lock leaves out its whole critical section: the taking, and what releases it."""

from __future__ import annotations

from typing import Any

import pytest

from lang.small import ONE, TWO, Compile, Small
from shootdown.check.result import Verdict
from shootdown.lang.compiler import removable_sites
from shootdown.lang.loader import load_file

TWO_SPACES = "SIZES = {**SIZES, Mm: 2}\n"


class Sites:
    """A small model and its mutants."""

    def __init__(self, compiled: Compile, path: Any, source: str, threads: str = ONE) -> None:
        self.run = compiled
        self.source, self.threads = source, threads
        self.whole = compiled(source, threads)
        (scenario,) = load_file(str(path / "model.py"))
        self.sites = removable_sites(scenario)

    def without(self, *sites: int) -> Small:
        """The model without some of its sites, by their number."""
        names = frozenset(self.sites[i].id for i in sites)
        return self.run(self.source, self.threads, without=names)


@pytest.fixture
def sites(compiled: Compile, tmp_path: Any) -> Any:
    return lambda source, threads=ONE: Sites(compiled, tmp_path, source, threads)


@pytest.mark.parametrize(
    ("take", "drop", "text"),
    [
        ("spin_lock(mm.ptl)", "spin_unlock(mm.ptl)", "lock mm.ptl"),
        ("down_read(mm.sem)", "up_read(mm.sem)", "lock mm.sem.read()"),
        ("down_write(mm.sem)", "up_write(mm.sem)", "lock mm.sem.write()"),
        ("taken = spin_trylock(mm.ptl)", "spin_unlock(mm.ptl)", "lock mm.ptl"),
    ],
)
def test_both_calls_are_one_site(sites: Any, take: str, drop: str, text: str) -> None:
    model = sites(f"{take}\nmm.a = 1\n{drop}")
    assert [(site.role, site.text) for site in model.sites] == [("lock", text)]
    assert len(model.whole.kinds) == 3
    assert model.without(0).kinds == ["store"]


def test_a_lock_that_is_downgraded_is_left_out_to_its_end(sites: Any) -> None:
    model = sites(
        "down_write(mm.sem)\nmm.a = 1\ndowngrade_write(mm.sem)\nmm.b = 1\nup_read(mm.sem)", TWO
    )
    assert len(model.sites) == 1
    assert model.whole.kinds == ["down_write", "store", "downgrade_write", "store", "up_read"]
    assert model.whole.check().verdict is Verdict.HOLDS
    assert model.without(0).kinds == ["store", "store"]


def test_what_was_only_tried_is_taken_when_it_is_left_out(sites: Any) -> None:
    model = sites("if spin_trylock(mm.ptl):\n    mm.a = 1\n    spin_unlock(mm.ptl)", TWO)
    assert len(model.sites) == 1
    without = model.without(0)
    assert without.kinds == ["store"]
    assert without.check().verdict is Verdict.HOLDS


HELPERS = """
@path
def lock_one(mm: Mm) -> Mm:
    while True:
        held = choose(Mm)
        spin_lock(held.ptl)
        if held.flag:
            return held
        spin_unlock(held.ptl)

@path
def unlock_one(held: Mm) -> None:
    spin_unlock(held.ptl)

@atomic
def start() -> None:
    Mm(1).flag = True

START = start

@path
def main(mm: Mm) -> None:
    held = lock_one(mm)
    held.a = 1
    unlock_one(held)
"""


def test_the_release_may_stand_in_another_function(sites: Any) -> None:
    model = sites(TWO_SPACES + HELPERS, TWO)
    assert [site.text for site in model.sites] == ["lock held.ptl"]
    assert {"lock", "unlock"} <= set(model.whole.kinds)
    without = model.without(0)
    assert not {"lock", "unlock"} & set(without.kinds)
    assert without.check().violation is None


BRANCHES = """
if mm.flag:
    spin_lock(mm.ptl)
else:
    mm.b = 1
    spin_lock(mm.ptl)
mm.a = 1
spin_unlock(mm.ptl)
"""


@pytest.mark.parametrize("flag", [False, True])
def test_one_release_of_two_critical_sections(sites: Any, flag: bool) -> None:
    start = f"@atomic\ndef start() -> None:\n    Mm(0).flag = {flag}\nSTART = start\n"
    body = "".join("    " + line + "\n" for line in BRANCHES.splitlines())
    model = sites(start + "@path\ndef main(mm: Mm) -> None:" + body)
    assert len(model.sites) == 2
    other = [] if flag else ["b = 1"]

    def labels(small: Small) -> list[str]:
        return [text.replace("mm0.", "").replace("mm.", "") for text in small.labels()]

    free = [f"read flag -> {int(flag)}", *other, "a = 1"]
    locked = [*free[:-1], "spin_lock(ptl)", "a = 1", "spin_unlock(ptl)"]
    assert labels(model.whole) == locked
    assert labels(model.without(0)) == (free if flag else locked)
    assert labels(model.without(1)) == (locked if flag else free)
    assert labels(model.without(0, 1)) == free


DROPPED = """
with mm.ptl:
    mm.a = 1
    spin_unlock(mm.ptl)
    mm.b = 1
    spin_lock(mm.ptl)
    mm.a = 2
"""


def test_a_lock_that_is_dropped_and_taken_again(sites: Any) -> None:
    model = sites(DROPPED)
    whole = ["lock", "store", "unlock", "store", "lock", "store", "unlock"]
    assert model.whole.kinds == whole
    assert model.without(0).kinds == [*whole[1:2], *whole[3:]]
    assert model.without(1).kinds == whole[:4] + whole[5:6]
    assert model.without(0, 1).kinds == ["store"] * 3


def test_dropped_in_a_loop(sites: Any) -> None:
    loop = """
    spin_lock(mm.ptl)
    while mm.a < 2:
        mm.a += 1
        spin_unlock(mm.ptl)
        mm.b = mm.a
        spin_lock(mm.ptl)
    spin_unlock(mm.ptl)
    """
    model = sites(loop)
    assert len(model.sites) == 2
    for site in (0, 1):
        result = model.without(site).check()
        assert result.verdict is Verdict.HOLDS
        assert result.states == model.whole.check().states - {0: 2, 1: 4}[site]


NESTED = """
@path
def main(mm: Mm) -> None:
    spin_lock(Mm(0).ptl)
    spin_lock(Mm(1).ptl)
    mm.a = 1
    spin_unlock(Mm(0).ptl)
    spin_unlock(Mm(1).ptl)
"""


def test_the_inner_one_of_two_locks_of_one_field(sites: Any) -> None:
    model = sites(TWO_SPACES + NESTED)
    lock_0, lock_1, store, unlock_0, unlock_1 = model.whole.texts
    assert model.without(0).texts == [lock_1, store, unlock_1]
    assert model.without(1).texts == [lock_0, store, unlock_0]


def test_a_release_without_a_lock_stays_an_error(sites: Any) -> None:
    model = sites("with mm.lru:\n    mm.a = 1\nspin_unlock(mm.ptl)")
    assert model.without(0).check().verdict is Verdict.VIOLATED
