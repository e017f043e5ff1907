from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from shootdown.errors import ModelError, ShootdownError, UsageError
from shootdown.lang.loader import check_unique, did_you_mean, load, load_file
from shootdown.lang.scenario import Setup, scenario
from shootdown.races import library

Write = Callable[[str], str]

SCENARIO = """
from shootdown.lang import Setup, scenario

@scenario("two", expect="HOLDS", aliases=("zwei",))
def two_cpus(cpus: int = 2) -> Setup: ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes ``mine.py`` into the current directory."""
    monkeypatch.chdir(tmp_path)

    def put(text: str) -> str:
        (tmp_path / "mine.py").write_text(dedent(text))
        return "mine.py"

    return put


def message(path: str) -> str:
    with pytest.raises(ShootdownError) as caught:
        load_file(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_by_name_alias_or_variable(write: Write) -> None:
    model = load(write(SCENARIO))
    (only,) = model.scenarios
    assert [model.find(name) for name in ("two", "zwei", "two_cpus", "TWO")] == [only] * 4


def test_scenarios_in_collections(write: Write) -> None:
    text = SCENARIO + dedent(
        """
        def build() -> Setup: ...
        more = [scenario(f"m{i}", expect="HOLDS")(build) for i in range(2)]
        table = {"x": (scenario("deep", expect="HOLDS")(build), more[0]), "y": 3}
        again = two_cpus
        """
    )
    assert [s.name for s in load_file(write(text))] == ["two", "m0", "m1", "deep"]


def test_its_directory_is_importable_only_meanwhile(write: Write, tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'helped'\n")
    before = list(sys.path)
    text = SCENARIO.replace('"two"', "helper_of_mine.NAME")
    (only,) = load_file(write("import helper_of_mine" + text))
    assert only.name == "helped"
    assert sys.path == before
    assert not (tmp_path / "__pycache__" / "mine.cpython-311.pyc").exists()


def test_an_edited_file_is_read_again(write: Write) -> None:
    assert load_file(write(SCENARIO))[0].name == "two"
    assert load_file(write(SCENARIO.replace("two", "duo")))[0].name == "duo"


def test_what_it_prints_is_no_result(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    load_file(write("print('hello')" + SCENARIO))
    assert capsys.readouterr() == ("", "hello\n")


def test_no_file(write: Write) -> None:
    assert message("missing.py") == "there is no file 'missing.py'"
    assert message(".") == "'.' is a directory, not a model file"


def test_no_scenario(write: Write) -> None:
    assert message(write("x = 1")) == (
        "mine.py: no scenario in this file: decorate a function with @scenario"
    )


def test_no_such_scenario(write: Write) -> None:
    model = load(write(SCENARIO))
    with pytest.raises(UsageError) as caught:
        model.find("tow")
    assert str(caught.value) == ("mine.py has no scenario 'tow' (it has: two); did you mean 'two'?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def f():\n    return 1 / 0\n\nf()\n",
            "mine.py:2: importing it failed: ZeroDivisionError: division by zero\n    return 1 / 0",
        ),
        (
            "import nowhere_to_be_found\n",
            "mine.py:1: importing it failed: ModuleNotFoundError: "
            "No module named 'nowhere_to_be_found'\n    import nowhere_to_be_found",
        ),
        ("x = (\n", "mine.py:1: SyntaxError: '(' was never closed\n    x = ("),
        (
            "import sys\nsys.exit(3)\n",
            "mine.py:2: importing it ended Python (sys.exit)\n    sys.exit(3)",
        ),
        (
            "from shootdown.lang import scenario\nscenario('a', expect='MAYBE')\n",
            "mine.py:2: scenario 'a': expect='MAYBE' is not one of "
            "HOLDS, VIOLATED, UNKNOWN, VACUOUS\n    scenario('a', expect='MAYBE')",
        ),
        (
            "from shootdown.lang import Option\n\nOption('o', 1,\n       choices=(2,))\n",
            "mine.py:3: importing it failed: ValueError: option 'o': default 1 is not among (2,)\n"
            "    Option('o', 1,",
        ),
        ("x = '\0'\n", "mine.py: not Python source: it contains null bytes"),
    ],
)
def test_a_file_that_fails(write: Write, text: str, expected: str) -> None:
    assert message(write(text)) == expected


def test_not_text(tmp_path: Path, write: Write) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xff\xfe\x00")
    assert message("mine.py").startswith("mine.py: not Python source: ")


def test_a_failing_helper_is_named(write: Write, tmp_path: Path) -> None:
    helper = tmp_path / "broken_helper_of_mine.py"
    helper.write_text("raise RuntimeError('oops')\n")
    assert message(write("import broken_helper_of_mine\n")) == (
        f"{helper}:1: importing it failed: RuntimeError: oops\n    raise RuntimeError('oops')"
    )


def test_a_bound_without_a_default_is_the_models_error(write: Write, tmp_path: Path) -> None:
    text = SCENARIO.replace("cpus: int = 2", "cpus: int")
    assert message(write(text)) == (
        f"{tmp_path / 'mine.py'}:4: scenario 'two': parameter 'cpus' needs an integer default "
        "(it is a bound)"
    )


def test_two_of_one_name(write: Write, tmp_path: Path) -> None:
    text = SCENARIO + '\nother = scenario("ZWEI", expect="HOLDS")(two_cpus.build)\n'
    file = tmp_path / "mine.py"
    assert message(write(text)) == (
        f"{file}:4: two scenarios are called 'ZWEI'\n  the other one is at {file}:4"
    )


def test_what_is_no_data_may_stand_in_a_class(write: Write) -> None:
    """Methods, properties and constants that say so; a word's text may be a lambda."""
    text = """
    from typing import ClassVar
    from shootdown.lang import Object, Word

    class Entry(Word):
        present: bool
        show = lambda self: "entry"

    class Thing(Object, show="thing{}"):
        _limit: ClassVar[int] = 3
        entry: Entry
        class Kind: ...
        def _helper(self) -> bool: ...
        @property
        def empty(self) -> bool: ...
        @staticmethod
        def made() -> "Thing": ...
    """
    assert [s.name for s in load_file(write(dedent(text) + dedent(SCENARIO)))] == ["two"]


def test_did_you_mean() -> None:
    assert did_you_mean("s0.v44", ["S0.V4", "other"]) == "; did you mean 'S0.V4'?"
    assert did_you_mean("xyz", ["S0.V4"]) == ""


def build() -> Setup:
    raise AssertionError


def test_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ModuleType("races_first"), ModuleType("races_second")
    one = scenario("one", expect="HOLDS")(build)
    two = scenario("two", expect="HOLDS", aliases=("zwei",))(build)
    vars(first).update(one=one)
    vars(second).update(imported=one, many=[two])
    for module in (first, second):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("shootdown.races.MODULES", ("races_first", "races_second"))
    assert library.__wrapped__() == (one, two)
    vars(second).update(late=scenario("Zwei", expect="HOLDS")(build))
    with pytest.raises(ModelError, match="two scenarios are called 'Zwei'"):
        library.__wrapped__()


def test_the_real_library_is_unique() -> None:
    check_unique(library())
