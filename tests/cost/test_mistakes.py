"""What a user can get wrong in a workload is one clear error at the user's own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.errors import ModelError
from shootdown.workloads.library import in_file

HEAD = """
from cost.schedules import SPANS
from lang.zoo import *
from shootdown.cost.workload import Machine, Plan, workload
from shootdown.lang import *
from shootdown.lang.large import Span
from shootdown.workloads.externs import compute, random, spend

LISTS = Machine("lists", Cpu, Frame, {}, frozenset({Page}), frozenset({Frame}))

class Mix(Word):
    n: int = ranged(0, 3)
    frame: Frame = Frame(0)

class Basket(Record):
    frames: set[Frame]

@extern
def span(first: int, number: int) -> set[Page]: ...

@extern
def take_frame() -> Frame: ...

@extern
def give_frame(frame: Frame) -> None: ...

@extern
def clock() -> Frame: ...

@extern
def irqs_off(cpu: int) -> None: ...

@extern
def send_ipis(cpu: Cpu, targets: set[Mode]) -> None: ...

@extern
def unheard_of(n: int) -> None:
    \"\"\"The engine has no such thing.\"\"\"

@path
def main(mm: Mm, n: int) -> None:
"""
TAIL = """
@path
def walk(mm: Mm, pages: set[Page]) -> None:
    for page in pages:
        mm.pte[page] = Pte(present=True)

@workload("w")
def build(n: int = 3) -> Plan:
    return Plan(
        SPANS,
        sizes={Cpu: 3, Page: 10, Frame: 5, Mm: 1},
        threads=[
            Thread(main, Mm(0), n, on=Cpu(0)),
        ],
    )
"""


def run(path: Path, body: str = "mm.a = n", change: tuple[str, str] = ("", ""), n: int = 3,
        machine: str = "SPANS") -> None:  # fmt: skip
    text = HEAD + "".join(f"    {line}\n" for line in body.splitlines()) + TAIL
    assert change[0] in text
    text = text.replace(*change, 1).replace("Plan(\n        SPANS", f"Plan(\n        {machine}")
    path.write_text(text, encoding="utf-8")
    plan = in_file(str(path)).plan({"n": n})
    Run(plan, Profile.load("skylake-2s")).run()


def error(path: Path, *, body: str = "mm.a = n", change: tuple[str, str] = ("", ""), n: int = 3,
          machine: str = "SPANS") -> ModelError:  # fmt: skip
    with pytest.raises(ModelError) as caught:
        run(path, body, change, n, machine)
    assert caught.value.file == str(path)
    return caught.value


THREAD = "Thread(main, Mm(0), n, on=Cpu(0)),"


@pytest.mark.parametrize(
    ("thread", "said"),
    [
        ("Thread(main, Mm(0), n),", "needs on=: the CPU that it runs on"),
        ("Thread(main, Mm(0), n, on=Cpu(3)),", "Cpu(3) does not exist: the workload has 3"),
        ("Thread(main, Mm(0), n, on=Page(0)),", "which is no CPU of machine spans"),
        ("Thread(main, Mm(1), n, on=Cpu(0)),", "does not exist: the workload has 1"),
        ("Thread(main, Mm(0), on=Cpu(0)),", "'n' of main() is missing"),
        ("Thread(main, Mm(0), n, 4, on=Cpu(0)),", "main() takes 2 arguments, not 3"),
        ("Thread(main, Mm(0), n, m=4, on=Cpu(0)),", "main() has no parameter 'm'"),
        ("Thread(main, Mm(0), n, on=Cpu(0), when=main),", "a thread's guard is an @atomic"),
        ("Thread(build, Mm(0), n, on=Cpu(0)),", "a thread runs a @path function"),
        ("Thread(main, Mm(0), n, on=Cpu(0), daemon=True),", "a thread that is no daemon"),
        ("Thread(walk, Mm(0), Span(Page, 8, 3), on=Cpu(0)),", "ends after the last: there are 10"),
        ("Thread(walk, Mm(0), Span(Page, -1, 3), on=Cpu(0)),", "has no meaning"),
        ("Thread(walk, Mm(0), Span(Page, 1, 2**40), on=Cpu(0)),", "ends after the last"),
        ("Thread(walk, Mm(0), Span(Frame, 0, 3), on=Cpu(0)),", "are no spans on this machine"),
        ("Thread(walk, Mm(0), Span(int, 0, 3), on=Cpu(0)),", "a Span is of a population"),
        ("Thread(main, Mm(0), 2**70, on=Cpu(0)),", "is too large"),
        ("3,", "threads= takes Thread(path, ...), not 3"),
        (f"{THREAD}\n            {THREAD}", "are both on Cpu(0)"),
    ],
)  # fmt: skip
def test_threads(tmp_path: Path, thread: str, said: str) -> None:
    assert said in error(tmp_path / "w.py", change=(THREAD, thread)).message


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ("{Cpu: 3, Page: 10, Frame: 0, Mm: 1}", "the size of Frame is 0: at least 1 is needed"),
        ("{Cpu: 3, Page: -1, Frame: 5, Mm: 1}", "the size of Page is -1"),
        ("{Cpu: 3, Page: 2.5, Frame: 5, Mm: 1}", "the size of Page is 2.5"),
        ("{Cpu: 3, Page: 2**31, Frame: 5, Mm: 1}", "2,147,483,648 Page are too many"),
        ("{Cpu: 5000, Page: 2, Frame: 5, Mm: 1}", "5,000 CPUs are too many: 4,096"),
        ("{Page: 2, Frame: 5, Mm: 1}", "sizes= says nothing of Cpu"),
        ("{Cpu: 3, Page: 2, Mm: 1}", "sizes= says nothing of Frame, which machine spans needs"),
        ("{Cpu: 3, Page: 2, Frame: 5}", "sizes= says nothing of Mm"),
        ("[3]", "sizes= takes a dict"),
    ],
)
def test_sizes(tmp_path: Path, sizes: str, said: str) -> None:
    change = ("{Cpu: 3, Page: 10, Frame: 5, Mm: 1}", sizes)
    assert said in error(tmp_path / "w.py", change=change).message


def test_memory_is_known_before_it_is_used(tmp_path: Path) -> None:
    change = ("{Cpu: 3, Page: 10, Frame: 5, Mm: 1}", "{Cpu: 3, Page: 2**30, Frame: 5, Mm: 2**12}")
    with pytest.raises(ModelError, match=r"needs 32,768\.\d GiB of memory") as caught:
        run(tmp_path / "w.py", "mm.pte[Page(n)] = Pte()", change)
    assert "AddressSpace.pte 32,768.0 GiB" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("mm.pte[Page(n * 5)] = Pte()", "Page(n * 5) does not exist: the workload has 10"),
        ("mm.pte[Page(n - 4)] = Pte()", "Page(n - 4) does not exist: the workload has 10"),
        ("mm.pte[Page(n << 20)] = Pte()", "Page(n << 20) does not exist"),
        ("mm.owner = Frame(n + 2)", "Frame(n + 2) does not exist: the workload has 5"),
        ("mm.owner.uses = 1", "'mm.owner' is used while it is None"),
        ("for page in span(n, 8):\n    mm.pte[page] = Pte()", "'span(n, 8)' is outside of"),
        ("for page in span(n - 4, 2):\n    mm.pte[page] = Pte()", "'span(n - 4, 2)' is outside of"),
        ("for page in span(n, n - 4):\n    mm.pte[page] = Pte()", "is outside of"),
        ("mm.pages = span(2, n)\ns = mm.pages\nmm.pte[s[n]] = Pte()", "'s[n]' is outside of"),
        ("mm.pages = span(2, n)\ns = mm.pages\nmm.pte[s[-4]] = Pte()", "'s[-4]' is outside of"),
        ("s = span(2, n)\nfor page in s[n - 4 :]:\n    mm.pte[page] = Pte()", "is outside of"),
        ("s = span(2, n)\nfor page in s[: n + 1]:\n    mm.pte[page] = Pte()", "is outside of"),
        ("s = mm.pages\nmm.pte[choose(s)] = Pte()", "there is nothing to choose from"),
        ("mm.a = random(n - 3)", "there is nothing to choose from"),
        ("mm.a = 7 // (n - 3)", "divides by a number that is not above 0"),
        ("mm.a = 7 % (n - 4)", "divides by a number that is not above 0"),
        ("compute(n - 4)", "time passes backwards"),
        ("compute((1 << 60) + n)", "for more than 36 years"),
        ('spend("atomic", n - 4)', "is spent less than 0 times"),
        ("while True:\n    compute(1 << 60)", "takes more than 73 years"),
        ("for i in range(n + 3):\n    take_frame()", "there is no free frame left"),
        ("give_frame(Frame(0))", "more frames are given back than there are"),
        ("compute(100)\nclock().uses = 1", "is outside of Frame"),
        ("irqs_off(1000000)", "irqs_off() does not take"),
        ("send_ipis(Cpu(0), {Mode.SLOW})", "send_ipis() does not take"),
        ("unheard_of(3)", "unheard_of() is no operation of the pricing engine"),
        ('spend("atomics", 1)', "did you mean 'atomic'"),
        ("spend(n, 1)", "spend() needs the name of a price"),
        ("mm.pages = mm.pages ^ {Page(1)}", "of sets of Page has no price: they are spans"),
    ],
)  # fmt: skip
def test_what_a_path_does(tmp_path: Path, body: str, said: str) -> None:
    path = tmp_path / "w.py"
    if ("years" in said and "takes" in said) or "atomics" in body:
        with pytest.raises(Exception, match=said):
            run(path, body)
        return
    found = error(path, body=body)
    assert said in found.message
    assert (found.text or "").strip() in body


def test_lists(tmp_path: Path) -> None:
    grow = "b = Basket()\nfor i in range(n):\n    b.frames.add(Frame(i % 5))\n"
    run(tmp_path / "w.py", grow + "mm.a = len(b.frames)", n=32_767, machine="LISTS")
    found = error(tmp_path / "w.py", body=grow, n=32_768, machine="LISTS")
    assert "a list has more than 32,767 elements" in found.message
    two = "c = Basket()\nfor i in range(n):\n    c.frames.add(Frame(1))\n"
    use = "for f in b.frames:\n    f.uses = 1\n"
    found = error(tmp_path / "w.py", body=grow + two + use, n=20_000, machine="LISTS")
    assert "the lists of a thread have more than 32,767 elements together" in found.message
    found = error(tmp_path / "w.py", body=grow + "mm.flag = b.frames == {Frame(1)}",
                  machine="LISTS")  # fmt: skip
    assert "only their length can be compared" in found.message


def test_a_circle_of_locks_is_told(tmp_path: Path) -> None:
    body = "spin_lock(mm.ptl)\ncompute(1000)\nspin_lock(mm.lru)"
    other = """@path
def other(mm: Mm) -> None:
    spin_lock(mm.lru)
    compute(1000)
    spin_lock(mm.ptl)

@path
def forever(mm: Mm) -> None:
    while True:
        compute(10)

@path
def walk("""
    text = HEAD + "".join(f"    {line}\n" for line in body.splitlines()) + TAIL
    text = text.replace("@path\ndef walk(", other).replace(
        THREAD, f"{THREAD} Thread(other, Mm(0), on=Cpu(1)),"
    )
    for daemon in ("", "Thread(forever, Mm(0), on=Cpu(2), daemon=True),"):
        (tmp_path / "w.py").write_text(text.replace(THREAD, f"{THREAD} {daemon}"))
        plan = in_file(str(tmp_path / "w.py")).plan()
        with pytest.raises(ModelError) as caught:
            Run(plan, Profile.load("skylake-2s")).run()
        assert caught.value.message.splitlines() == [
            "2 threads wait for ever, and nothing else can happen:",
            "  CPU 0 (main) waits for mm.lru, which CPU 1 (other) holds",
            "  CPU 1 (other) waits for mm.ptl, which CPU 0 (main) holds",
        ]


def test_a_condition_that_nobody_makes_true_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"CPU 0 \(main\) waits for a change of mm.flag"):
        run(tmp_path / "w.py", "wait_until(mm.flag)")


def test_a_daemon_that_returns_does_not_end_the_run(tmp_path: Path) -> None:
    change = (THREAD, f"{THREAD} Thread(walk, Mm(0), Span(Page, 0, 1), on=Cpu(1), daemon=True),")
    path = tmp_path / "w.py"
    text = (HEAD + "    compute(5000)\n    mm.a = n\n" + TAIL).replace(*change)
    path.write_text(text)
    whole = Run(in_file(str(path)).plan(), Profile.load("skylake-2s"))
    assert whole.run().ns > 5000


def test_numbers_stay_within_their_field_of_a_word(tmp_path: Path) -> None:
    body = "w = Mix(n=n - 4, frame=Frame(1))\nw.frame.uses = 3\nmm.a = Frame(1).uses"
    run(tmp_path / "w.py", body + "\nmm.b = 9 // mm.a")
    assert "divides by" in error(tmp_path / "w.py", body=body + "\nmm.b = 9 // (mm.a - 3)").message
