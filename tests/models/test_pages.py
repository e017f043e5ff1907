"""The tables in ``docs/questions.md`` show what the engine finds: row by row, but for the time,
with the results that other tests use, too. With ``-m deep`` the commands themselves are run."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import pytest

from docs_markdown import blocks, commands
from models.checks import some_slow
from models.results import LIBRARY, run
from shootdown.commands.targets import Target, subject_of
from shootdown.report.run import Run
from shootdown.report.table import HEADINGS, row_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "questions.md"
TABLE = re.compile(r"shootdown check ([\w. -]+) -q")
VERDICT = r"(HOLDS|VACUOUS|UNKNOWN|VIOLATED \S+)"
ROW = re.compile(rf"(\S+) +{VERDICT} +{VERDICT} +(yes|NO) +([\d,]+) +\S+ s")
NOTHING_CHOSEN = Namespace(bound=[], hardware=[], without=[])


def rows() -> dict[str, tuple[str, ...]]:
    """What the page says of each scenario, without the time. Raises if it says two things."""
    found: dict[str, tuple[str, ...]] = {}
    shown = [c for block in blocks(PAGE.read_text(encoding="utf-8")) for c in commands(block)]
    for one in shown:
        asked = TABLE.fullmatch(one.command.replace("\\\n   ", ""))
        if asked is None:
            assert "EXPECTED" not in one.output, one.command  # it would not be looked at
            continue
        head, *lines = one.output.partition("\n\n")[0].splitlines()
        assert tuple(head.split()) == HEADINGS
        said = {row[1]: row.groups() for line in lines if (row := ROW.fullmatch(line))}
        assert list(said) == asked[1].split()
        for name, cells in said.items():
            assert found.setdefault(name, cells) == cells
    return found


ROWS = rows()


def test_most_commands_of_the_page_print_a_table() -> None:
    assert len(ROWS) > 120


@pytest.mark.parametrize("name", some_slow(ROWS, set([*ROWS][::3]).__contains__))
def test_a_row_is_what_the_engine_finds(name: str) -> None:
    subject = subject_of(Target(name, LIBRARY[name]), NOTHING_CHOSEN)
    row = row_of(Run(subject, run(name, None)))
    assert row.good
    assert row.cells[:-1] == ROWS[name]
