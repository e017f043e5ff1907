"""Prepared systems kept on disk: for models that many commands use with other tables each time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from shootdown.check.native.engine import Prepared
from shootdown.lang.ir import Action, Block, Body, Note, System
from shootdown.native import jit
from shootdown.native.cache import sources
from shootdown.native.pickles import packed, unpacked

SOURCES = ("lang", "hardware", "check")


def prepared(key: str, build: Callable[[], System]) -> Prepared:
    """The system that ``build`` makes, with its code, without texts for reports.

    ``key`` says what it is; what is kept is used as long as the sources of the language, the
    hardware and the engine are the same, and Python is. Whatever else stands in its place is
    replaced.
    """
    file = jit.cache_file(f"{key}\0{sys.version}\0{sources(*SOURCES)}")
    made = unpacked(jit.read(file))
    if isinstance(made, Prepared) and _loaded(made):
        return made
    made = Prepared(without_texts(build()))
    content = packed(made)
    if content is not None:
        jit.write(file, content)
    return made


def _loaded(made: Prepared) -> bool:
    """Whether a system that was kept is whole; then its code is loaded."""
    try:
        made.load()
    except Exception:  # whatever else was kept under this name; the system is made again
        return False
    return True


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
