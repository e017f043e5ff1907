"""x86: which rules may fire, and what is assumed, in the words that a verdict prints."""

from __future__ import annotations

from shootdown.hardware.ipi import handle_call
from shootdown.hardware.tlb import (
    TLB,
    begin_to_walk,
    evict,
    evict_elsewhere,
    fill,
    fill_elsewhere,
    remember,
    remember_high,
    remember_low,
)
from shootdown.hardware.vcpu import preempt, resume
from shootdown.lang import ByOption, Hardware

x86 = Hardware(
    "x86",
    rules=(fill, evict, handle_call, fill_elsewhere, evict_elsewhere),
    observers=(remember, remember_low, remember_high, begin_to_walk),
    options={"arch": "x86"},
    witness={"tlb": "explicit"},
    assumptions=(
        "a page walk is one atomic access",
        ByOption(
            TLB,
            {
                "may": "a CPU may load any present PTE at any time, and keeps it until it "
                "invalidates the page",
                "explicit": "a CPU may load any present PTE at any time, and lose it at any time",
            },
        ),
        "D and A are cached; a store through D=0 re-walks and faults if the PTE is gone",
        "an IPI reaches its target only while the target has its interrupts on",
    ),
)

x86_virtual = Hardware(
    "x86-virtual",
    rules=(*x86.rules, preempt, resume),
    observers=x86.observers,
    options=x86.options,
    witness={**x86.witness, "preemption": "explicit"},
    assumptions=(
        *x86.assumptions,
        "a hypervisor may preempt any CPU at any instruction and flushes it on resume if asked to",
    ),
)
