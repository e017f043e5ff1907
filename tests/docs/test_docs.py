"""The pages for users are true: their examples run and print what is shown, their options exist,
their links lead somewhere.

``UPDATE_DOCS=1 pytest tests/docs`` writes what the commands really print into the pages. Read the
difference before you commit it: a changed verdict, count or race needs a reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_markdown import Block, anchors, blocks, commands, executed, links, normal, patched, prose
from shootdown.check.reference import explore
from shootdown.commands import COMMANDS
from shootdown.lang.loader import load_file
from shootdown.races import library
from shootdown.races.beyond import BEYOND

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
VERBS = tuple(command.name for command in COMMANDS)
LANGUAGES = {"", "c", "console", "diff", "json", "litmus", "python", "sh", "text", "toml"}
UPDATE = bool(os.environ.get("UPDATE_DOCS"))


def name(path: Path) -> str:
    return path.name


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --------------------------------------------------------------------------- examples


SHOWN_ELSEWHERE = {
    "questions.md": "test_questions.py runs some, models/test_pages.py has the rest",
    # making the code of their workloads takes long on a new machine; pricing.md and pricing-s3.md
    # run the commands by default
    "pricing-s0.md": "cost/test_memory.py",
    "pricing-s1.md": "workloads/test_vmalloc.py",
    "pricing-s2.md": "cost/test_reclaim.py",
    "pricing-s4.md": "cost/test_sva.py",
}
EXAMPLES = [
    pytest.param(path, marks=pytest.mark.deep)
    if path.name in SHOWN_ELSEWHERE and not UPDATE
    else path
    for path in PAGES
]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_examples_print_what_is_shown(path: Path, tmp_path: Path) -> None:
    page = read(path)
    differences, true_page = executed(page, tmp_path)
    if UPDATE:
        path.write_text(true_page, encoding="utf-8")
    else:
        assert not differences, "\n".join([path.name, *differences])


def test_the_flush_that_the_readme_names_is_the_answer(tmp_path: Path) -> None:
    page = read(ROOT / "README.md")
    call, module = re.search(r"with `(\w+\(.*?\))`, imported from `([\w.]+)`", page).groups()  # type: ignore[union-attr]
    (model,) = (block.text for block in blocks(page) if "def my_unmap" in block.text)
    assert "    return_to_user(" in model
    flushed = model.replace("    return_to_user(", f"    {call}\n    return_to_user(")
    function = call.partition("(")[0]
    (tmp_path / "mine.py").write_text(f"from {module} import {function}\n{flushed}")
    (mine,) = load_file(str(tmp_path / "mine.py"))
    assert explore(mine.compile()).verdict.value == "HOLDS"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_block_has_a_known_language(path: Path) -> None:
    assert {block.language for block in blocks(read(path))} <= LANGUAGES


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_python_is_python(path: Path) -> None:
    for block in blocks(read(path)):
        if block.language == "python":
            compile(block.text, f"{path.name}:{block.line}", "exec")


def test_shell_blocks_are_targets_of_make() -> None:
    """What is not executed here is what other tests execute."""
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    for path in PAGES:
        for block in blocks(read(path)):
            if block.language == "sh":
                used = re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)
                assert used
                assert set(used) <= targets


# What the snippets of the language reference leave out.
BEFORE = """
from __future__ import annotations
from shootdown.lang import *


class Page(Object): pass
class Frame(Object, show="f{}"): pass


class Pte(Word):
    present: bool = False
    writable: bool = False
    frame: Frame = Frame(0)


class TlbEntry(Word):
    valid: bool = False
    writable: bool = False
    frame: Frame = Frame(0)


class Mm(Object):
    pte: Array[Page, Pte]
    ptl: SpinLock
    tlb_flush_pending: int = counter(0, 3)
    returned: bool = ghost(False)


class Cpu(Object, show="CPU{}"):
    walks: Mm = Mm(0)
    tlb: Array[Page, TlbEntry]


class Gather(Record):
    pages: set[Page] = set()


Pages = tuple[Page, ...]


@path
def ptep_get_and_clear(ptep: Ref[Pte]) -> Pte:
    return xchg(ptep, Pte())


@atomic
def flush_tlb_mm(mm: Mm) -> None:
    for cpu in Cpu:
        for page in Page:
            cpu.tlb[page] = TlbEntry()


@atomic
def mapped() -> None:
    for page in Page:
        Mm(0).pte[page] = Pte(present=True, frame=Frame(page.index))
"""
HARDWARE = 'x86 = Hardware("x86", rules=(fill,))\n'


def test_the_snippets_of_the_language_reference_are_one_model(tmp_path: Path) -> None:
    snippets = [block for block in blocks(read(DOCS / "language.md")) if block.language == "python"]
    model = tmp_path / "model.py"
    body = "\n\n".join(block.text for block in snippets)
    assert body.count("@scenario") == 1
    before, _, scenario = body.partition("@scenario")
    model.write_text(f"{BEFORE}\n{before}\n{HARDWARE}\n@scenario{scenario}", encoding="utf-8")
    (two_madvise,) = load_file(str(model))
    for bounds in ({}, {"cpus": 3, "pages": 2}):
        two_madvise.compile(bounds)
    result = explore(two_madvise.compile())
    assert result.verdict.value == two_madvise.expect
    assert result.violation is not None
    assert result.violation.name == two_madvise.violates


# --------------------------------------------------------------------------- options


def help_text(*verb: str) -> str:
    program = "import sys; from shootdown.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return done.stdout


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.fixture(scope="module")
def helps() -> dict[str, set[str]]:
    """The options of each verb, by its ``--help``; those of the command itself under ''."""
    return {verb: options_in(help_text(*filter(None, [verb]))) for verb in ("", *VERBS)}


def mentioned(page: str) -> set[tuple[str, str]]:
    """(verb, option) for each option of ours on a page; the verb is '' where none is named."""
    found: set[tuple[str, str]] = set()
    said = re.findall(r"`([^`\n]+)`", prose(page))
    typed = [
        shown.command
        for block in blocks(page)
        if block.language == "console"
        for shown in commands(block)
    ]
    for text in [*said, *typed]:
        for part in re.split(r"[|;&]", text):
            words = part.split()
            ours = words[:1] == ["shootdown"] or part.strip().startswith("--")
            verb = next((word for word in words[1:2] if word in VERBS), "")
            if ours:
                found |= {(verb, option) for option in options_in(part)}
    return found


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_options_that_pages_mention_exist(path: Path, helps: dict[str, set[str]]) -> None:
    every = set[str]().union(*helps.values())
    unknown = {
        f"{verb} {option}"
        for verb, option in mentioned(read(path))
        if option not in (helps[verb] if verb else every)
    }
    assert unknown == set()


def sections(page: str) -> dict[str, str]:
    """The text below each second-level heading."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("verb", VERBS)
def test_the_reference_has_every_option(verb: str, helps: dict[str, set[str]]) -> None:
    reference = sections(read(DOCS / "commands.md"))
    shared = "".join(text for title, text in reference.items() if title.startswith("Options"))
    text = reference[f"shootdown {verb}"] + shared
    assert helps[verb] - {"--help"} - options_in(text) == set()


def test_the_reference_has_every_choice() -> None:
    """``--engine {native,reference}``, ``--color {auto,always,never}``."""
    page = read(DOCS / "commands.md")
    choices = {
        (option, choice)
        for verb in VERBS
        for option, values in re.findall(r"(--[a-z-]+) \{([\w,]+)\}", help_text(verb))
        for choice in values.split(",")
    }
    missing = {
        f"{option} {choice}"
        for option, choice in choices
        if not re.search(rf"^\| `{option}.*`{choice}`", page, re.MULTILINE)
    }
    assert choices
    assert missing == set()


SCENARIO = re.compile(
    r"(?:BAD-)?S\d(?:\.V?\d[\w.-]*|-\d+)|MADV-[A-Z]\S*|[A-Z]+-[A-Z]{4,}(?:\.fixed)?"
)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_scenarios_that_pages_name_exist(path: Path) -> None:
    """What looks like a scenario of the library, in code marks or in a command."""
    page = read(path)
    typed = [c.command for b in blocks(page) if b.language == "console" for c in commands(b)]
    words = {w for text in [*re.findall(r"`([^`\n]+)`", prose(page)), *typed] for w in text.split()}
    known = {name for scenario in library() for name in (scenario.name, *scenario.aliases)}
    known |= {race.name for race in BEYOND}
    assert {word for word in words if SCENARIO.fullmatch(word)} - known == set()


FAMILY = re.compile(r"(?:K|PT|S[0-3]|S2a|LUF|N|X[123])\.[A-Z][\w-]*(?:\.[\w-]+)*|N\.[a-z][\w.-]*")
NAMED = re.compile(r"(\*\*)?`([\w.-]+)`(?:\*\*)?")


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_scenarios_of_each_system_exist(path: Path) -> None:
    """As ``K.V3.store``; a variant of the reference alone (``N.a``) is one, too."""
    known = {name for scenario in library() for name in (scenario.name, *scenario.aliases)}
    words = {m[2] for m in NAMED.finditer(prose(read(path)))}
    assert {w for w in words if FAMILY.fullmatch(w) and "*" not in w} - known == set()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_bold_is_violated_and_safe_holds(path: Path) -> None:
    """In tables a scenario in bold is VIOLATED, and those before the word "safe" hold."""
    expected = {
        name: scenario.expect
        for scenario in library()
        for name in (scenario.name, *scenario.aliases)
    }
    wrong = []
    for row in read(path).splitlines():
        if not row.startswith("|"):
            continue
        for part in re.split(r"[|;]", row):
            before_safe = part.rpartition("safe")[0]
            for match in NAMED.finditer(part):
                bold, scenario = bool(match[1]), match[2]
                if bold and expected.get(scenario) == "HOLDS":
                    wrong.append(f"{scenario} holds, and is in bold")
                listed = f"`{scenario}`" in before_safe and not bold
                if listed and expected.get(scenario) == "VIOLATED":
                    wrong.append(f"{scenario} is VIOLATED, and is called safe")
    assert wrong == []


# --------------------------------------------------------------------------- links and lines


@pytest.mark.parametrize("path", ALL_PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in links(read(path)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(read(file))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_files_that_pages_name_exist(path: Path) -> None:
    """``src/...``, ``docs/...`` and ``tests/...`` in code marks."""
    named = re.findall(r"`((?:src|docs|tests|benchmarks)/[\w./-]+)`", prose(read(path)))
    assert [each for each in named if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_lines_are_not_too_long(path: Path) -> None:
    rows = prose(read(path)).split("\n")
    assert [row for row in rows if len(row) > 120 and not row.startswith("|")] == []


# --------------------------------------------------------------------------- this test itself

PAGE = """# A page

```python
# file: a.py
print("one")
```

```console
$ python a.py
one
$ (exit 3)
$ echo $?
3
```

```diff
--- a.py
+++ a.py
@@ -1,2 +1,2 @@
 # file: a.py
-print("one")
+print("two")
```

```console
$ python a.py
one
$ echo end
```
"""


def test_a_page_is_executed_and_corrected(tmp_path: Path) -> None:
    differences, true_page = executed(PAGE, tmp_path)
    assert [difference.splitlines()[0] for difference in differences] == [
        "line 26: $ python a.py",
        "line 28: $ echo end",
    ]
    head, _, tail = PAGE.rpartition("one\n$ echo end\n")
    assert true_page == f"{head}two\n$ echo end\nend\n{tail}"
    (tmp_path / "again").mkdir()
    assert executed(true_page, tmp_path / "again") == ([], true_page)


def test_a_diff_must_fit() -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        patched("a\nb\n", "@@ -1,1 +1,1 @@\n-b\n+c\n")
    assert patched("a\nb\n", "@@ -2,1 +2,1 @@\n-b\n+c\n") == "a\nc\n"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("in 0.02 s (fast, 32 KiB)", "in 12.3 s (fast, 8.1\n     MiB)", True),
        ("x  0.06 s\n", "x 10.06 s\n", True),
        ("1 passed in 0.31s\n", "1 passed in 1.10s\n", True),
        ('"seconds": 0.01', '"seconds": 1e-05', True),
        (
            "a\nS0.V6: 1,200 states, 9,100/s, depth 0, 6.36 s, ? left, 1 to expand\nb\n",
            "a\nb\n",
            True,
        ),
        ("12 states in 0.02 s", "13 states in 0.02 s", False),
    ],
)
def test_times_and_sizes_do_not_count(one: str, other: str, same: bool) -> None:
    assert (normal(one) == normal(other)) is same


def test_mentioned_options() -> None:
    page = (
        "`--bound` `shootdown show --path T` `uv sync --extra dev`\n\n```console\n$ echo --x\n```\n"
    )
    assert mentioned(page) == {("", "--bound"), ("show", "--path")}
    assert list(blocks(page)) == [Block("console", "$ echo --x\n", 4)]
