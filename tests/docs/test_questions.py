"""``docs/questions.md``: every open question of the reference has an answer and a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_markdown import Shown, blocks, commands, executed
from shootdown.races import library

PAGE = Path(__file__).resolve().parents[2] / "docs" / "questions.md"
ASKED = {"S0": 5, "S1": 5, "S2": 7, "S3": 7, "S4": 4}
IDS = [f"Q-{system}-{n}" for system, many in ASKED.items() for n in range(1, many + 1)]
COSTS = {"Q-S0-4", "Q-S1-4", "Q-S1-5", "Q-S2-7"}
"""What these ask needs prices that the answer does not have yet."""


def sections() -> list[tuple[str, str, str]]:
    """The identifier, the question and the text of each section, in order."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = []
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        name, _, question = heading.partition(": ")
        found.append((name, question, text))
    return found


SECTIONS = {name: (question, text) for name, question, text in sections()}


def shown(name: str) -> list[Shown]:
    return [c for block in blocks(SECTIONS[name][1]) for c in commands(block)]


def test_every_question_has_its_heading_once_and_in_order() -> None:
    assert len(IDS) == 28
    assert [name for name, _, _ in sections()] == IDS


@pytest.mark.parametrize("name", IDS)
def test_a_question_is_asked_and_answered_first(name: str) -> None:
    question, text = SECTIONS[name]
    assert question.endswith("?")
    assert text.startswith("\n\n**")


@pytest.mark.parametrize("name", IDS)
def test_one_command_shows_the_answer_with_scenarios_that_exist(name: str) -> None:
    (one,) = shown(name)
    words = one.command.replace("\\\n", "").partition("|")[0].split()
    assert words[:2] == ["shootdown", "check"]
    asked = [word for word in words[2:] if not word.startswith("-")]
    assert asked
    assert set(asked) <= {scenario.name for scenario in library()}
    if "EXPECTED" in one.output:  # all of them, and the command is whole
        assert "-q" in words
        assert one.output.startswith("NAME ")
        table = one.output.partition("\n\n")[0].splitlines()
        assert [row.split()[0] for row in table[1:]] == asked


@pytest.mark.parametrize("name", IDS)
def test_verdicts_that_are_shown_are_the_expected_ones(name: str) -> None:
    (one,) = shown(name)
    rows = [row.split() for row in one.output.splitlines()]
    verdicts = [row for row in rows if {"HOLDS", "VIOLATED"} & set(row)]
    assert all("yes" in row for row in verdicts)
    assert verdicts or "grep" in one.command


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Q-S0-1", "Q-S1-1", "Q-S2-2", "Q-S3-1", "Q-S4-1"])
def test_a_command_prints_what_is_shown(name: str, tmp_path: Path) -> None:
    """One of each system, and one that is no table; the others with ``-m deep``."""
    page = "\n".join(f"```console\n$ {c.command}\n{c.output}```" for c in shown(name))
    differences, _ = executed(page, tmp_path)
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("name", IDS)
def test_what_is_missing_is_said(name: str) -> None:
    assert ("**Missing:**" in SECTIONS[name][1]) == (name in COSTS)
