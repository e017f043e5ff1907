"""The file with other people's answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shootdown.litmus import LitmusSyntaxError, parse_text, show_state
from shootdown.litmus.expected import Answer, normal, read_expected, read_state, same_states
from shootdown.litmus.propositions import Quantifier

GOOD = {
    "suite": "s",
    "file": "s/a.litmus",
    "name": "a",
    "quantifier": "~exists",
    "expected_ets2": "Forbidden",
    "expected_no_ets": "Allowed",
    "herd7_observation_ets2": "Never",
    "herd7_states_ets2": ["0:X1=1;"],
    "herd7_flags": ["Warning-BBM-expected"],
    "needs_weak_memory": False,
}


def write(path: Path, content: object) -> Path:
    """A JSON file with that."""
    file = path / "expected.json"
    file.write_text(json.dumps(content))
    return file


def test_a_test_is_read(tmp_path: Path) -> None:
    (test,) = read_expected(write(tmp_path, [GOOD])).values()
    assert (test.file, test.name, test.suite) == ("s/a.litmus", "a", "s")
    assert test.quantifier is Quantifier.NOT_EXISTS
    assert test.ets2 == Answer("Forbidden", "Never", ("0:X1=1;",))
    assert test.no_ets == Answer("Allowed")
    assert test.flags == {"Warning-BBM-expected"}
    assert test.needs_weak_memory is False


@pytest.mark.parametrize(
    ("word", "quantifier"),
    [("Allowed", Quantifier.EXISTS), ("Required", Quantifier.FORALL),
     ("Forbidden", Quantifier.NOT_EXISTS), ("exists", Quantifier.EXISTS)],
)  # fmt: skip
def test_quantifiers_have_two_names(tmp_path: Path, word: str, quantifier: Quantifier) -> None:
    least = {"suite": "s", "file": "f", "name": "a", "quantifier": word, "expected_ets2": "Allowed"}
    test = read_expected(write(tmp_path, [least]))["f"]
    assert test.quantifier is quantifier
    assert (test.ets2, test.no_ets) == (Answer("Allowed"), Answer())
    assert test.needs_weak_memory is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name is missing, or no text"),
        ({"file": None}, "file is missing"),
        ({"quantifier": "some"}, "'some' is no quantifier"),
        ({"expected_ets2": "Maybe"}, "expected_ets2 is one of"),
        ({"herd7_observation_no_ets": "Often"}, "expected_no_ets is one of"),
        ({"herd7_states_ets2": "0:X1=1;"}, "herd7_states_ets2 is a list of texts"),
        ({"herd7_flags": [1]}, "herd7_flags is a list of texts"),
        ({"needs_weak_memory": "no"}, "needs_weak_memory is true or false"),
        ({"needs_weak_memory": 1}, "needs_weak_memory is true or false"),
        ({"needs_weak_memory": 0}, "needs_weak_memory is true or false"),
        ({"file": "a\0b"}, r"'a\\x00b' is no name of a file"),
        ({"file": "\ud800"}, r"'\\ud800' is no name of a file"),
        ({"file": ""}, "'' is no name of a file"),
        ({"file": "s/a.litmus"}, "'s/a.litmus' is test number 0 already"),
        ({"file": "./s//a.litmus"}, "'./s//a.litmus' is test number 0 already"),
        ({"expected_ets3": "Allowed"}, "no key 'expected_ets3'; did you mean 'expected_ets2'"),
        ({"herd7_state_no_ets": []}, "did you mean 'herd7_states_no_ets'"),
        ({"needs_week_memory": True}, "did you mean 'needs_weak_memory'"),
    ],
)
def test_a_wrong_test_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(LitmusSyntaxError, match=f"expected.json: test number 1: .*{message}"):
        read_expected(write(tmp_path, [GOOD, {**GOOD, "file": "other", **change}]))


def test_what_has_no_answer_is_refused(tmp_path: Path) -> None:
    bare = {key: GOOD[key] for key in ("suite", "file", "name", "quantifier")}
    with pytest.raises(LitmusSyntaxError, match="test number 0: it has no answer: one of expected"):
        read_expected(write(tmp_path, [{**bare, "verdict_ets2": "Allowed"}]))


def test_keys_of_others_are_left_alone(tmp_path: Path) -> None:
    (test,) = read_expected(
        write(tmp_path, [{**GOOD, "bbm_required_flag": True, "why": 1}])
    ).values()
    assert test.name == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "it is not JSON"), ("{}", "a list of tests is expected"),
     ("[1]", "test number 0: an object is expected"),
     ("[" * 100_000, "it is nested too deeply"),
     ("[" + "9" * 5000 + "]", "it is not JSON"),
     ('[{"file": "a", "file": "b"}]', "key 'file' is given twice")],
)  # fmt: skip
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "expected.json"
    file.write_text(content)
    with pytest.raises(LitmusSyntaxError, match=message):
        read_expected(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LitmusSyntaxError, match="cannot read it: No such file"):
        read_expected(tmp_path / "none.json")


def test_order_and_spaces_of_a_state_do_not_matter() -> None:
    one = "0:X1=1; [PTE(x)]=(oa:PA(x), af:0);  ~Fault(P0:L0,x);"
    assert normal(one) == normal(" ~Fault(P0:L0,x); [PTE(x)]=(oa:PA(x),af:0); 0:X1=1")
    assert normal(one) != normal("0:X1=1; [PTE(x)]=(oa:PA(x));  ~Fault(P0:L0,x);")
    assert normal(" ") == frozenset()


def test_states_are_compared_as_sets() -> None:
    assert same_states({"a=1; b=2;"}, ("b=2; a=1;",)) == (set(), set())
    assert same_states({"a=1;", "a=2;"}, ("a=2;", "a=3;")) == ({"a=1;"}, {"a=3;"})


def test_a_state_is_read_back() -> None:
    test = parse_text("AArch64 T {} P0; a: b: NOP; exists x=1 /\\ fault(P0,PTE(y))", "t")
    text = "[x]=3; Fault(P0:{a,b},PTE(y),D-MMU:Permission,EL0);"
    assert show_state(test, read_state(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("0:X1;", "expected '='"), ("Fault(P0);", "has a type"), ("0:X1=1", "expected ';'")],
)
def test_a_state_that_nobody_printed(text: str, message: str) -> None:
    with pytest.raises(LitmusSyntaxError, match=message):
        read_state(text)
