"""The library, kept on disk: where its scenarios are, and what they compile to.

To import all of it, and to compile one scenario, take longer than most searches.

What a scenario of the library compiles to depends on the sources of the models and the compiler,
on Python, and on the choices of the user, and all of that is in the key. A user's own model may
import and read whatever it likes, so it is compiled each time; and where one has been loaded,
nothing that is kept is used or written, since it could have changed the library.
"""

from __future__ import annotations

import os
import pickle
import sys
import zlib
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from io import BytesIO
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from shootdown.commands.library_sources import SOURCES, unchanged
from shootdown.lang.ir import System
from shootdown.native.cache import kept_file, name_of, read, write
from shootdown.races import MODULES, library, of_module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from shootdown.lang.builder import Site
    from shootdown.lang.scenario import Scenario

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = os.path.join(_PACKAGE, "races", "")


def compiled_system(
    scenario: Scenario,
    bounds: Mapping[str, int],
    options: Mapping[str, Any],
    without: frozenset[str] = frozenset(),
) -> tuple[System, str]:
    """The system that a scenario compiles to, and a digest of all that is known of it; the digest
    is empty where the system is not kept.

    Raises what :meth:`~shootdown.lang.scenario.Scenario.compile` raises.
    """
    if not _is_known(scenario):
        return scenario.compile(bounds, options, without), ""
    file = _file_of("system", scenario, bounds, options, without)
    content = read(file)
    kept = _unpickled(content)
    if content is not None and isinstance(kept, System):
        return kept, sha256(content).hexdigest()
    library()  # options are known when their modules are imported
    system = scenario.compile(bounds, options, without)
    content = _packed(system)
    if content is None or not _write(file, content):
        return system, ""
    return system, sha256(content).hexdigest()


def sites(
    scenario: Scenario, bounds: Mapping[str, int], options: Mapping[str, Any]
) -> tuple[Site, ...]:
    """What can be left out of a scenario: see :func:`~shootdown.lang.compiler.removable_sites`."""
    from shootdown.lang import compiler

    if not _is_known(scenario):
        return compiler.removable_sites(scenario, bounds, options)
    file = _file_of("sites", scenario, bounds, options)
    kept = _unpickled(read(file))
    if isinstance(kept, tuple):
        return kept
    library()
    found = compiler.removable_sites(scenario, bounds, options)
    content = _packed(found)
    if content is not None:
        _write(file, content)
    return found


def import_library(
    scenario: Scenario,
    bounds: Mapping[str, int],
    options: Mapping[str, Any],
    without: frozenset[str] = frozenset(),
) -> None:
    """Import all of the library if the scenario has to be compiled, as far as one can tell: to do
    it now and not while a time limit may interrupt it."""
    if not _is_known(scenario):
        return
    if not _file_of("system", scenario, bounds, options, without).exists():
        library()


def library_scenario(name: str) -> Scenario | None:
    """The scenario of the library with exactly this name or alias, without importing the rest."""
    file = _file("library")
    kept = _unpickled(read(file))
    homes: dict[str, str] = kept if isinstance(kept, dict) else {}
    if not homes:
        for module in MODULES:
            for scenario in of_module(module):
                for known in (scenario.name, *scenario.aliases):
                    homes.setdefault(known, module)
        _write(file, _compressed(homes))
    if name not in homes:
        return None
    return next((s for s in of_module(homes[name]) if name in (s.name, *s.aliases)), None)


def _file_of(
    what: str,
    scenario: Scenario,
    bounds: Mapping[str, int],
    options: Mapping[str, Any],
    without: frozenset[str] = frozenset(),
) -> Path:
    choices = (list(bounds.items()), list(options.items()), sorted(without))
    return _file(what, scenario.name, repr(choices))


def _file(*key: str) -> Path:
    python = (sys.version, sys.flags.optimize)
    return kept_file(name_of(*key, SOURCES, repr(python), _PACKAGE))


def _write(file: Path, content: bytes) -> bool:
    """Keep something, unless the sources were edited meanwhile: nobody knows which it is of."""
    if not unchanged():
        return False
    write(file, content)
    return True


def _is_known(scenario: Scenario) -> bool:
    """Whether the sources say all about a scenario."""
    users = any(name.startswith("shootdown_model_") for name in sys.modules)
    return scenario.location.file.startswith(_LIBRARY) and not users


# ------------------------------------------------------------------------------ as bytes


def _packed(value: object) -> bytes | None:
    """A value as bytes; None where that is not possible."""
    try:
        return _compressed(value)
    except Exception:  # writing a pickle can fail in any way, as reading one can
        return None


def _compressed(value: object) -> bytes:
    stream = BytesIO()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    return zlib.compress(stream.getvalue(), 1)


def _unpickled(content: bytes | None) -> object:
    """What some bytes were made of; None if they are no such bytes."""
    try:
        return None if content is None else pickle.loads(zlib.decompress(content))
    except Exception:
        return None


class _Pickler(pickle.Pickler):
    """Writes dataclasses as calls of their constructors, which are read three times as fast as
    what frozen ones with slots are written as."""

    def reducer_override(self, value: Any) -> Any:
        """How to make the value again."""
        cls = value.__class__
        parts, alone = _parts(cls)
        if parts is None:
            return NotImplemented
        return (cls, (parts(value),)) if alone else (cls, parts(value))


@cache
def _parts(cls: type) -> tuple[Callable[[object], Any] | None, bool]:
    """Gives the arguments that make a value of a class again, if that is so simple; and whether
    there is one only."""
    if not is_dataclass(cls) or hasattr(cls, "__post_init__"):
        return None, False
    found = fields(cls)
    if not found or not all(field.init and not field.kw_only for field in found):
        return None, False
    return attrgetter(*[field.name for field in found]), len(found) == 1
