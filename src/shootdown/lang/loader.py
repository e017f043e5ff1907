"""Finding scenarios: in a user's model file and in any imported module."""

from __future__ import annotations

import contextlib
import importlib.util
import linecache
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from shootdown.errors import ModelError, ShootdownError, UsageError
from shootdown.lang.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Named:
    """A scenario and the module-level variable that it was found in."""

    variable: str
    scenario: Scenario

    @property
    def names(self) -> tuple[str, ...]:
        """What it can be called by: name, aliases, variable."""
        return (self.scenario.name, *self.scenario.aliases, self.variable)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The scenarios of a user's file, in the order of the file; at least one."""

    path: str
    named: tuple[Named, ...]

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """All of them."""
        return tuple(named.scenario for named in self.named)

    def find(self, name: str) -> Scenario:
        """The scenario with this name, alias or variable name."""
        found = pick(name, ((known, n.scenario) for n in self.named for known in n.names))
        if found is not None:
            return found
        known = [n.scenario.name for n in self.named]
        raise UsageError(
            f"{self.path} has no scenario '{name}' (it has: {', '.join(known)})"
            + did_you_mean(name, known)
        )


def load_file(path: str) -> tuple[Scenario, ...]:
    """The scenarios that a model file defines at module level, also inside tuples, lists, dicts."""
    return load(path).scenarios


def load(path: str) -> ModelFile:
    """The scenarios of a model file. Whatever goes wrong is one error with the user's file and
    line."""
    named = tuple(scenarios_in(namespace(path)))
    if not named:
        raise ModelError("no scenario in this file: decorate a function with @scenario", file=path)
    check_unique(n.scenario for n in named)
    return ModelFile(path, named)


def namespace(path: str) -> dict[str, Any]:
    """Import a user's file: what it defines at module level. Its directory is on ``sys.path``
    meanwhile; what it prints is an aside."""
    from shootdown.lang.definitions import check_definitions

    source = _read(path)
    file = os.path.abspath(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    module = ModuleType(f"shootdown_model_{stem}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    linecache.checkcache(file)
    with user_code(path, "importing it"), _directory(os.path.dirname(file)):
        # No .pyc: a file that is edited and checked again within a second must not be stale.
        try:
            code = compile(source, file, "exec")
        except (RecursionError, MemoryError):
            raise ModelError("the source is nested too deeply to be read", file=path) from None
        exec(code, module.__dict__)
        check_definitions(vars(module))
    return vars(module)


def scenarios_in(namespace: Mapping[str, Any]) -> Iterator[Named]:
    """Every scenario in a module's namespace, once, with the variable that holds it."""
    seen: set[int] = set()
    for variable, value in namespace.items():
        if variable.startswith("__"):
            continue
        for scenario in _inside(value):
            if id(scenario) not in seen:
                seen.add(id(scenario))
                yield Named(variable, scenario)


def _inside(value: object) -> Iterator[Scenario]:
    if isinstance(value, Scenario):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, dict):
        yield from _inside(list(value.values()))


def pick(name: str, known: Iterable[tuple[str, Scenario]]) -> Scenario | None:
    """The scenario called ``name`` exactly, else in other capitals; None if there is none."""
    pairs = list(known)
    for same in (str, str.lower):
        for candidate, scenario in pairs:
            if same(candidate) == same(name):
                return scenario
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing if no known name is close."""
    from difflib import get_close_matches

    spelt = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), spelt, n=1)
    return f"; did you mean '{spelt[close[0]]}'?" if close else ""


@contextlib.contextmanager
def user_code(path: str, doing: str) -> Iterator[None]:
    """Run a user's code: what it raises becomes a model error at the user's line.

    ``path`` is the file as the user wrote it; ``doing`` says what failed. What the code prints
    goes to standard error: standard output is for results.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SyntaxError as error:
        raise ModelError(
            f"{type(error).__name__}: {error.msg}",
            file=_as_written(path, error.filename or path),
            line=error.lineno,
            text=error.text,
        ) from error
    except (Exception, SystemExit) as error:
        frame = _user_frame(error)
        if frame is None or (isinstance(error, ModelError) and error.file is not None):
            raise  # it is complete, or it is not the user's
        # where a model raises one of our errors, that line says no more than the message
        own_words = isinstance(error, ShootdownError) and (frame.line or "").startswith("raise ")
        raise ModelError(
            _told(error, doing),
            file=_as_written(path, frame.filename),
            line=frame.lineno,
            text=None if own_words else frame.line,
            hint=error.hint if isinstance(error, ModelError) else None,
        ) from error


def _told(error: BaseException, doing: str) -> str:
    if isinstance(error, ModelError):
        return error.message
    if isinstance(error, ShootdownError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"{doing} ended Python (sys.exit)"
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return f"{doing} failed: {text}"


def _user_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame outside this package's engine and the standard library."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)]
    return frames[-1] if frames else None


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENGINE = tuple(os.path.join(_PACKAGE, part) for part in ("check", "commands", "lang"))
_STANDARD = os.path.dirname(os.path.abspath(os.__file__))


def _is_users(file: str) -> bool:
    return not file.startswith((*_ENGINE, _STANDARD, "<"))


def _as_written(path: str, file: str) -> str:
    return path if os.path.abspath(path) == os.path.abspath(file) else file


def _read(path: str) -> str:
    if os.path.isdir(path):
        raise UsageError(f"'{path}' is a directory, not a model file{_files_in(path)}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"'{path}' is not a regular file")
    if not path.endswith(".py") and os.path.exists(path):
        raise UsageError(f"'{path}' is not a model file: those are Python, and end in .py")
    try:
        with open(path, "rb") as file:
            source = importlib.util.decode_source(file.read())
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}'") from None
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ModelError(f"not Python source: {error}", file=path) from None
    if "\0" in source:
        raise ModelError("not Python source: it contains null bytes", file=path)
    return source


def _files_in(directory: str) -> str:
    """The first model files in a directory, to choose from."""
    try:
        inside = sorted(name for name in os.listdir(directory) if name.endswith(".py"))
    except OSError:
        return ""
    return f" (in it: {', '.join(inside[:3])}{', ...' * (len(inside) > 3)})" if inside else ""


@contextlib.contextmanager
def _directory(directory: str) -> Iterator[None]:
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(directory)


def check_unique(scenarios: Iterable[Scenario]) -> None:
    """Names and aliases must tell scenarios apart, whatever the capitals."""
    owners: dict[str, Scenario] = {}
    for scenario in scenarios:
        for name in (scenario.name, *scenario.aliases):
            other = owners.setdefault(name.lower(), scenario)
            if other is not scenario:
                raise ModelError(
                    f"two scenarios are called '{name}'",
                    file=scenario.location.file,
                    line=scenario.location.line,
                    hint=f"the other one is at {other.location.file}:{other.location.line}",
                )
