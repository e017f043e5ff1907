"""What hardware may do, in the modelling language. Nothing here knows an operating system.

* ``machine``: CPUs, virtual pages, frames, address spaces and the page-table entry.
* ``access``: what user space reaches, and what a TLB may still reach, on either architecture.
* ``tlb``: translation caching of x86, both as explicit entries and as the may-set.
* ``ipi``: call-function interrupts and the acknowledgement that their sender waits for.
* ``vcpu``: a hypervisor that takes CPUs away and flushes them when they resume.
* ``x86``: the named set of assumptions that scenarios use.
* ``arm64_walker``: translation caching of arm64, for kernel paths and litmus tests alike.
* ``tlbi``: Arm's broadcast invalidation, posted and awaited.
* ``arm64``: the named sets of assumptions for arm64.
* ``aarch64``: PEs that run litmus tests.
"""

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.x86 import x86, x86_virtual

__all__ = ["AddressSpace", "Cpu", "Frame", "Page", "Pte", "TlbEntry", "x86", "x86_virtual"]
