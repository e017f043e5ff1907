"""What the pricing engine does for machines and workloads (``cost/runtime.py``).

They have a meaning only in a priced run: the checker has none of them.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.walker import Pcid
from shootdown.lang import extern


@extern
def spend(what: str, times: int) -> None:
    """Let the price of something (a name of the machine profile) pass, ``times`` times."""


@extern
def occupy(unit: str, what: str) -> None:
    """Wait for a unit of the machine that serves one CPU after the other, and let the price of
    being served pass."""


@extern
def geometry(what: str) -> int:
    """A number of the machine profile that is no price."""


@extern
def compute(ns: int) -> None:
    """Let time pass in which an interrupt may come."""


@extern
def count(what: str, number: int) -> None:
    """Add to a count of that name."""


@extern
def random(below: int) -> int:
    """A number by chance, from 0 up to but not including ``below``."""


@extern
def clock() -> int:
    """What time it is, in ns."""


@extern
def set_flag(cpu: Cpu, on: bool) -> bool:
    """A flag that each CPU has, for what a machine wants to count: what it was. No time passes."""


@extern
def span(first: int, number: int) -> set[Page]:
    """Consecutive pages."""


@extern
def tlb_lookup(cpu: Cpu, tag: Pcid, page: Page) -> Pte:
    """What the TLB has for a page under a tag: the empty entry if nothing."""


@extern
def tlb_insert(cpu: Cpu, tag: Pcid, page: Page, pte: Pte) -> None:
    """Keep a translation."""


@extern
def tlb_drop_page(cpu: Cpu, tag: Pcid, page: Page) -> None:
    """Forget one page of a tag."""


@extern
def tlb_drop_span(cpu: Cpu, tag: Pcid, pages: set[Page]) -> None:
    """Forget some pages of a tag."""


@extern
def tlb_drop_tag(cpu: Cpu, tag: Pcid) -> None:
    """Forget all of a tag."""


@extern
def tlb_drop_all(cpu: Cpu) -> None:
    """Forget everything."""


@extern
def send_ipis(sender: Cpu, targets: set[Cpu]) -> None:
    """Queue a call on each target, and interrupt those whose queue was empty."""


@extern
def take_ipi(cpu: Cpu) -> Cpu:
    """Wait for an interrupt and take the oldest call: its sender."""


@extern
def irqs_off(cpu: Cpu) -> None:
    """No interrupt is taken any more."""


@extern
def irqs_on(cpu: Cpu) -> None:
    """Interrupts are taken again."""


@extern
def take_frame() -> Frame:
    """A free frame, the one freed last; an error if there is none."""


@extern
def give_frame(frame: Frame) -> None:
    """A frame is free, and is the next one to be taken."""


@extern
def give_frame_last(frame: Frame) -> None:
    """A frame is free, and is taken after all others that are free now."""


@extern
def free_frames() -> int:
    """How many frames are free."""
