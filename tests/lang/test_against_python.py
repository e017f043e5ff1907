"""Random single-threaded programs end in the state that plain Python ends in."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from lang.generate import KEEP, Generator
from lang.small import IMPORT, ONE, SETUP
from lang.standin import run_all
from shootdown.check.outcomes import outcomes
from shootdown.errors import ModelError
from shootdown.lang.ir import System, Variable
from shootdown.lang.loader import load_file

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "80"))


def in_range(value: int, variable: Variable) -> bool:
    return 0 <= value < variable.size


def endings(system: System, limit: int = 20_000) -> set[Any]:
    """What the program can end in, as :func:`lang.standin.run_all` says it."""
    names = [v.name for v in system.variables]
    private = {i for i, name in enumerate(names) if name.startswith("CPU0.")}
    locks = {i for i, name in enumerate(names) if name in ("mm.ptl", "mm.lru", "mm.sem")}
    found: set[Any] = set()
    seen, todo = {system.init}, [system.init]
    while todo:
        state = todo.pop()
        ways = list(outcomes(system, state))
        for way in ways:
            if way.failure is not None:
                found.add(system.failures[way.failure].name)
            elif way.state is not None and way.state not in seen:
                seen.add(way.state)
                todo.append(way.state)
                assert len(seen) < limit
                assert all(map(in_range, way.state, system.variables))
        process = system.processes[0]
        if state[process.pc] == len(process.actions):
            assert not any(state[i] for i in locks), "a lock is still held"
            assert not any(state[i] for i in private - {process.pc}), "a dead local has a value"
            kept = set(range(len(names))) - private - locks
            found.add(tuple(sorted((names[i], state[i]) for i in kept)))
        elif not ways:
            found.add("stuck")
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rng=st.randoms(use_true_random=False))
def test_the_compiled_program_ends_as_python_does(rng: Random, directory: Path) -> None:
    source = Generator(rng).program(6, 3)
    path = directory / f"model{len(list(directory.iterdir()))}.py"
    path.write_text(
        f"{IMPORT}{source}{KEEP}INVARIANTS = (keep,)\n{SETUP.format(threads=ONE)}", encoding="utf-8"
    )
    try:
        system = load_file(str(path))[0].compile()
    except ModelError as error:
        event(f"refused: {error.message}")
        assume(False)
    expected, found = run_all(source), endings(system)
    assume(expected is not None)
    event("fails" if any(isinstance(end, str) for end in found) else "ends")
    assert expected is not None
    assert found == {restricted(end, system) for end in expected}, source


def restricted(end: Any, system: System) -> Any:
    """Only the variables that the compiler kept (a constant field is none)."""
    if isinstance(end, str):
        return end
    names = {v.name for v in system.variables}
    return tuple(pair for pair in end if pair[0] in names)
