"""What hardware may do, in the modelling language. Nothing here knows an operating system.

* ``machine``: CPUs, virtual pages, frames, address spaces and the page-table entry.
* ``tlb``: translation caching, both as explicit entries and as the may-set.
* ``ipi``: call-function interrupts and the acknowledgement that their sender waits for.
* ``vcpu``: a hypervisor that takes CPUs away and flushes them when they resume.
* ``x86``: the named set of assumptions that scenarios use.
* ``tlbi``: Arm's broadcast invalidation, posted and awaited.
* ``arm64_walker``: descriptors with the Contiguous bit, and block entries.
* ``arm64``: the named sets of assumptions for arm64.
"""

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.x86 import x86, x86_virtual

__all__ = ["AddressSpace", "Cpu", "Frame", "Page", "Pte", "TlbEntry", "x86", "x86_virtual"]
