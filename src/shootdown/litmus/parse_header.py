"""The header: the first line, ``KEY = VALUE`` lines, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shootdown.litmus.errors import LitmusSyntaxError, Unsupported
from shootdown.litmus.model import Ets, FaultHandling, Variants

_FIRST: Final = re.compile(r"\s*(\w+)[ \t]+([\w/.+\[\]:-]+)")
_KEY: Final = re.compile(r"[ \t]*([A-Za-z][\w/.-]*)[ \t]*=(.*)", re.DOTALL)
_MANAGED: Final = re.compile(r"(?:P?(\d{1,4}):)?([A-Za-z]+)")
_DOCUMENTATION: Final = re.compile(r'"[^"]*"')
_ARCHITECTURES: Final = frozenset(
    ("ARM", "ASL", "BPF", "C", "CPP", "JAVA", "LISA", "MIPS", "PPC", "RISCV", "X86", "X86_64")
)
_HANDLING: Final = {
    "imprecise": FaultHandling.HANDLED,
    "handled": FaultHandling.HANDLED,
    "precise": FaultHandling.FATAL,
    "fatal": FaultHandling.FATAL,
    "faulttonext": FaultHandling.SKIP,
    "skip": FaultHandling.SKIP,
}
# Keys that would change what a test means.
_MEANINGFUL: Final = ("cachetype", "memorytype", "mt")


@dataclass(slots=True)
class Header:
    """What stands before the initial state. ``lines`` gives the line of each key."""

    name: str
    info: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def parse_header(text: str, end: int, file: str) -> Header:
    """Read the text before position ``end``. A line that is no ``KEY = VALUE`` is a remark."""
    first = _FIRST.match(text, 0, end)
    if first is None:
        message = "a litmus test begins with its architecture and its name: AArch64 NAME"
        raise LitmusSyntaxError(message, file=file, line=1)
    line = text.count("\n", 0, first.start(1)) + 1
    if first[1] != "AArch64":
        if first[1] in _ARCHITECTURES:
            raise Unsupported(f"architecture {first[1]}", file=file, line=line)
        message = f"{first[1]} is no known architecture; these tests begin with AArch64"
        raise LitmusSyntaxError(message, file=file, line=line)
    header = Header(first[2])
    rest = _DOCUMENTATION.sub(lambda found: "\n" * found[0].count("\n"), text[first.end() : end])
    for number, source in enumerate(rest.split("\n")[1:], line + 1):
        found = _KEY.fullmatch(source)
        if found is None:
            continue
        key, value = found[1], found[2].strip(" \t\r")
        if key.lower() in _MEANINGFUL:
            raise Unsupported(f"header {key}={value}", file=file, line=number)
        if get(header.info, key) not in (None, value):
            message = f"{key} is given twice, with different values"
            raise LitmusSyntaxError(message, file=file, line=number)
        header.info[key] = value
        header.lines[key.lower()] = number
    return header


def get(info: Mapping[str, str], key: str) -> str | None:
    """The value of a key, whatever its capitals."""
    for name, value in info.items():
        if name.lower() == key.lower():
            return value
    return None


def variants(header: Header, file: str) -> Variants:
    """What ``Variant`` says."""
    text = get(header.info, "Variant")
    if text is None:
        return Variants()
    vmsa = False
    handling = FaultHandling.FATAL
    ets = Ets.NONE
    exceptions = set()
    for word in re.split(r"[\s,]+", text.strip(" ,")):
        match word.lower():
            case "vmsa" | "kvm":
                vmsa = True
            case "ets" | "ets2" | "ets3" as which:
                ets = Ets(which)
            case "exs" | "eis" | "eos" as which:
                exceptions.add(which)
            case which if which in _HANDLING:
                handling = _HANDLING[which]
            case _:
                raise Unsupported(f"variant {word}", file=file, line=header.lines["variant"])
    # FEAT_ExS leaves both ends of an exception unordered, but for those that EIS and EOS name.
    free = "exs" in exceptions
    return Variants(
        vmsa, handling, ets, free and "eis" not in exceptions, free and "eos" not in exceptions
    )


def unprivileged(header: Header, processors: int, file: str) -> frozenset[int]:
    """The processors that ``EL0=P0,P2`` names."""
    text = get(header.info, "EL0")
    if text is None:
        return frozenset()
    found = set()
    for word in re.split(r"[\s,]+", text.strip(" ,")):
        number = re.fullmatch(r"P(\d{1,4})", word)
        if number is None or int(number[1]) >= processors:
            message = f"EL0 lists processors of the test, such as P0, not {word!r}"
            raise LitmusSyntaxError(message, file=file, line=header.lines["el0"])
        found.add(int(number[1]))
    return frozenset(found)


def hardware_management(
    header: Header, processors: int, file: str
) -> tuple[frozenset[int], frozenset[int]]:
    """The processors whose hardware sets the access flag, and the dirty state, by ``TTHM``:
    ``HA``, ``HD`` (which includes HA) or ``SW`` (neither, whatever else is said), each for all
    processors or, as ``P0:HA``, for one."""
    text = get(header.info, "TTHM")
    everyone = range(processors)
    chosen: dict[str, set[int]] = {"HA": set(), "HD": set(), "SW": set()}
    for word in re.split(r"[\s,]+", text.strip(" ,")) if text is not None else ():
        found = _MANAGED.fullmatch(word)
        key = found[2].upper() if found else ""
        if found is None or key not in chosen or (found[1] and int(found[1]) >= processors):
            message = f"TTHM lists HA, HD or SW, each perhaps as P0:HA, not {word!r}"
            raise LitmusSyntaxError(message, file=file, line=header.lines["tthm"])
        chosen[key].update((int(found[1]),) if found[1] else everyone)
    dirty = chosen["HD"] - chosen["SW"]
    return frozenset((chosen["HA"] | chosen["HD"]) - chosen["SW"]), frozenset(dirty)
