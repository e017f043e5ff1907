"""Compiles small models given as text, and says what they do."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from shootdown.check.outcomes import outcomes
from shootdown.check.reference import explore
from shootdown.check.result import Result
from shootdown.lang.interpret import State
from shootdown.lang.ir import NoteKind, System
from shootdown.lang.loader import load_file

IMPORT = "from lang.zoo import *; from shootdown.lang import *\n"
MAIN = "@path\ndef main(mm: Mm) -> None:\n"
SETUP = """
@scenario("small", expect="HOLDS")
def small() -> Setup:
    return Setup(
        sizes=SIZES,
        start=START,
        threads=[{threads}],
        hardware=Hardware("none", RULES, OBSERVERS),
        invariants=INVARIANTS,
        goals=GOALS,
    )
"""
ONE = "Thread(main, Mm(0), on=Cpu(0))"
TWO = ONE + ", Thread(main, Mm(0), on=Cpu(1))"


class Small:
    """A compiled model and everything that it can do."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.names = [v.name for v in system.variables]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the first thread's steps, in the order of its program counters."""
        return [action.info.kind for action in self.system.processes[0].actions]

    @property
    def texts(self) -> list[str]:
        """The texts of the first thread's steps."""
        return [action.info.text for action in self.system.processes[0].actions]

    def check(self) -> Result:
        """Search it."""
        return explore(self.system)

    def runs(self) -> list[list[tuple[str, State]]]:
        """Every run to a state where nothing more happens, as (label, state after it)."""
        found: list[list[tuple[str, State]]] = []
        stack: list[list[tuple[str, State]]] = [[("", self.system.init)]]
        while stack:
            run = stack.pop()
            after = [
                [*run, (label_of(o.notes), o.state)]
                for o in outcomes(self.system, run[-1][1], notes=True)
                if o.state is not None
            ]
            stack += after[::-1]
            if not after:
                found.append(run)
        return found

    def labels(self) -> list[str]:
        """What the steps of the only run are called."""
        (run,) = self.runs()
        return [label for label, _ in run[1:]]

    def ends(self, name: str) -> list[int]:
        """The values of a variable at the ends of all runs, each once."""
        at = self.names.index(name)
        return sorted({run[-1][1][at] for run in self.runs()})

    def end(self, name: str) -> int:
        """Its value at the end of every run."""
        (value,) = self.ends(name)
        return value


def label_of(notes: tuple[tuple[NoteKind, str], ...]) -> str:
    """The label of a step, with its remarks after it."""
    return "; ".join(text for _, text in notes)


def text_of(source: str, threads: str = ONE) -> str:
    """A model file. A source without ``def main`` is the body of ``main(mm: Mm)``."""
    source = textwrap.dedent(source).strip("\n")
    if "def main" not in source:
        source = MAIN + textwrap.indent(source, "    ")
    return IMPORT + source + "\n" + SETUP.format(threads=threads)


Compile = Callable[..., Small]


def compile_text(path: Path, source: str, threads: str = ONE, **how: object) -> Small:
    """Compile a source."""
    path.write_text(text_of(source, threads), encoding="utf-8")
    return Small(load_file(str(path))[0].compile(**how))  # type: ignore[arg-type]
