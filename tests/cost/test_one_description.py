"""What is priced is what is checked: no protocol is written a second time for pricing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.cost.workload import Machine, Plan, Workload
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.lang import Thread, atomic_inc, path
from shootdown.lang.decorators import Function
from shootdown.lang.source import source_of
from shootdown.lang.types import FieldRef
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm_types import Mm
from shootdown.races import library
from shootdown.workloads.library import workloads
from shootdown.workloads.x86 import X86

X86_ARCH, MM = "shootdown.linux.arch.x86", "shootdown.linux.mm"
# What a machine may exchange although it is not in hardware/, and why.
EXCHANGED = {
    f"{X86_ARCH}.cr3.flush_tlb_one_user": "one instruction: INVLPG",
    f"{X86_ARCH}.cr3.flush_tlb_local": "one instruction: MOV to CR3",
    f"{X86_ARCH}.tlb.tlb_single_page_flush_ceiling": "a setting: the profile's",
    f"{X86_ARCH}.entry.interrupt_gate": "what the processor does for an interrupt",
    f"{X86_ARCH}.entry.iret": "one instruction: IRET",
    f"{X86_ARCH}.tlb_kernel.send_kernel_calls": "the interrupt controller",
    f"{X86_ARCH}.tlb_kernel.put_off": "bookkeeping of the properties; here it is counted",
    "shootdown.linux.kernel_cpu.settle": "bookkeeping of the properties",
    "shootdown.linux.kernel_cpu.settle_all": "bookkeeping of the properties",
    "shootdown.linux.kernel_cpu.housekeeping_cpu": "a constant of the boot",
    "shootdown.linux.kernel_cpu.user_mode": "a register that the interrupt has saved",
    f"{MM}.memory.alloc_page": "the page allocator: a frame is taken from a stack",
    f"{MM}.mmap.pte_free_tlb": "the page allocator: it has the price of a page",
    f"{MM}.filemap_fault.filemap_read_folio": "the disk: it takes its time",
    f"{MM}.migrate.folio_mc_copy": "copying a page: it takes its time",
    f"{MM}.page_alloc.prep_new_page": "clearing a page: it takes its time",
    f"{MM}.page_alloc.rmqueue": "the page allocator: a frame is taken from a ring",
    f"{MM}.mmu_gather.found_nested": "empty; here it is counted",
    f"{MM}.mmu_gather.folio_remove_rmap_pte": "the price of the reverse map's counters",
    f"{MM}.mmu_gather.rmap_statistics": "the price of the reverse map's counters",
}
# Functions outside of the kernel's files that write its fields, and why.
WRITTEN = {
    "alloc_page": "what the page allocator hands out has no references",
    "folio_remove_rmap_pte": "with its price",
    "send_kernel_calls": "hardware",
    "populate": "the state before time begins",
    "map_folio": "the state before time begins",
    "run_process": "the state before time begins",
    "attach_all": "the state before time begins",
    "boot": "the state before time begins",
    "brk_grow": "takes mmap_lock, as the system call does",
    "reader": "a file is mapped before time begins",
    "page_out": "a file is mapped before the first call",
    "first_fault": "anonymous memory is mapped before time begins",
    "migrate_range": "isolates folios under the PTL, as do_move_pages_to_node() does",
}
# Paths of the kernel that no scenario of the checker runs: what is priced of them is unchecked.
UNCHECKED = {
    f"{X86_ARCH}.tlb_kernel": {"flush_called", "kernel_flush_interrupt", "take_kernel_call"},
    "shootdown.linux.kernel.fork": {"copy_pte_range", "dup_mmap_locked", "mm_init"},
    f"{MM}.memory_cont": {
        "copy_present_ptes", "copy_ptes", "dontneed", "dup_mmap", "exit_everything",
        "folio_put_refs", "munmap", "tlb_flush", "tlb_free_folios", "unmap_page_range",
    },
    f"{MM}.memory_wp": {"do_wp_page_anonymous", "handle_mm_fault", "handle_pte_fault"},
    f"{MM}.filemap_fault": {"filemap_add_folio", "filemap_alloc_folio", "filemap_fault"},
    f"{MM}.madvise": {"madvise_pageout"},
    f"{MM}.migrate": {"migrate_folio_unmap", "migrate_pages_batch"},
    f"{MM}.mmap": {"exit_mmap", "mmap_vma"},
    f"{MM}.mprotect": {"mprotect_writable"},
    f"{MM}.mremap": {"move_extent", "mremap_vma", "unmap_empty"},
    f"{MM}.vmalloc": {"vmalloc"},
    f"{MM}.vmscan": {"shrink_isolated"},
    f"{MM}.vmscan_lru": {
        "folio_add_lru", "folio_batch_add", "folio_batch_move_lru", "isolate_folio",
        "isolate_lru_folios", "kswapd_try_to_sleep", "lru_add", "shrink_inactive_list",
        "wakeup_kswapd",
    },
    "shootdown.linux.mm_types": {"next_table"},
}  # fmt: skip
KERNEL_FILES = ("shootdown.linux", "shootdown.hardware", "shootdown/linux", "shootdown/hardware")
KERNEL = ("shootdown.linux.", "shootdown.hardware.")


def name_of(function: Function[..., Any]) -> str:
    return f"{function.source.__module__}.{function.name}"


def of_kernel(function: Function[..., Any]) -> bool:
    return function.source.__module__.startswith(KERNEL)


class Front(Run):
    """Compiles what a run consists of, without machine code or memory."""

    def _link(self) -> None:
        pass

    def _memory(self, seed: int) -> None:
        pass


@cache
def runs() -> dict[str, Run]:
    return {w.name: Front(w.plan(), Profile.load("skylake-2s")) for w in workloads()}


def compiled(workload: Workload) -> Run:
    return runs()[workload.name]


def mentioned(function: Function[..., Any]) -> set[Function[..., Any]]:
    """The model functions that a function's source names."""
    source, found = source_of(function), set()
    for node in ast.walk(source.tree):
        value: Any = None
        if isinstance(node, ast.Name):
            value = source.names.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            value = getattr(source.names.get(node.value.id), node.attr, None)
        if isinstance(value, Function):
            found.add(value)
    return found


@cache
def checked() -> frozenset[Function[..., Any]]:
    """Every function that some scenario of the library can reach."""
    todo: list[Function[..., Any]] = []
    for scenario in library():
        setup = scenario.setup()
        todo += [thread.path for thread in setup.threads]
        todo += [*setup.hardware.rules, *setup.hardware.observers]
        todo += [setup.start] if setup.start is not None else []
    return reached(todo)


def reached(begin: Iterable[Function[..., Any]]) -> frozenset[Function[..., Any]]:
    """These functions, those that they name, and so on."""
    todo = list(begin)
    seen = set(todo)
    while todo:
        new = mentioned(todo.pop()) - seen
        seen |= new
        todo += new
    return frozenset(seen)


ALL = [pytest.param(w, id=w.name) for w in workloads()]


@pytest.mark.parametrize("workload", ALL)
def test_the_kernels_functions_are_those_of_the_scenarios(workload: Workload) -> None:
    run = compiled(workload)
    kernel = {f for f in run.numbered.compiled if of_kernel(f)}
    assert len(kernel) > 20
    for function in kernel:
        module = sys.modules[function.source.__module__]
        assert getattr(module, function.name) is function, name_of(function)
    known = {f"{module}.{name}" for module, names in UNCHECKED.items() for name in names}
    assert {name_of(f) for f in kernel - checked()} <= known


def test_every_function_of_the_kernel_is_used() -> None:
    """By a scenario, its properties or a workload. The list of what only workloads run is exact."""
    setups = [scenario.setup() for scenario in library()]
    properties = {p for s in setups for p in (*s.invariants, *s.goals, *s.progress)}
    priced = {f for run in runs().values() for f in run.numbered.compiled}
    exchanged = {f for machine in machines() for f in machine.instead}
    own = {
        value
        for name, module in list(sys.modules.items())
        if name.startswith("shootdown.linux.")
        for value in vars(module).values()
        if isinstance(value, Function) and value.source.__module__ == name
    }
    assert len(own) > 300
    assert {name_of(f) for f in own - checked() - reached(properties) - priced - exchanged} == set()
    unchecked = {f"{module}.{name}" for module, names in UNCHECKED.items() for name in names}
    assert unchecked == {name_of(f) for f in own & priced - checked()}


def machines() -> list[Machine]:
    return list({id(run.plan.machine): run.plan.machine for run in runs().values()}.values())


def test_a_machine_exchanges_hardware_only() -> None:
    for machine in machines():
        for original in machine.instead:
            assert of_kernel(original)
            if not original.source.__module__.startswith("shootdown.hardware."):
                assert name_of(original) in EXCHANGED


def stand_ins(run: Run) -> set[Function[..., Any]]:
    """What stands for hardware, and what only that calls."""
    machine = run.plan.machine
    own = {*machine.instead.values(), *machine.observers}
    todo = list(own)
    while todo:
        new = {f for f in mentioned(todo.pop()) if not of_kernel(f)} - own
        own |= new
        todo += new
    return own


def home(field: Any) -> str:
    """The module or file in which a field or global is declared."""
    if isinstance(field, FieldRef):
        owners = [
            c for c in field.owner.__mro__ if field.name in vars(c).get("__annotations__", {})
        ]
        return owners[0].__module__
    return str(field.location.file)


def wrong_writes(run: Run) -> list[str]:
    """The fields of the kernel, or of the hardware, that somebody else writes."""
    hardware = stand_ins(run)
    wrong = []
    for function, field in run.numbered.written:
        where = home(field)
        name = field.name if isinstance(field, FieldRef) else "a global"
        if of_kernel(function) or not any(part in where for part in KERNEL_FILES):
            continue
        if function in hardware and where.startswith("shootdown.hardware."):
            continue
        if function.name not in WRITTEN:
            wrong.append(f"{name_of(function)} writes {name}")
    return wrong


@pytest.mark.parametrize("workload", ALL)
def test_workloads_write_no_state_of_the_kernel(workload: Workload) -> None:
    assert wrong_writes(compiled(workload)) == []


def test_the_list_of_what_is_unchecked_is_true() -> None:
    kernel = {name_of(f) for run in runs().values() for f in run.numbered.compiled}
    reached = {name_of(f) for f in checked()}
    for module, names in UNCHECKED.items():
        assert not {f"{module}.{n}" for n in names} & reached
        assert {f"{module}.{n}" for n in names} <= kernel


def test_what_is_exchanged_is_neither_compiled_nor_forgotten() -> None:
    originals = {name_of(o) for m in machines() for o in m.instead}
    assert set(EXCHANGED) <= originals
    for workload in workloads():
        run = compiled(workload)
        assert not run.numbered.compiled & set(run.plan.machine.instead)


@path
def copied(mm: Mm) -> None:
    """What nobody may do: the kernel's own bookkeeping, once more."""
    atomic_inc(mm.tlb_flush_pending)
    with mm.ptl:
        pass


def test_a_copy_of_a_protocol_would_be_noticed() -> None:
    sizes = {TlbState: 1, Page: 1, Frame: 1, ContextMm: 1, Pcid: 6}
    plan = Plan(X86, sizes, [Thread(copied, ContextMm(0), on=TlbState(0))])
    run = Front(plan, Profile.load("skylake-2s"))
    assert {w.rpartition(" ")[2] for w in wrong_writes(run)} == {"ptl", "tlb_flush_pending"}
