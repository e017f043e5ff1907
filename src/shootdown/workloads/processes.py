"""Processes that fork, copy on write, and end."""

from __future__ import annotations

from shootdown.cost.workload import Plan, workload
from shootdown.lang import Object, Thread, atomic_inc, counter, path, wait_until
from shootdown.linux.arch.x86.switch import switch_to_kernel_thread
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.kernel.fork import dup_mmap_locked, mm_init
from shootdown.linux.mm.mmap import exit_mmap, munmap
from shootdown.linux.mm_types import Mm, Pages
from shootdown.workloads.externs import compute, spend
from shootdown.workloads.mappings import spinners
from shootdown.workloads.memory import Places
from shootdown.workloads.user import enter, system_call, touch_all
from shootdown.workloads.x86 import X86


class Job(Object):
    """How far a process is: which one it is, counted from 1, how many of its threads run, and how
    many have been told to end, and have."""

    started: int = counter(0, 3)
    running: int = counter(0, 3)
    ending: int = counter(0, 3)
    ended: int = counter(0, 3)


@path(show="exit()")
def exit_mm() -> None:
    """A thread lets go of its address space (``exit_mm()``); its CPU keeps it loaded, lazily."""
    spend("context_switch", 1)
    switch_to_kernel_thread()


@path(show="worker")
def fork_and_write(mm: Mm, child: Mm, pages: Pages, rounds: int) -> None:
    """Write, fork, write all again while the child waits; then it runs, on the same CPU, and ends.

    What else the parent writes (its stack) is among the pages."""
    enter(mm)
    for _ in range(rounds):
        touch_all(mm, pages)
        system_call()
        mm_init(child)
        dup_mmap_locked(mm, child, pages)
        touch_all(mm, pages)
        system_call()
        spend("context_switch", 1)
        enter(child)
        system_call()
        exit_mm()
        exit_mmap(child, pages)
        enter(mm)


@path(show="worker")
def live_and_end(mm: Mm, pages: Pages, rounds: int, others: int) -> None:
    """A process with a thread on each CPU touches its pages and ends, again and again."""
    job = Job(0)
    for number in range(rounds):
        mm_init(mm)
        enter(mm)
        atomic_inc(job.started)
        wait_until(job.running == (number + 1) * others)
        touch_all(mm, pages)
        system_call()
        atomic_inc(job.ending)
        exit_mm()
        wait_until(job.ended == (number + 1) * others)
        exit_mmap(mm, pages)


@path(show="other thread")
def live_along(mm: Mm, rounds: int) -> None:
    """A thread that does nothing until its process ends."""
    job = Job(0)
    for number in range(rounds):
        wait_until(job.started == number + 1)
        enter(mm)
        atomic_inc(job.running)
        wait_until(job.ending == number + 1)
        exit_mm()
        atomic_inc(job.ended)


@workload("forkcow")
def forkcow(cpus: int = 2, pages: int = 17, rounds: int = 500) -> Plan:
    """fork() makes ``pages`` pages read-only; the parent writes to each; the child ends.

    One thread forks; the other CPUs spin in its process.
    """
    mm = ContextMm(0)
    places = Places(1, pages, offset=16)
    worker = Thread(fork_and_write, mm, ContextMm(1), places.area(0), rounds, on=TlbState(0))
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=cpus, mms=2, frames=2 * pages),
        threads=[worker, *spinners(mm, 1, cpus)],
        options={"access_flags": "none"},
        work={"forks": rounds, "pages": rounds * pages},
    )


@workload("exit")
def end(cpus: int = 2, pages: int = 5000, rounds: int = 50) -> Plan:
    """Processes of ``pages`` pages that end, each with a thread on every CPU."""
    mm = ContextMm(0)
    places = Places(1, pages)
    threads = [Thread(live_and_end, mm, places.area(0), rounds, cpus - 1, on=TlbState(0))]
    threads += [Thread(live_along, mm, rounds, on=TlbState(c)) for c in range(1, cpus)]
    return Plan(
        machine=X86,
        sizes={**places.sizes(cpus=cpus), Job: 1},
        threads=threads,
        work={"exits": rounds, "pages": rounds * pages},
    )


@path(show="brk()")
def brk_grow(mm: Mm, work: int) -> None:
    """The heap's VMA gets longer; no page is touched."""
    system_call()
    with mm.mmap_lock.write():
        compute(work)


@path(show="worker")
def grow_and_shrink(mm: Mm, pages: Pages, rounds: int, work: int) -> None:
    """will-it-scale's brk1: one page more, one page less, and it was never there."""
    enter(mm)
    for _ in range(rounds):
        brk_grow(mm, work)
        system_call()
        compute(work)
        munmap(mm, pages)


@workload("brk1")
def brk1(processes: int = 16, rounds: int = 5000, vma: int = 1300) -> Plan:
    """brk() by a page up and down in processes of one thread each, one on each CPU.

    Nothing is mapped, so no flush is needed. ``vma``: what a change of a VMA takes, in ns, which no
    profile knows, since it is no matter of TLBs. Both calls took 2.94 us in a KVM guest with Linux
    6.18, of which 0.33 us are the way into the kernel.
    """
    places = Places(1, 1)
    threads = [
        Thread(grow_and_shrink, ContextMm(p), places.area(0), rounds, vma, on=TlbState(p))
        for p in range(processes)
    ]
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=processes, mms=processes),
        threads=threads,
        work={"operations": 2 * processes * rounds},
    )
