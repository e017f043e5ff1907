"""The library, kept on disk: where its scenarios are, and what they compile to.

To import all of it, and to compile one scenario, take longer than most searches.

What a scenario of the library compiles to depends on the sources of the models and the compiler,
on Python, and on the choices of the user, and all of that is in the key. A user's own model may
import and read whatever it likes, so it is compiled each time; and where one has been loaded,
nothing that is kept is used or written, since it could have changed the library. So could a program
that calls the command line in its own process (see ``shootdown.commands.alone``).
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from shootdown.commands.library_sources import SOURCES, as_imported
from shootdown.lang.ir import System
from shootdown.native.cache import kept_file, name_of, read, write
from shootdown.native.pickles import packed, unpacked
from shootdown.races import MODULES, library, of_module

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    kept = unpacked(content)
    if content is not None and isinstance(kept, System):
        return kept, sha256(content).hexdigest()
    library()  # options are known when their modules are imported
    system = scenario.compile(bounds, options, without)
    content = packed(system)
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
    kept = unpacked(read(file))
    if isinstance(kept, tuple):
        return kept
    library()
    found = compiler.removable_sites(scenario, bounds, options)
    _write(file, packed(found))
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
    kept = unpacked(read(file))
    homes: dict[str, str] = kept if isinstance(kept, dict) else {}
    if not homes:
        for module in MODULES:
            for scenario in of_module(module):
                for known in (scenario.name, *scenario.aliases):
                    homes.setdefault(known, module)
        _write(file, packed(homes))
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


def _write(file: Path, content: bytes | None) -> bool:
    """Keep something, unless the sources were edited meanwhile or what was imported is not what
    they say: nobody knows what it is of."""
    if content is None or not as_imported():
        return False
    write(file, content)
    return True


def _is_known(scenario: Scenario) -> bool:
    """Whether the sources say all about a scenario."""
    from shootdown import commands

    if not commands.alone:
        return False
    users = any(name.startswith("shootdown_model_") for name in sys.modules)
    return scenario.location.file.startswith(_LIBRARY) and not users
