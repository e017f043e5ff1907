"""What is a step: one shared access each, in evaluation order, and what steps are called."""

from __future__ import annotations

import pytest

from lang.small import Compile

STEPS = {
    "mm.a = 1": "store",
    "x = mm.a": "load",
    "mm.a = mm.b": "load store",
    "mm.a = (mm.a + mm.b) % 4": "load load store",
    "mm.a += 1": "load store",
    "mm.c += 1": "atomic_inc",
    "mm.c -= 1": "atomic_dec",
    "mm.c += 2": "atomic_add",
    "mm.c -= 2": "atomic_sub",
    "mm.c += mm.a": "load atomic_add",
    "mm.c = 1": "store",
    "atomic_inc(mm.c)": "atomic_inc",
    "atomic_add(mm.c, 2)": "atomic_add",
    "x = atomic_inc_return(mm.c)": "atomic_inc_return",
    "x = atomic_dec_and_test(mm.c)": "atomic_dec_and_test",
    "x = READ_ONCE(mm.a)": "READ_ONCE",
    "WRITE_ONCE(mm.a, mm.b)": "load WRITE_ONCE",
    "x = smp_load_acquire(mm.a)": "smp_load_acquire",
    "smp_store_release(mm.a, 1)": "smp_store_release",
    "x = mm.pte[Page(0)].dirty": "load",
    "x = mm.pte[Page(0)].frame.uses": "load load",
    "mm.pte[Page(0)] = Pte(present=True)": "store",
    "x = xchg(mm.pte[Page(0)], Pte())": "xchg",
    "x = cmpxchg(mm.a, 0, mm.b)": "load cmpxchg",
    "x = try_cmpxchg(mm.a, 0, 1)": "try_cmpxchg",
    "set_bit(mm.flag)": "set_bit",
    "clear_bit(mm.pte[Page(0)].dirty)": "clear_bit",
    "x = test_and_set_bit(mm.pte[Page(0)].dirty)": "test_and_set_bit",
    "mm.pages.add(Page(0))": "add",
    "mm.pages.discard(Page(0))": "discard",
    "mm.pages |= {Page(0)}": "load store",
    "with mm.ptl:\n    mm.a = 1": "lock store unlock",
    "with mm.ptl, mm.lru:\n    pass": "lock lock unlock unlock",
    "spin_lock(mm.ptl)\nspin_unlock(mm.ptl)": "lock unlock",
    "if spin_trylock(mm.ptl):\n    spin_unlock(mm.ptl)": "trylock unlock",
    "with mm.sem.read():\n    pass": "down_read up_read",
    "with mm.sem.write():\n    pass": "down_write up_write",
    "down_read(mm.sem)\nup_read(mm.sem)": "down_read up_read",
    "down_write(mm.sem)\ndowngrade_write(mm.sem)\nup_read(mm.sem)": (
        "down_write downgrade_write up_read"
    ),
    "for page in (Page(0), Page(1))[1:]:\n    mm.pte[page] = Pte()": "store",
    "x = mm.ptl.locked": "load",
    "wait_until(mm.a == 0)": "wait",
    "wait_until(not mm.ptl.locked)": "wait",
    "event('here')": "event",
    "mm.a = total": "load store",
    "mm.seen = 3\nmm.a = 1": "store",  # ghost state costs nothing
    "mm.flag = mm.seen == 1": "store",
    "smp_mb()\nmm.a = 1\nsmp_wmb()": "store",
    "note('nothing')\nmm.a = 1": "store",
    "if mm.flag:\n    mm.a = 1\nelse:\n    mm.b = 1": "load store store",
    "for page in Page:\n    mm.pte[page] = Pte()": "store store",
    "x = mm.flag and mm.a == 1": "load load",
    "if mm.flag or mm.a == 1 or mm.b == 1:\n    mm.c = 1": "load load load store",
    "x = 0 < mm.a < mm.b": "load load",
    "x = any(mm.pte[p].present for p in Page)": "load load",
    "x = {p for p in mm.pages if mm.pte[p].present}": "load load load",
    "x = sum(1 for p in Page if mm.pte[p].dirty)": "load load",
    "x = mm.a if mm.flag else mm.b": "load load load",
    "x = mm.flag if NESTED else mm.a": "load",
    "if not NESTED:\n    mm.a = 1\nmm.b = 1": "store",
    "if TLB == 'explicit':\n    mm.a = 1\nmm.b = 1": "store",
}  # fmt: skip


@pytest.mark.parametrize("source", STEPS)
def test_steps_of(source: str, compiled: Compile) -> None:
    small = compiled(source + "\nevent('end')")
    assert sorted(small.kinds) == sorted([*STEPS[source].split(), "event"])


def test_operands_are_read_from_left_to_right_and_the_target_last(compiled: Compile) -> None:
    small = compiled("mm.pte[Page(mm.c % 2)] = replace(mm.pte[Page(0)], dirty=mm.a == mm.b)")
    assert small.texts == [
        "read mm.pte[page0]", "read mm.a", "read mm.b", "read mm.c", "mm.pte[..] =",
    ]  # fmt: skip


def test_calls_are_inlined_and_an_atomic_call_is_one_step(compiled: Compile) -> None:
    small = compiled("""
        @atomic
        def both(mm: Mm) -> int:
            mm.a = 1
            mm.b = 2
            return mm.a + mm.b

        @path
        def helper(mm: Mm) -> int:
            x = mm.c
            return both(mm) + x

        @path
        def main(mm: Mm) -> None:
            mm.b = helper(mm)
        """)
    assert small.kinds == ["load", "atomic", "store"]
    assert small.end("mm.a") == 1
    assert small.end("mm.b") == 3


def test_a_path_without_steps_serves_paths_and_atomic_actions(compiled: Compile) -> None:
    small = compiled("""
        @path
        def next_to(page: Page, *, wrap: bool = True) -> Page:
            if page.index + 1 < len(Page):
                return Page(page.index + 1)
            return Page(0) if wrap else page

        @atomic
        def both(mm: Mm, page: Page) -> int:
            mm.a = next_to(next_to(page)).index + 1
            mm.b = next_to(page).index
            return mm.a + mm.b

        @path
        def main(mm: Mm) -> None:
            mm.b = both(mm, Page(0)) + next_to(Page(0)).index
        """)
    assert small.kinds == ["atomic", "store"]
    assert small.end("mm.a") == 1
    assert small.end("mm.b") == 3


def test_a_path_without_steps_may_branch_in_a_condition(compiled: Compile) -> None:
    """The right side of ``and`` is first tried without a branch, which is taken back here."""
    small = compiled("""
        @path
        def small_enough(n: int) -> bool:
            if n == 2:
                return choose(False, True)
            return n < 2

        @atomic
        def both(mm: Mm) -> int:
            if mm.b == 0 and small_enough(mm.a + 2):
                mm.a = 1
            mm.b = 3
            return mm.a + mm.b

        @path
        def main(mm: Mm) -> None:
            mm.b = both(mm) - 1
        """)
    assert small.kinds == ["atomic", "store"]
    assert sorted(small.ends("mm.b")) == [2, 3]


def test_labels_of_steps(compiled: Compile) -> None:
    small = compiled("""
        page = Page(1)
        mm.pte[page] = Pte(present=True, frame=Frame(1))
        x = xchg(mm.pte[page], Pte())
        mm.a = mm.pte[page].frame.index
        with mm.ptl:
            mm.c += 1
        y = cmpxchg(mm.a, 0, 3)
        mm.pages.add(page)
        mm.mode = Mode.FAST
        mm.owner = x.frame
        event("done {}", mm.seen)
        """)
    assert small.labels() == [
        "mm.pte[page1] = f1",
        "xchg(mm.pte[page1], none) -> f1",
        "read mm.pte[page1] -> none",
        "mm.a = 0",
        "spin_lock(ptl)",
        "atomic_inc(mm.c) -> 1",
        "spin_unlock(ptl)",
        "cmpxchg(mm.a, 0, 3) -> 0",
        "mm.pages.add(page1)",
        "mm.mode = FAST",
        "mm.owner = f1",
        "done 0",
    ]


def test_a_function_of_one_step_is_shown_as_one_call(compiled: Compile) -> None:
    small = compiled("""
        @path(show="ptep_get_and_clear({ptep})")
        def ptep_get_and_clear(ptep: Ref[Pte]) -> Pte:
            return xchg(ptep, Pte())

        @path
        def two(mm: Mm) -> None:
            mm.a = 1
            mm.a = 2

        @path
        def main(mm: Mm) -> None:
            pte = ptep_get_and_clear(mm.pte[Page(0)])
            two(mm)
        """)
    assert small.labels() == ["ptep_get_and_clear(mm.pte[page0]) = none", "mm.a = 1", "mm.a = 2"]
    calls = [a.info.calls for a in small.system.processes[0].actions]
    assert [[(c.function, c.single) for c in chain] for chain in calls] == [
        [("main()", False), ("ptep_get_and_clear(mm.pte[page0])", True)],
        [("main()", False), ("two()", False)],
        [("main()", False), ("two()", False)],
    ]


def test_notes_and_marks_belong_to_the_step_before(compiled: Compile) -> None:
    small = compiled("""
        x = mm.a
        note("found {}", x)
        mm.b = 1
        mark("stale {{}}")
        note(f"page {Page(1)} {x}")
        """)
    assert small.labels() == ["read mm.a -> 0; found 0", "mm.b = 1; stale {}; page page1 0"]
    assert not small.check().violation
