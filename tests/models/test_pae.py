"""PAE: the walker reads the two halves of an entry at once, whatever software has made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from models.checks import explored
from models.results import LIBRARY
from shootdown.check import native
from shootdown.check.reference import _Search
from shootdown.check.result import Limits, Verdict
from shootdown.check.trace import trace_violation
from shootdown.hardware.ipi import call_many
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, PteHigh, PteLow
from shootdown.hardware.pae import entry_of
from shootdown.hardware.tlb import invalidate, user_load, user_store
from shootdown.hardware.x86 import x86, x86_virtual
from shootdown.lang import (
    WRITE_ONCE,
    Scenario,
    Setup,
    Thread,
    atomic,
    goal,
    invariant,
    mark,
    path,
    scenario,
    this,
    xchg,
)
from shootdown.lang.ir import System
from shootdown.linux.mm_types import Mm
from shootdown.linux.pgtable import ptep_get
from shootdown.races import s0_properties as s0
from shootdown.races.s0 import on
from shootdown.report.diagram import diagram

MM = AddressSpace(0)
PAGE = Page(0)

# ------------------------------------------------------------------ both TLBs


@atomic
def numbered() -> None:
    """Frame 0 is at 0, frame 1 at 8 GiB, frame 2 a page above that; the entry maps frame 1, and
    nobody has used it. CPU1 walks the page table, CPU0 writes it."""
    Frame(1).pfn_high = 2
    Frame(2).pfn_high = 2
    Frame(2).pfn_low = 1
    Cpu(1).walks = MM
    MM.pte_high[PAGE] = PteHigh(pfn_high=2)
    MM.pte_low[PAGE] = PteLow(present=True, writable=True)


@path
def writer(*, low_first: bool, flush: bool) -> None:
    """Some writes of halves: the present bit is left in place, and frame 2 is mapped in the end.
    On the way it may be anything: frame 0, none (low 1 without high), frame 1."""
    if low_first:
        WRITE_ONCE(MM.pte_low[PAGE], PteLow(present=True, pfn_low=1))
        WRITE_ONCE(MM.pte_high[PAGE], PteHigh())
    else:
        WRITE_ONCE(MM.pte_high[PAGE], PteHigh())
        xchg(MM.pte_low[PAGE], PteLow(present=True, accessed=True, pfn_low=1))
    if flush:
        call_many({Cpu(1)}, {PAGE})
    WRITE_ONCE(MM.pte_high[PAGE], PteHigh(pfn_high=2))


def halves(low_first: bool, flush: bool, virtual: bool) -> Scenario:
    options = {"pv_flush": "skip-preempted" if virtual else "ipi"}

    @scenario("halves", expect="HOLDS")
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 3, AddressSpace: 1},
            start=numbered,
            threads=[Thread(writer, low_first=low_first, flush=flush, **on(0, options))],
            hardware=x86_virtual if virtual else x86,
            invariants=[looked_at],
            options={"pte": "pae"},
        )

    return build


@invariant("LOOKED-AT")
def looked_at() -> bool:
    """Holds; it keeps what it reads in the state."""
    return len(Cpu(1).tlb[PAGE]) + len(Cpu(1).elsewhere) < 99


def states(system: System) -> list[dict[str, int]]:
    """All that can be reached."""
    search = _Search(system, Limits(), None)
    search.run()
    assert search.result().verdict is Verdict.HOLDS
    names = [variable.name for variable in system.variables]
    return [dict(zip(names, state, strict=True)) for state in search.order]


def subsets(mask: int) -> Iterator[int]:
    """Of a set of bits."""
    bits = [1 << bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    for chosen in product((0, 1), repeat=len(bits)):
        yield sum(bit for bit, one in zip(bits, chosen, strict=True) if one)


Rest = tuple[tuple[str, int], ...]
CACHED = ("CPU1.tlb[page]", "CPU1.elsewhere")


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("low_first", [False, True])
def test_explicit_contents_are_the_subsets_of_the_may_set(
    low_first: bool, flush: bool, virtual: bool
) -> None:
    model = halves(low_first, flush, virtual)
    found: dict[str, set[tuple[Rest, int, int]]] = {"may": set(), "explicit": set()}
    for tlb, reached in found.items():
        for state in states(model.compile(options={"tlb": tlb})):
            entries, elsewhere = state.pop(CACHED[0]), state.pop(CACHED[1])
            rest = tuple(sorted(state.items()))
            if tlb == "explicit":
                reached.add((rest, entries, elsewhere))
            else:
                some = product(subsets(entries), subsets(elsewhere))
                reached |= {(rest, *contents) for contents in some}
    assert found["may"] == found["explicit"]
    assert any(elsewhere for _, _, elsewhere in found["may"])
    assert any(entries.bit_count() > 1 for _, entries, _ in found["may"])


# ------------------------------------------------------------------ what an access does


@path
def use(*, store: bool, flushed: bool) -> None:
    """User space reads or writes, after the CPU has forgotten all that it had, or not."""
    if flushed:
        forget()
    access(store=store)


@atomic
def forget() -> None:
    """INVLPG."""
    invalidate(this(Cpu), {PAGE})


@atomic
def access(*, store: bool) -> None:
    """One access, which finds frame 1."""
    frame = user_store(this(Cpu), PAGE) if store else user_load(this(Cpu), PAGE)
    mark("used {}", frame)
    assert frame == Frame(1), "WRONG: another frame, or a fault"


@goal("D is set")
def dirty() -> bool:
    """In the low half."""
    return MM.pte_low[PAGE].dirty


@goal("A is set")
def accessed() -> bool:
    """In the low half."""
    return entry_of(MM, PAGE).accessed and not entry_of(MM, PAGE).dirty


def using(store: bool, writable: bool = True, high: int = 2, flushed: bool = False) -> Scenario:
    @atomic
    def start() -> None:
        numbered()
        MM.pte_high[PAGE] = PteHigh(pfn_high=high)
        MM.pte_low[PAGE] = PteLow(present=True, writable=writable, accessed=high != 2)

    @scenario("use", expect="HOLDS")
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 1, Frame: 3, AddressSpace: 1},
            start=start,
            threads=[Thread(use, store=store, flushed=flushed, on=Cpu(1))],
            hardware=x86,
            goals=[accessed, *([dirty] if store else [])],
            options={"pte": "pae"},
        )

    return build


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("store", [False, True])
def test_an_access_goes_where_both_halves_lead_and_sets_flags(store: bool, tlb: str) -> None:
    result = explored(using(store), {"tlb": tlb})
    assert result.verdict is Verdict.HOLDS
    assert all(result.goals)


@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_the_right_to_write_is_in_the_low_half(tlb: str) -> None:
    result = explored(using(True, writable=False), {"tlb": tlb})
    assert result.violation is not None
    assert result.violation.name == "WRONG"


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("store", [False, True])
def test_an_access_elsewhere_is_an_error(store: bool, tlb: str) -> None:
    result = explored(using(store, high=5), {"tlb": tlb})
    assert result.violation is not None
    assert result.violation.name == "INV-TORN"


# ------------------------------------------------------------------ scenarios that need it


@pytest.mark.parametrize(
    ("name", "options", "broken"),
    [
        ("S0.V6.pae-walk", {"pae_set": "low-first"}, "INV-TORN"),
        ("S0.V6.pae-walk", {"pae_clear": "high-first"}, "INV-TORN"),
        ("S0.V3.pae", {"pae_clear": "load-store"}, "INV-S0-7"),
        ("S0.V8.pae-same", {"pae_clear": "high-first"}, "INV-TORN"),
        ("S0.V9.pae-reclaim-batched", {"ttu_flush": "late-free"}, "INV-S2-1"),
    ],
)
@pytest.mark.parametrize("tlb", ["may", "explicit"])
def test_what_only_the_walker_sees(
    name: str, options: dict[str, str], broken: str, tlb: str
) -> None:
    result = explored(LIBRARY[name], {**options, "tlb": tlb})
    assert result.violation is not None
    assert result.violation.name == broken


@path
def look(mm: Mm, page: Page) -> None:
    """Which frame is mapped, with the PTL held."""
    with mm.ptl:
        pte = ptep_get(mm, page)
        assert pte.present, "WRONG: nothing is mapped"
        assert pte.frame.index == page.index, "WRONG: another frame is mapped"


def test_who_holds_the_ptl_learns_the_frame() -> None:
    """Reclaim asks whose page an entry maps."""

    @scenario("look", expect="HOLDS")
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Page: 3, Frame: 3, Mm: 1},
            start=s0.mapped_pae_file,
            threads=[Thread(look, Mm(0), page, on=Cpu(0)) for page in (Page(0), Page(1), Page(2))],
            hardware=x86,
            options={"pte": "pae"},
        )

    assert explored(build).verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("S0.V6.pae-set-low", "low 1 W A D and high 0 make f2"),
        ("S0.V6.pae-clear-high", "low 0 W A D and high 0 make no frame"),
    ],
)
def test_the_race_shows_what_the_walker_made_of_the_halves(name: str, made: str) -> None:
    system = LIBRARY[name].compile(options={"tlb": "explicit"})
    result = native.explore(system)
    assert result.violation is not None
    assert result.violation.name == "INV-TORN"
    assert made in " ".join(diagram(trace_violation(system, result.violation)).split())
