"""Random programs with several threads and rules mean the same to both engines."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from lanes_agree import agree, some_leaf
from lang.generate import KEEP, Generator
from lang.small import IMPORT, SETUP
from shootdown.check.native import explore as native
from shootdown.check.native.lanes import explore_lanes
from shootdown.check.reference import explore as reference
from shootdown.check.result import Limits, Result
from shootdown.errors import ModelError
from shootdown.lang.loader import load_file

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "60"))
RULE = """
@rule{fair}
def {name}(q: Page, f: Frame) -> None:
    mm = Mm(0)
    when({guard})
    {action}
"""


def program(rng: Random) -> str:
    """Two or three threads, perhaps rules, an observer, an invariant and a goal."""
    generator = Generator(rng, wild=0.005)
    count = rng.choice((2, 2, 3))
    text = generator.program(3, 1, helpers=1)
    names = ["main"]
    for i in range(1, count):
        names.append(f"other{i}")
        text += generator.main(2, 1, f"other{i}")
    rules = [f"rule{i}" for i in range(rng.randint(0, 2))]
    for name in rules:
        guard = rng.choice(
            ("mm.pte[q].present", "mm.flag and q in mm.pages", "f == mm.owner", "f.uses < 2")
        )
        action = rng.choice((
            "mm.pte[q] = replace(mm.pte[q], dirty=not mm.pte[q].dirty, present=f.index == 1)",
            "mm.pages.discard(q)", "f.uses = (f.uses + 1) % 4", "mm.flag = choose(True, mm.flag)",
            "set_bit(mm.pte[choose(mm.pages)].present)", "mm.c += 1",
        ))  # fmt: skip
        fair = rng.choice(("", "(fair=True)"))
        text += RULE.format(name=name, guard=guard, action=action, fair=fair)
    text += (
        KEEP
        + f"""
@on_write(Mm.pte)
def watch(mm: Mm, page: Page, old: Pte, new: Pte) -> None:
    if new.present and not old.present:
        mm.seen = (mm.seen + 1) % 8

@invariant("INV-R")
def inv() -> bool:
    mm = Mm(0)
    return {rng.choice(("mm.a < 3", "mm.seen < 7", "mm.owner is None or mm.b != 2", "True"))}

@goal("some")
def some() -> bool:
    return Mm(0).{rng.choice(("flag", "a == 1", "pages == set()", "pte[Page(0)].dirty"))}

RULES = ({"".join(f"{name}, " for name in rules)})
OBSERVERS = {rng.choice(("()", "(watch,)"))}
INVARIANTS = {rng.choice(("(keep,)", "(keep, inv)"))}
GOALS = (some,)
"""
    )
    threads = ", ".join(f"Thread({n}, Mm(0), on=Cpu({i % 2}))" for i, n in enumerate(names))
    return IMPORT + text + SETUP.format(threads=threads)


def told(result: Result) -> dict[str, object]:
    """Everything that both engines must agree on."""
    violation = result.violation
    return {
        "verdict": result.verdict,
        "states": result.states,
        "expanded": result.expanded,
        "transitions": result.transitions,
        "depth": result.depth,
        "goals": result.goals,
        "covered": result.covered,
        "violation": violation and (violation.kind, violation.name, violation.length),
        "path": violation and violation.path,
        "outcome": violation and violation.failing_outcome,
        "stopped": result.stopped,
    }


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rng=st.randoms(use_true_random=False))
def test_both_engines_agree_on_random_source(rng: Random, directory: Path) -> None:
    path = directory / f"model{len(list(directory.iterdir()))}.py"
    path.write_text(program(rng), encoding="utf-8")
    try:
        system = load_file(str(path))[0].compile()
    except ModelError as error:
        event(f"refused: {error.message}")
        assume(False)
    limits = Limits(states=1500)
    expected = reference(system, limits)
    event(expected.verdict.value)
    assert told(native(system, limits)) == told(expected), path.read_text(encoding="utf-8")
    leaf = some_leaf(system, rng)
    if leaf is not None:
        agree(explore_lanes(system, leaf, limits, good_code=False), expected)
