"""Random single-threaded programs end in the same state in a priced run and under the checker's
semantics."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from lang.generate import KEEP, Generator
from lang.small import IMPORT, ONE, SETUP
from lang.zoo import Cpu, Frame
from shootdown.check.outcomes import outcomes
from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.cost.workload import Machine, Plan
from shootdown.errors import ModelError
from shootdown.lang.ir import System
from shootdown.lang.loader import load_file
from shootdown.lang.scenario import Scenario
from shootdown.lang.space import show_key

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "12"))
MACHINE = Machine("plain", Cpu, Frame, {}, frozenset(), frozenset())


def ending(system: System) -> dict[str, int] | None:
    """The only state that a program can end in; ``None`` if it fails or gets stuck."""
    state = system.init
    while True:
        ways = list(outcomes(system, state))
        if any(way.failure is not None for way in ways):
            return None
        if not ways:
            break
        (way,) = ways
        assert way.state is not None
        state = way.state
    process = system.processes[0]
    if state[process.pc] < len(process.actions):
        return None
    return {v.name: value for v, value in zip(system.variables, state, strict=True)}


def priced(scenario: Scenario) -> dict[str, int]:
    """What memory holds at the end of a priced run, by the names of the checker's variables."""
    setup = scenario.setup()
    run = Run(Plan(MACHINE, setup.sizes, setup.threads), Profile.load("skylake-2s"))
    run.run()
    found: dict[str, int] = {}
    for region in run.space.regions.values():
        dims = region.storage.dims
        name = region.name.partition(".")[2] or region.name
        for indices in itertools.product(*(range(kind.size) for kind, _ in dims)):
            shown = [show_key(k, i) for (k, _), i in zip(dims, indices, strict=True)]
            text = f"{shown.pop(0)}.{name}" if "." in region.name else name
            text += "".join(f"[{s}]" for s in shown)
            at = region.storage.base
            at += sum(i * stride for i, (_, stride) in zip(indices, dims, strict=True))
            found[text] = run.arrays["STATE"][at]
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rng=st.randoms(use_true_random=False))
def test_a_priced_run_ends_as_the_checker_says(rng: Random, directory: Path) -> None:
    source = Generator(rng, choices=False, wild=0).program(6, 3)
    path = directory / f"model{len(list(directory.iterdir()))}.py"
    path.write_text(
        f"{IMPORT}{source}{KEEP}INVARIANTS = (keep,)\n{SETUP.format(threads=ONE)}", encoding="utf-8"
    )
    scenario = load_file(str(path))[0]
    try:
        expected = ending(scenario.compile())
    except ModelError:
        assume(False)
    assume(expected is not None)
    assert expected is not None
    found = priced(scenario)
    both = found.keys() & expected.keys()
    assert {n: found[n] for n in both} == {n: expected[n] for n in both}, source
