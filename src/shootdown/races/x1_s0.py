"""System S0 on the flush of system X1: the same paths, one option more.

``S0.V4`` and ``S0.V6`` are taken as they are; CPUs start with what X1 wants to know of them, and
have interrupt handlers.
"""

from __future__ import annotations

from dataclasses import replace

from shootdown.hardware.interrupt import not_interrupted
from shootdown.hardware.machine import Cpu, Page
from shootdown.hardware.pcid import Pcid, x86_pcid
from shootdown.lang import Scenario, Setup, Thread, atomic, scenario
from shootdown.linux.arch.x86.tlbflush import ContextMm, LoadedMm, TlbContext, TlbState
from shootdown.races import s0
from shootdown.races import s0_properties as s0_start
from shootdown.races.x1 import GENERATIONS, handler


@atomic
def mapped_anon() -> None:
    """As in S0, but only the last CPU runs the process. The others give up its pages from elsewhere
    (``process_madvise()``), which keeps the number of interrupts, and of states, small."""
    s0_start.mapped_anon()
    for cpu in TlbState:
        if cpu.index == len(Cpu) - 1:
            cpu.loaded_mm = LoadedMm(mm=ContextMm(0))
            cpu.ctxs[Pcid(0)] = TlbContext(used=True, mm=ContextMm(0))
        else:
            cpu.walks = None
            ContextMm(0).cpumask.discard(cpu)
            for page in Page:
                cpu.tlb[page] = set()


def interruptible(thread: Thread) -> Thread:
    """The same thread on a CPU with an interrupt handler."""
    return Thread(
        thread.path,
        *thread.args,
        on=TlbState(thread.on.index) if thread.on else None,
        when=not_interrupted,
        **thread.options,
    )


def on_generations(name: str) -> Scenario:
    """A scenario of S0 with ``shootdown=generations``."""
    (known,) = [s for s in s0.PARALLEL if s.name == name]

    @scenario(
        f"X1.{name}",
        expect=known.expect,
        violates=known.violates,
        title=f"{name} on the flush of X1",
    )
    def build(cpus: int = 3) -> Setup:
        setup = known.setup({"cpus": cpus, "pages": 1})
        return replace(
            setup,
            sizes={**setup.sizes, Pcid: 1},
            start=mapped_anon,
            threads=[
                *[interruptible(thread) for thread in setup.threads],
                handler(cpus - 1),
            ],
            hardware=x86_pcid,
            options={**setup.options, **GENERATIONS},
        )

    return build


S0 = (on_generations("S0.V4"), on_generations("S0.V6"))
