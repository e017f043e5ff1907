"""Profiles as TOML files: reading them with one clear error, and writing them.

A file has ``name``, ``description``, ``architecture``, and a table ``[prices.NAME]`` or
``[geometry.NAME]`` for each number, with ``ns`` (or ``value``), ``source`` and ``uncertainty``.
With ``base = "PROFILE"`` what the file does not have is taken from another profile.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from importlib.resources import files
from typing import Any

from shootdown.cost.profile import (
    ARCHITECTURES,
    Entry,
    Profile,
    check_name,
    check_value,
    checked,
    names,
    numbers,
)
from shootdown.errors import UsageError, shortened
from shootdown.files import write_whole

SUFFIX = ".toml"
LONGEST = 1 << 20  # bytes: a profile has some ten thousand
TABLES = {"prices": "ns", "geometry": "value"}
_TOP = ("name", "description", "architecture", "base", *TABLES)


def shipped() -> tuple[str, ...]:
    """The names of the profiles that come with shootdown, sorted."""
    folder = files("shootdown.cost") / "profiles"
    found = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


def load(name_or_path: str) -> Profile:
    """A shipped profile by its name, or a file (with a ``/``, or ending in ``.toml``).

    Raises UsageError with the file, the key and what to write instead.
    """
    return _load(name_or_path, ())


def _load(name_or_path: str, above: tuple[str, ...]) -> Profile:
    if name_or_path in above:
        raise UsageError(f"'{shortened(name_or_path)}' is, by 'base', made from itself")
    if "/" in name_or_path or name_or_path.endswith(SUFFIX):
        text = _read(name_or_path)
    elif name_or_path in shipped():
        text = (files("shootdown.cost") / "profiles" / f"{name_or_path}{SUFFIX}").read_text("utf-8")
    else:
        close = difflib.get_close_matches(name_or_path, shipped(), 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(shipped())}"
        raise UsageError(
            f"there is no profile '{shortened(name_or_path)}'; {hint} "
            f"(a file is named with a / or with {SUFFIX})"
        )
    return parse(text, name_or_path, (*above, name_or_path))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise UsageError(f"'{shortened(path)}' is too long for a profile")
        return content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read '{shortened(path)}': {error.strerror}") from None
    except (UnicodeDecodeError, ValueError):  # ValueError: a name with a null byte
        raise UsageError(f"'{shortened(path)}' is not a text file in UTF-8") from None


def parse(text: str, file: str, above: tuple[str, ...] = ()) -> Profile:
    """A profile from the text of a file; UsageErrors name the file."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: not TOML: {error}") from None
    try:
        return _profile(content, file, above)
    except UsageError as error:
        message = str(error)
        raise UsageError(message if message.startswith(file) else f"{file}: {message}") from None


def _profile(content: dict[str, Any], file: str, above: tuple[str, ...]) -> Profile:
    _only(content, _TOP, "the file")
    base = None
    if "base" in content:
        name = _text(content, "base", "the file")
        if "/" not in name and name.endswith(SUFFIX):
            name = f"./{name}"
        if "/" in name:  # beside this file, wherever the command runs
            name = os.path.normpath(os.path.join(os.path.dirname(file) or ".", name))
            name = name if "/" in name else f"./{name}"
        base = _load(name, above)
    architecture = _architecture(content, base)
    entries = dict(base.entries) if base else {}
    for table in TABLES:
        entries |= _table(content, table, architecture)
    missing = [name for name in names(architecture) if name not in entries]
    if missing:
        table, key = _place(missing[0])
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UsageError(
            f"'{missing[0]}' is missing{more}: add [{table}.{missing[0]}] with {key}, source and "
            f'uncertainty, or take it from another profile with base = "PROFILE"'
        )
    ordered = {name: entries[name] for name in names(architecture)}
    return checked(
        Profile(
            _text(content, "name", "the file"),
            _text(content, "description", "the file"),
            architecture,
            ordered,
        )
    )


def _architecture(content: dict[str, Any], base: Profile | None) -> str:
    if base is not None and "architecture" not in content:
        return base.architecture
    architecture = _text(content, "architecture", "the file")
    if architecture not in ARCHITECTURES:
        raise UsageError(
            f"there is no architecture '{shortened(architecture)}'; write "
            f"{' or '.join(ARCHITECTURES)}"
        )
    if base is not None and base.architecture != architecture:
        raise UsageError(
            f"'architecture' is {architecture}, but the base {base.name} is of "
            f"{base.architecture}; leave one of them out"
        )
    return architecture


def _place(name: str) -> tuple[str, str]:
    """The table of a number, and the key of its value."""
    geometry = any(number.name == name and number.geometry for number in numbers())
    table = "geometry" if geometry else "prices"
    return table, TABLES[table]


def _table(content: dict[str, Any], table: str, architecture: str) -> dict[str, Entry]:
    given = content.get(table, {})
    if not isinstance(given, dict):
        raise UsageError(f"'{table}' must be tables: write [{table}.NAME]")
    entries = {}
    for name, entry in given.items():
        check_name(name, architecture)
        right, key = _place(name)
        if right != table:
            raise UsageError(f"'{name}' belongs to [{right}.{name}], not to [{table}.{name}]")
        where = f"[{table}.{name}]"
        if not isinstance(entry, dict):
            raise UsageError(f"'{name}' must be a table: write {where}, then {key} = NUMBER")
        _only(entry, (key, "source", "uncertainty"), where)
        if key not in entry:
            raise UsageError(f"{where} has no '{key}'")
        check_value(name, entry[key])
        entries[name] = Entry(
            entry[key], _text(entry, "source", where), _percent(entry, where, table)
        )
    return entries


def _percent(entry: dict[str, Any], where: str, table: str) -> int:
    value = entry.get("uncertainty", 0 if table == "geometry" else None)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        found = "has no 'uncertainty'" if value is None else f"has 'uncertainty' {value!r}"
        raise UsageError(f"{where} {found}: write a whole number of percent from 0 to 1000")
    return value


def _only(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"it may have {', '.join(known)}"
            raise UsageError(f"{where} must not have '{shortened(key)}'; {hint}")


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        found = "is missing" if value is None else f"is {value!r}"
        raise UsageError(f"'{key}' of {where} {found}: write {key} = \"some text\"")
    return " ".join(value.split())


# --------------------------------------------------------------------------- writing


def toml_text(profile: Profile) -> str:
    """A whole profile as a file; ``parse`` gives it back."""
    lines = [
        f"name = {_quoted(profile.name)}",
        f"description = {_quoted(profile.description)}",
        f"architecture = {_quoted(profile.architecture)}",
    ]
    for geometry, table in ((False, "prices"), (True, "geometry")):
        for name in names(profile.architecture, geometry=geometry):
            entry = profile.entries[name]
            lines += ["", f"[{table}.{name}]", f"{TABLES[table]} = {entry.value}"]
            if entry.uncertainty or not geometry:
                lines.append(f"uncertainty = {entry.uncertainty}")
            lines.append(f"source = {_quoted(entry.source)}")
    return "\n".join(lines) + "\n"


def write(profile: Profile, path: str) -> None:
    """Write a profile to a file: all of it, or nothing."""
    write_whole(path, toml_text(profile))


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for the one character that JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
