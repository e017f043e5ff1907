"""Fenced blocks, headings and links of a Markdown page, and running what a page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = "```"
TOKEN = re.compile(r"--path (\w+)")
FILE_MARKS = {
    "python": re.compile(r"# file: (\S+)\n"),
    "litmus": re.compile(r"\(\* file: (\S+) \*\)\n"),
    "toml": re.compile(r"# file: (\S+)\n"),
}
HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
PROGRESS = re.compile(r"^\S+: [\d,]+ states, \S+/s, depth \d+, .*\n", re.MULTILINE)
SLOWEST = 300  # seconds that one command of a page may take


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text and the page's line that the text begins on."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Shown:
    """One command of a console block, with the output that the page shows below it."""

    command: str
    output: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    inside: list[str] | None = None
    language, start = "", 0
    for number, row in enumerate(page.split("\n"), start=1):
        if inside is None and row.startswith(FENCE):
            language, inside, start = row.removeprefix(FENCE).strip(), [], number + 1
        elif inside is not None and row == FENCE:
            yield Block(language, "".join(line + "\n" for line in inside), start)
            inside = None
        elif inside is not None:
            inside.append(row)
    assert inside is None, f"line {start - 1}: a fence is not closed"


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    kept, inside = [], False
    for row in page.split("\n"):
        if row.startswith(FENCE):
            inside = not inside
        elif not inside:
            kept.append(row)
    return "\n".join(kept)


def commands(block: Block) -> Iterator[Shown]:
    """The commands of a console block: ``$ `` begins one, what follows is its output. A command
    goes on after a line that ends with a backslash."""
    command, output, start = "", "", block.line
    for number, row in enumerate(block.text.splitlines(), start=block.line):
        if command.endswith("\\"):
            command += f"\n{row}"
        elif row.startswith("$ "):
            if command:
                yield Shown(command, output, start)
            command, output, start = row.removeprefix("$ "), "", number
        else:
            assert command, f"line {number}: output without a command"
            output += row + "\n"
    if command:
        yield Shown(command, output, start)


def anchors(page: str) -> set[str]:
    """What a link into a page may name, by the rule that GitHub makes headings into anchors."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def links(page: str) -> list[str]:
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def normal(output: str) -> str:
    """Output without what differs from run to run: times, sizes, how they made lines wrap, and the
    progress that a search reports where it takes more than some seconds."""
    output = PROGRESS.sub("", output)
    output = re.sub(r"\b\d+ min \d+ s\b|\b\d+ h \d+ min\b|\b\d+\.\d+ ?s\b", "TIME", output)
    output = re.sub(r"\b\d+(\.\d+)?\s+([KMGT]i)?B\b", "SIZE", output)
    output = re.sub(r"^(Time \S+) \d+\.\d\d$", r"\1 TIME", output, flags=re.MULTILINE)
    output = re.sub(r'("seconds"|"memory_bytes"): [\d.e-]+', r"\1: N", output)
    output = re.sub(r" +(TIME$)", r" \1", output, flags=re.MULTILINE)
    return re.sub(r"(TIME|engine,)\s+", r"\1 ", output)


def patched(text: str, diff: str) -> str:
    """A file after a unified diff; hunks must fit exactly where they say."""
    old = text.splitlines(keepends=True)
    new: list[str] = []
    at = 0
    for row in diff.splitlines(keepends=True):
        if row.startswith(("--- ", "+++ ")):
            continue
        hunk = HUNK.match(row)
        if hunk:
            start = int(hunk[1]) - 1
            new += old[at:start]
            at = start
        elif row.startswith("+"):
            new.append(row[1:])
        else:
            line = row[1:] if row.strip() else row
            assert old[at : at + 1] == [line], f"the diff does not fit: {line!r}"
            at += 1
            if not row.startswith("-"):
                new.append(line)
    return "".join(new + old[at:])


class Session:
    """A reader who does in one directory what a page shows, from top to bottom."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.status = 0
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        keep = (
            *("HOME", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "TMPDIR"),
            *("VIRTUAL_ENV", "XDG_CACHE_HOME"),
        )
        self.environment = {name: os.environ[name] for name in keep if name in os.environ} | {
            "PATH": path,
            "COLUMNS": "80",
        }

    def write(self, block: Block) -> bool:
        """Write the file that a block is, or change it by the diff that it is."""
        pattern = FILE_MARKS.get(block.language)
        if pattern is not None and (mark := pattern.match(block.text)):
            (self.directory / mark[1]).write_text(block.text, encoding="utf-8")
            return True
        if block.language == "diff":
            file = self.directory / block.text.splitlines()[0].removeprefix("--- ")
            old = file.read_text(encoding="utf-8")
            file.write_text(patched(old, block.text), encoding="utf-8")
            return True
        return False

    def run(self, command: str) -> str:
        """Run a command; gives all that a terminal would show."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.status}); {command}"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SLOWEST,
            check=False,
        )
        self.status = done.returncode
        return done.stdout


def executed(page: str, directory: Path) -> tuple[list[str], str]:
    """Do what a page shows. Gives the differences, and the page with what was really printed.

    Where a command prints what the page shows, but for times and sizes, the page stays as it is.
    Where it prints another token, later commands use that one.
    """
    session = Session(directory)
    tokens: dict[str, str] = {}
    differences: list[str] = []
    rows = page.split("\n")
    moved = 0
    for block in blocks(page):
        if session.write(block) or block.language != "console":
            continue
        for shown in commands(block):
            command = shown.command
            for old, new in tokens.items():
                command = command.replace(f"--path {old}", f"--path {new}")
            printed = session.run(command)
            if printed and not printed.endswith("\n"):
                printed += "\n"
            if command == shown.command and normal(printed) == normal(shown.output):
                continue
            pairs = zip(TOKEN.findall(shown.output), TOKEN.findall(printed), strict=False)
            tokens |= {old: new for old, new in pairs if old != new}
            differences.append(
                f"line {shown.line}: $ {shown.command}\n--- shown\n{shown.output}"
                f"--- printed\n{printed}"
            )
            first, length = shown.line - 1 + moved, shown.output.count("\n")
            start = first + 1 + command.count("\n")
            rows[first:start] = f"$ {command}".split("\n")
            rows[start : start + length] = printed.splitlines()
            moved += printed.count("\n") - length
    return differences, "\n".join(rows)
