"""What the walker of trees may do to a model's own paths: stores, tables that move, and flushes of
some pages."""

from __future__ import annotations

from typing import Any

import pytest

from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.hardware import Cpu, Frame, Page, Pte
from shootdown.hardware.walker import Pcid, Pmd, Region, Space, Table, Walker, load, slot, store
from shootdown.hardware.walker_flush import invlpg, invpcid_all, load_cr3, walker
from shootdown.hardware.walker_remote import (
    RemoteCpu,
    call_walkers_pages,
    x86_tables_pages,
)
from shootdown.lang import (
    WRITE_ONCE,
    Function,
    Setup,
    Thread,
    atomic,
    invariant,
    path,
    scenario,
    this,
)

ROOT = Space(0)
FIRST, SECOND = Page(0), Page(1)


def verdict(
    start: Function[..., Any],
    main: Function[..., Any],
    *args: Any,
    tlb: str = "may",
    options: dict[str, str] | None = None,
    cpus: int = 1,
    invariants: tuple[Any, ...] = (),
    regions: int = 1,
    **keywords: Any,
) -> Verdict:
    @scenario("walk", expect="HOLDS", title="walk")
    def build() -> Setup:
        return Setup(
            sizes={
                RemoteCpu: cpus,
                Page: 2,
                Frame: 2,
                Region: regions,
                Pcid: 1,
                Table: 1,
                Space: 1,
            },
            start=start,
            threads=[Thread(main, *args, on=RemoteCpu(0), **keywords)],
            hardware=x86_tables_pages,
            invariants=invariants,
            options={"tlb": tlb, **(options or {})},
        )

    return native.explore(build.compile()).verdict


@atomic
def mapped(writable: bool) -> None:
    Table(0).pte[FIRST] = Pte(present=True, writable=writable, accessed=True, frame=Frame(0))
    ROOT.pmd[Region(0)] = Pmd(present=True, table=Table(0))
    for cpu in RemoteCpu:
        load_cr3(cpu, ROOT, Pcid(0))


@atomic
def writable() -> None:
    mapped(True)


@atomic
def read_only() -> None:
    mapped(False)


@atomic
def must_store() -> None:
    assert store(this(Walker), FIRST) == Frame(0), "FAULT: the store faults"


@atomic
def must_not_store() -> None:
    assert store(this(Walker), FIRST) is None, "STORED: the store goes through"


@path
def stores(allowed: bool) -> None:
    if allowed:
        must_store()
    else:
        must_not_store()


@path
def changes_then_stores(after: bool, allowed: bool, flush: bool) -> None:
    new: Pte = Pte(present=True, writable=after, accessed=True, frame=Frame(0))
    WRITE_ONCE(Table(0).pte[FIRST], new)
    if flush:
        invlpg(this(Walker), FIRST)
    stores(allowed)


@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_a_store_needs_the_right_to_write(tlb: str) -> None:
    assert verdict(writable, stores, True, tlb=tlb) is Verdict.HOLDS
    assert verdict(read_only, stores, False, tlb=tlb) is Verdict.HOLDS
    assert verdict(read_only, stores, True, tlb=tlb) is Verdict.VIOLATED


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("flush", [False, True])
def test_a_stale_entry_may_let_write_and_may_keep_from_it(tlb: str, flush: bool) -> None:
    """Both are certain only after INVLPG (SDM 3A 4.10.4.3)."""
    certain = Verdict.HOLDS if flush else Verdict.VIOLATED
    found = [
        verdict(start, changes_then_stores, after, after, flush, tlb=tlb)
        for start, after in ((writable, False), (read_only, True))
    ]
    assert found == [certain, certain]


@path
def moves_the_table() -> None:
    pmd = ROOT.pmd[Region(0)]
    WRITE_ONCE(ROOT.pmd[Region(1)], pmd)
    must_load()


@atomic
def must_load() -> None:
    assert load(this(Walker), SECOND) == Frame(0), "FAULT: the load faults"


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("index", ["page", "slot"])
def test_a_table_translates_where_it_is(tlb: str, index: str) -> None:
    """Counted from its beginning, its entries serve another region as well."""
    found = verdict(
        writable,
        moves_the_table,
        tlb=tlb,
        regions=2,
        options={"table_index": index},
    )
    assert found is (Verdict.HOLDS if index == "slot" else Verdict.VIOLATED)


@path
def fills_a_table_in_two_places() -> None:
    WRITE_ONCE(ROOT.pmd[Region(1)], Pmd(present=True, table=Table(0)))
    new: Pte = Pte(present=True, accessed=True, frame=Frame(1))
    WRITE_ONCE(Table(0).pte[slot(SECOND)], new)


@invariant("NEW")
def nothing_new() -> bool:
    """A CPU may use the new entry at the second place."""
    cpu = RemoteCpu(0)
    return not any(leaf.frame == Frame(1) for leaf in cpu.leaves[cpu.pcid][SECOND])


@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_an_entry_can_be_loaded_wherever_its_table_is(tlb: str) -> None:
    found = verdict(
        writable,
        fills_a_table_in_two_places,
        tlb=tlb,
        regions=2,
        options={"table_index": "slot"},
        invariants=(nothing_new,),
    )
    assert found is Verdict.VIOLATED


@atomic
def both_mapped() -> None:
    for page in Page:
        Table(0).pte[page] = Pte(present=True, accessed=True, frame=Frame(page.index))
    ROOT.pmd[Region(0)] = Pmd(present=True, table=Table(0))
    for cpu in RemoteCpu:
        load_cr3(cpu, ROOT, Pcid(0))


@path
def unmaps_both(flushed: tuple[Page, ...]) -> None:
    for page in (FIRST, SECOND):
        WRITE_ONCE(Table(0).pte[page], Pte())
    call_walkers_pages(set(Cpu), set(flushed))
    expect_gone(set(flushed))


@atomic
def expect_gone(pages: set[Page]) -> None:
    """What was flushed is gone everywhere, and the rest may still be there."""
    for cpu in RemoteCpu:
        for page in Page:
            kept = bool(cpu.leaves[cpu.pcid][page])
            assert kept != (page in pages), "WRONG: too much was flushed, or too little"


@pytest.mark.parametrize("flushed", [(), (FIRST,), (SECOND,), (FIRST, SECOND)])
def test_a_flush_of_some_pages_leaves_the_others(flushed: tuple[Page, ...]) -> None:
    """On this CPU and on the other one. With the may-set what a CPU may have is certain."""
    assert verdict(both_mapped, unmaps_both, flushed, cpus=2) is Verdict.HOLDS


@path
def to_another_root(flush: bool, allowed: bool) -> None:
    cpu = this(Walker)
    load_cr3(cpu, Space(1), Pcid(0))
    if flush:
        invpcid_all(cpu)
    stores(allowed)


@atomic
def glob_read_only() -> None:
    Region(0).glob = True
    for space in Space:
        Table(space.index).pte[FIRST] = Pte(
            present=True, writable=space == Space(1), accessed=True, frame=Frame(0)
        )
        space.pmd[Region(0)] = Pmd(present=True, table=Table(space.index))
    load_cr3(Walker(0), ROOT, Pcid(0))


@pytest.mark.parametrize("flush", [False, True])
def test_a_store_goes_through_global_entries_too(flush: bool) -> None:
    @scenario("global", expect="HOLDS", title="global")
    def build() -> Setup:
        return Setup(
            sizes={Walker: 1, Page: 1, Frame: 1, Region: 1, Pcid: 1, Table: 2, Space: 2},
            start=glob_read_only,
            threads=[Thread(to_another_root, flush, True, on=Walker(0))],
            hardware=walker,
        )

    found = native.explore(build.compile()).verdict
    assert found is (Verdict.HOLDS if flush else Verdict.VIOLATED)
