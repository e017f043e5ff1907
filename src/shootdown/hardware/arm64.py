"""arm64: which rules may fire, and what is assumed, in the words that a verdict prints.

Both machines here are the walker and TLB of :mod:`shootdown.hardware.arm64_walker` with the TLBI
and DSB of :mod:`shootdown.hardware.tlbi`, which litmus tests run on as well. ``arm64_contiguous``
is for models of the Contiguous bit; on ``arm64`` nobody looks at it.

Memory is sequentially consistent here, so a DSB ISHST before a TLBI has nothing to do.
"""

from __future__ import annotations

from dataclasses import replace

from shootdown.hardware.arm64_walker import begin_to_walk, evict, fill, remember, tlbi_arrives
from shootdown.hardware.tlb import TLB
from shootdown.lang import ByOption, Hardware

COMMON = (
    "a page walk is one atomic access",
    "a TLBI reaches each PE some time later; only a DSB of the PE that issued it waits for it",
    "no entry is cached from a descriptor that is invalid or has its access flag clear",
)

arm64 = Hardware(
    "arm64",
    rules=(fill, evict, tlbi_arrives),
    observers=(remember, begin_to_walk),
    options={"arch": "arm64", "blocks": "ignored"},
    witness={"tlb": "explicit"},
    assumptions=(
        *COMMON,
        ByOption(
            TLB,
            {
                "may": "a PE may load any valid descriptor at any time, and keeps it until it is "
                "invalidated",
                "explicit": "a PE may load any valid descriptor at any time, and lose it at any "
                "time",
            },
        ),
        "the access and dirty flags are set by hardware, by atomic updates of the descriptor",
    ),
)

arm64_contiguous = replace(
    arm64,
    name="arm64-contiguous",
    options={"arch": "arm64"},
    assumptions=(
        *COMMON,
        "from any valid descriptor with the Contiguous bit a PE may cache the whole block",
        "hardware may set the access and dirty flags in any descriptor of a contiguous block",
        "the pages of the model are one naturally aligned block",
    ),
)
