"""Wrong programs: each is refused with one exact message at the user's own line.

They stand in ``wrong_programs.txt``. Besides, nothing that a user writes may make the compiler fail
with anything but such a message: valid programs are mangled at random to see.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from shootdown.errors import ModelError, UsageError
from shootdown.lang.loader import load_file

IMPORT = "from lang.zoo import *; from shootdown.lang import *\n"
MAIN = "@path\ndef main(mm: Mm) -> None:\n"
SCENARIO = """
@scenario("wrong", expect="HOLDS")
def wrong() -> Setup:
    return Setup(
        sizes=SIZES,
        start=START,
        threads=[Thread(main, Mm(0), on=Cpu(0))],
        hardware=Hardware("none", RULES, OBSERVERS),
        invariants=INVARIANTS,
        goals=GOALS,
    )
"""


@dataclass(frozen=True)
class Wrong:
    """A program and what is said about it."""

    name: str
    source: str
    message: str

    @property
    def text(self) -> str:
        """The whole model file."""
        source = self.source
        if "def main" not in source:
            source = MAIN + textwrap.indent(source, "    ")
        return IMPORT + source + "\n" + ("" if "@scenario" in source else SCENARIO)


def wrong_programs() -> list[Wrong]:
    text = (Path(__file__).parent / "wrong_programs.txt").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    found = []
    for part in text.split("=== ")[1:]:
        name, _, rest = part.partition("\n")
        source, _, message = rest.partition("\n-> ")
        found.append(Wrong(name, source, message.strip("\n")))
    return found


WRONG = wrong_programs()


def compile_all(path: Path) -> None:
    for scenario in load_file(str(path)):
        scenario.compile()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_the_program_is_refused_with_this_message(wrong: Wrong, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(wrong.text, encoding="utf-8")
    with pytest.raises((ModelError, UsageError)) as caught:
        compile_all(path)
    assert str(caught.value).replace(str(path), "model.py") == wrong.message


def test_the_names_of_the_programs_are_unique() -> None:
    assert len({wrong.name for wrong in WRONG}) == len(WRONG) > 50
