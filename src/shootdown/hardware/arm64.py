"""arm64: which rules may fire, and what is assumed, in the words that a verdict prints.

``arm64`` uses the same page-table entries and TLB as x86 (``tlb.py``): there, too, an entry is
cached only once its accessed flag is set, and the flags are set by atomic updates of the current
descriptor (FEAT_HAFDBS). What differs is invalidation: :mod:`shootdown.hardware.tlbi`.

``arm64_contiguous`` is for models of the Contiguous bit, with descriptors of its own
(:mod:`shootdown.hardware.arm64_walker`).

Memory is sequentially consistent here, so a DSB ISHST before a TLBI has nothing to do.
"""

from __future__ import annotations

from shootdown.hardware import arm64_walker as walker
from shootdown.hardware.tlb import evict, fill, remember
from shootdown.hardware.tlbi import tlbi_arrives
from shootdown.lang import Hardware

BOTH = (
    "a page walk is one atomic access",
    "a TLBI reaches each PE some time later; only a DSB of the PE that issued it waits for it",
    "no entry is cached from a descriptor that is invalid or has its access flag clear",
)

arm64 = Hardware(
    "arm64",
    rules=(fill, evict, tlbi_arrives),
    observers=(remember,),
    witness={"tlb": "explicit"},
    assumptions=(
        *BOTH,
        "a PE may load any valid descriptor at any time, and keeps it until it is invalidated",
        "the access and dirty flags are set by hardware, by atomic updates of the descriptor",
    ),
)

arm64_contiguous = Hardware(
    "arm64-contiguous",
    rules=(walker.fill, walker.evict, walker.tlbi_arrives),
    observers=(walker.remember,),
    witness={"tlb": "explicit"},
    assumptions=(
        *BOTH,
        "from any valid descriptor with the Contiguous bit a PE may cache the whole block",
        "hardware may set the access and dirty flags in any descriptor of a contiguous block",
        "the pages of the model are one naturally aligned block",
    ),
)
