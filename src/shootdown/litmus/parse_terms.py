"""Places and values: what the initial state and conditions have in common."""

from __future__ import annotations

import re
from typing import Final

from shootdown.litmus.instructions import SystemRegister
from shootdown.litmus.propositions import RegisterOf
from shootdown.litmus.tokens import Words
from shootdown.litmus.values import (
    DEFAULT_ATTRIBUTES,
    PTE_FLAGS,
    Address,
    Attributes,
    CodeLabel,
    Par,
    Physical,
    Pte,
    PteAddress,
    Scalar,
)

_GENERAL: Final = re.compile(r"[xXwW]([0-9]|[12][0-9]|30)")
_NOT_OBSERVED: Final = ("XZR", "WZR", "SP", "LR", "NZCV")
_PROCESSOR: Final = re.compile(r"P(\d{1,4})")
_DESCRIPTOR: Final = ("PTE", "TTD")
_TAGGED: Final = frozenset(("TaggedNormal", "Tagged"))
_DEVICES: Final = frozenset(("GRE", "nGRE", "nGnRE", "nGnRnE"))
_NORMAL: Final = {
    "NSH": ("shareability", "NSH"),
    "Non-shareable": ("shareability", "NSH"),
    "ISH": ("shareability", "ISH"),
    "Inner-shareable": ("shareability", "ISH"),
    "OSH": ("shareability", "OSH"),
    "Outer-shareable": ("shareability", "OSH"),
    **{
        text: (side, kind)
        for side in ("inner", "outer")
        for kind, long in (
            ("WB", "write-back"),
            ("WT", "write-through"),
            ("NC", "non-cacheable"),
        )
        for text in (f"{side[0]}{kind}", f"{side.capitalize()}-{long}")
    },
}


# ------------------------------------------------------------------------------- places


def at_processor(words: Words) -> int | None:
    """The processor that ``0:`` or ``P0:`` at hand names, if it is that; nothing is taken."""
    word = words.peek()
    if words.peek(1).text != ":":
        return None
    if word.kind == "number":
        return int(word.text) if word.text.isdecimal() and len(word.text) <= 4 else None
    found = _PROCESSOR.fullmatch(word.text)
    return int(found[1]) if found else None


def register_name(text: str) -> str | None:
    """The name of a register as places have it (``X3`` for ``w3``), or ``None``."""
    found = _GENERAL.fullmatch(text)
    if found:
        return f"X{found[1]}"
    return text if text in SystemRegister.__members__ else None


def register_place(words: Words, processor: int) -> RegisterOf:
    """``0:X1``, behind the colon."""
    if words.peek().text == "%":
        words.unsupported("symbolic registers (%NAME)")
    text = words.peek().text
    name = register_name(text)
    if text.upper() in _NOT_OBSERVED:
        words.unsupported(f"register {text} in a state")
    if name is None:
        words.wrong(f"{words.shown()} is no register that a test can observe")
    words.take()
    return RegisterOf(processor, name)


def symbol(words: Words) -> Address | PteAddress | Physical:
    """``x``, ``pte_x``, ``PTE(x)``, ``phy_x``, ``PA(x)``: the name of a place or page."""
    text = words.name("a name")
    if text in _DESCRIPTOR or text == "PA":
        words.expect("(")
        if words.peek().text in _DESCRIPTOR:
            words.unsupported("descriptors of page tables (PTE(PTE(x)))")
        if at_processor(words) is not None:
            words.unsupported("pages of instructions (PTE(P0:L0))")
        inner = words.name("a variable")
        words.expect(")")
        return Physical(inner) if text == "PA" else PteAddress(inner)
    if words.peek().text == "(":
        words.unsupported(f"{text}(...)")
    if words.peek().text == ":":
        words.unsupported(f"memory tags and capabilities ({text}:...)")
    if text.startswith("pte_") and len(text) > 4:
        return PteAddress(text[4:])
    if text.startswith("phy_") and len(text) > 4:
        return Physical(text[4:])
    return Address(text)


def memory_place(words: Words) -> Address | PteAddress:
    """A variable or a descriptor, with or without brackets."""
    bracket = words.accept("[")
    found = symbol(words)
    if isinstance(found, Physical):
        words.unsupported(f"physical memory as a place ({found})")
    if bracket:
        words.expect("]")
    return found


# ------------------------------------------------------------------------------- values


def value(words: Words, *, page: str | None = None) -> Scalar:
    """One value. ``page``: the variable whose page a descriptor maps if it does not say."""
    word = words.peek()
    if word.kind == "number" and words.peek(1).text != ":":
        return integer(words)
    processor = at_processor(words)
    if processor is not None:
        words.take()
        words.take()
        return CodeLabel(processor, words.name("a label"))
    match word.text:
        case "(" if words.peek(1).text == "parel1_t":
            words.take()
            inside = par(words)
            words.expect(")")
            return inside
        case "(":
            return descriptor(words, page)
        case "&":
            words.take()
            return indexed(words)
        case "{" | ":":
            words.unsupported("lists of tags")
        case "label" | "instr" if words.peek(1).text == ":":
            return quoted(words)
        case "NOP" | "nop":
            words.unsupported("instructions as data")
        case "parel1_t" | "PAREL1_T":
            return par(words)
    if word.kind != "name":
        words.wrong(f"expected a value, not {words.shown()}")
    return indexed(words)


def integer(words: Words) -> int:
    """A number of at most 64 bits. From 2**63 on it is negative, as herdtools7 prints it."""
    found = words.number("a number")
    if not -(1 << 63) <= found < 1 << 64:
        words.wrong(f"{found} does not fit into 64 bits")
    return found - (1 << 64) if found >= 1 << 63 else found


def indexed(words: Words) -> Address | PteAddress | Physical:
    """A name, as a value, perhaps with an offset in bytes."""
    found = symbol(words)
    if isinstance(found, Address) and words.accept("+"):
        return Address(found.name, words.number("an offset"))
    if words.peek().text == "[" and isinstance(found, Address):
        words.unsupported(f"addresses of array elements ({found}[...])")
    return found


def quoted(words: Words) -> CodeLabel:
    """``label:"P0:L0"``."""
    kind = words.take().text
    words.take()
    if words.peek().kind != "string":
        words.wrong(f"expected a string, not {words.shown()}")
    if kind == "instr":
        words.unsupported("instructions as data")
    found = re.fullmatch(r'"P?(\d{1,4}):([^"]+)"', words.peek().text)
    if found is None:
        words.wrong(f'expected label:"P0:NAME", not {words.shown()}')
    words.take()
    return CodeLabel(int(found[1]), found[2])


def output_address(words: Words) -> Physical | PteAddress:
    """What a descriptor points to."""
    found = symbol(words)
    if isinstance(found, Address):
        words.wrong(f"an output address is PA(x) or PTE(x), not {found}")
    return found


def descriptor(words: Words, page: str | None) -> Pte:
    """``(oa:PA(x), af:0, attrs:(Normal,ISH))``."""
    words.expect("(")
    oa: Physical | PteAddress | None = None
    flags: dict[str, int] = {}
    attributes: list[str] = []
    while True:
        key = words.name("a field of a descriptor")
        if key in flags or (key == "oa" and oa is not None):
            words.wrong(f"field {key} is given twice")
        if not words.accept(":"):
            attributes.append(_attribute(words, key))
        elif key == "oa":
            oa = output_address(words)
        elif key in ("attrs", "Attrs"):
            words.expect("(")
            attributes.append(_attribute(words, words.name("a memory attribute")))
            while words.accept(","):
                attributes.append(_attribute(words, words.name("a memory attribute")))
            words.expect(")")
        elif key not in PTE_FLAGS:
            words.unsupported(f"field {key} of a descriptor")
        else:
            flags[key] = words.number(f"0 or 1 for {key}")
            if flags[key] not in (0, 1):
                words.wrong(f"field {key} is 0 or 1, not {flags[key]}")
        if words.accept(")"):
            break
        words.expect(",")
    if oa is None and page is not None:
        oa = Physical(page)
    return Pte(oa, **flags, attributes=_attributes(words, attributes))


def _attribute(words: Words, text: str) -> str:
    """Check that this is a memory attribute."""
    if text in _TAGGED:
        words.unsupported(f"memory tags ({text})")
    device = text.removeprefix("Device-")
    if text not in _NORMAL and text != "Normal" and (device == text or device not in _DEVICES):
        words.unsupported(f"{text} in a descriptor")
    return text


def _attributes(words: Words, given: list[str]) -> Attributes:
    if not given:
        return DEFAULT_ATTRIBUTES
    devices = [text.removeprefix("Device-") for text in given if text.startswith("Device-")]
    if devices and len(given) > 1:
        words.wrong("attributes of Device memory exclude all others")
    if devices:
        return Attributes(device=devices[0])
    chosen: dict[str, str] = {}
    for text in given:
        if text != "Normal":
            field, what = _NORMAL[text]
            if chosen.setdefault(field, what) != what:
                words.wrong(f"memory attribute {field} is given twice")
    return Attributes(**chosen)


def par(words: Words) -> Par:
    """``parel1_t:(oa:PA(x))`` or ``parel1_t:(f:1)``."""
    words.take()
    words.expect(":")
    words.expect("(")
    oa: Physical | PteAddress | None = None
    failed = False
    while True:
        key = words.name("oa or f")
        words.expect(":")
        if key == "oa":
            oa = output_address(words)
        elif key == "f":
            failed = words.number("0 or 1") == 1
        else:
            words.unsupported(f"field {key} of PAR_EL1")
        if words.accept(")"):
            break
        words.expect(",")
    if failed == (oa is not None):
        words.wrong("PAR_EL1 has either f:1 or an output address")
    return Par(oa)
