"""The invariants of the library by name: what each says, and which scenarios break it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from shootdown.lang.stated import Invariant
from shootdown.races import library

PACKAGES = ("shootdown.races", "shootdown.linux", "shootdown.hardware")
DECORATORS = {"invariant", "progress"}

GENERIC: dict[str, tuple[str, ...]] = {
    "INV-UAF": ("INV-S0-1", "INV-S2-1", "INV-S2-5", "INV-S3-5", "INV-S4-1"),
    "INV-DIRTY": ("INV-S0-2", "INV-S2-2", "INV-S3-1"),
    "INV-RET": ("INV-S0-3", "INV-S1-1", "INV-S2-3", "INV-S2-11", "INV-S4-3", "INV-X3"),
    "INV-LOCKLESS": ("INV-S0-5", "INV-S3-7"),
    "INV-PT": ("INV-S1-2", "INV-X2-1"),
    "INV-ONE": ("INV-S0-4", "INV-S3-8", "INV-S4-2"),
    "INV-CNT": ("INV-S0-6", "INV-S2-4"),
    "INV-LIVE": ("INV-S3-9", "INV-S4-5"),
}
"""What each of the general invariants is called where a system states it more exactly."""


def invariants() -> tuple[Invariant, ...]:
    """Every invariant that the library states, by name."""
    texts: dict[str, dict[str, None]] = {general: {} for general in GENERIC}
    for name, text in _stated():
        texts.setdefault(name, {})[text] = None
    broken: dict[str, list[str]] = {}
    for scenario in library():
        if scenario.violates:
            broken.setdefault(scenario.violates, []).append(scenario.name)
    return tuple(
        Invariant(name, tuple(texts[name]), GENERIC.get(name, ()), tuple(broken.get(name, ())))
        for name in sorted(texts, key=_in_order)
    )


def _in_order(name: str) -> tuple[str, ...]:
    return tuple(part.rjust(3, "0") if part.isdigit() else part for part in name.split("-"))


def _stated() -> Iterator[tuple[str, str]]:
    """Names and sentences, from the sources: a property has them in its decorator and docstring,
    an assertion in its message."""
    for package in PACKAGES:
        for source in _sources(files(package)):
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    yield from _property(node)
                elif isinstance(node, ast.Assert) and isinstance(node.msg, ast.Constant):
                    name, separator, text = str(node.msg.value).partition(": ")
                    if separator and name.startswith("INV-"):
                        yield name, text


def _property(node: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for decorator in node.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Name)
            and decorator.func.id in DECORATORS
            and decorator.args
            and isinstance(decorator.args[0], ast.Constant)
        ):
            doc = (ast.get_docstring(node) or "").split("\n\n")[0]
            yield str(decorator.args[0].value), " ".join(doc.split()).rstrip(".")


def _sources(place: Traversable) -> Iterator[Traversable]:
    for entry in sorted(place.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry
