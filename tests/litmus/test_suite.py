"""The parser on litmus tests by other people (herdtools7), and their answers read back.

They are not part of this project; without them these tests are skipped.
"""

from __future__ import annotations

import pytest

from litmus.suite import folder
from shootdown.litmus import LitmusTest, parse_file, parse_text, show_state
from shootdown.litmus.condition import judge
from shootdown.litmus.expected import ExpectedTest, normal, read_expected, read_state
from shootdown.litmus.propositions import Equal, FaultAtom, Proposition, Quantifier, Same, atoms
from shootdown.litmus.propositions import show_proposition as show

VERDICT = {"Never": "Forbidden", "Sometimes": "Allowed", "Always": "Allowed"}


@pytest.fixture(scope="module")
def suite() -> dict[str, tuple[ExpectedTest, LitmusTest]]:
    """All tests, by file: what is expected, and the test. Fails if one cannot be read."""
    where = folder()
    expected = read_expected(where / "expected.json")
    return {name: (answer, parse_file(where / name)) for name, answer in expected.items()}


def test_all_files_are_read(suite: dict[str, tuple[ExpectedTest, LitmusTest]]) -> None:
    where = folder()
    files = {str(path.relative_to(where)) for path in where.rglob("*.litmus")}
    assert set(suite) == files
    assert len(files) >= 100
    for answer, test in suite.values():
        assert test.name == answer.name
        assert test.condition.quantifier is answer.quantifier


def test_every_atom_is_printed_back(suite: dict[str, tuple[ExpectedTest, LitmusTest]]) -> None:
    seen: set[type] = set()
    for _, test in suite.values():
        propositions: list[Proposition] = [test.condition.proposition, *test.watched]
        propositions += [test.filter] if test.filter is not None else []
        for proposition in propositions:
            for part in (proposition, *atoms(proposition)):
                again = parse_text(f"{stub(test)}\nexists {show(part)}", "again")
                assert again.condition.proposition == part
                seen.add(type(part))
    assert {Equal, FaultAtom} <= seen
    assert Same not in seen


def stub(test: LitmusTest) -> str:
    """A test with the same processors and labels, and no instructions."""
    heads, cells = [], []
    for processor in test.processors:
        heads.append(f"P{processor.number}")
        labels = dict(processor.code.labels)
        labels.update(processor.handler.labels if processor.handler else {})
        cells.append("".join(f"{label}: " for label in labels))
    return f"AArch64 again\n{{}}\n{'|'.join(heads)};\n{'|'.join(cells)};"


def test_initial_values_are_printed_back(
    suite: dict[str, tuple[ExpectedTest, LitmusTest]],
) -> None:
    for _, test in suite.values():
        for place, value in test.initial.items():
            again = parse_text(f"{stub(test)}\nexists {show(Equal(place, value))}", "again")
            assert again.condition.proposition == Equal(place, value)


def test_final_states_are_printed_as_theirs(
    suite: dict[str, tuple[ExpectedTest, LitmusTest]],
) -> None:
    compared = 0
    for answer, test in suite.values():
        for machine in (answer.ets2, answer.no_ets):
            for theirs in machine.states or ():
                ours = show_state(test, read_state(theirs))
                assert ours.strip() == theirs.strip()
                assert normal(ours) == normal(theirs)
                compared += 1
    assert compared >= 250


def test_their_states_give_their_verdicts(
    suite: dict[str, tuple[ExpectedTest, LitmusTest]],
) -> None:
    judged = 0
    for answer, test in suite.values():
        for machine in (answer.ets2, answer.no_ets):
            if machine.states is None or machine.observation is None:
                continue
            found = judge(test, [read_state(state) for state in machine.states])
            assert found.observation == machine.observation, test.file
            if machine.verdict is not None:
                required = test.condition.quantifier is Quantifier.FORALL and found.ok
                wanted = "Required" if required else VERDICT[found.observation]
                assert machine.verdict == wanted, test.file
            judged += 1
    assert judged >= 100
