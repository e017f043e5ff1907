"""System X1: generations, lazy TLB, mm_cpumask and PCIDs on x86.

One set of paths (``shootdown.linux.arch.x86``), and what each version and each wrong variant of it
(:data:`VARIANTS`) does in the situations below. ``docs/x1.md`` explains the results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shootdown.hardware.interrupt import not_interrupted
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.pcid import Pcid, x86_pcid
from shootdown.lang import Hardware, Object, Scenario, Setup, Thread, path, scenario
from shootdown.linux.arch.x86.switch import switch_to_kernel_thread, switch_to_task
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.arch.x86.tlb_func import flush_interrupts
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.memory import ptep_clear_flush
from shootdown.linux.pgtable import ptep_get_and_clear
from shootdown.linux.user import return_to_user
from shootdown.races import x1_properties as x1

Options = Mapping[str, Any]

GENERATIONS = {"shootdown": "generations"}
TSO = {"memory": "tso"}

V6_13 = {
    "mm_cpumask": "eager",
    "should_flush": "not-lazy",
    "switching": "after-gen",
    "switch_barrier": "set_bit",
}
V6_14 = {"should_flush": "loaded", "switching": "after-gen", "switch_barrier": "set_bit"}
V6_15 = {"switch_barrier": "set_bit"}
LAZY_MASK = {"should_flush": "not-lazy", "switching": "after-gen", "switch_barrier": "set_bit"}
STABLE = {"mm_cpumask": "eager", "switch_barrier": "set_bit"}
MISORDER = {**STABLE, "switching": "after-gen"}

VARIANTS: dict[str, Options] = {
    "current": {},
    "v6.13": V6_13,
    "v6.14": V6_14,
    "v6.15": V6_15,
    "lazy-mask": LAZY_MASK,
    "misorder": MISORDER,
    "stable": STABLE,
    "V1": {"gen_read": "before-mask"},
    "V2": {"switch_barrier": "set_bit"},
    "V3": {"should_flush": "loaded"},
    "V4": {"partial": "any"},
    "V5": {"lazy_tables": "skip"},
    "invlpgb": {"invlpgb": "on"},
    "V6": {"invlpgb": "on", "asid_transition": "none"},
    "V6.tlbsync": {"invlpgb": "on", "tlbsync": "none"},
    "V6.no-wait": {"invlpgb": "on", "asid_transition": "no-wait"},
}
"""Which kernel each variant of the reference, and each version, is, as a change to that of 2026."""

MM = ContextMm(0)
ALWAYS = (x1.no_false_claim, x1.in_mask)
EAGER = (x1.no_false_claim, x1.in_mask_unless_switching)
ORDER = (x1.seen_by_one,)


def main(number: int, what: Any, *arguments: Any) -> Thread:
    """What a CPU does unless it is interrupted."""
    return Thread(what, *arguments, on=TlbState(number), when=not_interrupted)


def handler(number: int) -> Thread:
    """The interrupt handler of a CPU."""
    cpu = TlbState(number)
    return Thread(flush_interrupts, on=cpu, daemon=True, name=f"{cpu} irq")


class Situation(NamedTuple):
    """Everything of a scenario but the kernel that it is about."""

    cpus: int
    sizes: Mapping[type[Object], int]
    start: Any
    threads: Callable[[int], list[Thread]]
    hardware: Hardware = x86_pcid


def x1_scenario(
    name: str,
    variant: str,
    situation: Situation,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    more: Options | None = None,
    check: Sequence[Any] = ALWAYS,
    goals: Sequence[Any] = (x1.kept, x1.behind),
) -> Scenario:
    """What a variant does in a situation. INV-X1-1 is asserted on the way."""
    options = {**GENERATIONS, **VARIANTS[variant], **(more or {})}

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = situation.cpus) -> Setup:
        return Setup(
            sizes={Cpu: cpus, **situation.sizes},
            start=situation.start,
            threads=situation.threads(cpus),
            hardware=situation.hardware,
            options=options,
            invariants=[*check],
            goals=[*goals],
        )

    return build


# ------------------------------------------------------------------ a CPU takes up an mm again


@path(show="unmap")
def unmap(mm: ContextMm, page: Page) -> None:
    """The shortest user of a flush: clear one PTE, flush, return to user space."""
    ptep_clear_flush(mm, page)
    return_to_user(mm, (page,))


@path(show="task")
def come_back(mm: ContextMm, page: Page) -> None:
    """The scheduler chooses a task of the process, which reads a page."""
    switch_to_task(mm)
    x1.use(mm, page)


def switching(cpus: int) -> list[Thread]:
    """CPU0 removes a page of a process and flushes; the others take the process up again."""
    return [
        main(0, unmap, MM, Page(0)),
        *[main(c, come_back, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


SMALL = {Page: 1, Frame: 1, ContextMm: 2, Pcid: 2}
IN_MASK = Situation(2, SMALL, x1.ran_before, switching)
TRIMMED = Situation(2, SMALL, x1.trimmed_before, switching)

SWITCH = (
    x1_scenario(
        "X1.current",
        "current",
        IN_MASK,
        "the protocol of 2026: a CPU takes up an mm again while it is flushed",
        check=(*ALWAYS, *ORDER),
        goals=(x1.kept, x1.behind, x1.interrupted_switch, x1.trimmed),
    ),
    x1_scenario(
        "X1.current.tso",
        "current",
        IN_MASK,
        "the same with store buffers (83b0177a6c48)",
        aliases=("SWITCHMM-SMPMB.fixed",),
        more=TSO,
        check=(*ALWAYS, *ORDER),
        goals=(x1.kept, x1.behind, x1.interrupted_switch, x1.trimmed),
    ),
    x1_scenario(
        "X1.current.trimmed",
        "current",
        TRIMMED,
        "the same, and the CPU has left mm_cpumask",
        check=(*ALWAYS, *ORDER),
    ),
    x1_scenario(
        "X1.current.trimmed-tso",
        "current",
        TRIMMED,
        "the same with store buffers: setting the bit is the barrier",
        more=TSO,
        check=(*ALWAYS, *ORDER),
    ),
    x1_scenario(
        "X1.current.v6.13",
        "v6.13",
        TRIMMED,
        "before 6.14: a CPU leaves mm_cpumask when it switches away",
        check=EAGER,
    ),
    x1_scenario(
        "X1.current.v6.13-tso",
        "v6.13",
        TRIMMED,
        "the same with store buffers: the bit is always set, which is the barrier",
        more=TSO,
        check=EAGER,
    ),
    x1_scenario(
        "X1.current.v6.14",
        "v6.14",
        IN_MASK,
        "6.14: only who has the mm loaded is told (CVE-2025-37964)",
        violates="INV-X1-1",
        aliases=("SWITCHMM-LOADEDMM",),
        check=(),
    ),
    x1_scenario(
        "X1.current.lazy-mask",
        "lazy-mask",
        IN_MASK,
        "lazy mm_cpumask alone (209954cbc7d0): everybody in it is told",
    ),
    x1_scenario(
        "X1.current.lazy-mask-tso",
        "lazy-mask",
        IN_MASK,
        "the same with store buffers",
        more=TSO,
    ),
    x1_scenario(
        "X1.current.v6.15",
        "v6.15",
        IN_MASK,
        "6.15: who is switching is told, too (fea4e317f9e7)",
        aliases=("SWITCHMM-LOADEDMM.fixed", "X1.V2.sc"),
        check=(*ALWAYS, *ORDER),
    ),
    x1_scenario(
        "X1.V1",
        "V1",
        TRIMMED,
        "tlb_gen is read before the bit in mm_cpumask is set",
        violates="INV-X1-1",
        check=(),
    ),
    x1_scenario(
        "X1.V2",
        "V2",
        IN_MASK,
        "no barrier if the bit was set already (CVE-2025-40174)",
        violates="INV-X1-1",
        aliases=("SWITCHMM-SMPMB",),
        more=TSO,
        check=(),
    ),
    x1_scenario(
        "X1.V2.order",
        "V2",
        IN_MASK,
        "the same, seen when the CPU is left out",
        violates="INV-X1-4",
        more=TSO,
        check=ORDER,
    ),
    x1_scenario(
        "X1.V3",
        "V3",
        IN_MASK,
        "SWITCHING is not taken for an mm that is about to be used",
        violates="INV-X1-1",
        aliases=("BAD-X1-1",),
        check=(),
    ),
    x1_scenario(
        "SWITCHMM-MISORDER",
        "misorder",
        TRIMMED,
        "backports of fea4e317f9e7 to 6.1, 6.6 and 6.12: SWITCHING after tlb_gen was read",
        violates="INV-X1-1",
        check=(),
    ),
    x1_scenario(
        "SWITCHMM-MISORDER.order",
        "misorder",
        TRIMMED,
        "the same, seen when the CPU is left out",
        violates="INV-X1-4",
        check=ORDER,
    ),
    x1_scenario(
        "SWITCHMM-MISORDER.fixed",
        "stable",
        TRIMMED,
        "with the store of SWITCHING moved up, as it is in 6.15",
        more=TSO,
        check=(*ALWAYS, *ORDER),
    ),
    x1_scenario(
        "X1.current.v6.13-mask",
        "v6.13",
        TRIMMED,
        "before 6.14: in the switch, the bit is gone before the mm",
        violates="INV-X1-3",
        check=(x1.in_mask,),
    ),
)


# ------------------------------------------------------------------ a CPU is lazy for a while


@path(show="task, kernel thread, task")
def be_lazy(mm: ContextMm, page: Page) -> None:
    """A kernel thread runs on the address space of the task before, which then goes on."""
    switch_to_kernel_thread()
    come_back(mm, page)


def lazily(cpus: int) -> list[Thread]:
    """CPU0 removes a page and flushes; the others run a kernel thread meanwhile."""
    return [
        main(0, unmap, MM, Page(0)),
        *[main(c, be_lazy, MM, Page(0)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


LAZILY = Situation(2, {Page: 1, Frame: 1, ContextMm: 1, Pcid: 2}, x1.all_run, lazily)

LAZY = (
    x1_scenario(
        "X1.current.lazy",
        "current",
        LAZILY,
        "a lazy CPU is not told, and looks at the generation when it goes on",
        check=(*ALWAYS, *ORDER),
    ),
    x1_scenario("X1.current.lazy-tso", "current", LAZILY, "the same with store buffers", more=TSO),
    x1_scenario(
        "X1.current.lazy-read",
        "current",
        LAZILY,
        "should_flush_tlb() reads is_lazy before loaded_mm",
        more={"lazy_read": "first", **TSO},
    ),
    x1_scenario(
        "X1.current.v6.13-lazy",
        "v6.13",
        LAZILY,
        "lazy CPUs before 6.14",
        more=TSO,
        check=EAGER,
    ),
)


# ------------------------------------------------------------------ two flushes of one CPU


@path(show="unmap all")
def unmap_all(mm: ContextMm, page: Page) -> None:
    """Clear one PTE, and flush everything."""
    ptep_get_and_clear(mm, page)
    flush_tlb_mm_range(mm, set(Page))
    return_to_user(mm, (page,))


@path(show="user")
def load(mm: ContextMm, page: Page) -> None:
    """Another thread of the process reads that page, and the next."""
    x1.use(mm, page)
    x1.use(mm, Page(1))


def two_flushes(cpus: int) -> list[Thread]:
    """One CPU flushes everything, another one a page; the last runs the process."""
    return [
        main(0, unmap_all, MM, Page(0)),
        main(1, unmap, MM, Page(1)),
        main(cpus - 1, load, MM, Page(0)),
        handler(cpus - 1),
    ]


TWICE = Situation(3, {Page: 2, Frame: 2, ContextMm: 1, Pcid: 1}, x1.last_runs, two_flushes)

HANDLER = (
    x1_scenario(
        "X1.current.two",
        "current",
        TWICE,
        "two flushes, one for everything, are handled in any order",
        goals=(x1.returned, x1.caught_up_twice),
    ),
    x1_scenario(
        "X1.V4",
        "V4",
        TWICE,
        "the later of two flushes is handled first, and only its pages are flushed",
        violates="INV-X1-2",
        goals=(),
    ),
    x1_scenario(
        "X1.V4.use",
        "V4",
        TWICE,
        "the same, seen by user space",
        violates="INV-X1-1",
        check=(),
        goals=(),
    ),
    x1_scenario(
        "X1.V4.late-read",
        "current",
        TWICE,
        "the handler reads the generation after its flush",
        violates="INV-X1-2",
        more={"handler_gen": "after-flush"},
        goals=(),
    ),
)
