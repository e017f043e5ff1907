"""Other people's answers: final states and verdicts of litmus tests, from a JSON file.

The file is a list with one object for each test:

* ``file``: where the test is, relative to the JSON file; ``name``: what it calls itself; ``suite``.
* ``quantifier``: ``exists``, ``~exists``, ``forall``, or what herdtools7 calls them: ``Allowed``,
  ``Forbidden``, ``Required``.
* for a machine with FEAT_ETS2 (suffix ``_ets2``) and without (``_no_ets``), at least one of:
  ``expected_*``: ``Forbidden``, ``Allowed`` or ``Required``: the proposition is true of no, of some
  or of every final state; ``herd7_observation_*``: ``Never``, ``Sometimes`` or ``Always``;
  ``herd7_states_*``: all final states, as herdtools7 prints them.
* ``herd7_flags``: remarks of herdtools7 (``Warning-BBM-expected``: the test needs
  break-before-make and does not do it).
* ``needs_weak_memory``: false if sequentially consistent memory and a TLB decide the test.

Other keys are left alone, unless they look like one of these: then they are misspelt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from shootdown.litmus.condition import Fault, FinalState
from shootdown.litmus.errors import LitmusSyntaxError
from shootdown.litmus.files import read_text
from shootdown.litmus.parse_condition import fault_arguments, state_item
from shootdown.litmus.propositions import Place, Quantifier
from shootdown.litmus.tokens import Words
from shootdown.litmus.values import Value

_QUANTIFIERS: Final = {
    **{quantifier.value: quantifier for quantifier in Quantifier},
    "Allowed": Quantifier.EXISTS,
    "Forbidden": Quantifier.NOT_EXISTS,
    "Required": Quantifier.FORALL,
}
_VERDICTS: Final = ("Forbidden", "Allowed", "Required")
_OBSERVATIONS: Final = ("Never", "Sometimes", "Always")
_TEXTS: Final = ("file", "name", "suite", "quantifier")
_ANSWERS: Final = tuple(
    f"{kind}_{machine}"
    for machine in ("ets2", "no_ets")
    for kind in ("expected", "herd7_observation", "herd7_states")
)
_KEYS: Final = (*_TEXTS, *_ANSWERS, "herd7_flags", "needs_weak_memory")
_ALIKE: Final = 0.8  # how similar a misspelt key is, as difflib counts


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one test on one machine; ``None``: it is not given.

    ``states`` are printed final states. As herdtools7 prints nothing for a test that shows no
    place, an empty string stands for the only state there is.
    """

    verdict: str | None = None
    observation: str | None = None
    states: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedTest:
    """One object of the file."""

    file: str
    name: str
    suite: str
    quantifier: Quantifier
    ets2: Answer
    no_ets: Answer
    flags: frozenset[str] = frozenset()
    needs_weak_memory: bool | None = None


def read_expected(path: Path) -> dict[str, ExpectedTest]:
    """The tests of a JSON file, by their ``file``. :class:`LitmusSyntaxError` if it is not as the
    module describes."""

    def wrong(message: str) -> LitmusSyntaxError:
        return LitmusSyntaxError(message, file=str(path))

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            key = next(key for key in keys if keys.count(key) > 1)
            raise wrong(f"key {key!r} is given twice in one object")
        return found

    text = read_text(path, "it")
    try:
        entries = json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise wrong("it is nested too deeply") from None
    except ValueError as error:
        raise wrong(f"it is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise wrong("a list of tests is expected")
    tests: dict[str, ExpectedTest] = {}
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries):
        test = _test(entry, number, str(path))
        first = numbers.setdefault(os.path.normpath(test.file), number)
        if first != number:
            raise wrong(f"test number {number}: {test.file!r} is test number {first} already")
        tests[test.file] = test
    return tests


def _test(entry: object, number: int, path: str) -> ExpectedTest:
    def wrong(message: str) -> LitmusSyntaxError:
        return LitmusSyntaxError(f"test number {number}: {message}", file=path)

    if not isinstance(entry, dict):
        raise wrong("an object is expected")
    for key in (key for key in entry if key not in _KEYS):
        close = get_close_matches(key, _KEYS, n=1, cutoff=_ALIKE)
        if close:
            raise wrong(f"there is no key {key!r}; did you mean {close[0]!r}?")
    texts = {key: entry.get(key) for key in _TEXTS}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise wrong(f"{key} is missing, or no text")
    file = str(texts["file"])
    if not _is_path(file):
        raise wrong(f"{file!r} is no name of a file")
    if texts["quantifier"] not in _QUANTIFIERS:
        raise wrong(f"{texts['quantifier']!r} is no quantifier")
    weak = entry.get("needs_weak_memory")
    if weak is not None and not isinstance(weak, bool):
        raise wrong("needs_weak_memory is true or false")
    answers = {machine: _answer(entry, machine, wrong) for machine in ("ets2", "no_ets")}
    if all(answer == Answer() for answer in answers.values()):
        raise wrong(f"it has no answer: one of {', '.join(_ANSWERS)} is needed")
    return ExpectedTest(
        file=file,
        name=str(texts["name"]),
        suite=str(texts["suite"]),
        quantifier=_QUANTIFIERS[str(texts["quantifier"])],
        ets2=answers["ets2"],
        no_ets=answers["no_ets"],
        flags=frozenset(_strings(entry, "herd7_flags", wrong) or ()),
        needs_weak_memory=weak,
    )


def _is_path(text: str) -> bool:
    """Whether a file can be called that: JSON may have null characters, and halves of pairs."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _answer(entry: Mapping[str, Any], machine: str, wrong: Any) -> Answer:
    verdict = entry.get(f"expected_{machine}")
    observation = entry.get(f"herd7_observation_{machine}")
    if verdict not in (None, *_VERDICTS) or observation not in (None, *_OBSERVATIONS):
        raise wrong(f"expected_{machine} is one of {_VERDICTS}, the observation of {_OBSERVATIONS}")
    return Answer(verdict, observation, _strings(entry, f"herd7_states_{machine}", wrong))


def _strings(entry: Mapping[str, Any], key: str, wrong: Any) -> tuple[str, ...] | None:
    found = entry.get(key)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise wrong(f"{key} is a list of texts")
    return tuple(found)


# ------------------------------------------------------------------------------- states


def normal(state: str) -> frozenset[str]:
    """A printed final state as the set of what it says: order and spaces do not matter."""
    items = ("".join(item.split()) for item in state.split(";"))
    return frozenset(item for item in items if item)


def same_states(ours: set[str], theirs: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Compare printed final states: those that only we have, and those that only they have."""
    mine = {normal(state): state for state in ours}
    other = {normal(state): state for state in theirs}
    return (
        {state for key, state in mine.items() if key not in other},
        {state for key, state in other.items() if key not in mine},
    )


def read_state(text: str) -> FinalState:
    """A printed final state, read back: values of places, and the faults that happened.

    A fault whose type is printed without its side is one of data.
    """
    words = Words(text, 0, len(text), file="<state>", what="the state")
    values: dict[Place, Value] = {}
    faults: set[Fault] = set()
    while words.peek().kind != "end":
        absent = words.accept("~")
        if words.accept("Fault"):
            processor, labels, address, kind, message = fault_arguments(words)
            if kind is not None and not absent:
                faults.add(Fault(processor, labels, address, kind, message))
            elif not absent:
                words.wrong("a fault that happened has a type")
        else:
            atom = state_item(words)
            values[atom.place] = atom.value
        words.expect(";")
    return FinalState(values, frozenset(faults))
