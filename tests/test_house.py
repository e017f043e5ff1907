"""The rules of the house (CONTRIBUTING.md), checked on the source text.

Each rule is a function from one file to the list of its complaints, so that a rule can be shown a
small wrong file as well as the real ones.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "shootdown"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each part of the package may import, besides itself. Whoever knows less is easier to trust.
MAY_IMPORT = {
    "errors": set[str](),
    "interrupts": set[str](),
    "files": {"errors"},
    "lang": {"errors"},
    "hardware": {"lang", "errors"},
    "linux": {"hardware", "lang", "errors"},
    "races": {"linux", "hardware", "lang", "errors"},
    "native": {"errors"},
    "check": {"native", "lang", "errors"},
    "cost": {"native", "lang", "files", "errors"},
    "workloads": {"cost", "linux", "hardware", "lang", "errors"},
    "trace": {"lang", "errors"},
    "litmus": {"check", "native", "hardware", "lang", "errors"},
    "report": {"workloads", "litmus", "check", "cost", "trace", "lang", "errors"},
    "commands": {
        "report", "litmus", "check", "cost", "trace", "races", "workloads", "linux", "hardware",
        "native", "lang", "files", "errors", "interrupts",
    },
}  # fmt: skip
# The front door offers what a user's own model needs; `python -m shootdown` is the command line.
MAY_IMPORT["__init__"] = MAY_IMPORT["commands"] - {"report"}
MAY_IMPORT["__main__"] = {"commands", "interrupts"}

HEAVY = {"llvmlite", "numpy", "rich", "jinja2", "polars"}
LONGEST = 800  # lines


def part(path: Path) -> str:
    """Which part of the house a module of the package belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every absolute module name that a file imports, also inside functions, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == "shootdown":
                for alias in node.names:
                    yield f"shootdown.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


def upward_imports(path: Path, tree: ast.Module) -> list[str]:
    here = part(path)
    allowed = MAY_IMPORT[here] | {here}
    complaints = []
    for name, line in imported(tree):
        outer, _, rest = name.partition(".")
        if outer != "shootdown":
            continue
        target = rest.partition(".")[0]
        if target not in allowed:
            complaints.append(f"line {line}: {here} must not import {target or 'the front door'}")
    return complaints


def talking(path: Path, tree: ast.Module) -> list[str]:
    """Only commands print, end the process or read the command line."""
    if part(path) in {"commands", "__main__"}:
        return []
    complaints = [
        f"line {line}: imports {name}" for name, line in imported(tree) if name == "argparse"
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print" | "input" | "exit" | "quit" as name)):
                complaints.append(f"line {node.lineno}: calls {name}()")
            case ast.Attribute(value=ast.Name(id="sys"), attr="argv" | "exit" as name):
                complaints.append(f"line {node.lineno}: uses sys.{name}")
    return complaints


def undocumented(_: Path, tree: ast.Module) -> list[str]:
    """Public modules, classes and functions say what they are (an empty module says nothing)."""
    if not tree.body:
        return []
    complaints = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            overload = any("overload" in ast.unparse(d) for d in node.decorator_list)
            if not (node.name.startswith("_") or overload or ast.get_docstring(node)):
                complaints.append(f"line {node.lineno}: {node.name} has no docstring")
    return complaints


RULES = [upward_imports, talking, undocumented]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_rules(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    complaints = {rule.__name__: rule(path, tree) for rule in RULES}
    assert complaints == {rule.__name__: [] for rule in RULES}


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (upward_imports, "lang/a.py", "import shootdown.check.native"),
        (upward_imports, "check/a.py", "from shootdown import hardware"),
        (upward_imports, "check/a.py", "def f():\n    from shootdown.cost.run import g\n"),
        (upward_imports, "check/a.py", "from shootdown.races.s0 import S0"),
        (upward_imports, "linux/mm/a.py", "import shootdown"),
        (upward_imports, "report/a.py", "from shootdown.linux.mm import memory"),
        (upward_imports, "errors.py", "from shootdown.lang import ir"),
        (talking, "check/a.py", "import argparse"),
        (talking, "report/a.py", "def f():\n    print(1)\n"),
        (talking, "lang/a.py", "import sys\nsys.exit(1)\n"),
        (undocumented, "lang/a.py", "x = 1"),
        (undocumented, "lang/a.py", '"""Doc."""\ndef f(): ...\n'),
        (undocumented, "lang/a.py", '"""Doc."""\nclass C: ...\n'),
    ],
)
def test_rule_finds_a_breach(rule: object, module: str, source: str) -> None:
    assert callable(rule)
    assert rule(PACKAGE / module, ast.parse(source)) != []


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (upward_imports, "commands/a.py", "from shootdown.check.native import explore"),
        (upward_imports, "races/a.py", "from shootdown.linux.mm import memory"),
        (upward_imports, "report/a.py", "from shootdown.check.result import Result"),
        (upward_imports, "check/a.py", "import json\nfrom shootdown.check import result"),
        (talking, "commands/a.py", "import argparse\nprint(1)\n"),
        (undocumented, "lang/__init__.py", ""),
        (undocumented, "lang/a.py", '"""Doc."""\ndef _f(): ...\n'),
    ],
)
def test_rule_lets_pass(rule: object, module: str, source: str) -> None:
    assert callable(rule)
    assert rule(PACKAGE / module, ast.parse(source)) == []


def test_every_part_of_the_package_has_its_floor() -> None:
    assert {part(path) for path in MODULES} <= set(MAY_IMPORT)


def test_the_command_line_starts_light() -> None:
    program = (
        "import sys, shootdown.commands; "
        f"print(sorted({HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def project_files() -> list[Path]:
    """Every file that is, or would be, under version control."""
    # safe.directory: a checkout may belong to another user, as in a container.
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files"]
    try:
        done = subprocess.run(
            [*git, "--cached", "--others", "--exclude-standard", "-z"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_is_too_long(project_files: list[Path]) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in project_files
        if path.suffix == ".py"
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


# Spelt so that this file does not break its own rule.
FOREIGN_PATH = re.compile(rb"(?<![\w./-])/(?:" + rb"|".join([b"work", b"farm"]) + rb")/")


def test_no_file_names_a_path_of_one_machine(project_files: list[Path]) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in project_files
        if FOREIGN_PATH.search(path.read_bytes())
    }
    assert found == set()


@pytest.mark.parametrize("text", [b"see /wo%bk/main", b'"/fa%bm/x"', b"/wo%bk/"])
def test_foreign_path_is_seen(text: bytes) -> None:
    assert FOREIGN_PATH.search(text % b"r")


@pytest.mark.parametrize("text", [b"net/work/x", b"/home/wo%bk/", b"../wo%bk/", b"/wo%bks/"])
def test_other_paths_are_not(text: bytes) -> None:
    assert not FOREIGN_PATH.search(text % b"r" if b"%b" in text else text)
