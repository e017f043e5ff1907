"""What compiles does the right thing."""

from __future__ import annotations

import itertools
import textwrap

import pytest

from lang.small import MAIN, ONE, TWO, Compile, Small
from shootdown.check.result import Verdict, ViolationKind
from shootdown.errors import UsageError
from shootdown.lang.compiler import removable_sites
from shootdown.lang.loader import load_file

KEEP = """
@invariant("KEEP")
def keep() -> bool:
    mm = Mm(0)
    whole = mm.a + mm.b + mm.c + len(mm.pages) + mm.by_mode[Mode.OFF] + total + len(mm.small)
    return (mm.flag or mm.owner is None or mm.mode == Mode.OFF or whole < 99 or mm.seen < 9
            or any(mm.pte[p].present or mm.pte[p].dirty or mm.pte[p].frame == f
                   for p in Page for f in Frame))
INVARIANTS = (keep,)
"""


def body(text: str) -> str:
    """A main with all fields kept in the state."""
    lines = "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
    return f"@path\ndef main(mm: Mm) -> None:\n{lines}{KEEP}"


VALUES = {
    "mm.a = 7 // 2": ("mm.a", 3),
    "x = mm.a - 3\nmm.b = x // 2 + 2": ("mm.b", 0),
    "x = mm.a - 3\nmm.b = x % 2": ("mm.b", 1),
    "x = mm.a - 1\nevent('x lives')\nmm.b = x + 2": ("mm.b", 1),
    "x = -mm.a\nmm.b = abs(x - 2)": ("mm.b", 2),
    "mm.a = 1 << 1 | 1 & 3 ^ 0": ("mm.a", 3),
    "mm.a = int(mm.b == 0) + True": ("mm.a", 2),
    "mm.flag = mm.a == 0 & True": ("mm.flag", 1),
    "mm.flag = (mm.a == 0) ^ (mm.b == 0)": ("mm.flag", 0),
    "mm.a = min(3, mm.b + 2, 9)": ("mm.a", 2),
    "mm.a = max(i for i in range(4))": ("mm.a", 3),
    "mm.a = len(range(3))": ("mm.a", 3),
    "mm.a = sorted((3, 1, 2))[0]": ("mm.a", 1),
    "mm.a = [1, 2, 3][-1]": ("mm.a", 3),
    "x, (y, z) = (1, (2, 3))\nmm.a = y": ("mm.a", 2),
    "x, y = (1, 2)\nx, y = (y, x)\nmm.a = x": ("mm.a", 2),
    "for i, (x, y) in enumerate(zip((1, 2), (0, 3))):\n    mm.a = x + i\n    mm.b = y": ("mm.b", 3),
    "for i in reversed(range(3)):\n    mm.a = i": ("mm.a", 0),
    "for m in Mode:\n    mm.mode = m": ("mm.mode", 2),
    "mm.mode = Mode.FAST\nmm.flag = mm.mode is Mode.FAST": ("mm.flag", 1),
    "mm.mode = Mode.FAST\nmm.a = mm.mode in (Mode.OFF, Mode.SLOW)": ("mm.a", 0),
    "mm.pages = {Page(1)} | {p for p in Page if p.index == 0}": ("mm.pages", 3),
    "mm.pages = {Page(0), Page(1)} - {Page(0)}": ("mm.pages", 2),
    "s = {Page(0)}\nt = s\nt.add(Page(1))\nmm.pages = s": ("mm.pages", 1),
    "s = set()\ns.add(Page(1))\ns.discard(Page(0))\nmm.pages = s": ("mm.pages", 2),
    "s = {1, 2}\nmm.a = len(s)\nmm.flag = mm.a + 7 in s": ("mm.flag", 0),
    "s = {1, 2}\nmm.flag = mm.a - 1 in s or mm.a + 1 in s": ("mm.flag", 1),
    "mm.flag = {Page(0)} <= {p for p in Page}": ("mm.flag", 1),
    "mm.small.add(Pte(dirty=True))\nmm.flag = Pte(dirty=True) in mm.small": ("mm.flag", 1),
    "mm.flag = mm.owner in {f for f in Frame}": ("mm.flag", 0),
    "mm.owner = Frame(1)\nmm.flag = mm.owner in {Frame(1)}": ("mm.flag", 1),
    "s = {mm.owner}\nmm.flag = None in s and Frame(0) not in s": ("mm.flag", 1),
    "s = {Frame(0)}\nif mm.a == 0:\n    s = s | {mm.owner}\nmm.flag = None in s": ("mm.flag", 1),
    "s = {Frame(0)}\nif mm.a == 0:\n    s = s | {mm.owner}\nmm.flag = Frame(0) in s": (
        "mm.flag",
        1,
    ),
    "p = Pte(present=True)\nq = p\nq.dirty = True\nmm.flag = p.dirty": ("mm.flag", 0),
    "p = Pte(frame=Frame(1))\np = replace(p, dirty=True)\nmm.pte[Page(0)] = p": (
        "mm.pte[page0]",
        6,
    ),
    "mm.flag = EMPTY == Pte()": ("mm.flag", 1),
    "g = Gather(n=2)\nh = g\nh.n += 1\nmm.a = g.n": ("mm.a", 3),
    "g = Gather()\ng.pte.dirty = True\ng.pages.add(Page(0))\nmm.pages = g.pages": ("mm.pages", 1),
    "x = mm.a\nmm.a = 3\nmm.b = x": ("mm.b", 0),
    "x = 5 if mm.flag else None\nmm.flag = x is None": ("mm.flag", 1),
    "mm.owner = Frame(1)\nf = mm.owner\nif f is not None:\n    mm.a = f.uses + f.index": (
        "mm.a",
        1,
    ),
    "x = 0\nwhile x < 3:\n    x = mm.a + 1\n    mm.a = x\nmm.b = x": ("mm.b", 3),
    "p = 0\nq = 1\nwhile mm.a < 3:\n    p, q = (q, p)\n    mm.a = mm.a + 1\nmm.b = p": ("mm.b", 1),
    "prev = 0\ncur = 0\nwhile cur < 2:\n mm.a += 1\n prev = cur\n cur = mm.a\nmm.b = prev": (
        "mm.b",
        1,
    ),
    "n: int = ranged(0, 3, init=1)\nwhile mm.a < 2:\n    mm.a += 1\n    n = n + 1\nmm.b = n": (
        "mm.b",
        3,
    ),
    "for i in range(3):\n if i == 1:\n  continue\n mm.a = i\n if i == 2:\n  break": (
        "mm.a",
        2,
    ),
    "while True:\n mm.a += 1\n if mm.a < 2:\n  continue\n if mm.a == 3:\n  break": (
        "mm.a",
        3,
    ),
    "for x in mm.pages:\n    mm.a = 1\nelse_ = 2\nmm.b = else_": ("mm.a", 0),
    "mm.by_mode[mm.mode] = 3\nmm.mode = Mode.FAST\nmm.by_mode[mm.mode] = 1": ("mm.by_mode[OFF]", 3),
    "WRITE_ONCE(total, 3)\nmm.a = total": ("mm.a", 3),
    "mm.a = this(Cpu).index": ("mm.a", 0),
    "o = None\nwhile mm.a < 2:\n    mm.a += 1\n    mm.flag = o is None\n    o = Frame(0)": (
        "mm.flag",
        0,
    ),
    "page = Page(1)\nx = any(mm.pte[page].present for page in Page)\nmm.a = page.index": (
        "mm.a",
        1,
    ),
    "mm.a = cmpxchg(mm.b, 0, 2)\nmm.a = cmpxchg(mm.b, 0, 3)": ("mm.a", 2),
    "mm.flag = try_cmpxchg(mm.b, 1, 2)": ("mm.flag", 0),
    "mm.flag = True\nmm.a = test_and_set_bit(mm.flag) + test_and_clear_bit(mm.flag)": ("mm.a", 2),
    "mm.a = atomic_inc_return(mm.c) + atomic_inc_return(mm.c)": ("mm.a", 3),
    "mm.c = 2\nmm.flag = atomic_dec_and_test(mm.c)\nmm.flag = atomic_dec_and_test(mm.c)": (
        "mm.flag",
        1,
    ),
    "set_bit(mm.pte[Page(0)].dirty)\nx = mm.pte[Page(0)]\nmm.flag = x.dirty and not x.present": (
        "mm.flag",
        1,
    ),
}


@pytest.mark.parametrize("source", VALUES)
def test_the_value_of(source: str, compiled: Compile) -> None:
    name, value = VALUES[source]
    small = compiled(body(source))
    assert small.check().violation is None
    assert small.end(name) == value


def test_short_circuit_reads_no_more_than_it_must(compiled: Compile) -> None:
    small = compiled("if mm.flag and mm.a == 0 and mm.b == 0:\n    mm.c = 1\nevent('end')")
    assert small.labels() == ["read mm.flag -> 0", "end"]


def test_twenty_conditions_are_compiled_quickly(compiled: Compile) -> None:
    condition = " and ".join(f"mm.pte[Page({i % 2})].present" for i in range(20))
    assert compiled(f"if {condition}:\n    mm.a = 1").kinds.count("load") == 20


# ------------------------------------------------------------------------- locks


LEAVING = """
@path
def helper(mm: Mm) -> int:
    for page in Page:
        with mm.ptl:
            with mm.sem.read():
                if mm.a == 0:
                    {}
                mm.b = 1
    return 2

@path
def main(mm: Mm) -> None:
    helper(mm)
    with mm.ptl, mm.sem.write():
        mm.c = 1
"""


@pytest.mark.parametrize("leave", ["return 1", "break", "continue", "pass"])
def test_locks_are_released_on_every_way_out(leave: str, compiled: Compile) -> None:
    small = compiled(LEAVING.format(leave))
    result = small.check()
    assert (result.verdict, result.violation) == (Verdict.HOLDS, None)
    taken = [n for n in small.labels() if "ptl" in n or "sem" in n]
    one = ["spin_lock(ptl)", "down_read(sem)", "up_read(sem)", "spin_unlock(ptl)"]
    last = ["spin_lock(ptl)", "down_write(sem)", "up_write(sem)", "spin_unlock(ptl)"]
    rounds = 1 if leave in ("return 1", "break") else 2
    assert taken == one * rounds + last


def test_the_value_of_a_return_is_computed_before_the_lock_is_released(compiled: Compile) -> None:
    small = compiled("""
        @path
        def helper(mm: Mm) -> bool:
            with mm.ptl:
                return mm.a == mm.b

        @path
        def main(mm: Mm) -> None:
            mm.flag = helper(mm)
        """)
    assert small.kinds == ["lock", "load", "load", "unlock", "store"]
    sizes = [v.size for v in small.system.variables if v.name.startswith("CPU0.")]
    assert sorted(sizes) == [4, 6]  # a's value, then the answer; and the program counter


def test_a_lock_excludes(compiled: Compile) -> None:
    source = """
        {}
            x = mm.a
            mm.a = x + 1
        assert mm.a > 0, "INV-A: lost"
        """

    def ends(head: str) -> list[int]:
        return compiled(source.format(head), TWO).ends("mm.a")

    assert ends("with mm.ptl:") == [2]
    assert ends("with mm.sem.write():") == [2]
    assert ends("with mm.sem.read():") == [1, 2]
    assert ends("if True:") == [1, 2]


def test_opposite_orders_deadlock(compiled: Compile) -> None:
    small = compiled(
        """
        @path
        def main(mm: Mm, *, first: bool) -> None:
            if first:
                with mm.ptl, mm.lru:
                    mm.a = 1
            else:
                with mm.lru:
                    with mm.ptl:
                        mm.a = 2
        """,
        "Thread(main, Mm(0), first=True), Thread(main, Mm(0), first=False)",
    )
    violation = small.check().violation
    assert violation is not None
    assert (violation.kind, violation.length) == (ViolationKind.DEADLOCK, 2)


def test_trylock_does_not_wait(compiled: Compile) -> None:
    small = compiled(
        """
        if spin_trylock(mm.ptl):
            mm.a = 1
            spin_unlock(mm.ptl)
        else:
            mm.b = 1
        x = mm.a + mm.b
        """,
        TWO,
    )
    assert small.check().verdict is Verdict.HOLDS
    assert small.ends("mm.b") == [0, 1]


def test_releasing_a_lock_that_is_not_held_is_a_model_error(compiled: Compile) -> None:
    for call in ("spin_unlock(mm.ptl)", "up_read(mm.sem)", "up_write(mm.sem)"):
        violation = compiled(call).check().violation
        assert violation is not None
        assert (violation.kind, violation.name) == (ViolationKind.MODEL_ERROR, "lock")


def test_readers_share_and_writers_do_not(compiled: Compile) -> None:
    source = """
        @path
        def inside(mm: Mm) -> None:
            mm.c += 1
            assert mm.c == 1, "INV-ALONE: not alone"
            mm.c -= 1

        @path
        def main(mm: Mm, *, write: bool) -> None:
            if write:
                with mm.sem.write():
                    inside(mm)
            else:
                with mm.sem.read():
                    inside(mm)
        """

    def verdict(*writes: bool) -> Verdict:
        threads = ", ".join(f"Thread(main, Mm(0), write={w})" for w in writes)
        return compiled(source, threads).check().verdict

    assert verdict(True, True) is Verdict.HOLDS
    assert verdict(True, False) is Verdict.HOLDS
    assert verdict(False, False) is Verdict.VIOLATED


# ------------------------------------------------------------------------- waiting and choosing


def test_wait_until_waits(compiled: Compile) -> None:
    small = compiled(
        """
        @path
        def main(mm: Mm) -> None:
            mm.a = 1
            mm.flag = True

        @path
        def waiter(mm: Mm) -> None:
            wait_until(mm.flag)
            assert mm.a == 1, "INV-ORDER: too early"
        """,
        "Thread(main, Mm(0)), Thread(waiter, Mm(0))",
    )
    assert small.check().verdict is Verdict.HOLDS
    alone = compiled("wait_until(mm.flag)").check().violation
    assert alone is not None
    assert alone.kind is ViolationKind.DEADLOCK


@pytest.mark.parametrize(
    ("choice", "values"),
    [
        ("choose(0, 2, 3)", [0, 2, 3]),
        ("choose(Page).index", [0, 1]),
        ("choose({1, 3})", [1, 3]),
        ("choose((1, mm.b))", [0, 1]),
        ("choose(range(4))", [0, 1, 2, 3]),
        ("1 if choose(True, False) else 0", [0, 1]),
        ("choose(0, 1) + choose(0, 1)", [0, 1, 2]),
        ("len({m for m in (choose(Mode), choose(Mode))})", [1, 2]),
    ],
)
def test_choose_takes_every_value(choice: str, values: list[int], compiled: Compile) -> None:
    assert compiled(f"mm.a = {choice}\nx = mm.a").ends("mm.a") == values


def test_a_daemon_may_wait_for_ever_and_when_holds_a_thread_back(compiled: Compile) -> None:
    source = """
        @path
        def main(mm: Mm) -> None:
            mm.flag = True

        @path
        def waiter(mm: Mm) -> None:
            wait_until(mm.a == 3)

        @atomic
        def allowed(cpu: Cpu) -> bool:
            return cpu.on and Mm(0).flag
        """
    daemon = compiled(source, f"{ONE}, Thread(waiter, Mm(0), daemon=True)")
    assert daemon.check().verdict is Verdict.HOLDS
    held = compiled(source, "Thread(main, Mm(0), on=Cpu(0), when=allowed)")
    violation = held.check().violation
    assert violation is not None
    assert (violation.kind, violation.length) == (ViolationKind.DEADLOCK, 0)
    waiter = "Thread(waiter, Mm(0), on=Cpu(0), daemon=True, when=allowed)"
    waiting = compiled(source, f"{waiter}, {ONE}")
    assert waiting.check().verdict is Verdict.HOLDS


# ------------------------------------------------------------------------- model errors at run time


MODEL_ERRORS = {
    "mm.a = mm.b + 4": ("range", "the value of 'mm.b + 4' leaves the declared range 0..3"),
    "mm.b = 3\nmm.a = mm.b + 1": ("range", "leaves the declared range 0..3"),
    "mm.a -= 1": ("range", "leaves the declared range 0..3"),
    "atomic_dec(mm.c)": ("range", "leaves the declared range 0..3"),
    "x = mm.owner.uses": ("None", "'mm.owner' is used while it is None"),
    "f = mm.owner\nf.uses = 1": ("None", "'f' is used while it is None"),
    "mm.pte[Page(0)] = Pte(frame=mm.owner)": ("None", "is None where a Frame is wanted"),
    "x = Page(mm.a + 2)": (
        "range",
        "Page(mm.a + 2) does not exist: the scenario has 2 of them",
    ),
    "mm.flag = mm.pte[Page(mm.never - 2)].present": (
        "range",
        "Page(mm.never - 2) does not exist: the scenario has 2 of them",
    ),
    "n: int = ranged(0, 7, init=5)\nmm.pte[Page(n)] = Pte()": (
        "range",
        "Page(n) does not exist: the scenario has 2 of them",
    ),
    "g = Gather()\nmm.flag = mm.pte[Page(g.n - 1)].present": (
        "range",
        "Page(g.n - 1) does not exist: the scenario has 2 of them",
    ),
    "mm.a = Gather().start.index": ("None", "'Gather().start' is used while it is None"),
    "n: int = ranged(0, 1)\nn = mm.a + 2": ("range", "leaves the declared range 0..1"),
    "g = Gather()\ng.n = mm.a + 4": ("range", "leaves the declared range 0..3"),
}


WATCH = """
@on_write(Mm.a)
def watch(mm: Mm, old: int, new: int) -> None:
    mm.seen = new

"""
STORED_OR_NOT = {
    "x = cmpxchg(mm.a, 1, mm.b + 4)": None,
    "x = cmpxchg(mm.a, 0, mm.b + 4)": "range",
    "x = try_cmpxchg(mm.a, mm.b + 4, 1)": None,
    "mm.b = 3\nx = cmpxchg(mm.a, 0, mm.b)": None,
}


@pytest.mark.parametrize("source", STORED_OR_NOT)
def test_cmpxchg_checks_only_what_it_stores(source: str, compiled: Compile) -> None:
    for observers in ("", "OBSERVERS = (watch,)\n"):
        small = compiled(WATCH + observers + MAIN + textwrap.indent(source, "    "))
        violation = small.check().violation
        assert (violation and violation.name) == STORED_OR_NOT[source]


@pytest.mark.parametrize("source", MODEL_ERRORS)
def test_model_errors_have_a_path(source: str, compiled: Compile) -> None:
    name, message = MODEL_ERRORS[source]
    small = compiled(source)
    violation = small.check().violation
    assert violation is not None
    assert (violation.kind, violation.name) == (ViolationKind.MODEL_ERROR, name)
    failure = small.system.failures[violation.index]
    assert message in failure.message
    assert failure.location.text == source.splitlines()[-1]


def test_an_assertion_names_its_invariant(compiled: Compile) -> None:
    small = compiled('mm.a = 1\nassert mm.a == 2, "INV-TWO: not two"')
    violation = small.check().violation
    assert violation is not None
    assert (violation.kind, violation.name) == (ViolationKind.ASSERTION, "INV-TWO")
    assert small.system.failures[violation.index].message == "not two"


# ------------------------------------------------------------------------- hardware and observers


def test_observers_run_inside_the_step_that_writes(compiled: Compile) -> None:
    source = """
        @on_write(Mm.pte)
        def remember(mm: Mm, page: Page, old: Pte, new: Pte) -> None:
            if new.dirty and not old.dirty:
                mm.seen += 1 + page.index

        @path
        def main(mm: Mm) -> None:
            mm.pte[Page(1)] = Pte(dirty=True)
            xchg(mm.pte[Page(0)], Pte(dirty=True))
            set_bit(mm.pte[Page(0)].present)
            cmpxchg(mm.pte[Page(0)], Pte(), Pte(dirty=True))
            set_bit(mm.pte[Page(1)].dirty)
            assert mm.seen == 3, "INV-SEEN: no"

        OBSERVERS = (remember,)
        """
    small = compiled(source)
    assert small.kinds == ["store", "xchg", "set_bit", "cmpxchg", "set_bit"]
    assert small.check().verdict is Verdict.HOLDS


def test_a_rule_fires_for_all_its_parameters(compiled: Compile) -> None:
    small = compiled("""
        @rule
        def rise(cpu: Cpu, mode: Mode, up: bool) -> None:
            when(cpu.on != up and Mm(0).mode != mode)
            cpu.on = up
            Mm(0).mode = mode

        @path
        def main(mm: Mm) -> None:
            mm.flag = this(Cpu).on

        RULES = (rise,)
        """)
    assert [rule.name for rule in small.system.rules] == [
        f"rise({c}, {m}, {u})"
        for c, m, u in itertools.product(("CPU0", "CPU1"), ("OFF", "SLOW", "FAST"), (False, True))
    ]
    # two flags and the mode; before the read, after it with either answer, and at the end
    assert small.check().states == (2 * 2 * 3) * (1 + 2 + 1)


def test_a_fair_rule_saves_from_deadlock_and_another_does_not(compiled: Compile) -> None:
    source = """
        @rule{}
        def rise() -> None:
            Mm(0).flag = True

        @path
        def main(mm: Mm) -> None:
            wait_until(mm.flag)

        RULES = (rise,)
        """
    assert compiled(source.format("(fair=True)")).check().verdict is Verdict.HOLDS
    violation = compiled(source.format("")).check().violation
    assert violation is not None
    assert violation.kind is ViolationKind.DEADLOCK


def test_the_start_function_makes_the_initial_state(compiled: Compile) -> None:
    small = compiled("""
        @atomic
        def begin() -> None:
            for page in Page:
                Mm(0).pte[page] = Pte(present=True, frame=Frame(page.index))
            Mm(0).a = 2

        @path
        def main(mm: Mm) -> None:
            mm.pte[Page(0)] = Pte()
            mm.a = mm.pte[Page(1)].frame.index
            x = mm.a

        START = begin
        """)
    init = dict(zip(small.names, small.system.init, strict=True))
    assert (init["mm.a"], init["mm.pte[page0]"], init["mm.pte[page1]"]) == (2, 1, 5)


# ------------------------------------------------------------------------- what is in the state


def test_locals_are_cleared_when_they_are_dead(compiled: Compile) -> None:
    used = compiled("x = choose(1, 2, 3)\nevent('one')\nmm.a = x\nevent('two')\ny = mm.a")
    assert used.check().states == 1 + 3 * 5  # the choice is a step: it comes before the first
    unused = compiled("x = choose(1, 2, 3)\nevent('one')\nevent('two')")
    assert unused.check().states == 4


def test_a_read_value_is_kept_only_as_long_as_it_is_needed(compiled: Compile) -> None:
    small = compiled("""
        x = mm.a
        y = x == 0
        event("one")
        if y:
            mm.b = 1
        event("two")
        """)
    sizes = [v.size for v in small.system.variables if v.name.startswith("CPU0.")]
    assert sorted(sizes) == [2, 5]  # y, and the program counter


def test_fields_that_nobody_reads_are_not_in_the_state(compiled: Compile) -> None:
    small = compiled("mm.a = 1\nmm.b = 2\nx = mm.b + mm.never")
    assert "mm.b" in small.names
    assert not {"mm.a", "mm.never", "mm.ptl"} & set(small.names)


def test_options_leave_nothing_behind(compiled: Compile) -> None:
    source = """
        @path
        def main(mm: Mm, *, slow: bool = False) -> None:
            if slow:
                x = mm.a
            if TLB == "explicit":
                y = mm.b
            mm.c = 1
        """
    assert compiled(source).kinds == ["store"]
    assert compiled(source, "Thread(main, Mm(0), slow=True)").kinds == ["load", "store"]
    explicit = compiled(source, options={"zoo-tlb": "explicit"})
    assert explicit.kinds == ["load", "store"]
    assert "zoo-tlb=explicit" in explicit.system.assumptions[0]
    with pytest.raises(UsageError, match="cannot be 'x'"):
        compiled(source, options={"zoo-tlb": "x"})


def test_the_goal_that_all_threads_finish_and_goals_of_the_user(compiled: Compile) -> None:
    small = compiled("""
        @goal("three")
        def three() -> bool:
            return Mm(0).a == 3

        @path
        def main(mm: Mm) -> None:
            mm.a = 1

        GOALS = (three,)
        """)
    result = small.check()
    assert [g.name for g in small.system.goals] == ["three", "all threads finish"]
    assert (result.verdict, result.goals) == (Verdict.VACUOUS, (False, True))


# ------------------------------------------------------------------------- inlining


def test_a_ref_is_a_place_and_an_index_is_evaluated_once(compiled: Compile) -> None:
    small = compiled("""
        @path
        def bump(place: Ref[int], n: int) -> int:
            WRITE_ONCE(place, place + n)
            return READ_ONCE(place)

        @path
        def dirty(flag: Ref[bool]) -> bool:
            return test_and_set_bit(flag)

        @path
        def main(mm: Mm) -> None:
            mm.a = bump(mm.by_mode[mm.mode], 2)
            mm.flag = dirty(mm.pte[Page(0)].dirty)
            mm.flag = dirty(mm.pte[Page(0)].dirty)
            x = mm.flag
        """)
    assert small.kinds[:5] == ["load", "load", "WRITE_ONCE", "READ_ONCE", "store"]
    assert small.end("mm.flag") == 1


def test_a_record_is_passed_by_reference(compiled: Compile) -> None:
    small = compiled("""
        @path
        def collect(gather: Gather, page: Page) -> None:
            gather.pages.add(page)
            gather.n += 1

        @path
        def main(mm: Mm) -> None:
            gather = Gather()
            for page in Page:
                if mm.a == 0:
                    collect(gather, page)
            mm.pages = gather.pages
            mm.b = gather.n
            x = mm.b + len(mm.pages)
        """)
    assert (small.end("mm.pages"), small.end("mm.b")) == (3, 2)


def test_a_function_may_return_tuples_from_several_places(compiled: Compile) -> None:
    small = compiled("""
        @path
        def pair(mm: Mm) -> tuple[int, Frame | None]:
            if mm.a == 0:
                return (1, None)
            return (mm.b, Frame(0))

        @path
        def main(mm: Mm) -> None:
            n, frame = pair(mm)
            mm.c = n
            mm.flag = frame is None
            x = mm.flag or mm.c == 0
        """)
    assert (small.end("mm.c"), small.end("mm.flag")) == (1, 1)


# ------------------------------------------------------------------------- mutants


SITES = """
@path(role="flush")
def flush(mm: Mm) -> None:
    mm.a = 1

@path
def main(mm: Mm) -> None:
    with mm.ptl:
        flush(mm)
    mm.c += 1
    smp_mb()
    mm.pages.add(Page(0))
    event("end")
"""


def test_removable_sites_and_mutants_without_them(compiled: Compile, tmp_path: object) -> None:
    whole = compiled(SITES)
    scenario = load_file(f"{tmp_path}/model.py")[0]
    sites = removable_sites(scenario)
    assert [(site.role, site.text) for site in sites] == [
        ("lock", "lock mm.ptl"), ("flush", "flush()"), ("counter", "mm.c += 1"),
        ("barrier", "smp_mb()"),
    ]  # fmt: skip
    mutants = {s.role: scenario.compile(without=frozenset({s.id})) for s in sites}
    kinds = {role: Small(mutant).kinds for role, mutant in mutants.items()}
    assert whole.kinds == ["lock", "store", "unlock", "atomic_inc", "add", "event"]
    assert kinds["lock"] == ["store", "atomic_inc", "add", "event"]
    assert kinds["flush"] == ["lock", "unlock", "atomic_inc", "add", "event"]
    assert kinds["counter"] == ["lock", "store", "unlock", "add", "event"]
    assert kinds["barrier"] == whole.kinds
