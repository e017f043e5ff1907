"""Prepared systems kept on disk: for models that many commands use with other tables each time."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from shootdown.check.native.engine import Prepared
from shootdown.lang.ir import Action, Block, Body, Note, System
from shootdown.native import jit

SOURCES = ("lang", "hardware", "check")


def prepared(key: str, build: Callable[[], System]) -> Prepared:
    """The system that ``build`` makes, with its code, without texts for reports.

    ``key`` says what it is; what is kept is used as long as the sources of the language, the
    hardware and the engine are the same, and Python is. Whatever else stands in its place is
    replaced.
    """
    file = jit.cache_file(f"{key}\0{sys.version}\0{_sources()}")
    content = jit.read(file)
    made = None if content is None else _unpickled(content)
    if made is None:
        made = Prepared(without_texts(build()))
        jit.write(file, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
    return made


def _unpickled(content: bytes) -> Prepared | None:
    """The system in a cache file, with its code; ``None`` if it is something else."""
    try:
        made = pickle.loads(content)
        if not isinstance(made, Prepared):
            return None
        made.load()
    except Exception:  # a pickle can fail in any way; the system is made again
        return None
    return made


@cache
def _sources() -> str:
    """A digest of what a compiled model depends on."""
    digest = hashlib.sha256()

    def add(place: Traversable) -> None:
        for entry in sorted(place.iterdir(), key=lambda e: e.name):
            if entry.is_dir() and entry.name != "__pycache__":
                add(entry)
            elif entry.name.endswith(".py"):
                digest.update(entry.read_bytes())

    for part in SOURCES:
        add(files(f"shootdown.{part}"))
    return digest.hexdigest()


def without_texts(system: System) -> System:
    """The same system without what only reports need: notes, and how values are shown."""

    def body(old: Body) -> Body:
        blocks = tuple(
            Block(tuple(op for op in block.ops if not isinstance(op, Note)), block.end)
            for block in old.blocks
        )
        return Body(blocks, old.registers)

    def action(old: Action) -> Action:
        return replace(old, body=body(old.body))

    return replace(
        system,
        variables=tuple(replace(v, show=None) for v in system.variables),
        processes=tuple(
            replace(p, actions=tuple(map(action, p.actions))) for p in system.processes
        ),
        rules=tuple(map(action, system.rules)),
    )
