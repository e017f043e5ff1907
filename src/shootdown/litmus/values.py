"""What a register or a memory location can hold, printed as herdtools7 prints it.

A value is an ``int``, one of the classes here, or a tuple of values (an array). Integers are those
of the source: whoever computes with them cuts them to the width of the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Address:
    """A virtual address: ``offset`` bytes into variable ``name``. As a place, the memory there."""

    name: str
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.name}+{self.offset}" if self.offset else self.name


@dataclass(frozen=True, slots=True)
class PteAddress:
    """The address of the last-level descriptor of ``name``. As a place, that descriptor."""

    name: str

    def __str__(self) -> str:
        return f"PTE({self.name})"


@dataclass(frozen=True, slots=True)
class Physical:
    """The physical page that ``name`` has at first."""

    name: str

    def __str__(self) -> str:
        return f"PA({self.name})"


@dataclass(frozen=True, slots=True)
class CodeLabel:
    """The address of an instruction."""

    processor: int
    label: str

    def __str__(self) -> str:
        return f'label:"P{self.processor}:{self.label}"'


@dataclass(frozen=True, slots=True)
class Attributes:
    """Memory attributes of a page. ``device`` (``GRE``, ``nGRE``, ``nGnRE`` or ``nGnRnE``)
    excludes the others: ``shareability`` is ``NSH``, ``ISH`` or ``OSH``, the cacheabilities are
    ``WB``, ``WT`` or ``NC``."""

    shareability: str = "ISH"
    inner: str = "WB"
    outer: str = "WB"
    device: str | None = None

    def __str__(self) -> str:
        if self.device is not None:
            return f"Device-{self.device}"
        return f"Normal,{self.shareability},i{self.inner},o{self.outer}"


DEFAULT_ATTRIBUTES: Final = Attributes()


@dataclass(frozen=True, slots=True)
class Pte:
    """A last-level descriptor. Fields that a test leaves out have the defaults below, also in
    conditions.

    ``oa`` is the output address (``None``: the test gave none where no default exists). ``af`` is
    the access flag. ``db`` says that writes are permitted (AP[2] clear); with ``dbm`` set,
    hardware that manages the dirty state may set it (FEAT_HAFDBS). ``el0`` permits EL0, ``x``
    permits execution.
    """

    oa: Physical | PteAddress | None
    af: int = 1
    db: int = 1
    dbm: int = 0
    valid: int = 1
    el0: int = 1
    x: int = 1
    attributes: Attributes = DEFAULT_ATTRIBUTES

    def __str__(self) -> str:
        parts = [f"oa:{self.oa or 'PA()'}"]
        for name, default in PTE_FLAGS.items():
            bit: int = getattr(self, name)
            if bit != default:
                parts.append(f"{name}:{bit}")
        if self.attributes != DEFAULT_ATTRIBUTES:
            parts.append(f"attrs:({self.attributes})")
        return f"({', '.join(parts)})"


# In the order in which they are printed.
PTE_FLAGS: Final = {"af": 1, "db": 1, "dbm": 0, "valid": 1, "el0": 1, "x": 1}


@dataclass(frozen=True, slots=True)
class Par:
    """PAR_EL1 after an address translation instruction: where it led, or ``None``: it failed."""

    oa: Physical | PteAddress | None

    def __str__(self) -> str:
        return f"(parel1_t:({'f:1' if self.oa is None else f'oa:{self.oa}'}))"


Scalar: TypeAlias = int | Address | PteAddress | Physical | CodeLabel | Pte | Par
Value: TypeAlias = Scalar | tuple[Scalar, ...]


def show_value(value: Value) -> str:
    """As herdtools7 prints it: ``1``, ``x+4``, ``(oa:PA(x), af:0)``, ``{0,1}``."""
    if isinstance(value, tuple):
        return f"{{{','.join(str(element) for element in value)}}}"
    return str(value)
