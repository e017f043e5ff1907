"""Lines of the model that no explored step executed, by file and function."""

from __future__ import annotations

import ast
import contextlib
import linecache
import os
from collections.abc import Sequence
from functools import lru_cache

from shootdown.lang.ir import Location
from shootdown.report.text import ascii_text, count, paragraph

HARDWARE = f"hardware{os.sep}"  # where the package keeps the hardware models

CACHES = {"tlb.py cached", "arm64_walker.py cached"}
"""What runs whenever a TLB may have got a translation: file and function of the hardware models
that know one level of page tables. (Where there are more, a CPU may walk and find no page.)"""

Group = tuple[str, str, tuple[Location, ...]]


def never_executed(lines: Sequence[Location], covered: Sequence[bool]) -> tuple[Location, ...]:
    """The locations that were not covered, each once, in the order of the source.

    A line that was covered in one place of the program counts as executed everywhere.
    """
    done = {(at.file, at.line) for at, hit in zip(lines, covered, strict=True) if hit}
    left = {(at.file, at.line): at for at in lines if (at.file, at.line) not in done}
    return tuple(left[key] for key in sorted(left))


def by_function(lines: Sequence[Location]) -> tuple[Group, ...]:
    """Group sorted locations: (file, function, its lines)."""
    groups: dict[tuple[str, str], list[Location]] = {}
    for at in lines:
        groups.setdefault((at.file, function_at(at)), []).append(at)
    return tuple((file, function, tuple(found)) for (file, function), found in groups.items())


def never_executed_text(lines: Sequence[Location], indent: int) -> str:
    """One paragraph for each line below a heading for each function; the hardware's are counted.

    No scenario uses all that the hardware models can do, so those lines tell little.
    """
    out = []
    hardware = [at for at in lines if _in_package(at.file).startswith(HARDWARE)]
    for file, function, found in by_function([at for at in lines if at not in hardware]):
        where = short_path(file) + (f" {function}()" if function else "")
        out.append(paragraph(ascii_text(where), indent))
        for at in found:
            text = ascii_text(at.text or linecache.getline(at.file, at.line))
            number = str(at.line)
            flush = indent + max(0, 5 - len(number))
            out.append(paragraph(f"{number}: {text}", flush, hanging=len(number) + 4))
    if hardware:
        also = "and " if out else ""
        text = f"{also}{count(len(hardware), 'line')} of the hardware models (--json lists them)"
        out.append(paragraph(text, indent))
    return "\n".join(out)


def nothing_cached(lines: Sequence[Location], covered: Sequence[bool]) -> bool:
    """Whether the program has TLBs, and none of them had a translation in any state."""
    hits = [
        hit
        for at, hit in zip(lines, covered, strict=True)
        if _in_package(at.file).startswith(HARDWARE)
        and f"{os.path.basename(at.file)} {function_at(at)}" in CACHES
    ]
    return bool(hits) and not any(hits)


def function_at(at: Location) -> str:
    """The function of the source that a location is in; empty where that cannot be told."""
    inside = [(start, name) for start, end, name in _functions(at.file) if start <= at.line <= end]
    return max(inside, default=(0, ""))[1]


@lru_cache(maxsize=64)
def _functions(file: str) -> tuple[tuple[int, int, str], ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ()
    return tuple(
        (node.lineno, node.end_lineno or node.lineno, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    )


def _in_package(file: str) -> str:
    """A path inside the package, relative to it; empty for any other."""
    marker = f"{os.sep}shootdown{os.sep}"
    inside = f"{os.sep}src{marker}" in file or f"site-packages{marker}" in file
    return file.rpartition(marker)[2] if inside else ""


def short_path(file: str) -> str:
    """A path relative to here or to the package where that is shorter."""
    candidates = [file, *filter(None, [_in_package(file)])]
    with contextlib.suppress(OSError):  # the current directory may be gone
        candidates.append(os.path.relpath(file))
    return min(candidates, key=len)
