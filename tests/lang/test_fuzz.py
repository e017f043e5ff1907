"""Nothing that a user writes makes the compiler fail with anything but a message.

Valid and wrong programs are mangled: expressions and statements of one are put into another,
names and operators are exchanged. What comes out is mostly nonsense; it is compiled or refused.
"""

from __future__ import annotations

import ast
import copy
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lang.test_refused import IMPORT, SCENARIO, WRONG
from shootdown.errors import ModelError, UsageError
from shootdown.lang.loader import load_file

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "100"))

RICH = '''
@on_write(Mm.pte)
def remember(mm: Mm, page: Page, old: Pte, new: Pte) -> None:
    if old.present and not new.present:
        old.frame.free = True
        mm.seen = min(mm.seen + 1, 7)

@rule(fair=True)
def drain(cpu: Cpu, page: Page) -> None:
    when(cpu.on and page in Mm(0).pages)
    Mm(0).pages.discard(page)
    cpu.count = max(cpu.count - 1, 0)

@atomic(show="zap({page})")
def zap(mm: Mm, page: Page) -> Pte:
    old = mm.pte[page]
    mm.pte[page] = Pte()
    return old

@path(role="flush")
def flush(mm: Mm, targets: set[Page], *, early: bool = False) -> int:
    n: int = ranged(0, 2)
    if early and not targets:
        return 0
    for page in targets:
        mm.pages.add(page)
        n += 1
    wait_until(not mm.pages)
    return n

@path
def touch(ptep: Ref[Pte], frame: Frame | None) -> bool:
    pte = READ_ONCE(ptep)
    while not pte.present:
        fresh = Pte(present=True, frame=frame if frame is not None else Frame(0))
        if try_cmpxchg(ptep, pte, fresh):
            break
        pte = READ_ONCE(ptep)
    test_and_set_bit(ptep.dirty)
    return pte.dirty or pte.present

@path(show="main({mm})")
def main(mm: Mm) -> None:
    gather = Gather(n=1)
    gather.start = choose(Page)
    me = this(Cpu)
    with mm.sem.read(), mm.ptl:
        for i, page in enumerate(Page):
            pte = zap(mm, page)
            if pte.present or i > 1:
                gather.pages.add(page)
                gather.pte = replace(pte, dirty=False)
            elif pte == Pte():
                continue
            note("page {} of {}", page, i)
    if gather.pages or (NESTED and READ_ONCE(mm.c) > 1 and TLB == "may"):
        mm.a = flush(mm, gather.pages | {Page(0)}, early=NESTED)
    mm.c += 1
    x = (mm.a + 2 * mm.b) // 3 % 2 << 1 & 3
    mm.b = x if mm.mode in (Mode.OFF, Mode.FAST) else 3 - x
    mm.owner = Frame(mm.b % 2) if touch(mm.pte[Page(1)], mm.owner) else None
    mm.by_mode[choose(Mode.SLOW, Mode.OFF)] = sum(p.index for p in mm.pages if mm.pte[p].present)
    mm.flag = any(mm.pte[p].frame == f for p in Page for f in Frame) and 0 < mm.a <= 2
    me.count = len({p for p in Page if mm.pte[p].dirty}) + int(mm.flag)
    if spin_trylock(mm.lru):
        atomic_dec_and_test(mm.c)
        spin_unlock(mm.lru)
    assert mm.owner is None or mm.owner.uses < 3, "INV-X: no"

@invariant("INV-ALL")
def everything() -> bool:
    """something is wrong"""
    return all(mm.a < 4 and (mm.owner is None or not mm.owner.free) for mm in Mm)

@goal("flagged")
def flagged() -> bool:
    return Mm(0).flag

@atomic
def begin() -> None:
    for page in Page:
        Mm(0).pte[page] = Pte(present=True, frame=Frame(page.index))

RULES = (drain,)
OBSERVERS = (remember,)
INVARIANTS = (everything,)
GOALS = (flagged,)
START = begin
'''

GOOD = IMPORT + RICH + SCENARIO
TREES = [ast.parse(GOOD)] * 300 + [
    ast.parse(wrong.text)
    for wrong in WRONG
    if "SyntaxError" not in wrong.message and "nonlocal" not in wrong.source
]
POOL = [
    node
    for tree in TREES[299:]
    for function in ast.walk(tree)
    if isinstance(function, ast.FunctionDef) and function.name != "wrong"
    for node in ast.walk(function)
]
EXPRESSIONS = [
    n
    for n in POOL
    if isinstance(n, ast.expr) and not isinstance(getattr(n, "ctx", None), (ast.Store, ast.Del))
]
STATEMENTS = [n for n in POOL if isinstance(n, ast.stmt) and not isinstance(n, ast.FunctionDef)]


def inside(tree: ast.Module) -> list[ast.AST]:
    """The nodes that may be mangled: those of model functions and classes."""
    return [
        node
        for top in tree.body
        if isinstance(top, (ast.FunctionDef, ast.ClassDef)) and top.name != "wrong"
        for part in top.body
        for node in ast.walk(part)
    ]


def mangle(tree: ast.Module, rng: Random) -> None:
    """Change one thing."""
    nodes = [n for n in inside(tree) if list(ast.iter_fields(n))]
    if not nodes:
        return
    node = rng.choice(nodes)
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.expr) and rng.random() < 0.5:
            setattr(node, name, copy.deepcopy(rng.choice(EXPRESSIONS)))
            return
        if isinstance(value, list) and value:
            at = rng.randrange(len(value))
            if isinstance(value[at], ast.stmt):
                action = rng.choice(("replace", "insert", "remove", "swap"))
                other = copy.deepcopy(rng.choice(STATEMENTS))
                if action == "replace":
                    value[at] = other
                elif action == "insert":
                    value.insert(at, other)
                elif action == "remove" and len(value) > 1:
                    del value[at]
                elif action == "swap":
                    value[0], value[at] = value[at], value[0]
                return
            if isinstance(value[at], ast.expr):
                value[at] = copy.deepcopy(rng.choice(EXPRESSIONS))
                return
        if isinstance(value, str) and isinstance(node, (ast.Name, ast.Attribute, ast.arg)):
            setattr(node, name, rng.choice(NAMES))
            return
        if isinstance(node, ast.Constant) and name == "value":
            node.value = rng.choice((0, 1, -1, 7, True, None, "x", 2**61, "{}"))
            return
        if isinstance(value, (ast.operator, ast.cmpop, ast.boolop, ast.unaryop)):
            kinds: list[Any] = type(value).__mro__[1].__subclasses__()
            setattr(node, name, rng.choice(kinds)())
            return


NAMES = sorted(
    {n.id for n in POOL if isinstance(n, ast.Name)}
    | {n.attr for n in POOL if isinstance(n, ast.Attribute)}
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mangled")


def test_the_program_that_is_mangled_is_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "rich.py"
    path.write_text(GOOD, encoding="utf-8")
    assert load_file(str(path))[0].compile().processes


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rng=st.randoms(use_true_random=False))
def test_a_mangled_program_is_compiled_or_refused(rng: Random, directory: Path) -> None:
    tree = copy.deepcopy(rng.choice(TREES))
    for _ in range(rng.randint(1, 4)):
        mangle(tree, rng)
    ast.fix_missing_locations(tree)
    try:
        text = ast.unparse(tree)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return  # not a program at all
    path = directory / f"model{len(list(directory.iterdir()))}.py"
    path.write_text(text, encoding="utf-8")
    said = refusal(path) or str(path)
    assert said.startswith((str(path), "there is no hardware", "hardware option"))


def refusal(path: Path) -> str | None:
    try:
        for scenario in load_file(str(path)):
            scenario.compile()
    except (ModelError, UsageError) as error:
        return str(error)
    return None
