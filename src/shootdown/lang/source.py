"""Finds the syntax tree of a decorated function and makes errors that point into it."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shootdown.errors import ModelError
from shootdown.lang.decorators import Function
from shootdown.lang.ir import Location

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@functools.lru_cache(maxsize=256)
def _definitions(file: str, text: str) -> dict[tuple[str, int], Definition]:
    """The functions of a file by name and first line (that of the first decorator)."""
    found: dict[tuple[str, int], Definition] = {}
    for node in ast.walk(ast.parse(text, file)):
        if isinstance(node, Definition):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[node.name, first] = node
    return found


def _alone(file: str, lines: list[str], name: str, first: int, last: int) -> Definition | None:
    """The function that begins in line ``first`` (counted from 1), parsed without the rest of its
    file; ``last`` is a line of it. None if that does not give one function of this name.

    The text goes on to the next line that is not indented more. If that is too short, because it
    was inside a string or a bracket, it is no whole statement and cannot be parsed.
    """
    depth = _indent(lines[first - 1])
    end = last
    while end < len(lines) and (lines[end].strip()[:1] in ("", "#") or _indent(lines[end]) > depth):
        end += 1
    # empty lines before it, so that the numbers are right
    before = "\n" * (first - 2) + "if 1:\n" if depth else "\n" * (first - 1)
    try:
        module = ast.parse(before + "".join(lines[first - 1 : end]), file)
    except SyntaxError:
        return None
    if depth:
        inside = module.body[0]
        assert isinstance(inside, ast.If)
        found = inside.body
    else:
        found = module.body
    if len(found) != 1 or not isinstance(found[0], Definition) or found[0].name != name:
        return None
    return found[0]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


@dataclass(frozen=True, eq=False)
class Source:
    """A function's tree, where it is, and the names that it sees outside itself."""

    function: Function[..., Any]
    tree: ast.FunctionDef
    file: str
    names: dict[str, Any]
    locations: dict[int, Location] = field(default_factory=dict)  # by line
    segments: dict[ast.AST, str] = field(default_factory=dict)

    def location(self, node: ast.AST) -> Location:
        """The file, line and text of a node."""
        line = getattr(node, "lineno", self.tree.lineno)
        if line not in self.locations:
            text = linecache.getline(self.file, line).strip()
            self.locations[line] = Location(self.file, line, text)
        return self.locations[line]

    def segment(self, node: ast.AST) -> str:
        """A node as source text, on one line."""
        if node not in self.segments:
            self.segments[node] = ast.unparse(node)
        return self.segments[node]

    def error(self, node: ast.AST, message: str, hint: str | None = None) -> ModelError:
        """An error at a node."""
        at = self.location(node)
        return ModelError(message, file=at.file, line=at.line, text=at.text, hint=hint)


def short_file(file: str) -> str:
    """A file as site names write it: ``linux/mm/memory.py`` in the package, else its last part."""
    parts = Path(file).parts
    inside = [i for i, part in enumerate(parts) if part == "shootdown"]
    is_library = inside and parts[inside[-1] - 1 : inside[-1]] in (("src",), ("site-packages",))
    return "/".join(parts[inside[-1] + 1 :]) if is_library else parts[-1]


_sources: dict[Function[..., Any], Source] = {}


def source_of(function: Function[..., Any]) -> Source:
    """The source of a model function.

    Raises :class:`ModelError` if the source text cannot be found (a function made by ``exec`` or in
    an interactive session that keeps no text).
    """
    if function not in _sources:
        _sources[function] = _find(function)
    return _sources[function]


def _find(function: Function[..., Any]) -> Source:
    python: Callable[..., Any] = function.source
    code = getattr(python, "__code__", None)
    if code is None:
        raise ModelError(f"{function.name} is not a plain function: decorate a 'def'")
    lines = linecache.getlines(code.co_filename, python.__globals__)
    if not lines:
        raise ModelError(
            f"the source of {python.__name__}() cannot be read from {code.co_filename}",
            hint="model functions must come from a file",
        )
    first = code.co_firstlineno
    node: Definition | None = None
    if 0 < first <= len(lines):
        last = max(line or first for _, _, line in code.co_lines())
        node = _alone(code.co_filename, lines, python.__name__, first, last)
    if node is None:
        node = _definitions(code.co_filename, "".join(lines)).get((python.__name__, first))
    if node is None:
        raise ModelError(
            f"the source of {python.__name__}() is not a 'def' in {code.co_filename}",
            hint="lambdas and generated functions cannot be compiled: write a def; "
            "if the file has changed since it was imported, start again",
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise ModelError(
            f"{python.__name__}() is async",
            file=code.co_filename,
            line=node.lineno,
            text=lines[node.lineno - 1],
            hint="write 'def': steps of threads interleave by themselves",
        )
    names = dict(python.__globals__)
    for name, cell in zip(code.co_freevars, python.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue
    return Source(function, node, code.co_filename, names)
